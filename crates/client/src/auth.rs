//! Access tokens: one that is given, or those that a source gives and that are renewed in time.
//!
//! A source is asked by one call at a time, whatever the number of calls that need a token. While
//! the token in hand is still good, only the call that renews it waits; once it has expired all of
//! them wait for the same answer, be it a token or a failure.

use std::error::Error as StdError;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, HeaderValue, USER_AGENT};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use crate::builder::shown_url;
use crate::error::one_line;

/// How long before its end a token is renewed: a quarter of its life, and this at most. Layer's
/// tokens live for an hour.
const MAX_RENEWAL_LEAD: Duration = Duration::from_secs(300);

/// How long before its end a token counts as expired, so that it doesn't expire on its way: a
/// twentieth of its life, and this at most.
const MAX_EXPIRY_LEAD: Duration = Duration::from_secs(10);

/// How long a renewal may hold up a call whose token is still good: half of what is left of the
/// call's time, since it has to be made as well, and this at most.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(10);

/// How long after a renewal that gave nothing the next one is tried, while the token in hand is
/// still good.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// How long a token that was renewed since the API refused its forerunner isn't renewed for another
/// refusal.
const REFUSAL_PAUSE: Duration = Duration::from_secs(10);

/// The longest answer of an authorization server that is read, in bytes.
const MAX_ANSWER_BYTES: usize = 256 * 1024;

/// How much of an authorization server's own words an error shows, in characters.
const SHOWN_CHARS: usize = 200;

/// An access token. Its text can be given but not read back: neither `Debug` nor any method shows
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Takes the token's text, without the word `Bearer`. [`Builder::build`](crate::Builder::build)
    /// checks it.
    pub fn new(text: impl Into<String>) -> Token {
        Token(Arc::from(text.into()))
    }

    /// The text with each occurrence of the token taken out, for what comes back from outside and
    /// is about to be kept: some proxies put the whole request into their error pages.
    pub(crate) fn redact(&self, text: String) -> String {
        if self.is_in(text.as_bytes()) {
            text.replace(&*self.0, "[redacted]")
        } else {
            text
        }
    }

    /// Whether the text holds the token. A token of less than 8 characters is no secret, but would
    /// be found in ordinary words, so that a fault's description would lose what it says; it's in
    /// no text.
    pub(crate) fn is_in(&self, text: &[u8]) -> bool {
        let token = self.0.as_bytes();
        token.len() >= 8
            && text.len() >= token.len()
            && text.windows(token.len()).any(|part| part == token)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

impl From<String> for Token {
    fn from(text: String) -> Token {
        Token::new(text)
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Token {
        Token::new(text)
    }
}

/// A token as a source gives it, for [`Builder::token_source`](crate::Builder::token_source).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuedToken {
    token: Token,
    lifetime: Option<Duration>,
}

impl IssuedToken {
    /// A token that is used until the API refuses it.
    pub fn new(token: impl Into<Token>) -> IssuedToken {
        IssuedToken {
            token: token.into(),
            lifetime: None,
        }
    }

    /// How long the token is good from now on, so that the next one is asked for in time.
    pub fn expires_in(mut self, lifetime: Duration) -> IssuedToken {
        self.lifetime = Some(lifetime);
        self
    }
}

/// The id and secret of an API client, for which Layer's authorization server gives access tokens
/// (OAuth 2.0 client credentials, RFC 6749, section 4.4).
///
/// The secret belongs on servers only; neither `Debug` nor any error shows it. Source: Layer's page
/// on authentication.
#[derive(Clone)]
pub struct ClientCredentials {
    pub(crate) id: String,
    secret: Token,
    pub(crate) scope: Option<String>,
    pub(crate) token_url: Option<String>,
}

impl ClientCredentials {
    /// The id and secret, as Layer's portal shows them.
    pub fn new(id: impl Into<String>, secret: impl Into<String>) -> ClientCredentials {
        ClientCredentials {
            id: id.into(),
            secret: Token::new(secret),
            scope: None,
            token_url: None,
        }
    }

    /// The scope to ask for. That of the [`Environment`](crate::Environment) unless set; without
    /// either none is sent.
    pub fn scope(mut self, scope: impl Into<String>) -> ClientCredentials {
        self.scope = Some(scope.into());
        self
    }

    /// The address that gives tokens. That of the [`Environment`](crate::Environment) unless set;
    /// without either it must be set, since nobody else should see the secret.
    pub fn token_url(mut self, url: impl Into<String>) -> ClientCredentials {
        self.token_url = Some(url.into());
        self
    }

    /// What's wrong with the id.
    pub(crate) fn fault_of_id(&self) -> Option<&'static str> {
        if self.id.is_empty() {
            Some("is empty")
        } else if !is_graphic(&self.id) || self.id.contains(':') {
            Some("holds a colon, a blank or another character that can't be sent")
        } else {
            None
        }
    }

    /// What's wrong with the scope.
    pub(crate) fn fault_of_scope(&self) -> Option<&'static str> {
        let scope = self.scope.as_deref()?;
        scope
            .trim()
            .is_empty()
            .then_some("is empty; leave it out to ask for that of the environment")
    }

    /// What's wrong with the secret.
    pub(crate) fn fault_of_secret(&self) -> Option<&'static str> {
        if self.secret.0.is_empty() {
            Some("is empty")
        } else if !is_graphic(&self.secret.0) {
            Some("holds a blank, a line break or another character that can't be sent")
        } else {
            None
        }
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("id", &self.id)
            .field("secret", &"[redacted]")
            .field("scope", &self.scope)
            .field("token_url", &self.token_url.as_deref().map(shown_url))
            .finish()
    }
}

/// Whether the text has visible ASCII characters only.
fn is_graphic(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// A token together with the header that carries it.
pub(crate) struct Bearer {
    pub(crate) token: Token,
    /// Marked so that HTTP libraries don't print it.
    pub(crate) header: HeaderValue,
}

impl Bearer {
    /// Makes the header; the error says what's wrong with the token.
    pub(crate) fn new(token: Token) -> Result<Bearer, &'static str> {
        if token.0.is_empty() {
            Err("is empty")
        } else if token.0.contains(' ') {
            Err("holds a space")
        } else if !is_graphic(&token.0) {
            Err("holds a line break or another character that a token can't have")
        } else if let Ok(mut header) = HeaderValue::try_from(format!("Bearer {}", token.0)) {
            header.set_sensitive(true);
            Ok(Bearer { token, header })
        } else {
            Err("can't be sent in a header")
        }
    }
}

/// Why a source gave no token.
#[derive(Clone, Debug)]
pub(crate) struct TokenFault {
    /// What is wrong, in one line.
    pub(crate) message: String,
    /// Whether asking again later may help.
    pub(crate) is_transient: bool,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl TokenFault {
    fn lasting(message: String) -> TokenFault {
        TokenFault {
            message,
            is_transient: false,
            source: None,
        }
    }
}

impl fmt::Display for TokenFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for TokenFault {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

type Issue = Pin<Box<dyn Future<Output = Result<IssuedToken, TokenFault>> + Send>>;

/// What gives tokens.
#[derive(Clone)]
pub(crate) struct Source(Arc<dyn Fn() -> Issue + Send + Sync>);

impl Source {
    /// A source that somebody else wrote. That it fails may always pass, as far as we know.
    pub(crate) fn new<F, R, E>(issue: F) -> Source
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<IssuedToken, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        Source(Arc::new(move || {
            let issued = issue();
            Box::pin(async move {
                issued.await.map_err(|cause| {
                    let source: Box<dyn StdError + Send + Sync> = cause.into();
                    TokenFault {
                        message: one_line(&source.to_string(), SHOWN_CHARS),
                        is_transient: true,
                        source: Some(Arc::from(source)),
                    }
                })
            })
        }))
    }

    /// Layer's authorization server, or one that speaks like it. An answer takes `timeout` at most.
    pub(crate) fn oauth(
        http: reqwest::Client,
        credentials: ClientCredentials,
        url: Url,
        scope: Option<String>,
        user_agent: HeaderValue,
        timeout: Duration,
    ) -> Source {
        let grant = Arc::new(Grant {
            http,
            credentials,
            url,
            scope,
            user_agent,
            timeout,
        });
        Source(Arc::new(move || {
            let grant = Arc::clone(&grant);
            Box::pin(async move { grant.ask().await })
        }))
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Source")
    }
}

/// What is needed to ask an authorization server.
struct Grant {
    http: reqwest::Client,
    credentials: ClientCredentials,
    url: Url,
    scope: Option<String>,
    user_agent: HeaderValue,
    timeout: Duration,
}

impl Grant {
    async fn ask(&self) -> Result<IssuedToken, TokenFault> {
        let ClientCredentials { id, secret, .. } = &self.credentials;
        let mut form = vec![
            ("grant_type", "client_credentials"),
            ("client_id", id.as_str()),
        ];
        form.extend(self.scope.as_deref().map(|scope| ("scope", scope)));
        let asked = self
            .http
            .post(self.url.clone())
            .basic_auth(id, Some(&*secret.0))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, self.user_agent.clone())
            .timeout(self.timeout)
            .form(&form)
            .send()
            .await;
        let mut reply = asked.map_err(|cause| self.broken(cause))?;
        let status = reply.status();
        let mut body = Vec::new();
        while let Some(chunk) = reply.chunk().await.map_err(|cause| self.broken(cause))? {
            if body.len() + chunk.len() > MAX_ANSWER_BYTES {
                return Err(self.fault("gave an answer that is too long for a token", true));
            }
            body.extend_from_slice(&chunk);
        }
        let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
        if !status.is_success() {
            return Err(self.refused(status, &answer));
        }
        self.issued(&answer)
    }

    fn issued(&self, answer: &Value) -> Result<IssuedToken, TokenFault> {
        let Some(token) = answer.get("access_token").and_then(Value::as_str) else {
            return Err(self.fault("gave an answer without an `access_token`", true));
        };
        if let Some(kind) = answer.get("token_type").and_then(Value::as_str)
            && !kind.eq_ignore_ascii_case("bearer")
        {
            let kind = self.shown(kind);
            return Err(self.fault(
                &format!("gave a token of the type {kind:?}, but Layer's are `Bearer`"),
                false,
            ));
        }
        let issued = IssuedToken::new(token);
        // Layer's examples write some of their numbers as text.
        let lifetime = match answer.get("expires_in") {
            Some(Value::String(text)) => text.trim().parse().ok(),
            Some(value) => value.as_u64(),
            None => None,
        };
        Ok(match lifetime {
            Some(seconds) => issued.expires_in(Duration::from_secs(seconds)),
            None => issued,
        })
    }

    fn refused(&self, status: StatusCode, answer: &Value) -> TokenFault {
        let mut message = format!("answered HTTP {}", status.as_u16());
        if let Some(reason) = status.canonical_reason() {
            message.push_str(&format!(" {reason}"));
        }
        for name in ["error", "error_description"] {
            if let Some(text) = answer.get(name).and_then(Value::as_str) {
                message.push_str(&format!(": {}", self.shown(text)));
            }
        }
        let is_transient = status.is_server_error()
            || matches!(
                status,
                StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
            );
        self.fault(&message, is_transient)
    }

    fn broken(&self, cause: reqwest::Error) -> TokenFault {
        let message = if cause.is_connect() {
            "can't be reached"
        } else if cause.is_timeout() {
            "didn't answer in time"
        } else {
            "broke off its answer"
        };
        TokenFault {
            source: Some(Arc::new(cause.without_url())),
            ..self.fault(message, true)
        }
    }

    fn fault(&self, message: &str, is_transient: bool) -> TokenFault {
        TokenFault {
            is_transient,
            ..TokenFault::lasting(format!("{} {message}", self.url))
        }
    }

    /// What the server said, as part of one line. It may repeat what it was sent, so the secret is
    /// taken out, as it is and as it was sent, before a cut could leave a part of it.
    fn shown(&self, text: &str) -> String {
        let ClientCredentials { id, secret, .. } = &self.credentials;
        let mut text = secret.redact(text.to_owned());
        let request = self.http.post(self.url.clone());
        if let Ok(sent) = request.basic_auth(id, Some(&*secret.0)).build()
            && let Some(header) = sent.headers().get(AUTHORIZATION)
            && let Some(("Basic", encoded)) = header.to_str().ok().and_then(|it| it.split_once(' '))
        {
            text = Token::new(encoded).redact(text);
        }
        one_line(&text, SHOWN_CHARS)
    }
}

/// Where a client's tokens come from.
#[derive(Clone)]
pub(crate) enum Tokens {
    /// The same one for ever.
    Fixed(Arc<Bearer>),
    Renewed(Arc<Renewed>),
}

impl Tokens {
    pub(crate) fn renewed(source: Source) -> Tokens {
        Tokens::Renewed(Arc::new(Renewed {
            source,
            asking: tokio::sync::Mutex::default(),
            state: Mutex::default(),
        }))
    }

    /// The token to send, if that's one that nobody has to be asked for.
    pub(crate) fn at_hand(&self) -> Option<Arc<Bearer>> {
        match self {
            Tokens::Fixed(bearer) => Some(Arc::clone(bearer)),
            Tokens::Renewed(renewed) => match renewed.standing() {
                Standing::Good(bearer) => Some(bearer),
                Standing::Due(_) | Standing::None => None,
            },
        }
    }

    /// The token to send, for a call that ends at `deadline`. Whoever calls this gives up then: it
    /// waits beyond it where there is no token and the source is slow.
    pub(crate) async fn bearer(&self, deadline: Instant) -> Result<Arc<Bearer>, TokenFault> {
        match self {
            Tokens::Fixed(bearer) => Ok(Arc::clone(bearer)),
            Tokens::Renewed(renewed) => renewed.bearer(deadline).await,
        }
    }

    /// The token in hand if another call had a new one meanwhile, or else the given one.
    pub(crate) fn newest(&self, given: Arc<Bearer>) -> Arc<Bearer> {
        match self {
            Tokens::Fixed(_) => given,
            Tokens::Renewed(renewed) => match &renewed.state().held {
                Some(held) => Arc::clone(&held.bearer),
                None => given,
            },
        }
    }

    /// Takes note that the API refused a token. Tells whether another one can be had.
    pub(crate) fn refuse(&self, refused: &Arc<Bearer>) -> bool {
        match self {
            Tokens::Fixed(_) => false,
            Tokens::Renewed(renewed) => {
                let mut state = renewed.state();
                let held = state.held.as_ref();
                let Some(held) = held.filter(|held| Arc::ptr_eq(&held.bearer, refused)) else {
                    // Another call has renewed it already.
                    return true;
                };
                // A token that was renewed for a refusal and is refused in turn isn't at fault:
                // it may be the business. Else each such call would take the token from all others.
                let is_new = held
                    .renewed_at
                    .is_some_and(|time| time.elapsed() < REFUSAL_PAUSE);
                if !is_new {
                    state.held = None;
                    state.is_refused = true;
                }
                !is_new
            }
        }
    }
}

impl fmt::Debug for Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Tokens::Fixed(bearer) => bearer.token.fmt(f),
            Tokens::Renewed(_) => f.write_str("Tokens([renewed])"),
        }
    }
}

/// The tokens of a source.
pub(crate) struct Renewed {
    source: Source,
    /// Held by whoever asks the source.
    asking: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    /// Whether the next token replaces one that the API refused.
    is_refused: bool,
    /// How often the source has answered, and its last answer if that was a failure.
    answers: u64,
    failure: Option<TokenFault>,
}

struct Held {
    bearer: Arc<Bearer>,
    /// When it replaced a token that the API refused, if it did.
    renewed_at: Option<Instant>,
    renew_at: Option<Instant>,
    expires_at: Option<Instant>,
}

/// What can be done with the token in hand.
enum Standing {
    Good(Arc<Bearer>),
    /// It's good, but should be renewed.
    Due(Arc<Bearer>),
    /// There is none, or it has expired.
    None,
}

impl Renewed {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn standing(&self) -> Standing {
        let now = Instant::now();
        let state = self.state();
        match &state.held {
            Some(held) if held.expires_at.is_none_or(|end| now < end) => {
                let bearer = Arc::clone(&held.bearer);
                if held.renew_at.is_none_or(|due| now < due) {
                    Standing::Good(bearer)
                } else {
                    Standing::Due(bearer)
                }
            }
            _ => Standing::None,
        }
    }

    async fn bearer(&self, deadline: Instant) -> Result<Arc<Bearer>, TokenFault> {
        match self.standing() {
            Standing::Good(bearer) => return Ok(bearer),
            Standing::Due(bearer) => {
                let Ok(_asking) = self.asking.try_lock() else {
                    return Ok(bearer);
                };
                if let Some(bearer) = self.renew_ahead(deadline).await {
                    return Ok(bearer);
                }
            }
            Standing::None => {}
        }
        let answers = self.state().answers;
        let _asking = self.asking.lock().await;
        if let Standing::Good(bearer) | Standing::Due(bearer) = self.standing() {
            return Ok(bearer);
        }
        {
            // Whoever had to wait for another call's question takes its answer, so that a server in
            // trouble isn't asked by each of a thousand calls in turn, nor one whose tokens have
            // no life worth speaking of.
            let state = self.state();
            if state.answers != answers {
                if let Some(failure) = &state.failure {
                    return Err(failure.clone());
                }
                if let Some(held) = &state.held {
                    return Ok(Arc::clone(&held.bearer));
                }
            }
        }
        self.ask().await
    }

    /// Renews a token that is still good. Where that gives nothing the old one serves, as long as it
    /// is good. Only for who holds `asking`.
    async fn renew_ahead(&self, deadline: Instant) -> Option<Arc<Bearer>> {
        if let Standing::Good(bearer) = self.standing() {
            return Some(bearer);
        }
        let now = Instant::now();
        // Said before it's asked: should the call be dropped meanwhile, the next one isn't held up
        // by the same hanging source at once.
        self.renew_again_at(now + RENEWAL_PAUSE);
        let patience = RENEWAL_PATIENCE.min(deadline.saturating_duration_since(now) / 2);
        let fault = match tokio::time::timeout(patience, self.ask()).await {
            Ok(Ok(bearer)) => return Some(bearer),
            Ok(Err(fault)) => fault.message,
            Err(_) => format!("no answer within {patience:?}"),
        };
        tracing::warn!(
            fault,
            "the access token couldn't be renewed ahead of its end"
        );
        self.renew_again_at(Instant::now() + RENEWAL_PAUSE);
        match self.standing() {
            Standing::Good(bearer) | Standing::Due(bearer) => Some(bearer),
            Standing::None => None,
        }
    }

    fn renew_again_at(&self, time: Instant) {
        if let Some(held) = &mut self.state().held {
            held.renew_at = Some(time);
        }
    }

    /// Asks the source, and keeps its answer.
    async fn ask(&self) -> Result<Arc<Bearer>, TokenFault> {
        // The life counts from the question on, since the answer took its time.
        let asked_at = Instant::now();
        let answer = (self.source.0)().await.and_then(|issued| {
            let bearer = Bearer::new(issued.token).map_err(|fault| {
                TokenFault::lasting(format!("the token that was given {fault}"))
            })?;
            let ahead = |lead: Duration| {
                let lifetime = issued.lifetime?;
                asked_at.checked_add(lifetime.saturating_sub(lead))
            };
            let lifetime = issued.lifetime.unwrap_or_default();
            Ok(Held {
                renewed_at: None,
                renew_at: ahead(MAX_RENEWAL_LEAD.min(lifetime / 4)),
                expires_at: ahead(MAX_EXPIRY_LEAD.min(lifetime / 20)),
                bearer: Arc::new(bearer),
            })
        });
        let mut state = self.state();
        state.answers += 1;
        match answer {
            Ok(mut held) => {
                let bearer = Arc::clone(&held.bearer);
                if std::mem::take(&mut state.is_refused) {
                    held.renewed_at = Some(Instant::now());
                }
                state.held = Some(held);
                state.failure = None;
                Ok(bearer)
            }
            Err(fault) => {
                state.failure = Some(fault.clone());
                Err(fault)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::time::{advance, sleep};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3_600);

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn far() -> Instant {
        Instant::now() + secs(1_000_000)
    }

    /// Tokens of a source that is told the number of each question, and the count of questions.
    fn tokens<R>(issue: impl Fn(usize) -> R + Send + Sync + 'static) -> (Tokens, Arc<AtomicUsize>)
    where
        R: Future<Output = Result<IssuedToken, &'static str>> + Send + 'static,
    {
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let source = Source::new(move || issue(count.fetch_add(1, Ordering::Relaxed) + 1));
        (Tokens::renewed(source), asked)
    }

    /// Tokens named by the number of their question, with this life, each had after this delay.
    fn numbered(lifetime: Duration, delay: Duration) -> (Tokens, Arc<AtomicUsize>) {
        tokens(move |number| async move {
            sleep(delay).await;
            Ok(IssuedToken::new(number.to_string()).expires_in(lifetime))
        })
    }

    fn count(asked: &AtomicUsize) -> usize {
        asked.load(Ordering::Relaxed)
    }

    /// The token's text, or what is wrong.
    async fn next(tokens: &Tokens) -> Result<String, String> {
        match tokens.bearer(far()).await {
            Ok(bearer) => Ok(bearer.token.0.to_string()),
            Err(fault) => Err(fault.message),
        }
    }

    fn token(text: &str) -> Result<String, String> {
        Ok(text.to_owned())
    }

    /// What so many calls get that come at the same time, and after how long.
    async fn crowd(tokens: &Tokens, calls: usize) -> Vec<(Result<String, String>, Duration)> {
        let start = Instant::now();
        let tasks: Vec<_> = (0..calls)
            .map(|_| {
                let tokens = tokens.clone();
                tokio::spawn(async move { (next(&tokens).await, start.elapsed()) })
            })
            .collect();
        let mut gotten = Vec::new();
        for task in tasks {
            gotten.push(task.await.expect("the call ends"));
        }
        gotten
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_renewed_a_quarter_of_its_life_but_at_most_five_minutes_ahead() {
        for (lifetime, renewed_after) in [
            (HOUR, secs(3_300)),
            (secs(1_200), secs(900)),
            (secs(40), secs(30)),
            (Duration::from_millis(40), Duration::from_millis(30)),
        ] {
            let (tokens, asked) = numbered(lifetime, Duration::ZERO);
            for _ in 0..10 {
                assert_eq!(next(&tokens).await, token("1"));
            }
            advance(renewed_after - Duration::from_millis(1)).await;
            assert_eq!(next(&tokens).await, token("1"), "{lifetime:?}");
            assert_eq!(count(&asked), 1);
            advance(Duration::from_millis(1)).await;
            assert_eq!(next(&tokens).await, token("2"), "{lifetime:?}");
            assert_eq!(next(&tokens).await, token("2"));
            assert_eq!(count(&asked), 2);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn one_call_renews_while_the_others_go_on_with_the_old_token() {
        let (tokens, asked) = numbered(HOUR, secs(3));
        assert_eq!(next(&tokens).await, token("1"));
        // Of its life, three seconds were over when it came.
        advance(secs(3_297)).await;
        let gotten = crowd(&tokens, 101).await;
        let old = gotten.iter().filter(|got| **got == (token("1"), secs(0)));
        let new = gotten.iter().filter(|got| **got == (token("2"), secs(3)));
        assert_eq!((old.count(), new.count()), (100, 1));
        assert_eq!(count(&asked), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn calls_without_a_token_make_one_question_and_share_its_answer() {
        let (tokens, asked) = numbered(secs(100), secs(2));
        assert!(
            crowd(&tokens, 100)
                .await
                .iter()
                .all(|got| *got == (token("1"), secs(2)))
        );
        assert_eq!(count(&asked), 1);
        // A twentieth of its life ahead of its end, which is counted from the question, it's taken
        // for expired.
        advance(secs(93)).await;
        assert!(
            crowd(&tokens, 100)
                .await
                .iter()
                .all(|got| *got == (token("2"), secs(2)))
        );
        assert_eq!(count(&asked), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_failure_is_shared_by_those_that_waited_and_the_next_call_asks_again() {
        let (tokens, asked) = tokens(|number| async move {
            sleep(secs(1)).await;
            match number {
                1 => Err("out of\norder"),
                _ => Ok(IssuedToken::new(number.to_string())),
            }
        });
        let failure = (Err("out of order".to_owned()), secs(1));
        assert!(crowd(&tokens, 100).await.iter().all(|got| *got == failure));
        assert_eq!(count(&asked), 1);
        assert!(
            crowd(&tokens, 100)
                .await
                .iter()
                .all(|got| *got == (token("2"), secs(1)))
        );
        assert_eq!(count(&asked), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_fails_leaves_the_old_token_and_is_tried_again_after_a_pause() {
        let (tokens, asked) = tokens(|number| async move {
            match number {
                1 | 4 => Ok(IssuedToken::new(number.to_string()).expires_in(HOUR)),
                _ => Err("out of order"),
            }
        });
        assert_eq!(next(&tokens).await, token("1"));
        advance(secs(3_300)).await;
        for questions in [2, 3] {
            assert!(
                crowd(&tokens, 100)
                    .await
                    .iter()
                    .all(|got| *got == (token("1"), secs(0)))
            );
            assert_eq!(count(&asked), questions);
            advance(Duration::from_millis(4_999)).await;
            assert_eq!(next(&tokens).await, token("1"));
            assert_eq!(count(&asked), questions);
            advance(Duration::from_millis(1)).await;
        }
        assert_eq!(next(&tokens).await, token("4"));
    }

    /// The first question is answered at once, with a token for an hour; the others never are.
    fn answering_once() -> (Tokens, Arc<AtomicUsize>) {
        tokens(|number| async move {
            if number > 1 {
                std::future::pending::<()>().await;
            }
            Ok(IssuedToken::new(number.to_string()).expires_in(HOUR))
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_hangs_is_given_up() {
        let (tokens, asked) = answering_once();
        assert_eq!(next(&tokens).await, token("1"));
        advance(secs(3_300)).await;
        let mut gotten = crowd(&tokens, 101).await;
        gotten.sort_by_key(|got| got.1);
        assert!(gotten.iter().all(|got| got.0 == token("1")));
        assert_eq!((gotten[99].1, gotten[100].1), (secs(0), secs(10)));
        advance(Duration::from_millis(4_999)).await;
        assert_eq!(crowd(&tokens, 1).await, [(token("1"), secs(0))]);
        assert_eq!(count(&asked), 2);
        advance(Duration::from_millis(1)).await;
        assert_eq!(crowd(&tokens, 1).await, [(token("1"), secs(10))]);
        assert_eq!(count(&asked), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_renewal_that_hangs_takes_a_call_half_of_its_time_at_most() {
        let (tokens, _) = answering_once();
        assert_eq!(next(&tokens).await, token("1"));
        advance(secs(3_300)).await;
        let start = Instant::now();
        let bearer = tokens.bearer(start + secs(4)).await;
        assert_eq!(&*bearer.expect("the old token").token.0, "1");
        assert_eq!(start.elapsed(), secs(2));
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_that_expires_during_its_renewal_is_not_used() {
        let (tokens, asked) = tokens(|number| async move {
            if number == 2 {
                sleep(secs(5)).await;
                return Err("out of order");
            }
            Ok(IssuedToken::new(number.to_string()).expires_in(secs(20)))
        });
        assert_eq!(next(&tokens).await, token("1"));
        advance(secs(15)).await;
        assert_eq!(crowd(&tokens, 1).await, [(token("3"), secs(5))]);
        assert_eq!(count(&asked), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_while_it_asks_lets_the_next_one_ask() {
        let (tokens, asked) = tokens(|number| async move {
            if number == 1 {
                std::future::pending::<()>().await;
            }
            Ok(IssuedToken::new(number.to_string()))
        });
        let first = tokio::time::timeout(secs(1), next(&tokens));
        let (first, others) = tokio::join!(first, crowd(&tokens, 100));
        first.expect_err("nobody answers it");
        assert!(
            others.iter().all(|got| *got == (token("2"), secs(1))),
            "{others:?}"
        );
        assert_eq!(count(&asked), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_while_it_renews_holds_up_no_other_for_a_while() {
        let (tokens, asked) = answering_once();
        assert_eq!(next(&tokens).await, token("1"));
        advance(secs(3_300)).await;
        for questions in [2, 3] {
            tokio::time::timeout(secs(1), next(&tokens))
                .await
                .expect_err("nobody answers it");
            advance(Duration::from_millis(3_999)).await;
            assert_eq!(crowd(&tokens, 1).await, [(token("1"), secs(0))]);
            assert_eq!(count(&asked), questions);
            advance(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_of_unknown_life_is_used_until_it_is_refused() {
        let (tokens, asked) = tokens(async |number| Ok(IssuedToken::new(number.to_string())));
        let first = tokens.bearer(far()).await.expect("a token");
        advance(HOUR * 24 * 365).await;
        assert_eq!(next(&tokens).await, token("1"));
        assert!(tokens.refuse(&first));
        assert_eq!(next(&tokens).await, token("2"));
        // Those that were refused with the old one as well don't take the new one away.
        assert!(tokens.refuse(&first));
        assert_eq!(next(&tokens).await, token("2"));
        assert_eq!(count(&asked), 2);
        // Nor does a call use the old one that had it before and left later.
        let newest = tokens.newest(Arc::clone(&first));
        assert_eq!(&*newest.token.0, "2");
        // One that was only just renewed for a refusal isn't renewed for the next.
        advance(secs(9)).await;
        assert!(!tokens.refuse(&newest));
        assert_eq!(next(&tokens).await, token("2"));
        advance(secs(1)).await;
        assert!(tokens.refuse(&newest));
        assert!(Arc::ptr_eq(&tokens.newest(Arc::clone(&first)), &first));
    }

    #[tokio::test]
    async fn a_given_token_stays_the_same_whoever_refuses_it() {
        let bearer = Arc::new(Bearer::new(Token::new("given")).expect("a right token"));
        let tokens = Tokens::Fixed(Arc::clone(&bearer));
        assert!(!tokens.refuse(&bearer));
        assert_eq!(next(&tokens).await, token("given"));
    }

    #[tokio::test(start_paused = true)]
    async fn any_life_will_do() {
        for lifetime in [secs(0), Duration::from_nanos(1), Duration::from_millis(1)] {
            let (tokens, asked) = numbered(lifetime, secs(1));
            for questions in [1, 2, 3] {
                // It's over when it comes. Each call uses it all the same, since any other would
                // be like it; but they don't line up to ask one by one.
                let number = token(&questions.to_string());
                let gotten = crowd(&tokens, 100).await;
                assert!(
                    gotten.iter().all(|got| *got == (number.clone(), secs(1))),
                    "{gotten:?}"
                );
                assert_eq!(count(&asked), questions);
            }
        }
        for lifetime in [secs(u64::MAX), Duration::MAX, secs(u64::MAX / 4)] {
            let (tokens, asked) = numbered(lifetime, secs(1));
            assert_eq!(next(&tokens).await, token("1"));
            advance(HOUR * 24 * 365).await;
            assert_eq!(next(&tokens).await, token("1"));
            assert_eq!(count(&asked), 1);
        }
    }

    #[tokio::test]
    async fn a_token_that_cannot_be_sent_is_a_lasting_fault_that_does_not_show_it() {
        for (text, fault) in [
            ("", "is empty"),
            ("Bearer 5ecret", "holds a space"),
            ("5ecret\r\nX-Admin: yes", "holds a space"),
            (
                "5ecret\n",
                "holds a line break or another character that a token can't have",
            ),
            (
                "5ecrét",
                "holds a line break or another character that a token can't have",
            ),
        ] {
            let (tokens, _) = tokens(move |_| async move { Ok(IssuedToken::new(text)) });
            let Err(found) = tokens.bearer(far()).await else {
                panic!("{text:?} is no token");
            };
            assert_eq!(found.message, format!("the token that was given {fault}"));
            assert!(!found.is_transient);
            assert!(
                !format!("{found} {found:?} {tokens:?}").contains("5ecr"),
                "{found:?}"
            );
        }
    }
}
