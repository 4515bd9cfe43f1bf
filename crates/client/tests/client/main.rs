//! What the client promises, proved over real sockets on loopback: `wiremock` where a well-formed
//! exchange is meant, a socket of our own where it isn't.

mod calls;
mod failures;
mod lists;
mod settings;
mod support;
mod tokens;
mod watching;
