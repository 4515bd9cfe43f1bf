//! The chart of accounts that payments touch.
//!
//! Layer sets the chart per platform, so this one is ours to choose: the accounts of the generic chart that payments
//! need, under the stable names that Layer uses, and those that its pages use in examples. Each is optional in the sense
//! of Layer's ledger pages: it comes to life at its first use in a business. So do the clearing account of a processor
//! (`STRIPE_CLEARING`) and a part of an account of the chart (`SALES_TAXES_PAYABLE:CALIFORNIA`). Any other account has to
//! be created before it is named.

use std::borrow::Cow;

use layer_payments_types::{AccountType, Normality};

/// What an account is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct AccountKind {
    /// The name for people.
    pub(crate) name: String,
    pub(crate) class: Class,
}

/// Where an account stands in the chart.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Class {
    pub(crate) account_type: AccountType,
    pub(crate) normality: Normality,
    pub(crate) subtype: Option<Cow<'static, str>>,
}

/// Where the money of all processors clears that have no account of their own.
pub(crate) const PROCESSOR_CLEARING: &str = "PAYMENT_PROCESSOR_CLEARING";

/// The longest name of a processor that has a clearing account of its own.
const LONGEST_PROCESSOR: usize = 40;
/// The longest name of a part of an account.
const LONGEST_PART: usize = 80;

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
    ("COGS", "Cost of Goods Sold", Type::Expense, "COGS"),
    (
        "CURRENT_ASSETS",
        "Current Assets",
        Type::Asset,
        "CURRENT_ASSET",
    ),
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
        "MERCHANT_CASH_ADVANCE",
        "Merchant Cash Advance",
        Type::Liability,
        "LOANS_PAYABLE",
    ),
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

/// What an account with this stable name is, if the chart has it.
pub(crate) fn kind_of(stable_name: &str) -> Option<AccountKind> {
    if let Some((_, name, kind, subtype)) = CHART.iter().find(|(known, ..)| *known == stable_name) {
        return Some(AccountKind {
            name: (*name).to_owned(),
            class: kind.class(subtype),
        });
    }
    if let Some((whole, part)) = stable_name.split_once(':') {
        let is_name = (1..=LONGEST_PART).contains(&part.len())
            && part
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && byte != b':');
        let whole = kind_of(whole).filter(|_| is_name)?;
        return Some(AccountKind {
            name: format!("{}: {}", whole.name, for_people(part)),
            class: whole.class,
        });
    }
    let processor = stable_name.strip_suffix("_CLEARING")?;
    (clearing_account(processor) == stable_name).then(|| AccountKind {
        name: for_people(stable_name),
        class: Type::Asset.class("PAYMENT_PROCESSOR_CLEARING_ACCOUNT"),
    })
}

/// The stable name of a processor's clearing account: `<PROCESSOR>_CLEARING`, as Layer's payout guide has it. A name that
/// doesn't make a stable name (it is too long, or has other characters than letters, digits, blanks, hyphens, dots and
/// underscores) shares the common account.
pub(crate) fn clearing_account(processor: &str) -> Cow<'static, str> {
    let is_name = (1..=LONGEST_PROCESSOR).contains(&processor.len())
        && processor.bytes().any(|byte| byte.is_ascii_alphanumeric())
        && processor
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b" -._".contains(&byte));
    if !is_name {
        return Cow::Borrowed(PROCESSOR_CLEARING);
    }
    let mut name: String = processor
        .chars()
        .map(|character| match character {
            ' ' | '-' | '.' => '_',
            other => other.to_ascii_uppercase(),
        })
        .collect();
    name.push_str("_CLEARING");
    Cow::Owned(name)
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
            subtype: Some(Cow::Borrowed(subtype)),
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
        let kind = kind_of("UNDEPOSITED_FUNDS").unwrap();
        assert_eq!(kind.name, "Undeposited Funds");
        assert_eq!(kind.class.account_type, AccountType::Asset);
        assert_eq!(kind.class.normality, Normality::Debit);
    }

    #[test]
    fn parts_and_clearing_accounts_belong_to_the_chart() {
        let stripe = kind_of("STRIPE_CLEARING").unwrap();
        assert_eq!(stripe.name, "Stripe Clearing");
        assert_eq!(
            stripe.class.subtype.as_deref(),
            Some("PAYMENT_PROCESSOR_CLEARING_ACCOUNT")
        );
        let california = kind_of("SALES_TAXES_PAYABLE:CALIFORNIA").unwrap();
        assert_eq!(california.name, "Sales Taxes Payable: California");
        assert_eq!(california.class.account_type, AccountType::Liability);
        for unknown in [
            "PETTY_CASH",
            "_CLEARING",
            "stripe_CLEARING",
            "CASH:",
            "CASH:A:B",
            "PETTY_CASH:A",
            "cash",
            "",
        ] {
            assert_eq!(kind_of(unknown), None, "{unknown}");
        }
    }

    #[test]
    fn processors_have_a_clearing_account_each() {
        for (processor, account) in [
            ("STRIPE", "STRIPE_CLEARING"),
            ("Stripe", "STRIPE_CLEARING"),
            ("pay.com 2-go", "PAY_COM_2_GO_CLEARING"),
            ("Müller", "PAYMENT_PROCESSOR_CLEARING"),
            ("", "PAYMENT_PROCESSOR_CLEARING"),
            ("--", "PAYMENT_PROCESSOR_CLEARING"),
        ] {
            assert_eq!(clearing_account(processor), account, "{processor}");
            assert!(kind_of(account).is_some(), "{account}");
        }
        let long = "x".repeat(LONGEST_PROCESSOR + 1);
        assert_eq!(clearing_account(&long), PROCESSOR_CLEARING);
    }
}
