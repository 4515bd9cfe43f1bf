//! The server, driven over HTTP on a loopback port.

mod auth;
mod bulk;
mod documents;
mod durability;
mod errors;
mod faults;
mod harness;
mod invoices;
mod limit;
mod list;
mod operation;
mod record;
mod slow;
mod unreadable;
mod update;
