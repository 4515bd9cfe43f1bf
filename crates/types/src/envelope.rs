//! Reading the envelope of successful replies, which may be missing.
//!
//! Layer's newest replies put the payload under `data`, beside `meta`; documented older ones are the bare payload, an
//! object or an array. The generated envelopes read all of them through [`read`].

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::SeqAccessDeserializer;
use serde::de::{DeserializeOwned, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// The parts of an envelope.
#[derive(Debug, PartialEq)]
pub(crate) struct Parts<D, M> {
    /// The payload.
    pub(crate) data: D,
    /// What stood under `meta`; the default where nothing did.
    pub(crate) meta: M,
    /// The envelope's other properties. Always empty for a bare payload.
    pub(crate) extra: Map<String, Value>,
}

/// Reads an enveloped or a bare payload.
///
/// An array is the payload. So is an object without `data`. Payloads in an envelope and bare arrays are read in passing,
/// without a copy in between; only a bare object is collected first, as its end must be seen to know that no `data`
/// comes.
///
/// # Errors
///
/// What is wrong with the payload or `meta`; a `data` that is null or stands there twice; an object with neither `data`
/// nor the payload's properties. The format must tell its own types, as JSON does.
pub(crate) fn read<'de, D, T, M>(deserializer: D) -> Result<Parts<T, M>, D::Error>
where
    D: Deserializer<'de>,
    T: DeserializeOwned,
    M: DeserializeOwned + Default,
{
    deserializer.deserialize_any(Envelope(PhantomData))
}

struct Envelope<T, M>(PhantomData<fn() -> (T, M)>);

impl<'de, T, M> Visitor<'de> for Envelope<T, M>
where
    T: DeserializeOwned,
    M: DeserializeOwned + Default,
{
    type Value = Parts<T, M>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `data`, or the payload without an envelope")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        Ok(Parts {
            data: T::deserialize(SeqAccessDeserializer::new(items))?,
            meta: M::default(),
            extra: Map::new(),
        })
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let mut data: Option<T> = None;
        let mut others = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key == "data" {
                if data.is_some() {
                    return Err(A::Error::duplicate_field("data"));
                }
                let value: Option<T> = entries.next_value()?;
                data = Some(value.ok_or_else(|| {
                    A::Error::custom("`data` is null; expected the reply's payload")
                })?);
            } else {
                others.insert(key, entries.next_value()?);
            }
        }
        match data {
            Some(data) => Ok(Parts {
                data,
                meta: match others.remove("meta") {
                    Some(meta) => M::deserialize(meta)
                        .map_err(|error| A::Error::custom(format_args!("`meta`: {error}")))?,
                    None => M::default(),
                },
                extra: others,
            }),
            None => bare(others),
        }
    }
}

/// Reads a payload that came without an envelope.
fn bare<T, M, E>(properties: Map<String, Value>) -> Result<Parts<T, M>, E>
where
    T: DeserializeOwned,
    M: Default,
    E: Error,
{
    if properties.contains_key("errors") {
        return Err(E::custom(
            "the reply has `errors` where `data` was expected",
        ));
    }
    if properties.keys().all(|key| key == "meta") {
        return Err(E::missing_field("data"));
    }
    let data = T::deserialize(Value::Object(properties)).map_err(|error| {
        E::custom(format_args!(
            "the reply has no `data`, and read as a bare payload: {error}"
        ))
    })?;
    Ok(Parts {
        data,
        meta: M::default(),
        extra: Map::new(),
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::Field;

    #[derive(Debug, PartialEq, Deserialize)]
    struct Payload {
        id: i64,
        #[serde(flatten)]
        extra: Map<String, Value>,
    }

    #[derive(Debug, Default, PartialEq, Deserialize)]
    struct Meta {
        cursor: Option<String>,
    }

    type One = Parts<Payload, Field<Meta>>;
    type Many = Parts<Vec<Payload>, Field<Meta>>;

    fn one(text: &str) -> Result<One, String> {
        read(&mut serde_json::Deserializer::from_str(text)).map_err(|error| error.to_string())
    }

    fn many(text: &str) -> Result<Many, String> {
        read(&mut serde_json::Deserializer::from_str(text)).map_err(|error| error.to_string())
    }

    fn payload(id: i64) -> Payload {
        Payload {
            id,
            extra: Map::new(),
        }
    }

    #[test]
    fn enveloped_payloads_in_any_order() {
        let read = one(r#"{"new":1,"meta":{"cursor":"c"},"data":{"id":7}}"#).unwrap();
        assert_eq!(read.data, payload(7));
        assert_eq!(
            read.meta
                .as_option()
                .and_then(|meta| meta.cursor.as_deref()),
            Some("c")
        );
        assert_eq!(Value::Object(read.extra), json!({"new": 1}));
        assert_eq!(
            many(r#"{"data":[{"id":7}],"meta":{}}"#).unwrap().data,
            [payload(7)]
        );
    }

    #[test]
    fn meta_may_be_null_or_missing() {
        assert_eq!(
            one(r#"{"data":{"id":7},"meta":null}"#).unwrap().meta,
            Field::Null
        );
        assert_eq!(one(r#"{"data":{"id":7}}"#).unwrap().meta, Field::Absent);
    }

    #[test]
    fn bare_payloads() {
        let read = one(r#"{"id":7,"colour":"red","meta":1}"#).unwrap();
        assert_eq!(read.data.id, 7);
        assert_eq!(
            Value::Object(read.data.extra),
            json!({"colour": "red", "meta": 1})
        );
        assert_eq!((read.meta, read.extra.len()), (Field::Absent, 0));
        assert_eq!(
            many(r#"[{"id":7},{"id":8}]"#).unwrap().data,
            [payload(7), payload(8)]
        );
        assert_eq!(many("[]").unwrap().data, []);
    }

    #[test]
    fn errors_say_what_is_wrong() {
        for (text, expected) in [
            (
                r#"{"data":null}"#,
                "`data` is null; expected the reply's payload",
            ),
            (
                r#"{"data":{"id":1},"data":{"id":1}}"#,
                "duplicate field `data`",
            ),
            (r#"{"data":{}}"#, "missing field `id`"),
            (
                r#"{"data":{"id":1},"meta":3}"#,
                "`meta`: invalid type: integer `3`",
            ),
            (r#"{"meta":{}}"#, "missing field `data`"),
            ("{}", "missing field `data`"),
            (
                r#"{"errors":[]}"#,
                "the reply has `errors` where `data` was expected",
            ),
            (
                r#"{"name":"x"}"#,
                "the reply has no `data`, and read as a bare payload: missing field `id`",
            ),
            ("[1]", "invalid type: sequence"),
            (
                "3",
                "invalid type: integer `3`, expected an object with `data`, or the payload without an envelope",
            ),
        ] {
            let error = one(text).unwrap_err();
            assert!(error.starts_with(expected), "{text}: {error}");
        }
        let error = many(r#"{"id":7}"#).unwrap_err();
        assert!(error.contains("expected a sequence"), "{error}");
    }
}
