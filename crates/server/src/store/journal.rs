//! Reading the journal.

use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::Error;
use super::books::{time, uuid};
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
    let mut statement = connection.prepare_cached(
        "SELECT number, entry_type, source_id, entry_at FROM journal_entries AS entry
         WHERE business_id = ?1 AND payment_key = ?2 AND reversal_of IS NULL AND NOT EXISTS (
             SELECT 1 FROM journal_entries WHERE business_id = ?1 AND reversal_of = entry.number)
         ORDER BY number",
    )?;
    let mut rows = statement.query(params![business, payment])?;
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
