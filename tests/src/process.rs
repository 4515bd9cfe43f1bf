//! The program as a process of its own: built once, started on a free port of this machine, watched and killed.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use serde_json::Value;

use crate::engine::Database;

/// The token that [`Served`] is started with.
pub const TOKEN: &str = "a-token-for-tests";

/// The business that [`Served`] is started with.
const BUSINESS: &str = "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4";

/// The program, built as `cargo test --workspace` builds it, so that nothing is built twice in a whole run.
///
/// # Panics
///
/// If it can't be built.
#[must_use]
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        // The test named here needs the program, and asking for the workspace gives its crates the same features as
        // there. Cargo tells where the file is, whatever the target folder is called.
        command
            .current_dir(crate::root())
            .args(["test", "--workspace", "--locked", "--no-run", "--quiet"])
            .args(["--test", "program", "--message-format", "json"]);
        if !cfg!(debug_assertions) {
            command.arg("--release");
        }
        let output = command
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .expect("cargo can be run");
        assert!(output.status.success(), "the program can't be built");
        let messages = String::from_utf8(output.stdout).expect("cargo writes UTF-8");
        let built = messages.lines().find_map(|line| {
            let message: Value = serde_json::from_str(line).ok()?;
            let target = &message["target"];
            let is_program = target["name"] == "layer-payments" && target["kind"][0] == "bin";
            if is_program && message["profile"]["test"] == false {
                message["executable"].as_str().map(PathBuf::from)
            } else {
                None
            }
        });
        built.expect("cargo names the program that it built")
    })
}

/// A command of the program, with none of the settings of whoever runs the tests.
#[must_use]
pub fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null());
    for variable in [
        "LAYER_BASE_URL",
        "LAYER_TOKEN",
        "LAYER_BUSINESS_ID",
        "LAYER_DB",
        "LAYER_DB_PASSWORD",
        "PGPASSWORD",
        "RUST_LOG",
        "RUST_BACKTRACE",
    ] {
        command.env_remove(variable);
    }
    command
}

/// Adds the option that names the database.
pub fn with_database<'c>(
    command: &'c mut Command,
    option: &str,
    database: &Database,
) -> &'c mut Command {
    command.arg(option);
    match database {
        Database::File(path) => command.arg(path),
        Database::Postgres(url) => command.arg(url),
    }
}

/// A running `layer-payments serve`. It is killed when this is dropped.
#[derive(Debug)]
pub struct Served {
    child: Child,
    address: SocketAddr,
    said: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
}

impl Served {
    /// Starts the server on a database, which it makes if there is none, and waits until it listens.
    ///
    /// # Panics
    ///
    /// If it doesn't come to that.
    #[must_use]
    pub fn start(database: &Database) -> Served {
        Served::start_with(database, &[])
    }

    /// Like [`Served::start`], with more arguments of `serve`.
    ///
    /// # Panics
    ///
    /// If it doesn't come to that.
    #[must_use]
    pub fn start_with(database: &Database, arguments: &[&str]) -> Served {
        let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--token", TOKEN]);
        // What migrates a file as a matter of course is asked for in PostgreSQL.
        command.args(["--business", BUSINESS, "--migrate"]);
        let mut child = with_database(&mut command, "--db", database)
            .args(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program can be run");
        let mut stderr = BufReader::new(child.stderr.take().expect("stderr is a pipe"));
        let mut said = String::new();
        let address = loop {
            let start = said.len();
            let read = stderr.read_line(&mut said).expect("stderr is readable");
            if read == 0 {
                let status = child.wait();
                panic!("the server ended while it started ({status:?}): {said}");
            }
            if let Some(url) = said[start..]
                .trim_end()
                .strip_prefix("listening on http://")
            {
                break url.parse().expect("the server tells its address");
            }
        };
        let said = Arc::new(Mutex::new(said));
        let listening = std::thread::spawn({
            let said = Arc::clone(&said);
            move || keep(stderr, &said)
        });
        Served {
            child,
            address,
            said,
            listening: Some(listening),
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The business that tests use, and that there is.
    #[must_use]
    pub fn business(&self) -> &'static str {
        BUSINESS
    }

    /// The address of the payments of [`Served::business`].
    #[must_use]
    pub fn payments_url(&self) -> String {
        format!(
            "http://{}/v1/businesses/{}/invoices/payments",
            self.address,
            self.business()
        )
    }

    /// Kills it as a crash would, with SIGKILL, and waits until it is gone. Gives what it had said.
    ///
    /// # Panics
    ///
    /// If it can't be killed, or had ended by itself before.
    pub fn kill(mut self) -> String {
        let ended = self
            .child
            .try_wait()
            .expect("a child can be asked for its end");
        assert!(
            ended.is_none(),
            "the server ended by itself ({ended:?}): {}",
            self.said()
        );
        self.end();
        self.said()
    }

    /// What it has written to its log.
    ///
    /// # Panics
    ///
    /// If the thread that reads the log panicked.
    #[must_use]
    pub fn said(&self) -> String {
        self.said
            .lock()
            .expect("reading a line doesn't panic")
            .clone()
    }

    /// How much memory it takes, in bytes: at this moment, and the most that it has taken so far.
    ///
    /// # Panics
    ///
    /// If it has ended, or where the system doesn't tell: Linux does, in /proc.
    #[must_use]
    pub fn memory(&self) -> Memory {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path)
            .unwrap_or_else(|e| panic!("{path}: {e}; this test needs Linux's /proc"));
        let bytes = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kilobytes = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
            kilobytes
                .map(|kilobytes: u64| kilobytes << 10)
                .unwrap_or_else(|| {
                    panic!(
                        "{path} has no {name} (has the server ended?): {}",
                        self.said()
                    )
                })
        };
        Memory {
            now: bytes("VmRSS:"),
            peak: bytes("VmHWM:"),
        }
    }

    fn end(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.end();
    }
}

/// How much memory a process takes, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// At this moment.
    pub now: u64,
    /// The most so far.
    pub peak: u64,
}

/// Reads what the server says until it ends, so that a full pipe doesn't stop it. A test needs the start of it at most.
fn keep(stderr: BufReader<ChildStderr>, said: &Mutex<String>) {
    const MOST: usize = 4 << 20;
    for line in stderr.lines().map_while(Result::ok) {
        if let Ok(mut said) = said.lock()
            && said.len() < MOST
        {
            said.push_str(&line);
            said.push('\n');
        }
    }
}
