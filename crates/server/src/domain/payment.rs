//! A payment and its parts, with every name resolved to an id.
//!
//! Equality is equality of meaning: the ids that the server gives to tags and refund lines don't take part in it.

use std::sync::Arc;

use jiff::Timestamp;
use layer_payments_types::PaymentMethod;
use layer_payments_validation::Existing;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Any JSON object that the client sent. It keeps its meaning and not its spelling: the order of its keys may change,
/// and a number that is neither a whole one of 64 bits nor exactly a 64-bit float becomes the float next to it.
pub(crate) type Metadata = serde_json::Map<String, serde_json::Value>;

/// A payment. Amounts are in cents, times in whole microseconds (see [`whole_microseconds`]).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payment {
    pub(crate) id: Uuid,
    pub(crate) external_id: Option<String>,
    pub(crate) paid_at: Timestamp,
    pub(crate) imported_at: Timestamp,
    pub(crate) method: PaymentMethod,
    pub(crate) amount: i64,
    pub(crate) fee: i64,
    pub(crate) additional_fees: Vec<AdditionalFee>,
    pub(crate) processor: Option<String>,
    /// The account asked for instead of the one that follows from the method.
    pub(crate) clearing_account: Option<Uuid>,
    /// Where credit is redeemed from; replies call it the prepayment account.
    pub(crate) prepayment_account: Option<Uuid>,
    pub(crate) allocations: Vec<Allocation>,
    pub(crate) refunds: Vec<Refund>,
    pub(crate) tags: Tags,
    pub(crate) memo: Option<String>,
    pub(crate) metadata: Metadata,
    pub(crate) reference_number: Option<String>,
}

/// A fee on top of the processing fee.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct AdditionalFee {
    pub(crate) account: Uuid,
    pub(crate) fee_amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    pub(crate) is_passed_to_customer: bool,
}

/// A part of the payment and where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Allocation {
    pub(crate) target: Target,
    pub(crate) amount: i64,
    #[serde(flatten)]
    pub(crate) notes: Notes,
}

/// Where an allocation goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Target {
    Invoice(Uuid),
    LedgerAccount(Uuid),
}

/// What people and programs may note down on each part of a payment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Notes {
    #[serde(default, skip_serializing_if = "Tags::is_empty")]
    pub(crate) tags: Tags,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memo: Option<String>,
    #[serde(default, skip_serializing_if = "Metadata::is_empty")]
    pub(crate) metadata: Metadata,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reference_number: Option<String>,
}

/// A refund that belongs to the payment. All that the request said is kept, also what no reply shows yet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Refund {
    /// The refund's own id, and that of its only allocation where it has no line items.
    pub(crate) id: Known<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lines: Vec<RefundLine>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) refunded_amount: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) completed_at: Option<Timestamp>,
    pub(crate) processing_fee: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) method: Option<PaymentMethod>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) processor: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) refunded_fees: Vec<RefundedFee>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) clearing_account: Option<Uuid>,
    #[serde(flatten)]
    pub(crate) notes: Notes,
}

/// A part of a refund.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefundLine {
    pub(crate) id: Known<Uuid>,
    pub(crate) amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) external_id: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<Uuid>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) prepayment_account: Option<Uuid>,
    #[serde(flatten)]
    pub(crate) notes: Notes,
}

/// A fee of the payment that came back with a refund.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct RefundedFee {
    pub(crate) account: Uuid,
    pub(crate) fee_amount: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
}

/// Something that the server knows and the client didn't say, such as the id of a refund. It takes no part in the
/// meaning of what it stands in: any two compare equal.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Known<T>(pub(crate) T);

impl<T> PartialEq for Known<T> {
    fn eq(&self, _: &Known<T>) -> bool {
        true
    }
}

/// A value of a tag dimension, as the business defined it by using it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TagDefinition {
    pub(crate) id: Uuid,
    pub(crate) dimension_id: Uuid,
    pub(crate) key: String,
    pub(crate) value: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) dimension_display_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) value_display_name: Option<String>,
}

/// A tag that is set: which value of which dimension, and since when.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Tag {
    pub(crate) id: Uuid,
    pub(crate) created_at: Timestamp,
    pub(crate) definition: Arc<TagDefinition>,
}

/// The tags of one thing. Their order is kept and means nothing: lists with the same values compare equal.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Tags(pub(crate) Vec<Tag>);

impl Tags {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn definitions(&self) -> impl Iterator<Item = Uuid> {
        self.0.iter().map(|tag| tag.definition.id)
    }
}

impl PartialEq for Tags {
    fn eq(&self, other: &Tags) -> bool {
        if self.0.len() != other.0.len() {
            return false;
        }
        if self.definitions().eq(other.definitions()) {
            return true;
        }
        // Sorting keeps this cheap however many tags a request brings.
        let mut left: Vec<Uuid> = self.definitions().collect();
        let mut right: Vec<Uuid> = other.definitions().collect();
        left.sort_unstable();
        right.sort_unstable();
        left == right
    }
}

impl Payment {
    /// What an update of the payment is checked against.
    pub(crate) fn existing(&self) -> Existing {
        let sum = |amounts: &mut dyn Iterator<Item = i64>| amounts.map(i128::from).sum();
        Existing {
            paid_at: self.paid_at,
            method: Some(self.method),
            amount: self.amount,
            fee: self.fee,
            additional_fees: sum(&mut self.additional_fees.iter().map(|fee| fee.fee_amount)),
            processor: self.processor.clone(),
            allocated: sum(&mut self.allocations.iter().map(|allocation| allocation.amount)),
            refunded: sum(&mut self.refunded_amounts()),
        }
    }

    /// What was refunded, part by part, in cents.
    fn refunded_amounts(&self) -> impl Iterator<Item = i64> {
        self.refunds.iter().flat_map(Refund::amounts)
    }

    /// What is left of each allocation once refunds are taken off. Refunds name no invoice, so they are taken off the
    /// invoices' allocations in their order until they are used up; with one invoice there is nothing to choose.
    pub(crate) fn net_of_refunds(&self) -> impl Iterator<Item = i64> {
        let mut refunded: i128 = self.refunded_amounts().map(i128::from).sum();
        self.allocations.iter().map(move |allocation| {
            if matches!(allocation.target, Target::LedgerAccount(_)) {
                return allocation.amount;
            }
            let net = (i128::from(allocation.amount) - refunded).max(0);
            // `net` is between 0 and the amount, so the fallback is never taken.
            let net = i64::try_from(net).unwrap_or(allocation.amount);
            refunded -= i128::from(allocation.amount - net);
            net
        })
    }

    /// The invoices that the allocations go to, in their order, each as often as it is named.
    pub(crate) fn invoices(&self) -> impl Iterator<Item = Uuid> {
        self.allocations
            .iter()
            .filter_map(|allocation| match allocation.target {
                Target::Invoice(id) => Some(id),
                Target::LedgerAccount(_) => None,
            })
    }
}

impl Refund {
    /// What the refund gives back, part by part, in cents: its lines, or its whole amount where it has no lines. A
    /// refund that gives neither is kept, and counts for nothing.
    fn amounts(&self) -> impl Iterator<Item = i64> {
        let whole = self
            .lines
            .is_empty()
            .then_some(self.refunded_amount)
            .flatten();
        self.lines.iter().map(|line| line.amount).chain(whole)
    }

    /// What the refund gives back, in cents.
    pub(crate) fn amount(&self) -> i128 {
        self.amounts().map(i128::from).sum()
    }
}

/// Cuts a time to whole microseconds, the resolution that payments are kept in: it is that of Layer's own replies, and
/// a 64-bit number holds it for every [`Timestamp`]. These end earlier than the times that RFC 3339 can write: at
/// 9999-12-30T22:00:00.999999999Z, so that `9999-12-31T23:59:59Z` is refused where the request is decoded.
pub(crate) fn whole_microseconds(time: Timestamp) -> Timestamp {
    // Every timestamp's microseconds make a timestamp again, so the fallback is never taken.
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(id: u128, definition: u128) -> Tag {
        Tag {
            id: Uuid::from_u128(id),
            created_at: Timestamp::UNIX_EPOCH,
            definition: Arc::new(TagDefinition {
                id: Uuid::from_u128(definition),
                dimension_id: Uuid::from_u128(100),
                key: "department".to_owned(),
                value: definition.to_string(),
                dimension_display_name: None,
                value_display_name: None,
            }),
        }
    }

    #[test]
    fn tags_compare_by_what_they_set() {
        let tags = |list: &[(u128, u128)]| Tags(list.iter().map(|&(id, d)| tag(id, d)).collect());
        assert_eq!(tags(&[(1, 10), (2, 20)]), tags(&[(3, 20), (4, 10)]));
        assert_ne!(tags(&[(1, 10), (2, 20)]), tags(&[(1, 10), (2, 30)]));
        assert_ne!(tags(&[(1, 10), (2, 10)]), tags(&[(1, 10), (2, 20)]));
        assert_ne!(tags(&[(1, 10)]), tags(&[(1, 10), (2, 10)]));
    }

    #[test]
    fn times_are_cut_to_microseconds_over_the_whole_range() {
        for (given, kept) in [
            (
                "2024-02-27T02:22:55.163005999Z",
                "2024-02-27T02:22:55.163005Z",
            ),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("9999-12-30T21:59:59.999999Z", "9999-12-30T21:59:59.999999Z"),
        ] {
            let given: Timestamp = given.parse().unwrap();
            assert_eq!(whole_microseconds(given).to_string(), kept);
        }
        for extreme in [Timestamp::MIN, Timestamp::MAX] {
            let cut = whole_microseconds(extreme);
            assert_eq!(cut.as_microsecond(), extreme.as_microsecond());
        }
    }
}
