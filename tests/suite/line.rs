//! The thin line through everything: the generated client against the real server, and the server against the spec.

use layer_payments_client::Unchecked;
use layer_payments_client::types::{
    BulkCreateInvoicePayments, Field, IdempotencyOutcome, InvoicePaymentMethod, PaymentMethod,
    UpdateInvoicePayment,
};
use layer_payments_client::validation::{Context, Validated};
use layer_payments_local::Layer;
use layer_payments_tests::{closed, json_file, json_schema, resolve, spec, violations};
use serde_json::{Value, json};

/// Starts a server with an empty store.
async fn server() -> Layer {
    Layer::start().await.expect("the server starts")
}

/// Sends a request as `curl` would and gives the status and the body.
async fn send(layer: &Layer, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
    let url = format!(
        "{}/v1/businesses/{}/invoices/payments{path}",
        layer.base_url(),
        layer.business_id()
    );
    let mut request = reqwest::Client::new()
        .request(method.parse().expect("a method"), url)
        .bearer_auth(layer.token());
    if let Some(body) = body {
        request = request.json(body);
    }
    let reply = request.send().await.expect("the server answers");
    let status = reply.status().as_u16();
    (status, reply.json().await.expect("every reply is JSON"))
}

#[tokio::test]
async fn the_record_pages_request_gets_the_documented_reply() {
    let layer = server().await;
    let request = json_file("spec/examples/record_invoice_payment.request.json");
    let (status, reply) = send(&layer, "POST", "", Some(&request)).await;
    assert_eq!(status, 201, "{reply}");

    // Every key of the documented reply is there. The page's own values belong to another payment, so they are
    // compared with the request below.
    let documented = json_file("spec/examples/record_invoice_payment.reply.json");
    let mut missing = Vec::new();
    collect_missing(&documented, &reply, "", &mut missing);
    assert!(missing.is_empty(), "{missing:?} in {reply:#}");

    let data = &reply["data"];
    for (key, sent) in [
        ("external_id", "external_id"),
        ("at", "paid_at"),
        ("method", "method"),
        ("fee", "fee"),
        ("amount", "amount"),
        ("processor", "processor"),
    ] {
        assert_eq!(data[key], request[sent], "{key}");
    }
    assert_eq!(
        data["type"], "Invoice_Payment",
        "the newest pages' name of it"
    );
    let allocation = &data["allocations"][0];
    assert_eq!(
        allocation["invoice_id"],
        request["invoice_payments"][0]["invoice_id"]
    );
    assert_eq!(allocation["amount"], 90);
    assert_eq!(allocation["payment_id"], data["id"]);
    assert_eq!(allocation["transaction_tags"][0]["key"], "payment-source");
    assert_eq!(
        allocation["transaction_tags"][0]["value_display_name"],
        "Online Portal"
    );
    let fee = &data["additional_fees"][0];
    assert_eq!(
        fee["account"]["type"], "AccountId",
        "a stable name comes back resolved"
    );
    assert_eq!(
        (&fee["description"], &fee["fee_amount"]),
        (&json!("MCA Fee"), &json!(2))
    );
    let keys = data["transaction_tags"]
        .as_array()
        .expect("tags are a list")
        .iter()
        .map(|tag| (tag["key"].as_str(), tag["value"].as_str()))
        .collect::<Vec<_>>();
    assert_eq!(
        keys,
        [
            (Some("payment-channel"), Some("in-store")),
            (Some("department"), Some("sales"))
        ]
    );
    layer.stop().await.expect("the books are in order");
}

/// Collects the keys that a documented value has and an actual one lacks. Of lists the first items are compared.
fn collect_missing(documented: &Value, actual: &Value, at: &str, missing: &mut Vec<String>) {
    match documented {
        Value::Object(keys) => {
            for (key, value) in keys {
                match actual.get(key) {
                    Some(other) => collect_missing(value, other, &format!("{at}/{key}"), missing),
                    None => missing.push(format!("{at}/{key}")),
                }
            }
        }
        Value::Array(items) => {
            if let Some(first) = items.first() {
                match actual.get(0) {
                    Some(other) => collect_missing(first, other, &format!("{at}/0"), missing),
                    None => missing.push(format!("{at}/0")),
                }
            }
        }
        _ => {}
    }
}

#[tokio::test]
async fn the_client_and_the_server_agree() {
    let layer = server().await;
    let client = layer.client();
    let spec = spec();
    let example = |name: &str| spec["components"]["examples"][name]["value"].clone();
    let context = Context::at("2026-01-01T00:00:00Z".parse().expect("a time"));
    let split = serde_json::from_value(example("CreateSplitPayment")).expect("the example decodes");
    let split = Validated::create(split, &context).expect("the example is valid");

    let created = client
        .record(&split)
        .await
        .expect("the payment is recorded");
    assert_eq!(created.status(), 201);
    let again = client.record(&split).await.expect("the payment is found");
    assert_eq!((again.status(), &again.data), (200, &created.data));

    let update = UpdateInvoicePayment {
        reference_number: Field::Null,
        memo: Field::Value("seen twice".to_owned()),
        invoice_payments: Some(Vec::new()),
        ..UpdateInvoicePayment::default()
    };
    let updated = client
        .update(created.data.id, Unchecked(&update))
        .await
        .expect("the payment is updated");
    assert_eq!(updated.data.reference_number, Field::Null);
    assert_eq!(
        updated.data.memo.as_option().map(String::as_str),
        Some("seen twice")
    );
    assert_eq!(updated.data.allocations, []);
    assert_eq!(updated.data.amount, created.data.amount);

    let bulk: BulkCreateInvoicePayments =
        serde_json::from_value(example("BulkRequest")).expect("the example decodes");
    let payments = Validated::bulk(bulk.0.clone(), &context).expect("the example is valid");
    let reply = client
        .bulk(&payments)
        .await
        .expect("the payments are recorded");
    let outcomes = reply
        .meta
        .as_option()
        .and_then(|meta| meta.idempotency.as_option())
        .and_then(|idempotency| idempotency.outcomes.clone());
    assert_eq!(outcomes, Some(vec![IdempotencyOutcome::Created; 2]));

    let mut payments = client.list().limit(1).stream();
    let mut methods = Vec::new();
    while let Some(payment) = payments.next().await {
        methods.extend(payment.expect("the page is read").method);
    }
    assert_eq!(
        methods,
        [
            InvoicePaymentMethod::CreditCard,
            InvoicePaymentMethod::Check,
            InvoicePaymentMethod::Cash
        ],
        "all pages, by time"
    );
    let cash = client
        .list()
        .method(PaymentMethod::Cash)
        .send()
        .await
        .expect("the page is read");
    assert_eq!(cash.data.len(), 1);

    let refused = client
        .bulk(Unchecked(&[bulk.0[0].clone(), bulk.0[0].clone()]))
        .await
        .expect_err("the same external id twice is refused");
    assert!(refused.is_bad_request());
    assert!(!refused.to_string().contains(layer.token()));
    assert_eq!(
        refused.errors()[0]
            .error_enum
            .as_option()
            .map(String::as_str),
        Some("SpecifiedBadRequest")
    );
    layer.stop().await.expect("the books are in order");
}

#[tokio::test]
async fn every_reply_conforms_to_the_spec() {
    let layer = server().await;
    let spec = spec();
    let example = |name: &str| spec["components"]["examples"][name]["value"].clone();
    let (_, recorded) = send(&layer, "POST", "", Some(&example("CreateCardPayment"))).await;
    let id = recorded["data"]["id"]
        .as_str()
        .expect("a payment has an id");
    let unknown = "00000000-0000-4000-8000-000000000000";
    let payment = "/{paymentId}";

    let cases = [
        (
            "POST",
            "",
            String::new(),
            Some(example("CreateSplitPayment")),
            201,
        ),
        (
            "POST",
            "",
            String::new(),
            Some(example("CreateCreditBalancePayment")),
            201,
        ),
        (
            "POST",
            "",
            String::new(),
            Some(example("CreateCardPayment")),
            200,
        ),
        (
            "POST",
            "",
            String::new(),
            Some(json!({ "amount": "9" })),
            400,
        ),
        ("POST", "", String::new(), Some(json!([])), 400),
        (
            "POST",
            "/bulk",
            "/bulk".to_owned(),
            Some(example("BulkRequest")),
            200,
        ),
        ("POST", "/bulk", "/bulk".to_owned(), Some(json!([])), 400),
        (
            "PATCH",
            payment,
            format!("/{id}"),
            Some(example("UpdateReallocate")),
            200,
        ),
        (
            "PATCH",
            payment,
            format!("/{id}"),
            Some(example("UpdateClear")),
            200,
        ),
        (
            "PATCH",
            payment,
            format!("/{id}"),
            Some(json!({ "amount": -1 })),
            400,
        ),
        (
            "PATCH",
            payment,
            format!("/{unknown}"),
            Some(json!({})),
            404,
        ),
        ("GET", "", String::new(), None, 200),
        (
            "GET",
            "",
            "?limit=2&show_total_count=true&sort_by=amount&sort_order=DESC".to_owned(),
            None,
            200,
        ),
        ("GET", "", "?external_id=nobody".to_owned(), None, 200),
        ("GET", "", "?limit=0".to_owned(), None, 400),
        ("GET", "", "?method=BARTER".to_owned(), None, 400),
    ];
    for (method, template, path, body, expected) in cases {
        let (status, reply) = send(&layer, method, &path, body.as_ref()).await;
        let called = format!("{method} {path} with {body:?}");
        assert_eq!(status, expected, "{called}: {reply}");
        let template = format!("/v1/businesses/{{businessId}}/invoices/payments{template}");
        let operation = &spec["paths"][&template][method.to_lowercase()];
        let declared = resolve(&spec, &operation["responses"][status.to_string()]);
        let schema = declared["content"]["application/json"]["schema"]["$ref"]
            .as_str()
            .and_then(|reference| reference.rsplit('/').next())
            .unwrap_or_else(|| panic!("{called}: the spec doesn't know status {status}"));
        let faults = violations(&closed(json_schema(&spec, schema, false)), &reply);
        assert!(
            faults.is_empty(),
            "{called}: {}\n{reply:#}",
            faults.join("\n")
        );
    }
    layer.stop().await.expect("the books are in order");
}
