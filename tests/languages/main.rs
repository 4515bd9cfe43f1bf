//! Clients of other languages, generated from the spec, in one scenario against the server; and the rules in Python.
//!
//! Each language has a folder with its pinned tools and a driver that does the scenario step by step. Its client is
//! generated below `target/languages`, compiled with its driver under strict settings, and run against the program. A
//! step prints a line of what it saw, which has to be what `facts.jsonl` has: all languages see the same. The samples in
//! README are compiled and run as they stand there.
//!
//! The tools are installed below `target/tools/languages` once for each pinned version. A machine where that isn't
//! possible, or that lacks a language, fails the test.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use layer_payments_tests::engine::{Engine, Place};
use layer_payments_tests::process::{Served, TOKEN, command};
use layer_payments_tests::tools::{self, installed, run};
use layer_payments_tests::{books, differences, root};
use serde_json::Value;

/// The spec as the generators of other languages take it; D7 of `spec/decisions.md` says why it isn't the YAML one.
const SPEC: &str = "spec/layer-payments-3.1.json";
/// What README's samples take: the server as "Try the API" starts it.
const SAMPLE_URL: &str = "http://127.0.0.1:8080";
const SAMPLE_TOKEN: &str = "secret";
const SAMPLE_BUSINESS: &str = "10ca1000-0000-4000-8000-000000000000";
/// The payments after the scenario: two fixtures, the first one, 99 of the bulk request, and one after the rate limit.
const PAYMENTS: usize = 103;

#[test]
fn typescript_does_the_scenario_by_two_clients() {
    let _turn = turn();
    let started = Instant::now();
    let modules = node_modules();
    let folder = work_folder("typescript", &["json", "ts", "mjs"]);
    std::os::unix::fs::symlink(&modules, folder.join("node_modules"))
        .expect("the folder of modules can be linked");
    let samples = Backend::start();
    samples.write_sample("typescript", &folder.join("first.ts"));
    let node = |script: &str| {
        let mut command = Command::new("node");
        command.current_dir(&folder).arg(modules.join(script));
        command
    };
    let spec = root().join(SPEC);
    run(node("openapi-typescript/bin/cli.js").arg(&spec).args([
        "--default-non-nullable=false",
        "-o",
        "layer-payments.d.ts",
    ]));
    run(node("@hey-api/openapi-ts/bin/run.js").env("LAYER_SPEC", &spec));
    let built = |client: &str| {
        // Each has settings of its own, as not every generator's code is as strict as the compiler can be.
        run(node("typescript/bin/tsc").args(["-p", &format!("tsconfig.{client}.json")]));
        let mut driver = Command::new("node");
        driver.arg(folder.join(format!("out/{client}.js")));
        driver
    };
    Backend::start().scenario(built("openapi-fetch"));
    Backend::start().scenario(built("hey-api"));
    samples.sample(built("first"));
    println!("TypeScript: {} s", started.elapsed().as_secs());
}

#[test]
fn python_does_the_scenario() {
    let _turn = turn();
    let started = Instant::now();
    let tools = python("python");
    let folder = work_folder("python", &["py", "ini"]);
    let samples = Backend::start();
    samples.write_sample("python", &folder.join("first.py"));
    // The generator formats what it made by ruff, which lies beside it.
    let path = std::env::var("PATH").unwrap_or_default();
    run(Command::new(tools.join("openapi-python-client"))
        .current_dir(&folder)
        .env("PATH", format!("{}:{path}", tools.display()))
        .args(["generate", "--meta", "none", "--output-path"])
        .args(["layer_payments", "--path"])
        .arg(root().join(SPEC)));
    run(Command::new(tools.join("mypy"))
        .current_dir(&folder)
        .args(["scenario.py", "first.py"]));
    let python = |script: &str| {
        let mut driver = Command::new(tools.join("python"));
        driver.arg(folder.join(script));
        driver
    };
    Backend::start().scenario(python("scenario.py"));
    samples.sample(python("first.py"));
    println!("Python: {} s", started.elapsed().as_secs());
}

#[test]
fn java_does_the_scenario() {
    let _turn = turn();
    let started = Instant::now();
    let jar = jar(&python("java"));
    let folder = work_folder("java", &["java"]);
    let samples = Backend::start();
    samples.write_sample("java", &folder.join("First.java"));
    run(Command::new("java")
        .arg("-jar")
        .arg(&jar)
        .args(["generate", "-g", "java", "--library", "native", "-o"])
        .arg(folder.join("generated"))
        .arg("-i")
        .arg(root().join(SPEC))
        // Jackson's own classes come with the generator. The rest, without Maven, are options.
        .arg("--additional-properties=openApiNullable=false,annotationLibrary=none,containerDefaultToNull=true"));
    let mut generated = java_files(&folder.join("generated/src/main/java"));
    generated.extend(java_files(&root().join("tests/languages/java/javax")));
    let classes = folder.join("classes");
    let out = folder.join("out");
    // Generated code isn't held to what the drivers are held to.
    run(Command::new("javac")
        .args(["-nowarn", "-Xlint:none", "-d"])
        .arg(&classes)
        .arg("-cp")
        .arg(&jar)
        .args(&generated));
    let both = class_path(&[&classes, &jar]);
    run(Command::new("javac")
        // Jackson's annotations want processors and name classes that aren't there; neither is the drivers' matter.
        .args(["-Xlint:all,-processing,-classfile", "-Werror", "-d"])
        .arg(&out)
        .args(["-cp", &both])
        .arg(folder.join("Scenario.java"))
        .arg(folder.join("First.java")));
    let all = class_path(&[&out, &classes, &jar]);
    let java = |class: &str| {
        let mut driver = Command::new("java");
        driver.args(["-cp", &all, class]);
        driver
    };
    Backend::start().scenario(java("Scenario"));
    samples.sample(java("First"));
    println!("Java: {} s", started.elapsed().as_secs());
}

#[test]
fn the_reference_in_python_passes_every_vector() {
    let _turn = turn();
    let vectors = root().join("spec/rules/vectors");
    let wanted: usize = fs::read_dir(vectors)
        .expect("the vectors are readable")
        .map(|file| {
            let path = file.expect("the folder is readable").path();
            let text = fs::read_to_string(path).expect("the vectors are readable");
            let vectors: Value = serde_json::from_str(&text).expect("the vectors are JSON");
            vectors.as_array().map_or(0, Vec::len)
        })
        .sum();
    let said = run(Command::new("python3").arg(root().join("spec/rules/reference/vectors.py")));
    assert_eq!(said.trim(), format!("{wanted} vectors, 0 failed"));
    println!("{said}");
}

/// The languages run one after another: each of them takes all the processors that there are.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A server that a driver talks to, with a database of its own.
struct Backend {
    place: Place,
    server: Served,
}

impl Backend {
    fn start() -> Backend {
        let place = Engine::Sqlite.place();
        let fixtures = root().join("tests/languages/fixtures.json");
        let fixtures = fixtures.to_str().expect("the workspace's path is text");
        let server = Served::start_with(&place.database(), &["--fixtures", fixtures, "--faults"]);
        Backend { place, server }
    }

    /// Runs a driver, which has to see what `facts.jsonl` has and to leave the server in order.
    fn scenario(self, mut driver: Command) {
        let said = run(driver
            .env(
                "LAYER_BASE_URL",
                format!("http://{}", self.server.address()),
            )
            .env("LAYER_TOKEN", TOKEN)
            .env("LAYER_BUSINESS_ID", self.server.business()));
        let facts = fs::read_to_string(root().join("tests/languages/facts.jsonl"))
            .expect("the facts are readable");
        let (seen, facts) = (steps(&said), steps(&facts));
        for (seen, facts) in seen.iter().zip(&facts) {
            let differ = differences(facts, seen);
            assert!(differ.is_empty(), "step {}: {differ:#?}", facts["step"]);
        }
        assert_eq!(seen.len(), facts.len(), "the driver left out steps: {said}");
        let business = self.server.business();
        let payments = self.stop(business);
        assert_eq!(payments.len(), PAYMENTS);
        let first = payments
            .iter()
            .find(|payment| payment["external_id"] == "first")
            .expect("the first payment is there");
        assert_eq!(first["memo"], Value::Null);
        assert_eq!(first["allocations"], Value::Array(Vec::new()));
        assert_eq!(first["additional_fees"].as_array().map(Vec::len), Some(1));
    }

    /// Writes README's sample of a language into a file, with this server in the place of the one that README starts.
    fn write_sample(&self, language: &str, file: &Path) {
        let readme = fs::read_to_string(root().join("README.md")).expect("README is readable");
        let (_, section) = readme
            .split_once("\n## Use it from other languages\n")
            .expect("README has the section");
        let (_, block) = section
            .split_once(&format!("\n```{language}\n"))
            .unwrap_or_else(|| panic!("README has no sample in {language}"));
        let (mut sample, _) = block.split_once("\n```\n").expect("the sample ends");
        let url = format!("http://{}", self.server.address());
        let mut text = String::new();
        for (known, own) in [(SAMPLE_URL, url.as_str()), (SAMPLE_TOKEN, TOKEN)] {
            let (before, after) = sample
                .split_once(known)
                .unwrap_or_else(|| panic!("the sample in {language} doesn't say {known} there"));
            text.push_str(before);
            text.push_str(own);
            sample = after;
        }
        fs::write(file, format!("{text}{sample}\n")).expect("the folder is writable");
    }

    /// Runs a sample of README, after which its payment has to be there.
    fn sample(self, mut driver: Command) {
        let said = run(&mut driver);
        let payments = self.stop(SAMPLE_BUSINESS);
        let [payment] = payments.as_slice() else {
            panic!("the sample recorded {} payments", payments.len());
        };
        assert_eq!(payment["external_id"], "payment-1");
        assert_eq!(payment["amount"], 9000);
        let id = payment["id"].as_str().expect("a payment has an id");
        assert!(said.contains(id), "the sample doesn't tell {id}: {said}");
    }

    /// Ends the server, checks the books, and gives the payments of a business.
    fn stop(self, business: &str) -> Vec<Value> {
        let url = format!("http://{}", self.server.address());
        let listed = run(
            command(&["list", "--output", "json", "--business", business])
                .args(["--base-url", &url])
                .env("LAYER_TOKEN", TOKEN),
        );
        let said = self.server.kill();
        assert!(
            !said.contains("ERROR") && !said.contains("panicked"),
            "{said}"
        );
        books::check(&self.place.database());
        let payments: Value = serde_json::from_str(&listed).expect("the program writes JSON");
        payments.as_array().expect("a list is a list").clone()
    }
}

/// The lines of JSON that a driver printed.
fn steps(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")))
        .collect()
}

/// An empty folder for what is generated, with a language's own files of these kinds.
fn work_folder(language: &str, extensions: &[&str]) -> PathBuf {
    let folder = root().join("target/languages").join(language);
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("what an earlier run made can be removed");
    }
    fs::create_dir_all(&folder).expect("the folder can be made");
    copy_files(language, &folder, |name| {
        Path::new(name)
            .extension()
            .and_then(|extension| extension.to_str())
            .is_some_and(|extension| extensions.contains(&extension))
    });
    folder
}

/// Copies those of a language's own files that are wanted by their names.
fn copy_files(language: &str, to: &Path, wanted: impl Fn(&str) -> bool) {
    let from = root().join("tests/languages").join(language);
    for entry in fs::read_dir(from).expect("the language has a folder") {
        let entry = entry.expect("the folder is readable");
        let name = entry.file_name();
        if name.to_str().is_some_and(&wanted) {
            fs::copy(entry.path(), to.join(&name)).expect("the file can be copied");
        }
    }
}

/// The packages from npm, installed unless the same ones are there already.
fn node_modules() -> PathBuf {
    let lock = root().join("tests/languages/typescript/package-lock.json");
    let folder = installed("languages/typescript", &lock, |folder| {
        copy_files("typescript", folder, |name| {
            ["package.json", "package-lock.json", ".npmrc"].contains(&name)
        });
        run(Command::new("npm")
            .args(["ci", "--ignore-scripts", "--silent"])
            .current_dir(folder));
    });
    folder.join("node_modules")
}

/// The folder of the programs that a language's packages from PyPI have.
fn python(language: &str) -> PathBuf {
    let requirements = format!("tests/languages/{language}/requirements.txt");
    tools::python(&format!("languages/{language}"), &root().join(requirements))
}

/// The generator's own jar, which lies inside its package.
fn jar(tools: &Path) -> PathBuf {
    let python = Command::new(tools.join("python"))
        .args([
            "-c",
            "import openapi_generator_cli as o; print(o.__path__[0])",
        ])
        .output()
        .expect("the environment has a Python");
    let package = String::from_utf8(python.stdout).expect("the path is text");
    let jar = Path::new(package.trim()).join("openapi-generator.jar");
    assert!(jar.exists(), "there is no {}", jar.display());
    jar
}

/// All Java files of a folder and the folders in it.
fn java_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("the folder is readable") {
            let path = entry.expect("the folder is readable").path();
            if path.is_dir() {
                folders.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "java")
            {
                files.push(path);
            }
        }
    }
    files
}

fn class_path(parts: &[&Path]) -> String {
    std::env::join_paths(parts)
        .expect("no path has a colon")
        .into_string()
        .expect("the workspace's path is text")
}
