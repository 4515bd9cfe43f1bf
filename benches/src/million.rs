//! A million payments: the server's memory while they come and go, and what a page costs among them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context as _, ensure};

use crate::Bench;
use crate::http::{Connection, block_on, get, post};
use crate::report::{Goal, Report, median, milliseconds};
use crate::server::{Memory, Server, fresh};

const FEW: usize = 10_000;
const MANY: usize = 1_000_000;
const SIZE: usize = 1_000;
/// Requests of each kind on each side.
const ROUNDS: usize = 41;

/// A database with many payments, and what was seen while it was filled.
pub(crate) struct Million {
    path: PathBuf,
    seconds: f64,
    /// After so many payments.
    imported: Vec<(usize, Memory)>,
    listed: usize,
    list_seconds: f64,
    after_list: Memory,
    /// The cursor at a tenth of the way, a half, and so on, of the list without filters.
    cursors: BTreeMap<u32, String>,
}

/// Imports a million payments by bulk, and lists them to the end.
pub(crate) fn fill(bench: &Bench) -> anyhow::Result<Million> {
    let path = fresh(&bench.folder, "million.db")?;
    let server = Server::start(&bench.program, &path)?;
    let mut imported = Vec::new();
    let started = Instant::now();
    import(bench, &server, MANY, |count, memory| {
        imported.push((count, memory))
    })?;
    let seconds = started.elapsed().as_secs_f64();
    let started = Instant::now();
    let (listed, cursors) = walk(&server, MANY)?;
    let list_seconds = started.elapsed().as_secs_f64();
    let after_list = server.memory()?;
    server.stop()?;
    Ok(Million {
        path,
        seconds,
        imported,
        listed,
        list_seconds,
        after_list,
        cursors,
    })
}

/// Prints what the server took of memory.
pub(crate) fn memory(million: &Million, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "memory",
        "of the server's process while a million payments are imported by bulk, then listed to the end",
    );
    for (count, memory) in &million.imported {
        report.figure(
            &format!("after {count} payments"),
            memory.now,
            "MiB",
            &format!("at most {:.1} MiB", memory.most),
        );
    }
    let rate = |seconds: f64| format!("{:.0} s, {:.0} payments/s", seconds, MANY as f64 / seconds);
    report.note(&format!("import: {}", rate(million.seconds)));
    report.figure(
        &format!("after {} payments were listed", million.listed),
        million.after_list.now,
        "MiB",
        &format!("at most {:.1} MiB", million.after_list.most),
    );
    report.note(&format!("list: {}", rate(million.list_seconds)));
    ensure!(
        million.listed == MANY,
        "the list ended after {} payments",
        million.listed
    );
    report.goal(
        "the most that was taken, MiB",
        million.after_list.most,
        Goal::AtMost(200.0),
    );
    let early = million
        .imported
        .iter()
        .find(|(count, _)| *count == MANY / 5)
        .context("the memory after a fifth")?;
    report.goal(
        "at the end / after a fifth of the import",
        million.after_list.now / early.1.now,
        Goal::AtMost(1.25),
    );
    Ok(())
}

/// Compares pages at ten thousand payments and at a million.
pub(crate) fn lists(bench: &Bench, million: &Million, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "list",
        "a page of 100 at 10,000 payments and at 1,000,000, median of alternating requests",
    );
    let few_path = fresh(&bench.folder, "few.db")?;
    let few = Server::start(&bench.program, &few_path)?;
    import(bench, &few, FEW, |_, _| {})?;
    let (_, few_cursors) = walk(&few, FEW)?;
    let many = Server::start(&bench.program, &million.path)?;
    let cursors = [few_cursors, million.cursors.clone()];
    let worst = compare(bench, &few, &many, &cursors, report)?;
    few.stop()?;
    many.stop()?;
    report.goal(
        "the worst of them: cost at 1 M / cost at 10 k",
        worst,
        Goal::AtMost(1.5),
    );
    Ok(())
}

/// Fills two servers with few payments and with many. Gives the cursors of both lists.
pub(crate) fn fill_both(
    bench: &Bench,
    few: &Server,
    many: &Server,
) -> anyhow::Result<[BTreeMap<u32, String>; 2]> {
    import(bench, few, FEW, |_, _| {})?;
    import(bench, many, MANY, |_, _| {})?;
    let (listed, few_cursors) = walk(few, FEW)?;
    ensure!(listed == FEW, "the list ended after {listed} payments");
    let (listed, many_cursors) = walk(many, MANY)?;
    ensure!(listed == MANY, "the list ended after {listed} payments");
    Ok([few_cursors, many_cursors])
}

/// Prints what each list costs on both sides, and gives the worst ratio of those that are judged.
pub(crate) fn compare(
    bench: &Bench,
    few: &Server,
    many: &Server,
    cursors: &[BTreeMap<u32, String>; 2],
    report: &mut Report,
) -> anyhow::Result<f64> {
    let mut worst: f64 = 0.0;
    for (what, [few_query, many_query], judged) in queries(bench, &cursors[0], &cursors[1])? {
        let (few_time, many_time, rows) = pages(few, many, [&few_query, &many_query])?;
        let ratio = many_time / few_time;
        let verdict = if judged { "" } else { ", no goal" };
        report.figure(
            &what,
            many_time,
            "ms at 1 M",
            &format!("{few_time:.2} ms at 10 k, {ratio:.2} times; {rows} payments{verdict}"),
        );
        if judged {
            worst = worst.max(ratio);
        }
    }
    Ok(worst)
}

type Query = (String, [String; 2], bool);

/// Lists to ask for: what they are, their query strings at few and at many payments, and whether there is a goal.
fn queries(
    bench: &Bench,
    few: &BTreeMap<u32, String>,
    many: &BTreeMap<u32, String>,
) -> anyhow::Result<Vec<Query>> {
    let mut queries = Vec::new();
    let mut same = |what: &str, query: &str, judged: bool| {
        let query = format!("?limit=100{query}");
        queries.push((what.to_owned(), [query.clone(), query], judged));
    };
    let known = |property: &str| -> anyhow::Result<String> {
        (4_000..FEW)
            .find_map(|number| {
                let value = bench.payments.payment(number);
                let text = value[property].as_str()?;
                text.chars()
                    .all(|char| char.is_ascii_alphanumeric() || char == '-')
                    .then(|| text.to_owned())
            })
            .with_context(|| format!("no payment has a plain {property}"))
    };
    let external_id = known("external_id")?;
    let reference = known("reference_number")?;
    same("no filter", "", true);
    same("no filter, newest first", "&sort_order=DESC", true);
    same("method, a frequent one", "&method=CREDIT_CARD", true);
    same("method, a rare one", "&method=CREDIT_BALANCE", true);
    same(
        "paid within a year",
        "&paid_at_start=2022-01-01T00:00:00Z&paid_at_end=2023-01-01T00:00:00Z",
        true,
    );
    same(
        "method, paid within a year, newest first",
        "&method=ACH&paid_at_start=2022-01-01T00:00:00Z&paid_at_end=2023-01-01T00:00:00Z&sort_order=DESC",
        true,
    );
    same("external id", &format!("&external_id={external_id}"), true);
    same(
        "reference number",
        &format!("&reference_numbers={reference}"),
        true,
    );
    same(
        "in no payout, not matched",
        "&included_in_payout=false&is_matched=false",
        true,
    );
    same("in a payout (none is)", "&included_in_payout=true", true);
    same("by amount", "&sort_by=amount", true);
    same(
        "by amount, a rare method",
        "&sort_by=amount&method=CREDIT_BALANCE",
        true,
    );
    same(
        "by import, newest first",
        "&sort_by=imported_at&sort_order=DESC",
        true,
    );
    for (depth, few) in few {
        let many = many.get(depth).context("the cursors of both")?;
        queries.push((
            format!("no filter, from a cursor after {depth} % of the list"),
            [
                format!("?limit=100&cursor={few}"),
                format!("?limit=100&cursor={many}"),
            ],
            true,
        ));
    }
    let mut same = |what: &str, query: &str, judged: bool| {
        let query = format!("?limit=100{query}");
        queries.push((what.to_owned(), [query.clone(), query], judged));
    };
    same(
        "by amount, paid within a day (walks the order)",
        "&sort_by=amount&paid_at_start=2022-01-01T00:00:00Z&paid_at_end=2022-01-02T00:00:00Z",
        false,
    );
    same(
        "no filter, with the total count",
        "&show_total_count=true",
        false,
    );
    Ok(queries)
}

/// The median time of a page on each side, in milliseconds, and how many payments it holds on the second.
fn pages(few: &Server, many: &Server, queries: [&str; 2]) -> anyhow::Result<(f64, f64, usize)> {
    block_on(async {
        let mut connections = [
            Connection::open(few.address).await?,
            Connection::open(many.address).await?,
        ];
        let requests = queries.map(get);
        let mut times = [Vec::new(), Vec::new()];
        let mut rows = 0;
        for round in 0..ROUNDS {
            for side in 0..2 {
                let started = Instant::now();
                let reply = connections[side].exchange(&requests[side]).await?;
                times[side].push(milliseconds(started.elapsed()));
                if round == 0 {
                    rows = reply.json()?["data"].as_array().map_or(0, Vec::len);
                }
            }
        }
        Ok((median(&times[0]), median(&times[1]), rows))
    })
}

/// Sends payments by bulk, and tells the memory now and then.
fn import(
    bench: &Bench,
    server: &Server,
    count: usize,
    mut seen: impl FnMut(usize, Memory),
) -> anyhow::Result<()> {
    block_on(async {
        let mut connection = Connection::open(server.address).await?;
        for number in 0..count / SIZE {
            let request = post("/bulk", &bench.payments.bulk(number * SIZE, SIZE));
            let reply = connection.exchange(&request).await?;
            ensure!(
                reply.status == 200,
                "bulk {number} was answered with {}: {}",
                reply.status,
                String::from_utf8_lossy(&reply.body[..reply.body.len().min(1_000)])
            );
            let sent = (number + 1) * SIZE;
            if sent.is_multiple_of(MANY / 10) {
                seen(sent, server.memory()?);
            }
        }
        Ok(())
    })
}

/// Lists everything, in pages of a thousand. Gives how many payments there were, and cursors by their depth in percent.
fn walk(server: &Server, count: usize) -> anyhow::Result<(usize, BTreeMap<u32, String>)> {
    block_on(async {
        let mut connection = Connection::open(server.address).await?;
        let mut cursors = BTreeMap::new();
        let mut listed = 0;
        let mut query = "?limit=1000".to_owned();
        loop {
            let page = connection.exchange(&get(&query)).await?.json()?;
            listed += page["data"].as_array().map_or(0, Vec::len);
            let Some(cursor) = page["meta"]["pagination"]["cursor"].as_str() else {
                return Ok((listed, cursors));
            };
            for depth in [50, 90] {
                if listed * 100 >= count * usize::try_from(depth)? {
                    cursors.entry(depth).or_insert_with(|| cursor.to_owned());
                }
            }
            query = format!("?limit=1000&cursor={cursor}");
        }
    })
}
