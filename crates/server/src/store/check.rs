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
//! - What the engine itself can find: references to what isn't there, a damaged file.
//!
//! It reads through [`Audit`], many payments at a time, so that an engine behind a network isn't asked for each.

use std::collections::{BTreeSet, HashMap, HashSet};

use jiff::Timestamp;
use layer_payments_types::{self as types, Field};
use uuid::Uuid;

use super::Error;
use crate::domain::books::Kept;
use crate::domain::consequences::Posted;
use crate::domain::ledger::{self, Account, Draft, Line, OutOfRange, Side};
use crate::domain::local::{self, Matched, Payout};
use crate::domain::reply::{self, reply};

/// Faults are collected up to this number; a broken book has more than anybody reads.
const MOST_FAULTS: usize = 1_000;

/// Payments or entries that are read at a time.
const BATCH: usize = 1_000;

/// Debits and credits.
type Sums = (i128, i128);

/// What the check reads: all of it from one snapshot.
pub(crate) trait Audit {
    /// What the engine itself finds.
    fn engine_faults(&mut self) -> Result<Vec<String>, Error>;

    /// The ids of all businesses.
    fn business_ids(&mut self) -> Result<Vec<Uuid>, Error>;

    /// The next entries of a business's journal, by number.
    fn journal(
        &mut self,
        business: Uuid,
        after: i64,
        limit: usize,
    ) -> Result<Vec<AuditedEntry>, Error>;

    /// The entries with these numbers that there are.
    fn entries_numbered(
        &mut self,
        business: Uuid,
        numbers: &[i64],
    ) -> Result<Vec<AuditedEntry>, Error>;

    /// All accounts of a business.
    fn accounts(&mut self, business: Uuid) -> Result<Vec<AuditedAccount>, Error>;

    /// What an account is.
    fn account(&mut self, business: Uuid, id: Uuid) -> Result<reply::Account, Error>;

    /// The keys of all payments of a business, in their order.
    fn payment_keys(&mut self, business: Uuid) -> Result<Vec<i64>, Error>;

    /// The payments with these keys, in their order.
    fn payments(&mut self, business: Uuid, keys: &[i64]) -> Result<Vec<Kept>, Error>;

    /// The entries of each payment that count.
    fn posted(&mut self, business: Uuid, keys: &[i64]) -> Result<HashMap<i64, Vec<Posted>>, Error>;

    /// The payouts that each payment is in.
    fn payouts_of(
        &mut self,
        business: Uuid,
        keys: &[i64],
    ) -> Result<HashMap<i64, Vec<types::Payout>>, Error>;

    /// Which of these payments were matched themselves.
    fn matched_themselves(&mut self, business: Uuid, keys: &[i64]) -> Result<HashSet<i64>, Error>;

    /// Which of these pairs of an invoice and a payment are linked.
    fn linked(
        &mut self,
        business: Uuid,
        pairs: &[(Uuid, i64)],
    ) -> Result<HashSet<(Uuid, i64)>, Error>;

    /// How many payments are linked to invoices, each counted for each of its invoices.
    fn count_links(&mut self, business: Uuid) -> Result<i64, Error>;

    /// All payouts of a business, by id.
    fn payouts(&mut self, business: Uuid) -> Result<Vec<Payout>, Error>;

    /// All matches of a business, by id.
    fn matches(&mut self, business: Uuid) -> Result<Vec<AuditedMatch>, Error>;

    /// The entries that count and are about no payment.
    fn posted_alone(&mut self, business: Uuid) -> Result<Vec<Posted>, Error>;

    /// All invoices of a business, by id.
    fn invoices(&mut self, business: Uuid) -> Result<Vec<local::Invoice>, Error>;
}

/// A journal entry, whatever is wrong with it.
#[derive(Clone, Debug)]
pub(crate) struct AuditedEntry {
    pub(crate) number: i64,
    pub(crate) at: Timestamp,
    pub(crate) source: Uuid,
    pub(crate) reversal_of: Option<i64>,
    /// The key of the payment that it is about.
    pub(crate) payment: Option<i64>,
    /// Whether the business doesn't have that payment.
    pub(crate) is_orphan: bool,
    pub(crate) lines: Vec<Line<Uuid>>,
}

/// An account's balances.
#[derive(Clone, Debug)]
pub(crate) struct AuditedAccount {
    pub(crate) id: Uuid,
    pub(crate) stable_name: Option<String>,
    pub(crate) debits: i64,
    pub(crate) credits: i64,
}

/// A match as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct AuditedMatch {
    pub(crate) id: Uuid,
    pub(crate) matched: Matched,
    pub(crate) amount: i64,
    /// How replies show it.
    pub(crate) shown: types::Match,
}

/// Checks the books of all businesses. Gives a line for each fault.
pub(crate) fn check(books: &mut dyn Audit) -> Result<Vec<String>, Error> {
    let mut faults = Faults(Vec::new());
    for fault in books.engine_faults()? {
        faults.push(fault);
    }
    for id in books.business_ids()? {
        let accounts = books.accounts(id)?;
        let chart = accounts
            .iter()
            .filter_map(|account| Some((account.stable_name.clone()?, account.id)))
            .collect();
        let mut business = Business {
            books: &mut *books,
            id,
            chart,
            known: HashMap::new(),
        };
        business.check_journal(accounts, &mut faults)?;
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

struct Business<'a> {
    books: &'a mut dyn Audit,
    id: Uuid,
    /// The accounts by their stable names.
    chart: HashMap<String, Uuid>,
    /// What accounts are, as far as that was asked.
    known: HashMap<Uuid, reply::Account>,
}

impl Business<'_> {
    fn check_journal(
        &mut self,
        accounts: Vec<AuditedAccount>,
        faults: &mut Faults,
    ) -> Result<(), Error> {
        let mut sums: HashMap<Uuid, Sums> = HashMap::new();
        let mut last = 0;
        // A number below 1 is found, too.
        let mut after = i64::MIN;
        loop {
            let entries = self.books.journal(self.id, after, BATCH)?;
            if entries.is_empty() {
                break;
            }
            for entry in &entries {
                let number = entry.number;
                if number != last + 1 {
                    faults.add(self.id, format_args!("entry {number} follows entry {last}"));
                }
                last = number;
                after = number;
                self.check_entry(entry, &mut sums, faults);
            }
            self.check_reversals(&entries, faults)?;
        }
        self.check_balances(accounts, &mut sums, faults);
        Ok(())
    }

    fn check_entry(
        &self,
        entry: &AuditedEntry,
        accounts: &mut HashMap<Uuid, Sums>,
        faults: &mut Faults,
    ) {
        let number = entry.number;
        let mut total: Sums = (0, 0);
        for line in &entry.lines {
            let account = accounts.entry(line.account).or_default();
            for sums in [account, &mut total] {
                match line.side {
                    Side::Debit => sums.0 += i128::from(line.amount),
                    Side::Credit => sums.1 += i128::from(line.amount),
                }
            }
        }
        if total.0 != total.1 {
            faults.add(
                self.id,
                format_args!(
                    "entry {number} doesn't balance: debits {}, credits {}",
                    total.0, total.1
                ),
            );
        }
        if entry.lines.is_empty() {
            faults.add(self.id, format_args!("entry {number} has no lines"));
        }
        if entry.is_orphan {
            faults.add(
                self.id,
                format_args!("entry {number} is about a payment that the business doesn't have"),
            );
        }
    }

    fn check_reversals(
        &mut self,
        entries: &[AuditedEntry],
        faults: &mut Faults,
    ) -> Result<(), Error> {
        let numbers: Vec<i64> = entries
            .iter()
            .filter_map(|entry| entry.reversal_of)
            .collect();
        if numbers.is_empty() {
            return Ok(());
        }
        let undone: HashMap<i64, AuditedEntry> = self
            .books
            .entries_numbered(self.id, &numbers)?
            .into_iter()
            .map(|entry| (entry.number, entry))
            .collect();
        for entry in entries {
            let Some(number) = entry.reversal_of else {
                continue;
            };
            if !undone
                .get(&number)
                .is_some_and(|undone| undoes(entry, undone))
            {
                faults.add(
                    self.id,
                    format_args!("entry {} doesn't undo entry {number} exactly", entry.number),
                );
            }
        }
        Ok(())
    }

    fn check_balances(
        &self,
        accounts: Vec<AuditedAccount>,
        sums: &mut HashMap<Uuid, Sums>,
        faults: &mut Faults,
    ) {
        for account in accounts {
            let stored: Sums = (account.debits.into(), account.credits.into());
            let posted = sums.remove(&account.id).unwrap_or_default();
            if stored != posted {
                faults.add(
                    self.id,
                    format_args!(
                        "account {} has debits {} and credits {}, but its lines add up to {} and {}",
                        account.id, stored.0, stored.1, posted.0, posted.1
                    ),
                );
            }
        }
    }

    fn check_payments(&mut self, faults: &mut Faults) -> Result<(), Error> {
        let mut invoices: HashMap<Uuid, Sums> = HashMap::new();
        let mut found = 0;
        let keys = self.books.payment_keys(self.id)?;
        for keys in keys.chunks(BATCH) {
            let payments = self.books.payments(self.id, keys)?;
            let mut about = About {
                posted: self.books.posted(self.id, keys)?,
                payouts: self.books.payouts_of(self.id, keys)?,
                matched: self.books.matched_themselves(self.id, keys)?,
                linked: {
                    let pairs: Vec<(Uuid, i64)> = payments
                        .iter()
                        .flat_map(|kept| {
                            kept.payment
                                .invoices()
                                .map(move |invoice| (invoice, kept.key))
                        })
                        .collect();
                    self.books.linked(self.id, &pairs)?
                },
            };
            for kept in &payments {
                found += self.check_payment(kept, &mut about, faults)?;
                for part in ledger::parts(&kept.payment) {
                    let sums = invoices.entry(part.invoice).or_default();
                    sums.0 += i128::from(part.paid);
                    sums.1 += i128::from(part.refunded);
                }
            }
        }
        self.check_links(found, faults)?;
        self.check_invoices(&mut invoices, faults)
    }

    /// Gives how many of its invoices the payment is found under.
    fn check_payment(
        &mut self,
        kept: &Kept,
        about: &mut About,
        faults: &mut Faults,
    ) -> Result<usize, Error> {
        let payment = &kept.payment;
        let id = payment.id;
        let posted: Vec<Draft<Uuid>> = about
            .posted
            .remove(&kept.key)
            .unwrap_or_default()
            .into_iter()
            .map(|posted| posted.entry)
            .collect();
        match self.entries(kept) {
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
            .map(|account| self.account(account))
            .transpose()?;
        let payouts = about.payouts.remove(&kept.key).unwrap_or_default();
        if kept.in_payout == payouts.is_empty() {
            faults.add(
                self.id,
                format_args!("payment {id} is marked wrongly as to payouts"),
            );
        }
        let matched_itself = about.matched.contains(&kept.key);
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
        let invoices: BTreeSet<Uuid> = payment.invoices().collect();
        let found = invoices
            .iter()
            .filter(|&&invoice| about.linked.contains(&(invoice, kept.key)))
            .count();
        if found < invoices.len() {
            faults.add(
                self.id,
                format_args!("payment {id} isn't found under each invoice that it is allocated to"),
            );
        }
        Ok(found)
    }

    /// Looks for payments that are found under invoices they aren't allocated to. `found` is how many are rightly.
    fn check_links(&mut self, found: usize, faults: &mut Faults) -> Result<(), Error> {
        let links = self.books.count_links(self.id)?;
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
    fn entries(&self, kept: &Kept) -> Option<Vec<Draft<Uuid>>> {
        ledger::drafts(&kept.payment)
            .ok()?
            .into_iter()
            .map(|draft| self.resolved(draft))
            .collect()
    }

    fn resolved(&self, draft: Draft) -> Option<Draft<Uuid>> {
        let resolved = draft.resolved(|account| {
            Ok::<_, std::convert::Infallible>(match account {
                Account::Given(id) => id,
                // An account that isn't there is in no line either, so nil makes a difference.
                Account::Named(name) => self.chart.get(&*name).copied().unwrap_or_default(),
            })
        });
        let Ok(resolved) = resolved;
        resolved
    }

    fn account(&mut self, id: Uuid) -> Result<reply::Account, Error> {
        if let Some(known) = self.known.get(&id) {
            return Ok(known.clone());
        }
        let account = self.books.account(self.id, id)?;
        self.known.insert(id, account.clone());
        Ok(account)
    }

    /// Payouts and matches, against the entries that they post.
    fn check_settlements(&mut self, faults: &mut Faults) -> Result<(), Error> {
        let mut expected = HashMap::new();
        let mut expect = |business: &Self, draft: Result<Option<Draft>, OutOfRange>| {
            if let Ok(Some(draft)) = draft
                && let Some(entry) = business.resolved(draft)
            {
                expected.insert((entry.entry_type, entry.source), entry);
            }
        };
        let mut payouts = HashMap::new();
        for payout in self.books.payouts(self.id)? {
            expect(self, local::payout_entry(&payout));
            payouts.insert(payout.id, payout);
        }
        for kept in self.books.matches(self.id)? {
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
                expect(
                    self,
                    local::match_entry(kept.id, date, kept.amount, clearing),
                );
            }
        }
        for posted in self.books.posted_alone(self.id)? {
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
        &mut self,
        matched: Matched,
        payouts: &HashMap<Uuid, Payout>,
    ) -> Result<Option<(i128, Account, Uuid)>, Error> {
        Ok(match matched {
            Matched::Payout(id) => payouts.get(&id).map(|payout| {
                let clearing = Account::Given(payout.clearing_account);
                (payout.paid_out_amount.into(), clearing, id)
            }),
            Matched::Payment(key) => self.books.payments(self.id, &[key])?.first().map(|kept| {
                let payment = &kept.payment;
                let clearing = ledger::money_account(payment);
                (ledger::arriving(payment), clearing, payment.id)
            }),
        })
    }

    fn check_invoices(
        &mut self,
        sums: &mut HashMap<Uuid, Sums>,
        faults: &mut Faults,
    ) -> Result<(), Error> {
        for invoice in self.books.invoices(self.id)? {
            let id = invoice.id;
            let stored: Sums = (invoice.paid.into(), invoice.refunded.into());
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
            if invoice.voided_at.is_some() && stored.0 > 0 {
                faults.add(
                    self.id,
                    format_args!("invoice {id} is void, and {} are paid on it", stored.0),
                );
            }
            if let Some(total) = invoice.total_amount
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

/// What belongs to a batch of payments.
struct About {
    posted: HashMap<i64, Vec<Posted>>,
    payouts: HashMap<i64, Vec<types::Payout>>,
    matched: HashSet<i64>,
    linked: HashSet<(Uuid, i64)>,
}

/// Whether an entry undoes another exactly: it is about the same payment and thing, at the same time, with the sides of
/// all lines turned round, and the other isn't a reversal itself.
fn undoes(entry: &AuditedEntry, undone: &AuditedEntry) -> bool {
    let turned = undone.lines.iter().map(|line| Line {
        side: line.side.other(),
        ..line.clone()
    });
    undone.reversal_of.is_none()
        && (undone.at, undone.source, undone.payment) == (entry.at, entry.source, entry.payment)
        && turned.eq(entry.lines.iter().cloned())
}
