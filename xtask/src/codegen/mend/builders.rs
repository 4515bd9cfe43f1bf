//! Builders of the types of requests, which the compiler checks.
//!
//! They are generated here, and not by a derive of bon or typed-builder, so that the types crate stays small to compile:
//! whoever uses it compiles no macro for them.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Attribute, Field, Fields, Ident, Item, ItemStruct, Type, parse_quote};

use super::super::model::{Model, Property};
use super::Trouble;
use super::syntax::{held_by, is_plain};
use super::types::{field_name, snake_case};

/// Gives each struct of requests a builder with a setter for each property. The builder has one type parameter for each
/// required property, in the order of the document's `required`: a marker of the module `missing`, until the setter
/// turns it into the property's type. `build` takes only those types, and the compiler's error names what is missing. The
/// count is of the builders.
pub(crate) fn builders(items: &mut Vec<Item>, model: &Model<'_>) -> Result<usize, Trouble> {
    let mut made = Vec::new();
    let mut markers = BTreeMap::new();
    let mut count = 0;
    for item in items.iter() {
        let Item::Struct(item) = item else { continue };
        let is_request = model.role(&item.ident.to_string()).request.is_some();
        if !is_request || !matches!(item.fields, Fields::Named(_)) || item.fields.is_empty() {
            continue;
        }
        let builder = Builder::new(item, items, model)?;
        markers.extend(
            builder
                .required()
                .map(|part| (part.marker.clone(), part.name)),
        );
        made.extend(builder.items());
        count += 1;
    }
    if !markers.is_empty() {
        let markers = markers.iter().map(|(marker, name)| {
            let doc = format!(" `{name}` isn't set.");
            quote! {
                #[doc = #doc]
                #[derive(Clone, Copy, Debug)]
                pub struct #marker;
            }
        });
        made.push(parse_quote! {
            /// What a builder has in the place of a required property that isn't set.
            pub mod missing {
                #(#markers)*
            }
        });
    }
    items.extend(made);
    Ok(count)
}

/// The builder of one struct.
struct Builder<'a> {
    target: &'a Ident,
    name: Ident,
    /// In the order of the document.
    parts: Vec<Part<'a>>,
    example: Option<Vec<String>>,
}

/// A property of the struct.
struct Part<'a> {
    name: &'a Ident,
    field: &'a Field,
    state: State<'a>,
    /// The type in the module `missing`.
    marker: Ident,
    /// The type parameter of a required property: as the marker, unless a type is called that.
    parameter: Ident,
}

/// What a field holds.
enum State<'a> {
    /// The value, which is required; with its place in the list of the required ones.
    Required(usize),
    /// An `Option` of this type.
    Optional(&'a Type),
    /// A `Field` of this type, and whether its null clears what is there.
    Nullable { ty: &'a Type, clears: bool },
}

impl<'a> Builder<'a> {
    fn new(item: &'a ItemStruct, items: &[Item], model: &Model<'_>) -> Result<Self, Trouble> {
        let properties = model.properties(&item.ident.to_string());
        let property = |field: &Field| {
            let name = field_name(field);
            properties.iter().find(|property| property.name == name)
        };
        let mut parts = Vec::new();
        for field in &item.fields {
            let property = property(field)
                .ok_or_else(|| Trouble::about(&item.ident, "a field without a property"))?;
            parts.push(Part::new(item, field, property, items)?);
        }
        let mut functions = BTreeSet::from(["build".to_owned()]);
        for function in parts.iter().flat_map(Part::functions) {
            if let Some(taken) = functions.replace(function) {
                return Err(Trouble::about(
                    &item.ident,
                    format!("its builder would have two functions `{taken}`"),
                ));
            }
        }
        let mut builder = Self {
            target: &item.ident,
            name: format_ident!("{}Builder", item.ident),
            parts,
            example: None,
        };
        builder.example = builder.example(&properties, items);
        Ok(builder)
    }

    /// The required parts, in the order of the document's `required`.
    fn required(&self) -> impl Iterator<Item = &Part<'a>> {
        let mut required: Vec<(usize, &Part<'a>)> = self
            .parts
            .iter()
            .filter_map(|part| match part.state {
                State::Required(rank) => Some((rank, part)),
                State::Optional(_) | State::Nullable { .. } => None,
            })
            .collect();
        required.sort_by_key(|(rank, _)| *rank);
        required.into_iter().map(|(_, part)| part)
    }

    /// The builder's type with what `argument` gives for each required part.
    fn with(&self, argument: impl Fn(&Part<'a>) -> TokenStream) -> TokenStream {
        let arguments = angles(self.required().map(argument));
        let name = &self.name;
        quote!(#name #arguments)
    }

    fn items(&self) -> Vec<Item> {
        let (target, name) = (self.target, &self.name);
        let parameters = angles(self.required().map(Part::parameter));
        let docs = self.docs();
        let fields = self.parts.iter().map(|part| {
            let name = part.name;
            let ty = match part.state {
                State::Required(_) => part.parameter(),
                State::Optional(_) | State::Nullable { .. } => {
                    let ty = &part.field.ty;
                    quote!(#ty)
                }
            };
            quote!(#name: #ty)
        });
        let empty = self.with(Part::missing);
        let start = self.parts.iter().map(|part| {
            let (name, missing) = (part.name, part.missing());
            match part.state {
                State::Required(_) => quote!(#name: #missing),
                State::Optional(_) | State::Nullable { .. } => {
                    quote!(#name: ::std::default::Default::default())
                }
            }
        });
        let mut items = vec![
            parse_quote! {
                #(#docs)*
                #[derive(Clone, Debug)]
                #[must_use = "a builder makes nothing until `build` is called"]
                pub struct #name #parameters { #(#fields),* }
            },
            parse_quote! {
                impl #target {
                    /// Starts the builder, in which nothing is set.
                    pub fn builder() -> #empty {
                        #name { #(#start),* }
                    }
                }
            },
        ];
        items.extend(self.required().map(|part| self.required_setter(part)));
        let setters = self.parts.iter().flat_map(Part::setters);
        let build = self.build();
        let whole = self.with(Part::parameter);
        items.push(parse_quote!(impl #parameters #whole { #(#setters)* #build }));
        items
    }

    /// The function that makes the struct. It is there for every builder and asks for what is required by the trait
    /// `Given`, whose message tells what is missing: where no `build` is found at all, the compiler shows the builder's
    /// type, but cuts it off before the end.
    fn build(&self) -> TokenStream {
        let target = self.target;
        let doc = format!(" Makes the [`{target}`].");
        let bounds: Vec<TokenStream> = self
            .required()
            .map(|part| {
                let (parameter, ty) = (&part.parameter, &part.field.ty);
                quote!(#parameter: crate::Given<#ty>)
            })
            .collect();
        let bounds = (!bounds.is_empty()).then(|| quote!(where #(#bounds),*));
        let values = self.parts.iter().map(|part| {
            let name = part.name;
            match part.state {
                State::Required(_) => quote!(#name: self.#name.given()),
                State::Optional(_) | State::Nullable { .. } => quote!(#name: self.#name),
            }
        });
        quote! {
            #[doc = #doc]
            pub fn build(self) -> #target #bounds {
                #target { #(#values),* }
            }
        }
    }

    /// The setter of a required part, which only a builder has that lacks this part.
    fn required_setter(&self, part: &Part<'a>) -> Item {
        let (builder, name) = (&self.name, part.name);
        let is_part = |other: &Part<'_>| other.name == name;
        let others = angles(
            self.required()
                .filter(|other| !is_part(other))
                .map(Part::parameter),
        );
        let either = |own: TokenStream, other: &Part<'_>| {
            if is_part(other) {
                own
            } else {
                other.parameter()
            }
        };
        let before = self.with(|other| either(other.missing(), other));
        let after = self.with(|other| either(other.set(), other));
        let docs = part.docs();
        let (parameter, value) = argument(name, &part.field.ty);
        let value = match value {
            Some(value) => quote!(#name: #value),
            None => quote!(#name),
        };
        let values = self.parts.iter().map(|other| {
            let other_name = other.name;
            if is_part(other) {
                value.clone()
            } else {
                quote!(#other_name: self.#other_name)
            }
        });
        parse_quote! {
            impl #others #before {
                #(#docs)*
                pub fn #name(self, #name: #parameter) -> #after {
                    #builder { #(#values),* }
                }
            }
        }
    }

    fn docs(&self) -> Vec<Attribute> {
        let target = self.target;
        let required: Vec<String> = self
            .required()
            .map(|part| format!("`{}`", part.name))
            .collect();
        let mut lines = vec![
            format!("The builder of [`{target}`]; [`{target}::builder`] starts it."),
            String::new(),
        ];
        let others = if required.is_empty() {
            "A property"
        } else {
            lines.push(format!(
                "Required: {}. Without one of them `build` doesn't compile, and the error names what is [`missing`]; none \
                 can be set twice.",
                required.join(", ")
            ));
            "Any other property"
        };
        lines.push(format!(
            "{others} that isn't set is left out of the request; of one that is set twice, the last value counts."
        ));
        if self.parts.iter().any(Part::clears) {
            lines.push("A setter `clear_..` sends null, which clears the property.".to_owned());
        }
        if let Some(example) = &self.example {
            lines.push(String::new());
            lines.extend(example.iter().cloned());
        }
        lines.iter().map(|line| doc_line(line)).collect()
    }

    /// A program that sets the required properties, the first of the others, and clears the last that can be cleared.
    /// The values are the document's examples, where it has any.
    fn example(&self, properties: &[Property<'_>], items: &[Item]) -> Option<Vec<String>> {
        let mut uses = BTreeSet::from([self.target.to_string()]);
        let mut calls = Vec::new();
        let mut sample = |part: &Part<'_>, ty: &Type| {
            let name = field_name(part.field);
            let property = properties.iter().find(|property| property.name == name)?;
            let value = sample(ty, property, items, &mut uses)?;
            Some(format!("    .{}({value})", part.name))
        };
        for part in self.required() {
            calls.push(sample(part, &part.field.ty)?);
        }
        let first = self.parts.iter().find_map(|part| {
            let (State::Optional(ty) | State::Nullable { ty, .. }) = part.state else {
                return None;
            };
            sample(part, ty)
        });
        calls.extend(first);
        let last = self.parts.iter().rfind(|part| part.clears());
        calls.extend(last.map(|part| format!("    .clear_{}()", part.name)));

        let uses: Vec<String> = uses.into_iter().collect();
        let uses = match &uses[..] {
            [only] => only.clone(),
            several => format!("{{{}}}", several.join(", ")),
        };
        let mut lines = vec![
            "```".to_owned(),
            format!("use layer_payments_types::{uses};"),
            String::new(),
            format!(
                "let {} = {}::builder()",
                snake_case(&self.target.to_string()),
                self.target
            ),
        ];
        let fails = calls.iter().any(|call| call.contains("?)"));
        lines.extend(calls);
        lines.push("    .build();".to_owned());
        if fails {
            lines.push("# Ok::<(), Box<dyn std::error::Error>>(())".to_owned());
        }
        lines.push("```".to_owned());
        Some(lines)
    }
}

impl<'a> Part<'a> {
    fn new(
        item: &ItemStruct,
        field: &'a Field,
        property: &Property<'_>,
        items: &[Item],
    ) -> Result<Self, Trouble> {
        let name = field
            .ident
            .as_ref()
            .ok_or_else(|| Trouble::about(&item.ident, "a field without a name"))?;
        let state = if let Some(rank) = property.rank {
            State::Required(rank)
        } else if let Some(ty) = held_by("Field", &field.ty) {
            let clears = !property.null_keeps;
            State::Nullable { ty, clears }
        } else if let Some(ty) = held_by("Option", &field.ty) {
            State::Optional(ty)
        } else {
            return Err(Trouble::about(
                &item.ident,
                format!("`{name}` is neither required nor an Option"),
            ));
        };
        let marker: Ident = syn::parse_str(&upper_camel_case(&name.to_string()))
            .map_err(|_| Trouble::about(&item.ident, format!("`{name}` gives no type's name")))?;
        let mut parameter = marker.clone();
        let is_taken = |name: &Ident| {
            items.iter().any(|item| match item {
                Item::Struct(item) => item.ident == *name,
                Item::Enum(item) => item.ident == *name,
                _ => false,
            })
        };
        while is_taken(&parameter) {
            parameter = format_ident!("{parameter}_");
        }
        Ok(Self {
            name,
            field,
            state,
            marker,
            parameter,
        })
    }

    fn parameter(&self) -> TokenStream {
        let parameter = &self.parameter;
        quote!(#parameter)
    }

    fn missing(&self) -> TokenStream {
        let marker = &self.marker;
        quote!(missing::#marker)
    }

    fn set(&self) -> TokenStream {
        let ty = &self.field.ty;
        quote!(#ty)
    }

    fn clears(&self) -> bool {
        matches!(self.state, State::Nullable { clears: true, .. })
    }

    fn clear(&self) -> Ident {
        format_ident!("clear_{}", self.name)
    }

    /// The names of the functions that set this part.
    fn functions(&self) -> Vec<String> {
        let clear = self.clears().then(|| self.clear().to_string());
        std::iter::once(self.name.to_string())
            .chain(clear)
            .collect()
    }

    /// What the document says of the property, or its name.
    fn docs(&self) -> Vec<Attribute> {
        let docs: Vec<Attribute> = self
            .field
            .attrs
            .iter()
            .filter(|attr| attr.path().is_ident("doc"))
            .cloned()
            .collect();
        if docs.is_empty() {
            vec![doc_line(&format!("Sets `{}`.", self.name))]
        } else {
            docs
        }
    }

    /// The functions that set a part that isn't required.
    fn setters(&self) -> Vec<TokenStream> {
        let name = self.name;
        let (ty, variant) = match self.state {
            State::Required(_) => return Vec::new(),
            State::Optional(ty) => (ty, quote!(::std::option::Option::Some)),
            State::Nullable { ty, .. } => (ty, quote!(crate::Field::Value)),
        };
        let docs = self.docs();
        let (parameter, value) = argument(name, ty);
        let value = value.unwrap_or_else(|| quote!(#name));
        let mut setters = vec![quote! {
            #(#docs)*
            pub fn #name(mut self, #name: #parameter) -> Self {
                self.#name = #variant(#value);
                self
            }
        }];
        if self.clears() {
            let clear = self.clear();
            let doc = format!(" Sends null for [`{name}`](Self::{name}).");
            setters.push(quote! {
                #[doc = #doc]
                pub fn #clear(mut self) -> Self {
                    self.#name = crate::Field::Null;
                    self
                }
            });
        }
        setters
    }
}

/// What a setter takes for a type, and how that becomes the type unless it is the type: text in any form, a list as
/// anything that gives its elements, and all else as it is. The elements are taken as they are too; a setter that
/// converted them couldn't tell what an empty list is a list of.
fn argument(name: &Ident, ty: &Type) -> (TokenStream, Option<TokenStream>) {
    if let Some(element) = held_by("Vec", ty) {
        (
            quote!(impl ::std::iter::IntoIterator<Item = #element>),
            Some(quote!(#name.into_iter().collect())),
        )
    } else if last_segment(ty).is_some_and(|ident| ident == "String") {
        (
            quote!(impl ::std::convert::Into<#ty>),
            Some(quote!(#name.into())),
        )
    } else {
        (quote!(#ty), None)
    }
}

/// A value of a type as the text of a program, and the types of this crate that it names. `None` for a type that has no
/// short one.
fn sample(
    ty: &Type,
    property: &Property<'_>,
    items: &[Item],
    uses: &mut BTreeSet<String>,
) -> Option<String> {
    let given = property.node.get("example").map(|node| node.to_json());
    let text = |default: &str| {
        let given = given.as_ref().and_then(|given| given.as_str());
        format!("{:?}", given.unwrap_or(default))
    };
    let name = last_segment(ty)?;
    let known = match name.to_string().as_str() {
        "String" => Some(text("text")),
        "Timestamp" => Some(format!("{}.parse()?", text("2024-02-27T02:22:55Z"))),
        "Uuid" => Some(format!(
            "{}.parse()?",
            text("3a9c378e-dc02-4700-9158-f629d632a83b")
        )),
        "i64" => {
            let given = given.as_ref().and_then(|given| given.as_i64());
            Some(given.unwrap_or(1).to_string())
        }
        "bool" => Some("true".to_owned()),
        "Vec" => Some("[]".to_owned()),
        _ => None,
    };
    if known.is_some() {
        return known;
    }
    let item = items.iter().find_map(|item| match item {
        Item::Enum(item) if item.ident == *name => Some(item),
        _ => None,
    })?;
    let variant = item.variants.first()?;
    let value = if is_plain(item) {
        format!("{name}::{}", variant.ident)
    } else {
        // A tagged union, of which a function makes each variant.
        let Fields::Named(fields) = &variant.fields else {
            return None;
        };
        let arguments: Option<Vec<String>> = fields
            .named
            .iter()
            .map(|field| {
                let sample = sample(&field.ty, property, items, uses)?;
                let is_text = last_segment(&field.ty).is_some_and(|ident| ident == "String");
                Some(if is_text {
                    format!("{sample}.to_owned()")
                } else {
                    sample
                })
            })
            .collect();
        let function = snake_case(&variant.ident.to_string());
        format!("{name}::{function}({})", arguments?.join(", "))
    };
    uses.insert(name.to_string());
    Some(value)
}

fn last_segment(ty: &Type) -> Option<&Ident> {
    match ty {
        Type::Path(ty) => ty.path.segments.last().map(|segment| &segment.ident),
        _ => None,
    }
}

/// `<A, B>`, and nothing for nothing.
fn angles(arguments: impl Iterator<Item = TokenStream>) -> TokenStream {
    let arguments: Vec<TokenStream> = arguments.collect();
    if arguments.is_empty() {
        TokenStream::new()
    } else {
        quote!(<#(#arguments),*>)
    }
}

fn doc_line(line: &str) -> Attribute {
    let line = if line.is_empty() {
        String::new()
    } else {
        format!(" {line}")
    };
    parse_quote!(#[doc = #line])
}

fn upper_camel_case(name: &str) -> String {
    name.split('_')
        .flat_map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .into_iter()
                .flat_map(char::to_uppercase)
                .chain(letters)
        })
        .collect()
}
