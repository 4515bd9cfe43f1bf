//! The check finds what is wrong: good books, one thing changed behind their back, and exactly the faults that follow.

use std::collections::HashMap;

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};
use uuid::Uuid;

use super::super::books::SqliteBooks;
use super::super::{Policy, businesses, schema};
use crate::domain::books::record_all;
use crate::domain::local::{NewBusiness, fill};
use crate::fixtures::Fixtures;
use crate::store::check::check;

const BUSINESS: Uuid = Uuid::from_u128(1);
const OTHER: Uuid = Uuid::from_u128(2);

/// What the books hold. Their journal:
///
/// | number | entry | of |
/// |---|---|---|
/// | 1 | `INVOICE_PAYMENT` | card |
/// | 2 | `INVOICE_PAYMENT` | cash, reversed by 9 |
/// | 3, 4 | `REFUND_ALLOCATION`, `REFUND_PAYMENT` | cash |
/// | 5 | `INVOICE_PAYMENT` | cheque |
/// | 6 | `PAYOUT` | payout |
/// | 7, 8 | `MATCH` | payout, cheque |
/// | 9, 10 | `REVERSAL` of 2, `INVOICE_PAYMENT` | cash |
fn fixtures(business: Uuid, cash: i64) -> Fixtures {
    let time = "2024-02-27T00:00:00Z";
    let text: Value = json!({"businesses": [{
        "id": business,
        "invoices": [{"external_id": "first", "total_amount": 9000}],
        "payments": [
            {
                "external_id": "card", "paid_at": time, "method": "CREDIT_CARD", "processor": "STRIPE",
                "amount": 9000, "fee": 300,
                "invoice_payments": [{"invoice_external_id": "first", "amount": 9000}],
            },
            {
                "external_id": "cash", "paid_at": time, "method": "CASH", "amount": cash,
                "invoice_payments": [{"invoice_external_id": "second", "amount": 4000}],
                "dedicated_refunds": [{"line_items": [{"amount": 1000}]}],
            },
            {
                "external_id": "cheque", "paid_at": time, "method": "CHECK", "amount": 100,
                "invoice_payments": [],
            },
        ],
        "payouts": [{
            "external_id": "payout", "completed_at": time, "processor": "STRIPE", "paid_out_amount": 8600, "fee": 100,
            "payments": [{"invoice_payment_external_id": "card"}],
        }],
        "matches": [
            {"payout_external_id": "payout", "bank_transaction": {"date": time, "amount": 8600}},
            {"invoice_payment_external_id": "cheque", "bank_transaction": {"date": time, "amount": 100}},
        ],
    }]});
    Fixtures::from_json(text.to_string().as_bytes()).unwrap()
}

fn filled() -> Connection {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::configure(&connection).unwrap();
    schema::migrate(&mut connection).unwrap();
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let mut names = HashMap::new();
    for id in [BUSINESS, OTHER] {
        let business = NewBusiness {
            id: Some(id),
            ..NewBusiness::default()
        };
        businesses::create(&connection, &business, now).unwrap();
    }
    let mut books =
        SqliteBooks::open(&connection, &mut names, BUSINESS, now, Policy::default()).unwrap();
    let business = |cash| fixtures(BUSINESS, cash).businesses.remove(0);
    fill(&mut books, business(4000), |_, error| error).unwrap();
    record_all(&mut books, business(5000).payments).unwrap();
    drop(books);
    connection
}

/// The faults with names in place of ids, and without the business.
fn plain(connection: &Connection, names: &[(String, String)]) -> Vec<String> {
    check(&mut &*connection)
        .unwrap()
        .into_iter()
        .map(|mut fault| {
            for (id, name) in names {
                fault = fault.replace(id, name);
            }
            let own = format!("business {BUSINESS}: ");
            fault.strip_prefix(&own).unwrap_or(&fault).to_owned()
        })
        .collect()
}

/// What everything in the books is called.
fn names(connection: &Connection) -> Vec<(String, String)> {
    let mut statement = connection
        .prepare(
            "SELECT id, external_id FROM payments UNION ALL SELECT id, external_id FROM invoices
             UNION ALL SELECT id, external_id FROM payouts UNION ALL SELECT id, stable_name FROM accounts
             UNION ALL SELECT id, iif(payout_id IS NULL, 'of-cheque', 'of-payout') FROM matches",
        )
        .unwrap();
    let rows = statement
        .query_map([], |row| {
            let id = Uuid::from_bytes(row.get(0)?);
            Ok((id.to_string(), row.get(1)?))
        })
        .unwrap();
    rows.map(Result::unwrap).collect()
}

/// Changes good books by SQL, whatever the database's own constraints say, and compares the faults.
#[track_caller]
fn finds(tampering: &str, expected: &[&str]) {
    let connection = filled();
    let names = names(&connection);
    assert_eq!(plain(&connection, &names), Vec::<String>::new());
    connection
        .execute_batch("PRAGMA foreign_keys = OFF; PRAGMA ignore_check_constraints = ON;")
        .unwrap();
    connection.execute_batch(tampering).unwrap();
    connection
        .pragma_update(None, "ignore_check_constraints", false)
        .unwrap();
    assert_eq!(plain(&connection, &names), expected, "{tampering}");
}

#[test]
fn the_journal_is_what_the_cases_take_it_for() {
    let connection = filled();
    let entries: Vec<String> = connection
        .prepare(
            "SELECT number || ' ' || entry_type || coalesce(' of ' || reversal_of, '') FROM journal_entries
             ORDER BY number",
        )
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(
        entries,
        [
            "1 INVOICE_PAYMENT",
            "2 INVOICE_PAYMENT",
            "3 REFUND_ALLOCATION",
            "4 REFUND_PAYMENT",
            "5 INVOICE_PAYMENT",
            "6 PAYOUT",
            "7 MATCH",
            "8 MATCH",
            "9 REVERSAL of 2",
            "10 INVOICE_PAYMENT",
        ]
    );
}

#[test]
fn lines_that_do_not_balance() {
    finds(
        "UPDATE journal_lines SET debit = debit + 1 WHERE entry = 1 AND line = 1",
        &[
            "entry 1 doesn't balance: debits 9001, credits 9000",
            "account STRIPE_CLEARING has debits 8700 and credits 8700, but its lines add up to 8701 and 8700",
            "payment card has other entries than the posting rules give",
        ],
    );
}

#[test]
fn lines_that_balance_and_are_wrong() {
    finds(
        "UPDATE journal_lines SET debit = debit - 1 WHERE entry = 1 AND line = 1;
         UPDATE journal_lines SET debit = debit + 1 WHERE entry = 1 AND line = 2;
         UPDATE accounts SET debits = debits - 1 WHERE stable_name = 'STRIPE_CLEARING';
         UPDATE accounts SET debits = debits + 1 WHERE stable_name = 'BANK_FEES';",
        &["payment card has other entries than the posting rules give"],
    );
}

#[test]
fn a_line_on_another_account() {
    finds(
        "UPDATE journal_lines SET account_id = (SELECT id FROM accounts WHERE stable_name = 'CASH')
         WHERE entry = 1 AND line = 1",
        &[
            "account STRIPE_CLEARING has debits 8700 and credits 8700, but its lines add up to 0 and 8700",
            "account CASH has debits 9000 and credits 5000, but its lines add up to 17700 and 5000",
            "payment card has other entries than the posting rules give",
        ],
    );
}

#[test]
fn a_balance_that_is_not_the_sum() {
    finds(
        "UPDATE accounts SET debits = debits + 1 WHERE stable_name = 'CASH'",
        &["account CASH has debits 9001 and credits 5000, but its lines add up to 9000 and 5000"],
    );
    finds(
        "UPDATE accounts SET credits = credits - 1 WHERE stable_name = 'CASH'",
        &["account CASH has debits 9000 and credits 4999, but its lines add up to 9000 and 5000"],
    );
}

#[test]
fn an_entry_that_is_missing() {
    finds(
        "DELETE FROM journal_lines WHERE entry = 5; DELETE FROM journal_entries WHERE number = 5;",
        &[
            "entry 6 follows entry 4",
            "account UNDEPOSITED_FUNDS has debits 100 and credits 100, but its lines add up to 0 and 100",
            "account UNEARNED_REVENUE has debits 0 and credits 1100, but its lines add up to 0 and 1000",
            "payment cheque has other entries than the posting rules give",
        ],
    );
}

#[test]
fn the_last_entry_that_is_missing() {
    finds(
        "DELETE FROM journal_lines WHERE entry = 10; DELETE FROM journal_entries WHERE number = 10;
         UPDATE accounts SET debits = debits - 5000 WHERE stable_name = 'CASH';
         UPDATE accounts SET credits = credits - 4000 WHERE stable_name = 'ACCOUNTS_RECEIVABLE';
         UPDATE accounts SET credits = credits - 1000 WHERE stable_name = 'UNEARNED_REVENUE';",
        &["payment cash has other entries than the posting rules give"],
    );
}

#[test]
fn an_entry_that_stands_there_twice() {
    finds(
        "INSERT INTO journal_entries SELECT business_id, 11, entry_type, entry_at, posted_at, payment_key, source_id,
             reversal_of FROM journal_entries WHERE number = 5;
         INSERT INTO journal_lines SELECT business_id, 11, line, account_id, debit, credit FROM journal_lines
             WHERE entry = 5;
         UPDATE accounts SET debits = debits + 100 WHERE stable_name = 'UNDEPOSITED_FUNDS';
         UPDATE accounts SET credits = credits + 100 WHERE stable_name = 'UNEARNED_REVENUE';",
        &["payment cheque has other entries than the posting rules give"],
    );
}

#[test]
fn an_entry_without_lines() {
    finds(
        "INSERT INTO journal_entries SELECT business_id, 11, entry_type, entry_at, posted_at, payment_key, source_id,
             reversal_of FROM journal_entries WHERE number = 5",
        &[
            "entry 11 has no lines",
            "payment cheque has other entries than the posting rules give",
        ],
    );
}

#[test]
fn a_gap_in_the_numbers() {
    finds(
        "UPDATE journal_lines SET entry = 11 WHERE entry = 10; UPDATE journal_entries SET number = 11 WHERE number = 10;",
        &["entry 11 follows entry 9"],
    );
    finds(
        "UPDATE journal_lines SET entry = 0 WHERE entry = 1; UPDATE journal_entries SET number = 0 WHERE number = 1;",
        &[
            "the file: CHECK constraint failed in journal_entries",
            "entry 0 follows entry 0",
            "entry 2 follows entry 0",
        ],
    );
}

#[test]
fn lines_of_no_entry() {
    finds(
        "INSERT INTO journal_lines SELECT business_id, 99, line, account_id, debit, credit FROM journal_lines
         WHERE entry = 5",
        &[
            "a row of journal_lines refers to none of journal_entries",
            "a row of journal_lines refers to none of journal_entries",
        ],
    );
}

#[test]
fn a_line_of_zero() {
    finds(
        "INSERT INTO journal_lines SELECT business_id, entry, 3, account_id, 0, 0 FROM journal_lines
         WHERE entry = 6 AND line = 1",
        &[
            "the file: CHECK constraint failed in journal_lines",
            "entry 6 isn't what a payout or a match posts",
        ],
    );
}

#[test]
fn a_reversal_that_undoes_something_else() {
    let wrong = "entry 9 doesn't undo entry 2 exactly";
    finds(
        "UPDATE journal_entries SET entry_at = entry_at + 1 WHERE number = 9",
        &[wrong],
    );
    finds(
        "UPDATE journal_entries SET source_id = zeroblob(16) WHERE number = 9",
        &[wrong],
    );
    finds(
        "UPDATE journal_entries SET payment_key = payment_key - 1 WHERE number = 9",
        &[wrong],
    );
    finds(
        "UPDATE journal_lines SET credit = credit + 1 WHERE entry = 9 AND credit > 0;
         UPDATE journal_lines SET debit = debit + 1 WHERE entry = 9 AND debit > 0;
         UPDATE accounts SET credits = credits + 1 WHERE stable_name = 'CASH';
         UPDATE accounts SET debits = debits + 1 WHERE stable_name = 'ACCOUNTS_RECEIVABLE';",
        &[wrong],
    );
    finds(
        "UPDATE journal_entries SET reversal_of = 5 WHERE number = 9",
        &[
            "entry 9 doesn't undo entry 5 exactly",
            "payment cash has other entries than the posting rules give",
            "payment cheque has other entries than the posting rules give",
        ],
    );
}

#[test]
fn entries_of_another_businesss_payment() {
    finds(
        "UPDATE payments SET business_id = 2 WHERE external_id = 'cheque'",
        &[
            "entry 5 is about a payment that the business doesn't have",
            "entry 8 isn't what a payout or a match posts",
            "business 00000000-0000-0000-0000-000000000002: payment cheque has other entries than the posting rules give",
            "business 00000000-0000-0000-0000-000000000002: payment cheque is marked wrongly as to matches",
        ],
    );
}

#[test]
fn invoices_that_are_not_paid_as_their_payments_say() {
    finds(
        "UPDATE invoices SET paid = paid - 1 WHERE external_id = 'first'",
        &["invoice first has 8999 paid and 0 refunded, but its payments add up to 9000 and 0"],
    );
    finds(
        "UPDATE invoices SET refunded = 0 WHERE external_id = 'second'",
        &["invoice second has 4000 paid and 0 refunded, but its payments add up to 4000 and 1000"],
    );
    finds(
        "UPDATE invoices SET total_amount = 8999 WHERE external_id = 'first'",
        &["invoice first of 8999 is overpaid: 9000"],
    );
    finds(
        "UPDATE invoices SET voided_at = 0 WHERE external_id = 'first'",
        &["invoice first is void, and 9000 are paid on it"],
    );
    finds(
        "DELETE FROM payment_invoices; DELETE FROM invoices WHERE external_id = 'second';",
        &[
            "payment card isn't found under each invoice that it is allocated to",
            "payment cash isn't found under each invoice that it is allocated to",
            "the invoice second of a payment isn't there",
        ],
    );
}

#[test]
fn payments_that_are_not_what_is_shown_of_them() {
    finds(
        "UPDATE payments SET document = replace(document, '4000', '4001') WHERE external_id = 'cash'",
        &["payment cash is shown otherwise than it is kept"],
    );
    finds(
        "UPDATE payments SET memo = 'm' WHERE external_id = 'cash'",
        &["payment cash is shown otherwise than it is kept"],
    );
    finds(
        "UPDATE payments SET amount = amount + 1 WHERE external_id = 'cash'",
        &[
            "payment cash has other entries than the posting rules give",
            "payment cash is shown otherwise than it is kept",
        ],
    );
    finds(
        "UPDATE payments SET fee = 9223372036854775807 WHERE external_id = 'card';
         UPDATE payments SET amount = 0, allocations = NULL, additional_fees =
             '[{\"account\":\"00000000-0000-0000-0000-000000000000\",\"fee_amount\":1,\"is_passed_to_customer\":false}]'
         WHERE external_id = 'card';",
        &[
            "payment card can't be posted by the posting rules",
            "payment card is shown otherwise than it is kept",
            "payments are found 2 times under invoices, but only 1 times under one that they are allocated to",
            "invoice first has 9000 paid and 0 refunded, but its payments add up to 0 and 0",
        ],
    );
}

#[test]
fn marks_that_are_wrong() {
    finds(
        "UPDATE payments SET in_payout = 1 WHERE external_id = 'cash'",
        &["payment cash is marked wrongly as to payouts"],
    );
    finds(
        "UPDATE payments SET in_payout = 0 WHERE external_id = 'card'",
        &["payment card is marked wrongly as to payouts"],
    );
    finds(
        "UPDATE payments SET is_matched = 1 WHERE external_id = 'cash'",
        &["payment cash is marked wrongly as to matches"],
    );
    finds(
        "UPDATE payments SET is_matched = 0",
        &[
            "payment card is marked wrongly as to matches",
            "payment cheque is marked wrongly as to matches",
        ],
    );
}

#[test]
fn payouts_that_are_not_what_was_posted() {
    let shown = "payment card is shown otherwise than it is kept";
    finds(
        "UPDATE payouts SET fee = fee + 1",
        &[shown, "entry 6 isn't what a payout or a match posts"],
    );
    finds(
        "UPDATE payouts SET completed_at = completed_at + 1",
        &[shown, "entry 6 isn't what a payout or a match posts"],
    );
    finds(
        "UPDATE payouts SET paid_out_amount = paid_out_amount + 1",
        &[shown, "match of-payout is of 8600 cents, but 8601 arrive"],
    );
    finds(
        "UPDATE payouts SET clearing_account = (SELECT id FROM accounts WHERE stable_name = 'CASH')",
        &[
            shown,
            "entry 6 isn't what a payout or a match posts",
            "entry 7 isn't what a payout or a match posts",
        ],
    );
    finds(
        "UPDATE payouts SET processor = 'ADYEN'",
        &[
            "payment card isn't one of the processor of its payout payout",
            shown,
        ],
    );
    finds(
        "DELETE FROM journal_lines WHERE entry = 6; UPDATE journal_lines SET entry = 6 WHERE entry = 10;
         DELETE FROM journal_entries WHERE number = 6; UPDATE journal_entries SET number = 6 WHERE number = 10;
         UPDATE accounts SET debits = debits - 100 WHERE stable_name = 'BANK_FEES';
         UPDATE accounts SET credits = credits - 100 WHERE stable_name = 'STRIPE_CLEARING';",
        &["there is no entry PAYOUT of payout"],
    );
    finds(
        "UPDATE journal_entries SET source_id = zeroblob(16) WHERE number = 6",
        &[
            "entry 6 isn't what a payout or a match posts",
            "there is no entry PAYOUT of payout",
        ],
    );
}

#[test]
fn matches_that_are_not_what_was_posted() {
    finds(
        "UPDATE matches SET amount = amount + 1 WHERE payment_key IS NOT NULL",
        &[
            "match of-cheque is of 101 cents, but 100 arrive",
            "match of-cheque is shown otherwise than it is kept",
            "entry 8 isn't what a payout or a match posts",
        ],
    );
    finds(
        "UPDATE matches SET document = replace(document, '2024-02-27T', '2024-02-28T') WHERE payment_key IS NOT NULL",
        &["entry 8 isn't what a payout or a match posts"],
    );
    finds(
        "DELETE FROM matches WHERE payment_key IS NOT NULL",
        &[
            "payment cheque is marked wrongly as to matches",
            "entry 8 isn't what a payout or a match posts",
        ],
    );
    finds(
        "DELETE FROM journal_lines WHERE entry = 8; UPDATE journal_lines SET entry = 8 WHERE entry = 10;
         DELETE FROM journal_entries WHERE number = 8; UPDATE journal_entries SET number = 8 WHERE number = 10;
         UPDATE accounts SET debits = debits - 100 WHERE stable_name = 'BANK_ACCOUNTS';
         UPDATE accounts SET credits = credits - 100 WHERE stable_name = 'UNDEPOSITED_FUNDS';",
        &["there is no entry MATCH of of-cheque"],
    );
    finds(
        "INSERT INTO payout_payments SELECT business_id, (SELECT key FROM payments WHERE external_id = 'cheque'), id
             FROM payouts;
         UPDATE payments SET in_payout = 1 WHERE external_id = 'cheque';",
        &[
            "payment cheque was matched by itself and came with a payout",
            "payment cheque isn't one of the processor of its payout payout",
            "payment cheque is shown otherwise than it is kept",
        ],
    );
}

#[test]
fn references_to_what_is_not_there() {
    finds(
        "DELETE FROM payout_payments; DELETE FROM payouts;",
        &[
            "a row of matches refers to none of payouts",
            "payment card is marked wrongly as to payouts",
            "payment card is marked wrongly as to matches",
            "payment card is shown otherwise than it is kept",
            "entry 6 isn't what a payout or a match posts",
            "entry 7 isn't what a payout or a match posts",
        ],
    );
}

#[test]
fn the_number_of_faults_is_bounded() {
    let connection = filled();
    connection
        .execute_batch(
            "WITH RECURSIVE numbers (n) AS (SELECT 100 UNION ALL SELECT n + 1 FROM numbers WHERE n < 2000)
             INSERT INTO journal_entries SELECT business_id, 2 * n, entry_type, entry_at, posted_at, payment_key,
                 source_id, reversal_of FROM journal_entries, numbers WHERE number = 5",
        )
        .unwrap();
    let faults = check(&mut &connection).unwrap();
    assert_eq!(faults.len(), 1_001);
    assert_eq!(faults[1_000], "there are more faults, which are not listed");
}
