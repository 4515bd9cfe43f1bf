//! Writing what requests changed: a few statements, each with all rows of one kind.

use jiff::Timestamp;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::super::Error;
use super::super::columns::{json_list, json_object};
use super::books::{AccountRow, NewEntry, PaymentRow, State, TagRow};
use super::load::{Link, Values};
use super::names::{Name, text};
use crate::domain::ledger::Side;

/// Statements that are sent together, in their order, with their values.
#[derive(Default)]
struct Statements(Vec<(&'static str, Vec<Box<dyn ToSql + Sync>>)>);

impl Statements {
    fn add(&mut self, sql: &'static str, values: Vec<Box<dyn ToSql + Sync>>) {
        self.0.push((sql, values));
    }

    fn run(self, link: Link<'_>) -> Result<(), Error> {
        let values: Vec<Vec<&(dyn ToSql + Sync)>> = self
            .0
            .iter()
            .map(|(_, values)| values.iter().map(|value| &**value).collect())
            .collect();
        let statements: Vec<(&str, &Values<'_>)> = self
            .0
            .iter()
            .zip(&values)
            .map(|((sql, _), values)| (*sql, values.as_slice()))
            .collect();
        link.query_all(&statements)?;
        Ok(())
    }
}

/// How many of the last writes a row has the ids of.
pub(super) const WRITES: i64 = 32;

/// Puts the id of a write, a parameter, before those that its row has.
macro_rules! writes {
    ($write:literal) => {
        concat!("writes = (ARRAY[", $write, "::uuid] || writes)[1:32]")
    };
}
pub(super) use writes;

/// Writes what is in memory and not in the database yet.
///
/// An external id may move from one row to another, and a unique index is checked row by row; so names that go are taken
/// away before any is given.
pub(super) fn save(
    link: Link<'_>,
    state: &mut State,
    write: Uuid,
    now: Timestamp,
) -> Result<(), Error> {
    let business = state.business;
    let mut statements = Statements::default();
    free_names(state, &mut statements);
    accounts(
        business,
        state.accounts.take_unsaved(),
        now,
        &mut statements,
    );
    let gone = invoices(state, now, &mut statements);
    tags(state, now, &mut statements);
    payments(business, state.payments.take_unsaved(), &mut statements)?;
    links(business, state.links.take_unsaved(), &mut statements);
    if !gone.is_empty() {
        statements.add(
            "DELETE FROM invoices WHERE business_id = $1 AND id = ANY($2)",
            vec![Box::new(business), Box::new(gone)],
        );
    }
    entries(
        business,
        std::mem::take(&mut state.entries),
        &mut statements,
    );
    state.forget_kept_entries();
    let header = state.next_version(write);
    statements.add(
        concat!(
            "UPDATE businesses SET version = $2, last_payment = $3, last_entry = $4, written_at = $5, ",
            writes!("$6"),
            " WHERE id = $1"
        ),
        vec![
            Box::new(business),
            Box::new(header.version),
            Box::new(header.last_payment),
            Box::new(header.last_entry),
            Box::new(now),
            Box::new(write),
        ],
    );
    statements.run(link)
}

fn free_names(state: &State, statements: &mut Statements) {
    let business = state.business;
    let payments: Vec<i64> = state
        .payments
        .unsaved()
        .filter_map(|(key, row)| {
            let row = row?;
            let stored = row.stored.as_ref()?.as_ref()?;
            (row.kept.payment.external_id.as_ref() != Some(stored)).then_some(*key)
        })
        .collect();
    if !payments.is_empty() {
        statements.add(
            "UPDATE payments SET external_id = NULL, long_external_id = NULL WHERE business_id = $1 AND key = ANY($2)",
            vec![Box::new(business), Box::new(payments)],
        );
    }
    // Those that are removed in the end among them: their names may be others' before.
    let invoices: Vec<Uuid> = state
        .invoices
        .unsaved()
        .filter(|(id, row)| {
            state.stored_invoice_names.get(*id).is_some_and(|stored| {
                row.and_then(|row| row.invoice.external_id.as_ref()) != Some(stored)
            })
        })
        .map(|(id, _)| *id)
        .collect();
    if !invoices.is_empty() {
        statements.add(
            "UPDATE invoices SET external_id = NULL, long_external_id = NULL WHERE business_id = $1 AND id = ANY($2)",
            vec![Box::new(business), Box::new(invoices)],
        );
    }
}

/// The two columns of a name.
fn name(name: Option<&str>) -> (Option<String>, Option<String>) {
    match name.map(Name::of) {
        Some(name) => (
            Some(name.indexed.into_owned()),
            name.long.map(std::borrow::Cow::into_owned),
        ),
        None => (None, None),
    }
}

fn kept_text(written: Option<&str>) -> Option<String> {
    written.map(|written| text(written).into_owned())
}

/// Declares a vector for each column of rows that are unnested.
macro_rules! columns {
    ($($column:ident),+ $(,)?) => {
        $(let mut $column = Vec::new();)+
    };
}

fn accounts(
    business: Uuid,
    rows: Vec<(Uuid, Option<&mut AccountRow>)>,
    now: Timestamp,
    statements: &mut Statements,
) {
    columns!(
        ids,
        names,
        long_names,
        numbers,
        titles,
        types,
        normalities,
        subtypes,
        debits,
        credits
    );
    for (id, row) in rows {
        // No account is ever removed.
        let Some(row) = row else { continue };
        let (stable_name, long) = name(row.columns.stable_name.as_deref());
        ids.push(id);
        names.push(stable_name);
        long_names.push(long);
        numbers.push(kept_text(row.columns.account_number.as_deref()));
        titles.push(kept_text(row.columns.name.as_deref()));
        types.push(row.columns.account_type.clone());
        normalities.push(row.columns.normality.clone());
        subtypes.push(kept_text(row.columns.subtype.as_deref()));
        debits.push(row.debits);
        credits.push(row.credits);
    }
    if ids.is_empty() {
        return;
    }
    statements.add(
        "INSERT INTO accounts
             (business_id, created_at, id, stable_name, long_stable_name, account_number, name, account_type, normality,
              subtype, debits, credits)
         SELECT $1, $2, * FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[],
             $9::text[], $10::text[], $11::bigint[], $12::bigint[])
         ON CONFLICT (business_id, id) DO UPDATE SET debits = excluded.debits, credits = excluded.credits",
        vec![
            Box::new(business),
            Box::new(now),
            Box::new(ids),
            Box::new(names),
            Box::new(long_names),
            Box::new(numbers),
            Box::new(titles),
            Box::new(types),
            Box::new(normalities),
            Box::new(subtypes),
            Box::new(debits),
            Box::new(credits),
        ],
    );
}

/// Gives the invoices that are to be removed, once nothing refers to them any more.
fn invoices(state: &mut State, now: Timestamp, statements: &mut Statements) -> Vec<Uuid> {
    let business = state.business;
    let mut gone = Vec::new();
    columns!(
        ids, names, long_names, invented, totals, voided, references, paid, refunded
    );
    for (id, row) in state.invoices.take_unsaved() {
        state.stored_invoice_names.remove(&id);
        let Some(row) = row else {
            gone.push(id);
            continue;
        };
        let invoice = &row.invoice;
        let (external_id, long) = name(invoice.external_id.as_deref());
        ids.push(id);
        names.push(external_id);
        long_names.push(long);
        invented.push(row.invented);
        totals.push(invoice.total_amount);
        voided.push(invoice.voided_at);
        references.push(kept_text(invoice.reference_number.as_deref()));
        paid.push(invoice.paid);
        refunded.push(invoice.refunded);
        if let Some(name) = invoice.external_id.clone() {
            state.stored_invoice_names.insert(id, name);
        }
    }
    if !ids.is_empty() {
        statements.add(
            "INSERT INTO invoices
                 (business_id, created_at, id, external_id, long_external_id, invented, total_amount, voided_at,
                  reference_number, paid, refunded)
             SELECT $1, $2, * FROM unnest($3::uuid[], $4::text[], $5::text[], $6::boolean[], $7::bigint[],
                 $8::timestamptz[], $9::text[], $10::bigint[], $11::bigint[])
             ON CONFLICT (business_id, id) DO UPDATE SET
                 external_id = excluded.external_id, long_external_id = excluded.long_external_id,
                 invented = excluded.invented, total_amount = excluded.total_amount, voided_at = excluded.voided_at,
                 reference_number = excluded.reference_number, paid = excluded.paid, refunded = excluded.refunded",
            vec![
                Box::new(business),
                Box::new(now),
                Box::new(ids),
                Box::new(names),
                Box::new(long_names),
                Box::new(invented),
                Box::new(totals),
                Box::new(voided),
                Box::new(references),
                Box::new(paid),
                Box::new(refunded),
            ],
        );
    }
    gone
}

fn tags(state: &mut State, now: Timestamp, statements: &mut Statements) {
    let business = state.business;
    columns!(ids, keys, long_keys, names);
    for (key, row) in state.dimensions.take_unsaved() {
        let Some(TagRow { id, display_name }) = row else {
            continue;
        };
        let (key, long) = name(Some(&key));
        ids.push(*id);
        keys.push(key);
        long_keys.push(long);
        names.push(kept_text(display_name.as_deref()));
    }
    if !ids.is_empty() {
        statements.add(
            "INSERT INTO tag_dimensions (business_id, created_at, id, key, long_key, display_name)
             SELECT $1, $2, * FROM unnest($3::uuid[], $4::text[], $5::text[], $6::text[])",
            vec![
                Box::new(business),
                Box::new(now),
                Box::new(ids),
                Box::new(keys),
                Box::new(long_keys),
                Box::new(names),
            ],
        );
    }
    columns!(ids, dimensions, values, long_values, names);
    for ((dimension, value), row) in state.tags.take_unsaved() {
        let Some(TagRow { id, display_name }) = row else {
            continue;
        };
        let (value, long) = name(Some(&value));
        ids.push(*id);
        dimensions.push(dimension);
        values.push(value);
        long_values.push(long);
        names.push(kept_text(display_name.as_deref()));
    }
    if !ids.is_empty() {
        statements.add(
            "INSERT INTO tag_values (business_id, created_at, id, dimension_id, value, long_value, display_name)
             SELECT $1, $2, * FROM unnest($3::uuid[], $4::uuid[], $5::text[], $6::text[], $7::text[])",
            vec![
                Box::new(business),
                Box::new(now),
                Box::new(ids),
                Box::new(dimensions),
                Box::new(values),
                Box::new(long_values),
                Box::new(names),
            ],
        );
    }
}

/// The columns of payments, each a vector with a place for each payment.
#[derive(Default)]
struct PaymentColumns {
    keys: Vec<i64>,
    ids: Vec<Uuid>,
    external_ids: Vec<Option<String>>,
    long_external_ids: Vec<Option<String>>,
    paid_at: Vec<Timestamp>,
    imported_at: Vec<Timestamp>,
    methods: Vec<String>,
    amounts: Vec<i64>,
    fees: Vec<i64>,
    processors: Vec<Option<String>>,
    clearing: Vec<Option<Uuid>>,
    prepayment: Vec<Option<Uuid>>,
    memos: Vec<Option<String>>,
    references: Vec<Option<String>>,
    long_references: Vec<Option<String>>,
    metadata: Vec<Option<String>>,
    additional_fees: Vec<Option<String>>,
    allocations: Vec<Option<String>>,
    refunds: Vec<Option<String>>,
    tags: Vec<Option<String>>,
    documents: Vec<String>,
    in_payout: Vec<bool>,
    is_matched: Vec<bool>,
}

impl PaymentColumns {
    /// The one function that says what goes where, so that a new payment and a changed one can't differ in it.
    fn push(&mut self, row: &PaymentRow) -> Result<(), Error> {
        let payment = &row.kept.payment;
        let (external_id, long_external_id) = name(payment.external_id.as_deref());
        let (reference, long_reference) = name(payment.reference_number.as_deref());
        self.keys.push(row.kept.key);
        self.ids.push(payment.id);
        self.external_ids.push(external_id);
        self.long_external_ids.push(long_external_id);
        self.paid_at.push(payment.paid_at);
        self.imported_at.push(payment.imported_at);
        self.methods.push(payment.method.to_string());
        self.amounts.push(payment.amount);
        self.fees.push(payment.fee);
        self.processors
            .push(kept_text(payment.processor.as_deref()));
        self.clearing.push(payment.clearing_account);
        self.prepayment.push(payment.prepayment_account);
        self.memos.push(kept_text(payment.memo.as_deref()));
        self.references.push(reference);
        self.long_references.push(long_reference);
        self.metadata.push(json_object(&payment.metadata)?);
        self.additional_fees
            .push(json_list(&payment.additional_fees)?);
        self.allocations.push(json_list(&payment.allocations)?);
        self.refunds.push(json_list(&payment.refunds)?);
        self.tags.push(json_list(&payment.tags.0)?);
        self.documents.push(row.kept.document.clone());
        self.in_payout.push(row.kept.in_payout);
        self.is_matched.push(row.kept.is_matched);
        Ok(())
    }

    fn values(self, business: Uuid) -> Vec<Box<dyn ToSql + Sync>> {
        vec![
            Box::new(business),
            Box::new(self.keys),
            Box::new(self.ids),
            Box::new(self.external_ids),
            Box::new(self.long_external_ids),
            Box::new(self.paid_at),
            Box::new(self.imported_at),
            Box::new(self.methods),
            Box::new(self.amounts),
            Box::new(self.fees),
            Box::new(self.processors),
            Box::new(self.clearing),
            Box::new(self.prepayment),
            Box::new(self.memos),
            Box::new(self.references),
            Box::new(self.long_references),
            Box::new(self.metadata),
            Box::new(self.additional_fees),
            Box::new(self.allocations),
            Box::new(self.refunds),
            Box::new(self.tags),
            Box::new(self.documents),
            Box::new(self.in_payout),
            Box::new(self.is_matched),
        ]
    }
}

/// The columns that [`PaymentColumns`] holds, in its order, and the rows that they make.
macro_rules! payments {
    (columns) => {
        "key, id, external_id, long_external_id, paid_at, imported_at, method, amount, fee, processor, \
         clearing_account, prepayment_account, memo, reference_number, long_reference_number, metadata, \
         additional_fees, allocations, refunds, tags, document, in_payout, is_matched"
    };
    (rows) => {
        "unnest($2::bigint[], $3::uuid[], $4::text[], $5::text[], $6::timestamptz[], $7::timestamptz[], $8::text[], \
         $9::bigint[], $10::bigint[], $11::text[], $12::uuid[], $13::uuid[], $14::text[], $15::text[], $16::text[], \
         $17::text[], $18::text[], $19::text[], $20::text[], $21::text[], $22::text[], $23::boolean[], $24::boolean[])"
    };
}

fn payments(
    business: Uuid,
    mut rows: Vec<(i64, Option<&mut PaymentRow>)>,
    statements: &mut Statements,
) -> Result<(), Error> {
    // In the order of their keys, in which the table grows.
    rows.sort_unstable_by_key(|(key, _)| *key);
    let (mut new, mut changed) = (PaymentColumns::default(), PaymentColumns::default());
    for (_, row) in rows {
        // No payment is ever removed.
        let Some(row) = row else { continue };
        match row.stored {
            None => new.push(row)?,
            Some(_) => changed.push(row)?,
        }
        row.stored = Some(row.kept.payment.external_id.clone());
    }
    if !changed.keys.is_empty() {
        statements.add(
            concat!(
                "UPDATE payments SET
                     external_id = new.external_id, long_external_id = new.long_external_id, paid_at = new.paid_at,
                     imported_at = new.imported_at, method = new.method, amount = new.amount, fee = new.fee,
                     processor = new.processor, clearing_account = new.clearing_account,
                     prepayment_account = new.prepayment_account, memo = new.memo,
                     reference_number = new.reference_number, long_reference_number = new.long_reference_number,
                     metadata = new.metadata, additional_fees = new.additional_fees, allocations = new.allocations,
                     refunds = new.refunds, tags = new.tags, document = new.document, in_payout = new.in_payout,
                     is_matched = new.is_matched
                 FROM ",
                payments!(rows),
                " AS new (",
                payments!(columns),
                ") WHERE payments.business_id = $1 AND payments.key = new.key"
            ),
            changed.values(business),
        );
    }
    if !new.keys.is_empty() {
        statements.add(
            concat!(
                "INSERT INTO payments (business_id, ",
                payments!(columns),
                ") SELECT $1, * FROM ",
                payments!(rows)
            ),
            new.values(business),
        );
    }
    Ok(())
}

fn links(business: Uuid, rows: Vec<((Uuid, i64), Option<&mut ()>)>, statements: &mut Statements) {
    for (linked, sql) in [
        (
            false,
            "DELETE FROM payment_invoices USING unnest($2::uuid[], $3::bigint[]) AS gone (invoice_id, payment_key)
             WHERE business_id = $1 AND payment_invoices.invoice_id = gone.invoice_id
             AND payment_invoices.payment_key = gone.payment_key",
        ),
        (
            true,
            "INSERT INTO payment_invoices (business_id, invoice_id, payment_key)
             SELECT $1, * FROM unnest($2::uuid[], $3::bigint[]) ON CONFLICT DO NOTHING",
        ),
    ] {
        let (invoices, keys): (Vec<Uuid>, Vec<i64>) = rows
            .iter()
            .filter(|(_, link)| link.is_some() == linked)
            .map(|(pair, _)| *pair)
            .unzip();
        if !invoices.is_empty() {
            statements.add(
                sql,
                vec![Box::new(business), Box::new(invoices), Box::new(keys)],
            );
        }
    }
}

fn entries(business: Uuid, rows: Vec<NewEntry>, statements: &mut Statements) {
    if rows.is_empty() {
        return;
    }
    columns!(
        numbers, types, entry_at, posted_at, payments, sources, reversals
    );
    columns!(line_entries, places, accounts, debits, credits);
    for row in rows {
        numbers.push(row.number);
        types.push(row.entry.entry_type.name());
        entry_at.push(row.entry.at);
        posted_at.push(row.posted_at);
        payments.push(row.payment);
        sources.push(row.entry.source);
        reversals.push(row.reversal_of);
        for (place, line) in (1_i64..).zip(&row.entry.lines) {
            let (debit, credit) = match line.side {
                Side::Debit => (line.amount, 0),
                Side::Credit => (0, line.amount),
            };
            line_entries.push(row.number);
            places.push(place);
            accounts.push(line.account);
            debits.push(debit);
            credits.push(credit);
        }
    }
    statements.add(
        "INSERT INTO journal_entries
             (business_id, number, entry_type, entry_at, posted_at, payment_key, source_id, reversal_of)
         SELECT $1, * FROM unnest($2::bigint[], $3::text[], $4::timestamptz[], $5::timestamptz[], $6::bigint[],
             $7::uuid[], $8::bigint[])",
        vec![
            Box::new(business),
            Box::new(numbers),
            Box::new(types),
            Box::new(entry_at),
            Box::new(posted_at),
            Box::new(payments),
            Box::new(sources),
            Box::new(reversals),
        ],
    );
    statements.add(
        "INSERT INTO journal_lines (business_id, entry, line, account_id, debit, credit)
         SELECT $1, * FROM unnest($2::bigint[], $3::bigint[], $4::uuid[], $5::bigint[], $6::bigint[])",
        vec![
            Box::new(business),
            Box::new(line_entries),
            Box::new(places),
            Box::new(accounts),
            Box::new(debits),
            Box::new(credits),
        ],
    );
}
