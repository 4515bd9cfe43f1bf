//! The kinds of change, what each one means for whom, and what to do about it.
//!
//! A schema describes a set of values, and what a change of the set means depends on who sends them:
//!
//! | set | in a request | in a reply |
//! | --- | --- | --- |
//! | wider | callers may send more, servers must take it | callers meet what they weren't told of |
//! | narrower | callers send what is refused now | servers send what is ruled out now |
//!
//! The exceptions follow from two promises of the document: requests are closed (an unknown property is refused), and
//! replies are open (a client accepts properties and enumeration values that it doesn't know). Names that appear only in
//! generated code (operations, schemas, tags, parameters of the path) count like the wire: whoever generates again has to
//! change what they wrote. So does the order of an operation's parameters: generated functions of some languages take
//! them by position, and two of one type change places without a word from the compiler. Properties have no position.
//!
//! The table gives `callers/servers` for a change in a request, in a reply, and elsewhere in the document; `-` where it
//! can't stand. A test reads it.
//!
//! | change | request | reply | elsewhere |
//! | --- | --- | --- | --- |
//! | `operation-added` | - | - | compatible/breaking |
//! | `operation-removed` | - | - | breaking/compatible |
//! | `operation-renamed` | - | - | breaking/breaking |
//! | `operation-moved` | - | - | breaking/breaking |
//! | `tags-changed` | - | - | breaking/breaking |
//! | `security-alternative-added` | - | - | compatible/breaking |
//! | `security-alternative-removed` | - | - | breaking/compatible |
//! | `security-scheme-changed` | - | - | breaking/breaking |
//! | `server-added` | - | - | compatible/trivial |
//! | `server-removed` | - | - | breaking/trivial |
//! | `first-server-changed` | - | - | breaking/trivial |
//! | `server-variable-changed` | - | - | breaking/trivial |
//! | `openapi-version-changed` | - | - | compatible/compatible |
//! | `version-changed` | - | - | trivial/trivial |
//! | `path-parameter-renamed` | breaking/breaking | - | - |
//! | `optional-parameter-added` | compatible/breaking | - | - |
//! | `optional-parameter-inserted` | breaking/breaking | - | - |
//! | `required-parameter-added` | breaking/breaking | - | - |
//! | `parameter-removed` | breaking/compatible | - | - |
//! | `parameter-moved` | breaking/breaking | - | - |
//! | `parameters-reordered` | breaking/breaking | - | - |
//! | `serialization-changed` | breaking/breaking | breaking/breaking | - |
//! | `optional-body-added` | compatible/breaking | - | - |
//! | `required-body-added` | breaking/breaking | - | - |
//! | `body-removed` | breaking/compatible | - | - |
//! | `media-type-added` | compatible/breaking | compatible/breaking | - |
//! | `media-type-removed` | breaking/compatible | breaking/compatible | - |
//! | `success-added` | - | breaking/compatible | - |
//! | `success-removed` | - | breaking/breaking | - |
//! | `failure-added` | - | compatible/compatible | - |
//! | `failure-removed` | - | compatible/breaking | - |
//! | `optional-header-added` | - | compatible/compatible | - |
//! | `required-header-added` | - | compatible/breaking | - |
//! | `header-removed` | - | breaking/compatible | - |
//! | `became-required` | breaking/compatible | compatible/breaking | - |
//! | `became-optional` | compatible/breaking | breaking/compatible | - |
//! | `optional-property-added` | compatible/breaking | compatible/compatible | - |
//! | `required-property-added` | breaking/breaking | compatible/breaking | - |
//! | `property-removed` | breaking/compatible | breaking/compatible | - |
//! | `type-widened` | compatible/breaking | breaking/compatible | - |
//! | `type-narrowed` | breaking/compatible | compatible/breaking | - |
//! | `type-replaced` | breaking/breaking | breaking/breaking | - |
//! | `format-widened` | compatible/breaking | breaking/compatible | - |
//! | `format-narrowed` | breaking/compatible | compatible/breaking | - |
//! | `format-replaced` | breaking/breaking | breaking/breaking | - |
//! | `limit-widened` | compatible/breaking | breaking/compatible | - |
//! | `limit-narrowed` | breaking/compatible | compatible/breaking | - |
//! | `limit-replaced` | breaking/breaking | breaking/breaking | - |
//! | `null-allowed` | compatible/breaking | breaking/compatible | - |
//! | `null-refused` | breaking/compatible | compatible/breaking | - |
//! | `null-keeps-changed` | breaking/breaking | breaking/breaking | - |
//! | `enumeration-added` | breaking/compatible | compatible/breaking | - |
//! | `enumeration-removed` | compatible/breaking | breaking/compatible | - |
//! | `value-added` | compatible/breaking | compatible/compatible | - |
//! | `value-removed` | breaking/compatible | compatible/breaking | - |
//! | `old-spelling-added` | compatible/breaking | compatible/compatible | - |
//! | `old-spelling-removed` | breaking/compatible | compatible/breaking | - |
//! | `old-spelling-changed` | breaking/breaking | breaking/breaking | - |
//! | `closed` | breaking/compatible | compatible/breaking | - |
//! | `opened` | compatible/breaking | compatible/compatible | - |
//! | `alternative-added` | compatible/breaking | breaking/compatible | - |
//! | `alternative-removed` | breaking/compatible | compatible/breaking | - |
//! | `alternative-renamed` | breaking/breaking | breaking/breaking | - |
//! | `alternatives-reordered` | compatible/compatible | compatible/compatible | - |
//! | `alternatives-replaced` | breaking/breaking | breaking/breaking | - |
//! | `discriminator-changed` | breaking/breaking | breaking/breaking | - |
//! | `discriminator-value-added` | compatible/breaking | breaking/compatible | - |
//! | `discriminator-value-removed` | breaking/compatible | compatible/breaking | - |
//! | `default-changed` | breaking/breaking | breaking/breaking | - |
//! | `schema-renamed` | breaking/breaking | breaking/breaking | - |
//! | `schema-named` | compatible/compatible | compatible/compatible | - |
//! | `deprecated` | compatible/compatible | compatible/compatible | compatible/compatible |
//! | `no-longer-deprecated` | compatible/compatible | compatible/compatible | compatible/compatible |
//! | `documentation-changed` | - | - | trivial/trivial |
//! | `component-added` | - | - | trivial/trivial |
//! | `component-removed` | - | - | trivial/trivial |
//! | `reordered` | - | - | trivial/trivial |
//! | `written-differently` | - | - | trivial/trivial |
//! | `layout-changed` | - | - | trivial/trivial |
//! | `unjudged` | - | - | breaking/breaking |

use std::fmt;

/// What a change means for one side, the lesser first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Nobody can tell by what is sent or received.
    Trivial,
    /// What was built for the earlier document works with the later one.
    Compatible,
    /// What was built for the earlier document may fail with the later one.
    Breaking,
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trivial => "trivial",
            Self::Compatible => "compatible",
            Self::Breaking => "breaking",
        })
    }
}

/// Where in the conversation a change takes place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    /// Callers send it.
    Request,
    /// Servers send it.
    Reply,
    /// Neither alone.
    Elsewhere,
}

/// What becomes of the set of values that a schema allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Effect {
    /// All that was allowed and more.
    Widened,
    /// Less than was allowed and nothing else.
    Narrowed,
    /// Anything else.
    Replaced,
}

/// A change, with what it needs to be told. Names and values are as the documents write them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Change {
    OperationAdded,
    OperationRemoved,
    OperationRenamed {
        from: String,
        to: String,
    },
    /// It has another path or method.
    OperationMoved {
        from: String,
        to: String,
    },
    TagsChanged,
    /// Another way to be let in.
    SecurityAlternativeAdded(String),
    SecurityAlternativeRemoved(String),
    SecuritySchemeChanged(String),
    ServerAdded,
    ServerRemoved,
    /// Generated clients talk to the first one unless told otherwise.
    FirstServerChanged {
        from: String,
        to: String,
    },
    ServerVariableChanged,
    OpenApiVersionChanged {
        from: String,
        to: String,
    },
    VersionChanged {
        from: String,
        to: String,
    },
    PathParameterRenamed {
        from: String,
        to: String,
    },
    ParameterAdded {
        required: bool,
    },
    /// An optional one, before another that was there already.
    ParameterInserted,
    ParameterRemoved,
    /// From the query to a header, for example.
    ParameterMoved {
        from: String,
        to: String,
    },
    /// Those that stay have another order.
    ParametersReordered,
    /// How a list or an object is written into a parameter or header.
    SerializationChanged(&'static str),
    BodyAdded {
        required: bool,
    },
    BodyRemoved,
    MediaTypeAdded,
    MediaTypeRemoved,
    StatusAdded {
        success: bool,
    },
    StatusRemoved {
        success: bool,
    },
    HeaderAdded {
        required: bool,
    },
    HeaderRemoved,
    /// A parameter, header, body or property.
    BecameRequired,
    BecameOptional,
    PropertyAdded {
        required: bool,
    },
    PropertyRemoved,
    TypeChanged {
        effect: Effect,
        from: String,
        to: String,
    },
    FormatChanged {
        effect: Effect,
        from: String,
        to: String,
    },
    /// A limit, a pattern, or a rule for items or further properties.
    LimitChanged {
        effect: Effect,
        key: &'static str,
        from: String,
        to: String,
    },
    NullAllowed,
    NullRefused,
    /// `x-null-keeps`: what null means in an update.
    NullKeepsChanged,
    EnumerationAdded,
    EnumerationRemoved,
    ValueAdded(String),
    ValueRemoved(String),
    /// `x-deprecated-values`: spellings that servers of this project still take.
    OldSpellingAdded(String),
    OldSpellingRemoved(String),
    OldSpellingChanged(String),
    /// Unknown properties are refused now.
    Closed,
    Opened,
    /// A member of `oneOf` or `anyOf`.
    AlternativeAdded,
    AlternativeRemoved,
    /// By its title, of which generated code is made.
    AlternativeRenamed {
        from: String,
        to: String,
    },
    AlternativesReordered,
    /// A plain schema became a choice or the other way round, or `oneOf` became `anyOf`.
    AlternativesReplaced,
    DiscriminatorChanged,
    DiscriminatorValueAdded(String),
    DiscriminatorValueRemoved(String),
    DefaultChanged {
        from: String,
        to: String,
    },
    SchemaRenamed {
        from: String,
        to: String,
    },
    /// What stood in place is a component now.
    SchemaNamed(String),
    Deprecated,
    NoLongerDeprecated,
    DocumentationChanged,
    /// Whatever uses it is a change of its own.
    ComponentAdded,
    ComponentRemoved,
    Reordered,
    /// The same for everyone who reads it by the rules of OpenAPI.
    WrittenDifferently,
    /// Comments, quotes, line breaks, anchors.
    LayoutChanged,
    /// There is no rule for it.
    Unjudged(String),
}

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) callers: Class,
    pub(crate) servers: Class,
    /// Why it matters, and to whom.
    pub(crate) cause: &'static str,
    /// What to do.
    pub(crate) remedy: &'static str,
}

impl Change {
    /// Its name in the table above and in the JSON output.
    pub(crate) fn id(&self) -> String {
        let effect = |what: &str, effect: &Effect| {
            format!(
                "{what}-{}",
                match effect {
                    Effect::Widened => "widened",
                    Effect::Narrowed => "narrowed",
                    Effect::Replaced => "replaced",
                }
            )
        };
        let optional = |what: &str, required: bool| {
            format!(
                "{}-{what}-added",
                if required { "required" } else { "optional" }
            )
        };
        match self {
            Self::OperationAdded => "operation-added",
            Self::OperationRemoved => "operation-removed",
            Self::OperationRenamed { .. } => "operation-renamed",
            Self::OperationMoved { .. } => "operation-moved",
            Self::TagsChanged => "tags-changed",
            Self::SecurityAlternativeAdded(_) => "security-alternative-added",
            Self::SecurityAlternativeRemoved(_) => "security-alternative-removed",
            Self::SecuritySchemeChanged(_) => "security-scheme-changed",
            Self::ServerAdded => "server-added",
            Self::ServerRemoved => "server-removed",
            Self::FirstServerChanged { .. } => "first-server-changed",
            Self::ServerVariableChanged => "server-variable-changed",
            Self::OpenApiVersionChanged { .. } => "openapi-version-changed",
            Self::VersionChanged { .. } => "version-changed",
            Self::PathParameterRenamed { .. } => "path-parameter-renamed",
            Self::ParameterAdded { required } => return optional("parameter", *required),
            Self::ParameterInserted => "optional-parameter-inserted",
            Self::ParameterRemoved => "parameter-removed",
            Self::ParameterMoved { .. } => "parameter-moved",
            Self::ParametersReordered => "parameters-reordered",
            Self::SerializationChanged(_) => "serialization-changed",
            Self::BodyAdded { required } => return optional("body", *required),
            Self::BodyRemoved => "body-removed",
            Self::MediaTypeAdded => "media-type-added",
            Self::MediaTypeRemoved => "media-type-removed",
            Self::StatusAdded { success: true } => "success-added",
            Self::StatusAdded { success: false } => "failure-added",
            Self::StatusRemoved { success: true } => "success-removed",
            Self::StatusRemoved { success: false } => "failure-removed",
            Self::HeaderAdded { required } => return optional("header", *required),
            Self::HeaderRemoved => "header-removed",
            Self::BecameRequired => "became-required",
            Self::BecameOptional => "became-optional",
            Self::PropertyAdded { required } => return optional("property", *required),
            Self::PropertyRemoved => "property-removed",
            Self::TypeChanged { effect: to, .. } => return effect("type", to),
            Self::FormatChanged { effect: to, .. } => return effect("format", to),
            Self::LimitChanged { effect: to, .. } => return effect("limit", to),
            Self::NullAllowed => "null-allowed",
            Self::NullRefused => "null-refused",
            Self::NullKeepsChanged => "null-keeps-changed",
            Self::EnumerationAdded => "enumeration-added",
            Self::EnumerationRemoved => "enumeration-removed",
            Self::ValueAdded(_) => "value-added",
            Self::ValueRemoved(_) => "value-removed",
            Self::OldSpellingAdded(_) => "old-spelling-added",
            Self::OldSpellingRemoved(_) => "old-spelling-removed",
            Self::OldSpellingChanged(_) => "old-spelling-changed",
            Self::Closed => "closed",
            Self::Opened => "opened",
            Self::AlternativeAdded => "alternative-added",
            Self::AlternativeRemoved => "alternative-removed",
            Self::AlternativeRenamed { .. } => "alternative-renamed",
            Self::AlternativesReordered => "alternatives-reordered",
            Self::AlternativesReplaced => "alternatives-replaced",
            Self::DiscriminatorChanged => "discriminator-changed",
            Self::DiscriminatorValueAdded(_) => "discriminator-value-added",
            Self::DiscriminatorValueRemoved(_) => "discriminator-value-removed",
            Self::DefaultChanged { .. } => "default-changed",
            Self::SchemaRenamed { .. } => "schema-renamed",
            Self::SchemaNamed(_) => "schema-named",
            Self::Deprecated => "deprecated",
            Self::NoLongerDeprecated => "no-longer-deprecated",
            Self::DocumentationChanged => "documentation-changed",
            Self::ComponentAdded => "component-added",
            Self::ComponentRemoved => "component-removed",
            Self::Reordered => "reordered",
            Self::WrittenDifferently => "written-differently",
            Self::LayoutChanged => "layout-changed",
            Self::Unjudged(_) => "unjudged",
        }
        .to_owned()
    }

    /// What it changes, from what to what, where the place alone doesn't tell.
    pub(crate) fn detail(&self) -> Option<String> {
        Some(match self {
            Self::OperationRenamed { from, to }
            | Self::OperationMoved { from, to }
            | Self::FirstServerChanged { from, to }
            | Self::OpenApiVersionChanged { from, to }
            | Self::VersionChanged { from, to }
            | Self::PathParameterRenamed { from, to }
            | Self::ParameterMoved { from, to }
            | Self::TypeChanged { from, to, .. }
            | Self::AlternativeRenamed { from, to }
            | Self::SchemaRenamed { from, to } => format!("{from} to {to}"),
            Self::FormatChanged { from, to, .. } => format!("format {from} to {to}"),
            Self::DefaultChanged { from, to } => format!("default {from} to {to}"),
            Self::LimitChanged { key, from, to, .. } => format!("{key} {from} to {to}"),
            Self::SerializationChanged(key) => (*key).to_owned(),
            Self::SecurityAlternativeAdded(text)
            | Self::SecurityAlternativeRemoved(text)
            | Self::SecuritySchemeChanged(text)
            | Self::ValueAdded(text)
            | Self::ValueRemoved(text)
            | Self::OldSpellingAdded(text)
            | Self::OldSpellingRemoved(text)
            | Self::OldSpellingChanged(text)
            | Self::DiscriminatorValueAdded(text)
            | Self::DiscriminatorValueRemoved(text)
            | Self::SchemaNamed(text)
            | Self::Unjudged(text) => text.clone(),
            _ => return None,
        })
    }

    /// What it means where it stands.
    pub(crate) fn judge(&self, side: Side) -> Judgement {
        use Class::{Breaking, Compatible, Trivial};
        let judgement = |callers, servers, cause, remedy| Judgement {
            callers,
            servers,
            cause,
            remedy,
        };
        let names = |cause| {
            judgement(
                Breaking,
                Breaking,
                cause,
                "Keep the name; a better one may stand in the description.",
            )
        };
        let trivial = |cause| judgement(Trivial, Trivial, cause, "Nothing.");
        match self {
            Self::OperationAdded => judgement(
                Compatible,
                Breaking,
                "Callers needn't call it; servers must have it.",
                "Publish a version in which servers have it.",
            ),
            Self::OperationRemoved => judgement(
                Breaking,
                Compatible,
                "Who calls it gets 404 or 405.",
                "Keep it and mark it deprecated.",
            ),
            Self::OperationRenamed { .. } => {
                names("Generated functions, classes and routes bear the operation's id.")
            }
            Self::OperationMoved { .. } => judgement(
                Breaking,
                Breaking,
                "Callers and servers meet by method and path.",
                "Keep the old operation, deprecated, and add one with the new path under an id of its own.",
            ),
            Self::TagsChanged => names("Generators make a class or module of each tag."),
            Self::SecurityAlternativeAdded(_) => judgement(
                Compatible,
                Breaking,
                "Callers may identify themselves in another way; servers must know it.",
                "Publish a version in which servers know it.",
            ),
            Self::SecurityAlternativeRemoved(_) => judgement(
                Breaking,
                Compatible,
                "Callers that identify themselves in this way, or not at all, are refused.",
                "Accept what was accepted, and announce its end.",
            ),
            Self::SecuritySchemeChanged(_) => judgement(
                Breaking,
                Breaking,
                "Callers send what servers don't look for.",
                "Add a scheme of its own as an alternative.",
            ),
            Self::ServerAdded => judgement(
                Compatible,
                Trivial,
                "Callers may talk to a further server.",
                "Nothing.",
            ),
            Self::ServerRemoved => judgement(
                Breaking,
                Trivial,
                "Callers that talk to it, and clients that list the servers by number, lose it.",
                "Keep the address for as long as it answers, with a note in its description.",
            ),
            Self::FirstServerChanged { .. } => judgement(
                Breaking,
                Trivial,
                "Generated clients talk to the first server unless told otherwise: test money becomes real money.",
                "Keep the first server and add others after it.",
            ),
            Self::ServerVariableChanged => judgement(
                Breaking,
                Trivial,
                "Clients that fill the address from its variables talk to another one.",
                "Add a server beside it.",
            ),
            Self::OpenApiVersionChanged { .. } => judgement(
                Compatible,
                Compatible,
                "Tools may read the document by other rules.",
                "Make sure that the generators in use read this version.",
            ),
            Self::VersionChanged { .. } => trivial("The number says which document this is."),
            Self::PathParameterRenamed { .. } => {
                names("It never reaches the wire, but arguments of generated functions bear it.")
            }
            Self::ParameterAdded { required: false } => judgement(
                Compatible,
                Breaking,
                "Callers needn't send it; servers must heed it.",
                "Publish a version in which servers heed it.",
            ),
            Self::ParameterAdded { required: true } => judgement(
                Breaking,
                Breaking,
                "Every call of today lacks it.",
                "Make it optional, with the behaviour of today where it is left out.",
            ),
            Self::ParameterInserted => judgement(
                Breaking,
                Breaking,
                "Generated functions may take arguments by position, so that it shifts those after it; servers must heed it.",
                "Add it at the end and keep the order.",
            ),
            Self::ParameterRemoved => judgement(
                Breaking,
                Compatible,
                "Callers that send it are refused, or get more than they asked for.",
                "Keep it and mark it deprecated.",
            ),
            Self::ParameterMoved { .. } => judgement(
                Breaking,
                Breaking,
                "Callers send it where servers don't look.",
                "Add an optional parameter at the new place and take both.",
            ),
            Self::ParametersReordered => judgement(
                Breaking,
                Breaking,
                "Generated functions and handlers may take arguments by position: two of one type are swapped unnoticed.",
                "Keep the order, and add what is new at the end.",
            ),
            Self::SerializationChanged(_) => judgement(
                Breaking,
                Breaking,
                "The same value is written in another way, which the other side misreads.",
                "Keep it, or add a parameter with the new form beside it.",
            ),
            Self::BodyAdded { required: false } => by_effect(Effect::Widened, Side::Request),
            Self::BodyAdded { required: true } => judgement(
                Breaking,
                Breaking,
                "Every call of today lacks it.",
                "Make it optional, with the behaviour of today where it is left out.",
            ),
            Self::BodyRemoved => by_effect(Effect::Narrowed, Side::Request),
            Self::MediaTypeAdded => judgement(
                Compatible,
                Breaking,
                "Callers needn't use it; servers must offer it.",
                "Publish a version in which servers offer it.",
            ),
            Self::MediaTypeRemoved => judgement(
                Breaking,
                Compatible,
                "Callers that send it or ask for it are refused.",
                "Keep it beside the new one.",
            ),
            Self::StatusAdded { success: true } => judgement(
                Breaking,
                Compatible,
                "Generated clients take a success that they don't know for a failure.",
                "Answer with a status that is there, and tell the difference in the body.",
            ),
            Self::StatusRemoved { success: true } => judgement(
                Breaking,
                Breaking,
                "Callers wait for it, and servers send it.",
                "Keep it.",
            ),
            Self::StatusAdded { success: false } => judgement(
                Compatible,
                Compatible,
                "HTTP makes callers treat an unknown status as the first of its hundred.",
                "Say in its description what callers should do.",
            ),
            Self::StatusRemoved { success: false } => judgement(
                Compatible,
                Breaking,
                "Callers don't meet it any more; servers that send it break the document.",
                "Keep it while any server sends it.",
            ),
            Self::HeaderAdded { required: false } => judgement(
                Compatible,
                Compatible,
                "Callers ignore headers that they don't know; servers needn't send it.",
                "Nothing.",
            ),
            Self::HeaderAdded { required: true } => judgement(
                Compatible,
                Breaking,
                "Servers must send it.",
                "Make it optional.",
            ),
            Self::HeaderRemoved => judgement(
                Breaking,
                Compatible,
                "Callers that read it don't get it any more.",
                "Keep it and mark it deprecated.",
            ),
            Self::BecameRequired => match side {
                Side::Reply => judgement(
                    Compatible,
                    Breaking,
                    "A server of the earlier version may leave it out.",
                    "Leave it optional, and describe when it is there.",
                ),
                _ => judgement(
                    Breaking,
                    Compatible,
                    "Callers that leave it out are refused.",
                    "Leave it optional, with the behaviour of today where it is left out.",
                ),
            },
            Self::BecameOptional => match side {
                Side::Reply => judgement(
                    Breaking,
                    Compatible,
                    "Callers rely on it, and clients fail to read a reply without it.",
                    "Keep it required.",
                ),
                _ => by_effect(Effect::Widened, side),
            },
            Self::PropertyAdded { required: false } => match side {
                Side::Reply => judgement(
                    Compatible,
                    Compatible,
                    "Replies are open: callers pass over what they don't know, and servers needn't send it.",
                    "Nothing.",
                ),
                _ => judgement(
                    Compatible,
                    Breaking,
                    "Callers needn't send it; requests are closed, so a server of the earlier version refuses it.",
                    "Publish a version in which servers take it before callers send it.",
                ),
            },
            Self::PropertyAdded { required: true } => match side {
                Side::Reply => judgement(
                    Compatible,
                    Breaking,
                    "Callers pass over what they don't know; servers must send it.",
                    "Make it optional.",
                ),
                _ => judgement(
                    Breaking,
                    Breaking,
                    "Every request of today lacks it, and a server of the earlier version refuses it.",
                    "Make it optional, with the behaviour of today where it is left out.",
                ),
            },
            Self::PropertyRemoved => match side {
                Side::Reply => judgement(
                    Breaking,
                    Compatible,
                    "Callers that read it don't get it any more.",
                    "Keep it and mark it deprecated.",
                ),
                _ => judgement(
                    Breaking,
                    Compatible,
                    "Requests are closed: callers that send it are refused.",
                    "Keep it and mark it deprecated.",
                ),
            },
            Self::TypeChanged { effect, .. }
            | Self::FormatChanged { effect, .. }
            | Self::LimitChanged { effect, .. } => by_effect(*effect, side),
            Self::NullAllowed => match side {
                Side::Reply => judgement(
                    Breaking,
                    Compatible,
                    "Clients fail to read a null where there was always a value.",
                    "Leave the property out instead if it is optional, or add one beside it.",
                ),
                _ => by_effect(Effect::Widened, side),
            },
            Self::NullRefused => by_effect(Effect::Narrowed, side),
            Self::NullKeepsChanged => judgement(
                Breaking,
                Breaking,
                "The same null clears in one version what it keeps in the other.",
                "Keep what null means; a new property may say what is to be cleared.",
            ),
            Self::EnumerationAdded | Self::Closed | Self::AlternativeRemoved => {
                by_effect(Effect::Narrowed, side)
            }
            Self::DiscriminatorValueRemoved(_)
            | Self::ValueRemoved(_)
            | Self::OldSpellingRemoved(_) => by_effect(Effect::Narrowed, side),
            Self::EnumerationRemoved
            | Self::AlternativeAdded
            | Self::DiscriminatorValueAdded(_) => by_effect(Effect::Widened, side),
            Self::ValueAdded(_) | Self::OldSpellingAdded(_) | Self::Opened => match side {
                Side::Reply => judgement(
                    Compatible,
                    Compatible,
                    "Replies are open: callers accept what they don't know.",
                    "Nothing.",
                ),
                _ => by_effect(Effect::Widened, side),
            },
            Self::OldSpellingChanged(_) => judgement(
                Breaking,
                Breaking,
                "The same spelling is stored as another value.",
                "Keep what it means.",
            ),
            Self::AlternativeRenamed { .. } => {
                names("Generated code names the alternative by its title.")
            }
            Self::AlternativesReordered => judgement(
                Compatible,
                Compatible,
                "By the document the order means nothing, but generated code may try the alternatives in turn.",
                "Keep the order where one alternative also fits another's values.",
            ),
            Self::AlternativesReplaced | Self::DiscriminatorChanged => {
                by_effect(Effect::Replaced, side)
            }
            Self::DefaultChanged { .. } => judgement(
                Breaking,
                Breaking,
                "Leaving it out means something else.",
                "Keep the default.",
            ),
            Self::SchemaRenamed { .. } => {
                names("It never reaches the wire, but types of generated code bear it.")
            }
            Self::SchemaNamed(_) => judgement(
                Compatible,
                Compatible,
                "It never reaches the wire, but generated code gets a type for it.",
                "Nothing.",
            ),
            Self::Deprecated | Self::NoLongerDeprecated => judgement(
                Compatible,
                Compatible,
                "It works as before; compilers may warn of it.",
                "Say in the description what to use instead, and until when it works.",
            ),
            Self::DocumentationChanged => trivial("Only people read it."),
            Self::ComponentAdded | Self::ComponentRemoved => {
                trivial("Whatever uses it is a change of its own.")
            }
            Self::Reordered => trivial("The order means nothing."),
            Self::WrittenDifferently => trivial("It means the same."),
            Self::LayoutChanged => trivial("The document holds the same."),
            Self::Unjudged(_) => judgement(
                Breaking,
                Breaking,
                "There is no rule for it, so nobody knows whom it concerns.",
                "Give it a rule in xtask/src/spec_diff/, with a row in its table.",
            ),
        }
    }
}

/// What a wider or narrower set of values means to those who send and those who receive it.
fn by_effect(effect: Effect, side: Side) -> Judgement {
    use Class::{Breaking, Compatible};
    let (callers, servers, cause, remedy) = match (effect, side) {
        (Effect::Widened, Side::Request) => (
            Compatible,
            Breaking,
            "Callers may send what a server of the earlier version refuses.",
            "Publish a version in which servers take it before callers send it.",
        ),
        (Effect::Widened, Side::Reply) => (
            Breaking,
            Compatible,
            "Callers meet what they weren't told of.",
            "Keep what it may be, and give what is new in a property of its own.",
        ),
        (Effect::Narrowed, Side::Request) => (
            Breaking,
            Compatible,
            "What callers send today is refused.",
            "Accept what was accepted; mark it deprecated, and describe what to send instead.",
        ),
        (Effect::Narrowed, Side::Reply) => (
            Compatible,
            Breaking,
            "A server of the earlier version sends what is ruled out now.",
            "Leave it allowed, and describe what servers should send.",
        ),
        (Effect::Replaced, _) | (_, Side::Elsewhere) => (
            Breaking,
            Breaking,
            "Neither side understands what the other sends by the other version.",
            "Leave it, and add a new property, parameter or operation beside it.",
        ),
    };
    Judgement {
        callers,
        servers,
        cause,
        remedy,
    }
}
