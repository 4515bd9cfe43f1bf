//! `layer-payments record` and `update`: one payment, given as the JSON that the API takes.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use layer_payments_types::InvoicePaymentReply;
use layer_payments_validation::{Context, Validated, Violation, read_create, read_update};

use crate::Exit;
use crate::args::{Body, Record, Update};
use crate::connection::{Connection, Missing};
use crate::output::{Output, message, printable};

pub(crate) async fn record(args: Record) -> anyhow::Result<Exit> {
    let text = read(&args.body)?;
    let context = Context::at(Timestamp::now());
    let Some(payment) = told(read_create(&text, &context)) else {
        return Ok(Exit::Failed);
    };
    let connection = Connection::open(&args.api, Missing::Create).await?;
    let reply = connection.client().record(&payment).await?.into_inner();
    finish(connection, reply).await
}

pub(crate) async fn update(args: Update) -> anyhow::Result<Exit> {
    let text = read(&args.body)?;
    let context = Context::at(Timestamp::now());
    let Some(update) = told(read_update(&text, None, &context)) else {
        return Ok(Exit::Failed);
    };
    let connection = Connection::open(&args.api, Missing::Refuse).await?;
    let reply = connection
        .client()
        .update(args.payment_id, &update)
        .await?
        .into_inner();
    finish(connection, reply).await
}

/// The JSON that the flag or the file holds.
fn read(body: &Body) -> anyhow::Result<Vec<u8>> {
    match (&body.json, &body.file) {
        (Some(json), _) => Ok(json.clone().into_bytes()),
        (None, Some(file)) if file == Path::new("-") => {
            let mut text = Vec::new();
            io::stdin()
                .read_to_end(&mut text)
                .context("reading standard input")?;
            Ok(text)
        }
        (None, Some(file)) => fs::read(file).with_context(|| format!("reading {}", file.display())),
        (None, None) => bail!("there is no payment; give a file, or --json"),
    }
}

/// Tells what is wrong, all of it, and gives what can be sent.
fn told<T>(checked: Result<Validated<T>, Vec<Violation>>) -> Option<Validated<T>> {
    let violations = match &checked {
        Ok(valid) => valid.warnings(),
        Err(violations) => violations,
    };
    for violation in violations {
        message(format_args!(
            "{}: {}",
            violation.severity(),
            printable(&violation.to_string())
        ));
    }
    checked.ok()
}

/// Writes the payment, and what became of it where the API says so.
async fn finish(connection: Connection, reply: InvoicePaymentReply) -> anyhow::Result<Exit> {
    let outcome = reply
        .meta
        .as_option()
        .and_then(|meta| meta.idempotency.as_option());
    if let Some(outcome) = outcome.and_then(|idempotency| idempotency.outcomes.as_ref()?.first()) {
        message(printable(&outcome.to_string()));
    }
    let mut json = serde_json::to_vec_pretty(&reply.data).context("writing the payment as JSON")?;
    json.push(b'\n');
    let mut output = Output::new();
    let written = output.write(&json).and_then(|()| output.finish());
    connection.close().await?;
    written?;
    Ok(Exit::Well)
}
