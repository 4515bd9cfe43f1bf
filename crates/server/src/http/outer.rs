//! What stands around every request: its id, the rate limit, the envelope of errors, the log, and the net under panics.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::header::{
    CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, RETRY_AFTER, WWW_AUTHENTICATE,
};
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{FutureExt, StreamExt};
use uuid::Uuid;

use super::App;
use super::limit::Exhausted;
use super::metrics::InFlight;
use super::refusal::Refusal;
use super::routes::{self, Purpose};
use crate::store::panic_text;

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, among its extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestId(pub(super) Uuid);

/// Gives the request an id, answers it whatever happens, and logs it.
pub(super) async fn answer(
    State(app): State<Arc<App>>,
    mut request: Request,
    next: Next,
) -> Response {
    // The id is always the server's own: one that a client sends could be anything, in a log too.
    let request_id = Uuid::now_v7();
    request.extensions_mut().insert(RequestId(request_id));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>();
    let route = route.and_then(|path| routes::find(path.as_str(), &method));
    let operation = route.map_or("(none)", |route| route.id);
    let in_flight = InFlight::new(Arc::clone(&app), operation);
    let free = route.is_some_and(|route| route.purpose != Purpose::Layer);
    let (standing, taken) = app.limit.as_ref().map(|bucket| bucket.take(free)).unzip();
    // A panic leaves nothing behind that another request could see: the store has its own net, and the rest of the
    // state doesn't change.
    let handled = async {
        if let Some(Err(Exhausted)) = taken {
            app.metrics.rate_limited();
            drain(request).await;
            return Refusal::rate_limited().into_response();
        }
        next.run(request).await
    };
    let mut response = AssertUnwindSafe(handled)
        .catch_unwind()
        .await
        .unwrap_or_else(|panic| Refusal::panicked(panic_text(panic.as_ref())).into_response());
    if let Some(refusal) = response.extensions_mut().remove::<Refusal>() {
        write(&mut response, &refusal, request_id);
        if refusal.is_for_room() {
            tracing::warn!(%request_id, "no room for the request's body");
        } else if refusal.status().is_server_error() {
            tracing::error!(
                %request_id,
                error = refusal.cause().map(|cause| cause as &dyn std::error::Error),
                "request failed"
            );
        }
    }
    if let Ok(value) = HeaderValue::from_str(&request_id.to_string()) {
        response.headers_mut().insert(X_REQUEST_ID, value);
    }
    if let Some(standing) = standing {
        standing.write(response.headers_mut());
    }
    let elapsed = in_flight.answered(response.status());
    tracing::info!(
        %request_id,
        %method,
        operation,
        status = response.status().as_u16(),
        micros = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX),
        "request"
    );
    response
}

/// Writes a refusal into its response.
fn write(response: &mut Response, refusal: &Refusal, request_id: Uuid) {
    *response.body_mut() = Body::from(refusal.body(request_id));
    let headers = response.headers_mut();
    // The empty body that was here before had a length of its own.
    headers.remove(CONTENT_LENGTH);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(challenge) = refusal.challenge() {
        headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    if refusal.status() == StatusCode::REQUEST_TIMEOUT {
        // The rest of the body may still come, and must not be taken for the next request.
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if let Some(seconds) = refusal.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
}

/// Reads the body of a request that is refused, within reason: a connection that is closed with unread data resets, and
/// the client may lose the reply that says why. One that asks before it sends is told not to by the reply itself.
pub(super) async fn drain(request: Request) {
    const MOST: usize = 64 << 20;
    const LONGEST: Duration = Duration::from_secs(5);
    if request.headers().contains_key(EXPECT) {
        return;
    }
    let mut stream = request.into_body().into_data_stream();
    let reading = async {
        let mut read = 0;
        while let Some(Ok(bytes)) = stream.next().await {
            read += bytes.len();
            if read > MOST {
                break;
            }
        }
    };
    // Whether it ended or was given up makes no difference to the reply.
    let _ = tokio::time::timeout(LONGEST, reading).await;
}

#[cfg(test)]
mod tests {
    use axum::Router;
    use axum::middleware;
    use axum::routing::get;

    use super::*;
    use crate::config::{Config, Database, Token};

    #[tokio::test]
    async fn a_panic_is_a_500_that_says_nothing_of_it() {
        let config = Config::new(Database::Memory, Token::new("t").unwrap());
        let app = Arc::new(App::new(config).await.unwrap());
        let router = Router::new()
            .route("/", get(panicking))
            .layer(middleware::from_fn_with_state(app, answer));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let serving = tokio::spawn(axum::serve(listener, router).into_future());
        for _ in 0..2 {
            let response = reqwest::get(&url).await.unwrap();
            assert_eq!(response.status().as_u16(), 500);
            let id = response.headers()[&X_REQUEST_ID]
                .to_str()
                .unwrap()
                .to_owned();
            let body: serde_json::Value = response.json().await.unwrap();
            assert_eq!(body["meta"]["request_id"], id);
            assert_eq!(body["errors"][0]["type"], "Internal");
            assert!(body["errors"][0].get("error_enum").is_none());
            assert!(!body.to_string().contains("inner secret"), "{body}");
        }
        serving.abort();
    }

    async fn panicking() -> &'static str {
        panic!("an inner secret");
    }
}
