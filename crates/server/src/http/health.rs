//! Whether the server can do its work, for whoever restarts it or sends it traffic.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Request, State};
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{App, query};
use crate::store;

/// Longer than any read waits for another, and shorter than the patience of those who ask.
const PATIENCE: Duration = Duration::from_secs(5);

/// `healthz`
pub(super) async fn healthz(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<Json<Value>, Refusal> {
    query::none(request.uri())?;
    let read = app.store.read(|view| view.probe());
    match tokio::time::timeout(PATIENCE, read).await {
        Ok(Ok(())) => Ok(Json(
            json!({"data": {"type": "Health", "status": "ok"}, "meta": {}}),
        )),
        Ok(Err(error)) => Err(Refusal::unavailable(error)),
        Err(_) => Err(Refusal::unavailable(store::Error::Closed)),
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;
    use crate::config::{Config, Database, Token};

    #[tokio::test]
    async fn a_server_whose_store_does_not_answer_is_not_well() {
        let config = Config::new(Database::Memory, Token::new("t").unwrap());
        let app = Arc::new(App::new(config).await.unwrap());
        let ask = || healthz(State(Arc::clone(&app)), Request::new(Body::empty()));
        assert!(ask().await.is_ok());
        app.store.close().await;
        let refusal = ask().await.unwrap_err();
        assert_eq!(refusal.status().as_u16(), 503);
        assert_eq!(refusal.retry_after(), Some(1));
    }
}
