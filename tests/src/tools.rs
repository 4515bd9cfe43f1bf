//! Tools of other languages that tests need, each set in a folder of its own below `target/tools`.
//!
//! A set is installed once for each list of pinned versions. A machine where that isn't possible fails the test.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use crate::root;

/// The folder of the programs that the packages of a `requirements.txt` have, in a Python environment of their own.
///
/// # Panics
///
/// When there is no Python with venv, or a package can't be had.
#[must_use]
pub fn python(name: &str, requirements: &Path) -> PathBuf {
    let folder = installed(name, requirements, |folder| {
        run(Command::new("python3").args(["-m", "venv"]).arg(folder));
        run(Command::new(folder.join("bin/python"))
            .args(["-m", "pip", "install", "--quiet", "--no-deps"])
            .args(["--disable-pip-version-check", "--requirement"])
            .arg(requirements));
    });
    folder.join("bin")
}

/// A folder of tools, filled by `install` unless that was done for the same list of versions.
///
/// # Panics
///
/// When the list can't be read, the folder can't be written, or `install` does.
pub fn installed(name: &str, versions: &Path, install: impl Fn(&Path)) -> PathBuf {
    let wanted = fs::read_to_string(versions).expect("the list of versions is readable");
    let folder = root().join("target/tools").join(name);
    fs::create_dir_all(&folder).expect("the folder of tools can be made");
    // Tests that run at the same time may need the same tools. The lock ends with the function or the process.
    let lock = File::create(folder.with_extension("lock")).expect("the folder above is writable");
    lock.lock().expect("a file of one's own can be locked");
    // Written last, so that an installation that was interrupted is begun again.
    let complete = folder.join("installed.txt");
    if fs::read_to_string(&complete).is_ok_and(|installed| installed == wanted) {
        return folder;
    }
    println!("installing into {}", folder.display());
    let started = Instant::now();
    fs::remove_dir_all(&folder).expect("an older installation can be removed");
    fs::create_dir_all(&folder).expect("the folder of tools can be made");
    install(&folder);
    fs::write(&complete, wanted).expect("the folder of tools is writable");
    println!("installed in {} s", started.elapsed().as_secs());
    folder
}

/// Runs a command that has to succeed, and gives what it printed. One that fails is shown with all that it said.
///
/// # Panics
///
/// When it can't be run, or fails.
#[track_caller]
pub fn run(command: &mut Command) -> String {
    let program = Path::new(command.get_program()).display().to_string();
    let output = command.output().unwrap_or_else(|e| {
        panic!(
            "{program} can't be run: {e}; the tests need Python 3.11 or newer with venv, Node 20 or newer with npm, \
             and a JDK of version 17 or newer"
        )
    });
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{command:?} failed ({}):\n{said}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    said
}
