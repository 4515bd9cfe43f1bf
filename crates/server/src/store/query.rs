//! What can be read from a store, whichever engine keeps it.

use jiff::Timestamp;
use layer_payments_types::{PaymentMethod, SortKey, SortOrder};
use uuid::Uuid;

use crate::domain::ledger::Draft;
use crate::domain::reply::Account;

/// A page ends early when its documents have this many bytes together, so that a thousand huge payments don't have to
/// fit into memory at once.
pub(super) const PAGE_BYTES: usize = 8 << 20;

/// Which payments a list holds. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Filter {
    pub(crate) method: Option<PaymentMethod>,
    /// In microseconds since 1970, both ends inclusive.
    pub(crate) paid_at_start: Option<i64>,
    pub(crate) paid_at_end: Option<i64>,
    pub(crate) external_id: Option<String>,
    /// Any of them.
    pub(crate) reference_numbers: Option<Vec<String>>,
    pub(crate) included_in_payout: Option<bool>,
    pub(crate) is_matched: Option<bool>,
}

/// A page to read.
#[derive(Clone, Debug)]
pub(crate) struct ListQuery {
    pub(crate) business: Uuid,
    pub(crate) filter: Filter,
    pub(crate) sort_by: SortKey,
    pub(crate) sort_order: SortOrder,
    /// The payment before the page.
    pub(crate) after: Option<Position>,
    /// At least 1.
    pub(crate) limit: usize,
    pub(crate) count: bool,
}

/// A payment's place in an order: what it is sorted by (microseconds or cents), and its id, which breaks ties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Position {
    pub(crate) value: i64,
    pub(crate) id: Uuid,
}

/// A page as it was read.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Page {
    /// The payments as replies show them, in JSON.
    pub(crate) documents: Vec<String>,
    /// The last payment of the page, if more follow.
    pub(crate) next: Option<Position>,
    pub(crate) total: Option<i64>,
}

/// Which entries to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct EntryFilter {
    /// Only those of this payment.
    pub(crate) payment: Option<Uuid>,
    /// Only those that come after this number.
    pub(crate) after: i64,
    /// At most so many.
    pub(crate) limit: usize,
}

/// An entry as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JournalEntry {
    pub(crate) number: i64,
    pub(crate) entry: Draft<Uuid>,
    pub(crate) posted_at: Timestamp,
    /// The payment that it is about, if it is about one.
    pub(crate) payment: Option<Uuid>,
    pub(crate) reversal_of: Option<i64>,
    pub(crate) reversed_by: Option<i64>,
}

/// An account and what was ever posted to it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Balance {
    pub(crate) account: Account,
    pub(crate) debits: i64,
    pub(crate) credits: i64,
}
