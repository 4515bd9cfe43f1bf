//! Requests that are meant to do harm, sent to the real server over raw TCP.
//!
//! Each gets a clear refusal, in the API's envelope wherever the bytes are a request at all. After each the server
//! answers an ordinary request, and it never takes more memory than [`Target::MOST_MEMORY`], whoever sends what at once.

mod attack;
mod bytes;
mod crowds;
mod framing;
mod json;
