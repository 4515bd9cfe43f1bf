//! A real PostgreSQL that tests start themselves, on a free port of this machine, and that ends when they do.
//!
//! ```no_run
//! let cluster = layer_payments_test_postgres::shared();
//! let database = cluster.database();
//! println!("{}", database.url());
//! ```
//!
//! The programs of PostgreSQL are those of `LAYER_TEST_POSTGRES_BIN`, those in the path, or those of Debian's packages.
//! Where there are none, a test fails and says what to install.

mod tls;

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

pub use self::tls::{Authority, Certificate};

/// The oldest version that the server is made for.
const OLDEST: u32 = 14;

/// How long PostgreSQL may take to start or to end; a busy machine takes some seconds.
const PATIENCE: Duration = Duration::from_secs(60);

/// The user that owns everything, and its password.
const USER: &str = "layer";
const PASSWORD: &str = "layer-test";

/// The folder of data in a cluster's folder.
const DATA: &str = "data";

/// A PostgreSQL server with databases of its own.
#[derive(Debug)]
pub struct Cluster {
    programs: Programs,
    folder: TempDir,
    settings: &'static [&'static str],
    port: u16,
    running: Mutex<Option<Child>>,
    databases: AtomicUsize,
}

/// A database of a cluster, which is removed when this is dropped.
#[derive(Debug)]
pub struct Database<'c> {
    cluster: &'c Cluster,
    name: String,
}

/// The cluster that the tests of one process share. It is started when it is first asked for.
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
    /// Makes a cluster and waits until it takes connections.
    ///
    /// # Panics
    ///
    /// If there is no PostgreSQL, or it doesn't start.
    #[must_use]
    pub fn start() -> Cluster {
        // A kill of the server loses nothing then, only a loss of power would.
        Cluster::with(&["fsync=off", "full_page_writes=off"])
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
        Cluster::with(&["fsync=off", "unix_socket_directories=."])
    }

    fn with(settings: &'static [&'static str]) -> Cluster {
        let programs = Programs::find();
        let folder = tempfile::Builder::new()
            .prefix("layer-payments-postgres-")
            .tempdir()
            .expect("a temporary folder can be made");
        let password = folder.path().join("password");
        fs::write(&password, PASSWORD).expect("the folder is writable");
        programs.own(folder.path());
        let data = folder.path().join(DATA);
        let output = programs
            .command("initdb")
            .args(["--username", USER, "--auth", "scram-sha-256"])
            .args(["--encoding", "UTF8", "--locale", "C", "--no-sync"])
            .arg("--pwfile")
            .arg(&password)
            .arg("--pgdata")
            .arg(&data)
            .output()
            .expect("initdb can be run");
        expect_success("initdb", &output);
        let cluster = Cluster {
            programs,
            port: free_port(),
            folder,
            settings,
            running: Mutex::new(None),
            databases: AtomicUsize::new(0),
        };
        cluster.start_again();
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
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(running.is_none(), "PostgreSQL is running already");
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log())
            .expect("the log is writable");
        let mut child = self.watched(log);
        let started = Instant::now();
        while !self.takes_connections() {
            let ended = child.try_wait().expect("the process can be waited for");
            assert!(
                ended.is_none() && started.elapsed() < PATIENCE,
                "PostgreSQL doesn't start: {}",
                self.end_of_log()
            );
            thread::sleep(Duration::from_millis(20));
        }
        *running = Some(child);
    }

    /// The server under a shell that reads its own standard input, a pipe from this process: at its end, however this
    /// process ends, the shell stops the server and removes the folder.
    fn watched(&self, log: File) -> Child {
        let data = self.data();
        self.programs
            .command_of(Path::new("/bin/sh"))
            .args(["-c", WATCH, "watch"])
            .arg(&data)
            .arg(self.programs.folder.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-p", &self.port.to_string()])
            .args(["-c", "listen_addresses=127.0.0.1"])
            .args(["-c", "unix_socket_directories="])
            .args(["-c", "max_connections=300"])
            .args(self.settings.iter().flat_map(|setting| ["-c", setting]))
            .args(["-c", "log_min_messages=warning"])
            .stdin(Stdio::piped())
            .stdout(log.try_clone().expect("the log can be shared"))
            .stderr(log)
            .spawn()
            .expect("PostgreSQL can be run")
    }

    /// Stops the server as an operator does: connections are closed, what is committed stays.
    ///
    /// # Panics
    ///
    /// If it isn't running, or doesn't end.
    pub fn stop(&self) {
        self.end("INT");
    }

    /// Ends the server as a crash does.
    ///
    /// # Panics
    ///
    /// As [`Cluster::stop`] does.
    pub fn kill(&self) {
        self.end("KILL");
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

    fn end(&self, signal: &str) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let mut child = running.take().expect("PostgreSQL is running");
        let pid_file = self.data().join("postmaster.pid");
        let text = fs::read_to_string(&pid_file).expect("PostgreSQL notes its process");
        let pid = text.lines().next().expect("the file has lines").to_owned();
        let output = Command::new("kill")
            .args(["-s", signal, &pid])
            .output()
            .expect("kill can be run");
        expect_success("kill", &output);
        let started = Instant::now();
        while child
            .try_wait()
            .expect("the process can be waited for")
            .is_none()
        {
            assert!(started.elapsed() < PATIENCE, "PostgreSQL doesn't end");
            thread::sleep(Duration::from_millis(10));
        }
        if signal == "KILL" {
            // Its children notice that it is gone, and the next one refuses to start before the last of them has ended.
            thread::sleep(Duration::from_millis(300));
            let _ = fs::remove_file(pid_file);
        }
    }

    /// A new and empty database.
    ///
    /// # Panics
    ///
    /// If it can't be made.
    #[must_use]
    pub fn database(&self) -> Database<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        Database {
            cluster: self,
            name,
        }
    }

    /// A new database that holds what another one holds, to which nobody may be connected.
    ///
    /// # Panics
    ///
    /// If it can't be made.
    #[must_use]
    pub fn database_like(&self, other: &Database<'_>) -> Database<'_> {
        let number = self.databases.fetch_add(1, Ordering::Relaxed);
        let name = format!("test_{number}");
        self.sql(
            "postgres",
            &format!("CREATE DATABASE {name} TEMPLATE {}", other.name),
        );
        Database {
            cluster: self,
            name,
        }
    }

    /// Runs SQL and gives its rows, one a line, with `|` between columns.
    ///
    /// # Panics
    ///
    /// If it fails.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = Command::new(self.programs.psql())
            .env("PGPASSWORD", PASSWORD)
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"])
            .args(["-h", "127.0.0.1", "-U", USER])
            .args(["-p", &self.port.to_string(), "-d", database, "-c", sql])
            .stdin(Stdio::null())
            .output()
            .expect("psql can be run");
        expect_success(sql, &output);
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    fn takes_connections(&self) -> bool {
        if TcpStream::connect_timeout(&self.address(), Duration::from_secs(1)).is_err() {
            return false;
        }
        Command::new(self.programs.psql())
            .env("PGPASSWORD", PASSWORD)
            .args(["-X", "-q", "-h", "127.0.0.1", "-U", USER])
            .args(["-p", &self.port.to_string(), "-d", "postgres", "-c", ""])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn end_of_log(&self) -> String {
        let mut text = String::new();
        if let Ok(mut file) = File::open(self.log()) {
            let length = file.metadata().map_or(0, |metadata| metadata.len());
            let _ = file.seek(SeekFrom::Start(length.saturating_sub(4_000)));
            let _ = file.read_to_string(&mut text);
        }
        text
    }
}

/// What runs the server, with its data folder before its command. The server is stopped at the end of standard input,
/// and the folder is removed then; a server that was stopped otherwise may be started again.
const WATCH: &str = r#"
data=$1
shift
exec 3<&0
"$@" </dev/null 3<&- &
server=$!
( while read -r _ <&3; do :; done; touch "$data/over"; kill -INT $server ) &
reader=$!
exec 3<&-
wait $server
if [ -e "$data/over" ]; then rm -rf "${data%/data}"; else kill $reader; fi
"#;

impl Drop for Cluster {
    fn drop(&mut self) {
        let running = self
            .running
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(mut child) = running {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

impl Database<'_> {
    /// Where a program finds it, with user and password.
    #[must_use]
    pub fn url(&self) -> String {
        format!(
            "postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{}",
            self.cluster.port, self.name
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
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        // A test that killed the server has no database to remove any more.
        if self.cluster.takes_connections() {
            self.cluster.sql(
                "postgres",
                &format!("DROP DATABASE {} WITH (FORCE)", self.name),
            );
        }
    }
}

/// Where PostgreSQL's programs are, and as whom they run.
#[derive(Debug)]
struct Programs {
    folder: PathBuf,
    /// For whoever is root, whom PostgreSQL refuses to run for.
    user: Option<&'static str>,
}

impl Programs {
    fn find() -> Programs {
        let user = is_root().then(|| {
            let exists = |user: &&str| {
                Command::new("id")
                    .arg(user)
                    .output()
                    .is_ok_and(|output| output.status.success())
            };
            ["postgres", "nobody"]
                .into_iter()
                .find(exists)
                .expect("there is a user to run PostgreSQL as")
        });
        let folder = candidates()
            .into_iter()
            .find(|folder| {
                folder.join("initdb").exists() && version(folder).is_some_and(|found| found >= OLDEST)
            })
            .unwrap_or_else(|| {
                panic!(
                    "there is no PostgreSQL {OLDEST} or newer; install it (on Debian: apt-get install postgresql), or \
                     name the folder of its programs in LAYER_TEST_POSTGRES_BIN"
                )
            });
        Programs { folder, user }
    }

    /// A program of PostgreSQL, as the user that may run it.
    fn command(&self, name: &str) -> Command {
        self.command_of(&self.folder.join(name))
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = match self.user {
            Some(user) => {
                let mut command = Command::new("setpriv");
                command
                    .args(["--reuid", user, "--regid", user, "--clear-groups", "--"])
                    .arg(program);
                command
            }
            None => Command::new(program),
        };
        // The folder that the tests run in may be closed to that user.
        command.current_dir("/").stdin(Stdio::null());
        command
    }

    fn psql(&self) -> PathBuf {
        let own = self.folder.join("psql");
        if own.exists() { own } else { "psql".into() }
    }

    /// Gives a folder to the user that the programs run as.
    fn own(&self, folder: &Path) {
        if let Some(user) = self.user {
            let output = Command::new("chown")
                .args(["-R", user])
                .arg(folder)
                .output()
                .expect("chown can be run");
            expect_success("chown", &output);
        }
    }
}

fn candidates() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = std::env::var_os("LAYER_TEST_POSTGRES_BIN")
        .map(PathBuf::from)
        .into_iter()
        .collect();
    let path = std::env::var_os("PATH").unwrap_or_default();
    for folder in std::env::split_paths(&path) {
        // A link in the path leads to where the other programs are.
        if let Ok(program) = fs::canonicalize(folder.join("initdb"))
            && let Some(folder) = program.parent()
        {
            folders.push(folder.to_owned());
        }
    }
    let mut packaged: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin"))
        .collect();
    packaged.sort();
    folders.extend(packaged.into_iter().rev());
    folders
}

fn version(folder: &Path) -> Option<u32> {
    let output = Command::new(folder.join("postgres"))
        .arg("--version")
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let number = text.split_whitespace().nth(2)?;
    number.split('.').next()?.parse().ok()
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

fn free_port() -> u16 {
    let listener =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port of this machine is free");
    listener
        .local_addr()
        .expect("a bound socket has an address")
        .port()
}

fn expect_success(what: &str, output: &Output) {
    assert!(
        output.status.success(),
        "{what}: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
