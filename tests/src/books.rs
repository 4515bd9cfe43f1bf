//! Whether a database is in order, asked of the file itself and not of the server that writes it.

use std::path::Path;

use rusqlite::{Connection, OpenFlags};

/// Checks the database of a server, which may be running.
///
/// This is the one place where tests do so. A command of the program that checks the books belongs here, once there is
/// one.
///
/// # Panics
///
/// With what is wrong, if something is.
pub fn check(database: &Path) {
    let faults = faults(database).unwrap_or_else(|e| panic!("{}: {e}", database.display()));
    assert!(
        faults.is_empty(),
        "the database isn't in order:\n{}",
        faults.join("\n")
    );
}

/// What has to find nothing, and what it is called if it does.
const QUERIES: [(&str, &str); 4] = [
    (
        "SQLite finds the file damaged",
        "SELECT * FROM pragma_integrity_check WHERE integrity_check <> 'ok'",
    ),
    (
        "a row refers to nothing",
        "SELECT \"table\" || ' ' || rowid FROM pragma_foreign_key_check",
    ),
    (
        "a payment is shown otherwise than it is kept",
        "SELECT external_id FROM payments WHERE amount IS NOT json_extract(document, '$.amount')
             OR fee IS NOT json_extract(document, '$.fee') OR memo IS NOT json_extract(document, '$.memo')
             OR external_id IS NOT json_extract(document, '$.external_id')",
    ),
    (
        "an external id is there twice",
        "SELECT external_id FROM payments WHERE external_id IS NOT NULL
             GROUP BY business_id, external_id HAVING count(*) > 1",
    ),
];

fn faults(database: &Path) -> rusqlite::Result<Vec<String>> {
    let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut faults = Vec::new();
    for (name, query) in QUERIES {
        let mut statement = connection.prepare(query)?;
        let found = statement.query_map([], |row| row.get::<_, Option<String>>(0))?;
        for what in found {
            faults.push(format!("{name}: {}", what?.unwrap_or_default()));
        }
    }
    Ok(faults)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_is_found() {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let path = folder.path().join("payments.db");
        let connection = Connection::open(&path).expect("a database can be made");
        connection
            .execute_batch(
                r#"CREATE TABLE businesses (id INTEGER PRIMARY KEY);
                CREATE TABLE payments (business_id INTEGER REFERENCES businesses (id), external_id TEXT, amount INTEGER,
                    fee INTEGER, memo TEXT, document TEXT);
                INSERT INTO businesses VALUES (1);
                INSERT INTO payments VALUES (1, 'a', 1, 0, NULL, '{"external_id":"a","amount":1,"fee":0,"memo":null}');"#,
            )
            .expect("the statements are right");
        assert_eq!(faults(&path).expect("readable"), [""; 0]);
        connection
            .execute_batch(
                r#"PRAGMA foreign_keys = OFF;
                INSERT INTO payments VALUES (1, 'a', 1, 0, NULL, '{"external_id":"a","amount":2,"fee":0,"memo":null}'),
                    (7, 'b', 1, 0, 'x', '{"external_id":"b","amount":1,"fee":0,"memo":"x"}');"#,
            )
            .expect("the statements are right");
        assert_eq!(
            faults(&path).expect("readable"),
            [
                "a row refers to nothing: payments 3",
                "a payment is shown otherwise than it is kept: a",
                "an external id is there twice: a"
            ]
        );
    }
}
