//! Where the generated operations meet the network: what is done to each request, how it's
//! executed, and what is remembered of the reply.
//!
//! The generated code gives no status or headers for a reply whose body it can't decode, and can't
//! pass an error of ours through. So [`exec`](ClientHooks::exec) reads the whole reply itself,
//! leaves it in the call's [`Inner`] and hands the generated code a copy to decode; the front then
//! makes the [`Error`](crate::Error) from what was left there. What happens around the exchange of
//! one request and its reply (retries, a new token, pacing) is the business of [`call`](crate::call),
//! which makes a request anew for each attempt.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use progenitor_client::{ClientHooks, ClientInfo, Error, OperationInfo, ResponseValue};
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, USER_AGENT};
use reqwest::{Body, Request, Response, StatusCode};
use serde::de::DeserializeOwned;

use crate::generated;

/// The longest reply that is read, in bytes. A page of 1,000 payments has a few megabytes; a reply
/// beyond this is a fault, and reading on would only fill the memory.
pub(crate) const MAX_REPLY_BYTES: usize = 64 * 1024 * 1024;

/// How much memory is set aside for a body at most, on no more evidence than its `Content-Length`.
const MAX_RESERVED_BYTES: usize = 1024 * 1024;

/// The state of one attempt, which the generated client carries through its hooks.
///
/// Each attempt has its own, so that what one leaves here can't be taken for another's.
#[derive(Clone, Debug)]
pub(crate) struct Inner {
    /// The value of the `Authorization` header, marked as sensitive.
    authorization: HeaderValue,
    user_agent: HeaderValue,
    /// From the request's start to the last byte of the reply, where the HTTP client's own limit
    /// isn't right.
    timeout: Option<Duration>,
    exchange: Arc<Mutex<Option<Exchange>>>,
}

/// A reply as it came, complete or not.
#[derive(Clone, Debug)]
pub(crate) struct Exchange {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// Whether reading stopped at [`MAX_REPLY_BYTES`].
    pub(crate) too_long: bool,
}

impl Inner {
    pub(crate) fn new(
        authorization: HeaderValue,
        user_agent: HeaderValue,
        timeout: Option<Duration>,
    ) -> Inner {
        Inner {
            authorization,
            user_agent,
            timeout,
            exchange: Arc::default(),
        }
    }

    /// What the attempt's reply was, as far as one arrived.
    pub(crate) fn take_exchange(&self) -> Option<Exchange> {
        self.exchange
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The body of the attempt's reply; empty where none arrived.
    fn body(&self) -> Bytes {
        let exchange = self.exchange.lock().unwrap_or_else(PoisonError::into_inner);
        exchange
            .as_ref()
            .map_or_else(Bytes::new, |exchange| exchange.body.clone())
    }

    fn put_exchange(&self, exchange: Exchange) {
        *self.exchange.lock().unwrap_or_else(PoisonError::into_inner) = Some(exchange);
    }
}

impl ClientHooks<Inner> for generated::Client {
    async fn pre<E>(&self, request: &mut Request, _: &OperationInfo) -> Result<(), Error<E>> {
        // A body that can't be cloned can't be sent twice: neither by a retry policy of the HTTP
        // client that the caller made, nor by a redirect that it follows. What is sent again is
        // decided in `call`, which makes a request anew.
        if let Some(body) = request.body_mut().take() {
            *request.body_mut() = Some(Body::wrap(body));
        }
        let inner = self.inner();
        let headers = request.headers_mut();
        headers.insert(AUTHORIZATION, inner.authorization.clone());
        headers.insert(USER_AGENT, inner.user_agent.clone());
        if let Some(timeout) = inner.timeout {
            *request.timeout_mut() = Some(timeout);
        }
        Ok(())
    }

    async fn exec(&self, request: Request, _: &OperationInfo) -> reqwest::Result<Response> {
        let mut response = self.client().execute(request).await?;
        let status = response.status();
        let headers = std::mem::take(response.headers_mut());
        let mut body = Vec::new();
        let end = read_body(&mut response, &mut body).await;
        self.inner().put_exchange(Exchange {
            status,
            headers,
            body: Bytes::from(body),
            too_long: matches!(end, Ok(End::TooLong)),
        });
        end?;
        Ok(response)
    }
}

impl generated::Client {
    /// Reads a reply from what [`exec`](ClientHooks::exec) left in the attempt's state. The generated
    /// code calls this in place of progenitor's own function.
    #[expect(
        clippy::result_large_err,
        reason = "it's the error of the generated code"
    )]
    pub(crate) fn decode<T: DeserializeOwned, E>(
        &self,
        response: Response,
    ) -> Result<ResponseValue<T>, Error<E>> {
        let body = self.inner().body();
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(ResponseValue::new(
                value,
                response.status(),
                HeaderMap::new(),
            )),
            Err(cause) => Err(Error::InvalidResponsePayload(body, cause)),
        }
    }
}

/// How the reading of a body ended.
enum End {
    Complete,
    TooLong,
}

/// Reads the body into `body`, which also holds what came before an error.
async fn read_body(response: &mut Response, body: &mut Vec<u8>) -> reqwest::Result<End> {
    let announced = response
        .content_length()
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(0);
    body.reserve(announced.min(MAX_RESERVED_BYTES));
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > MAX_REPLY_BYTES {
            return Ok(End::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(End::Complete)
}
