//! Writes doc comments line by line.

use syn::visit_mut::VisitMut;
use syn::{Attribute, Expr, Item, Lit, Meta, parse_quote};

/// Splits doc comments of several lines, which would come out as one `/** .. */` block, into `///` lines with a blank
/// before the text. The count is of the comments.
pub(crate) fn line_docs(items: &mut [Item]) -> usize {
    let mut splitter = Splitter { count: 0 };
    for item in items {
        splitter.visit_item_mut(item);
    }
    splitter.count
}

struct Splitter {
    count: usize,
}

impl Splitter {
    fn split(&mut self, attrs: &mut Vec<Attribute>) {
        let old = std::mem::take(attrs);
        for attr in old {
            let Some(text) = doc_text(&attr).filter(|text| !is_line(text)) else {
                attrs.push(attr);
                continue;
            };
            self.count += 1;
            for line in text.trim_end().lines() {
                let line = line.trim_end();
                let line = if line.is_empty() {
                    String::new()
                } else {
                    format!(" {line}")
                };
                attrs.push(parse_quote!(#[doc = #line]));
            }
        }
    }
}

fn doc_text(attr: &Attribute) -> Option<String> {
    let Meta::NameValue(pair) = &attr.meta else {
        return None;
    };
    match &pair.value {
        Expr::Lit(literal) if pair.path.is_ident("doc") => match &literal.lit {
            Lit::Str(text) => Some(text.value()),
            _ => None,
        },
        _ => None,
    }
}

fn is_line(text: &str) -> bool {
    !text.contains('\n') && (text.is_empty() || text.starts_with(' '))
}

impl VisitMut for Splitter {
    fn visit_attributes_mut(&mut self, attrs: &mut Vec<Attribute>) {
        self.split(attrs);
    }
}
