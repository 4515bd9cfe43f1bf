//! Passes over the data types.
//!
//! Each pass mends one thing that progenitor can't say, in the syntax tree, and gives back how much it changed. An error
//! means that the generated code doesn't look as the pass expects: the generator was upgraded, or the document uses a
//! form for which there is no pass yet.

use std::collections::BTreeSet;

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{
    Attribute, Expr, Field, Fields, Ident, Item, ItemEnum, ItemStruct, Meta, Pat, Variant,
    parse_quote,
};

use super::super::model::Model;
use super::Trouble;
use super::syntax::{
    derives, edit_match, enums, fallback, has_serde_word, held_by, is_plain, literal,
    pattern_texts, remove_derive, serde_metas, serde_text, set_serde_metas, structs, trait_impl,
    wire_name,
};

/// Puts the fields of each struct in the order of the document, so that JSON is written in the order in which people
/// read it. progenitor sorts them by name. The count is of the structs whose order changed.
pub(crate) fn document_order(items: &mut [Item], model: &Model<'_>) -> Result<usize, Trouble> {
    let mut count = 0;
    for item in structs(items) {
        let properties = model.properties(&item.ident.to_string());
        let Fields::Named(fields) = &mut item.fields else {
            continue;
        };
        let rank = |field: &Field| {
            let name = field_name(field);
            properties.iter().position(|property| property.name == name)
        };
        let mut ordered: Vec<Field> = fields.named.iter().cloned().collect();
        ordered.sort_by_key(rank);
        if !ordered.iter().eq(fields.named.iter()) {
            fields.named = ordered.into_iter().collect();
            count += 1;
        }
    }
    Ok(count)
}

/// Makes optional lists and maps `Option`, so that an absent list and an empty one differ.
///
/// progenitor reads a missing list as an empty one and never writes an empty one, so that an update could not empty a
/// list. The count is of the fields.
pub(crate) fn optional_lists(items: &mut [Item]) -> usize {
    let mut count = 0;
    for item in structs(items) {
        for field in &mut item.fields {
            let skipped_if = serde_text(&field.attrs, "skip_serializing_if").unwrap_or_default();
            if !skipped_if.ends_with("is_empty") {
                continue;
            }
            let ty = &field.ty;
            field.ty = parse_quote!(::std::option::Option<#ty>);
            let none: Meta = parse_quote!(skip_serializing_if = "::std::option::Option::is_none");
            replace_presence(&mut field.attrs, &[none]);
            count += 1;
        }
    }
    count
}

/// Makes the optional nullable fields of replies and of PATCH bodies `Field`, which keeps absent, null and a value
/// apart. In an update they mean different things; in a reply a re-encoded document stays what it was. The count is of
/// the fields.
pub(crate) fn three_state_fields(items: &mut [Item], model: &Model<'_>) -> Result<usize, Trouble> {
    let mut count = 0;
    for item in structs(items) {
        let name = item.ident.to_string();
        let role = model.role(&name);
        if !role.is_reply() && !role.patch {
            continue;
        }
        let properties = model.properties(&name);
        for property in properties.iter().filter(|p| p.nullable && p.rank.is_none()) {
            let field = item
                .fields
                .iter_mut()
                .find(|field| field_name(field) == property.name)
                .ok_or_else(|| {
                    Trouble::about(&item.ident, format!("no field for `{}`", property.name))
                })?;
            let inner = held_by("Option", &field.ty).ok_or_else(|| {
                Trouble::about(&item.ident, format!("`{}` is not an Option", property.name))
            })?;
            field.ty = parse_quote!(crate::Field<#inner>);
            let default: Meta = parse_quote!(default);
            let absent: Meta = parse_quote!(skip_serializing_if = "crate::Field::is_absent");
            replace_presence(&mut field.attrs, &[default, absent]);
            count += 1;
        }
    }
    Ok(count)
}

/// Lets the optional fields of requests that may not be null refuse null. serde reads null into an `Option` as `None`, so
/// that an update with `"tags": null` would silently leave the tags, where the document says that null is not allowed.
/// Replies stay tolerant. The count is of the fields.
pub(crate) fn refuse_null(items: &mut [Item], model: &Model<'_>) -> Result<usize, Trouble> {
    let mut count = 0;
    for item in structs(items) {
        let name = item.ident.to_string();
        if model.role(&name).request.is_none() {
            continue;
        }
        let properties = model.properties(&name);
        for property in properties
            .iter()
            .filter(|p| !p.nullable && p.rank.is_none())
        {
            let field = item
                .fields
                .iter_mut()
                .find(|field| field_name(field) == property.name)
                .ok_or_else(|| {
                    Trouble::about(&item.ident, format!("no field for `{}`", property.name))
                })?;
            let inner = held_by("Option", &field.ty).ok_or_else(|| {
                Trouble::about(&item.ident, format!("`{}` is not an Option", property.name))
            })?;
            // The schema of the type without the `Option` is the one that doesn't take null.
            let schema = quote!(#inner).to_string().replace(' ', "");
            let mut metas = serde_metas(&field.attrs);
            metas.retain(|meta| !meta.path().is_ident("default"));
            metas.push(parse_quote!(default));
            metas.push(parse_quote!(deserialize_with = "crate::field::not_null"));
            set_serde_metas(&mut field.attrs, &metas);
            field
                .attrs
                .push(parse_quote!(#[cfg_attr(feature = "schemars", schemars(with = #schema))]));
            count += 1;
        }
    }
    Ok(count)
}

/// Lets the required lists of replies be null, which reads as empty: one payment whose list is null would otherwise cost
/// the whole page. Not `data` of an envelope: a list without it isn't an empty list but a broken reply. The count is of the
/// fields.
pub(crate) fn null_lists(items: &mut [Item], model: &Model<'_>) -> usize {
    let mut count = 0;
    for item in structs(items) {
        let name = item.ident.to_string();
        let role = model.role(&name);
        if !role.is_reply() {
            continue;
        }
        let properties = model.properties(&name);
        for field in &mut item.fields {
            let property = field_name(field);
            let is_required = properties
                .iter()
                .any(|p| p.name == property && p.rank.is_some() && !p.nullable);
            if !is_required
                || held_by("Vec", &field.ty).is_none()
                || (role.success && property == "data")
            {
                continue;
            }
            let mut metas = serde_metas(&field.attrs);
            metas.push(parse_quote!(
                deserialize_with = "crate::field::null_as_empty"
            ));
            set_serde_metas(&mut field.attrs, &metas);
            count += 1;
        }
    }
    count
}

/// Opens the enumerations of replies: a value that this version doesn't know is kept as text in `Unknown` instead of
/// failing the whole page. Requests stay closed. The count is of the enums.
pub(crate) fn open_enums(items: &mut [Item], model: &Model<'_>) -> Result<usize, Trouble> {
    let names = matching_enums(items, |item| {
        is_plain(item) && model.role(&item.ident.to_string()).is_reply()
    });
    for name in &names {
        for item in enums(items).filter(|item| item.ident == *name) {
            refuse_variant(item, "Unknown")?;
            remove_derive(&mut item.attrs, "Copy");
            item.attrs.push(parse_quote!(#[non_exhaustive]));
            item.variants.push(parse_quote! {
                /// A value that this version doesn't know, as it was sent. Never one of the values above when it was
                /// read from JSON or text.
                #[serde(untagged)]
                Unknown(::std::string::String)
            });
        }
        edit_match(
            trait_impl(items, "Display", name)?,
            &mut |scrutinee, arms| {
                *scrutinee = parse_quote!(self);
                arms.push(parse_quote!(Self::Unknown(value) => f.write_str(value),));
                Ok(())
            },
        )?;
        edit_match(trait_impl(items, "FromStr", name)?, &mut |_, arms| {
            *fallback(arms)?.body = parse_quote!(Ok(Self::Unknown(value.to_owned())));
            Ok(())
        })?;
    }
    Ok(names.len())
}

/// Gives the unions of replies a last variant for what fits no other, kept as JSON. The count is of the enums.
pub(crate) fn open_unions(items: &mut [Item], model: &Model<'_>) -> Result<usize, Trouble> {
    let mut count = 0;
    for item in enums(items) {
        if is_plain(item) || !model.role(&item.ident.to_string()).is_reply() {
            continue;
        }
        refuse_variant(item, "Unknown")?;
        let mut variant: Variant = parse_quote! {
            /// What fits none of the forms above, as it was sent.
            Unknown(::serde_json::Value)
        };
        // In a union that is untagged as a whole, serde refuses the attribute on a variant.
        if !has_serde_word(&item.attrs, "untagged") {
            variant.attrs.push(parse_quote!(#[serde(untagged)]));
        }
        item.variants.push(variant);
        count += 1;
    }
    Ok(count)
}

/// Gives the objects of replies, and the tagged members of their unions, a map of the properties that this version
/// doesn't know. The count is of the objects and members.
pub(crate) fn keep_unknown_fields(items: &mut [Item], model: &Model<'_>) -> Result<usize, Trouble> {
    let mut count = 0;
    let mut keep = |name: &Ident, fields: &mut Fields, public: bool| -> Result<(), Trouble> {
        let Fields::Named(fields) = fields else {
            return Ok(());
        };
        if fields
            .named
            .iter()
            .any(|field| field_name(field) == "extra")
        {
            return Err(Trouble::about(
                name,
                "it has a property `extra`, which is the name of the map of unknown properties",
            ));
        }
        let mut extra: Fields = Fields::Named(parse_quote!({
            /// Properties that this version doesn't know, as they were sent.
            #[serde(flatten)]
            pub extra: ::serde_json::Map<::std::string::String, ::serde_json::Value>,
        }));
        for field in &mut extra {
            if !public {
                field.vis = syn::Visibility::Inherited;
            }
            fields.named.push(field.clone());
        }
        count += 1;
        Ok(())
    };
    for item in structs(items) {
        if model.role(&item.ident.to_string()).is_reply() {
            keep(&item.ident, &mut item.fields, true)?;
        }
    }
    for item in enums(items) {
        if model.role(&item.ident.to_string()).is_reply() {
            for variant in &mut item.variants {
                keep(&item.ident, &mut variant.fields, false)?;
            }
        }
    }
    Ok(count)
}

/// Describes the variants that have no description: progenitor takes none over for values, and none from a titled
/// reference. The count is of the variants.
pub(crate) fn variant_docs(items: &mut [Item]) -> usize {
    let mut count = 0;
    for item in enums(items) {
        for variant in &mut item.variants {
            if variant.attrs.iter().any(|attr| attr.path().is_ident("doc")) {
                continue;
            }
            let doc = match &variant.fields {
                Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
                    let ty = &fields.unnamed[0].ty;
                    format!(" See [`{}`].", quote!(#ty))
                }
                _ => format!(" `{}`.", wire_name(&variant.attrs, &variant.ident)),
            };
            variant.attrs.insert(0, parse_quote!(#[doc = #doc]));
            count += 1;
        }
    }
    count
}

/// Lets enumerations read their deprecated spellings: the extension `x-deprecated-values` maps each to the value that
/// it means now. The count is of the spellings.
pub(crate) fn deprecated_enum_values(
    items: &mut [Item],
    model: &Model<'_>,
) -> Result<usize, Trouble> {
    let mut count = 0;
    for name in matching_enums(items, is_plain) {
        for (old, new) in model.deprecated_values(&name.to_string()) {
            let variant = enums(items)
                .filter(|item| item.ident == name)
                .flat_map(|item| item.variants.iter_mut())
                .find(|variant| wire_name(&variant.attrs, &variant.ident) == new)
                .ok_or_else(|| Trouble::about(&name, format!("no variant for `{new}`")))?;
            let note = format!(" Also read from its deprecated spelling `{old}`.");
            variant.attrs.push(parse_quote!(#[doc = #note]));
            let mut metas = serde_metas(&variant.attrs);
            metas.push(parse_quote!(alias = #old));
            set_serde_metas(&mut variant.attrs, &metas);
            edit_match(trait_impl(items, "FromStr", &name)?, &mut |_, arms| {
                let arm = arms
                    .iter_mut()
                    .find(|arm| pattern_texts(&arm.pat).iter().any(|text| text == new))
                    .ok_or_else(|| format!("{name} reads no text `{new}`"))?;
                let mut texts = pattern_texts(&arm.pat);
                texts.push(old.to_owned());
                let texts = texts.iter().map(|text| literal(text));
                arm.pat = syn::parse::Parser::parse2(Pat::parse_multi, quote!(#(#texts)|*))
                    .map_err(|error| error.to_string())?;
                Ok(())
            })?;
            count += 1;
        }
    }
    Ok(count)
}

/// Lets closed enumerations say what they take when they refuse a text; progenitor only says "invalid value". The count
/// is of the enums.
pub(crate) fn name_expected_values(items: &mut [Item]) -> Result<usize, Trouble> {
    let mut count = 0;
    for name in matching_enums(items, is_plain) {
        let values: Vec<String> = enums(items)
            .filter(|item| item.ident == name)
            .flat_map(|item| item.variants.iter())
            .map(|variant| format!("`{}`", wire_name(&variant.attrs, &variant.ident)))
            .collect();
        edit_match(trait_impl(items, "FromStr", &name)?, &mut |_, arms| {
            let message = format!("expected {}", alternatives(&values));
            *fallback(arms)?.body = parse_quote!(Err(#message.into()));
            Ok(())
        })?;
        count += 1;
    }
    Ok(count)
}

/// Reads the envelopes of successful replies tolerantly: with `data`, or bare. The derived `Deserialize` gives way to
/// one that calls the hand-written `crate::envelope`. The count is of the envelopes.
pub(crate) fn tolerant_envelopes(
    items: &mut Vec<Item>,
    model: &Model<'_>,
) -> Result<usize, Trouble> {
    let mut impls: Vec<Item> = Vec::new();
    for item in structs(items) {
        let name = item.ident.clone();
        let properties = model.properties(&name.to_string());
        if !model.role(&name.to_string()).success || !properties.iter().any(|p| p.name == "data") {
            continue;
        }
        let fields: Vec<String> = item.fields.iter().map(field_name).collect();
        if fields != ["data", "meta", "extra"] {
            return Err(Trouble::about(
                &name,
                format!(
                    "an envelope has `data` and `meta` and no other property; found {}",
                    fields.join(", ")
                ),
            ));
        }
        if !remove_derive(&mut item.attrs, "Deserialize") {
            return Err(Trouble::about(&name, "it doesn't derive Deserialize"));
        }
        impls.push(parse_quote! {
            impl<'de> ::serde::Deserialize<'de> for #name {
                fn deserialize<D>(deserializer: D) -> ::std::result::Result<Self, D::Error>
                where
                    D: ::serde::Deserializer<'de>,
                {
                    let crate::envelope::Parts { data, meta, extra } = crate::envelope::read(deserializer)?;
                    ::std::result::Result::Ok(Self { data, meta, extra })
                }
            }
        });
    }
    let count = impls.len();
    items.extend(impls);
    Ok(count)
}

/// Lets the untagged unions of requests choose their member by the property that only it has, so that a mistake in a
/// member is reported as what it is; serde's own way reports "data did not match any variant". The count is of the
/// enums.
pub(crate) fn guided_unions(items: &mut Vec<Item>, model: &Model<'_>) -> Result<usize, Trouble> {
    let mut impls: Vec<Item> = Vec::new();
    for item in enums(items) {
        let name = item.ident.clone();
        let role = model.role(&name.to_string());
        if !has_serde_word(&item.attrs, "untagged") || role.request.is_none() {
            continue;
        }
        let members = model.union_members(&name.to_string());
        if members.len() != item.variants.len() {
            return Err(Trouble::about(
                &name,
                format!(
                    "{} variants for {} members",
                    item.variants.len(),
                    members.len()
                ),
            ));
        }
        let variants: Vec<&Ident> = item.variants.iter().map(|variant| &variant.ident).collect();
        let mut choice: Expr = parse_quote!(::std::unreachable!());
        for (index, variant) in variants.iter().enumerate().rev() {
            let read: Expr = parse_quote!(crate::union::member(value).map(Self::#variant));
            choice = if index + 1 == members.len() {
                read
            } else {
                let mark = distinctive(model, &members, index).ok_or_else(|| {
                    Trouble::about(
                        &name,
                        format!(
                            "no required property tells {} from the members after it; give it one, or change the order",
                            members[index]
                        ),
                    )
                })?;
                parse_quote!(if value.contains_key(#mark) { #read } else { #choice })
            };
        }
        if !remove_derive(&mut item.attrs, "Deserialize") {
            return Err(Trouble::about(&name, "it doesn't derive Deserialize"));
        }
        impls.push(parse_quote! {
            impl<'de> ::serde::Deserialize<'de> for #name {
                fn deserialize<D>(deserializer: D) -> ::std::result::Result<Self, D::Error>
                where
                    D: ::serde::Deserializer<'de>,
                {
                    let value = ::serde_json::Map::deserialize(deserializer)?;
                    #choice
                }
            }
        });
    }
    let count = impls.len();
    items.extend(impls);
    Ok(count)
}

/// A required property of the member at `index` that no later member has.
pub(crate) fn distinctive<'a>(
    model: &Model<'a>,
    members: &[&str],
    index: usize,
) -> Option<&'a str> {
    let later: BTreeSet<&str> = members[index + 1..]
        .iter()
        .flat_map(|member| model.properties(member))
        .map(|property| property.name)
        .collect();
    model
        .properties(members[index])
        .into_iter()
        .filter(|property| property.rank.is_some() && !later.contains(property.name))
        .min_by_key(|property| property.rank)
        .map(|property| property.name)
}

/// Gives each struct of replies with required fields a `new` that takes just those, in the order of the document's
/// `required`, and each tagged variant a function that makes it. Structs of twenty fields are otherwise a burden to
/// write, and a new optional property would break everybody who writes them. The structs of requests have builders
/// instead. The count is of the functions.
pub(crate) fn constructors(items: &mut Vec<Item>, model: &Model<'_>) -> Result<usize, Trouble> {
    let mut impls: Vec<Item> = Vec::new();
    let mut count = 0;
    for item in structs(items) {
        if model.role(&item.ident.to_string()).request.is_some() {
            continue;
        }
        if let Some(function) = struct_constructor(item, model) {
            let name = &item.ident;
            impls.push(parse_quote!(impl #name { #function }));
            count += 1;
        }
    }
    for item in enums(items) {
        let name = &item.ident;
        let functions: Vec<TokenStream> = item
            .variants
            .iter()
            .filter_map(variant_constructor)
            .collect();
        if !functions.is_empty() {
            count += functions.len();
            impls.push(parse_quote!(impl #name { #(#functions)* }));
        }
    }
    items.extend(impls);
    Ok(count)
}

fn struct_constructor(item: &ItemStruct, model: &Model<'_>) -> Option<TokenStream> {
    if !matches!(item.fields, Fields::Named(_))
        || derives(&item.attrs).iter().any(|name| name == "Default")
    {
        return None;
    }
    let properties = model.properties(&item.ident.to_string());
    let rank = |field: &Field| {
        let name = field_name(field);
        properties
            .iter()
            .find(|property| property.name == name)?
            .rank
    };
    let mut required: Vec<(usize, &Field)> = item
        .fields
        .iter()
        .filter_map(|field| Some((rank(field)?, field)))
        .collect();
    if required.is_empty() {
        return None;
    }
    required.sort_by_key(|(rank, _)| *rank);
    let parameters = required.iter().map(|(_, field)| parameter(field));
    let values = item.fields.iter().map(|field| {
        let name = &field.ident;
        if rank(field).is_some() {
            quote!(#name)
        } else {
            quote!(#name: ::std::default::Default::default())
        }
    });
    Some(quote! {
        /// Has the required properties and none of the others.
        pub fn new(#(#parameters),*) -> Self {
            Self { #(#values),* }
        }
    })
}

fn variant_constructor(variant: &Variant) -> Option<TokenStream> {
    let Fields::Named(fields) = &variant.fields else {
        return None;
    };
    let (extra, own): (Vec<&Field>, Vec<&Field>) = fields
        .named
        .iter()
        .partition(|field| has_serde_word(&field.attrs, "flatten"));
    let name = &variant.ident;
    let function = format_ident!("{}", snake_case(&name.to_string()));
    let doc = format!(" Makes [`{name}`](Self::{name}).");
    let parameters = own.iter().map(|field| parameter(field));
    let own = own.iter().map(|field| &field.ident);
    let extra = extra.iter().map(|field| &field.ident);
    Some(quote! {
        #[doc = #doc]
        pub fn #function(#(#parameters),*) -> Self {
            Self::#name { #(#own,)* #(#extra: ::std::default::Default::default(),)* }
        }
    })
}

fn parameter(field: &Field) -> TokenStream {
    let (name, ty) = (&field.ident, &field.ty);
    quote!(#name: #ty)
}

/// Derives `JsonSchema` for every type, behind the feature `schemars`. The count is of the types.
pub(crate) fn derive_json_schema(items: &mut [Item]) -> usize {
    let mut count = 0;
    for item in items {
        let attrs = match item {
            Item::Struct(item) => &mut item.attrs,
            Item::Enum(item) => &mut item.attrs,
            _ => continue,
        };
        if derives(attrs).iter().any(|name| name == "Serialize") {
            attrs.push(
                parse_quote!(#[cfg_attr(feature = "schemars", derive(::schemars::JsonSchema))]),
            );
            count += 1;
        }
    }
    count
}

/// The name of a type that [`derive_json_schema`] gave a schema.
pub(crate) fn has_json_schema(item: &Item) -> Option<&Ident> {
    let (attrs, name) = match item {
        Item::Struct(item) => (&item.attrs, &item.ident),
        Item::Enum(item) => (&item.attrs, &item.ident),
        _ => return None,
    };
    attrs
        .iter()
        .any(|attr| attr.path().is_ident("cfg_attr"))
        .then_some(name)
}

/// The field's name in JSON.
pub(crate) fn field_name(field: &Field) -> String {
    field
        .ident
        .as_ref()
        .map(|ident| wire_name(&field.attrs, ident))
        .unwrap_or_default()
}

/// Replaces what serde is told about a missing value, and keeps the rest.
fn replace_presence(attrs: &mut Vec<Attribute>, presence: &[Meta]) {
    let mut metas: Vec<Meta> = serde_metas(attrs)
        .into_iter()
        .filter(|meta| {
            !meta.path().is_ident("default") && !meta.path().is_ident("skip_serializing_if")
        })
        .collect();
    metas.extend_from_slice(presence);
    set_serde_metas(attrs, &metas);
}

fn matching_enums(items: &mut [Item], matches: impl Fn(&ItemEnum) -> bool) -> Vec<Ident> {
    enums(items)
        .filter(|item| matches(item))
        .map(|item| item.ident.clone())
        .collect()
}

fn refuse_variant(item: &ItemEnum, name: &str) -> Result<(), Trouble> {
    if item.variants.iter().any(|variant| variant.ident == name) {
        return Err(Trouble::about(
            &item.ident,
            format!(
                "it has a variant {name} of its own, which is the name of the one for all others"
            ),
        ));
    }
    Ok(())
}

/// `a`, `a or b`, `a, b or c`.
fn alternatives(values: &[String]) -> String {
    match values {
        [] => String::new(),
        [only] => only.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

pub(crate) fn snake_case(name: &str) -> String {
    let mut snake = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !snake.is_empty() {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}
