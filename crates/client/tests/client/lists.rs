//! Listing: that each filter reaches the server, and that a stream gives every payment once and
//! always ends.

use std::time::Duration;

use futures_util::StreamExt;
use layer_payments_client::types::{InvoicePayment, PaymentMethod, SortKey, SortOrder};
use layer_payments_client::{Error, ListPosition, PaymentStream};
use serde_json::{Value, json};
use uuid::Uuid;
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::{PAYMENTS_PATH, client, envelope, payment};

/// A page of the payments with these numbers.
fn page(numbers: &[u128], pagination: Value) -> ResponseTemplate {
    let data: Vec<Value> = numbers
        .iter()
        .map(|&number| payment(Uuid::from_u128(number), &format!("payment-{number}")))
        .collect();
    ResponseTemplate::new(200)
        .set_body_json(json!({"data": data, "meta": {"pagination": pagination}}))
}

/// Answers the request with this cursor (the first request has none).
async fn answer(server: &MockServer, cursor: Option<&str>, response: ResponseTemplate) {
    let mock = Mock::given(method("GET")).and(path(PAYMENTS_PATH));
    let mock = match cursor {
        Some(cursor) => mock.and(query_param("cursor", cursor)),
        None => mock.and(query_param_is_missing("cursor")),
    };
    mock.respond_with(response).mount(server).await;
}

async fn count(server: &MockServer) -> usize {
    server
        .received_requests()
        .await
        .expect("requests are recorded")
        .len()
}

/// Everything that the stream gives, as far as it ends.
async fn all(stream: PaymentStream) -> Vec<Result<InvoicePayment, Error>> {
    let ended = tokio::time::timeout(Duration::from_secs(20), stream.collect()).await;
    ended.expect("the stream ends")
}

fn numbers(payments: &[Result<InvoicePayment, Error>]) -> Vec<u128> {
    payments
        .iter()
        .flatten()
        .map(|payment| payment.id.as_u128())
        .collect()
}

#[tokio::test]
async fn every_setter_is_a_query_parameter() {
    let server = MockServer::start().await;
    answer(&server, Some("c/1+"), page(&[], json!({"has_more": false}))).await;
    let list = client(&server.uri())
        .list()
        .method(PaymentMethod::CreditCard)
        .paid_at_start("2024-01-01T00:00:00+01:00".parse().expect("a time"))
        .paid_at_end("2024-12-31T23:59:59.5Z".parse().expect("a time"))
        .external_id("payment 1&2")
        .reference_numbers(["CHK-1001", "№ 7"])
        .included_in_payout(false)
        .is_matched(true)
        .sort_by(SortKey::ImportedAt)
        .sort_order(SortOrder::Desc)
        .cursor("c/1+")
        .limit(250)
        .show_total_count(true);
    list.send().await.expect("a page");

    let request = server
        .received_requests()
        .await
        .expect("requests are recorded")
        .remove(0);
    let mut query: Vec<(String, String)> = request.url.query_pairs().into_owned().collect();
    query.sort();
    let expected = [
        ("cursor", "c/1+"),
        ("external_id", "payment 1&2"),
        ("included_in_payout", "false"),
        ("is_matched", "true"),
        ("limit", "250"),
        ("method", "CREDIT_CARD"),
        ("paid_at_end", "2024-12-31T23:59:59.5Z"),
        ("paid_at_start", "2023-12-31T23:00:00Z"),
        ("reference_numbers", "CHK-1001,№ 7"),
        ("show_total_count", "true"),
        ("sort_by", "imported_at"),
        ("sort_order", "DESC"),
    ];
    assert_eq!(
        query,
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );

    // A parameter that the API description gains needs a setter, and this test a line.
    let mut parameters: Vec<&str> = layer_payments_client::types::Operation::ListInvoicePayments
        .parameters()
        .iter()
        .map(|parameter| parameter.name)
        .filter(|name| *name != "businessId")
        .collect();
    parameters.sort_unstable();
    assert_eq!(parameters, expected.map(|(name, _)| name));
}

#[tokio::test]
async fn a_list_without_filters_sends_none() {
    let server = MockServer::start().await;
    answer(
        &server,
        None,
        page(
            &[1],
            json!({"has_more": true, "cursor": "b", "total_count": 7}),
        ),
    )
    .await;
    let first = client(&server.uri()).list().send().await.expect("a page");
    let request = server
        .received_requests()
        .await
        .expect("requests are recorded")
        .remove(0);
    assert_eq!(request.url.query(), None);
    let pagination = first
        .meta
        .as_option()
        .and_then(|meta| meta.pagination.as_option())
        .expect("it's paged");
    assert_eq!(pagination.cursor.as_option().map(String::as_str), Some("b"));
    assert_eq!(pagination.total_count.as_option(), Some(&7));
}

#[tokio::test]
async fn what_cannot_be_asked_for_is_an_error_and_no_request() {
    let server = MockServer::start().await;
    let client = client(&server.uri());
    let cases = [
        (
            client.list().reference_numbers(["CHK-1", "A,B"]),
            "reference_numbers: number 2 (\"A,B\") holds a comma, which the API takes for a separator; leave it out",
        ),
        (
            client.list().reference_numbers([String::new()]),
            "reference_numbers: number 1 (\"\") is empty; leave it out",
        ),
        (
            client.list().reference_numbers(Vec::<String>::new()),
            "reference_numbers: there are none, which no payment could match; don't set the filter",
        ),
        (
            client.list().limit(0),
            "limit: is 0, so that no page could hold anything; give at least 1",
        ),
    ];
    for (list, message) in cases {
        let error = list
            .clone()
            .send()
            .await
            .expect_err("it can't be asked for");
        assert!(error.is_argument());
        assert_eq!(
            error.to_string(),
            format!("list_invoice_payments: {message}")
        );
        let payments = all(list.stream()).await;
        assert_eq!(payments.len(), 1);
        assert!(
            payments[0]
                .as_ref()
                .expect_err("it can't be asked for")
                .is_argument()
        );
    }
    assert_eq!(count(&server).await, 0);
}

#[tokio::test]
async fn a_stream_follows_the_cursors_and_repeats_the_filters() {
    let server = MockServer::start().await;
    answer(
        &server,
        None,
        page(&[1, 2], json!({"has_more": true, "cursor": "b"})),
    )
    .await;
    answer(
        &server,
        Some("b"),
        page(&[], json!({"has_more": true, "cursor": "c"})),
    )
    .await;
    answer(
        &server,
        Some("c"),
        page(&[3], json!({"has_more": false, "cursor": "d"})),
    )
    .await;

    let mut payments = client(&server.uri())
        .list()
        .method(PaymentMethod::Cash)
        .limit(2)
        .stream();
    assert_eq!(
        count(&server).await,
        0,
        "nothing is asked for before the first payment is taken"
    );
    let mut taken = Vec::new();
    while let Some(payment) = payments.next().await {
        taken.push(payment);
        if taken.len() == 2 {
            assert_eq!(
                count(&server).await,
                1,
                "no page is asked for before the one before it is used up"
            );
        }
    }
    assert!(
        payments.next().await.is_none(),
        "an ended stream stays ended"
    );
    assert_eq!(numbers(&taken), [1, 2, 3]);
    assert!(taken.iter().all(Result::is_ok));

    let requests = server
        .received_requests()
        .await
        .expect("requests are recorded");
    let queries: Vec<&str> = requests
        .iter()
        .filter_map(|request| request.url.query())
        .collect();
    assert_eq!(
        queries,
        [
            "limit=2&method=CASH",
            "cursor=b&limit=2&method=CASH",
            "cursor=c&limit=2&method=CASH"
        ]
    );
}

#[tokio::test]
async fn a_stream_starts_at_the_cursor_that_it_is_given() {
    let server = MockServer::start().await;
    answer(
        &server,
        Some("c"),
        page(&[3], json!({"has_more": false, "cursor": null})),
    )
    .await;
    let payments = all(client(&server.uri()).list().cursor("c").stream()).await;
    assert_eq!(numbers(&payments), [3]);
}

#[tokio::test]
async fn a_page_without_pagination_is_the_whole_list() {
    for body in [
        json!([payment(Uuid::from_u128(1), "payment-1")]),
        json!({"data": [], "meta": null}),
    ] {
        let server = MockServer::start().await;
        answer(
            &server,
            None,
            ResponseTemplate::new(200).set_body_json(&body),
        )
        .await;
        let payments = all(client(&server.uri()).list().stream()).await;
        assert!(payments.iter().all(Result::is_ok));
        assert_eq!(count(&server).await, 1);
    }
}

#[tokio::test]
async fn more_without_a_cursor_is_an_error_after_the_page() {
    for cursor in [
        json!({"has_more": true}),
        json!({"has_more": true, "cursor": null}),
        json!({"has_more": true, "cursor": ""}),
    ] {
        let server = MockServer::start().await;
        answer(&server, None, page(&[1, 2], cursor)).await;
        let payments = all(client(&server.uri()).list().stream()).await;
        assert_eq!(numbers(&payments), [1, 2]);
        assert_eq!(
            payments.len(),
            3,
            "an error follows the payments, and nothing follows the error"
        );
        let error = payments[2].as_ref().expect_err("the rest is out of reach");
        assert!(error.is_paging() && !error.is_outcome_unknown());
        assert!(error.to_string().contains("gives no cursor"), "{error}");
        assert_eq!(count(&server).await, 1);
    }
}

#[tokio::test]
async fn cursors_in_a_circle_are_an_error_and_no_endless_loop() {
    let server = MockServer::start().await;
    answer(
        &server,
        None,
        page(&[1], json!({"has_more": true, "cursor": "b"})),
    )
    .await;
    answer(
        &server,
        Some("b"),
        page(&[2], json!({"has_more": true, "cursor": "c"})),
    )
    .await;
    answer(
        &server,
        Some("c"),
        page(&[3], json!({"has_more": true, "cursor": "b"})),
    )
    .await;
    let payments = all(client(&server.uri()).list().stream()).await;
    assert_eq!(numbers(&payments), [1, 2, 3]);
    let error = payments[3].as_ref().expect_err("a circle");
    assert!(error.is_paging());
    assert!(error.to_string().contains("the cursor \"b\""), "{error}");
    assert_eq!(count(&server).await, 3);

    // The cursor that the list began with counts too.
    let server = MockServer::start().await;
    answer(
        &server,
        Some("b"),
        page(&[2], json!({"has_more": true, "cursor": "b"})),
    )
    .await;
    let payments = all(client(&server.uri()).list().cursor("b").stream()).await;
    assert_eq!((numbers(&payments), payments.len()), (vec![2], 2));
}

#[tokio::test]
async fn a_stream_ends_after_its_first_error() {
    let server = MockServer::start().await;
    answer(
        &server,
        None,
        page(&[1], json!({"has_more": true, "cursor": "b"})),
    )
    .await;
    answer(
        &server,
        Some("b"),
        ResponseTemplate::new(400).set_body_json(envelope("The cursor is too old.")),
    )
    .await;
    let payments = all(client(&server.uri()).list().stream()).await;
    assert_eq!((numbers(&payments), payments.len()), (vec![1], 2));
    let error = payments[1].as_ref().expect_err("a 400");
    assert!(error.is_bad_request());
    assert_eq!(
        error.to_string(),
        "list_invoice_payments: HTTP 400 Bad Request: The cursor is too old."
    );
    assert_eq!(count(&server).await, 2);
}

fn position(cursor: Option<&str>, taken: &[u128]) -> ListPosition {
    ListPosition {
        cursor: cursor.map(str::to_owned),
        taken: taken.iter().copied().map(Uuid::from_u128).collect(),
    }
}

#[tokio::test]
async fn a_position_is_the_page_and_what_was_taken_of_it() {
    let server = MockServer::start().await;
    answer(
        &server,
        None,
        page(&[1, 2], json!({"has_more": true, "cursor": "b"})),
    )
    .await;
    answer(
        &server,
        Some("b"),
        page(&[3, 4], json!({"has_more": false})),
    )
    .await;
    let mut payments = client(&server.uri()).list().stream();
    let mut positions = vec![payments.position()];
    while payments.next().await.is_some() {
        positions.push(payments.position());
    }
    assert_eq!(
        positions,
        [
            ListPosition::default(),
            position(None, &[1]),
            // With the page used up, the next cursor says it all.
            position(Some("b"), &[]),
            position(Some("b"), &[3]),
            // There is no next cursor at the end.
            position(Some("b"), &[3, 4]),
        ]
    );
    assert_eq!(payments.position(), positions[4]);

    // Wherever it's taken up again, the rest comes, and each payment once.
    for (taken, position) in positions.into_iter().enumerate() {
        let list = client(&server.uri()).list().resume(position);
        let rest: Vec<u128> = (1..=4).skip(taken).collect();
        assert_eq!(numbers(&all(list.stream()).await), rest);
    }
}

#[tokio::test]
async fn a_list_goes_on_after_an_error() {
    let server = MockServer::start().await;
    answer(
        &server,
        None,
        page(&[1, 2], json!({"has_more": true, "cursor": "b"})),
    )
    .await;
    Mock::given(query_param("cursor", "b"))
        .respond_with(ResponseTemplate::new(400).set_body_json(envelope("Not now.")))
        .up_to_n_times(1)
        .mount(&server)
        .await;
    answer(&server, Some("b"), page(&[3], json!({"has_more": false}))).await;

    let list = client(&server.uri()).list().method(PaymentMethod::Cash);
    let mut payments = list.clone().stream();
    assert!(payments.next().await.expect("a payment").is_ok());
    assert!(payments.next().await.expect("a payment").is_ok());
    assert!(payments.next().await.expect("an error").is_err());
    assert!(payments.next().await.is_none());
    assert_eq!(payments.position(), position(Some("b"), &[]));
    let payments = all(list.resume(payments.position()).stream()).await;
    assert_eq!((numbers(&payments), payments.len()), (vec![3], 1));
    assert_eq!(count(&server).await, 3, "the first page isn't read again");

    // The first page can fail, too, and so can a page that leads nowhere.
    let server = MockServer::start().await;
    let mut payments = client(&server.uri()).list().stream();
    assert!(payments.next().await.expect("a 404").is_err());
    assert_eq!(payments.position(), ListPosition::default());
    answer(&server, Some("x"), page(&[1], json!({"has_more": true}))).await;
    let mut payments = client(&server.uri()).list().cursor("x").stream();
    assert!(payments.next().await.expect("a payment").is_ok());
    assert!(payments.next().await.expect("an error").is_err());
    assert_eq!(payments.position(), position(Some("x"), &[1]));
}

#[tokio::test]
async fn a_resumed_list_gives_what_is_new_and_nothing_twice() {
    // The page began at "b" and held 1, 2, 3, 4, of which 1, 2 and 3 were taken. Since then 10 and
    // 11 were recorded before them, and 3 was deleted.
    let server = MockServer::start().await;
    answer(
        &server,
        Some("b"),
        page(&[10, 1, 11], json!({"has_more": true, "cursor": "c"})),
    )
    .await;
    answer(
        &server,
        Some("c"),
        page(&[2, 4, 5], json!({"has_more": false})),
    )
    .await;
    let stood = position(Some("b"), &[1, 2, 3]);
    let mut payments = client(&server.uri()).list().resume(stood.clone()).stream();
    assert_eq!(payments.position(), stood);
    let mut taken = Vec::new();
    let mut positions = Vec::new();
    while let Some(payment) = payments.next().await {
        taken.push(payment);
        positions.push(payments.position());
    }
    assert_eq!(numbers(&taken), [10, 11, 4, 5]);
    assert_eq!(
        positions,
        [
            position(Some("b"), &[10, 1, 2, 3]),
            // What hasn't come again yet is still known.
            position(Some("c"), &[2, 3]),
            position(Some("c"), &[2, 4, 3]),
            position(Some("c"), &[2, 4, 5, 3]),
        ]
    );
    assert_eq!(count(&server).await, 2);
}

#[tokio::test]
async fn a_list_resumed_at_its_end_gives_what_was_added() {
    let server = MockServer::start().await;
    let first_page = |numbers: &[u128]| {
        let numbers = page(numbers, json!({"has_more": false}));
        Mock::given(query_param_is_missing("cursor")).respond_with(numbers)
    };
    first_page(&[1, 2]).up_to_n_times(1).mount(&server).await;
    first_page(&[1, 2, 3]).mount(&server).await;
    let list = client(&server.uri()).list();
    let mut payments = list.clone().stream();
    while let Some(payment) = payments.next().await {
        payment.expect("a payment");
    }
    let more = all(list.resume(payments.position()).stream()).await;
    assert_eq!((numbers(&more), more.len()), (vec![3], 1));
}

#[tokio::test]
async fn of_cursor_and_position_the_last_one_counts() {
    let server = MockServer::start().await;
    for cursor in ["b", "c"] {
        let reply = page(&[1, 2], json!({"has_more": false}));
        answer(&server, Some(cursor), reply).await;
    }
    let list = client(&server.uri()).list();
    let resumed = list.clone().cursor("b").resume(position(Some("c"), &[1]));
    assert_eq!(numbers(&all(resumed.stream()).await), [2]);
    let begun = list.resume(position(Some("c"), &[1])).cursor("b");
    assert_eq!(numbers(&all(begun.stream()).await), [1, 2]);
    let requests = server.received_requests().await;
    let queries: Vec<String> = requests
        .expect("requests are recorded")
        .iter()
        .map(|request| request.url.query().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(queries, ["cursor=c", "cursor=b"]);
}

#[tokio::test]
async fn pages_come_with_their_headers_and_end_like_payments() {
    let server = MockServer::start().await;
    let first = page(&[1, 2], json!({"has_more": true, "cursor": "b"}));
    let first = first.insert_header("X-Request-Id", "req-1");
    answer(&server, None, first).await;
    let second = page(&[3], json!({"has_more": true, "cursor": "b"}));
    answer(&server, Some("b"), second).await;

    let mut pages = client(&server.uri()).list().pages();
    assert_eq!(count(&server).await, 0, "nothing is asked for before");
    let first = pages.next().await.expect("a page").expect("the first");
    assert_eq!(first.request_id(), Some("req-1"));
    assert_eq!(first.data.len(), 2);
    assert_eq!(count(&server).await, 1);
    let second = pages.next().await.expect("a page").expect("the second");
    assert_eq!(second.data.len(), 1);
    let error = pages.next().await.expect("an error").expect_err("a circle");
    assert!(error.is_paging());
    assert!(pages.next().await.is_none());
    assert_eq!(count(&server).await, 2);

    // A position names a page, and pages come whole.
    let list = client(&server.uri()).list();
    let resumed = list.resume(position(Some("b"), &[3])).pages();
    let pages: Vec<_> = resumed.collect().await;
    assert_eq!(pages.len(), 2);
    assert_eq!(pages[0].as_ref().expect("the second").data.len(), 1);
    assert!(pages[1].as_ref().expect_err("a circle").is_paging());
}

#[tokio::test]
async fn waiting_for_a_payment_can_be_given_up_and_taken_up_again() {
    let server = MockServer::start().await;
    let slow = page(&[1], json!({"has_more": false})).set_delay(Duration::from_millis(100));
    answer(&server, None, slow).await;
    let mut payments = client(&server.uri()).list().stream();
    let hasty = tokio::time::timeout(Duration::from_millis(10), payments.next()).await;
    assert!(hasty.is_err(), "the page takes longer");
    let payment = payments.next().await.expect("a payment");
    assert_eq!(payment.expect("a payment").id.as_u128(), 1);
    assert_eq!(count(&server).await, 1, "the same call is waited for");
}
