//! Reading rows from PostgreSQL: the way from work that isn't asynchronous to a connection that is, and what rows hold.

use std::future::{Future as _, poll_fn};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::try_join_all;
use jiff::Timestamp;
use layer_payments_types as types;
use tokio::runtime::Handle;
use tokio_postgres::Row;
use tokio_postgres::types::{FromSql, ToSql};
use uuid::Uuid;

use super::super::Error;
use super::super::columns::{AccountColumns, from_json, named};
use super::books::TagRow;
use super::connect::{Connection, IsGood};
use super::names::{untext, whole};
use crate::domain::books::Kept;
use crate::domain::ledger::{Draft, EntryType, Line, Side};
use crate::domain::local::{Invoice, Payout};
use crate::domain::payment::{Metadata, Payment, Tags};
use crate::domain::reply::Account;

/// Values of a statement.
pub(super) type Values<'v> = [&'v (dyn ToSql + Sync)];

/// A connection, for work on a thread that may wait.
#[derive(Clone, Copy)]
pub(super) struct Link<'c> {
    connection: &'c Connection,
    runtime: &'c Handle,
    /// How long an answer may take.
    patience: Option<Duration>,
}

impl<'c> Link<'c> {
    /// With `patience` an answer that takes longer ends in [`Error::Silent`].
    pub(super) fn new(
        connection: &'c Connection,
        runtime: &'c Handle,
        patience: Option<Duration>,
    ) -> Link<'c> {
        Link {
            connection,
            runtime,
            patience,
        }
    }

    /// The rows of a query, whose text stays prepared on the connection.
    pub(super) fn query(&self, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Error> {
        self.wait(query(self.connection, sql, values))
    }

    /// The only row of a query, if there is one.
    pub(super) fn query_opt(&self, sql: &str, values: &Values<'_>) -> Result<Option<Row>, Error> {
        Ok(self.query(sql, values)?.into_iter().next())
    }

    /// The rows of several queries, sent together and run in their order: one way to the database and back.
    pub(super) fn query_all(
        &self,
        queries: &[(&str, &Values<'_>)],
    ) -> Result<Vec<Vec<Row>>, Error> {
        self.wait(async {
            // All are prepared before the first is sent: one that isn't yet would be sent after those that are.
            let prepared = queries
                .iter()
                .map(|(sql, _)| self.connection.prepare_cached(sql));
            let statements = try_join_all(prepared).await?;
            let mut sent = Vec::with_capacity(queries.len());
            for (statement, (_, values)) in statements.iter().zip(queries) {
                let mut rows = Box::pin(self.connection.query(statement, values));
                // A query is sent when it is polled for the first time.
                let polled = poll_fn(|context| Poll::Ready(rows.as_mut().poll(context))).await;
                sent.push(async move {
                    match polled {
                        Poll::Ready(rows) => rows,
                        Poll::Pending => rows.await,
                    }
                });
            }
            Ok(try_join_all(sent).await?)
        })
    }

    /// How many rows a statement changed.
    pub(super) fn execute(&self, sql: &str, values: &Values<'_>) -> Result<u64, Error> {
        self.wait(async {
            let statement = self.connection.prepare_cached(sql).await?;
            Ok(self.connection.execute(&statement, values).await?)
        })
    }

    /// Begins a transaction and runs a query in it, sent together. Gives the query's only row.
    pub(super) fn begin(
        &self,
        begin: &str,
        sql: &str,
        values: &Values<'_>,
    ) -> Result<Option<Row>, Error> {
        self.wait(async {
            let statement = self.connection.prepare_cached(sql).await?;
            let (begun, rows) = futures_util::future::join(
                self.connection.batch_execute(begin),
                self.connection.query(&statement, values),
            )
            .await;
            begun?;
            Ok(rows?.into_iter().next())
        })
    }

    /// Runs statements without values.
    pub(super) fn run(&self, sql: &str) -> Result<(), Error> {
        self.wait(async { Ok(self.connection.batch_execute(sql).await?) })
    }

    /// Takes back the transaction that is open, if one is, after what came of it. Whether the connection is good for
    /// others then: one on which that fails is lost, or still busy with what wasn't answered.
    pub(super) fn end<T>(&self, result: &Result<T, Error>) -> IsGood {
        if matches!(result, Err(Error::Silent)) {
            return IsGood(false);
        }
        let ended = self.run("ROLLBACK").inspect_err(|error| {
            tracing::debug!(
                error = error as &dyn std::error::Error,
                "a transaction can't be rolled back"
            );
        });
        IsGood(ended.is_ok())
    }

    /// Waits for an answer, but not for ever: a database that is gone without a word sends none.
    fn wait<T>(&self, answer: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match self.patience {
            None => self.runtime.block_on(answer),
            Some(patience) => {
                let answer = async { tokio::time::timeout(patience, answer).await };
                self.runtime.block_on(answer).unwrap_or(Err(Error::Silent))
            }
        }
    }
}

async fn query(connection: &Connection, sql: &str, values: &Values<'_>) -> Result<Vec<Row>, Error> {
    let statement = connection.prepare_cached(sql).await?;
    Ok(connection.query(&statement, values).await?)
}

/// A column's value.
pub(super) fn get<'r, T: FromSql<'r>>(row: &'r Row, column: usize) -> Result<T, Error> {
    Ok(row.try_get(column)?)
}

/// A text, as the client wrote it.
fn text(row: &Row, column: usize) -> Result<Option<String>, Error> {
    Ok(get::<Option<String>>(row, column)?.map(untext))
}

/// A name, of whose two columns the second is the whole if it is long.
fn name(row: &Row, column: usize) -> Result<Option<String>, Error> {
    Ok(whole(get(row, column)?, get(row, column + 1)?))
}

/// What [`kept`] reads, in its order.
macro_rules! kept_columns {
    () => {
        "key, in_payout, is_matched, id, external_id, long_external_id, paid_at, imported_at, method, amount, fee, \
         processor, clearing_account, prepayment_account, memo, reference_number, long_reference_number, metadata, \
         additional_fees, allocations, refunds, tags, document"
    };
}
pub(super) use kept_columns;

/// Reads a row of [`kept_columns`].
pub(super) fn kept(row: &Row) -> Result<Kept, Error> {
    fn json<T: serde::de::DeserializeOwned + Default>(
        row: &Row,
        column: usize,
    ) -> Result<T, Error> {
        from_json(get::<Option<&str>>(row, column)?)
    }
    Ok(Kept {
        key: get(row, 0)?,
        in_payout: get(row, 1)?,
        is_matched: get(row, 2)?,
        payment: Payment {
            id: get(row, 3)?,
            external_id: name(row, 4)?,
            paid_at: get(row, 6)?,
            imported_at: get(row, 7)?,
            method: named(get(row, 8)?)?,
            amount: get(row, 9)?,
            fee: get(row, 10)?,
            processor: text(row, 11)?,
            clearing_account: get(row, 12)?,
            prepayment_account: get(row, 13)?,
            memo: text(row, 14)?,
            reference_number: name(row, 15)?,
            metadata: json::<Metadata>(row, 17)?,
            additional_fees: json(row, 18)?,
            allocations: json(row, 19)?,
            refunds: json(row, 20)?,
            tags: json::<Tags>(row, 21)?,
        },
        document: get(row, 22)?,
    })
}

/// What [`account`] reads, in its order.
macro_rules! account_columns {
    () => {
        "id, stable_name, long_stable_name, account_number, name, account_type, normality, subtype, debits, credits"
    };
}
pub(super) use account_columns;

/// An account as it is stored.
pub(super) struct StoredAccount {
    pub(super) id: Uuid,
    pub(super) columns: AccountColumns,
    pub(super) debits: i64,
    pub(super) credits: i64,
}

/// Reads a row of [`account_columns`].
pub(super) fn account(row: &Row) -> Result<StoredAccount, Error> {
    Ok(StoredAccount {
        id: get(row, 0)?,
        columns: AccountColumns {
            stable_name: name(row, 1)?,
            account_number: text(row, 3)?,
            name: text(row, 4)?,
            account_type: get(row, 5)?,
            normality: get(row, 6)?,
            subtype: text(row, 7)?,
        },
        debits: get(row, 8)?,
        credits: get(row, 9)?,
    })
}

/// What [`invoice`] reads, in its order.
macro_rules! invoice_columns {
    () => {
        "id, external_id, long_external_id, total_amount, reference_number, voided_at, paid, refunded"
    };
    (count) => {
        8
    };
}
pub(super) use invoice_columns;

/// Reads a row of [`invoice_columns`].
pub(super) fn invoice(row: &Row) -> Result<Invoice, Error> {
    Ok(Invoice {
        id: get(row, 0)?,
        external_id: name(row, 1)?,
        total_amount: get(row, 3)?,
        reference_number: text(row, 4)?,
        voided_at: get(row, 5)?,
        paid: get(row, 6)?,
        refunded: get(row, 7)?,
    })
}

/// Reads the id and the display name of a dimension or of a value of tags.
pub(super) fn tag(row: &Row) -> Result<TagRow, Error> {
    Ok(TagRow {
        id: get(row, 0)?,
        display_name: text(row, 1)?,
    })
}

/// What [`payout`] and [`shown_payout`] read, in their order.
macro_rules! payouts {
    () => {
        "SELECT payouts.id, payouts.external_id, payouts.long_external_id, payouts.imported_at, payouts.completed_at, \
             payouts.paid_out_amount, payouts.fee, payouts.processor, payouts.clearing_account, payouts.memo, \
             payouts.reference_number, matches.document, accounts.id, accounts.stable_name, \
             accounts.long_stable_name, accounts.account_number, accounts.name, accounts.account_type, \
             accounts.normality, accounts.subtype"
    };
    (count) => {
        20
    };
    (from) => {
        " FROM payouts \
         JOIN accounts ON accounts.business_id = payouts.business_id AND accounts.id = payouts.clearing_account \
         LEFT JOIN matches ON matches.business_id = payouts.business_id AND matches.payout_id = payouts.id "
    };
}
pub(super) use payouts;

/// Reads a payout's own columns.
pub(super) fn payout(row: &Row) -> Result<Payout, Error> {
    Ok(Payout {
        id: get(row, 0)?,
        external_id: name(row, 1)?,
        imported_at: get(row, 3)?,
        completed_at: get(row, 4)?,
        paid_out_amount: get(row, 5)?,
        fee: get(row, 6)?,
        processor: text(row, 7)?,
        clearing_account: get(row, 8)?,
        memo: text(row, 9)?,
        reference_number: text(row, 10)?,
    })
}

/// Reads a payout as replies show it.
pub(super) fn shown_payout(row: &Row, business: Uuid) -> Result<types::Payout, Error> {
    let matched: Option<&str> = get(row, 11)?;
    let matched = matched.map(serde_json::from_str).transpose()?;
    Ok(payout(row)?.shown(business, &clearing_account(row)?, matched))
}

fn clearing_account(row: &Row) -> Result<Account, Error> {
    let columns = AccountColumns {
        stable_name: name(row, 13)?,
        account_number: text(row, 15)?,
        name: text(row, 16)?,
        account_type: get(row, 17)?,
        normality: get(row, 18)?,
        subtype: text(row, 19)?,
    };
    columns.account(get(row, 12)?)
}

/// An entry of these columns: its type, its source and its time, from `first` on.
pub(super) fn draft(row: &Row, first: usize, lines: Vec<Line<Uuid>>) -> Result<Draft<Uuid>, Error> {
    let name: &str = get(row, first)?;
    Ok(Draft {
        entry_type: EntryType::from_name(name)
            .ok_or_else(|| Error::Corrupt(format!("the type of entry {name:?}")))?,
        source: get(row, first + 1)?,
        at: get::<Timestamp>(row, first + 2)?,
        lines,
    })
}

/// A line of these columns: its account, its debit and its credit, from `first` on.
pub(super) fn line(row: &Row, first: usize) -> Result<Line<Uuid>, Error> {
    let debit: i64 = get(row, first + 1)?;
    let (side, amount) = match debit {
        0 => (Side::Credit, get(row, first + 2)?),
        debit => (Side::Debit, debit),
    };
    Ok(Line {
        account: get(row, first)?,
        side,
        amount,
    })
}
