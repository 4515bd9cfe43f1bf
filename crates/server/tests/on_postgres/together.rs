//! Servers that share a database are one to their clients.

use layer_payments_server::ApiClient;
use reqwest::Method;
use serde_json::json;

use crate::engine::Place;
use crate::harness::{BUSINESS, TestServer, config, payment, send, with};

async fn start(place: &Place, clients: &[&str]) -> TestServer {
    let config = clients.iter().fold(config(place.database()), |config, id| {
        config.client(ApiClient::new(id, "hush").unwrap())
    });
    TestServer::start(config).await
}

#[tokio::test]
async fn a_token_of_one_server_opens_the_other() {
    let place = Place::new();
    let (first, second) = tokio::join!(start(&place, &["app"]), start(&place, &["app"]));
    let form = [("grant_type", "client_credentials")];
    let request = first
        .client
        .post(format!("{}/oauth2/token", first.base))
        .basic_auth("app", Some("hush"))
        .form(&form);
    let token = send(request).await.ok().body["access_token"].clone();
    let token = token.as_str().unwrap();
    let recorded = second
        .client
        .post(second.payments_url())
        .bearer_auth(token)
        .json(&payment("p1"));
    assert_eq!(send(recorded).await.status, 201);
    let of_business = format!("/v1/businesses/{BUSINESS}/auth-token");
    let request = second
        .client
        .request(Method::POST, format!("{}{of_business}", second.base))
        .bearer_auth(token);
    let narrow = send(request).await.ok().body["access_token"].clone();
    let listed = first
        .client
        .get(first.payments_url())
        .bearer_auth(narrow.as_str().unwrap());
    assert_eq!(
        send(listed).await.ok().body["data"][0]["external_id"],
        json!("p1")
    );

    // A server whose clients are others can't tell whose token it is.
    let other = start(&place, &["another", "app"]).await;
    let refused = other.client.get(other.payments_url()).bearer_auth(token);
    assert_eq!(send(refused).await.status, 401);
}

/// Keeps what all tables hold.
const KEEP: &str = "
    CREATE SCHEMA kept;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' LOOP
            EXECUTE format('CREATE TABLE kept.%I AS TABLE public.%I', name, name);
        END LOOP;
    END $$";
/// Makes all tables hold what was kept.
const TAKE_BACK: &str = "
    SET session_replication_role = replica;
    DO $$ DECLARE name text; BEGIN
        FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'kept' LOOP
            EXECUTE format('DELETE FROM public.%I', name);
            EXECUTE format('INSERT INTO public.%I TABLE kept.%I', name, name);
        END LOOP;
    END $$";

/// A standby takes over that the last transaction hadn't reached, or the database is restored while servers run. Another
/// transaction counts to the same numbers then, and what a server remembers of the lost one must not be taken for it.
#[tokio::test]
async fn a_database_that_is_taken_back_under_its_servers_keeps_its_books_in_order() {
    let place = Place::new();
    let (first, second) = (TestServer::at(&place).await, TestServer::at(&place).await);
    let tagged = |external_id: &str, amount: i64| {
        with(
            payment(external_id),
            json!({"amount": amount, "invoice_payments": [], "tags": [{"key": "k", "value": "new"}]}),
        )
    };
    first.record(&payment("kept")).await.ok();
    place.sql(KEEP);
    first.record(&tagged("lost", 7_000)).await.ok();
    place.sql(TAKE_BACK);
    second.record(&tagged("second", 30)).await.ok();
    first.record(&tagged("first", 1)).await.ok();
    assert_eq!(first.listed("").await, ["kept", "second", "first"]);
    assert_eq!(
        first.look("/trial-balance").await,
        second.look("/trial-balance").await
    );
    // They check the books.
    first.stop().await;
    second.stop().await;
}
