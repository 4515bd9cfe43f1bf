//! What takes more than one page, read to its end. The caller sends the requests, in whatever way its test does.

use serde_json::Value;

/// All payments of a list. `get` answers a query, such as `?limit=1000`, with the body of a page.
pub async fn payments(limit: u32, mut get: impl AsyncFnMut(String) -> Value) -> Vec<Value> {
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = get(format!("?limit={limit}{cursor}")).await;
        listed.extend(page["data"].as_array().into_iter().flatten().cloned());
        match page["meta"]["pagination"]["cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return listed,
        }
    }
}

/// How many entries the journal of a business has. `get` answers a query with the body of a page.
///
/// # Panics
///
/// If an entry is missing: they are numbered one after the other.
pub async fn journal(mut get: impl AsyncFnMut(String) -> Value) -> u64 {
    let mut after = 0;
    loop {
        let page = get(format!("?limit=1000&after={after}")).await;
        for entry in page["data"].as_array().into_iter().flatten() {
            after += 1;
            assert_eq!(entry["entry_number"], after, "an entry is missing: {entry}");
        }
        if page["meta"]["pagination"]["has_more"] != true {
            return after;
        }
    }
}
