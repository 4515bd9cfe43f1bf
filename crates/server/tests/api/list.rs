//! `list_invoice_payments`: filters, order, pages.

use std::collections::HashSet;

use layer_payments_types::InvoicePaymentListReply;
use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{TestServer, payment, send, with};

/// A dozen payments over twelve days, with every method, some references and repeated amounts.
async fn filled() -> TestServer {
    let server = TestServer::fresh().await;
    let methods = [
        "CASH",
        "CHECK",
        "CREDIT_CARD",
        "ACH",
        "CREDIT_BALANCE",
        "OTHER",
    ];
    let payments: Vec<Value> = (1..=12)
        .map(|day| {
            let mut payment = with(
                payment(&format!("p{day:02}")),
                json!({
                    "paid_at": format!("2024-01-{day:02}T12:00:00.5Z"),
                    "method": methods[day % 6],
                    "amount": day % 4 * 100,
                }),
            );
            if day % 3 == 0 {
                payment["reference_number"] = json!(format!("CHK-{}", day / 3));
            }
            payment
        })
        .collect();
    // Recorded in another order than paid.
    let mut shuffled = payments;
    shuffled.rotate_left(5);
    server.bulk(&Value::from(shuffled)).await.ok();
    server
}

#[tokio::test]
async fn the_default_is_the_order_of_payment() {
    let server = filled().await;
    let reply = server.list("").await.ok();
    let expected: Vec<String> = (1..=12).map(|day| format!("p{day:02}")).collect();
    assert_eq!(reply.external_ids(), expected);
    assert_eq!(
        reply.body["meta"]["pagination"],
        json!({"sort_by": "paid_at", "sort_order": "ASC", "cursor": null, "has_more": false})
    );
    let typed: InvoicePaymentListReply = serde_json::from_value(reply.body.clone()).unwrap();
    assert_eq!(serde_json::to_value(typed).unwrap(), reply.body);
}

#[tokio::test]
async fn an_unknown_business_is_told() {
    let server = filled().await;
    let url = server.payments_url().replace("738ec216", "00000000");
    let reply = send(server.client.get(url).bearer_auth(crate::harness::TOKEN)).await;
    assert_eq!(
        reply.faults(404),
        [(String::new(), "business-unknown".to_owned())]
    );
    assert_eq!(reply.body["errors"][0]["error_enum"], "SpecifiedIdNotFound");
}

#[tokio::test]
async fn each_filter_and_their_combination() {
    let server = filled().await;
    for (query, expected) in [
        ("method=CHECK", "p01 p07"),
        ("method=OTHER", "p05 p11"),
        // The old name of a method.
        ("method=REDEEMED_PREPAYMENT", "p04 p10"),
        ("paid_at_start=2024-01-11T12:00:00.5Z", "p11 p12"),
        ("paid_at_start=2024-01-11T12:00:00.500001Z", "p12"),
        ("paid_at_end=2024-01-02T12:00:00.5Z", "p01 p02"),
        ("paid_at_end=2024-01-02T12:00:00.499999Z", "p01"),
        ("paid_at_end=2024-01-02T14:00:00.5%2B02:00", "p01 p02"),
        ("paid_at_start=2024-01-03&paid_at_end=2024-01-04", "p03 p04"),
        // Edges before and after any time that a payment, or an engine, has.
        ("paid_at_start=0000-01-01&paid_at_end=2024-01-01", "p01"),
        ("paid_at_start=2024-01-12&paid_at_end=9999-12-31", "p12"),
        ("paid_at_start=2024-01-03&paid_at_end=2024-01-03", "p03"),
        ("external_id=p07", "p07"),
        ("external_id=P07", ""),
        ("reference_numbers=CHK-2", "p06"),
        ("reference_numbers=CHK-4,CHK-1,none", "p03 p12"),
        ("included_in_payout=true", ""),
        ("is_matched=true", ""),
        (
            "method=CHECK&included_in_payout=false&is_matched=false",
            "p01 p07",
        ),
        ("method=CHECK&paid_at_start=2024-01-02", "p07"),
        ("method=CHECK&external_id=p01", "p01"),
        ("method=CHECK&external_id=p02", ""),
        ("method=CASH&reference_numbers=CHK-1,CHK-2", "p06"),
        (
            "external_id=p06&reference_numbers=CHK-1,CHK-2&paid_at_end=2024-01-06&method=CASH",
            "p06",
        ),
    ] {
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(
            server.listed(&format!("?{query}")).await,
            expected,
            "{query}"
        );
        // The count agrees with the list, and the descending list with the ascending one.
        let counted = server
            .list(&format!(
                "?{query}&show_total_count=true&limit=1&sort_order=DESC"
            ))
            .await
            .ok();
        assert_eq!(
            counted.body["meta"]["pagination"]["total_count"],
            expected.len(),
            "{query}"
        );
        assert_eq!(
            counted.external_ids().first().map(String::as_str),
            expected.last().copied()
        );
    }
}

#[tokio::test]
async fn a_parameter_that_is_not_asked_for_has_no_count() {
    let server = filled().await;
    let reply = server.list("?show_total_count=false").await.ok();
    assert!(
        reply.body["meta"]["pagination"]
            .get("total_count")
            .is_none()
    );
}

#[tokio::test]
async fn pages_follow_each_other_in_every_order() {
    let server = filled().await;
    for filter in [
        "",
        "&method=CASH",
        "&paid_at_start=2024-01-02&paid_at_end=2024-01-11",
        "&reference_numbers=CHK-1,CHK-2,CHK-3",
    ] {
        for sort_by in ["paid_at", "imported_at", "amount"] {
            for sort_order in ["ASC", "DESC"] {
                let order = format!("?sort_by={sort_by}&sort_order={sort_order}{filter}");
                let whole = server.list(&order).await.ok();
                let column = match sort_by {
                    "paid_at" => "at",
                    other => other,
                };
                let key =
                    |payment: &Value| (payment[column].to_string(), payment["id"].to_string());
                let mut keys: Vec<_> = whole.body["data"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(key)
                    .collect();
                if sort_by == "amount" {
                    // Compared as text above, which is right for numbers of one length only.
                    assert!(keys.iter().all(|(amount, _)| amount.len() <= 3));
                    keys.iter_mut()
                        .for_each(|(amount, _)| *amount = format!("{amount:0>3}"));
                }
                if sort_order == "DESC" {
                    keys.reverse();
                }
                assert!(keys.is_sorted(), "{order}: {keys:?}");
                for limit in [1, 5, 12] {
                    assert_eq!(
                        server.pages(&format!("{order}&limit={limit}")).await,
                        whole.external_ids(),
                        "{order}"
                    );
                }
            }
        }
    }
}

impl TestServer {
    /// All pages of a list.
    async fn pages(&self, query: &str) -> Vec<String> {
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.list(&format!("{query}{cursor}")).await.ok();
            all.extend(page.external_ids());
            let pagination = &page.body["meta"]["pagination"];
            assert_eq!(pagination["has_more"], pagination["cursor"].is_string());
            match pagination["cursor"].as_str() {
                None => return all,
                Some(next) => cursor = format!("&cursor={next}"),
            }
        }
    }
}

#[tokio::test]
async fn payments_recorded_between_pages_shift_nothing() {
    let server = filled().await;
    let first = server.list("?limit=4").await.ok();
    let cursor = first.body["meta"]["pagination"]["cursor"].as_str().unwrap();
    // One before the page that was read, one within it, one on the next page.
    for (external_id, paid_at) in [
        ("n1", "2023-12-31T00:00:00Z"),
        ("n2", "2024-01-02T00:00:00Z"),
        ("n3", "2024-01-05T00:00:00Z"),
    ] {
        server
            .record(&with(payment(external_id), json!({"paid_at": paid_at})))
            .await
            .ok();
    }
    let second = server.list(&format!("?limit=4&cursor={cursor}")).await.ok();
    assert_eq!(second.external_ids(), ["n3", "p05", "p06", "p07"]);
    // The page before is unchanged if it is asked for from the same place.
    let seen: HashSet<String> = first.external_ids().into_iter().collect();
    assert!(second.external_ids().iter().all(|id| !seen.contains(id)));
}

#[tokio::test]
async fn a_cursor_belongs_to_its_list() {
    let server = filled().await;
    let page = server.list("?limit=1&method=CASH").await.ok();
    let cursor = page.body["meta"]["pagination"]["cursor"]
        .as_str()
        .unwrap()
        .to_owned();
    server
        .list(&format!("?limit=5&method=CASH&cursor={cursor}"))
        .await
        .ok();
    let mut changed = cursor.clone();
    changed.replace_range(10..11, if &cursor[10..11] == "A" { "B" } else { "A" });
    for query in [
        format!("?cursor={cursor}"),
        format!("?method=CHECK&cursor={cursor}"),
        format!("?method=CASH&sort_by=amount&cursor={cursor}"),
        format!("?method=CASH&sort_order=DESC&cursor={cursor}"),
        format!("?method=CASH&cursor={changed}"),
        format!("?method=CASH&cursor={}", &cursor[1..]),
        "?method=CASH&cursor=".to_owned(),
        "?cursor=eyJrIjoicGFpZF9hdCJ9".to_owned(),
    ] {
        assert_eq!(
            server.list(&query).await.faults(400),
            [("?cursor".to_owned(), "cursor-invalid".to_owned())],
            "{query}"
        );
    }
}

#[tokio::test]
async fn parameters_are_read_strictly() {
    let server = filled().await;
    for (query, pointer, code) in [
        ("methd=CASH", "?methd", "property-unknown"),
        ("Method=CASH", "?Method", "property-unknown"),
        ("method=CASH&method=CASH", "?method", "parameter-repeated"),
        ("method=cash", "?method", "value-unknown"),
        ("method=", "?method", "value-unknown"),
        (
            "paid_at_start=yesterday",
            "?paid_at_start",
            "timestamp-malformed",
        ),
        (
            "paid_at_end=2024-02-30",
            "?paid_at_end",
            "timestamp-malformed",
        ),
        (
            "paid_at_end=2024-01-02T00:00:00",
            "?paid_at_end",
            "timestamp-malformed",
        ),
        (
            "included_in_payout=1",
            "?included_in_payout",
            "type-mismatch",
        ),
        ("is_matched=TRUE", "?is_matched", "type-mismatch"),
        ("sort_by=at", "?sort_by", "value-unknown"),
        ("sort_order=asc", "?sort_order", "value-unknown"),
        ("limit=0", "?limit", "limit-out-of-range"),
        ("limit=1001", "?limit", "limit-out-of-range"),
        ("limit=-1", "?limit", "limit-out-of-range"),
        ("limit=99999999999999999999", "?limit", "limit-out-of-range"),
        ("limit=ten", "?limit", "type-mismatch"),
        ("show_total_count=yes", "?show_total_count", "type-mismatch"),
        ("external_id=%FF", "?external_id", "parameter-malformed"),
        ("external_id=", "?external_id", "external-id-empty"),
        (
            "reference_numbers=,",
            "?reference_numbers",
            "reference-numbers-empty",
        ),
        (
            "paid_at_start=2024-01-02&paid_at_end=2024-01-01",
            "?paid_at_start",
            "filter-range-reversed",
        ),
    ] {
        let reply = server.list(&format!("?{query}")).await;
        assert_eq!(
            reply.faults(400),
            [(pointer.to_owned(), code.to_owned())],
            "{query}"
        );
    }
    // All of them at once.
    let reply = server
        .list("?limit=ten&method=x&sort_order=y&x=&cursor=%FF")
        .await;
    assert_eq!(reply.faults(400).len(), 5);
    // The operations without parameters take none.
    let reply = send(server.request(Method::POST, "?limit=1").json(&payment("x"))).await;
    assert_eq!(
        reply.faults(400),
        [("?limit".to_owned(), "property-unknown".to_owned())]
    );
    server.list("?limit=1000&&").await.ok();
}

#[tokio::test]
async fn a_page_of_huge_payments_ends_early() {
    let server = TestServer::fresh().await;
    let memo = "x".repeat(3 << 20);
    for index in 0..5 {
        server
            .record(&with(
                payment(&format!("p{index}")),
                json!({ "memo": memo }),
            ))
            .await
            .ok();
    }
    assert_eq!(server.listed("").await.len(), 3);
    assert_eq!(server.pages("?limit=100").await.len(), 5);
}
