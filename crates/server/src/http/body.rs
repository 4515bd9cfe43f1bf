//! Request bodies: read within limits, and judged by the rules.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use layer_payments_validation::{Severity, Validated, Violation};
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::outer::drain;
use super::refusal::{Fault, Refusal};
use crate::object::Object;
use crate::store::panic_text;
use crate::text::shortened;

/// A body of more bytes is decoded beside the threads that serve connections, so that it doesn't hold them up.
const SMALL: usize = 64 << 10;

/// A body of more bytes is handled alone: its values may take some thirty times as much memory as its text.
const LARGE: usize = 1 << 20;

/// What a body may take.
#[derive(Clone, Debug)]
pub(super) struct Limit {
    pub(super) bytes: usize,
    /// Counted from the end of the headers.
    pub(super) time: Duration,
    pub(super) room: Room,
}

/// The memory that the bodies of all requests share.
#[derive(Clone, Debug)]
pub(super) struct Room {
    /// Bytes that are left. Of each body the first [`SMALL`] don't count, so that large ones never keep out small ones.
    left: Arc<Semaphore>,
    /// The turn of a body that is [`LARGE`].
    turn: Arc<Semaphore>,
}

impl Room {
    pub(super) fn new(bytes: usize) -> Room {
        Room {
            left: Arc::new(Semaphore::new(bytes.min(Semaphore::MAX_PERMITS))),
            turn: Arc::new(Semaphore::new(1)),
        }
    }
}

/// What a request takes up of the room, until it is dropped: keep it until the request is answered.
#[must_use]
#[derive(Debug, Default)]
pub(super) struct Held {
    bytes: Option<OwnedSemaphorePermit>,
    turn: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// Takes up more. Waiting for room could be for ever, when all who have some wait for more, so there is an answer
    /// at once.
    fn grow(&mut self, room: &Room, bytes: usize) -> Result<(), Refusal> {
        let bytes = u32::try_from(bytes).map_err(|_| Refusal::no_room())?;
        let left = Arc::clone(&room.left);
        let more = left
            .try_acquire_many_owned(bytes)
            .map_err(|_| Refusal::no_room())?;
        match &mut self.bytes {
            Some(held) => held.merge(more),
            None => self.bytes = Some(more),
        }
        Ok(())
    }
}

/// Reads a body and has it judged. All errors are told at once; warnings are for whoever sends the request, who has the
/// same rules, and don't keep it from being taken.
pub(super) async fn read<T, J>(
    request: Request,
    limit: &Limit,
    judge: J,
) -> Result<(T, Held), Refusal>
where
    T: Send + 'static,
    J: FnOnce(&[u8]) -> Result<Validated<T>, Vec<Violation>> + Send + 'static,
{
    let media_type = check_media_type(request.headers());
    // The body is read even if its media type is wrong, so that its sender gets the reply.
    let (bytes, mut held) = collect_in_time(request, limit).await?;
    media_type?;
    let small = bytes.len() <= SMALL;
    if bytes.len() > LARGE {
        // Nobody closes the semaphore.
        held.turn = Arc::clone(&limit.room.turn).acquire_owned().await.ok();
    }
    let judge = move || match judge(&bytes) {
        Ok(valid) => Ok(valid.into_inner()),
        Err(violations) => Err(Refusal::bad_request(
            violations
                .into_iter()
                .filter(|violation| violation.severity() == Severity::Error)
                .map(Fault::from)
                .collect(),
        )),
    };
    if small {
        return judge().map(|value| (value, held));
    }
    match tokio::task::spawn_blocking(judge).await {
        Ok(result) => result.map(|value| (value, held)),
        Err(error) => Err(Refusal::panicked(match error.try_into_panic() {
            Ok(panic) => panic_text(panic.as_ref()),
            Err(error) => error.to_string(),
        })),
    }
}

/// Reads the bytes of a body, whatever they are.
pub(super) async fn bytes(request: Request, limit: &Limit) -> Result<Bytes, Refusal> {
    // What handles these bodies is done with them at once.
    let (bytes, _) = collect_in_time(request, limit).await?;
    Ok(bytes)
}

async fn collect_in_time(request: Request, limit: &Limit) -> Result<(Bytes, Held), Refusal> {
    let length = announced_length(request.headers());
    tokio::time::timeout(limit.time, collect(request, length, limit))
        .await
        .map_err(|_| Refusal::too_slow(limit.time))?
}

/// Reads a JSON body of a route beside the public API. An empty body is `None`, and then the media type doesn't matter.
pub(super) async fn json<T: DeserializeOwned>(
    request: Request,
    limit: &Limit,
) -> Result<Option<T>, Refusal> {
    let media_type = check_media_type(request.headers());
    let bytes = bytes(request, limit).await?;
    if bytes.is_empty() {
        return Ok(None);
    }
    media_type?;
    let mut json = serde_json::Deserializer::from_slice(&bytes);
    let Object(value) = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let pointer = pointer(error.path());
        let error = error.into_inner();
        Refusal::bad_request(vec![Fault {
            pointer: Some(pointer),
            code: Some(match error.classify() {
                Category::Data => "body-invalid",
                Category::Io | Category::Syntax | Category::Eof => "json-malformed",
            }),
            description: format!("The body can't be read: {}.", shortened(&error.to_string())),
        }])
    })?;
    json.end().map_err(|error| {
        Refusal::malformed(
            "json-malformed",
            format!("Something follows the JSON of the body: {error}."),
        )
    })?;
    Ok(Some(value))
}

/// A path of serde as a JSON Pointer.
fn pointer(path: &Path) -> String {
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { variant } => format!("/{variant}"),
            Segment::Unknown => String::new(),
        })
        .collect()
}

fn announced_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads the whole body. One that is too large, or for which there is no room, is read on and thrown away, so that its
/// sender gets the reply.
async fn collect(
    request: Request,
    length: Option<u64>,
    limit: &Limit,
) -> Result<(Bytes, Held), Refusal> {
    let most = u64::try_from(limit.bytes).unwrap_or(u64::MAX);
    if length.is_some_and(|length| length > most) {
        drain(request).await;
        return Err(Refusal::too_large(limit.bytes));
    }
    let mut held = Held::default();
    let mut stream = request.into_body().into_data_stream();
    let mut collected = BytesMut::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|_| {
            Refusal::malformed(
                "body-incomplete",
                "The body ended before its announced end, or its chunks are malformed.".to_owned(),
            )
        })?;
        let size = collected.len() + chunk.len();
        let refusal = if size > limit.bytes {
            Some(Refusal::too_large(limit.bytes))
        } else if size > SMALL {
            held.grow(&limit.room, chunk.len().min(size - SMALL)).err()
        } else {
            None
        };
        if let Some(refusal) = refusal {
            // What is thrown away takes no room.
            drop((collected, held));
            drain(Request::new(Body::from_stream(stream))).await;
            return Err(refusal);
        }
        collected.extend_from_slice(&chunk);
    }
    Ok((collected.freeze(), held))
}

/// Refuses what isn't plain `application/json` in UTF-8.
fn check_media_type(headers: &HeaderMap) -> Result<(), Refusal> {
    if let Some(encoding) = headers.get(CONTENT_ENCODING)
        && !encoding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        return Err(Refusal::media_type(format!(
            "The body is encoded as {}; send it without a content encoding.",
            shortened(&String::from_utf8_lossy(encoding.as_bytes()))
        )));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Err(Refusal::media_type(
            "The request has no Content-Type header; send application/json.".to_owned(),
        ));
    };
    let text = String::from_utf8_lossy(value.as_bytes());
    let mut parts = text.split(';').map(str::trim);
    let media_type = parts.next().unwrap_or_default();
    let utf8 = parts.all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        !name.eq_ignore_ascii_case("charset")
            || value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    if media_type.eq_ignore_ascii_case("application/json") && utf8 {
        Ok(())
    } else {
        Err(Refusal::media_type(format!(
            "The content type is {}; send application/json, in UTF-8.",
            shortened(&text)
        )))
    }
}
