//! `layer-payments validate`: what is wrong with the payments of a file, with no API and no network.
//!
//! Payments are read and judged one at a time and what is found is written at once, so that memory doesn't grow with the
//! file but for its external ids.

use std::fmt;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use layer_payments_types::Operation;
use layer_payments_validation::{Context, Rule, Severity, Violation};
use serde::Serialize;

use crate::Exit;
use crate::args::{Asked, Validate, ValidateFormat, ValidateOutput};
use crate::output::{self, Output, ReaderGone, message, printable};
use crate::rows::{Format, NotJson, Origin, Rows};
use crate::source::{Source, format_of_name};

pub(crate) fn run(args: &Validate) -> anyhow::Result<Exit> {
    let source = Source::open(&args.file)?;
    let named = match args.format {
        Some(ValidateFormat::Csv) => Some(Format::Csv),
        Some(ValidateFormat::Jsonl) => Some(Format::JsonLines),
        Some(ValidateFormat::Json) => Some(Format::Json),
        None => format_of_name(&args.file),
    };
    let (source, format) = match named {
        Some(format) => (source, format),
        None => source.sniff()?,
    };
    let operation = args.operation.map(|asked| match asked {
        Asked::Record => Operation::RecordInvoicePayment,
        Asked::Bulk => Operation::BulkCreateInvoicePayments,
        Asked::Update => Operation::UpdateInvoicePayment,
    });
    if format == Format::Csv && operation == Some(Operation::UpdateInvoicePayment) {
        bail!(
            "{}: an update is JSON, as a cell of CSV can't tell what stays from what is cleared; give a JSON object, or \
             JSON Lines with one in each line",
            source.name
        );
    }

    let mut report = Report::new(args.output);
    let ended = check(source, format, operation, &mut report);
    match ended {
        // There is nobody left to tell, but a script may still ask for the exit code.
        Err(error) if error.is::<ReaderGone>() => Ok(report.exit()),
        ended => report.finish(ended),
    }
}

/// Writes what is wrong with each payment.
fn check(
    source: Source,
    format: Format,
    operation: Option<Operation>,
    report: &mut Report,
) -> anyhow::Result<()> {
    let context = Context::at(Timestamp::now());
    let name = source.name;
    let mut rows =
        Rows::new(format, operation, context, source.input).with_context(|| name.clone())?;
    report.began = true;
    while let Some(row) = rows.next().with_context(|| name.clone())? {
        report.payments += u64::from(row.origin.is_payment());
        for violation in &row.violations {
            report.take(row.origin, violation)?;
        }
    }
    Ok(())
}

/// Writes violations and counts them.
struct Report {
    form: ValidateOutput,
    output: Output,
    /// Whether any of the file was read.
    began: bool,
    payments: u64,
    errors: u64,
    warnings: u64,
}

/// A violation as programs read it.
#[derive(Serialize)]
struct Told<'a> {
    code: &'a str,
    severity: &'a str,
    pointer: &'a str,
    message: &'a str,
}

impl Report {
    fn new(form: ValidateOutput) -> Self {
        Self {
            form,
            output: Output::new(),
            began: false,
            payments: 0,
            errors: 0,
            warnings: 0,
        }
    }

    fn take(&mut self, origin: Origin, violation: &Violation) -> anyhow::Result<()> {
        let place = origin.place(&violation.pointer);
        self.write(&place, &origin.pointer(&violation.pointer), violation)
    }

    /// Writes a violation. `place` is for people, in the words of the file.
    fn write(&mut self, place: &str, pointer: &str, violation: &Violation) -> anyhow::Result<()> {
        let is_first = self.errors + self.warnings == 0;
        match violation.severity() {
            Severity::Error => self.errors += 1,
            Severity::Warning => self.warnings += 1,
        }
        let text = match self.form {
            ValidateOutput::Json => {
                let told = Told {
                    code: violation.rule.code(),
                    severity: violation.severity().as_str(),
                    pointer,
                    message: &violation.message,
                };
                let json = serde_json::to_string(&told).context("writing a violation as JSON")?;
                format!("{}{json}", if is_first { "[\n" } else { ",\n" })
            }
            ValidateOutput::Text => {
                let separator = if place.is_empty() { "" } else { ", " };
                let pointer = if pointer.is_empty() {
                    "(whole body)"
                } else {
                    pointer
                };
                let line = format!(
                    "{}: {place}{separator}{pointer}: {} ({})",
                    violation.severity(),
                    violation.message,
                    violation.rule
                );
                printable(&line) + "\n"
            }
        };
        self.output.write(text.as_bytes())
    }

    fn exit(&self) -> Exit {
        match self.errors {
            0 => Exit::Well,
            _ => Exit::Partly,
        }
    }

    /// Writes the end and the summary, and why the file couldn't be read to its end if so.
    fn finish(mut self, ended: anyhow::Result<()>) -> anyhow::Result<Exit> {
        let mut unread = String::new();
        let mut failed = None;
        if let Err(error) = ended {
            match error.downcast_ref::<NotJson>() {
                Some(NotJson(malformed)) => {
                    // That a document isn't JSON is a violation like any other; but nothing after it can be judged.
                    let violation = Violation {
                        rule: Rule::JsonMalformed,
                        pointer: String::new(),
                        message: format!(
                            "The document isn't JSON at {}: {}.",
                            malformed.place, malformed.what
                        ),
                    };
                    unread = format!("; what follows {} can't be read", malformed.place);
                    self.write("", "", &violation)?;
                }
                // Nothing was judged, so there is nothing but the error to tell.
                None if !self.began => return Err(error),
                None => {
                    unread = "; the rest can't be read".to_owned();
                    failed = Some(error);
                }
            }
        }
        // What broke off gets no end that would make it look complete.
        if self.form == ValidateOutput::Json && failed.is_none() {
            let end: &[u8] = match self.errors + self.warnings {
                0 => b"[]\n",
                _ => b"\n]\n",
            };
            self.output.write(end)?;
        }
        let exit = match unread.is_empty() {
            true => self.exit(),
            false => Exit::Failed,
        };
        self.output.finish()?;
        if let Some(error) = failed {
            output::error(&error);
        }
        message(format_args!(
            "{} read, {}, {}{unread}",
            Count(self.payments, "payment"),
            Count(self.errors, "error"),
            Count(self.warnings, "warning")
        ));
        Ok(exit)
    }
}

/// A number of things: `1 error`, `2 errors`.
struct Count(u64, &'static str);

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plural = if self.0 == 1 { "" } else { "s" };
        write!(f, "{} {}{plural}", self.0, self.1)
    }
}
