//! The server against the spec, by requests that schemathesis makes from it: right ones, wrong ones, and sequences.
//!
//! Schemathesis is a Python tool. Its pinned release is installed below `target/tools` once, and a machine where that
//! isn't possible fails the test. `schemathesis.toml` has the settings and the seed, `hooks.py` what the document can't
//! say. The tool reads `nullable` beside `allOf` the way that D7 of `spec/decisions.md` does, so it is given the
//! spec as it is.

use std::fs;
use std::process::Command;
use std::time::Instant;

use layer_payments_tests::engine::Engine;
use layer_payments_tests::process::{Served, TOKEN};
use layer_payments_tests::{json_file, root, spec, tools};
use serde_json::{Map, Value};

/// How much a run does.
struct Extent {
    /// The most examples of each operation in each phase.
    examples: u64,
    /// The least cases that prove something.
    cases: u64,
    /// The least requests of an operation that have to be carried out, and not only refused.
    successes: u64,
}

#[test]
fn the_server_keeps_to_the_spec_on_sqlite() {
    let extent = Extent {
        examples: 500,
        cases: 5_000,
        successes: 100,
    };
    the_server_keeps_to_the_spec(Engine::Sqlite, &extent);
}

#[test]
fn the_server_keeps_to_the_spec_on_postgres() {
    // What is read and refused before the store is the same there; fewer requests show what the store does with the rest.
    let extent = Extent {
        examples: 150,
        cases: 3_000,
        successes: 100,
    };
    the_server_keeps_to_the_spec(Engine::Postgres, &extent);
}

fn the_server_keeps_to_the_spec(engine: Engine, extent: &Extent) {
    let tool = tools::python(
        "schemathesis",
        &root().join("tests/contract/requirements.txt"),
    )
    .join("st");
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    let place = engine.place();
    let server = Served::start(&place.database());
    let replies = scratch.path().join("replies.json");
    let rules = scratch.path().join("rules.json");
    fs::write(&rules, error_rules().to_string()).expect("the folder is writable");
    let settings = root().join("tests/contract");
    let started = Instant::now();
    let output = Command::new(&tool)
        // The tool keeps notes in the folder where it runs.
        .current_dir(scratch.path())
        .arg("--config-file")
        .arg(settings.join("schemathesis.toml"))
        .arg("run")
        .arg(root().join("spec/layer-payments.yaml"))
        .arg("--url")
        .arg(format!("http://{}", server.address()))
        .arg("--max-examples")
        .arg(extent.examples.to_string())
        .arg("--header")
        .arg(format!("Authorization: Bearer {TOKEN}"))
        .env("SCHEMATHESIS_HOOKS", settings.join("hooks.py"))
        .env("CONTRACT_BUSINESS", server.business())
        .env("CONTRACT_REPLIES", &replies)
        .env("CONTRACT_RULES", &rules)
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .output()
        .unwrap_or_else(|e| panic!("{} can't be run: {e}", tool.display()));
    let told = String::from_utf8_lossy(&output.stdout);
    println!("{told}{}", String::from_utf8_lossy(&output.stderr));
    println!(
        "{engine:?}: schemathesis took {} s",
        started.elapsed().as_secs()
    );
    assert!(
        output.status.success(),
        "schemathesis found faults; see above"
    );

    let cases = generated(&told);
    assert!(cases >= extent.cases, "only {cases} cases were made");
    let text = fs::read_to_string(&replies).expect("the hooks wrote what they counted");
    println!("{engine:?}: replies: {text}");
    let counts: Map<String, Value> = serde_json::from_str(&text).expect("the hooks write JSON");
    for operation in operations() {
        let successes: u64 = counts
            .iter()
            .filter(|(name, _)| name.starts_with(&format!("{operation} 2")))
            .filter_map(|(_, count)| count.as_u64())
            .sum();
        assert!(
            successes >= extent.successes,
            "only {successes} requests of {operation} were carried out"
        );
    }
    let said = server.kill();
    assert!(
        !said.contains("ERROR") && !said.contains("panicked"),
        "{said}"
    );
}

/// The number of cases that a run's summary names.
fn generated(told: &str) -> u64 {
    let count = told.lines().find_map(|line| {
        let (count, _) = line.trim().split_once(" generated")?;
        count.replace(',', "").parse().ok()
    });
    count.expect("the summary tells how many cases were generated")
}

fn operations() -> Vec<String> {
    let spec = spec();
    let paths = spec["paths"].as_object().expect("the spec has paths");
    paths
        .values()
        .filter_map(Value::as_object)
        .flat_map(Map::values)
        .filter_map(|operation| operation["operationId"].as_str().map(str::to_owned))
        .collect()
}

/// The codes of all rules that refuse a request, against which the hooks check their own list.
fn error_rules() -> Value {
    let catalogue = json_file("spec/rules/catalogue.json");
    let rules = catalogue.as_array().expect("the catalogue is a list");
    rules
        .iter()
        .filter(|rule| rule["severity"] == "error")
        .map(|rule| rule["code"].clone())
        .collect()
}
