//! Whether the books in a database are in order, asked of the database itself and not of the server that writes it.

use crate::engine::Database;
use crate::process::{command, with_database};

/// Checks the books of a server, which may be running, with the program's own `ledger check`.
///
/// # Panics
///
/// With what is wrong, if something is.
pub fn check(database: &Database) {
    let mut command = command(&["ledger", "check"]);
    let output = with_database(&mut command, "--local", database)
        .output()
        .expect("the program can be run");
    assert!(
        output.status.success(),
        "the books in {database} aren't in order:\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}
