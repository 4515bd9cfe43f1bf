//! The files that `import` reads and `list --output csv` writes: the one place that knows their format.
//!
//! A row is one payment. What is wrong with it is told as a [`RowError`], by the number that a spreadsheet shows beside
//! the row and by the column's name; all of a row's mistakes are told at once. What has a JSON form in the API and no
//! plain one (several allocations, further fees, refunds, metadata) stands in its cell as that JSON.

use std::fmt;
use std::io::{BufRead, Cursor, Read};
use std::str::FromStr;

use anyhow::{Context as _, anyhow, bail};
use jiff::Timestamp;
use layer_payments_types::{
    AccountIdentifier, AccountReference, AdditionalFeeInput, Allocation, AllocationInput,
    CreateInvoicePayment, DedicatedRefundInput, Field, InvoiceAllocationInput, InvoicePayment,
    Metadata, PaymentMethod, TagKeyValue, TransactionTag,
};
use layer_payments_validation::validate_create;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::args::METHODS;
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
}

/// What is wrong with a row, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RowError {
    /// The row's number: from 1, the header and empty lines included. In JSON Lines, the line's.
    row: u64,
    /// `column amount`, or with a JSON Pointer into it `column invoice_payments at /0/amount`; empty for the whole row.
    place: String,
    /// What is wrong with the value and what would be right.
    message: String,
}

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "row {}", self.row)?;
        if !self.place.is_empty() {
            write!(f, ", {}", self.place)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Where a payment comes from, to tell what is wrong with it in the words of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    row: u64,
    shape: Shape,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A line of JSON: a JSON Pointer is as good as a column.
    Json,
    /// A row of CSV. If its allocation comes from a plain column, this is it.
    Csv { allocation: Option<Column> },
}

impl Origin {
    /// The row's number.
    pub(crate) fn row(self) -> u64 {
        self.row
    }

    /// An error at a place that a JSON Pointer into the payment names. The empty pointer is the whole row.
    pub(crate) fn error(self, pointer: &str, message: impl Into<String>) -> RowError {
        RowError {
            row: self.row,
            place: self.place(pointer),
            message: message.into(),
        }
    }

    fn place(self, pointer: &str) -> String {
        let Some(path) = pointer.strip_prefix('/') else {
            return String::new();
        };
        let allocation = match self.shape {
            Shape::Json => return format!("at {pointer}"),
            Shape::Csv { allocation } => allocation,
        };
        let (property, rest) = match path.split_once('/') {
            Some((property, _)) => (property, &pointer[property.len() + 1..]),
            None => (path, ""),
        };
        match (Column::named(property), allocation) {
            (Some(Column::InvoicePayments), Some(column)) => {
                // The file has no list there: it has the amount and the invoice.
                let column = match rest {
                    "" | "/0/amount" => Column::Amount,
                    _ => column,
                };
                format!("column {}", column.name())
            }
            (Some(column), _) if rest.is_empty() => format!("column {}", column.name()),
            (Some(column), _) => format!("column {} at {rest}", column.name()),
            (None, _) => format!("at {pointer}"),
        }
    }
}

/// A payment, or what is wrong with it.
#[derive(Debug)]
pub(crate) struct Row {
    /// Where it stands.
    pub(crate) origin: Origin,
    /// Its external id, which may be known of a row that is wrong.
    pub(crate) external_id: Option<String>,
    /// The payment, checked against every rule that needs no API; or all of the row's mistakes, one at least.
    pub(crate) payment: Result<CreateInvoicePayment, Vec<RowError>>,
}

/// How a file says payments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Csv,
    JsonLines,
}

/// The rows of a file, one after the other.
pub(crate) enum Rows {
    Csv(Box<CsvRows>),
    JsonLines(Lines),
}

type Input = Box<dyn BufRead + Send>;

impl Rows {
    /// Begins to read; of CSV that is the header.
    ///
    /// # Errors
    ///
    /// Where the input can't be read, isn't UTF-8 text at its beginning, or has a header that can't be right.
    pub(crate) fn new(
        format: Format,
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
        Ok(match format {
            Format::Csv => Rows::Csv(Box::new(CsvRows::new(input)?)),
            Format::JsonLines => Rows::JsonLines(Lines {
                input,
                line: 0,
                position: 0,
                text: Vec::new(),
            }),
        })
    }

    /// How many bytes of the input are used up.
    pub(crate) fn position(&self) -> u64 {
        match self {
            Rows::Csv(rows) => rows.records.position(),
            Rows::JsonLines(lines) => lines.position,
        }
    }

    /// The next row that holds anything, or `None` at the end.
    ///
    /// # Errors
    ///
    /// Where no further row can be read. What is wrong with one row alone is in its [`Row::payment`].
    pub(crate) fn next(&mut self) -> anyhow::Result<Option<Row>> {
        match self {
            Rows::Csv(rows) => rows.next(),
            Rows::JsonLines(lines) => lines.next(),
        }
    }
}

/// Checks a payment that was read and makes its row.
fn checked(origin: Origin, payment: CreateInvoicePayment) -> Row {
    let mut mistakes = Vec::new();
    for violation in validate_create(&payment) {
        let mistake = origin.error(&violation.pointer, violation.message);
        // The amount of a plain allocation is the payment's: a mistake in it is one mistake of the file.
        if !mistakes.contains(&mistake) {
            mistakes.push(mistake);
        }
    }
    Row {
        origin,
        external_id: payment.external_id.clone(),
        payment: if mistakes.is_empty() {
            Ok(payment)
        } else {
            Err(mistakes)
        },
    }
}

// ---- JSON Lines ---------------------------------------------------------------------------------------------------

/// The lines of a JSON Lines file.
pub(crate) struct Lines {
    input: Input,
    line: u64,
    position: u64,
    text: Vec<u8>,
}

impl Lines {
    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            self.text.clear();
            let read = self
                .input
                .by_ref()
                .take(MAX_ROW_BYTES)
                .read_until(b'\n', &mut self.text)
                .with_context(|| format!("reading row {}", self.line + 1))?;
            if read == 0 {
                return Ok(None);
            }
            self.line += 1;
            self.position += read as u64;
            if read as u64 == MAX_ROW_BYTES && self.text.last() != Some(&b'\n') {
                bail!(
                    "row {}: the line is longer than {MAX_ROW_BYTES} bytes, so it can't be a payment",
                    self.line
                );
            }
            if !self.text.iter().all(u8::is_ascii_whitespace) {
                return Ok(Some(self.row()));
            }
        }
    }

    fn row(&self) -> Row {
        let origin = Origin {
            row: self.line,
            shape: Shape::Json,
        };
        match decode_object::<CreateInvoicePayment>(&self.text) {
            Ok(payment) => checked(origin, payment),
            Err((pointer, message)) => Row {
                origin,
                external_id: external_id_of(&self.text),
                payment: Err(vec![origin.error(&pointer, message)]),
            },
        }
    }
}

/// The external id of a payment that can't be read as a whole.
fn external_id_of(text: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(text).ok()?;
    Some(value.get("external_id")?.as_str()?.to_owned())
}

/// Reads a JSON object, as [`decode`] does. Of an array the derived code would take the properties in their order, which
/// no API does.
pub(crate) fn decode_object<T: DeserializeOwned>(text: &[u8]) -> Result<T, (String, String)> {
    let start = text.trim_ascii_start();
    if start.starts_with(b"{") || start.is_empty() {
        return decode(text);
    }
    match decode::<Value>(text) {
        Ok(_) => Err((
            String::new(),
            "this is JSON, but not an object; write it as { ... }".to_owned(),
        )),
        Err(mistake) => Err(mistake),
    }
}

/// Reads JSON. Where that fails, gives a JSON Pointer to the value that is wrong, and what is wrong with it.
fn decode<T: DeserializeOwned>(text: &[u8]) -> Result<T, (String, String)> {
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let mut pointer = String::new();
        for segment in error.path() {
            use serde_path_to_error::Segment;
            match segment {
                Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
                Segment::Map { key } => {
                    pointer.push_str(&format!("/{}", key.replace('~', "~0").replace('/', "~1")))
                }
                // Which variant it is says the value itself; and nothing is known below an unknown segment.
                Segment::Enum { .. } | Segment::Unknown => {}
            }
        }
        (pointer, in_words(error.inner()))
    })?;
    deserializer.end().map_err(|error| {
        (
            String::new(),
            format!(
                "{}; there must be one JSON value and nothing after it",
                in_words(&error)
            ),
        )
    })?;
    Ok(value)
}

/// A JSON error in words that don't presume Rust.
fn in_words(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let (what, position) = match text.rsplit_once(" at line 1 column ") {
        // A value of the wrong kind is found by its pointer; a position helps where the text isn't JSON at all.
        Some((what, _)) if error.is_data() => (what, String::new()),
        Some((what, column)) => (what, format!(" at character {column}")),
        None => (text.as_str(), String::new()),
    };
    let what = what
        .replace("expected i64", "expected a whole number")
        .replace("expected a sequence", "expected a JSON array")
        .replace("invalid type: sequence", "invalid type: JSON array")
        .replace("expected a map", "expected a JSON object")
        .replace("invalid type: map", "invalid type: JSON object");
    if error.is_data() {
        what
    } else {
        format!("this isn't JSON: {what}{position}")
    }
}

// ---- CSV ----------------------------------------------------------------------------------------------------------

/// The payments of a CSV file.
pub(crate) struct CsvRows {
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

    fn next(&mut self) -> anyhow::Result<Option<Row>> {
        loop {
            match self.records.next() {
                // Spreadsheets write rows of empty cells where there was once something.
                Ok(Some(cells)) if cells.iter().all(<[u8]>::is_empty) => {}
                Ok(Some(cells)) => return Ok(Some(RowCells::new(&self.columns, cells).read())),
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
                "row 1: unknown column `{name}`; {hint} columns are {}",
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
    /// How many cells there are, and how many there should be.
    count: (usize, usize),
    mistakes: Vec<(Option<Column>, String, String)>,
}

impl<'a> RowCells<'a> {
    fn new(columns: &[Column], cells: Cells<'a>) -> Self {
        let mut row = Self {
            cells: [None; Column::ALL.len()],
            number: cells.row(),
            count: (cells.len(), columns.len()),
            mistakes: Vec::new(),
        };
        for (column, cell) in columns.iter().zip(cells.iter()) {
            row.cells[*column as usize] = Some(cell).filter(|cell| !cell.is_empty());
        }
        row
    }

    /// Reads the whole row, going on after a mistake to find the others.
    fn read(mut self) -> Row {
        let number = self.number;
        let (found, expected) = self.count;
        if found != expected {
            // Whatever stands in which column now, it's not what was meant.
            let message = format!(
                "the row has {found} cells and the header {expected}; a cell that holds a comma, a quotation mark or a \
                 line break must stand in quotation marks"
            );
            return Row {
                origin: Origin {
                    row: number,
                    shape: Shape::Csv { allocation: None },
                },
                external_id: None,
                payment: Err(vec![RowError {
                    row: number,
                    place: String::new(),
                    message,
                }]),
            };
        }

        let external_id = self.text(Column::ExternalId);
        let paid_at = self.required(Column::PaidAt, Self::time);
        let method = self.required(Column::Method, Self::method);
        let amount = self.required(Column::Amount, Self::cents);
        let fee = self.cents(Column::Fee);
        let additional_fees = self.json::<Vec<AdditionalFeeInput>>(Column::AdditionalFees);
        let processor = self.text(Column::Processor);
        let payment_clearing_account_identifier =
            self.account(Column::PaymentClearingAccountIdentifier);
        let redemption_account = self.account(Column::RedemptionAccount);
        let (allocation, invoice_payments) = self.allocations(amount);
        let dedicated_refunds = self.json::<Vec<DedicatedRefundInput>>(Column::DedicatedRefunds);
        let tags = self.tags();
        let memo = self.text(Column::Memo);
        let metadata = self.json::<Metadata>(Column::Metadata);
        let reference_number = self.text(Column::ReferenceNumber);

        let origin = Origin {
            row: number,
            shape: Shape::Csv { allocation },
        };
        if let (true, Some(paid_at), Some(method), Some(amount)) =
            (self.mistakes.is_empty(), paid_at, method, amount)
        {
            // Without `..`, so that a property which the API gains has to be given a column.
            return checked(
                origin,
                CreateInvoicePayment {
                    external_id,
                    paid_at,
                    method,
                    amount,
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
                },
            );
        }
        let mistakes = self.mistakes.into_iter().map(|(column, pointer, message)| {
            let place = match column {
                Some(column) if pointer.is_empty() => format!("column {}", column.name()),
                Some(column) => format!("column {} at {pointer}", column.name()),
                None => String::new(),
            };
            RowError {
                row: number,
                place,
                message,
            }
        });
        Row {
            origin,
            external_id,
            payment: Err(mistakes.collect()),
        }
    }

    fn mistake(&mut self, column: Column, message: impl Into<String>) {
        self.mistakes
            .push((Some(column), String::new(), message.into()));
    }

    /// The text of a cell, exactly as it is; `None` where it's empty.
    fn text(&mut self, column: Column) -> Option<String> {
        self.str(column).map(str::to_owned)
    }

    fn str(&mut self, column: Column) -> Option<&'a str> {
        let cell = self.cells[column as usize]?;
        match std::str::from_utf8(cell) {
            Ok(text) => Some(text),
            Err(error) => {
                self.mistake(
                    column,
                    format!(
                        "the text isn't UTF-8 from its byte {} on ({:?}); save the file as UTF-8",
                        error.valid_up_to() + 1,
                        String::from_utf8_lossy(cell)
                    ),
                );
                None
            }
        }
    }

    /// The text of a cell without blanks around it, where these can't mean anything.
    fn word(&mut self, column: Column) -> Option<&'a str> {
        self.str(column)
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
            self.mistake(column, format!("the cell is empty; give {right}"));
        }
        value
    }

    fn time(&mut self, column: Column) -> Option<Timestamp> {
        let word = self.word(column)?;
        match word.parse() {
            Ok(time) => Some(time),
            Err(_) => {
                self.mistake(
                    column,
                    format!("{word:?} isn't a time with its offset from UTC; write it as 2024-02-27T02:22:55Z or 2024-02-27T04:22:55+02:00"),
                );
                None
            }
        }
    }

    fn method(&mut self, column: Column) -> Option<PaymentMethod> {
        let word = self.word(column)?;
        match PaymentMethod::from_str(word) {
            Ok(method) => Some(method),
            Err(_) => {
                let hint = match nearest(word, METHODS.into_iter()) {
                    Some(nearest) => format!("did you mean {nearest}? The"),
                    None => "the".to_owned(),
                };
                self.mistake(
                    column,
                    format!(
                        "{word:?} isn't a method; {hint} methods are {}",
                        METHODS.join(", ")
                    ),
                );
                None
            }
        }
    }

    fn cents(&mut self, column: Column) -> Option<i64> {
        let word = self.word(column)?;
        if let Ok(cents) = word.parse() {
            return Some(cents);
        }
        let digits = word.strip_prefix(['-', '+']).unwrap_or(word);
        let message = if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            format!(
                "{word} doesn't fit a signed 64-bit integer, which ends at {}",
                i64::MAX
            )
        } else if let Some((units, cents)) = digits.split_once('.')
            && !units.is_empty()
            && cents.len() == 2
            && [units, cents]
                .iter()
                .all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
        {
            format!(
                "{word} isn't a whole number; amounts are in cents, so write {}",
                word.replace('.', "")
            )
        } else {
            format!(
                "{word:?} isn't a whole number of cents; write 90.00 as 9000, with digits alone"
            )
        };
        self.mistake(column, message);
        None
    }

    fn json<T: DeserializeOwned>(&mut self, column: Column) -> Option<T> {
        let text = self.word(column)?;
        match decode(text.as_bytes()) {
            Ok(value) => Some(value),
            Err((pointer, message)) => {
                self.mistakes.push((Some(column), pointer, message));
                None
            }
        }
    }

    /// An account by its id, its stable name, or as the API's JSON has it.
    fn account(&mut self, column: Column) -> Option<AccountIdentifier> {
        let word = self.word(column)?;
        if word.starts_with('{') {
            return self.json(column);
        }
        Some(match Uuid::try_parse(word) {
            Ok(id) => AccountIdentifier::AccountId { id },
            Err(_) => AccountIdentifier::StableName {
                stable_name: word.to_owned(),
            },
        })
    }

    /// The allocations, and the plain column that they come from if they do.
    fn allocations(&mut self, amount: Option<i64>) -> (Option<Column>, Vec<AllocationInput>) {
        let plain: Vec<_> = [Column::InvoiceId, Column::InvoiceExternalId]
            .into_iter()
            .filter(|column| self.cells[*column as usize].is_some())
            .collect();
        if self.cells[Column::InvoicePayments as usize].is_some() {
            if !plain.is_empty() {
                self.mistake(
                    Column::InvoicePayments,
                    format!(
                        "the cell and {} are both filled; fill one of them",
                        names(&plain)
                    ),
                );
            }
            return (None, self.json(Column::InvoicePayments).unwrap_or_default());
        }
        let Some(first) = plain.first().copied() else {
            return (None, Vec::new());
        };
        let invoice_id = match self
            .word(Column::InvoiceId)
            .map(|word| (word, Uuid::try_parse(word)))
        {
            None => None,
            Some((_, Ok(id))) => Some(id),
            Some((word, Err(_))) => {
                self.mistake(
                    Column::InvoiceId,
                    format!("{word:?} isn't a UUID; your own id of the invoice belongs in the column invoice_external_id"),
                );
                None
            }
        };
        let invoice_external_id = self.text(Column::InvoiceExternalId);
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
        (Some(first), vec![AllocationInput::Invoice(allocation)])
    }

    /// Tags as the API's JSON array, or as `key=value; key=value`.
    fn tags(&mut self) -> Option<Vec<TagKeyValue>> {
        let word = self.word(Column::Tags)?;
        if word.starts_with('[') {
            return self.json(Column::Tags);
        }
        let mut tags = Vec::new();
        for part in word
            .split(';')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let (key, value) = (key.trim(), value.trim());
            if key.is_empty() || value.is_empty() {
                self.mistake(
                    Column::Tags,
                    format!("{part:?} isn't a tag; write key=value, and `; ` between two of them"),
                );
                return None;
            }
            tags.push(tag(key, value));
        }
        Some(tags)
    }
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

/// Writes a payment as a row under that header. Importing it again where it comes from changes nothing: what the row
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
