//! Whether the books of a database are in order, asked of the file itself and not of the server that writes it.

use std::path::Path;

use crate::process::command;

/// Checks the database of a server, which may be running, with `layer-payments ledger check`.
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
        "the books aren't in order:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
