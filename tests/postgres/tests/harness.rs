//! What tests rely on when they start a PostgreSQL.

use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use layer_payments_test_postgres::{Authority, Cluster, Cut, Proxy, shared};
use tokio_postgres::{Client, NoTls};

/// How long something may take that happens at once unless the machine is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long something is watched that must not happen.
const WATCHED: Duration = Duration::from_millis(300);

async fn connect(url: &str) -> Client {
    try_connect(url).await.unwrap()
}

async fn try_connect(url: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    // Its end shows in what the client is answered.
    tokio::spawn(connection);
    Ok(client)
}

fn becomes(what: &str, is_so: impl Fn() -> bool) {
    let started = Instant::now();
    while !is_so() {
        assert!(started.elapsed() < PATIENCE, "it takes too long: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn databases_are_separate_and_gone_after_drop() {
    let cluster = shared();
    let (one, other) = (cluster.database(), cluster.database());
    one.sql("CREATE TABLE t AS SELECT 1 AS n");
    other.sql("CREATE TABLE t AS SELECT 2 AS n");
    assert_eq!(one.sql("SELECT n FROM t"), "1");
    assert_eq!(other.sql("SELECT n, n + 1 FROM t"), "2|3");
    let copy = cluster.database_like(&one);
    assert_eq!(copy.sql("SELECT n FROM t"), "1");

    let name = one.name().to_owned();
    let named = format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'");
    assert_eq!(other.sql(&named), "1");
    drop(one);
    assert_eq!(other.sql(&named), "0");
}

#[tokio::test]
async fn a_database_is_dropped_under_its_clients() {
    let database = shared().database();
    let client = connect(&database.url()).await;
    drop(database);
    assert!(client.simple_query("SELECT 1").await.is_err());
}

#[test]
fn a_server_is_set_up_as_the_tests_need_it() {
    let database = shared().database();
    for (setting, value) in [
        ("max_connections", "300"),
        ("listen_addresses", "127.0.0.1"),
        ("unix_socket_directories", ""),
        ("fsync", "off"),
        // A kill may tear a page.
        ("full_page_writes", "on"),
        ("synchronous_commit", "on"),
        ("server_encoding", "UTF8"),
        ("password_encryption", "scram-sha-256"),
    ] {
        assert_eq!(database.sql(&format!("SHOW {setting}")), value, "{setting}");
    }
    assert_eq!(
        database.sql("SELECT datcollate FROM pg_database WHERE datname = current_database()"),
        "C"
    );
}

#[tokio::test]
async fn nobody_gets_in_without_the_password_which_is_never_shown() {
    let database = shared().database();
    let url = database.url();
    let password = url.split([':', '@']).nth(2).unwrap();
    assert_eq!(password.len(), 32, "it is long enough to be no guess");
    let wrong = url.replace(password, "wrong");
    let error = try_connect(&wrong).await.err().unwrap();
    assert_eq!(
        error.code().unwrap(),
        &tokio_postgres::error::SqlState::INVALID_PASSWORD
    );
    let proxy = Proxy::start(shared());
    let shown = format!("{:?} {database:?} {proxy:?}", shared());
    assert!(!shown.contains(password), "{shown}");
}

#[test]
fn what_fails_tells_why() {
    let database = shared().database();
    let failed = catch_unwind(|| database.sql("SELECT 1 FROM nothing"));
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(
        message.contains("SELECT 1 FROM nothing")
            && message.contains(r#"relation "nothing" does not exist"#),
        "{message}"
    );
}

#[tokio::test]
async fn a_restart_keeps_the_data_and_ends_connections() {
    let cluster = Cluster::start();
    let database = cluster.database();
    database.sql("CREATE TABLE t AS SELECT 1 AS n");
    let client = connect(&database.url()).await;
    let address = cluster.address();
    cluster.restart();
    assert_eq!(cluster.address(), address);
    assert!(client.simple_query("SELECT 1").await.is_err());
    assert_eq!(database.sql("SELECT n FROM t"), "1");

    cluster.stop();
    assert!(TcpStream::connect(address).is_err());
    cluster.start_again();
    assert_eq!(database.sql("SELECT n FROM t"), "1");
}

#[tokio::test]
async fn a_killed_server_keeps_what_is_committed_and_nothing_else() {
    let cluster = Cluster::start();
    let database = cluster.database();
    database.sql("CREATE TABLE t (n int)");
    let data = PathBuf::from(database.sql("SHOW data_directory"));
    for round in 1..=3 {
        let client = connect(&database.url()).await;
        let other = connect(&database.url()).await;
        client
            .batch_execute(&format!("INSERT INTO t VALUES ({round})"))
            .await
            .unwrap();
        other
            .batch_execute("BEGIN; INSERT INTO t VALUES (0)")
            .await
            .unwrap();
        cluster.kill();
        assert!(TcpStream::connect(cluster.address()).is_err());
        assert!(client.simple_query("SELECT 1").await.is_err());
        // A server that ends in order removes this.
        assert!(data.join("postmaster.pid").exists());
        cluster.start_again();
        let kept = database.sql("SELECT count(*), min(n), max(n) FROM t");
        assert_eq!(kept, format!("{round}|1|{round}"));
    }
}

#[test]
fn a_port_that_somebody_else_has_for_a_while_is_waited_for() {
    let cluster = Cluster::start();
    cluster.stop();
    let somebody = TcpListener::bind(cluster.address()).unwrap();
    thread::scope(|scope| {
        let started = scope.spawn(|| cluster.start_again());
        thread::sleep(WATCHED);
        assert!(!started.is_finished());
        drop(somebody);
    });
    assert_eq!(cluster.sql("postgres", "SELECT 1"), "1");
}

#[test]
fn a_server_that_does_not_start_shows_its_log() {
    let cluster = Cluster::start();
    let settings = PathBuf::from(cluster.sql("postgres", "SHOW config_file"));
    cluster.stop();
    std::fs::write(settings, "no_such_setting = 1\n").unwrap();
    let failed = catch_unwind(AssertUnwindSafe(|| cluster.start_again())).unwrap_err();
    let message = *failed.downcast::<String>().unwrap();
    assert!(message.contains("no_such_setting"), "{message}");
}

/// A process of its own that has a cluster.
struct Owner {
    child: Child,
    port: u16,
    folder: PathBuf,
    server: u32,
}

impl Owner {
    async fn start() -> Owner {
        let mut child = Command::new(env!("CARGO_BIN_EXE_test-postgres"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut url = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut url).unwrap();
        let url = url.trim();
        let port = url.rsplit([':', '/']).nth(1).unwrap().parse().unwrap();
        let client = connect(url).await;
        let row = client.query_one("SHOW data_directory", &[]).await.unwrap();
        let data = PathBuf::from(row.get::<_, String>(0));
        let state = std::fs::read_to_string(data.join("postmaster.pid")).unwrap();
        let owner = Owner {
            child,
            port,
            folder: data.parent().unwrap().to_owned(),
            server: state.lines().next().unwrap().parse().unwrap(),
        };
        assert!(owner.is_there() && runs(owner.server));
        owner
    }

    fn is_there(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok() || self.folder.exists()
    }

    fn leaves_nothing(&self) {
        becomes("the server ends and its folder goes", || {
            !self.is_there() && !runs(self.server)
        });
    }
}

/// Whether a process is there that hasn't ended.
fn runs(pid: u32) -> bool {
    if Path::new("/proc/self/stat").exists() {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        return stat
            .rsplit(')')
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'));
    }
    Command::new("ps")
        .args(["-p", &pid.to_string()])
        .stdout(Stdio::null())
        .status()
        .unwrap()
        .success()
}

#[tokio::test]
async fn a_server_ends_with_its_owner_even_if_that_is_killed() {
    let mut owner = Owner::start().await;
    owner.child.kill().unwrap();
    owner.child.wait().unwrap();
    owner.leaves_nothing();
}

#[tokio::test]
async fn a_server_ends_with_its_owner_that_ends_in_order() {
    let mut owner = Owner::start().await;
    drop(owner.child.stdin.take());
    assert!(owner.child.wait().unwrap().success());
    // At its end everything is gone already.
    assert!(!owner.is_there() && !runs(owner.server));
}

#[test]
fn a_cluster_that_is_dropped_leaves_nothing_whether_its_server_runs_or_not() {
    for end in [Cluster::stop, Cluster::kill, |_: &Cluster| ()] {
        let cluster = Cluster::start();
        let data = PathBuf::from(cluster.sql("postgres", "SHOW data_directory"));
        let folder = data.parent().unwrap();
        assert!(folder.exists());
        end(&cluster);
        let address = cluster.address();
        drop(cluster);
        assert!(!folder.exists());
        assert!(TcpStream::connect(address).is_err());
    }
}

#[tokio::test]
async fn a_server_with_tls_refuses_plain_connections() {
    let cluster = Cluster::start();
    let (authority, other) = (Authority::new(), Authority::new());
    let certificate = authority.certify("server", "IP:127.0.0.1,DNS:localhost", 30);
    cluster.speak_tls(&certificate, &authority);
    cluster.admit("hostnossl all all all reject");
    let database = cluster.database();
    assert_eq!(
        database.sql("SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"),
        "t|TLSv1.3"
    );
    let error = try_connect(&database.url()).await.err().unwrap();
    let told = error.as_db_error().unwrap().message();
    assert!(told.ends_with("no encryption"), "{told}");

    let with = |authority: &Authority| {
        let mut psql = database.psql();
        psql.env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", authority.certificate())
            .args(["-c", "SELECT 1"]);
        psql.output().unwrap()
    };
    assert!(with(&authority).status.success());
    let refused = with(&other);
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(
        !refused.status.success() && told.contains("certificate verify failed"),
        "{told}"
    );
}

#[test]
fn a_server_without_tls_refuses_who_demands_it() {
    let output = shared()
        .database()
        .psql()
        .env("PGSSLMODE", "require")
        .args(["-c", "SELECT 1"])
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && told.to_lowercase().contains("ssl"),
        "{told}"
    );
}

/// How a client says COMMIT.
#[derive(Clone, Copy, Debug)]
enum Commit {
    /// As a text.
    Simple,
    /// As the last of several statements in a text.
    Together,
    /// Parsed, bound and executed.
    Extended,
    /// Prepared before, in another transaction.
    Prepared,
    /// By the driver's own transaction.
    Transaction,
}

const COMMITS: [Commit; 5] = [
    Commit::Simple,
    Commit::Together,
    Commit::Extended,
    Commit::Prepared,
    Commit::Transaction,
];

/// Inserts a number and commits it.
async fn insert(
    client: &mut Client,
    number: i32,
    commit: Commit,
) -> Result<(), tokio_postgres::Error> {
    let insert = format!("INSERT INTO t VALUES ({number})");
    match commit {
        Commit::Together => {
            let text = format!("BEGIN; {insert}; COMMIT");
            return client.batch_execute(&text).await;
        }
        Commit::Transaction => {
            let transaction = client.transaction().await?;
            transaction.execute(&insert, &[]).await?;
            return transaction.commit().await;
        }
        Commit::Simple | Commit::Extended | Commit::Prepared => {}
    }
    let prepared = client.prepare("COMMIT").await?;
    client.batch_execute("BEGIN").await?;
    client.execute(&insert, &[]).await?;
    match commit {
        Commit::Simple => client.batch_execute("COMMIT").await,
        Commit::Extended => client.execute("COMMIT", &[]).await.map(drop),
        _ => client.execute(&prepared, &[]).await.map(drop),
    }
}

#[tokio::test]
async fn a_connection_is_cut_before_its_commit_and_nothing_is_written() {
    let database = shared().database();
    database.sql("CREATE TABLE t (n int)");
    let proxy = Proxy::start(shared());
    for (number, commit) in COMMITS.into_iter().enumerate() {
        let mut client = connect(&proxy.url(&database)).await;
        insert(&mut client, 100, commit).await.unwrap();
        proxy.cut_next(Cut::BeforeCommit);
        let error = insert(&mut client, 1, commit).await.unwrap_err();
        assert!(error.is_closed(), "{commit:?}: {error:?}");
        assert_eq!(proxy.cuts(), number + 1);
        // The server notices, and nobody holds anything any more.
        database.sql("BEGIN; SET LOCAL lock_timeout = '60s'; LOCK TABLE t; COMMIT");
    }
    assert_eq!(database.sql("SELECT DISTINCT n FROM t"), "100");
}

#[tokio::test]
async fn a_connection_is_cut_after_its_commit_and_all_is_written() {
    let database = shared().database();
    database.sql("CREATE TABLE t (n int)");
    let proxy = Proxy::start(shared());
    for (number, commit) in COMMITS.into_iter().enumerate() {
        let mut client = connect(&proxy.url(&database)).await;
        proxy.cut_next(Cut::AfterCommit);
        let error = insert(&mut client, number as i32, commit)
            .await
            .unwrap_err();
        assert!(error.is_closed(), "{commit:?}: {error:?}");
        assert_eq!(proxy.cuts(), number + 1);
        // At once, with no wait.
        let there = format!("SELECT count(*) FROM t WHERE n = {number}");
        assert_eq!(database.sql(&there), "1", "{commit:?}");
    }
}

#[tokio::test]
async fn only_one_connection_is_cut_for_each_cut_asked_for() {
    let database = shared().database();
    database.sql("CREATE TABLE t (n int)");
    let proxy = Proxy::start(shared());
    let mut bystander = connect(&proxy.url(&database)).await;
    proxy.cut_next(Cut::AfterCommit);
    proxy.cut_next(Cut::BeforeCommit);
    let mut lost = 0;
    for number in 0..4 {
        let client = connect(&proxy.url(&database)).await;
        // What is rolled back cuts nothing after COMMIT.
        client
            .batch_execute("BEGIN; INSERT INTO t VALUES (100)")
            .await
            .unwrap();
        client.batch_execute("SELECT 1/0").await.unwrap_err();
        if number == 0 {
            client.batch_execute("COMMIT").await.unwrap();
        }
        drop(client);
        let mut client = connect(&proxy.url(&database)).await;
        lost += usize::from(insert(&mut client, number, Commit::Simple).await.is_err());
    }
    assert_eq!((lost, proxy.cuts()), (2, 2));
    insert(&mut bystander, 9, Commit::Simple).await.unwrap();
    assert_eq!(
        database.sql("SELECT string_agg(n::text, ' ' ORDER BY n) FROM t"),
        "0 2 3 9"
    );
}

#[tokio::test]
async fn a_proxy_refuses_new_connections_until_it_goes_on() {
    let database = shared().database();
    let proxy = Proxy::start(shared());
    let client = connect(&proxy.url(&database)).await;
    proxy.refuse();
    let error = TcpStream::connect(proxy.address()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused);
    assert!(try_connect(&proxy.url(&database)).await.is_err());
    client.simple_query("SELECT 1").await.unwrap();
    proxy.go_on();
    connect(&proxy.url(&database)).await;
    client.simple_query("SELECT 1").await.unwrap();
}

#[tokio::test]
async fn a_proxy_that_is_stalled_answers_when_it_goes_on() {
    let database = shared().database();
    let proxy = Proxy::start(shared());
    let client = connect(&proxy.url(&database)).await;
    proxy.stall();
    let answer = client.query_one("SELECT 1", &[]);
    tokio::pin!(answer);
    assert!(tokio::time::timeout(WATCHED, &mut answer).await.is_err());
    let url = proxy.url(&database);
    let newcomer = connect(&url);
    tokio::pin!(newcomer);
    assert!(tokio::time::timeout(WATCHED, &mut newcomer).await.is_err());
    proxy.go_on();
    assert_eq!(answer.await.unwrap().get::<_, i32>(0), 1);
    newcomer.await.simple_query("SELECT 1").await.unwrap();

    // One that is stalled can be dropped, and ends its connections.
    proxy.stall();
    drop(proxy);
    assert!(client.simple_query("SELECT 1").await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_passes_on_large_messages_a_cancellation_and_a_wish_for_tls() {
    let database = shared().database();
    let proxy = Proxy::start(shared());
    let client = connect(&proxy.url(&database)).await;
    let text = "x".repeat(20 << 20);
    let row = client.query_one("SELECT $1 || 'y'", &[&text]).await;
    assert_eq!(row.unwrap().get::<_, String>(0).len(), text.len() + 1);

    let token = client.cancel_token();
    let slow = client.batch_execute("SELECT pg_sleep(600)");
    let cancel = async {
        // A cancellation that comes before the statement cancels nothing.
        becomes("the statement runs", || {
            database.sql("SELECT count(*) FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(600)' AND state = 'active'")
                == "1"
        });
        token.cancel_query(NoTls).await
    };
    let (slow, cancelled) = tokio::join!(slow, cancel);
    cancelled.unwrap();
    let code = slow.unwrap_err().code().cloned();
    assert_eq!(code, Some(tokio_postgres::error::SqlState::QUERY_CANCELED));

    // Whoever would like TLS goes on without it.
    let mut psql = database.psql();
    psql.env("PGSSLMODE", "prefer")
        .args(["-p", &proxy.address().port().to_string()])
        .args(["-c", "SELECT 1"]);
    assert_eq!(psql.output().unwrap().stdout, b"1\n");
}

#[tokio::test]
async fn a_proxy_stays_when_its_cluster_is_killed_and_started_again() {
    let cluster = Cluster::start();
    let database = cluster.database();
    let proxy = Proxy::start(&cluster);
    let url = proxy.url(&database);
    let client = connect(&url).await;
    cluster.kill();
    assert!(client.simple_query("SELECT 1").await.is_err());
    assert!(try_connect(&url).await.is_err());
    cluster.start_again();
    connect(&url).await.simple_query("SELECT 1").await.unwrap();
}
