//! The checks of a list's filters: as text in a query, and as values.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::Offset;
use layer_payments_types::{
    Enumeration, Operation, Parameter, ParameterLocation, PaymentMethod, Shape, SortKey, SortOrder,
};

use crate::message::{listed, quoted};
use crate::nearest::nearest;
use crate::rule::Rule;
use crate::validated::has_errors;
use crate::violation::Violation;

/// The most payments that a page of a list may hold. (Decision D49.)
pub const LIST_LIMIT: i64 = 1_000;

/// What a list is asked for: the values of its query's parameters. Those that aren't there have their defaults.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ListFilters {
    /// Only payments made by this method.
    pub method: Option<PaymentMethod>,
    /// Only payments made at this time or later.
    pub paid_at_start: Option<Timestamp>,
    /// Only payments made at this time or earlier.
    pub paid_at_end: Option<Timestamp>,
    /// Only the payment that has this external id.
    pub external_id: Option<String>,
    /// Only payments whose reference number is among these, which commas separate.
    pub reference_numbers: Option<String>,
    /// Only payments that a payout contains, or only others.
    pub included_in_payout: Option<bool>,
    /// Only payments that are matched with a bank transaction, or only others.
    pub is_matched: Option<bool>,
    /// What orders the list.
    pub sort_by: Option<SortKey>,
    /// The direction of the list.
    pub sort_order: Option<SortOrder>,
    /// Where the page starts.
    pub cursor: Option<String>,
    /// The most payments of the page: 1 to [`LIST_LIMIT`].
    pub limit: Option<i64>,
    /// Whether the payments that pass the filters are counted.
    pub show_total_count: Option<bool>,
}

/// Checks a list's filters. Gives every violation; their pointers are `?` and the parameter's name.
pub fn validate_list(filters: &ListFilters) -> Vec<Violation> {
    let mut found = Vec::new();
    if let (Some(start), Some(end)) = (filters.paid_at_start, filters.paid_at_end)
        && start > end
    {
        found.push(violation(
            Rule::FilterRangeReversed,
            "paid_at_start",
            format!(
                "The start {start} is later than `paid_at_end`, {end}, so that no payment could pass; swap them."
            ),
        ));
    }
    if filters.external_id.as_deref() == Some("") {
        found.push(violation(
            Rule::ExternalIdEmpty,
            "external_id",
            "The external id is empty, so that no payment could pass; give one, or leave the parameter out."
                .to_owned(),
        ));
    }
    if let Some(text) = filters.reference_numbers.as_deref()
        && text.split(',').all(str::is_empty)
    {
        found.push(violation(
            Rule::ReferenceNumbersEmpty,
            "reference_numbers",
            format!(
                "The value {} names no reference number, so that no payment could pass; give some, with commas \
                 between them, or leave the parameter out.",
                quoted(text)
            ),
        ));
    }
    if let Some(limit) = filters.limit
        && !(1..=LIST_LIMIT).contains(&limit)
    {
        found.push(limit_out_of_range(limit));
    }
    found
}

/// Checks a list's query as it is sent: the names and values of its parameters, after percent-decoding, each name at
/// most once. Gives every violation; the values are compared with each other if each of them can be read.
pub fn validate_query<'a>(
    parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
) -> Vec<Violation> {
    let (filters, mut violations) = ListFilters::from_query(parameters);
    if !has_errors(&violations) {
        violations.extend(validate_list(&filters));
    }
    violations
}

impl ListFilters {
    /// Reads a list's query: the names and values of its parameters, after percent-decoding, each name at most once.
    /// Gives what can be read, and the violations of what can't be; for the rules on what can be read there is
    /// [`validate_list`].
    ///
    /// A date alone, as Layer's own client sends it, means the day's first instant at `paid_at_start` and its last one
    /// at `paid_at_end`, in UTC (decision D50). A limit beyond 64 bits is taken for the greatest number of these, or the
    /// smallest.
    pub fn from_query<'a>(
        parameters: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> (ListFilters, Vec<Violation>) {
        let mut filters = ListFilters::default();
        let mut found = Vec::new();
        for (name, text) in parameters {
            let Some(parameter) = known().find(|known| known.name == name) else {
                found.push(violation(Rule::PropertyUnknown, name, unknown(name)));
                continue;
            };
            if let Some((rule, message)) = mistake(parameter.shape, text) {
                found.push(violation(rule, name, message));
            }
            filters.set(parameter.name, text);
        }
        (filters, found)
    }

    /// Sets a parameter, unless its value can't be read.
    fn set(&mut self, name: &str, text: &str) {
        match name {
            "method" => self.method = text.parse().ok(),
            "paid_at_start" => self.paid_at_start = time(text, Bound::Start),
            "paid_at_end" => self.paid_at_end = time(text, Bound::End),
            "external_id" => self.external_id = Some(text.to_owned()),
            "reference_numbers" => self.reference_numbers = Some(text.to_owned()),
            "included_in_payout" => self.included_in_payout = text.parse().ok(),
            "is_matched" => self.is_matched = text.parse().ok(),
            "sort_by" => self.sort_by = text.parse().ok(),
            "sort_order" => self.sort_order = text.parse().ok(),
            "cursor" => self.cursor = Some(text.to_owned()),
            "limit" => self.limit = whole_number(text),
            "show_total_count" => self.show_total_count = text.parse().ok(),
            // A test sees to it that there is no other.
            _ => {}
        }
    }
}

fn violation(rule: Rule, parameter: &str, message: String) -> Violation {
    Violation {
        rule,
        pointer: format!("?{parameter}"),
        message,
    }
}

fn limit_out_of_range(limit: i64) -> Violation {
    let number = match limit {
        i64::MAX | i64::MIN => "beyond 64 bits".to_owned(),
        _ => limit.to_string(),
    };
    violation(
        Rule::LimitOutOfRange,
        "limit",
        format!("The limit is {number}; give a whole number from 1 to {LIST_LIMIT}."),
    )
}

/// The parameters that a list's query may have.
fn known() -> impl Iterator<Item = &'static Parameter> {
    Operation::ListInvoicePayments
        .parameters()
        .iter()
        .filter(|parameter| parameter.location == ParameterLocation::Query)
}

fn unknown(name: &str) -> String {
    let names: Vec<_> = known().map(|parameter| parameter.name).collect();
    match nearest(name, names.iter().copied()) {
        Some(meant) => format!(
            "There is no parameter {}; did you mean `{meant}`?",
            quoted(name)
        ),
        None => format!(
            "There is no parameter {}; give {}.",
            quoted(name),
            listed(names.into_iter())
        ),
    }
}

/// What is wrong with a parameter's text, if it can't be read or is spelt in an older form.
fn mistake(shape: Shape, text: &str) -> Option<(Rule, String)> {
    let shown = quoted(text);
    match shape {
        Shape::Integer if whole_number(text).is_none() => Some((
            Rule::TypeMismatch,
            format!("The value {shown} is no whole number; give one in digits, such as 100."),
        )),
        Shape::Boolean if text.parse::<bool>().is_err() => Some((
            Rule::TypeMismatch,
            format!("The value {shown} is no truth value; give `true` or `false`."),
        )),
        Shape::Timestamp if time(text, Bound::Start).is_none() => Some((
            Rule::TimestampMalformed,
            format!(
                "The value {shown} is no time; give an RFC 3339 timestamp such as `2024-01-31T00:00:00Z` (with `+` \
                 written as `%2B`), or a date such as `2024-01-31`."
            ),
        )),
        Shape::Enumeration(enumeration) => unlisted(enumeration, text),
        _ => None,
    }
}

fn unlisted(enumeration: &Enumeration, text: &str) -> Option<(Rule, String)> {
    if enumeration.values.contains(&text) {
        return None;
    }
    let replaced = enumeration.deprecated.iter().find(|(old, _)| *old == text);
    Some(match replaced {
        Some((old, new)) => (
            Rule::MethodDeprecated,
            format!("`{old}` is an older spelling; write `{new}`."),
        ),
        None => (
            Rule::ValueUnknown,
            format!(
                "The value {} isn't one of those that it takes; give {}.",
                quoted(text),
                listed(enumeration.values.iter().copied())
            ),
        ),
    })
}

/// A whole number in digits, cut off at the ends of 64 bits.
fn whole_number(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(if digits.len() < text.len() {
        i64::MIN
    } else {
        i64::MAX
    }))
}

#[derive(Clone, Copy)]
enum Bound {
    Start,
    End,
}

/// An end of a period: a timestamp, or a date for the whole day in UTC.
fn time(text: &str, bound: Bound) -> Option<Timestamp> {
    const DATE: usize = "2024-01-31".len();
    if text.len() != DATE {
        return crate::timestamp::parse(text);
    }
    // A year before 0 would be a character longer.
    let date: Date = text.parse().ok()?;
    let (time, beyond) = match bound {
        Bound::Start => (date.at(0, 0, 0, 0), Timestamp::MIN),
        Bound::End => (date.at(23, 59, 59, 999_999_999), Timestamp::MAX),
    };
    // The first and the last day that there are lie partly beyond the instants that there are.
    Some(Offset::UTC.to_timestamp(time).unwrap_or(beyond))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_of_the_spec_is_read() {
        let mut texts = Vec::new();
        for parameter in known() {
            let text = match parameter.shape {
                Shape::Text => "text",
                Shape::Integer => "7",
                Shape::Boolean => "false",
                Shape::Timestamp => "2024-01-31",
                Shape::Enumeration(enumeration) => enumeration.values[0],
                other => panic!("{}: no query has the shape {other:?}", parameter.name),
            };
            let (filters, found) = ListFilters::from_query([(parameter.name, text)]);
            assert_eq!(found, []);
            assert_ne!(filters, ListFilters::default(), "{}", parameter.name);
            texts.push((parameter.name, text));
        }
        let (filters, found) = ListFilters::from_query(texts);
        assert_eq!(found, []);
        assert!(!format!("{filters:?}").contains("None"), "{filters:?}");
    }

    #[test]
    fn dates_mean_whole_days() {
        let (filters, _) = ListFilters::from_query([
            ("paid_at_start", "2024-01-31"),
            ("paid_at_end", "2024-01-31"),
        ]);
        let time = |text: &str| Some(text.parse().unwrap());
        assert_eq!(filters.paid_at_start, time("2024-01-31T00:00:00Z"));
        assert_eq!(filters.paid_at_end, time("2024-01-31T23:59:59.999999999Z"));
        for (date, is_one) in [
            ("0001-01-01", true),
            ("9999-12-31", true),
            ("-999-01-01", false),
            ("2024-02-30", false),
            ("2024-01-3", false),
            ("20240131", false),
            ("2024-01-31T", false),
            ("2024-W05-3", false),
        ] {
            let (filters, found) = ListFilters::from_query([("paid_at_end", date)]);
            assert_eq!(filters.paid_at_end.is_some(), is_one, "{date}");
            assert_eq!(found.is_empty(), is_one, "{date}");
        }
    }

    #[test]
    fn numbers_are_cut_off_and_not_misread() {
        for (text, number) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("007", Some(7)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", Some(i64::MAX)),
            ("-99999999999999999999", Some(i64::MIN)),
            ("", None),
            ("-", None),
            ("+1", None),
            ("1.0", None),
            (" 1", None),
            ("1_000", None),
            ("١", None),
        ] {
            assert_eq!(whole_number(text), number, "{text:?}");
        }
        let found = validate_query([("limit", "99999999999999999999")]);
        assert_eq!(found[0].rule, Rule::LimitOutOfRange);
        assert!(found[0].message.contains("beyond 64 bits"), "{}", found[0]);
    }
}
