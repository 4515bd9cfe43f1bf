//! `layer-payments record` and `update`: one payment, given as the JSON that the API takes.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context as _, anyhow, bail};
use layer_payments_types::{CreateInvoicePayment, InvoicePaymentReply, UpdateInvoicePayment};
use layer_payments_validation::{Violation, validate_create, validate_update};
use serde::de::DeserializeOwned;

use crate::Exit;
use crate::args::{Body, Record, Update};
use crate::connection::{Connection, Missing};
use crate::output::{Output, message, printable};
use crate::rows;

pub(crate) async fn record(args: Record) -> anyhow::Result<Exit> {
    let payment: CreateInvoicePayment = read(&args.body)?;
    if !is_valid(&validate_create(&payment)) {
        return Ok(Exit::Failed);
    }
    let connection = Connection::open(&args.api, Missing::Create).await?;
    let reply = connection.client().record(&payment).await?.into_inner();
    finish(connection, reply).await
}

pub(crate) async fn update(args: Update) -> anyhow::Result<Exit> {
    let update: UpdateInvoicePayment = read(&args.body)?;
    if !is_valid(&validate_update(&update)) {
        return Ok(Exit::Failed);
    }
    let connection = Connection::open(&args.api, Missing::Refuse).await?;
    let reply = connection
        .client()
        .update(args.payment_id, &update)
        .await?
        .into_inner();
    finish(connection, reply).await
}

/// Reads the JSON strictly, as the API does.
fn read<T: DeserializeOwned>(body: &Body) -> anyhow::Result<T> {
    let (text, name) = match (&body.json, &body.file) {
        (Some(json), _) => (json.clone().into_bytes(), "--json".to_owned()),
        (None, Some(file)) if file == Path::new("-") => {
            let mut text = Vec::new();
            io::stdin()
                .read_to_end(&mut text)
                .context("reading standard input")?;
            (text, "standard input".to_owned())
        }
        (None, Some(file)) => {
            let text = fs::read(file).with_context(|| format!("reading {}", file.display()))?;
            (text, file.display().to_string())
        }
        (None, None) => bail!("there is no payment; give a file, or --json"),
    };
    rows::decode_object(&text).map_err(|(pointer, mistake)| {
        let place = if pointer.is_empty() {
            String::new()
        } else {
            format!(" at {pointer}")
        };
        anyhow!("{name}{place}: {mistake}")
    })
}

/// Tells what is wrong, all of it.
fn is_valid(violations: &[Violation]) -> bool {
    for violation in violations {
        message(format_args!("error: {}", printable(&violation.to_string())));
    }
    violations.is_empty()
}

/// Writes the payment, and what became of it where the API says so.
async fn finish(connection: Connection, reply: InvoicePaymentReply) -> anyhow::Result<Exit> {
    let outcome = reply
        .meta
        .as_option()
        .and_then(|meta| meta.idempotency.as_option());
    if let Some(outcome) = outcome.and_then(|idempotency| idempotency.outcomes.first()) {
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
