//! The shapes of request bodies and parameters as plain data.
//!
//! The types of this crate read a request or refuse it; they stop at the first fault and can't say everything about it.
//! Whoever has to say what is wrong with a request, and where, walks through it along its [`Shape`], which
//! [`Operation::body`](crate::Operation::body) gives. Shapes are generated from the OpenAPI document like the types, so
//! both say the same.

/// What a value of a request may be.
///
/// Null is no part of it: whether a value may also be null is said where the value stands, in [`Property::nullable`].
/// Elements of lists, whole bodies and parameters are never null.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shape {
    /// Any text.
    Text,
    /// A whole number that fits into a signed 64-bit integer. In bodies all of them are cents.
    Integer,
    /// True or false.
    Boolean,
    /// An RFC 3339 timestamp.
    Timestamp,
    /// A UUID in the form with hyphens.
    Uuid,
    /// One of several texts.
    Enumeration(&'static Enumeration),
    /// An object with these properties and no others.
    Object(&'static Object),
    /// One of several objects, told apart by a property's value.
    Tagged(&'static TaggedUnion),
    /// One of two objects, told apart by a property's presence.
    Guided(&'static GuidedUnion),
    /// An object with whatever properties there are.
    FreeObject,
    /// A list of values of one shape.
    List(&'static Shape),
}

/// The texts that a value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Enumeration {
    /// The values, in the order of the document.
    pub values: &'static [&'static str],
    /// Older spellings that are still read, each with the value that it means.
    pub deprecated: &'static [(&'static str, &'static str)],
}

/// An object with known properties. One with an unknown property is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Object {
    /// The name of its schema in the document.
    pub name: &'static str,
    /// The properties in the order of the document, at most [`Object::MOST_PROPERTIES`].
    pub properties: &'static [Property],
}

impl Object {
    /// The most properties that an object has, so that a set of them fits into 64 bits.
    pub const MOST_PROPERTIES: usize = 64;

    /// The property of this name and its place among the properties.
    pub fn property(&self, name: &str) -> Option<(usize, &'static Property)> {
        // A dozen short names are searched faster than they are hashed.
        self.properties
            .iter()
            .enumerate()
            .find(|(_, property)| property.name == name)
    }
}

/// A property of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Property {
    /// Its name in JSON.
    pub name: &'static str,
    /// What its value may be, if it isn't null.
    pub shape: Shape,
    /// Whether an object without it is refused.
    pub required: bool,
    /// Whether its value may be null.
    pub nullable: bool,
}

/// Objects told apart by the value of a property that each of them requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TaggedUnion {
    /// The name of its schema in the document.
    pub name: &'static str,
    /// The property that tells which member an object is.
    pub tag: &'static str,
    /// The members, each with the value of its tag. The tag is not among the properties of the objects. Properties of
    /// the same name have the same shape in all members.
    pub members: &'static [(&'static str, &'static Object)],
}

/// Two objects told apart by a property that only the first of them has, and requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GuidedUnion {
    /// The name of its schema in the document.
    pub name: &'static str,
    /// The property whose presence makes an object the first member.
    pub mark: &'static str,
    /// The member that has the mark.
    pub marked: &'static Object,
    /// The member without it. Properties of the same name have the same shape in both.
    pub unmarked: &'static Object,
}
