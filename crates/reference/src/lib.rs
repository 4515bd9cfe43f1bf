//! The specifications of Layer Payments in the forms that people and programs read.
//!
//! ```
//! use layer_payments_reference::Document;
//!
//! let document = Document::from_yaml("
//! openapi: 3.0.3
//! info: { title: Tills, version: 1.2.0 }
//! components:
//!   schemas:
//!     Till: { type: object, properties: { cents: { type: integer, nullable: true } } }
//! ")?;
//! assert_eq!(document.version(), Some("1.2.0"));
//! let schemas = document.json_schemas("https://tills.invalid/", "../");
//! assert!(schemas[0].1.contains(r#""$id": "https://tills.invalid/Till.json""#));
//! # Ok::<_, layer_payments_reference::ReadError>(())
//! ```
//!
//! The known viewers are megabytes of script for a page that has to be read and not to be run. [`Document::page`] makes
//! one that needs no script, nothing from the network, and no step of a build. It knows what these specifications use of
//! OpenAPI 3.0, and tests hold them against that.

mod node;
mod page;
mod schema;
#[cfg(test)]
mod tests;

use std::fmt;

use node::Node;

/// A specification, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Document {
    root: Node,
}

/// Where the links of a page lead that leave it.
#[derive(Clone, Copy, Debug)]
pub struct Links<'a> {
    /// The pages of reference, this one among them, each as what it is called and its address.
    pub pages: &'a [(&'a str, &'a str)],
    /// The address of the page with the schemas that a specification takes from another one.
    pub schemas: &'a str,
    /// The documents that the pages are made from, each as what it is called and its address.
    pub documents: &'a [(&'a str, &'a str)],
}

impl Document {
    /// Reads a specification, in YAML or JSON.
    ///
    /// # Errors
    ///
    /// When the text isn't YAML, or has a number that isn't one of JSON with at most 64 bits.
    pub fn from_yaml(text: &str) -> Result<Document, ReadError> {
        match serde_saphyr::from_str(text) {
            Ok(root) => Ok(Document { root }),
            Err(error) => Err(ReadError(error.to_string())),
        }
    }

    /// What the specification calls its version, in `info`.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.root.get("info")?.text("version")
    }

    /// The document as JSON, with its keys in the order of the author.
    #[must_use]
    pub fn json(&self) -> String {
        self.root.pretty()
    }

    /// The document as a page of HTML, which needs nothing else.
    #[must_use]
    pub fn page(&self, links: &Links<'_>) -> String {
        page::write(&self.root, links)
    }

    /// Its schemas as JSON Schemas of draft 2020-12, each as its name and its text, in the order of the document.
    ///
    /// `base` begins the `$id` of each, the name and `.json` end it. References between them are relative, and those to
    /// another document begin with `other`, which says where that one's schemas lie. A value that may be null gets the
    /// type "null" beside its own, an `example` becomes one of `examples`, and extensions (`x-…`) stay readable in
    /// `$comment`. A `discriminator` is left out: the variants are told apart by their own properties.
    #[must_use]
    pub fn json_schemas(&self, base: &str, other: &str) -> Vec<(String, String)> {
        let schemas = self.root.get("components");
        let schemas = schemas.map_or(&[][..], |components| components.entries_of("schemas"));
        schemas
            .iter()
            .map(|(name, schema)| {
                let schema = schema::file(name, schema, base, other);
                (name.clone(), schema.pretty())
            })
            .collect()
    }
}

/// Why a text isn't a specification.
#[derive(Clone, Debug)]
pub struct ReadError(String);

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ReadError {}
