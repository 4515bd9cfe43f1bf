//! The one error of this crate: what was asked, what came back, whether a write may have taken
//! place, and whether asking again is any use.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use layer_payments_types::{ErrorDetail, Operation};
use reqwest::StatusCode;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::auth::{Token, TokenFault};
use crate::builder::Setting;
use crate::client::writes;
use crate::hooks::{Exchange, MAX_REPLY_BYTES};
use crate::reply::Headers;
use crate::retry::{self, Outcome, Reason, RetryPolicy, Subject};

/// The most of a reply's body that an [`Error`] keeps, in bytes.
pub const MAX_KEPT_BODY_BYTES: usize = 64 * 1024;

/// How much of a body that isn't Layer's envelope the error's line shows, in characters.
const SHOWN_BODY_CHARS: usize = 160;

/// How much of one of Layer's descriptions the error's line shows, in characters.
const SHOWN_DETAIL_CHARS: usize = 400;

/// How many of Layer's faults the error's line shows; [`Error::errors`] has them all.
const SHOWN_DETAILS: usize = 3;

/// Why a call failed, or why it wasn't made.
///
/// `Display` is one line that names the operation and says what Layer said;
/// [`source`](std::error::Error::source) leads to the causes underneath. Neither they nor `Debug`
/// show the token. Where there was a reply, its status, headers and body are kept, whatever they
/// look like: an HTML page of a proxy and a body cut short are kept like Layer's own errors.
pub struct Error(Box<Report>);

struct Report {
    kind: Kind,
    operation: Option<Operation>,
    /// What's wrong, as far as the kind, the reply and Layer's faults don't say it.
    message: Cow<'static, str>,
    reply: Option<FailedReply>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    sent: Sent,
    /// How much longer all calls have to wait, where that kept this one from being sent.
    paused_for: Option<Duration>,
}

/// What was sent, and how often.
#[derive(Default)]
struct Sent {
    attempts: u32,
    external_ids: Vec<String>,
    payment_id: Option<Uuid>,
    /// Whether each payment that was sent has an external id.
    has_external_ids: bool,
    past: Past,
    is_retryable: bool,
    /// Why it wasn't sent again.
    stopped: Option<Reason>,
}

/// What is known of a call's attempts together. What becomes of later ones doesn't change it.
#[derive(Clone, Copy, Default)]
pub(crate) struct Past {
    /// Whether any may have left.
    was_sent: bool,
    /// Whether any may have done its work all the same.
    may_have_happened: bool,
}

impl Past {
    /// Puts in an attempt that failed with this error.
    pub(crate) fn add(&mut self, error: &Error) {
        self.was_sent |= !error.was_not_sent();
        self.may_have_happened |= error.is_outcome_unknown();
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// The client can't be made. A setting of this name is missing or wrong, or else the HTTP
    /// library has no footing.
    Setting(Option<&'static str>),
    /// The call's own values can't be sent.
    Argument,
    /// The call's time passed before there was a place under the rate limit, or a token, for this
    /// attempt. It wasn't sent.
    Waited,
    /// No token could be had, so that the attempt wasn't sent.
    Token { is_transient: bool },
    /// No connection, so that nothing was sent.
    Connect { timeout: bool },
    /// The request may have been sent, but no complete reply came back. A part of one may be there.
    Lost { timeout: bool },
    /// A complete reply whose status isn't a success, or a success that holds Layer's errors.
    Refused,
    /// A success that can't be understood, perhaps because it ends too early.
    Unreadable { is_cut: bool },
    /// Pages that lead nowhere or round in circles.
    Paging,
}

/// What's kept of a reply.
struct FailedReply {
    status: StatusCode,
    headers: Headers,
    body: String,
    is_cut: bool,
    request_id: Option<String>,
    details: Vec<ErrorDetail>,
}

impl Error {
    pub(crate) fn setting_fault(setting: Setting, fault: &str) -> Error {
        let variable = setting
            .variable()
            .map(|name| format!(" (variable {name})"))
            .unwrap_or_default();
        let message = format!("the setting `{}`{variable} {fault}", setting.name());
        Error::new(Kind::Setting(Some(setting.name())), None, message)
    }

    /// The HTTP library couldn't be set up, say because the machine has no usable root
    /// certificates.
    pub(crate) fn set_up(source: reqwest::Error) -> Error {
        Error::new(Kind::Setting(None), None, "the HTTP client can't be set up").with_source(source)
    }

    pub(crate) fn argument(operation: Operation, message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Kind::Argument, Some(operation), message)
    }

    /// The call's time would pass before its place under the rate limit. `paused_for` tells how much
    /// longer the API has asked all calls to wait, if it has.
    pub(crate) fn no_place(
        operation: Operation,
        timeout: Duration,
        paused_for: Option<Duration>,
    ) -> Error {
        let reason = match paused_for {
            Some(left) => format!("the API has asked to wait for {left:.1?} yet"),
            None => "too many calls share the limiter".to_owned(),
        };
        let message = format!("no place under the rate limit within {timeout:?}: {reason}");
        let mut error = Error::new(Kind::Waited, Some(operation), message);
        error.0.paused_for = paused_for;
        error
    }

    /// The call's time passed before there was a token.
    pub(crate) fn token_too_late(operation: Operation, timeout: Duration) -> Error {
        let message = format!("no access token within {timeout:?}");
        Error::new(Kind::Waited, Some(operation), message)
    }

    pub(crate) fn no_token(operation: Operation, fault: TokenFault) -> Error {
        let is_transient = fault.is_transient;
        let message = format!("no access token: {}", fault.message);
        Error::new(Kind::Token { is_transient }, Some(operation), message).with_source(fault)
    }

    pub(crate) fn paging(operation: Operation, message: impl Into<Cow<'static, str>>) -> Error {
        Error::new(Kind::Paging, Some(operation), message)
    }

    /// The exchange with the server broke. `exchange` is the part of the reply that arrived, if
    /// any.
    pub(crate) fn transport(
        operation: Operation,
        source: reqwest::Error,
        exchange: Option<Exchange>,
        limits: &Limits<'_>,
    ) -> Error {
        let timeout = source.is_timeout();
        let (kind, message) = if source.is_connect() {
            let limit = match limits.connect_timeout {
                Some(limit) if timeout => format!(" within {limit:?}"),
                None if timeout => " in time".to_owned(),
                _ => String::new(),
            };
            (
                Kind::Connect { timeout },
                format!("can't connect to {}{limit}", limits.base_url),
            )
        } else if source.is_builder() {
            (Kind::Argument, "the request can't be built".to_owned())
        } else if timeout {
            (
                Kind::Lost { timeout },
                format!("no complete reply within {:?}", limits.timeout),
            )
        } else if exchange.is_some() {
            (Kind::Lost { timeout }, "the reply was cut short".to_owned())
        } else {
            (
                Kind::Lost { timeout },
                "the connection broke before there was a reply".to_owned(),
            )
        };
        let reply = exchange.map(|exchange| FailedReply::new(exchange, limits.token));
        Error::new(kind, Some(operation), message)
            .with_reply(reply)
            .with_source(source)
    }

    /// A reply came that isn't the one asked for: any status but a success, or a success that
    /// `cause` says can't be decoded.
    pub(crate) fn reply(
        operation: Operation,
        exchange: Exchange,
        cause: Option<serde_json::Error>,
        token: &Token,
    ) -> Error {
        let too_long = exchange.too_long;
        let reply = FailedReply::new(exchange, token);
        let error = if !reply.status.is_success() || !reply.details.is_empty() {
            // That a proxy's page isn't JSON explains nothing, so the cause is left out.
            Error::new(Kind::Refused, Some(operation), "")
        } else if too_long {
            Error::new(
                Kind::Unreadable { is_cut: false },
                Some(operation),
                format!("the reply is longer than {MAX_REPLY_BYTES} bytes"),
            )
        } else if let Some(cause) = cause {
            Error::new(
                Kind::Unreadable {
                    is_cut: cause.is_eof(),
                },
                Some(operation),
                "the reply can't be read as this operation's",
            )
            .with_source(cause)
        } else {
            Error::new(
                Kind::Unreadable { is_cut: false },
                Some(operation),
                "the operation has no reply with this status",
            )
        };
        error.with_reply(Some(reply))
    }

    fn new(
        kind: Kind,
        operation: Option<Operation>,
        message: impl Into<Cow<'static, str>>,
    ) -> Error {
        Error(Box::new(Report {
            kind,
            operation,
            message: message.into(),
            reply: None,
            source: None,
            sent: Sent::default(),
            paused_for: None,
        }))
    }

    fn with_reply(mut self, reply: Option<FailedReply>) -> Error {
        self.0.reply = reply;
        self
    }

    fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    /// Puts in what was sent.
    pub(crate) fn about(mut self, external_ids: Vec<String>, payment_id: Option<Uuid>) -> Error {
        self.0.sent.external_ids = external_ids;
        self.0.sent.payment_id = payment_id;
        self
    }

    /// Puts in how often it was sent, and what follows from that.
    pub(crate) fn after(
        mut self,
        attempts: u32,
        past: Past,
        subject: Subject,
        policy: &RetryPolicy,
    ) -> Error {
        let is_transient = retry::is_transient(self.outcome()) || self.0.kind == Kind::Waited;
        let is_safe = !past.may_have_happened || retry::is_repeatable(policy, subject);
        let sent = &mut self.0.sent;
        sent.attempts = attempts;
        sent.past = past;
        sent.has_external_ids = subject.has_external_ids;
        sent.is_retryable = is_transient && is_safe;
        self
    }

    /// Puts in why it isn't sent again.
    pub(crate) fn stopped(mut self, reason: Reason) -> Error {
        self.0.sent.stopped = Some(reason);
        self
    }

    /// What became of the attempt, for the decision whether to make another.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.0.kind {
            Kind::Connect { .. } => Outcome::NotConnected,
            Kind::Lost { .. } | Kind::Unreadable { is_cut: true } => Outcome::Lost,
            Kind::Token { is_transient } => Outcome::NoToken { is_transient },
            Kind::Refused => self.status().map_or(Outcome::Lasting, Outcome::Status),
            Kind::Unreadable { is_cut: false } => {
                let kind = self
                    .headers()
                    .and_then(|headers| headers.get("content-type"));
                let is_page = |kind: &str| {
                    let start = kind.trim_start().get(..9);
                    start.is_some_and(|start| start.eq_ignore_ascii_case("text/html"))
                };
                if kind.is_some_and(is_page) {
                    Outcome::Page
                } else {
                    Outcome::Lasting
                }
            }
            Kind::Setting(_) | Kind::Argument | Kind::Waited | Kind::Paging => Outcome::Lasting,
        }
    }

    /// The operation that was called; `None` for a wrong setting.
    pub fn operation(&self) -> Option<Operation> {
        self.0.operation
    }

    /// The name of the setting that's missing or wrong, as the builder's method is called.
    pub fn setting(&self) -> Option<&'static str> {
        match self.0.kind {
            Kind::Setting(name) => name,
            _ => None,
        }
    }

    /// How many attempts the call made; 0 where it was never begun, as for a wrong setting.
    pub fn attempts(&self) -> u32 {
        self.0.sent.attempts
    }

    /// The external ids of the payments that a record or bulk was to create, in their order. Those
    /// without one aren't there.
    pub fn external_ids(&self) -> &[String] {
        &self.0.sent.external_ids
    }

    /// The payment that an update was to change.
    pub fn payment_id(&self) -> Option<Uuid> {
        self.0.sent.payment_id
    }

    /// The reply's HTTP status, also where its body is no use or wasn't complete. A success is
    /// possible: then the body couldn't be read.
    pub fn status(&self) -> Option<u16> {
        self.0.reply.as_ref().map(|reply| reply.status.as_u16())
    }

    /// The reply's headers.
    pub fn headers(&self) -> Option<&Headers> {
        self.0.reply.as_ref().map(|reply| &reply.headers)
    }

    /// The reply's body as text, as far as it arrived and at most [`MAX_KEPT_BODY_BYTES`]. What
    /// isn't UTF-8 is replaced.
    pub fn body(&self) -> Option<&str> {
        self.0.reply.as_ref().map(|reply| reply.body.as_str())
    }

    /// Whether the server sent more than [`Error::body`] keeps.
    pub fn is_body_cut(&self) -> bool {
        self.0.reply.as_ref().is_some_and(|reply| reply.is_cut)
    }

    /// The faults that Layer named, in its order; none where the body isn't Layer's error envelope.
    /// Where Layer left out `type` or `description`, it's an empty text.
    pub fn errors(&self) -> &[ErrorDetail] {
        self.0
            .reply
            .as_ref()
            .map(|reply| reply.details.as_slice())
            .unwrap_or_default()
    }

    /// What names this request in the server's log, from `X-Request-Id` or the error envelope.
    pub fn request_id(&self) -> Option<&str> {
        self.0
            .reply
            .as_ref()
            .and_then(|reply| reply.request_id.as_deref())
    }

    /// How long the server asks to wait; see [`Headers::retry_after`]. Also where it asked another
    /// call, and this one wasn't sent for it.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.paused_for.or_else(|| self.headers()?.retry_after())
    }

    /// Whether the client couldn't be made: [`Error::setting`] is missing or wrong or, where that
    /// is `None`, the machine has nothing to set TLS up with.
    pub fn is_setting(&self) -> bool {
        matches!(self.0.kind, Kind::Setting(_))
    }

    /// Whether the call's own values couldn't be sent, such as a reference number with a comma.
    /// Nothing was sent.
    pub fn is_argument(&self) -> bool {
        self.0.kind == Kind::Argument
    }

    /// Whether the same call may succeed if it's made again later, and does no harm then: what went
    /// wrong may pass, and either nothing has taken place or the call can be repeated
    /// ([`RetryPolicy`](crate::RetryPolicy) says which can). The client has already repeated what
    /// its policy allows; this is for those who have more time.
    pub fn is_retryable(&self) -> bool {
        self.0.sent.is_retryable
    }

    /// Whether no access token could be had, from an authorization server or another source.
    /// Nothing was sent, at least not by the last attempt: one before it may have been refused (401)
    /// for its token.
    pub fn is_token(&self) -> bool {
        matches!(self.0.kind, Kind::Token { .. })
    }

    /// Whether there was no connection. Nothing was sent, at least not by the last attempt.
    pub fn is_connect(&self) -> bool {
        matches!(self.0.kind, Kind::Connect { .. })
    }

    /// Whether a time limit of this client passed: that of connecting, of an attempt, or of the
    /// whole call. A server's own 408 or 504 isn't meant.
    pub fn is_timeout(&self) -> bool {
        matches!(
            self.0.kind,
            Kind::Connect { timeout: true } | Kind::Lost { timeout: true } | Kind::Waited
        )
    }

    /// Whether a success came back that this client can't read.
    pub fn is_decode(&self) -> bool {
        matches!(self.0.kind, Kind::Unreadable { .. })
    }

    /// Whether the list's pages lead nowhere or round in circles, so that the payments after it are
    /// out of reach.
    pub fn is_paging(&self) -> bool {
        self.0.kind == Kind::Paging
    }

    /// Whether the request broke a rule (400). Nothing was changed.
    pub fn is_bad_request(&self) -> bool {
        self.status() == Some(400)
    }

    /// Whether the token is missing, unknown or expired, or not good for this business (401).
    pub fn is_unauthorized(&self) -> bool {
        self.status() == Some(401)
    }

    /// Whether the business or the payment doesn't exist (404).
    pub fn is_not_found(&self) -> bool {
        self.status() == Some(404)
    }

    /// Whether the rate limit is used up (429). [`Error::retry_after`] tells how long to wait.
    pub fn is_rate_limited(&self) -> bool {
        self.status() == Some(429)
    }

    /// Whether the server, or a proxy before it, failed (any 5xx).
    pub fn is_server_error(&self) -> bool {
        self.status().is_some_and(|status| status >= 500)
    }

    /// Whether a write may have taken place although this call failed.
    ///
    /// True for a record, bulk or update of which any attempt's reply was lost or can't be read, or
    /// failed with 408 or a 5xx: Layer says of neither that nothing was changed. Where each payment
    /// has an `external_id`, sending the same again is safe and tells what is there; otherwise look
    /// first, with [`Client::list`](crate::Client::list). The error's line says so, too.
    pub fn is_outcome_unknown(&self) -> bool {
        if !self.0.operation.is_some_and(writes) {
            return false;
        }
        self.0.sent.past.may_have_happened || self.leaves_the_outcome_open()
    }

    /// Whether what the last attempt came to leaves open what it did.
    fn leaves_the_outcome_open(&self) -> bool {
        let refused_for_sure = |status: StatusCode| {
            status.is_redirection()
                // 499 is what a proxy notes when its own client gave up; the API may have gone on.
                || (status.is_client_error() && !matches!(status.as_u16(), 408 | 499))
        };
        match self.0.kind {
            Kind::Setting(_)
            | Kind::Argument
            | Kind::Waited
            | Kind::Token { .. }
            | Kind::Connect { .. }
            | Kind::Paging => false,
            Kind::Lost { .. } | Kind::Refused | Kind::Unreadable { .. } => !self
                .0
                .reply
                .as_ref()
                .is_some_and(|reply| refused_for_sure(reply.status)),
        }
    }

    /// Whether the last attempt certainly never left, which is worth saying of those alone.
    fn was_not_sent(&self) -> bool {
        match self.0.kind {
            Kind::Connect { .. } | Kind::Waited | Kind::Token { .. } => true,
            // Only what the HTTP library refuses to build has a source; other arguments' messages
            // say what to do about them.
            Kind::Argument => self.0.source.is_some(),
            _ => false,
        }
    }

    /// Says that the outcome is unknown, and how to find out.
    fn tell_the_unknown(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = &self.0.sent;
        f.write_str(if self.leaves_the_outcome_open() {
            "; whether the write took place is unknown: "
        } else {
            "; an earlier attempt may have taken place: "
        })?;
        match (self.0.operation, sent.external_ids.as_slice()) {
            (Some(Operation::UpdateInvoicePayment), _) => f.write_str(
                "look at the payment in a list, or send the same again, which leaves the same",
            ),
            (_, [id]) if sent.has_external_ids => write!(
                f,
                "list with the external_id {:?} to see, or send the same again, which the \
                 external_id makes safe",
                one_line(id, SHOWN_BODY_CHARS)
            ),
            (_, [_, ..]) if sent.has_external_ids => {
                f.write_str("list to see, or send the same again, which the external_ids make safe")
            }
            _ => f.write_str(
                "list and look before sending again, since a payment without an external_id would \
                 be recorded twice",
            ),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            operation,
            message,
            reply,
            ..
        } = &*self.0;
        if let Some(operation) = operation {
            write!(f, "{}: ", operation.id())?;
        }
        if let Some(reply) = reply {
            write!(f, "HTTP {}", reply.status.as_u16())?;
            if let Some(reason) = reply.status.canonical_reason() {
                write!(f, " {reason}")?;
            }
            if !message.is_empty() {
                write!(f, ", but {message}")?;
            }
            reply.describe(f)?;
        } else {
            f.write_str(message)?;
        }
        if self.attempts() > 1 {
            write!(f, " (after {} attempts)", self.attempts())?;
        }
        match self.0.sent.stopped {
            Some(Reason::Budget) => {
                f.write_str("; not sent again, since the budget of retries is used up")?;
            }
            Some(Reason::Time) => {
                f.write_str("; not sent again, since the call's time would be over")?;
            }
            Some(Reason::Lasting | Reason::NotRepeatable | Reason::Attempts) | None => {}
        }
        if self.is_outcome_unknown() {
            self.tell_the_unknown(f)?;
        } else if self.was_not_sent() && !self.0.sent.past.was_sent {
            f.write_str("; nothing was sent")?;
        }
        if let Some(id) = self.request_id() {
            write!(f, " [request {}]", one_line(id, SHOWN_BODY_CHARS))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug
            .field("kind", &self.0.kind)
            .field("line", &self.to_string())
            .field("external_ids", &self.0.sent.external_ids)
            .field("payment_id", &self.0.sent.payment_id);
        if let Some(reply) = &self.0.reply {
            debug
                .field("headers", &reply.headers)
                .field("body", &one_line(&reply.body, SHOWN_DETAIL_CHARS))
                .field("is_body_cut", &reply.is_cut);
        }
        debug.field("source", &self.0.source).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|source| source as &(dyn StdError + 'static))
    }
}

/// What the message of a broken exchange tells about the attempt.
pub(crate) struct Limits<'a> {
    pub(crate) base_url: &'a str,
    pub(crate) timeout: Duration,
    /// None where it's the matter of an HTTP client that the caller made.
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) token: &'a Token,
}

impl FailedReply {
    fn new(exchange: Exchange, token: &Token) -> FailedReply {
        let Exchange {
            status,
            headers,
            body,
            too_long,
        } = exchange;
        let headers = Headers::new(headers, token);
        let mut body = token.redact(String::from_utf8_lossy(&body).into_owned());
        // The faults are read from the whole body: those of a bulk request can be longer than what
        // is kept of it.
        let (details, id_in_body) = layers_faults(&body);
        let request_id = headers.request_id().map(str::to_owned).or(id_in_body);
        let is_cut = too_long || body.len() > MAX_KEPT_BODY_BYTES;
        body.truncate(body.floor_char_boundary(MAX_KEPT_BODY_BYTES));
        body.shrink_to_fit();
        FailedReply {
            status,
            headers,
            body,
            is_cut,
            request_id,
            details,
        }
    }

    /// Writes what the body says: Layer's faults, or else how the body begins.
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, detail) in self.details.iter().take(SHOWN_DETAILS).enumerate() {
            f.write_str(if index == 0 { ": " } else { "; " })?;
            describe_fault(detail, f)?;
        }
        if self.details.len() > SHOWN_DETAILS {
            return write!(f, "; and {} more", self.details.len() - SHOWN_DETAILS);
        }
        if self.details.is_empty() {
            let kind = self
                .headers
                .get("content-type")
                .map(|kind| format!(" ({})", one_line(kind, 80)));
            let kind = kind.unwrap_or_default();
            match one_line(&self.body, SHOWN_BODY_CHARS) {
                start if start.is_empty() => write!(f, " with an empty body{kind}")?,
                start => write!(f, " with the body{kind} {start}")?,
            }
        }
        Ok(())
    }
}

fn describe_fault(detail: &ErrorDetail, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let name = detail
        .error_enum
        .as_option()
        .map(String::as_str)
        .unwrap_or(&detail.type_);
    let said = match (detail.description.trim(), name.trim()) {
        ("", "") => "a fault without a description",
        ("", name) => name,
        (description, _) => description,
    };
    f.write_str(&one_line(said, SHOWN_DETAIL_CHARS))?;
    let pointer = detail
        .meta
        .as_option()
        .and_then(|meta| meta.pointer.as_option());
    if let Some(pointer) = pointer.filter(|pointer| !pointer.is_empty()) {
        write!(f, " (at {})", one_line(pointer, SHOWN_BODY_CHARS))?;
    }
    Ok(())
}

/// Reads Layer's error envelope with patience: the documentation's generations differ in what a
/// fault holds, and whatever can be read of one is worth more than none. Gives the faults and the
/// request id that the envelope names.
fn layers_faults(body: &str) -> (Vec<ErrorDetail>, Option<String>) {
    let Ok(Value::Object(envelope)) = serde_json::from_str(body) else {
        return (Vec::new(), None);
    };
    let request_id = envelope
        .get("meta")
        .and_then(|meta| meta.get("request_id"))
        .and_then(Value::as_str);
    let request_id = request_id.map(str::to_owned);
    let faults = match envelope.get("errors") {
        Some(Value::Array(faults)) => faults.iter().filter_map(fault).collect(),
        _ => Vec::new(),
    };
    (faults, request_id)
}

/// One fault, with an empty text for a `type` or `description` that's missing.
fn fault(value: &Value) -> Option<ErrorDetail> {
    let object = match value {
        Value::Object(object) => object,
        Value::String(text) => {
            return serde_json::from_value(json!({"type": "", "description": text})).ok();
        }
        _ => return None,
    };
    let text =
        |name: &str| Value::from(object.get(name).and_then(Value::as_str).unwrap_or_default());
    let mut whole = object.clone();
    for name in ["type", "description"] {
        whole.insert(name.to_owned(), text(name));
    }
    serde_json::from_value(Value::Object(whole))
        .ok()
        .or_else(|| {
            // Some other property isn't of the documented type: the text is what counts.
            let least: Map<String, Value> = ["type", "description"]
                .into_iter()
                .map(|name| (name.to_owned(), text(name)))
                .collect();
            serde_json::from_value(Value::Object(least)).ok()
        })
}

/// Text from outside as part of one line: white space and control characters become single spaces,
/// and what is longer than `limit` characters is cut.
pub(crate) fn one_line(text: &str, limit: usize) -> String {
    let mut line = String::new();
    let mut length = 0;
    for word in text
        .split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
    {
        if !line.is_empty() {
            line.push(' ');
            length += 1;
        }
        for character in word.chars() {
            if length >= limit {
                line.push('…');
                return line;
            }
            line.push(character);
            length += 1;
        }
    }
    line
}
