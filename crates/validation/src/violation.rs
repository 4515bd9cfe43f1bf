//! What a broken rule looks like.

use std::fmt;

use crate::rule::{Rule, Severity};

/// One broken rule: which, where and why.
///
/// Displayed as `{pointer}: {message} ({code})`, with `(whole body)` for the empty pointer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule that is broken.
    pub rule: Rule,
    /// Where, as a JSON Pointer (RFC 6901) into the request body. Empty for the whole body.
    pub pointer: String,
    /// What is wrong with the value and what would be right, as whole sentences for people.
    pub message: String,
}

impl Violation {
    /// Whether it is an error or a warning: the severity of its rule.
    pub const fn severity(&self) -> Severity {
        self.rule.severity()
    }

    /// The same violation in a body that holds this one's body at `prefix`, a JSON Pointer: what a payment's violation
    /// becomes in a bulk request.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Violation {
        self.pointer.insert_str(0, prefix);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() {
            "(whole body)"
        } else {
            &self.pointer
        };
        write!(f, "{place}: {} ({})", self.message, self.rule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_as_one_line() {
        let violation = Violation {
            rule: Rule::AmountNegative,
            pointer: "/amount".to_owned(),
            message: "The amount is -1.".to_owned(),
        };
        assert_eq!(
            violation.clone().under("/3").to_string(),
            "/3/amount: The amount is -1. (amount-negative)"
        );
        assert_eq!(
            Violation {
                pointer: String::new(),
                ..violation
            }
            .to_string(),
            "(whole body): The amount is -1. (amount-negative)"
        );
    }
}
