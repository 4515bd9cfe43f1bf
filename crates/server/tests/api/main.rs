//! The server, driven over HTTP on a loopback port.

mod auth;
mod bulk;
mod documents;
mod durability;
mod engine;
mod errors;
mod faults;
mod harness;
mod invoices;
mod ledger;
mod limit;
mod list;
mod local;
mod operation;
mod owed;
mod payouts;
mod record;
mod slow;
mod sqlite;
mod unreadable;
mod update;
