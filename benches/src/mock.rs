//! Requests in a second, against Prism's mock server on the same specification.
//!
//! Prism validates a request and answers with an example; it stores nothing. This server validates it, records it, posts
//! it to the ledger and waits for the disk. Both get the same requests from the same client.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::{Value, json};

use crate::Bench;
use crate::http::{Connection, block_on, get, load, post};
use crate::report::{Goal, Report, median};
use crate::server::{Server, fresh};
use crate::single::requests;

/// Pinned: figures of two runs are of the same mock.
const VERSION: &str = "5.14.2";
/// As many as single payments come from, so that one wait for the disk serves many here too.
const CONNECTIONS: usize = 64;
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(1_500);
const REQUESTS: usize = 30_000;

pub(crate) fn run(bench: &Bench, report: &mut Report) -> anyhow::Result<()> {
    report.title(
        "mock",
        &format!("requests from {CONNECTIONS} connections, against Prism's mock {VERSION}, which stores nothing"),
    );
    let prism = Prism::start(bench)?;
    let server = Server::start(&bench.program, &fresh(&bench.folder, "mock.db")?)?;
    // Payments to be listed. Then as many a page as Prism's example has, so that both send about the same.
    block_on(async {
        let mut connection = Connection::open(server.address).await?;
        for number in 0..10 {
            let bulk = post("/bulk", &bench.payments.bulk(number * 1_000, 1_000));
            connection.exchange(&bulk).await?.json()?;
        }
        Ok(())
    })?;
    let examples = prism.check()?;
    let list = Arc::new(vec![get(&format!("?limit={examples}"))]);

    let mut gets = [Vec::new(), Vec::new()];
    let mut posts = [Vec::new(), Vec::new()];
    // Code that node compiles once it is warm.
    load(prism.address, CONNECTIONS, ROUND, Arc::clone(&list), false)?;
    for round in 0..ROUNDS {
        let payments = requests(bench, 10_000 + round * REQUESTS, REQUESTS);
        for (side, address) in [server.address, prism.address].into_iter().enumerate() {
            let rate = load(address, CONNECTIONS, ROUND, Arc::clone(&list), false)?;
            gets[side].push(rate.per_second());
        }
        for (side, address) in [server.address, prism.address].into_iter().enumerate() {
            let rate = load(address, CONNECTIONS, ROUND, Arc::clone(&payments), true)?;
            posts[side].push(rate.per_second());
        }
    }
    server.stop()?;
    for (what, rates, goal) in [
        (format!("GET, a list of {examples}"), gets, 10.0),
        ("POST of a payment, validated".to_owned(), posts, 5.0),
    ] {
        let [ours, theirs] = [median(&rates[0]), median(&rates[1])];
        report.figure(&format!("{what}: this server"), ours, "requests/s", "");
        report.figure(&format!("{what}: Prism"), theirs, "requests/s", "");
        let ratios: Vec<f64> = rates[0]
            .iter()
            .zip(&rates[1])
            .map(|(ours, theirs)| ours / theirs)
            .collect();
        let word = what.split([' ', ',']).next().unwrap_or_default();
        report.goal(
            &format!("{word}: this server / Prism (median)"),
            median(&ratios),
            Goal::AtLeast(goal),
        );
    }
    report.note("Prism stores nothing; each POST to this server is posted to the ledger and on disk when it is answered.");
    Ok(())
}

/// A running mock, which ends with this value.
struct Prism {
    child: Child,
    address: SocketAddr,
}

impl Prism {
    fn start(bench: &Bench) -> anyhow::Result<Prism> {
        let folder = bench.root.join("target/tools/prism");
        install(&folder)?;
        let document = bench.folder.join("prism.json");
        fs::write(&document, specification(&bench.root)?.to_string())?;
        // A port that was free a moment ago.
        let address = TcpListener::bind("127.0.0.1:0")?.local_addr()?;
        let child = Command::new("node")
            .arg(folder.join("node_modules/@stoplight/prism-cli/dist/index.js"))
            .args([
                "mock",
                "--host",
                "127.0.0.1",
                "--port",
                &address.port().to_string(),
            ])
            // A line for each request would only make it slower.
            .args(["--verboseLevel", "error", "--multiprocess", "false"])
            .arg(&document)
            .env("NODE_ENV", "production")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("starting Prism with node")?;
        let prism = Prism { child, address };
        let started = Instant::now();
        while std::net::TcpStream::connect(address).is_err() {
            if started.elapsed() > Duration::from_secs(60) {
                bail!("Prism doesn't listen after a minute");
            }
            thread::sleep(Duration::from_millis(100));
        }
        Ok(prism)
    }

    /// Makes sure that Prism does what it is compared for. Gives how many payments its list has.
    fn check(&self) -> anyhow::Result<usize> {
        block_on(async {
            let mut connection = Connection::open(self.address).await?;
            let page = connection.exchange(&get("?limit=10")).await?.json()?;
            let count = page["data"].as_array().map_or(0, Vec::len);
            ensure!(count > 0, "Prism answers a list without payments");
            let wrong = json!({"paid_at": "2024-02-27T02:22:55Z", "method": "CASH", "amount": "x", "invoice_payments": []});
            let status = connection
                .exchange(&post("", wrong.to_string().as_bytes()))
                .await?
                .status;
            ensure!(
                (400..500).contains(&status),
                "Prism answered a wrong payment with {status}; it doesn't validate"
            );
            Ok(count)
        })
    }
}

impl Drop for Prism {
    fn drop(&mut self) {
        // It is only there for the run; if it has ended already, nothing is left to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Installs Prism where the build's own files are, unless it is there.
fn install(folder: &Path) -> anyhow::Result<()> {
    let manifest = folder.join("node_modules/@stoplight/prism-cli/package.json");
    let installed = fs::read(&manifest)
        .ok()
        .and_then(|text| serde_json::from_slice::<Value>(&text).ok())
        .is_some_and(|manifest| manifest["version"] == VERSION);
    if installed {
        return Ok(());
    }
    eprintln!(
        "installing Prism {VERSION} from npm into {}",
        folder.display()
    );
    fs::create_dir_all(folder)?;
    let status = Command::new("npm")
        .args(["install", "--no-fund", "--no-audit", "--silent", "--prefix"])
        .arg(folder)
        .arg(format!("@stoplight/prism-cli@{VERSION}"))
        .status()
        .context("installing Prism needs node and npm; the other benchmarks don't")?;
    ensure!(status.success(), "npm can't install Prism {VERSION}");
    Ok(())
}

/// The specification as Prism can take it: it checks no body at all where an enumeration of a schema holds null
/// (<https://github.com/stoplightio/prism/issues/1931>).
fn specification(root: &Path) -> anyhow::Result<Value> {
    let path = root.join("spec/layer-payments.yaml");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let mut document: Value = serde_saphyr::from_str(&text).context("reading the specification")?;
    without_null(&mut document);
    Ok(document)
}

fn without_null(value: &mut Value) {
    match value {
        Value::Array(list) => list.iter_mut().for_each(without_null),
        Value::Object(properties) => {
            if let Some(Value::Array(names)) = properties.get_mut("enum") {
                names.retain(|name| !name.is_null());
            }
            properties.values_mut().for_each(without_null);
        }
        _ => {}
    }
}
