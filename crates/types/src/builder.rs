//! What the generated builders share.

/// A required property of a builder that is set, as `build` asks of each.
///
/// A type of the module [`missing`](crate::missing) stands for one that isn't, and is no value of any property.
#[diagnostic::on_unimplemented(
    message = "a required property isn't set: `{Self}`",
    label = "`build` needs every required property to be set"
)]
pub trait Given<T> {
    /// The property's value.
    fn given(self) -> T;
}

impl<T> Given<T> for T {
    fn given(self) -> T {
        self
    }
}
