//! `ledger check`, and what `serve` takes besides payments.

use serde_json::{Value, json};

use super::{BUSINESS, Scratch, Served, cash, program, ran, run};

#[test]
fn the_books_of_an_import_are_in_order() {
    let scratch = Scratch::new();
    let file = scratch.file("a.csv", &cash(0..30));
    run(&["import", &file, "--local", &scratch.db]).succeeds();
    let check = ["ledger", "check", "--local", &scratch.db];
    let checked = run(&check).succeeds();
    assert_eq!(
        (checked.stdout.as_str(), checked.stderr.as_str()),
        ("", "the books are in order\n")
    );

    // A line that is changed shows in three places: the entry, the account and the payment.
    let database = rusqlite::Connection::open(&scratch.db).unwrap();
    let changed = database
        .execute(
            "UPDATE journal_lines SET debit = debit + 1 WHERE entry = 7 AND line = 1",
            [],
        )
        .unwrap();
    assert_eq!(changed, 1);
    drop(database);
    let checked = run(&check);
    assert_eq!(checked.code, Some(1));
    assert_eq!(checked.stderr, "3 faults\n");
    let lines: Vec<&str> = checked.stdout.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].contains("entry 7 doesn't balance"), "{lines:?}");
}

#[test]
fn what_is_no_database_of_books_is_told() {
    let scratch = Scratch::new();
    let missing = run(&["ledger", "check", "--local", &scratch.db]);
    assert_eq!(missing.code, Some(2));
    assert!(missing.stderr.starts_with("error: "), "{}", missing.stderr);
    assert!(!std::path::Path::new(&scratch.db).exists());
    let text = scratch.file("notes.txt", &"no database ".repeat(200));
    assert_eq!(run(&["ledger", "check", "--local", &text]).code, Some(2));
}

#[test]
fn a_server_starts_with_fixtures_and_knows_no_other_invoices() {
    let scratch = Scratch::new();
    let fixtures = scratch.file(
        "fixtures.json",
        &json!({"businesses": [{
            "id": BUSINESS,
            "ledger_accounts": [{"stable_name": "PETTY_CASH", "name": "Petty Cash", "account_type": "ASSET"}],
            "invoices": [{"external_id": "invoice-1", "total_amount": 500}],
        }]})
        .to_string(),
    );
    let served = Served::new(&scratch.db, |command| {
        command.args([
            "--token",
            "hush",
            "--strict-invoices",
            "--fixtures",
            &fixtures,
        ]);
    });
    let record = |invoice: &str, amount: i64| {
        let payment = json!({
            "external_id": format!("{invoice} {amount}"), "paid_at": "2024-02-27T02:22:55Z", "method": "CASH",
            "amount": amount, "invoice_payments": [{"invoice_external_id": invoice, "amount": amount}],
            "payment_clearing_account_identifier": {"type": "StableName", "stable_name": "PETTY_CASH"},
        });
        run(&[
            "record",
            "--base-url",
            &served.url,
            "--token",
            "hush",
            "--business",
            BUSINESS,
            "--json",
            &payment.to_string(),
        ])
    };
    let recorded: Value =
        serde_json::from_str(&record("invoice-1", 300).succeeds().stdout).unwrap();
    assert_eq!(recorded["payment_clearing_account"]["name"], "Petty Cash");
    for (invoice, amount, reason) in [
        ("invoice-2", 1, "no invoice with the external id"),
        ("invoice-1", 201, "only 200 cents are outstanding"),
    ] {
        let refused = record(invoice, amount);
        assert_ne!(refused.code, Some(0));
        assert!(refused.stderr.contains(reason), "{}", refused.stderr);
    }
    assert_eq!(served.terminate().0, Some(0));

    let broken = scratch.file("broken.json", r#"{"businesses": [{"id": 1}]}"#);
    let mut command = program(&["serve", "--db", &scratch.db, "--fixtures", &broken]);
    let refused = ran(&mut command);
    assert_eq!(refused.code, Some(2));
    assert!(
        refused.stderr.contains("broken.json") && refused.stderr.contains("businesses[0].id"),
        "{}",
        refused.stderr
    );
}
