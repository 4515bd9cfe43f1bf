//! Bodies that are bad JSON, or bad by their size.

use layer_payments_tests::engine::Engine;
use serde_json::{Value, json};

use crate::attack::{Reply, Target, payment, payment_with};

#[test]
fn nesting_of_any_depth_is_refused() {
    let target = Target::new();
    let deep = |open: &str, close: &str| {
        let levels = 100_000;
        format!("{}{}", open.repeat(levels), close.repeat(levels)).into_bytes()
    };
    let closed = deep("[", "]");
    let objects = deep("{\"a\":", "}");
    for (name, body) in [
        ("arrays", closed.clone()),
        ("arrays that don't end", b"[".repeat(100_000)),
        ("objects", objects.clone()),
        (
            "arrays in metadata",
            payment_with("metadata", &[b"{\"a\":", &closed[..], b"}"].concat()),
        ),
        ("objects in metadata", payment_with("metadata", &objects)),
        (
            "arrays in place of an amount",
            payment_with("amount", &closed),
        ),
        (
            "arrays as an unknown property",
            payment_with("unknown", &closed),
        ),
        (
            "arrays among the allocations",
            payment_with("invoice_payments", &closed),
        ),
    ] {
        target.posted("", &body).refuses(400, &["json-malformed"]);
        target
            .posted("/bulk", &[b"[", &body[..], b"]"].concat())
            .refuses(400, &["json-malformed"]);
        target.is_well(name);
    }
    target.end();
}

#[test]
fn numbers_of_any_size_are_refused_or_kept() {
    let target = Target::new();
    let digits = "9".repeat(400);
    let million = "9".repeat(1_000_000);
    for number in [
        "1e999999",
        "-1e999999",
        "1e-999999",
        "1E+99999999999999999999999",
        "9223372036854775808",
        "-9223372036854775809",
        &digits,
        &format!("-{digits}"),
        &format!("{digits}.{digits}"),
        &format!("{digits}e{digits}"),
        &million,
    ] {
        for property in ["amount", "fee"] {
            let reply = target.posted("", &payment_with(property, number.as_bytes()));
            reply.refuses(
                400,
                &["integer-out-of-range", "type-mismatch", "amount-negative"],
            );
        }
    }
    for number in [
        "NaN", "Infinity", "01", "0x10", "+1", ".5", "1.", "--1", "1e",
    ] {
        let reply = target.posted("", &payment_with("amount", number.as_bytes()));
        reply.refuses(400, &["json-malformed"]);
    }
    target.is_well("huge numbers");
    target.end();
}

#[test]
fn text_that_is_no_unicode_is_refused() {
    let target = Target::new();
    for text in [
        &b"\"\xff\""[..],
        // An overlong form of `/`, a surrogate in UTF-8, and a character that is cut short.
        b"\"\xc0\xaf\"",
        b"\"\xed\xa0\x80\"",
        b"\"\xe2\x82\"",
        // Half of a pair, by its escape.
        b"\"\\ud800\"",
        b"\"\\udc00x\"",
        b"\"a\nb\"",
        b"\"\\x41\"",
        b"\"no end",
    ] {
        let reply = target.posted("", &payment_with("memo", text));
        reply.refuses(400, &["json-malformed"]);
        let reply = target.posted(
            "",
            &payment_with("metadata", &[b"{\"a\":", text, b"}"].concat()),
        );
        reply.refuses(400, &["json-malformed"]);
    }
    target.is_well("texts that are no Unicode");
    target.end();
}

#[test]
fn keys_that_are_there_twice_are_refused() {
    let target = Target::new();
    let twice = payment_with("amount", b"1,\"amount\":2");
    target.posted("", &twice).refuses(400, &["duplicate-key"]);
    let nested = payment_with("metadata", b"{\"a\":{\"b\":1,\"b\":2}}");
    target.posted("", &nested).refuses(400, &["duplicate-key"]);
    // Spelled otherwise, it is the same key.
    let escaped = payment_with("metadata", b"{\"a\":1,\"\\u0061\":2}");
    target.posted("", &escaped).refuses(400, &["duplicate-key"]);
    let many = format!("{{{}}}", vec!["\"a\":1"; 200_000].join(","));
    target
        .posted("", many.as_bytes())
        .refuses(400, &["duplicate-key", "property-unknown"]);
    target.is_well("keys that are there twice");
    target.end();
}

#[test]
fn texts_that_databases_stumble_over_are_kept_on_sqlite() {
    texts_that_databases_stumble_over_are_kept(Engine::Sqlite);
}

#[test]
fn texts_that_databases_stumble_over_are_kept_on_postgres() {
    texts_that_databases_stumble_over_are_kept(Engine::Postgres);
}

/// Texts that are good JSON, and that engines end early, quote, fold, or can't index, come back as they were sent and
/// are found again.
fn texts_that_databases_stumble_over_are_kept(engine: Engine) {
    let target = Target::on(engine);
    let long = "x".repeat(100_000);
    // Alike in their beginning, however much of it is looked at.
    let longer = format!("{long}y");
    let texts = [
        "\0",
        "a\0",
        "a\0b",
        "\u{1a}",
        "\u{1a}0",
        "'; DROP TABLE payments; --",
        "\\'\"$1 $$ %s {}",
        "\u{feff}a",
        "\u{e9}",
        "e\u{301}",
        "\u{1f4b0}",
        "A",
        "a",
        "a b",
        "\u{fffe}\u{ffff}",
        &long,
        &longer,
    ];
    for (index, text) in texts.iter().enumerate() {
        let mut payment = payment(text);
        payment["memo"] = json!(text);
        payment["reference_number"] = json!(text);
        payment["tags"] = json!([{"key": text, "value": text, "value_display_name": text}]);
        // Metadata has a limit of its own.
        let start: String = text.chars().take(100).collect();
        payment["metadata"] = json!({&start: start});
        payment["amount"] = json!(index);
        payment["invoice_payments"] = json!([{"invoice_external_id": text, "amount": 0}]);
        let body = serde_json::to_vec(&payment).expect("values can be written");
        for (status, outcome) in [(201, "created"), (200, "unchanged")] {
            let reply = target.posted("", &body);
            let told = String::from_utf8_lossy(&reply.body);
            assert_eq!(reply.status, status, "{index}: {told}");
            let reply: Value = serde_json::from_slice(&reply.body).expect("the body is JSON");
            assert_eq!(reply["meta"]["idempotency"]["outcomes"], json!([outcome]));
            let shown = &reply["data"];
            for key in ["external_id", "memo", "reference_number", "metadata"] {
                assert_eq!(shown[key], payment[key], "{index}: {key}");
            }
            assert_eq!(shown["transaction_tags"][0]["key"], json!(text), "{index}");
        }
    }
    let listed = target.exchange(
        format!(
            "{}Connection: close\r\n\r\n",
            target.head("GET", "?limit=1000")
        )
        .as_bytes(),
    );
    let listed: Value =
        serde_json::from_slice(&Reply::first(&listed).body).expect("the body is JSON");
    let mut found: Vec<&str> = listed["data"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|payment| payment["external_id"].as_str())
        .collect();
    found.sort_unstable();
    let mut sent = texts.to_vec();
    sent.sort_unstable();
    assert_eq!(found, sent);
    target.is_well("texts that databases stumble over");
    target.end();
}

#[test]
fn bulks_up_to_the_limit_are_recorded_and_larger_ones_refused_on_sqlite() {
    bulks_up_to_the_limit_are_recorded_and_larger_ones_refused(Engine::Sqlite);
}

#[test]
fn bulks_up_to_the_limit_are_recorded_and_larger_ones_refused_on_postgres() {
    bulks_up_to_the_limit_are_recorded_and_larger_ones_refused(Engine::Postgres);
}

fn bulks_up_to_the_limit_are_recorded_and_larger_ones_refused(engine: Engine) {
    let target = Target::on(engine);
    let bulk = |count: usize| {
        let payments: Vec<_> = (0..count)
            .map(|index| payment(&format!("p{index}")))
            .collect();
        serde_json::to_vec(&payments).expect("values can be written")
    };
    target
        .posted("/bulk", &bulk(10_000))
        .refuses(400, &["bulk-too-large"]);
    target
        .posted("/bulk", &bulk(1_001))
        .refuses(400, &["bulk-too-large"]);
    target.is_well("bulks that are too large");
    let reply = target.posted("/bulk", &bulk(1_000));
    assert_eq!(reply.status, 200, "{reply:?}");
    target.is_well("a bulk of 1,000 payments");
    target.end();
}

/// Bodies of almost 10 MiB that cost the most to read: each is as many values as it can hold.
#[test]
fn large_bodies_of_small_values_take_bounded_memory() {
    let target = Target::new();
    let fill = |part: &str| {
        let count = (10 << 20) / (part.len() + 1) - 100;
        vec![part; count].join(",")
    };
    for (name, below, body) in [
        ("empty objects", "/bulk", format!("[{}]", fill("{}"))),
        ("zeros", "/bulk", format!("[{}]", fill("0"))),
        ("empty arrays", "/bulk", format!("[{}]", fill("[]"))),
        (
            "objects of one key",
            "/bulk",
            format!("[{}]", fill("{\"\":0}")),
        ),
        (
            "zeros as an unknown property",
            "",
            format!("{{\"x\":[{}]}}", fill("0")),
        ),
        (
            "zeros in metadata",
            "",
            format!("{{\"metadata\":{{\"x\":[{}]}}}}", fill("0")),
        ),
        (
            "empty allocations",
            "",
            format!("{{\"invoice_payments\":[{}]}}", fill("{}")),
        ),
        ("empty tags", "", format!("{{\"tags\":[{}]}}", fill("{}"))),
        (
            "empty tags in bulk",
            "/bulk",
            format!("[{{\"tags\":[{}]}}]", fill("{}")),
        ),
    ] {
        let reply = target.posted(below, body.as_bytes());
        assert_eq!(
            reply.status,
            400,
            "{name}: {}",
            String::from_utf8_lossy(&reply.body)
        );
        target.is_well(name);
    }
    target.end();
}
