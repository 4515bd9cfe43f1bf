//! The tests that cross crates: what the generated types look like and read, and whether spec, types, server, client
//! and program agree.

mod builders;
mod document;
mod examples;
mod line;
mod local;
mod shapes;
mod surface;
mod tolerance;
