//! The books of one business in SQLite, within the writer's transaction.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use jiff::Timestamp;
use layer_payments_types::{AccountIdentifier, InvoicePayment, TagKeyValue};
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};
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

    fn invoice_by_external_id(&self, external_id: &str) -> Result<Option<Invoice>, Error> {
        Ok(self
            .connection
            .prepare_cached(
                "SELECT id, invented FROM invoices WHERE business_id = ?1 AND external_id = ?2",
            )?
            .query_row(params![self.names.business, external_id], |row| {
                Ok(Invoice {
                    id: uuid(row, 0)?,
                    invented: row.get(1)?,
                })
            })
            .optional()?)
    }

    /// Registers an invoice that is named by id. If the id was invented, it is the invoice's own from now on: whoever
    /// names it relies on it.
    fn invoice_by_own_id(&self, id: Uuid) -> Result<Uuid, Error> {
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
        Ok(id)
    }

    fn invoice_by_own_external_id(&mut self, external_id: &str) -> Result<Uuid, Error> {
        if let Some(known) = self.invoice_by_external_id(external_id)? {
            return Ok(known.id);
        }
        let id = self.new_id();
        self.connection
            .prepare_cached(
                "INSERT INTO invoices (business_id, id, external_id, invented, created_at)
                 VALUES (?1, ?2, ?3, 1, ?4)",
            )?
            .execute(params![
                self.names.business,
                id.as_bytes(),
                external_id,
                self.now.as_microsecond()
            ])?;
        Ok(id)
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
    fn link_invoices(&self, key: i64, payment: &Payment) -> Result<(), Error> {
        let mut statement = self.connection.prepare_cached(
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
        Ok(match (id, external_id) {
            // What is known of both was noted before.
            (Some(id), Some(external_id)) => self
                .invoice_by_external_id(external_id)?
                .filter(|known| known.id == id)
                .map(|known| known.id),
            (Some(id), None) => Some(self.invoice_by_own_id(id)?),
            (None, Some(external_id)) => Some(self.invoice_by_own_external_id(external_id)?),
            (None, None) => None,
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

/// The columns of a payment, in the order in which [`kept`] reads them and [`save`] binds them.
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

    fn by_key(&mut self, key: i64) -> Result<Kept, Error> {
        let mut statement = self.connection.prepare_cached(concat!(
            "SELECT key, ",
            columns!(),
            " FROM payments WHERE key = ?1"
        ))?;
        let mut rows = statement.query([key])?;
        rows.next()?
            .map(kept)
            .transpose()?
            .ok_or_else(|| Error::Corrupt(format!("the key {key} of a payment that isn't there")))
    }

    fn name_invoice(&mut self, id: Uuid, external_id: &str) -> Result<Option<Uuid>, Error> {
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

    fn forget_invoice(&mut self, id: Uuid) -> Result<(), Error> {
        self.connection
            .prepare_cached("DELETE FROM invoices WHERE business_id = ?1 AND id = ?2")?
            .execute(params![self.names.business, id.as_bytes()])?;
        Ok(())
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
        let mut statement = self.connection.prepare_cached(concat!(
            "INSERT INTO payments (business_id, ",
            columns!(),
            ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19)"
        ))?;
        let document = save(&mut statement, self.names.business, payment, reply)?;
        self.link_invoices(self.connection.last_insert_rowid(), payment)?;
        Ok(document)
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

#[cfg(test)]
mod tests {
    use layer_payments_types::PaymentMethod;
    use serde_json::json;

    use super::super::Store;
    use super::*;
    use crate::config::Database;
    use crate::domain::payment::{AdditionalFee, Allocation, Known, Notes, Refund, Tag, Target};
    use crate::domain::reply::reply;

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
            books
                .account_by_own_id(id(unsigned * 100 + offset))
                .unwrap()
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
                target: Target::Invoice(books.invoice_by_own_id(id(unsigned * 100 + 4)).unwrap()),
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
        let store = Store::open(&Database::Memory).unwrap();
        let work = store.write(|unit| {
            let connection = unit.connection();
            let mut books = unit.books(id(9))?;
            for n in [1, 2] {
                let given = payment(&mut books, n);
                let shown = reply(&given, None);
                let document = match books.by_id(given.id)? {
                    None => books.insert(&given, &shown)?,
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
