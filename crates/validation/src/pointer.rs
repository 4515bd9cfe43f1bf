//! JSON Pointers that cost nothing until somebody asks for their text.

use std::fmt::Write as _;

/// A place in a document, as a chain of steps on the stack. Checks pass it down; only a fault turns it into text, so
/// that a valid document costs no allocation.
#[derive(Clone, Copy)]
pub(crate) enum Pointer<'a> {
    /// The whole document.
    Root,
    /// A property of the place before it. The names are those of the schema, which hold neither `~` nor `/`.
    Field(&'a Pointer<'a>, &'static str),
    /// A property of the place before it that the schema doesn't know, by its key.
    Key(&'a Pointer<'a>, &'a str),
    /// An element of the list before it.
    Index(&'a Pointer<'a>, usize),
}

impl<'a> Pointer<'a> {
    /// The property `name` of this place.
    pub(crate) fn field(&'a self, name: &'static str) -> Pointer<'a> {
        Pointer::Field(self, name)
    }

    /// The property of this place that has this key, which may be any text.
    pub(crate) fn key(&'a self, key: &'a str) -> Pointer<'a> {
        Pointer::Key(self, key)
    }

    /// The element at `index` of this place.
    pub(crate) fn index(&'a self, index: usize) -> Pointer<'a> {
        Pointer::Index(self, index)
    }

    /// The pointer's text by RFC 6901.
    pub(crate) fn render(&self) -> String {
        let mut text = String::new();
        self.render_into(&mut text);
        text
    }

    fn render_into(&self, text: &mut String) {
        match self {
            Pointer::Root => {}
            Pointer::Field(parent, name) => {
                parent.render_into(text);
                text.push('/');
                text.push_str(name);
            }
            Pointer::Key(parent, key) => {
                parent.render_into(text);
                text.push('/');
                for letter in key.chars() {
                    match letter {
                        '~' => text.push_str("~0"),
                        '/' => text.push_str("~1"),
                        _ => text.push(letter),
                    }
                }
            }
            Pointer::Index(parent, index) => {
                parent.render_into(text);
                // Writing to a `String` can't fail.
                let _ = write!(text, "/{index}");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_render_in_order() {
        let root = Pointer::Root;
        assert_eq!(root.render(), "");
        let third = root.index(3);
        let allocations = third.field("invoice_payments");
        assert_eq!(
            allocations.index(0).field("amount").render(),
            "/3/invoice_payments/0/amount"
        );
        assert_eq!(third.key("a/b~c").key("").render(), "/3/a~1b~0c/");
    }
}
