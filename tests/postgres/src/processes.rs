//! Signals to processes, and who is whose child.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::PATIENCE;
use crate::programs::expect_success;

/// Sends a signal to processes.
///
/// # Panics
///
/// If one of them is gone.
pub(crate) fn signal(signal: &str, pids: &[u32]) {
    let output = Command::new("/bin/sh")
        .args(["-c", r#"kill -s "$0" "$@""#, signal])
        .args(pids.iter().map(u32::to_string))
        .output()
        .expect("sh can be run");
    expect_success("kill", &output);
}

/// Kills a process and its children, none of which gets to notice that another one is gone.
///
/// # Panics
///
/// If it doesn't come to that.
pub(crate) fn kill_family(parent: u32) {
    // One that is stopped has no more children, and doesn't see the end of those it has.
    signal("STOP", &[parent]);
    wait(|| {
        all()
            .iter()
            .any(|process| process.pid == parent && process.state == 'T')
    });
    let mut family: Vec<u32> = all()
        .iter()
        .filter(|process| process.parent == parent && process.state != 'Z')
        .map(|process| process.pid)
        .collect();
    family.push(parent);
    // One of the children may have been about to end, which is no failure.
    let _ = Command::new("/bin/sh")
        .args(["-c", r#"for pid; do kill -s KILL "$pid"; done"#, "kill"])
        .args(family.iter().map(u32::to_string))
        .output();
    let family = BTreeSet::from_iter(family);
    wait(|| {
        !all()
            .iter()
            .any(|process| family.contains(&process.pid) && process.state != 'Z')
    });
}

fn wait(mut until: impl FnMut() -> bool) {
    let started = Instant::now();
    while !until() {
        assert!(started.elapsed() < PATIENCE, "a process doesn't end");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A process of this machine.
struct Process {
    pid: u32,
    parent: u32,
    /// As `ps` shows it: `T` is stopped, `Z` has ended and nobody has asked for it yet.
    state: char,
}

fn all() -> Vec<Process> {
    if Path::new("/proc/self/stat").exists() {
        let entries = fs::read_dir("/proc").expect("/proc is readable");
        return entries
            .flatten()
            .filter_map(|entry| {
                let pid = entry.file_name().to_str()?.parse().ok()?;
                let text = fs::read_to_string(entry.path().join("stat")).ok()?;
                // The name before it is in parentheses and may hold anything.
                let mut fields = text[text.rfind(')')? + 1..].split_whitespace();
                let state = fields.next()?.chars().next()?;
                let parent = fields.next()?.parse().ok()?;
                Some(Process { pid, parent, state })
            })
            .collect();
    }
    let output = Command::new("ps")
        .args(["-A", "-o", "pid=,ppid=,stat="])
        .output()
        .expect("ps can be run");
    expect_success("ps", &output);
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            Some(Process {
                pid: fields.next()?.parse().ok()?,
                parent: fields.next()?.parse().ok()?,
                state: fields.next()?.chars().next()?,
            })
        })
        .collect()
}
