//! What a walk has found so far.

use std::ops::Range;

use crate::pointer::Pointer;
use crate::rule::{Rule, Severity};
use crate::violation::Violation;

/// The most faults of a body's text that are listed. One that has more is a wrong file rather than a request with
/// mistakes, and its list would only fill the memory: a body of two bytes a fault would take a hundred times its size.
pub(super) const MOST_LISTED: usize = 100_000;

/// The most bytes that the pointers and messages of the list take before it is full. A key can be as long as the body,
/// and be part of the pointers of many faults.
const MOST_BYTES: usize = 32 << 20;

/// A list of violations that stays within bounds.
#[derive(Default)]
pub(super) struct Findings {
    list: Vec<Violation>,
    /// What the list's texts take.
    bytes: usize,
    /// How many errors the list holds.
    listed_errors: usize,
    /// How many errors were found, the ones that are not listed and the ones that were taken back included.
    errors: usize,
}

impl Findings {
    /// Adds a violation. A full list takes an error all the same if it holds none, so that it never looks like that of
    /// a request that can be sent.
    pub(super) fn add(
        &mut self,
        rule: Rule,
        place: &Pointer<'_>,
        message: impl FnOnce() -> String,
    ) {
        let is_error = rule.severity() == Severity::Error;
        self.errors += usize::from(is_error);
        let full = self.list.len() >= MOST_LISTED || self.bytes >= MOST_BYTES;
        if full && !(is_error && self.listed_errors == 0) {
            return;
        }
        let violation = Violation {
            rule,
            pointer: place.render(),
            message: message(),
        };
        self.bytes += violation.pointer.len() + violation.message.len();
        self.listed_errors += usize::from(is_error);
        self.list.push(violation);
    }

    /// How many errors there were up to now; only good for comparing it with an earlier number.
    pub(super) fn errors(&self) -> usize {
        self.errors
    }

    /// How long the list is.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Takes back violations that were found before it was known that their places aren't looked at. Whoever does adds
    /// an error in their stead.
    pub(super) fn take_back(&mut self, ranges: &[Range<usize>]) {
        for range in ranges.iter().rev() {
            for violation in self.list.drain(range.clone()) {
                self.bytes -= violation.pointer.len() + violation.message.len();
                self.listed_errors -= usize::from(violation.severity() == Severity::Error);
            }
        }
    }

    /// The violations, in the order in which they were found.
    pub(super) fn into_list(self) -> Vec<Violation> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(findings: &mut Findings, rule: Rule, text: &str) {
        findings.add(rule, &Pointer::Root, || text.to_owned());
    }

    #[test]
    fn a_list_full_of_warnings_still_takes_one_error() {
        let mut findings = Findings::default();
        for _ in 0..=MOST_LISTED {
            add(&mut findings, Rule::MethodDeprecated, "w");
        }
        assert_eq!(findings.len(), MOST_LISTED);
        add(&mut findings, Rule::TypeMismatch, "first");
        add(&mut findings, Rule::TypeMismatch, "second");
        assert_eq!((findings.len(), findings.errors()), (MOST_LISTED + 1, 2));
        let start = findings.len() - 1;
        findings.take_back(std::slice::from_ref(&(start..start + 1)));
        add(&mut findings, Rule::AllocationTargetAmbiguous, "instead");
        let list = findings.into_list();
        assert_eq!(list.last().unwrap().message, "instead");
        assert_eq!(list.len(), MOST_LISTED + 1);
    }

    #[test]
    fn long_texts_fill_the_list_too() {
        let mut findings = Findings::default();
        let long = "x".repeat(1 << 20);
        for _ in 0..100 {
            add(&mut findings, Rule::TypeMismatch, &long);
        }
        assert_eq!((findings.len(), findings.errors()), (32, 100));
    }
}
