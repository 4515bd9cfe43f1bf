//! Properties that may be absent, null or a value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A property that may be absent, null or a value, where the three mean different things.
///
/// In the body of an update, absent leaves what is there, null clears it, and a value sets it. In a reply it keeps what
/// was received, so that writing a reply again gives the same JSON.
///
/// A struct's field of this type carries `#[serde(default, skip_serializing_if = "Field::is_absent")]`: without the
/// `default` a missing property is an error, and without the other half an absent one is written as null.
///
/// ```
/// use layer_payments_types::{Field, UpdateInvoicePayment};
///
/// let update = UpdateInvoicePayment::builder().clear_memo().processor("STRIPE").build();
/// assert_eq!((&update.memo, update.external_id.is_absent()), (&Field::Null, true));
/// assert_eq!(serde_json::to_string(&update)?, r#"{"processor":"STRIPE","memo":null}"#);
///
/// let read: UpdateInvoicePayment = serde_json::from_str(r#"{"memo":null}"#)?;
/// assert_eq!(read.memo, Field::Null);
/// assert_eq!(read.processor, Field::Absent);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Field<T> {
    /// The property is not there.
    #[default]
    Absent,
    /// The property is there and null.
    Null,
    /// The property is there and has a value.
    Value(T),
}

impl<T> Field<T> {
    /// Whether the property is not there.
    pub const fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    /// Whether the property is there and null.
    pub const fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// The value, if there is one; absent and null give `None` alike.
    pub const fn as_option(&self) -> Option<&T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// The value, if there is one; absent and null give `None` alike.
    pub fn into_option(self) -> Option<T> {
        match self {
            Self::Value(value) => Some(value),
            Self::Absent | Self::Null => None,
        }
    }

    /// What an update asks for: `None` for nothing, `Some(None)` for clearing, `Some(Some(_))` for setting.
    pub fn into_change(self) -> Option<Option<T>> {
        match self {
            Self::Absent => None,
            Self::Null => Some(None),
            Self::Value(value) => Some(Some(value)),
        }
    }

    /// The same with a reference to the value.
    pub const fn as_ref(&self) -> Field<&T> {
        match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Value(value) => Field::Value(value),
        }
    }

    /// The same with the value changed by `change`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Field<U> {
        match self {
            Self::Absent => Field::Absent,
            Self::Null => Field::Null,
            Self::Value(value) => Field::Value(change(value)),
        }
    }
}

impl<T> From<T> for Field<T> {
    fn from(value: T) -> Self {
        Self::Value(value)
    }
}

/// `None` becomes null, not absent: whoever has an `Option` knows that there is no value, and null says so.
impl<T> From<Option<T>> for Field<T> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Self::Value)
    }
}

impl<T: Serialize> Serialize for Field<T> {
    /// Writes a value as it is, and null for both other states: a format has no way to write nothing.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.as_option().serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    /// Reads null or a value; that the property is absent is the `default` of the struct's field.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Option::deserialize(deserializer).map(Self::from)
    }
}

/// Reads a property that may be absent but not null; that it is absent is the `default` of the struct's field.
///
/// # Errors
///
/// Null, and what isn't a `T`.
pub(crate) fn not_null<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    T::deserialize(deserializer).map(Some)
}

/// Reads a list that has to be there and may be null all the same, which says as little as an empty one.
///
/// # Errors
///
/// What is neither null nor a list of `T`.
pub(crate) fn null_as_empty<'de, T, D>(deserializer: D) -> Result<Vec<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

#[cfg(feature = "schemars")]
impl<T: schemars::JsonSchema> schemars::JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> std::borrow::Cow<'static, str> {
        Option::<T>::schema_name()
    }

    fn schema_id() -> std::borrow::Cow<'static, str> {
        Option::<T>::schema_id()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Option::<T>::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Holder {
        #[serde(default, skip_serializing_if = "Field::is_absent")]
        field: Field<Vec<i64>>,
    }

    #[test]
    fn the_three_states_survive_both_ways() {
        for (text, field) in [
            ("{}", Field::Absent),
            (r#"{"field":null}"#, Field::Null),
            (r#"{"field":[]}"#, Field::Value(vec![])),
            (r#"{"field":[7]}"#, Field::Value(vec![7])),
        ] {
            let holder: Holder = serde_json::from_str(text).unwrap();
            assert_eq!(holder, Holder { field });
            assert_eq!(serde_json::to_string(&holder).unwrap(), text);
        }
    }

    #[test]
    fn a_wrong_value_is_still_an_error() {
        let error = serde_json::from_str::<Holder>(r#"{"field":"x"}"#).unwrap_err();
        assert!(error.to_string().contains("expected a sequence"), "{error}");
    }

    #[test]
    fn conversions() {
        assert_eq!(Field::from(1), Field::Value(1));
        assert_eq!(Field::from(Some(1)), Field::Value(1));
        assert_eq!(Field::<i64>::from(None), Field::Null);
        assert_eq!(Field::Value(1).into_change(), Some(Some(1)));
        assert_eq!(Field::<i64>::Null.into_change(), Some(None));
        assert_eq!(Field::<i64>::Absent.into_change(), None);
        assert_eq!(Field::Value(1).map(|n| n + 1).into_option(), Some(2));
        assert_eq!(
            Field::Value("a".to_owned()).as_ref().map(String::len),
            Field::Value(1)
        );
        assert_eq!(Field::<i64>::Null.as_option(), None);
        assert!(Field::<i64>::Null.is_null() && !Field::<i64>::Null.is_absent());
        assert!(Field::<i64>::default().is_absent());
    }
}
