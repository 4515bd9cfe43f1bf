//! The files that hold payments: the one place that knows their formats, and how a payment in them is judged.
//!
//! `import` and `validate` read files here, so that both find the same faults in the same payment; `list --output csv`
//! writes one of the formats. What is wrong with a payment is told as [`Violation`]s with pointers into the JSON that
//! the API takes, whatever the file's format is; its [`Origin`] puts a pointer into the words of the file: the number
//! that a spreadsheet shows beside the row, and the column's name. All of a payment's faults are told at once. What has
//! a JSON form in the API and no plain one (several allocations, further fees, refunds, metadata) stands in a cell of
//! CSV as that JSON.

use std::borrow::Cow;
use std::fmt;
use std::io::{BufRead, Cursor, Read};
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use layer_payments_types::{
    AccountIdentifier, AccountReference, Allocation, AllocationInput, CreateInvoicePayment, Field,
    InvoiceAllocationInput, InvoicePayment, Operation, PaymentMethod, Shape, TagKeyValue,
    TransactionTag,
};
use layer_payments_validation::{
    Context, Rule, Severity, Validated, Violation, read_create, validate_json,
};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::args::METHODS;
use crate::elements::{self, Elements, Malformed, without_position};
use crate::ids::ExternalIds;
use crate::records::{Broken, Cells, MAX_ROW_BYTES, Records};

/// The columns of a file, named as the properties of the API's request where they hold one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Column {
    ExternalId,
    PaidAt,
    Method,
    Amount,
    Fee,
    Processor,
    InvoiceId,
    InvoiceExternalId,
    InvoicePayments,
    AdditionalFees,
    Tags,
    Memo,
    Metadata,
    ReferenceNumber,
    PaymentClearingAccountIdentifier,
    RedemptionAccount,
    DedicatedRefunds,
    /// Of a reply only; passed over when read.
    Id,
    /// Of a reply only; passed over when read.
    ImportedAt,
}

impl Column {
    /// All columns, in the order in which they are written.
    pub(crate) const ALL: [Column; 19] = [
        Column::ExternalId,
        Column::PaidAt,
        Column::Method,
        Column::Amount,
        Column::Fee,
        Column::Processor,
        Column::InvoiceId,
        Column::InvoiceExternalId,
        Column::InvoicePayments,
        Column::AdditionalFees,
        Column::Tags,
        Column::Memo,
        Column::Metadata,
        Column::ReferenceNumber,
        Column::PaymentClearingAccountIdentifier,
        Column::RedemptionAccount,
        Column::DedicatedRefunds,
        Column::Id,
        Column::ImportedAt,
    ];

    /// The columns without which a file says too little.
    const REQUIRED: [Column; 3] = [Column::PaidAt, Column::Method, Column::Amount];

    /// The name in the header.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Column::ExternalId => "external_id",
            Column::PaidAt => "paid_at",
            Column::Method => "method",
            Column::Amount => "amount",
            Column::Fee => "fee",
            Column::Processor => "processor",
            Column::InvoiceId => "invoice_id",
            Column::InvoiceExternalId => "invoice_external_id",
            Column::InvoicePayments => "invoice_payments",
            Column::AdditionalFees => "additional_fees",
            Column::Tags => "tags",
            Column::Memo => "memo",
            Column::Metadata => "metadata",
            Column::ReferenceNumber => "reference_number",
            Column::PaymentClearingAccountIdentifier => "payment_clearing_account_identifier",
            Column::RedemptionAccount => "redemption_account",
            Column::DedicatedRefunds => "dedicated_refunds",
            Column::Id => "id",
            Column::ImportedAt => "imported_at",
        }
    }

    fn named(name: &str) -> Option<Column> {
        Column::ALL.into_iter().find(|column| column.name() == name)
    }

    /// A pointer to what the column stands for in the JSON of a payment.
    fn pointer(self) -> String {
        match self {
            Column::InvoiceId | Column::InvoiceExternalId => {
                format!("/invoice_payments/0/{}", self.name())
            }
            _ => format!("/{}", self.name()),
        }
    }

    /// The column in a set of columns.
    fn bit(self) -> u32 {
        1 << self as u32
    }
}

/// Where a payment comes from, to tell what is wrong with it in the words of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    form: Form,
    /// The number of the row or line, from 1, the header and empty ones included; in a list the index, from 0.
    number: u64,
    /// How many payments stand before it.
    index: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// A row of CSV.
    Row {
        /// The plain column that the payment's one allocation comes from, if it comes from one.
        allocation: Option<Column>,
        /// The columns whose cells hold JSON, a bit each: only there is a pointer into the cell of use.
        json: u32,
    },
    /// A line of JSON Lines.
    Line,
    /// An element of a JSON list.
    Element,
    /// The only payment of a JSON document.
    Whole,
    /// No payment, but the JSON list itself.
    List,
}

impl Origin {
    /// The number of its row or line.
    pub(crate) fn number(self) -> u64 {
        self.number
    }

    /// Whether it is a payment, and not the list around the payments.
    pub(crate) fn is_payment(self) -> bool {
        self.form != Form::List
    }

    /// `row 3`, and where the pointer leads to a column, `row 3, column amount`. Empty where the file has but one place.
    pub(crate) fn place(self, pointer: &str) -> String {
        let number = self.number;
        match self.form {
            Form::Whole | Form::List => String::new(),
            Form::Line => format!("line {number}"),
            Form::Element => format!("index {number}"),
            Form::Row { .. } => match self.column(pointer) {
                Some((column, _)) => format!("row {number}, column {}", column.name()),
                None => format!("row {number}"),
            },
        }
    }

    /// A pointer into the payment as one into the file, which starts with the payment's index where the file holds many.
    pub(crate) fn pointer(self, pointer: &str) -> String {
        match self.form {
            Form::Whole | Form::List => pointer.to_owned(),
            Form::Row { .. } | Form::Line | Form::Element => format!("/{}{pointer}", self.index),
        }
    }

    /// Why the payment was rejected, at a place that a JSON Pointer into it names. The empty pointer is all of it.
    pub(crate) fn error(self, pointer: &str, message: impl Into<String>) -> RowError {
        let mut place = self.place(pointer);
        let within = match self.form {
            Form::Row { .. } => self.column(pointer).map_or(pointer, |(_, within)| within),
            _ => pointer,
        };
        if !within.is_empty() {
            let separator = match self.form {
                _ if place.is_empty() => "",
                Form::Row { .. } => " ",
                _ => ", ",
            };
            place.push_str(separator);
            place.push_str("at ");
            place.push_str(within);
        }
        RowError {
            place,
            message: message.into(),
        }
    }

    /// The column that a pointer into the payment leads to, and the pointer into the cell where that means anything.
    fn column(self, pointer: &str) -> Option<(Column, &str)> {
        let Form::Row { allocation, json } = self.form else {
            return None;
        };
        let path = pointer.strip_prefix('/')?;
        let property = path.split('/').next().unwrap_or(path);
        let within = &pointer[property.len() + 1..];
        let column = Column::named(property)?;
        match (column, allocation) {
            (Column::InvoicePayments, Some(plain)) => {
                // The file has no list there: it has the amount and the invoice.
                let column = match within {
                    "" | "/0/amount" => Column::Amount,
                    "/0/invoice_id" => Column::InvoiceId,
                    "/0/invoice_external_id" => Column::InvoiceExternalId,
                    _ => plain,
                };
                Some((column, ""))
            }
            _ if json & column.bit() != 0 => Some((column, within)),
            _ => Some((column, "")),
        }
    }
}

/// Why a payment was rejected, and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowError {
    /// `row 3, column amount`, or with a JSON Pointer into the cell `row 3, column invoice_payments at /0/amount`.
    place: String,
    /// What is wrong with the value and what would be right.
    message: String,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.place.is_empty() {
            write!(f, "{}: ", self.place)?;
        }
        f.write_str(&self.message)
    }
}

/// A payment that was judged.
#[derive(Debug)]
pub(crate) struct Row {
    /// Where it stands.
    pub(crate) origin: Origin,
    /// The payment to record, if it has no error. There is none in a row that is an update.
    pub(crate) payment: Option<CreateInvoicePayment>,
    /// Every violation by the rules that need no API, with pointers into the payment.
    pub(crate) violations: Vec<Violation>,
}

/// A payment that was judged by itself, without the others of the file.
struct Judged {
    origin: Origin,
    payment: Option<CreateInvoicePayment>,
    violations: Vec<Violation>,
    /// The external id by which it is compared with the others, if there is no payment that has it.
    external_id: Option<String>,
}

impl Judged {
    /// Takes what the checks of a payment to record gave.
    fn of(
        origin: Origin,
        checked: Result<Validated<CreateInvoicePayment>, Vec<Violation>>,
        external_id: impl FnOnce(&[Violation]) -> Option<String>,
    ) -> Self {
        match checked {
            Ok(payment) => Self {
                origin,
                violations: payment.warnings().to_vec(),
                external_id: None,
                payment: Some(payment.into_inner()),
            },
            Err(violations) => Self {
                origin,
                payment: None,
                external_id: external_id(&violations),
                violations,
            },
        }
    }
}

/// How a file says payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    JsonLines,
    Json,
}

/// A document that turned out not to be JSON. Nothing after that place can be read.
#[derive(Debug)]
pub(crate) struct NotJson(pub(crate) Malformed);

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: this isn't JSON: {}", self.0.place, self.0.what)
    }
}

impl std::error::Error for NotJson {}

/// The payments of a file, one after the other, judged.
///
/// However large the file is, one payment of it is in memory at a time, and a few bytes for each external id.
pub(crate) struct Rows {
    reader: Reader,
    context: Context,
    /// How many payments were read.
    count: u64,
    ids: ExternalIds,
}

enum Reader {
    Csv(Box<CsvRows>),
    JsonLines(Lines),
    Json(Box<Document>),
}

type Input = Box<dyn BufRead + Send>;

impl Rows {
    /// Begins to read; of CSV that is the header.
    ///
    /// `operation` says what is asked for with a payment: to record it or to update one. Without it a payment is to be
    /// recorded, and a JSON list is a bulk request. A row of CSV can't be an update; it's taken for a payment to record.
    ///
    /// # Errors
    ///
    /// Where the input can't be read, isn't UTF-8 text at its beginning, or has a header that can't be right. An empty
    /// JSON document is [`NotJson`].
    pub(crate) fn new(
        format: Format,
        operation: Option<Operation>,
        context: Context,
        mut input: impl BufRead + Send + 'static,
    ) -> anyhow::Result<Self> {
        let mut start = Vec::new();
        input
            .by_ref()
            .take(3)
            .read_to_end(&mut start)
            .context("reading")?;
        if matches!(start[..], [0xff, 0xfe, ..] | [0xfe, 0xff, ..]) {
            bail!("the text is UTF-16; save it as UTF-8 (spreadsheets call it \"CSV UTF-8\")");
        }
        if start.starts_with(b"\xef\xbb\xbf") {
            start.clear();
        }
        let input: Input = Box::new(Cursor::new(start).chain(input));
        let reader = match format {
            Format::Csv => Reader::Csv(Box::new(CsvRows::new(input)?)),
            Format::JsonLines => Reader::JsonLines(Lines {
                input,
                operation: operation.unwrap_or(Operation::RecordInvoicePayment),
                line: 0,
                position: 0,
                text: Vec::new(),
            }),
            Format::Json => Reader::Json(Box::new(Document::new(input, operation)?)),
        };
        Ok(Self {
            reader,
            context,
            count: 0,
            ids: ExternalIds::default(),
        })
    }

    /// How many bytes of the input are used up.
    pub(crate) fn position(&self) -> u64 {
        match &self.reader {
            Reader::Csv(rows) => rows.records.position(),
            Reader::JsonLines(lines) => lines.position,
            Reader::Json(document) => document.elements.position(),
        }
    }

    /// The next row that holds anything, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Where no further row can be read; a JSON document that isn't JSON is [`NotJson`]. What is wrong with one row alone
    /// is in its [`Row::violations`].
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Row>> {
        let judged = match &mut self.reader {
            Reader::Csv(rows) => rows.next(self.count, &self.context)?,
            Reader::JsonLines(lines) => lines.next(self.count, &self.context)?,
            Reader::Json(document) => document.next(self.count, &self.context)?,
        };
        let Some(mut judged) = judged else {
            return Ok(None);
        };
        self.count += u64::from(judged.origin.is_payment());
        if let Some(violation) = self.repeated(&judged) {
            // The external id is the first property, so this is where the checks of a bulk request put it.
            judged.violations.insert(0, violation);
            judged.payment = None;
        }
        Ok(Some(Row {
            origin: judged.origin,
            payment: judged.payment,
            violations: judged.violations,
        }))
    }

    /// The violation that an earlier payment has the same external id. Whichever of the two is meant, it's not for a
    /// program to choose; so the first one counts, even if it was rejected.
    fn repeated(&mut self, judged: &Judged) -> Option<Violation> {
        let external_id = match &judged.payment {
            Some(payment) => payment.external_id.as_deref(),
            None => judged.external_id.as_deref(),
        };
        let external_id = external_id.filter(|id| !id.is_empty())?;
        let first = self.ids.repeated(external_id, judged.origin.number)?;
        let first = match judged.origin.form {
            Form::Row { .. } => format!("row {first}"),
            Form::Line => format!("line {first}"),
            Form::Element | Form::Whole | Form::List => format!("the payment at index {first}"),
        };
        Some(Violation {
            rule: Rule::DuplicateExternalId,
            pointer: "/external_id".to_owned(),
            message: format!(
                "{} is the external_id of {first} as well; each payment needs its own.",
                quoted(external_id)
            ),
        })
    }
}

/// A text as messages show it: in quotation marks, and not longer than a person reads.
fn quoted(text: &str) -> String {
    match shortened(text) {
        (text, true) => format!("{text:?}…"),
        (text, false) => format!("{text:?}"),
    }
}

/// The beginning of a text, and whether there is more of it.
fn shortened(text: &str) -> (&str, bool) {
    const MOST: usize = 100;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => (&text[..end], true),
        None => (text, false),
    }
}

/// The external id in the text of a payment that has errors.
fn external_id_of(text: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Payment<'a> {
        #[serde(borrow)]
        external_id: Option<Cow<'a, str>>,
    }
    // A list would be taken for an object's values.
    if !text.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let payment: Payment<'_> = serde_json::from_slice(text).ok()?;
    payment.external_id.map(Cow::into_owned)
}

// ---- JSON Lines ---------------------------------------------------------------------------------------------------

/// The lines of a JSON Lines file.
struct Lines {
    input: Input,
    operation: Operation,
    line: u64,
    position: u64,
    text: Vec<u8>,
}

impl Lines {
    fn next(&mut self, index: u64, context: &Context) -> anyhow::Result<Option<Judged>> {
        loop {
            self.text.clear();
            let read = self
                .input
                .by_ref()
                .take(MAX_ROW_BYTES)
                .read_until(b'\n', &mut self.text)
                .with_context(|| format!("reading line {}", self.line + 1))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.position += read as u64;
            if read as u64 == MAX_ROW_BYTES && self.text.last() != Some(&b'\n') {
                bail!(
                    "line {} is longer than {MAX_ROW_BYTES} bytes, so it can't be a payment",
                    self.line
                );
            }
            if !self.text.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(self.judge(index, context)));
            }
        }
    }

    fn judge(&self, index: u64, context: &Context) -> Judged {
        let origin = Origin {
            form: Form::Line,
            number: self.line,
            index,
        };
        let text = self.text.trim_ascii_end();
        let mut judged = match self.operation {
            // Updates are requests of their own, so two of them may have the same external id.
            Operation::UpdateInvoicePayment => Judged {
                origin,
                payment: None,
                violations: validate_json(self.operation, text, context),
                external_id: None,
            },
            _ => Judged::of(origin, read_create(text, context), |_| external_id_of(text)),
        };
        for violation in &mut judged.violations {
            if violation.rule == Rule::JsonMalformed {
                // To the checks each line is a body by itself; beside the number in the file, another one would confuse.
                violation.message = violation.message.replace(" line 1 column ", " column ");
            }
        }
        judged
    }
}

// ---- JSON ---------------------------------------------------------------------------------------------------------

/// A JSON document: a bulk request, or the body of another.
struct Document {
    elements: Elements<Input>,
    /// What was asked for; without it the document says.
    operation: Option<Operation>,
    /// What there is to say about the list itself was said.
    told: bool,
}

impl Document {
    fn new(input: Input, operation: Option<Operation>) -> anyhow::Result<Self> {
        Ok(Self {
            elements: Elements::new(input).map_err(no_document)?,
            operation,
            told: false,
        })
    }

    fn next(&mut self, index: u64, context: &Context) -> anyhow::Result<Option<Judged>> {
        let whole = |form, violations| Judged {
            origin: Origin {
                form,
                number: 0,
                index: 0,
            },
            payment: None,
            violations,
            external_id: None,
        };
        if !self.elements.is_list() {
            if !self.elements.next().map_err(no_document)? {
                return Ok(None);
            }
            let text = self.elements.text();
            let origin = whole(Form::Whole, Vec::new()).origin;
            let judged = match self.operation {
                None | Some(Operation::RecordInvoicePayment) => {
                    Judged::of(origin, read_create(text, context), |_| None)
                }
                Some(operation) => whole(Form::Whole, validate_json(operation, text, context)),
            };
            return self.unless_malformed(judged).map(Some);
        }

        if let Some(
            operation @ (Operation::RecordInvoicePayment | Operation::UpdateInvoicePayment),
        ) = self.operation
        {
            if self.told {
                return Ok(None);
            }
            self.told = true;
            // Whatever is in it, it isn't one object; but whether it is JSON has to be known first.
            while self.elements.next().map_err(no_document)? {
                if let Some(malformed) = self.elements.malformed() {
                    return Err(NotJson(malformed).into());
                }
            }
            return Ok(Some(whole(
                Form::Whole,
                validate_json(operation, b"[]", context),
            )));
        }

        if self.elements.next().map_err(no_document)? {
            let origin = Origin {
                form: Form::Element,
                number: index,
                index,
            };
            let text = self.elements.text();
            let judged = Judged::of(origin, read_create(text, context), |violations| {
                // As in a bulk request, only payments that could be taken apart are compared.
                let is_read = !violations.iter().any(|violation| {
                    violation.rule.is_raw() && violation.severity() == Severity::Error
                });
                is_read.then(|| external_id_of(text)).flatten()
            });
            return self.unless_malformed(judged).map(Some);
        }
        if index == 0 && !self.told {
            self.told = true;
            let violations = validate_json(Operation::BulkCreateInvoicePayments, b"[]", context);
            return Ok(Some(whole(Form::List, violations)));
        }
        Ok(None)
    }

    /// A payment in a document is no better than the document: where it isn't JSON, the document isn't.
    fn unless_malformed(&self, judged: Judged) -> anyhow::Result<Judged> {
        let found = judged
            .violations
            .iter()
            .find(|violation| violation.rule == Rule::JsonMalformed);
        let Some(violation) = found else {
            return Ok(judged);
        };
        let malformed = self.elements.malformed().unwrap_or_else(|| Malformed {
            place: self.elements.start(),
            what: violation.message.clone(),
        });
        Err(NotJson(malformed).into())
    }
}

fn no_document(broken: elements::Broken) -> anyhow::Error {
    match broken {
        elements::Broken::Io(error) => anyhow::Error::new(error).context("reading"),
        elements::Broken::TooLong(place) => anyhow!(
            "{place}: the value that begins here is longer than {MAX_ROW_BYTES} bytes, so it can't be a payment"
        ),
        elements::Broken::Malformed(malformed) => NotJson(malformed).into(),
    }
}

// ---- CSV ----------------------------------------------------------------------------------------------------------

/// The payments of a CSV file.
struct CsvRows {
    records: Records<Input>,
    /// The column of each cell.
    columns: Vec<Column>,
}

impl CsvRows {
    fn new(input: Input) -> anyhow::Result<Self> {
        let mut records = Records::new(input);
        let columns = match records.next() {
            Ok(Some(cells)) => header(cells)?,
            Ok(None) => bail!(
                "there is nothing in it; the first row must name the columns, among them {}",
                names(&Column::REQUIRED)
            ),
            Err(broken) => return Err(broken_off(broken, records.row())),
        };
        Ok(Self { records, columns })
    }

    fn next(&mut self, index: u64, context: &Context) -> anyhow::Result<Option<Judged>> {
        loop {
            match self.records.next() {
                // Spreadsheets write rows of empty cells where there was once something.
                Ok(Some(cells)) if cells.iter().all(<[u8]>::is_empty) => {}
                Ok(Some(cells)) => {
                    let judged = RowCells::new(&self.columns, cells, index).judge(context)?;
                    return Ok(Some(judged));
                }
                Ok(None) => return Ok(None),
                Err(broken) => return Err(broken_off(broken, self.records.row())),
            }
        }
    }
}

fn broken_off(broken: Broken, row: u64) -> anyhow::Error {
    match broken {
        Broken::Io(error) => anyhow::Error::new(error).context(format!("reading row {row}")),
        Broken::TooLong => anyhow!(
            "row {row} is longer than {MAX_ROW_BYTES} bytes; perhaps a quotation mark opens a cell there and is never closed"
        ),
        Broken::Unclosed => anyhow!(
            "row {row}: a quotation mark opens a cell and is never closed, so that nothing from this row on can be read; \
             close it, and write each quotation mark inside of the cell twice"
        ),
    }
}

/// Reads which column is where.
fn header(cells: Cells<'_>) -> anyhow::Result<Vec<Column>> {
    let mut columns = Vec::with_capacity(cells.len());
    for (index, cell) in cells.iter().enumerate() {
        let name = std::str::from_utf8(cell)
            .map_err(|_| {
                anyhow!(
                    "row 1, column {}: the header isn't UTF-8; save the file as UTF-8",
                    index + 1
                )
            })?
            .trim();
        let Some(column) = Column::named(name) else {
            let hint = if cells.len() == 1 && name.contains([';', '\t', '|']) {
                "cells must be separated by commas. The".to_owned()
            } else {
                match nearest(name, Column::ALL.iter().map(|column| column.name())) {
                    Some(nearest) => format!("did you mean `{nearest}`? The"),
                    None => "the".to_owned(),
                }
            };
            bail!(
                "row 1: unknown column `{}`; {hint} columns are {}",
                shortened(name).0,
                names(&Column::ALL)
            );
        };
        if columns.contains(&column) {
            bail!("row 1: the column `{name}` is there twice; leave one of them out");
        }
        columns.push(column);
    }
    let missing: Vec<_> = Column::REQUIRED
        .into_iter()
        .filter(|column| !columns.contains(column))
        .collect();
    if !missing.is_empty() {
        bail!(
            "row 1: the header lacks {}; the first row must name the columns, which are {}",
            names(&missing),
            names(&Column::ALL)
        );
    }
    Ok(columns)
}

fn names(columns: &[Column]) -> String {
    let names: Vec<_> = columns.iter().map(|column| column.name()).collect();
    names.join(", ")
}

/// The name that a misspelt one is most like, if any is like it.
fn nearest(name: &str, names: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let name = name.to_lowercase().replace([' ', '-'], "_");
    names
        .map(|known| (strsim::jaro_winkler(&name, &known.to_lowercase()), known))
        .filter(|(likeness, _)| *likeness > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, known)| known)
}

/// The cells of one row by their columns, and what was found to be wrong with them.
struct RowCells<'a> {
    /// By the column's place in [`Column::ALL`]. Empty cells are none.
    cells: [Option<&'a [u8]>; Column::ALL.len()],
    number: u64,
    index: u64,
    /// How many cells there are, and how many there should be.
    count: (usize, usize),
    /// The columns whose cells hold JSON, a bit each.
    json_cells: u32,
    mistakes: Vec<Violation>,
}

/// What a cell gave: a value of its own form, or the API's JSON.
enum Given<'a, T> {
    Plain(T),
    Json(&'a RawValue),
}

impl<T: Serialize> Serialize for Given<'_, T> {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Given::Plain(value) => value.serialize(serializer),
            Given::Json(text) => text.serialize(serializer),
        }
    }
}

/// A row as the API's JSON says it, with JSON cells just as they are. Its names and their order are the API's.
#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    external_id: Option<&'a str>,
    paid_at: Timestamp,
    method: &'a str,
    amount: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    fee: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    additional_fees: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    payment_clearing_account_identifier: Option<Given<'a, AccountIdentifier>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    redemption_account: Option<Given<'a, AccountIdentifier>>,
    invoice_payments: Given<'a, Vec<AllocationInput>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dedicated_refunds: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tags: Option<Given<'a, Vec<TagKeyValue>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memo: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference_number: Option<&'a str>,
}

impl Body<'_> {
    /// The method, if all of the row is plain: then nothing has to be written down as JSON to be read again.
    fn method_if_plain(&self) -> Option<PaymentMethod> {
        fn plain<T>(given: &Option<Given<'_, T>>) -> bool {
            !matches!(given, Some(Given::Json(_)))
        }
        let is_plain = self.additional_fees.is_none()
            && self.dedicated_refunds.is_none()
            && self.metadata.is_none()
            && plain(&self.payment_clearing_account_identifier)
            && plain(&self.redemption_account)
            && plain(&self.tags)
            && matches!(self.invoice_payments, Given::Plain(_))
            // An older name is read all right, but what is to say about it say the checks of JSON.
            && METHODS.contains(&self.method);
        PaymentMethod::from_str(self.method)
            .ok()
            .filter(|_| is_plain)
    }

    /// The payment, where all of the row is plain.
    fn into_payment(self, method: PaymentMethod) -> CreateInvoicePayment {
        fn value<T>(given: Option<Given<'_, T>>) -> Option<T> {
            match given {
                Some(Given::Plain(value)) => Some(value),
                Some(Given::Json(_)) | None => None,
            }
        }
        // Without `..`, so that a property which the API gains has to be given a column.
        CreateInvoicePayment {
            external_id: self.external_id.map(str::to_owned),
            paid_at: self.paid_at,
            method,
            amount: self.amount,
            fee: self.fee,
            additional_fees: None,
            processor: self.processor.map(str::to_owned),
            payment_clearing_account_identifier: value(self.payment_clearing_account_identifier),
            redemption_account: value(self.redemption_account),
            invoice_payments: value(Some(self.invoice_payments)).unwrap_or_default(),
            dedicated_refunds: None,
            tags: value(self.tags),
            memo: self.memo.map(str::to_owned),
            metadata: None,
            reference_number: self.reference_number.map(str::to_owned),
        }
    }
}

impl<'a> RowCells<'a> {
    fn new(columns: &[Column], cells: Cells<'a>, index: u64) -> Self {
        let mut row = Self {
            cells: [None; Column::ALL.len()],
            number: cells.row(),
            index,
            count: (cells.len(), columns.len()),
            json_cells: 0,
            mistakes: Vec::new(),
        };
        for (column, cell) in columns.iter().zip(cells.iter()) {
            row.cells[*column as usize] = Some(cell).filter(|cell| !cell.is_empty());
        }
        row
    }

    /// Judges the whole row, going on after a mistake to find the others.
    fn judge(mut self, context: &Context) -> anyhow::Result<Judged> {
        let (found, expected) = self.count;
        if found != expected {
            // Whatever stands in which column now, it's not what was meant.
            let violation = Violation {
                rule: Rule::JsonMalformed,
                pointer: String::new(),
                message: format!(
                    "The row has {found} cells and the header {expected}; a cell that holds a comma, a quotation mark or \
                     a line break must stand in quotation marks."
                ),
            };
            return Ok(Judged {
                origin: self.origin(None),
                payment: None,
                violations: vec![violation],
                external_id: None,
            });
        }

        let external_id = self.text(Column::ExternalId);
        if external_id.is_none() && self.cells[Column::Id as usize].is_some() {
            // The payment exists already, and nothing that a request can say would find it again.
            self.mistake(
                Rule::PropertyMissing,
                "/external_id",
                "The row comes from a list (it has an id) and has no external_id, so importing it would record the \
                 payment once more. Leave the row out, or empty its column id to record it anew.",
            );
        }
        let paid_at = self.required(Column::PaidAt, Self::time);
        let method = self.required(Column::Method, Self::method);
        let amount = self.required(Column::Amount, Self::cents);
        let fee = self.cents(Column::Fee);
        let additional_fees = self.json(Column::AdditionalFees);
        let processor = self.text(Column::Processor);
        let payment_clearing_account_identifier =
            self.account(Column::PaymentClearingAccountIdentifier);
        let redemption_account = self.account(Column::RedemptionAccount);
        let (allocation, invoice_payments) = self.allocations(amount);
        let dedicated_refunds = self.json(Column::DedicatedRefunds);
        let tags = self.tags();
        let memo = self.text(Column::Memo);
        let metadata = self.json(Column::Metadata);
        let reference_number = self.text(Column::ReferenceNumber);

        let body = Body {
            external_id,
            // Where a required value is missing there is a mistake, and only the JSON of other cells is looked at.
            paid_at: paid_at.unwrap_or_default(),
            method: method.unwrap_or(METHODS[0]),
            amount: amount.unwrap_or_default(),
            fee,
            additional_fees,
            processor,
            payment_clearing_account_identifier,
            redemption_account,
            invoice_payments,
            dedicated_refunds,
            tags,
            memo,
            metadata,
            reference_number,
        };
        let checked = match body.method_if_plain() {
            Some(_) if !self.mistakes.is_empty() => Err(Vec::new()),
            Some(method) => Validated::create(body.into_payment(method), context)
                .map_err(|invalid| invalid.into_parts().1),
            None => {
                let text = serde_json::to_vec(&body).context("writing a row's cells as JSON")?;
                read_create(&text, context)
            }
        };
        let origin = self.origin(allocation);
        let id = |_: &[Violation]| external_id.map(str::to_owned);
        let mut mistakes = std::mem::take(&mut self.mistakes);
        if mistakes.is_empty() {
            let mut judged = Judged::of(origin, checked, id);
            if allocation.is_some() {
                tell_amount_once(&mut judged.violations);
            }
            return Ok(judged);
        }
        // As for any payment that can't be taken apart, the rules on what its values mean aren't checked.
        let found = match checked {
            Ok(payment) => payment.warnings().to_vec(),
            Err(violations) => violations,
        };
        mistakes.extend(
            found
                .into_iter()
                .filter(|violation| violation.rule.is_raw()),
        );
        mistakes.sort_by_key(|mistake| place_of_property(&mistake.pointer));
        Ok(Judged::of(origin, Err(mistakes), id))
    }

    fn origin(&self, allocation: Option<Column>) -> Origin {
        Origin {
            form: Form::Row {
                allocation,
                json: self.json_cells,
            },
            number: self.number,
            index: self.index,
        }
    }

    fn mistake(&mut self, rule: Rule, pointer: impl Into<String>, message: impl Into<String>) {
        self.mistakes.push(Violation {
            rule,
            pointer: pointer.into(),
            message: message.into(),
        });
    }

    /// The text of a cell, exactly as it is; `None` where it's empty.
    fn text(&mut self, column: Column) -> Option<&'a str> {
        let cell = self.cells[column as usize]?;
        match std::str::from_utf8(cell) {
            Ok(text) => Some(text),
            Err(error) => {
                self.mistake(
                    Rule::JsonMalformed,
                    column.pointer(),
                    format!(
                        "The text isn't UTF-8 from its byte {} on ({}); save the file as UTF-8.",
                        error.valid_up_to() + 1,
                        quoted(&String::from_utf8_lossy(cell))
                    ),
                );
                None
            }
        }
    }

    /// The text of a cell without blanks around it, where these can't mean anything.
    fn word(&mut self, column: Column) -> Option<&'a str> {
        self.text(column)
            .map(str::trim)
            .filter(|word| !word.is_empty())
    }

    /// Reads a cell that must not be empty.
    fn required<T>(
        &mut self,
        column: Column,
        read: fn(&mut Self, Column) -> Option<T>,
    ) -> Option<T> {
        let before = self.mistakes.len();
        let value = read(self, column);
        if value.is_none() && self.mistakes.len() == before {
            let right = match column {
                Column::PaidAt => "when the customer paid, such as 2024-02-27T02:22:55Z",
                Column::Method => "how the customer paid, such as CREDIT_CARD",
                _ => "what the customer paid in cents, such as 9000 for 90.00",
            };
            self.mistake(
                Rule::PropertyMissing,
                column.pointer(),
                format!("The cell is empty; give {right}."),
            );
        }
        value
    }

    fn time(&mut self, column: Column) -> Option<Timestamp> {
        let word = self.word(column)?;
        match word.parse() {
            Ok(time) => Some(time),
            Err(_) => {
                self.mistake(
                    Rule::TimestampMalformed,
                    column.pointer(),
                    format!(
                        "{} isn't a time with its offset from UTC; write it as 2024-02-27T02:22:55Z or \
                         2024-02-27T04:22:55+02:00.",
                        quoted(word)
                    ),
                );
                None
            }
        }
    }

    /// A method by its name, which may be an older one.
    fn method(&mut self, column: Column) -> Option<&'a str> {
        let word = self.word(column)?;
        if PaymentMethod::from_str(word).is_ok() {
            return Some(word);
        }
        let hint = match nearest(word, METHODS.into_iter()) {
            Some(nearest) => format!("did you mean {nearest}? The"),
            None => "the".to_owned(),
        };
        self.mistake(
            Rule::ValueUnknown,
            column.pointer(),
            format!(
                "{} isn't a method; {hint} methods are {}.",
                quoted(word),
                METHODS.join(", ")
            ),
        );
        None
    }

    fn cents(&mut self, column: Column) -> Option<i64> {
        let word = self.word(column)?;
        if let Ok(cents) = word.parse() {
            return Some(cents);
        }
        let is_number =
            |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
        let (rule, message) = if is_number(digits) {
            let message = format!(
                "{} doesn't fit a signed 64-bit integer, which goes from {} to {}.",
                shortened(word).0,
                i64::MIN,
                i64::MAX
            );
            (Rule::IntegerOutOfRange, message)
        } else if let Some((units, cents)) = digits.split_once('.')
            && is_number(units)
            && is_number(cents)
            && cents.len() == 2
        {
            let message = format!(
                "{} isn't a whole number; amounts are in cents, so write {}.",
                shortened(word).0,
                shortened(&word.replace('.', "")).0
            );
            (Rule::TypeMismatch, message)
        } else {
            let message = format!(
                "{} isn't a whole number of cents; write 90.00 as 9000, with digits alone.",
                quoted(word)
            );
            (Rule::TypeMismatch, message)
        };
        self.mistake(rule, column.pointer(), message);
        None
    }

    /// A cell that holds one JSON value. What the value may be is for the checks of the whole payment to say.
    fn json(&mut self, column: Column) -> Option<&'a RawValue> {
        let word = self.word(column)?;
        self.json_cells |= column.bit();
        // A raw value may still hold half of a surrogate pair, which would make the whole payment malformed.
        let error = match serde_json::from_str::<Value>(word) {
            Ok(_) => match serde_json::from_str(word) {
                Ok(value) => return Some(value),
                Err(error) => error,
            },
            Err(error) => error,
        };
        let place = match error.line() {
            1 => format!("character {}", error.column()),
            line => format!("character {} of its line {line}", error.column()),
        };
        self.mistake(
            Rule::JsonMalformed,
            column.pointer(),
            format!(
                "The cell isn't JSON: {} at {place}; it must hold one JSON value and nothing else.",
                without_position(&error)
            ),
        );
        None
    }

    /// An account by its id, its stable name, or as the API's JSON has it.
    fn account(&mut self, column: Column) -> Option<Given<'a, AccountIdentifier>> {
        let word = self.word(column)?;
        if word.starts_with('{') {
            return self.json(column).map(Given::Json);
        }
        Some(Given::Plain(match Uuid::try_parse(word) {
            Ok(id) => AccountIdentifier::AccountId { id },
            Err(_) => AccountIdentifier::StableName {
                stable_name: word.to_owned(),
            },
        }))
    }

    /// The allocations, and the plain column that they come from if they do.
    fn allocations(
        &mut self,
        amount: Option<i64>,
    ) -> (Option<Column>, Given<'a, Vec<AllocationInput>>) {
        let plain: Vec<_> = [Column::InvoiceId, Column::InvoiceExternalId]
            .into_iter()
            .filter(|column| self.cells[*column as usize].is_some())
            .collect();
        if self.cells[Column::InvoicePayments as usize].is_some() {
            if !plain.is_empty() {
                self.mistake(
                    Rule::DuplicateKey,
                    Column::InvoicePayments.pointer(),
                    format!(
                        "The cell and {} are both filled; fill one of them.",
                        names(&plain)
                    ),
                );
            }
            let list = self.json(Column::InvoicePayments);
            return (None, list.map_or(Given::Plain(Vec::new()), Given::Json));
        }
        let Some(first) = plain.first().copied() else {
            return (None, Given::Plain(Vec::new()));
        };
        let invoice_id = match self
            .word(Column::InvoiceId)
            .map(|word| (word, Uuid::try_parse(word)))
        {
            None => None,
            Some((_, Ok(id))) => Some(id),
            Some((word, Err(_))) => {
                self.mistake(
                    Rule::UuidMalformed,
                    Column::InvoiceId.pointer(),
                    format!(
                        "{} isn't a UUID; your own id of the invoice belongs in the column invoice_external_id.",
                        quoted(word)
                    ),
                );
                None
            }
        };
        let invoice_external_id = self.text(Column::InvoiceExternalId).map(str::to_owned);
        let allocation = InvoiceAllocationInput {
            invoice_id,
            invoice_external_id,
            // Without an amount the row is wrong anyway.
            amount: amount.unwrap_or_default(),
            tags: None,
            memo: None,
            metadata: None,
            reference_number: None,
        };
        (
            Some(first),
            Given::Plain(vec![AllocationInput::Invoice(allocation)]),
        )
    }

    /// Tags as the API's JSON array, or as `key=value; key=value`.
    fn tags(&mut self) -> Option<Given<'a, Vec<TagKeyValue>>> {
        let word = self.word(Column::Tags)?;
        if word.starts_with('[') {
            return self.json(Column::Tags).map(Given::Json);
        }
        let mut tags = Vec::new();
        for (index, part) in word
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
            .enumerate()
        {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() {
                let empty = if key.is_empty() { "key" } else { "value" };
                self.mistake(
                    Rule::TagEmpty,
                    format!("{}/{index}/{empty}", Column::Tags.pointer()),
                    format!(
                        "{} isn't a tag; write key=value, and `; ` between two of them.",
                        quoted(part)
                    ),
                );
            }
            tags.push(tag(key, value));
        }
        Some(Given::Plain(tags))
    }
}

/// The place of a pointer's property in the API's request; the request itself comes before all of them.
fn place_of_property(pointer: &str) -> Option<usize> {
    let Some(Shape::Object(payment)) = Operation::RecordInvoicePayment.body() else {
        return None;
    };
    let name = pointer.split('/').nth(1)?;
    payment.property(name).map(|(place, _)| place)
}

/// Where a plain allocation has the payment's amount, a mistake in that is one mistake of the file.
fn tell_amount_once(violations: &mut Vec<Violation>) {
    let of_amount: Vec<_> = violations
        .iter()
        .filter(|violation| violation.pointer == "/amount")
        .map(|violation| violation.rule)
        .collect();
    violations.retain(|violation| {
        violation.pointer != "/invoice_payments/0/amount" || !of_amount.contains(&violation.rule)
    });
}

fn tag(key: &str, value: &str) -> TagKeyValue {
    TagKeyValue {
        key: key.to_owned(),
        value: value.to_owned(),
        dimension_display_name: None,
        value_display_name: None,
    }
}

// ---- Replies as CSV -----------------------------------------------------------------------------------------------

/// Writes the header of a file that holds payments as the API has them.
pub(crate) fn write_csv_header(csv: &mut Vec<u8>) {
    write_line(csv, &Column::ALL.map(Column::name));
}

/// Writes a payment as a row under that header. Importing it again where it comes from changes nothing (a row without
/// an external id is refused, as it would be recorded once more): what the row
/// can't say is left out, and what a request leaves out stays as it is.
///
/// A value that only a newer API knows is written as it came, so that nothing is lost; importing it then says what is
/// wrong with it.
pub(crate) fn write_csv_row(csv: &mut Vec<u8>, payment: &InvoicePayment) {
    write_line(csv, &cells(payment));
}

/// Writes a line, with quotes where RFC 4180 wants them.
fn write_line(csv: &mut Vec<u8>, cells: &[impl AsRef<str>]) {
    for (index, cell) in cells.iter().map(AsRef::as_ref).enumerate() {
        if index > 0 {
            csv.push(b',');
        }
        if cell.contains(['"', ',', '\n', '\r']) {
            csv.push(b'"');
            csv.extend_from_slice(cell.replace('"', "\"\"").as_bytes());
            csv.push(b'"');
        } else {
            csv.extend_from_slice(cell.as_bytes());
        }
    }
    csv.push(b'\n');
}

fn cells(payment: &InvoicePayment) -> [String; Column::ALL.len()] {
    let allocation = whole_amount_to_one_invoice(payment);
    Column::ALL.map(|column| match column {
        Column::ExternalId => text(&payment.external_id),
        Column::PaidAt => payment.at.to_string(),
        Column::Method => payment
            .method
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        Column::Amount => payment.amount.to_string(),
        Column::Fee => payment.fee.to_string(),
        Column::Processor => text(&payment.processor),
        Column::InvoiceId => allocation.map(|id| id.to_string()).unwrap_or_default(),
        // Replies name invoices by id alone.
        Column::InvoiceExternalId => String::new(),
        Column::InvoicePayments if allocation.is_some() => String::new(),
        Column::InvoicePayments => json_list(payment.allocations.iter().map(allocation_request)),
        Column::AdditionalFees => json_list(payment.additional_fees.iter().flatten().map(|fee| {
            let mut request = Map::new();
            request.insert("account".to_owned(), account_request(&fee.account));
            request.insert("fee_amount".to_owned(), fee.fee_amount.into());
            insert(&mut request, "description", &fee.description);
            insert(
                &mut request,
                "is_passed_to_customer",
                &fee.is_passed_to_customer,
            );
            Value::Object(request)
        })),
        Column::Tags => tags_cell(payment.transaction_tags.as_deref().unwrap_or_default()),
        Column::Memo => text(&payment.memo),
        Column::Metadata => match payment.metadata.as_option() {
            Some(metadata) if !metadata.is_empty() => json!(metadata).to_string(),
            _ => String::new(),
        },
        Column::ReferenceNumber => text(&payment.reference_number),
        Column::PaymentClearingAccountIdentifier => match payment
            .payment_clearing_account
            .as_option()
        {
            // A stable name means the same account in every business, an id doesn't.
            Some(account) => account_cell(account.stable_name.as_option().unwrap_or(&account.id)),
            None => String::new(),
        },
        Column::RedemptionAccount => match payment.prepayment_account.as_option() {
            Some(account) if is_credit_balance(payment) => account_cell(account),
            _ => String::new(),
        },
        // A reply tells what was refunded of what, and not how the money was given back, so that it makes no request.
        Column::DedicatedRefunds => String::new(),
        Column::Id => payment.id.to_string(),
        Column::ImportedAt => payment.imported_at.to_string(),
    })
}

fn text(field: &Field<String>) -> String {
    field.as_option().cloned().unwrap_or_default()
}

fn is_credit_balance(payment: &InvoicePayment) -> bool {
    let method = payment.method.as_ref().map(ToString::to_string);
    method.and_then(|method| method.parse().ok()) == Some(PaymentMethod::CreditBalance)
}

/// The invoice, if all that there is to say of a payment's allocations fits the plain column.
fn whole_amount_to_one_invoice(payment: &InvoicePayment) -> Option<Uuid> {
    let [Allocation::Invoice(allocation)] = payment.allocations.as_slice() else {
        return None;
    };
    let plain = allocation.amount == payment.amount
        && allocation
            .transaction_tags
            .as_deref()
            .unwrap_or_default()
            .is_empty()
        && allocation.memo.as_option().is_none()
        && allocation
            .metadata
            .as_option()
            .is_none_or(|metadata| metadata.is_empty())
        && allocation.reference_number.as_option().is_none();
    plain.then_some(allocation.invoice_id)
}

/// A JSON array, or an empty cell for an empty one.
fn json_list(items: impl Iterator<Item = Value>) -> String {
    let items: Vec<_> = items.collect();
    if items.is_empty() {
        String::new()
    } else {
        Value::Array(items).to_string()
    }
}

/// An allocation as a request says it.
fn allocation_request(allocation: &Allocation) -> Value {
    let mut request = Map::new();
    let (amount, tags, memo, metadata, reference_number) = match allocation {
        Allocation::LedgerAccount(ledger) => {
            request.insert("account".to_owned(), account_request(&ledger.account));
            (
                ledger.amount,
                &ledger.transaction_tags,
                &ledger.memo,
                &ledger.metadata,
                &ledger.reference_number,
            )
        }
        Allocation::Invoice(invoice) => {
            request.insert("invoice_id".to_owned(), json!(invoice.invoice_id));
            (
                invoice.amount,
                &invoice.transaction_tags,
                &invoice.memo,
                &invoice.metadata,
                &invoice.reference_number,
            )
        }
        Allocation::Unknown(value) => return value.clone(),
    };
    request.insert("amount".to_owned(), amount.into());
    let tags: Vec<_> = tags_request(tags.as_deref().unwrap_or_default());
    if !tags.is_empty() {
        request.insert("tags".to_owned(), json!(tags));
    }
    insert(&mut request, "memo", memo);
    if let Some(metadata) = metadata.as_option().filter(|metadata| !metadata.is_empty()) {
        request.insert("metadata".to_owned(), json!(metadata));
    }
    insert(&mut request, "reference_number", reference_number);
    Value::Object(request)
}

fn insert<T: serde::Serialize>(object: &mut Map<String, Value>, name: &str, field: &Field<T>) {
    if let Some(value) = field.as_option() {
        object.insert(name.to_owned(), json!(value));
    }
}

/// An account as a request names it.
fn account_request(account: &AccountReference) -> Value {
    match account {
        AccountReference::AccountId { id, .. } => json!({"type": "AccountId", "id": id}),
        AccountReference::StableName { stable_name, .. } => {
            json!({"type": "StableName", "stable_name": stable_name})
        }
        // Some of Layer's pages show a plain text where an account is named: its id or its stable name.
        AccountReference::Unknown(Value::String(name)) => match Uuid::try_parse(name) {
            Ok(id) => json!({"type": "AccountId", "id": id}),
            Err(_) => json!({"type": "StableName", "stable_name": name}),
        },
        AccountReference::Unknown(value) => value.clone(),
    }
}

/// An account as a cell names it, by the plain form where that is read back as the same.
fn account_cell(account: &AccountReference) -> String {
    let request = account_request(account);
    if let Some(id) = request.get("id").and_then(Value::as_str) {
        return id.to_owned();
    }
    match request.get("stable_name").and_then(Value::as_str) {
        Some(name) if is_plain_account(name) => name.to_owned(),
        _ => request.to_string(),
    }
}

fn is_plain_account(name: &str) -> bool {
    !name.is_empty()
        && name.trim() == name
        && !name.starts_with('{')
        && Uuid::try_parse(name).is_err()
}

/// The tags that are in force, as a request says them.
fn tags_request(tags: &[TransactionTag]) -> Vec<TagKeyValue> {
    tags.iter()
        .filter(|tag| tag.deleted_at.as_option().is_none())
        .map(|tag| TagKeyValue {
            key: tag.key.clone(),
            value: tag.value.clone(),
            dimension_display_name: tag.dimension_display_name.as_option().cloned(),
            value_display_name: tag.value_display_name.as_option().cloned(),
        })
        .collect()
}

/// Tags as a cell says them: in the short form where it says all.
fn tags_cell(tags: &[TransactionTag]) -> String {
    let tags = tags_request(tags);
    let plain = |text: &str| {
        !text.is_empty()
            && text.trim() == text
            && !text.contains([';', '='])
            && !text.starts_with('[')
    };
    let short = tags.iter().all(|tag| {
        plain(&tag.key)
            && plain(&tag.value)
            && tag.dimension_display_name.is_none()
            && tag.value_display_name.is_none()
    });
    if !short {
        return json!(tags).to_string();
    }
    let tags: Vec<_> = tags
        .iter()
        .map(|tag| format!("{}={}", tag.key, tag.value))
        .collect();
    tags.join("; ")
}

#[cfg(test)]
mod tests;
