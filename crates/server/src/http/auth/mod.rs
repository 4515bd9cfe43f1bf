//! Who sends a request, and whether they may.
//!
//! There are three kinds of token. The one that the server was started with and those that `/oauth2/token` gives open
//! everything. One that `/v1/businesses/{businessId}/auth-token` gives is for a browser or a phone: it opens the public
//! API of its own business and nothing else.
//!
//! A token that doesn't reach as far as its request gets 401, as the public specification says of one that "belongs to
//! another business" (it has no 403). It is decided by the token and the path alone, before anything is looked up, so
//! the reply doesn't tell whether the other business exists.

pub(super) mod oauth;
mod signer;

use std::sync::Arc;

use axum::extract::{MatchedPath, RawPathParams, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json, RequestExt as _};
use serde_json::{Value, json};
use uuid::Uuid;

use self::signer::{Grant, Rejected, Signer};
use super::outer::drain;
use super::refusal::Refusal;
use super::routes::Access;
use super::{App, handlers};
use crate::clients::ApiClient;
use crate::clock::Clock;
use crate::config::Token;
use crate::store::TokenKey;

/// What the server knows of tokens.
#[derive(Debug)]
pub(super) struct Auth {
    token: Token,
    clients: Vec<ApiClient>,
    signer: Signer,
    /// Seconds that a client's token is good.
    lifetime: u64,
    clock: Clock,
}

/// Who sends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    /// The client by its place in the configuration. `None` for whoever has the token that the server was started with.
    client: Option<u16>,
    /// The one business that the token is for.
    business: Option<Uuid>,
}

impl Auth {
    pub(super) fn new(
        token: Token,
        clients: Vec<ApiClient>,
        key: TokenKey,
        lifetime: std::time::Duration,
        clock: Clock,
    ) -> Auth {
        Auth {
            token,
            signer: Signer::new(key, &clients),
            clients,
            lifetime: lifetime.as_secs(),
            clock,
        }
    }

    /// The caller whose token this is.
    fn caller(&self, token: &[u8]) -> Result<Caller, Rejected> {
        if self.token.accepts(token) {
            return Ok(Caller {
                client: None,
                business: None,
            });
        }
        let grant = self.signer.open(token, self.clock.since_1970())?;
        Ok(Caller {
            client: grant.client,
            business: grant.business,
        })
    }

    /// Makes a token for `caller` that is good for so many seconds.
    fn issue(&self, caller: Caller, seconds: u64) -> String {
        self.signer.sign(&Grant {
            client: caller.client,
            business: caller.business,
            expires: self.clock.since_1970() + std::time::Duration::from_secs(seconds),
        })
    }
}

/// Lets a request through whose token reaches far enough.
pub(super) async fn authenticate(
    State((app, access)): State<(Arc<App>, Access)>,
    mut request: Request,
    next: Next,
) -> Response {
    if access == Access::Anyone {
        return next.run(request).await;
    }
    let caller = match check_token(&app.auth, request.headers()) {
        Ok(caller) => check_reach(caller, access, &mut request).await,
        Err(refusal) => Err(refusal),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refusal) => {
            drain(request).await;
            refusal.into_response()
        }
    }
}

fn check_token(auth: &Auth, headers: &HeaderMap) -> Result<Caller, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::unauthorized(
            false,
            "The request has no Authorization header, or more than one. Send one, `Bearer` followed by a blank and \
             the token.",
        ));
    };
    let Some(token) = credentials(value.as_bytes(), "bearer") else {
        return Err(Refusal::unauthorized(
            false,
            "The Authorization header has another form than `Bearer` followed by a blank and the token.",
        ));
    };
    auth.caller(token).map_err(|rejected| {
        Refusal::unauthorized(
            true,
            match rejected {
                Rejected::Unknown => {
                    "The token isn't one of this server's, or was given before it was started anew. Send the one that \
                     it was started with, or ask for one at /oauth2/token."
                }
                Rejected::Expired => "The token has expired; ask for a new one.",
            },
        )
    })
}

/// Refuses a token of one business on everything but the public API of that business.
async fn check_reach(
    caller: Caller,
    access: Access,
    request: &mut Request,
) -> Result<Caller, Refusal> {
    let Some(business) = caller.business else {
        return Ok(caller);
    };
    if access != Access::Business {
        return Err(Refusal::unauthorized(
            true,
            "The token is for one business, and this needs one that isn't: the token that the server was started with, \
             or one of /oauth2/token.",
        ));
    }
    let route = request.extensions().get::<MatchedPath>();
    if !route.is_some_and(|route| route.as_str().contains("{businessId}")) {
        return Ok(caller);
    }
    let params = request.extract_parts::<RawPathParams>().await;
    // What isn't a UUID isn't the token's business either.
    let asked = handlers::path_id(&params, "businessId").ok();
    if asked == Some(business) {
        Ok(caller)
    } else {
        Err(Refusal::unauthorized(
            true,
            "The token is for another business.",
        ))
    }
}

/// What follows the scheme in an `Authorization` header. The scheme's case doesn't matter (RFC 9110, section 11.1).
fn credentials<'a>(value: &'a [u8], scheme: &str) -> Option<&'a [u8]> {
    let (start, rest) = value.split_at_checked(scheme.len())?;
    let rest = rest.strip_prefix(b" ")?.trim_ascii();
    (start.eq_ignore_ascii_case(scheme.as_bytes()) && !rest.is_empty()).then_some(rest)
}

/// `whoami`
pub(super) async fn whoami(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    super::query::none(request.uri())?;
    let client = caller
        .client
        .and_then(|client| app.auth.clients.get(usize::from(client)));
    // A client has no name apart from its id here; the token of the start belongs to no client.
    let id = client.map_or("static-token", ApiClient::id);
    Ok(Json(json!({
        "data": {"type": "whoami", "clientName": id, "clientId": id},
        "meta": {},
    })))
}

/// `create_business_auth_token`
pub(super) async fn business_token(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    params: handlers::Params,
    request: Request,
) -> Result<Response, Refusal> {
    let address = handlers::business_of(&params, &request);
    let (business, request) = handlers::or_drain(address, request).await?;
    oauth::business_token(&app, caller, business, request).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_found() {
        for (value, scheme) in [
            ("Bearer abc", "bearer"),
            ("bearer  abc ", "bearer"),
            ("BASIC abc", "basic"),
        ] {
            assert_eq!(credentials(value.as_bytes(), scheme), Some(&b"abc"[..]));
        }
        for other in ["", "Bearer", "Bearer ", "Bearerabc", "Basic abc", "abc"] {
            assert_eq!(credentials(other.as_bytes(), "bearer"), None, "{other:?}");
        }
    }
}
