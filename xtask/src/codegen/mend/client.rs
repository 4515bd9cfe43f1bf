//! Passes over the operations.

use quote::ToTokens;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{Expr, Fields, FnArg, ImplItem, Item, Pat, Stmt, Token, Type, parse_quote};

use super::syntax::held_by;

/// Takes the module `types` out of the generated file and lets the rest refer to the types crate instead. The count is
/// of the items moved.
pub(crate) fn split_types_module(items: &mut Vec<Item>) -> Result<Vec<Item>, String> {
    let index = items
        .iter()
        .position(|item| matches!(item, Item::Mod(item) if item.ident == "types"))
        .ok_or("no module `types`")?;
    let Item::Mod(module) = items.remove(index) else {
        return Err("no module `types`".to_owned());
    };
    let (_, types) = module.content.ok_or("the module `types` is empty")?;
    items.insert(
        index,
        parse_quote!(
            use layer_payments_types as types;
        ),
    );
    Ok(types)
}

/// Drops the header `api-version`, which progenitor sends with every request and no document asked for. Where nothing
/// else stands in the map of headers, the map goes too. The count is of the operations.
pub(crate) fn drop_api_version_header(items: &mut [Item]) -> Result<usize, String> {
    let mut count = 0;
    for method in methods(items) {
        let statements = &mut method.block.stmts;
        let before = statements.len();
        statements.retain(|statement| !statement_text(statement).contains("\"api-version\""));
        if statements.len() == before {
            continue;
        }
        count += 1;
        let uses = statements
            .iter()
            .filter(|statement| statement_text(statement).contains("header_map"))
            .count();
        // What makes the map and what sends it: nobody puts anything into it.
        if uses == 2 {
            statements.retain(|statement| {
                !matches!(statement, Stmt::Local(local) if matches!(&local.pat, Pat::Ident(pat) if pat.ident == "header_map"))
            });
            let mut drop = DropHeadersCall { dropped: 0 };
            drop.visit_block_mut(&mut method.block);
            if drop.dropped != 1 {
                return Err(format!(
                    "{} sends its headers in a new way",
                    method.sig.ident
                ));
            }
        }
    }
    Ok(count)
}

struct DropHeadersCall {
    dropped: usize,
}

impl VisitMut for DropHeadersCall {
    fn visit_expr_mut(&mut self, node: &mut Expr) {
        if let Expr::MethodCall(call) = node
            && call.method == "headers"
            && call.args.to_token_stream().to_string() == "header_map"
        {
            *node = (*call.receiver).clone();
            self.dropped += 1;
        }
        visit_mut::visit_expr_mut(self, node);
    }
}

/// Drops `Client::new`, which panics if no HTTP client can be built and sets a timeout that nobody chose. The
/// hand-written front builds the HTTP client. The count is of the functions.
pub(crate) fn drop_panicking_constructor(items: &mut [Item]) -> usize {
    let mut count = 0;
    for item in items {
        let Item::Impl(item) = item else { continue };
        if item.trait_.is_some() {
            continue;
        }
        let before = item.items.len();
        item.items
            .retain(|item| !matches!(item, ImplItem::Fn(function) if function.sig.ident == "new"));
        count += before - item.items.len();
    }
    count
}

/// Drops the module `prelude`, which re-exports what the front hides. The count is of the modules.
pub(crate) fn drop_prelude(items: &mut Vec<Item>) -> usize {
    let before = items.len();
    items.retain(|item| !matches!(item, Item::Mod(item) if item.ident == "prelude"));
    before - items.len()
}

/// Lets a body that is a list be given as a slice. progenitor takes a reference to its type of the list, which owns the
/// list, so that whoever has a slice would have to clone what is in it. The count is of the bodies.
pub(crate) fn slice_bodies(items: &mut [Item], types: &[Item]) -> Result<usize, String> {
    let mut count = 0;
    for input in methods(items).flat_map(|method| method.sig.inputs.iter_mut()) {
        let FnArg::Typed(parameter) = input else {
            continue;
        };
        if !matches!(parameter.pat.as_ref(), Pat::Ident(pat) if pat.ident == "body") {
            continue;
        }
        let Type::Reference(reference) = parameter.ty.as_mut() else {
            return Err("a body isn't taken by reference".to_owned());
        };
        let Some(mut element) = list_element(&reference.elem, types).cloned() else {
            continue;
        };
        QualifyLocalTypes.visit_type_mut(&mut element);
        *reference.elem = parse_quote!([#element]);
        count += 1;
    }
    Ok(count)
}

/// `T` of a type of the module `types` that is nothing but a `Vec<T>`.
fn list_element<'a>(ty: &Type, types: &'a [Item]) -> Option<&'a Type> {
    let Type::Path(ty) = ty else { return None };
    let name = &ty.path.segments.last()?.ident;
    let list = types.iter().find_map(|item| match item {
        Item::Struct(item) if item.ident == *name => Some(item),
        _ => None,
    })?;
    match &list.fields {
        Fields::Unnamed(fields) if fields.unnamed.len() == 1 => {
            held_by("Vec", &fields.unnamed[0].ty)
        }
        _ => None,
    }
}

/// Names types as the client does: those of the types crate start with `types::`.
struct QualifyLocalTypes;

impl VisitMut for QualifyLocalTypes {
    fn visit_path_mut(&mut self, node: &mut syn::Path) {
        visit_mut::visit_path_mut(self, node);
        if node.get_ident().is_some() {
            *node = parse_quote!(types::#node);
        }
    }
}

/// Writes the ids of a path as they are. progenitor encodes whatever stands in a path, but a UUID has no character that
/// would need it. The count is of the ids.
pub(crate) fn plain_path_ids(items: &mut [Item]) -> Result<usize, String> {
    let mut count = 0;
    for method in methods(items) {
        let ids: Vec<syn::Ident> = method
            .sig
            .inputs
            .iter()
            .filter_map(|input| match input {
                FnArg::Typed(parameter) if is_uuid(&parameter.ty) => match parameter.pat.as_ref() {
                    Pat::Ident(pat) => Some(pat.ident.clone()),
                    _ => None,
                },
                _ => None,
            })
            .collect();
        let mut plain = PlainIds {
            ids,
            count: 0,
            fault: None,
        };
        plain.visit_block_mut(&mut method.block);
        if let Some(fault) = plain.fault {
            return Err(format!("{}: {fault}", method.sig.ident));
        }
        count += plain.count;
    }
    Ok(count)
}

fn is_uuid(ty: &Type) -> bool {
    let Type::Reference(reference) = ty else {
        return false;
    };
    let Type::Path(ty) = reference.elem.as_ref() else {
        return false;
    };
    ty.path
        .segments
        .last()
        .is_some_and(|last| last.ident == "Uuid")
}

struct PlainIds {
    ids: Vec<syn::Ident>,
    count: usize,
    fault: Option<String>,
}

impl VisitMut for PlainIds {
    fn visit_macro_mut(&mut self, node: &mut syn::Macro) {
        if !node.path.is_ident("format") {
            return;
        }
        let arguments = node.parse_body_with(Punctuated::<Expr, Token![,]>::parse_terminated);
        let mut arguments = match arguments {
            Ok(arguments) => arguments,
            Err(error) => {
                self.fault = Some(format!("`format!` is used in a new way: {error}"));
                return;
            }
        };
        for argument in &mut arguments {
            let id = self.ids.iter().find(|id| {
                let encoded: Expr = parse_quote!(encode_path(&#id.to_string()));
                *argument == encoded
            });
            if let Some(id) = id {
                *argument = parse_quote!(#id);
                self.count += 1;
            }
        }
        node.tokens = arguments.to_token_stream();
    }
}

/// Lets the hand-written half decode replies: it has read them already, with limits, and knows status and headers. What
/// progenitor does would need a second reply made from the first. The count is of the statuses.
pub(crate) fn decode_replies(items: &mut [Item]) -> usize {
    let mut decode = DecodeReplies { count: 0 };
    for method in methods(items) {
        decode.visit_block_mut(&mut method.block);
    }
    decode.count
}

struct DecodeReplies {
    count: usize,
}

impl VisitMut for DecodeReplies {
    fn visit_expr_mut(&mut self, node: &mut Expr) {
        let generated: Expr = parse_quote!(ResponseValue::from_response(response).await);
        if *node == generated {
            *node = parse_quote!(self.decode(response));
            self.count += 1;
        }
        visit_mut::visit_expr_mut(self, node);
    }
}

fn methods(items: &mut [Item]) -> impl Iterator<Item = &mut syn::ImplItemFn> {
    items
        .iter_mut()
        .filter_map(|item| match item {
            Item::Impl(item) if item.trait_.is_none() => Some(item),
            _ => None,
        })
        .flat_map(|item| item.items.iter_mut())
        .filter_map(|item| match item {
            ImplItem::Fn(function) => Some(function),
            _ => None,
        })
}

fn statement_text(statement: &Stmt) -> String {
    statement.to_token_stream().to_string()
}
