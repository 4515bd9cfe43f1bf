//! Moving a SQLite store over to PostgreSQL.
//!
//! All of it is one transaction: PostgreSQL has everything in the end, or nothing. The file is locked against writes
//! meanwhile, so nothing that a server still records in it is left behind unnoticed. Both books are checked, and what both
//! have is compared, before the transaction is committed.

use std::collections::HashMap;
use std::path::Path;
use std::pin::pin;

use futures_util::TryStreamExt as _;
use jiff::Timestamp;
use rusqlite::{Connection as Sqlite, Row};
use sha2::{Digest, Sha256};
use tokio::runtime::Handle;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use super::super::check::check;
use super::super::{CopyError, Error};
use super::connect::Connection;
use super::load::Link;
use super::names::{Name, text};
use super::read::Reader;

/// How far a copy is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CopyProgress {
    /// What is being done.
    pub step: CopyStep,
    /// The rows that are done in all steps.
    pub rows: u64,
    /// The rows of all steps.
    pub total: u64,
}

/// What a copy does, one after another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CopyStep {
    /// The books of the file are checked.
    CheckSource,
    /// The rows are written.
    Copy,
    /// The books in PostgreSQL are checked.
    CheckTarget,
    /// What both have is compared.
    Compare,
}

/// What was copied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Copied {
    /// The businesses.
    pub businesses: u64,
    /// The payments of all businesses.
    pub payments: u64,
    /// The journal entries of all businesses.
    pub entries: u64,
}

/// How a column of SQLite becomes one of PostgreSQL, or two.
#[derive(Clone, Copy)]
enum Kind {
    /// The number of a business, which becomes its id.
    Business,
    Uuid,
    Number,
    Time,
    Flag,
    /// What can't have a character that PostgreSQL doesn't take: JSON, and names of values.
    Plain,
    Text,
    /// Two columns.
    Name,
}

/// A table: its name, what is read from SQLite, and what the columns are called and are in PostgreSQL.
struct Table {
    name: &'static str,
    select: &'static str,
    columns: &'static str,
    kinds: &'static [Kind],
}

use Kind::{Business, Flag, Name as Named, Number, Plain, Text, Time, Uuid as Id};

/// Each table after those that it refers to, and in the order in which it will be read.
const TABLES: [Table; 11] = [
    Table {
        name: "accounts",
        select: "SELECT business_id, id, stable_name, created_at, name, account_number, account_type, normality, subtype,
                     debits, credits
                 FROM accounts ORDER BY business_id, id",
        columns: "business_id, id, stable_name, long_stable_name, created_at, name, account_number, account_type, normality,
                  subtype, debits, credits",
        kinds: &[
            Business, Id, Named, Time, Text, Text, Plain, Plain, Text, Number, Number,
        ],
    },
    Table {
        name: "invoices",
        select: "SELECT business_id, id, external_id, invented, created_at, total_amount, voided_at, reference_number, paid,
                     refunded
                 FROM invoices ORDER BY business_id, id",
        columns: "business_id, id, external_id, long_external_id, invented, created_at, total_amount, voided_at,
                  reference_number, paid, refunded",
        kinds: &[
            Business, Id, Named, Flag, Time, Number, Time, Text, Number, Number,
        ],
    },
    Table {
        name: "tag_dimensions",
        select: "SELECT business_id, id, key, display_name, created_at FROM tag_dimensions ORDER BY business_id, id",
        columns: "business_id, id, key, long_key, display_name, created_at",
        kinds: &[Business, Id, Named, Text, Time],
    },
    Table {
        name: "tag_values",
        select: "SELECT business_id, tag_values.id, dimension_id, value, tag_values.display_name, tag_values.created_at
                 FROM tag_values JOIN tag_dimensions ON tag_dimensions.id = dimension_id ORDER BY business_id, tag_values.id",
        columns: "business_id, id, dimension_id, value, long_value, display_name, created_at",
        kinds: &[Business, Id, Id, Named, Text, Time],
    },
    Table {
        name: "payments",
        select: "SELECT business_id, key, id, external_id, paid_at, imported_at, method, amount, fee, processor,
                     clearing_account, prepayment_account, memo, reference_number, metadata, additional_fees, allocations,
                     refunds, tags, document, in_payout, is_matched
                 FROM payments ORDER BY key",
        columns: "business_id, key, id, external_id, long_external_id, paid_at, imported_at, method, amount, fee, processor,
                  clearing_account, prepayment_account, memo, reference_number, long_reference_number, metadata,
                  additional_fees, allocations, refunds, tags, document, in_payout, is_matched",
        kinds: &[
            Business, Number, Id, Named, Time, Time, Plain, Number, Number, Text, Id, Id, Text, Named,
            Plain, Plain, Plain, Plain, Plain, Plain, Flag, Flag,
        ],
    },
    Table {
        name: "payment_invoices",
        select: "SELECT business_id, invoice_id, payment_key FROM payment_invoices
                 ORDER BY business_id, invoice_id, payment_key",
        columns: "business_id, invoice_id, payment_key",
        kinds: &[Business, Id, Number],
    },
    Table {
        name: "journal_entries",
        select: "SELECT business_id, number, entry_type, entry_at, posted_at, payment_key, source_id, reversal_of
                 FROM journal_entries ORDER BY business_id, number",
        columns: "business_id, number, entry_type, entry_at, posted_at, payment_key, source_id, reversal_of",
        kinds: &[Business, Number, Plain, Time, Time, Number, Id, Number],
    },
    Table {
        name: "journal_lines",
        select: "SELECT business_id, entry, line, account_id, debit, credit FROM journal_lines
                 ORDER BY business_id, entry, line",
        columns: "business_id, entry, line, account_id, debit, credit",
        kinds: &[Business, Number, Number, Id, Number, Number],
    },
    Table {
        name: "payouts",
        select: "SELECT business_id, id, external_id, imported_at, completed_at, paid_out_amount, fee, processor,
                     clearing_account, memo, reference_number
                 FROM payouts ORDER BY business_id, id",
        columns: "business_id, id, external_id, long_external_id, imported_at, completed_at, paid_out_amount, fee, processor,
                  clearing_account, memo, reference_number",
        kinds: &[
            Business, Id, Named, Time, Time, Number, Number, Text, Id, Text, Text,
        ],
    },
    Table {
        name: "payout_payments",
        select: "SELECT business_id, payment_key, payout_id FROM payout_payments
                 ORDER BY business_id, payment_key, payout_id",
        columns: "business_id, payment_key, payout_id",
        kinds: &[Business, Number, Id],
    },
    Table {
        name: "matches",
        select: "SELECT business_id, id, payout_id, payment_key, bank_transaction_id, created_at, amount, document
                 FROM matches ORDER BY business_id, id",
        columns: "business_id, id, payout_id, payment_key, bank_transaction_id, created_at, amount, document",
        kinds: &[Business, Id, Id, Number, Id, Time, Number, Plain],
    },
];

/// Copies a file, which has to be of this release, to a database that holds nothing yet.
pub(super) fn copy(
    from: &Path,
    connection: &Connection,
    runtime: &Handle,
    progress: &mut dyn FnMut(CopyProgress),
) -> Result<Copied, CopyError> {
    let source = super::super::sqlite::Sqlite::open_to_copy(from)?;
    let mut steps = Steps::of(&source, progress)?;
    steps.begin(CopyStep::CheckSource);
    expect_no_faults(check(&mut &source)?, CopyError::Source)?;
    let link = Link::new(connection, runtime, None);
    link.run("BEGIN ISOLATION LEVEL READ COMMITTED")?;
    let copied = copy_within(&source, connection, runtime, &mut steps);
    match copied {
        Ok(copied) => {
            link.run("COMMIT")?;
            Ok(copied)
        }
        Err(error) => {
            // The error that there was says more than one of this; without a COMMIT nothing is kept anyway.
            let _ = link.run("ROLLBACK");
            Err(error)
        }
    }
}

fn copy_within(
    source: &Sqlite,
    connection: &Connection,
    runtime: &Handle,
    steps: &mut Steps<'_>,
) -> Result<Copied, CopyError> {
    let link = Link::new(connection, runtime, None);
    link.query("SELECT is_only FROM store FOR UPDATE", &[])?;
    if link
        .query_opt("SELECT id FROM businesses LIMIT 1", &[])?
        .is_some()
    {
        return Err(CopyError::NotEmpty);
    }
    steps.begin(CopyStep::Copy);
    let mut copied = Copied::default();
    let businesses = copy_businesses(source, link)?;
    copied.businesses = count(businesses.len());
    for table in &TABLES {
        let rows = runtime.block_on(copy_table(source, connection, table, &businesses, steps))?;
        match table.name {
            "payments" => copied.payments = rows,
            "journal_entries" => copied.entries = rows,
            _ => {}
        }
    }
    // What the planner knows of empty tables would make the check take hours.
    link.run("ANALYZE")?;
    steps.begin(CopyStep::CheckTarget);
    expect_no_faults(check(&mut Reader(link))?, CopyError::Target)?;
    steps.begin(CopyStep::Compare);
    for (&number, &id) in &businesses {
        compare(source, connection, runtime, number, id)?;
    }
    Ok(copied)
}

fn expect_no_faults(
    faults: Vec<String>,
    error: fn(Vec<String>) -> CopyError,
) -> Result<(), CopyError> {
    if faults.is_empty() {
        Ok(())
    } else {
        Err(error(faults))
    }
}

fn count(rows: usize) -> u64 {
    u64::try_from(rows).unwrap_or(u64::MAX)
}

/// Tells how far it is.
struct Steps<'p> {
    progress: &'p mut dyn FnMut(CopyProgress),
    now: CopyProgress,
}

impl<'p> Steps<'p> {
    fn of(
        source: &Sqlite,
        progress: &'p mut dyn FnMut(CopyProgress),
    ) -> Result<Steps<'p>, CopyError> {
        let mut total = 0;
        for table in &TABLES {
            let sql = format!("SELECT count(*) FROM {}", table.name);
            let rows: i64 = source
                .query_row(&sql, [], |row| row.get(0))
                .map_err(Error::from)?;
            total += u64::try_from(rows).unwrap_or(0);
        }
        Ok(Steps {
            progress,
            now: CopyProgress {
                step: CopyStep::CheckSource,
                rows: 0,
                total,
            },
        })
    }

    fn begin(&mut self, step: CopyStep) {
        self.now.step = step;
        (self.progress)(self.now);
    }

    fn row(&mut self) {
        self.now.rows += 1;
        if self.now.rows.is_multiple_of(1_000) {
            (self.progress)(self.now);
        }
    }
}

/// The businesses, in the order of their creation. Gives their ids by their numbers in the file.
fn copy_businesses(source: &Sqlite, link: Link<'_>) -> Result<HashMap<i64, Uuid>, CopyError> {
    let mut statement = source
        .prepare(
            "SELECT id, uuid, external_id, name, closing_date, created_at,
                 (SELECT coalesce(max(key), 0) FROM payments INDEXED BY payments_by_paid_at
                  WHERE business_id = businesses.id),
                 (SELECT coalesce(max(number), 0) FROM journal_entries WHERE business_id = businesses.id)
             FROM businesses ORDER BY id",
        )
        .map_err(Error::from)?;
    let mut rows = statement.query([]).map_err(Error::from)?;
    let mut businesses = HashMap::new();
    let now = crate::domain::payment::whole_microseconds(Timestamp::now());
    let mut last = 0;
    while let Some(row) = rows.next().map_err(Error::from)? {
        let (number, id) = (value::<i64>(row, 0)?, Uuid::from_bytes(value(row, 1)?));
        let external_id: Option<String> = value(row, 2)?;
        let name: Option<String> = value(row, 3)?;
        link.execute(
            "INSERT INTO businesses
                 (id, number, external_id, name, closing_date, created_at, written_at, version, last_payment, last_entry)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
            &[
                &id,
                &number,
                &external_id.as_deref().map(text),
                &name.as_deref().map(text),
                &value::<Option<i64>>(row, 4)?.map(time).transpose()?,
                &time(value(row, 5)?)?,
                &now,
                &now.as_microsecond(),
                &value::<i64>(row, 6)?,
                &value::<i64>(row, 7)?,
            ],
        )?;
        if let Some(external_id) = &external_id {
            link.execute(
                "INSERT INTO business_names (external_id, business_id) VALUES ($1, $2)",
                &[&Name::of(external_id).indexed, &id],
            )?;
        }
        businesses.insert(number, id);
        last = number;
    }
    link.execute("UPDATE store SET last_business = $1", &[&last])?;
    Ok(businesses)
}

fn value<T: rusqlite::types::FromSql>(row: &Row<'_>, column: usize) -> Result<T, Error> {
    Ok(row.get(column)?)
}

fn time(microseconds: i64) -> Result<Timestamp, Error> {
    Timestamp::from_microsecond(microseconds)
        .map_err(|_| Error::Corrupt(format!("the time {microseconds}")))
}

async fn copy_table(
    source: &Sqlite,
    connection: &Connection,
    table: &Table,
    businesses: &HashMap<i64, Uuid>,
    steps: &mut Steps<'_>,
) -> Result<u64, CopyError> {
    let sql = format!(
        "COPY {} ({}) FROM STDIN (FORMAT binary)",
        table.name, table.columns
    );
    let sink = connection.copy_in(&sql).await.map_err(Error::from)?;
    let mut types = Vec::new();
    for kind in table.kinds {
        types.extend_from_slice(match kind {
            Business | Id => &[Type::UUID],
            Number => &[Type::INT8],
            Time => &[Type::TIMESTAMPTZ],
            Flag => &[Type::BOOL],
            Plain | Text => &[Type::TEXT],
            Named => &[Type::TEXT, Type::TEXT],
        });
    }
    let mut writer = pin!(BinaryCopyInWriter::new(sink, &types));
    let mut statement = source.prepare(table.select).map_err(Error::from)?;
    let mut rows = statement.query([]).map_err(Error::from)?;
    let mut read = 0;
    while let Some(row) = rows.next().map_err(Error::from)? {
        let mut values: Vec<Box<dyn ToSql + Sync>> = Vec::with_capacity(types.len());
        for (column, kind) in table.kinds.iter().enumerate() {
            push(row, column, *kind, businesses, &mut values)?;
        }
        let values: Vec<&(dyn ToSql + Sync)> = values.iter().map(|value| &**value).collect();
        writer.as_mut().write(&values).await.map_err(Error::from)?;
        read += 1;
        steps.row();
    }
    let written = writer.finish().await.map_err(Error::from)?;
    if written == read {
        Ok(written)
    } else {
        Err(CopyError::Differs(format!(
            "the file has {read} rows of {}, of which {written} were written",
            table.name
        )))
    }
}

fn push(
    row: &Row<'_>,
    column: usize,
    kind: Kind,
    businesses: &HashMap<i64, Uuid>,
    values: &mut Vec<Box<dyn ToSql + Sync>>,
) -> Result<(), Error> {
    match kind {
        Business => {
            let number: i64 = value(row, column)?;
            let id = businesses.get(&number).ok_or_else(|| {
                Error::Corrupt(format!("the business {number}, which isn't there"))
            })?;
            values.push(Box::new(*id));
        }
        Id => {
            let bytes: Option<[u8; 16]> = value(row, column)?;
            values.push(Box::new(bytes.map(Uuid::from_bytes)));
        }
        Number => values.push(Box::new(value::<Option<i64>>(row, column)?)),
        Time => {
            let microseconds: Option<i64> = value(row, column)?;
            values.push(Box::new(microseconds.map(time).transpose()?));
        }
        Flag => values.push(Box::new(value::<bool>(row, column)?)),
        Plain => values.push(Box::new(value::<Option<String>>(row, column)?)),
        Text => {
            let written: Option<String> = value(row, column)?;
            values.push(Box::new(written.map(|written| text(&written).into_owned())));
        }
        Named => {
            let name: Option<String> = value(row, column)?;
            let name = name.as_deref().map(Name::of);
            let long = name.as_ref().and_then(|name| name.long.clone());
            values.push(Box::new(name.map(|name| name.indexed.into_owned())));
            values.push(Box::new(long.map(std::borrow::Cow::into_owned)));
        }
    }
    Ok(())
}

/// Compares what the file and PostgreSQL have of a business: every payment as replies show it, and every line of the
/// journal.
fn compare(
    source: &Sqlite,
    connection: &Connection,
    runtime: &Handle,
    number: i64,
    id: Uuid,
) -> Result<(), CopyError> {
    const DIGESTS: [(&str, &str, &str); 2] = [
        (
            "payments",
            "SELECT key, document FROM payments WHERE business_id = ?1 ORDER BY key",
            "SELECT key, document FROM payments WHERE business_id = $1 ORDER BY key",
        ),
        (
            "journal lines",
            "SELECT number, entry_type || ' ' || line || ' ' || debit || ' ' || credit
             FROM journal_entries AS entry JOIN journal_lines AS posting
                 ON posting.business_id = entry.business_id AND posting.entry = entry.number
             WHERE entry.business_id = ?1 ORDER BY number, line",
            "SELECT number, entry_type || ' ' || line || ' ' || debit || ' ' || credit
             FROM journal_entries AS entry JOIN journal_lines AS posting
                 ON posting.business_id = entry.business_id AND posting.entry = entry.number
             WHERE entry.business_id = $1 ORDER BY number, line",
        ),
    ];
    for (what, in_file, in_postgres) in DIGESTS {
        let mut ours = Sha256::new();
        let mut statement = source.prepare(in_file).map_err(Error::from)?;
        let mut rows = statement.query([number]).map_err(Error::from)?;
        while let Some(row) = rows.next().map_err(Error::from)? {
            add(&mut ours, value(row, 0)?, &value::<String>(row, 1)?);
        }
        let theirs = runtime.block_on(async {
            let mut theirs = Sha256::new();
            let rows = connection.query_raw(in_postgres, [&id]).await?;
            let mut rows = pin!(rows);
            while let Some(row) = rows.try_next().await? {
                add(&mut theirs, row.try_get(0)?, row.try_get(1)?);
            }
            Ok::<_, tokio_postgres::Error>(theirs)
        });
        if ours.finalize() != theirs.map_err(Error::from)?.finalize() {
            return Err(CopyError::Differs(format!(
                "the {what} of the business {id} aren't the same in both"
            )));
        }
    }
    Ok(())
}

fn add(digest: &mut Sha256, number: i64, text: &str) {
    digest.update(number.to_le_bytes());
    digest.update(text.len().to_le_bytes());
    digest.update(text);
}
