//! What the public API can't create: businesses, ledger accounts, invoices, payouts and matches.
//!
//! The routes below `/local` and the fixtures file take it. Each thing is created once: sent again under the same id or
//! external id, it is found. An invoice may get another total; everything else stays as it is.

use std::collections::HashSet;

use jiff::Timestamp;
use layer_payments_types::{
    self as types, AccountIdentifier, AccountType, BankTransaction, BankTransactionDirection,
    CategorizationStatus, CreateInvoicePayment, Field, Match, MatchDetails, MatchType, Normality,
};
use serde::de::{Deserializer, Error as _};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use uuid::Uuid;

use super::books::{Books, Joined, Kept, join, record_at, show};
use super::chart::{self, AccountKind, Class};
use super::ledger::{self, Account as Named, Draft, EntryType, Lines, OutOfRange};
use super::payment::whole_microseconds;
use super::reply::{Account, chart_account};
use super::resolve::Refusal;
use crate::object;
use crate::text::shortened;

/// The year 1, at its beginning.
const EARLIEST: Timestamp = Timestamp::constant(-62_135_596_800, 0);

/// A business to create.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewBusiness {
    #[serde(default)]
    pub(crate) id: Option<Uuid>,
    #[serde(default)]
    pub(crate) external_id: Option<String>,
    #[serde(default)]
    pub(crate) name: Option<String>,
    #[serde(default, deserialize_with = "time_or_null")]
    pub(crate) closing_date: Option<Timestamp>,
}

/// A change of a business: a closing date, or null for none.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BusinessUpdate {
    #[serde(deserialize_with = "time_or_null")]
    pub(crate) closing_date: Option<Timestamp>,
}

/// A business as replies show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Business {
    #[serde(rename = "type")]
    pub(crate) type_: &'static str,
    pub(crate) id: Uuid,
    pub(crate) external_id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) closing_date: Option<Timestamp>,
}

impl Business {
    pub(crate) const TYPE: &'static str = "Business";
}

/// A ledger account to create.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewAccount {
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(default)]
    stable_name: Option<String>,
    name: String,
    account_type: String,
    #[serde(default)]
    normality: Option<String>,
    #[serde(default)]
    account_subtype: Option<String>,
    #[serde(default)]
    account_number: Option<String>,
}

/// An invoice to create, or to give another total.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvoice {
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(default)]
    external_id: Option<String>,
    total_amount: i64,
    #[serde(default)]
    reference_number: Option<String>,
}

/// An invoice as it is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Invoice {
    pub(crate) id: Uuid,
    pub(crate) external_id: Option<String>,
    /// `None` while only a payment has named it.
    pub(crate) total_amount: Option<i64>,
    pub(crate) reference_number: Option<String>,
    pub(crate) voided_at: Option<Timestamp>,
    pub(crate) paid: i64,
    pub(crate) refunded: i64,
}

/// An invoice as replies show it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct InvoiceReply {
    #[serde(rename = "type")]
    type_: &'static str,
    id: Uuid,
    external_id: Option<String>,
    status: &'static str,
    total_amount: Option<i64>,
    paid_amount: i64,
    refunded_amount: i64,
    outstanding_balance: Option<i64>,
    reference_number: Option<String>,
    voided_at: Option<Timestamp>,
}

/// A payout to create.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPayout {
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(default)]
    external_id: Option<String>,
    paid_out_amount: i64,
    #[serde(default)]
    fee: i64,
    #[serde(deserialize_with = "time")]
    completed_at: Timestamp,
    #[serde(deserialize_with = "object::list")]
    payments: Vec<PaymentName>,
    #[serde(default)]
    processor: Option<String>,
    #[serde(default, deserialize_with = "object::maybe")]
    payment_clearing_account_identifier: Option<AccountIdentifier>,
    #[serde(default)]
    memo: Option<String>,
    #[serde(default)]
    reference_number: Option<String>,
}

/// A payment by one of its names.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PaymentName {
    #[serde(default)]
    invoice_payment_id: Option<Uuid>,
    #[serde(default)]
    invoice_payment_external_id: Option<String>,
}

/// A payout as it is kept.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Payout {
    pub(crate) id: Uuid,
    pub(crate) external_id: Option<String>,
    pub(crate) imported_at: Timestamp,
    pub(crate) completed_at: Timestamp,
    pub(crate) paid_out_amount: i64,
    pub(crate) fee: i64,
    pub(crate) processor: Option<String>,
    pub(crate) clearing_account: Uuid,
    pub(crate) memo: Option<String>,
    pub(crate) reference_number: Option<String>,
}

impl Payout {
    /// The payout as replies show it. `clearing` is the account of [`Payout::clearing_account`].
    pub(crate) fn shown(
        self,
        business: Uuid,
        clearing: &Account,
        matched: Option<Match>,
    ) -> types::Payout {
        types::Payout {
            id: self.id,
            external_id: self.external_id.into(),
            business_id: Some(business),
            paid_out_amount: self.paid_out_amount,
            fee: Field::Value(self.fee),
            processor: self.processor.into(),
            payment_clearing_account: Field::Value(chart_account(clearing)),
            imported_at: Some(self.imported_at),
            completed_at: Field::Value(self.completed_at),
            match_: matched.into(),
            transaction_tags: Some(Vec::new()),
            memo: self.memo.into(),
            metadata: Field::Value(types::Metadata::from(Map::new())),
            reference_number: self.reference_number.into(),
            extra: Map::new(),
        }
    }
}

/// A bank transaction that arrived for a payout or a payment.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMatch {
    #[serde(default)]
    payout_id: Option<Uuid>,
    #[serde(default)]
    payout_external_id: Option<String>,
    #[serde(default)]
    invoice_payment_id: Option<Uuid>,
    #[serde(default)]
    invoice_payment_external_id: Option<String>,
    #[serde(deserialize_with = "object::one")]
    bank_transaction: NewBankTransaction,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBankTransaction {
    #[serde(default)]
    id: Option<Uuid>,
    #[serde(deserialize_with = "time")]
    date: Timestamp,
    amount: i64,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    source_transaction_id: Option<String>,
    #[serde(default)]
    source_account_id: Option<String>,
    #[serde(default)]
    counterparty_name: Option<String>,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    account_name: Option<String>,
}

/// Reads a time that has a year of our era: not every store has others.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
    let time = Timestamp::deserialize(deserializer)?;
    if time < EARLIEST {
        return Err(D::Error::custom(format_args!(
            "the time {time} lies before {EARLIEST}; give the right year"
        )));
    }
    Ok(time)
}

fn time_or_null<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    #[derive(Deserialize)]
    struct Time(#[serde(deserialize_with = "time")] Timestamp);
    let time = Option::<Time>::deserialize(deserializer)?;
    Ok(time.map(|Time(time)| time))
}

/// What a match belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Matched {
    Payout(Uuid),
    /// The payment with this key.
    Payment(i64),
}

/// A business and what is in it.
#[derive(Clone, Debug)]
pub(crate) struct BusinessFixtures {
    pub(crate) business: NewBusiness,
    pub(crate) id: Uuid,
    /// Set once everything else was created.
    pub(crate) closing_date: Option<Timestamp>,
    pub(crate) ledger_accounts: Vec<NewAccount>,
    pub(crate) invoices: Vec<NewInvoice>,
    pub(crate) payments: Vec<CreateInvoicePayment>,
    pub(crate) payouts: Vec<NewPayout>,
    pub(crate) matches: Vec<NewMatch>,
}

/// What the books keep besides payments.
pub(crate) trait LocalBooks: Books {
    /// The account with this id or stable name, if there is one.
    fn existing_account(
        &mut self,
        id: Option<Uuid>,
        stable_name: Option<&str>,
    ) -> Result<Option<Account>, Self::Error>;

    /// Keeps a new account.
    fn create_account(&mut self, account: &Account) -> Result<(), Self::Error>;

    /// The invoice with this id, or else with this external id.
    fn existing_invoice(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<Option<Invoice>, Self::Error>;

    /// Keeps an invoice, in place of the one with the same id if there is one. What was paid on it stays.
    fn save_invoice(&mut self, invoice: &Invoice) -> Result<(), Self::Error>;

    /// The payout with this id, or else with this external id.
    fn existing_payout(
        &mut self,
        id: Option<Uuid>,
        external_id: Option<&str>,
    ) -> Result<Option<Payout>, Self::Error>;

    /// Keeps a new payout of these payments.
    fn create_payout(&mut self, payout: &Payout, payments: &[i64]) -> Result<(), Self::Error>;

    /// The keys of the payments in a payout.
    fn payments_of_payout(&mut self, id: Uuid) -> Result<Vec<i64>, Self::Error>;

    /// A payout as replies show it.
    fn show_payout(&mut self, id: Uuid) -> Result<types::Payout, Self::Error>;

    /// Whether a bank transaction belongs to a match.
    fn is_bank_transaction_matched(&mut self, id: Uuid) -> Result<bool, Self::Error>;

    /// The match of a payout or a payment, if there is one.
    fn existing_match(&mut self, matched: Matched) -> Result<Option<Match>, Self::Error>;

    /// Keeps a new match.
    fn create_match(
        &mut self,
        matched: Matched,
        bank_transaction: Uuid,
        amount: i64,
        shown: &Match,
    ) -> Result<(), Self::Error>;

    /// Marks a payment as being in a payout, or as matched.
    fn mark(&mut self, key: i64, mark: Mark) -> Result<(), Self::Error>;

    /// The id of the business.
    fn business_id(&self) -> Uuid;
}

/// What a payment can be marked as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    InPayout,
    Matched,
}

/// What is found again by a name of the client's.
pub(crate) trait HasName {
    /// Whether there is such a name.
    fn has_name(&self) -> bool;
}

impl HasName for NewAccount {
    fn has_name(&self) -> bool {
        self.id.is_some() || self.stable_name.is_some()
    }
}

impl HasName for NewInvoice {
    fn has_name(&self) -> bool {
        self.id.is_some() || self.external_id.is_some()
    }
}

impl HasName for NewPayout {
    fn has_name(&self) -> bool {
        self.id.is_some() || self.external_id.is_some()
    }
}

impl HasName for types::CreateInvoicePayment {
    fn has_name(&self) -> bool {
        self.external_id.is_some()
    }
}

/// Whether something was created, or was there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IsNew(pub(crate) bool);

fn refuse<E: From<Vec<Refusal>>>(code: &'static str, pointer: &str, message: String) -> E {
    vec![Refusal {
        code,
        pointer: pointer.to_owned(),
        message,
    }]
    .into()
}

/// Refuses an amount below zero.
fn at_least_zero<E: From<Vec<Refusal>>>(pointer: &str, amount: i64) -> Result<(), E> {
    if amount >= 0 {
        return Ok(());
    }
    Err(refuse(
        "amount-negative",
        pointer,
        format!("The amount is {amount} cents; give 0 or more."),
    ))
}

/// The refusal of a business's external id that another business has.
pub(crate) fn business_name_taken(other: Uuid) -> Refusal {
    Refusal {
        code: "external-id-taken",
        pointer: "/external_id".to_owned(),
        message: format!(
            "The business {other} has the external id already; give one that no business has."
        ),
    }
}

/// Refuses a name that is empty.
pub(crate) fn not_empty<E: From<Vec<Refusal>>>(pointer: &str, name: Option<&str>) -> Result<(), E> {
    if name != Some("") {
        return Ok(());
    }
    Err(refuse(
        "name-empty",
        pointer,
        "The text is empty; give at least one character, or leave the property out.".to_owned(),
    ))
}

/// Creates a ledger account.
pub(crate) fn create_account<B: LocalBooks + ?Sized>(
    books: &mut B,
    request: NewAccount,
) -> Result<(Account, IsNew), B::Error> {
    let NewAccount {
        id,
        stable_name,
        name,
        account_type,
        normality,
        account_subtype,
        account_number,
    } = request;
    not_empty("/stable_name", stable_name.as_deref())?;
    not_empty("/name", Some(&name))?;
    if let Some(account) = books.existing_account(id, stable_name.as_deref())? {
        let other_name = stable_name.is_some() && stable_name != account.stable_name;
        if id.is_some_and(|id| id != account.id) || other_name {
            return Err(refuse(
                "account-ids-disagree",
                "/stable_name",
                format!(
                    "The business has the account {} with {}; give both names of one account, or one of them.",
                    account.id,
                    match &account.stable_name {
                        Some(name) => format!("the stable name {}", shortened(name)),
                        None => "no stable name".to_owned(),
                    }
                ),
            ));
        }
        return Ok((account, IsNew(false)));
    }
    let (account_type, usual) = match account_type.as_str() {
        "ASSET" => (AccountType::Asset, Normality::Debit),
        "LIABILITY" => (AccountType::Liability, Normality::Credit),
        "EQUITY" => (AccountType::Equity, Normality::Credit),
        "REVENUE" => (AccountType::Revenue, Normality::Credit),
        "EXPENSE" => (AccountType::Expense, Normality::Debit),
        other => {
            return Err(refuse(
                "value-unknown",
                "/account_type",
                format!(
                    "There is no account type {:?}; give ASSET, LIABILITY, EQUITY, REVENUE or EXPENSE.",
                    shortened(other)
                ),
            ));
        }
    };
    let normality = match normality.as_deref() {
        None => usual,
        Some("DEBIT") => Normality::Debit,
        Some("CREDIT") => Normality::Credit,
        Some(other) => {
            return Err(refuse(
                "value-unknown",
                "/normality",
                format!(
                    "There is no normality {:?}; give DEBIT or CREDIT.",
                    shortened(other)
                ),
            ));
        }
    };
    let account = Account {
        id: match id {
            Some(id) => id,
            None => books.new_id(),
        },
        stable_name,
        account_number,
        kind: AccountKind {
            name,
            class: Class {
                account_type,
                normality,
                subtype: account_subtype.map(Into::into),
            },
        },
    };
    books.create_account(&account)?;
    Ok((account, IsNew(true)))
}

/// Creates an invoice, or gives one another total.
pub(crate) fn create_invoice<B: LocalBooks + ?Sized>(
    books: &mut B,
    request: NewInvoice,
) -> Result<(InvoiceReply, IsNew), B::Error> {
    let NewInvoice {
        id,
        external_id,
        total_amount,
        reference_number,
    } = request;
    at_least_zero("/total_amount", total_amount)?;
    not_empty("/external_id", external_id.as_deref())?;
    let mut existing = books.existing_invoice(id, external_id.as_deref())?;
    let is_new = existing.is_none();
    if let (false, Some(id), Some(name)) = (is_new, id, &external_id) {
        if let Some(invented) = books.name_invoice(id, name)? {
            // What payments paid under the other name counts against the total that is given now.
            if let Some(known) = books.existing_invoice(Some(id), None)?
                && known.paid <= total_amount
            {
                books.save_invoice(&Invoice {
                    total_amount: Some(total_amount),
                    ..known
                })?;
            }
            // Payments have named it by its external id alone so far.
            let mut refusals = Vec::new();
            let pointer = "/id".to_owned();
            let joined = [Joined {
                invented,
                id,
                pointer,
            }];
            join(books, &joined, &mut refusals)?;
            // A void invoice takes no payment, whatever its total is.
            if refusals
                .iter()
                .any(|refusal| refusal.code == "invoice-void")
            {
                return Err(refusals.into());
            }
            if !refusals.is_empty() {
                return Err(refuse(
                    "invoice-overpaid",
                    "/total_amount",
                    "Payments pay more than that on the invoice already, under its id and its external id together; \
                     give a total of at least what they pay."
                        .to_owned(),
                ));
            }
        }
        // It may have got one of its names just now.
        existing = books.existing_invoice(Some(id), Some(name))?;
    }
    let invoice = match existing {
        Some(invoice) => {
            let other_id = id.is_some_and(|id| id != invoice.id);
            let other_external_id = match (&external_id, &invoice.external_id) {
                (Some(given), Some(known)) => given != known,
                (Some(given), None) => books.existing_invoice(None, Some(given))?.is_some(),
                (None, _) => false,
            };
            if other_id || other_external_id {
                return Err(refuse(
                    "invoice-ids-disagree",
                    "/external_id",
                    "The id and the external id are those of two invoices; give one invoice's own."
                        .to_owned(),
                ));
            }
            if invoice.paid > total_amount {
                return Err(refuse(
                    "invoice-overpaid",
                    "/total_amount",
                    format!(
                        "Payments pay {} cents on the invoice already; give a total of at least that.",
                        invoice.paid
                    ),
                ));
            }
            Invoice {
                external_id: external_id.or(invoice.external_id),
                total_amount: Some(total_amount),
                reference_number: reference_number.or(invoice.reference_number),
                ..invoice
            }
        }
        None => Invoice {
            id: match id {
                Some(id) => id,
                None => books.new_id(),
            },
            external_id,
            total_amount: Some(total_amount),
            reference_number,
            voided_at: None,
            paid: 0,
            refunded: 0,
        },
    };
    books.save_invoice(&invoice)?;
    Ok((invoice.into(), IsNew(is_new)))
}

/// Voids an invoice on which nothing was paid. `None` if there is no such invoice.
pub(crate) fn void_invoice<B: LocalBooks + ?Sized>(
    books: &mut B,
    id: Uuid,
) -> Result<Option<InvoiceReply>, B::Error> {
    let Some(mut invoice) = books.existing_invoice(Some(id), None)? else {
        return Ok(None);
    };
    if invoice.paid > 0 {
        return Err(refuse(
            "invoice-paid",
            "",
            format!(
                "Payments pay {} cents on the invoice; allocate them elsewhere before it is voided.",
                invoice.paid
            ),
        ));
    }
    if invoice.voided_at.is_none() {
        invoice.voided_at = Some(books.now());
        books.save_invoice(&invoice)?;
    }
    Ok(Some(invoice.into()))
}

impl From<Invoice> for InvoiceReply {
    fn from(invoice: Invoice) -> InvoiceReply {
        let outstanding = match (invoice.voided_at, invoice.total_amount) {
            (Some(_), _) => Some(0),
            (None, total) => total.map(|total| total.saturating_sub(invoice.paid)),
        };
        let status = if invoice.voided_at.is_some() {
            "VOIDED"
        } else if invoice.paid > 0 && invoice.refunded >= invoice.paid {
            "REFUNDED"
        } else if outstanding == Some(0) {
            "PAID"
        } else if invoice.paid > 0 {
            "PARTIALLY_PAID"
        } else {
            "SENT"
        };
        InvoiceReply {
            type_: "Invoice",
            id: invoice.id,
            external_id: invoice.external_id,
            status,
            total_amount: invoice.total_amount,
            paid_amount: invoice.paid,
            refunded_amount: invoice.refunded,
            outstanding_balance: outstanding,
            reference_number: invoice.reference_number,
            voided_at: invoice.voided_at,
        }
    }
}

/// Creates a payout. One that is there is found, and stays as it is.
pub(crate) fn create_payout<B: LocalBooks + ?Sized>(
    books: &mut B,
    request: NewPayout,
) -> Result<(types::Payout, IsNew), B::Error> {
    let NewPayout {
        id,
        external_id,
        paid_out_amount,
        fee,
        completed_at,
        payments,
        processor,
        payment_clearing_account_identifier,
        memo,
        reference_number,
    } = request;
    at_least_zero("/paid_out_amount", paid_out_amount)?;
    at_least_zero("/fee", fee)?;
    not_empty("/external_id", external_id.as_deref())?;
    if let Some(payout) = books.existing_payout(id, external_id.as_deref())? {
        let other_name = external_id.is_some() && external_id != payout.external_id;
        if id.is_some_and(|id| id != payout.id) || other_name {
            return Err(refuse(
                "payout-ids-disagree",
                "/external_id",
                "The id and the external id aren't those of one payout; give one payout's own, or one of them."
                    .to_owned(),
            ));
        }
        return Ok((books.show_payout(payout.id)?, IsNew(false)));
    }
    let clearing_account = match &payment_clearing_account_identifier {
        Some(identifier) => books.account(identifier)?.ok_or_else(|| {
            refuse::<B::Error>(
                "account-unknown",
                "/payment_clearing_account_identifier",
                "The business has no such ledger account; name one that it has.".to_owned(),
            )
        })?,
        None => {
            let name = processor
                .as_deref()
                .map_or(chart::PROCESSOR_CLEARING.into(), chart::clearing_account);
            books.chart_account(&name)?
        }
    };
    let mut keys = Vec::with_capacity(payments.len());
    let mut seen = HashSet::with_capacity(payments.len());
    for (index, name) in payments.into_iter().enumerate() {
        let pointer = format!("/payments/{index}");
        let payment = payment_by_name(
            books,
            name.invoice_payment_id,
            name.invoice_payment_external_id.as_deref(),
            &pointer,
        )?;
        if processor.is_some() && payment.payment.processor != processor {
            return Err(refuse(
                "payout-processor-mismatch",
                &pointer,
                format!(
                    "The payment's processor is {}, and the payout's is {}; a processor pays out its own payments.",
                    payment
                        .payment
                        .processor
                        .as_deref()
                        .map_or_else(|| "none".to_owned(), shortened),
                    processor.as_deref().map_or_else(String::new, shortened),
                ),
            ));
        }
        if payment.is_matched && books.is_matched_itself(payment.key)? {
            return Err(refuse(
                "payment-matched",
                &pointer,
                "A bank transaction was matched with the payment itself, so its money didn't come with a payout; leave \
                 it out."
                    .to_owned(),
            ));
        }
        if payment.in_payout {
            return Err(refuse(
                "payment-in-payout",
                &pointer,
                "The payment is in another payout already, and its money arrives once; leave it out.".to_owned(),
            ));
        }
        if payment.payment.method == types::PaymentMethod::CreditBalance {
            return Err(refuse(
                "payout-target",
                &pointer,
                "The payment redeems credit, so no money of it can be paid out; leave it out."
                    .to_owned(),
            ));
        }
        if !seen.insert(payment.key) {
            return Err(refuse(
                "payment-twice",
                &pointer,
                "The payment stands in the payout twice; name it once.".to_owned(),
            ));
        }
        keys.push(payment.key);
    }
    let payout = Payout {
        id: match id {
            Some(id) => id,
            None => books.new_id(),
        },
        external_id,
        imported_at: books.now(),
        completed_at: whole_microseconds(completed_at),
        paid_out_amount,
        fee,
        processor,
        clearing_account,
        memo,
        reference_number,
    };
    books.create_payout(&payout, &keys)?;
    for key in keys {
        books.mark(key, Mark::InPayout)?;
        show_again(books, key)?;
    }
    post_alone(books, payout_entry(&payout))?;
    Ok((books.show_payout(payout.id)?, IsNew(true)))
}

/// The entry of a payout: the processor's fee leaves the clearing account. The money itself moves when it is seen at the
/// bank, with the match.
pub(crate) fn payout_entry(payout: &Payout) -> Result<Option<Draft>, OutOfRange> {
    let mut lines = Lines::default();
    lines.debit(ledger::named("BANK_FEES"), payout.fee.into())?;
    lines.credit(Named::Given(payout.clearing_account), payout.fee.into())?;
    Ok(lines.draft(EntryType::Payout, payout.id, payout.completed_at))
}

/// The entry of a match: the money moves from where it cleared to the bank.
pub(crate) fn match_entry(
    id: Uuid,
    at: Timestamp,
    amount: i64,
    clearing: Named,
) -> Result<Option<Draft>, OutOfRange> {
    let mut lines = Lines::default();
    lines.debit(ledger::named("BANK_ACCOUNTS"), amount.into())?;
    lines.credit(clearing, amount.into())?;
    Ok(lines.draft(EntryType::Match, id, at))
}

/// Matches a bank transaction with a payout or a payment. One that is matched already stays as it is.
pub(crate) fn create_match<B: LocalBooks + ?Sized>(
    books: &mut B,
    request: NewMatch,
) -> Result<(Match, IsNew), B::Error> {
    let NewMatch {
        payout_id,
        payout_external_id,
        invoice_payment_id,
        invoice_payment_external_id,
        bank_transaction,
    } = request;
    let of_payout = payout_id.is_some() || payout_external_id.is_some();
    let of_payment = invoice_payment_id.is_some() || invoice_payment_external_id.is_some();
    if of_payout == of_payment {
        return Err(refuse(
            "match-target",
            "",
            "A match belongs to a payout or to a payment; name one, by its id or its external id."
                .to_owned(),
        ));
    }
    let (matched, expected, clearing, match_type, details, about) = if of_payout {
        let payout = books
            .existing_payout(payout_id, payout_external_id.as_deref())?
            .ok_or_else(|| {
                refuse::<B::Error>(
                    "payout-unknown",
                    if payout_id.is_some() {
                        "/payout_id"
                    } else {
                        "/payout_external_id"
                    },
                    "The business has no such payout; name one that it has.".to_owned(),
                )
            })?;
        (
            Matched::Payout(payout.id),
            i128::from(payout.paid_out_amount),
            Named::Given(payout.clearing_account),
            MatchType::Payout,
            "Payout_Match",
            payout.id,
        )
    } else {
        let pointer = if invoice_payment_id.is_some() {
            "/invoice_payment_id"
        } else {
            "/invoice_payment_external_id"
        };
        let kept = payment_by_name(
            books,
            invoice_payment_id,
            invoice_payment_external_id.as_deref(),
            pointer,
        )?;
        let payment = &kept.payment;
        if kept.in_payout {
            return Err(refuse(
                "payment-in-payout",
                pointer,
                "The payment is in a payout, so its money arrives with that; match the bank transaction with the payout."
                    .to_owned(),
            ));
        }
        if payment.method == types::PaymentMethod::CreditBalance {
            return Err(refuse(
                "match-target",
                pointer,
                "The payment redeems credit, so no money arrives for it at the bank.".to_owned(),
            ));
        }
        (
            Matched::Payment(kept.key),
            ledger::arriving(payment),
            ledger::money_account(payment),
            MatchType::InvoicePayment,
            "Invoice_Match",
            payment.id,
        )
    };
    if let Some(there) = books.existing_match(matched)? {
        return Ok((there, IsNew(false)));
    }
    let amount = bank_transaction.amount;
    if amount <= 0 {
        return Err(refuse(
            "match-amount-mismatch",
            "/bank_transaction/amount",
            format!(
                "The bank transaction has {amount} cents; only money that arrives can be matched."
            ),
        ));
    }
    if let Some(id) = bank_transaction.id
        && books.is_bank_transaction_matched(id)?
    {
        return Err(refuse(
            "bank-transaction-matched",
            "/bank_transaction/id",
            format!(
                "The bank transaction {id} is matched already, and its money arrived once; give another one."
            ),
        ));
    }
    if i128::from(amount) != expected {
        return Err(refuse(
            "match-amount-mismatch",
            "/bank_transaction/amount",
            format!(
                "The bank transaction has {amount} cents, and {expected} cents are to arrive; they have to be equal."
            ),
        ));
    }
    let date = whole_microseconds(bank_transaction.date);
    let id = books.new_id();
    let bank_transaction_id = match bank_transaction.id {
        Some(id) => id,
        None => books.new_id(),
    };
    let shown = Match {
        id,
        match_type: Some(match_type),
        bank_transaction: Field::Value(BankTransaction {
            type_: Some("Bank_Transaction_Data".to_owned()),
            id: bank_transaction_id,
            business_id: Some(books.business_id()),
            source: bank_transaction.source.into(),
            source_transaction_id: bank_transaction.source_transaction_id.into(),
            source_account_id: bank_transaction.source_account_id.into(),
            imported_at: Some(books.now()),
            date: Some(date),
            direction: Some(BankTransactionDirection::Credit),
            amount: Some(amount),
            counterparty_name: bank_transaction.counterparty_name.into(),
            description: bank_transaction.description.clone().into(),
            account_name: bank_transaction.account_name.into(),
            categorization_status: Some(CategorizationStatus::Matched),
            extra: Map::new(),
        }),
        details: Field::Value(MatchDetails {
            type_: Some(details.to_owned()),
            id: about,
            amount: Some(amount),
            date: Some(date),
            description: bank_transaction.description.into(),
            adjustment: Field::Null,
            extra: Map::new(),
        }),
        extra: Map::new(),
    };
    books.create_match(matched, bank_transaction_id, amount, &shown)?;
    let keys = match matched {
        Matched::Payout(payout) => books.payments_of_payout(payout)?,
        Matched::Payment(key) => vec![key],
    };
    for key in keys {
        books.mark(key, Mark::Matched)?;
        show_again(books, key)?;
    }
    post_alone(books, match_entry(id, date, amount, clearing))?;
    Ok((shown, IsNew(true)))
}

/// Posts an entry that isn't a payment's own.
fn post_alone<B: LocalBooks + ?Sized>(
    books: &mut B,
    draft: Result<Option<Draft>, OutOfRange>,
) -> Result<(), B::Error> {
    let out_of_range = || {
        refuse::<B::Error>(
            "amounts-out-of-range",
            "",
            "The amounts add up to more than the ledger can hold; mend them.".to_owned(),
        )
    };
    let Some(draft) = draft.map_err(|OutOfRange| out_of_range())? else {
        return Ok(());
    };
    if let Some(closing_date) = books.closing_date()?
        && draft.at < closing_date
    {
        return Err(refuse(
            "books-closed",
            "",
            format!(
                "The books are closed for everything before {closing_date}, and this would be posted at {}; date it \
                 later.",
                draft.at
            ),
        ));
    }
    let entry = draft
        .resolved(|account| match account {
            Named::Given(id) => Ok(id),
            Named::Named(stable_name) => books.chart_account(&stable_name),
        })?
        .ok_or_else(out_of_range)?;
    books.post(None, &entry, None)?;
    books.carry_balances()
}

/// Writes anew how replies show a payment.
fn show_again<B: LocalBooks + ?Sized>(books: &mut B, key: i64) -> Result<(), B::Error> {
    let kept = books.by_key(key)?;
    let reply = show(books, Some(&kept), &kept.payment)?;
    books.replace(&kept, &kept.payment, &reply).map(drop)
}

fn payment_by_name<B: LocalBooks + ?Sized>(
    books: &mut B,
    id: Option<Uuid>,
    external_id: Option<&str>,
    pointer: &str,
) -> Result<Kept, B::Error> {
    let found = match (id, external_id) {
        (Some(id), _) => books.by_id(id)?,
        (None, Some(external_id)) => books.by_external_id(external_id)?,
        (None, None) => None,
    };
    // Named twice, both names have to be the payment's.
    found
        .filter(|kept| {
            external_id.is_none_or(|name| kept.payment.external_id.as_deref() == Some(name))
        })
        .ok_or_else(|| {
            refuse(
                "payment-unknown",
                pointer,
                "The business has no such payment; name one that it has, by its id or its external id.".to_owned(),
            )
        })
}

/// Creates what a file holds in one business, and leaves what is there as it is: a client may have changed it since.
/// `place` tells in an error which part of the file is refused.
pub(crate) fn fill<B: LocalBooks + ?Sized>(
    books: &mut B,
    fixtures: BusinessFixtures,
    place: impl Fn(&str, B::Error) -> B::Error,
) -> Result<(), B::Error> {
    for (index, account) in fixtures.ledger_accounts.into_iter().enumerate() {
        create_account(books, account)
            .map_err(|error| place(&format!("/ledger_accounts/{index}"), error))?;
    }
    for (index, invoice) in fixtures.invoices.into_iter().enumerate() {
        let existing = books.existing_invoice(invoice.id, invoice.external_id.as_deref())?;
        if existing.is_none_or(|existing| existing.total_amount.is_none()) {
            create_invoice(books, invoice)
                .map_err(|error| place(&format!("/invoices/{index}"), error))?;
        }
    }
    let mut payments = Vec::with_capacity(fixtures.payments.len());
    let mut places = Vec::with_capacity(fixtures.payments.len());
    for (index, payment) in fixtures.payments.into_iter().enumerate() {
        let existing = match payment.external_id.as_deref() {
            Some(external_id) => books.by_external_id(external_id)?,
            None => None,
        };
        if existing.is_none() {
            payments.push(payment);
            places.push(index);
        }
    }
    record_at(books, payments, |index| places[index]).map_err(|error| place("/payments", error))?;
    for (index, payout) in fixtures.payouts.into_iter().enumerate() {
        create_payout(books, payout).map_err(|error| place(&format!("/payouts/{index}"), error))?;
    }
    for (index, bank_transaction) in fixtures.matches.into_iter().enumerate() {
        create_match(books, bank_transaction)
            .map_err(|error| place(&format!("/matches/{index}"), error))?;
    }
    Ok(())
}
