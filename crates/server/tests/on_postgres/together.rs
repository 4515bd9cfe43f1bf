//! Servers that share a database are one to their clients.

use layer_payments_server::ApiClient;
use reqwest::Method;
use serde_json::json;

use crate::engine::Place;
use crate::harness::{BUSINESS, TestServer, config, payment, send};

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
