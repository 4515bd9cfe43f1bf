//! The rules by name, and what a broken one looks like.

use std::fmt;

/// A documented rule that a request can break.
///
/// The list grows with the documentation, so a `match` on it needs a wildcard arm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Rule {
    /// The allocations of a payment add up to more than its amount. (Record page: the sum must be less than or equal
    /// to the payment amount.)
    AllocationsExceedAmount,
    /// An allocation names neither a ledger account nor an invoice. (Record page: one of `invoice_id` and
    /// `invoice_external_id` must be given.)
    AllocationTargetMissing,
    /// An allocation names both a ledger account and an invoice. (Record page: the kind is decided by the properties
    /// that are there.) Only raw JSON can say so; the types can't.
    AllocationTargetAmbiguous,
    /// A metadata object is larger than [`METADATA_LIMIT`](crate::METADATA_LIMIT). (Bulk page: 1 KB, here taken as
    /// 1,024 bytes of compact JSON in UTF-8.)
    MetadataTooLarge,
    /// Two payments of one bulk request have the same `external_id`. (Inferred from the payouts bulk, which refuses
    /// it.)
    DuplicateExternalId,
    /// An `external_id` is there and empty, so that it can't identify anything. (Inferred.)
    ExternalIdEmpty,
    /// A ledger account is named by an empty stable name. (Inferred.)
    StableNameEmpty,
    /// The key or the value of a tag is empty. (Layer's React client refuses it.)
    TagEmpty,
    /// An amount or a fee is below zero. (Record page: positive cents.)
    AmountNegative,
    /// A bulk request holds no payment. (Inferred.)
    BulkEmpty,
}

impl Rule {
    /// Every rule, in the order of their declaration.
    pub const ALL: &[Rule] = &[
        Rule::AllocationsExceedAmount,
        Rule::AllocationTargetMissing,
        Rule::AllocationTargetAmbiguous,
        Rule::MetadataTooLarge,
        Rule::DuplicateExternalId,
        Rule::ExternalIdEmpty,
        Rule::StableNameEmpty,
        Rule::TagEmpty,
        Rule::AmountNegative,
        Rule::BulkEmpty,
    ];

    /// The rule's stable code, in kebab-case: the same in every release, to be compared by programs.
    pub const fn code(self) -> &'static str {
        match self {
            Rule::AllocationsExceedAmount => "allocations-exceed-amount",
            Rule::AllocationTargetMissing => "allocation-target-missing",
            Rule::AllocationTargetAmbiguous => "allocation-target-ambiguous",
            Rule::MetadataTooLarge => "metadata-too-large",
            Rule::DuplicateExternalId => "duplicate-external-id",
            Rule::ExternalIdEmpty => "external-id-empty",
            Rule::StableNameEmpty => "stable-name-empty",
            Rule::TagEmpty => "tag-empty",
            Rule::AmountNegative => "amount-negative",
            Rule::BulkEmpty => "bulk-empty",
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// One broken rule: which, where and why.
///
/// Displayed as `{pointer}: {message} ({code})`, with `(whole body)` for the empty pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: Rule,
    /// Where, as a JSON Pointer (RFC 6901) into the request body. Empty for the whole body.
    pub pointer: String,
    /// What is wrong with the value and what would be right, as whole sentences for people.
    pub message: String,
}

impl Violation {
    /// The same violation in a body that holds this one's body at `prefix`, a JSON Pointer: what a payment's violation
    /// becomes in a bulk request.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Violation {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() {
            "(whole body)"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {} ({})", self.message, self.rule)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_kebab_case_and_distinct() {
        let codes: HashSet<_> = Rule::ALL.iter().map(|rule| rule.code()).collect();
        assert_eq!(codes.len(), Rule::ALL.len());
        for code in codes {
            assert!(
                code.split('-')
                    .all(|word| !word.is_empty()
                        && word.bytes().all(|byte| byte.is_ascii_lowercase())),
                "{code}"
            );
        }
    }

    #[test]
    fn a_violation_reads_as_one_line() {
        let violation = Violation {
            rule: Rule::AmountNegative,
            pointer: "/amount".to_owned(),
            message: "The amount is -1.".to_owned(),
        };
        assert_eq!(
            violation.clone().under("/3").to_string(),
            "/3/amount: The amount is -1. (amount-negative)"
        );
        assert_eq!(
            Violation {
                pointer: String::new(),
                ..violation
            }
            .to_string(),
            "(whole body): The amount is -1. (amount-negative)"
        );
    }
}
