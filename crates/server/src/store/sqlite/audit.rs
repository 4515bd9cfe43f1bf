//! What the books check reads from SQLite.

use std::collections::{HashMap, HashSet};

use layer_payments_types as types;
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

use super::super::Error;
use super::super::check::{Audit, AuditedAccount, AuditedEntry, AuditedMatch};
use super::books::{account_by_id, business_key, kept, kept_columns, time, uuid};
use super::{journal, local, payouts};
use crate::domain::books::Kept;
use crate::domain::consequences::Posted;
use crate::domain::local::{Invoice, Payout};
use crate::domain::reply::Account;

macro_rules! entries {
    () => {
        "SELECT number, entry_at, source_id, reversal_of, payment_key, payment_key IS NOT NULL AND NOT EXISTS (
             SELECT 1 FROM payments
             WHERE payments.key = payment_key AND payments.business_id = journal_entries.business_id)
         FROM journal_entries WHERE business_id = ?1 "
    };
}

impl Audit for &Connection {
    fn engine_faults(&mut self) -> Result<Vec<String>, Error> {
        let mut faults = Vec::new();
        let mut statement = self.prepare("PRAGMA integrity_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let found: String = row.get(0)?;
            if found != "ok" {
                faults.push(format!("the file: {found}"));
            }
        }
        let mut statement = self.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
            faults.push(format!("a row of {table} refers to none of {parent}"));
        }
        Ok(faults)
    }

    fn business_ids(&mut self) -> Result<Vec<Uuid>, Error> {
        let mut statement = self.prepare("SELECT uuid FROM businesses ORDER BY id")?;
        let rows = statement.query_map([], |row| uuid(row, 0))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn journal(
        &mut self,
        business: Uuid,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AuditedEntry>, Error> {
        let business = business_key(self, business)?;
        let mut statement = self.prepare_cached(concat!(
            entries!(),
            "AND number > ?2 ORDER BY number LIMIT ?3"
        ))?;
        let mut rows = statement.query(params![
            business,
            after,
            i64::try_from(limit).unwrap_or(i64::MAX)
        ])?;
        let mut list = Vec::new();
        while let Some(row) = rows.next()? {
            list.push(entry(self, business, row)?);
        }
        Ok(list)
    }

    fn entries_numbered(
        &mut self,
        business: Uuid,
        numbers: &[i64],
    ) -> Result<Vec<AuditedEntry>, Error> {
        let business = business_key(self, business)?;
        let mut statement = self.prepare_cached(concat!(entries!(), "AND number = ?2"))?;
        let mut list = Vec::new();
        for number in numbers {
            let mut rows = statement.query(params![business, number])?;
            if let Some(row) = rows.next()? {
                list.push(entry(self, business, row)?);
            }
        }
        Ok(list)
    }

    fn accounts(&mut self, business: Uuid) -> Result<Vec<AuditedAccount>, Error> {
        let mut statement = self.prepare_cached(
            "SELECT id, stable_name, debits, credits FROM accounts WHERE business_id = ?1 ORDER BY id",
        )?;
        let rows = statement.query_map([business_key(self, business)?], |row| {
            Ok(AuditedAccount {
                id: uuid(row, 0)?,
                stable_name: row.get(1)?,
                debits: row.get(2)?,
                credits: row.get(3)?,
            })
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn account(&mut self, business: Uuid, id: Uuid) -> Result<Account, Error> {
        account_by_id(self, business_key(self, business)?, id)
    }

    fn payment_keys(&mut self, business: Uuid) -> Result<Vec<i64>, Error> {
        // From an index alone: the table has the payments of all businesses among each other.
        let mut statement = self.prepare_cached(
            "SELECT key FROM payments INDEXED BY payments_by_paid_at WHERE business_id = ?1",
        )?;
        let rows = statement.query_map([business_key(self, business)?], |row| row.get(0))?;
        let mut keys = rows.collect::<Result<Vec<i64>, _>>()?;
        keys.sort_unstable();
        Ok(keys)
    }

    fn payments(&mut self, business: Uuid, keys: &[i64]) -> Result<Vec<Kept>, Error> {
        let mut statement = self.prepare_cached(concat!(
            "SELECT ",
            kept_columns!(),
            " FROM payments WHERE key = ?2 AND business_id = ?1"
        ))?;
        let business = business_key(self, business)?;
        let mut list = Vec::with_capacity(keys.len());
        for key in keys {
            let mut rows = statement.query(params![business, key])?;
            if let Some(row) = rows.next()? {
                list.push(kept(row)?);
            }
        }
        Ok(list)
    }

    fn posted(&mut self, business: Uuid, keys: &[i64]) -> Result<HashMap<i64, Vec<Posted>>, Error> {
        let business = business_key(self, business)?;
        keys.iter()
            .map(|&key| Ok((key, journal::posted(self, business, key)?)))
            .collect()
    }

    fn payouts_of(
        &mut self,
        business: Uuid,
        keys: &[i64],
    ) -> Result<HashMap<i64, Vec<types::Payout>>, Error> {
        let business = business_key(self, business)?;
        keys.iter()
            .map(|&key| Ok((key, payouts::of_payment(self, business, key)?)))
            .collect()
    }

    fn matched_themselves(&mut self, business: Uuid, keys: &[i64]) -> Result<HashSet<i64>, Error> {
        let business = business_key(self, business)?;
        let mut matched = HashSet::new();
        for &key in keys {
            if payouts::is_matched_itself(self, business, key)? {
                matched.insert(key);
            }
        }
        Ok(matched)
    }

    fn linked(
        &mut self,
        business: Uuid,
        pairs: &[(Uuid, i64)],
    ) -> Result<HashSet<(Uuid, i64)>, Error> {
        let business = business_key(self, business)?;
        // By invoice, as the table is ordered; by payment alone, each look would read all of it.
        let mut statement = self.prepare_cached(
            "SELECT 1 FROM payment_invoices WHERE business_id = ?1 AND invoice_id = ?2 AND payment_key = ?3",
        )?;
        let mut linked = HashSet::new();
        for &(invoice, key) in pairs {
            if statement.exists(params![business, invoice.as_bytes(), key])? {
                linked.insert((invoice, key));
            }
        }
        Ok(linked)
    }

    fn count_links(&mut self, business: Uuid) -> Result<i64, Error> {
        Ok(self
            .prepare_cached("SELECT count(*) FROM payment_invoices WHERE business_id = ?1")?
            .query_row([business_key(self, business)?], |row| row.get(0))?)
    }

    fn payouts(&mut self, business: Uuid) -> Result<Vec<Payout>, Error> {
        payouts::all(self, business_key(self, business)?)
    }

    fn matches(&mut self, business: Uuid) -> Result<Vec<AuditedMatch>, Error> {
        payouts::all_matches(self, business_key(self, business)?)
    }

    fn posted_alone(&mut self, business: Uuid) -> Result<Vec<Posted>, Error> {
        journal::posted_alone(self, business_key(self, business)?)
    }

    fn invoices(&mut self, business: Uuid) -> Result<Vec<Invoice>, Error> {
        local::invoices(self, business, None)
    }
}

fn entry(connection: &Connection, business: i64, row: &Row<'_>) -> Result<AuditedEntry, Error> {
    let number = row.get(0)?;
    Ok(AuditedEntry {
        number,
        at: time(row.get(1)?)?,
        source: uuid(row, 2)?,
        reversal_of: row.get(3)?,
        payment: row.get(4)?,
        is_orphan: row.get(5)?,
        lines: journal::lines(connection, business, number)?,
    })
}

#[cfg(test)]
mod tests;
