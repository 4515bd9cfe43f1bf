//! The shapes of requests, as data that a validator walks along.
//!
//! The type `Shape` of the types crate says what there is. Every component that a request reaches becomes a constant of
//! its own, so that no shape stands in the code twice; what has no name stands where it is used.

use proc_macro2::TokenStream;
use quote::{format_ident, quote};
use syn::{Ident, Item, parse_quote};

use super::mend::Trouble;
use super::mend::types::distinctive;
use super::mistake::child_pointer;
use super::model::{Model, Operation, Parameter, Property, referenced_schema, resolve};
use super::yaml::Node;

/// The most properties of an object, or of all members of a union together: `Object::MOST_PROPERTIES` of the types crate.
const MOST_PROPERTIES: usize = 64;

/// The shapes asked for so far, as the constants that they need.
pub(crate) struct Shapes<'a> {
    model: &'a Model<'a>,
    /// The components that have a constant, each after those that it needs.
    constants: Vec<(&'a str, Item)>,
    /// The components whose constant is being made, outermost first.
    open: Vec<&'a str>,
}

impl<'a> Shapes<'a> {
    pub(crate) fn new(model: &'a Model<'a>) -> Self {
        Self {
            model,
            constants: Vec::new(),
            open: Vec::new(),
        }
    }

    /// The constants, each after those that it needs.
    pub(crate) fn into_items(self) -> impl ExactSizeIterator<Item = Item> {
        self.constants.into_iter().map(|(_, item)| item)
    }

    /// The shape of an operation's body as an expression of type `Option<&'static Shape>`.
    pub(crate) fn body(&mut self, operation: &Operation<'a>) -> Result<TokenStream, Trouble> {
        let body = operation.node.get("requestBody");
        let media = body
            .map(|body| resolve(self.model.root, body))
            .and_then(|body| body.get("content")?.entries().first());
        let Some(media) = media else {
            return Ok(quote!(::std::option::Option::None));
        };
        let schema = media
            .value
            .get("schema")
            .ok_or_else(|| Trouble::from(format!("the body of {} has no schema", operation.id)))?;
        let shape = self.shape(schema, operation.id)?;
        Ok(quote!(::std::option::Option::Some(const { &#shape })))
    }

    /// The shape of a parameter as an expression of type `Shape`.
    pub(crate) fn parameter(&mut self, parameter: &Parameter<'a>) -> Result<TokenStream, Trouble> {
        let schema = parameter.node.get("schema").ok_or_else(|| {
            Trouble::from(format!("the parameter `{}` has no schema", parameter.name))
        })?;
        self.shape(schema, parameter.name)
    }

    /// The shape of a schema; `place` is what to call it if it can't have one.
    fn shape(&mut self, schema: &'a Node, place: &str) -> Result<TokenStream, Trouble> {
        let reference = referenced_schema(schema).or_else(|| match schema.get("allOf")?.items() {
            [only] => referenced_schema(only),
            _ => None,
        });
        if let Some(name) = reference {
            return self.component(name);
        }
        self.plain(schema, place)
    }

    /// The shape of a schema that isn't a reference.
    fn plain(&mut self, schema: &'a Node, place: &str) -> Result<TokenStream, Trouble> {
        let text = |key| schema.get(key).and_then(Node::text);
        if schema.get("enum").is_some() {
            let values = enumeration(schema, &[]);
            return Ok(quote!(crate::Shape::Enumeration(&#values)));
        }
        match (text("type"), text("format")) {
            (Some("string"), Some("date-time")) => Ok(quote!(crate::Shape::Timestamp)),
            (Some("string"), Some("uuid")) => Ok(quote!(crate::Shape::Uuid)),
            (Some("string"), None) => Ok(quote!(crate::Shape::Text)),
            (Some("integer"), Some("int64")) => Ok(quote!(crate::Shape::Integer)),
            (Some("boolean"), None) => Ok(quote!(crate::Shape::Boolean)),
            (Some("object"), None)
                if schema.get("additionalProperties").and_then(Node::truth) == Some(true)
                    && schema.get("properties").is_none() =>
            {
                Ok(quote!(crate::Shape::FreeObject))
            }
            (Some("array"), None) => {
                let items = schema
                    .get("items")
                    .ok_or_else(|| Trouble::from(format!("`{place}` is a list without `items`")))?;
                if items.get("nullable").and_then(Node::truth) == Some(true) {
                    return Err(format!(
                        "the elements of `{place}` may be null, for which there is no shape"
                    )
                    .into());
                }
                let items = self.shape(items, place)?;
                Ok(quote!(crate::Shape::List(&#items)))
            }
            (kind, format) => Err(format!(
                "there is no shape for `{place}`, of type {} and format {}",
                kind.unwrap_or("unknown"),
                format.unwrap_or("none")
            )
            .into()),
        }
    }

    /// The shape of a component, whose constant is made if it isn't there yet.
    fn component(&mut self, name: &'a str) -> Result<TokenStream, Trouble> {
        let about = |message: String| Trouble {
            schema: Some(name.to_owned()),
            message,
        };
        let schema = self
            .model
            .root
            .find(&child_pointer("/components/schemas", name))
            .ok_or_else(|| about("there is no such schema".to_owned()))?;
        let ident = constant_name(name);
        let made = self.constants.iter().any(|(known, _)| *known == name);
        if self.open.contains(&name) {
            return Err(about(
                "it refers to itself, so that its depth has no bound; a request has one".to_owned(),
            ));
        }
        self.open.push(name);
        let (shape, item) =
            if schema.get("oneOf").is_some() && schema.get("discriminator").is_some() {
                let item = if made {
                    None
                } else {
                    Some(self.tagged(name, schema)?)
                };
                (quote!(crate::Shape::Tagged(#ident)), item)
            } else if schema.get("oneOf").is_some() {
                let item = if made { None } else { Some(self.guided(name)?) };
                (quote!(crate::Shape::Guided(#ident)), item)
            } else if schema.get("enum").is_some() {
                let values = enumeration(schema, &self.model.deprecated_values(name));
                let item = parse_quote!(const #ident: &crate::Enumeration = &#values;);
                (quote!(crate::Shape::Enumeration(#ident)), Some(item))
            } else if schema.get("properties").is_some() || schema.get("allOf").is_some() {
                self.only_a_member(name)?;
                let item = if made {
                    None
                } else {
                    Some(self.object(name, None)?)
                };
                (quote!(crate::Shape::Object(#ident)), item)
            } else {
                (self.plain(schema, name)?, None)
            };
        self.open.pop();
        if let Some(item) = item.filter(|_| !made) {
            self.constants.push((name, item));
        }
        Ok(shape)
    }

    /// Makes sure that the properties of an object, or of a union's members, can be told apart by the bits of one number.
    fn few_enough(&self, name: &str, members: &[&str]) -> Result<(), Trouble> {
        let properties = members
            .iter()
            .map(|member| self.model.properties(member).len());
        if properties.sum::<usize>() <= MOST_PROPERTIES {
            return Ok(());
        }
        Err(Trouble {
            schema: Some(name.to_owned()),
            message: format!(
                "it has more than {MOST_PROPERTIES} properties, those of all members counted"
            ),
        })
    }

    /// Refuses a member of a tagged union outside of it: its constant lacks the tag.
    fn only_a_member(&self, name: &str) -> Result<(), Trouble> {
        let union = self.model.schemas().iter().find(|entry| {
            entry.value.get("discriminator").is_some()
                && self.model.union_members(&entry.key).contains(&name)
        });
        match union {
            None => Ok(()),
            Some(union) => Err(Trouble {
                schema: Some(name.to_owned()),
                message: format!(
                    "a request uses it outside of the union {} too, for which there is no shape",
                    union.key
                ),
            }),
        }
    }

    /// The constant of an object; `without` is a property that the object's union has read already.
    fn object(&mut self, name: &'a str, without: Option<&str>) -> Result<Item, Trouble> {
        self.few_enough(name, &[name])?;
        let properties = self.model.properties(name);
        let properties = properties
            .iter()
            .filter(|property| Some(property.name) != without)
            .map(|property| {
                let Property { name, nullable, .. } = property;
                let required = property.rank.is_some();
                let shape = self.shape(property.node, name)?;
                Ok(quote! {
                    crate::Property { name: #name, shape: #shape, required: #required, nullable: #nullable }
                })
            })
            .collect::<Result<Vec<_>, Trouble>>()?;
        let ident = constant_name(name);
        Ok(parse_quote! {
            const #ident: &crate::Object = &crate::Object {
                name: #name,
                properties: &[#(#properties),*],
            };
        })
    }

    /// The constant of a member of a union.
    fn member(&mut self, name: &'a str, without: Option<&str>) -> Result<Ident, Trouble> {
        if !self.constants.iter().any(|(known, _)| *known == name) {
            let item = self.object(name, without)?;
            self.constants.push((name, item));
        }
        Ok(constant_name(name))
    }

    fn tagged(&mut self, name: &'a str, schema: &'a Node) -> Result<Item, Trouble> {
        let tag = schema
            .get("discriminator")
            .and_then(|node| node.get("propertyName"));
        let tag = tag.and_then(Node::text).unwrap_or_default();
        let names = self.model.union_members(name);
        self.few_enough(name, &names)?;
        self.same_shapes(name, &names)?;
        let mut members = Vec::new();
        for member in names {
            // The mapping is checked: the tag's only value is that of the mapping.
            let property = self
                .model
                .properties(member)
                .into_iter()
                .find(|property| property.name == tag);
            let value = property
                .and_then(|property| property.node.get("enum")?.items().first()?.text())
                .unwrap_or_default();
            let ident = self.member(member, Some(tag))?;
            members.push(quote!((#value, #ident)));
        }
        let ident = constant_name(name);
        Ok(parse_quote! {
            const #ident: &crate::TaggedUnion = &crate::TaggedUnion {
                name: #name,
                tag: #tag,
                members: &[#(#members),*],
            };
        })
    }

    fn guided(&mut self, name: &'a str) -> Result<Item, Trouble> {
        let about = |message: &str| Trouble {
            schema: Some(name.to_owned()),
            message: message.to_owned(),
        };
        let names = self.model.union_members(name);
        let &[marked, unmarked] = names.as_slice() else {
            return Err(about(
                "a union without discriminator has a shape only if it has two members",
            ));
        };
        self.few_enough(name, &names)?;
        self.same_shapes(name, &names)?;
        let mark = distinctive(self.model, &names, 0)
            .ok_or_else(|| about("no required property tells its first member from the second"))?;
        let marked = self.member(marked, None)?;
        let unmarked = self.member(unmarked, None)?;
        let ident = constant_name(name);
        Ok(parse_quote! {
            const #ident: &crate::GuidedUnion = &crate::GuidedUnion {
                name: #name,
                mark: #mark,
                marked: #marked,
                unmarked: #unmarked,
            };
        })
    }

    /// Makes sure that properties of one name have one shape in all members of a union: a walk reads a property before
    /// it knows which member it is in.
    fn same_shapes(&mut self, union: &str, members: &[&'a str]) -> Result<(), Trouble> {
        let tagged = self.tag_of(union);
        let mut seen: Vec<(Property<'a>, String)> = Vec::new();
        for member in members {
            for property in self.model.properties(member) {
                if Some(property.name) == tagged {
                    continue;
                }
                let shape = self.shape(property.node, property.name)?.to_string();
                match seen.iter().find(|(known, _)| known.name == property.name) {
                    None => seen.push((property, shape)),
                    Some((known, known_shape))
                        if *known_shape == shape && known.nullable == property.nullable => {}
                    Some(_) => {
                        return Err(Trouble {
                            schema: Some(union.to_owned()),
                            message: format!(
                                "its members disagree on what `{}` may be",
                                property.name
                            ),
                        });
                    }
                }
            }
        }
        Ok(())
    }

    fn tag_of(&self, union: &str) -> Option<&'a str> {
        let schema = self
            .model
            .root
            .find(&child_pointer("/components/schemas", union))?;
        schema.get("discriminator")?.get("propertyName")?.text()
    }
}

fn enumeration(schema: &Node, deprecated: &[(&str, &str)]) -> TokenStream {
    let values = schema.get("enum").map_or(&[][..], Node::items);
    let values = values.iter().filter_map(Node::text);
    let deprecated = deprecated.iter().map(|(old, new)| quote!((#old, #new)));
    quote! {
        crate::Enumeration { values: &[#(#values),*], deprecated: &[#(#deprecated),*] }
    }
}

/// `TagKeyValue` as `TAG_KEY_VALUE`.
fn constant_name(schema: &str) -> Ident {
    let mut name = String::new();
    for letter in schema.chars() {
        if letter.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(letter.to_ascii_uppercase());
    }
    format_ident!("{name}")
}
