//! Tokens: who gets them, what they open, and when they end.

use std::time::Duration;

use layer_payments_server::ApiClient;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::engine::fresh;
use crate::harness::{BUSINESS, Reply, TOKEN, TestClock, TestServer, config, payment, send};

const SECRET: &str = "hush+hush%/";
const SCOPE: &str = "https://sandbox.layerfi.com/sandbox";
const OTHER_BUSINESS: &str = "8d0b2e71-9a4c-4f3e-8a67-5c1f6f6f2b11";

async fn server(clock: &TestClock) -> TestServer {
    let config = config(fresh())
        .business(OTHER_BUSINESS.parse().unwrap())
        .client(ApiClient::new("other-app", "other-secret").unwrap())
        .client(ApiClient::new("my-app", SECRET).unwrap())
        .clock(clock.clock());
    TestServer::start(config).await
}

fn ask(server: &TestServer, form: &str) -> RequestBuilder {
    server
        .client
        .post(format!("{}/oauth2/token", server.base))
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.to_owned())
}

fn usual_form() -> String {
    format!("grant_type=client_credentials&scope={SCOPE}&client_id=my-app")
}

async fn client_token(server: &TestServer) -> String {
    let request = ask(server, &usual_form()).basic_auth("my-app", Some(SECRET));
    send(request).await.ok().body["access_token"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn business_token(server: &TestServer, token: &str, body: &Value) -> Reply {
    let url = format!("{}/v1/businesses/{BUSINESS}/auth-token", server.base);
    send(server.client.post(url).bearer_auth(token).json(body)).await
}

async fn list(server: &TestServer, business: &str, token: &str) -> Reply {
    let url = format!("{}/v1/businesses/{business}/invoices/payments", server.base);
    send(server.client.get(url).bearer_auth(token)).await
}

async fn whoami(server: &TestServer, token: &str) -> Reply {
    let url = format!("{}/whoami", server.base);
    send(server.client.get(url).bearer_auth(token)).await
}

#[tokio::test]
async fn a_client_gets_a_token_that_opens_everything_for_an_hour() {
    let clock = TestClock::at(1_700_000_000_250);
    let server = server(&clock).await;
    let request = ask(&server, &usual_form()).basic_auth("my-app", Some(SECRET));
    let reply = send(request).await.ok();
    assert_eq!(reply.headers["cache-control"], "no-store");
    // Bare, as at Layer.
    let keys: Vec<_> = reply.body.as_object().unwrap().keys().collect();
    assert_eq!(keys, ["access_token", "expires_in", "token_type"]);
    assert_eq!(reply.body["expires_in"], 3600);
    assert_eq!(reply.body["token_type"], "Bearer");
    let token = reply.body["access_token"].as_str().unwrap().to_owned();
    assert_ne!(token, client_token(&server).await);

    for business in [BUSINESS, OTHER_BUSINESS] {
        list(&server, business, &token).await.ok();
    }
    assert_eq!(
        whoami(&server, &token).await.ok().body,
        json!({"data": {"type": "whoami", "clientName": "my-app", "clientId": "my-app"}, "meta": {}})
    );
    assert_eq!(
        whoami(&server, TOKEN).await.ok().body["data"]["clientId"],
        "static-token"
    );

    clock.advance(Duration::from_millis(3_599_999));
    list(&server, BUSINESS, &token).await.ok();
    clock.advance(Duration::from_millis(1));
    let expired = list(&server, BUSINESS, &token).await;
    expired.faults(401);
    assert_eq!(
        expired.headers["www-authenticate"],
        "Bearer error=\"invalid_token\""
    );
    let text = expired.body["errors"][0]["description"].as_str().unwrap();
    assert!(text.contains("expired"), "{text}");
    // The one that the server was started with stays, and a new one is to be had.
    list(&server, BUSINESS, TOKEN).await.ok();
    list(&server, BUSINESS, &client_token(&server).await)
        .await
        .ok();
}

#[tokio::test]
async fn the_lifetime_is_the_configurations() {
    let clock = TestClock::at(0);
    let config = config(fresh())
        .client(ApiClient::new("my-app", SECRET).unwrap())
        .token_lifetime(Duration::from_secs(5))
        .clock(clock.clock());
    let server = TestServer::start(config).await;
    let request = ask(&server, &usual_form()).basic_auth("my-app", Some(SECRET));
    let reply = send(request).await.ok();
    assert_eq!(reply.body["expires_in"], 5);
    clock.advance(Duration::from_secs(5));
    let token = reply.body["access_token"].as_str().unwrap();
    list(&server, BUSINESS, token).await.faults(401);
}

#[tokio::test]
async fn a_token_ends_with_its_server() {
    let clock = TestClock::at(0);
    let token = client_token(&server(&clock).await).await;
    list(&server(&clock).await, BUSINESS, &token)
        .await
        .faults(401);
}

#[tokio::test]
async fn the_token_endpoint_refuses_in_the_form_of_its_standard() {
    let server = server(&TestClock::at(0)).await;
    let right = |form: &str| ask(&server, form).basic_auth("my-app", Some(SECRET));
    let usual = usual_form();
    let json_body = server
        .client
        .post(format!("{}/oauth2/token", server.base))
        .basic_auth("my-app", Some(SECRET))
        .json(&json!({"grant_type": "client_credentials"}));
    for (request, status, error) in [
        (ask(&server, &usual), 401, "invalid_client"),
        (
            ask(&server, &usual).basic_auth("my-app", Some("wrong")),
            401,
            "invalid_client",
        ),
        (
            ask(&server, &usual).basic_auth("other-app", Some(SECRET)),
            401,
            "invalid_client",
        ),
        (
            ask(&server, &usual).basic_auth("my-app", None::<&str>),
            401,
            "invalid_client",
        ),
        (
            ask(&server, &usual).header("authorization", "Basic %%%"),
            401,
            "invalid_client",
        ),
        (
            ask(&server, &usual).bearer_auth(TOKEN),
            401,
            "invalid_client",
        ),
        (right(""), 400, "invalid_request"),
        (right("scope=x"), 400, "invalid_request"),
        (
            right("grant_type=client_credentials&grant_type=client_credentials"),
            400,
            "invalid_request",
        ),
        (right("grant_type=%zz"), 400, "invalid_request"),
        (
            right("grant_type=password&username=a&password=b"),
            400,
            "unsupported_grant_type",
        ),
        (
            right("grant_type=client_credentials&scope=admin"),
            400,
            "invalid_scope",
        ),
        (
            right("grant_type=client_credentials&client_id=other-app"),
            400,
            "invalid_request",
        ),
        (json_body, 400, "invalid_request"),
        (
            right(&format!("{usual}&x={}", "x".repeat(20_000))),
            413,
            "invalid_request",
        ),
    ] {
        let reply = send(request).await;
        assert_eq!(reply.status.as_u16(), status, "{reply:#?}");
        assert_eq!(reply.body["error"], error, "{reply:#?}");
        let text = reply.body["error_description"].as_str().unwrap();
        assert!(!text.is_empty() && !text.contains('"'), "{text}");
        assert!(!reply.body.to_string().contains("hush"), "{reply:#?}");
        assert_eq!(
            reply
                .headers
                .get("www-authenticate")
                .map(|it| it.to_str().unwrap()),
            (status == 401).then_some("Basic realm=\"oauth2\"")
        );
    }
    // Without a scope and with ones that aren't known, and with the secret encoded as the standard has it.
    for form in ["grant_type=client_credentials&extra=1", usual.as_str()] {
        send(right(form)).await.ok();
    }
    let encoded = ask(&server, &usual).basic_auth("my-app", Some("hush%2Bhush%25%2F"));
    send(encoded).await.ok();
}

#[tokio::test]
async fn a_business_token_opens_its_business_and_nothing_else() {
    let clock = TestClock::at(1_700_000_000_000);
    let server = server(&clock).await;
    let from = client_token(&server).await;
    let reply = business_token(&server, &from, &json!({})).await.ok();
    assert_eq!(reply.body["expires_in"], 3600);
    assert_eq!(reply.body["token_type"], "Bearer");
    let token = reply.body["access_token"].as_str().unwrap();

    // All of its own business, in either case of the id's letters.
    let url = server.payments_url();
    let created = send(
        server
            .client
            .post(&url)
            .bearer_auth(token)
            .json(&payment("p")),
    )
    .await
    .ok();
    let update = server
        .client
        .patch(format!("{url}/{}", created.id()))
        .bearer_auth(token)
        .json(&json!({"memo": "m"}));
    send(update).await.ok();
    list(&server, &BUSINESS.to_uppercase(), token).await.ok();
    assert_eq!(
        whoami(&server, token).await.ok().body["data"]["clientId"],
        "my-app"
    );

    // Nothing of another, whether it is there or not, nor of what isn't a business.
    send(
        server
            .client
            .post(url.replace(BUSINESS, OTHER_BUSINESS))
            .bearer_auth(TOKEN)
            .json(&payment("theirs")),
    )
    .await
    .ok();
    let unknown = "11111111-1111-4111-8111-111111111111";
    let mut replies = Vec::new();
    for business in [OTHER_BUSINESS, unknown, "x", "%FF"] {
        let url = url.replace(BUSINESS, business);
        for request in [
            server.client.get(&url),
            server.client.post(&url).json(&payment("p")),
            server
                .client
                .post(format!("{url}/bulk"))
                .json(&json!([payment("p")])),
            server
                .client
                .patch(format!("{url}/{}", created.id()))
                .json(&json!({"memo": "theirs"})),
        ] {
            let mut reply = send(request.bearer_auth(token)).await;
            reply.faults(401);
            reply.body["meta"] = Value::Null;
            replies.push(reply.body);
        }
    }
    replies.dedup();
    assert_eq!(replies.len(), 1, "the replies tell businesses apart");
    let theirs = list(&server, OTHER_BUSINESS, TOKEN).await.ok();
    assert_eq!(theirs.external_ids(), ["theirs"]);

    // It can't prolong itself.
    business_token(&server, token, &json!({})).await.faults(401);
    clock.advance(Duration::from_secs(3_600));
    list(&server, BUSINESS, token).await.faults(401);
}

#[tokio::test]
async fn a_business_token_lasts_as_long_as_asked() {
    let clock = TestClock::at(0);
    let server = server(&clock).await;
    for (body, seconds) in [
        (json!({"session_duration": 1}), 1),
        (json!({"session_duration": 86_400}), 86_400),
        // As Layer's example has it.
        (json!({"session_duration": "60"}), 60),
        (json!({"session_duration": null}), 3_600),
    ] {
        let reply = business_token(&server, TOKEN, &body).await.ok();
        assert_eq!(reply.body["expires_in"], seconds, "{body}");
    }
    // No body at all, and then no content type either.
    let url = format!("{}/v1/businesses/{BUSINESS}/auth-token", server.base);
    let reply = send(server.client.post(&url).bearer_auth(TOKEN)).await.ok();
    let token = reply.body["access_token"].as_str().unwrap().to_owned();
    clock.advance(Duration::from_secs(3_599));
    list(&server, BUSINESS, &token).await.ok();
    clock.advance(Duration::from_secs(1));
    list(&server, BUSINESS, &token).await.faults(401);

    for (body, pointer) in [
        (json!({"session_duration": 0}), "/session_duration"),
        (json!({"session_duration": 86_401}), "/session_duration"),
        (json!({"session_duration": -1}), "/session_duration"),
        (json!({"session_duration": "soon"}), "/session_duration"),
        (json!({"session_duration": 1.5}), "/session_duration"),
        (json!({"duration": 5}), "/duration"),
        (json!("60"), ""),
    ] {
        let reply = business_token(&server, TOKEN, &body).await;
        assert_eq!(
            reply.faults(400),
            [(pointer.to_owned(), "body-invalid".to_owned())],
            "{body}"
        );
    }
    let malformed = server
        .client
        .request(Method::POST, &url)
        .bearer_auth(TOKEN)
        .header("content-type", "application/json")
        .body("{\"session_duration\": 5} x");
    assert_eq!(send(malformed).await.faults(400)[0].1, "json-malformed");
    let text = server.client.post(&url).bearer_auth(TOKEN).body("60");
    send(text).await.faults(415);
    let unknown = server
        .client
        .post(url.replace(BUSINESS, "x"))
        .bearer_auth(TOKEN);
    send(unknown).await.faults(400);
}
