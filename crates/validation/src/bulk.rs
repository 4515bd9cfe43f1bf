//! What a bulk request has to obey as a whole: its length, and external ids that stand in it once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::context::Context;
use crate::message::quoted;
use crate::pointer::Pointer;
use crate::rule::Rule;
use crate::violation::Violation;

/// The external ids of a bulk request that is checked one payment at a time, as one that doesn't fit into memory has
/// to be.
///
/// [`validate_bulk`](crate::validate_bulk) does this by itself.
///
/// ```
/// use layer_payments_validation::ExternalIds;
///
/// let mut ids = ExternalIds::new();
/// assert!(ids.repeated(0, "payment-1").is_none());
/// assert!(ids.repeated(1, "payment-2").is_none());
/// let violation = ids.repeated(2, "payment-1").unwrap();
/// assert_eq!(violation.pointer, "/2/external_id");
/// ```
#[derive(Clone, Debug, Default)]
pub struct ExternalIds<'a>(HashMap<Cow<'a, str>, usize>);

impl<'a> ExternalIds<'a> {
    /// No external ids yet.
    pub fn new() -> ExternalIds<'a> {
        ExternalIds::default()
    }

    /// None yet, and room for so many.
    pub fn with_capacity(payments: usize) -> ExternalIds<'a> {
        ExternalIds(HashMap::with_capacity(payments))
    }

    /// Takes the external id of the payment at `index`. Gives the violation of
    /// [`DuplicateExternalId`](Rule::DuplicateExternalId) if an earlier payment had it. An empty one isn't compared.
    pub fn repeated(
        &mut self,
        index: usize,
        external_id: impl Into<Cow<'a, str>>,
    ) -> Option<Violation> {
        let external_id = external_id.into();
        if external_id.is_empty() {
            return None;
        }
        match self.0.entry(external_id) {
            Entry::Vacant(vacant) => {
                vacant.insert(index);
                None
            }
            Entry::Occupied(first) => Some(Violation {
                rule: Rule::DuplicateExternalId,
                pointer: format!("/{index}/external_id"),
                message: format!(
                    "The payments at index {} and index {index} have the same external id {}; an external id may \
                     stand in a request once.",
                    first.get(),
                    quoted(first.key())
                ),
            }),
        }
    }
}

/// Checks how many payments a bulk request holds, and adds what it finds.
pub(crate) fn check_count(payments: usize, context: &Context, found: &mut Vec<Violation>) {
    let mut add = |rule, message| {
        found.push(Violation {
            rule,
            pointer: Pointer::Root.render(),
            message,
        });
    };
    if payments == 0 {
        add(
            Rule::BulkEmpty,
            "The list holds no payment; send at least one.".to_owned(),
        );
    }
    if let Some(limit) = context.bulk_limit
        && payments > limit
    {
        add(
            Rule::BulkTooLarge,
            format!(
                "The list holds {payments} payments, and the limit is {limit}; send at most {limit} in a request."
            ),
        );
    }
}
