//! What the server wrote, batch by batch, and a bare loop that writes the same again.
//!
//! The rows aren't made up: after each bulk they are read from the server's database, as they stand then. So the loop
//! can't differ from the server in what it writes, and [`Bare::compare`] proves at the end that it didn't. The loop does
//! the least that leads there: it knows beforehand which rows are new and which columns change, looks nothing up, and
//! writes what the server adds up in several steps at once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags, params_from_iter};

type Row = Vec<Value>;

/// Statements to run, each with its values.
#[derive(Default)]
pub(crate) struct Batch {
    steps: Vec<(usize, Row)>,
}

/// What was seen of the server's database so far.
pub(crate) struct Recorder {
    connection: Connection,
    /// The texts of the statements, by their numbers.
    statements: Vec<String>,
    numbers: HashMap<String, usize>,
    tables: BTreeMap<&'static str, Table>,
    /// The rows of tables whose rows change, by their keys.
    seen: HashMap<(&'static str, String), Row>,
    last_payment: i64,
    last_entry: i64,
}

struct Table {
    columns: Vec<String>,
    /// How many of the columns, from the first on, are the key.
    key: usize,
}

/// The tables that a bulk writes to; the number of columns that are the key, which stand first in each.
const TABLES: [(&str, usize); 9] = [
    ("businesses", 1),
    ("accounts", 2),
    ("tag_dimensions", 1),
    ("tag_values", 1),
    ("invoices", 2),
    ("payments", 1),
    ("payment_invoices", 3),
    ("journal_entries", 2),
    ("journal_lines", 3),
];

impl Recorder {
    /// Starts to watch the database of a server that has no payments yet.
    pub(crate) fn start(database: &Path) -> anyhow::Result<Recorder> {
        let connection = Connection::open_with_flags(
            database,
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        )?;
        connection.pragma_update(None, "query_only", true)?;
        let mut tables = BTreeMap::new();
        for (table, key) in TABLES {
            let columns = connection
                .prepare("SELECT name FROM pragma_table_info(?1)")?
                .query_map([table], |row| row.get(0))?
                .collect::<Result<Vec<String>, _>>()?;
            ensure!(
                !columns.is_empty(),
                "the server's database has no table {table}"
            );
            tables.insert(table, Table { columns, key });
        }
        Ok(Recorder {
            connection,
            statements: Vec::new(),
            numbers: HashMap::new(),
            tables,
            seen: HashMap::new(),
            last_payment: 0,
            last_entry: 0,
        })
    }

    /// What was written since the last call.
    pub(crate) fn batch(&mut self) -> anyhow::Result<Batch> {
        let mut batch = Batch::default();
        self.connection.execute_batch("BEGIN")?;
        for table in ["businesses", "accounts", "tag_dimensions", "tag_values"] {
            for row in self.rows(table, "")? {
                self.keep(table, row, &mut batch)?;
            }
        }
        let (payment, entry) = (self.last_payment, self.last_entry);
        let links = self.rows(
            "payment_invoices",
            &format!("WHERE payment_key > {payment}"),
        )?;
        let invoices = self.rows(
            "invoices",
            &format!(
                "WHERE (business_id, id) IN (SELECT business_id, invoice_id FROM payment_invoices
                 WHERE payment_key > {payment})"
            ),
        )?;
        let mut invoices: HashMap<String, Row> = invoices
            .into_iter()
            .map(|row| (name(&row[..2]), row))
            .collect();
        let mut links_of: HashMap<i64, Vec<Row>> = HashMap::new();
        for link in links {
            links_of.entry(integer(&link[2])?).or_default().push(link);
        }
        let mut lines_of: HashMap<i64, Vec<Row>> = HashMap::new();
        for line in self.rows("journal_lines", &format!("WHERE entry > {entry}"))? {
            lines_of.entry(integer(&line[1])?).or_default().push(line);
        }
        let by_payment = self.column("journal_entries", "payment_key")?;
        let mut entries_of: HashMap<i64, Vec<Row>> = HashMap::new();
        for entry in self.rows("journal_entries", &format!("WHERE number > {entry}"))? {
            self.last_entry = self.last_entry.max(integer(&entry[1])?);
            entries_of
                .entry(integer(&entry[by_payment])?)
                .or_default()
                .push(entry);
        }
        for payment in self.rows("payments", &format!("WHERE key > {payment} ORDER BY key"))? {
            let key = integer(&payment[0])?;
            self.last_payment = key;
            let links = links_of.remove(&key).unwrap_or_default();
            for link in &links {
                if let Some(invoice) = invoices.remove(&name(&link[..2])) {
                    self.keep("invoices", invoice, &mut batch)?;
                }
            }
            self.insert("payments", payment, &mut batch);
            for link in links {
                self.insert("payment_invoices", link, &mut batch);
            }
            for entry in entries_of.remove(&key).unwrap_or_default() {
                let number = integer(&entry[1])?;
                self.insert("journal_entries", entry, &mut batch);
                for line in lines_of.remove(&number).unwrap_or_default() {
                    self.insert("journal_lines", line, &mut batch);
                }
            }
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(batch)
    }

    fn rows(&self, table: &str, condition: &str) -> anyhow::Result<Vec<Row>> {
        rows(
            &self.connection,
            &format!("SELECT * FROM {table} {condition}"),
        )
    }

    fn column(&self, table: &str, column: &str) -> anyhow::Result<usize> {
        self.tables
            .get(table)
            .and_then(|table| table.columns.iter().position(|known| known == column))
            .with_context(|| format!("{table} has no column {column}"))
    }

    fn number(&mut self, statement: String) -> usize {
        let next = self.statements.len();
        let number = *self.numbers.entry(statement.clone()).or_insert(next);
        if number == next {
            self.statements.push(statement);
        }
        number
    }

    fn insert(&mut self, table: &'static str, row: Row, batch: &mut Batch) {
        let columns = self.tables[table].columns.join(", ");
        let values = vec!["?"; row.len()].join(", ");
        let number = self.number(format!("INSERT INTO {table} ({columns}) VALUES ({values})"));
        batch.steps.push((number, row));
    }

    /// Inserts a row that isn't there yet, or updates the columns that have changed.
    fn keep(&mut self, table: &'static str, row: Row, batch: &mut Batch) -> anyhow::Result<()> {
        let key = self.tables[table].key;
        let before = self.seen.insert((table, name(&row[..key])), row.clone());
        let Some(before) = before else {
            self.insert(table, row, batch);
            return Ok(());
        };
        let changed: Vec<usize> = (0..row.len()).filter(|&at| row[at] != before[at]).collect();
        if changed.is_empty() {
            return Ok(());
        }
        let columns = &self.tables[table].columns;
        let terms = |places: &[usize]| -> Vec<String> {
            places
                .iter()
                .map(|&at| format!("{} = ?", columns[at]))
                .collect()
        };
        let keys: Vec<usize> = (0..key).collect();
        let text = format!(
            "UPDATE {table} SET {} WHERE {}",
            terms(&changed).join(", "),
            terms(&keys).join(" AND ")
        );
        let values = changed
            .into_iter()
            .chain(keys)
            .map(|at| row[at].clone())
            .collect();
        let number = self.number(text);
        batch.steps.push((number, values));
        Ok(())
    }
}

/// A database with the server's schema and settings, and nothing of the server around it.
pub(crate) struct Bare {
    connection: Connection,
}

/// Where the time of a batch goes: by the kind of statement, and waiting for the disk.
#[derive(Default)]
pub(crate) struct Times {
    pub(crate) by_statement: BTreeMap<String, (usize, Duration)>,
    pub(crate) commit: Duration,
}

impl Bare {
    /// Makes an empty database like the one that a recorder watches.
    pub(crate) fn like(recorder: &Recorder, path: &Path) -> anyhow::Result<Bare> {
        let page_size: i64 = recorder
            .connection
            .query_row("PRAGMA page_size", [], |row| row.get(0))?;
        let connection = Connection::open(path)?;
        // As the server's writer has them.
        connection.execute_batch(&format!(
            "PRAGMA page_size = {page_size};
             PRAGMA synchronous = FULL;
             PRAGMA foreign_keys = ON;
             PRAGMA trusted_schema = OFF;
             PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -65536;
             PRAGMA wal_autocheckpoint = 4000;"
        ))?;
        let mode: String =
            connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
        ensure!(
            mode == "wal",
            "the bare database has no write-ahead log but {mode:?}"
        );
        // As the tables stand, and in the order in which they were made.
        let schema = recorder
            .connection
            .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY rowid")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<String>, _>>()?;
        for statement in schema {
            connection.execute_batch(&statement)?;
        }
        connection.set_prepared_statement_cache_capacity(256);
        Ok(Bare { connection })
    }

    /// Writes a batch in one transaction. Gives the time that it took.
    pub(crate) fn write(&self, recorder: &Recorder, batch: &Batch) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let mut statements = recorder
            .statements
            .iter()
            .map(|text| self.connection.prepare_cached(text))
            .collect::<Result<Vec<_>, _>>()?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for (number, values) in &batch.steps {
            statements[*number].execute(params_from_iter(values))?;
        }
        self.connection.execute_batch("COMMIT")?;
        Ok(started.elapsed())
    }

    /// Writes a batch like [`Bare::write`] and notes where the time goes.
    pub(crate) fn write_timed(
        &self,
        recorder: &Recorder,
        batch: &Batch,
        times: &mut Times,
    ) -> anyhow::Result<()> {
        let mut statements = recorder
            .statements
            .iter()
            .map(|text| self.connection.prepare_cached(text))
            .collect::<Result<Vec<_>, _>>()?;
        let mut sums = vec![(0, Duration::ZERO); statements.len()];
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        for (number, values) in &batch.steps {
            let started = Instant::now();
            statements[*number].execute(params_from_iter(values))?;
            sums[*number].0 += 1;
            sums[*number].1 += started.elapsed();
        }
        let started = Instant::now();
        self.connection.execute_batch("COMMIT")?;
        times.commit += started.elapsed();
        for (text, (count, time)) in recorder.statements.iter().zip(sums) {
            let kind = text.split(" SET ").next().unwrap_or(text);
            let kind = kind.split(" (").next().unwrap_or(kind);
            let sum = times.by_statement.entry(kind.to_owned()).or_default();
            sum.0 += count;
            sum.1 += time;
        }
        Ok(())
    }

    /// Fails unless both databases hold the same rows.
    pub(crate) fn compare(&self, recorder: &Recorder) -> anyhow::Result<()> {
        let all = recorder
            .connection
            .prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<Vec<String>, _>>()?;
        let known: HashSet<&str> = TABLES.iter().map(|(table, _)| *table).collect();
        for table in all {
            let sql = format!("SELECT * FROM {table}");
            let theirs = rows(&recorder.connection, &sql)?;
            let ours = rows(&self.connection, &sql)?;
            if theirs == ours {
                continue;
            }
            if known.contains(table.as_str()) {
                bail!("the bare loop wrote other rows into {table} than the server did");
            }
            bail!("the server wrote into {table}, which the bare loop doesn't know");
        }
        Ok(())
    }
}

fn rows(connection: &Connection, sql: &str) -> anyhow::Result<Vec<Row>> {
    let mut statement = connection.prepare_cached(sql)?;
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..columns).map(|at| row.get(at)).collect())?
        .collect::<Result<_, _>>()?;
    Ok(rows)
}

/// A key as text.
fn name(values: &[Value]) -> String {
    format!("{values:?}")
}

fn integer(value: &Value) -> anyhow::Result<i64> {
    match value {
        Value::Integer(value) => Ok(*value),
        other => bail!("{other:?} isn't a number"),
    }
}
