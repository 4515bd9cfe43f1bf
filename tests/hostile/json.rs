//! Bodies that are bad JSON, or bad by their size.

use crate::attack::{Target, payment, payment_with};

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
fn bulks_up_to_the_limit_are_recorded_and_larger_ones_refused() {
    let target = Target::new();
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
