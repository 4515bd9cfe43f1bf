//! The server, driven over HTTP on a loopback port.

mod bulk;
mod durability;
mod errors;
mod harness;
mod list;
mod record;
mod update;
