//! That the crate and the types below it run anywhere: what they depend on, that it asks no clock, and that it builds
//! for WebAssembly.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

/// Runs cargo in this crate's folder and gives what it writes.
fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs, as it just did");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "cargo {}:\n{complaint}",
        arguments.join(" ")
    );
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// The crates that a program with this crate or the types alone gets, and their features.
fn dependencies(package: &str) -> BTreeMap<String, Vec<String>> {
    let tree = cargo(&[
        "tree",
        "--offline",
        "--package",
        package,
        "--all-features",
        "--edges=normal",
        "--prefix=none",
        "--format={p}:{f}",
    ]);
    tree.lines()
        .map(|line| {
            let (package, features) = line.rsplit_once(':').expect("a package and its features");
            let name = package.split(' ').next().expect("a name");
            let features = features.trim_end_matches(" (*)").split(',');
            (name.to_owned(), features.map(str::to_owned).collect())
        })
        .collect()
}

#[test]
fn nothing_of_a_network_a_runtime_or_a_clock_comes_along() {
    for package in ["layer-payments-types", "layer-payments-validation"] {
        nothing_comes_along(&dependencies(package));
    }
}

fn nothing_comes_along(found: &BTreeMap<String, Vec<String>>) {
    assert!(found.contains_key("layer-payments-types"), "{found:?}");
    for unwanted in [
        "chrono",
        "futures-core",
        "getrandom",
        "http",
        "hyper",
        "js-sys",
        "libc",
        "mio",
        "rand",
        "reqwest",
        "rustls",
        "socket2",
        "time",
        "tokio",
        "wasm-bindgen",
        "windows-sys",
    ] {
        assert!(!found.contains_key(unwanted), "{unwanted} in {found:?}");
    }
}

/// Without this feature, serde_json reads some numbers as a neighbour of what is written, and metadata changes on the
/// way. Tests of the numbers alone wouldn't notice: a crate that only they use asks for the feature as well.
#[test]
fn numbers_are_read_to_the_last_digit() {
    let found = dependencies("layer-payments-validation");
    let features = &found["serde_json"];
    assert!(
        features.iter().any(|feature| feature == "float_roundtrip"),
        "{features:?}"
    );
    // This one would turn numbers into objects wherever serde keeps them for later, as it does for a union without tags.
    assert!(
        !features
            .iter()
            .any(|feature| feature == "arbitrary_precision"),
        "{features:?}"
    );
}

#[test]
fn no_source_file_asks_a_clock() {
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            files += 1;
            let source = fs::read_to_string(&path).unwrap();
            for clock in ["::now(", "SystemTime", "Instant", "Zoned", "TimeZone"] {
                assert!(!source.contains(clock), "{clock} in {}", path.display());
            }
        }
    }
    assert!(files > 15, "{files}");
}

/// Builds for a machine without an operating system, if the toolchain can: after
/// `rustup target add wasm32-unknown-unknown`.
#[test]
fn it_builds_for_webassembly() {
    const TARGET: &str = "wasm32-unknown-unknown";
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libraries = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()
        .expect("rustc runs, as it just did");
    let libraries = String::from_utf8(libraries.stdout).expect("a path in UTF-8");
    if !Path::new(libraries.trim()).is_dir() {
        println!("not shown: this toolchain has no {TARGET}");
        return;
    }
    // A folder of its own, since whoever runs the tests may hold the usual one.
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/wasm");
    cargo(&[
        "check",
        "--offline",
        "--quiet",
        "--target",
        TARGET,
        "--target-dir",
        folder,
    ]);
}
