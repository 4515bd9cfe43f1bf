//! A server to test, and the few things that every test does with it.

use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, SystemTime};

use layer_payments_server::{Clock, Config, Database, Server, Token};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use crate::engine::{Guard, Place, fresh, guard};

pub(crate) const TOKEN: &str = "test-token";
pub(crate) const BUSINESS: &str = "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4";
pub(crate) const INVOICE: &str = "3a9c378e-dc02-4700-9158-f629d632a83b";

/// A running server. When it is dropped or stopped, its books are checked, whatever the test did to them; a test can't
/// forget it. [`TestServer::stop`] also waits for its end.
pub(crate) struct TestServer {
    pub(crate) base: String,
    pub(crate) client: reqwest::Client,
    stop: Option<oneshot::Sender<()>>,
    /// What the server's thread finds wrong with the books once it is told to stop.
    faults: mpsc::Receiver<Vec<String>>,
    /// The server has a thread of its own, so that it answers while a dropped test holds up its runtime.
    running: Option<JoinHandle<()>>,
    /// Dropped last: what the server keeps its payments in.
    _guard: Option<Guard>,
}

/// A reply as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: Value,
}

impl TestServer {
    /// A server of nothing yet.
    pub(crate) async fn fresh() -> TestServer {
        TestServer::start(config(fresh())).await
    }

    /// A server of what there is at a place.
    pub(crate) async fn at(place: &Place) -> TestServer {
        TestServer::start(config(place.database())).await
    }

    pub(crate) async fn start(config: Config) -> TestServer {
        let guard = guard(&config.database);
        let (started, address) = oneshot::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let (found, faults) = mpsc::channel();
        let running = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let server = Server::bind(config, "127.0.0.1:0".parse().unwrap())
                    .await
                    .unwrap();
                started.send(server.local_addr()).unwrap();
                let handle = server.handle();
                let shutdown = async move {
                    let _ = stopped.await;
                    // Nobody waits for it where the test has failed already.
                    let _ = found.send(handle.check_books().await.unwrap());
                };
                server.run(shutdown).await.unwrap();
            });
        });
        TestServer {
            base: format!("http://{}", address.await.unwrap()),
            client: reqwest::Client::new(),
            stop: Some(stop),
            faults,
            running: Some(running),
            _guard: guard,
        }
    }

    /// Stops the server the way that a signal does.
    pub(crate) async fn stop(mut self) {
        self.begin_stop();
        let running = self.running.take().unwrap();
        tokio::task::spawn_blocking(|| running.join().unwrap())
            .await
            .unwrap();
    }

    /// Tells the server to stop and asserts that the books are in order. Blocks: a test may be at its end.
    fn begin_stop(&mut self) {
        drop(self.stop.take());
        let patience = Duration::from_secs(60);
        assert_eq!(
            self.faults.recv_timeout(patience).unwrap(),
            Vec::<String>::new()
        );
    }

    pub(crate) fn payments_url(&self) -> String {
        format!("{}/v1/businesses/{BUSINESS}/invoices/payments", self.base)
    }

    /// A request with the token, to a path below the payments of [`BUSINESS`].
    pub(crate) fn request(&self, method: Method, below: &str) -> reqwest::RequestBuilder {
        self.client
            .request(method, format!("{}{below}", self.payments_url()))
            .bearer_auth(TOKEN)
    }

    pub(crate) async fn record(&self, payment: &Value) -> Reply {
        send(self.request(Method::POST, "").json(payment)).await
    }

    pub(crate) async fn bulk(&self, payments: &Value) -> Reply {
        send(self.request(Method::POST, "/bulk").json(payments)).await
    }

    pub(crate) async fn update(&self, id: &str, update: &Value) -> Reply {
        send(self.request(Method::PATCH, &format!("/{id}")).json(update)).await
    }

    /// Lists with a query string as it is, such as `?limit=1`.
    pub(crate) async fn list(&self, query: &str) -> Reply {
        send(self.request(Method::GET, query)).await
    }

    /// A request below `/local/businesses/{BUSINESS}`.
    pub(crate) async fn local(&self, method: Method, below: &str, body: Option<&Value>) -> Reply {
        let url = format!("{}/local/businesses/{BUSINESS}{below}", self.base);
        let mut request = self.client.request(method, url).bearer_auth(TOKEN);
        if let Some(body) = body {
            request = request.json(body);
        }
        send(request).await
    }

    pub(crate) async fn create(&self, below: &str, body: &Value) -> Reply {
        self.local(Method::POST, below, Some(body)).await
    }

    pub(crate) async fn look(&self, below: &str) -> Value {
        let reply = self.local(Method::GET, below, None).await.ok();
        reply.body["data"].clone()
    }

    /// Closes the books until a day, or opens them.
    pub(crate) async fn close_until(&self, day: Option<&str>) {
        let closing_date = day.map(|day| format!("{day}T00:00:00Z"));
        let body = json!({ "closing_date": closing_date });
        self.local(Method::PATCH, "", Some(&body)).await.ok();
    }

    /// The journal, a line an entry: number, type, day, debits, `/`, credits. Those of reversals name what they undo.
    pub(crate) async fn journal(&self) -> Vec<String> {
        let entries = self.look("/journal-entries?limit=1000").await;
        entries.as_array().unwrap().iter().map(entry_line).collect()
    }

    /// What came into the journal after this many entries.
    pub(crate) async fn journal_after(&self, count: usize) -> Vec<String> {
        self.journal().await.split_off(count)
    }

    /// The external ids of a list, in its order.
    pub(crate) async fn listed(&self, query: &str) -> Vec<String> {
        self.list(query).await.ok().external_ids()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if self.stop.is_some() && !thread::panicking() {
            self.begin_stop();
        }
    }
}

impl Reply {
    #[track_caller]
    pub(crate) fn ok(self) -> Reply {
        assert!(self.status.is_success(), "{self:#?}");
        self
    }

    /// The payment of a single reply.
    pub(crate) fn payment(&self) -> &Value {
        &self.body["data"]
    }

    pub(crate) fn id(&self) -> String {
        self.body["data"]["id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn external_ids(&self) -> Vec<String> {
        let payments = self.body["data"].as_array().unwrap();
        payments
            .iter()
            .map(|payment| payment["external_id"].as_str().unwrap_or("").to_owned())
            .collect()
    }

    pub(crate) fn outcomes(&self) -> Value {
        self.body["meta"]["idempotency"]["outcomes"].clone()
    }

    /// Checks that this is an error with this status, in the envelope, with the same id in body and header; gives the
    /// pairs of pointer and code.
    #[track_caller]
    pub(crate) fn faults(&self, status: u16) -> Vec<(String, String)> {
        assert_eq!(self.status.as_u16(), status, "{self:#?}");
        assert_eq!(self.headers["content-type"], "application/json");
        assert!(self.body.get("data").is_none(), "{self:#?}");
        assert_eq!(
            self.body["meta"]["request_id"].as_str(),
            self.headers["x-request-id"].to_str().ok()
        );
        let errors = self.body["errors"].as_array().unwrap();
        assert!(!errors.is_empty());
        errors
            .iter()
            .map(|error| {
                assert!(!error["type"].as_str().unwrap().is_empty());
                assert!(!error["description"].as_str().unwrap().is_empty());
                if status < 500 {
                    assert!(error["error_enum"].is_string(), "{error}");
                }
                let text = |name: &str| error["meta"][name].as_str().unwrap_or("").to_owned();
                (text("pointer"), text("code"))
            })
            .collect()
    }
}

fn entry_line(entry: &Value) -> String {
    let side = |wanted: &str| -> String {
        let lines = entry["line_items"].as_array().unwrap().iter();
        lines
            .filter(|line| line["direction"] == wanted)
            .map(|line| {
                let name = &line["account"]["stable_name"];
                format!(" {} {}", name.as_str().unwrap(), line["amount"])
            })
            .collect()
    };
    let undone = match entry["reversal_of"].as_i64() {
        Some(number) => format!(" of {number}"),
        None => String::new(),
    };
    format!(
        "{} {}{undone} {}:{} /{}",
        entry["entry_number"],
        entry["entry_type"].as_str().unwrap(),
        &entry["entry_at"].as_str().unwrap()[..10],
        side("DEBIT"),
        side("CREDIT")
    )
}

pub(crate) fn config(database: Database) -> Config {
    Config::new(database, Token::new(TOKEN).unwrap()).business(BUSINESS.parse().unwrap())
}

/// A clock that stands still until a test moves it.
#[derive(Clone)]
pub(crate) struct TestClock(Arc<Mutex<SystemTime>>);

impl TestClock {
    /// Starts at so many milliseconds after 1970.
    pub(crate) fn at(milliseconds: u64) -> TestClock {
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds);
        TestClock(Arc::new(Mutex::new(start)))
    }

    pub(crate) fn advance(&self, time: Duration) {
        *self.0.lock().unwrap() += time;
    }

    pub(crate) fn clock(&self) -> Clock {
        let time = Arc::clone(&self.0);
        Clock::new(move || *time.lock().unwrap())
    }
}

pub(crate) async fn send(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let status = response.status();
    let headers = response.headers().clone();
    assert!(headers.contains_key("x-request-id"));
    let bytes = response.bytes().await.unwrap();
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&bytes)));
    Reply {
        status,
        headers,
        body,
    }
}

/// A small valid payment.
pub(crate) fn payment(external_id: &str) -> Value {
    json!({
        "external_id": external_id,
        "paid_at": "2024-02-27T02:22:55.163005Z",
        "method": "CASH",
        "amount": 9000,
        "invoice_payments": [],
    })
}

/// The same with other or further properties.
pub(crate) fn with(mut value: Value, properties: Value) -> Value {
    let (Value::Object(value_map), Value::Object(properties)) = (&mut value, properties) else {
        panic!("both are objects");
    };
    value_map.extend(properties);
    value
}
