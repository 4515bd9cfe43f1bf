//! What requests and the books check read from PostgreSQL.

use std::collections::{HashMap, HashSet};

use layer_payments_types as types;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::check::{Audit, AuditedAccount, AuditedEntry, AuditedMatch};
use super::super::{Balance, EntryFilter, Error, JournalEntry, ListQuery, Page, View};
use super::list;
use super::load::{self, Link, StoredAccount, get};
use super::names::{Name, untext, whole};
use crate::domain::books::Kept;
use crate::domain::consequences::Posted;
use crate::domain::ledger::Line;
use crate::domain::local::{Business, Invoice, Matched, Payout};
use crate::domain::reply::Account;

/// A view of what is committed. Where one request reads more than once, the connection is in a transaction that sees one
/// snapshot.
pub(super) struct Reader<'c>(pub(super) Link<'c>);

impl Reader<'_> {
    /// Refuses a business that isn't there, where nothing was found in it.
    fn must_exist(&self, business: Uuid) -> Result<(), Error> {
        let known = self
            .0
            .query_opt("SELECT 1 FROM businesses WHERE id = $1", &[&business])?;
        known.map(drop).ok_or(Error::NoBusiness(business))
    }
}

/// What [`business`] reads, in its order.
macro_rules! business_columns {
    () => {
        "id, external_id, name, closing_date"
    };
}
pub(super) use business_columns;

pub(super) fn business(row: &Row) -> Result<Business, Error> {
    Ok(Business {
        type_: Business::TYPE,
        id: get(row, 0)?,
        external_id: get::<Option<String>>(row, 1)?.map(untext),
        name: get::<Option<String>>(row, 2)?.map(untext),
        closing_date: get(row, 3)?,
    })
}

impl View for Reader<'_> {
    fn probe(&mut self) -> Result<(), Error> {
        self.0.query_opt("SELECT is_only FROM store", &[]).map(drop)
    }

    fn page(&mut self, query: &ListQuery) -> Result<Page, Error> {
        let page = list::page(query, self.0)?;
        if page.documents.is_empty() {
            self.must_exist(query.business)?;
        }
        Ok(page)
    }

    fn businesses(&mut self) -> Result<Vec<Business>, Error> {
        let sql = concat!(
            "SELECT ",
            business_columns!(),
            " FROM businesses ORDER BY number"
        );
        self.0.query(sql, &[])?.iter().map(business).collect()
    }

    fn business(&mut self, id: Uuid) -> Result<Business, Error> {
        let sql = concat!(
            "SELECT ",
            business_columns!(),
            " FROM businesses WHERE id = $1"
        );
        match self.0.query_opt(sql, &[&id])? {
            Some(row) => business(&row),
            None => Err(Error::NoBusiness(id)),
        }
    }

    fn invoices(
        &mut self,
        business: Uuid,
        external_id: Option<&str>,
    ) -> Result<Vec<Invoice>, Error> {
        let rows = match external_id.map(Name::of) {
            Some(name) => self.0.query(
                concat!(
                    "SELECT ",
                    load::invoice_columns!(),
                    " FROM invoices WHERE business_id = $1 AND external_id = $2"
                ),
                &[&business, &name.indexed],
            )?,
            None => self.0.query(
                concat!(
                    "SELECT ",
                    load::invoice_columns!(),
                    " FROM invoices WHERE business_id = $1 ORDER BY id"
                ),
                &[&business],
            )?,
        };
        if rows.is_empty() {
            self.must_exist(business)?;
        }
        rows.iter().map(load::invoice).collect()
    }

    fn entries(
        &mut self,
        business: Uuid,
        filter: EntryFilter,
    ) -> Result<(Vec<JournalEntry>, bool), Error> {
        const SELECT: &str = "SELECT entry.number, entry.entry_type, entry.source_id, entry.entry_at, entry.posted_at,
                 payments.id, entry.reversal_of, reversal.number
             FROM journal_entries AS entry
             LEFT JOIN payments ON payments.business_id = entry.business_id AND payments.key = entry.payment_key
             LEFT JOIN journal_entries AS reversal
                 ON reversal.business_id = entry.business_id AND reversal.reversal_of = entry.number
             WHERE entry.business_id = $1 AND entry.number > $2";
        let limit = i64::try_from(filter.limit)
            .unwrap_or(i64::MAX)
            .saturating_add(1);
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&business, &filter.after, &limit];
        let mut sql = SELECT.to_owned();
        if let Some(payment) = &filter.payment {
            sql.push_str(
                " AND entry.payment_key = (SELECT key FROM payments WHERE business_id = $1 AND id = $4)",
            );
            values.push(payment);
        }
        sql.push_str(" ORDER BY entry.number LIMIT $3");
        let mut rows = self.0.query(&sql, &values)?;
        if rows.is_empty() {
            self.must_exist(business)?;
        }
        let has_more = rows.len() > filter.limit;
        rows.truncate(filter.limit);
        let numbers = rows
            .iter()
            .map(|row| get(row, 0))
            .collect::<Result<Vec<i64>, _>>()?;
        let mut lines = lines(self.0, business, &numbers)?;
        let entries = rows
            .iter()
            .map(|row| {
                let number = get(row, 0)?;
                Ok(JournalEntry {
                    number,
                    entry: load::draft(row, 1, lines.remove(&number).unwrap_or_default())?,
                    posted_at: get(row, 4)?,
                    payment: get(row, 5)?,
                    reversal_of: get(row, 6)?,
                    reversed_by: get(row, 7)?,
                })
            })
            .collect::<Result<_, Error>>()?;
        Ok((entries, has_more))
    }

    fn balances(&mut self, business: Uuid) -> Result<Vec<Balance>, Error> {
        // By bytes, whatever the database's language says of letters. A long name is ordered by its beginning.
        let rows = self.0.query(
            concat!(
                "SELECT ",
                load::account_columns!(),
                " FROM accounts WHERE business_id = $1
                 ORDER BY stable_name IS NULL, stable_name COLLATE \"C\", id"
            ),
            &[&business],
        )?;
        if rows.is_empty() {
            self.must_exist(business)?;
        }
        rows.iter()
            .map(|row| {
                let StoredAccount {
                    id,
                    columns,
                    debits,
                    credits,
                } = load::account(row)?;
                Ok(Balance {
                    account: columns.account(id)?,
                    debits,
                    credits,
                })
            })
            .collect()
    }
}

/// The lines of entries, in their order.
fn lines(
    link: Link<'_>,
    business: Uuid,
    entries: &[i64],
) -> Result<HashMap<i64, Vec<Line<Uuid>>>, Error> {
    let mut lines: HashMap<i64, Vec<Line<Uuid>>> = HashMap::with_capacity(entries.len());
    for row in link.query(
        "SELECT entry, account_id, debit, credit FROM journal_lines
         WHERE business_id = $1 AND entry = ANY($2) ORDER BY entry, line",
        &[&business, &entries],
    )? {
        lines
            .entry(get(&row, 0)?)
            .or_default()
            .push(load::line(&row, 1)?);
    }
    Ok(lines)
}

/// The entries of payments that count: no reversals, and none that was reversed.
pub(super) fn posted(
    link: Link<'_>,
    business: Uuid,
    keys: &[i64],
) -> Result<HashMap<i64, Vec<Posted>>, Error> {
    let rows = link.query(
        "SELECT number, entry_type, source_id, entry_at, payment_key FROM journal_entries AS entry
         WHERE business_id = $1 AND payment_key = ANY($2) AND reversal_of IS NULL AND NOT EXISTS (
             SELECT 1 FROM journal_entries AS reversal
             WHERE reversal.business_id = $1 AND reversal.reversal_of = entry.number)
         ORDER BY number",
        &[&business, &keys],
    )?;
    let mut posted: HashMap<i64, Vec<Posted>> = HashMap::with_capacity(keys.len());
    for (row, entry) in rows.iter().zip(read_posted(link, business, &rows)?) {
        posted.entry(get(row, 4)?).or_default().push(entry);
    }
    Ok(posted)
}

/// Reads rows of an entry's number, type, source and time.
fn read_posted(link: Link<'_>, business: Uuid, rows: &[Row]) -> Result<Vec<Posted>, Error> {
    let numbers = rows
        .iter()
        .map(|row| get(row, 0))
        .collect::<Result<Vec<i64>, _>>()?;
    let mut lines = lines(link, business, &numbers)?;
    rows.iter()
        .zip(numbers)
        .map(|(row, number)| {
            Ok(Posted {
                number,
                entry: load::draft(row, 1, lines.remove(&number).unwrap_or_default())?,
            })
        })
        .collect()
}

/// The payouts that payments are in, as replies show them, in the order of their import.
pub(super) fn payouts_of(
    link: Link<'_>,
    business: Uuid,
    keys: &[i64],
) -> Result<HashMap<i64, Vec<types::Payout>>, Error> {
    let rows = link.query(
        concat!(
            load::payouts!(),
            ", link.payment_key",
            load::payouts!(from),
            "JOIN payout_payments AS link
                 ON link.business_id = payouts.business_id AND link.payout_id = payouts.id
             WHERE link.business_id = $1 AND link.payment_key = ANY($2)
             ORDER BY payouts.imported_at, payouts.id"
        ),
        &[&business, &keys],
    )?;
    let mut payouts: HashMap<i64, Vec<types::Payout>> = HashMap::new();
    for row in rows {
        payouts
            .entry(get(&row, load::payouts!(count))?)
            .or_default()
            .push(load::shown_payout(&row, business)?);
    }
    Ok(payouts)
}

macro_rules! entries {
    () => {
        "SELECT number, entry_at, source_id, reversal_of, payment_key, payment_key IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM payments
             WHERE payments.business_id = journal_entries.business_id AND payments.key = payment_key)
         FROM journal_entries WHERE business_id = $1 "
    };
}

impl Reader<'_> {
    fn audited(&self, business: Uuid, rows: &[Row]) -> Result<Vec<AuditedEntry>, Error> {
        let numbers = rows
            .iter()
            .map(|row| get(row, 0))
            .collect::<Result<Vec<i64>, _>>()?;
        let mut lines = lines(self.0, business, &numbers)?;
        rows.iter()
            .zip(numbers)
            .map(|(row, number)| {
                Ok(AuditedEntry {
                    number,
                    at: get(row, 1)?,
                    source: get(row, 2)?,
                    reversal_of: get(row, 3)?,
                    payment: get(row, 4)?,
                    is_orphan: get(row, 5)?,
                    lines: lines.remove(&number).unwrap_or_default(),
                })
            })
            .collect()
    }
}

/// The columns of each table that refer to another one, for the search for references to nothing. The engine's own
/// constraints guard them; a restore without them, or a shard that was lost, doesn't.
const REFERENCES: [(&str, &str, &str); 7] = [
    (
        "journal_lines",
        "journal_entries",
        "parent.number = child.entry",
    ),
    ("journal_lines", "accounts", "parent.id = child.account_id"),
    (
        "payment_invoices",
        "invoices",
        "parent.id = child.invoice_id",
    ),
    (
        "payment_invoices",
        "payments",
        "parent.key = child.payment_key",
    ),
    (
        "payout_payments",
        "payments",
        "parent.key = child.payment_key",
    ),
    ("payout_payments", "payouts", "parent.id = child.payout_id"),
    (
        "tag_values",
        "tag_dimensions",
        "parent.id = child.dimension_id",
    ),
];

impl Audit for Reader<'_> {
    fn engine_faults(&mut self) -> Result<Vec<String>, Error> {
        let mut faults = Vec::new();
        for (table, parent, condition) in REFERENCES {
            let sql = format!(
                "SELECT count(*) FROM {table} AS child WHERE NOT EXISTS (
                     SELECT 1 FROM {parent} AS parent WHERE parent.business_id = child.business_id AND {condition})"
            );
            for row in self.0.query(&sql, &[])? {
                let lost: i64 = get(&row, 0)?;
                // A line for each, as SQLite has it.
                let lost = usize::try_from(lost).unwrap_or(usize::MAX).min(10);
                faults.extend(
                    std::iter::repeat_with(|| {
                        format!("a row of {table} refers to none of {parent}")
                    })
                    .take(lost),
                );
            }
        }
        Ok(faults)
    }

    fn business_ids(&mut self) -> Result<Vec<Uuid>, Error> {
        let rows = self
            .0
            .query("SELECT id FROM businesses ORDER BY number", &[])?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    fn journal(
        &mut self,
        business: Uuid,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AuditedEntry>, Error> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = self.0.query(
            concat!(entries!(), "AND number > $2 ORDER BY number LIMIT $3"),
            &[&business, &after, &limit],
        )?;
        self.audited(business, &rows)
    }

    fn entries_numbered(
        &mut self,
        business: Uuid,
        numbers: &[i64],
    ) -> Result<Vec<AuditedEntry>, Error> {
        let rows = self.0.query(
            concat!(entries!(), "AND number = ANY($2)"),
            &[&business, &numbers],
        )?;
        self.audited(business, &rows)
    }

    fn accounts(&mut self, business: Uuid) -> Result<Vec<AuditedAccount>, Error> {
        let rows = self.0.query(
            "SELECT id, stable_name, long_stable_name, debits, credits FROM accounts WHERE business_id = $1
             ORDER BY id",
            &[&business],
        )?;
        rows.iter()
            .map(|row| {
                Ok(AuditedAccount {
                    id: get(row, 0)?,
                    stable_name: whole(get(row, 1)?, get(row, 2)?),
                    debits: get(row, 3)?,
                    credits: get(row, 4)?,
                })
            })
            .collect()
    }

    fn account(&mut self, business: Uuid, id: Uuid) -> Result<Account, Error> {
        let sql = concat!(
            "SELECT ",
            load::account_columns!(),
            " FROM accounts WHERE business_id = $1 AND id = $2"
        );
        match self.0.query_opt(sql, &[&business, &id])? {
            Some(row) => load::account(&row)?.columns.account(id),
            None => Err(Error::Corrupt(format!(
                "the account {id}, which isn't there"
            ))),
        }
    }

    fn payment_keys(&mut self, business: Uuid) -> Result<Vec<i64>, Error> {
        let rows = self.0.query(
            "SELECT key FROM payments WHERE business_id = $1 ORDER BY key",
            &[&business],
        )?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    fn payments(&mut self, business: Uuid, keys: &[i64]) -> Result<Vec<Kept>, Error> {
        let rows = self.0.query(
            concat!(
                "SELECT ",
                load::kept_columns!(),
                " FROM payments WHERE business_id = $1 AND key = ANY($2) ORDER BY key"
            ),
            &[&business, &keys],
        )?;
        rows.iter().map(load::kept).collect()
    }

    fn posted(&mut self, business: Uuid, keys: &[i64]) -> Result<HashMap<i64, Vec<Posted>>, Error> {
        posted(self.0, business, keys)
    }

    fn payouts_of(
        &mut self,
        business: Uuid,
        keys: &[i64],
    ) -> Result<HashMap<i64, Vec<types::Payout>>, Error> {
        payouts_of(self.0, business, keys)
    }

    fn matched_themselves(&mut self, business: Uuid, keys: &[i64]) -> Result<HashSet<i64>, Error> {
        let rows = self.0.query(
            "SELECT payment_key FROM matches WHERE business_id = $1 AND payment_key = ANY($2)",
            &[&business, &keys],
        )?;
        rows.iter().map(|row| get(row, 0)).collect()
    }

    fn linked(
        &mut self,
        business: Uuid,
        pairs: &[(Uuid, i64)],
    ) -> Result<HashSet<(Uuid, i64)>, Error> {
        let (invoices, keys): (Vec<Uuid>, Vec<i64>) = pairs.iter().copied().unzip();
        let rows = self.0.query(
            "SELECT invoice_id, payment_key FROM payment_invoices
             JOIN unnest($2::uuid[], $3::bigint[]) AS pair (invoice, payment)
                 ON invoice_id = pair.invoice AND payment_key = pair.payment
             WHERE business_id = $1",
            &[&business, &invoices, &keys],
        )?;
        rows.iter()
            .map(|row| Ok((get(row, 0)?, get(row, 1)?)))
            .collect()
    }

    fn count_links(&mut self, business: Uuid) -> Result<i64, Error> {
        match self.0.query_opt(
            "SELECT count(*) FROM payment_invoices WHERE business_id = $1",
            &[&business],
        )? {
            Some(row) => get(&row, 0),
            None => Ok(0),
        }
    }

    fn payouts(&mut self, business: Uuid) -> Result<Vec<Payout>, Error> {
        let rows = self.0.query(
            concat!(
                load::payouts!(),
                load::payouts!(from),
                "WHERE payouts.business_id = $1 ORDER BY payouts.id"
            ),
            &[&business],
        )?;
        rows.iter().map(load::payout).collect()
    }

    fn matches(&mut self, business: Uuid) -> Result<Vec<AuditedMatch>, Error> {
        let rows = self.0.query(
            "SELECT id, payout_id, payment_key, amount, document FROM matches WHERE business_id = $1 ORDER BY id",
            &[&business],
        )?;
        rows.iter()
            .map(|row| {
                Ok(AuditedMatch {
                    id: get(row, 0)?,
                    matched: match get(row, 1)? {
                        Some(payout) => Matched::Payout(payout),
                        None => Matched::Payment(get(row, 2)?),
                    },
                    amount: get(row, 3)?,
                    shown: serde_json::from_str(get(row, 4)?)?,
                })
            })
            .collect()
    }

    fn posted_alone(&mut self, business: Uuid) -> Result<Vec<Posted>, Error> {
        let rows = self.0.query(
            "SELECT number, entry_type, source_id, entry_at FROM journal_entries AS entry
             WHERE business_id = $1 AND payment_key IS NULL AND reversal_of IS NULL AND NOT EXISTS (
                 SELECT 1 FROM journal_entries AS reversal
                 WHERE reversal.business_id = $1 AND reversal.reversal_of = entry.number)
             ORDER BY number",
            &[&business],
        )?;
        read_posted(self.0, business, &rows)
    }

    fn invoices(&mut self, business: Uuid) -> Result<Vec<Invoice>, Error> {
        View::invoices(self, business, None)
    }
}
