//! Bulks of a thousand payments over HTTP, against a bare loop that inserts the same rows; and where the time goes.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use jiff::Timestamp;
use layer_payments_types::InvoicePaymentBulkReply;
use layer_payments_validation::{Context, read_bulk};

use crate::Bench;
use crate::bare::{Bare, Recorder, Times};
use crate::http::{Connection, block_on, get, post};
use crate::report::{Goal, Report, median, milliseconds};
use crate::server::{Server, fresh};

/// Payments of a bulk.
const SIZE: usize = 1_000;
/// Bulks on each side. The first ones make the accounts and tags, so all but a few are alike.
const BULKS: usize = 40;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "bulk",
        "1,000 payments over HTTP, against a bare rusqlite loop that inserts the same rows",
    );
    let database = fresh(&bench.folder, "bulk.db")?;
    let server = Server::start(&bench.program, &database)?;
    let mut recorder = Recorder::start(&database)?;
    let bare = Bare::like(&recorder, &fresh(&bench.folder, "bulk-bare.db")?)?;
    let timed = Bare::like(&recorder, &fresh(&bench.folder, "bulk-timed.db")?)?;
    // The business is there before the first payment.
    let business = recorder.batch()?;
    bare.write(&recorder, &business)?;
    timed.write(&recorder, &business)?;

    let mut over_http = Vec::new();
    let mut in_loop = Vec::new();
    let mut parts = Parts::default();
    block_on(async {
        let mut connection = Connection::open(server.address).await?;
        for number in 0..BULKS {
            let body = bench.payments.bulk(number * SIZE, SIZE);
            let request = post("/bulk", &body);
            let started = Instant::now();
            let reply = connection.exchange(&request).await?;
            over_http.push(milliseconds(started.elapsed()));
            let json = reply.json()?;
            let created = json["meta"]["idempotency"]["outcomes"]
                .as_array()
                .map(|list| list.iter().filter(|outcome| *outcome == "created").count());
            ensure!(
                created == Some(SIZE),
                "the bulk created {created:?} payments"
            );
            let reply = reply.body.to_vec();

            let batch = recorder.batch()?;
            in_loop.push(milliseconds(bare.write(&recorder, &batch)?));
            timed.write_timed(&recorder, &batch, &mut parts.sql)?;
            parts.measure(&mut connection, &body, &reply).await?;
        }
        Ok(())
    })?;
    bare.compare(&recorder)?;

    let [server_time, bare_time] = [median(&over_http), median(&in_loop)];
    let per_second = |time: f64| format!("{:.0} payments/s", SIZE as f64 / time * 1e3);
    report.figure(
        "server, over HTTP, one connection",
        server_time,
        "ms/bulk",
        &per_second(server_time),
    );
    report.figure(
        "bare loop, the same rows, one transaction",
        bare_time,
        "ms/bulk",
        &per_second(bare_time),
    );
    let pairs: Vec<f64> = over_http
        .iter()
        .zip(&in_loop)
        .map(|(http, bare)| bare / http)
        .collect();
    let sums: [f64; 2] = [over_http.iter().sum(), in_loop.iter().sum()];
    report.goal(
        "bare loop's time / server's time (median of pairs)",
        median(&pairs),
        Goal::AtLeast(0.6),
    );
    report.figure("the same, of the sums", sums[1] / sums[0], "", "");

    let two = two_at_once(bench, &server)?;
    report.figure(
        "server, two connections at once (mean)",
        two,
        "ms/bulk",
        &per_second(two),
    );
    server.stop()?;

    parts.print(report, server_time);
    Ok(())
}

/// The time of a bulk while two clients send one each.
fn two_at_once(bench: &Bench, server: &Server) -> anyhow::Result<f64> {
    const EACH: usize = 8;
    let requests: Vec<Vec<u8>> = (0..2 * EACH)
        .map(|number| post("/bulk", &bench.payments.bulk((BULKS + number) * SIZE, SIZE)))
        .collect();
    block_on(async {
        let mut first = Connection::open(server.address).await?;
        let mut second = Connection::open(server.address).await?;
        let (ours, theirs) = requests.split_at(EACH);
        let started = Instant::now();
        let send =
            async |connection: &mut Connection, requests: &[Vec<u8>]| -> anyhow::Result<()> {
                for request in requests {
                    let status = connection.exchange(request).await?.status;
                    ensure!(status == 200, "a bulk was answered with {status}");
                }
                Ok(())
            };
        let theirs = theirs.to_vec();
        let other = tokio::task::spawn_local(async move { send(&mut second, &theirs).await });
        send(&mut first, ours).await?;
        other.await??;
        Ok(milliseconds(started.elapsed()) / (2 * EACH) as f64)
    })
}

/// Parts of the work, each measured by itself on the same payments.
#[derive(Default)]
struct Parts {
    sql: Times,
    validated: Vec<f64>,
    serialized: Vec<f64>,
    received: Vec<f64>,
    sent: Vec<f64>,
}

impl Parts {
    async fn measure(
        &mut self,
        connection: &mut Connection,
        body: &[u8],
        reply: &[u8],
    ) -> anyhow::Result<()> {
        let context = Context::at(Timestamp::now());
        let started = Instant::now();
        let valid = read_bulk(body, &context);
        self.validated.push(milliseconds(started.elapsed()));
        ensure!(valid.is_ok(), "the bulk isn't valid");
        drop(valid);

        let typed: InvoicePaymentBulkReply = serde_json::from_slice(reply)?;
        let started = Instant::now();
        black_box(serde_json::to_string(&typed)?);
        self.serialized.push(milliseconds(started.elapsed()));

        // A route that there isn't reads the body and answers shortly.
        let nowhere = post("/nowhere/at/all", body);
        let started = Instant::now();
        let status = connection.exchange(&nowhere).await?.status;
        self.received.push(milliseconds(started.elapsed()));
        ensure!(
            status == 404,
            "a route that there isn't was answered with {status}"
        );

        // A list copies as many documents from the database to the socket.
        let list = get("?limit=1000");
        let started = Instant::now();
        let status = connection.exchange(&list).await?.status;
        self.sent.push(milliseconds(started.elapsed()));
        ensure!(status == 200, "a list was answered with {status}");
        Ok(())
    }

    fn print(&self, report: &Report, whole: f64) {
        report.note("");
        report.note(
            "What the time goes to, each part measured by itself on the same 1,000 payments:",
        );
        let share = |time: f64| format!("{:>5.1} %", time / whole * 100.0);
        let mut known = 0.0;
        let mut line = |what: &str, time: f64, more: &str| {
            known += time;
            report.figure(
                what,
                time,
                "ms/bulk",
                format!("{} {more}", share(time)).trim_end(),
            );
        };
        line(
            "the body to the server",
            median(&self.received),
            "(a route that there isn't)",
        );
        line("parse and validate", median(&self.validated), "");
        line("reply to JSON, once", median(&self.serialized), "");
        line(
            "the reply to the client",
            median(&self.sent),
            "(a list of as many)",
        );
        let each = |time: Duration| milliseconds(time) / BULKS as f64;
        for (kind, (count, time)) in &self.sql.by_statement {
            if *count > 0 {
                let rows = format!("({:.0} rows)", *count as f64 / BULKS as f64);
                line(&format!("SQL: {kind}"), each(*time), &rows);
            }
        }
        line(
            "SQL: COMMIT, with the wait for the disk",
            each(self.sql.commit),
            "",
        );
        let rest = whole - known;
        report.figure(
            "the rest: decisions, look-ups, queue, hand-overs",
            rest,
            "ms/bulk",
            &share(rest),
        );
    }
}
