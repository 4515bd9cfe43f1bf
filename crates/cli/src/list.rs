//! `layer-payments list`: all payments that pass the filters, written as they arrive.

use anyhow::Context as _;
use comfy_table::{CellAlignment, Table, presets};
use layer_payments_client::{ListPayments, PaymentStream};
use layer_payments_types::{Allocation, Field, InvoicePayment};

use crate::Exit;
use crate::args::{Filters, List, ListFormat};
use crate::connection::{Connection, Missing};
use crate::output::{self, Output, ReaderGone, money, printable};
use crate::rows;

pub(crate) async fn run(args: List) -> anyhow::Result<Exit> {
    let connection = Connection::open(&args.api, Missing::Refuse).await?;
    // A page larger than what is wanted is asked for in vain.
    let limit = args.max.map_or(args.limit, |max| {
        args.limit
            .min(u32::try_from(max.max(1)).unwrap_or(u32::MAX))
    });
    let stream = filtered(connection.client().list().limit(limit), args.filters).stream();
    let mut listing = Listing::new(args.output);
    let listed = listing.take(stream, args.max.unwrap_or(u64::MAX)).await;
    let exit = match listed {
        Ok(()) => listing.finish().map(|()| Exit::Well),
        Err(error) if error.is::<ReaderGone>() => Err(error),
        // Whatever came before the error is as good as it was.
        Err(error) => match listing.break_off() {
            Ok(0) => Err(error),
            Ok(count) => {
                output::error(
                    &error.context(format!("the list is incomplete after {}", payments(count))),
                );
                Ok(Exit::Partly)
            }
            // Nobody reads what is left of the list, but that it failed is still to be told.
            Err(_) => Err(error),
        },
    };
    connection.close().await?;
    exit
}

/// Asks for what the flags ask for. Each filter is taken apart by name, so that a new one can't be forgotten.
fn filtered(mut list: ListPayments, filters: Filters) -> ListPayments {
    let Filters {
        method,
        paid_at_start,
        paid_at_end,
        external_id,
        reference_numbers,
        included_in_payout,
        is_matched,
        sort_by,
        sort_order,
    } = filters;
    if let Some(method) = method {
        list = list.method(method);
    }
    if let Some(time) = paid_at_start {
        list = list.paid_at_start(time);
    }
    if let Some(time) = paid_at_end {
        list = list.paid_at_end(time);
    }
    if let Some(id) = external_id {
        list = list.external_id(id);
    }
    if let Some(numbers) = reference_numbers {
        list = list.reference_numbers(numbers);
    }
    if let Some(included) = included_in_payout {
        list = list.included_in_payout(included);
    }
    if let Some(matched) = is_matched {
        list = list.is_matched(matched);
    }
    if let Some(key) = sort_by {
        list = list.sort_by(key);
    }
    if let Some(order) = sort_order {
        list = list.sort_order(order);
    }
    list
}

/// The list as it is being written.
struct Listing {
    output: Output,
    form: Form,
    count: u64,
    /// Where a payment is put together before it is written.
    buffer: Vec<u8>,
}

enum Form {
    /// The widths of the columns are known only when all payments are.
    Table(Box<Table>),
    Json,
    Jsonl,
    Csv,
}

impl Listing {
    fn new(format: ListFormat) -> Self {
        let mut buffer = Vec::new();
        let form = match format {
            ListFormat::Table => Form::Table(Box::new(table())),
            ListFormat::Json => Form::Json,
            ListFormat::Jsonl => Form::Jsonl,
            ListFormat::Csv => {
                rows::write_csv_header(&mut buffer);
                Form::Csv
            }
        };
        Self {
            output: Output::new(),
            form,
            count: 0,
            buffer,
        }
    }

    async fn take(&mut self, mut payments: PaymentStream, max: u64) -> anyhow::Result<()> {
        while self.count < max
            && let Some(payment) = payments.next().await
        {
            self.payment(&payment?)?;
        }
        Ok(())
    }

    fn payment(&mut self, payment: &InvoicePayment) -> anyhow::Result<()> {
        match &mut self.form {
            Form::Table(table) => {
                table.add_row(table_row(payment));
            }
            Form::Json => {
                self.buffer
                    .extend_from_slice(if self.count == 0 { b"[\n" } else { b",\n" });
                serde_json::to_writer(&mut self.buffer, payment)
                    .context("writing a payment as JSON")?;
            }
            Form::Jsonl => {
                serde_json::to_writer(&mut self.buffer, payment)
                    .context("writing a payment as JSON")?;
                self.buffer.push(b'\n');
            }
            Form::Csv => rows::write_csv_row(&mut self.buffer, payment),
        }
        self.count += 1;
        self.flush()
    }

    fn flush(&mut self) -> anyhow::Result<()> {
        self.output.write(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }

    fn finish(mut self) -> anyhow::Result<()> {
        match &self.form {
            Form::Table(table) if self.count > 0 => self
                .buffer
                .extend_from_slice(format!("{}\n", table.trim_fmt()).as_bytes()),
            Form::Json if self.count == 0 => self.buffer.extend_from_slice(b"[]\n"),
            Form::Json => self.buffer.extend_from_slice(b"\n]\n"),
            Form::Table(_) | Form::Jsonl | Form::Csv => {}
        }
        self.flush()?;
        if let Form::Table(_) = self.form {
            output::message(payments(self.count));
        }
        self.output.finish()
    }

    /// Writes what there is, without the end that would make it look complete. Gives the number of payments.
    fn break_off(mut self) -> anyhow::Result<u64> {
        if let Form::Table(table) = &self.form
            && self.count > 0
        {
            self.buffer
                .extend_from_slice(format!("{}\n", table.trim_fmt()).as_bytes());
        }
        self.flush()?;
        self.output.finish()?;
        Ok(self.count)
    }
}

/// So many payments, in words.
fn payments(count: u64) -> String {
    if count == 1 {
        "1 payment".to_owned()
    } else {
        format!("{count} payments")
    }
}

/// The most characters of a memo that a table shows.
const SHOWN_MEMO: usize = 40;

fn table() -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header([
        "PAID AT",
        "METHOD",
        "AMOUNT",
        "FEE",
        "ALLOCATED",
        "EXTERNAL ID",
        "REFERENCE",
        "MEMO",
    ]);
    for column in 2..=4 {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

fn table_row(payment: &InvoicePayment) -> [String; 8] {
    // In 128 bits: what a server sends may add up to anything.
    let allocated: i128 = payment.allocations.iter().map(allocated).sum();
    [
        payment.at.strftime("%Y-%m-%d %H:%M:%SZ").to_string(),
        payment
            .method
            .as_ref()
            .map(|method| printable(&method.to_string()))
            .unwrap_or_default(),
        money(payment.amount.into()),
        money(payment.fee.into()),
        money(allocated),
        shown(&payment.external_id),
        shown(&payment.reference_number),
        shortened(&shown(&payment.memo)),
    ]
}

fn allocated(allocation: &Allocation) -> i128 {
    match allocation {
        Allocation::LedgerAccount(ledger) => ledger.amount.into(),
        Allocation::Invoice(invoice) => invoice.amount.into(),
        Allocation::Unknown(value) => value
            .get("amount")
            .and_then(serde_json::Value::as_i64)
            .unwrap_or_default()
            .into(),
    }
}

fn shown(field: &Field<String>) -> String {
    field
        .as_option()
        .map(|text| printable(text))
        .unwrap_or_default()
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(SHOWN_MEMO) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
