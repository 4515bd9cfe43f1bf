//! Conversions between the forms that one thing has in requests and in replies.

use std::error::Error;
use std::fmt;

use crate::{
    AccountIdentifier, AccountReference, InvoicePaymentMethod, PageOrder, PaymentMethod, SortOrder,
};

/// A reply's method has a value that no request can send.
///
/// ```
/// use layer_payments_types::{InvoicePaymentMethod, PaymentMethod};
///
/// let error = PaymentMethod::try_from(InvoicePaymentMethod::Unknown("WIRE".to_owned())).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "the payment method `WIRE` can't be sent: \
///      expected `CASH`, `CHECK`, `CREDIT_CARD`, `ACH`, `CREDIT_BALANCE` or `OTHER`",
/// );
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownPaymentMethod {
    value: String,
    expected: String,
}

impl UnknownPaymentMethod {
    /// The value, as the reply had it.
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for UnknownPaymentMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the payment method `{}` can't be sent: {}",
            self.value, self.expected
        )
    }
}

impl Error for UnknownPaymentMethod {}

impl From<PaymentMethod> for InvoicePaymentMethod {
    fn from(method: PaymentMethod) -> Self {
        match method {
            PaymentMethod::Cash => Self::Cash,
            PaymentMethod::Check => Self::Check,
            PaymentMethod::CreditCard => Self::CreditCard,
            PaymentMethod::Ach => Self::Ach,
            PaymentMethod::CreditBalance => Self::CreditBalance,
            PaymentMethod::Other => Self::Other,
        }
    }
}

impl TryFrom<InvoicePaymentMethod> for PaymentMethod {
    type Error = UnknownPaymentMethod;

    /// `REDEEMED_PREPAYMENT`, the oldest generation's name, becomes `CREDIT_BALANCE`.
    fn try_from(method: InvoicePaymentMethod) -> Result<Self, Self::Error> {
        match method {
            InvoicePaymentMethod::Cash => Ok(Self::Cash),
            InvoicePaymentMethod::Check => Ok(Self::Check),
            InvoicePaymentMethod::CreditCard => Ok(Self::CreditCard),
            InvoicePaymentMethod::Ach => Ok(Self::Ach),
            InvoicePaymentMethod::CreditBalance | InvoicePaymentMethod::RedeemedPrepayment => {
                Ok(Self::CreditBalance)
            }
            InvoicePaymentMethod::Other => Ok(Self::Other),
            // A value that was made by hand, and is one of those above after all.
            InvoicePaymentMethod::Unknown(value) => value.parse().map_err(
                |error: crate::error::ConversionError| UnknownPaymentMethod {
                    value,
                    expected: error.to_string(),
                },
            ),
        }
    }
}

impl From<AccountIdentifier> for AccountReference {
    fn from(account: AccountIdentifier) -> Self {
        match account {
            AccountIdentifier::AccountId { id } => Self::account_id(id),
            AccountIdentifier::StableName { stable_name } => Self::stable_name(stable_name),
        }
    }
}

impl From<SortOrder> for PageOrder {
    fn from(order: SortOrder) -> Self {
        match order {
            SortOrder::Asc => Self::Asc,
            SortOrder::Desc => Self::Desc,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_method_that_can_be_sent_comes_back() {
        for text in [
            "CASH",
            "CHECK",
            "CREDIT_CARD",
            "ACH",
            "CREDIT_BALANCE",
            "OTHER",
        ] {
            let sent: PaymentMethod = text.parse().unwrap();
            let replied = InvoicePaymentMethod::from(sent);
            assert_eq!(replied.to_string(), text);
            assert_eq!(PaymentMethod::try_from(replied), Ok(sent));
        }
    }

    #[test]
    fn old_and_unknown_methods() {
        assert_eq!(
            PaymentMethod::try_from(InvoicePaymentMethod::RedeemedPrepayment),
            Ok(PaymentMethod::CreditBalance)
        );
        let error =
            PaymentMethod::try_from(InvoicePaymentMethod::Unknown("WIRE".to_owned())).unwrap_err();
        assert_eq!(error.value(), "WIRE");
    }

    #[test]
    fn accounts_and_orders() {
        let sent = AccountIdentifier::stable_name("FEES".to_owned());
        assert_eq!(
            AccountReference::from(sent),
            AccountReference::stable_name("FEES".to_owned())
        );
        let id = uuid::Uuid::from_u128(7);
        assert_eq!(
            AccountReference::from(AccountIdentifier::account_id(id)),
            AccountReference::account_id(id)
        );
        assert_eq!(PageOrder::from(SortOrder::Desc).to_string(), "DESC");
        assert_eq!(PageOrder::from(SortOrder::Asc).to_string(), "ASC");
    }
}
