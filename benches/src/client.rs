//! What the client costs a request, in instructions, against the same request by hand.
//!
//! Time on a shared machine says little about a difference of a few per cent; the number of instructions is the same in
//! every run, almost. This program runs itself under callgrind with one side at a time, against the server. Each side
//! runs twice, with few requests and with many, and the difference is what a request costs, without start and end.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use clap::{Args, ValueEnum};
use layer_payments_client::reqwest;
use layer_payments_client::types::{
    CreateInvoicePayment, InvoicePaymentBulkReply, InvoicePaymentListReply, InvoicePaymentReply,
};
use layer_payments_client::{Client, Unchecked};
use serde::de::DeserializeOwned;

use crate::Bench;
use crate::http::{BUSINESS, Connection, TOKEN, block_on, post};
use crate::report::{Goal, Report};
use crate::server::{Server, fresh};

/// How many requests the short and the long run make.
const SHORT: u32 = 50;
const LONG: u32 = 350;

/// Payments of a bulk, and of a page of a list.
const MANY: usize = 100;

/// What the client may cost more than the same by hand.
const GOAL: f64 = 1.05;

/// The side to run under callgrind; this program's own options for calling itself.
#[derive(Args)]
pub(crate) struct Requests {
    #[arg(long, hide = true, requires_all = ["call", "url"])]
    side: Option<Side>,
    #[arg(long, hide = true)]
    call: Option<Call>,
    #[arg(long, hide = true)]
    url: Option<String>,
    #[arg(long, hide = true, default_value_t = 0)]
    count: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Side {
    Client,
    ByHand,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Call {
    Record,
    Bulk,
    List,
}

pub(crate) fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "client",
        "instructions of a request through the client, against the same by hand (callgrind)",
    );
    report.note(
        "By hand is reqwest with serde_json and the same types. Both send the same payload, one request after the other.",
    );
    let server = Server::start(&bench.program, &fresh(&bench.folder, "client.db")?)?;
    // So that every request of both sides finds the same: payments that are there already.
    block_on(async {
        let mut connection = Connection::open(server.address).await?;
        let bulk = post("/bulk", &bench.payments.bulk(0, MANY));
        connection.exchange(&bulk).await?.json()?;
        Ok(())
    })?;
    let url = format!("http://{}", server.address);
    for call in [Call::Record, Call::Bulk, Call::List] {
        let a_request = |side| -> anyhow::Result<f64> {
            let few = instructions(side, call, &url, SHORT)?;
            let many = instructions(side, call, &url, LONG)?;
            Ok((many - few) / f64::from(LONG - SHORT))
        };
        let (client, by_hand) = (a_request(Side::Client)?, a_request(Side::ByHand)?);
        let what = match call {
            Call::Record => "record".to_owned(),
            Call::Bulk => format!("bulk of {MANY}"),
            Call::List => format!("list of {MANY}"),
        };
        report.figure(&format!("{what}, client"), client, "instructions", "");
        report.figure(&format!("{what}, by hand"), by_hand, "instructions", "");
        report.goal(
            &format!("{what}, client / by hand"),
            client / by_hand,
            Goal::AtMost(GOAL),
        );
    }
    Ok(())
}

/// Runs one side under callgrind. Gives how many instructions the whole process took.
fn instructions(side: Side, call: Call, url: &str, count: u32) -> anyhow::Result<f64> {
    let name = |value: Option<clap::builder::PossibleValue>| {
        value.map_or_else(String::new, |value| value.get_name().to_owned())
    };
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--program", "-", "--url", url])
        .args(["--side", &name(side.to_possible_value())])
        .args(["--call", &name(call.to_possible_value())])
        .args(["--count", &count.to_string()])
        .output()
        .context("counting instructions needs valgrind; the other benchmarks don't")?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{side:?} failed:\n{told}");
    let collected = told
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .with_context(|| format!("callgrind didn't say what it counted:\n{told}"))?;
    Ok(collected.1.trim().parse()?)
}

impl Requests {
    /// Makes the requests of one side, if this program was called for that.
    pub(crate) fn run(self, bench: &Bench) -> Option<anyhow::Result<()>> {
        let (side, call, url) = (self.side?, self.call?, self.url?);
        Some(block_on(async move {
            let payments: Vec<CreateInvoicePayment> =
                serde_json::from_slice(&bench.payments.bulk(0, MANY))?;
            match side {
                Side::Client => client(call, &url, self.count, &payments).await,
                Side::ByHand => by_hand(call, &url, self.count, &payments).await,
            }
        }))
    }
}

async fn client(
    call: Call,
    url: &str,
    count: u32,
    payments: &[CreateInvoicePayment],
) -> anyhow::Result<()> {
    let client = Client::builder()
        .base_url(url)
        .token(TOKEN)
        .business_id(BUSINESS.parse()?)
        .build()?;
    for _ in 0..count {
        let length = match call {
            Call::Record => {
                let reply = client.record(Unchecked(&payments[0])).await?;
                reply.into_inner().data.allocations.len()
            }
            Call::Bulk => client.bulk(Unchecked(payments)).await?.data.len(),
            Call::List => client.list().limit(100).send().await?.data.len(),
        };
        ensure!(length > 0, "an empty reply");
    }
    Ok(())
}

async fn by_hand(
    call: Call,
    url: &str,
    count: u32,
    payments: &[CreateInvoicePayment],
) -> anyhow::Result<()> {
    let http = reqwest::Client::builder()
        .timeout(Duration::from_secs(30))
        .connect_timeout(Duration::from_secs(10))
        .no_proxy()
        .build()?;
    let url = format!("{url}/v1/businesses/{BUSINESS}/invoices/payments");
    for _ in 0..count {
        let length = match call {
            Call::Record => {
                let request = http.post(&url).json(&payments[0]);
                let reply: InvoicePaymentReply = sent(request).await?;
                reply.data.allocations.len()
            }
            Call::Bulk => {
                let request = http.post(format!("{url}/bulk")).json(payments);
                let reply: InvoicePaymentBulkReply = sent(request).await?;
                reply.data.len()
            }
            Call::List => {
                let request = http.get(&url).query(&[("limit", 100)]);
                let reply: InvoicePaymentListReply = sent(request).await?;
                reply.data.len()
            }
        };
        ensure!(length > 0, "an empty reply");
    }
    Ok(())
}

async fn sent<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> anyhow::Result<T> {
    let reply = request.bearer_auth(TOKEN).send().await?;
    let reply = reply.error_for_status()?.bytes().await?;
    Ok(serde_json::from_slice(&reply)?)
}
