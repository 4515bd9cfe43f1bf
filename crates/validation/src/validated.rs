//! Requests that were checked, in a type of their own.

use std::error::Error;
use std::fmt;
use std::ops::Deref;

use layer_payments_types::{CreateInvoicePayment, UpdateInvoicePayment};

use crate::check::{validate_bulk, validate_create, validate_update};
use crate::context::{Context, Existing};
use crate::rule::Severity;
use crate::violation::Violation;

/// A request that breaks no rule of the severity [`Error`](Severity::Error). Only the checks of this crate make it, so
/// that whoever takes one knows that it was checked.
///
/// It can be read and not changed, since a change could break a rule: take the request out, change it, and check it
/// again.
///
/// ```
/// use layer_payments_types::{CreateInvoicePayment, PaymentMethod};
/// use layer_payments_validation::{Context, Rule, Validated};
///
/// let context = Context::at("2024-03-01T00:00:00Z".parse()?);
/// let payment = CreateInvoicePayment::builder()
///     .paid_at("2024-02-27T02:22:55Z".parse()?)
///     .method(PaymentMethod::Cash)
///     .amount(9000)
///     .invoice_payments([])
///     .processor("STRIPE")
///     .build();
///
/// let invalid = Validated::create(payment, &context).unwrap_err();
/// assert_eq!(invalid.violations().last().unwrap().rule, Rule::ProcessorNotAllowedForMethod);
///
/// let mut payment = invalid.into_inner();
/// payment.method = PaymentMethod::CreditCard;
/// let payment = Validated::create(payment, &context)?;
/// assert_eq!(payment.amount, 9000);
/// assert_eq!(payment.warnings()[0].rule, Rule::ExternalIdMissing);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Validated<T> {
    value: T,
    warnings: Vec<Violation>,
}

/// A request that breaks at least one rule of the severity [`Error`](Severity::Error).
///
/// As an error it names every violation, warnings included, one a line.
#[derive(Clone, PartialEq)]
pub struct Invalid<T> {
    // In a box, so that a result is hardly larger than the request.
    parts: Box<(T, Vec<Violation>)>,
}

impl Validated<CreateInvoicePayment> {
    /// Checks a payment to record, as [`validate_create`] does.
    ///
    /// # Errors
    ///
    /// The payment and its violations, if one of them is an error.
    pub fn create(
        payment: CreateInvoicePayment,
        context: &Context,
    ) -> Result<Self, Invalid<CreateInvoicePayment>> {
        let violations = validate_create(&payment, context);
        Validated::judge(payment, violations)
    }
}

impl Validated<Vec<CreateInvoicePayment>> {
    /// Checks a bulk request, as [`validate_bulk`] does.
    ///
    /// # Errors
    ///
    /// The payments and their violations, if one of them is an error.
    pub fn bulk(
        payments: Vec<CreateInvoicePayment>,
        context: &Context,
    ) -> Result<Self, Invalid<Vec<CreateInvoicePayment>>> {
        let violations = validate_bulk(&payments, context);
        Validated::judge(payments, violations)
    }
}

impl Validated<UpdateInvoicePayment> {
    /// Checks an update, as [`validate_update`] does: alone, or against the payment that it changes.
    ///
    /// # Errors
    ///
    /// The update and its violations, if one of them is an error.
    pub fn update(
        update: UpdateInvoicePayment,
        existing: Option<&Existing>,
        context: &Context,
    ) -> Result<Self, Invalid<UpdateInvoicePayment>> {
        let violations = validate_update(&update, existing, context);
        Validated::judge(update, violations)
    }
}

impl<T> Validated<T> {
    /// Keeps a request that was checked apart from one that is refused, by its violations.
    pub(crate) fn judge(value: T, violations: Vec<Violation>) -> Result<Validated<T>, Invalid<T>> {
        if has_errors(&violations) {
            let parts = Box::new((value, violations));
            Err(Invalid { parts })
        } else {
            Ok(Validated {
                value,
                warnings: violations,
            })
        }
    }

    /// What is likely a mistake all the same.
    pub fn warnings(&self) -> &[Violation] {
        &self.warnings
    }

    /// The warnings alone.
    pub(crate) fn into_warnings(self) -> Vec<Violation> {
        self.warnings
    }

    /// The request alone.
    pub fn into_inner(self) -> T {
        self.value
    }
}

impl<T> Deref for Validated<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T> Invalid<T> {
    /// All violations, in the order in which the checks give them. At least one is an error.
    pub fn violations(&self) -> &[Violation] {
        &self.parts.1
    }

    /// The request that was refused.
    pub fn into_inner(self) -> T {
        self.parts.0
    }

    /// The request that was refused, and its violations.
    pub fn into_parts(self) -> (T, Vec<Violation>) {
        *self.parts
    }
}

impl<T: fmt::Debug> fmt::Debug for Invalid<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (value, violations) = &*self.parts;
        f.debug_struct("Invalid")
            .field("value", value)
            .field("violations", violations)
            .finish()
    }
}

impl<T> fmt::Display for Invalid<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, violation) in self.violations().iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{violation}")?;
        }
        Ok(())
    }
}

impl<T: fmt::Debug> Error for Invalid<T> {}

/// Whether a request with these violations is refused: whether one of them is an error, and not all of them warnings.
pub fn has_errors(violations: &[Violation]) -> bool {
    violations
        .iter()
        .any(|violation| violation.severity() == Severity::Error)
}
