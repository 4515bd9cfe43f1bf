//! Whether the books in a database are in order, asked of the file itself and not of the server that writes it.

use std::path::Path;

use crate::process::command;

/// Checks the books of a server, which may be running, with the program's own `ledger check`.
///
/// # Panics
///
/// With what is wrong, if something is.
pub fn check(database: &Path) {
    let output = command(&["ledger", "check", "--local"])
        .arg(database)
        .output()
        .expect("the program can be run");
    assert!(
        output.status.success(),
        "the books in {} aren't in order:\n{}{}",
        database.display(),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
