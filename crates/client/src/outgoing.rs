//! What a write sends: a request that was checked, or one that wasn't and says so.

#[cfg(feature = "validation")]
use layer_payments_validation::Validated;

use crate::types::CreateInvoicePayment;

/// A request that is sent as it is. Whoever reads the call sees that nobody checked it before.
///
/// Layer refuses what breaks its rules all the same; a check by `Validated` (of the feature
/// `validation`) tells so before the request leaves, with all of its faults at once.
///
/// ```no_run
/// # async fn example(client: layer_payments_client::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use layer_payments_client::Unchecked;
/// use layer_payments_client::types::{CreateInvoicePayment, PaymentMethod};
///
/// let payment = CreateInvoicePayment::builder()
///     .paid_at("2024-02-27T02:22:55Z".parse()?)
///     .method(PaymentMethod::Cash)
///     .amount(9000)
///     .invoice_payments([])
///     .build();
/// client.record(Unchecked(&payment)).await?;
/// client.bulk(Unchecked(&[payment])).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unchecked<'a, T: ?Sized>(pub &'a T);

/// What [`Client::record`](crate::Client::record), [`Client::bulk`](crate::Client::bulk) and
/// [`Client::update`](crate::Client::update) send: a reference to a `Validated` request, or an
/// [`Unchecked`] one. There are no others.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is neither checked nor marked as unchecked",
    label = "give `&Validated` or `Unchecked(&..)`",
    note = "`Validated::create`, `Validated::bulk` and `Validated::update` check a request before it is sent"
)]
pub trait Outgoing<T: ?Sized>: sealed::Sealed {
    /// The request itself.
    fn request(&self) -> &T;
}

impl<T: ?Sized> Outgoing<T> for Unchecked<'_, T> {
    fn request(&self) -> &T {
        self.0
    }
}

impl Outgoing<[CreateInvoicePayment]> for Unchecked<'_, Vec<CreateInvoicePayment>> {
    fn request(&self) -> &[CreateInvoicePayment] {
        self.0
    }
}

impl<const N: usize> Outgoing<[CreateInvoicePayment]> for Unchecked<'_, [CreateInvoicePayment; N]> {
    fn request(&self) -> &[CreateInvoicePayment] {
        self.0
    }
}

#[cfg(feature = "validation")]
impl<T> Outgoing<T> for &Validated<T> {
    fn request(&self) -> &T {
        self
    }
}

#[cfg(feature = "validation")]
impl Outgoing<[CreateInvoicePayment]> for &Validated<Vec<CreateInvoicePayment>> {
    fn request(&self) -> &[CreateInvoicePayment] {
        self
    }
}

mod sealed {
    pub trait Sealed {}

    impl<T: ?Sized> Sealed for super::Unchecked<'_, T> {}

    #[cfg(feature = "validation")]
    impl<T> Sealed for &super::Validated<T> {}
}
