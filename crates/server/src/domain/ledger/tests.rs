//! The posting rules, case by case, in `postings.txt`: a payment in a short notation, and what it posts. Then what has to
//! hold for any payment at all.

use std::fmt::Write as _;

use jiff::Timestamp;
use layer_payments_types::PaymentMethod;
use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::change::{self, Birth, Changes};
use crate::domain::payment::{AdditionalFee, Allocation, Known, Notes, RefundLine, RefundedFee};

/// Each case is a line that starts with `#` and says what it is about, then the payment, its parts apart by `;`, an empty
/// line, and what it posts: debits on the left, credits indented. Then what it pays on its invoices.
const CASES: &str = include_str!("postings.txt");

/// The accounts and invoices of a case by their names. An id is the name's place, so that the account that a payment
/// names `CASH` is the one that the chart has under this name.
#[derive(Default)]
struct Names(Vec<String>);

impl Names {
    fn id(&mut self, name: &str) -> Uuid {
        let place = self.0.iter().position(|known| known == name);
        let place = place.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            self.0.len() - 1
        });
        Uuid::from_u128(place as u128)
    }

    fn name(&self, id: Uuid) -> &str {
        &self.0[usize::try_from(id.as_u128()).unwrap()]
    }
}

fn day(text: &str) -> Timestamp {
    format!("{text}T00:00:00Z").parse().unwrap()
}

/// Cents of an amount such as `87.00`.
fn cents(text: &str) -> i64 {
    let (whole, cents) = text.split_once('.').unwrap();
    assert_eq!(cents.len(), 2, "{text}");
    format!("{whole}{cents}").parse().unwrap()
}

fn amount(cents: i64) -> String {
    format!("{}.{:02}", cents / 100, cents % 100)
}

/// A payment by this method, and nothing else.
fn payment_of(method: PaymentMethod) -> Payment {
    let birth = Birth {
        id: Uuid::from_u128(1_000),
        imported_at: day("2024-02-28"),
        paid_at: day("2024-02-27"),
        method,
        amount: 0,
    };
    change::create(birth, Changes::default())
}

/// A payment in the notation of the cases.
fn payment(text: &str, names: &mut Names) -> Payment {
    let mut parts = text.split(';').map(|part| part.split_whitespace());
    let mut head = parts.next().unwrap();
    let method: PaymentMethod = head.next().unwrap().parse().unwrap();
    let words: Vec<&str> = head.collect();
    let (&paid, processor) = words.split_last().unwrap();
    let mut payment = Payment {
        amount: cents(paid),
        processor: processor.first().map(|&name| name.to_owned()),
        ..payment_of(method)
    };
    let allocation = |target, text| Allocation {
        target,
        amount: cents(text),
        notes: Notes::default(),
    };
    let fee = |account, text, is_passed_to_customer| AdditionalFee {
        account,
        fee_amount: cents(text),
        description: None,
        is_passed_to_customer,
    };
    for words in parts {
        let words: Vec<&str> = words.collect();
        match words[..] {
            ["fee", text] => payment.fee = cents(text),
            ["into", account] => payment.clearing_account = Some(names.id(account)),
            ["redeems", account] => payment.prepayment_account = Some(names.id(account)),
            ["invoice", name, text] => {
                let id = names.id(name);
                payment
                    .allocations
                    .push(allocation(Target::Invoice(id), text));
            }
            ["account", name, text] => {
                let id = names.id(name);
                payment
                    .allocations
                    .push(allocation(Target::LedgerAccount(id), text));
            }
            ["bears", account, text] => {
                payment
                    .additional_fees
                    .push(fee(names.id(account), text, false));
            }
            ["passes", "on", account, text] => {
                payment
                    .additional_fees
                    .push(fee(names.id(account), text, true));
            }
            ["refund", ref words @ ..] => {
                let place = payment.refunds.len() as u128;
                payment.refunds.push(refund(words, 2_000 + place, names));
            }
            _ => panic!("{words:?} means nothing"),
        }
    }
    payment
}

/// A refund in the notation of the cases: its words.
fn refund(words: &[&str], id: u128, names: &mut Names) -> Refund {
    let mut refund = Refund {
        id: Known(Uuid::from_u128(id)),
        external_id: None,
        account: None,
        lines: Vec::new(),
        refunded_amount: None,
        completed_at: None,
        processing_fee: 0,
        method: None,
        processor: None,
        refunded_fees: Vec::new(),
        clearing_account: None,
        notes: Notes::default(),
    };
    let line = |text| RefundLine {
        id: Known(Uuid::from_u128(id + 100)),
        amount: cents(text),
        external_id: None,
        account: None,
        prepayment_account: None,
        notes: Notes::default(),
    };
    let mut words = words.iter().copied();
    let mut next = move || words.next();
    while let Some(word) = next() {
        let mut value = || next().unwrap();
        match word {
            "on" => refund.completed_at = Some(day(value())),
            "line" => refund.lines.push(line(value())),
            "of" => refund.lines.last_mut().unwrap().account = Some(names.id(value())),
            "of-prepayment" => {
                refund.lines.last_mut().unwrap().prepayment_account = Some(names.id(value()));
            }
            "account" => refund.account = Some(names.id(value())),
            "by" => refund.method = Some(value().parse().unwrap()),
            "through" => refund.processor = Some(value().to_owned()),
            "from" => refund.clearing_account = Some(names.id(value())),
            "fee" => refund.processing_fee = cents(value()),
            "returns" => {
                let account = names.id(value());
                refund.refunded_fees.push(RefundedFee {
                    account,
                    fee_amount: cents(value()),
                    description: None,
                });
            }
            whole => refund.refunded_amount = Some(cents(whole)),
        }
    }
    refund
}

/// What a payment posts, as a bookkeeper writes it, and what it pays on its invoices.
fn journal(payment: &Payment, names: &mut Names) -> String {
    let Ok(drafts) = drafts(payment) else {
        return "out of range\n".to_owned();
    };
    let mut text = String::new();
    for draft in drafts {
        let entry = draft.resolved(|account| match account {
            Account::Given(id) => Ok::<_, ()>(id),
            Account::Named(name) => Ok(names.id(&name)),
        });
        let Ok(Some(entry)) = entry else {
            return "out of range\n".to_owned();
        };
        let date = entry.at.to_string();
        writeln!(text, "{} {}", entry.entry_type.name(), &date[..10]).unwrap();
        for line in &entry.lines {
            let name = names.name(line.account);
            let sum = amount(line.amount);
            match line.side {
                Side::Debit => writeln!(text, "  {name:<32}{sum:>10}"),
                Side::Credit => writeln!(text, "      {name:<28}{:>10}{sum:>12}", ""),
            }
            .unwrap();
        }
    }
    for part in parts(payment) {
        let name = names.name(part.invoice);
        write!(text, "{name}: {} paid", amount(part.paid)).unwrap();
        if part.refunded > 0 {
            write!(text, ", {} refunded", amount(part.refunded)).unwrap();
        }
        text.push('\n');
    }
    if text.is_empty() {
        text.push_str("nothing\n");
    }
    text
}

#[test]
fn payments_post_what_the_cases_say() {
    let mut wrong = String::new();
    let mut count = 0;
    for case in CASES.strip_prefix("# ").unwrap().split("\n# ") {
        let (title, rest) = case.split_once('\n').unwrap();
        let (request, expected) = rest.split_once("\n\n").unwrap();
        let mut names = Names::default();
        let payment = payment(request, &mut names);
        let posted = journal(&payment, &mut names);
        if posted.trim_end() != expected.trim_end() {
            write!(wrong, "# {title}\n{request}\n\n{posted}\n").unwrap();
        }
        count += 1;
    }
    assert!(wrong.is_empty(), "these post otherwise:\n\n{wrong}");
    assert!(count >= 60, "{count} cases");
}

/// An account or an invoice, seldom the same one twice.
fn some_id() -> impl Strategy<Value = Uuid> {
    (0_u128..4).prop_map(Uuid::from_u128)
}

/// An amount: mostly a small one, at times one near the edge.
fn some_amount() -> impl Strategy<Value = i64> {
    prop_oneof![8 => 0_i64..20_000, 1 => 0..=i64::MAX, 1 => i64::MAX - 3..=i64::MAX]
}

fn some_method() -> impl Strategy<Value = PaymentMethod> {
    prop::sample::select(vec![
        PaymentMethod::Cash,
        PaymentMethod::Check,
        PaymentMethod::CreditCard,
        PaymentMethod::Ach,
        PaymentMethod::CreditBalance,
        PaymentMethod::Other,
    ])
}

fn some_processor() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop::sample::select(vec!["STRIPE", "ADYEN", "Zähl!"]))
        .prop_map(|name| name.map(str::to_owned))
}

prop_compose! {
    fn some_refund()(
        id in any::<u128>(),
        account in prop::option::of(some_id()),
        lines in prop::collection::vec(
            (some_amount(), prop::option::of(some_id()), prop::option::of(some_id())), 0..4),
        whole in prop::option::of(some_amount()),
        processing_fee in some_amount(),
        method in prop::option::of(some_method()),
        processor in some_processor(),
        returned in prop::collection::vec((some_id(), some_amount()), 0..3),
        clearing_account in prop::option::of(some_id()),
    ) -> Refund {
        Refund {
            id: Known(Uuid::from_u128(id)),
            external_id: None,
            account,
            lines: lines
                .into_iter()
                .map(|(amount, account, prepayment_account)| RefundLine {
                    id: Known(Uuid::nil()),
                    amount,
                    external_id: None,
                    account,
                    prepayment_account,
                    notes: Notes::default(),
                })
                .collect(),
            refunded_amount: whole,
            completed_at: None,
            processing_fee,
            method,
            processor,
            refunded_fees: returned
                .into_iter()
                .map(|(account, fee_amount)| RefundedFee { account, fee_amount, description: None })
                .collect(),
            clearing_account,
            notes: Notes::default(),
        }
    }
}

prop_compose! {
    /// A payment that the rules of requests let through: the allocations are the amount at most.
    fn some_payment()(
        method in some_method(),
        processor in some_processor(),
        amount in some_amount(),
        fee in some_amount(),
        fees in prop::collection::vec((some_id(), some_amount(), any::<bool>()), 0..4),
        clearing_account in prop::option::of(some_id()),
        prepayment_account in prop::option::of(some_id()),
        allocations in prop::collection::vec((some_id(), any::<bool>(), some_amount()), 0..6),
        refunds in prop::collection::vec(some_refund(), 0..3),
    ) -> Payment {
        let mut left = amount;
        let allocations = allocations
            .into_iter()
            .map(|(id, to_invoice, wanted)| {
                let amount = wanted.min(left);
                left -= amount;
                Allocation {
                    target: if to_invoice { Target::Invoice(id) } else { Target::LedgerAccount(id) },
                    amount,
                    notes: Notes::default(),
                }
            })
            .collect();
        Payment {
            amount,
            fee,
            additional_fees: fees
                .into_iter()
                .map(|(account, fee_amount, is_passed_to_customer)| AdditionalFee {
                    account,
                    fee_amount,
                    description: None,
                    is_passed_to_customer,
                })
                .collect(),
            processor,
            clearing_account,
            prepayment_account,
            allocations,
            refunds,
            ..payment_of(method)
        }
    }
}

/// The debits less the credits, in cents.
fn balance<'a, A: 'a>(lines: impl IntoIterator<Item = &'a Line<A>>) -> i128 {
    let signed = |line: &Line<A>| match line.side {
        Side::Debit => i128::from(line.amount),
        Side::Credit => -i128::from(line.amount),
    };
    lines.into_iter().map(signed).sum()
}

/// An id for each account; those of the chart aren't named by payments.
fn by_name(account: Account) -> Result<Uuid, ()> {
    const CHART: u128 = 1_000;
    Ok(match account {
        Account::Given(id) => id,
        Account::Named(name) => name.bytes().fold(Uuid::from_u128(CHART), |id, byte| {
            let mixed = id.as_u128().wrapping_mul(257).wrapping_add(byte.into());
            Uuid::from_u128(mixed)
        }),
    })
}

proptest! {
    #[test]
    fn every_entry_balances_and_its_reversal_undoes_it(payment in some_payment()) {
        for draft in drafts(&payment).unwrap_or_default() {
            prop_assert_eq!(balance(&draft.lines), 0, "{:?}", draft);
            prop_assert!(!draft.lines.is_empty());
            prop_assert!(draft.lines.iter().all(|line| line.amount > 0), "{:?}", draft);
            let before = draft.lines.len();
            let Ok(Some(entry)) = draft.resolved(by_name) else { continue };
            prop_assert_eq!(balance(&entry.lines), 0, "{:?}", entry);
            prop_assert!(entry.lines.iter().all(|line| line.amount > 0), "{:?}", entry);
            prop_assert!((2..=before).contains(&entry.lines.len()), "{:?}", entry);
            let reversed = entry.reversed();
            for account in entry.lines.iter().map(|line| line.account) {
                let both = entry.lines.iter().chain(&reversed.lines);
                prop_assert_eq!(balance(both.filter(|line| line.account == account)), 0);
            }
            prop_assert_eq!(&reversed.reversed().lines, &entry.lines);
        }
    }

    #[test]
    fn a_payment_goes_somewhere_to_the_cent(payment in some_payment()) {
        let split = split(&payment);
        let to_accounts: i128 = payment
            .allocations
            .iter()
            .filter(|allocation| matches!(allocation.target, Target::LedgerAccount(_)))
            .map(|allocation| i128::from(allocation.amount))
            .sum();
        let paid: i128 = split.parts.iter().map(|part| i128::from(part.paid)).sum();
        prop_assert_eq!(paid + split.recovered + split.credit + to_accounts, i128::from(payment.amount));
        prop_assert!(split.recovered >= 0 && split.credit >= 0, "{} {}", split.recovered, split.credit);
        let passed_on: i128 = payment
            .additional_fees
            .iter()
            .filter(|fee| fee.is_passed_to_customer)
            .map(|fee| i128::from(fee.fee_amount))
            .sum();
        prop_assert!(split.recovered <= passed_on);
        for part in &split.parts {
            let allocation = &payment.allocations[part.allocation];
            prop_assert_eq!(allocation.target, Target::Invoice(part.invoice));
            prop_assert!((0..=allocation.amount).contains(&part.paid), "{:?}", part);
            prop_assert!((0..=part.paid).contains(&part.refunded), "{:?}", part);
        }
    }

    /// What refunds take from the credit is never more than the payment left there.
    #[test]
    fn no_more_credit_is_taken_back_than_there_is(mut payment in some_payment()) {
        for refund in &mut payment.refunds {
            refund.account = None;
            refund.lines.clear();
            refund.method = Some(PaymentMethod::Cash);
        }
        let credit = split(&payment).credit;
        let account = remaining_credit_account(&payment);
        let taken: i128 = drafts(&payment)
            .unwrap_or_default()
            .iter()
            .filter(|draft| draft.entry_type == EntryType::RefundAllocation)
            .flat_map(|draft| &draft.lines)
            .filter(|line| line.account == account)
            .map(|line| i128::from(line.amount))
            .sum();
        prop_assert!(taken <= credit, "{taken} of {credit}");
    }

    /// What arrives is what the clearing account gets.
    #[test]
    fn the_clearing_account_gets_what_arrives(mut payment in some_payment()) {
        payment.clearing_account = Some(Uuid::from_u128(100));
        payment.refunds.clear();
        let Ok(drafts) = drafts(&payment) else { return Ok(()) };
        let lines: Vec<_> = drafts.into_iter().flat_map(|draft| draft.lines).collect();
        let account = Account::Given(Uuid::from_u128(100));
        let there = lines.iter().filter(|line| line.account == account);
        prop_assert_eq!(balance(there), arriving(&payment));
    }
}
