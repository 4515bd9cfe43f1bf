//! Reading the members of the untagged unions of requests.
//!
//! The generated code looks which property is there, chooses the member by it, and calls [`member`]. So a mistake is
//! reported as the member's own, where serde's untagged enums only say that nothing matched.

use serde::de::{DeserializeOwned, Error};
use serde_json::{Map, Value};

/// Reads the chosen member from the properties that were read to choose it.
///
/// # Errors
///
/// The member's own error, such as a missing or an unknown property.
pub(crate) fn member<T: DeserializeOwned, E: Error>(
    properties: Map<String, Value>,
) -> Result<T, E> {
    T::deserialize(Value::Object(properties)).map_err(E::custom)
}
