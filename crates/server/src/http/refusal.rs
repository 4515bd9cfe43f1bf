//! Replies that aren't a success, as values.
//!
//! A handler gives a [`Refusal`]; [`outer::answer`](super::outer::answer) writes it into the envelope, once for all of
//! them, with the id of the request.

use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use layer_payments_types::{ErrorDetail, ErrorDetailMeta, ErrorMeta, ErrorReply, Field};
use layer_payments_validation::Violation;
use serde_json::{Map, json};
use uuid::Uuid;

use crate::domain::resolve;
use crate::store;
use crate::text::shortened;

/// A reply that isn't a success: its status and one or more faults.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    status: StatusCode,
    faults: Vec<Fault>,
    /// What is only for the log.
    cause: Option<Arc<dyn StdError + Send + Sync>>,
    /// For a 401: whether a token was sent at all.
    token_sent: bool,
    /// The code of RFC 6749, for a reply in the form of that standard instead of the envelope.
    oauth: Option<&'static str>,
    /// The seconds of `Retry-After`, where repeating the request helps.
    retry_after: Option<u64>,
}

/// The code of a body that finds no room.
const NO_ROOM: &str = "no-room";

/// The cause of a failure that somebody asked for.
#[derive(Debug, thiserror::Error)]
#[error("a fault on demand: {0}")]
struct OnDemand(String);

/// One thing that is wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// A JSON Pointer into the body, or `?name` for a query parameter.
    pub(super) pointer: Option<String>,
    /// A stable code in kebab-case.
    pub(super) code: Option<&'static str>,
    /// What is wrong and what would be right, for people.
    pub(super) description: String,
}

impl Refusal {
    fn new(status: StatusCode, code: Option<&'static str>, description: String) -> Refusal {
        Refusal {
            status,
            faults: vec![Fault {
                pointer: None,
                code,
                description,
            }],
            cause: None,
            token_sent: false,
            oauth: None,
            retry_after: None,
        }
    }

    /// 400, each fault on its own, up to a number that a reply of reasonable size can hold.
    pub(super) fn bad_request(mut faults: Vec<Fault>) -> Refusal {
        const MOST: usize = 100;
        if faults.len() > MOST {
            let more = faults.len() - MOST;
            faults.truncate(MOST);
            faults.push(Fault {
                pointer: None,
                code: Some("more-faults"),
                description: format!(
                    "{more} more faults are not listed; mend these and send it again."
                ),
            });
        }
        Refusal {
            status: StatusCode::BAD_REQUEST,
            faults,
            cause: None,
            token_sent: false,
            oauth: None,
            retry_after: None,
        }
    }

    /// 400 for one fault of the whole request.
    pub(super) fn malformed(code: &'static str, description: String) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, Some(code), description)
    }

    /// What can't be read as a request at all.
    pub(super) fn unreadable(
        status: StatusCode,
        code: &'static str,
        description: String,
    ) -> Refusal {
        Refusal::new(status, Some(code), description)
    }

    /// 401. `token_sent` tells a wrong token from a missing one.
    pub(super) fn unauthorized(token_sent: bool, description: &str) -> Refusal {
        Refusal {
            token_sent,
            ..Refusal::new(StatusCode::UNAUTHORIZED, None, description.to_owned())
        }
    }

    /// An error of the token endpoint: 401 where the client isn't known, else 400.
    pub(super) fn oauth(error: &'static str, description: &str) -> Refusal {
        let status = match error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            _ => StatusCode::BAD_REQUEST,
        };
        Refusal {
            oauth: Some(error),
            ..Refusal::new(status, None, description.to_owned())
        }
    }

    /// The same refusal in the form of the token endpoint, which has only this code for what is wrong with a request.
    pub(super) fn into_oauth(mut self) -> Refusal {
        self.oauth = Some("invalid_request");
        self
    }

    /// 404 for a path that no operation has.
    pub(super) fn unknown_route(uri: &Uri) -> Refusal {
        // The target of a CONNECT has no path.
        let target = match uri.path() {
            "" => uri.to_string(),
            path => path.to_owned(),
        };
        Refusal::new(
            StatusCode::NOT_FOUND,
            Some("route-unknown"),
            format!("There is nothing at {}.", shortened(&target)),
        )
    }

    /// 405.
    pub(super) fn wrong_method(path: &str) -> Refusal {
        Refusal::new(
            StatusCode::METHOD_NOT_ALLOWED,
            Some("method-not-allowed"),
            format!(
                "The method isn't one of {}; the `Allow` header lists its methods.",
                shortened(path)
            ),
        )
    }

    /// 404 for a payment that the business doesn't have.
    pub(super) fn no_payment(id: Uuid) -> Refusal {
        Refusal::new(
            StatusCode::NOT_FOUND,
            Some("payment-unknown"),
            format!("There is no payment {id} in this business."),
        )
    }

    /// 404 for an invoice that the business doesn't have.
    pub(super) fn no_invoice(id: Uuid) -> Refusal {
        Refusal::new(
            StatusCode::NOT_FOUND,
            Some("invoice-unknown"),
            format!("There is no invoice {id} in this business."),
        )
    }

    /// 404 for a business that isn't there.
    fn no_business(id: Uuid) -> Refusal {
        Refusal::new(
            StatusCode::NOT_FOUND,
            Some("business-unknown"),
            format!("There is no business {id}."),
        )
    }

    /// 408.
    pub(super) fn too_slow(limit: Duration) -> Refusal {
        Refusal::new(
            StatusCode::REQUEST_TIMEOUT,
            Some("body-timeout"),
            format!(
                "The body didn't arrive within the {limit:?} that this server waits for one; send it again, or fewer \
                 payments in a request."
            ),
        )
    }

    /// 413.
    pub(super) fn too_large(limit: usize) -> Refusal {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Some("body-too-large"),
            format!(
                "The body is larger than the {limit} bytes that this server takes; send fewer payments in a request."
            ),
        )
    }

    /// 415.
    pub(super) fn media_type(description: String) -> Refusal {
        Refusal::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Some("media-type-unsupported"),
            description,
        )
    }

    /// 429, until the rate limit's next refill.
    pub(super) fn rate_limited() -> Refusal {
        Refusal {
            // The bucket is filled up every second, and a header can't say less.
            retry_after: Some(1),
            ..Refusal::new(
                StatusCode::TOO_MANY_REQUESTS,
                Some("rate-limit-exceeded"),
                "The rate limit is used up; repeat the request in 1 second.".to_owned(),
            )
        }
    }

    /// What a fault on demand answers. The log tells it from a failure.
    pub(super) fn fault(status: StatusCode, retry_after: Option<u64>, fault: &str) -> Refusal {
        Refusal {
            cause: Some(Arc::new(OnDemand(fault.to_owned()))),
            retry_after,
            ..Refusal::new(
                status,
                Some("fault-on-demand"),
                format!("A fault on demand ({fault}); nothing was read or written."),
            )
        }
    }

    /// 500 for a panic, whose text only the log gets.
    pub(super) fn panicked(text: String) -> Refusal {
        Refusal::internal(store::Error::Panicked(text))
    }

    fn internal(cause: store::Error) -> Refusal {
        Refusal {
            cause: Some(Arc::new(cause)),
            ..Refusal::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                None,
                "The server failed to handle the request. What it was to write may or may not have been written; \
                 repeat it with the same external ids."
                    .to_owned(),
            )
        }
    }

    pub(super) fn unavailable(cause: store::Error) -> Refusal {
        Refusal {
            cause: Some(Arc::new(cause)),
            retry_after: Some(1),
            ..Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                None,
                "The server can't handle the request now; repeat it in 1 second.".to_owned(),
            )
        }
    }

    /// 503 for a body that finds no room beside those of the other requests.
    pub(super) fn no_room() -> Refusal {
        Refusal {
            retry_after: Some(1),
            ..Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                Some(NO_ROOM),
                "The server has no room for the body beside those of other requests; repeat it in 1 second, or send \
                 fewer payments in a request."
                    .to_owned(),
            )
        }
    }

    /// The status of the reply.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// Whether it is [`Refusal::no_room`], which is no failure of the server: its clients send too much at once.
    pub(super) fn is_for_room(&self) -> bool {
        matches!(&self.faults[..], [fault] if fault.code == Some(NO_ROOM))
    }

    /// What went wrong inside, for the log alone.
    pub(super) fn cause(&self) -> Option<&(dyn StdError + Send + Sync + 'static)> {
        self.cause.as_deref()
    }

    /// The value of `WWW-Authenticate`, which a 401 has to have.
    pub(super) fn challenge(&self) -> Option<&'static str> {
        match (self.status, self.token_sent) {
            (StatusCode::UNAUTHORIZED, _) if self.oauth.is_some() => Some("Basic realm=\"oauth2\""),
            (StatusCode::UNAUTHORIZED, true) => Some("Bearer error=\"invalid_token\""),
            (StatusCode::UNAUTHORIZED, false) => Some("Bearer"),
            _ => None,
        }
    }

    /// The seconds of `Retry-After`, where repeating the request helps.
    pub(super) fn retry_after(&self) -> Option<u64> {
        self.retry_after
    }

    /// The reply's body, as JSON: the envelope, or what the token endpoint has instead (RFC 6749, section 5.2).
    pub(super) fn body(&self, request_id: Uuid) -> Vec<u8> {
        let written = match self.oauth {
            None => serde_json::to_vec(&self.reply(request_id)),
            Some(error) => serde_json::to_vec(&json!({
                "error": error,
                "error_description": self.faults.first().map(|fault| plain(&fault.description)),
            })),
        };
        // Both are made of strings and maps with string keys, which can always be written.
        written.unwrap_or_default()
    }

    /// The envelope's content.
    fn reply(&self, request_id: Uuid) -> ErrorReply {
        // Layer publishes no list of categories; these are the ones that this server has.
        let category = match self.status {
            StatusCode::UNAUTHORIZED => "Authentication",
            StatusCode::NOT_FOUND => "NotFound",
            StatusCode::REQUEST_TIMEOUT => "Timeout",
            StatusCode::TOO_MANY_REQUESTS => "RateLimit",
            StatusCode::SERVICE_UNAVAILABLE => "Unavailable",
            status if status.is_server_error() => "Internal",
            _ => "Validation",
        };
        // Of the values known from Layer's own client, these two mean what a 404 and the other 4xx mean; a 5xx has none.
        let error_enum = match self.status {
            StatusCode::NOT_FOUND => Field::Value("SpecifiedIdNotFound".to_owned()),
            status if status.is_client_error() => Field::Value("SpecifiedBadRequest".to_owned()),
            _ => Field::Absent,
        };
        let errors = self
            .faults
            .iter()
            .map(|fault| ErrorDetail {
                type_: category.to_owned(),
                description: fault.description.clone(),
                error_enum: error_enum.clone(),
                meta: fault.meta(),
                extra: Map::new(),
            })
            .collect();
        ErrorReply {
            errors,
            meta: Field::Value(ErrorMeta {
                request_id: Field::Value(request_id.to_string()),
                extra: Map::new(),
            }),
            extra: Map::new(),
        }
    }
}

impl Fault {
    /// A fault of a query parameter.
    pub(super) fn of_parameter(name: &str, code: &'static str, description: String) -> Fault {
        Fault {
            pointer: Some(format!("?{}", shortened(name))),
            code: Some(code),
            description,
        }
    }

    fn meta(&self) -> Field<ErrorDetailMeta> {
        if self.pointer.is_none() && self.code.is_none() {
            return Field::Absent;
        }
        Field::Value(ErrorDetailMeta {
            pointer: self.pointer.as_deref().map_or(Field::Absent, |pointer| {
                Field::Value(bounded(pointer).to_owned())
            }),
            code: self
                .code
                .map_or(Field::Absent, |code| Field::Value(code.to_owned())),
            extra: Map::new(),
        })
    }
}

/// A text with the characters that RFC 6749 allows in a description: visible ASCII and blanks, without `"` and `\\`.
fn plain(text: &str) -> String {
    let plain = |c: char| match c {
        '"' | '\\' => '\'',
        c if c == ' ' || c.is_ascii_graphic() => c,
        _ => '?',
    };
    text.chars().map(plain).collect()
}

/// A pointer of reasonable length: a client's property names can have any, and then the place around them must do.
fn bounded(mut pointer: &str) -> &str {
    const MOST: usize = 500;
    while pointer.len() > MOST {
        pointer = pointer.rfind('/').map_or("", |end| &pointer[..end]);
    }
    pointer
}

impl From<Violation> for Fault {
    fn from(violation: Violation) -> Fault {
        Fault {
            pointer: Some(violation.pointer),
            code: Some(violation.rule.code()),
            description: violation.message,
        }
    }
}

impl From<resolve::Refusal> for Fault {
    fn from(refusal: resolve::Refusal) -> Fault {
        Fault {
            pointer: Some(refusal.pointer),
            code: Some(refusal.code),
            description: refusal.message,
        }
    }
}

impl From<store::Error> for Refusal {
    fn from(error: store::Error) -> Refusal {
        match error {
            store::Error::Refused(refusals) => {
                Refusal::bad_request(refusals.into_iter().map(Fault::from).collect())
            }
            store::Error::NoBusiness(id) => Refusal::no_business(id),
            error if error.is_passing() => Refusal::unavailable(error),
            error => Refusal::internal(error),
        }
    }
}

impl IntoResponse for Refusal {
    /// Gives the status alone and leaves the rest to [`outer::answer`](super::outer::answer).
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failure(code: i32) -> store::Error {
        rusqlite::Error::SqliteFailure(
            ffi::Error::new(code),
            Some("table secrets has no column named plan".to_owned()),
        )
        .into()
    }

    #[test]
    fn faults_of_the_database_stay_inside() {
        for (code, status, retry_after) in [
            (ffi::SQLITE_CORRUPT, 500, None),
            (ffi::SQLITE_IOERR, 500, None),
            (ffi::SQLITE_BUSY, 503, Some(1)),
            (ffi::SQLITE_FULL, 503, Some(1)),
        ] {
            let lost = store::Error::RolledBack(Arc::new(rusqlite::Error::SqliteFailure(
                ffi::Error::new(code),
                Some("secrets".to_owned()),
            )));
            for error in [failure(code), lost] {
                let refusal = Refusal::from(error);
                assert_eq!(refusal.status().as_u16(), status);
                assert_eq!(refusal.retry_after(), retry_after);
                assert!(refusal.cause().is_some());
                let reply = String::from_utf8(refusal.body(Uuid::nil())).unwrap();
                assert!(!reply.contains("secrets"), "{reply}");
                assert!(!reply.contains("error_enum"), "{reply}");
            }
        }
    }

    #[test]
    fn pointers_of_any_length_are_bounded() {
        assert_eq!(bounded("/a/b"), "/a/b");
        assert_eq!(bounded(&format!("/a/{}", "x".repeat(500))), "/a");
        assert_eq!(bounded(&format!("/{}", "x".repeat(500))), "");
        assert_eq!(bounded(&format!("?{}", "x".repeat(500))), "");
    }
}
