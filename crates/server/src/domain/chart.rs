//! The chart of accounts that payments touch.
//!
//! Layer sets the chart per platform, so this one is ours to choose: the accounts of the generic chart that payments
//! need, under the stable names that Layer uses. An account comes to life at its first use in a business. Stable names
//! outside the chart are taken too, since the public API can't create accounts; what such an account is can only be
//! read from its name.

use layer_payments_types::{AccountType, Normality};

/// What is known of an account besides its id.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AccountKind {
    /// The name for people.
    pub(crate) name: String,
    /// The account's type and subtype. `None` where the account isn't in the chart.
    pub(crate) class: Option<Class>,
}

/// Where an account stands in the chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Class {
    pub(crate) account_type: AccountType,
    pub(crate) normality: Normality,
    pub(crate) subtype: &'static str,
}

#[derive(Clone, Copy)]
enum Type {
    Asset,
    Liability,
    Revenue,
    /// Revenue that counts against the other revenue, so it grows on the other side.
    ContraRevenue,
    Expense,
}

/// Stable name, name for people, type, subtype.
const CHART: &[(&str, &str, Type, &str)] = &[
    (
        "ACCOUNTS_PAYABLE",
        "Accounts Payable",
        Type::Liability,
        "ACCOUNTS_PAYABLE",
    ),
    (
        "ACCOUNTS_RECEIVABLE",
        "Accounts Receivable",
        Type::Asset,
        "ACCOUNTS_RECEIVABLE",
    ),
    ("BAD_DEBT", "Bad Debt", Type::Expense, "OPERATING_EXPENSES"),
    (
        "BANK_ACCOUNTS",
        "Bank Accounts",
        Type::Asset,
        "BANK_ACCOUNTS",
    ),
    (
        "BANK_FEES",
        "Bank Fees",
        Type::Expense,
        "OPERATING_EXPENSES",
    ),
    ("CASH", "Cash", Type::Asset, "CASH"),
    (
        "CUSTOMER_REFUNDS",
        "Customer Refunds",
        Type::ContraRevenue,
        "RETURNS_ALLOWANCES",
    ),
    (
        "DISCOUNTS",
        "Discounts",
        Type::ContraRevenue,
        "RETURNS_ALLOWANCES",
    ),
    ("FEES", "Fees", Type::Expense, "OPERATING_EXPENSES"),
    (
        "OTHER_FEES",
        "Other Fees",
        Type::Expense,
        "OPERATING_EXPENSES",
    ),
    (
        "PAYMENT_PROCESSOR_CLEARING",
        "Payment Processor Clearing",
        Type::Asset,
        "PAYMENT_PROCESSOR_CLEARING_ACCOUNT",
    ),
    (
        "PREPAID_EXPENSES",
        "Prepaid Expenses",
        Type::Asset,
        "PREPAID_EXPENSES",
    ),
    (
        "REFUND_LIABILITIES",
        "Refund Liabilities",
        Type::Liability,
        "REFUND_LIABILITIES",
    ),
    (
        "RETURNS_AND_ALLOWANCES",
        "Returns and Allowances",
        Type::ContraRevenue,
        "RETURNS_ALLOWANCES",
    ),
    ("SALES", "Sales", Type::Revenue, "SALES"),
    (
        "SALES_TAXES_PAYABLE",
        "Sales Taxes Payable",
        Type::Liability,
        "SALES_TAXES_PAYABLE",
    ),
    ("TIPS", "Tips", Type::Liability, "TIPS"),
    (
        "UNCATEGORIZED_EXPENSES",
        "Uncategorized Expenses",
        Type::Expense,
        "UNCATEGORIZED_EXPENSE",
    ),
    (
        "UNCATEGORIZED_REVENUE",
        "Uncategorized Revenue",
        Type::Revenue,
        "UNCATEGORIZED_REVENUE",
    ),
    (
        "UNDEPOSITED_FUNDS",
        "Undeposited Funds",
        Type::Asset,
        "UNDEPOSITED_FUNDS",
    ),
    (
        "UNDEPOSITED_PAYMENTS",
        "Undeposited Payments",
        Type::Liability,
        "UNDEPOSITED_OUTFLOWS",
    ),
    (
        "UNEARNED_REVENUE",
        "Unearned Revenue",
        Type::Liability,
        "UNEARNED_REVENUE",
    ),
];

/// What an account with this stable name is. `<PROCESSOR>_CLEARING` is the clearing account of that processor, as
/// Layer's payout guide has it (`STRIPE_CLEARING`).
pub(crate) fn kind_of(stable_name: &str) -> AccountKind {
    if let Some((_, name, kind, subtype)) = CHART.iter().find(|(known, ..)| *known == stable_name) {
        return AccountKind {
            name: (*name).to_owned(),
            class: Some(kind.class(subtype)),
        };
    }
    let clearing = stable_name
        .strip_suffix("_CLEARING")
        .is_some_and(|processor| !processor.is_empty());
    AccountKind {
        name: for_people(stable_name),
        class: clearing.then(|| Type::Asset.class("PAYMENT_PROCESSOR_CLEARING_ACCOUNT")),
    }
}

/// Writes a code such as `MERCHANT_CASH_ADVANCE` as people would: "Merchant Cash Advance".
pub(crate) fn for_people(code: &str) -> String {
    let mut text = String::with_capacity(code.len());
    for word in code.split('_').filter(|word| !word.is_empty()) {
        if !text.is_empty() {
            text.push(' ');
        }
        let mut characters = word.chars();
        text.extend(characters.next());
        text.extend(characters.flat_map(char::to_lowercase));
    }
    // A name of underscores only has no words; it stays what it is.
    if text.is_empty() {
        code.to_owned()
    } else {
        text
    }
}

impl Type {
    fn class(self, subtype: &'static str) -> Class {
        let (account_type, normality) = match self {
            Type::Asset => (AccountType::Asset, Normality::Debit),
            Type::Liability => (AccountType::Liability, Normality::Credit),
            Type::Revenue => (AccountType::Revenue, Normality::Credit),
            Type::ContraRevenue => (AccountType::Revenue, Normality::Debit),
            Type::Expense => (AccountType::Expense, Normality::Debit),
        };
        Class {
            account_type,
            normality,
            subtype,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_chart_has_no_account_twice() {
        assert!(CHART.is_sorted_by(|(a, ..), (b, ..)| a < b));
    }

    #[test]
    fn accounts_in_the_chart_have_a_class() {
        let kind = kind_of("UNDEPOSITED_FUNDS");
        assert_eq!(kind.name, "Undeposited Funds");
        let class = kind.class.unwrap();
        assert_eq!(class.account_type, AccountType::Asset);
        assert_eq!(class.normality, Normality::Debit);
    }

    #[test]
    fn other_accounts_are_known_by_their_names() {
        let stripe = kind_of("STRIPE_CLEARING");
        assert_eq!(stripe.name, "Stripe Clearing");
        assert_eq!(
            stripe.class.unwrap().subtype,
            "PAYMENT_PROCESSOR_CLEARING_ACCOUNT"
        );
        let other = kind_of("MERCHANT_CASH_ADVANCE");
        assert_eq!(other.name, "Merchant Cash Advance");
        assert_eq!(other.class, None);
        assert_eq!(kind_of("___").name, "___");
        assert_eq!(kind_of("_CLEARING").class, None);
    }
}
