//! Reading the journal.

use rusqlite::{Connection, Row, Rows, params};
use uuid::Uuid;

use super::super::{Balance, EntryFilter, Error, JournalEntry};
use super::books::{account, account_columns, business_key, optional_uuid, time, uuid};
use crate::domain::consequences::Posted;
use crate::domain::ledger::{Draft, EntryType, Line, Side};

/// The number of a business's last entry; 0 if there is none.
pub(super) fn last_number(connection: &Connection, business: i64) -> Result<i64, Error> {
    let last: Option<i64> = connection
        .prepare_cached("SELECT max(number) FROM journal_entries WHERE business_id = ?1")?
        .query_row([business], |row| row.get(0))?;
    Ok(last.unwrap_or(0))
}

/// The entries of a payment that count: no reversals, and none that was reversed.
pub(super) fn posted(
    connection: &Connection,
    business: i64,
    payment: i64,
) -> Result<Vec<Posted>, Error> {
    // Left to itself, SQLite reads the business's whole journal in its order, for every payment that changes.
    let mut statement = connection.prepare_cached(
        "SELECT number, entry_type, source_id, entry_at
         FROM journal_entries AS entry INDEXED BY journal_entries_by_payment
         WHERE business_id = ?1 AND payment_key = ?2 AND reversal_of IS NULL AND NOT EXISTS (
             SELECT 1 FROM journal_entries WHERE business_id = ?1 AND reversal_of = entry.number)
         ORDER BY number",
    )?;
    read_posted(
        connection,
        business,
        statement.query(params![business, payment])?,
    )
}

/// The entries that count and are about no payment.
pub(super) fn posted_alone(connection: &Connection, business: i64) -> Result<Vec<Posted>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT number, entry_type, source_id, entry_at FROM journal_entries AS entry
         WHERE business_id = ?1 AND payment_key IS NULL AND reversal_of IS NULL AND NOT EXISTS (
             SELECT 1 FROM journal_entries WHERE business_id = ?1 AND reversal_of = entry.number)
         ORDER BY number",
    )?;
    read_posted(connection, business, statement.query([business])?)
}

fn read_posted(
    connection: &Connection,
    business: i64,
    mut rows: Rows<'_>,
) -> Result<Vec<Posted>, Error> {
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let number = row.get(0)?;
        list.push(Posted {
            number,
            entry: entry(row, lines(connection, business, number)?)?,
        });
    }
    Ok(list)
}

/// Reads a row of an entry's number, type, source and time.
fn entry(row: &Row<'_>, lines: Vec<Line<Uuid>>) -> Result<Draft<Uuid>, Error> {
    let name: String = row.get(1)?;
    Ok(Draft {
        entry_type: EntryType::from_name(&name)
            .ok_or_else(|| Error::Corrupt(format!("the type of entry {name:?}")))?,
        source: uuid(row, 2)?,
        at: time(row.get(3)?)?,
        lines,
    })
}

/// The lines of an entry, in their order.
pub(super) fn lines(
    connection: &Connection,
    business: i64,
    number: i64,
) -> Result<Vec<Line<Uuid>>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT account_id, debit, credit FROM journal_lines WHERE business_id = ?1 AND entry = ?2 ORDER BY line",
    )?;
    let mut rows = statement.query(params![business, number])?;
    let mut lines = Vec::new();
    while let Some(row) = rows.next()? {
        let debit: i64 = row.get(1)?;
        let (side, amount) = match debit {
            0 => (Side::Credit, row.get(2)?),
            debit => (Side::Debit, debit),
        };
        lines.push(Line {
            account: uuid(row, 0)?,
            side,
            amount,
        });
    }
    Ok(lines)
}

/// Entries of a business by their numbers, and whether there are more.
pub(super) fn entries(
    connection: &Connection,
    business: Uuid,
    filter: EntryFilter,
) -> Result<(Vec<JournalEntry>, bool), Error> {
    let business = business_key(connection, business)?;
    let of_payment =
        "AND entry.payment_key = (SELECT key FROM payments WHERE id = ?3 AND business_id = ?1)";
    let sql = format!(
        "SELECT entry.number, entry.entry_type, entry.source_id, entry.entry_at, entry.posted_at, payments.id,
             entry.reversal_of, reversal.number
         FROM journal_entries AS entry
         LEFT JOIN payments ON payments.key = entry.payment_key
         LEFT JOIN journal_entries AS reversal
             ON reversal.business_id = entry.business_id AND reversal.reversal_of = entry.number
         WHERE entry.business_id = ?1 AND entry.number > ?2 {} ORDER BY entry.number LIMIT ?4",
        if filter.payment.is_some() {
            of_payment
        } else {
            "AND ?3 IS NULL"
        }
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params![
        business,
        filter.after,
        filter.payment.as_ref().map(Uuid::as_bytes),
        i64::try_from(filter.limit)
            .unwrap_or(i64::MAX)
            .saturating_add(1),
    ])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        if list.len() == filter.limit {
            return Ok((list, true));
        }
        let number = row.get(0)?;
        list.push(JournalEntry {
            number,
            entry: entry(row, lines(connection, business, number)?)?,
            posted_at: time(row.get(4)?)?,
            payment: optional_uuid(row, 5)?,
            reversal_of: row.get(6)?,
            reversed_by: row.get(7)?,
        });
    }
    Ok((list, false))
}

/// The accounts of a business, those of the chart by their stable names first.
pub(super) fn balances(connection: &Connection, business: Uuid) -> Result<Vec<Balance>, Error> {
    let business = business_key(connection, business)?;
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        account_columns!(),
        ", debits, credits FROM accounts WHERE business_id = ?1 ORDER BY stable_name IS NULL, stable_name, id"
    ))?;
    let mut rows = statement.query([business])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(Balance {
            debits: row.get(account_columns!(count))?,
            credits: row.get(account_columns!(count) + 1)?,
            account: account(row)?,
        });
    }
    Ok(list)
}
