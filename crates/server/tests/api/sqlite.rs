//! What only SQLite has: a file.

use std::error::Error as _;
use std::path::Path;

use layer_payments_server::{Database, Server};

use crate::harness::{TestServer, config, payment};

async fn file(path: &Path) -> TestServer {
    TestServer::start(config(Database::File(path.to_owned()))).await
}

#[tokio::test]
async fn sqlite_has_acknowledged_payments_in_the_file_before_the_server_ends() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("payments.db");
    let server = file(&path).await;
    server.record(&payment("p1")).await.ok();
    // A copy of the file and its log at this moment is what a crash would leave.
    let crashed = directory.path().join("crashed.db");
    for suffix in ["", "-wal"] {
        let name = |base: &std::path::Path| format!("{}{suffix}", base.display());
        std::fs::copy(name(&path), name(&crashed)).unwrap();
    }
    let recovered = file(&crashed).await;
    assert_eq!(recovered.listed("").await, ["p1"]);
}

#[tokio::test]
async fn sqlite_refuses_a_file_that_is_no_database_of_ours_with_the_reason() {
    let directory = tempfile::tempdir().unwrap();
    let text = directory.path().join("notes.txt");
    std::fs::write(
        &text,
        "not a database, but long enough to look at ".repeat(100),
    )
    .unwrap();
    let missing = directory.path().join("no-such-folder").join("payments.db");
    for path in [&text, &missing] {
        let error = Server::bind(
            config(Database::File(path.clone())),
            "127.0.0.1:0".parse().unwrap(),
        )
        .await
        .unwrap_err();
        assert!(
            error.to_string().contains(&path.display().to_string()),
            "{error}"
        );
        assert!(error.source().is_some());
    }
    assert!(
        std::fs::read_to_string(&text)
            .unwrap()
            .starts_with("not a database")
    );
}
