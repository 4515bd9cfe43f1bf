//! A server for tests, as a test uses it.

use std::error::Error;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use layer_payments_client::types::CreateInvoicePayment;
use layer_payments_client::{Client, RetryPolicy, Unchecked};
use layer_payments_local::{DEFAULT_BUSINESS, Database, FaultRule, Layer, RateLimit};
use serde_json::{Value, json};

type Outcome = Result<(), Box<dyn Error>>;

const BUSINESS: &str = "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4";

fn payment(external_id: &str) -> CreateInvoicePayment {
    serde_json::from_value(json!({
        "external_id": external_id,
        "paid_at": "2024-02-27T02:22:55Z",
        "method": "CASH",
        "amount": 9000,
        "invoice_payments": [{"invoice_external_id": "invoice-1001", "amount": 9000}],
    }))
    .expect("a valid payment")
}

async fn record(client: &Client, external_id: &str) -> Result<u16, layer_payments_client::Error> {
    let reply = client.record(Unchecked(&payment(external_id))).await?;
    Ok(reply.status())
}

/// A client that sends each request once, so that a test sees what became of that.
fn sending_once(layer: &Layer) -> Client {
    layer
        .client_builder()
        .retry(RetryPolicy::never())
        .build()
        .expect("the settings are complete")
}

async fn count(layer: &Layer) -> Result<usize, layer_payments_client::Error> {
    Ok(layer.client().list().send().await?.data.len())
}

fn address(layer: &Layer) -> SocketAddr {
    let address = layer.base_url().strip_prefix("http://");
    address
        .and_then(|address| address.parse().ok())
        .expect("an address of this machine")
}

/// Waits until nobody listens there any more.
async fn ends(address: SocketAddr) {
    while TcpStream::connect(address).is_ok() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "current_thread")]
async fn one_line_starts_a_server_on_a_runtime_of_one_thread() -> Outcome {
    let layer = Layer::start().await?;
    assert_eq!(record(&layer.client(), "p").await?, 201);
    assert_eq!(record(&layer.client(), "p").await?, 200);
    assert_eq!(count(&layer).await?, 1);
    assert_eq!(layer.business_id(), DEFAULT_BUSINESS);
    let address = address(&layer);
    layer.stop().await?;
    TcpStream::connect(address).expect_err("the port is free");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_line_starts_a_server_on_a_runtime_of_many_threads() -> Outcome {
    let layer = Layer::start().await?;
    let client = layer.client();
    let recorded = tokio::spawn(async move { record(&client, "p").await });
    assert_eq!(recorded.await??, 201);
    layer.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "current_thread")]
async fn the_server_answers_while_the_test_blocks_its_runtime() -> Outcome {
    let layer = Layer::start().await?;
    let url = format!("{}/healthz", layer.base_url());
    // The only thread of this runtime waits for the reply, as a test with a blocking client does.
    let status = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let reply = runtime.block_on(reqwest::get(url));
        Ok::<_, Box<dyn Error + Send + Sync>>(reply?.status().as_u16())
    })
    .join()
    .expect("no panic");
    assert_eq!(status.map_err(|error| error.to_string())?, 200);
    layer.stop().await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_servers_run_beside_each_other_and_know_nothing_of_each_other() -> Outcome {
    let starts = (0..12).map(|number| {
        tokio::spawn(async move {
            let layer = Layer::start().await?;
            for payment in 0..number {
                record(&layer.client(), &format!("p-{payment}")).await?;
            }
            Ok::<_, Box<dyn Error + Send + Sync>>(layer)
        })
    });
    let mut layers = Vec::new();
    for start in starts.collect::<Vec<_>>() {
        layers.push(start.await?.map_err(|error| error.to_string())?);
    }
    // Nor does one take the token of another.
    let stranger = layers[0]
        .client_builder()
        .token(layers[1].token())
        .build()?;
    let refused = stranger.list().send().await.expect_err("a strange token");
    assert_eq!(refused.status(), Some(401));
    for (number, layer) in layers.into_iter().enumerate() {
        assert_eq!(count(&layer).await?, number);
        layer.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_dropped_server_ends_by_itself() -> Outcome {
    let layer = Layer::start().await?;
    record(&layer.client(), "p").await?;
    let (address, client) = (address(&layer), layer.client());
    drop(layer);
    ends(address).await;
    client.list().send().await.expect_err("nobody answers");
    Ok(())
}

#[test]
fn a_server_outlives_the_runtime_that_started_it_until_it_is_dropped() -> Outcome {
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
    };
    let layer = runtime()?.block_on(Layer::start())?;
    // The client's connections ended with that runtime, so another one is built.
    let client = layer.client_builder().build()?;
    assert_eq!(runtime()?.block_on(record(&client, "p"))?, 201);
    let address = address(&layer);
    drop(layer);
    runtime()?.block_on(ends(address));
    Ok(())
}

fn fixtures() -> Value {
    json!({"businesses": [{
        "id": BUSINESS,
        "invoices": [{"external_id": "invoice-1001", "total_amount": 9000}],
        "payments": [{
            "external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "ACH", "amount": 4000,
            "invoice_payments": [{"invoice_external_id": "invoice-1001", "amount": 4000}],
        }],
    }]})
}

#[tokio::test]
async fn fixtures_fill_the_server_and_name_the_business() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("fixtures.json");
    std::fs::write(&file, fixtures().to_string())?;
    for builder in [
        Layer::builder().fixtures(&file),
        Layer::builder().fixtures_json(fixtures().to_string()),
    ] {
        let layer = builder.start().await?;
        assert_eq!(layer.business_id().to_string(), BUSINESS);
        assert_eq!(count(&layer).await?, 1);
        // The total of the invoice holds: 4000 of 9000 cents are paid.
        let refused = record(&layer.client(), "too-much").await;
        assert_eq!(refused.expect_err("too much").status(), Some(400));
        layer.stop().await?;
    }
    // A business that is named is the client's, and that of the fixtures is there too.
    let other = "3a9c378e-dc02-4700-9158-f629d632a83b".parse()?;
    let layer = Layer::builder()
        .fixtures_json(fixtures().to_string())
        .business(other)
        .start()
        .await?;
    assert_eq!((layer.business_id(), count(&layer).await?), (other, 0));
    let first = layer.client().with_business_id(BUSINESS.parse()?);
    assert_eq!(first.list().send().await?.data.len(), 1);
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_wrong_setting_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let missing = folder.path().join("missing.json");
    let cases = [
        (Layer::builder().token(""), Some("token"), "empty"),
        (
            Layer::builder().oauth_client("a:b", "secret"),
            Some("oauth_client"),
            "without a colon",
        ),
        (
            Layer::builder().fixtures(&missing),
            Some("fixtures"),
            "missing.json",
        ),
        (
            Layer::builder().fixtures_json(r#"{"businesses": [{"id": "x"}]}"#),
            Some("fixtures_json"),
            "businesses[0].id",
        ),
        // The folder is no file.
        (
            Layer::builder().database(Database::File(folder.path().to_owned())),
            None,
            "can't open the database",
        ),
    ];
    for (builder, setting, part) in cases {
        let shown = format!("{builder:?}");
        assert!(!shown.contains("secret"), "{shown}");
        let error = builder.start().await.expect_err(part);
        assert_eq!(error.setting(), setting, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[tokio::test]
async fn a_cut_before_the_write_leaves_nothing_and_one_after_it_leaves_a_payment() -> Outcome {
    let layer = Layer::start().await?;
    for (rule, left) in [(FaultRule::cut_before(), 0), (FaultRule::cut_after(), 1)] {
        layer.faults([rule.on("record_invoice_payment")])?;
        let error = record(&sending_once(&layer), "p")
            .await
            .expect_err("no reply");
        assert!(error.is_outcome_unknown(), "{error}");
        assert_eq!(error.status(), None);
        assert!(layer.faults_struck()[0] > 0);
        assert_eq!(count(&layer).await?, left);
    }
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn statuses_reach_the_client_with_what_they_carry() -> Outcome {
    let layer = Layer::start().await?;
    layer.faults([FaultRule::status(429).retry_after(7)])?;
    let limited = record(&sending_once(&layer), "p").await.expect_err("429");
    assert!(limited.is_rate_limited(), "{limited}");
    assert_eq!(limited.retry_after(), Some(Duration::from_secs(7)));
    assert!(!limited.is_outcome_unknown());

    layer.faults([FaultRule::status(503).html()])?;
    let page = record(&sending_once(&layer), "p").await.expect_err("503");
    assert_eq!(page.status(), Some(503));
    assert_eq!(page.retry_after(), None);
    let body = page.body().unwrap_or_default();
    assert!(body.starts_with("<html>"), "{body}");
    assert!(page.errors().is_empty());

    layer.faults(["none"])?;
    assert_eq!(record(&layer.client(), "p").await?, 201);
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn latency_outlasts_a_client_and_does_not_hold_up_the_stop() -> Outcome {
    let layer = Layer::start().await?;
    layer.faults([FaultRule::latency(Duration::from_secs(300))])?;
    let hasty = layer
        .client_builder()
        .timeout(Duration::from_millis(50))
        .build()?;
    let error = record(&hasty, "p").await.expect_err("too slow");
    assert!(error.is_timeout(), "{error}");
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_rule_strikes_so_many_times_and_is_counted() -> Outcome {
    let layer = Layer::start().await?;
    layer.faults([
        FaultRule::status(500).times(2).on("list_invoice_payments"),
        FaultRule::new("status=502").times(1),
    ])?;
    // Sent as they are, since a client may repeat what fails.
    let url = format!(
        "{}/v1/businesses/{}/invoices/payments",
        layer.base_url(),
        layer.business_id()
    );
    let http = reqwest::Client::new();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let reply = http.get(&url).bearer_auth(layer.token()).send().await?;
        statuses.push(reply.status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 502, 200]);
    assert_eq!(layer.faults_struck(), [2, 1]);
    let metrics = layer.metrics();
    let counted = r#"layer_payments_faults_total{operation="list_invoice_payments"} 3"#;
    assert!(metrics.contains(counted), "{metrics}");
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_seed_strikes_the_same_requests_again() -> Outcome {
    let layer = Layer::start().await?;
    let url = format!(
        "{}/v1/businesses/{}/invoices/payments",
        layer.base_url(),
        layer.business_id()
    );
    let http = reqwest::Client::new();
    let mut runs = Vec::new();
    for seed in [7, 7, 8] {
        layer.faults_by_chance(seed, [FaultRule::status(500).probability(0.3)])?;
        let mut statuses = Vec::new();
        for _ in 0..40 {
            let reply = http.get(&url).bearer_auth(layer.token()).send().await?;
            statuses.push(reply.status().as_u16());
        }
        let struck = statuses.iter().filter(|status| **status == 500).count();
        assert_eq!(layer.faults_struck(), [struck as u64]);
        assert!((1..40).contains(&struck), "{statuses:?}");
        runs.push(statuses);
    }
    assert_eq!(runs[0], runs[1]);
    assert_ne!(runs[0], runs[2]);
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn wrong_rules_are_refused_and_the_old_ones_stay() -> Outcome {
    let layer = Layer::start().await?;
    layer.faults(["status=500"])?;
    for (rules, part) in [
        (
            vec![FaultRule::new("none"), FaultRule::status(404)],
            "rules[1].fault: The status is \"404\"; give 429, 500, 502, 503 or 504",
        ),
        (vec![FaultRule::cut_after().html()], "status=503; html"),
        (vec![FaultRule::cut_after().probability(1.5)], "from 0 to 1"),
        (vec![FaultRule::cut_after().times(0)], "from 1"),
        (
            vec![FaultRule::cut_after().on("refund")],
            "record_invoice_payment",
        ),
    ] {
        let error = layer.faults(rules).expect_err(part).to_string();
        assert!(error.contains(part), "{error}");
    }
    let error = record(&sending_once(&layer), "p")
        .await
        .expect_err("the old rule");
    assert_eq!(error.status(), Some(500));
    layer.stop().await?;

    let layer = Layer::builder()
        .configure(|config| config.faults(false))
        .start()
        .await?;
    let error = layer.faults(["cut=after"]).expect_err("no faults here");
    assert!(error.to_string().contains("makes no faults"), "{error}");
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn the_rate_limit_refuses() -> Outcome {
    let layer = Layer::builder()
        .rate_limit(RateLimit::new(0, 2))
        .start()
        .await?;
    let url = format!("{}/whoami", layer.base_url());
    let http = reqwest::Client::new();
    let mut statuses = Vec::new();
    for _ in 0..3 {
        let reply = http.get(&url).bearer_auth(layer.token()).send().await?;
        statuses.push(reply.status().as_u16());
    }
    assert_eq!(statuses.last(), Some(&429), "{statuses:?}");
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_client_gets_tokens_that_expire() -> Outcome {
    let layer = Layer::builder()
        .oauth_client("my-app", "hush")
        .token_lifetime(Duration::from_secs(90))
        .start()
        .await?;
    let reply: Value = reqwest::Client::new()
        .post(layer.token_url())
        .basic_auth("my-app", Some("hush"))
        .header("content-type", "application/x-www-form-urlencoded")
        .body("grant_type=client_credentials&scope=https://sandbox.layerfi.com/sandbox&client_id=my-app")
        .send()
        .await?
        .json()
        .await?;
    assert_eq!(reply["expires_in"], 90, "{reply}");
    let token = reply["access_token"].as_str().expect("a token");
    let client = layer.client_builder().token(token).build()?;
    assert_eq!(record(&client, "p").await?, 201);
    layer.stop().await?;
    Ok(())
}

#[tokio::test]
async fn a_file_is_kept_and_spoiled_books_fail_the_stop() -> Outcome {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("payments.db");
    let start = || {
        Layer::builder()
            .database(Database::File(file.clone()))
            .start()
    };
    let layer = start().await?;
    record(&layer.client(), "p").await?;
    layer.stop().await?;

    let layer = start().await?;
    assert_eq!(count(&layer).await?, 1);
    layer.check_books().await?;
    let spoiled = rusqlite::Connection::open(&file)?;
    let changed = spoiled.execute("UPDATE payments SET amount = amount + 1", [])?;
    assert_eq!(changed, 1);
    let found = layer.check_books().await.expect_err("spoiled books");
    assert!(!found.book_faults().is_empty());
    let error = layer.stop().await.expect_err("spoiled books");
    assert_eq!(error.book_faults(), found.book_faults());
    let text = error.to_string();
    assert!(
        text.starts_with("the books aren't in order:\n")
            && text.contains(&DEFAULT_BUSINESS.to_string()),
        "{text}"
    );

    // Dropped, it says nothing of them.
    drop(start().await?);
    Ok(())
}

#[tokio::test]
async fn no_secret_is_shown() -> Outcome {
    let layer = Layer::builder().token("secret-of-a-test").start().await?;
    assert_eq!(layer.token(), "secret-of-a-test");
    let shown = format!("{layer:?}");
    assert!(
        shown.contains("127.0.0.1") && !shown.contains("secret"),
        "{shown}"
    );
    layer.stop().await?;
    Ok(())
}
