//! Tokens that expire: OAuth 2.0 client credentials (RFC 6749, section 4.4), and tokens of one business.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, PRAGMA};
use axum::http::{HeaderMap, HeaderName};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use uuid::Uuid;

use super::super::body::{self, Limit};
use super::super::{App, query};
use super::{Auth, Caller, Refusal, credentials};

/// The scopes of Layer's environments. This server is none of them and stands in for each, so it takes them all.
const SCOPES: [&str; 3] = [
    "https://sandbox.layerfi.com/sandbox",
    "https://api.layerfi.com/production",
    "https://api-ca.layerfi.com/production",
];

/// The bodies of these routes are a few words.
const SMALL_BODY: usize = 16 << 10;

/// Seconds that a business's token is good for unless its request says otherwise, and at most. Both are Layer's.
const SESSION: u64 = 3_600;
const LONGEST_SESSION: u64 = 86_400;

/// `issue_token`
pub(in super::super) async fn token(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Response, Refusal> {
    let headers = request.headers().clone();
    let query = query::none(request.uri());
    let body = body::bytes(request, &small(&app.body_limit)).await;
    query
        .and(body)
        .map_err(Refusal::into_oauth)
        .and_then(|body| grant(&app.auth, &headers, &body))
}

fn small(limit: &Limit) -> Limit {
    Limit {
        bytes: SMALL_BODY,
        ..limit.clone()
    }
}

fn grant(auth: &Auth, headers: &HeaderMap, body: &Bytes) -> Result<Response, Refusal> {
    let form = form(headers, body)?;
    let value = |name: &str| {
        let mut pairs = form.iter();
        pairs
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    };
    let client = client(auth, headers)?;
    match value("grant_type") {
        Some("client_credentials") => {}
        Some(_) => {
            return Err(Refusal::oauth(
                "unsupported_grant_type",
                "The only grant_type is client_credentials.",
            ));
        }
        None => {
            return Err(Refusal::oauth(
                "invalid_request",
                "grant_type is missing; send client_credentials.",
            ));
        }
    }
    if let Some(id) = value("client_id")
        && client_id(auth, client) != Some(id)
    {
        return Err(Refusal::oauth(
            "invalid_request",
            "client_id is another one than in the Authorization header; send the same, or leave it out.",
        ));
    }
    // Scopes are separated by blanks. Which of Layer's environments is meant makes no difference here.
    let mut scopes = value("scope").unwrap_or_default().split(' ');
    if !scopes.all(|scope| scope.is_empty() || SCOPES.contains(&scope)) {
        return Err(Refusal::oauth(
            "invalid_scope",
            &format!("The scope isn't one of {}.", SCOPES.join(", ")),
        ));
    }
    let caller = Caller {
        client: Some(client),
        business: None,
    };
    Ok(granted(
        auth.issue(caller, auth.lifetime).as_str(),
        auth.lifetime,
    ))
}

/// Reads the form. Parameters that the standard doesn't know are ignored, as it demands.
fn form(headers: &HeaderMap, body: &[u8]) -> Result<Vec<(String, String)>, Refusal> {
    let media_type = headers.get(CONTENT_TYPE).map(|value| value.as_bytes());
    let media_type = media_type.and_then(|value| value.split(|byte| *byte == b';').next());
    if !media_type.is_some_and(|value| {
        value
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    }) {
        return Err(Refusal::oauth(
            "invalid_request",
            "The content type must be application/x-www-form-urlencoded.",
        ));
    }
    let (pairs, faults) = query::pairs(&String::from_utf8_lossy(body));
    match faults.first() {
        None => Ok(pairs),
        Some(fault) => Err(Refusal::oauth("invalid_request", &fault.description)),
    }
}

/// The client whose id and secret the `Authorization` header carries, by its place in the configuration.
fn client(auth: &Auth, headers: &HeaderMap) -> Result<u16, Refusal> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(Refusal::oauth(
            "invalid_client",
            "Send the client's id and secret by HTTP Basic, in one Authorization header.",
        ));
    };
    let decoded = credentials(value.as_bytes(), "basic")
        .and_then(|value| STANDARD.decode(value).ok())
        .and_then(|value| String::from_utf8(value).ok());
    let Some((id, secret)) = decoded.as_deref().and_then(|value| value.split_once(':')) else {
        return Err(Refusal::oauth(
            "invalid_client",
            "The Authorization header isn't Basic followed by the base64 of the client's id, a colon and its secret.",
        ));
    };
    // RFC 6749 has both encoded as in a form before they are joined; most clients, curl among them, leave that out.
    let decoded = query::decode(id).zip(query::decode(secret));
    auth.clients
        .iter()
        .position(|client| {
            let as_is = client.accepts(id, secret);
            let decoded = decoded.as_ref();
            as_is || decoded.is_some_and(|(id, secret)| client.accepts(id, secret))
        })
        .and_then(|client| u16::try_from(client).ok())
        .ok_or_else(|| {
            Refusal::oauth(
                "invalid_client",
                "This server knows no client with this id and secret.",
            )
        })
}

fn client_id(auth: &Auth, client: u16) -> Option<&str> {
    auth.clients.get(usize::from(client)).map(|it| it.id())
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct BusinessTokenBody {
    #[serde(default, deserialize_with = "seconds")]
    session_duration: Option<u64>,
}

/// Reads a number of seconds. Layer's page says integer, and its example sends a text.
fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "session_duration must be a whole number")]
    enum Form {
        Number(u64),
        Text(String),
    }
    let range = || {
        serde::de::Error::custom(format!(
            "session_duration must be between 1 and {LONGEST_SESSION} seconds"
        ))
    };
    let seconds = match Option::<Form>::deserialize(deserializer)? {
        None => return Ok(None),
        Some(Form::Number(seconds)) => seconds,
        Some(Form::Text(text)) => text.parse().map_err(|_| range())?,
    };
    if (1..=LONGEST_SESSION).contains(&seconds) {
        Ok(Some(seconds))
    } else {
        Err(range())
    }
}

/// Gives a token of one business. The token that asks for it isn't one, so sessions can't prolong themselves.
pub(super) async fn business_token(
    app: &App,
    caller: Caller,
    business: Uuid,
    request: Request,
) -> Result<Response, Refusal> {
    let body: Option<BusinessTokenBody> = body::json(request, &small(&app.body_limit)).await?;
    let seconds = body.unwrap_or_default().session_duration.unwrap_or(SESSION);
    let caller = Caller {
        business: Some(business),
        ..caller
    };
    Ok(granted(&app.auth.issue(caller, seconds), seconds))
}

/// A token in a reply, which nobody on the way may keep.
fn granted(token: &str, seconds: u64) -> Response {
    let headers: [(HeaderName, &str); 2] = [(CACHE_CONTROL, "no-store"), (PRAGMA, "no-cache")];
    let reply = json!({"access_token": token, "expires_in": seconds, "token_type": "Bearer"});
    (headers, Json(reply)).into_response()
}
