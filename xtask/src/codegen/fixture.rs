//! The documents that the generator's own tests run on.

/// A small document that uses every convention of the real one.
pub(crate) const PARCELS: &str = include_str!("fixtures/parcels.yaml");

/// The real document.
pub(crate) fn payments() -> String {
    std::fs::read_to_string(crate::workspace_root().join(super::SPEC))
        .expect("the document is there")
}

/// [`PARCELS`] with one part changed, and the line where the change begins.
pub(crate) fn with(from: &str, to: &str) -> (String, usize) {
    assert_eq!(
        PARCELS.matches(from).count(),
        1,
        "expected once in the fixture: {from}"
    );
    let text = PARCELS.replacen(from, to, 1);
    let line = PARCELS
        .lines()
        .zip(text.lines())
        .position(|(old, new)| old != new)
        .expect("the change changes a line");
    (text, line + 1)
}
