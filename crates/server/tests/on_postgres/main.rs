//! All tests of `api`, on a real PostgreSQL. Only what `sqlite.rs` says is left out. And what only
//! PostgreSQL has.

mod copy;
mod engine;
mod together;

#[path = "../api/auth.rs"]
mod auth;
#[path = "../api/bulk.rs"]
mod bulk;
#[path = "../api/documents.rs"]
mod documents;
#[path = "../api/durability.rs"]
mod durability;
#[path = "../api/errors.rs"]
mod errors;
#[path = "../api/faults.rs"]
mod faults;
#[path = "../api/harness.rs"]
mod harness;
#[path = "../api/invoices.rs"]
mod invoices;
#[path = "../api/ledger.rs"]
mod ledger;
#[path = "../api/limit.rs"]
mod limit;
#[path = "../api/list.rs"]
mod list;
#[path = "../api/local.rs"]
mod local;
#[path = "../api/operation.rs"]
mod operation;
#[path = "../api/owed.rs"]
mod owed;
#[path = "../api/payouts.rs"]
mod payouts;
#[path = "../api/record.rs"]
mod record;
#[path = "../api/slow.rs"]
mod slow;
#[path = "../api/unreadable.rs"]
mod unreadable;
#[path = "../api/update.rs"]
mod update;

/// A module that is added to `api` is run here, too.
#[test]
fn no_module_is_forgotten() {
    let modules = |text: &'static str| -> Vec<&str> {
        text.lines()
            .filter_map(|line| line.strip_prefix("mod ")?.strip_suffix(';'))
            .filter(|name| !["copy", "sqlite", "together"].contains(name))
            .collect()
    };
    let mut here = modules(include_str!("main.rs"));
    here.sort_unstable();
    assert_eq!(here, modules(include_str!("../api/main.rs")));
}
