//! A client that costs little, so that what is measured is the server: requests are rendered before the clock starts, a
//! connection is kept and used again, and of a reply no more is read than its head says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// The token that every server of a benchmark takes.
pub(crate) const TOKEN: &str = "bench";
/// The business that all payments belong to.
pub(crate) const BUSINESS: &str = "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4";

/// A server that hasn't answered after so long isn't slow but stuck.
const PATIENCE: Duration = Duration::from_secs(120);

/// A rendered GET below the payments of [`BUSINESS`], such as `?limit=1`.
pub(crate) fn get(below: &str) -> Vec<u8> {
    request("GET", below, None)
}

/// A rendered POST below the payments of [`BUSINESS`].
pub(crate) fn post(below: &str, body: &[u8]) -> Vec<u8> {
    request("POST", below, Some(body))
}

/// A rendered POST below the payments of a business.
pub(crate) fn post_to(business: &str, below: &str, body: &[u8]) -> Vec<u8> {
    let path = format!("/v1/businesses/{business}/invoices/payments{below}");
    render("POST", &path, Some(body))
}

/// A rendered request to create a business.
pub(crate) fn new_business(id: &str) -> Vec<u8> {
    let body = format!("{{\"id\":\"{id}\"}}");
    render("POST", "/local/businesses", Some(body.as_bytes()))
}

fn request(method: &str, below: &str, body: Option<&[u8]>) -> Vec<u8> {
    let path = format!("/v1/businesses/{BUSINESS}/invoices/payments{below}");
    render(method, &path, body)
}

fn render(method: &str, path: &str, body: Option<&[u8]>) -> Vec<u8> {
    let mut text = format!(
        "{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\
         authorization: Bearer {TOKEN}\r\naccept: application/json\r\n"
    );
    if body.is_none() {
        // Tells a mock which of the specification's lists to answer with; this server answers with what there is.
        text.push_str("prefer: example=page\r\n");
    }
    if let Some(body) = body {
        text.push_str(&format!(
            "content-type: application/json\r\ncontent-length: {}\r\n",
            body.len()
        ));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// A connection that is kept.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was read and belongs to the reply at hand.
    read: Vec<u8>,
}

/// A reply. The body is as it was sent, chunks joined.
pub(crate) struct Reply<'a> {
    pub(crate) status: u16,
    pub(crate) body: &'a [u8],
}

impl Reply<'_> {
    /// The body as JSON, if the status says that all is well.
    pub(crate) fn json(&self) -> anyhow::Result<Value> {
        ensure!(
            (200..300).contains(&self.status),
            "the server answered {}: {}",
            self.status,
            String::from_utf8_lossy(&self.body[..self.body.len().min(500)])
        );
        serde_json::from_slice(self.body).context("a reply that isn't JSON")
    }
}

/// How a reply's body ends.
enum Length {
    Bytes(usize),
    Chunks,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address)
            .await
            .with_context(|| format!("connecting to {address}"))?;
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            read: Vec::with_capacity(64 << 10),
        })
    }

    /// Sends a rendered request and reads the whole reply.
    pub(crate) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Reply<'_>> {
        tokio::time::timeout(PATIENCE, self.exchange_patiently(request))
            .await
            .context("the server doesn't answer")?
    }

    async fn exchange_patiently(&mut self, request: &[u8]) -> anyhow::Result<Reply<'_>> {
        self.read.clear();
        self.stream.write_all(request).await?;
        let (status, head, length) = loop {
            self.more().await?;
            if let Some(head) = head(&self.read)? {
                break head;
            }
        };
        match length {
            Length::Bytes(bytes) => {
                self.read
                    .reserve((head + bytes).saturating_sub(self.read.len()));
                while self.read.len() < head + bytes {
                    self.more().await?;
                }
            }
            Length::Chunks => self.join_chunks(head).await?,
        }
        Ok(Reply {
            status,
            body: &self.read[head..],
        })
    }

    async fn more(&mut self) -> anyhow::Result<()> {
        let read = self.stream.read_buf(&mut self.read).await?;
        ensure!(read > 0, "the server closed the connection within a reply");
        Ok(())
    }

    /// Reads chunks to the last one, and leaves their contents behind the head.
    async fn join_chunks(&mut self, head: usize) -> anyhow::Result<()> {
        let mut at = head;
        let mut joined = Vec::new();
        loop {
            let (skip, size) = match httparse::parse_chunk_size(&self.read[at..]) {
                Ok(httparse::Status::Complete(found)) => found,
                Ok(httparse::Status::Partial) => {
                    self.more().await?;
                    continue;
                }
                Err(_) => bail!("a reply's chunks are malformed"),
            };
            let start = at + skip;
            let end = start + usize::try_from(size)?;
            while self.read.len() < end + 2 {
                self.more().await?;
            }
            joined.extend_from_slice(&self.read[start..end]);
            at = end + 2;
            if size == 0 {
                break;
            }
        }
        self.read.truncate(head);
        self.read.append(&mut joined);
        Ok(())
    }
}

/// The status, the head's length and how the body ends, once the whole head is there.
fn head(read: &[u8]) -> anyhow::Result<Option<(u16, usize, Length)>> {
    let mut headers = [httparse::EMPTY_HEADER; 48];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(end) = response.parse(read)? else {
        return Ok(None);
    };
    let mut length = None;
    for header in response.headers.iter() {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = Some(Length::Bytes(std::str::from_utf8(header.value)?.parse()?));
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            length = Some(Length::Chunks);
        }
    }
    Ok(Some((
        response.code.context("a reply without a status")?,
        end,
        length.context("a reply that doesn't say how long it is")?,
    )))
}

/// Runs to its end on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // The tasks of a load share what they have by reference counts, not across threads; all run here.
    runtime.block_on(tokio::task::LocalSet::new().run_until(work))
}

/// What a load came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) requests: usize,
    pub(crate) time: Duration,
}

impl Rate {
    pub(crate) fn per_second(self) -> f64 {
        self.requests as f64 / self.time.as_secs_f64()
    }
}

/// Sends requests over so many connections for so long, each connection its next as soon as it has the reply. With `once`
/// each request is sent once at most, else from the start again. A reply that isn't a success ends it.
pub(crate) fn load(
    address: SocketAddr,
    connections: usize,
    time: Duration,
    requests: Arc<Vec<Vec<u8>>>,
    once: bool,
) -> anyhow::Result<Rate> {
    block_on(async {
        let mut open = Vec::with_capacity(connections);
        for _ in 0..connections {
            open.push(Connection::open(address).await?);
        }
        let next = Arc::new(AtomicUsize::new(0));
        let started = Instant::now();
        let tasks: Vec<_> = open
            .into_iter()
            .map(|mut connection| {
                let (requests, next) = (Arc::clone(&requests), Arc::clone(&next));
                tokio::task::spawn_local(async move {
                    let mut sent = 0;
                    while started.elapsed() < time {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if once && number >= requests.len() {
                            break;
                        }
                        let reply = connection
                            .exchange(&requests[number % requests.len()])
                            .await?;
                        ensure!(
                            (200..300).contains(&reply.status),
                            "a request of the load was answered with {}: {}",
                            reply.status,
                            String::from_utf8_lossy(reply.body)
                        );
                        sent += 1;
                    }
                    Ok(sent)
                })
            })
            .collect();
        let mut sent = 0;
        for task in tasks {
            sent += task.await??;
        }
        Ok(Rate {
            requests: sent,
            time: started.elapsed(),
        })
    })
}
