//! Businesses: making them known, changing them, and taking everything away.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use uuid::Uuid;

use super::super::Error;
use super::books::{time, uuid};
use crate::domain::local::{Business, IsNew, NewBusiness, business_name_taken, not_empty};
use crate::domain::payment::whole_microseconds;

/// Makes a business known. One that is known by its id or its external id stays as it is.
pub(super) fn create(
    connection: &Connection,
    request: &NewBusiness,
    now: Timestamp,
) -> Result<(Business, IsNew), Error> {
    not_empty::<Error>("/external_id", request.external_id.as_deref())?;
    let known = connection
        .prepare_cached(
            "SELECT uuid, external_id, name, closing_date FROM businesses WHERE uuid = ?1 OR external_id = ?2
             ORDER BY uuid = ?1 DESC",
        )?
        .query_row(
            params![
                request.id.as_ref().map(Uuid::as_bytes),
                request.external_id
            ],
            |row| Ok(business(row)),
        )
        .optional()?
        .transpose()?;
    if let Some(known) = known {
        if request.id.is_some_and(|id| id != known.id) {
            return Err(Error::Refused(vec![business_name_taken(known.id)]));
        }
        return Ok((known, IsNew(false)));
    }
    let new = Business {
        type_: Business::TYPE,
        id: request.id.unwrap_or_else(Uuid::now_v7),
        external_id: request.external_id.clone(),
        name: request.name.clone(),
        closing_date: request.closing_date.map(whole_microseconds),
    };
    connection
        .prepare_cached(
            "INSERT INTO businesses (uuid, external_id, name, closing_date, created_at) VALUES (?1, ?2, ?3, ?4, ?5)",
        )?
        .execute(params![
            new.id.as_bytes(),
            new.external_id,
            new.name,
            new.closing_date.map(|time| time.as_microsecond()),
            now.as_microsecond()
        ])?;
    Ok((new, IsNew(true)))
}

/// Sets a business's closing date, or takes it away.
pub(super) fn close_until(
    connection: &Connection,
    id: Uuid,
    closing_date: Option<Timestamp>,
) -> Result<Business, Error> {
    connection
        .prepare_cached("UPDATE businesses SET closing_date = ?2 WHERE uuid = ?1")?
        .execute(params![
            id.as_bytes(),
            closing_date.map(|time| time.as_microsecond())
        ])?;
    get(connection, id)
}

/// A business.
pub(super) fn get(connection: &Connection, id: Uuid) -> Result<Business, Error> {
    connection
        .prepare_cached(
            "SELECT uuid, external_id, name, closing_date FROM businesses WHERE uuid = ?1",
        )?
        .query_row([id.as_bytes()], |row| Ok(business(row)))
        .optional()?
        .ok_or(Error::NoBusiness(id))?
}

/// All businesses, in the order of their creation.
pub(super) fn all(connection: &Connection) -> Result<Vec<Business>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT uuid, external_id, name, closing_date FROM businesses ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(business(row)?);
    }
    Ok(list)
}

fn business(row: &Row<'_>) -> Result<Business, Error> {
    Ok(Business {
        type_: Business::TYPE,
        id: uuid(row, 0)?,
        external_id: row.get(1)?,
        name: row.get(2)?,
        closing_date: row.get::<_, Option<i64>>(3)?.map(time).transpose()?,
    })
}

/// Takes everything away.
pub(super) fn reset(connection: &Connection) -> Result<(), Error> {
    // Each table before those that it refers to.
    connection.execute_batch(
        "DELETE FROM matches;
         DELETE FROM payout_payments;
         DELETE FROM payouts;
         DELETE FROM journal_lines;
         DELETE FROM journal_entries WHERE reversal_of IS NOT NULL;
         DELETE FROM journal_entries;
         DELETE FROM payment_invoices;
         DELETE FROM payments;
         DELETE FROM tag_values;
         DELETE FROM tag_dimensions;
         DELETE FROM invoices;
         DELETE FROM accounts;
         DELETE FROM businesses;",
    )?;
    Ok(())
}
