//! Connections to a real PostgreSQL, some of them through something that stands between.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use layer_payments_test_postgres::{Authority, Certificate, Cluster, Database, shared};
use tokio::net::{TcpListener, TcpStream};

use super::*;

fn pool(url: &str) -> Pool {
    pool_of(&Postgres::from_url(url).unwrap())
}

fn pool_of(postgres: &Postgres) -> Pool {
    Pool::new(postgres).unwrap()
}

/// What a query gives in its only column.
async fn ask(connection: &Connection, sql: &str) -> String {
    let rows = connection.simple_query(sql).await.unwrap();
    rows.into_iter()
        .find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => {
                Some(row.get(0).unwrap_or("").to_owned())
            }
            _ => None,
        })
        .unwrap()
}

/// Whether a connection is encrypted, or why there is none. The password is in no text.
async fn encrypted(url: &str) -> Result<bool, String> {
    let pool = match Pool::new(&Postgres::from_url(url).unwrap()) {
        Ok(pool) => pool,
        Err(error) => return Err(chain(&error)),
    };
    assert!(!format!("{pool:?}").contains("layer-test"), "{pool:?}");
    match pool.get().await {
        Ok(connection) => {
            let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
            Ok(ask(&connection, sql).await == "t")
        }
        Err(error) => {
            let debug = format!("{error:?}");
            assert!(!debug.contains("layer-test"), "{debug}");
            Err(chain(&error))
        }
    }
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    if let Some(source) = error.source() {
        text.push_str(": ");
        text.push_str(&chain(source));
    }
    assert!(!text.contains("layer-test"), "{text}");
    text
}

#[track_caller]
fn assert_refused(result: Result<bool, String>, expected: &str) {
    match result {
        Ok(encrypted) => panic!("there is a connection (encrypted: {encrypted}), not: {expected}"),
        Err(error) => assert!(error.contains(expected), "{error:?} isn't {expected:?}"),
    }
}

/// A server that speaks TLS as `localhost`, and its authority.
struct Encrypted {
    cluster: Cluster,
    authority: Authority,
    other: Authority,
    client: Certificate,
}

impl Encrypted {
    /// The one that tests share, of which nothing may be changed.
    fn shared() -> &'static Encrypted {
        static SHARED: OnceLock<Encrypted> = OnceLock::new();
        SHARED.get_or_init(|| {
            let authority = Authority::new();
            let cluster = Cluster::start();
            cluster.speak_tls(
                &authority.certify("server", "DNS:localhost", 30),
                &authority,
            );
            cluster.sql("postgres", "CREATE USER certified");
            cluster.admit("hostssl all certified all cert\nhostssl postgres certified all cert");
            Encrypted {
                cluster,
                client: authority.certify("certified", "DNS:certified", 30),
                other: Authority::new(),
                authority,
            }
        })
    }

    fn url(&self, host: &str, parameters: &str) -> String {
        let port = self.cluster.address().port();
        format!("postgres://layer:layer-test@{host}:{port}/postgres?{parameters}")
    }
}

fn root(path: &Path) -> String {
    format!("sslrootcert={}", path.display())
}

#[tokio::test]
async fn sslmode_says_what_the_server_has_to_prove() {
    let server = Encrypted::shared();
    let ours = root(&server.authority.certificate());
    let others = root(&server.other.certificate());
    let ask = |host: &'static str, parameters: String| {
        let url = server.url(host, &parameters);
        async move { encrypted(&url).await }
    };
    for (host, parameters, expected) in [
        ("localhost", String::new(), true),
        ("localhost", "sslmode=prefer".to_owned(), true),
        ("localhost", "sslmode=disable".to_owned(), false),
        ("127.0.0.1", "sslmode=require".to_owned(), true),
        ("localhost", format!("sslmode=verify-full&{ours}"), true),
        ("localhost", ours.clone(), true),
        // The certificate has another name.
        ("127.0.0.1", format!("sslmode=verify-ca&{ours}"), true),
        ("127.0.0.1", format!("sslmode=require&{ours}"), true),
        // The password is bound to the certificate.
        ("localhost", "channel_binding=require".to_owned(), true),
    ] {
        assert_eq!(
            ask(host, parameters.clone()).await,
            Ok(expected),
            "{host} {parameters}"
        );
    }
    let stranger = "the server's certificate isn't from an authority that is trusted; give its authority's certificate \
                    as sslrootcert";
    for (host, parameters, expected) in [
        (
            "127.0.0.1",
            format!("sslmode=verify-full&{ours}"),
            "certificate not valid for name \"127.0.0.1\"; certificate is only valid for DnsName(\"localhost\"); use a \
             name that the certificate has",
        ),
        (
            "localhost",
            format!("sslmode=verify-full&{others}"),
            stranger,
        ),
        ("localhost", format!("sslmode=verify-ca&{others}"), stranger),
        ("localhost", format!("sslmode=require&{others}"), stranger),
        (
            "localhost",
            "sslmode=disable&channel_binding=require".to_owned(),
            "the server doesn't bind the password to the channel",
        ),
    ] {
        assert_refused(ask(host, parameters).await, expected);
    }
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let server = Encrypted::shared();
    let port = server.cluster.address().port();
    let url = |identity: &str| {
        let root = root(&server.authority.certificate());
        format!("postgres://certified@localhost:{port}/postgres?{root}{identity}")
    };
    let certificate = format!("&sslcert={}", server.client.certificate.display());
    let key = format!("&sslkey={}", server.client.key.display());
    assert_eq!(
        encrypted(&url(&format!("{certificate}{key}"))).await,
        Ok(true)
    );
    assert_refused(
        encrypted(&url("")).await,
        "connection requires a valid client certificate (28000); check user and database",
    );
    // A key that isn't the certificate's.
    let other = format!(
        "&sslkey={}",
        server.authority.certify("other", "DNS:x", 1).key.display()
    );
    assert_refused(
        encrypted(&url(&format!("{certificate}{other}"))).await,
        "the URL's sslcert and sslkey can't be used together",
    );
}

#[tokio::test]
async fn files_that_are_not_what_they_should_be_are_named() {
    let server = Encrypted::shared();
    let missing = Path::new("/nowhere/ca.pem");
    let (certificate, key) = (&server.client.certificate, &server.client.key);
    for (parameters, expected) in [
        (
            root(missing),
            "the URL's sslrootcert, /nowhere/ca.pem, can't be read as PEM: ".to_owned(),
        ),
        (
            root(key),
            format!(
                "the URL's sslrootcert, {}, has no certificate in PEM",
                key.display()
            ),
        ),
        (
            format!("sslcert={0}&sslkey={0}", certificate.display()),
            format!(
                "the URL's sslkey, {}, has no private key without a passphrase in PEM",
                certificate.display()
            ),
        ),
        (
            format!("sslcert=/nowhere/c.pem&sslkey={}", key.display()),
            "the URL's sslcert, /nowhere/c.pem, can't be read as PEM: ".to_owned(),
        ),
    ] {
        assert_refused(
            encrypted(&server.url("localhost", &parameters)).await,
            &expected,
        );
    }
}

#[tokio::test]
async fn certificates_that_prove_nothing_are_refused() {
    let authority = Authority::new();
    let cluster = Cluster::start();
    let url = |parameters: &str| {
        let port = cluster.address().port();
        format!("postgres://layer:layer-test@localhost:{port}/postgres?{parameters}")
    };
    // The server doesn't speak TLS yet.
    assert_eq!(encrypted(&url("")).await, Ok(false));
    for parameters in ["sslmode=require", &root(&authority.certificate())] {
        assert_refused(
            encrypted(&url(parameters)).await,
            "the server doesn't speak TLS; turn it on there",
        );
    }

    let own = authority.certify_itself("own");
    cluster.speak_tls(&own, &authority);
    assert_eq!(encrypted(&url(&root(&own.certificate))).await, Ok(true));
    assert_refused(
        encrypted(&url(&root(&authority.certificate()))).await,
        "one that signed itself has to be in sslrootcert itself",
    );
    // Another one of the same name vouches for nothing.
    let another = Authority::new().certify_itself("own");
    assert!(encrypted(&url(&root(&another.certificate))).await.is_err());
    assert_refused(
        encrypted(&url(&root(&own.certificate)).replace("localhost", "127.0.0.1")).await,
        "certificate not valid for name",
    );

    cluster.speak_tls(&authority.certify("old", "DNS:localhost", -1), &authority);
    assert_refused(
        encrypted(&url(&root(&authority.certificate()))).await,
        "the server's certificate has expired",
    );
    assert_eq!(encrypted(&url("sslmode=require")).await, Ok(true));

    cluster.speak_tls(&authority.certify_plainly("localhost"), &authority);
    for parameters in ["", "sslmode=require", "channel_binding=require"] {
        assert_eq!(encrypted(&url(parameters)).await, Ok(true), "{parameters}");
    }
    assert_refused(
        encrypted(&url(&root(&authority.certificate()))).await,
        "certificate",
    );
}

#[tokio::test]
async fn the_server_is_told_when_a_connection_is_closed() {
    let server = Encrypted::shared();
    let pool = pool(&server.url("localhost", ""));
    let connections = (pool.get().await.unwrap(), pool.get().await.unwrap());
    let process = process(&connections.0).await;
    drop(connections);
    pool.close().await;
    let sql = format!("SELECT count(*) FROM pg_stat_activity WHERE pid = {process}");
    while server.cluster.sql("postgres", &sql) != "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let log = server.cluster.data().with_file_name("log");
    let log = std::fs::read_to_string(log).unwrap();
    assert!(!log.contains(&format!("[{process}]")), "{log}");
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_is_a_way_in() {
    let cluster = Cluster::with_socket();
    let folder = cluster.data();
    let port = cluster.address().port();
    let url = format!(
        "postgres://layer:layer-test@/postgres?host={}&port={port}",
        folder.display()
    );
    assert_eq!(encrypted(&url).await, Ok(false));
    let missing = encrypted(&url.replace("layer-payments", "elsewhere")).await;
    assert_refused(
        missing,
        "there is no socket; check the folder and the port, and that PostgreSQL runs",
    );
}

fn address(listener: &TcpListener) -> SocketAddr {
    listener.local_addr().unwrap()
}

#[tokio::test]
async fn what_the_server_refuses_is_told_with_what_to_do() {
    let database = shared().database();
    let good = database.url();
    database.sql(
        "CREATE ROLE narrow LOGIN PASSWORD 'layer-test' CONNECTION LIMIT 1;
         CREATE ROLE nobody LOGIN PASSWORD 'layer-test'",
    );
    database.sql(&format!(
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC",
        database.name()
    ));
    database.sql(&format!(
        "GRANT CONNECT ON DATABASE {} TO narrow",
        database.name()
    ));
    let narrow = good.replace("layer:", "narrow:");
    let first = pool(&narrow).get().await.unwrap();
    for (url, expected, passes) in [
        (
            good.replace(":layer-test", ":wrong-layer-test"),
            "password authentication failed for user \"layer\" (28P01); check user and password",
            false,
        ),
        (
            good.replace(":layer-test", ""),
            "the server asks for a password, and none is given",
            false,
        ),
        (
            good.replace(database.name(), "nowhere"),
            "database \"nowhere\" does not exist (3D000); check the database's name, or make it with CREATE DATABASE",
            false,
        ),
        (
            good.replace("layer:", "nobody:"),
            "(42501); give the user the right to, with GRANT CONNECT ON DATABASE",
            false,
        ),
        (
            narrow.clone(),
            "too many connections for role \"narrow\" (53300); the servers of a database together have to ask for fewer",
            true,
        ),
        (
            format!("{good}?options=-c%20nonsense%3D1"),
            "unrecognized configuration parameter \"nonsense\" (42704); check the URL's options",
            false,
        ),
        (
            format!(
                "{good}?target_session_attrs=read-write&options=-c%20default_transaction_read_only%3Don"
            ),
            "it takes no writes, as a standby doesn't; name the primary, or all of them",
            true,
        ),
    ] {
        let error = pool(&url).get().await.unwrap_err();
        let text = chain(&error);
        assert!(text.contains(expected), "{text:?} isn't {expected:?}");
        assert!(!format!("{error:?}").contains("layer-test"), "{error:?}");
        assert_eq!(error.is_passing(), passes, "{text}");
        let is_answer = text.starts_with("the database refuses the connection: 127.0.0.1:");
        assert_eq!(matches!(error, GetError::Refused(_)), is_answer, "{text}");
    }
    drop(first);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told_with_what_to_do() {
    let unused = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let nobody = address(&unused);
    drop(unused);
    // One that takes connections and says nothing.
    let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let quiet = address(&silent);
    // And one that breaks off, as one of another protocol does.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let rude = address(&listener);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            drop(stream);
        }
    });
    let refused =
        format!("{nobody}: Connection refused; check host and port, and that PostgreSQL runs");
    let unanswered =
        format!("{quiet}: no answer within 0.3 s; check host and port, and what is between");
    // A label of a name has 63 characters at most, so nobody is asked for this one.
    let no_name = format!("{}.invalid:1", "x".repeat(64));
    for (hosts, expected) in [
        (nobody.to_string(), refused.clone()),
        (quiet.to_string(), unanswered.clone()),
        (rude.to_string(), format!("{rude}: {BROKE_OFF}")),
        (no_name, "; check the host's name".to_owned()),
        // All that was tried is told.
        (
            format!("{nobody},{quiet}"),
            format!("{refused}; {unanswered}"),
        ),
    ] {
        let url = format!("postgres://layer:layer-test@{hosts}/p?sslmode=disable");
        let postgres = Postgres::from_url(&url).unwrap();
        let pool = pool_of(&postgres.connect_timeout(Duration::from_millis(300)));
        let started = Instant::now();
        let error = pool.get().await.unwrap_err();
        assert!(matches!(error, GetError::Unreachable(_)), "{error:?}");
        assert!(error.is_passing(), "{error}");
        // The numbers of errors aren't the same on all systems.
        let text = chain(&error)
            .replace(" (os error 111)", "")
            .replace(" (os error 61)", "");
        assert!(
            text.starts_with("can't connect to the database: "),
            "{text}"
        );
        assert!(text.ends_with(&expected), "{text:?} isn't {expected:?}");
        assert!(started.elapsed() < Duration::from_secs(5), "{text}");
    }
    // One that is there is found behind others.
    let database = shared().database();
    let url = database.url().replace("@127", &format!("@{nobody},127"));
    drop(pool(&url).get().await.unwrap());
}

// Only there a machine has more than one address of its own without being told so.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_address_that_swallows_everything_leaves_the_others_their_time() {
    let database = shared().database();
    let postgres = Postgres::from_url(&database.url()).unwrap();
    let manager = Manager::new(&postgres.connect_timeout(Duration::from_millis(500))).unwrap();
    let target = &manager.targets[0];
    // It listens at the same port of another address of this machine, as the second of a name's addresses may.
    let quiet = Ipv4Addr::new(127, 0, 0, 2);
    let _silent = TcpListener::bind((quiet, shared().address().port()))
        .await
        .unwrap();
    let here = Ipv4Addr::LOCALHOST;
    let addresses = [Some(quiet.into()), Some(here.into())];
    let connected = manager.connect_to(target, &addresses, Timeouts::default());
    drop(connected.await.unwrap());
    let addresses = [Some(quiet.into()), Some(quiet.into())];
    let failures = manager.connect_to(target, &addresses, Timeouts::default());
    let failures = Failures(failures.await.unwrap_err()).to_string();
    assert!(
        failures.contains("(127.0.0.2): no answer within 0.5 s")
            && failures.contains("; 127.0.0.1:"),
        "{failures}"
    );
}

#[tokio::test]
async fn a_connection_has_its_settings_from_its_start() {
    let database = shared().database();
    let show = |url: String, set: fn(Postgres) -> Postgres| async move {
        let pool = pool_of(&set(Postgres::from_url(&url).unwrap()));
        let mut shown = Vec::new();
        let pooled = pool.get().await.unwrap();
        let alone = pool.unhurried().await.unwrap();
        for connection in [&*pooled, &alone] {
            for setting in [
                "application_name",
                "statement_timeout",
                "lock_timeout",
                "idle_in_transaction_session_timeout",
            ] {
                shown.push(ask(connection, &format!("SHOW {setting}")).await);
            }
        }
        shown.join(" ")
    };
    assert_eq!(
        show(database.url(), |postgres| postgres).await,
        "layer-payments 30s 10s 1min layer-payments 0 0 0"
    );
    let url = format!(
        "{}?application_name=mine&options=-c%20statement_timeout%3D1h",
        database.url()
    );
    let set = |postgres: Postgres| {
        postgres
            .statement_timeout(Duration::from_micros(1))
            .lock_timeout(Duration::MAX)
            .idle_in_transaction_session_timeout(Duration::ZERO)
    };
    assert_eq!(show(url, set).await, "mine 1ms 2147483647ms 0 mine 0 0 0");
}

#[tokio::test]
async fn a_statement_and_a_wait_for_a_lock_end_in_time() {
    let database = shared().database();
    let postgres = Postgres::from_url(&database.url()).unwrap();
    let pool = pool_of(
        &postgres
            .statement_timeout(Duration::from_millis(400))
            .lock_timeout(Duration::from_millis(100)),
    );
    let connection = pool.get().await.unwrap();
    let error = connection
        .batch_execute("SELECT pg_sleep(60)")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::QUERY_CANCELED));
    connection
        .batch_execute("SELECT pg_advisory_lock(1)")
        .await
        .unwrap();
    let other = pool.get().await.unwrap();
    let error = other
        .batch_execute("SELECT pg_advisory_lock(1)")
        .await
        .unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE));
    // Beside the pool neither ends.
    let alone = pool.unhurried().await.unwrap();
    alone.batch_execute("SELECT pg_sleep(0.6)").await.unwrap();
}

#[tokio::test]
async fn whoever_finds_no_connection_free_waits_only_so_long() {
    let database = shared().database();
    let postgres = Postgres::from_url(&database.url()).unwrap();
    let pool = pool_of(&postgres.pool_size(2).pool_wait(Duration::from_millis(200)));
    let first = pool.get().await.unwrap();
    let _second = pool.get().await.unwrap();
    let error = pool.get().await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "none of the 2 connections to the database came free within 0.2 s; more of them may help (pool_size, or \
         --db-pool), or fewer requests at once"
    );
    assert!(error.is_passing());
    let status = pool.status();
    assert_eq!((status.max_size, status.size, status.available), (2, 2, 0));
    let (waited, ()) = tokio::join!(pool.get(), async { drop(first) });
    drop(waited.unwrap());

    pool.close().await;
    assert!(matches!(pool.get().await, Err(GetError::Closed)));
    assert!(matches!(pool.unhurried().await, Err(GetError::Closed)));
}

/// The process of the server that serves a connection.
async fn process(connection: &Connection) -> String {
    ask(connection, "SELECT pg_backend_pid()").await
}

fn terminate(database: &Database<'_>, process: &str) {
    database.sql(&format!("SELECT pg_terminate_backend({process})"));
}

#[tokio::test]
async fn a_connection_that_the_server_closed_is_not_given_out() {
    let database = shared().database();
    let pool = pool(&database.url());
    let connection = pool.get().await.unwrap();
    let closed = process(&connection).await;
    drop(connection);
    let again = pool.get().await.unwrap();
    assert_eq!(process(&again).await, closed);
    drop(again);
    terminate(&database, &closed);
    // The server's word needs a moment to arrive.
    tokio::time::sleep(Duration::from_millis(100)).await;
    let other = pool.get().await.unwrap();
    assert_ne!(process(&other).await, closed);
    assert_eq!(pool.status().size, 1);
}

/// Passes on what comes to a server, until it is told to swallow all of the connections that there are.
struct Between {
    address: SocketAddr,
    swallow: Arc<AtomicBool>,
}

impl Between {
    async fn start(server: SocketAddr) -> Between {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let swallow = Arc::new(AtomicBool::new(false));
        let between = Between {
            address: address(&listener),
            swallow: Arc::clone(&swallow),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(pass(stream, server, Arc::clone(&swallow)));
            }
        });
        between
    }

    /// From now on nothing arrives on the connections that there are, and nothing tells so.
    async fn swallow(&self) {
        self.swallow.store(true, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.swallow.store(false, Ordering::Relaxed);
    }
}

async fn pass(mut client: TcpStream, server: SocketAddr, swallow: Arc<AtomicBool>) {
    let mut server = TcpStream::connect(server).await.unwrap();
    let swallowed = async {
        while !swallow.load(Ordering::Relaxed) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        () = swallowed => {}
    }
    // Both stay open.
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn connections_that_went_silent_are_found_out_by_the_first_of_them() {
    let database = shared().database();
    let between = Between::start(shared().address()).await;
    let url = database.url().replace(
        &shared().address().to_string(),
        &between.address.to_string(),
    );
    let pool = pool(&url);
    let mut connections = Vec::new();
    for _ in 0..5 {
        connections.push(pool.get().await.unwrap());
    }
    drop(connections);
    between.swallow().await;
    tokio::time::sleep(IDLE).await;
    let started = Instant::now();
    let connection = pool.get().await.unwrap();
    // One of them was asked, and the others weren't.
    let took = started.elapsed();
    assert!(took >= ANSWER && took < ANSWER * 2, "{took:?}");
    assert_eq!(ask(&connection, "SELECT 1").await, "1");
    let started = Instant::now();
    let other = pool.get().await.unwrap();
    assert!(started.elapsed() < ANSWER / 2);
    assert_eq!(ask(&other, "SELECT 1").await, "1");
    assert_eq!(pool.status().size, 2);
}

#[tokio::test]
async fn a_restart_of_the_server_costs_no_request() {
    let cluster = Arc::new(Cluster::start());
    let database = cluster.database();
    let pool = pool(&database.url());
    let used = pool.get().await.unwrap();
    let idle = pool.get().await.unwrap();
    drop((used, idle));
    tokio::task::spawn_blocking({
        let cluster = Arc::clone(&cluster);
        move || cluster.restart()
    })
    .await
    .unwrap();
    let connection = pool.get().await.unwrap();
    assert_eq!(ask(&connection, "SELECT 1").await, "1");
}
