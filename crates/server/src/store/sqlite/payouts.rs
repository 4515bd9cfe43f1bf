//! Reading payouts, each with its match.

use layer_payments_types as types;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::super::Error;
use super::super::check::AuditedMatch;
use super::books::{account_by_id, optional_uuid, time, uuid};
use crate::domain::local::{Matched, Payout};

/// What [`payout`] and [`shown`] read, in their order.
macro_rules! select {
    () => {
        "SELECT payouts.id, payouts.external_id, payouts.imported_at, payouts.completed_at, payouts.paid_out_amount, \
             payouts.fee, payouts.processor, payouts.clearing_account, payouts.memo, payouts.reference_number, \
             matches.document, businesses.uuid \
         FROM payouts \
         JOIN businesses ON businesses.id = payouts.business_id \
         LEFT JOIN matches ON matches.business_id = payouts.business_id AND matches.payout_id = payouts.id "
    };
}

/// The payouts that a payment is in, as replies show them, in the order of their import.
pub(super) fn of_payment(
    connection: &Connection,
    business: i64,
    payment: i64,
) -> Result<Vec<types::Payout>, Error> {
    let mut statement = connection.prepare_cached(concat!(
        select!(),
        "JOIN payout_payments AS link ON link.business_id = payouts.business_id AND link.payout_id = payouts.id
         WHERE link.business_id = ?1 AND link.payment_key = ?2
         ORDER BY payouts.imported_at, payouts.id"
    ))?;
    let mut rows = statement.query(params![business, payment])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(shown(connection, business, row)?);
    }
    Ok(list)
}

/// Whether a bank transaction was matched with a payment itself.
pub(super) fn is_matched_itself(
    connection: &Connection,
    business: i64,
    payment: i64,
) -> Result<bool, Error> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM matches WHERE business_id = ?1 AND payment_key = ?2")?
        .exists(params![business, payment])?)
}

/// A payout as replies show it.
pub(super) fn show(
    connection: &Connection,
    business: i64,
    id: Uuid,
) -> Result<types::Payout, Error> {
    let mut statement = connection.prepare_cached(concat!(
        select!(),
        "WHERE payouts.business_id = ?1 AND payouts.id = ?2"
    ))?;
    let mut rows = statement.query(params![business, id.as_bytes()])?;
    match rows.next()? {
        Some(row) => shown(connection, business, row),
        None => Err(Error::Corrupt(format!(
            "the payout {id}, which isn't there"
        ))),
    }
}

/// All payouts of a business, by id.
pub(super) fn all(connection: &Connection, business: i64) -> Result<Vec<Payout>, Error> {
    let mut statement = connection.prepare(concat!(
        select!(),
        "WHERE payouts.business_id = ?1 ORDER BY payouts.id"
    ))?;
    let mut rows = statement.query([business])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(payout(row)?);
    }
    Ok(list)
}

/// All matches of a business, by id.
pub(super) fn all_matches(
    connection: &Connection,
    business: i64,
) -> Result<Vec<AuditedMatch>, Error> {
    let mut statement = connection.prepare(
        "SELECT id, payout_id, payment_key, amount, document FROM matches WHERE business_id = ?1 ORDER BY id",
    )?;
    let mut rows = statement.query([business])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        let document: String = row.get(4)?;
        list.push(AuditedMatch {
            id: uuid(row, 0)?,
            matched: match optional_uuid(row, 1)? {
                Some(payout) => Matched::Payout(payout),
                None => Matched::Payment(row.get(2)?),
            },
            amount: row.get(3)?,
            shown: serde_json::from_str(&document)?,
        });
    }
    Ok(list)
}

/// Reads a payout's own columns.
pub(super) fn payout(row: &Row<'_>) -> Result<Payout, Error> {
    Ok(Payout {
        id: uuid(row, 0)?,
        external_id: row.get(1)?,
        imported_at: time(row.get(2)?)?,
        completed_at: time(row.get(3)?)?,
        paid_out_amount: row.get(4)?,
        fee: row.get(5)?,
        processor: row.get(6)?,
        clearing_account: uuid(row, 7)?,
        memo: row.get(8)?,
        reference_number: row.get(9)?,
    })
}

fn shown(connection: &Connection, business: i64, row: &Row<'_>) -> Result<types::Payout, Error> {
    let payout = payout(row)?;
    let clearing = account_by_id(connection, business, payout.clearing_account)?;
    let matched: Option<String> = row.get(10)?;
    let matched = matched
        .map(|document| serde_json::from_str(&document))
        .transpose()?;
    Ok(payout.shown(uuid(row, 11)?, &clearing, matched))
}
