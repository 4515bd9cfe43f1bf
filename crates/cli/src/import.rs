//! `layer-payments import`: the rows of a file, in chunks through the bulk operation.
//!
//! A thread of its own reads and checks the rows and puts those that are right into batches; a few batches are on their way
//! to the API at any time, and their results are taken in the file's order, so that the same file always gives the same
//! report. Memory doesn't grow with the file but for a few bytes for each external id, to find it a second time.
//!
//! Nothing is lost without a word: each row ends up in the API, in a report of what is wrong with it, or behind the row
//! that the command says it stopped at. As a payment with an external id is recorded once however often it's sent, the
//! same command run again completes what stopped.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, bail};
use futures_util::StreamExt as _;
use futures_util::stream::FuturesOrdered;
use jiff::Timestamp;
use layer_payments_client::{Client, Error, Unchecked};
use layer_payments_types::{
    CreateInvoicePayment, IdempotencyOutcome, InvoicePaymentBulkReply, Operation,
};
use layer_payments_validation::{Context, Rule, Severity};
use tokio::sync::mpsc;

use crate::Exit;
use crate::args::{Import, ImportFormat};
use crate::connection::{Connection, Missing};
use crate::output::{self, Output, Progress, ReaderGone, message, printable, rate};
use crate::rows::{Format, Origin, Row, RowError, Rows};
use crate::source::{Source, format_of_name};

/// How many payments go into a request to a server elsewhere: what Layer's bulk operation for invoices takes.
const REMOTE_CHUNK: usize = 25;
/// How many payments go into a request to the server in this process, where each request is one transaction.
const LOCAL_CHUNK: usize = 500;
/// How many requests are on their way at a time.
const IN_FLIGHT: usize = 4;
/// How often a request is sent that the rate limit holds up.
const MOST_ATTEMPTS: u32 = 10;
/// How long to wait where a rate limit doesn't say: Layer's bucket is filled every second.
const USUAL_WAIT: Duration = Duration::from_secs(1);
/// The longest wait that a rate limit is granted.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

pub(crate) async fn run(args: Import) -> anyhow::Result<Exit> {
    let source = Source::open(&args.file)?;
    let format = format(&args)?;
    let context = Context::at(Timestamp::now());
    let operation = Some(Operation::RecordInvoicePayment);
    let rows =
        Rows::new(format, operation, context, source.input).with_context(|| source.name.clone())?;
    let connection = Connection::open(&args.api, Missing::Create).await?;
    let chunk = match args.chunk {
        Some(chunk) => usize::try_from(chunk).unwrap_or(usize::MAX),
        None if connection.is_local() => LOCAL_CHUNK,
        None => REMOTE_CHUNK,
    };

    let mut report = Report::new(Progress::new(source.bytes));
    let ended = import(connection.client(), rows, chunk, &mut report).await;
    let closed = connection.close().await;
    let exit = report.finish(ended.with_context(|| source.name), &args.file)?;
    closed?;
    Ok(exit)
}

/// The format that the flag or else the file's name gives.
fn format(args: &Import) -> anyhow::Result<Format> {
    match (args.format, format_of_name(&args.file)) {
        (Some(ImportFormat::Csv), _) => Ok(Format::Csv),
        (Some(ImportFormat::Jsonl), _) => Ok(Format::JsonLines),
        (None, Some(format @ (Format::Csv | Format::JsonLines))) => Ok(format),
        (None, Some(Format::Json)) => bail!(
            "{} is one JSON document, and import takes CSV and JSON Lines; write each payment on a line of its own, as \
             `jq -c '.[]' FILE` does",
            args.file.display()
        ),
        (None, None) => bail!(
            "the name {} doesn't tell the file's format; add --format csv or --format jsonl",
            args.file.display()
        ),
    }
}

// ---- Reading ------------------------------------------------------------------------------------------------------

/// Rows that follow each other: those to send, and what is wrong with the others.
#[derive(Default)]
struct Batch {
    chunk: Chunk,
    rejected: Rejected,
    /// The last row.
    last_row: u64,
    /// How many bytes of the file are used up.
    bytes: u64,
    /// The rows without an external id: the first, and how many.
    without_id: Option<(Origin, u64)>,
    /// What else is likely a mistake, in rows that were rejected too.
    warnings: u64,
}

/// Payments to send in one request, with where each comes from.
#[derive(Default)]
struct Chunk {
    origins: Vec<Origin>,
    payments: Vec<CreateInvoicePayment>,
}

/// What is wrong with each rejected row, in the file's order.
type Rejected = BTreeMap<u64, Vec<RowError>>;

/// Makes batches of rows, on the thread that reads them.
struct Batches {
    rows: Rows,
    chunk: usize,
    /// Why no more rows can be read. Told after the rows before it.
    broken: Option<anyhow::Error>,
}

impl Batches {
    /// Reads to the end, as long as anybody takes the batches.
    fn run(mut self, sender: &mpsc::Sender<anyhow::Result<Batch>>) {
        while let Some(batch) = self.next().transpose() {
            let is_last = batch.is_err();
            if sender.blocking_send(batch).is_err() || is_last {
                return;
            }
        }
    }

    fn next(&mut self) -> anyhow::Result<Option<Batch>> {
        if let Some(broken) = self.broken.take() {
            return Err(broken);
        }
        let mut batch = Batch::default();
        // A file of nothing but mistakes must not fill the memory either.
        while batch.chunk.payments.len() < self.chunk && batch.rejected.len() < LOCAL_CHUNK {
            match self.rows.next() {
                Ok(Some(row)) => {
                    batch.last_row = row.origin.number();
                    sort_in(&mut batch, row);
                }
                Ok(None) => break,
                Err(broken) if batch.last_row == 0 => return Err(broken),
                Err(broken) => {
                    self.broken = Some(broken);
                    break;
                }
            }
        }
        batch.bytes = self.rows.position();
        Ok((batch.last_row > 0).then_some(batch))
    }
}

/// Puts a row where it belongs: to those that are sent, or to those that are rejected.
fn sort_in(batch: &mut Batch, row: Row) {
    let origin = row.origin;
    for violation in &row.violations {
        // Payments without an external id are counted by themselves: what is to say about them isn't about their values.
        if violation.severity() == Severity::Warning && violation.rule != Rule::ExternalIdMissing {
            batch.warnings += 1;
        }
    }
    let Some(payment) = row.payment else {
        let errors = row.violations.into_iter();
        let errors = errors.filter(|violation| violation.severity() == Severity::Error);
        batch.rejected.insert(
            origin.number(),
            errors
                .map(|violation| origin.error(&violation.pointer, violation.message))
                .collect(),
        );
        return;
    };
    if payment.external_id.is_none() {
        let (first, count) = batch.without_id.unwrap_or((origin, 0));
        batch.without_id = Some((first, count + 1));
    }
    batch.chunk.origins.push(origin);
    batch.chunk.payments.push(payment);
}

// ---- Sending ------------------------------------------------------------------------------------------------------

/// What became of a batch.
struct Sent {
    counts: Counts,
    rejected: Rejected,
    bytes: u64,
    without_id: Option<(Origin, u64)>,
    warnings: u64,
    /// Why its rows couldn't all be sent, and the first row that wasn't.
    stopped: Option<(Origin, Error)>,
}

/// What became of so many rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    created: u64,
    updated: u64,
    unchanged: u64,
    /// Taken by an API that doesn't tell which of the three.
    accepted: u64,
    rejected: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.created += other.created;
        self.updated += other.updated;
        self.unchanged += other.unchanged;
        self.accepted += other.accepted;
        self.rejected += other.rejected;
    }

    /// Adds what a reply says about the payments of its request.
    fn add_reply(&mut self, reply: &InvoicePaymentBulkReply, sent: usize) {
        let idempotency = reply
            .meta
            .as_option()
            .and_then(|meta| meta.idempotency.as_option());
        let outcomes = idempotency
            .and_then(|idempotency| idempotency.outcomes.as_deref())
            .unwrap_or_default();
        if outcomes.len() != sent {
            self.accepted += sent as u64;
            return;
        }
        for outcome in outcomes {
            match outcome {
                IdempotencyOutcome::Created => self.created += 1,
                IdempotencyOutcome::Updated => self.updated += 1,
                IdempotencyOutcome::Unchanged => self.unchanged += 1,
                _ => self.accepted += 1,
            }
        }
    }

    /// How many payments the API has.
    fn taken(self) -> u64 {
        self.created + self.updated + self.unchanged + self.accepted
    }

    fn rows(self) -> u64 {
        self.taken() + self.rejected
    }

    /// The counts by name. `accepted` stands for the three that an API may keep to itself.
    fn named(self) -> Vec<(&'static str, u64)> {
        let mut named = Vec::new();
        let told = self.created + self.updated + self.unchanged;
        if told > 0 || self.accepted == 0 {
            named.extend([
                ("created", self.created),
                ("updated", self.updated),
                ("unchanged", self.unchanged),
            ]);
        }
        if self.accepted > 0 {
            named.push(("accepted", self.accepted));
        }
        named.push(("rejected", self.rejected));
        named
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (name, count)) in self.named().into_iter().enumerate() {
            let separator = if index > 0 { ", " } else { "" };
            write!(f, "{separator}{count} {name}")?;
        }
        Ok(())
    }
}

/// Sends all rows that are right, and reports on all of them in the file's order.
async fn import(
    client: &Client,
    rows: Rows,
    chunk: usize,
    report: &mut Report,
) -> anyhow::Result<()> {
    let (sender, mut batches) = mpsc::channel(IN_FLIGHT);
    let reader = Batches {
        rows,
        chunk,
        broken: None,
    };
    // Not one of the runtime's threads: what waits for standard input can't be called back, and the program must be able
    // to end without it.
    thread::Builder::new()
        .name("reader".to_owned())
        .spawn(move || reader.run(&sender))
        .context("starting to read")?;

    let mut in_flight = FuturesOrdered::new();
    let mut more = true;
    let mut broken = None;
    loop {
        tokio::select! {
            batch = batches.recv(), if more && in_flight.len() < IN_FLIGHT => match batch {
                Some(Ok(batch)) => in_flight.push_back(send(client, batch)),
                Some(Err(error)) => {
                    broken = Some(error);
                    more = false;
                }
                None => more = false,
            },
            Some(sent) = in_flight.next(), if !in_flight.is_empty() => {
                // What is on its way is waited for, so that the report says what the API has.
                more &= sent.stopped.is_none();
                report.take(sent);
            }
            else => break,
        }
    }
    match broken {
        Some(error) => Err(error),
        None => Ok(()),
    }
}

/// Sends a batch: at once, or where the API refuses it in smaller and smaller parts, until what it refuses is alone.
async fn send(client: &Client, batch: Batch) -> Sent {
    let mut sent = Sent {
        counts: Counts::default(),
        rejected: batch.rejected,
        bytes: batch.bytes,
        without_id: batch.without_id,
        warnings: batch.warnings,
        stopped: None,
    };
    let mut waiting = vec![batch.chunk];
    while let Some(mut chunk) = waiting.pop() {
        if chunk.payments.is_empty() {
            continue;
        }
        match client_bulk(client, &chunk.payments).await {
            Ok(reply) => sent.counts.add_reply(&reply, chunk.payments.len()),
            Err(error) => match refused(client, &error, chunk.payments.len()).await {
                Refused::Payments(refused) => {
                    chunk.reject(&refused, &mut sent.rejected);
                    waiting.push(chunk);
                }
                Refused::Chunk => {
                    let second = chunk.split_off_half();
                    waiting.push(second);
                    waiting.push(chunk);
                }
                Refused::Everything => {
                    sent.stopped = chunk.origins.first().map(|origin| (*origin, error));
                    break;
                }
            },
        }
    }
    sent.counts.rejected = sent.rejected.len() as u64;
    sent
}

/// Calls the bulk operation, and calls it again after the wait that the API asks for: at a rate limit, when nothing was
/// changed, and where the service is unavailable for now, if each payment has an external id that makes it repeatable.
async fn client_bulk(
    client: &Client,
    payments: &[CreateInvoicePayment],
) -> Result<InvoicePaymentBulkReply, Error> {
    let repeatable = payments.iter().all(|payment| payment.external_id.is_some());
    let asks_to_wait = |error: &Error| {
        error.is_rate_limited()
            || repeatable && error.status() == Some(503) && error.retry_after().is_some()
    };
    let mut attempt = 1;
    loop {
        // Each row was checked by the same rules when it was read, which leaves nothing for a second look.
        match client.bulk(Unchecked(payments)).await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(error) if asks_to_wait(&error) && attempt < MOST_ATTEMPTS => {
                attempt += 1;
                tokio::time::sleep(error.retry_after().unwrap_or(USUAL_WAIT).min(LONGEST_WAIT))
                    .await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// What an API refuses when it refuses a chunk.
enum Refused {
    /// These payments, by their index: a JSON Pointer into each, and what is wrong there.
    Payments(BTreeMap<usize, Vec<(String, String)>>),
    /// One or several of its payments, and it doesn't say which.
    Chunk,
    /// Whatever it is sent, now.
    Everything,
}

async fn refused(client: &Client, error: &Error, payments: usize) -> Refused {
    // 400 and 422 refuse the content, 404 what it names, 409 what is in its way, and 413 its size.
    if !matches!(error.status(), Some(400 | 404 | 409 | 413 | 422)) {
        return Refused::Everything;
    }
    let mut refused = BTreeMap::<usize, Vec<_>>::new();
    for detail in error.errors() {
        let pointer = detail
            .meta
            .as_option()
            .and_then(|meta| meta.pointer.as_option());
        if let Some((index, pointer)) = pointer.and_then(|pointer| split_index(pointer))
            && index < payments
        {
            refused
                .entry(index)
                .or_default()
                .push((pointer.to_owned(), detail.description.clone()));
        }
    }
    if !refused.is_empty() {
        return Refused::Payments(refused);
    }
    // A 404 may also say that the business doesn't exist; then no payment is at fault.
    if error.is_not_found()
        && client
            .list()
            .limit(1)
            .send()
            .await
            .is_err_and(|error| error.is_not_found())
    {
        return Refused::Everything;
    }
    if payments > 1 {
        return Refused::Chunk;
    }
    let mut reasons: Vec<_> = error
        .errors()
        .iter()
        .map(|detail| (String::new(), detail.description.clone()))
        .collect();
    if reasons.is_empty() {
        reasons.push((String::new(), error.to_string()));
    }
    Refused::Payments(BTreeMap::from([(0, reasons)]))
}

/// Takes a pointer into a bulk request apart: the payment's index, and the pointer into the payment.
fn split_index(pointer: &str) -> Option<(usize, &str)> {
    let path = pointer.strip_prefix('/')?;
    let end = path.find('/').unwrap_or(path.len());
    Some((path[..end].parse().ok()?, &path[end..]))
}

impl Chunk {
    /// Takes payments out.
    fn reject(
        &mut self,
        refused: &BTreeMap<usize, Vec<(String, String)>>,
        rejected: &mut Rejected,
    ) {
        for (index, mistakes) in refused.iter().rev() {
            if *index >= self.payments.len() {
                continue;
            }
            self.payments.remove(*index);
            let origin = self.origins.remove(*index);
            let errors = mistakes
                .iter()
                .map(|(pointer, mistake)| origin.error(pointer, mistake));
            rejected.insert(origin.number(), errors.collect());
        }
    }

    fn split_off_half(&mut self) -> Chunk {
        let half = self.payments.len() / 2;
        Chunk {
            origins: self.origins.split_off(half),
            payments: self.payments.split_off(half),
        }
    }
}

// ---- Reporting ----------------------------------------------------------------------------------------------------

/// What became of the rows so far.
struct Report {
    progress: Progress,
    counts: Counts,
    bytes: u64,
    without_id: Option<(Origin, u64)>,
    warnings: u64,
    stopped: Option<(Origin, Error)>,
}

impl Report {
    fn new(progress: Progress) -> Self {
        Self {
            progress,
            counts: Counts::default(),
            bytes: 0,
            without_id: None,
            warnings: 0,
            stopped: None,
        }
    }

    fn take(&mut self, sent: Sent) {
        for error in sent.rejected.values().flatten() {
            self.progress.message(printable(&error.to_string()));
        }
        self.counts.add(sent.counts);
        self.bytes = self.bytes.max(sent.bytes);
        if let Some((row, count)) = sent.without_id {
            let (first, before) = self.without_id.unwrap_or((row, 0));
            self.without_id = Some((first, before + count));
        }
        self.warnings += sent.warnings;
        if self.stopped.is_none() {
            self.stopped = sent.stopped;
        }
        if self.counts.rows() > 0 {
            self.progress
                .update(self.bytes, self.counts.rows(), self.counts);
        }
    }

    /// Writes the summary and, where the import stopped, why and what to do.
    fn finish(self, ended: anyhow::Result<()>, file: &Path) -> anyhow::Result<Exit> {
        let elapsed = self.progress.elapsed();
        self.progress.finish();
        let counts = self.counts;
        message(format_args!(
            "{} {} in {}.{:02} s ({} rows/s)",
            counts.rows(),
            if counts.rows() == 1 { "row" } else { "rows" },
            elapsed.as_secs(),
            elapsed.subsec_millis() / 10,
            rate(counts.rows(), elapsed)
        ));
        if let Some((first, count)) = self.without_id {
            let first = first.place("");
            let (rows, them) = if count == 1 {
                (format!("{first} has no external_id"), "it")
            } else {
                let rows = format!("{count} rows have no external_id, the first of them {first}");
                (rows, "them")
            };
            message(format_args!(
                "warning: {rows}; importing {them} again would record {them} again"
            ));
        }
        if self.warnings > 0 {
            message(format_args!(
                "{}{} (see `layer-payments validate {}`)",
                self.warnings,
                match (self.without_id.is_some(), self.warnings) {
                    (true, 1) => " other warning",
                    (true, _) => " other warnings",
                    (false, 1) => " warning",
                    (false, _) => " warnings",
                },
                printable(&file.display().to_string())
            ));
        }

        let stopped = match (self.stopped, ended) {
            (Some((row, error)), ended) => {
                let again = if self.without_id.is_none() {
                    "Running the same command again is safe: payments that are there already are found by their external_id."
                } else {
                    "Running the same command again is safe for the rows that have an external_id; the others would be recorded again."
                };
                let error =
                    anyhow::Error::new(error).context(format!("stopped at {}", row.place("")));
                output::error(&error);
                message(again);
                if let Err(error) = ended {
                    output::error(&error);
                }
                true
            }
            (None, Err(error)) => {
                output::error(&error);
                true
            }
            (None, Ok(())) => false,
        };

        let mut summary = String::new();
        for (name, count) in counts.named() {
            summary.push_str(&format!("{name:<9} {count:>9}\n"));
        }
        let exit = match (stopped, counts.taken(), counts.rejected) {
            (false, _, 0) => Exit::Well,
            (true, 0, _) => Exit::Failed,
            _ => Exit::Partly,
        };
        let mut output = Output::new();
        let written = output
            .write(summary.as_bytes())
            .and_then(|()| output.finish());
        match written {
            // A reader that didn't wait for the summary still gets the exit code.
            Err(error) if !error.is::<ReaderGone>() => Err(error),
            _ => Ok(exit),
        }
    }
}
