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
///
/// `Unchecked(payment)` without the reference saves [`Client::bulk_all`](crate::Client::bulk_all) a
/// copy, since what it takes is sent later.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unchecked<T>(pub T);

/// What the writes of a [`Client`](crate::Client) send: a `Validated` request or an [`Unchecked`]
/// one. There are no others. A reference is enough.
#[diagnostic::on_unimplemented(
    message = "`{Self}` isn't a request that this call can send",
    label = "give what this call sends as `&Validated`, or marked as `Unchecked(&..)`",
    note = "`Validated::create`, `Validated::bulk` and `Validated::update` check a request before it is sent"
)]
pub trait Outgoing<T: ?Sized + ToOwned>: sealed::Sealed {
    /// The request itself.
    fn request(&self) -> &T;

    /// The request to keep: what is owned is moved, what is borrowed is cloned.
    fn into_request(self) -> T::Owned;
}

impl<T: Clone> Outgoing<T> for Unchecked<T> {
    fn request(&self) -> &T {
        &self.0
    }

    fn into_request(self) -> T {
        self.0
    }
}

impl<T: ?Sized + ToOwned> Outgoing<T> for Unchecked<&T> {
    fn request(&self) -> &T {
        self.0
    }

    fn into_request(self) -> T::Owned {
        self.0.to_owned()
    }
}

impl Outgoing<[CreateInvoicePayment]> for Unchecked<&Vec<CreateInvoicePayment>> {
    fn request(&self) -> &[CreateInvoicePayment] {
        self.0
    }

    fn into_request(self) -> Vec<CreateInvoicePayment> {
        self.0.clone()
    }
}

impl<const N: usize> Outgoing<[CreateInvoicePayment]> for Unchecked<&[CreateInvoicePayment; N]> {
    fn request(&self) -> &[CreateInvoicePayment] {
        self.0
    }

    fn into_request(self) -> Vec<CreateInvoicePayment> {
        self.0.to_vec()
    }
}

impl Outgoing<[CreateInvoicePayment]> for Unchecked<Vec<CreateInvoicePayment>> {
    fn request(&self) -> &[CreateInvoicePayment] {
        &self.0
    }

    fn into_request(self) -> Vec<CreateInvoicePayment> {
        self.0
    }
}

#[cfg(feature = "validation")]
impl<T: Clone> Outgoing<T> for Validated<T> {
    fn request(&self) -> &T {
        self
    }

    fn into_request(self) -> T {
        self.into_inner()
    }
}

#[cfg(feature = "validation")]
impl<T: Clone> Outgoing<T> for &Validated<T> {
    fn request(&self) -> &T {
        self
    }

    fn into_request(self) -> T {
        T::clone(self)
    }
}

#[cfg(feature = "validation")]
impl Outgoing<[CreateInvoicePayment]> for &Validated<Vec<CreateInvoicePayment>> {
    fn request(&self) -> &[CreateInvoicePayment] {
        self
    }

    fn into_request(self) -> Vec<CreateInvoicePayment> {
        self.to_vec()
    }
}

mod sealed {
    pub trait Sealed {}

    impl<T> Sealed for super::Unchecked<T> {}

    #[cfg(feature = "validation")]
    impl<T> Sealed for super::Validated<T> {}

    #[cfg(feature = "validation")]
    impl<T> Sealed for &super::Validated<T> {}
}
