//! What each column, each mistake and each reply becomes.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::*;

const INVOICE: &str = "3a9c378e-dc02-4700-9158-f629d632a83b";
const ACCOUNT: &str = "50448df3-6f86-445e-b48f-0e80153e5d42";

/// A time after all payments of the tests.
fn context() -> Context {
    Context::at("2026-01-01T00:00:00Z".parse().unwrap())
}

fn open(format: Format, input: impl BufRead + Send + 'static) -> anyhow::Result<Rows> {
    Rows::new(format, None, context(), input)
}

fn read(format: Format, text: impl Into<Vec<u8>>) -> anyhow::Result<Vec<Row>> {
    read_rows(open(format, Cursor::new(text.into()))?)
}

fn read_rows(mut rows: Rows) -> anyhow::Result<Vec<Row>> {
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(row);
    }
    Ok(found)
}

/// The payments of a file in which nothing is wrong.
fn payments(format: Format, text: &str) -> Vec<CreateInvoicePayment> {
    let rows = read(format, text).unwrap();
    rows.into_iter().map(|row| row.payment.unwrap()).collect()
}

/// What is wrong in a file, a line each, as `import` tells it.
fn mistakes(format: Format, text: impl Into<Vec<u8>>) -> Vec<String> {
    let mut told = Vec::new();
    for row in read(format, text).unwrap() {
        let mut errors = row.violations;
        errors.retain(|violation| violation.severity() == Severity::Error);
        assert_eq!(row.payment.is_none(), !errors.is_empty(), "{errors:?}");
        let origin = row.origin;
        told.extend(errors.into_iter().map(|violation| {
            origin
                .error(&violation.pointer, violation.message)
                .to_string()
        }));
    }
    told
}

/// All that is found in a file: the place in the file, the pointer, and the rule's code.
fn found(rows: Vec<Row>) -> Vec<(String, String, &'static str)> {
    let mut found = Vec::new();
    for row in rows {
        for violation in &row.violations {
            found.push((
                row.origin.place(&violation.pointer),
                row.origin.pointer(&violation.pointer),
                violation.rule.code(),
            ));
        }
    }
    found
}

fn header_error(text: impl Into<Vec<u8>>) -> String {
    format!("{:#}", read(Format::Csv, text).unwrap_err())
}

/// A payment of 90.00, in cash if that goes with it, and the column with the cell.
fn with(column: &str, cell: &str) -> String {
    let method = match column {
        "redemption_account" => "CREDIT_BALANCE",
        _ => "CASH",
    };
    let cell = cell.replace('"', "\"\"");
    format!("paid_at,method,amount,{column}\n2024-02-27T02:22:55Z,{method},9000,\"{cell}\"\n")
}

/// The payment of [`with`] as JSON, which is how the API sees it.
fn sent(column: &str, cell: &str) -> Value {
    let [payment] = payments(Format::Csv, &with(column, cell))
        .try_into()
        .unwrap();
    serde_json::to_value(payment).unwrap()
}

/// The one mistake in the column.
fn mistake(column: &str, cell: &str) -> String {
    let [mistake] = mistakes(Format::Csv, with(column, cell))
        .try_into()
        .unwrap();
    mistake
}

#[test]
fn each_column_becomes_its_property() {
    let full = json!({
        "external_id": "payment-1",
        "paid_at": "2024-02-27T02:22:55.163005Z",
        "method": "CREDIT_BALANCE",
        "amount": 9000,
        "fee": 290,
        "processor": "STRIPE",
        "invoice_payments": [{"invoice_id": INVOICE, "invoice_external_id": "invoice-1", "amount": 9000}],
        "additional_fees": [{"account": {"type": "StableName", "stable_name": "BANK_FEES"}, "fee_amount": 25}],
        "tags": [{"key": "department", "value": "sales"}],
        "memo": "two\nlines",
        "metadata": {"order": "A-1"},
        "reference_number": "CHK-1",
        "payment_clearing_account_identifier": {"type": "StableName", "stable_name": "BANK_ACCOUNTS"},
        "redemption_account": {"type": "AccountId", "id": ACCOUNT},
        "dedicated_refunds": [{"external_id": "refund-1", "refunded_amount": 90}],
    });
    // The order of the columns is the file's own affair.
    let text = format!(
        "redemption_account,dedicated_refunds,payment_clearing_account_identifier,reference_number,metadata,memo,tags,\
         additional_fees,invoice_external_id,invoice_id,processor,fee,amount,method,paid_at,external_id,id,imported_at\n\
         {ACCOUNT},\"[{{\"\"external_id\"\":\"\"refund-1\"\",\"\"refunded_amount\"\":90}}]\",BANK_ACCOUNTS,CHK-1,\
         \"{{\"\"order\"\":\"\"A-1\"\"}}\",\"two\nlines\",department=sales,\
         \"[{{\"\"account\"\":{{\"\"type\"\":\"\"StableName\"\",\"\"stable_name\"\":\"\"BANK_FEES\"\"}},\"\"fee_amount\"\":25}}]\",\
         invoice-1,{INVOICE},STRIPE,290,9000,CREDIT_BALANCE,2024-02-27T02:22:55.163005Z,payment-1,whatever,whenever\n"
    );
    let [payment] = payments(Format::Csv, &text).try_into().unwrap();
    assert_eq!(serde_json::to_value(&payment).unwrap(), full);

    let [payment] = payments(Format::JsonLines, &full.to_string())
        .try_into()
        .unwrap();
    assert_eq!(serde_json::to_value(&payment).unwrap(), full);
}

#[test]
fn an_empty_cell_leaves_the_property_out() {
    let mut bare = json!({"paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 9000, "invoice_payments": []});
    for column in Column::ALL
        .into_iter()
        .filter(|column| !Column::REQUIRED.contains(column))
    {
        let sent = sent(column.name(), "");
        bare["method"] = sent["method"].clone();
        assert_eq!(sent, bare, "{column:?}");
    }
    // Text is kept as it is, and blanks are text.
    assert_eq!(sent("memo", " ")["memo"], " ");
    assert_eq!(sent("external_id", " a ")["external_id"], " a ");
    assert_eq!(sent("fee", " 20 ")["fee"], 20);
}

#[test]
fn allocations_come_from_one_column_or_the_other() {
    let allocation = |cell: &str, column: &str| sent(column, cell)["invoice_payments"].clone();
    assert_eq!(
        allocation(INVOICE, "invoice_id"),
        json!([{"invoice_id": INVOICE, "amount": 9000}])
    );
    assert_eq!(
        allocation("INV 1", "invoice_external_id"),
        json!([{"invoice_external_id": "INV 1", "amount": 9000}])
    );
    let several = json!([
        {"invoice_external_id": "INV 1", "amount": 5000, "memo": "first"},
        {"account": {"type": "StableName", "stable_name": "TIPS"}, "amount": 4000},
    ]);
    assert_eq!(
        allocation(&several.to_string(), "invoice_payments"),
        several
    );
    assert_eq!(allocation("[]", "invoice_payments"), json!([]));

    let both = format!(
        "paid_at,method,amount,invoice_id,invoice_payments\n2024-02-27T02:22:55Z,CASH,9000,{INVOICE},[]\n"
    );
    assert_eq!(
        mistakes(Format::Csv, both),
        [
            "row 2, column invoice_payments: The cell and invoice_id are both filled; fill one of them."
        ]
    );
    assert_eq!(
        mistake("invoice_id", "INV 1"),
        "row 2, column invoice_id: \"INV 1\" isn't a UUID; your own id of the invoice belongs in the column \
         invoice_external_id."
    );
}

#[test]
fn accounts_are_ids_names_or_json() {
    for column in ["payment_clearing_account_identifier", "redemption_account"] {
        let account = |cell: &str| sent(column, cell)[column].clone();
        assert_eq!(
            account(ACCOUNT),
            json!({"type": "AccountId", "id": ACCOUNT})
        );
        assert_eq!(
            account("BANK_ACCOUNTS"),
            json!({"type": "StableName", "stable_name": "BANK_ACCOUNTS"})
        );
        let odd = json!({"type": "StableName", "stable_name": ACCOUNT});
        assert_eq!(account(&odd.to_string()), odd);
        let mistake = mistake(column, "{\"type\": \"StableName\"}");
        let told = format!("row 2, column {column}: The `type` is `StableName`, but ");
        assert!(mistake.starts_with(&told), "{mistake}");
    }
}

#[test]
fn tags_have_a_short_form() {
    let tags = |cell: &str| sent("tags", cell)["tags"].clone();
    let two = json!([{"key": "a", "value": "1"}, {"key": "b c", "value": "2=3"}]);
    assert_eq!(tags("a=1; b c = 2=3 ;"), two);
    assert_eq!(tags(&two.to_string()), two);
    assert_eq!(tags("[]"), json!([]));
    for wrong in ["a", "a=", "=1", "a=1; b"] {
        let mistake = mistake("tags", wrong);
        assert!(mistake.starts_with("row 2, column tags: \""), "{mistake}");
        assert!(
            mistake.ends_with("isn't a tag; write key=value, and `; ` between two of them."),
            "{mistake}"
        );
    }
}

#[test]
fn each_mistake_is_told_by_row_and_column_with_what_would_be_right() {
    let text = "paid_at,method,amount,fee\n\
                2024-02-27,CREDITCARD,90.00,x\n\
                \n\
                ,,,\n\
                2024-02-27T02:22:55Z,,9000,0\n\
                2024-02-27T02:22:55Z,CASH,99999999999999999999,-5\n\
                2024-02-27T02:22:55Z,CASH,\"9,000\",0\n\
                2024-02-27T02:22:55Z,CASH,9000,-5\n";
    assert_eq!(
        mistakes(Format::Csv, text),
        [
            "row 2, column paid_at: \"2024-02-27\" isn't a time with its offset from UTC; write it as \
             2024-02-27T02:22:55Z or 2024-02-27T04:22:55+02:00.",
            "row 2, column method: \"CREDITCARD\" isn't a method; did you mean CREDIT_CARD? The methods are CASH, CHECK, \
             CREDIT_CARD, ACH, CREDIT_BALANCE, OTHER.",
            "row 2, column amount: 90.00 isn't a whole number; amounts are in cents, so write 9000.",
            "row 2, column fee: \"x\" isn't a whole number of cents; write 90.00 as 9000, with digits alone.",
            "row 5, column method: The cell is empty; give how the customer paid, such as CREDIT_CARD.",
            "row 6, column amount: 99999999999999999999 doesn't fit a signed 64-bit integer, which goes from \
             -9223372036854775808 to 9223372036854775807.",
            "row 7, column amount: \"9,000\" isn't a whole number of cents; write 90.00 as 9000, with digits alone.",
            "row 8, column fee: The value is -5 cents; it must be 0 or more.",
        ]
    );
}

#[test]
fn json_cells_say_where_they_are_wrong() {
    for (column, cell, told) in [
        (
            "additional_fees",
            "[{\"fee_amount\": 1}]",
            "row 2, column additional_fees at /0/account: The property `account` is missing; ",
        ),
        (
            "dedicated_refunds",
            "[{\"line_items\": [{\"amount\": 1.5}]}]",
            "row 2, column dedicated_refunds at /0/line_items/0/amount: The value is the number 1.5; ",
        ),
        (
            "invoice_payments",
            "[{\"invoice_id\": \"x\", \"amount\": 1}]",
            "row 2, column invoice_payments at /0/invoice_id: The value is \"x\"",
        ),
        (
            "metadata",
            "[1]",
            "row 2, column metadata: The value is a list; ",
        ),
        // Half of a surrogate pair in one cell is no fault of the others.
        (
            "metadata",
            "{\"a\": \"\\ud800\"}",
            "row 2, column metadata: The cell isn't JSON: ",
        ),
    ] {
        let mistake = mistake(column, cell);
        assert!(mistake.starts_with(told), "{mistake}");
    }
    assert_eq!(
        mistake("metadata", "{\"a\": 1"),
        "row 2, column metadata: The cell isn't JSON: EOF while parsing an object at character 7; it must hold one JSON \
         value and nothing else."
    );
    assert_eq!(
        mistake("metadata", "{\"a\":\n\n x}"),
        "row 2, column metadata: The cell isn't JSON: expected value at character 2 of its line 3; it must hold one JSON \
         value and nothing else."
    );
    assert_eq!(
        mistake("invoice_payments", "[] []"),
        "row 2, column invoice_payments: The cell isn't JSON: trailing characters at character 4; it must hold one JSON \
         value and nothing else."
    );
}

#[test]
fn all_cells_of_a_row_are_looked_at() {
    let text = "fee,metadata,method,paid_at,amount,dedicated_refunds,tags\n\
                -1,\"{\"\"a\"\":1,\"\"a\"\":2}\",CARD,2024-02-27T02:22:55Z,,\"[{\"\"methd\"\":1}]\",a=;=b; c=d\n";
    // In the order of the API's properties. A fee below zero breaks a rule on what the value means, and such rules are for
    // payments that can be read.
    let expected = [
        ("row 2, column method", "/0/method", "value-unknown"),
        ("row 2, column amount", "/0/amount", "property-missing"),
        (
            "row 2, column dedicated_refunds",
            "/0/dedicated_refunds/0/methd",
            "property-unknown",
        ),
        ("row 2, column tags", "/0/tags/0/value", "tag-empty"),
        ("row 2, column tags", "/0/tags/1/key", "tag-empty"),
        ("row 2, column metadata", "/0/metadata/a", "duplicate-key"),
    ];
    let found = found(read(Format::Csv, text).unwrap());
    let found: Vec<_> = found
        .iter()
        .map(|(place, pointer, code)| (place.as_str(), pointer.as_str(), *code))
        .collect();
    assert_eq!(found, expected);
}

#[test]
fn a_pointer_finds_the_column_that_its_value_comes_from() {
    let text = format!(
        "paid_at,method,amount,fee,invoice_id,invoice_external_id,redemption_account,processor,external_id\n\
         1900-01-01T00:00:00Z,CASH,-5,-6,{INVOICE},INV-1,TIPS,STRIPE,\n\
         2030-01-01T00:00:00Z,REDEEMED_PREPAYMENT,0,0,x,INV-1,TIPS,STRIPE,a\n\
         2030-01-01T00:00:00Z,REDEEMED_PREPAYMENT,0,1,,INV-1,TIPS,STRIPE,b\n"
    );
    let found = found(read(Format::Csv, text).unwrap());
    let found: Vec<_> = found
        .iter()
        .map(|(place, pointer, code)| (place.as_str(), pointer.as_str(), *code))
        .collect();
    assert_eq!(
        found,
        [
            ("row 2", "/0", "external-id-missing"),
            ("row 2, column paid_at", "/0/paid_at", "date-implausible"),
            // Once: the allocation has the same amount.
            ("row 2, column amount", "/0/amount", "amount-negative"),
            ("row 2, column fee", "/0/fee", "amount-negative"),
            (
                "row 2, column processor",
                "/0/processor",
                "processor-not-allowed-for-method"
            ),
            (
                "row 2, column redemption_account",
                "/0/redemption_account",
                "redemption-account-not-allowed-for-method"
            ),
            // An older name of a method is a warning as in JSON, beside an error too.
            ("row 3, column method", "/1/method", "method-deprecated"),
            (
                "row 3, column invoice_id",
                "/1/invoice_payments/0/invoice_id",
                "uuid-malformed"
            ),
            ("row 4, column method", "/2/method", "method-deprecated"),
            ("row 4, column paid_at", "/2/paid_at", "date-in-future"),
            ("row 4, column amount", "/2/amount", "amount-zero"),
            ("row 4, column fee", "/2/fee", "fees-exceed-amount"),
        ]
    );
}

#[test]
fn broken_rules_are_told_in_the_words_of_the_file() {
    assert_eq!(
        mistake(
            "invoice_payments",
            "[{\"invoice_external_id\": \"a\", \"amount\": 9001}]"
        ),
        "row 2, column invoice_payments: The allocations add up to 9001 cents, which is more than the payment's amount of \
         9000 cents; allocate at most the amount."
    );
    assert_eq!(
        mistake("invoice_payments", "[{\"amount\": 1}]"),
        "row 2, column invoice_payments at /0: The allocation doesn't say where the money goes; give `invoice_id`, \
         `invoice_external_id` or `account`."
    );
    let long = json!({"a": "x".repeat(1024)}).to_string();
    let told = mistake("metadata", &long);
    assert!(
        told.starts_with("row 2, column metadata: The metadata takes 1032 bytes"),
        "{told}"
    );
    // The allocation of a negative amount is no second mistake of the file: the amount stands there once.
    let negative = format!(
        "paid_at,method,amount,fee,invoice_id\n2024-02-27T02:22:55Z,CASH,-5,-6,{INVOICE}\n"
    );
    assert_eq!(
        mistakes(Format::Csv, negative),
        [
            "row 2, column amount: The value is -5 cents; it must be 0 or more.",
            "row 2, column fee: The value is -6 cents; it must be 0 or more.",
        ]
    );
}

#[test]
fn rows_of_the_wrong_length_are_rejected_alone() {
    let text = "paid_at,method,amount\n2024-02-27T02:22:55Z,CASH\n2024-02-27T02:22:55Z,CASH,1,000\n2024-02-27T02:22:55Z,CASH,1\n";
    let rows = read(Format::Csv, text).unwrap();
    assert_eq!(
        rows.iter()
            .map(|row| row.payment.is_some())
            .collect::<Vec<_>>(),
        [false, false, true]
    );
    assert_eq!(
        mistakes(Format::Csv, text)[1],
        "row 3: The row has 4 cells and the header 3; a cell that holds a comma, a quotation mark or a line break must \
         stand in quotation marks."
    );
}

#[test]
fn text_must_be_utf_8() {
    let mut text = b"paid_at,method,amount,memo\n2024-02-27T02:22:55Z,CASH,1,caf\xe9\n".to_vec();
    assert_eq!(
        mistakes(Format::Csv, text.clone()),
        [
            "row 2, column memo: The text isn't UTF-8 from its byte 4 on (\"caf\u{fffd}\"); save the file as UTF-8."
        ]
    );
    text[0] = 0xff;
    assert_eq!(
        header_error(text),
        "row 1, column 1: the header isn't UTF-8; save the file as UTF-8"
    );
    assert!(header_error(b"\xff\xfep\0a\0").starts_with("the text is UTF-16; save it as UTF-8"));

    let marked = format!("\u{feff}{}", with("memo", "a"));
    assert_eq!(payments(Format::Csv, &marked).len(), 1);
    assert_eq!(
        mistakes(Format::JsonLines, b"\n{\"memo\": \"\xe9\"}".to_vec()).len(),
        1
    );
}

#[test]
fn a_header_is_checked_before_anything_else() {
    assert_eq!(
        header_error("paid_at,method,amout\n"),
        "row 1: unknown column `amout`; did you mean `amount`? The columns are external_id, paid_at, method, amount, fee, \
         processor, invoice_id, invoice_external_id, invoice_payments, additional_fees, tags, memo, metadata, \
         reference_number, payment_clearing_account_identifier, redemption_account, dedicated_refunds, id, imported_at"
    );
    assert!(
        header_error("Paid At,method,amount\n")
            .starts_with("row 1: unknown column `Paid At`; did you mean `paid_at`?")
    );
    assert!(
        header_error("paid_at,method,amount,colour\n")
            .starts_with("row 1: unknown column `colour`; the columns are")
    );
    assert!(
        header_error("paid_at;method;amount\n").contains("; cells must be separated by commas.")
    );
    assert!(
        header_error("paid_at,amount,amount\n")
            .starts_with("row 1: the column `amount` is there twice")
    );
    assert!(
        header_error("external_id,method\n")
            .starts_with("row 1: the header lacks paid_at, amount;")
    );
    assert!(
        header_error("").starts_with("there is nothing in it; the first row must name the columns")
    );
    assert!(
        read(Format::Csv, " paid_at , method,amount\r\n")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn what_breaks_the_file_is_told_after_the_rows_before_it() {
    let mut rows = open(
        Format::Csv,
        Cursor::new("paid_at,method,amount\n2024-02-27T02:22:55Z,CASH,1\n\"2024,x,1\n"),
    )
    .unwrap();
    assert!(rows.next().unwrap().unwrap().payment.is_some());
    let error = rows.next().unwrap_err().to_string();
    assert!(
        error.starts_with("row 3: a quotation mark opens a cell and is never closed"),
        "{error}"
    );
}

#[test]
fn json_lines_are_numbered_as_lines() {
    let good = r#"{"paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 1, "invoice_payments": []}"#;
    let text = format!(
        "{good}\n\n  \r\n{}\n{}\n[1]\n{good} x\n{good}",
        good.replace("\"amount\": 1", "\"amount\": \"1\", \"external_id\": \"a\""),
        good.replace("\"memo\"", "")
            .replace("\"amount\": 1", "\"amount\": 1, \"colour\": 2"),
    );
    let rows = read(Format::JsonLines, text.as_str()).unwrap();
    assert_eq!(rows.len(), 6);
    let told = mistakes(Format::JsonLines, text.as_str());
    for (told, expected) in told.iter().zip([
        "line 4, at /amount: The value is the text \"1\"; ",
        "line 5, at /colour: There is no property ",
        "line 6: The value is a list; ",
        "line 7: The body ",
    ]) {
        assert!(told.starts_with(expected), "{told}");
    }
    assert_eq!(told.len(), 4);
}

#[test]
fn an_id_that_stands_twice_is_found_in_the_whole_file() {
    // The second payment is wrong; its id counts all the same, as mending it would make it the first.
    let payment = |id: &str, amount: &str| {
        format!(
            "{{\"external_id\": {id}, \"paid_at\": \"2024-02-27T02:22:55Z\", \"method\": \"CASH\", \"amount\": {amount}, \
             \"invoice_payments\": []}}"
        )
    };
    let lines = [
        payment("\"a\"", "1"),
        payment("\"b\"", "\"1\""),
        String::new(),
        payment("\"\\u0061\"", "1"),
        payment("\"b\"", "-1"),
        payment("\"\"", "1"),
        payment("\"\"", "1"),
        payment("null", "1"),
    ];
    let rows = read(Format::JsonLines, lines.join("\n")).unwrap();
    let repeated: Vec<_> = rows
        .iter()
        .filter_map(|row| {
            let violation = row
                .violations
                .iter()
                .find(|violation| violation.rule == Rule::DuplicateExternalId)?;
            assert!(row.payment.is_none());
            let error = row.origin.error(&violation.pointer, &violation.message);
            Some((row.origin.pointer(&violation.pointer), error.to_string()))
        })
        .collect();
    assert_eq!(
        repeated,
        [
            (
                "/2/external_id".to_owned(),
                "line 4, at /external_id: \"a\" is the external_id of line 1 as well; each payment needs its own."
                    .to_owned()
            ),
            (
                "/3/external_id".to_owned(),
                "line 5, at /external_id: \"b\" is the external_id of line 2 as well; each payment needs its own."
                    .to_owned()
            ),
        ]
    );

    // In a bulk request, only those that can be read are compared: that is how the rule is written.
    let lines: Vec<_> = lines.into_iter().filter(|line| !line.is_empty()).collect();
    let rows = read(Format::Json, format!("[{}]", lines.join(",\n"))).unwrap();
    let repeated: Vec<_> = rows
        .iter()
        .flat_map(|row| &row.violations)
        .filter(|violation| violation.rule == Rule::DuplicateExternalId)
        .map(|violation| violation.message.as_str())
        .collect();
    assert_eq!(
        repeated,
        ["\"a\" is the external_id of the payment at index 0 as well; each payment needs its own."]
    );

    let updates = Rows::new(
        Format::JsonLines,
        Some(Operation::UpdateInvoicePayment),
        context(),
        Cursor::new("{\"external_id\": \"a\"}\n{\"external_id\": \"a\"}\n{}\n"),
    );
    assert_eq!(
        found(read_rows(updates.unwrap()).unwrap()),
        [("line 3".to_owned(), "/2".to_owned(), "update-empty")]
    );
}

/// The JSON in a file of `spec/rules`.
fn spec(file: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(file).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn spec_rules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/rules")
}

#[test]
fn files_are_judged_as_the_vectors_say() {
    let mut documents = 0;
    let mut lines = 0;
    for file in std::fs::read_dir(spec_rules().join("vectors")).unwrap() {
        for vector in spec(&file.unwrap().path()) {
            let operation = vector["operation"].as_str().unwrap();
            let operation = Operation::ALL
                .iter()
                .find(|known| known.id() == operation)
                .unwrap();
            let limits = &vector["context"];
            if *operation == Operation::ListInvoicePayments
                || !limits["existing"].is_null()
                || !limits["bulk_limit"].is_null()
            {
                // What a file can't be or doesn't know.
                continue;
            }
            let now = limits["now"].as_str().unwrap_or("2026-01-01T00:00:00Z");
            let context = Context::at(now.parse().unwrap());
            let text = match vector["text"].as_str() {
                Some(text) => text.to_owned(),
                None => vector["payload"].to_string(),
            };
            let mut expected: Vec<(String, String)> = vector["violations"]
                .as_array()
                .unwrap()
                .iter()
                .map(|violation| {
                    let text = |name: &str| violation[name].as_str().unwrap().to_owned();
                    (text("pointer"), text("code"))
                })
                .collect();
            expected.sort();
            let judged = |format, operation, text: String| {
                let rows = Rows::new(format, operation, context, Cursor::new(text));
                let mut found: Vec<_> = match rows.and_then(read_rows) {
                    Ok(rows) => found(rows)
                        .into_iter()
                        .map(|(_, pointer, code)| (pointer, code.to_owned()))
                        .collect(),
                    Err(error) => {
                        assert!(error.is::<NotJson>(), "{error:#}");
                        vec![(String::new(), Rule::JsonMalformed.code().to_owned())]
                    }
                };
                found.sort();
                found
            };

            let name = &vector["name"];
            let found = judged(Format::Json, Some(*operation), text.clone());
            assert_eq!(found, expected, "{name}");
            documents += 1;

            // A line each, as far as a line can be it.
            if *operation != Operation::BulkCreateInvoicePayments
                && !text.contains(['\n', '\r'])
                && !text.trim().is_empty()
            {
                for (pointer, _) in &mut expected {
                    pointer.insert_str(0, "/0");
                }
                let found = judged(Format::JsonLines, Some(*operation), text);
                assert_eq!(found, expected, "{name}");
                lines += 1;
            }
        }
    }
    assert!(documents > 300 && lines > 200, "{documents}, {lines}");
}

#[test]
fn a_list_read_in_pieces_is_judged_as_one_body() {
    let payment = |id: &str, amount: &str| {
        format!(
            "{{\"external_id\": \"{id}\", \"paid_at\": \"2024-02-27T02:22:55Z\", \"method\": \"CASH\",\n \"amount\": {amount}, \
             \"metadata\": {{\"ü\": \"\\u00fc \\\" ]}}\"}}, \"invoice_payments\": [{{\"invoice_external_id\": \"i\", \"amount\": 1}}]}}"
        )
    };
    let list = format!(
        "[{},\n{},\n{}]\n",
        payment("a", "1"),
        payment("a", "2"),
        payment("b", "0")
    );
    let pieces: &[&[u8]] = &[
        b"\"", b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"1", b"-", b"null",
        b"\xc3", b"\\ud800", b"a", b"\"a\"", b"{}", b",{}", b"1.5", b"\0",
    ];
    // The same numbers in each run: a linear congruential generator.
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let (mut read_to_the_end, mut malformed) = (0, 0);
    for _ in 0..4_000 {
        let mut text = list.clone().into_bytes();
        for _ in 0..=random(3) {
            let at = random(text.len());
            let to = (at + random(4)).min(text.len());
            let piece = pieces[random(pieces.len())].iter().copied();
            text.splice(at..to, piece);
        }
        let bulk = Some(Operation::BulkCreateInvoicePayments);
        let whole = validate_json(Operation::BulkCreateInvoicePayments, &text, &context());
        let mut whole: Vec<_> = whole
            .into_iter()
            .map(|violation| (violation.pointer, violation.rule.code()))
            .collect();
        let rows = Rows::new(Format::Json, bulk, context(), Cursor::new(text.clone()));
        let mut pieces: Vec<_> = match rows.and_then(read_rows) {
            Ok(rows) => {
                read_to_the_end += 1;
                found(rows)
                    .into_iter()
                    .map(|(_, pointer, code)| (pointer, code))
                    .collect()
            }
            Err(error) => {
                assert!(error.is::<NotJson>(), "{error:#}");
                malformed += 1;
                vec![(String::new(), Rule::JsonMalformed.code())]
            }
        };
        whole.sort();
        pieces.sort();
        assert_eq!(pieces, whole, "{}", String::from_utf8_lossy(&text));
    }
    assert!(
        read_to_the_end > 500 && malformed > 500,
        "{read_to_the_end}, {malformed}"
    );
}

#[test]
fn positions_count_the_bytes() {
    for (format, text) in [
        (Format::Csv, with("memo", "ü,\n")),
        (Format::JsonLines, "{}\n\n{}".to_owned()),
    ] {
        let mut rows = open(format, BufReader::new(Cursor::new(text.clone()))).unwrap();
        while rows.next().unwrap().is_some() {}
        assert_eq!(rows.position(), text.len() as u64);
    }
}

/// The reply that an API gives for a payment sent to it, as far as a row can hold it.
fn reply(payment: &CreateInvoicePayment) -> InvoicePayment {
    let mut value = serde_json::to_value(payment).unwrap();
    let object = value.as_object_mut().unwrap();
    let mut rename = |from: &str, to: &str| {
        if let Some(value) = object.remove(from) {
            object.insert(to.to_owned(), value);
        }
    };
    rename("paid_at", "at");
    rename("invoice_payments", "allocations");
    rename("redemption_account", "prepayment_account");
    rename("tags", "transaction_tags");
    rename(
        "payment_clearing_account_identifier",
        "payment_clearing_account",
    );
    rename("dedicated_refunds", "ignored");
    object.entry("fee").or_insert(json!(0));
    object.insert("id".to_owned(), json!(INVOICE));
    object.insert("imported_at".to_owned(), json!("2024-02-27T02:23:01.5Z"));
    if let Some(account) = object.remove("payment_clearing_account") {
        let is_name = account["type"] == "StableName";
        let mut whole = json!({"id": {"type": "AccountId", "id": ACCOUNT}, "name": "Some Account"});
        whole[if is_name { "stable_name" } else { "id" }] = account;
        object.insert("payment_clearing_account".to_owned(), whole);
    }
    let tags = |tags: &mut Value| {
        for tag in tags.as_array_mut().unwrap() {
            tag["id"] = json!(INVOICE);
            tag["created_at"] = json!("2024-02-27T02:23:01.5Z");
        }
    };
    object.entry("transaction_tags").and_modify(tags);
    for allocation in object["allocations"].as_array_mut().unwrap() {
        let allocation = allocation.as_object_mut().unwrap();
        // An API knows its invoices by its own ids.
        if allocation.remove("invoice_external_id").is_some() {
            allocation.insert("invoice_id".to_owned(), json!(INVOICE));
        }
        if let Some(mut list) = allocation.remove("tags") {
            tags(&mut list);
            allocation.insert("transaction_tags".to_owned(), list);
        }
    }
    serde_json::from_value(value).unwrap()
}

fn as_csv(replies: &[InvoicePayment]) -> String {
    let mut csv = Vec::new();
    write_csv_header(&mut csv);
    for reply in replies {
        write_csv_row(&mut csv, reply);
    }
    String::from_utf8(csv).unwrap()
}

#[test]
fn the_example_file_is_valid_and_survives_the_round_trip() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/payments.csv");
    let file = std::fs::File::open(path).unwrap();
    let mut rows = open(Format::Csv, BufReader::new(file)).unwrap();
    let mut replies = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        replies.push(reply(&row.payment.unwrap()));
    }
    assert_eq!(replies.len(), 10_000);

    let csv = as_csv(&replies);
    let again: Vec<_> = payments(Format::Csv, &csv).iter().map(reply).collect();
    for (again, reply) in again.iter().zip(&replies) {
        let mut reply = reply.clone();
        reply.extra.clear();
        // Empty lists and objects are left out, as a request means the same by it.
        reply.transaction_tags.take_if(|tags| tags.is_empty());
        assert_eq!(*again, reply);
    }
    assert_eq!(as_csv(&again), csv);
}

#[test]
fn a_reply_is_written_as_plainly_as_it_can_be() {
    let row = |change: &dyn Fn(&mut Value)| {
        let mut payment = json!({
            "id": INVOICE, "at": "2024-02-27T02:22:55Z", "method": "CREDIT_BALANCE", "fee": 0, "amount": 90,
            "imported_at": "2024-02-27T02:23:01.5Z", "allocations": [],
        });
        change(&mut payment);
        let csv = as_csv(&[serde_json::from_value(payment).unwrap()]);
        csv.split_once('\n').unwrap().1.trim_end().to_owned()
    };
    let tail = format!("{INVOICE},2024-02-27T02:23:01.5Z");
    let bare = |cells: &str| format!(",2024-02-27T02:22:55Z,CREDIT_BALANCE,90,0,,{cells},{tail}");
    assert_eq!(row(&|_| ()), bare(",,,,,,,,,,"));
    // What is empty says no more than what isn't there.
    assert_eq!(
        row(&|payment| {
            payment["metadata"] = json!({});
            payment["transaction_tags"] = json!([]);
            payment["memo"] = Value::Null;
            payment["additional_fees"] = json!([]);
        }),
        bare(",,,,,,,,,,")
    );
    let whole = json!({"invoice_id": INVOICE, "amount": 90, "metadata": {}, "memo": null, "transaction_tags": []});
    assert_eq!(
        row(&|payment| payment["allocations"] = json!([whole])),
        bare(&format!("{INVOICE},,,,,,,,,,"))
    );
    let part = json!({"invoice_id": INVOICE, "amount": 80});
    assert_eq!(
        row(&|payment| payment["allocations"] = json!([part])),
        bare(&format!(
            ",,\"[{}]\",,,,,,,,",
            part.to_string().replace('"', "\"\"")
        ))
    );
    let tag = |key: &str, value: &str| json!({"id": INVOICE, "key": key, "value": value});
    assert_eq!(
        row(&|payment| payment["transaction_tags"] = json!([tag("a", "1"), tag("b", "2")])),
        bare(",,,,a=1; b=2,,,,,,")
    );
    let mut deleted = tag("c", "3");
    deleted["deleted_at"] = json!("2024-02-27T02:23:01.5Z");
    assert_eq!(
        row(&|payment| payment["transaction_tags"] = json!([tag("a", "1"), deleted])),
        bare(",,,,a=1,,,,,,")
    );
    assert_eq!(
        row(&|payment| payment["transaction_tags"] = json!([tag("a", "1;2")])),
        bare(",,,,\"[{\"\"key\"\":\"\"a\"\",\"\"value\"\":\"\"1;2\"\"}]\",,,,,,")
    );
    assert_eq!(
        row(&|payment| payment["prepayment_account"] =
            json!({"type": "StableName", "stable_name": "TIPS"})),
        bare(",,,,,,,,,TIPS,")
    );
    assert_eq!(
        row(&|payment| payment["prepayment_account"] = json!(ACCOUNT)),
        bare(&format!(",,,,,,,,,{ACCOUNT},"))
    );
    // What this version doesn't know is kept as it came.
    let new = json!({"crypto_wallet": "x", "amount": 90});
    assert_eq!(
        row(&|payment| payment["allocations"] = json!([new])),
        bare(&format!(
            ",,\"[{}]\",,,,,,,,",
            new.to_string().replace('"', "\"\"")
        ))
    );
    assert!(
        row(&|payment| payment["method"] = json!("BARTER"))
            .starts_with(",2024-02-27T02:22:55Z,BARTER,90,")
    );
}

#[test]
fn columns_are_where_their_index_says() {
    for (index, column) in Column::ALL.into_iter().enumerate() {
        assert_eq!(column as usize, index, "{column:?}");
        assert_eq!(Column::named(column.name()), Some(column));
    }
}
