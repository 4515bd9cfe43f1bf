//! What the books keep besides payments, in SQLite.

use layer_payments_types::{self as types, Match};
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use uuid::Uuid;

use super::super::Error;
use super::books::{SqliteBooks, account_by_id, business_key, time, uuid};
use super::payouts;
use crate::domain::local::{Invoice, LocalBooks, Mark, Matched, Payout};
use crate::domain::reply::Account;

impl LocalBooks for SqliteBooks<'_> {
    fn existing_account(
        &mut self,
        id: Option<Uuid>,
        stable_name: Option<&str>,
    ) -> Result<Option<Account>, Error> {
        let id = self
            .connection
            .prepare_cached(
                "SELECT id FROM accounts WHERE business_id = ?1 AND (id = ?2 OR stable_name = ?3)
                 ORDER BY id = ?2 DESC",
            )?
            .query_row(
                params![
                    self.names.business,
                    id.as_ref().map(Uuid::as_bytes),
                    stable_name
                ],
                |row| uuid(row, 0),
            )
            .optional()?;
        id.map(|id| account_by_id(self.connection, self.names.business, id))
            .transpose()
    }

    fn create_account(&mut self, account: &Account) -> Result<(), Error> {
        self.insert_whole_account(account)
    }

    fn existing_invoice(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<Option<Invoice>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, external_id, total_amount, reference_number, voided_at, paid, refunded FROM invoices
             WHERE business_id = ?1 AND (id = ?2 OR external_id = ?3) ORDER BY id = ?2 DESC",
        )?;
        let mut rows = statement.query(params![
            self.names.business,
            id.as_ref().map(Uuid::as_bytes),
            external_id
        ])?;
        rows.next()?.map(invoice).transpose()
    }

    fn save_invoice(&mut self, invoice: &Invoice) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO invoices
                     (business_id, id, external_id, invented, created_at, total_amount, reference_number, voided_at)
                 VALUES (?1, ?2, ?3, 0, ?4, ?5, ?6, ?7)
                 ON CONFLICT (business_id, id) DO UPDATE SET
                     external_id = excluded.external_id, invented = 0, total_amount = excluded.total_amount,
                     reference_number = excluded.reference_number, voided_at = excluded.voided_at",
            )?
            .execute(params![
                self.names.business,
                invoice.id.as_bytes(),
                invoice.external_id,
                self.now.as_microsecond(),
                invoice.total_amount,
                invoice.reference_number,
                invoice.voided_at.map(|time| time.as_microsecond()),
            ])?;
        Ok(())
    }

    fn existing_payout(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<Option<Payout>, Error> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, external_id, imported_at, completed_at, paid_out_amount, fee, processor, clearing_account, memo,
                 reference_number
             FROM payouts WHERE business_id = ?1 AND (id = ?2 OR external_id = ?3) ORDER BY id = ?2 DESC",
        )?;
        let mut rows = statement.query(params![
            self.names.business,
            id.as_ref().map(Uuid::as_bytes),
            external_id
        ])?;
        rows.next()?.map(payouts::payout).transpose()
    }

    fn create_payout(&mut self, payout: &Payout, payments: &[i64]) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO payouts
                     (business_id, id, external_id, imported_at, completed_at, paid_out_amount, fee, processor,
                      clearing_account, memo, reference_number)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
            )?
            .execute(params![
                self.names.business,
                payout.id.as_bytes(),
                payout.external_id,
                payout.imported_at.as_microsecond(),
                payout.completed_at.as_microsecond(),
                payout.paid_out_amount,
                payout.fee,
                payout.processor,
                payout.clearing_account.as_bytes(),
                payout.memo,
                payout.reference_number,
            ])?;
        let mut statement = self.connection.prepare_cached(
            "INSERT INTO payout_payments (business_id, payment_key, payout_id) VALUES (?1, ?2, ?3)",
        )?;
        for key in payments {
            statement.execute(params![self.names.business, key, payout.id.as_bytes()])?;
        }
        Ok(())
    }

    fn payments_of_payout(&mut self, id: Uuid) -> Result<Vec<i64>, Error> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT payment_key FROM payout_payments WHERE business_id = ?1 AND payout_id = ?2
                 ORDER BY payment_key",
            )?
            .query_map(params![self.names.business, id.as_bytes()], |row| {
                row.get(0)
            })?
            .collect::<Result<_, _>>()?)
    }

    fn show_payout(&mut self, id: Uuid) -> Result<types::Payout, Error> {
        payouts::show(self.connection, self.names.business, id)
    }

    fn is_bank_transaction_matched(&mut self, id: Uuid) -> Result<bool, Error> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT 1 FROM matches WHERE business_id = ?1 AND bank_transaction_id = ?2",
            )?
            .exists(params![self.names.business, id.as_bytes()])?)
    }

    fn existing_match(&mut self, matched: Matched) -> Result<Option<Match>, Error> {
        // Asked for both at once, SQLite reads all matches of the business.
        let sql = match matched {
            Matched::Payout(_) => {
                "SELECT document FROM matches WHERE business_id = ?1 AND payout_id = ?2"
            }
            Matched::Payment(_) => {
                "SELECT document FROM matches WHERE business_id = ?1 AND payment_key = ?2"
            }
        };
        let of: &dyn ToSql = match &matched {
            Matched::Payout(id) => id.as_bytes(),
            Matched::Payment(key) => key,
        };
        let document: Option<String> = self
            .connection
            .prepare_cached(sql)?
            .query_row(params![self.names.business, of], |row| row.get(0))
            .optional()?;
        Ok(document
            .map(|document| serde_json::from_str(&document))
            .transpose()?)
    }

    fn create_match(
        &mut self,
        matched: Matched,
        bank_transaction: Uuid,
        amount: i64,
        shown: &Match,
    ) -> Result<(), Error> {
        let (payout, payment) = columns(&matched);
        self.connection
            .prepare_cached(
                "INSERT INTO matches
                     (business_id, id, payout_id, payment_key, bank_transaction_id, created_at, amount, document)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
            )?
            .execute(params![
                self.names.business,
                shown.id.as_bytes(),
                payout,
                payment,
                bank_transaction.as_bytes(),
                self.now.as_microsecond(),
                amount,
                serde_json::to_string(shown)?,
            ])?;
        Ok(())
    }

    fn mark(&mut self, key: i64, mark: Mark) -> Result<(), Error> {
        let sql = match mark {
            Mark::InPayout => "UPDATE payments SET in_payout = 1 WHERE key = ?1",
            Mark::Matched => "UPDATE payments SET is_matched = 1 WHERE key = ?1",
        };
        self.connection.prepare_cached(sql)?.execute([key])?;
        Ok(())
    }

    fn business_id(&self) -> Uuid {
        self.business
    }
}

/// The columns of a match that say what it belongs to.
fn columns(matched: &Matched) -> (Option<&[u8; 16]>, Option<i64>) {
    match matched {
        Matched::Payout(id) => (Some(id.as_bytes()), None),
        Matched::Payment(key) => (None, Some(*key)),
    }
}

/// The invoices of a business, by id; only the one with this external id if one is given.
pub(super) fn invoices(
    connection: &Connection,
    business: Uuid,
    external_id: Option<&str>,
) -> Result<Vec<Invoice>, Error> {
    let business = business_key(connection, business)?;
    let mut statement = connection.prepare_cached(
        "SELECT id, external_id, total_amount, reference_number, voided_at, paid, refunded FROM invoices
         WHERE business_id = ?1 AND (?2 IS NULL OR external_id = ?2) ORDER BY id",
    )?;
    let mut rows = statement.query(params![business, external_id])?;
    let mut list = Vec::new();
    while let Some(row) = rows.next()? {
        list.push(invoice(row)?);
    }
    Ok(list)
}

fn invoice(row: &Row<'_>) -> Result<Invoice, Error> {
    Ok(Invoice {
        id: uuid(row, 0)?,
        external_id: row.get(1)?,
        total_amount: row.get(2)?,
        reference_number: row.get(3)?,
        voided_at: row.get::<_, Option<i64>>(4)?.map(time).transpose()?,
        paid: row.get(5)?,
        refunded: row.get(6)?,
    })
}
