//! The books of one business in PostgreSQL: tables in memory.
//!
//! What a request needs is read in sets before it runs, or at the latest when it asks for it, and what it changes is kept
//! here until all requests of the transaction have run; [`save`](super::save) then writes it in a few statements. So the
//! number of round trips to the database doesn't grow with the number of payments. A request that is refused drops its
//! own changes, without the database knowing of them.
//!
//! All of it holds only while the business's row is locked: nobody else changes the business meanwhile.

use std::borrow::Borrow;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::sync::Arc;

use jiff::Timestamp;
use layer_payments_types::{self as types, AccountIdentifier, InvoicePayment, Match, TagKeyValue};
use uuid::Uuid;

use super::super::columns::AccountColumns;
use super::super::{Error, Policy, Wants};
use super::load::{self, Link, StoredAccount};
use super::names::{Name, text};
use super::{read, save};
use crate::domain::books::{Books, Kept};
use crate::domain::chart;
use crate::domain::consequences::{Owed, Posted};
use crate::domain::ledger::{Draft, Side};
use crate::domain::local::{Invoice, LocalBooks, Mark, Matched, Payout};
use crate::domain::payment::{Payment, TagDefinition};
use crate::domain::reply::Account;
use crate::domain::resolve::{InvoiceName, Refusal, Registry};

/// Rows of one kind, by what they are found by. `None` stands for a row that isn't there.
#[derive(Debug)]
pub(super) struct Table<K, V> {
    /// As it is stored, or was changed by a request that is kept.
    known: HashMap<K, Option<V>>,
    /// As the request at hand changed it.
    changed: HashMap<K, Option<V>>,
    /// Which of `known` the database doesn't have like that.
    unsaved: HashSet<K>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Table<K, V> {
        Table {
            known: HashMap::new(),
            changed: HashMap::new(),
            unsaved: HashSet::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, V> Table<K, V> {
    /// The row, if anything is known of it.
    pub(super) fn get<Q>(&self, key: &Q) -> Option<Option<&V>>
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        let row = match self.changed.get(key) {
            Some(row) => row,
            None => self.known.get(key)?,
        };
        Some(row.as_ref())
    }

    pub(super) fn knows<Q>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ?Sized,
    {
        self.get(key).is_some()
    }

    /// Notes what is stored, unless more is known already.
    pub(super) fn learn(&mut self, key: K, row: Option<V>) {
        self.known.entry(key).or_insert(row);
    }

    pub(super) fn set(&mut self, key: K, row: Option<V>) {
        self.changed.insert(key, row);
    }

    fn keep(&mut self) {
        for (key, row) in self.changed.drain() {
            self.unsaved.insert(key.clone());
            self.known.insert(key, row);
        }
    }

    fn drop_changes(&mut self) {
        self.changed.clear();
    }

    /// What is to be written.
    pub(super) fn unsaved(&self) -> impl Iterator<Item = (&K, Option<&V>)> {
        self.unsaved
            .iter()
            .filter_map(|key| Some((key, self.known.get(key)?.as_ref())))
    }

    /// What is to be written, and counts as written from now on.
    pub(super) fn take_unsaved(&mut self) -> Vec<(K, Option<&mut V>)> {
        let unsaved = std::mem::take(&mut self.unsaved);
        self.known
            .iter_mut()
            .filter(|(key, _)| unsaved.contains(*key))
            .map(|(key, row)| (key.clone(), row.as_mut()))
            .collect()
    }

    fn len(&self) -> usize {
        self.known.len()
    }
}

/// A payment, and the external id that it is stored with; the outer `None` if it isn't stored yet.
#[derive(Clone, Debug)]
pub(super) struct PaymentRow {
    pub(super) kept: Kept,
    pub(super) stored: Option<Option<String>>,
}

/// An account and what was posted to it.
#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    pub(super) columns: AccountColumns,
    pub(super) debits: i64,
    pub(super) credits: i64,
}

/// An invoice, and whether its id is the server's own.
#[derive(Clone, Debug)]
pub(super) struct InvoiceRow {
    pub(super) invoice: Invoice,
    pub(super) invented: bool,
}

/// A dimension of tags, or a value in one.
#[derive(Clone, Debug)]
pub(super) struct TagRow {
    pub(super) id: Uuid,
    pub(super) display_name: Option<String>,
}

/// A journal entry that isn't stored yet.
#[derive(Clone, Debug)]
pub(super) struct NewEntry {
    pub(super) number: i64,
    pub(super) entry: Draft<Uuid>,
    pub(super) posted_at: Timestamp,
    pub(super) payment: Option<i64>,
    pub(super) reversal_of: Option<i64>,
}

/// What the business's row has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: i64,
    /// The id of the last write. It alone says that the row is the one that is remembered: counters come to the same
    /// values again where the database was taken back, as by a standby that lacked the last transactions.
    pub(super) last_write: Option<Uuid>,
    pub(super) closing_date: Option<Timestamp>,
    pub(super) last_payment: i64,
    pub(super) last_entry: i64,
}

/// Everything that is known of a business.
#[derive(Debug)]
pub(super) struct State {
    pub(super) business: Uuid,
    /// The version that the transaction at hand wrote, if it did.
    pub(super) written: Option<i64>,
    /// As the requests that are kept leave it.
    pub(super) header: Header,
    /// As the request at hand leaves it.
    current: Header,
    pub(super) payments: Table<i64, PaymentRow>,
    payment_ids: Table<Uuid, i64>,
    payment_names: Table<String, i64>,
    pub(super) accounts: Table<Uuid, AccountRow>,
    account_names: Table<String, Uuid>,
    pub(super) invoices: Table<Uuid, InvoiceRow>,
    invoice_names: Table<String, Uuid>,
    /// The external ids that the database has of invoices, whatever became of the invoices meanwhile.
    pub(super) stored_invoice_names: HashMap<Uuid, String>,
    /// Which payments are allocated to an invoice, as far as that changed.
    pub(super) links: Table<(Uuid, i64), ()>,
    /// By key.
    pub(super) dimensions: Table<String, TagRow>,
    /// By dimension and value.
    pub(super) tags: Table<(Uuid, String), TagRow>,
    /// The entries of a payment that count.
    posted: Table<i64, Vec<Posted>>,
    /// The payouts of a payment.
    payouts: Table<i64, Vec<types::Payout>>,
    /// Entries to be stored, those of the request at hand after `kept_entries`.
    pub(super) entries: Vec<NewEntry>,
    kept_entries: usize,
}

/// Accounts and tags of a business that stay in memory; with more, all are forgotten and read again as they are used.
const REMEMBERED: usize = 10_000;

impl State {
    pub(super) fn new(business: Uuid, header: Header) -> State {
        State {
            business,
            written: None,
            header,
            current: header,
            payments: Table::default(),
            payment_ids: Table::default(),
            payment_names: Table::default(),
            accounts: Table::default(),
            account_names: Table::default(),
            invoices: Table::default(),
            invoice_names: Table::default(),
            stored_invoice_names: HashMap::new(),
            links: Table::default(),
            dimensions: Table::default(),
            tags: Table::default(),
            posted: Table::default(),
            payouts: Table::default(),
            entries: Vec::new(),
            kept_entries: 0,
        }
    }

    /// What stays known after the transaction, for the next one that finds the business in this state.
    pub(super) fn remembered(self) -> Option<State> {
        let remembered = self.accounts.len()
            + self.account_names.len()
            + self.dimensions.len()
            + self.tags.len();
        (remembered < REMEMBERED).then(|| State {
            accounts: self.accounts,
            account_names: self.account_names,
            dimensions: self.dimensions,
            tags: self.tags,
            ..State::new(self.business, self.header)
        })
    }

    /// Takes over what the request at hand changed.
    pub(super) fn keep(&mut self) {
        self.header = self.current;
        self.payments.keep();
        self.payment_ids.keep();
        self.payment_names.keep();
        self.accounts.keep();
        self.account_names.keep();
        self.invoices.keep();
        self.invoice_names.keep();
        self.links.keep();
        self.dimensions.keep();
        self.tags.keep();
        self.posted.keep();
        self.payouts.keep();
        self.kept_entries = self.entries.len();
    }

    /// Drops what the request at hand changed.
    pub(super) fn drop_changes(&mut self) {
        self.current = self.header;
        self.payments.drop_changes();
        self.payment_ids.drop_changes();
        self.payment_names.drop_changes();
        self.accounts.drop_changes();
        self.account_names.drop_changes();
        self.invoices.drop_changes();
        self.invoice_names.drop_changes();
        self.links.drop_changes();
        self.dimensions.drop_changes();
        self.tags.drop_changes();
        self.posted.drop_changes();
        self.payouts.drop_changes();
        self.entries.truncate(self.kept_entries);
    }

    /// Reads what requests say that they want, and what they probably want because of it.
    pub(super) fn read(&mut self, link: Link<'_>, wants: &Wants) -> Result<(), Error> {
        let names: Vec<String> = unknown(&wants.external_ids, &self.payment_names);
        let ids: Vec<Uuid> = unknown(&wants.ids, &self.payment_ids);
        let invoice_names: Vec<String> = unknown(&wants.invoice_external_ids, &self.invoice_names);
        let invoices: Vec<Uuid> = unknown(&wants.invoices, &self.invoices);
        let indexed = |names: &[String]| -> Vec<String> {
            names
                .iter()
                .map(|name| Name::of(name).indexed.into_owned())
                .collect()
        };
        let (indexed_names, indexed_invoices) = (indexed(&names), indexed(&invoice_names));
        let business = &self.business;
        let mut rows = link
            .query_all(&[
                (BY_NAMES, &[business, &indexed_names]),
                (BY_IDS, &[business, &ids]),
                (INVOICES_BY_NAMES, &[business, &indexed_invoices]),
                (INVOICES_BY_IDS, &[business, &invoices]),
            ])?
            .into_iter();
        for row in rows.by_ref().take(2).flatten() {
            self.learn_payment(load::kept(&row)?);
        }
        for row in rows.flatten() {
            self.learn_invoice(&row)?;
        }
        // What didn't come isn't there.
        for name in names {
            self.payment_names.learn(name, None);
        }
        for id in ids {
            self.payment_ids.learn(id, None);
        }
        for name in invoice_names {
            self.invoice_names.learn(name, None);
        }
        for id in invoices {
            self.invoices.learn(id, None);
        }
        Ok(())
    }

    /// Whether anything isn't written yet.
    pub(super) fn has_changes(&self) -> bool {
        !(self.entries.is_empty()
            && self.payments.unsaved.is_empty()
            && self.accounts.unsaved.is_empty()
            && self.invoices.unsaved.is_empty()
            && self.links.unsaved.is_empty()
            && self.dimensions.unsaved.is_empty()
            && self.tags.unsaved.is_empty())
    }

    /// Notes that all entries are written.
    pub(super) fn forget_kept_entries(&mut self) {
        self.kept_entries = self.entries.len();
    }

    /// Counts the transaction, which has this id.
    pub(super) fn next_version(&mut self, write: Uuid) -> Header {
        self.header.version += 1;
        self.header.last_write = Some(write);
        self.current.version = self.header.version;
        self.current.last_write = self.header.last_write;
        self.written = Some(self.header.version);
        self.header
    }

    /// Notes the closing date that is written.
    pub(super) fn close_until(&mut self, closing_date: Option<Timestamp>, write: Uuid) -> Header {
        self.header.closing_date = closing_date;
        self.current.closing_date = closing_date;
        self.next_version(write)
    }

    fn learn_payment(&mut self, kept: Kept) {
        let key = kept.key;
        self.payment_ids.learn(kept.payment.id, Some(key));
        let stored = kept.payment.external_id.clone();
        if let Some(name) = stored.clone()
            // What is in memory of the payment is newer, its name among it.
            && !self.payments.knows(&key)
        {
            self.payment_names.learn(name, Some(key));
        }
        let row = PaymentRow {
            kept,
            stored: Some(stored),
        };
        self.payments.learn(key, Some(row));
    }

    fn learn_invoice(&mut self, row: &tokio_postgres::Row) -> Result<(), Error> {
        let invoice = load::invoice(row)?;
        let id = invoice.id;
        // What is in memory of the invoice is newer.
        if self.invoices.knows(&id) {
            return Ok(());
        }
        if let Some(name) = invoice.external_id.clone() {
            self.stored_invoice_names.insert(id, name.clone());
            self.invoice_names.learn(name, Some(id));
        }
        let row = InvoiceRow {
            invoice,
            invented: load::get(row, load::invoice_columns!(count))?,
        };
        self.invoices.learn(id, Some(row));
        Ok(())
    }

    fn learn_account(&mut self, row: &tokio_postgres::Row) -> Result<Uuid, Error> {
        let StoredAccount {
            id,
            columns,
            debits,
            credits,
        } = load::account(row)?;
        if let Some(name) = columns.stable_name.clone() {
            self.account_names.learn(name, Some(id));
        }
        let row = AccountRow {
            columns,
            debits,
            credits,
        };
        self.accounts.learn(id, Some(row));
        Ok(id)
    }
}

/// Those of the wanted of which nothing is known.
fn unknown<K: Clone + Eq + Hash, V>(wanted: &[K], table: &Table<K, V>) -> Vec<K> {
    let unknown: HashSet<&K> = wanted.iter().filter(|key| !table.knows(*key)).collect();
    unknown.into_iter().cloned().collect()
}

const BY_NAMES: &str = concat!(
    "SELECT ",
    load::kept_columns!(),
    " FROM payments WHERE business_id = $1 AND external_id = ANY($2)"
);
const BY_IDS: &str = concat!(
    "SELECT ",
    load::kept_columns!(),
    " FROM payments WHERE business_id = $1 AND id = ANY($2)"
);
const BY_KEYS: &str = concat!(
    "SELECT ",
    load::kept_columns!(),
    " FROM payments WHERE business_id = $1 AND key = ANY($2)"
);
const INVOICES_BY_NAMES: &str = concat!(
    "SELECT ",
    load::invoice_columns!(),
    ", invented FROM invoices WHERE business_id = $1 AND external_id = ANY($2)"
);
const INVOICES_BY_IDS: &str = concat!(
    "SELECT ",
    load::invoice_columns!(),
    ", invented FROM invoices WHERE business_id = $1 AND id = ANY($2)"
);

/// The books of a business, for one request.
pub(super) struct PostgresBooks<'a> {
    link: Link<'a>,
    state: &'a mut State,
    write: Uuid,
    now: Timestamp,
    policy: Policy,
    /// What was posted and isn't in the accounts' balances yet: debits and credits.
    uncarried: HashMap<Uuid, (i128, i128)>,
}

impl<'a> PostgresBooks<'a> {
    pub(super) fn new(
        link: Link<'a>,
        state: &'a mut State,
        write: Uuid,
        now: Timestamp,
        policy: Policy,
    ) -> PostgresBooks<'a> {
        PostgresBooks {
            link,
            state,
            write,
            now,
            policy,
            uncarried: HashMap::new(),
        }
    }

    fn payment_with_key(&mut self, key: i64) -> Result<Option<&PaymentRow>, Error> {
        if !self.state.payments.knows(&key) {
            let keys: &[i64] = &[key];
            match self
                .link
                .query_opt(BY_KEYS, &[&self.state.business, &keys])?
            {
                Some(row) => self.state.learn_payment(load::kept(&row)?),
                None => self.state.payments.learn(key, None),
            }
        }
        Ok(self.state.payments.get(&key).flatten())
    }

    fn invoice_row(&mut self, id: Uuid) -> Result<Option<&InvoiceRow>, Error> {
        if !self.state.invoices.knows(&id) {
            let wants = Wants {
                invoices: vec![id],
                ..Wants::default()
            };
            self.state.read(self.link, &wants)?;
        }
        Ok(self.state.invoices.get(&id).flatten())
    }

    fn invoice_named(&mut self, external_id: &str) -> Result<Option<&InvoiceRow>, Error> {
        if !self.state.invoice_names.knows(external_id) {
            let wants = Wants {
                invoice_external_ids: vec![external_id.to_owned()],
                ..Wants::default()
            };
            self.state.read(self.link, &wants)?;
        }
        match self.state.invoice_names.get(external_id).flatten() {
            Some(&id) => self.invoice_row(id),
            None => Ok(None),
        }
    }

    /// Puts an invoice in place of what is known of it, its external id among it.
    fn set_invoice(&mut self, row: InvoiceRow) {
        let id = row.invoice.id;
        let before = self.state.invoices.get(&id).flatten();
        let name_before = before.and_then(|before| before.invoice.external_id.clone());
        if name_before != row.invoice.external_id {
            if let Some(name) = name_before
                && self.state.invoice_names.get(&name).flatten() == Some(&id)
            {
                self.state.invoice_names.set(name, None);
            }
            if let Some(name) = row.invoice.external_id.clone() {
                self.state.invoice_names.set(name, Some(id));
            }
        }
        self.state.invoices.set(id, Some(row));
    }

    fn new_invoice(&mut self, id: Uuid, external_id: Option<&str>, invented: bool) {
        self.set_invoice(InvoiceRow {
            invoice: Invoice {
                id,
                external_id: external_id.map(str::to_owned),
                total_amount: None,
                reference_number: None,
                voided_at: None,
                paid: 0,
                refunded: 0,
            },
            invented,
        });
    }

    /// Registers an invoice that is named by id, where that is allowed. If the id was invented, it is the invoice's own
    /// from now on: whoever names it relies on it.
    fn invoice_by_own_id(&mut self, id: Uuid) -> Result<InvoiceName, Error> {
        let strict = self.policy.strict_invoices;
        match self.invoice_row(id)? {
            Some(row) if row.invented && !strict => {
                let row = InvoiceRow {
                    invented: false,
                    ..row.clone()
                };
                self.set_invoice(row);
            }
            Some(_) => {}
            None if strict => return Ok(InvoiceName::Unknown),
            None => self.new_invoice(id, None, false),
        }
        Ok(InvoiceName::Is(id))
    }

    fn account_row(&mut self, id: Uuid) -> Result<Option<&AccountRow>, Error> {
        if !self.state.accounts.knows(&id) {
            let sql = concat!(
                "SELECT ",
                load::account_columns!(),
                " FROM accounts WHERE business_id = $1 AND id = $2"
            );
            match self.link.query_opt(sql, &[&self.state.business, &id])? {
                Some(row) => {
                    self.state.learn_account(&row)?;
                }
                None => self.state.accounts.learn(id, None),
            }
        }
        Ok(self.state.accounts.get(&id).flatten())
    }

    /// The id of an account with this stable name that is there already.
    fn account_named(&mut self, stable_name: &str) -> Result<Option<Uuid>, Error> {
        if !self.state.account_names.knows(stable_name) {
            let sql = concat!(
                "SELECT ",
                load::account_columns!(),
                " FROM accounts WHERE business_id = $1 AND stable_name = $2"
            );
            let name = Name::of(stable_name).indexed.into_owned();
            match self.link.query_opt(sql, &[&self.state.business, &name])? {
                Some(row) => {
                    self.state.learn_account(&row)?;
                }
                None => self.state.account_names.learn(stable_name.to_owned(), None),
            }
        }
        Ok(self.state.account_names.get(stable_name).flatten().copied())
    }

    fn set_account(&mut self, id: Uuid, row: AccountRow) {
        if let Some(name) = row.columns.stable_name.clone() {
            self.state.account_names.set(name, Some(id));
        }
        self.state.accounts.set(id, Some(row));
    }

    /// The account with this stable name; one of the chart comes to life.
    fn account_by_stable_name(&mut self, stable_name: &str) -> Result<Option<Uuid>, Error> {
        if let Some(id) = self.account_named(stable_name)? {
            return Ok(Some(id));
        }
        if chart::kind_of(stable_name).is_none() {
            return Ok(None);
        }
        let id = self.new_id();
        let row = AccountRow {
            columns: AccountColumns {
                stable_name: Some(stable_name.to_owned()),
                ..AccountColumns::default()
            },
            debits: 0,
            credits: 0,
        };
        self.set_account(id, row);
        Ok(Some(id))
    }

    fn dimension(&mut self, tag: &TagKeyValue) -> Result<TagRow, Error> {
        if !self.state.dimensions.knows(&tag.key) {
            let key = Name::of(&tag.key).indexed.into_owned();
            let row = self.link.query_opt(
                "SELECT id, display_name FROM tag_dimensions WHERE business_id = $1 AND key = $2",
                &[&self.state.business, &key],
            )?;
            let row = row.as_ref().map(load::tag).transpose()?;
            self.state.dimensions.learn(tag.key.clone(), row);
        }
        if let Some(Some(known)) = self.state.dimensions.get(&tag.key) {
            return Ok(known.clone());
        }
        let row = TagRow {
            id: self.new_id(),
            display_name: tag.dimension_display_name.clone(),
        };
        self.state
            .dimensions
            .set(tag.key.clone(), Some(row.clone()));
        Ok(row)
    }

    fn tag_value(&mut self, dimension: Uuid, tag: &TagKeyValue) -> Result<TagRow, Error> {
        let key = (dimension, tag.value.clone());
        if !self.state.tags.knows(&key) {
            let value = Name::of(&tag.value).indexed.into_owned();
            let row = self.link.query_opt(
                "SELECT id, display_name FROM tag_values
                 WHERE business_id = $1 AND dimension_id = $2 AND value = $3",
                &[&self.state.business, &dimension, &value],
            )?;
            let row = row.as_ref().map(load::tag).transpose()?;
            self.state.tags.learn(key.clone(), row);
        }
        if let Some(Some(known)) = self.state.tags.get(&key) {
            return Ok(known.clone());
        }
        let row = TagRow {
            id: self.new_id(),
            display_name: tag.value_display_name.clone(),
        };
        self.state.tags.set(key, Some(row.clone()));
        Ok(row)
    }

    /// The stored payments in memory that pass, for reading what belongs to all of them at once: whoever asks for one
    /// of a bulk asks for the others, too.
    fn stored_payments(&self, passes: impl Fn(&PaymentRow) -> bool) -> Vec<i64> {
        self.state
            .payments
            .known
            .iter()
            .filter_map(|(&key, row)| {
                let row = row.as_ref()?;
                (row.stored.is_some() && passes(row)).then_some(key)
            })
            .collect()
    }

    /// Writes what is in memory, so that statements see it that read or change the database directly. Only for a request
    /// that has its transaction for itself, where all of it is taken back together.
    fn write_through(&mut self) -> Result<(), Error> {
        self.state.keep();
        save::save(self.link, self.state, self.write, self.now)
    }
}

impl Registry for PostgresBooks<'_> {
    type Error = Error;

    fn account(&mut self, identifier: &AccountIdentifier) -> Result<Option<Uuid>, Error> {
        match identifier {
            AccountIdentifier::AccountId { id } => Ok(self.account_row(*id)?.map(|_| *id)),
            AccountIdentifier::StableName { stable_name } => {
                self.account_by_stable_name(stable_name)
            }
        }
    }

    fn invoice(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<InvoiceName, Error> {
        let strict = self.policy.strict_invoices;
        Ok(match (id, external_id) {
            (Some(id), Some(external_id)) => match self.invoice_named(external_id)? {
                // What is known of both was noted before.
                Some(known) if known.invoice.id == id => InvoiceName::Is(id),
                None if strict => match self.invoice_by_own_id(id)? {
                    InvoiceName::Is(_) => InvoiceName::Disagree,
                    unknown => unknown,
                },
                _ => InvoiceName::Disagree,
            },
            (Some(id), None) => self.invoice_by_own_id(id)?,
            (None, Some(external_id)) => match self.invoice_named(external_id)? {
                Some(known) => InvoiceName::Is(known.invoice.id),
                None if strict => InvoiceName::Unknown,
                None => {
                    let id = self.new_id();
                    self.new_invoice(id, Some(external_id), true);
                    InvoiceName::Is(id)
                }
            },
            (None, None) => InvoiceName::Unknown,
        })
    }

    fn tag(&mut self, tag: &TagKeyValue) -> Result<Arc<TagDefinition>, Error> {
        let dimension = self.dimension(tag)?;
        let value = self.tag_value(dimension.id, tag)?;
        Ok(Arc::new(TagDefinition {
            id: value.id,
            dimension_id: dimension.id,
            key: tag.key.clone(),
            value: tag.value.clone(),
            dimension_display_name: dimension.display_name,
            value_display_name: value.display_name,
        }))
    }

    fn new_id(&mut self) -> Uuid {
        Uuid::now_v7()
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

impl Books for PostgresBooks<'_> {
    fn by_external_id(&mut self, external_id: &str) -> Result<Option<Kept>, Error> {
        if !self.state.payment_names.knows(external_id) {
            let wants = Wants {
                external_ids: vec![external_id.to_owned()],
                ..Wants::default()
            };
            self.state.read(self.link, &wants)?;
        }
        match self.state.payment_names.get(external_id).flatten() {
            Some(&key) => self.by_key(key).map(Some),
            None => Ok(None),
        }
    }

    fn by_id(&mut self, id: Uuid) -> Result<Option<Kept>, Error> {
        if !self.state.payment_ids.knows(&id) {
            let wants = Wants {
                ids: vec![id],
                ..Wants::default()
            };
            self.state.read(self.link, &wants)?;
        }
        match self.state.payment_ids.get(&id).flatten() {
            Some(&key) => self.by_key(key).map(Some),
            None => Ok(None),
        }
    }

    fn by_key(&mut self, key: i64) -> Result<Kept, Error> {
        match self.payment_with_key(key)? {
            Some(row) => Ok(row.kept.clone()),
            None => Err(Error::Corrupt(format!(
                "the key {key} of a payment that isn't there"
            ))),
        }
    }

    fn name_invoice(&mut self, id: Uuid, external_id: &str) -> Result<Option<Uuid>, Error> {
        if self.policy.strict_invoices {
            // Invoices have the names that they were created with.
            return Ok(None);
        }
        let known = self
            .invoice_named(external_id)?
            .map(|known| (known.invoice.id, known.invented));
        let own = self.invoice_row(id)?.cloned();
        let invented = match known {
            Some((known, invented)) if known == id => {
                if invented {
                    self.invoice_by_own_id(id)?;
                }
                return Ok(None);
            }
            Some((_, false)) => return Ok(None),
            Some((known, true)) => Some(known),
            None => None,
        };
        if own
            .as_ref()
            .is_some_and(|own| own.invoice.external_id.is_some())
        {
            return Ok(None);
        }
        // An external id belongs to one invoice, so it leaves the one before it comes to the other.
        if let Some(invented) = invented
            && let Some(mut row) = self.invoice_row(invented)?.cloned()
        {
            row.invoice.external_id = None;
            self.set_invoice(row);
        }
        match own {
            Some(mut own) => {
                own.invoice.external_id = Some(external_id.to_owned());
                own.invented = false;
                self.set_invoice(own);
            }
            None => self.new_invoice(id, Some(external_id), false),
        }
        Ok(invented)
    }

    fn payments_of_invoice(&mut self, id: Uuid) -> Result<Vec<i64>, Error> {
        let mut keys = BTreeSet::new();
        for row in self.link.query(
            "SELECT payment_key FROM payment_invoices WHERE business_id = $1 AND invoice_id = $2",
            &[&self.state.business, &id],
        )? {
            keys.insert(load::get::<i64>(&row, 0)?);
        }
        // What is in memory is newer, the request's own changes newest.
        for table in [&self.state.links.known, &self.state.links.changed] {
            for ((invoice, key), link) in table {
                if *invoice == id {
                    match link {
                        Some(()) => keys.insert(*key),
                        None => keys.remove(key),
                    };
                }
            }
        }
        Ok(keys.into_iter().collect())
    }

    fn forget_invoice(&mut self, id: Uuid) -> Result<(i64, i64), Error> {
        let Some(row) = self.invoice_row(id)?.cloned() else {
            return Err(Error::Corrupt(format!(
                "the invoice {id}, which isn't there"
            )));
        };
        if let Some(name) = row.invoice.external_id {
            self.state.invoice_names.set(name, None);
        }
        self.state.invoices.set(id, None);
        Ok((row.invoice.paid, row.invoice.refunded))
    }

    fn pay_invoice(&mut self, id: Uuid, paid: i64, refunded: i64) -> Result<Option<Owed>, Error> {
        let Some(mut row) = self.invoice_row(id)?.cloned() else {
            return Err(Error::Corrupt(format!(
                "the invoice {id}, which isn't there"
            )));
        };
        let invoice = &mut row.invoice;
        // Less than before can always be paid. Without a total, the sum stays within 64 bits.
        let can_be_paid = paid <= 0
            || (invoice.voided_at.is_none()
                && invoice.paid <= invoice.total_amount.unwrap_or(i64::MAX) - paid);
        if !can_be_paid {
            return Ok(Some(Owed {
                total: invoice.total_amount,
                paid: invoice.paid,
                is_void: invoice.voided_at.is_some(),
            }));
        }
        let sum = |before: i64, more: i64| {
            before
                .checked_add(more)
                .filter(|sum| *sum >= 0)
                .ok_or_else(|| {
                    Error::Corrupt(format!(
                        "what is paid on the invoice {id}: {before} and {more}"
                    ))
                })
        };
        invoice.paid = sum(invoice.paid, paid)?;
        invoice.refunded = sum(invoice.refunded, refunded)?;
        self.set_invoice(row);
        Ok(None)
    }

    fn account_by_id(&mut self, id: Uuid) -> Result<Account, Error> {
        match self.account_row(id)? {
            Some(row) => row.columns.clone().account(id),
            None => Err(Error::Corrupt(format!(
                "the account {id}, which isn't there"
            ))),
        }
    }

    fn chart_account(&mut self, stable_name: &str) -> Result<Uuid, Error> {
        self.account_by_stable_name(stable_name)?
            .ok_or_else(|| Error::Corrupt(format!("the chart lacks {stable_name:?}")))
    }

    fn payouts_of(&mut self, kept: &Kept) -> Result<Vec<types::Payout>, Error> {
        if !self.state.payouts.knows(&kept.key) {
            let mut keys = self.stored_payments(|row| row.kept.in_payout);
            keys.retain(|key| !self.state.payouts.knows(key));
            keys.push(kept.key);
            let mut payouts = read::payouts_of(self.link, self.state.business, &keys)?;
            for key in keys {
                let payouts = payouts.remove(&key).unwrap_or_default();
                self.state.payouts.learn(key, Some(payouts));
            }
        }
        Ok(self
            .state
            .payouts
            .get(&kept.key)
            .flatten()
            .cloned()
            .unwrap_or_default())
    }

    fn is_matched_itself(&mut self, key: i64) -> Result<bool, Error> {
        let row = self.link.query_opt(
            "SELECT 1 FROM matches WHERE business_id = $1 AND payment_key = $2",
            &[&self.state.business, &key],
        )?;
        Ok(row.is_some())
    }

    fn closing_date(&mut self) -> Result<Option<Timestamp>, Error> {
        Ok(self.state.current.closing_date)
    }

    fn posted(&mut self, key: i64) -> Result<Vec<Posted>, Error> {
        if !self.state.posted.knows(&key) {
            let mut keys = self.stored_payments(|_| true);
            keys.retain(|key| !self.state.posted.knows(key));
            keys.push(key);
            let mut posted = read::posted(self.link, self.state.business, &keys)?;
            for key in keys {
                let posted = posted.remove(&key).unwrap_or_default();
                self.state.posted.learn(key, Some(posted));
            }
        }
        Ok(self
            .state
            .posted
            .get(&key)
            .flatten()
            .cloned()
            .unwrap_or_default())
    }

    fn post(
        &mut self,
        payment: Option<i64>,
        entry: &Draft<Uuid>,
        reversal_of: Option<i64>,
    ) -> Result<(), Error> {
        self.state.current.last_entry += 1;
        let number = self.state.current.last_entry;
        if let Some(key) = payment {
            let mut posted = self.posted(key)?;
            match reversal_of {
                Some(undone) => posted.retain(|posted| posted.number != undone),
                None => posted.push(Posted {
                    number,
                    entry: entry.clone(),
                }),
            }
            self.state.posted.set(key, Some(posted));
        }
        for line in &entry.lines {
            let sums = self.uncarried.entry(line.account).or_default();
            match line.side {
                Side::Debit => sums.0 += i128::from(line.amount),
                Side::Credit => sums.1 += i128::from(line.amount),
            }
        }
        self.state.entries.push(NewEntry {
            number,
            entry: entry.clone(),
            posted_at: self.now,
            payment,
            reversal_of,
        });
        Ok(())
    }

    fn carry_balances(&mut self) -> Result<(), Error> {
        for (id, (debits, credits)) in std::mem::take(&mut self.uncarried) {
            let Some(row) = self.account_row(id)? else {
                return Err(Error::Corrupt(format!(
                    "the account {id}, which isn't there"
                )));
            };
            let mut row = row.clone();
            let sums = (
                i64::try_from(i128::from(row.debits) + debits),
                i64::try_from(i128::from(row.credits) + credits),
            );
            let (Ok(debits), Ok(credits)) = sums else {
                return Err(Error::Refused(vec![Refusal::ledger_out_of_range()]));
            };
            (row.debits, row.credits) = (debits, credits);
            self.state.accounts.set(id, Some(row));
        }
        Ok(())
    }

    fn insert(
        &mut self,
        payment: &Payment,
        reply: &InvoicePayment,
    ) -> Result<(i64, String), Error> {
        self.state.current.last_payment += 1;
        let key = self.state.current.last_payment;
        let document = serde_json::to_string(reply)?;
        let kept = Kept {
            key,
            payment: payment.clone(),
            in_payout: false,
            is_matched: false,
            document: document.clone(),
        };
        self.state.payment_ids.set(payment.id, Some(key));
        if let Some(name) = payment.external_id.clone() {
            self.state.payment_names.set(name, Some(key));
        }
        for invoice in payment.invoices() {
            self.state.links.set((invoice, key), Some(()));
        }
        // Nothing was posted for it, and it is in no payout.
        self.state.posted.set(key, Some(Vec::new()));
        self.state.payouts.set(key, Some(Vec::new()));
        let row = PaymentRow { kept, stored: None };
        self.state.payments.set(key, Some(row));
        Ok((key, document))
    }

    fn replace(
        &mut self,
        kept: &Kept,
        payment: &Payment,
        reply: &InvoicePayment,
    ) -> Result<String, Error> {
        let document = serde_json::to_string(reply)?;
        let key = kept.key;
        let stored = match self.payment_with_key(key)? {
            Some(row) => row.stored.clone(),
            None => {
                return Err(Error::Corrupt(format!(
                    "the key {key} of a payment that isn't there"
                )));
            }
        };
        if kept.payment.external_id != payment.external_id {
            if let Some(name) = kept.payment.external_id.clone() {
                self.state.payment_names.set(name, None);
            }
            if let Some(name) = payment.external_id.clone() {
                self.state.payment_names.set(name, Some(key));
            }
        }
        if !kept.payment.invoices().eq(payment.invoices()) {
            for invoice in kept.payment.invoices() {
                self.state.links.set((invoice, key), None);
            }
            for invoice in payment.invoices() {
                self.state.links.set((invoice, key), Some(()));
            }
        }
        let kept = Kept {
            payment: payment.clone(),
            document: document.clone(),
            ..kept.clone()
        };
        let row = PaymentRow { kept, stored };
        self.state.payments.set(key, Some(row));
        Ok(document)
    }
}

impl LocalBooks for PostgresBooks<'_> {
    fn existing_account(
        &mut self,
        id: Option<Uuid>,
        stable_name: Option<&str>,
    ) -> Result<Option<Account>, Error> {
        let id = match id {
            Some(id) => self.account_row(id)?.map(|_| id),
            None => None,
        };
        let id = match (id, stable_name) {
            (None, Some(stable_name)) => self.account_named(stable_name)?,
            (id, _) => id,
        };
        id.map(|id| self.account_by_id(id)).transpose()
    }

    fn create_account(&mut self, account: &Account) -> Result<(), Error> {
        let row = AccountRow {
            columns: AccountColumns::of(account),
            debits: 0,
            credits: 0,
        };
        self.set_account(account.id, row);
        Ok(())
    }

    fn existing_invoice(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<Option<Invoice>, Error> {
        if let Some(id) = id
            && let Some(row) = self.invoice_row(id)?
        {
            return Ok(Some(row.invoice.clone()));
        }
        Ok(match external_id {
            Some(external_id) => self
                .invoice_named(external_id)?
                .map(|row| row.invoice.clone()),
            None => None,
        })
    }

    fn save_invoice(&mut self, invoice: &Invoice) -> Result<(), Error> {
        let known = self.invoice_row(invoice.id)?.cloned();
        let (paid, refunded) = match known {
            Some(known) => (known.invoice.paid, known.invoice.refunded),
            None => (0, 0),
        };
        self.set_invoice(InvoiceRow {
            invoice: Invoice {
                paid,
                refunded,
                ..invoice.clone()
            },
            invented: false,
        });
        Ok(())
    }

    fn existing_payout(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<Option<Payout>, Error> {
        let name = external_id.map(|name| Name::of(name).indexed.into_owned());
        let row = self.link.query_opt(
            concat!(
                load::payouts!(),
                load::payouts!(from),
                "WHERE payouts.business_id = $1 AND (payouts.id = $2 OR payouts.external_id = $3)
                 ORDER BY payouts.id = $2 DESC"
            ),
            &[&self.state.business, &id, &name],
        )?;
        row.as_ref().map(load::payout).transpose()
    }

    fn create_payout(&mut self, payout: &Payout, payments: &[i64]) -> Result<(), Error> {
        self.write_through()?;
        let business = self.state.business;
        let name = payout.external_id.as_deref().map(Name::of);
        let long = name.as_ref().and_then(|name| name.long.as_deref());
        self.link.execute(
            "INSERT INTO payouts
                 (business_id, id, external_id, long_external_id, imported_at, completed_at, paid_out_amount, fee,
                  processor, clearing_account, memo, reference_number)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
            &[
                &business,
                &payout.id,
                &name.as_ref().map(|name| &*name.indexed),
                &long,
                &payout.imported_at,
                &payout.completed_at,
                &payout.paid_out_amount,
                &payout.fee,
                &payout.processor.as_deref().map(text),
                &payout.clearing_account,
                &payout.memo.as_deref().map(text),
                &payout.reference_number.as_deref().map(text),
            ],
        )?;
        self.link.execute(
            "INSERT INTO payout_payments (business_id, payment_key, payout_id) SELECT $1, unnest($2::bigint[]), $3",
            &[&business, &payments, &payout.id],
        )?;
        self.state.payouts = Table::default();
        Ok(())
    }

    fn payments_of_payout(&mut self, id: Uuid) -> Result<Vec<i64>, Error> {
        let rows = self.link.query(
            "SELECT payment_key FROM payout_payments WHERE business_id = $1 AND payout_id = $2
             ORDER BY payment_key",
            &[&self.state.business, &id],
        )?;
        rows.iter().map(|row| load::get(row, 0)).collect()
    }

    fn show_payout(&mut self, id: Uuid) -> Result<types::Payout, Error> {
        let row = self.link.query_opt(
            concat!(
                load::payouts!(),
                load::payouts!(from),
                "WHERE payouts.business_id = $1 AND payouts.id = $2"
            ),
            &[&self.state.business, &id],
        )?;
        match row {
            Some(row) => load::shown_payout(&row, self.state.business),
            None => Err(Error::Corrupt(format!(
                "the payout {id}, which isn't there"
            ))),
        }
    }

    fn is_bank_transaction_matched(&mut self, id: Uuid) -> Result<bool, Error> {
        let row = self.link.query_opt(
            "SELECT 1 FROM matches WHERE business_id = $1 AND bank_transaction_id = $2",
            &[&self.state.business, &id],
        )?;
        Ok(row.is_some())
    }

    fn existing_match(&mut self, matched: Matched) -> Result<Option<Match>, Error> {
        let business = &self.state.business;
        let row = match &matched {
            Matched::Payout(id) => self.link.query_opt(
                "SELECT document FROM matches WHERE business_id = $1 AND payout_id = $2",
                &[business, id],
            )?,
            Matched::Payment(key) => self.link.query_opt(
                "SELECT document FROM matches WHERE business_id = $1 AND payment_key = $2",
                &[business, key],
            )?,
        };
        let Some(row) = row else {
            return Ok(None);
        };
        Ok(Some(serde_json::from_str(load::get(&row, 0)?)?))
    }

    fn create_match(
        &mut self,
        matched: Matched,
        bank_transaction: Uuid,
        amount: i64,
        shown: &Match,
    ) -> Result<(), Error> {
        self.write_through()?;
        let (payout, payment) = match matched {
            Matched::Payout(id) => (Some(id), None),
            Matched::Payment(key) => (None, Some(key)),
        };
        self.link.execute(
            "INSERT INTO matches
                 (business_id, id, payout_id, payment_key, bank_transaction_id, created_at, amount, document)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[
                &self.state.business,
                &shown.id,
                &payout,
                &payment,
                &bank_transaction,
                &self.now,
                &amount,
                &serde_json::to_string(shown)?,
            ],
        )?;
        // Payouts are shown with their matches.
        self.state.payouts = Table::default();
        Ok(())
    }

    fn mark(&mut self, key: i64, mark: Mark) -> Result<(), Error> {
        let Some(row) = self.payment_with_key(key)? else {
            return Err(Error::Corrupt(format!(
                "the key {key} of a payment that isn't there"
            )));
        };
        let mut row = row.clone();
        match mark {
            Mark::InPayout => row.kept.in_payout = true,
            Mark::Matched => row.kept.is_matched = true,
        }
        self.state.payments.set(key, Some(row));
        Ok(())
    }

    fn business_id(&self) -> Uuid {
        self.state.business
    }
}
