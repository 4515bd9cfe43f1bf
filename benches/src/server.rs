//! The program under test, in a process of its own, so that its memory is its own and the load's work is not.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};

use crate::http::{BUSINESS, TOKEN};

/// A running `layer-payments serve`, which ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// The longest that a server may take to start.
const START: Duration = Duration::from_secs(60);

/// What a process takes of the machine's memory, in MiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now: f64,
    pub(crate) most: f64,
}

impl Server {
    /// Starts the program with this database. Its log, a line for each request as always, goes to a file beside it.
    pub(crate) fn start(program: &Path, database: &Path) -> anyhow::Result<Server> {
        Server::start_on(
            program,
            database.as_os_str(),
            &database.with_extension("log"),
        )
    }

    /// Starts the program with a database that `serve --db` takes.
    pub(crate) fn start_on(program: &Path, database: &OsStr, log: &Path) -> anyhow::Result<Server> {
        let messages = File::create(log).with_context(|| format!("creating {}", log.display()))?;
        let child = Command::new(program)
            .args(["serve", "--listen", "127.0.0.1:0", "--token", TOKEN])
            .args(["--business", BUSINESS, "--migrate", "--db"])
            .arg(database)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(messages)
            .spawn()
            .with_context(|| format!("starting {}", program.display()))?;
        let mut server = Server {
            child,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        let started = Instant::now();
        loop {
            let told = fs::read_to_string(log)?;
            let address = told
                .lines()
                .find_map(|line| line.strip_prefix("listening on http://"));
            // Else the line may not be whole yet.
            if let Some(address) = address
                && told.ends_with('\n')
            {
                server.address = address.parse().context("the server's address")?;
                return Ok(server);
            }
            if server.child.try_wait()?.is_some() || started.elapsed() > START {
                bail!("the server didn't start:\n{told}");
            }
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// What the process takes.
    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        let path = format!("/proc/{}/status", self.child.id());
        let status = fs::read_to_string(&path)
            .with_context(|| format!("reading {path}; memory is measured on Linux only"))?;
        let value = |name: &str| {
            status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .and_then(|value| value.trim().strip_suffix("kB")?.trim().parse::<f64>().ok())
                .map(|kib| kib / 1024.0)
                .with_context(|| format!("{path} has no {name}"))
        };
        Ok(Memory {
            now: value("VmRSS")?,
            most: value("VmHWM")?,
        })
    }

    /// Ends the program the way that an operator does, which leaves the database in one file.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        let told = Command::new("kill")
            .arg(self.child.id().to_string())
            .status()
            .context("telling the server to end")?;
        ensure!(told.success(), "the server can't be told to end");
        let status = self.child.wait()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // After `stop` there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A place for a database of which nothing is left from a run before.
pub(crate) fn fresh(folder: &Path, name: &str) -> anyhow::Result<PathBuf> {
    fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
    let path = folder.join(name);
    for suffix in ["", "-wal", "-shm"] {
        let mut file = path.clone().into_os_string();
        file.push(suffix);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("removing {}", path.display()));
            }
            _ => {}
        }
    }
    Ok(path)
}
