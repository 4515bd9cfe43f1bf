//! Small tools for the generated syntax tree.

use proc_macro2::Span;
use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{
    Arm, Attribute, Expr, Fields, GenericArgument, Ident, Item, ItemEnum, ItemImpl, ItemStruct,
    Lit, LitStr, Meta, Pat, Path, PathArguments, Token, Type, parse_quote,
};

/// The structs of a list of items.
pub(crate) fn structs(items: &mut [Item]) -> impl Iterator<Item = &mut ItemStruct> {
    items.iter_mut().filter_map(|item| match item {
        Item::Struct(item) => Some(item),
        _ => None,
    })
}

/// The enums of a list of items.
pub(crate) fn enums(items: &mut [Item]) -> impl Iterator<Item = &mut ItemEnum> {
    items.iter_mut().filter_map(|item| match item {
        Item::Enum(item) => Some(item),
        _ => None,
    })
}

/// Whether an enum has no data at all, as enumerations of strings have none.
pub(crate) fn is_plain(item: &ItemEnum) -> bool {
    item.variants
        .iter()
        .all(|variant| matches!(variant.fields, Fields::Unit))
}

/// The implementation of a trait, named by its last segment, for a type.
pub(crate) fn trait_impl<'a>(
    items: &'a mut [Item],
    trait_name: &str,
    ty: &Ident,
) -> Result<&'a mut ItemImpl, String> {
    items
        .iter_mut()
        .find_map(|item| match item {
            Item::Impl(item) => {
                let (path, _) = item.trait_.as_ref()?;
                let same_trait = path.segments.last()?.ident == trait_name;
                let Type::Path(self_ty) = item.self_ty.as_ref() else {
                    return None;
                };
                (same_trait && self_ty.path.is_ident(ty)).then_some(item)
            }
            _ => None,
        })
        .ok_or_else(|| format!("no `impl {trait_name} for {ty}`"))
}

/// The names in the derives of an item.
pub(crate) fn derives(attrs: &[Attribute]) -> Vec<String> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("derive"))
        .flat_map(parse_paths)
        .filter_map(|path| Some(path.segments.last()?.ident.to_string()))
        .collect()
}

/// Removes one name from the derives of an item and says whether it was there.
pub(crate) fn remove_derive(attrs: &mut [Attribute], name: &str) -> bool {
    let mut removed = false;
    for attr in attrs
        .iter_mut()
        .filter(|attr| attr.path().is_ident("derive"))
    {
        let paths = parse_paths(attr);
        let kept: Vec<&Path> = paths
            .iter()
            .filter(|path| {
                path.segments
                    .last()
                    .is_none_or(|segment| segment.ident != name)
            })
            .collect();
        if kept.len() < paths.len() {
            removed = true;
            *attr = parse_quote!(#[derive(#(#kept),*)]);
        }
    }
    removed
}

fn parse_paths(attr: &Attribute) -> Vec<Path> {
    attr.parse_args_with(Punctuated::<Path, Token![,]>::parse_terminated)
        .map(|paths| paths.into_iter().collect())
        .unwrap_or_default()
}

/// What stands in the `#[serde(..)]` attributes of a field, variant or item.
pub(crate) fn serde_metas(attrs: &[Attribute]) -> Vec<Meta> {
    attrs
        .iter()
        .filter(|attr| attr.path().is_ident("serde"))
        .flat_map(|attr| {
            attr.parse_args_with(Punctuated::<Meta, Token![,]>::parse_terminated)
                .map(|metas| metas.into_iter().collect::<Vec<_>>())
                .unwrap_or_default()
        })
        .collect()
}

/// Replaces the `#[serde(..)]` attributes by one that holds `metas`, or by none.
pub(crate) fn set_serde_metas(attrs: &mut Vec<Attribute>, metas: &[Meta]) {
    attrs.retain(|attr| !attr.path().is_ident("serde"));
    if !metas.is_empty() {
        attrs.push(parse_quote!(#[serde(#(#metas),*)]));
    }
}

/// The text of `name = "text"` among serde's attributes.
pub(crate) fn serde_text(attrs: &[Attribute], name: &str) -> Option<String> {
    serde_metas(attrs).into_iter().find_map(|meta| match meta {
        Meta::NameValue(pair) if pair.path.is_ident(name) => text(&pair.value),
        _ => None,
    })
}

/// Whether the word `name` stands among serde's attributes.
pub(crate) fn has_serde_word(attrs: &[Attribute], name: &str) -> bool {
    serde_metas(attrs)
        .iter()
        .any(|meta| matches!(meta, Meta::Path(path) if path.is_ident(name)))
}

/// The name of a field or variant in JSON.
pub(crate) fn wire_name(attrs: &[Attribute], ident: &Ident) -> String {
    serde_text(attrs, "rename").unwrap_or_else(|| {
        let name = ident.to_string();
        name.strip_prefix("r#").unwrap_or(&name).to_owned()
    })
}

/// `T` of `Option<T>`, if `holder` is `Option`, however the path to it is written.
pub(crate) fn held_by<'a>(holder: &str, ty: &'a Type) -> Option<&'a Type> {
    let Type::Path(ty) = ty else { return None };
    let segment = ty.path.segments.last()?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else {
        return None;
    };
    match arguments.args.first()? {
        GenericArgument::Type(inner) if segment.ident == holder => Some(inner),
        _ => None,
    }
}

/// The text of a string literal.
pub(crate) fn text(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

/// The texts that the pattern of a match arm names.
pub(crate) fn pattern_texts(pat: &Pat) -> Vec<String> {
    match pat {
        Pat::Lit(literal) => match &literal.lit {
            Lit::Str(text) => vec![text.value()],
            _ => Vec::new(),
        },
        Pat::Or(or) => or.cases.iter().flat_map(pattern_texts).collect(),
        _ => Vec::new(),
    }
}

/// Changes the scrutinee and the arms of a `match`.
type EditMatch<'a> = dyn FnMut(&mut Expr, &mut Vec<Arm>) -> Result<(), String> + 'a;

/// Calls `edit` with the first `match` of an implementation.
pub(crate) fn edit_match(item: &mut ItemImpl, edit: &mut EditMatch<'_>) -> Result<(), String> {
    struct First<'a, 'b> {
        edit: &'a mut EditMatch<'b>,
        result: Option<Result<(), String>>,
    }
    impl VisitMut for First<'_, '_> {
        fn visit_expr_match_mut(&mut self, node: &mut syn::ExprMatch) {
            if self.result.is_none() {
                self.result = Some((self.edit)(&mut node.expr, &mut node.arms));
            }
        }
    }
    let place = item.self_ty.to_token_stream().to_string();
    let mut first = First { edit, result: None };
    visit_mut::visit_item_impl_mut(&mut first, item);
    first
        .result
        .unwrap_or_else(|| Err(format!("no `match` in an implementation of {place}")))
}

/// The arm that takes all that the others don't.
pub(crate) fn fallback(arms: &mut [Arm]) -> Result<&mut Arm, String> {
    arms.iter_mut()
        .find(|arm| matches!(arm.pat, Pat::Wild(_)))
        .ok_or_else(|| "a match without a `_` arm".to_owned())
}

/// A string literal.
pub(crate) fn literal(text: &str) -> LitStr {
    LitStr::new(text, Span::call_site())
}
