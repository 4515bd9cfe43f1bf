//! What the client promises, proved over real sockets on loopback: `wiremock` where a well-formed
//! exchange is meant, a socket of our own where it isn't.

mod bulk;
mod calls;
mod failures;
mod lists;
mod retries;
mod settings;
mod support;
mod tokens;
mod watching;
