//! The document of the routes beside the public API: its fixtures are taken, and the server's replies are what it says.

use layer_payments_local::Layer;
use layer_payments_server::Fixtures;
use layer_payments_tests::{closed, json_schema, local_spec, resolve, violations};
use serde_json::{Value, json};

fn schema_name(schema: &Value) -> &str {
    schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
        .expect("bodies are named schemas")
}

#[test]
fn the_fixtures_example_is_valid_and_taken() {
    let spec = local_spec();
    let example = &spec["components"]["examples"]["Fixtures"]["value"];
    let schema = json_schema(&spec, "Fixtures", false);
    assert_eq!(violations(&schema, example), Vec::<String>::new());
    Fixtures::from_json(example.to_string().as_bytes()).expect("the server takes the example");
    // The schema is as strict as the server.
    let mut unknown = example.clone();
    unknown["businesses"][0]["payment"] = json!([]);
    assert_eq!(violations(&schema, &unknown).len(), 1);
    Fixtures::from_json(unknown.to_string().as_bytes()).expect_err("an unknown property");
}

/// Sends the example requests of the document to a server that was filled with its fixtures, and compares what comes
/// back with the schema of the status.
#[tokio::test]
async fn every_reply_conforms_to_the_document() {
    let spec = local_spec();
    let example = |name: &str| spec["components"]["examples"][name]["value"].clone();
    let layer = Layer::builder()
        .fixtures_json(example("Fixtures").to_string())
        .start()
        .await
        .expect("the server starts");

    let business = "/local/businesses/{businessId}";
    let below = |rest: &str| format!("{business}{rest}");
    let other_account = json!({"name": "Till", "account_type": "ASSET"});
    let other_invoice = json!({"external_id": "invoice-2", "total_amount": 1});
    let other_payout =
        json!({"paid_out_amount": 0, "completed_at": "2024-02-28T00:00:00Z", "payments": []});
    let cases: Vec<(&str, String, Option<Value>, u16)> = vec![
        ("GET", "/local/businesses".to_owned(), None, 200),
        ("POST", "/local/businesses".to_owned(), Some(json!({})), 201),
        (
            "POST",
            "/local/businesses".to_owned(),
            Some(example("NewBusiness")),
            200,
        ),
        (
            "POST",
            "/local/businesses".to_owned(),
            Some(json!({"external_id": ""})),
            400,
        ),
        ("GET", business.to_owned(), None, 200),
        (
            "PATCH",
            business.to_owned(),
            Some(example("CloseBooks")),
            200,
        ),
        ("PATCH", business.to_owned(), Some(json!({})), 400),
        ("GET", below("/ledger-accounts"), None, 200),
        ("POST", below("/ledger-accounts"), Some(other_account), 201),
        (
            "POST",
            below("/ledger-accounts"),
            Some(example("NewLedgerAccount")),
            200,
        ),
        ("GET", below("/invoices"), None, 200),
        ("POST", below("/invoices"), Some(other_invoice), 201),
        ("POST", below("/invoices"), Some(example("NewInvoice")), 200),
        ("POST", below("/invoices/{invoiceId}/void"), None, 400),
        ("POST", below("/payouts"), Some(other_payout), 201),
        ("POST", below("/payouts"), Some(example("NewPayout")), 200),
        (
            "POST",
            below("/matches"),
            Some(example("NewPayoutMatch")),
            200,
        ),
        (
            "POST",
            below("/matches"),
            Some(example("NewPaymentMatch")),
            400,
        ),
        ("GET", below("/journal-entries"), None, 200),
        ("GET", below("/trial-balance"), None, 200),
        ("GET", "/local/books-check".to_owned(), None, 200),
        ("POST", "/local/reset".to_owned(), None, 200),
    ];
    let client = reqwest::Client::new();
    for (method, template, body, expected) in cases {
        let path = template
            .replace("{businessId}", "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4")
            .replace("{invoiceId}", "3a9c378e-dc02-4700-9158-f629d632a83b");
        let mut request = client
            .request(
                method.parse().expect("a method"),
                format!("{}{path}", layer.base_url()),
            )
            .bearer_auth(layer.token());
        if let Some(body) = &body {
            request = request.json(body);
        }
        let response = request.send().await.expect("a reply");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a whole reply");
        let called = format!("{method} {template} with {body:?}");
        assert_eq!(status, expected, "{called}: {text}");
        let reply: Value = serde_json::from_str(&text).expect("the reply is JSON");
        let operation = &spec["paths"][&template][method.to_lowercase()];
        let declared = resolve(&spec, &operation["responses"][status.to_string()]);
        let schema = schema_name(&declared["content"]["application/json"]["schema"]);
        let faults = violations(&closed(json_schema(&spec, schema, false)), &reply);
        assert!(
            faults.is_empty(),
            "{called}: {}\n{reply:#}",
            faults.join("\n")
        );
    }
    layer.stop().await.expect("the books are in order");
}
