//! Code made from the document itself: the index of operations and the index of schemas.

use quote::{format_ident, quote};
use syn::{Ident, Item, parse_quote};

use super::mend::Trouble;
use super::mend::types::has_json_schema;
use super::model::{Model, Operation, Parameter};
use super::shape::Shapes;

/// The enum `Operation`. A new operation in the document is a new variant, so that every exhaustive match on it, in the
/// server, the client and the program, fails to compile until it has a place for it.
pub(crate) fn operation_index<'a>(
    model: &'a Model<'a>,
    shapes: &mut Shapes<'a>,
) -> Result<Vec<Item>, Trouble> {
    let operations = &model.operations;
    let variants: Vec<Ident> = operations
        .iter()
        .map(|operation| format_ident!("{}", upper_camel_case(operation.id)))
        .collect();
    let docs = operations.iter().map(|operation| {
        format!(
            " {}: `{} {}`.",
            operation.summary, operation.method, operation.path
        )
    });
    let ids = operations.iter().map(|operation| operation.id);
    let methods = operations.iter().map(|operation| &operation.method);
    let paths = operations.iter().map(|operation| operation.path);
    let summaries = operations.iter().map(|operation| operation.summary);
    let parameters = operations
        .iter()
        .map(|operation| parameter_list(operation, shapes))
        .collect::<Result<Vec<_>, Trouble>>()?;
    let bodies = operations
        .iter()
        .map(|operation| shapes.body(operation))
        .collect::<Result<Vec<_>, Trouble>>()?;
    let count = operations.len();
    Ok(vec![
        parse_quote! {
            /// The operations of the API, in the order of the document.
            ///
            /// There is deliberately no variant for others: whoever matches on it must place each operation.
            #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
            pub enum Operation {
                #(#[doc = #docs] #variants),*
            }
        },
        parse_quote! {
            impl Operation {
                /// Every operation, in the order of the document.
                pub const ALL: [Self; #count] = [#(Self::#variants),*];

                /// The `operationId`.
                pub const fn id(self) -> &'static str {
                    match self { #(Self::#variants => #ids),* }
                }

                /// The HTTP method, in upper case.
                pub const fn method(self) -> &'static str {
                    match self { #(Self::#variants => #methods),* }
                }

                /// The path under the base URL, with its parameters in braces.
                pub const fn path(self) -> &'static str {
                    match self { #(Self::#variants => #paths),* }
                }

                /// What it does, in one line.
                pub const fn summary(self) -> &'static str {
                    match self { #(Self::#variants => #summaries),* }
                }

                /// Its parameters in path, query and headers: those of the path first, otherwise in the order of the
                /// document.
                pub const fn parameters(self) -> &'static [crate::Parameter] {
                    match self { #(Self::#variants => #parameters),* }
                }

                /// What its request body may be; `None` if it has no body.
                pub const fn body(self) -> ::std::option::Option<&'static crate::Shape> {
                    match self { #(Self::#variants => #bodies),* }
                }
            }
        },
    ])
}

fn parameter_list<'a>(
    operation: &Operation<'a>,
    shapes: &mut Shapes<'a>,
) -> Result<proc_macro2::TokenStream, Trouble> {
    let parameters = operation
        .parameters
        .iter()
        .map(|parameter| {
            let Parameter {
                name,
                location,
                required,
                description,
                ..
            } = parameter;
            let location = match *location {
                "path" => quote!(crate::ParameterLocation::Path),
                "query" => quote!(crate::ParameterLocation::Query),
                "header" => quote!(crate::ParameterLocation::Header),
                other => {
                    return Err(Trouble::from(format!(
                        "{}: no place for a parameter in `{other}`",
                        operation.id
                    )));
                }
            };
            let shape = shapes.parameter(parameter)?;
            let description = description.trim();
            Ok(quote! {
                crate::Parameter {
                    name: #name,
                    location: #location,
                    required: #required,
                    shape: #shape,
                    description: #description,
                }
            })
        })
        .collect::<Result<Vec<_>, Trouble>>()?;
    Ok(quote!(const { &[#(#parameters),*] }))
}

/// The function `json_schemas`, which gives each type's name and schema, in the order of the names.
pub(crate) fn schema_index(types: &[Item]) -> Item {
    let mut names: Vec<&Ident> = types.iter().filter_map(has_json_schema).collect();
    names.sort();
    let texts = names.iter().map(|name| name.to_string());
    parse_quote! {
        /// The JSON Schema of every type of this crate's generated part, by name, in the order of the names.
        #[cfg(feature = "schemars")]
        pub fn json_schemas() -> ::std::vec::Vec<(&'static str, ::schemars::Schema)> {
            ::std::vec![#((#texts, ::schemars::schema_for!(#names))),*]
        }
    }
}

/// `list_things` as `ListThings`.
fn upper_camel_case(id: &str) -> String {
    id.split('_')
        .map(|word| {
            let mut letters = word.chars();
            match letters.next() {
                Some(first) => first.to_uppercase().chain(letters).collect::<String>(),
                None => String::new(),
            }
        })
        .collect()
}
