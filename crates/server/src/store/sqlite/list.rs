//! Reading a page of payments.
//!
//! A page starts where the cursor says, by comparing (sort value, id) as a pair: the index of the order is entered at
//! that place, so a later page costs what the first costs, and payments recorded meanwhile shift nothing. Which index
//! serves is said in the query and not left to the planner, whose choice could change with statistics.

use layer_payments_types::{SortKey, SortOrder};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use uuid::Uuid;

use super::super::Error;
use super::super::query::{Filter, ListQuery, PAGE_BYTES, Page, Position};
use super::books::{business_key, uuid};

impl ListQuery {
    /// Reads the page, and the count if it is asked for. Both see the same payments if `connection` is in a
    /// transaction.
    pub(super) fn read(&self, connection: &Connection) -> Result<Page, Error> {
        let business = business_key(connection, self.business)?;
        let (sql, values) = self.page_sql(business);
        let mut statement = connection.prepare_cached(&sql)?;
        let mut rows = statement.query(params_from_iter(values))?;
        let mut documents: Vec<String> = Vec::new();
        let mut bytes = 0;
        let mut last = None;
        let mut next = None;
        while let Some(row) = rows.next()? {
            if documents.len() == self.limit || bytes >= PAGE_BYTES {
                next = last;
                break;
            }
            let document: String = row.get(0)?;
            bytes += document.len();
            documents.push(document);
            last = Some(Position {
                value: row.get(1)?,
                id: uuid(row, 2)?,
            });
        }
        let total = if self.count {
            let (sql, values) = self.count_sql(business);
            Some(
                connection
                    .prepare_cached(&sql)?
                    .query_row(params_from_iter(values), |row| row.get(0))?,
            )
        } else {
            None
        };
        Ok(Page {
            documents,
            next,
            total,
        })
    }

    fn column(&self) -> &'static str {
        match self.sort_by {
            SortKey::PaidAt => "paid_at",
            SortKey::ImportedAt => "imported_at",
            SortKey::Amount => "amount",
        }
    }

    /// The index that serves the page; `None` leaves it to the unique index of external ids.
    fn index(&self) -> Option<&'static str> {
        if self.filter.external_id.is_some() {
            return None;
        }
        if self.filter.reference_numbers.is_some() {
            // Reference numbers are nearly unique, so what they leave is sorted where the index can't give the order.
            return Some("payments_by_reference");
        }
        if self.sort_by == SortKey::PaidAt {
            // Few payments may be in one of these, and nearly all of them out of it.
            if self.filter.included_in_payout == Some(true) {
                return Some("payments_in_payout");
            }
            if self.filter.is_matched == Some(true) {
                return Some("payments_matched");
            }
        }
        Some(match (self.sort_by, self.filter.method) {
            (SortKey::PaidAt, Some(_)) => "payments_by_method",
            (SortKey::PaidAt, None) => "payments_by_paid_at",
            (SortKey::ImportedAt, _) => "payments_by_imported_at",
            (SortKey::Amount, _) => "payments_by_amount",
        })
    }

    fn page_sql(&self, business: i64) -> (String, Vec<Value>) {
        let column = self.column();
        let mut sql = format!("SELECT document, {column}, id FROM payments");
        let mut values = Vec::new();
        if let Some(index) = self.index() {
            sql.push_str(" INDEXED BY ");
            sql.push_str(index);
        }
        self.push_conditions(business, &mut sql, &mut values, self.after.is_some());
        let (comparison, direction) = match self.sort_order {
            SortOrder::Asc => ('>', "ASC"),
            SortOrder::Desc => ('<', "DESC"),
        };
        if let Some(after) = self.after {
            sql.push_str(&format!(" AND ({column}, id) {comparison} (?, ?)"));
            values.push(after.value.into());
            values.push(blob(after.id));
        }
        // One external id belongs to one payment at most, which needs no order.
        if self.filter.external_id.is_none() {
            sql.push_str(&format!(" ORDER BY {column} {direction}, id {direction}"));
        }
        // One more than the page holds tells whether another page follows.
        sql.push_str(" LIMIT ?");
        values.push(
            i64::try_from(self.limit)
                .unwrap_or(i64::MAX)
                .saturating_add(1)
                .into(),
        );
        (sql, values)
    }

    fn count_sql(&self, business: i64) -> (String, Vec<Value>) {
        let mut sql = "SELECT count(*) FROM payments".to_owned();
        let mut values = Vec::new();
        self.push_conditions(business, &mut sql, &mut values, false);
        (sql, values)
    }

    /// Adds the filter's conditions. `after` says that the page starts behind a payment that passed them.
    fn push_conditions(
        &self,
        business: i64,
        sql: &mut String,
        values: &mut Vec<Value>,
        after: bool,
    ) {
        let Filter {
            method,
            paid_at_start,
            paid_at_end,
            external_id,
            reference_numbers,
            included_in_payout,
            is_matched,
        } = &self.filter;
        sql.push_str(" WHERE business_id = ?");
        values.push(business.into());
        if let Some(method) = method {
            sql.push_str(" AND method = ?");
            values.push(method.to_string().into());
        }
        // The bound that the cursor has passed already is left out: an index range has one lower and one upper end,
        // and with two candidates SQLite could enter it at the wrong one and walk over all pages before this one.
        let by_time = after && self.sort_by == SortKey::PaidAt;
        if let Some(start) = paid_at_start
            && !(by_time && self.sort_order == SortOrder::Asc)
        {
            sql.push_str(" AND paid_at >= ?");
            values.push((*start).into());
        }
        if let Some(end) = paid_at_end
            && !(by_time && self.sort_order == SortOrder::Desc)
        {
            sql.push_str(" AND paid_at <= ?");
            values.push((*end).into());
        }
        if let Some(external_id) = external_id {
            sql.push_str(" AND external_id = ?");
            values.push(external_id.clone().into());
        }
        match reference_numbers.as_deref() {
            None => {}
            Some([one]) => {
                sql.push_str(" AND reference_number = ?");
                values.push(one.clone().into());
            }
            Some(several) => {
                // One parameter however long the list is: the statement's text stays the same.
                sql.push_str(" AND reference_number IN (SELECT value FROM json_each(?))");
                values.push(serde_json::Value::from(several).to_string().into());
            }
        }
        // Written out, since SQLite uses an index of a part of the table only where the text says that it's enough.
        for (column, wanted) in [
            ("in_payout", included_in_payout),
            ("is_matched", is_matched),
        ] {
            if let Some(wanted) = wanted {
                sql.push_str(&format!(" AND {column} = {}", i32::from(*wanted)));
            }
        }
    }
}

fn blob(id: Uuid) -> Value {
    Value::Blob(id.as_bytes().to_vec())
}

#[cfg(test)]
mod tests {
    use layer_payments_types::PaymentMethod;

    use super::super::{Policy, Sqlite};
    use super::*;

    /// Every combination of what shapes a query.
    fn queries() -> Vec<ListQuery> {
        let mut queries = Vec::new();
        for bits in 0..(1 << 9) {
            let has = |bit: u32| bits & (1 << bit) != 0;
            for references in 0..3 {
                for sort_by in [SortKey::PaidAt, SortKey::ImportedAt, SortKey::Amount] {
                    queries.push(ListQuery {
                        business: Uuid::from_u128(1),
                        filter: Filter {
                            method: has(0).then_some(PaymentMethod::Cash),
                            paid_at_start: has(1).then_some(0),
                            paid_at_end: has(2).then_some(i64::MAX),
                            external_id: has(3).then(|| "payment-1".to_owned()),
                            reference_numbers: (references > 0)
                                .then(|| vec!["CHK-1".to_owned(); references]),
                            included_in_payout: has(4).then_some(true),
                            is_matched: has(5).then_some(has(6)),
                        },
                        sort_by,
                        sort_order: if has(6) {
                            SortOrder::Desc
                        } else {
                            SortOrder::Asc
                        },
                        after: has(7).then_some(Position {
                            value: 5,
                            id: Uuid::from_u128(2),
                        }),
                        limit: 100,
                        count: has(8),
                    });
                }
            }
        }
        queries
    }

    fn plan(connection: &Connection, sql: &str, values: Vec<Value>) -> String {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let steps = statement
            .query_map(params_from_iter(values), |row| row.get::<_, String>(3))
            .unwrap();
        steps.map(Result::unwrap).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn no_page_scans_or_sorts_what_an_index_can_give() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let store = Sqlite::open_in_memory(Policy::default()).unwrap();
        let checked = runtime.block_on(store.read(|connection| {
            let mut checked = 0;
            for query in queries() {
                let (sql, values) = query.page_sql(1);
                let plan = plan(connection, &sql, values);
                assert!(!plan.contains("SCAN payments"), "{sql}\n{plan}");
                // A cursor's place is the end of the index range, not a condition checked row by row.
                if query.after.is_some()
                    && query.sort_by == SortKey::PaidAt
                    && query.filter.external_id.is_none()
                    && query.filter.reference_numbers.is_none()
                {
                    assert!(plan.contains("(paid_at,id)"), "{sql}\n{plan}");
                }
                let references = query.filter.reference_numbers.as_ref().map_or(0, Vec::len);
                let in_order = match references {
                    0 => true,
                    1 => query.sort_by == SortKey::PaidAt,
                    _ => query.filter.external_id.is_some(),
                };
                if in_order {
                    assert!(!plan.contains("TEMP B-TREE"), "{sql}\n{plan}");
                }
                let (sql, values) = query.count_sql(1);
                let plan = self::plan(connection, &sql, values);
                assert!(!plan.contains("SCAN payments"), "{sql}\n{plan}");
                checked += 1;
            }
            Ok(checked)
        }));
        assert_eq!(checked.unwrap(), 512 * 3 * 3);
    }
}
