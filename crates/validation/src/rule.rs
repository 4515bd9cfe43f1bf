//! The rules by name: the catalogue `spec/rules/catalogue.json` as an enum.

use std::fmt;

use layer_payments_types::Operation::{
    self, BulkCreateInvoicePayments as Bulk, ListInvoicePayments as List,
    RecordInvoicePayment as Record, UpdateInvoicePayment as Update,
};

/// How bad it is to break a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Severity {
    /// The request is taken, but most likely it doesn't say what its sender means.
    Warning,
    /// Layer refuses the request.
    Error,
}

impl Severity {
    /// `warning` or `error`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Operations whose body holds payments to record.
const CREATES: &[Operation] = &[Record, Bulk];
/// Operations with a body.
const WRITES: &[Operation] = &[Record, Bulk, Update];
/// All operations.
const ALL: &[Operation] = &[List, Record, Bulk, Update];

/// Writes down the rules once: the variant, its code, its severity and its operations.
macro_rules! rules {
    ($($(#[$doc:meta])+ $name:ident = $code:literal, $severity:ident, $operations:expr;)+) => {
        /// A rule that a request can break.
        ///
        /// Each variant tells what it means to break the rule and, in parentheses, which source states it: a page of
        /// Layer's documentation, Layer's own client, or none ("inferred"). D and a number is a decision in
        /// `spec/decisions.md`. The same is in `spec/rules/catalogue.json` for programs.
        ///
        /// The list grows with the documentation, so a `match` on it needs a wildcard arm.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Rule {
            $($(#[$doc])+ $name,)+
        }

        impl Rule {
            /// Every rule, in the order of their declaration.
            pub const ALL: &[Rule] = &[$(Rule::$name),+];

            /// The rule's stable code, in kebab-case: the same in every release, to be compared by programs.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Rule::$name => $code,)+
                }
            }

            /// Whether breaking the rule is an error or a warning.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Rule::$name => Severity::$severity,)+
                }
            }

            /// The operations that the rule holds for.
            pub const fn operations(self) -> &'static [Operation] {
                match self {
                    $(Rule::$name => $operations,)+
                }
            }
        }
    };
}

rules! {
    /// The body isn't one JSON document in UTF-8. Only a request's text can break it. (The page on JSON data.)
    JsonMalformed = "json-malformed", Error, WRITES;
    /// An object has a key twice. Only a request's text can break it. (Inferred: JSON leaves open which value counts.)
    DuplicateKey = "duplicate-key", Error, WRITES;
    /// A value has a JSON type that its property doesn't take. Only a request's text can break it. (The field lists of
    /// all pages; null by D21.)
    TypeMismatch = "type-mismatch", Error, ALL;
    /// A required property isn't there. Only a request's text can break it. (Generated record page.)
    PropertyMissing = "property-missing", Error, WRITES;
    /// There is no such property, or query parameter. Only a request's text can break it. (Inferred, D4: a misspelt
    /// property would be lost in silence.)
    PropertyUnknown = "property-unknown", Error, ALL;
    /// A text isn't one of the values that its property takes. Only a request's text can break it. (Bulk page, D12.)
    ValueUnknown = "value-unknown", Error, ALL;
    /// A number of cents doesn't fit into 64 bits. Only a request's text can break it. (Inferred, D19: sibling pages
    /// give money as int64.)
    IntegerOutOfRange = "integer-out-of-range", Error, WRITES;
    /// A text isn't an RFC 3339 timestamp. Only a request's text can break it. (All pages type times as date-time;
    /// D50.)
    TimestampMalformed = "timestamp-malformed", Error, ALL;
    /// A text isn't a UUID with hyphens. Only a request's text can break it. (Update page.)
    UuidMalformed = "uuid-malformed", Error, WRITES;
    /// An account identifier has no known `type`, or not the property that its type asks for. Only a request's text
    /// can break it. (Bulk page.)
    AccountIdentifierMalformed = "account-identifier-malformed", Error, WRITES;
    /// An allocation names both a ledger account and an invoice. Only a request's text can break it. (Generated record
    /// page, D25: an element with `account` goes to a ledger account, any other to an invoice.)
    AllocationTargetAmbiguous = "allocation-target-ambiguous", Error, WRITES;
    /// A method is spelt in a form of older documentation. Only a request's text can break it, since the types read it
    /// as its successor. (Oldest copy of the update page, Layer's React client; D12.)
    MethodDeprecated = "method-deprecated", Warning, ALL;
    /// A number within metadata takes more than 64 bits, so that it is kept as floating-point, to about 17 digits. Only a
    /// request's text can break it. (Inferred, D71: an id that is written as a number would come back as another.)
    MetadataNumberTooLarge = "metadata-number-too-large", Warning, WRITES;
    /// An allocation names neither a ledger account nor an invoice. (Hand-written record page, D26.)
    AllocationTargetMissing = "allocation-target-missing", Error, WRITES;
    /// The allocations of a payment add up to more than its amount. (Bulk page, D24.)
    AllocationsExceedAmount = "allocations-exceed-amount", Error, WRITES;
    /// A number of cents is below zero. (Hand-written record page, D65: amounts and fees are positive cents.)
    AmountNegative = "amount-negative", Error, WRITES;
    /// A payment's amount is zero. (Inferred: a payment of nothing is most likely a mistake.)
    AmountZero = "amount-zero", Warning, WRITES;
    /// `fee` and the additional fees add up to more than the payment's amount. (Inferred: fees are parts of the money
    /// that was received.)
    FeesExceedAmount = "fees-exceed-amount", Warning, WRITES;
    /// A payment has a `processor`, and its method isn't `CREDIT_CARD`, `ACH`, `CREDIT_BALANCE` or `OTHER`. (Bulk page,
    /// D13.)
    ProcessorNotAllowedForMethod = "processor-not-allowed-for-method", Error, WRITES;
    /// A payment has a `redemption_account`, and its method isn't `CREDIT_BALANCE`. (Bulk page, D23.)
    RedemptionAccountNotAllowedForMethod = "redemption-account-not-allowed-for-method", Error, CREATES;
    /// A metadata object is larger than [`METADATA_LIMIT`](crate::METADATA_LIMIT). (Bulk page, D43: 1 KB.)
    MetadataTooLarge = "metadata-too-large", Error, WRITES;
    /// An id from the sender's own system is there and empty. (Inferred, D17: it identifies nothing.)
    ExternalIdEmpty = "external-id-empty", Error, ALL;
    /// A payment to record has no `external_id`, so that a retry may record it twice. (Idempotency page, D52.)
    ExternalIdMissing = "external-id-missing", Warning, CREATES;
    /// Two payments of one bulk request have the same `external_id`. (The payouts' bulk page refuses it; D55.)
    DuplicateExternalId = "duplicate-external-id", Error, &[Bulk];
    /// Two refunds of one payment have the same `external_id`. (Inferred: such an id names neither.)
    DuplicateRefundExternalId = "duplicate-refund-external-id", Error, WRITES;
    /// A ledger account is named by an empty stable name. (Inferred: it names no account.)
    StableNameEmpty = "stable-name-empty", Error, WRITES;
    /// The key or the value of a tag is empty, or nothing but blanks. (Layer's React client refuses it; D40.)
    TagEmpty = "tag-empty", Error, WRITES;
    /// The key or the value of a tag has blanks around it. (Layer's React client refuses it; D40.)
    TagOuterBlanks = "tag-outer-blanks", Error, WRITES;
    /// A display name in a tag is there and empty. (Layer's React client takes one that is null or not empty.)
    TagDisplayNameEmpty = "tag-display-name-empty", Warning, WRITES;
    /// Two tags of one list have the same key. (Inferred: two values in one dimension contradict each other.)
    DuplicateTagKey = "duplicate-tag-key", Error, WRITES;
    /// The refunds of a payment add up to more than its amount. (Inferred: no more can be given back than was paid.)
    RefundsExceedAmount = "refunds-exceed-amount", Error, WRITES;
    /// A refund says nowhere how much it is. (Inferred, D29: a refund of nothing is most likely a mistake.)
    RefundAmountMissing = "refund-amount-missing", Warning, WRITES;
    /// A refund gives its amount twice, and not the same. (Inferred, D29.)
    RefundAmountMismatch = "refund-amount-mismatch", Error, WRITES;
    /// A refund was completed before the payment was made. (Inferred: what wasn't paid can't be given back.)
    RefundBeforePayment = "refund-before-payment", Warning, WRITES;
    /// A time lies before 1970 or after 2199. (Inferred: it is a slip, or counted in another unit.)
    DateImplausible = "date-implausible", Error, WRITES;
    /// A time lies in the future. (Inferred: what is recorded has happened.)
    DateInFuture = "date-in-future", Warning, WRITES;
    /// A payment's reference number holds a comma, so that no list can be filtered by it. (List page, D51.)
    ReferenceNumberComma = "reference-number-comma", Warning, WRITES;
    /// Two allocations of one payment go to the same invoice. (Inferred: they are one, or one is a copy too many.)
    DuplicateInvoiceAllocation = "duplicate-invoice-allocation", Warning, WRITES;
    /// A bulk request holds no payment. (Inferred, D44.)
    BulkEmpty = "bulk-empty", Error, &[Bulk];
    /// A bulk request holds more payments than [the limit in force](crate::Context::bulk_limit). (D44: no page names
    /// one, but a server may have one.)
    BulkTooLarge = "bulk-too-large", Error, &[Bulk];
    /// An update holds no property, so that it changes nothing. (Inferred, D65.)
    UpdateEmpty = "update-empty", Warning, &[Update];
    /// An update gives null for `amount` or `paid_at`, which can't be cleared. (Oldest copy of the update page, D21.)
    NullChangesNothing = "null-changes-nothing", Warning, &[Update];
    /// The start of a filter's period is later than its end. (Inferred, D50: nothing passes such filters.)
    FilterRangeReversed = "filter-range-reversed", Error, &[List];
    /// A list's limit isn't from 1 to [`LIST_LIMIT`](crate::LIST_LIMIT). (D49: the maximum is this project's.)
    LimitOutOfRange = "limit-out-of-range", Error, &[List];
    /// A filter by reference numbers names none. (Inferred, D51: it lets nothing pass.)
    ReferenceNumbersEmpty = "reference-numbers-empty", Error, &[List];
}

impl Rule {
    /// Whether only a request's text can break the rule, so that no value of the request's type does. Where a payment has
    /// an error of such a rule, the other rules aren't checked.
    pub const fn is_raw(self) -> bool {
        matches!(
            self,
            Rule::JsonMalformed
                | Rule::DuplicateKey
                | Rule::TypeMismatch
                | Rule::PropertyMissing
                | Rule::PropertyUnknown
                | Rule::ValueUnknown
                | Rule::IntegerOutOfRange
                | Rule::TimestampMalformed
                | Rule::UuidMalformed
                | Rule::AccountIdentifierMalformed
                | Rule::AllocationTargetAmbiguous
                | Rule::MethodDeprecated
                | Rule::MetadataNumberTooLarge
        )
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
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
    fn an_error_is_worse_than_a_warning() {
        assert!(Severity::Error > Severity::Warning);
        assert_eq!(Severity::Error.to_string(), "error");
    }
}
