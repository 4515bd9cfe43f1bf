//! Cursors: a place in a list, as opaque text.
//!
//! A cursor holds the sort value and id of the last payment of a page, and a checksum over that place and the list it
//! belongs to (business, filters, order). So one that was changed, or that comes from another list, is refused instead
//! of giving a page that makes no sense. It guards against mistakes and is no secret: a place gives access to nothing.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::store::{Filter, ListQuery, Position};

/// Changes whenever the form of a cursor does.
const VERSION: u8 = 1;
const VALUE: usize = 1;
const ID: usize = VALUE + 8;
const CHECKSUM: usize = ID + 16;
const LENGTH: usize = CHECKSUM + 8;

/// Writes the cursor of a page that starts behind `position`.
pub(super) fn encode(position: Position, query: &ListQuery) -> String {
    let mut bytes = [0; LENGTH];
    bytes[0] = VERSION;
    bytes[VALUE..ID].copy_from_slice(&position.value.to_be_bytes());
    bytes[ID..CHECKSUM].copy_from_slice(position.id.as_bytes());
    let checksum = checksum(&bytes[..CHECKSUM], query);
    bytes[CHECKSUM..].copy_from_slice(&checksum);
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads a cursor. `None` if it isn't one of this list.
pub(super) fn decode(text: &str, query: &ListQuery) -> Option<Position> {
    let bytes: [u8; LENGTH] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    if bytes[0] != VERSION || bytes[CHECKSUM..] != checksum(&bytes[..CHECKSUM], query) {
        return None;
    }
    Some(Position {
        value: i64::from_be_bytes(bytes[VALUE..ID].try_into().ok()?),
        id: Uuid::from_bytes(bytes[ID..CHECKSUM].try_into().ok()?),
    })
}

/// The checksum of a place in a list. The page's size isn't part of the list: it may change from page to page.
fn checksum(place: &[u8], query: &ListQuery) -> [u8; 8] {
    let Filter {
        method,
        paid_at_start,
        paid_at_end,
        external_id,
        reference_numbers,
        included_in_payout,
        is_matched,
    } = &query.filter;
    let list = serde_json::json!([
        query.business,
        method,
        paid_at_start,
        paid_at_end,
        external_id,
        reference_numbers,
        included_in_payout,
        is_matched,
        query.sort_by,
        query.sort_order,
    ]);
    let digest: [u8; 32] = Sha256::new()
        .chain_update(place)
        .chain_update(list.to_string())
        .finalize()
        .into();
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    short
}

#[cfg(test)]
mod tests {
    use layer_payments_types::{PaymentMethod, SortKey, SortOrder};

    use super::*;

    fn query() -> ListQuery {
        ListQuery {
            business: Uuid::from_u128(1),
            filter: Filter::default(),
            sort_by: SortKey::PaidAt,
            sort_order: SortOrder::Asc,
            after: None,
            limit: 100,
            count: false,
        }
    }

    const POSITION: Position = Position {
        value: i64::MIN,
        id: Uuid::from_u128(u128::MAX),
    };

    #[test]
    fn a_cursor_comes_back_as_it_was() {
        let text = encode(POSITION, &query());
        assert_eq!(decode(&text, &query()), Some(POSITION));
        let larger = ListQuery {
            limit: 1,
            count: true,
            ..query()
        };
        assert_eq!(decode(&text, &larger), Some(POSITION));
    }

    #[test]
    fn a_changed_cursor_is_refused() {
        let text = encode(POSITION, &query());
        for index in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[index] = if changed[index] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert_eq!(decode(&changed, &query()), None, "{changed}");
        }
        for other in ["", "x", "eyJrIjoicGFpZF9hdCJ9", &text[1..]] {
            assert_eq!(decode(other, &query()), None, "{other}");
        }
    }

    #[test]
    fn another_lists_cursor_is_refused() {
        let text = encode(POSITION, &query());
        let filtered = |filter| ListQuery { filter, ..query() };
        for other in [
            ListQuery {
                business: Uuid::from_u128(2),
                ..query()
            },
            ListQuery {
                sort_by: SortKey::Amount,
                ..query()
            },
            ListQuery {
                sort_order: SortOrder::Desc,
                ..query()
            },
            filtered(Filter {
                method: Some(PaymentMethod::Cash),
                ..Filter::default()
            }),
            filtered(Filter {
                paid_at_start: Some(0),
                ..Filter::default()
            }),
            filtered(Filter {
                paid_at_end: Some(0),
                ..Filter::default()
            }),
            filtered(Filter {
                external_id: Some(String::new()),
                ..Filter::default()
            }),
            filtered(Filter {
                reference_numbers: Some(vec![String::new()]),
                ..Filter::default()
            }),
            filtered(Filter {
                included_in_payout: Some(false),
                ..Filter::default()
            }),
            filtered(Filter {
                is_matched: Some(false),
                ..Filter::default()
            }),
        ] {
            assert_eq!(decode(&text, &other), None, "{other:?}");
        }
    }
}
