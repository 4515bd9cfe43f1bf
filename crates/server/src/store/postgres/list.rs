//! Reading a page of payments.
//!
//! As in SQLite, a page starts where the cursor says, by comparing (sort value, id) as a pair, which an index can enter at
//! that place. Which index that is, PostgreSQL chooses; `plans.snap` pins what it chooses for each filter.

use jiff::Timestamp;
use layer_payments_types::{SortKey, SortOrder};
use tokio_postgres::types::ToSql;

use super::super::Error;
use super::super::query::{Filter, ListQuery, PAGE_BYTES, Page, Position};
use super::load::{Link, get};
use super::names::Name;

/// A statement's text and its values, from `$1` on.
#[derive(Default)]
pub(super) struct Query {
    pub(super) sql: String,
    values: Vec<Box<dyn ToSql + Sync>>,
}

impl Query {
    fn push(&mut self, sql: &str) {
        self.sql.push_str(sql);
    }

    fn bind(&mut self, value: impl ToSql + Sync + 'static) {
        self.values.push(Box::new(value));
        self.sql.push_str(&format!("${}", self.values.len()));
    }

    pub(super) fn values(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.values.iter().map(|value| &**value).collect()
    }
}

/// Reads the page, and the count if it is asked for. Both see the same payments if the connection is in a
/// transaction that sees one snapshot.
pub(super) fn page(list: &ListQuery, link: Link<'_>) -> Result<Page, Error> {
    let query = page_query(list);
    let rows = link.query(&query.sql, &query.values())?;
    let mut documents = Vec::with_capacity(rows.len().min(list.limit));
    let mut bytes = 0;
    let mut last = None;
    let mut next = None;
    for row in &rows {
        if documents.len() == list.limit || bytes >= PAGE_BYTES {
            next = last;
            break;
        }
        let document: String = get(row, 0)?;
        bytes += document.len();
        documents.push(document);
        last = Some(Position {
            value: match list.sort_by {
                SortKey::Amount => get(row, 1)?,
                SortKey::PaidAt | SortKey::ImportedAt => get::<Timestamp>(row, 1)?.as_microsecond(),
            },
            id: get(row, 2)?,
        });
    }
    let total = if list.count {
        let query = count_query(list);
        let row = link.query_opt(&query.sql, &query.values())?;
        row.map(|row| get(&row, 0)).transpose()?
    } else {
        None
    };
    Ok(Page {
        documents,
        next,
        total,
    })
}

fn page_query(list: &ListQuery) -> Query {
    let column = match list.sort_by {
        SortKey::PaidAt => "paid_at",
        SortKey::ImportedAt => "imported_at",
        SortKey::Amount => "amount",
    };
    let mut query = Query::default();
    query.push(&format!("SELECT document, {column}, id FROM payments"));
    push_conditions(list, &mut query, list.after.is_some());
    let (comparison, direction) = match list.sort_order {
        SortOrder::Asc => ('>', "ASC"),
        SortOrder::Desc => ('<', "DESC"),
    };
    if let Some(Position { value, id }) = list.after {
        query.push(&format!(" AND ({column}, id) {comparison} ("));
        match list.sort_by {
            SortKey::Amount => query.bind(value),
            SortKey::PaidAt | SortKey::ImportedAt => query.bind(time(value)),
        }
        query.push(", ");
        query.bind(id);
        query.push(")");
    }
    // One external id belongs to one payment at most, which needs no order.
    if list.filter.external_id.is_none() {
        query.push(&format!(" ORDER BY {column} {direction}, id {direction}"));
    }
    // One more than the page holds tells whether another page follows.
    query.push(" LIMIT ");
    query.bind(
        i64::try_from(list.limit)
            .unwrap_or(i64::MAX)
            .saturating_add(1),
    );
    query
}

fn count_query(list: &ListQuery) -> Query {
    let mut query = Query::default();
    query.push("SELECT count(*) FROM payments");
    push_conditions(list, &mut query, false);
    query
}

/// Adds the filter's conditions. `after` says that the page starts behind a payment that passed them.
fn push_conditions(list: &ListQuery, query: &mut Query, after: bool) {
    let Filter {
        method,
        paid_at_start,
        paid_at_end,
        external_id,
        reference_numbers,
        included_in_payout,
        is_matched,
    } = &list.filter;
    query.push(" WHERE business_id = ");
    query.bind(list.business);
    if let Some(method) = method {
        query.push(" AND method = ");
        query.bind(method.to_string());
    }
    // The bound that the cursor has passed already says nothing more.
    let by_time = after && list.sort_by == SortKey::PaidAt;
    if let Some(start) = paid_at_start
        && !(by_time && list.sort_order == SortOrder::Asc)
    {
        query.push(" AND paid_at >= ");
        query.bind(time(*start));
    }
    if let Some(end) = paid_at_end
        && !(by_time && list.sort_order == SortOrder::Desc)
    {
        query.push(" AND paid_at <= ");
        query.bind(time(*end));
    }
    if let Some(external_id) = external_id {
        query.push(" AND external_id = ");
        query.bind(Name::of(external_id).indexed.into_owned());
    }
    match reference_numbers.as_deref() {
        None => {}
        Some([one]) => {
            query.push(" AND reference_number = ");
            query.bind(Name::of(one).indexed.into_owned());
        }
        Some(several) => {
            let names: Vec<String> = several
                .iter()
                .map(|name| Name::of(name).indexed.into_owned())
                .collect();
            query.push(" AND reference_number = ANY(");
            query.bind(names);
            query.push(")");
        }
    }
    // Written out, since an index of a part of the table serves only where the text says that it's enough.
    for (column, wanted) in [
        ("in_payout", included_in_payout),
        ("is_matched", is_matched),
    ] {
        match wanted {
            Some(true) => query.push(&format!(" AND {column}")),
            Some(false) => query.push(&format!(" AND NOT {column}")),
            None => {}
        }
    }
}

/// A time in microseconds; one that no payment can have becomes the last or the first that there is.
fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or(if microseconds < 0 {
        Timestamp::MIN
    } else {
        Timestamp::MAX
    })
}
