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

use reqwest::header::{ACCEPT, HeaderValue, USER_AGENT};
use reqwest::{StatusCode, Url};
use serde_json::Value;
use tokio::time::Instant;

use crate::error::one_line;

/// How long before its end a token is renewed: a quarter of its life, and this at most. Layer's
/// tokens live for an hour.
const MAX_RENEWAL_LEAD: Duration = Duration::from_secs(300);

/// How long before its end a token counts as expired, so that it doesn't expire on its way: a
/// twentieth of its life, and this at most.
const MAX_EXPIRY_LEAD: Duration = Duration::from_secs(10);

/// How long a renewal may hold up a call whose token is still good.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(10);

/// How long after a failed renewal the next one is tried, while the token in hand is still good.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

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

    /// What's wrong with the id or the secret, if anything.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let is_graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if self.id.is_empty() {
            Some("have an empty id")
        } else if !is_graphic(&self.id) || self.id.contains(':') {
            Some("have an id with a colon, a blank or another character that can't be sent")
        } else if self.secret.0.is_empty() {
            Some("have an empty secret")
        } else if !is_graphic(&self.secret.0) {
            Some("have a secret with a blank, a line break or another character that can't be sent")
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
            .field("token_url", &self.token_url)
            .finish()
    }
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
        } else if !token.0.bytes().all(|byte| byte.is_ascii_graphic()) {
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
            let kind = one_line(kind, SHOWN_CHARS);
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
                message.push_str(&format!(": {}", one_line(text, SHOWN_CHARS)));
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
        let message = format!("{} {message}", self.url);
        TokenFault {
            is_transient,
            // An authorization server may repeat what it was sent.
            ..TokenFault::lasting(self.credentials.secret.redact(message))
        }
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

    /// The token to send.
    pub(crate) async fn bearer(&self) -> Result<Arc<Bearer>, TokenFault> {
        match self {
            Tokens::Fixed(bearer) => Ok(Arc::clone(bearer)),
            Tokens::Renewed(renewed) => renewed.bearer().await,
        }
    }

    /// Takes note that the API refused a token. Tells whether another one can be had.
    pub(crate) fn refuse(&self, refused: &Arc<Bearer>) -> bool {
        match self {
            Tokens::Fixed(_) => false,
            Tokens::Renewed(renewed) => {
                let mut state = renewed.state();
                if state
                    .held
                    .as_ref()
                    .is_some_and(|held| Arc::ptr_eq(&held.bearer, refused))
                {
                    state.held = None;
                }
                true
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
    /// How often the source has answered, and its last answer if that was a failure.
    answers: u64,
    failure: Option<TokenFault>,
}

struct Held {
    bearer: Arc<Bearer>,
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

    async fn bearer(&self) -> Result<Arc<Bearer>, TokenFault> {
        match self.standing() {
            Standing::Good(bearer) => Ok(bearer),
            Standing::Due(bearer) => Ok(self.renew_ahead(bearer).await),
            Standing::None => {
                let answers = self.state().answers;
                let _asking = self.asking.lock().await;
                if let Standing::Good(bearer) | Standing::Due(bearer) = self.standing() {
                    return Ok(bearer);
                }
                {
                    // Whoever had to wait for another call's question takes its answer, so that a
                    // server in trouble isn't asked by each of a thousand calls in turn.
                    let state = self.state();
                    if state.answers != answers
                        && let Some(failure) = &state.failure
                    {
                        return Err(failure.clone());
                    }
                }
                self.ask().await
            }
        }
    }

    /// Renews a token that is still good, unless another call does so already. Where that fails the
    /// old one serves.
    async fn renew_ahead(&self, good: Arc<Bearer>) -> Arc<Bearer> {
        let Ok(_asking) = self.asking.try_lock() else {
            return good;
        };
        if let Standing::Good(bearer) = self.standing() {
            return bearer;
        }
        let fault = match tokio::time::timeout(RENEWAL_PATIENCE, self.ask()).await {
            Ok(Ok(bearer)) => return bearer,
            Ok(Err(fault)) => fault.message,
            Err(_) => format!("no answer within {RENEWAL_PATIENCE:?}"),
        };
        tracing::warn!(
            fault,
            "the access token couldn't be renewed ahead of its end"
        );
        if let Some(held) = &mut self.state().held {
            held.renew_at = Some(Instant::now() + RENEWAL_PAUSE);
        }
        good
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
                renew_at: ahead(MAX_RENEWAL_LEAD.min(lifetime / 4)),
                expires_at: ahead(MAX_EXPIRY_LEAD.min(lifetime / 20)),
                bearer: Arc::new(bearer),
            })
        });
        let mut state = self.state();
        state.answers += 1;
        match answer {
            Ok(held) => {
                let bearer = Arc::clone(&held.bearer);
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
