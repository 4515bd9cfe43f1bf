//! Passes over the generated code.
//!
//! What progenitor can't say is mended in its syntax tree, never in its text: a pass says what it looks for, and fails
//! if it isn't there, where a text patch would silently do nothing after an upgrade.

pub(crate) mod builders;
pub(crate) mod client;
mod docs;
mod syntax;
pub(crate) mod types;

use syn::{Ident, Item};

use super::Counts;
use super::model::Model;

/// The two generated files.
#[derive(Debug)]
pub(crate) struct Mended {
    pub(crate) types: Vec<Item>,
    pub(crate) client: Vec<Item>,
}

/// Why a pass couldn't do its work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The component schema that it is about, if it is about one.
    pub(crate) schema: Option<String>,
    pub(crate) message: String,
}

impl Trouble {
    fn about(name: &Ident, message: impl Into<String>) -> Self {
        Self {
            schema: Some(name.to_string()),
            message: message.into(),
        }
    }
}

/// Trouble with the generator's code rather than with a schema.
impl From<String> for Trouble {
    fn from(message: String) -> Self {
        Self {
            schema: None,
            message,
        }
    }
}

/// Runs all passes in the order in which they build on each other.
pub(crate) fn mend(
    file: syn::File,
    model: &Model<'_>,
    counts: &mut Counts,
) -> Result<Mended, Trouble> {
    let mut client = file.items;
    let mut types = client::split_types_module(&mut client)?;
    counts.add("split_types_module", types.len());

    counts.add("document_order", types::document_order(&mut types, model)?);
    counts.add("optional_lists", types::optional_lists(&mut types));
    counts.add(
        "three_state_fields",
        types::three_state_fields(&mut types, model)?,
    );
    counts.add("refuse_null", types::refuse_null(&mut types, model)?);
    counts.add("null_lists", types::null_lists(&mut types, model));
    counts.add(
        "name_expected_values",
        types::name_expected_values(&mut types)?,
    );
    counts.add("variant_docs", types::variant_docs(&mut types));
    counts.add(
        "deprecated_enum_values",
        types::deprecated_enum_values(&mut types, model)?,
    );
    counts.add(
        "keep_unknown_fields",
        types::keep_unknown_fields(&mut types, model)?,
    );
    counts.add("open_unions", types::open_unions(&mut types, model)?);
    // After the unions, which are told from enumerations by having data.
    counts.add("open_enums", types::open_enums(&mut types, model)?);
    counts.add("derive_json_schema", types::derive_json_schema(&mut types));
    counts.add(
        "tolerant_envelopes",
        types::tolerant_envelopes(&mut types, model)?,
    );
    counts.add("guided_unions", types::guided_unions(&mut types, model)?);
    counts.add("constructors", types::constructors(&mut types, model)?);
    counts.add("builders", builders::builders(&mut types, model)?);

    counts.add(
        "drop_api_version_header",
        client::drop_api_version_header(&mut client)?,
    );
    counts.add(
        "drop_panicking_constructor",
        client::drop_panicking_constructor(&mut client),
    );
    counts.add("drop_prelude", client::drop_prelude(&mut client));
    counts.add("slice_bodies", client::slice_bodies(&mut client, &types)?);
    counts.add("plain_path_ids", client::plain_path_ids(&mut client)?);
    counts.add("decode_replies", client::decode_replies(&mut client));

    counts.add(
        "line_docs",
        docs::line_docs(&mut types) + docs::line_docs(&mut client),
    );
    Ok(Mended { types, client })
}

#[cfg(test)]
mod tests {
    use quote::quote;

    use super::super::{fixture, yaml};
    use super::*;

    /// Runs a pass over code that lacks what the pass looks for, as after an upgrade of the generator.
    fn trouble(
        code: proc_macro2::TokenStream,
        pass: impl Fn(&mut Vec<Item>, &Model<'_>) -> Result<usize, Trouble>,
    ) -> String {
        let root = yaml::parse(fixture::PARCELS).unwrap();
        let mut items = syn::parse2::<syn::File>(code).unwrap().items;
        pass(&mut items, &Model::new(&root)).unwrap_err().message
    }

    #[test]
    fn passes_fail_where_the_code_has_another_shape() {
        let carrier_name = quote! {
            pub enum CarrierName { Train }
        };
        assert_eq!(
            trouble(carrier_name.clone(), |items, model| types::open_enums(
                items, model
            )),
            "no `impl Display for CarrierName`"
        );
        assert_eq!(
            trouble(carrier_name, |items, _| types::name_expected_values(items)),
            "no `impl FromStr for CarrierName`"
        );
        let paging = quote! {
            pub struct Paging { pub cursor: String, pub has_more: bool }
        };
        assert_eq!(
            trouble(paging, |items, model| types::three_state_fields(
                items, model
            )),
            "`cursor` is not an Option"
        );
        let reply = quote! {
            pub struct ParcelReply { pub data: Parcel, pub meta: crate::Field<ReplyMeta>, pub extra: Extra }
        };
        assert_eq!(
            trouble(reply, types::tolerant_envelopes),
            "it doesn't derive Deserialize"
        );
        let carrier = quote! {
            pub enum Carrier { Train }
        };
        assert_eq!(
            trouble(carrier, |items, model| types::deprecated_enum_values(
                items, model
            )),
            "no variant for `BIKE`"
        );
    }

    #[test]
    fn bodies_become_slices_by_their_type_and_not_by_their_name() {
        let types = syn::parse2::<syn::File>(quote! {
            pub struct Parcels(pub ::std::vec::Vec<Parcel>);
            pub struct Labels(pub ::std::vec::Vec<::std::string::String>);
            pub struct Metadata(pub ::serde_json::Map<::std::string::String, Parcel>);
            pub struct Parcel { pub items: ::std::vec::Vec<Parcel> }
        });
        let types = types.unwrap().items;
        let mut client: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                fn one<'a>(&'a self, body: &'a types::Parcels, other: &'a types::Parcels) {}
                fn two<'a>(&'a self, body: &'a types::Labels) {}
                fn three<'a>(&'a self, body: &'a types::Metadata) {}
                fn four<'a>(&'a self, body: &'a types::Parcel) {}
                fn five<'a>(&'a self, id: i64) {}
            }
        }];
        assert_eq!(client::slice_bodies(&mut client, &types), Ok(2));
        let expected: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                fn one<'a>(&'a self, body: &'a [types::Parcel], other: &'a types::Parcels) {}
                fn two<'a>(&'a self, body: &'a [::std::string::String]) {}
                fn three<'a>(&'a self, body: &'a types::Metadata) {}
                fn four<'a>(&'a self, body: &'a types::Parcel) {}
                fn five<'a>(&'a self, id: i64) {}
            }
        }];
        assert_eq!(client, expected);

        let mut client: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                fn one(&self, body: types::Parcels) {}
            }
        }];
        assert_eq!(
            client::slice_bodies(&mut client, &types),
            Err("a body isn't taken by reference".to_owned())
        );
    }

    #[test]
    fn ids_stand_in_a_path_as_they_are_and_text_is_encoded() {
        let mut items: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                fn one<'a>(&'a self, id: &'a ::uuid::Uuid, name: &'a str) {
                    let url = format!("{}/{}/{}", self.baseurl, encode_path(&id.to_string()), encode_path(&name.to_string()),);
                }
            }
        }];
        assert_eq!(client::plain_path_ids(&mut items), Ok(1));
        let expected: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                fn one<'a>(&'a self, id: &'a ::uuid::Uuid, name: &'a str) {
                    let url = format!("{}/{}/{}", self.baseurl, id, encode_path(&name.to_string()),);
                }
            }
        }];
        assert_eq!(items, expected);
    }

    #[test]
    fn replies_are_decoded_by_the_hand_written_half() {
        let mut items: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                async fn one(&self) {
                    match status {
                        200u16 => ResponseValue::from_response(response).await,
                        400u16..=499u16 => Err(Error::ErrorResponse(ResponseValue::from_response(response).await?)),
                        _ => Err(Error::UnexpectedResponse(response)),
                    }
                }
            }
        }];
        assert_eq!(client::decode_replies(&mut items), 2);
        let expected: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                async fn one(&self) {
                    match status {
                        200u16 => self.decode(response),
                        400u16..=499u16 => Err(Error::ErrorResponse(self.decode(response)?)),
                        _ => Err(Error::UnexpectedResponse(response)),
                    }
                }
            }
        }];
        assert_eq!(items, expected);
    }

    #[test]
    fn the_client_is_refused_without_its_types_or_with_headers_sent_in_a_new_way() {
        assert_eq!(
            client::split_types_module(&mut Vec::new()),
            Err("no module `types`".to_owned())
        );
        let mut items: Vec<Item> = vec![syn::parse_quote! {
            impl Client {
                fn list(&self) {
                    let mut header_map = HeaderMap::new();
                    header_map.append("api-version", "1");
                    send(header_map);
                }
            }
        }];
        assert_eq!(
            client::drop_api_version_header(&mut items),
            Err("list sends its headers in a new way".to_owned())
        );
    }
}
