//! `layer-payments validate`, in all its formats.

use super::*;

const GOOD: &str = r#"{"external_id": "ID", "paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": 9000, "invoice_payments": []}"#;

/// A payment with nothing wrong.
fn good(id: &str) -> String {
    GOOD.replace("ID", id)
}

fn validate(arguments: &[&str], input: &str) -> Ran {
    run_with_input(&[&["validate"], arguments].concat(), input)
}

/// The code and pointer of each violation that is written as JSON.
fn told(ran: &Ran) -> Vec<(String, String)> {
    let told: Vec<Value> = serde_json::from_str(&ran.stdout).unwrap();
    told.iter()
        .map(|violation| {
            let keys: Vec<_> = violation.as_object().unwrap().keys().collect();
            assert_eq!(keys, ["code", "message", "pointer", "severity"]);
            let text = |name: &str| violation[name].as_str().unwrap().to_owned();
            (text("code"), text("pointer"))
        })
        .collect()
}

#[track_caller]
fn assert_told(ran: &Ran, expected: &[(&str, &str)]) {
    let told = told(ran);
    let told: Vec<_> = told
        .iter()
        .map(|(code, pointer)| (code.as_str(), pointer.as_str()))
        .collect();
    assert_eq!(told, expected, "{}", ran.stderr);
}

#[test]
fn a_table_is_judged_by_row_and_column() {
    let scratch = Scratch::new();
    let file = scratch.file(
        "payments.csv",
        "external_id,paid_at,method,amount,processor,invoice_payments,memo\n\
         a,2024-02-27T02:22:55Z,CASH,9000,,,\n\
         ,2024-02-27T02:22:55Z,CASH,9000,STRIPE,,\"two\nlines\"\n\
         \n\
         a,yesterday,CREDITCARD,90.00,,\"[{\"\"invoice_id\"\": \"\"x\"\", \"\"amount\"\": 1}]\",\n\
         b,2024-02-27T02:22:55Z,CHECK,9000,,\"[{\"\"invoice_external_id\"\": \"\"\u{1b}[2J\"\", \"\"amount\"\": 9001}]\",\n\
         c,2024-02-27T02:22:55Z\n",
    );
    let expected = [
        ("external-id-missing", "/1", "row 3"),
        (
            "processor-not-allowed-for-method",
            "/1/processor",
            "row 3, column processor",
        ),
        (
            "duplicate-external-id",
            "/2/external_id",
            "row 5, column external_id",
        ),
        ("timestamp-malformed", "/2/paid_at", "row 5, column paid_at"),
        ("value-unknown", "/2/method", "row 5, column method"),
        ("type-mismatch", "/2/amount", "row 5, column amount"),
        (
            "uuid-malformed",
            "/2/invoice_payments/0/invoice_id",
            "row 5, column invoice_payments",
        ),
        (
            "json-malformed",
            "/3/invoice_payments",
            "row 6, column invoice_payments",
        ),
        ("json-malformed", "/4", "row 7"),
    ];
    let text = fs::read_to_string(&file).unwrap();
    let json = validate(&["-", "--output", "json"], &text);
    assert_told(&json, &expected.map(|(code, pointer, _)| (code, pointer)));
    let told: Vec<Value> = serde_json::from_str(&json.stdout).unwrap();
    for (index, message) in [
        (
            2,
            "\"a\" is the external_id of row 2 as well; each payment needs its own.",
        ),
        (
            3,
            "\"yesterday\" isn't a time with its offset from UTC; write it as 2024-02-27T02:22:55Z or \
             2024-02-27T04:22:55+02:00.",
        ),
        (
            4,
            "\"CREDITCARD\" isn't a method; did you mean CREDIT_CARD? The methods are CASH, CHECK, CREDIT_CARD, ACH, \
             CREDIT_BALANCE, OTHER.",
        ),
        (
            5,
            "90.00 isn't a whole number; amounts are in cents, so write 9000.",
        ),
        (
            7,
            "The cell isn't JSON: control character (\\u0000-\\u001F) found while parsing a string at character 27; it must \
             hold one JSON value and nothing else.",
        ),
        (
            8,
            "The row has 2 cells and the header 7; a cell that holds a comma, a quotation mark or a line break must stand \
             in quotation marks.",
        ),
    ] {
        assert_eq!(told[index]["message"], message);
    }

    // The same to people, with the place in the file.
    let ran = run(&["validate", &file]);
    let lines: String = told
        .iter()
        .zip(expected)
        .map(|(told, (code, pointer, place))| {
            let text = |name: &str| told[name].as_str().unwrap();
            let severity = if code == "external-id-missing" {
                "warning"
            } else {
                "error"
            };
            assert_eq!(text("severity"), severity);
            format!(
                "{severity}: {place}, {pointer}: {} ({code})\n",
                text("message")
            )
        })
        .collect();
    assert_eq!(ran.stdout, lines);
    for ran in [json, ran] {
        assert_eq!(ran.stderr, "5 payments read, 8 errors, 1 warning\n");
        assert_eq!(ran.code, Some(1));
    }

    // And an import rejects those that have errors, no others.
    let imported = scratch.import(&file);
    assert_eq!(imported.summary(), summary(1, 0, 0, 4));
    let rejected: HashSet<_> = imported
        .messages()
        .into_iter()
        .map(|line| &line[..5])
        .collect();
    assert_eq!(
        rejected,
        HashSet::from(["row 3", "row 5", "row 6", "row 7"])
    );
}

#[test]
fn json_has_three_forms() {
    let scratch = Scratch::new();
    let wrong = good("b").replace("9000", "-1");
    let lines = scratch.file("a.jsonl", &format!("{}\n\n{wrong}\n{{\n", good("a")));
    let ran = run(&["validate", &lines]);
    assert_eq!(
        ran.stdout,
        "error: line 3, /1/amount: The value is -1 cents; it must be 0 or more. (amount-negative)\n\
         error: line 4, /2: The body isn't JSON: EOF while parsing an object at column 1. (json-malformed)\n"
    );
    assert_eq!(ran.stderr, "3 payments read, 2 errors, 0 warnings\n");
    assert_eq!(ran.code, Some(1));

    let list = scratch.file("a.json", &format!("[\n{},\n{wrong},\n5]", good("a")));
    let ran = run(&["validate", &list]);
    assert_eq!(
        ran.stdout,
        "error: index 1, /1/amount: The value is -1 cents; it must be 0 or more. (amount-negative)\n\
         error: index 2, /2: The value is the number 5; it must be an object. (type-mismatch)\n"
    );
    assert_eq!(ran.stderr, "3 payments read, 2 errors, 0 warnings\n");
    assert_eq!(ran.code, Some(1));
    let ran = run(&["validate", &list, "--output", "json"]);
    assert_eq!(
        ran.stdout,
        "[\n\
         {\"code\":\"amount-negative\",\"severity\":\"error\",\"pointer\":\"/1/amount\",\
         \"message\":\"The value is -1 cents; it must be 0 or more.\"},\n\
         {\"code\":\"type-mismatch\",\"severity\":\"error\",\"pointer\":\"/2\",\
         \"message\":\"The value is the number 5; it must be an object.\"}\n\
         ]\n"
    );

    let one = scratch.file("one.json", &wrong);
    let ran = run(&["validate", &one]);
    assert_eq!(
        ran.stdout,
        "error: /amount: The value is -1 cents; it must be 0 or more. (amount-negative)\n"
    );
    assert_eq!(ran.stderr, "1 payment read, 1 error, 0 warnings\n");
    assert_eq!(ran.code, Some(1));

    // The wrong kind of body is a mistake like others.
    let ran = run(&["validate", &one, "--operation", "bulk"]);
    assert_eq!(
        ran.stdout,
        "error: (whole body): The value is an object; it must be a list. (type-mismatch)\n"
    );
    assert_eq!(ran.code, Some(1));
    let ran = run(&[
        "validate",
        &list,
        "--operation",
        "record",
        "--output",
        "json",
    ]);
    assert_told(&ran, &[("type-mismatch", "")]);
    let ran = validate(&["-", "--output", "json"], "[ ]");
    assert_told(&ran, &[("bulk-empty", "")]);
    assert_eq!(ran.stderr, "0 payments read, 1 error, 0 warnings\n");
    assert_eq!(ran.code, Some(1));
}

#[test]
fn nothing_wrong_is_nothing_written() {
    let scratch = Scratch::new();
    let csv = scratch.file("a.csv", &cash(["a", "b"]));
    for (output, stdout) in [("text", ""), ("json", "[]\n")] {
        let ran = run(&["validate", &csv, "--output", output]).succeeds();
        assert_eq!(ran.stdout, stdout);
        assert_eq!(ran.stderr, "2 payments read, 0 errors, 0 warnings\n");
        for input in [
            good("a"),
            format!("[{}]", good("a")),
            format!("{}\n", good("a")),
        ] {
            let ran = validate(&["-", "--output", output], &input).succeeds();
            assert_eq!(ran.stdout, stdout);
            assert_eq!(ran.stderr, "1 payment read, 0 errors, 0 warnings\n");
        }
    }

    // Warnings are no errors.
    let ran = validate(&["-"], &good("a").replace("9000", "0")).succeeds();
    assert!(
        ran.stdout.starts_with("warning: /amount: "),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with(" (amount-zero)\n"), "{}", ran.stdout);
    assert_eq!(ran.stderr, "1 payment read, 0 errors, 1 warning\n");

    // A header alone is a table without rows, and no lines are lines as well.
    let header = scratch.file("header.csv", "paid_at,method,amount\n");
    let nothing = scratch.file("nothing.jsonl", "\n \n");
    for file in [header, nothing] {
        let ran = run(&["validate", &file]).succeeds();
        assert_eq!(ran.stderr, "0 payments read, 0 errors, 0 warnings\n");
    }
    let all = validate(&[examples().to_str().unwrap()], "").succeeds();
    assert_eq!(all.stdout.lines().count(), 155);
    assert_eq!(all.stderr, "10000 payments read, 0 errors, 155 warnings\n");
}

#[test]
fn updates_are_checked_alone() {
    let update = r#"{"amount": -1, "memo": null, "paid_at": null, "mehtod": "CASH"}"#;
    let expected = [
        ("amount-negative", "/amount"),
        ("null-changes-nothing", "/paid_at"),
    ];
    let ran = validate(
        &["-", "--operation", "update", "--output", "json"],
        &update.replace(", \"mehtod\": \"CASH\"", ""),
    );
    let mut told = told(&ran);
    told.sort();
    assert_eq!(
        told,
        expected.map(|(code, pointer)| (code.to_owned(), pointer.to_owned()))
    );
    assert_eq!(ran.code, Some(1));

    let ran = validate(&["-", "--operation", "update"], update);
    assert!(
        ran.stdout.starts_with("error: /mehtod: ") && ran.stdout.contains("did you mean `method`?"),
        "{}",
        ran.stdout
    );
    let lines = "{\"memo\": null}\n{\"memo\": 1}\n{}\n";
    let ran = validate(&["-", "--operation", "update", "--output", "json"], lines);
    assert_told(
        &ran,
        &[("type-mismatch", "/1/memo"), ("update-empty", "/2")],
    );

    let scratch = Scratch::new();
    let csv = scratch.file("a.csv", &cash(["a"]));
    let ran = run(&["validate", &csv, "--operation", "update"]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("an update is JSON"), "{}", ran.stderr);
}

#[test]
fn standard_input_tells_its_format_or_is_told() {
    let table = cash(["a", "b"]);
    let lines = format!("{}\n{}\n", good("a"), good("b"));
    let pretty = good("a").replace(", ", ",\n");
    let list = format!("[{},\n{}]", good("a"), good("b"));
    for (input, arguments, count) in [
        (&table, &["-"][..], 2),
        (&table, &["-", "--format", "csv"], 2),
        (&lines, &["-"], 2),
        (&lines, &["-", "--format", "jsonl"], 2),
        (&pretty, &["-"], 1),
        (&list, &["-"], 2),
        (&list, &["-", "--format", "json"], 2),
    ] {
        // A byte order mark and the line ends of Windows change nothing.
        for input in [
            input.clone(),
            input.replace('\n', "\r\n"),
            format!("\u{feff}{input}"),
        ] {
            let ran = validate(arguments, &input).succeeds();
            assert_eq!(ran.stdout, "", "{arguments:?} {input:?}");
            let payments = if count == 1 { "payment" } else { "payments" };
            assert_eq!(
                ran.stderr,
                format!("{count} {payments} read, 0 errors, 0 warnings\n")
            );
        }
    }
    // So does a name that tells nothing.
    let scratch = Scratch::new();
    let file = scratch.file("payments.txt", &list);
    let ran = run(&["validate", &file]).succeeds();
    assert_eq!(ran.stderr, "2 payments read, 0 errors, 0 warnings\n");
}

#[test]
fn what_cant_be_read_ends_with_2() {
    let scratch = Scratch::new();
    let missing = scratch.folder.path().join("missing.csv");
    let folder = scratch.folder.path().to_str().unwrap();
    let empty = scratch.file("empty.csv", "");
    let table = scratch.file("table.csv", &format!("[{}]", good("a")));
    let wide = scratch.folder.path().join("wide.csv");
    fs::write(&wide, b"\xff\xfep\0a\0i\0d\0").unwrap();
    for (arguments, input, told) in [
        (vec![missing.to_str().unwrap()], "", "error: opening "),
        (vec![folder], "", "is a folder; name a file in it"),
        (vec![&empty], "", "empty.csv: there is nothing in it"),
        (
            vec!["-"],
            "",
            "error: standard input: there is nothing in it",
        ),
        (
            vec!["-"],
            "\n\n",
            "error: standard input: there is nothing in it",
        ),
        (vec![&table], "", "table.csv: row 1: unknown column `[{"),
        (
            vec![wide.to_str().unwrap()],
            "",
            "wide.csv: the text is UTF-16",
        ),
        (
            vec!["-"],
            "paid_at,method,amout\n",
            "did you mean `amount`?",
        ),
        (vec!["-", "--format", "xml"], "", "invalid value 'xml'"),
        (vec![], "", "required arguments"),
    ] {
        // Nothing was judged, so nothing is written that looks as if it was.
        for output in ["text", "json"] {
            let arguments = [&arguments[..], &["--output", output]].concat();
            let ran = validate(&arguments, input);
            assert_eq!(ran.code, Some(2), "{arguments:?}: {}", ran.stderr);
            assert_eq!(ran.stdout, "", "{arguments:?}");
            assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
            assert!(ran.stderr.contains(told), "{arguments:?}: {}", ran.stderr);
        }
    }
}

#[test]
fn what_isnt_json_is_told_with_its_place() {
    let cut = format!("[\n{},\n{{\"amount\":\n", good("a").replace("9000", "-1"));
    let ran = validate(&["-", "--format", "json"], &cut);
    assert_eq!(
        ran.stdout,
        "error: index 0, /0/amount: The value is -1 cents; it must be 0 or more. (amount-negative)\n\
         error: (whole body): The document isn't JSON at line 4, column 1: the text ends here, and \
         something that was opened isn't closed. (json-malformed)\n"
    );
    assert_eq!(
        ran.stderr,
        "1 payment read, 2 errors, 0 warnings; what follows line 4, column 1 can't be read\n"
    );
    assert_eq!(ran.code, Some(2));

    for input in [
        cut.as_str(),
        "[",
        "{\"amount\": 1",
        "{\"amount\": \"\\ud800\"}",
        "[1,]",
        "[] []",
        "paid_at,method,amount\n",
        "",
        "[\"a\"]]",
    ] {
        for operation in [&[][..], &["--operation", "update"]] {
            let flags = [&["-", "--format", "json", "--output", "json"], operation].concat();
            let ran = validate(&flags, input);
            let told = told(&ran);
            assert_eq!(
                told.last(),
                Some(&("json-malformed".to_owned(), String::new())),
                "{input}"
            );
            assert_eq!(ran.code, Some(2), "{input}");
        }
    }
    // Lines that are taken for one document say so.
    let lines = format!("{}\n{}\n", good("a"), good("b"));
    let ran = validate(&["-", "--format", "json"], &lines);
    assert!(ran.stdout.contains("give --format jsonl"), "{}", ran.stdout);
    assert!(
        ran.stderr.starts_with("0 payments read, 1 error"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_breaks_off_doesnt_look_complete() {
    let open = format!(
        "{}c,2024-02-27T02:22:55Z,CASH,-1,\nd,\"2024",
        cash(["a", "b"])
    );
    let long = format!("{}\n{{\"memo\": \"{}", good("a"), "x".repeat(17 << 20));
    let list = format!("[{},\n{{\"memo\": \"{}", good("a"), "x".repeat(17 << 20));
    let cell = format!("{}c,2024,\"{}", cash(["a"]), "x".repeat(17 << 20));
    for (format, input, payments, told) in [
        (
            "csv",
            &open,
            3,
            "row 5: a quotation mark opens a cell and is never closed",
        ),
        ("csv", &cell, 1, "row 3 is longer than 16777216 bytes"),
        ("jsonl", &long, 1, "line 2 is longer than 16777216 bytes"),
        (
            "json",
            &list,
            1,
            "line 2, column 1: the value that begins here is longer than 16777216 bytes",
        ),
    ] {
        let errors = u64::from(payments == 3);
        for output in ["text", "json"] {
            let mut child = program(&["validate", "-", "--format", format, "--output", output])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap();
            // It gives up before it has read everything.
            let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
            let ran = child.wait_with_output().unwrap();
            let (stdout, stderr) = (
                String::from_utf8(ran.stdout).unwrap(),
                String::from_utf8(ran.stderr).unwrap(),
            );
            assert_eq!(ran.status.code(), Some(2), "{stderr}");
            let (error, rest) = stderr.split_once('\n').unwrap();
            assert!(
                error.starts_with(&format!("error: standard input: {told}")),
                "{error}"
            );
            let payments = Plural(payments, "payment");
            let errors = Plural(errors, "error");
            assert_eq!(
                rest,
                format!("{payments} read, {errors}, 0 warnings; the rest can't be read\n")
            );
            assert!(serde_json::from_str::<Value>(&stdout).is_err(), "{stdout}");
        }
    }
}

/// A number of things.
struct Plural(u64, &'static str);

impl std::fmt::Display for Plural {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} {}{}",
            self.0,
            self.1,
            if self.0 == 1 { "" } else { "s" }
        )
    }
}

#[test]
fn who_stops_reading_still_learns_of_errors() {
    let wrong = "2024-02-27T02:22:55Z,CASH,x\n".repeat(5_000);
    let scratch = Scratch::new();
    let file = scratch.file("wrong.csv", &format!("paid_at,method,amount\n{wrong}"));
    for output in ["text", "json"] {
        let mut child = program(&["validate", &file, "--output", output])
            .spawn()
            .unwrap();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_exact(&mut [0; 10]).unwrap();
        drop(stdout);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

/// Hands in far more than the program may keep, and asks how much memory it ever had.
#[cfg(target_os = "linux")]
#[test]
fn memory_doesnt_grow_with_the_file() {
    const PAYMENTS: usize = 2_000;
    let memo = "x".repeat(64 * 1024);
    let object = |index: usize| {
        good(&index.to_string()).replacen('{', &format!("{{\"memo\": \"{memo}\", "), 1)
    };
    let row = |index: usize| format!("{index},2024-02-27T02:22:55Z,CASH,9000,{memo}\n");
    type Piece<'a> = Box<dyn Fn(usize) -> String + 'a>;
    let formats: [(&str, &str, Piece<'_>); 3] = [
        (
            "csv",
            "external_id,paid_at,method,amount,memo\n",
            Box::new(row),
        ),
        ("jsonl", "", Box::new(|index| object(index) + "\n")),
        ("json", "[", Box::new(|index| object(index) + ",\n")),
    ];
    for (format, start, piece) in formats {
        let mut child = program(&["validate", "-", "--format", format])
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = child.stdin.take().unwrap();
        input.write_all(start.as_bytes()).unwrap();
        let mut written = 0;
        for index in 0..PAYMENTS {
            let piece = piece(index);
            written += piece.len();
            input.write_all(piece.as_bytes()).unwrap();
        }
        // All but what the pipe holds is read by now.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
        let peak = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .unwrap();
        let kilobytes: usize = peak.trim().strip_suffix(" kB").unwrap().parse().unwrap();
        assert!(
            written > 120 << 20 && kilobytes < 40 << 10,
            "{format}: {kilobytes} kB"
        );
        drop(input);
        let output = child.wait_with_output().unwrap();
        // The list was never closed.
        let expected = if format == "json" { 2 } else { 0 };
        assert_eq!(output.status.code(), Some(expected));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(stderr.starts_with("2000 payments read, "), "{stderr}");
    }
}
