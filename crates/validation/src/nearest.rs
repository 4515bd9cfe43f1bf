//! Names that are nearly right.

/// The name that was most likely meant: the nearest one, if it is near.
pub(crate) fn nearest<'a>(name: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    /// No known name is longer, nor is one that was meant.
    const MOST: usize = 60;
    if name.len() > MOST {
        return None;
    }
    let plain = plain(name);
    known
        .map(|known| (distance(&plain, &self::plain(known)), known))
        .filter(|(distance, known)| *distance <= known.len().max(3) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, known)| known)
}

/// A name without what people write differently: case, and how words are joined.
fn plain(name: &str) -> Vec<char> {
    name.chars()
        .filter(|letter| !matches!(letter, '_' | '-' | ' '))
        .flat_map(char::to_lowercase)
        .collect()
}

/// How many letters have to be put in, left out, replaced or swapped with their neighbour to get from one name to the
/// other.
fn distance(from: &[char], to: &[char]) -> usize {
    // Row by row of the table of distances between beginnings; a swap looks two rows back.
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=to.len()).collect();
    for (row, letter) in from.iter().enumerate() {
        let mut next = Vec::with_capacity(to.len() + 1);
        next.push(row + 1);
        for (column, other) in to.iter().enumerate() {
            let replaced = last[column] + usize::from(letter != other);
            let mut least = replaced.min(last[column + 1] + 1).min(next[column] + 1);
            if row > 0 && column > 0 && *letter == to[column - 1] && from[row - 1] == *other {
                least = least.min(before[column - 1] + 1);
            }
            next.push(least);
        }
        before = std::mem::replace(&mut last, next);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = ["external_id", "amount", "fee", "invoice_payments", "memo"];
        for (name, expected) in [
            ("ammount", Some("amount")),
            ("amuont", Some("amount")),
            ("externalId", Some("external_id")),
            ("External-ID", Some("external_id")),
            ("fees", Some("fee")),
            ("invoicePayment", Some("invoice_payments")),
            ("meno", Some("memo")),
            ("total", None),
            ("", None),
        ] {
            assert_eq!(nearest(name, known.into_iter()), expected, "{name}");
        }
        assert_eq!(nearest(&"amount".repeat(20), known.into_iter()), None);
    }
}
