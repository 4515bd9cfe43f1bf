//! The bytes of a connection, and what is put in the place of some of them.
//!
//! What isn't a request never reaches a handler: bytes that aren't HTTP, too many headers, too long a line. The HTTP
//! library answers it itself with a status and an empty body, and lets nothing else be said. All other errors of this
//! server come in one envelope, with an id that the log has too, so that empty reply is exchanged for one where it goes
//! to the network. It is told from all others by having no `X-Request-Id`.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::http::StatusCode;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use uuid::Uuid;

use super::crowd::Activity;
use super::refusal::Refusal;

/// The most bytes of a request's line and headers. A connection's buffer isn't larger either, so this bounds what a
/// client that floods headers can take up.
pub(super) const HEAD_LIMIT: usize = 128 << 10;

/// A connection's stream.
pub(super) struct Wire {
    stream: TokioIo<TcpStream>,
    /// A reply that goes out in place of the library's.
    instead: Option<Instead>,
    /// Whether one did.
    exchanged: bool,
    /// Is told when the client is waited for to take a reply.
    activity: Activity,
}

struct Instead {
    bytes: Vec<u8>,
    written: usize,
}

impl Wire {
    pub(super) fn new(stream: TcpStream, activity: Activity) -> Wire {
        Wire {
            stream: TokioIo::new(stream),
            instead: None,
            exchanged: false,
            activity,
        }
    }

    pub(super) fn into_inner(self) -> TcpStream {
        self.stream.into_inner()
    }

    /// Closes the stream after its last reply. What a client still sends after a reply that refused it is read for a
    /// while, since a connection that is closed with unread data resets, and the reply may be lost.
    pub(super) async fn close(self) {
        const MOST: usize = 4 << 20;
        const LONGEST: Duration = Duration::from_secs(2);
        if !self.exchanged {
            return;
        }
        let mut stream = self.into_inner();
        let reading = async {
            // Whoever is gone needs no patience.
            if stream.shutdown().await.is_err() {
                return;
            }
            let mut buffer = vec![0; 16 << 10];
            let mut read = 0;
            while let Ok(bytes @ 1..) = stream.read(&mut buffer).await {
                read += bytes;
                if read > MOST {
                    break;
                }
            }
        };
        // Whether it ended or was given up makes no difference any more.
        let _ = tokio::time::timeout(LONGEST, reading).await;
    }

    /// Writes what goes out instead, then says that as many bytes as the library gave are written.
    fn poll_instead(&mut self, context: &mut Context<'_>, given: usize) -> Poll<io::Result<usize>> {
        while let Some(instead) = &mut self.instead {
            let rest = &instead.bytes[instead.written..];
            if rest.is_empty() {
                self.instead = None;
                self.exchanged = true;
                break;
            }
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, rest))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            instead.written += written;
        }
        Poll::Ready(Ok(given))
    }
}

/// The reply that stands in for one of the library's own. `None` for all others.
///
/// A part of a body can't be taken for one: JSON escapes line breaks, and the pages have no such lines.
fn instead_of(bytes: &[u8]) -> Option<Vec<u8>> {
    const NO_BODY: &str = "content-length: 0\r\n";
    // Looked at first, as it tells most writes apart.
    let code = bytes.strip_prefix(b"HTTP/1.1 4")?.get(..2)?;
    let head = std::str::from_utf8(bytes.strip_suffix(b"\r\n\r\n")?).ok()?;
    let head = format!("{head}\r\n");
    if head.contains("x-request-id: ") || !head.contains(NO_BODY) {
        return None;
    }
    let refusal = match code {
        b"14" => Refusal::unreadable(
            StatusCode::URI_TOO_LONG,
            "url-too-long",
            "The request's URL is longer than this server reads; it takes 65534 bytes.".to_owned(),
        ),
        b"31" => Refusal::unreadable(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers-too-large",
            format!(
                "The request's headers are more than this server reads; it takes 100 of them, and {HEAD_LIMIT} bytes \
                 with the first line."
            ),
        ),
        _ => Refusal::unreadable(
            StatusCode::BAD_REQUEST,
            "http-malformed",
            "What was sent isn't a request in HTTP/1.1, so it can't be answered further."
                .to_owned(),
        ),
    };
    let request_id = Uuid::now_v7();
    let status = refusal.status();
    tracing::info!(%request_id, status = status.as_u16(), "unreadable request");
    let body = refusal.body(request_id);
    let length = body.len();
    let said = format!(
        "content-type: application/json\r\nx-request-id: {request_id}\r\ncontent-length: {length}\r\n"
    );
    let mut reply = head.replace(NO_BODY, &said).into_bytes();
    reply.extend_from_slice(b"\r\n");
    reply.extend_from_slice(&body);
    Some(reply)
}

impl Read for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for Wire {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.instead.is_none()
            && let Some(reply) = instead_of(bytes)
        {
            self.instead = Some(Instead {
                bytes: reply,
                written: 0,
            });
        }
        let written = if self.instead.is_some() {
            self.poll_instead(context, bytes.len())
        } else {
            Pin::new(&mut self.stream).poll_write(context, bytes)
        };
        self.activity.wrote(written.is_pending());
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        // The library writes a reply without a body from one buffer.
        match slices {
            [bytes] => self.poll_write(context, bytes),
            slices => {
                let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
                self.activity.wrote(written.is_pending());
                written
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_librarys_own_replies_are_exchanged() {
        let own = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\
                   date: Tue, 24 Nov 2026 23:13:00 GMT\r\n\r\n";
        let reply = String::from_utf8(instead_of(own.as_bytes()).unwrap()).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"));
        assert!(head.contains("\r\nconnection: close\r\n") && head.contains("\r\ndate: "));
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())));
        assert!(body.contains("headers-too-large"), "{body}");
        for other in [
            own.replace("431", "200"),
            own.replace("content-length: 0", "content-length: 7"),
            own.replace("connection: close", "x-request-id: 1"),
            format!("{own}body"),
            "HTTP/1.1 4".to_owned(),
            String::new(),
        ] {
            assert!(instead_of(other.as_bytes()).is_none(), "{other:?}");
        }
    }
}
