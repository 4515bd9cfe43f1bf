//! The books of one business in SQLite, within the writer's transaction.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use layer_payments_types::{AccountIdentifier, InvoicePayment, TagKeyValue};
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Error;
use crate::domain::books::{Books, Kept};
use crate::domain::payment::{Metadata, Payment, TagDefinition, Tags};
use crate::domain::reply::Account;
use crate::domain::resolve::Registry;

/// Names of one business whose ids are known: read from the database, or registered in the transaction at hand.
/// An id never changes, so what is remembered can only be too little, never wrong.
#[derive(Debug)]
pub(super) struct Names {
    business: i64,
    /// By stable name.
    accounts: HashMap<String, Uuid>,
    /// Named by id.
    account_ids: HashSet<Uuid>,
    /// By key, then by value.
    tags: HashMap<String, HashMap<String, Arc<TagDefinition>>>,
    remembered: usize,
}

/// Accounts and tags of a business that stay in memory; with more, all are forgotten and read again as they are used.
const REMEMBERED: usize = 10_000;

/// The books of one business.
pub(crate) struct SqliteBooks<'a> {
    connection: &'a Connection,
    names: &'a mut Names,
    now: Timestamp,
}

impl<'a> SqliteBooks<'a> {
    /// Opens the books of a business. One that is new comes to be known.
    pub(super) fn open(
        connection: &'a Connection,
        all_names: &'a mut HashMap<Uuid, Names>,
        business: Uuid,
        now: Timestamp,
    ) -> Result<SqliteBooks<'a>, Error> {
        let names = match all_names.entry(business) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => {
                connection
                    .prepare_cached(
                        "INSERT INTO businesses (uuid, created_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
                    )?
                    .execute(params![business.as_bytes(), now.as_microsecond()])?;
                let id = connection
                    .prepare_cached("SELECT id FROM businesses WHERE uuid = ?1")?
                    .query_row([business.as_bytes()], |row| row.get(0))?;
                unknown.insert(Names::of(id))
            }
        };
        if names.remembered >= REMEMBERED {
            *names = Names::of(names.business);
        }
        Ok(SqliteBooks {
            connection,
            names,
            now,
        })
    }

    fn account_by_stable_name(&mut self, stable_name: &str) -> Result<Uuid, Error> {
        if let Some(&id) = self.names.accounts.get(stable_name) {
            return Ok(id);
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
            None => {
                let id = self.new_id();
                self.insert_account(id, Some(stable_name))?;
                id
            }
        };
        self.names.accounts.insert(stable_name.to_owned(), id);
        self.names.remembered += 1;
        Ok(id)
    }

    /// Registers an account that is named by id alone. The public API can't create accounts, so an id that is new to
    /// the business is taken at its word.
    fn account_by_own_id(&mut self, id: Uuid) -> Result<Uuid, Error> {
        if !self.names.account_ids.contains(&id) {
            self.insert_account(id, None)?;
            self.names.account_ids.insert(id);
            self.names.remembered += 1;
        }
        Ok(id)
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

    fn insert_invoice(&self, id: Uuid, external_id: Option<&str>) -> Result<(), Error> {
        self.connection
            .prepare_cached(
                "INSERT INTO invoices (business_id, id, external_id, created_at) VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT DO NOTHING",
            )?
            .execute(params![
                self.names.business,
                id.as_bytes(),
                external_id,
                self.now.as_microsecond()
            ])?;
        Ok(())
    }

    fn invoice_by_external_id(&self, external_id: &str) -> Result<Option<Uuid>, Error> {
        Ok(self
            .connection
            .prepare_cached("SELECT id FROM invoices WHERE business_id = ?1 AND external_id = ?2")?
            .query_row(params![self.names.business, external_id], |row| {
                uuid(row, 0)
            })
            .optional()?)
    }

    /// The invoice with both names, if they can belong together: an invoice known by one of them learns the other.
    fn invoice_by_both(&self, id: Uuid, external_id: &str) -> Result<Option<Uuid>, Error> {
        if let Some(named) = self.invoice_by_external_id(external_id)? {
            return Ok((named == id).then_some(id));
        }
        self.insert_invoice(id, Some(external_id))?;
        self.connection
            .prepare_cached(
                "UPDATE invoices SET external_id = ?3
                 WHERE business_id = ?1 AND id = ?2 AND external_id IS NULL",
            )?
            .execute(params![self.names.business, id.as_bytes(), external_id])?;
        // An invoice that has another external id already is left as it is, and isn't the one.
        Ok(self
            .invoice_by_external_id(external_id)?
            .filter(|named| *named == id))
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

impl Names {
    fn of(business: i64) -> Names {
        Names {
            business,
            accounts: HashMap::new(),
            account_ids: HashSet::new(),
            tags: HashMap::new(),
            remembered: 0,
        }
    }
}

impl Registry for SqliteBooks<'_> {
    type Error = Error;

    fn account(&mut self, identifier: &AccountIdentifier) -> Result<Uuid, Error> {
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
    ) -> Result<Option<Uuid>, Error> {
        match (id, external_id) {
            (Some(id), Some(external_id)) => self.invoice_by_both(id, external_id),
            (Some(id), None) => {
                self.insert_invoice(id, None)?;
                Ok(Some(id))
            }
            (None, Some(external_id)) => match self.invoice_by_external_id(external_id)? {
                Some(id) => Ok(Some(id)),
                None => {
                    let id = self.new_id();
                    self.insert_invoice(id, Some(external_id))?;
                    Ok(Some(id))
                }
            },
            (None, None) => Ok(None),
        }
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

/// The columns of a payment, in the order in which [`kept`] reads them and the statements below bind them.
macro_rules! columns {
    () => {
        "id, external_id, paid_at, imported_at, method, amount, fee, processor, clearing_account, \
         prepayment_account, memo, reference_number, metadata, additional_fees, allocations, refunds, tags, document"
    };
}

impl Books for SqliteBooks<'_> {
    fn by_external_id(&mut self, external_id: &str) -> Result<Option<Kept>, Error> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT key, ",
            columns!(),
            " FROM payments WHERE business_id = ?1 AND external_id = ?2"
        ))?;
        let mut rows = statement.query(params![self.names.business, external_id])?;
        rows.next()?.map(kept).transpose()
    }

    fn by_id(&mut self, id: Uuid) -> Result<Option<Kept>, Error> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT key, ",
            columns!(),
            " FROM payments WHERE id = ?2 AND business_id = ?1"
        ))?;
        let mut rows = statement.query(params![self.names.business, id.as_bytes()])?;
        rows.next()?.map(kept).transpose()
    }

    fn account_by_id(&mut self, id: Uuid) -> Result<Account, Error> {
        let stable_name = self
            .connection
            .prepare_cached("SELECT stable_name FROM accounts WHERE business_id = ?1 AND id = ?2")?
            .query_row(params![self.names.business, id.as_bytes()], |row| {
                row.get(0)
            })?;
        Ok(Account { id, stable_name })
    }

    fn insert(&mut self, payment: &Payment, reply: &InvoicePayment) -> Result<String, Error> {
        let document = serde_json::to_string(reply)?;
        self.connection
            .prepare_cached(concat!(
                "INSERT INTO payments (business_id, ",
                columns!(),
                ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
            ))?
            .execute(params![
                self.names.business,
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

    fn replace(
        &mut self,
        kept: &Kept,
        payment: &Payment,
        reply: &InvoicePayment,
    ) -> Result<String, Error> {
        let document = serde_json::to_string(reply)?;
        self.connection
            .prepare_cached(concat!(
                "UPDATE payments SET (",
                columns!(),
                ") = (?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19) \
                 WHERE key = ?1"
            ))?
            .execute(params![
                kept.key,
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
}

/// Reads a row of `key` and the payment's columns.
fn kept(row: &Row<'_>) -> Result<Kept, Error> {
    let method: String = row.get(5)?;
    Ok(Kept {
        key: row.get(0)?,
        payment: Payment {
            id: uuid(row, 1)?,
            external_id: row.get(2)?,
            paid_at: time(row.get(3)?)?,
            imported_at: time(row.get(4)?)?,
            method: method
                .parse()
                .map_err(|_| Error::Corrupt(format!("the method {method:?}")))?,
            amount: row.get(6)?,
            fee: row.get(7)?,
            processor: row.get(8)?,
            clearing_account: optional_uuid(row, 9)?,
            prepayment_account: optional_uuid(row, 10)?,
            memo: row.get(11)?,
            reference_number: row.get(12)?,
            metadata: from_json::<Metadata>(row, 13)?,
            additional_fees: from_json(row, 14)?,
            allocations: from_json(row, 15)?,
            refunds: from_json(row, 16)?,
            tags: from_json::<Tags>(row, 17)?,
        },
        document: row.get(18)?,
    })
}

/// A UUID's column of 16 bytes.
pub(super) fn uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Uuid> {
    row.get(column).map(Uuid::from_bytes)
}

fn optional_uuid(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Uuid>> {
    Ok(row
        .get::<_, Option<[u8; 16]>>(column)?
        .map(Uuid::from_bytes))
}

fn time(microseconds: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|_| Error::Corrupt(format!("the time {microseconds}")))
}

/// A list's column: NULL when empty.
fn json_list<T: Serialize>(list: &[T]) -> Result<Option<String>, Error> {
    if list.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(list)?))
}

/// A metadata column: NULL when empty.
fn json_object(metadata: &Metadata) -> Result<Option<String>, Error> {
    if metadata.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(metadata)?))
}

fn from_json<T: DeserializeOwned + Default>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    match row.get::<_, Option<String>>(column)? {
        None => Ok(T::default()),
        Some(text) => Ok(serde_json::from_str(&text)?),
    }
}
