//! The same server over PostgreSQL: a bulk against a bare COPY of the same rows, two processes against one, and what a page
//! costs among a million payments.
//!
//! PostgreSQL is one that the benchmark starts itself, with the settings of its package, `fsync` among them.

use std::ffi::OsStr;
use std::pin::pin;
use std::time::Instant;

use anyhow::{Context as _, ensure};
use futures_util::{SinkExt as _, TryStreamExt as _};
use layer_payments_test_postgres::{Cluster, Database};
use tokio_postgres::{Client, NoTls};

use crate::Bench;
use crate::http::{BUSINESS, Connection, block_on, post, post_to};
use crate::million;
use crate::report::{Goal, Report, median, milliseconds};
use crate::server::Server;

/// Payments of a bulk.
const SIZE: usize = 1_000;
/// Bulks on each side, after one that makes accounts and tags.
const BULKS: usize = 30;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    let cluster = Cluster::durable();
    bulk(bench, &cluster, report)?;
    processes(bench, &cluster, report)?;
    lists(bench, &cluster, report)
}

fn start(bench: &Bench, database: &Database<'_>, name: &str) -> anyhow::Result<Server> {
    std::fs::create_dir_all(&bench.folder)?;
    let log = bench.folder.join(format!("postgres-{name}.log"));
    Server::start_on(&bench.program, OsStr::new(&database.url()), &log)
}

/// The rows that a transaction made, table by table, as PostgreSQL's own binary COPY has them.
struct Rows(Vec<(&'static str, Vec<bytes::Bytes>)>);

/// What of each table is new since the last payment and the last entry, each table after those that it refers to. What a
/// transaction makes has the time at which it wrote.
const NEW: [(&str, &str); 8] = [
    (
        "accounts",
        "created_at = (SELECT written_at FROM businesses WHERE id = accounts.business_id)",
    ),
    (
        "invoices",
        "created_at = (SELECT written_at FROM businesses WHERE id = invoices.business_id)",
    ),
    (
        "tag_dimensions",
        "created_at = (SELECT written_at FROM businesses WHERE id = tag_dimensions.business_id)",
    ),
    (
        "tag_values",
        "created_at = (SELECT written_at FROM businesses WHERE id = tag_values.business_id)",
    ),
    ("payments", "key > {payment}"),
    ("payment_invoices", "payment_key > {payment}"),
    ("journal_entries", "number > {entry}"),
    ("journal_lines", "entry > {entry}"),
];

async fn read(client: &Client, last: (i64, i64)) -> anyhow::Result<Rows> {
    let mut tables = Vec::new();
    for (table, condition) in NEW {
        let condition = condition
            .replace("{payment}", &last.0.to_string())
            .replace("{entry}", &last.1.to_string());
        let sql = format!(
            "COPY (SELECT * FROM {table} WHERE business_id = '{BUSINESS}' AND {condition}) TO STDOUT (FORMAT binary)"
        );
        let rows = client.copy_out(&sql).await?.try_collect().await?;
        tables.push((table, rows));
    }
    Ok(Rows(tables))
}

/// What a bare loop does with the rows of a bulk: one transaction, one COPY a table, and the balances.
async fn write(client: &Client, rows: &Rows) -> anyhow::Result<()> {
    client.batch_execute("BEGIN").await?;
    for (table, parts) in &rows.0 {
        let sink = client
            .copy_in(&format!("COPY {table} FROM STDIN (FORMAT binary)"))
            .await?;
        let mut sink = pin!(sink);
        for part in parts {
            sink.send(part.clone()).await?;
        }
        sink.finish().await?;
    }
    client
        .batch_execute(&format!(
            "UPDATE accounts SET debits = debits, credits = credits WHERE business_id = '{BUSINESS}';
             UPDATE businesses SET version = version + 1 WHERE id = '{BUSINESS}';
             COMMIT"
        ))
        .await?;
    Ok(())
}

async fn connect(url: &str) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

async fn last(client: &Client) -> anyhow::Result<(i64, i64)> {
    let sql = format!("SELECT last_payment, last_entry FROM businesses WHERE id = '{BUSINESS}'");
    let row = client.query_one(&sql, &[]).await?;
    Ok((row.get(0), row.get(1)))
}

fn bulk(bench: &Bench, cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "postgres, bulk",
        "1,000 payments over HTTP, against a bare binary COPY of the same rows, as ready as they come",
    );
    let database = cluster.database();
    // The schema, and the business.
    start(bench, &database, "schema")?.stop()?;
    let bare = cluster.database_like(&database);
    let server = start(bench, &database, "bulk")?;
    let mut over_http = Vec::new();
    let mut by_copy = Vec::new();
    block_on(async {
        let ours = connect(&database.url()).await?;
        let theirs = connect(&bare.url()).await?;
        let mut connection = Connection::open(server.address).await?;
        for number in 0..=BULKS {
            let before = last(&ours).await?;
            let request = post("/bulk", &bench.payments.bulk(number * SIZE, SIZE));
            let started = Instant::now();
            let reply = connection.exchange(&request).await?;
            let time = milliseconds(started.elapsed());
            let json = reply.json()?;
            let created = json["meta"]["idempotency"]["outcomes"]
                .as_array()
                .map(|list| list.iter().filter(|outcome| *outcome == "created").count());
            ensure!(
                created == Some(SIZE),
                "the bulk created {created:?} payments"
            );
            let rows = read(&ours, before).await?;
            let started = Instant::now();
            write(&theirs, &rows).await?;
            // The first one makes what all others find.
            if number > 0 {
                over_http.push(time);
                by_copy.push(milliseconds(started.elapsed()));
            }
        }
        Ok(())
    })?;
    for table in NEW.map(|(table, _)| table) {
        let sql = format!("SELECT count(*) FROM {table}");
        let (ours, theirs) = (database.sql(&sql), bare.sql(&sql));
        ensure!(
            ours == theirs,
            "{table} has {ours} rows, and {theirs} on the other side"
        );
    }
    server.stop()?;
    let [server_time, bare_time] = [median(&over_http), median(&by_copy)];
    let per_second = |time: f64| format!("{:.0} payments/s", SIZE as f64 / time * 1e3);
    report.figure(
        "server, over HTTP, one connection",
        server_time,
        "ms/bulk",
        &per_second(server_time),
    );
    report.figure(
        "bare COPY, the same rows, one transaction",
        bare_time,
        "ms/bulk",
        &per_second(bare_time),
    );
    let pairs: Vec<f64> = over_http
        .iter()
        .zip(&by_copy)
        .map(|(http, bare)| bare / http)
        .collect();
    report.goal(
        "bare COPY's time / server's time (median of pairs)",
        median(&pairs),
        Goal::AtLeast(0.5),
    );
    Ok(())
}

/// Businesses that are written to at once, and bulks for each in a round.
const BUSINESSES: usize = 8;
const EACH: usize = 4;
const ROUNDS: usize = 3;

fn processes(bench: &Bench, cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "postgres, processes",
        "bulks of 500 for 8 businesses at once, by one server and by two on one database, in turn",
    );
    let database = cluster.database();
    let servers = [
        start(bench, &database, "first")?,
        start(bench, &database, "second")?,
    ];
    let businesses: Vec<String> = (0..BUSINESSES)
        .map(|number| format!("00000000-0000-4000-8000-{number:012}"))
        .collect();
    let mut rates = [Vec::new(), Vec::new()];
    block_on(async {
        let mut one = Connection::open(servers[0].address).await?;
        for id in &businesses {
            let reply = one.exchange(&crate::http::new_business(id)).await?;
            ensure!(
                reply.status == 201,
                "a business was answered with {}",
                reply.status
            );
        }
        let mut number = 0;
        for _ in 0..ROUNDS {
            for (used, rates) in rates.iter_mut().enumerate() {
                let mut tasks = Vec::new();
                let mut prepared = Vec::new();
                for (place, id) in businesses.iter().enumerate() {
                    let address = servers[place % (used + 1)].address;
                    let requests: Vec<Vec<u8>> = (0..EACH)
                        .map(|bulk| {
                            post_to(
                                id,
                                "/bulk",
                                &bench.payments.bulk((number + bulk) * 500, 500),
                            )
                        })
                        .collect();
                    prepared.push((Connection::open(address).await?, requests));
                }
                number += EACH;
                let started = Instant::now();
                for (mut connection, requests) in prepared {
                    tasks.push(tokio::task::spawn_local(async move {
                        for request in &requests {
                            let status = connection.exchange(request).await?.status;
                            ensure!(status == 200, "a bulk was answered with {status}");
                        }
                        Ok(())
                    }));
                }
                for task in tasks {
                    task.await??;
                }
                let payments = (BUSINESSES * EACH * 500) as f64;
                rates.push(payments / started.elapsed().as_secs_f64());
            }
        }
        Ok(())
    })?;
    for server in servers {
        server.stop()?;
    }
    let [one, two] = rates.map(|rates| median(&rates));
    report.figure("one server", one, "payments/s", "");
    report.figure("two servers", two, "payments/s", "");
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    report.figure(
        "two servers / one server",
        two / one,
        "",
        &format!("no goal: {cores} cores here serve the load, the servers and PostgreSQL"),
    );
    Ok(())
}

fn lists(bench: &Bench, cluster: &Cluster, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "postgres, list",
        "a page of 100 at 10,000 payments and at 1,000,000, median of alternating requests",
    );
    let (few, many) = (cluster.database(), cluster.database());
    let few_server = start(bench, &few, "few")?;
    let many_server = start(bench, &many, "many")?;
    let started = Instant::now();
    let cursors = million::fill_both(bench, &few_server, &many_server)?;
    report.note(&format!(
        "filled and listed to the end in {:.0} s",
        started.elapsed().as_secs_f64()
    ));
    for database in [&few, &many] {
        // What the database does by itself after a while.
        database.sql("VACUUM ANALYZE");
    }
    let worst = million::compare(bench, &few_server, &many_server, &cursors, report)?;
    let size = many.sql("SELECT pg_database_size(current_database()) / 1000000");
    report.note(&format!(
        "a payment takes {size} bytes in PostgreSQL, with its indexes, its invoice and its journal"
    ));
    few_server.stop()?;
    many_server
        .stop()
        .context("the server of a million payments")?;
    report.goal(
        "the worst of them: cost at 1 M / cost at 10 k",
        worst,
        Goal::AtMost(1.5),
    );
    Ok(())
}
