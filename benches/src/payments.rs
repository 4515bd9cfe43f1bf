//! The payments that are sent: the ten thousand of `tests/data/payments.csv`, and as many rounds of them as are asked for,
//! each with names, invoices and times of its own.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

/// How much earlier the payments of a round are than those of the round before: more than there is between two payments
/// of the file, so that a page holds different ones.
const ROUND_SECONDS: i64 = 133_337;

/// The payments of the file, as requests have them.
pub(crate) struct Payments {
    first_round: Vec<Value>,
}

impl Payments {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Payments> {
        let path = root.join("tests/data/payments.csv");
        let text = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
        let rows = rows(&text);
        let (header, rows) = rows.split_first().context("an empty file")?;
        let first_round = rows
            .iter()
            .map(|row| payment(header, row))
            .collect::<Result<Vec<_>, _>>()?;
        ensure!(!first_round.is_empty(), "{} has no row", path.display());
        Ok(Payments { first_round })
    }

    /// The payment with this number, which counts from 0 and has no end.
    pub(crate) fn payment(&self, number: usize) -> Value {
        let round = number / self.first_round.len();
        let mut payment = self.first_round[number % self.first_round.len()].clone();
        if round > 0 {
            rename(&mut payment, round);
        }
        payment
    }

    /// The body of a bulk with the payments from this number on.
    pub(crate) fn bulk(&self, first: usize, count: usize) -> Vec<u8> {
        let payments: Vec<Value> = (first..first + count)
            .map(|number| self.payment(number))
            .collect();
        Value::from(payments).to_string().into_bytes()
    }
}

/// Gives everything in a payment that names something a name of this round, and moves its times.
fn rename(value: &mut Value, round: usize) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(|item| rename(item, round)),
        Value::Object(properties) => {
            for (key, value) in properties.iter_mut() {
                match (key.as_str(), &mut *value) {
                    ("metadata", _) => {}
                    (
                        "external_id" | "invoice_external_id" | "reference_number",
                        Value::String(name),
                    ) => {
                        name.push_str(&format!("-{round}"));
                    }
                    ("invoice_id", Value::String(id)) => {
                        let head = u32::from_str_radix(&id[..8], 16).unwrap_or(0);
                        let moved = u32::try_from(round).unwrap_or(0).wrapping_mul(0x9e37_79b1);
                        id.replace_range(..8, &format!("{:08x}", head ^ moved));
                    }
                    ("paid_at" | "completed_at", Value::String(time)) => {
                        if let Ok(parsed) = time.parse::<Timestamp>() {
                            let seconds = i64::try_from(round).unwrap_or(0) * ROUND_SECONDS;
                            *time = (parsed - SignedDuration::from_secs(seconds)).to_string();
                        }
                    }
                    _ => rename(value, round),
                }
            }
        }
        _ => {}
    }
}

/// A row as the request that `import` makes of it.
fn payment(header: &[String], row: &[String]) -> anyhow::Result<Value> {
    let mut payment = Map::new();
    let mut allocations = json!([]);
    for (column, cell) in header.iter().zip(row) {
        if cell.is_empty() {
            continue;
        }
        let value = match column.as_str() {
            "amount" | "fee" => Value::from(cell.parse::<i64>()?),
            "invoice_id" | "invoice_external_id" => {
                allocations = json!([{column.as_str(): cell}]);
                continue;
            }
            "invoice_payments" => {
                allocations = serde_json::from_str(cell)?;
                continue;
            }
            "additional_fees" | "metadata" | "dedicated_refunds" => serde_json::from_str(cell)?,
            "tags" if cell.starts_with('[') => serde_json::from_str(cell)?,
            "tags" => cell
                .split(';')
                .filter_map(|tag| tag.split_once('='))
                .map(|(key, value)| json!({"key": key.trim(), "value": value.trim()}))
                .collect(),
            "payment_clearing_account_identifier" | "redemption_account"
                if cell.starts_with('{') =>
            {
                serde_json::from_str(cell)?
            }
            "payment_clearing_account_identifier" | "redemption_account" => {
                json!({"type": "StableName", "stable_name": cell})
            }
            _ => Value::from(cell.as_str()),
        };
        payment.insert(column.clone(), value);
    }
    // One invoice, named in a column of its own, gets the whole amount.
    if let Some(allocation) = allocations.get_mut(0)
        && allocation.get("amount").is_none()
    {
        allocation["amount"] = payment["amount"].clone();
    }
    payment.insert("invoice_payments".to_owned(), allocations);
    Ok(Value::Object(payment))
}

/// The records of a CSV file.
fn rows(mut text: &[u8]) -> Vec<Vec<String>> {
    let mut reader = csv_core::Reader::new();
    let mut output = vec![0; text.len()];
    let mut ends = vec![0; 1024];
    let mut rows = Vec::new();
    loop {
        let (result, read, _, fields) = reader.read_record(text, &mut output, &mut ends);
        text = &text[read..];
        match result {
            csv_core::ReadRecordResult::Record => {
                let mut start = 0;
                rows.push(
                    ends[..fields]
                        .iter()
                        .map(|&end| {
                            let cell = String::from_utf8_lossy(&output[start..end]).into_owned();
                            start = end;
                            cell
                        })
                        .collect(),
                );
            }
            csv_core::ReadRecordResult::End => return rows,
            // The next call is told of the end by an empty input; the buffers are larger than any record.
            _ => {}
        }
    }
}
