//! Changing a payment, and making one.

use std::collections::HashMap;

use jiff::Timestamp;
use layer_payments_types::PaymentMethod;
use uuid::Uuid;

use super::payment::{AdditionalFee, Allocation, Metadata, Payment, Refund, Tag, Tags};

/// What a request wants of a payment, resolved: `None` leaves a property as it is, `Some` sets it. Where the inner
/// value is an option too, `Some(None)` clears the property.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    pub(crate) external_id: Option<Option<String>>,
    pub(crate) paid_at: Option<Timestamp>,
    pub(crate) method: Option<PaymentMethod>,
    pub(crate) amount: Option<i64>,
    pub(crate) fee: Option<i64>,
    pub(crate) additional_fees: Option<Vec<AdditionalFee>>,
    pub(crate) processor: Option<Option<String>>,
    pub(crate) clearing_account: Option<Option<Uuid>>,
    pub(crate) prepayment_account: Option<Option<Uuid>>,
    pub(crate) allocations: Option<Vec<Allocation>>,
    pub(crate) refunds: Option<Vec<Refund>>,
    pub(crate) tags: Option<Tags>,
    pub(crate) memo: Option<Option<String>>,
    pub(crate) metadata: Option<Metadata>,
    pub(crate) reference_number: Option<Option<String>>,
}

/// What every payment has from the start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) id: Uuid,
    pub(crate) imported_at: Timestamp,
    pub(crate) paid_at: Timestamp,
    pub(crate) method: PaymentMethod,
    /// In cents.
    pub(crate) amount: i64,
}

/// Makes a new payment.
pub(crate) fn create(birth: Birth, changes: Changes) -> Payment {
    let Birth {
        id,
        imported_at,
        paid_at,
        method,
        amount,
    } = birth;
    let mut payment = Payment {
        id,
        external_id: None,
        paid_at,
        imported_at,
        method,
        amount,
        fee: 0,
        additional_fees: Vec::new(),
        processor: None,
        clearing_account: None,
        prepayment_account: None,
        allocations: Vec::new(),
        refunds: Vec::new(),
        tags: Tags::default(),
        memo: None,
        metadata: Metadata::new(),
        reference_number: None,
    };
    set_all(&mut payment, changes);
    payment
}

/// Applies changes to a payment. Gives `None` where it has all the values already.
///
/// A part that stays (a tag of the same value, a refund line in its place) keeps its id, so that others may refer to it.
pub(crate) fn update(payment: &Payment, changes: Changes) -> Option<Payment> {
    let mut changed = payment.clone();
    set_all(&mut changed, changes);
    if changed == *payment {
        return None;
    }
    keep_ids(payment, &mut changed);
    Some(changed)
}

fn set_all(payment: &mut Payment, changes: Changes) {
    // Taking the struct apart makes a property that is added later an error here until it is handled.
    let Changes {
        external_id,
        paid_at,
        method,
        amount,
        fee,
        additional_fees,
        processor,
        clearing_account,
        prepayment_account,
        allocations,
        refunds,
        tags,
        memo,
        metadata,
        reference_number,
    } = changes;
    set(&mut payment.external_id, external_id);
    set(&mut payment.paid_at, paid_at);
    set(&mut payment.method, method);
    set(&mut payment.amount, amount);
    set(&mut payment.fee, fee);
    set(&mut payment.additional_fees, additional_fees);
    set(&mut payment.processor, processor);
    set(&mut payment.clearing_account, clearing_account);
    set(&mut payment.prepayment_account, prepayment_account);
    set(&mut payment.allocations, allocations);
    set(&mut payment.refunds, refunds);
    set(&mut payment.tags, tags);
    set(&mut payment.memo, memo);
    set(&mut payment.metadata, metadata);
    set(&mut payment.reference_number, reference_number);
}

fn set<T>(slot: &mut T, change: Option<T>) {
    if let Some(value) = change {
        *slot = value;
    }
}

/// Gives parts of the changed payment the ids of the parts of the old one that they continue.
fn keep_ids(old: &Payment, new: &mut Payment) {
    keep_tags(&old.tags, &mut new.tags);
    for (old, new) in old.allocations.iter().zip(&mut new.allocations) {
        if old.target == new.target {
            keep_tags(&old.notes.tags, &mut new.notes.tags);
        }
    }
    // A refund continues the one with its external id, or the one in its place if neither has an external id.
    let mut by_name: HashMap<&str, &Refund> = old
        .refunds
        .iter()
        .filter_map(|refund| Some((refund.external_id.as_deref()?, refund)))
        .collect();
    for (index, new) in new.refunds.iter_mut().enumerate() {
        let continued = match new.external_id.as_deref() {
            Some(name) => by_name.remove(name),
            None => old
                .refunds
                .get(index)
                .filter(|refund| refund.external_id.is_none()),
        };
        if let Some(old) = continued {
            new.id = old.id;
            keep_tags(&old.notes.tags, &mut new.notes.tags);
            for (old, new) in old.lines.iter().zip(&mut new.lines) {
                new.id = old.id;
                keep_tags(&old.notes.tags, &mut new.notes.tags);
            }
        }
    }
}

fn keep_tags(old: &Tags, new: &mut Tags) {
    if old.is_empty() || new.is_empty() {
        return;
    }
    let mut by_definition: HashMap<Uuid, &Tag> =
        old.0.iter().map(|tag| (tag.definition.id, tag)).collect();
    for tag in &mut new.0 {
        // Each old tag is continued once, so that a value which is set twice keeps two ids.
        if let Some(old) = by_definition.remove(&tag.definition.id) {
            *tag = old.clone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::payment::{Known, Notes, RefundLine};

    fn payment(changes: Changes) -> Payment {
        let birth = Birth {
            id: Uuid::from_u128(1),
            imported_at: Timestamp::UNIX_EPOCH,
            paid_at: Timestamp::UNIX_EPOCH,
            method: PaymentMethod::Cash,
            amount: 100,
        };
        create(birth, changes)
    }

    fn refund(id: u128, external_id: Option<&str>, amount: i64) -> Refund {
        Refund {
            id: Known(Uuid::from_u128(id)),
            external_id: external_id.map(str::to_owned),
            account: None,
            lines: vec![RefundLine {
                id: Known(Uuid::from_u128(id + 1)),
                amount,
                external_id: None,
                account: None,
                prepayment_account: None,
                notes: Notes::default(),
            }],
            refunded_amount: None,
            completed_at: None,
            processing_fee: 0,
            method: None,
            processor: None,
            refunded_fees: Vec::new(),
            clearing_account: None,
            notes: Notes::default(),
        }
    }

    fn refunds(list: Vec<Refund>) -> Changes {
        Changes {
            refunds: Some(list),
            ..Changes::default()
        }
    }

    fn ids(payment: &Payment) -> Vec<u128> {
        payment
            .refunds
            .iter()
            .flat_map(|refund| [refund.id.0, refund.lines[0].id.0])
            .map(|id| id.as_u128())
            .collect()
    }

    #[test]
    fn no_changes_change_nothing() {
        let payment = payment(Changes::default());
        assert_eq!(update(&payment, Changes::default()), None);
    }

    #[test]
    fn refunds_go_on_under_their_external_id_or_in_their_place() {
        let old = payment(refunds(vec![
            refund(10, Some("a"), 1),
            refund(20, None, 2),
            refund(30, Some("b"), 3),
        ]));
        // The same meaning with other ids is no change.
        let same = refunds(vec![
            refund(11, Some("a"), 1),
            refund(21, None, 2),
            refund(31, Some("b"), 3),
        ]);
        assert_eq!(update(&old, same), None);
        let other = refunds(vec![
            refund(40, Some("b"), 3),
            refund(50, None, 7),
            refund(60, Some("c"), 1),
            refund(70, None, 1),
        ]);
        let new = update(&old, other).unwrap();
        assert_eq!(ids(&new), [30, 31, 20, 21, 60, 61, 70, 71]);
    }

    #[test]
    fn no_id_is_given_twice() {
        let old = payment(refunds(vec![refund(10, Some("a"), 1)]));
        let twice = refunds(vec![refund(20, Some("a"), 1), refund(30, Some("a"), 1)]);
        let new = update(&old, twice).unwrap();
        assert_eq!(ids(&new), [10, 11, 30, 31]);
    }
}
