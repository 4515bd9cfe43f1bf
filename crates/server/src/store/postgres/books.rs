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

use super::super::{Error, Policy};
use super::load::{self, Link};
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

    /// What is to be written, which counts as written from now on.
    pub(super) fn take_unsaved(&mut self) -> Vec<(K, Option<&V>)> {
        let known = &self.known;
        self.unsaved
            .drain()
            .filter_map(|key| {
                let row = known.get(&key)?.as_ref();
                Some((key, row))
            })
            .collect()
    }

    fn len(&self) -> usize {
        self.known.len()
    }
}

/// A payment and what the database has of it.
#[derive(Clone, Debug)]
pub(super) struct PaymentRow {
    pub(super) kept: Kept,
    /// Whether it isn't stored yet.
    pub(super) is_new: bool,
}

/// An account and what was posted to it.
#[derive(Clone, Debug)]
pub(super) struct AccountRow {
    /// As it is stored: nothing but names where the chart says the rest, or where nothing else is known.
    pub(super) columns: load::AccountColumns,
    pub(super) debits: i64,
    pub(super) credits: i64,
    pub(super) created_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct InvoiceRow {
    pub(super) invoice: Invoice,
    /// Whether the server made the id up.
    pub(super) invented: bool,
    pub(super) created_at: Timestamp,
}

#[derive(Clone, Debug)]
pub(super) struct TagRow {
    pub(super) id: Uuid,
    pub(super) display_name: Option<String>,
    pub(super) created_at: Timestamp,
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
pub(super) struct BusinessRow {
    pub(super) version: i64,
    pub(super) closing_date: Option<Timestamp>,
    pub(super) last_payment: i64,
    pub(super) last_entry: i64,
}
