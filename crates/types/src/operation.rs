//! What the generated enum [`Operation`](crate::Operation) tells about an operation's parameters.

use std::fmt;

use crate::{Operation, Shape};

/// The operation's id, such as `record_invoice_payment`.
impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

/// A parameter of an operation in its path, query or headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Parameter {
    /// Its name, as it is written in the path, query or header.
    pub name: &'static str,
    /// Where it is written.
    pub location: ParameterLocation,
    /// Whether a request without it is refused. Always true in a path.
    pub required: bool,
    /// What its value may be, written as text.
    pub shape: Shape,
    /// What it means, with unit, limits and default, from the OpenAPI document.
    pub description: &'static str,
}

/// Where a parameter is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParameterLocation {
    /// In the path, between braces.
    Path,
    /// In the query string.
    Query,
    /// In a header.
    Header,
}
