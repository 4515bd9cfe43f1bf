//! What `cargo xtask publish` makes, as those see it who have nothing else of this project.
//!
//! The folder is made by the command itself and only then looked at: its checksums by `sha256sum`, its schemas by a
//! validator with the examples and with broken ones, the samples of its README by Python, its pages by Chromium in the
//! widths of a desk and a phone.

mod browser;
mod pages;
mod schemas;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use layer_payments_tests::root;
use serde_json::Value;

/// The folder, made once for all tests here. Pictures of the pages are put beside it, for people to look at.
fn dist() -> &'static Path {
    static DIST: OnceLock<PathBuf> = OnceLock::new();
    DIST.get_or_init(|| {
        let dist = pictures().join("dist");
        publish(&dist, &[]);
        dist
    })
}

fn pictures() -> PathBuf {
    let folder = root().join("target/published");
    fs::create_dir_all(&folder).expect("the folder of builds is writable");
    folder
}

/// Runs the command as people do, in another folder than the workspace's.
fn publish(out: &Path, variables: &[(&str, &str)]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .current_dir(root().join("tests"))
        .args(["xtask", "publish", "--out"])
        .arg(out)
        .envs(variables.iter().copied())
        .output()
        .expect("cargo can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
}

/// All files below a folder, by their path in it.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("the folder is readable") {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("it is in the folder");
                let bytes = fs::read(&path).expect("the file is readable");
                found.insert(name.to_owned(), bytes);
            }
        }
    }
    found
}

/// A JSON file of the folder.
fn json(path: &str) -> Value {
    let text = fs::read_to_string(dist().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{path}: {e}"))
}

#[test]
fn another_run_makes_the_same_bytes() {
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    let out = scratch.path().join("elsewhere");
    publish(
        &out,
        &[
            ("TZ", "Pacific/Kiritimati"),
            ("LANG", "tr_TR.UTF-8"),
            ("USER", "somebody"),
            ("SOURCE_DATE_EPOCH", "1"),
        ],
    );
    let (first, second) = (files(dist()), files(&out));
    assert!(first.len() > 150, "only {} files", first.len());
    assert_eq!(
        first.keys().collect::<Vec<_>>(),
        second.keys().collect::<Vec<_>>()
    );
    for (path, bytes) in &first {
        assert!(bytes == &second[path], "{} differs", path.display());
    }
}

#[test]
fn the_checksums_are_those_of_all_files_in_order() {
    let checked = Command::new("sha256sum")
        .current_dir(dist())
        .args(["--check", "--strict", "SHA256SUMS"])
        .output()
        .expect("sha256sum can be run");
    let told = String::from_utf8_lossy(&checked.stdout);
    assert!(checked.status.success(), "{told}");
    let sums = fs::read_to_string(dist().join("SHA256SUMS")).expect("the sums are readable");
    let named = sums
        .lines()
        .map(|line| {
            line.split_once("  ")
                .expect("a sum and a name")
                .1
                .to_owned()
        })
        .collect::<Vec<_>>();
    let mut there = files(dist())
        .into_keys()
        .map(|path| path.to_str().expect("names are UTF-8").replace('\\', "/"))
        .filter(|name| name != "SHA256SUMS")
        .collect::<Vec<_>>();
    there.sort();
    assert_eq!(named, there);
}

#[test]
fn the_documents_agree_and_refer_only_to_each_other() {
    for name in ["layer-payments", "local"] {
        let yaml = fs::read_to_string(dist().join(format!("openapi/{name}.yaml")))
            .expect("the document is readable");
        let mut read: Value = serde_saphyr::from_str(&yaml).expect("the document is YAML");
        let document = json(&format!("openapi/{name}.json"));
        let mut references = Vec::new();
        see_references(&document, &mut |reference| {
            references.push(reference.to_owned())
        });
        assert!(references.len() > 50, "only {}", references.len());
        for reference in references {
            let (file, pointer) = reference.split_once('#').expect("there is a pointer");
            let target = match file {
                "" => document.clone(),
                file => json(&format!("openapi/{file}")),
            };
            assert!(target.pointer(pointer).is_some(), "{reference}");
        }
        // Only what each calls the other differs.
        rename_references(&mut read);
        assert!(read == document, "{name}.json isn't {name}.yaml");
    }
    let version = fs::read_to_string(dist().join("VERSION")).expect("there is a version");
    assert_eq!(
        json("openapi/layer-payments.json")["info"]["version"],
        version.trim_end()
    );
}

fn see_references(value: &Value, see: &mut impl FnMut(&str)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| see_references(item, see)),
        Value::Object(keys) => {
            if let Some(Value::String(reference)) = keys.get("$ref") {
                see(reference);
            }
            keys.values().for_each(|value| see_references(value, see));
        }
        _ => {}
    }
}

fn rename_references(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(rename_references),
        Value::Object(keys) => keys.values_mut().for_each(rename_references),
        Value::String(text) if text.starts_with("layer-payments.yaml#") => {
            *text = text.replace(".yaml#", ".json#");
        }
        _ => {}
    }
}

#[test]
fn the_readme_tells_of_everything_and_its_loop_over_the_vectors_runs() {
    let readme = fs::read_to_string(dist().join("README.md")).expect("there is a README");
    for path in files(dist()).keys() {
        let top = path.iter().next().expect("a path has a part");
        let top = top.to_str().expect("names are UTF-8");
        assert!(readme.contains(top), "README says nothing of {top}");
    }
    assert!(!readme.contains("RULES") && !readme.starts_with("VERSION"));

    // A checker that finds nothing passes exactly the vectors that have no violation.
    let scratch = tempfile::tempdir().expect("a temporary folder can be made");
    fs::write(
        scratch.path().join("checker.py"),
        "def violations(operation, body, context):\n    return []\n",
    )
    .expect("the folder is writable");
    let sample = readme
        .split("```python\n")
        .filter_map(|rest| rest.split("```").next())
        .find(|sample| sample.contains("from checker"))
        .expect("README has the loop");
    let ran = Command::new("python3")
        .current_dir(dist())
        .env("PYTHONPATH", scratch.path())
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .args(["-c", sample])
        .output()
        .expect("python3 can be run");
    let told = String::from_utf8_lossy(&ran.stdout).into_owned();
    assert!(
        ran.status.success(),
        "{}",
        String::from_utf8_lossy(&ran.stderr)
    );
    let mut counts = [0, 0];
    for (path, text) in files(&dist().join("rules/vectors")) {
        let vectors: Vec<Value> =
            serde_json::from_slice(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        for vector in vectors {
            let free = vector["violations"].as_array().is_some_and(Vec::is_empty);
            counts[usize::from(!free)] += 1;
        }
    }
    let [passed, failed] = counts;
    assert!(passed > 100 && failed > 100);
    assert_eq!(
        told.lines().last(),
        Some(format!("{passed} passed, {failed} failed").as_str())
    );
}
