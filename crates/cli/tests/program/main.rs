//! The program as people meet it: the binary is run, and its output, messages and exit code are compared.

mod ledger;
mod postgres;
mod serve;
mod validate;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
use wiremock::matchers::{method, path_regex};
use wiremock::{Mock, MockServer, Request, Respond, ResponseTemplate};

const BUSINESS: &str = "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4";

/// The ten thousand example payments.
fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/payments.csv")
}

/// The program, with none of the settings of whoever runs the tests.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_layer-payments"));
    command.args(arguments);
    for variable in [
        "LAYER_BASE_URL",
        "LAYER_TOKEN",
        "LAYER_BUSINESS_ID",
        "LAYER_CLIENT_SECRET",
        "LAYER_DB",
        "LAYER_DB_PASSWORD",
        "PGPASSWORD",
        "RUST_LOG",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(variable);
    }
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What the program did.
struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Ran {
    /// The summary of an import, by its names.
    fn summary(&self) -> BTreeMap<&str, u64> {
        let lines = self
            .stdout
            .lines()
            .map(|line| line.split_once(' ').unwrap());
        lines
            .map(|(name, count)| (name, count.trim().parse().unwrap()))
            .collect()
    }

    /// The messages without those that tell how long something took.
    fn messages(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter(|line| !line.contains(" rows/s"))
            .collect()
    }

    #[track_caller]
    fn succeeds(self) -> Ran {
        assert_eq!(self.code, Some(0), "{}", self.stderr);
        self
    }
}

fn ran(command: &mut Command) -> Ran {
    let output = command.output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn run(arguments: &[&str]) -> Ran {
    ran(&mut program(arguments))
}

fn run_with_input(arguments: &[&str], input: &str) -> Ran {
    let mut command = program(arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A folder with a database's name in it.
struct Scratch {
    folder: TempDir,
    db: String,
}

impl Scratch {
    fn new() -> Scratch {
        let folder = TempDir::new().unwrap();
        let db = folder
            .path()
            .join("payments.db")
            .to_str()
            .unwrap()
            .to_owned();
        Scratch { folder, db }
    }

    fn file(&self, name: &str, contents: &str) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    }

    fn import(&self, file: &str) -> Ran {
        run(&["import", file, "--local", &self.db])
    }

    fn list(&self, arguments: &[&str]) -> Ran {
        run(&[&["list", "--local", &self.db], arguments].concat())
    }

    fn payments(&self) -> Vec<Value> {
        let listed = self.list(&["--output", "jsonl"]).succeeds();
        listed
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn external_ids(&self) -> Vec<String> {
        let id = |payment: Value| payment["external_id"].as_str().unwrap().to_owned();
        self.payments().into_iter().map(id).collect()
    }
}

fn summary(
    created: u64,
    updated: u64,
    unchanged: u64,
    rejected: u64,
) -> BTreeMap<&'static str, u64> {
    BTreeMap::from([
        ("created", created),
        ("updated", updated),
        ("unchanged", unchanged),
        ("rejected", rejected),
    ])
}

/// A file of payments in cash, one for each id, with the id as memo.
fn cash(ids: impl IntoIterator<Item = impl std::fmt::Display>) -> String {
    let mut csv = "external_id,paid_at,method,amount,memo\n".to_owned();
    for id in ids {
        csv.push_str(&format!("{id},2024-02-27T02:22:55Z,CASH,9000,{id}\n"));
    }
    csv
}

// ---- The main job -------------------------------------------------------------------------------------------------

#[test]
fn ten_thousand_payments_are_imported_once_and_exported() {
    let scratch = Scratch::new();
    let examples = examples();
    let first = scratch.import(examples.to_str().unwrap()).succeeds();
    assert_eq!(first.summary(), summary(10_000, 0, 0, 0));
    // Some of the examples are odd on purpose, and all are valid.
    let warnings = format!(
        "155 warnings (see `layer-payments validate {}`)",
        examples.display()
    );
    assert_eq!(first.messages(), [warnings]);
    let again = scratch.import(examples.to_str().unwrap()).succeeds();
    assert_eq!(again.summary(), summary(0, 0, 10_000, 0));

    let csv = scratch.list(&["--output", "csv"]).succeeds().stdout;
    let file = scratch.file("exported.csv", &csv);
    let exported = scratch.import(&file).succeeds();
    assert_eq!(exported.summary(), summary(0, 0, 10_000, 0));
    assert_eq!(scratch.list(&["--output", "csv"]).succeeds().stdout, csv);

    let json = scratch.list(&["--output", "json"]).succeeds().stdout;
    let json: Vec<Value> = serde_json::from_str(&json).unwrap();
    let ids: HashSet<_> = json
        .iter()
        .map(|payment| payment["external_id"].as_str().unwrap())
        .collect();
    assert_eq!((json.len(), ids.len()), (10_000, 10_000));

    // Each value that the file gives is the one that the API has. The memos hold every awkward character.
    let memos: HashSet<_> = json
        .iter()
        .filter_map(|payment| payment["memo"].as_str())
        .collect();
    for memo in [
        "=SUM(A1:A9)",
        "Line one\nLine two\n\nLine four after an empty one",
        "\"",
        " ",
        "תשלום עבור חשבונית 42 (תודה!)",
    ] {
        assert!(memos.contains(memo), "{memo:?}");
    }
}

#[test]
fn an_import_that_was_killed_is_completed_by_the_next() {
    let scratch = Scratch::new();
    let examples = fs::read_to_string(examples()).unwrap();
    // Half of the file, and standard input stays open: the program can't come to its end before it is killed.
    let half = &examples[..examples.len() / 2];
    let arguments = [
        "import",
        "-",
        "--format",
        "csv",
        "--local",
        &scratch.db,
        "--chunk",
        "50",
    ];
    let mut child = program(&arguments).stdin(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let stderr = BufReader::new(child.stderr.take().unwrap());
    let half = half.to_owned();
    let writer = std::thread::spawn(move || {
        // The program may be gone before it has read everything.
        let _ = input.write_all(half.as_bytes());
        input
    });
    let progress = stderr.lines().next().unwrap().unwrap();
    assert!(
        progress.contains(" created, 0 updated, 0 unchanged, 0 rejected"),
        "{progress}"
    );
    child.kill().unwrap();
    child.wait().unwrap();
    drop(writer.join().unwrap());

    let acknowledged: u64 = progress.split_whitespace().next().unwrap().parse().unwrap();
    let before = scratch.external_ids().len() as u64;
    assert!(
        acknowledged >= 50 && before >= acknowledged,
        "{before} of {acknowledged}"
    );
    assert!(
        before < 10_000,
        "the import was killed too late to prove anything"
    );

    let path = self::examples();
    let completed = scratch.import(path.to_str().unwrap()).succeeds();
    assert_eq!(completed.summary(), summary(10_000 - before, 0, before, 0));
    let ids = scratch.external_ids();
    assert_eq!(ids.len(), 10_000);
    assert_eq!(ids.into_iter().collect::<HashSet<_>>().len(), 10_000);
}

#[test]
fn wrong_rows_are_reported_and_the_others_imported() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "mixed.csv",
        "external_id,paid_at,method,amount,invoice_id\n\
         a,2024-02-27T02:22:55Z,CASH,9000,\n\
         b,yesterday,CASH,90.00,\n\
         c,2024-02-27T02:22:55Z,CASH,9000,INV-1\n\
         \n\
         a,2024-02-27T02:22:55Z,CASH,1,\n\
         b,2024-02-27T02:22:55Z,CASH,1,\n\
         d,2024-02-27T02:22:55Z,CASH\n\
         e,2024-02-27T02:22:55Z,CASH,5,\n",
    );
    let imported = scratch.import(&file);
    assert_eq!(imported.code, Some(1));
    assert_eq!(imported.summary(), summary(2, 0, 0, 5));
    assert_eq!(
        imported.messages(),
        [
            "row 3, column paid_at: \"yesterday\" isn't a time with its offset from UTC; write it as 2024-02-27T02:22:55Z or \
             2024-02-27T04:22:55+02:00.",
            "row 3, column amount: 90.00 isn't a whole number; amounts are in cents, so write 9000.",
            "row 4, column invoice_id: \"INV-1\" isn't a UUID; your own id of the invoice belongs in the column \
             invoice_external_id.",
            "row 6, column external_id: \"a\" is the external_id of row 2 as well; each payment needs its own.",
            "row 7, column external_id: \"b\" is the external_id of row 3 as well; each payment needs its own.",
            "row 8: The row has 3 cells and the header 5; a cell that holds a comma, a quotation mark or a line break must \
             stand in quotation marks.",
        ]
    );
    assert_eq!(scratch.external_ids(), ["a", "e"]);

    // Nothing right in it is no reason to say that nothing was done: each row is reported.
    let file = scratch.file("wrong.csv", "paid_at,method,amount\n2024,CASH,1\n");
    let imported = scratch.import(&file);
    assert_eq!(
        (imported.code, imported.summary()),
        (Some(1), summary(0, 0, 0, 1))
    );
}

#[test]
fn a_file_of_nothing_but_mistakes_is_reported_to_its_last_row() {
    let scratch = Scratch::new();
    let rows: String = (0..2_000)
        .map(|_| "2024-02-27T02:22:55Z,CASH,x\n")
        .collect();
    let file = scratch.file("wrong.csv", &format!("paid_at,method,amount\n{rows}"));
    let imported = scratch.import(&file);
    assert_eq!(
        (imported.code, imported.summary()),
        (Some(1), summary(0, 0, 0, 2_000))
    );
    let messages = imported.messages();
    assert_eq!(messages.len(), 2_000);
    for (index, message) in messages.iter().enumerate() {
        assert!(
            message.starts_with(&format!("row {}, column amount: ", index + 2)),
            "{message}"
        );
    }
}

#[test]
fn what_cant_be_read_further_is_told_after_what_was_imported() {
    let scratch = Scratch::new();
    let file = scratch.file("open.csv", &format!("{}\"c,2024", cash(["a", "b"])));
    let imported = scratch.import(&file);
    assert_eq!(
        (imported.code, imported.summary()),
        (Some(1), summary(2, 0, 0, 0))
    );
    assert!(
        imported.messages()[0].starts_with(&format!(
            "error: {file}: row 4: a quotation mark opens a cell and is never closed"
        )),
        "{}",
        imported.stderr
    );
}

#[test]
fn changed_rows_update_and_json_lines_come_from_standard_input() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(["a", "b", "c"]));
    scratch.import(&file).succeeds();
    let line = |id: &str, amount: i64| {
        json!({"external_id": id, "paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": amount, "memo": id,
            "invoice_payments": []})
    };
    let lines = format!(
        "{}\n{}\n\n{}\n",
        line("a", 9000),
        line("b", 1),
        line("d", 1)
    );
    let imported = run_with_input(
        &["import", "-", "--format", "jsonl", "--local", &scratch.db],
        &lines,
    )
    .succeeds();
    assert_eq!(imported.summary(), summary(1, 1, 1, 0));
    assert_eq!(imported.messages(), Vec::<&str>::new());
}

#[test]
fn other_warnings_are_counted_and_no_reason_to_reject() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "odd.csv",
        "external_id,paid_at,method,amount,reference_number\n\
         a,2024-02-27T02:22:55Z,CASH,0,\n\
         ,2024-02-27T02:22:55Z,Other,9000,\"1,2\"\n\
         b,2024-02-27T02:22:55Z,CASH,-1,\"1,2\"\n",
    );
    let imported = scratch.import(&file);
    assert_eq!(imported.code, Some(1));
    assert_eq!(imported.summary(), summary(2, 0, 0, 1));
    assert_eq!(
        imported.messages(),
        [
            "row 4, column amount: The value is -1 cents; it must be 0 or more.",
            "warning: row 3 has no external_id; importing it again would record it again",
            &format!("4 other warnings (see `layer-payments validate {file}`)"),
        ]
    );
    let payments = scratch.payments();
    assert_eq!(payments[1]["method"], "OTHER");

    let file = scratch.file(
        "zero.csv",
        "external_id,paid_at,method,amount\na,2024-02-27T02:22:55Z,CASH,0\n",
    );
    assert_eq!(
        scratch.import(&file).succeeds().messages(),
        [format!("1 warning (see `layer-payments validate {file}`)")]
    );
}

#[test]
fn payments_without_an_external_id_are_imported_with_a_warning() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(["a", "", "b", ""]));
    let imported = scratch.import(&file).succeeds();
    assert_eq!(imported.summary(), summary(4, 0, 0, 0));
    assert_eq!(
        imported.messages(),
        [
            "warning: 2 rows have no external_id, the first of them row 3; importing them again would record them again"
        ]
    );
    assert_eq!(
        scratch.import(&file).succeeds().summary(),
        summary(2, 0, 2, 0)
    );
}

// ---- What nothing can be done about -------------------------------------------------------------------------------

#[test]
fn what_cant_begin_ends_with_2_and_one_line() {
    let scratch = Scratch::new();
    let good = scratch.file("good.csv", &cash(["a"]));
    let header = scratch.file("header.csv", "paid_at,method,amout\n");
    let empty = scratch.file("empty.csv", "");
    let text = scratch.file("payments.txt", "");
    let json = scratch.file("array.json", "[]");
    let folder = scratch.folder.path().to_str().unwrap();
    let no_db = scratch.file("not.db", &"this is no database\n".repeat(100));
    let missing = scratch
        .folder
        .path()
        .join("missing.csv")
        .to_str()
        .unwrap()
        .to_owned();
    let missing_db = scratch
        .folder
        .path()
        .join("missing.db")
        .to_str()
        .unwrap()
        .to_owned();
    let remote = [
        "--base-url",
        "http://127.0.0.1:9",
        "--token",
        "secret-token",
        "--business",
        BUSINESS,
    ];
    let db = scratch.db.as_str();

    for (arguments, told) in [
        (vec!["import", &missing, "--local", db], "error: opening"),
        (
            vec!["import", &text, "--local", db],
            "add --format csv or --format jsonl",
        ),
        (
            vec!["import", "payments.json", "--local", db],
            "error: opening payments.json",
        ),
        (
            vec!["import", &json, "--local", db],
            "array.json is one JSON document, and import takes CSV and JSON Lines; write each payment on a line of its own, \
             as `jq -c '.[]' FILE` does",
        ),
        (
            vec!["import", folder, "--local", db],
            "is a folder; name a file in it",
        ),
        (
            vec!["import", &header, "--local", db],
            "header.csv: row 1: unknown column `amout`; did you mean `amount`?",
        ),
        (
            vec!["import", &empty, "--local", db],
            "empty.csv: there is nothing in it",
        ),
        (
            vec!["import", &good, "--local", &no_db],
            "can't open the database",
        ),
        (vec!["list", "--local", &missing_db], "there is no database"),
        (vec!["import", &good], "no API is named; give --local FILE"),
        (
            vec!["import", &good, "--base-url", "http://127.0.0.1:9"],
            "no access token is given; set LAYER_TOKEN",
        ),
        (
            vec!["list", "--base-url", "http://127.0.0.1:9", "--token", "t"],
            "no business is named",
        ),
        (
            [&["list"], &remote[..]].concat(),
            "can't connect to http://127.0.0.1:9",
        ),
        (
            vec!["record", "--local", db, "--json", "{\"amount\": 1}"],
            "error: /paid_at: The property `paid_at` is missing",
        ),
        (
            vec!["record", "--local", db, "--json", "[]"],
            "error: (whole body): The value is a list; it must be an object.",
        ),
        (
            vec![
                "update",
                BUSINESS,
                "--local",
                db,
                "--json",
                "{\"amount\": -1}",
            ],
            "error: /amount: The value is -1 cents",
        ),
        (
            vec!["record", "--local", db],
            "error: the following required arguments",
        ),
    ] {
        let ran = run(&arguments);
        assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.starts_with("error: "),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
        assert!(
            !ran.stderr.contains("secret-token") && !ran.stderr.contains("panicked"),
            "{}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "");
    }
    assert!(
        !Path::new(&missing_db).exists(),
        "a misspelt name must not make a database"
    );
    assert!(
        !Path::new(db).exists(),
        "a command that can't begin must not make a database"
    );

    let ran = run(&[&["import", &good], &remote[..]].concat());
    assert_eq!(ran.code, Some(2));
    assert_eq!(ran.summary(), summary(0, 0, 0, 0));
    assert!(
        ran.messages()[0].starts_with("error: stopped at row 2: "),
        "{}",
        ran.stderr
    );
    assert!(
        ran.messages()[1].starts_with("Running the same command again is safe"),
        "{}",
        ran.stderr
    );
}

// ---- One payment --------------------------------------------------------------------------------------------------

#[test]
fn a_payment_is_recorded_and_changed() {
    let scratch = Scratch::new();
    let payment = json!({
        "external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 9000, "memo": "first",
        "invoice_payments": [{"invoice_external_id": "invoice-1", "amount": 9000}],
    });
    let file = scratch.file("payment.json", &payment.to_string());
    let recorded = run(&["record", &file, "--local", &scratch.db]).succeeds();
    assert_eq!(recorded.stderr, "created\n");
    let created: Value = serde_json::from_str(&recorded.stdout).unwrap();
    assert_eq!(created["memo"], "first");
    assert_eq!(
        run(&["record", &file, "--local", &scratch.db])
            .succeeds()
            .stderr,
        "unchanged\n"
    );

    let id = created["id"].as_str().unwrap();
    let update = ["update", id, "-", "--local", &scratch.db];
    let updated =
        run_with_input(&update, "{\"memo\": null, \"reference_number\": \"R-1\"}").succeeds();
    let updated: Value = serde_json::from_str(&updated.stdout).unwrap();
    assert_eq!(
        (&updated["memo"], &updated["reference_number"]),
        (&Value::Null, &json!("R-1"))
    );
    assert_eq!(updated["allocations"], created["allocations"]);

    let unknown = run(&[
        "update",
        BUSINESS,
        "--json",
        "{\"memo\": \"x\"}",
        "--local",
        &scratch.db,
    ]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.stderr.contains("404"), "{}", unknown.stderr);
}

// ---- Lists --------------------------------------------------------------------------------------------------------

#[test]
fn lists_have_four_forms() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "a.csv",
        "external_id,paid_at,method,amount,fee,processor,invoice_external_id,memo\n\
         a,2024-02-27T02:22:55.5Z,CREDIT_CARD,9000,290,STRIPE,INV-1,\"two\nlines, and \u{1b}[2Jmore\"\n\
         b,2024-02-26T02:22:55Z,CASH,5,,,,Grüße aus Österreich an alle, die das hier lesen können\n"
            .replace("an alle, die", "an alle die")
            .as_str(),
    );
    scratch.import(&file).succeeds();

    let table = scratch.list(&[]).succeeds();
    assert_eq!(
        table.stdout,
        "PAID AT               METHOD       AMOUNT   FEE  ALLOCATED  EXTERNAL ID  REFERENCE  MEMO\n\
         2024-02-26 02:22:55Z  CASH           0.05  0.00       0.00  b                       Grüße aus Österreich an alle die das hie…\n\
         2024-02-27 02:22:55Z  CREDIT_CARD   90.00  2.90      90.00  a                       two\\nlines, and \\u{1b}[2Jmore\n"
    );
    assert_eq!(table.stderr, "2 payments\n");

    let csv = scratch
        .list(&["--output", "csv", "--max", "1"])
        .succeeds()
        .stdout;
    let mut lines = csv.lines();
    assert!(
        lines
            .next()
            .unwrap()
            .starts_with("external_id,paid_at,method,amount,")
    );
    let row = lines.next().unwrap();
    assert!(
        row.starts_with("b,2024-02-26T02:22:55Z,CASH,5,0,,,,,,,Grüße"),
        "{row}"
    );
    assert_eq!(lines.next(), None);

    let jsonl = scratch
        .list(&["--output", "jsonl", "--sort-order", "DESC", "--limit", "1"])
        .succeeds()
        .stdout;
    let lines: Vec<Value> = jsonl
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        (&lines[0]["external_id"], &lines[1]["external_id"]),
        (&json!("a"), &json!("b"))
    );
    let json: Vec<Value> =
        serde_json::from_str(&scratch.list(&["--output", "json"]).succeeds().stdout).unwrap();
    assert_eq!(json, [lines[1].clone(), lines[0].clone()]);

    for (filter, expected) in [
        (&["--method", "CASH"][..], &["b"][..]),
        (&["--paid-at-start", "2024-02-27"], &["a"]),
        (&["--paid-at-end", "2024-02-26"], &["b"]),
        (
            &[
                "--paid-at-start",
                "2024-02-26T02:22:55Z",
                "--paid-at-end",
                "2024-02-27T02:22:55.5Z",
            ],
            &["b", "a"],
        ),
        (&["--external-id", "a"], &["a"]),
        (&["--reference-numbers", "x,y"], &[]),
        (&["--included-in-payout", "false"], &["b", "a"]),
        (&["--is-matched"], &[]),
        (
            &["--sort-by", "amount", "--sort-order", "DESC"],
            &["a", "b"],
        ),
        (&["--max", "0"], &[]),
    ] {
        let listed = scratch
            .list(&[filter, &["--output", "json"]].concat())
            .succeeds();
        let json: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
        let ids: Vec<_> = json
            .iter()
            .map(|payment| payment["external_id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, expected, "{filter:?}");
    }
    assert_eq!(scratch.list(&["--external-id", "x"]).succeeds().stdout, "");
    assert_eq!(
        scratch
            .list(&["--external-id", "x", "--output", "json"])
            .succeeds()
            .stdout,
        "[]\n"
    );
    assert_eq!(
        scratch
            .list(&["--external-id", "x", "--output", "csv"])
            .succeeds()
            .stdout
            .lines()
            .count(),
        1
    );

    let wrong = scratch.list(&["--method", "CARD"]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong
            .stderr
            .contains("possible values: CASH, CHECK, CREDIT_CARD"),
        "{}",
        wrong.stderr
    );
}

#[test]
fn a_reader_that_stops_is_no_error() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(0..3_000));
    scratch.import(&file).succeeds();
    for output in ["jsonl", "json", "csv"] {
        let mut child = program(&["list", "--local", &scratch.db, "--output", output])
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 10]).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn a_closed_output_hides_no_failure() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "a.csv",
        "external_id,paid_at,method,amount\na,2024-02-27T02:22:55Z,CASH,1\nb,yesterday,CASH,1\n",
    );
    let mut child = program(&["import", &file, "--local", &scratch.db])
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1), "a row was rejected");

    let mut child = program(&[
        "import",
        &file,
        "--base-url",
        "http://127.0.0.1:1",
        "--token",
        "t",
        "--business",
        BUSINESS,
    ])
    .spawn()
    .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2), "nothing was sent");
}

#[test]
fn a_listed_payment_without_an_external_id_is_not_recorded_twice() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "a.csv",
        "paid_at,method,amount\n2024-01-01T00:00:00Z,CASH,1\n",
    );
    scratch.import(&file).succeeds();
    let list = || {
        run(&["list", "--local", &scratch.db, "--output", "csv"])
            .succeeds()
            .stdout
    };
    let listed = list();
    let again = scratch.file("b.csv", &listed);
    let imported = scratch.import(&again);
    assert_eq!(imported.code, Some(1));
    assert!(
        imported
            .stderr
            .contains("row 2, column external_id: The row comes from a list"),
        "{}",
        imported.stderr
    );
    assert_eq!(list(), listed);
}

// ---- A server elsewhere -------------------------------------------------------------------------------------------

/// `layer-payments serve`, as a process of its own.
struct Served {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
    url: String,
    /// What it said before it listened for requests.
    said: Vec<String>,
}

impl Served {
    fn new(db: &str, configure: impl FnOnce(&mut Command)) -> Served {
        let mut command = program(&["serve", "--db", db, "--listen", "127.0.0.1:0"]);
        command.args(["--business", BUSINESS]);
        configure(&mut command);
        let mut child = command.spawn().unwrap();
        let mut stderr = BufReader::new(child.stderr.take().unwrap());
        let mut said = Vec::new();
        loop {
            let mut line = String::new();
            assert!(
                stderr.read_line(&mut line).unwrap() > 0,
                "the server ended: {said:?}"
            );
            said.push(line.trim_end().to_owned());
            if line.starts_with("business of imports") {
                break;
            }
        }
        let url = said
            .iter()
            .find_map(|line| line.strip_prefix("listening on "))
            .unwrap()
            .to_owned();
        Served {
            child,
            stderr,
            url,
            said,
        }
    }

    /// Ends it as a service manager does. Gives the exit code and what else it said.
    fn terminate(mut self) -> (Option<i32>, String) {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-TERM", &pid])
                .status()
                .unwrap()
                .success()
        );
        let mut rest = String::new();
        self.stderr.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // Ended already unless a test failed.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_server_takes_imports_over_http() {
    let scratch = Scratch::new();
    let served = Served::new(&scratch.db, |command| {
        command.args(["--token", "hush-hush-hush"]);
    });
    assert!(
        !served.said.iter().any(|line| line.contains("hush")),
        "{:?}",
        served.said
    );
    let file = scratch.file("a.csv", &cash(0..60));
    let remote = |arguments: &[&str]| {
        let mut command = program(arguments);
        command
            .env("LAYER_BASE_URL", &served.url)
            .env("LAYER_BUSINESS_ID", BUSINESS)
            .env("LAYER_TOKEN", "hush-hush-hush");
        command
    };
    assert_eq!(
        ran(&mut remote(&["import", &file])).succeeds().summary(),
        summary(60, 0, 0, 0)
    );
    let flags = [
        "import",
        &file,
        "--base-url",
        &served.url,
        "--token",
        "hush-hush-hush",
        "--business",
        BUSINESS,
    ];
    assert_eq!(run(&flags).succeeds().summary(), summary(0, 0, 60, 0));
    assert_eq!(
        ran(&mut remote(&["list", "--output", "jsonl"]))
            .succeeds()
            .stdout
            .lines()
            .count(),
        60
    );

    let refused = ran(remote(&["import", &file]).env("LAYER_TOKEN", "another-token"));
    assert_eq!(refused.code, Some(2));
    assert!(refused.messages()[0].contains("401"), "{}", refused.stderr);
    assert!(
        !refused.stderr.contains("another-token"),
        "{}",
        refused.stderr
    );

    // The flag wins over the variables: the local database is another one.
    let other = Scratch::new();
    assert_eq!(
        ran(&mut remote(&["import", &file, "--local", &other.db]))
            .succeeds()
            .summary(),
        summary(60, 0, 0, 0)
    );
    assert_eq!(other.external_ids().len(), 60);
    let help = ran(&mut remote(&["import", "--help"])).succeeds();
    assert!(!help.stdout.contains("hush"), "{}", help.stdout);

    let (code, rest) = served.terminate();
    assert_eq!(code, Some(0));
    assert!(rest.ends_with("stopped\n"), "{rest}");
    let business = scratch
        .list(&["--business", BUSINESS, "--output", "jsonl"])
        .succeeds();
    assert_eq!(business.stdout.lines().count(), 60);
    assert_eq!(scratch.external_ids().len(), 0);
}

#[test]
fn a_server_without_a_token_makes_one() {
    let scratch = Scratch::new();
    let served = Served::new(&scratch.db, |_| ());
    let token = served
        .said
        .iter()
        .find_map(|line| line.strip_prefix("token: "))
        .unwrap();
    assert_eq!(token.len(), 64);
    let list = [
        "list",
        "--base-url",
        &served.url,
        "--business",
        BUSINESS,
        "--output",
        "json",
        "--token",
        token,
    ];
    assert_eq!(run(&list).succeeds().stdout, "[]\n");
    assert_eq!(served.terminate().0, Some(0));
}

/// An API that refuses what a test tells it to.
struct Fake {
    server: MockServer,
    runtime: tokio::runtime::Runtime,
}

impl Fake {
    fn new(answer: impl Fn(&[Value], usize) -> ResponseTemplate + Send + Sync + 'static) -> Fake {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let server = runtime.block_on(MockServer::start());
        let bulk = Mock::given(method("POST")).and(path_regex("/invoices/payments/bulk$"));
        runtime.block_on(
            bulk.respond_with(Bulk {
                answer: Box::new(answer),
                calls: Mutex::new(0),
            })
            .mount(&server),
        );
        Fake { server, runtime }
    }

    fn with_list(self, answer: ResponseTemplate) -> Fake {
        let list = Mock::given(method("GET")).and(path_regex("/invoices/payments$"));
        self.runtime
            .block_on(list.respond_with(answer).mount(&self.server));
        self
    }

    fn import(&self, file: &str, arguments: &[&str]) -> Ran {
        let flags = [
            "import",
            file,
            "--base-url",
            &self.server.uri(),
            "--token",
            "secret-token",
            "--business",
            BUSINESS,
        ];
        run(&[&flags, arguments].concat())
    }

    /// How many payments each request held, in the order in which they came.
    fn sizes(&self) -> Vec<usize> {
        let requests = self
            .runtime
            .block_on(self.server.received_requests())
            .unwrap();
        let bulk = requests
            .iter()
            .filter(|request| request.url.path().ends_with("/bulk"));
        bulk.map(|request| request.body_json::<Vec<Value>>().unwrap().len())
            .collect()
    }
}

/// What an API answers: it sees the payments and the number of the call.
type Answer = Box<dyn Fn(&[Value], usize) -> ResponseTemplate + Send + Sync>;

struct Bulk {
    answer: Answer,
    calls: Mutex<usize>,
}

impl Respond for Bulk {
    fn respond(&self, request: &Request) -> ResponseTemplate {
        let payments: Vec<Value> = request.body_json().unwrap();
        let mut calls = self.calls.lock().unwrap();
        *calls += 1;
        (self.answer)(&payments, *calls)
    }
}

/// The reply that Layer documents: it doesn't tell which payments are new.
fn taken(payments: &[Value]) -> ResponseTemplate {
    let data: Vec<_> = payments
        .iter()
        .map(|payment| {
            json!({"id": BUSINESS, "external_id": payment["external_id"], "at": payment["paid_at"], "fee": 0,
                "amount": payment["amount"], "imported_at": "2024-02-27T02:23:01.5Z", "allocations": []})
        })
        .collect();
    ResponseTemplate::new(200).set_body_json(json!({"data": data}))
}

fn refused(status: u16, errors: Value) -> ResponseTemplate {
    ResponseTemplate::new(status).set_body_json(json!({"errors": errors}))
}

fn is_poison(payment: &Value) -> bool {
    payment["memo"].as_str().unwrap().starts_with("poison")
}

#[test]
fn an_api_that_doesnt_tell_what_is_new_accepts() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(0..60));
    let fake = Fake::new(|payments, _| taken(payments));
    let imported = fake.import(&file, &[]).succeeds();
    assert_eq!(
        imported.stdout,
        "accepted         60\nrejected          0\n"
    );
    let mut sizes = fake.sizes();
    sizes.sort();
    assert_eq!(sizes, [10, 25, 25]);
}

#[test]
fn rows_that_an_api_points_at_are_rejected_and_the_rest_sent_again() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(["a", "poison-1", "b", "poison-2", "c"]));
    let fake = Fake::new(|payments, _| {
        let errors: Vec<_> = payments
            .iter()
            .enumerate()
            .filter(|(_, payment)| is_poison(payment))
            .map(|(index, _)| {
                json!({"type": "Validation", "description": "Not this memo.", "meta": {"pointer": format!("/{index}/memo")}})
            })
            .collect();
        if errors.is_empty() {
            taken(payments)
        } else {
            refused(400, json!(errors))
        }
    });
    let imported = fake.import(&file, &[]);
    assert_eq!(imported.code, Some(1));
    assert_eq!(
        imported.stdout,
        "accepted          3\nrejected          2\n"
    );
    assert_eq!(
        imported.messages(),
        [
            "row 3, column memo: Not this memo.",
            "row 5, column memo: Not this memo."
        ]
    );
    assert_eq!(fake.sizes(), [5, 3]);
}

#[test]
fn without_a_pointer_chunks_are_halved_until_the_offender_is_alone() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "a.csv",
        &cash(["a", "b", "c", "poison", "d", "e", "f", "g"]),
    );
    let fake = Fake::new(|payments, _| {
        if payments.iter().any(is_poison) {
            refused(
                400,
                json!([{"type": "Validation", "description": "Something is wrong."}]),
            )
        } else {
            taken(payments)
        }
    });
    let imported = fake.import(&file, &[]);
    assert_eq!(imported.code, Some(1));
    assert_eq!(
        imported.stdout,
        "accepted          7\nrejected          1\n"
    );
    assert_eq!(imported.messages(), ["row 5: Something is wrong."]);
    assert_eq!(fake.sizes(), [8, 4, 2, 2, 1, 1, 4]);
}

#[test]
fn a_fault_that_is_no_rows_fault_stops_the_import() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(0..1_000));
    // By what they hold and not by their number, as several requests are on their way at a time.
    let fake = Fake::new(|payments, _| {
        let first: u32 = payments[0]["memo"].as_str().unwrap().parse().unwrap();
        if first < 250 {
            taken(payments)
        } else {
            // A 500 might pass and would be sent again.
            ResponseTemplate::new(501)
        }
    });
    let imported = fake.import(&file, &[]);
    assert_eq!(imported.code, Some(1));
    assert_eq!(
        imported.stdout,
        "accepted        250\nrejected          0\n"
    );
    let message = imported.messages()[0];
    assert!(
        message.starts_with("error: stopped at row 252: "),
        "{message}"
    );
    assert!(message.contains("501"), "{message}");
    assert!(
        imported.messages()[1].starts_with("Running the same command again is safe"),
        "{}",
        imported.stderr
    );
    // Nothing new is sent after a fault; what was on its way is waited for.
    assert!(fake.sizes().len() <= 14, "{:?}", fake.sizes());
}

#[test]
fn a_fault_that_passes_does_not_stop_the_import() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(0..100));
    let seen = Mutex::new(HashSet::new());
    let fake = Fake::new(move |payments, _| {
        let first = payments[0]["external_id"].to_string();
        if seen.lock().unwrap().insert(first) {
            ResponseTemplate::new(503)
        } else {
            taken(payments)
        }
    });
    let imported = fake.import(&file, &[]);
    assert_eq!(imported.code, Some(0), "{}", imported.stderr);
    assert_eq!(
        imported.stdout,
        "accepted        100\nrejected          0\n"
    );
    assert_eq!(
        fake.sizes().iter().sum::<usize>(),
        200,
        "each of them twice"
    );
}

#[test]
fn a_list_that_breaks_off_says_so() {
    let payment = json!({"id": BUSINESS, "at": "2024-02-27T02:22:55Z", "fee": 0, "amount": 1,
        "imported_at": "2024-02-27T02:23:01.5Z", "allocations": []});
    // The page says that more follow, and doesn't say where.
    let page =
        json!({"data": [&payment], "meta": {"pagination": {"has_more": true, "cursor": null}}});
    let fake = Fake::new(|payments, _| taken(payments))
        .with_list(ResponseTemplate::new(200).set_body_json(&page));
    let uri = fake.server.uri();
    let flags = [
        "list",
        "--base-url",
        &uri,
        "--token",
        "t",
        "--business",
        BUSINESS,
    ];
    for output in ["jsonl", "json"] {
        let listed = run(&[&flags[..], &["--output", output]].concat());
        assert_eq!(listed.code, Some(1));
        // The payment before the fault is there, and nothing that makes an array look complete.
        let written = listed.stdout.trim_start_matches("[\n");
        assert_eq!(serde_json::from_str::<Value>(written).unwrap(), payment);
        let told = "error: the list is incomplete after 1 payment: ";
        assert!(listed.stderr.starts_with(told), "{}", listed.stderr);
    }
}

#[test]
fn an_unknown_business_is_no_rows_fault() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(0..10));
    let not_found = || {
        refused(
            404,
            json!([{"type": "NotFound", "description": "No such business."}]),
        )
    };
    let fake = Fake::new(move |_, _| not_found()).with_list(not_found());
    let imported = fake.import(&file, &[]);
    assert_eq!(imported.code, Some(2));
    assert_eq!(imported.summary(), summary(0, 0, 0, 0));
    assert!(
        imported.messages()[0].contains("No such business."),
        "{}",
        imported.stderr
    );
    assert_eq!(fake.sizes(), [10]);

    // In a business that exists, it's a row that names what doesn't.
    let fake = Fake::new(move |payments, _| {
        if payments.iter().any(|payment| payment["memo"] == "7") {
            not_found()
        } else {
            taken(payments)
        }
    })
    .with_list(ResponseTemplate::new(200).set_body_json(json!({"data": []})));
    let imported = fake.import(&file, &[]);
    assert_eq!(
        (imported.code, imported.messages()),
        (Some(1), vec!["row 9: No such business."])
    );
}

#[test]
fn a_rate_limit_is_waited_out() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(0..10));
    let fake = Fake::new(|payments, call| {
        if call <= 2 {
            ResponseTemplate::new(429).insert_header("retry-after", "0")
        } else {
            taken(payments)
        }
    });
    let imported = fake.import(&file, &[]).succeeds();
    assert_eq!(
        imported.stdout,
        "accepted         10\nrejected          0\n"
    );
    assert_eq!(fake.sizes(), [10, 10, 10]);
}

#[test]
fn an_api_that_is_busy_is_waited_for_if_rows_can_be_sent_again() {
    let scratch = Scratch::new();
    let busy = |payments: &[Value], call: usize| {
        if call <= 1 {
            ResponseTemplate::new(503).insert_header("retry-after", "0")
        } else {
            taken(payments)
        }
    };
    let fake = Fake::new(busy);
    let imported = fake
        .import(&scratch.file("a.csv", &cash(0..10)), &[])
        .succeeds();
    assert_eq!(imported.summary()["accepted"], 10);

    let fake = Fake::new(busy);
    let nameless = scratch.file(
        "b.csv",
        "paid_at,method,amount\n2024-01-01T00:00:00Z,CASH,1\n",
    );
    let imported = fake.import(&nameless, &[]);
    assert_eq!(
        imported.code,
        Some(2),
        "sent again, the row might be recorded twice"
    );
    assert_eq!(fake.sizes(), [1]);
}

#[test]
fn an_import_ends_when_the_api_fails_though_input_is_still_open() {
    let fake = Fake::new(|_, _| ResponseTemplate::new(500));
    let uri = fake.server.uri();
    let arguments = [
        "import",
        "-",
        "--format",
        "csv",
        "--base-url",
        &uri,
        "--token",
        "t",
        "--business",
        BUSINESS,
    ];
    let mut child = program(&[&arguments[..], &["--chunk", "1"]].concat())
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(cash(0..2).as_bytes()).unwrap();
    input.flush().unwrap();
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the program waits for input that it can't use"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}
