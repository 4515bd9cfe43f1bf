//! Faults on demand, for those who test clients.
//!
//! A fault is asked for by one request, in its `X-Fault` header, or by rules for all requests at `/local/faults`. Both
//! are heard only where the configuration allows faults: a server that serves in earnest must not be broken by a header.
//!
//! Which requests a rule strikes is decided by the rules' seed, the number of the request since the rules were given,
//! and the rule's place, and by nothing else. So a client that sends one request after another meets the same faults in
//! every run. For requests that are sent at the same time, the decisions stay the same in their order, but which of the
//! requests comes first is up to the network.

mod fault;
mod rule;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use self::fault::{Fault, Then};
pub use self::rule::{FaultRule, InvalidFaults};
use super::connection::Cutter;
use super::outer::{RequestId, drain};
use super::refusal::Refusal;
use super::routes::{self, Purpose};
use super::{App, body, query};

const X_FAULT: HeaderName = HeaderName::from_static("x-fault");

/// Rules beyond these are a mistake.
const MOST_RULES: usize = 100;

/// JSON's numbers are exact up to this in every language.
const LARGEST_NUMBER: u64 = (1 << 53) - 1;

/// The faults of a server.
#[derive(Debug)]
pub(super) struct Faults {
    allowed: bool,
    rules: RwLock<Arc<Rules>>,
}

/// The rules that are in force.
#[derive(Debug, Default)]
struct Rules {
    seed: u64,
    rules: Vec<Rule>,
    /// The requests that the rules have seen.
    requests: AtomicU64,
}

#[derive(Debug)]
struct Rule {
    fault: Fault,
    probability: f64,
    /// The most requests that it strikes; `None` for no limit.
    times: Option<u64>,
    /// `None` for all.
    operations: Option<Vec<&'static str>>,
    /// The requests that it has struck.
    struck: AtomicU64,
}

impl Rule {
    /// Counts a strike, unless there were as many as there may be. Requests that come at the same time can't go beyond.
    fn counts_one(&self) -> bool {
        let one_more = |struck| (self.times.is_none_or(|most| struck < most)).then_some(struck + 1);
        self.struck
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more)
            .is_ok()
    }
}

impl Faults {
    pub(super) fn new(allowed: bool) -> Faults {
        Faults {
            allowed,
            rules: RwLock::default(),
        }
    }

    fn rules(&self) -> Arc<Rules> {
        // The rules are replaced as a whole, so they are right even after a panic.
        Arc::clone(&self.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn put(&self, rules: Rules) {
        *self.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(rules);
    }

    /// Takes rules from the same process, read as those that come by HTTP are.
    pub(super) fn set(&self, seed: u64, rules: Vec<FaultRule>) -> Result<(), InvalidFaults> {
        if !self.allowed {
            return Err(InvalidFaults(OFF.to_owned()));
        }
        let body: RulesBody =
            serde_path_to_error::deserialize(json!({ "seed": seed, "rules": rules }))
                .map_err(|error| InvalidFaults(format!("{}: {}", error.path(), error.inner())))?;
        self.put(body.into());
        Ok(())
    }

    pub(super) fn struck(&self) -> Vec<u64> {
        let rules = self.rules();
        let struck = rules.rules.iter().map(|rule| &rule.struck);
        struck
            .map(|struck| struck.load(Ordering::Relaxed))
            .collect()
    }

    /// The fault that a request meets.
    fn of(
        &self,
        headers: &HeaderMap,
        operation: &'static str,
    ) -> Result<Option<Arc<Fault>>, Refusal> {
        let mut asked = headers.get_all(X_FAULT).iter();
        let header = asked.next();
        if !self.allowed {
            // Ignored, it would let a test of a client pass that tests nothing.
            return match header {
                None => Ok(None),
                Some(_) => Err(off()),
            };
        }
        let ruled = self.rules().strike(operation);
        let Some(header) = header else {
            return Ok(ruled);
        };
        if asked.next().is_some() {
            return Err(malformed(
                "There is more than one X-Fault header; give one.",
            ));
        }
        let fault: Fault = header
            .to_str()
            .map_err(|_| malformed("The X-Fault header isn't visible ASCII."))?
            .parse()
            .map_err(|error: fault::Malformed| malformed(&error.to_string()))?;
        Ok(Some(Arc::new(fault)))
    }

    fn shown(&self) -> Json<Value> {
        let rules = self.rules();
        let shown: Vec<Value> = rules
            .rules
            .iter()
            .map(|rule| {
                json!({
                    "fault": rule.fault,
                    "probability": rule.probability,
                    "times": rule.times,
                    "operations": rule.operations,
                    "struck": rule.struck.load(Ordering::Relaxed),
                })
            })
            .collect();
        Json(json!({
            "data": {
                "type": "Fault_Rules",
                "allowed": self.allowed,
                "seed": rules.seed,
                "requests": rules.requests.load(Ordering::Relaxed),
                "rules": shown,
            },
            "meta": {},
        }))
    }
}

impl Rules {
    /// Counts a request and gives the fault of the first rule that strikes it.
    fn strike(&self, operation: &str) -> Option<Arc<Fault>> {
        let request = self.requests.fetch_add(1, Ordering::Relaxed);
        let mut rules = (0..).zip(&self.rules);
        let (_, rule) = rules.find(|(place, rule)| {
            let concerned = rule
                .operations
                .as_ref()
                .is_none_or(|operations| operations.contains(&operation));
            concerned && draw(self.seed, request, *place) < rule.probability && rule.counts_one()
        })?;
        Some(Arc::new(rule.fault.clone()))
    }
}

/// A number of at least 0 and below 1, evenly distributed and always the same for the same input. A hash rather than a
/// generator, so that a decision doesn't depend on how many were asked for before it.
fn draw(seed: u64, request: u64, rule: u64) -> f64 {
    let mut hash = Sha256::new();
    for number in [seed, request, rule] {
        hash.update(number.to_be_bytes());
    }
    let digest: [u8; 32] = hash.finalize().into();
    let top = digest[..4]
        .iter()
        .fold(0, |sum: u32, byte| sum << 8 | u32::from(*byte));
    f64::from(top) / (f64::from(u32::MAX) + 1.0)
}

/// Lets a request meet its fault, if it has one.
pub(super) async fn meet(
    State((app, operation)): State<(Arc<App>, &'static str)>,
    request: Request,
    next: Next,
) -> Response {
    let fault = match app.faults.of(request.headers(), operation) {
        Ok(Some(fault)) => fault,
        Ok(None) => return next.run(request).await,
        Err(refusal) => {
            drain(request).await;
            return refusal.into_response();
        }
    };
    app.metrics.fault(operation);
    let request_id = request.extensions().get::<RequestId>().map(|id| id.0);
    let cutter = request.extensions().get::<Cutter>().cloned();
    let shown = fault.to_string();
    tracing::info!(request_id = request_id.map(tracing::field::display), operation, fault = %shown, "fault on demand");
    if let Some(latency) = fault.latency {
        tokio::time::sleep(latency).await;
    }
    let mut response = match &fault.then {
        Then::Handle => next.run(request).await,
        Then::Reply {
            status,
            html,
            retry_after,
        } => {
            drain(request).await;
            reply(*status, *html, *retry_after, &shown)
        }
        Then::Cut { handled } => {
            // The body is read in either case, so that a client can't tell the two apart.
            if *handled {
                drop(next.run(request).await);
            } else {
                drain(request).await;
            }
            match cutter {
                Some(cutter) => cutter.cut().await,
                None => {
                    Refusal::fault(StatusCode::INTERNAL_SERVER_ERROR, None, &shown).into_response()
                }
            }
        }
    };
    // A fault that was read has only characters that a header can carry.
    if let Ok(value) = HeaderValue::from_str(&shown) {
        response.headers_mut().insert(X_FAULT, value);
    }
    response
}

/// The reply of a server, or of a proxy before it, that has trouble.
fn reply(status: StatusCode, html: bool, retry_after: Option<u64>, fault: &str) -> Response {
    if !html {
        let usual = matches!(
            status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        );
        let retry_after = retry_after.or(usual.then_some(1));
        return Refusal::fault(status, retry_after, fault).into_response();
    }
    let page = format!(
        "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n\
         <hr><center>a proxy, on demand</center>\r\n</body>\r\n</html>\r\n"
    );
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    if let Some(seconds) = retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

const OFF: &str = "This server makes no faults on demand; start it with `serve --faults` (`Config::faults` in Rust).";

fn off() -> Refusal {
    Refusal::malformed("faults-off", OFF.to_owned())
}

fn malformed(description: &str) -> Refusal {
    Refusal::malformed("fault-malformed", description.to_owned())
}

/// `get_faults`
pub(super) async fn get(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    query::none(request.uri())?;
    Ok(app.faults.shown())
}

/// `put_faults`
pub(super) async fn put(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let query = query::none(request.uri());
    let body: Result<Option<RulesBody>, Refusal> = body::json(request, &app.body_limit).await;
    query?;
    let body = body?.ok_or_else(|| {
        Refusal::malformed(
            "json-malformed",
            "The body is empty; send the rules, such as {\"rules\": [{\"fault\": \"status=503; html\", \
             \"probability\": 0.1}]}."
                .to_owned(),
        )
    })?;
    if !app.faults.allowed {
        return Err(off());
    }
    app.faults.put(body.into());
    Ok(app.faults.shown())
}

/// `delete_faults`
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    let query = query::none(request.uri());
    drain(request).await;
    query?;
    app.faults.put(Rules::default());
    Ok(app.faults.shown())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RulesBody {
    #[serde(default, deserialize_with = "seed")]
    seed: u64,
    #[serde(deserialize_with = "rules")]
    rules: Vec<RuleBody>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleBody {
    fault: Fault,
    #[serde(default = "always", deserialize_with = "probability")]
    probability: f64,
    #[serde(default, deserialize_with = "times")]
    times: Option<u64>,
    #[serde(default, deserialize_with = "operations")]
    operations: Option<Vec<&'static str>>,
}

impl From<RulesBody> for Rules {
    fn from(body: RulesBody) -> Rules {
        let rules = body.rules.into_iter().map(|rule| Rule {
            fault: rule.fault,
            probability: rule.probability,
            times: rule.times,
            operations: rule.operations,
            struck: AtomicU64::new(0),
        });
        Rules {
            seed: body.seed,
            rules: rules.collect(),
            requests: AtomicU64::new(0),
        }
    }
}

fn always() -> f64 {
    1.0
}

/// Reads a value that has to pass a test, and says otherwise what would be right.
fn checked<'de, D, T>(
    deserializer: D,
    is_right: impl FnOnce(&T) -> bool,
    right: impl std::fmt::Display,
) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    let value = T::deserialize(deserializer)?;
    if is_right(&value) {
        Ok(value)
    } else {
        Err(serde::de::Error::custom(right))
    }
}

fn seed<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    let right = format_args!("the seed is a whole number from 0 to {LARGEST_NUMBER}");
    checked(deserializer, |seed| *seed <= LARGEST_NUMBER, right)
}

fn rules<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<RuleBody>, D::Error> {
    let right = format_args!("there may be at most {MOST_RULES} rules");
    checked(
        deserializer,
        |rules: &Vec<_>| rules.len() <= MOST_RULES,
        right,
    )
}

fn probability<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let right = "the probability is a number from 0 to 1";
    checked(deserializer, |value| (0.0..=1.0).contains(value), right)
}

fn times<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let right =
        format_args!("`times` is a whole number from 1 to {LARGEST_NUMBER}, or null for no limit");
    checked(
        deserializer,
        |times: &Option<u64>| times.is_none_or(|times| (1..=LARGEST_NUMBER).contains(&times)),
        right,
    )
}

/// Reads the names of operations that rules can strike.
fn operations<'de, D>(deserializer: D) -> Result<Option<Vec<&'static str>>, D::Error>
where
    D: Deserializer<'de>,
{
    let Some(names) = Option::<Vec<String>>::deserialize(deserializer)? else {
        return Ok(None);
    };
    let known: Vec<&'static str> = routes::all()
        .filter(|route| route.purpose == Purpose::Layer)
        .map(|route| route.id)
        .collect();
    let right = || {
        serde::de::Error::custom(format!(
            "the operations are one or more of {}",
            known.join(", ")
        ))
    };
    if names.is_empty() {
        return Err(right());
    }
    let found = names.iter().map(|name| {
        let mut known = known.iter();
        known
            .find(|known| *known == name)
            .copied()
            .ok_or_else(right)
    });
    found.collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_even_and_always_the_same() {
        // Written down, so that a seed means the same in the next release.
        let known: Vec<_> = (0..8).map(|request| draw(42, request, 0) < 0.5).collect();
        assert_eq!(
            known,
            [false, true, false, true, true, false, true, true],
            "seed 42"
        );
        let mean = (0..10_000).map(|request| draw(7, request, 1)).sum::<f64>() / 10_000.0;
        assert!((0.49..0.51).contains(&mean), "{mean}");
        assert_ne!(draw(7, 1, 0), draw(7, 0, 1));
        assert_ne!(draw(7, 0, 0), draw(8, 0, 0));
    }
}
