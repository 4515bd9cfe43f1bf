//! Single payments from 64 connections, against the commits that the disk can do.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rusqlite::Connection;

use crate::Bench;
use crate::http::{Rate, load, post};
use crate::report::{Goal, Report, median};
use crate::server::{Server, fresh};

const CONNECTIONS: usize = 64;
/// Many short rounds: how fast a disk is may change within seconds.
const ROUNDS: usize = 31;
const ROUND: Duration = Duration::from_millis(500);
/// More than a round can send.
const REQUESTS: usize = 8_000;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "single",
        "one payment a request from 64 connections, against the disk's own commits",
    );
    let disk = Disk::open(&fresh(&bench.folder, "single-disk.db")?)?;
    let server = Server::start(&bench.program, &fresh(&bench.folder, "single.db")?)?;
    let mut commits = Vec::new();
    let mut records = Vec::new();
    for round in 0..ROUNDS {
        let requests = requests(bench, round * REQUESTS, REQUESTS);
        commits.push(disk.commits(ROUND)?.per_second());
        records.push(load(server.address, CONNECTIONS, ROUND, requests, true)?.per_second());
    }
    server.stop()?;
    report.figure(
        "the disk: transactions of one row, one after the other",
        median(&commits),
        "commits/s",
        &spread(&commits),
    );
    report.figure(
        "server: payments recorded and on disk",
        median(&records),
        "payments/s",
        &spread(&records),
    );
    let ratios: Vec<f64> = records
        .iter()
        .zip(&commits)
        .map(|(ours, disk)| ours / disk)
        .collect();
    report.goal(
        "payments for each commit of the disk (median)",
        median(&ratios),
        Goal::AtLeast(15.0),
    );
    let sums: [f64; 2] = [records.iter().sum(), commits.iter().sum()];
    report.figure("the same, of the sums", sums[0] / sums[1], "", "");
    Ok(())
}

/// The slowest and the fastest of the rounds.
fn spread(values: &[f64]) -> String {
    let least = values.iter().copied().fold(f64::INFINITY, f64::min);
    let most = values.iter().copied().fold(0.0, f64::max);
    format!("{least:.0} to {most:.0} by round")
}

/// Rendered requests that record the payments from this number on.
pub(crate) fn requests(bench: &Bench, first: usize, count: usize) -> Arc<Vec<Vec<u8>>> {
    let requests = (first..first + count)
        .map(|number| post("", bench.payments.payment(number).to_string().as_bytes()))
        .collect();
    Arc::new(requests)
}

/// A database that is only there to commit.
struct Disk {
    connection: Connection,
}

impl Disk {
    fn open(path: &Path) -> anyhow::Result<Disk> {
        let connection = Connection::open(path)?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        ensure!(
            mode == "wal",
            "the disk's database has no write-ahead log but {mode:?}"
        );
        connection.execute_batch(
            "PRAGMA synchronous = FULL;
             CREATE TABLE rows (key INTEGER PRIMARY KEY, text TEXT NOT NULL);",
        )?;
        Ok(Disk { connection })
    }

    /// Commits one row at a time for so long.
    fn commits(&self, time: Duration) -> anyhow::Result<Rate> {
        let mut insert = self
            .connection
            .prepare("INSERT INTO rows (text) VALUES (?1)")?;
        let started = Instant::now();
        let mut requests = 0;
        while started.elapsed() < time {
            insert.execute(["a row of a few words, so that nothing but the commit counts"])?;
            requests += 1;
        }
        Ok(Rate {
            requests,
            time: started.elapsed(),
        })
    }
}
