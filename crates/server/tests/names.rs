//! Names of database files that SQLite could take for something else. The names are relative, so the test changes the
//! directory of its process, which it therefore has to itself.

use layer_payments_server::{Config, Database, Server, Token};

#[tokio::test]
async fn a_relative_name_is_the_name_of_a_file_whatever_it_looks_like() {
    let directory = tempfile::tempdir().unwrap();
    std::env::set_current_dir(directory.path()).unwrap();
    let names = [
        "file:uri.db",
        "file:uri.db?mode=memory",
        "file:///uri.db",
        "a?b.db",
        "a%20b#c.db",
    ];
    for name in names {
        if let Some(parent) = std::path::Path::new(name).parent() {
            std::fs::create_dir_all(parent).unwrap();
        }
        let config = Config::new(Database::File(name.into()), Token::new("token").unwrap())
            .business("738ec216-e8e5-48f2-b7f2-cdc89c96b3d4".parse().unwrap());
        let server = Server::bind(config, "127.0.0.1:0".parse().unwrap())
            .await
            .unwrap();
        let payments = format!(
            "http://{}/v1/businesses/738ec216-e8e5-48f2-b7f2-cdc89c96b3d4/invoices/payments",
            server.local_addr()
        );
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server.run(async {
            let _ = stopped.await;
        }));
        let client = reqwest::Client::new();
        let written = client
            .post(&payments)
            .bearer_auth("token")
            .json(&serde_json::json!({
                "external_id": name,
                "paid_at": "2024-02-27T02:22:55Z",
                "method": "CASH",
                "amount": 1,
                "invoice_payments": [],
            }))
            .send()
            .await
            .unwrap();
        assert_eq!(written.status(), 201, "{name}");
        // The connections that read open the same file as the one that writes.
        let read: serde_json::Value = client
            .get(&payments)
            .bearer_auth("token")
            .send()
            .await
            .unwrap()
            .json()
            .await
            .unwrap();
        assert_eq!(read["data"][0]["external_id"], name);
        assert_eq!(read["data"].as_array().unwrap().len(), 1, "{name}");
        drop(stop);
        running.await.unwrap().unwrap();
        assert!(
            directory.path().join(name).metadata().unwrap().len() > 0,
            "{name}"
        );
    }
}
