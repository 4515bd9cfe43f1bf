//! What comes back: a success with its status and headers.

use std::ops::Deref;
use std::time::{Duration, SystemTime};

use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER, SET_COOKIE};

use crate::auth::Token;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

/// A success: what the API answered, with the reply's status and headers. It derefs to the answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply<T> {
    pub(crate) status: u16,
    pub(crate) headers: Headers,
    pub(crate) attempts: u32,
    /// Boxed, since an answer is large and is handed on several times on its way.
    pub(crate) value: Box<T>,
}

impl<T> Reply<T> {
    /// The HTTP status. For a record, 201 means that the payment is new, 200 that it was there;
    /// after more than one [attempt](Reply::attempts) an earlier one may have brought it there.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reply's headers.
    pub fn headers(&self) -> &Headers {
        &self.headers
    }

    /// What names this request in the server's log, from `X-Request-Id`.
    pub fn request_id(&self) -> Option<&str> {
        self.headers.request_id()
    }

    /// How many requests it took: 1 unless something was sent again.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// The answer alone.
    pub fn into_inner(self) -> T {
        *self.value
    }
}

impl<T> Deref for Reply<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

/// The headers of a reply, less those that can hold a secret (`Set-Cookie`, and any that repeats
/// the token).
#[derive(Clone, Debug, PartialEq)]
pub struct Headers(HeaderMap);

impl Headers {
    pub(crate) fn new(mut headers: HeaderMap, token: &Token) -> Headers {
        headers.remove(SET_COOKIE);
        while let Some(name) = headers
            .iter()
            .find(|(_, value)| token.is_in(value.as_bytes()))
            .map(|(name, _)| name.clone())
        {
            headers.remove(name);
        }
        Headers(headers)
    }

    /// The first value of a header. Upper and lower case of the name are the same; a value that
    /// isn't visible ASCII is left out.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    /// The same for a name that needn't be read first.
    fn text(&self, name: HeaderName) -> Option<&str> {
        self.0.get(name)?.to_str().ok()
    }

    /// All headers with their values, the names in lower case.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?)))
    }

    /// `X-Request-Id`: what names the request in the server's log. This project's server sends it.
    pub fn request_id(&self) -> Option<&str> {
        self.text(REQUEST_ID)
    }

    /// `Retry-After`: how long the server asks to wait, given in seconds (the form that Layer
    /// documents) or as a date (the other one of RFC 9110), which is compared with the reply's own
    /// `Date`, or else with this machine's clock. A date that has passed is no wait.
    pub fn retry_after(&self) -> Option<Duration> {
        // The clock is asked only if there is something to compare it with.
        self.text(RETRY_AFTER)?;
        self.retry_after_at(SystemTime::now())
    }

    pub(crate) fn retry_after_at(&self, now: SystemTime) -> Option<Duration> {
        let text = self.text(RETRY_AFTER)?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let end = httpdate::parse_http_date(text).ok()?;
        let now = self.date().unwrap_or(now);
        Some(end.duration_since(now).unwrap_or_default())
    }

    /// When the server says that it answered.
    fn date(&self) -> Option<SystemTime> {
        httpdate::parse_http_date(self.text(DATE)?.trim()).ok()
    }

    /// How long the bucket stays empty, if this reply took the last request token from it.
    pub(crate) fn bucket_is_empty_for(&self) -> Option<Duration> {
        if self.rate_limit_remaining()? > 0 {
            return None;
        }
        let now = self.date().unwrap_or_else(SystemTime::now);
        let since_1970 = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        Duration::from_secs(self.rate_limit_reset()?).checked_sub(since_1970)
    }

    /// `X-RateLimit-Limit`: the capacity of the token bucket, in request tokens.
    pub fn rate_limit(&self) -> Option<u64> {
        self.text(LIMIT)?.trim().parse().ok()
    }

    /// `X-RateLimit-Remaining`: the request tokens that are left.
    pub fn rate_limit_remaining(&self) -> Option<u64> {
        self.text(REMAINING)?.trim().parse().ok()
    }

    /// `X-RateLimit-Reset`: when the bucket is refilled, in seconds since 1970-01-01T00:00:00Z.
    pub fn rate_limit_reset(&self) -> Option<u64> {
        self.text(RESET)?.trim().parse().ok()
    }
}
