//! A server to attack, and what has to hold after each attack.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use layer_payments_tests::engine::{Engine, Place};
use layer_payments_tests::process::{Served, TOKEN};
use serde_json::{Value, json};

/// Long enough for a slow machine, and far below the server's own time limits.
pub(crate) const SOON: Duration = Duration::from_secs(20);

/// A server of its own for each test, as processes share no memory to be measured.
pub(crate) struct Target {
    server: Served,
    _place: Place,
}

/// Lets this process, and the servers that it starts, open as many files as the system allows. Gives how many that are;
/// the usual soft limit is too low for a crowd.
pub(crate) fn open_files() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        // More than these tests ever open.
        const ENOUGH: u64 = 20_000;
        let limit = getrlimit(Resource::Nofile);
        let soft = limit.current.unwrap_or(u64::MAX);
        let wanted = limit.maximum.unwrap_or(u64::MAX).min(ENOUGH);
        let raised = Rlimit {
            current: Some(wanted),
            maximum: limit.maximum,
        };
        let files = if wanted > soft && setrlimit(Resource::Nofile, raised).is_ok() {
            wanted
        } else {
            soft
        };
        usize::try_from(files).unwrap_or(usize::MAX)
    }
    // Other systems have no limit of this kind.
    #[cfg(not(unix))]
    usize::MAX
}

/// A reply as its bytes say it.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Target {
    /// The most memory that the server may take in any of these tests. It takes about 20 MB when it has started, bodies
    /// up to 128 MB, as there is room for 64 MiB of them and a buffer that grows is twice as large for a moment, and the
    /// values of one large body some 300 MB more.
    pub(crate) const MOST_MEMORY: u64 = 512 << 20;

    /// A server for an attack that never gets to a database.
    pub(crate) fn new() -> Target {
        Target::on(Engine::Sqlite)
    }

    /// A server for an attack on what is in its database, too.
    pub(crate) fn on(engine: Engine) -> Target {
        open_files();
        let place = engine.place();
        let server = Served::start(&place.database());
        Target {
            server,
            _place: place,
        }
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect_timeout(&self.server.address(), SOON)
            .expect("the server takes connections");
        stream
            .set_read_timeout(Some(SOON))
            .expect("a time can be set");
        stream
            .set_write_timeout(Some(SOON))
            .expect("a time can be set");
        stream
    }

    /// The path of the payments.
    pub(crate) fn path(&self) -> String {
        format!(
            "/v1/businesses/{}/invoices/payments",
            self.server.business()
        )
    }

    /// The head of a request with the token, without the empty line that ends it.
    pub(crate) fn head(&self, method: &str, below: &str) -> String {
        format!(
            "{method} {}{below} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {TOKEN}\r\n",
            self.path()
        )
    }

    /// A whole request with a body of JSON.
    pub(crate) fn post(&self, below: &str, body: &[u8]) -> Vec<u8> {
        let mut request = self.head("POST", below).into_bytes();
        request.extend(
            format!(
                "Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            )
            .into_bytes(),
        );
        request.extend_from_slice(body);
        request
    }

    /// Sends bytes and reads until the server closes. It may close before it has read everything, so that sending
    /// may fail; only what it answers counts.
    pub(crate) fn exchange(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        let _ = stream.write_all(bytes);
        read(&mut stream)
    }

    /// Sends bytes that the server may want more of, and tells it that no more come. It may take that for the end of the
    /// client and answer nothing.
    pub(crate) fn abandoned(&self, bytes: &[u8]) -> Vec<u8> {
        let mut stream = self.connect();
        if stream.write_all(bytes).is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        read(&mut stream)
    }

    /// Sends a body of JSON and gives the reply.
    pub(crate) fn posted(&self, below: &str, body: &[u8]) -> Reply {
        let answer = self.exchange(&self.post(below, body));
        Reply::first(&answer)
    }

    /// Checks that the server is well: it answers an ordinary request soon, and didn't take too much memory.
    #[track_caller]
    pub(crate) fn is_well(&self, after: &str) {
        let started = Instant::now();
        let mut request = self.head("GET", "?limit=1");
        request.push_str("Connection: close\r\n\r\n");
        let reply = Reply::first(&self.exchange(request.as_bytes()));
        assert_eq!(reply.status, 200, "after {after}: {reply:?}");
        assert!(
            started.elapsed() < SOON,
            "after {after}: {:?}",
            started.elapsed()
        );
        let memory = self.server.memory();
        println!(
            "after {after}: {} MB of memory, {} MB at most",
            memory.now >> 20,
            memory.peak >> 20
        );
        assert!(
            memory.peak <= Target::MOST_MEMORY,
            "after {after}: the server took {} bytes of memory",
            memory.peak
        );
    }

    /// Ends the server, which must not have panicked.
    pub(crate) fn end(self) {
        let said = self.server.kill();
        assert!(!said.contains("panicked"), "{said}");
    }
}

/// All that the server sends until it closes the connection, which it has to do soon.
pub(crate) fn read(stream: &mut TcpStream) -> Vec<u8> {
    let started = Instant::now();
    let mut answer = Vec::new();
    let mut part = [0; 64 << 10];
    loop {
        match stream.read(&mut part) {
            Ok(0) => return answer,
            Ok(count) => answer.extend_from_slice(&part[..count]),
            // A server that closes with unread bytes left resets the connection, which is as good an end.
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return answer,
            Err(error) => panic!(
                "the server neither answers nor closes: {error}, after {:?}: {}",
                started.elapsed(),
                String::from_utf8_lossy(&answer)
            ),
        }
    }
}

impl Reply {
    /// The first of the replies in these bytes.
    #[track_caller]
    pub(crate) fn first(bytes: &[u8]) -> Reply {
        let (reply, _) = Reply::split(bytes)
            .unwrap_or_else(|| panic!("no reply: {:?}", String::from_utf8_lossy(bytes)));
        reply
    }

    /// All replies in these bytes, which hold nothing else.
    #[track_caller]
    pub(crate) fn all(mut bytes: &[u8]) -> Vec<Reply> {
        let mut replies = Vec::new();
        while !bytes.is_empty() {
            let (reply, rest) = Reply::split(bytes)
                .unwrap_or_else(|| panic!("no reply: {:?}", String::from_utf8_lossy(bytes)));
            replies.push(reply);
            bytes = rest;
        }
        replies
    }

    fn split(bytes: &[u8]) -> Option<(Reply, &[u8])> {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
        let head = std::str::from_utf8(&bytes[..end]).ok()?;
        let mut lines = head.split("\r\n");
        let status = lines
            .next()?
            .strip_prefix("HTTP/1.1 ")?
            .get(..3)?
            .parse()
            .ok()?;
        let headers: Vec<(String, String)> = lines
            .map(|line| {
                let (name, value) = line.split_once(": ")?;
                Some((name.to_lowercase(), value.to_owned()))
            })
            .collect::<Option<_>>()?;
        let length: usize = match headers.iter().find(|(name, _)| name == "content-length") {
            Some((_, length)) => length.parse().ok()?,
            None => 0,
        };
        let rest = &bytes[end + 4..];
        let body = rest.get(..length)?.to_vec();
        let reply = Reply {
            status,
            headers,
            body,
        };
        Some((reply, &rest[length..]))
    }

    fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(known, _)| known == name)?;
        Some(value)
    }

    /// Checks that this is a refusal in the envelope, with one of these codes first; gives the code.
    #[track_caller]
    pub(crate) fn refuses(&self, status: u16, codes: &[&str]) -> String {
        assert_eq!(
            self.status,
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        assert_eq!(self.header("content-type"), Some("application/json"));
        let body: Value = serde_json::from_slice(&self.body).expect("the body is JSON");
        assert_eq!(
            body["meta"]["request_id"].as_str(),
            self.header("x-request-id")
        );
        let errors = body["errors"].as_array().expect("the envelope has errors");
        assert!(!errors.is_empty() && errors.len() <= 101, "{body}");
        assert!(
            self.body.len() < 256 << 10,
            "a refusal of {} bytes",
            self.body.len()
        );
        for error in errors {
            assert!(error["type"].as_str().is_some_and(|text| !text.is_empty()));
            assert!(
                error["description"]
                    .as_str()
                    .is_some_and(|text| !text.is_empty())
            );
        }
        let code = errors[0]["meta"]["code"].as_str().unwrap_or_default();
        assert!(
            codes.contains(&code),
            "{code} isn't one of {codes:?}: {body}"
        );
        code.to_owned()
    }
}

/// A small valid payment.
pub(crate) fn payment(external_id: &str) -> Value {
    json!({
        "external_id": external_id,
        "paid_at": "2024-02-27T02:22:55Z",
        "method": "CASH",
        "amount": 9000,
        "invoice_payments": [],
    })
}

/// A payment with another text in place of one of its values, which needn't be JSON.
pub(crate) fn payment_with(property: &str, text: &[u8]) -> Vec<u8> {
    let mut payment = payment("hostile");
    payment[property] = json!("HERE");
    let whole = payment.to_string();
    let (before, after) = whole.split_once("\"HERE\"").expect("the mark is there");
    [before.as_bytes(), text, after.as_bytes()].concat()
}
