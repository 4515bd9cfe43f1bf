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

/// The first microsecond that PostgreSQL has a time for, in the year 4714 before Christ.
const FIRST: i64 = -210_866_803_200_000_000;

/// A time in microseconds, which a cursor of a client's own making may put anywhere. No payment is from before there is a
/// time for it, so a bound there means the same as the first.
fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds.max(FIRST)).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use layer_payments_test_postgres as test_postgres;
    use layer_payments_types::PaymentMethod;
    use tokio_postgres::{Client, NoTls};
    use uuid::Uuid;

    use super::super::connect::Postgres;
    use super::*;

    const BUSINESS: Uuid = Uuid::from_u128(1);

    /// A business with many payments and many with few, with rare values among frequent ones, as plans depend on both.
    const FILL: &str = "
        INSERT INTO businesses (id, number, created_at, written_at, version)
        SELECT lpad(to_hex(n), 32, '0')::uuid, n, now(), now(), 0 FROM generate_series(1, 51) AS n;
        INSERT INTO payments
            (business_id, key, id, external_id, paid_at, imported_at, method, amount, fee, reference_number, document,
             in_payout, is_matched)
        SELECT lpad(to_hex(CASE WHEN n <= 40000 THEN 1 ELSE 2 + n % 50 END), 32, '0')::uuid, n,
            md5(n::text)::uuid, 'payment-' || n, '2020-01-01'::timestamptz + n * interval '7 minutes',
            '2024-01-01'::timestamptz + n * interval '1 second',
            CASE WHEN n % 1000 = 0 THEN 'CHECK' WHEN n % 3 = 0 THEN 'CASH' ELSE 'ACH' END, n * 7919 % 1000003, 0,
            CASE WHEN n % 10 = 0 THEN 'CHK-' || n / 20 END, repeat('x', 700), n % 500 = 0, n % 700 = 0
        FROM generate_series(1, 120000) AS n";

    async fn connect(url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    /// The indexes that a plan reads, and whether it sorts.
    fn summary(plan: &str) -> String {
        let mut parts = Vec::new();
        for line in plan.lines() {
            // "Index Scan using", "Index Only Scan Backward using" and so on.
            for prefix in [" using payments", "Bitmap Index Scan on payments"] {
                if let Some((_, rest)) = line.split_once(prefix) {
                    let index = rest.split_whitespace().next().unwrap();
                    parts.push(format!("payments{index}"));
                }
            }
            for (step, name) in [("Seq Scan", "SCAN"), ("Sort", "sort")] {
                if line.trim_start_matches([' ', '-', '>']).starts_with(step)
                    && !line.contains("Key")
                {
                    parts.push(name.to_owned());
                }
            }
        }
        // From the inside out.
        parts.reverse();
        parts.join(", ")
    }

    async fn plans(client: &Client, query: &Query, number: usize) -> [String; 2] {
        let text = |rows: Vec<tokio_postgres::Row>| {
            rows.iter()
                .map(|row| row.get::<_, String>(0))
                .collect::<Vec<_>>()
                .join("\n")
        };
        let explained = format!("EXPLAIN (COSTS OFF) {}", query.sql);
        let of_values = text(client.query(&explained, &query.values()).await.unwrap());
        // What a statement is run by that was run often doesn't depend on its values.
        let types = client.prepare(&query.sql).await.unwrap();
        let types: Vec<&str> = types.params().iter().map(|of| of.name()).collect();
        let nulls = vec!["NULL"; types.len()].join(", ");
        client
            .batch_execute(&format!(
                "PREPARE q{number} ({}) AS {}",
                types.join(", "),
                query.sql
            ))
            .await
            .unwrap();
        let explained = format!("EXPLAIN (COSTS OFF) EXECUTE q{number} ({nulls})");
        let generic = text(client.query(&explained, &[]).await.unwrap());
        [of_values, generic]
    }

    fn query(filter: Filter, sort_by: SortKey) -> ListQuery {
        ListQuery {
            business: BUSINESS,
            filter,
            sort_by,
            sort_order: SortOrder::Desc,
            after: None,
            limit: 100,
            count: true,
        }
    }

    /// Each filter by itself in each order, and those that go together.
    fn queries() -> Vec<(String, ListQuery)> {
        let none = Filter::default;
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap().as_microsecond());
        let filters = [
            ("nothing", none()),
            (
                "a frequent method",
                Filter {
                    method: Some(PaymentMethod::Cash),
                    ..none()
                },
            ),
            (
                "a rare method",
                Filter {
                    method: Some(PaymentMethod::Check),
                    ..none()
                },
            ),
            (
                "a day",
                Filter {
                    paid_at_start: time("2020-06-01T00:00:00Z"),
                    paid_at_end: time("2020-06-02T00:00:00Z"),
                    ..none()
                },
            ),
            (
                "a rare method on a day",
                Filter {
                    method: Some(PaymentMethod::Check),
                    paid_at_start: time("2020-06-01T00:00:00Z"),
                    paid_at_end: time("2020-06-02T00:00:00Z"),
                    ..none()
                },
            ),
            (
                "an external id",
                Filter {
                    external_id: Some("payment-77".to_owned()),
                    ..none()
                },
            ),
            (
                "a reference number",
                Filter {
                    reference_numbers: Some(vec!["CHK-77".to_owned()]),
                    ..none()
                },
            ),
            (
                "several reference numbers",
                Filter {
                    reference_numbers: Some(vec!["CHK-77".to_owned(), "CHK-78".to_owned()]),
                    ..none()
                },
            ),
            (
                "in a payout",
                Filter {
                    included_in_payout: Some(true),
                    ..none()
                },
            ),
            (
                "matched",
                Filter {
                    is_matched: Some(true),
                    ..none()
                },
            ),
        ];
        let mut queries = Vec::new();
        for (name, filter) in filters {
            for (order, sort_by) in [
                ("paid_at", SortKey::PaidAt),
                ("imported_at", SortKey::ImportedAt),
                ("amount", SortKey::Amount),
            ] {
                let first = query(filter.clone(), sort_by);
                let position = Position {
                    value: match sort_by {
                        SortKey::Amount => 500_000,
                        SortKey::PaidAt => time("2020-06-01T12:00:00Z").unwrap(),
                        SortKey::ImportedAt => time("2024-01-01T12:00:00Z").unwrap(),
                    },
                    id: Uuid::from_u128(7),
                };
                let later = ListQuery {
                    after: Some(position),
                    ..first.clone()
                };
                queries.push((format!("{name}, by {order}"), first));
                queries.push((format!("{name}, by {order}, later page"), later));
            }
        }
        queries
    }

    #[tokio::test]
    async fn each_filter_uses_its_index() {
        let database = test_postgres::shared().database();
        let postgres = Postgres::from_url(&database.url()).unwrap();
        super::super::Postgres::migrate(&postgres).await.unwrap();
        let client = connect(&database.url()).await;
        client.batch_execute(FILL).await.unwrap();
        client.batch_execute("VACUUM ANALYZE").await.unwrap();
        client
            .batch_execute("SET plan_cache_mode = force_generic_plan")
            .await
            .unwrap();
        let mut lines = Vec::new();
        for (number, (name, list)) in queries().into_iter().enumerate() {
            let [of_values, generic] = plans(&client, &page_query(&list), 2 * number)
                .await
                .map(|plan| summary(&plan));
            for plan in [&of_values, &generic] {
                assert!(!plan.contains("SCAN"), "{name}: {plan}");
                assert!(plan.contains("payments"), "{name}: {plan}");
            }
            lines.push(format!("{name}: {of_values}"));
            if generic != of_values {
                lines.push(format!("    whatever the values: {generic}"));
            }
            if list.after.is_none() && list.sort_by == SortKey::PaidAt {
                let [counted, _] = plans(&client, &count_query(&list), 2 * number + 1)
                    .await
                    .map(|plan| summary(&plan));
                assert!(!counted.contains("SCAN"), "{name}: {counted}");
                lines.push(format!("    counted: {counted}"));
            }
        }
        insta::assert_snapshot!(lines.join("\n"));
    }
}
