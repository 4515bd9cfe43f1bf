//! The books check: whatever can be worked out from something else is worked out anew and compared.
//!
//! - Each journal entry balances, and the numbers of a business's entries count from 1 without a gap.
//! - A reversal undoes another entry exactly, line by line, and none is undone twice.
//! - Each account's debits and credits are the sums of its lines.
//! - Each payment has exactly the entries that the posting rules give for it, and the document that replies show. So has
//!   each payout and each match, and no other entry is there.
//! - A match is of as much as arrives for its payout or payment, and no money arrives twice.
//! - Each invoice's paid and refunded amounts are the sums over its payments, and not above its total; nothing is paid on
//!   a void one.
//! - Nothing refers to what isn't there: SQLite's own check of foreign keys, and its check of the file.

use std::collections::{BTreeSet, HashMap};

use layer_payments_types::Field;
use rusqlite::{Connection, OptionalExtension, params};
use uuid::Uuid;

use super::super::Error;
use super::books::{account_by_id, kept, kept_columns, payment_by_key, uuid};
use super::{journal, payouts};
use crate::domain::books::Kept;
use crate::domain::ledger::{self, Account, Draft, Line, OutOfRange, Side};
use crate::domain::local::{self, Matched, Payout};
use crate::domain::reply::reply;

/// Faults are collected up to this number; a broken book has more than anybody reads.
const MOST_FAULTS: usize = 1_000;

/// Debits and credits.
type Sums = (i128, i128);

/// Checks the books of all businesses. Gives a line for each fault. The connection has to be in a transaction if others
/// write meanwhile.
pub(super) fn check(connection: &Connection) -> Result<Vec<String>, Error> {
    let mut faults = Faults(Vec::new());
    check_file(connection, &mut faults)?;
    let mut statement = connection.prepare("SELECT id, uuid FROM businesses ORDER BY id")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let business = Business {
            connection,
            key: row.get(0)?,
            id: uuid(row, 1)?,
        };
        business.check_journal(&mut faults)?;
        business.check_payments(&mut faults)?;
        business.check_settlements(&mut faults)?;
    }
    Ok(faults.0)
}

struct Faults(Vec<String>);

impl Faults {
    fn add(&mut self, business: Uuid, fault: impl std::fmt::Display) {
        self.push(format!("business {business}: {fault}"));
    }

    fn push(&mut self, fault: String) {
        match self.0.len() {
            MOST_FAULTS => self
                .0
                .push("there are more faults, which are not listed".to_owned()),
            more if more > MOST_FAULTS => {}
            _ => self.0.push(fault),
        }
    }
}

/// What SQLite itself finds.
fn check_file(connection: &Connection, faults: &mut Faults) -> Result<(), Error> {
    let mut statement = connection.prepare("PRAGMA integrity_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let found: String = row.get(0)?;
        if found != "ok" {
            faults.push(format!("the file: {found}"));
        }
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (table, parent): (String, String) = (row.get(0)?, row.get(2)?);
        faults.push(format!("a row of {table} refers to none of {parent}"));
    }
    Ok(())
}

struct Business<'a> {
    connection: &'a Connection,
    key: i64,
    id: Uuid,
}

impl Business<'_> {
    fn check_journal(&self, faults: &mut Faults) -> Result<(), Error> {
        let mut statement = self.connection.prepare(
            "SELECT number, reversal_of, payment_key IS NOT NULL AND NOT EXISTS (
                 SELECT 1 FROM payments
                 WHERE payments.key = payment_key AND payments.business_id = journal_entries.business_id)
             FROM journal_entries WHERE business_id = ?1 ORDER BY number",
        )?;
        let mut rows = statement.query([self.key])?;
        let mut sums: HashMap<Uuid, Sums> = HashMap::new();
        let mut expected = 1;
        while let Some(row) = rows.next()? {
            let number: i64 = row.get(0)?;
            if number != expected {
                faults.add(
                    self.id,
                    format_args!("entry {number} follows entry {}", expected - 1),
                );
            }
            expected = number + 1;
            let lines = journal::lines(self.connection, self.key, number)?;
            let mut entry: Sums = (0, 0);
            for line in &lines {
                let account = sums.entry(line.account).or_default();
                for sums in [account, &mut entry] {
                    match line.side {
                        Side::Debit => sums.0 += i128::from(line.amount),
                        Side::Credit => sums.1 += i128::from(line.amount),
                    }
                }
            }
            if entry.0 != entry.1 {
                faults.add(
                    self.id,
                    format_args!(
                        "entry {number} doesn't balance: debits {}, credits {}",
                        entry.0, entry.1
                    ),
                );
            }
            if lines.is_empty() {
                faults.add(self.id, format_args!("entry {number} has no lines"));
            }
            if row.get(2)? {
                faults.add(
                    self.id,
                    format_args!(
                        "entry {number} is about a payment that the business doesn't have"
                    ),
                );
            }
            if let Some(undone) = row.get::<_, Option<i64>>(1)? {
                self.check_reversal(number, undone, &lines, faults)?;
            }
        }
        self.check_balances(&mut sums, faults)
    }

    fn check_reversal(
        &self,
        number: i64,
        undone: i64,
        lines: &[Line<Uuid>],
        faults: &mut Faults,
    ) -> Result<(), Error> {
        // About the same payment and thing, at the same time; and what is undone isn't a reversal itself.
        let undoes = self
            .connection
            .prepare_cached(
                "SELECT 1 FROM journal_entries AS entry JOIN journal_entries AS undone
                     ON undone.business_id = entry.business_id AND undone.number = entry.reversal_of
                 WHERE entry.business_id = ?1 AND entry.number = ?2 AND undone.reversal_of IS NULL
                 AND (undone.entry_at, undone.source_id) = (entry.entry_at, entry.source_id)
                 AND undone.payment_key IS entry.payment_key",
            )?
            .exists(params![self.key, number])?;
        let mut undone_lines = journal::lines(self.connection, self.key, undone)?;
        for line in &mut undone_lines {
            line.side = line.side.other();
        }
        if !undoes || undone_lines != lines {
            faults.add(
                self.id,
                format_args!("entry {number} doesn't undo entry {undone} exactly"),
            );
        }
        Ok(())
    }

    fn check_balances(
        &self,
        sums: &mut HashMap<Uuid, Sums>,
        faults: &mut Faults,
    ) -> Result<(), Error> {
        let mut statement = self.connection.prepare(
            "SELECT id, debits, credits FROM accounts WHERE business_id = ?1 ORDER BY id",
        )?;
        let mut rows = statement.query([self.key])?;
        while let Some(row) = rows.next()? {
            let id = uuid(row, 0)?;
            let stored: Sums = (row.get::<_, i64>(1)?.into(), row.get::<_, i64>(2)?.into());
            let posted = sums.remove(&id).unwrap_or_default();
            if stored != posted {
                faults.add(
                    self.id,
                    format_args!(
                        "account {id} has debits {} and credits {}, but its lines add up to {} and {}",
                        stored.0, stored.1, posted.0, posted.1
                    ),
                );
            }
        }
        Ok(())
    }

    fn check_payments(&self, faults: &mut Faults) -> Result<(), Error> {
        let mut statement = self.connection.prepare(concat!(
            "SELECT ",
            kept_columns!(),
            " FROM payments WHERE business_id = ?1 ORDER BY key"
        ))?;
        let mut rows = statement.query([self.key])?;
        let mut invoices: HashMap<Uuid, Sums> = HashMap::new();
        let mut found = 0;
        while let Some(row) = rows.next()? {
            let kept = kept(row)?;
            found += self.check_payment(&kept, faults)?;
            for part in ledger::parts(&kept.payment) {
                let sums = invoices.entry(part.invoice).or_default();
                sums.0 += i128::from(part.paid);
                sums.1 += i128::from(part.refunded);
            }
        }
        self.check_links(found, faults)?;
        self.check_invoices(&mut invoices, faults)
    }

    /// Gives how many of its invoices the payment is found under.
    fn check_payment(&self, kept: &Kept, faults: &mut Faults) -> Result<usize, Error> {
        let payment = &kept.payment;
        let id = payment.id;
        let posted: Vec<Draft<Uuid>> = journal::posted(self.connection, self.key, kept.key)?
            .into_iter()
            .map(|posted| posted.entry)
            .collect();
        match self.entries(kept)? {
            Some(mut entries) => {
                // An update posts anew what changed, so the order isn't that of the rules.
                let mut posted = posted;
                for list in [&mut entries, &mut posted] {
                    list.sort_by_key(|entry| (entry.entry_type.name(), entry.source));
                }
                let same = entries.len() == posted.len()
                    && entries.iter().zip(&posted).all(|(a, b)| a.is_same(b));
                if !same {
                    faults.add(
                        self.id,
                        format_args!("payment {id} has other entries than the posting rules give"),
                    );
                }
            }
            None => faults.add(
                self.id,
                format_args!("payment {id} can't be posted by the posting rules"),
            ),
        }
        let clearing = payment
            .clearing_account
            .map(|account| account_by_id(self.connection, self.key, account))
            .transpose()?;
        let payouts = payouts::of_payment(self.connection, self.key, kept.key)?;
        if kept.in_payout == payouts.is_empty() {
            faults.add(
                self.id,
                format_args!("payment {id} is marked wrongly as to payouts"),
            );
        }
        let matched_itself = payouts::is_matched_itself(self.connection, self.key, kept.key)?;
        let matched_payout = payouts.iter().any(|payout| !payout.match_.is_null());
        if kept.is_matched != (matched_itself || matched_payout) {
            faults.add(
                self.id,
                format_args!("payment {id} is marked wrongly as to matches"),
            );
        }
        if matched_itself && kept.in_payout {
            faults.add(
                self.id,
                format_args!("payment {id} was matched by itself and came with a payout"),
            );
        }
        for payout in &payouts {
            if let Field::Value(processor) = &payout.processor
                && payment.processor.as_ref() != Some(processor)
            {
                faults.add(
                    self.id,
                    format_args!(
                        "payment {id} isn't one of the processor of its payout {}",
                        payout.id
                    ),
                );
            }
        }
        let document = serde_json::to_string(&reply(payment, clearing.as_ref(), payouts))?;
        if document != kept.document {
            faults.add(
                self.id,
                format_args!("payment {id} is shown otherwise than it is kept"),
            );
        }
        // By invoice, as the table is ordered; by payment alone, each look would read all of it.
        let invoices: BTreeSet<Uuid> = payment.invoices().collect();
        let mut linked = self.connection.prepare_cached(
            "SELECT 1 FROM payment_invoices WHERE business_id = ?1 AND invoice_id = ?2 AND payment_key = ?3",
        )?;
        let mut found = 0;
        for invoice in &invoices {
            found += usize::from(linked.exists(params![self.key, invoice.as_bytes(), kept.key])?);
        }
        if found < invoices.len() {
            faults.add(
                self.id,
                format_args!("payment {id} isn't found under each invoice that it is allocated to"),
            );
        }
        Ok(found)
    }

    /// Looks for payments that are found under invoices they aren't allocated to. `found` is how many are rightly.
    fn check_links(&self, found: usize, faults: &mut Faults) -> Result<(), Error> {
        let links: i64 = self
            .connection
            .prepare_cached("SELECT count(*) FROM payment_invoices WHERE business_id = ?1")?
            .query_row([self.key], |row| row.get(0))?;
        if usize::try_from(links) != Ok(found) {
            faults.add(
                self.id,
                format_args!(
                    "payments are found {links} times under invoices, but only {found} times under one that they are \
                     allocated to"
                ),
            );
        }
        Ok(())
    }

    /// The entries that the posting rules give for a payment.
    fn entries(&self, kept: &Kept) -> Result<Option<Vec<Draft<Uuid>>>, Error> {
        let Ok(drafts) = ledger::drafts(&kept.payment) else {
            return Ok(None);
        };
        let mut entries = Vec::with_capacity(drafts.len());
        for draft in drafts {
            match self.resolved(draft)? {
                Some(entry) => entries.push(entry),
                None => return Ok(None),
            }
        }
        Ok(Some(entries))
    }

    fn resolved(&self, draft: Draft) -> Result<Option<Draft<Uuid>>, Error> {
        draft.resolved(|account| self.account(account))
    }

    fn account(&self, account: Account) -> Result<Uuid, Error> {
        match account {
            Account::Given(id) => Ok(id),
            // An account that isn't there is in no line either, so nil makes a difference.
            Account::Named(stable_name) => self.chart_account(&stable_name),
        }
    }

    /// Payouts and matches, against the entries that they post.
    fn check_settlements(&self, faults: &mut Faults) -> Result<(), Error> {
        let mut expected = HashMap::new();
        let mut expect = |draft: Result<Option<Draft>, OutOfRange>| -> Result<(), Error> {
            if let Ok(Some(draft)) = draft
                && let Some(entry) = self.resolved(draft)?
            {
                expected.insert((entry.entry_type, entry.source), entry);
            }
            Ok(())
        };
        let mut payouts = HashMap::new();
        for payout in payouts::all(self.connection, self.key)? {
            expect(local::payout_entry(&payout))?;
            payouts.insert(payout.id, payout);
        }
        for kept in payouts::all_matches(self.connection, self.key)? {
            let Some((amount, clearing, about)) = self.arrives(kept.matched, &payouts)? else {
                // Foreign keys tell of a payout or a payment that isn't there.
                continue;
            };
            if i128::from(kept.amount) != amount {
                faults.add(
                    self.id,
                    format_args!(
                        "match {} is of {} cents, but {amount} arrive",
                        kept.id, kept.amount
                    ),
                );
            }
            let shown = &kept.shown;
            let bank = shown.bank_transaction.as_option();
            let details = shown.details.as_option();
            if shown.id != kept.id
                || bank.and_then(|bank| bank.amount) != Some(kept.amount)
                || details.and_then(|details| details.amount) != Some(kept.amount)
                || details.map(|details| details.id) != Some(about)
            {
                faults.add(
                    self.id,
                    format_args!("match {} is shown otherwise than it is kept", kept.id),
                );
            }
            if let Some(date) = bank.and_then(|bank| bank.date) {
                expect(local::match_entry(kept.id, date, kept.amount, clearing))?;
            }
        }
        for posted in journal::posted_alone(self.connection, self.key)? {
            let entry = &posted.entry;
            let same = expected
                .remove(&(entry.entry_type, entry.source))
                .is_some_and(|expected| expected.is_same(entry));
            if !same {
                faults.add(
                    self.id,
                    format_args!(
                        "entry {} isn't what a payout or a match posts",
                        posted.number
                    ),
                );
            }
        }
        let mut missing: Vec<_> = expected.into_keys().collect();
        missing.sort_unstable_by_key(|(entry_type, source)| (entry_type.name(), *source));
        for (entry_type, source) in missing {
            faults.add(
                self.id,
                format_args!("there is no entry {} of {source}", entry_type.name()),
            );
        }
        Ok(())
    }

    /// What arrives for a payout or a payment, in cents, where it clears, and the id that it has.
    fn arrives(
        &self,
        matched: Matched,
        payouts: &HashMap<Uuid, Payout>,
    ) -> Result<Option<(i128, Account, Uuid)>, Error> {
        Ok(match matched {
            Matched::Payout(id) => payouts.get(&id).map(|payout| {
                let clearing = Account::Given(payout.clearing_account);
                (payout.paid_out_amount.into(), clearing, id)
            }),
            Matched::Payment(key) => payment_by_key(self.connection, key)?.map(|kept| {
                let payment = &kept.payment;
                let clearing = ledger::money_account(payment);
                (ledger::arriving(payment), clearing, payment.id)
            }),
        })
    }

    fn chart_account(&self, stable_name: &str) -> Result<Uuid, Error> {
        let id = self
            .connection
            .prepare_cached("SELECT id FROM accounts WHERE business_id = ?1 AND stable_name = ?2")?
            .query_row(params![self.key, stable_name], |row| uuid(row, 0))
            .optional()?;
        Ok(id.unwrap_or_default())
    }

    fn check_invoices(
        &self,
        sums: &mut HashMap<Uuid, Sums>,
        faults: &mut Faults,
    ) -> Result<(), Error> {
        let mut statement = self.connection.prepare(
            "SELECT id, paid, refunded, total_amount, voided_at IS NOT NULL FROM invoices WHERE business_id = ?1
             ORDER BY id",
        )?;
        let mut rows = statement.query([self.key])?;
        while let Some(row) = rows.next()? {
            let id = uuid(row, 0)?;
            let stored: Sums = (row.get::<_, i64>(1)?.into(), row.get::<_, i64>(2)?.into());
            let paid = sums.remove(&id).unwrap_or_default();
            if stored != paid {
                faults.add(
                    self.id,
                    format_args!(
                        "invoice {id} has {} paid and {} refunded, but its payments add up to {} and {}",
                        stored.0, stored.1, paid.0, paid.1
                    ),
                );
            }
            if row.get(4)? && stored.0 > 0 {
                faults.add(
                    self.id,
                    format_args!("invoice {id} is void, and {} are paid on it", stored.0),
                );
            }
            if let Some(total) = row.get::<_, Option<i64>>(3)?
                && stored.0 > i128::from(total)
            {
                faults.add(
                    self.id,
                    format_args!("invoice {id} of {total} is overpaid: {}", stored.0),
                );
            }
        }
        for id in sums.keys() {
            faults.add(
                self.id,
                format_args!("the invoice {id} of a payment isn't there"),
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
