//! The books of one business in SQLite, within the writer's transaction.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use jiff::Timestamp;
use layer_payments_types::{self as types, AccountIdentifier, InvoicePayment, TagKeyValue};
use rusqlite::{CachedStatement, Connection, OptionalExtension, Row, Statement, params};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::super::columns::{self, AccountColumns, json_list, json_object};
use super::super::{Error, Policy};
use super::{journal, payouts};
use crate::domain::books::{Books, Kept};
use crate::domain::chart;
use crate::domain::consequences::{Owed, Posted};
use crate::domain::ledger::{Draft, Side};
use crate::domain::payment::{Metadata, Payment, TagDefinition, Tags};
use crate::domain::reply::Account;
use crate::domain::resolve::{InvoiceName, Refusal, Registry};

/// What is known of one business: read from the database, or written in the transaction at hand. It is forgotten
/// whenever anything is taken back, or another process writes, so it can be too little and never wrong.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) business: i64,
    /// By stable name.
    accounts: HashMap<String, Uuid>,
    /// Named by id.
    account_ids: HashSet<Uuid>,
    /// The number of the last journal entry, once it is known.
    last_entry: Option<i64>,
    /// The closing date, once it is known.
    closing_date: Option<Option<Timestamp>>,
    /// By key, then by value.
    tags: HashMap<String, HashMap<String, Arc<TagDefinition>>>,
    remembered: usize,
}

/// Accounts and tags of a business that stay in memory; with more, all are forgotten and read again as they are used.
const REMEMBERED: usize = 10_000;

/// The books of one business.
pub(super) struct SqliteBooks<'a> {
    pub(super) connection: &'a Connection,
    pub(super) names: &'a mut Names,
    pub(super) business: Uuid,
    pub(super) now: Timestamp,
    policy: Policy,
    /// What was posted and isn't in the accounts' balances yet: debits and credits.
    uncarried: HashMap<Uuid, (i128, i128)>,
    prepared: Prepared<'a>,
}

/// The statements that nearly every payment runs. The connection's cache finds them by their texts; a bulk has them at
/// hand after its first payment.
#[derive(Default)]
struct Prepared<'a> {
    by_external_id: Option<CachedStatement<'a>>,
    invoice_by_external_id: Option<CachedStatement<'a>>,
    new_invoice: Option<CachedStatement<'a>>,
    pay_invoice: Option<CachedStatement<'a>>,
    insert: Option<CachedStatement<'a>>,
    link_invoice: Option<CachedStatement<'a>>,
    entry: Option<CachedStatement<'a>>,
    line: Option<CachedStatement<'a>>,
}

/// The statement with this text, which is prepared at its first use.
fn prepared<'s, 'a>(
    statement: &'s mut Option<CachedStatement<'a>>,
    connection: &'a Connection,
    sql: &str,
) -> Result<&'s mut CachedStatement<'a>, Error> {
    Ok(match statement {
        Some(statement) => statement,
        None => statement.insert(connection.prepare_cached(sql)?),
    })
}

impl<'a> SqliteBooks<'a> {
    /// Opens the books of a business, if there is such a business.
    pub(super) fn open(
        connection: &'a Connection,
        all_names: &'a mut HashMap<Uuid, Names>,
        business: Uuid,
        now: Timestamp,
        policy: Policy,
    ) -> Result<SqliteBooks<'a>, Error> {
        let names = match all_names.entry(business) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                unknown.insert(Names::of(business_key(connection, business)?))
            }
        };
        if names.remembered >= REMEMBERED {
            *names = Names::of(names.business);
        }
        Ok(SqliteBooks {
            connection,
            names,
            business,
            now,
            policy,
            uncarried: HashMap::new(),
            prepared: Prepared::default(),
        })
    }

    /// The account with this stable name; one of the chart comes to life.
    fn account_by_stable_name(&mut self, stable_name: &str) -> Result<Option<Uuid>, Error> {
        if let Some(&id) = self.names.accounts.get(stable_name) {
            return Ok(Some(id));
        }
        let known = self
            .connection
            .prepare_cached("SELECT id FROM accounts WHERE business_id = ?1 AND stable_name = ?2")?
            .query_row(params![self.names.business, stable_name], |row| {
                uuid(row, 0)
            })
            .optional()?;
        let id = match known {
            Some(id) => id,
            None if chart::kind_of(stable_name).is_none() => return Ok(None),
            None => {
                let id = self.new_id();
                self.insert_account(id, Some(stable_name))?;
                id
            }
        };
        self.names.accounts.insert(stable_name.to_owned(), id);
        self.names.remembered += 1;
        Ok(Some(id))
    }

    fn account_by_own_id(&mut self, id: Uuid) -> Result<Option<Uuid>, Error> {
        if !self.names.account_ids.contains(&id) {
            let is_known = self
                .connection
                .prepare_cached("SELECT 1 FROM accounts WHERE business_id = ?1 AND id = ?2")?
                .exists(params![self.names.business, id.as_bytes()])?;
            if !is_known {
                return Ok(None);
            }
            self.names.account_ids.insert(id);
            self.names.remembered += 1;
        }
        Ok(Some(id))
    }

    fn insert_account(&self, id: Uuid, stable_name: Option<&str>) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO accounts (business_id, id, stable_name, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                self.names.business,
                id.as_bytes(),
                stable_name,
                self.now.as_microsecond()
            ])?;
        Ok(())
    }

    /// Keeps a new account of which everything is given.
    pub(super) fn insert_whole_account(&self, account: &Account) -> Result<(), Error> {
        let columns = AccountColumns::of(account);
        self.connection
            .prepare_cached(
                "INSERT INTO accounts (business_id, id, stable_name, created_at, name, account_number, account_type,
                     normality, subtype)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            )?
            .execute(params![
                self.names.business,
                account.id.as_bytes(),
                columns.stable_name,
                self.now.as_microsecond(),
                columns.name,
                columns.account_number,
                columns.account_type,
                columns.normality,
                columns.subtype,
            ])?;
        Ok(())
    }

    fn invoice_by_external_id(&mut self, external_id: &str) -> Result<Option<Invoice>, Error> {
        let statement = prepared(
            &mut self.prepared.invoice_by_external_id,
            self.connection,
            "SELECT id, invented FROM invoices WHERE business_id = ?1 AND external_id = ?2",
        )?;
        let mut rows = statement.query(params![self.names.business, external_id])?;
        let Some(row) = rows.next()? else {
            return Ok(None);
        };
        Ok(Some(Invoice {
            id: uuid(row, 0)?,
            invented: row.get(1)?,
        }))
    }

    /// Registers an invoice that is named by id, where that is allowed. If the id was invented, it is the invoice's own
    /// from now on: whoever names it relies on it.
    fn invoice_by_own_id(&self, id: Uuid) -> Result<InvoiceName, Error> {
        if self.policy.strict_invoices {
            let is_known = self
                .connection
                .prepare_cached("SELECT 1 FROM invoices WHERE business_id = ?1 AND id = ?2")?
                .exists(params![self.names.business, id.as_bytes()])?;
            return Ok(match is_known {
                true => InvoiceName::Is(id),
                false => InvoiceName::Unknown,
            });
        }
        self.connection
            .prepare_cached(
                "INSERT INTO invoices (business_id, id, invented, created_at) VALUES (?1, ?2, 0, ?3)
                 ON CONFLICT (business_id, id) DO UPDATE SET invented = 0 WHERE invented <> 0",
            )?
            .execute(params![
                self.names.business,
                id.as_bytes(),
                self.now.as_microsecond()
            ])?;
        Ok(InvoiceName::Is(id))
    }

    fn invoice_by_own_external_id(&mut self, external_id: &str) -> Result<InvoiceName, Error> {
        if let Some(known) = self.invoice_by_external_id(external_id)? {
            return Ok(InvoiceName::Is(known.id));
        }
        if self.policy.strict_invoices {
            return Ok(InvoiceName::Unknown);
        }
        let id = self.new_id();
        let statement = prepared(
            &mut self.prepared.new_invoice,
            self.connection,
            "INSERT INTO invoices (business_id, id, external_id, invented, created_at)
             VALUES (?1, ?2, ?3, 1, ?4)",
        )?;
        statement.execute(params![
            self.names.business,
            id.as_bytes(),
            external_id,
            self.now.as_microsecond()
        ])?;
        Ok(InvoiceName::Is(id))
    }

    /// Gives an invoice, which may be new, an external id that no other has. One that it has already stays.
    fn set_invoice_external_id(&self, id: Uuid, external_id: &str) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO invoices (business_id, id, external_id, invented, created_at)
                 VALUES (?1, ?2, ?3, 0, ?4)
                 ON CONFLICT (business_id, id) DO UPDATE SET external_id = excluded.external_id, invented = 0
                 WHERE external_id IS NULL",
            )?
            .execute(params![
                self.names.business,
                id.as_bytes(),
                external_id,
                self.now.as_microsecond()
            ])?;
        Ok(())
    }

    /// Whether an invoice may get an external id: it is unknown or has none.
    fn lacks_external_id(&self, id: Uuid) -> Result<bool, Error> {
        let external_id: Option<Option<String>> = self
            .connection
            .prepare_cached("SELECT external_id FROM invoices WHERE business_id = ?1 AND id = ?2")?
            .query_row(params![self.names.business, id.as_bytes()], |row| {
                row.get(0)
            })
            .optional()?;
        Ok(external_id.flatten().is_none())
    }

    /// Keeps which invoices a payment is allocated to, so that an invoice's payments are found.
    fn link_invoices(&mut self, key: i64, payment: &Payment) -> Result<(), Error> {
        let statement = prepared(
            &mut self.prepared.link_invoice,
            self.connection,
            "INSERT INTO payment_invoices (business_id, invoice_id, payment_key) VALUES (?1, ?2, ?3)
             ON CONFLICT DO NOTHING",
        )?;
        for id in payment.invoices() {
            statement.execute(params![self.names.business, id.as_bytes(), key])?;
        }
        Ok(())
    }

    fn unlink_invoices(&self, key: i64, payment: &Payment) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM payment_invoices WHERE business_id = ?1 AND invoice_id = ?2 AND payment_key = ?3",
        )?;
        for id in payment.invoices() {
            statement.execute(params![self.names.business, id.as_bytes(), key])?;
        }
        Ok(())
    }

    fn dimension(&mut self, tag: &TagKeyValue) -> Result<(Uuid, Option<String>), Error> {
        let known = self
            .connection
            .prepare_cached(
                "SELECT id, display_name FROM tag_dimensions WHERE business_id = ?1 AND key = ?2",
            )?
            .query_row(params![self.names.business, tag.key], |row| {
                Ok((uuid(row, 0)?, row.get(1)?))
            })
            .optional()?;
        if let Some(known) = known {
            return Ok(known);
        }
        let id = self.new_id();
        self.connection
            .prepare_cached(
                "INSERT INTO tag_dimensions (id, business_id, key, display_name, created_at)
                 VALUES (?1, ?2, ?3, ?4, ?5)",
            )?
            .execute(params![
                id.as_bytes(),
                self.names.business,
                tag.key,
                tag.dimension_display_name,
                self.now.as_microsecond()
            ])?;
        Ok((id, tag.dimension_display_name.clone()))
    }

    fn tag_definition(&mut self, tag: &TagKeyValue) -> Result<TagDefinition, Error> {
        let (dimension_id, dimension_display_name) = self.dimension(tag)?;
        let known = self
            .connection
            .prepare_cached(
                "SELECT id, display_name FROM tag_values WHERE dimension_id = ?1 AND value = ?2",
            )?
            .query_row(params![dimension_id.as_bytes(), tag.value], |row| {
                Ok((uuid(row, 0)?, row.get(1)?))
            })
            .optional()?;
        let (id, value_display_name) = match known {
            Some(known) => known,
            None => {
                let id = self.new_id();
                self.connection
                    .prepare_cached(
                        "INSERT INTO tag_values (id, dimension_id, value, display_name, created_at)
                         VALUES (?1, ?2, ?3, ?4, ?5)",
                    )?
                    .execute(params![
                        id.as_bytes(),
                        dimension_id.as_bytes(),
                        tag.value,
                        tag.value_display_name,
                        self.now.as_microsecond()
                    ])?;
                (id, tag.value_display_name.clone())
            }
        };
        Ok(TagDefinition {
            id,
            dimension_id,
            key: tag.key.clone(),
            value: tag.value.clone(),
            dimension_display_name,
            value_display_name,
        })
    }
}

/// An invoice that is known by its external id.
struct Invoice {
    id: Uuid,
    /// Whether the server made the id up.
    invented: bool,
}

impl Names {
    fn of(business: i64) -> Names {
        Names {
            business,
            accounts: HashMap::new(),
            account_ids: HashSet::new(),
            last_entry: None,
            closing_date: None,
            tags: HashMap::new(),
            remembered: 0,
        }
    }
}

impl Registry for SqliteBooks<'_> {
    type Error = Error;

    fn account(&mut self, identifier: &AccountIdentifier) -> Result<Option<Uuid>, Error> {
        match identifier {
            AccountIdentifier::AccountId { id } => self.account_by_own_id(*id),
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
        Ok(match (id, external_id) {
            (Some(id), Some(external_id)) => match self.invoice_by_external_id(external_id)? {
                // What is known of both was noted before.
                Some(known) if known.id == id => InvoiceName::Is(id),
                None if self.policy.strict_invoices => match self.invoice_by_own_id(id)? {
                    InvoiceName::Is(_) => InvoiceName::Disagree,
                    unknown => unknown,
                },
                _ => InvoiceName::Disagree,
            },
            (Some(id), None) => self.invoice_by_own_id(id)?,
            (None, Some(external_id)) => self.invoice_by_own_external_id(external_id)?,
            (None, None) => InvoiceName::Unknown,
        })
    }

    fn tag(&mut self, tag: &TagKeyValue) -> Result<Arc<TagDefinition>, Error> {
        if let Some(definition) = self
            .names
            .tags
            .get(&tag.key)
            .and_then(|values| values.get(&tag.value))
        {
            return Ok(Arc::clone(definition));
        }
        let definition = Arc::new(self.tag_definition(tag)?);
        self.names
            .tags
            .entry(tag.key.clone())
            .or_default()
            .insert(tag.value.clone(), Arc::clone(&definition));
        self.names.remembered += 1;
        Ok(definition)
    }

    fn new_id(&mut self) -> Uuid {
        Uuid::now_v7()
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

/// The number that a business has in the store.
pub(super) fn business_key(connection: &Connection, business: Uuid) -> Result<i64, Error> {
    connection
        .prepare_cached("SELECT id FROM businesses WHERE uuid = ?1")?
        .query_row([business.as_bytes()], |row| row.get(0))
        .optional()?
        .ok_or(Error::NoBusiness(business))
}

/// The columns of a payment, in the order in which [`save`] binds them.
macro_rules! columns {
    () => {
        "id, external_id, paid_at, imported_at, method, amount, fee, processor, clearing_account, \
         prepayment_account, memo, reference_number, metadata, additional_fees, allocations, refunds, tags, document"
    };
}

/// What [`kept`] reads, in its order.
macro_rules! kept_columns {
    () => {
        "key, in_payout, is_matched, id, external_id, paid_at, imported_at, method, amount, fee, processor, clearing_account, \
         prepayment_account, memo, reference_number, metadata, additional_fees, allocations, refunds, tags, document"
    };

}
pub(super) use kept_columns;

/// The columns of an account, in the order in which [`account`] reads them; with `count`, how many they are.
macro_rules! account_columns {
    () => {
        "id, stable_name, account_number, name, account_type, normality, subtype"
    };
    (count) => {
        7
    };
}
pub(super) use account_columns;

impl Books for SqliteBooks<'_> {
    fn by_external_id(&mut self, external_id: &str) -> Result<Option<Kept>, Error> {
        let statement = prepared(
            &mut self.prepared.by_external_id,
            self.connection,
            concat!(
                "SELECT ",
                kept_columns!(),
                " FROM payments WHERE business_id = ?1 AND external_id = ?2"
            ),
        )?;
        let mut rows = statement.query(params![self.names.business, external_id])?;
        rows.next()?.map(kept).transpose()
    }

    fn by_id(&mut self, id: Uuid) -> Result<Option<Kept>, Error> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT ",
            kept_columns!(),
            " FROM payments WHERE id = ?2 AND business_id = ?1"
        ))?;
        let mut rows = statement.query(params![self.names.business, id.as_bytes()])?;
        rows.next()?.map(kept).transpose()
    }

    fn by_key(&mut self, key: i64) -> Result<Kept, Error> {
        payment_by_key(self.connection, key)?
            .ok_or_else(|| Error::Corrupt(format!("the key {key} of a payment that isn't there")))
    }

    fn name_invoice(&mut self, id: Uuid, external_id: &str) -> Result<Option<Uuid>, Error> {
        if self.policy.strict_invoices {
            // Invoices have the names that they were created with.
            return Ok(None);
        }
        let Some(known) = self.invoice_by_external_id(external_id)? else {
            self.set_invoice_external_id(id, external_id)?;
            return Ok(None);
        };
        if known.id == id {
            if known.invented {
                self.invoice_by_own_id(id)?;
            }
            return Ok(None);
        }
        if !known.invented || !self.lacks_external_id(id)? {
            return Ok(None);
        }
        // An external id belongs to one invoice, so it leaves the one before it comes to the other.
        self.connection
            .prepare_cached(
                "UPDATE invoices SET external_id = NULL WHERE business_id = ?1 AND id = ?2",
            )?
            .execute(params![self.names.business, known.id.as_bytes()])?;
        self.set_invoice_external_id(id, external_id)?;
        Ok(Some(known.id))
    }

    fn payments_of_invoice(&mut self, id: Uuid) -> Result<Vec<i64>, Error> {
        let keys = self
            .connection
            .prepare_cached(
                "SELECT payment_key FROM payment_invoices WHERE business_id = ?1 AND invoice_id = ?2",
            )?
            .query_map(params![self.names.business, id.as_bytes()], |row| {
                row.get(0)
            })?
            .collect::<Result<_, _>>()?;
        Ok(keys)
    }

    fn forget_invoice(&mut self, id: Uuid) -> Result<(i64, i64), Error> {
        Ok(self
            .connection
            .prepare_cached(
                "DELETE FROM invoices WHERE business_id = ?1 AND id = ?2 RETURNING paid, refunded",
            )?
            .query_row(params![self.names.business, id.as_bytes()], |row| {
                Ok((row.get(0)?, row.get(1)?))
            })?)
    }

    fn pay_invoice(&mut self, id: Uuid, paid: i64, refunded: i64) -> Result<Option<Owed>, Error> {
        // Less than before can always be paid. The last condition keeps the sum within 64 bits.
        let statement = prepared(
            &mut self.prepared.pay_invoice,
            self.connection,
            "UPDATE invoices SET paid = paid + ?3, refunded = refunded + ?4
             WHERE business_id = ?1 AND id = ?2 AND (?3 <= 0 OR (
                 voided_at IS NULL AND paid <= coalesce(total_amount, 9223372036854775807) - ?3))",
        )?;
        let changed =
            statement.execute(params![self.names.business, id.as_bytes(), paid, refunded])?;
        if changed == 1 {
            return Ok(None);
        }
        let owed = self
            .connection
            .prepare_cached(
                "SELECT total_amount, paid, voided_at IS NOT NULL FROM invoices
                 WHERE business_id = ?1 AND id = ?2",
            )?
            .query_row(params![self.names.business, id.as_bytes()], |row| {
                Ok(Owed {
                    total: row.get(0)?,
                    paid: row.get(1)?,
                    is_void: row.get(2)?,
                })
            })?;
        Ok(Some(owed))
    }

    fn account_by_id(&mut self, id: Uuid) -> Result<Account, Error> {
        account_by_id(self.connection, self.names.business, id)
    }

    fn chart_account(&mut self, stable_name: &str) -> Result<Uuid, Error> {
        self.account_by_stable_name(stable_name)?
            .ok_or_else(|| Error::Corrupt(format!("the chart lacks {stable_name:?}")))
    }

    fn payouts_of(&mut self, kept: &Kept) -> Result<Vec<types::Payout>, Error> {
        payouts::of_payment(self.connection, self.names.business, kept.key)
    }

    fn is_matched_itself(&mut self, key: i64) -> Result<bool, Error> {
        payouts::is_matched_itself(self.connection, self.names.business, key)
    }

    fn closing_date(&mut self) -> Result<Option<Timestamp>, Error> {
        if let Some(known) = self.names.closing_date {
            return Ok(known);
        }
        let closing_date: Option<i64> = self
            .connection
            .prepare_cached("SELECT closing_date FROM businesses WHERE id = ?1")?
            .query_row([self.names.business], |row| row.get(0))?;
        let closing_date = closing_date.map(time).transpose()?;
        self.names.closing_date = Some(closing_date);
        Ok(closing_date)
    }

    fn posted(&mut self, key: i64) -> Result<Vec<Posted>, Error> {
        journal::posted(self.connection, self.names.business, key)
    }

    fn post(
        &mut self,
        payment: Option<i64>,
        entry: &Draft<Uuid>,
        reversal_of: Option<i64>,
    ) -> Result<(), Error> {
        let business = self.names.business;
        let last = match self.names.last_entry {
            Some(last) => last,
            None => journal::last_number(self.connection, business)?,
        };
        let number = last + 1;
        self.names.last_entry = Some(number);
        let statement = prepared(
            &mut self.prepared.entry,
            self.connection,
            "INSERT INTO journal_entries
             (business_id, number, entry_type, entry_at, posted_at, payment_key, source_id, reversal_of)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?;
        statement.execute(params![
            business,
            number,
            entry.entry_type.name(),
            entry.at.as_microsecond(),
            self.now.as_microsecond(),
            payment,
            entry.source.as_bytes(),
            reversal_of,
        ])?;
        let statement = prepared(
            &mut self.prepared.line,
            self.connection,
            "INSERT INTO journal_lines (business_id, entry, line, account_id, debit, credit)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        )?;
        for (place, line) in (1_i64..).zip(&entry.lines) {
            let (debit, credit) = match line.side {
                Side::Debit => (line.amount, 0),
                Side::Credit => (0, line.amount),
            };
            statement.execute(params![
                business,
                number,
                place,
                line.account.as_bytes(),
                debit,
                credit
            ])?;
            let sums = self.uncarried.entry(line.account).or_default();
            sums.0 += i128::from(debit);
            sums.1 += i128::from(credit);
        }
        Ok(())
    }

    fn carry_balances(&mut self) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached(
            "UPDATE accounts SET debits = debits + ?3, credits = credits + ?4
             WHERE business_id = ?1 AND id = ?2
             AND debits <= 9223372036854775807 - ?3 AND credits <= 9223372036854775807 - ?4",
        )?;
        for (account, (debits, credits)) in self.uncarried.drain() {
            let carried = match (i64::try_from(debits), i64::try_from(credits)) {
                (Ok(debits), Ok(credits)) => {
                    statement.execute(params![
                        self.names.business,
                        account.as_bytes(),
                        debits,
                        credits
                    ])? == 1
                }
                _ => false,
            };
            if !carried {
                return Err(Error::Refused(vec![Refusal::ledger_out_of_range()]));
            }
        }
        Ok(())
    }

    fn insert(
        &mut self,
        payment: &Payment,
        reply: &InvoicePayment,
    ) -> Result<(i64, String), Error> {
        let statement = prepared(
            &mut self.prepared.insert,
            self.connection,
            concat!(
                "INSERT INTO payments (business_id, ",
                columns!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
            ),
        )?;
        let document = save(statement, self.names.business, payment, reply)?;
        let key = self.connection.last_insert_rowid();
        self.link_invoices(key, payment)?;
        Ok((key, document))
    }

    fn replace(
        &mut self,
        kept: &Kept,
        payment: &Payment,
        reply: &InvoicePayment,
    ) -> Result<String, Error> {
        let mut statement = self.connection.prepare_cached(concat!(
            "UPDATE payments SET (",
            columns!(),
            ") = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
             WHERE key = ?1"
        ))?;
        let document = save(&mut statement, kept.key, payment, reply)?;
        if !kept.payment.invoices().eq(payment.invoices()) {
            self.unlink_invoices(kept.key, &kept.payment)?;
            self.link_invoices(kept.key, payment)?;
        }
        Ok(document)
    }
}

/// Runs a statement that takes `first` and then the columns of a payment, each at its place. The one function that binds them, so
/// that a new payment and a changed one can't differ in what goes where. Gives the document.
fn save(
    statement: &mut Statement<'_>,
    first: i64,
    payment: &Payment,
    reply: &InvoicePayment,
) -> Result<String, Error> {
    let document = serde_json::to_string(reply)?;
    statement.execute(params![
        first,
        payment.id.as_bytes(),
        payment.external_id,
        payment.paid_at.as_microsecond(),
        payment.imported_at.as_microsecond(),
        payment.method.to_string(),
        payment.amount,
        payment.fee,
        payment.processor,
        payment.clearing_account.as_ref().map(Uuid::as_bytes),
        payment.prepayment_account.as_ref().map(Uuid::as_bytes),
        payment.memo,
        payment.reference_number,
        json_object(&payment.metadata)?,
        json_list(&payment.additional_fees)?,
        json_list(&payment.allocations)?,
        json_list(&payment.refunds)?,
        json_list(&payment.tags.0)?,
        document,
    ])?;
    Ok(document)
}

/// Reads a row of [`kept_columns`].
pub(super) fn kept(row: &Row<'_>) -> Result<Kept, Error> {
    Ok(Kept {
        key: row.get(0)?,
        in_payout: row.get(1)?,
        is_matched: row.get(2)?,
        payment: Payment {
            id: uuid(row, 3)?,
            external_id: row.get(4)?,
            paid_at: time(row.get(5)?)?,
            imported_at: time(row.get(6)?)?,
            method: parsed(row, 7)?,
            amount: row.get(8)?,
            fee: row.get(9)?,
            processor: row.get(10)?,
            clearing_account: optional_uuid(row, 11)?,
            prepayment_account: optional_uuid(row, 12)?,
            memo: row.get(13)?,
            reference_number: row.get(14)?,
            metadata: from_json::<Metadata>(row, 15)?,
            additional_fees: from_json(row, 16)?,
            allocations: from_json(row, 17)?,
            refunds: from_json(row, 18)?,
            tags: from_json::<Tags>(row, 19)?,
        },
        document: row.get(20)?,
    })
}

/// The payment with this key.
pub(super) fn payment_by_key(connection: &Connection, key: i64) -> Result<Option<Kept>, Error> {
    let mut statement = connection.prepare_cached(concat!(
        "SELECT ",
        kept_columns!(),
        " FROM payments WHERE key = ?1"
    ))?;
    let mut rows = statement.query([key])?;
    rows.next()?.map(kept).transpose()
}

/// An account of a business.
pub(super) fn account_by_id(
    connection: &Connection,
    business: i64,
    id: Uuid,
) -> Result<Account, Error> {
    connection
        .prepare_cached(concat!(
            "SELECT ",
            account_columns!(),
            " FROM accounts WHERE business_id = ?1 AND id = ?2"
        ))?
        .query_row(params![business, id.as_bytes()], |row| Ok(account(row)))?
}

/// Reads a row of an account's columns.
pub(super) fn account(row: &Row<'_>) -> Result<Account, Error> {
    let columns = AccountColumns {
        stable_name: row.get(1)?,
        account_number: row.get(2)?,
        name: row.get(3)?,
        account_type: row.get(4)?,
        normality: row.get(5)?,
        subtype: row.get(6)?,
    };
    columns.account(uuid(row, 0)?)
}

/// A UUID's column of 16 bytes.
pub(super) fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

pub(super) fn optional_uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row
        .get::<_, Option<[u8; 16]>>(column)?
        .map(Uuid::from_bytes))
}

pub(super) fn time(microseconds: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|_| Error::Corrupt(format!("the time {microseconds}")))
}

/// A column that holds a value's name.
fn parsed<T: FromStr>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    let name: String = row.get(column)?;
    columns::named(&name)
}

fn from_json<T: DeserializeOwned + Default>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    let text: Option<String> = row.get(column)?;
    columns::from_json(text.as_deref())
}

#[cfg(test)]
mod tests {
    use layer_payments_types::{AccountType, Normality, PaymentMethod};
    use serde_json::json;

    use super::super::Sqlite;
    use super::*;
    use crate::domain::chart::{AccountKind, Class};
    use crate::domain::payment::{AdditionalFee, Allocation, Known, Notes, Refund, Tag, Target};
    use crate::domain::reply::reply;
    use crate::store::Unit as _;

    fn id(n: u128) -> Uuid {
        Uuid::from_u128(n)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// A payment whose columns all differ from each other, and from those of another `n`.
    fn payment(books: &mut SqliteBooks<'_>, n: i64) -> Payment {
        let text = |name: &str| Some(format!("{name} {n}"));
        let unsigned = u128::try_from(n).unwrap();
        let account = |books: &mut SqliteBooks<'_>, offset| {
            let id = id(unsigned * 100 + offset);
            let account = Account {
                id,
                stable_name: None,
                account_number: text("number"),
                kind: AccountKind {
                    name: format!("account {n} {offset}"),
                    class: Class {
                        account_type: AccountType::Asset,
                        normality: Normality::Debit,
                        subtype: None,
                    },
                },
            };
            books.insert_whole_account(&account).unwrap();
            assert_eq!(books.account_by_id(id).unwrap(), account);
            id
        };
        let invoice = |books: &mut SqliteBooks<'_>, offset| {
            let id = id(unsigned * 100 + offset);
            let name = books.invoice_by_own_id(id).unwrap();
            assert_eq!(name, InvoiceName::Is(id));
            id
        };
        let metadata = |name: &str| {
            let mut metadata = Metadata::new();
            metadata.insert(name.to_owned(), json!(n));
            metadata
        };
        Payment {
            id: id(1),
            external_id: text("external id"),
            paid_at: at(n * 10),
            imported_at: at(n * 10 + 1),
            method: if n == 1 {
                PaymentMethod::Cash
            } else {
                PaymentMethod::Ach
            },
            amount: n * 1_000,
            fee: n * 1_000 + 1,
            additional_fees: vec![AdditionalFee {
                account: account(books, 1),
                fee_amount: n * 1_000 + 2,
                description: text("fee"),
                is_passed_to_customer: true,
            }],
            processor: text("processor"),
            clearing_account: Some(account(books, 2)),
            prepayment_account: Some(account(books, 3)),
            allocations: vec![Allocation {
                target: Target::Invoice(invoice(books, 4)),
                amount: n * 1_000 + 3,
                notes: Notes {
                    metadata: metadata("allocation"),
                    ..Notes::default()
                },
            }],
            refunds: vec![Refund {
                id: Known(id(unsigned * 100 + 5)),
                external_id: text("refund"),
                account: None,
                lines: Vec::new(),
                refunded_amount: Some(n * 1_000 + 4),
                completed_at: Some(at(n * 10 + 2)),
                processing_fee: n * 1_000 + 5,
                method: None,
                processor: None,
                refunded_fees: Vec::new(),
                clearing_account: None,
                notes: Notes::default(),
            }],
            tags: Tags(vec![Tag {
                id: id(unsigned * 100 + 6),
                created_at: at(n * 10 + 3),
                definition: Arc::new(TagDefinition {
                    id: id(unsigned * 100 + 7),
                    dimension_id: id(unsigned * 100 + 8),
                    key: "key".to_owned(),
                    value: n.to_string(),
                    dimension_display_name: None,
                    value_display_name: None,
                }),
            }]),
            memo: text("memo"),
            metadata: metadata("payment"),
            reference_number: text("reference number"),
        }
    }

    /// What the columns that money and lists depend on hold, read by their names and not by their order.
    fn by_name(connection: &Connection) -> (i64, i64, i64, i64, String, String, String) {
        connection
            .query_row(
                "SELECT amount, fee, paid_at, imported_at, processor, memo, reference_number FROM payments",
                [],
                |row| {
                    Ok((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                        row.get(5)?,
                        row.get(6)?,
                    ))
                },
            )
            .unwrap()
    }

    #[tokio::test]
    async fn a_new_and_a_changed_payment_are_kept_in_the_same_columns() {
        let store = Sqlite::open_in_memory(Policy::default()).unwrap();
        let work = store.write(|unit| {
            let connection = unit.connection();
            unit.register_business(id(9))?;
            let mut books = unit.open_books(id(9))?;
            for n in [1, 2] {
                let given = payment(&mut books, n);
                let shown = reply(&given, None, Vec::new());
                let document = match books.by_id(given.id)? {
                    None => books.insert(&given, &shown)?.1,
                    Some(before) => books.replace(&before, &given, &shown)?,
                };
                let kept = books.by_id(given.id)?.unwrap();
                assert_eq!(kept.payment, given);
                assert_eq!(kept.document, document);
                assert_eq!(
                    by_name(connection),
                    (
                        n * 1_000,
                        n * 1_000 + 1,
                        n * 10_000_000,
                        (n * 10 + 1) * 1_000_000,
                        format!("processor {n}"),
                        format!("memo {n}"),
                        format!("reference number {n}"),
                    )
                );
                // The invoice's payments are found, and those of the invoice before aren't any more.
                let linked = |books: &mut SqliteBooks<'_>, invoice| {
                    books.payments_of_invoice(id(invoice)).unwrap().len()
                };
                assert_eq!(linked(&mut books, 104), usize::from(n == 1));
                assert_eq!(linked(&mut books, 204), usize::from(n == 2));
            }
            Ok(())
        });
        work.await.unwrap();
    }
}
