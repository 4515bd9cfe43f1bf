//! `serve`, `migrate` and `ledger check` on a database in PostgreSQL.

use layer_payments_test_postgres::{Authority, Cluster, shared};

use super::{BUSINESS, Ran, Scratch, Served, cash, program, ran, run};

const TOKEN: &str = "a-token-for-tests";

/// A URL without its password, and the password.
fn apart(url: &str) -> (String, String) {
    let (before, host) = url.split_once('@').unwrap();
    let (before, password) = before.rsplit_once(':').unwrap();
    (format!("{before}@{host}"), password.to_owned())
}

/// Imports through a server.
fn import(served: &Served, rows: std::ops::Range<usize>) -> Ran {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(rows));
    let server = [
        "--base-url",
        &served.url,
        "--token",
        TOKEN,
        "--business",
        BUSINESS,
    ];
    run(&[&["import", &file], &server[..]].concat())
}

#[test]
fn payments_are_kept_in_postgres() {
    let database = shared().database();
    let (url, password) = apart(&database.url());
    let with_password =
        |arguments: &[&str], variable: &str| ran(program(arguments).env(variable, &password));

    // Nothing is there yet, and nothing is made unasked.
    let refused = with_password(&["serve", "--db", &url], "LAYER_DB_PASSWORD");
    assert_eq!(refused.code, Some(2));
    assert_eq!(
        refused.stderr,
        format!(
            "error: can't open the database {url}: there are no books in it yet; `layer-payments migrate` begins some\n"
        )
    );
    let migrate = ["migrate", "--db", &url];
    let migrated = with_password(&migrate, "LAYER_DB_PASSWORD").succeeds();
    assert_eq!(
        migrated.stderr,
        "the schema is up to date, after 1 migration\n"
    );
    let again = with_password(&migrate, "PGPASSWORD").succeeds();
    assert_eq!(again.stderr, "the schema was up to date\n");

    let served = Served::new(&url, |command| {
        command
            .args([
                "--token",
                TOKEN,
                "--db-pool",
                "3",
                "--db-statement-timeout",
                "1min",
            ])
            .env("LAYER_DB_PASSWORD", &password)
            // What is more particular counts.
            .env("PGPASSWORD", "wrong");
    });
    assert_eq!(import(&served, 0..30).succeeds().summary()["created"], 30);
    let connections =
        "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()";
    let names = database.sql(&format!("SELECT DISTINCT application_name {connections}"));
    assert_eq!(names, "layer-payments");
    let (code, rest) = served.terminate();
    assert_eq!(code, Some(0), "{rest}");
    assert_eq!(database.sql("SELECT count(*) FROM payments"), "30");
    assert_eq!(database.sql(&format!("SELECT count(*) {connections}")), "0");

    // The URL with its password, from the environment.
    let mut check = program(&["ledger", "check"]);
    let checked = ran(check.env("LAYER_DB", database.url())).succeeds();
    assert_eq!(checked.stderr, "the books are in order\n");
    database.sql("UPDATE accounts SET debits = debits + 1 WHERE debits > 0");
    let checked = with_password(&["ledger", "check", "--db", &url], "PGPASSWORD");
    assert_eq!(checked.code, Some(1), "{}", checked.stderr);
}

#[test]
fn a_server_brings_the_schema_up_to_date_if_it_may() {
    let database = shared().database();
    let served = Served::new(&database.url(), |command| {
        command.args(["--migrate", "--token", TOKEN]);
    });
    assert_eq!(import(&served, 0..3).succeeds().summary()["created"], 3);
    let (code, rest) = served.terminate();
    assert_eq!(code, Some(0));
    assert!(!rest.contains("layer-test"), "{rest}");
}

#[test]
fn the_authorities_of_the_system_are_trusted() {
    let authority = Authority::new();
    let cluster = Cluster::start();
    cluster.speak_tls(
        &authority.certify("server", "DNS:localhost", 30),
        &authority,
    );
    let database = cluster.database();
    let url = database.url().replace("127.0.0.1", "localhost");
    let url = format!("{url}?sslmode=verify-full");
    let migrate = |trusted: &std::path::Path| {
        let mut command = program(&["migrate", "--db", &url]);
        ran(command
            .env("SSL_CERT_FILE", trusted)
            .env_remove("SSL_CERT_DIR"))
    };
    migrate(&authority.certificate()).succeeds();
    let refused = migrate(&Authority::new().certificate());
    assert_eq!(refused.code, Some(2));
    assert!(
        refused
            .stderr
            .contains("isn't from an authority that is trusted"),
        "{}",
        refused.stderr
    );
}

#[test]
fn a_database_that_cannot_be_used_is_told_without_its_password() {
    let scratch = Scratch::new();
    let database = shared().database();
    let (_, password) = apart(&database.url());
    let wrong = database.url().replace(&password, "hush-hush");
    let file = scratch.file("a.csv", &cash(0..1));
    let elsewhere = "postgres://layer:hush-hush@127.0.0.1:1/payments";
    for (arguments, told) in [
        (
            vec!["serve"],
            "no database is named; give --db FILE, or --db postgres://user@host/database",
        ),
        (vec!["migrate"], "no database is named"),
        (vec!["ledger", "check"], "no database is named"),
        (
            vec!["serve", "--db", &wrong],
            "the database refuses the connection: 127.0.0.1:",
        ),
        (
            vec!["serve", "--db", elsewhere],
            "can't open the database postgres://layer@127.0.0.1:1/payments: can't connect to the database: 127.0.0.1:1: \
             Connection refused",
        ),
        (
            vec!["migrate", "--db", "postgres://layer:hush-hush@h:x/p"],
            "--db (or LAYER_DB) isn't the URL of a database in PostgreSQL: the URL's port isn't a number",
        ),
        (
            vec!["serve", "--db", "mysql://layer:hush-hush@h/p"],
            "the URL doesn't start with postgres:// or postgresql://",
        ),
        (
            vec!["serve", "--db", "postgres:/layer:hush-hush@h/p"],
            "the URL doesn't start with postgres:// or postgresql://",
        ),
        (
            vec!["serve", "--db", &scratch.db, "--db-pool", "3"],
            "--db-pool is for a database in PostgreSQL, and --db names a file; leave it out",
        ),
        (
            vec!["serve", "--db", &scratch.db, "--db-statement-timeout", "3"],
            "--db-statement-timeout is for a database in PostgreSQL",
        ),
        (
            vec!["serve", "--db", elsewhere, "--db-statement-timeout", "soon"],
            "give a length of time, such as 30s, 500ms or 2min, or a number of seconds",
        ),
        (
            vec!["serve", "--db", elsewhere, "--db-pool", "0"],
            "invalid value '0' for '--db-pool",
        ),
        (
            vec!["migrate", "--db", &scratch.db],
            "only a database in PostgreSQL is brought up to date by itself",
        ),
        (
            vec!["import", &file, "--local", elsewhere],
            "--local takes a file; for a database in PostgreSQL, start `layer-payments serve --db`",
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
            !ran.stderr.contains("hush"),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "");
    }
    assert!(!std::path::Path::new(&scratch.db).exists());
    // Help tells of the variable, and not what is in it.
    let help = ran(program(&["serve", "--help"]).env("LAYER_DB", elsewhere)).succeeds();
    assert!(help.stdout.contains("[env: LAYER_DB]"), "{}", help.stdout);
    assert!(!help.stdout.contains("hush-hush"), "{}", help.stdout);
}

#[test]
fn a_file_is_moved_over() {
    let scratch = Scratch::new();
    let csv = scratch.file("a.csv", &cash(0..30));
    let file = &*scratch.db;
    run(&["import", &csv, "--local", file]).succeeds();
    let database = shared().database();
    let (url, password) = apart(&database.url());
    let with_password = |arguments: &[&str]| ran(program(arguments).env("PGPASSWORD", &password));
    let copy = ["copy", "--from", file, "--to", &url];

    let early = with_password(&copy);
    assert_eq!((early.code, early.stdout.as_str()), (Some(2), ""));
    assert!(
        early.stderr.contains("`layer-payments migrate`"),
        "{}",
        early.stderr
    );
    with_password(&["migrate", "--db", &url]).succeeds();
    let copied = with_password(&copy).succeeds();
    assert!(
        copied.stderr.ends_with(
            "copied 30 payments of 1 business with 30 journal entries; the books of both are in order, and alike\n\
             serve the database from now on: what is still recorded in the file isn't in it\n"
        ),
        "{}",
        copied.stderr
    );
    assert!(
        copied.stderr.contains("checking the books in the file"),
        "{}",
        copied.stderr
    );
    assert_eq!(database.sql("SELECT count(*) FROM payments"), "30");
    with_password(&["ledger", "check", "--db", &url]).succeeds();

    // Once is enough.
    let again = with_password(&copy);
    assert_eq!(again.code, Some(2));
    assert!(
        again.stderr.contains("has businesses already"),
        "{}",
        again.stderr
    );
    let wrong = run(&["copy", "--from", file, "--to", file]);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.stderr.contains("--to names a file"),
        "{}",
        wrong.stderr
    );
}
