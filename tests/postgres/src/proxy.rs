//! A proxy in front of a cluster that loses connections when a test wants them lost.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::{Cluster, Database, PATIENCE, free_port};

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// COMMIT isn't passed on: the transaction is rolled back. COMMIT is seen as a text of its own or the last of several,
    /// and as a prepared statement.
    BeforeCommit,
    /// COMMIT was passed on and the server has committed, but its answer isn't passed on. Where the server rolls back
    /// instead, nothing is cut.
    AfterCommit,
}

/// A proxy for connections without TLS: whoever asks for TLS is told that there is none.
///
/// It stays where it is when its cluster is stopped and started again.
pub struct Proxy {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    server: SocketAddr,
    state: Mutex<State>,
    /// Told when connections may go on, or have to end.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    refusing: bool,
    stalled: bool,
    closed: bool,
    wanted: VecDeque<Cut>,
    cuts: usize,
    connections: Vec<Connection>,
}

struct Connection {
    ends: [TcpStream; 2],
    threads: Vec<JoinHandle<()>>,
}

impl Proxy {
    /// Starts a proxy on a free port of this machine.
    ///
    /// # Panics
    ///
    /// If no port is free.
    #[must_use]
    pub fn start(cluster: &Cluster) -> Proxy {
        let (_, listener) = free_port();
        let proxy = Proxy {
            address: listener
                .local_addr()
                .expect("a bound socket has an address"),
            shared: Arc::new(Shared {
                server: cluster.address(),
                state: Mutex::default(),
                changed: Condvar::new(),
            }),
            accepting: Mutex::new(None),
        };
        proxy.accept(listener);
        proxy
    }

    /// Where a program finds a database of the cluster through the proxy.
    #[must_use]
    pub fn url(&self, database: &Database<'_>) -> String {
        database.url_at(self.address.port())
    }

    /// The address that the proxy listens on.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Cuts the connection of the next COMMIT. Asked for several times, as many connections are cut, in this order.
    pub fn cut_next(&self, cut: Cut) {
        self.shared.lock().wanted.push_back(cut);
    }

    /// How many connections were cut.
    #[must_use]
    pub fn cuts(&self) -> usize {
        self.shared.lock().cuts
    }

    /// Refuses new connections, as a machine does on which no server runs. Those that are open stay so.
    pub fn refuse(&self) {
        self.shared.lock().refusing = true;
        self.stop_accepting();
    }

    /// Passes nothing on any more, of connections that are open and of new ones, as a network does that drops packets.
    /// What is sent waits.
    pub fn stall(&self) {
        self.shared.lock().stalled = true;
    }

    /// Ends [`Proxy::refuse`] and [`Proxy::stall`]. What has waited is passed on.
    ///
    /// # Panics
    ///
    /// If the port was taken by somebody else meanwhile.
    pub fn go_on(&self) {
        let was_refusing = {
            let mut state = self.shared.lock();
            state.stalled = false;
            std::mem::take(&mut state.refusing)
        };
        self.shared.changed.notify_all();
        if was_refusing {
            let started = Instant::now();
            let listener = loop {
                match TcpListener::bind(self.address) {
                    Ok(listener) => break listener,
                    Err(e) if started.elapsed() > PATIENCE => panic!("{}: {e}", self.address),
                    Err(_) => thread::sleep(Duration::from_millis(10)),
                }
            };
            self.accept(listener);
        }
    }

    fn accept(&self, listener: TcpListener) {
        let shared = Arc::clone(&self.shared);
        let thread = thread::spawn(move || {
            for client in listener.incoming() {
                let is_over = {
                    let state = shared.lock();
                    state.refusing || state.closed
                };
                if is_over {
                    return;
                }
                if let Ok(client) = client {
                    // The client sees a connection that ends at once when the server can't be reached.
                    let _ = connect(&shared, client);
                }
            }
        });
        *self.accepting() = Some(thread);
    }

    /// Waits until nobody listens any more.
    fn stop_accepting(&self) {
        let accepting = self.accepting().take();
        if let Some(accepting) = accepting {
            // It sees that it is over with the next connection, which is this.
            let _ = TcpStream::connect(self.address);
            let _ = accepting.join();
        }
    }

    fn accepting(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.accepting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proxy")
            .field("address", &self.address)
            .field("server", &self.shared.server)
            .finish_non_exhaustive()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        self.stop_accepting();
        let connections = std::mem::take(&mut self.shared.lock().connections);
        for connection in connections {
            close(&connection.ends);
            for thread in connection.threads {
                let _ = thread.join();
            }
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as nothing is passed on. False if the connection has to end.
    fn may_pass(&self) -> bool {
        let state = self
            .changed
            .wait_while(self.lock(), |state| state.stalled && !state.closed)
            .unwrap_or_else(PoisonError::into_inner);
        !state.closed
    }

    /// Whether this is what the next cut waits for; then it is done with.
    fn cuts(&self, here: Cut) -> bool {
        let mut state = self.lock();
        let is_wanted = state.wanted.front() == Some(&here);
        if is_wanted {
            state.wanted.pop_front();
            state.cuts += 1;
        }
        is_wanted
    }
}

/// Connects a client to the server.
fn connect(shared: &Arc<Shared>, client: TcpStream) -> io::Result<()> {
    let server = TcpStream::connect(shared.server)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let ends = [client, server];
    let mut threads = Vec::new();
    for pass in [requests, answers] {
        let shared = Arc::clone(shared);
        let ends = clone(&ends)?;
        threads.push(thread::spawn(move || {
            // However one direction ends, the connection does. An end that is closed already can't be closed.
            let _ = pass(&shared, &ends);
            close(&ends);
        }));
    }
    let mut state = shared.lock();
    state
        .connections
        .retain(|connection| !connection.threads.iter().all(JoinHandle::is_finished));
    state.connections.push(Connection { ends, threads });
    Ok(())
}

fn clone([client, server]: &[TcpStream; 2]) -> io::Result<[TcpStream; 2]> {
    Ok([client.try_clone()?, server.try_clone()?])
}

fn close(ends: &[TcpStream; 2]) {
    for end in ends {
        let _ = end.shutdown(Shutdown::Both);
    }
}

/// Passes on what the client sends until it ends the connection or that is cut.
fn requests(shared: &Shared, [client, server]: &[TcpStream; 2]) -> io::Result<()> {
    let mut from = BufReader::new(client);
    let mut to = Passing::new(server);
    if !greeting(shared, &mut from, client, &mut to)? {
        return Ok(());
    }
    let mut statements = Statements::default();
    while let Some(message) = Message::read(&mut from)? {
        if !shared.may_pass() {
            break;
        }
        if statements.commits(&message) && shared.cuts(Cut::BeforeCommit) {
            // What was sent before it is executed, as in a connection that is lost at this moment.
            return to.flush();
        }
        to.pass(&message.bytes, &from)?;
    }
    to.flush()
}

/// Passes on what the server answers until it ends the connection or that is cut.
fn answers(shared: &Shared, [client, server]: &[TcpStream; 2]) -> io::Result<()> {
    let mut from = BufReader::new(server);
    let mut to = Passing::new(client);
    while let Some(message) = Message::read(&mut from)? {
        if !shared.may_pass() {
            break;
        }
        // The server says so when a statement is complete, and this one is when all is written.
        let has_committed = message.kind() == b'C' && message.body() == b"COMMIT\0";
        if has_committed && shared.cuts(Cut::AfterCommit) {
            return to.flush();
        }
        to.pass(&message.bytes, &from)?;
    }
    to.flush()
}

/// Sees to a client's first messages, the only ones without a type: it may ask for encryption, and gets none. False if the
/// connection ends with them.
fn greeting(
    shared: &Shared,
    from: &mut BufReader<&TcpStream>,
    client: &TcpStream,
    to: &mut Passing<'_>,
) -> io::Result<bool> {
    const TLS: u32 = 80_877_103;
    const GSS: u32 = 80_877_104;
    loop {
        let Some(message) = Message::read_after(0, from)? else {
            return Ok(false);
        };
        if !shared.may_pass() {
            return Ok(false);
        }
        let code = message
            .bytes
            .get(4..8)
            .and_then(|code| code.try_into().ok());
        match code.map(u32::from_be_bytes) {
            Some(TLS | GSS) => {
                let mut client = client;
                client.write_all(b"N")?;
            }
            // Whoever wants a statement cancelled says no more than this, and the server closes the connection.
            _ => {
                to.pass(&message.bytes, from)?;
                return Ok(true);
            }
        }
    }
}

/// A message with its type, if it has one, and its length.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    /// None where the connection ends.
    fn read(from: &mut BufReader<&TcpStream>) -> io::Result<Option<Message>> {
        Message::read_after(1, from)
    }

    /// A message of which the length comes after so many bytes.
    fn read_after(kind: usize, from: &mut BufReader<&TcpStream>) -> io::Result<Option<Message>> {
        if from.fill_buf()?.is_empty() {
            return Ok(None);
        }
        let mut bytes = vec![0; kind + 4];
        from.read_exact(&mut bytes)?;
        let length = length(&bytes[kind..]);
        if length < 4 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let body = from.take(length - 4).read_to_end(&mut bytes)?;
        if (body as u64) < length - 4 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(Some(Message { bytes }))
    }

    fn kind(&self) -> u8 {
        self.bytes[0]
    }

    fn body(&self) -> &[u8] {
        &self.bytes[5..]
    }
}

/// What a message's length is, by its first bytes after the type.
fn length(bytes: &[u8]) -> u64 {
    bytes[..4]
        .iter()
        .fold(0, |length, byte| (length << 8) | u64::from(*byte))
}

/// Writes messages together that were read together.
struct Passing<'s> {
    to: &'s TcpStream,
    held: Vec<u8>,
}

impl<'s> Passing<'s> {
    fn new(to: &'s TcpStream) -> Passing<'s> {
        Passing {
            to,
            held: Vec::new(),
        }
    }

    fn pass(&mut self, message: &[u8], from: &BufReader<&TcpStream>) -> io::Result<()> {
        self.held.extend_from_slice(message);
        let next = from.buffer();
        let is_next_complete = next.len() >= 5 && next.len() as u64 > length(&next[1..]);
        if is_next_complete {
            return Ok(());
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.write_all(&self.held)?;
        self.held.clear();
        Ok(())
    }
}

/// Which statements and portals of a connection are COMMIT, by their names.
#[derive(Default)]
struct Statements {
    prepared: HashMap<Vec<u8>, bool>,
    bound: HashMap<Vec<u8>, bool>,
}

impl Statements {
    /// Whether the server commits at a message.
    fn commits(&mut self, message: &Message) -> bool {
        let mut body = message.body();
        let known = |names: &HashMap<Vec<u8>, bool>, name| names.get(name).is_some_and(|is| *is);
        match message.kind() {
            // Query: a text.
            b'Q' => return is_commit(text(&mut body)),
            // Parse: a name and a text.
            b'P' => {
                let name = text(&mut body).to_vec();
                self.prepared.insert(name, is_commit(text(&mut body)));
            }
            // Bind: the name of a portal and that of a statement.
            b'B' => {
                let portal = text(&mut body).to_vec();
                let is_commit = known(&self.prepared, text(&mut body));
                self.bound.insert(portal, is_commit);
            }
            // Execute: the name of a portal.
            b'E' => return known(&self.bound, text(&mut body)),
            // Close: what kind of thing, and its name.
            b'C' => {
                let names = match body.split_off_first() {
                    Some(b'S') => &mut self.prepared,
                    _ => &mut self.bound,
                };
                names.remove(text(&mut body));
            }
            _ => {}
        }
        false
    }
}

/// Takes a text off, which ends with a zero.
fn text<'b>(body: &mut &'b [u8]) -> &'b [u8] {
    let end = body.iter().position(|byte| *byte == 0);
    let (text, rest) = body.split_at(end.unwrap_or(body.len()));
    *body = rest.get(1..).unwrap_or_default();
    text
}

/// Whether a text is COMMIT, or ends with it. (What comes after a semicolon within quotes doesn't end there.)
fn is_commit(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text).to_ascii_uppercase();
    let last = text
        .rsplit(';')
        .map(|statement| statement.split_whitespace().collect::<Vec<_>>())
        .find(|words| !words.is_empty());
    let words = last.unwrap_or_default();
    let Some((&"COMMIT", options)) = words.split_first() else {
        return false;
    };
    let options = match options {
        ["WORK" | "TRANSACTION", options @ ..] => options,
        options => options,
    };
    matches!(options, [] | ["AND", "CHAIN"] | ["AND", "NO", "CHAIN"])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Message {
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&u32::try_from(body.len() + 4).unwrap().to_be_bytes());
        bytes.extend_from_slice(body);
        Message { bytes }
    }

    #[test]
    fn commit_is_known_in_every_form() {
        for text in [
            "COMMIT",
            "commit;",
            " Commit Work ;\n",
            "COMMIT TRANSACTION AND NO CHAIN",
            "INSERT INTO t VALUES (1); COMMIT",
        ] {
            assert!(is_commit(text.as_bytes()), "{text}");
        }
        for text in [
            "",
            ";",
            "COMMIT PREPARED 'a'",
            "SELECT 'COMMIT'",
            "SELECT 'a; COMMIT'",
            "SELECT commit FROM t",
            "ROLLBACK",
        ] {
            assert!(!is_commit(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn a_prepared_commit_is_known_by_its_names_until_they_mean_something_else() {
        let mut statements = Statements::default();
        let commits = |statements: &mut Statements, kind, body: &[u8]| {
            statements.commits(&message(kind, body))
        };
        // To parse and to bind it commits nothing yet.
        assert!(!commits(&mut statements, b'P', b"s1\0COMMIT\0\0\0"));
        assert!(!commits(&mut statements, b'P', b"s2\0SELECT 1\0\0\0"));
        assert!(!commits(&mut statements, b'B', b"\0s1\0\0\0\0\0\0\0"));
        assert!(!commits(&mut statements, b'B', b"p\0s2\0\0\0\0\0\0\0"));
        assert!(commits(&mut statements, b'E', b"\0\0\0\0\0"));
        assert!(!commits(&mut statements, b'E', b"p\0\0\0\0\0"));
        assert!(!commits(&mut statements, b'B', b"\0s2\0\0\0\0\0\0\0"));
        assert!(!commits(&mut statements, b'E', b"\0\0\0\0\0"));
        // A closed statement means nothing.
        assert!(!commits(&mut statements, b'C', b"Ss1\0"));
        assert!(!commits(&mut statements, b'B', b"\0s1\0\0\0\0\0\0\0"));
        assert!(!commits(&mut statements, b'E', b"\0\0\0\0\0"));
        assert!(commits(&mut statements, b'Q', b"COMMIT\0"));
    }
}
