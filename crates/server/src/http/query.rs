//! Query strings, read strictly: a parameter that isn't the operation's, one that stands twice and a value that isn't
//! understood are refused, all of them at once. A filter that is misspelt and ignored would give a wrong list.

use axum::http::Uri;
use jiff::Timestamp;
use layer_payments_types::{SortKey, SortOrder};
use layer_payments_validation::{ListFilters, Rule, Severity, validate_list};
use uuid::Uuid;

use super::cursor;
use super::refusal::{Fault, Refusal};
use crate::store::{Filter, ListQuery};
use crate::text::shortened;

const DEFAULT_LIMIT: usize = 100;

/// Refuses every parameter of an operation that has none.
pub(super) fn none(uri: &Uri) -> Result<(), Refusal> {
    let (parameters, mut faults) = parameters(uri);
    faults.extend(parameters.into_iter().map(|(name, _)| {
        Fault::of_parameter(
            &name,
            Rule::PropertyUnknown.code(),
            format!(
                "There is no parameter `{}`; this operation has none.",
                shortened(&name)
            ),
        )
    }));
    if faults.is_empty() {
        Ok(())
    } else {
        Err(Refusal::bad_request(faults))
    }
}

/// Reads the parameters with these names, each of which may be left out.
pub(super) fn texts<const N: usize>(
    uri: &Uri,
    names: [&str; N],
) -> Result<[Option<String>; N], Refusal> {
    let (parameters, mut faults) = parameters(uri);
    let mut values = [const { None }; N];
    for (name, value) in parameters {
        match names.iter().position(|known| *known == name) {
            Some(index) => values[index] = Some(value),
            None => faults.push(Fault::of_parameter(
                &name,
                Rule::PropertyUnknown.code(),
                format!(
                    "There is no parameter `{}`; there are {}.",
                    shortened(&name),
                    names.join(", ")
                ),
            )),
        }
    }
    if faults.is_empty() {
        Ok(values)
    } else {
        Err(Refusal::bad_request(faults))
    }
}

/// Reads the parameters of a list.
pub(super) fn list(business: Uuid, uri: &Uri) -> Result<ListQuery, Refusal> {
    let (parameters, mut faults) = parameters(uri);
    let parameters = parameters
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let (filters, mut violations) = ListFilters::from_query(parameters);
    violations.retain(|violation| violation.severity() == Severity::Error);
    if faults.is_empty() && violations.is_empty() {
        violations = validate_list(&filters);
        violations.retain(|violation| violation.severity() == Severity::Error);
    }
    faults.extend(violations.into_iter().map(Fault::from));
    if !faults.is_empty() {
        return Err(Refusal::bad_request(faults));
    }
    let mut query = ListQuery {
        business,
        filter: Filter {
            method: filters.method,
            paid_at_start: filters.paid_at_start.map(start_of_period),
            paid_at_end: filters.paid_at_end.map(end_of_period),
            external_id: filters.external_id,
            reference_numbers: filters.reference_numbers.map(|numbers| {
                let numbers = numbers.split(',').filter(|number| !number.is_empty());
                numbers.map(str::to_owned).collect()
            }),
            included_in_payout: filters.included_in_payout,
            is_matched: filters.is_matched,
        },
        sort_by: filters.sort_by.unwrap_or(SortKey::PaidAt),
        sort_order: filters.sort_order.unwrap_or(SortOrder::Asc),
        after: None,
        // The rules keep it between 1 and 1,000.
        limit: filters
            .limit
            .and_then(|limit| usize::try_from(limit).ok())
            .unwrap_or(DEFAULT_LIMIT),
        count: filters.show_total_count.unwrap_or(false),
    };
    if let Some(text) = filters.cursor {
        let position = cursor::decode(&text, &query).ok_or_else(|| {
            Refusal::bad_request(vec![Fault::of_parameter(
                "cursor",
                "cursor-invalid",
                "The cursor isn't one of this list. Send `meta.pagination.cursor` of the page before as it is, with \
                 the same filters and order, or leave it out for the first page."
                    .to_owned(),
            )])
        })?;
        query.after = Some(position);
    }
    Ok(query)
}

/// The first whole microsecond of a period that starts at this time; a finer fraction would else let in what is before
/// it.
fn start_of_period(time: Timestamp) -> i64 {
    -microseconds(-time.as_nanosecond())
}

/// The last whole microsecond of a period that ends at this time.
fn end_of_period(time: Timestamp) -> i64 {
    microseconds(time.as_nanosecond())
}

/// Nanoseconds since 1970 as the last whole microsecond before or at them.
fn microseconds(nanoseconds: i128) -> i64 {
    // Every timestamp's microseconds fit into 64 bits.
    i64::try_from(nanoseconds.div_euclid(1_000)).unwrap_or(i64::MAX)
}

fn parameters(uri: &Uri) -> (Vec<(String, String)>, Vec<Fault>) {
    pairs(uri.query().unwrap_or_default())
}

/// The parameters of a query string or a form, decoded, each there once, and what is wrong with its text otherwise.
pub(super) fn pairs(text: &str) -> (Vec<(String, String)>, Vec<Fault>) {
    let mut found: Vec<(String, String)> = Vec::new();
    let mut faults = Vec::new();
    for piece in text.split('&').filter(|piece| !piece.is_empty()) {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            let name = decode(name).unwrap_or_else(|| name.to_owned());
            faults.push(Fault::of_parameter(
                &name,
                "parameter-malformed",
                MALFORMED.to_owned(),
            ));
            continue;
        };
        if found.iter().any(|(known, _)| *known == name) {
            faults.push(Fault::of_parameter(
                &name,
                "parameter-repeated",
                "The parameter stands there more than once; give it once.".to_owned(),
            ));
            continue;
        }
        found.push((name, value));
    }
    (found, faults)
}

const MALFORMED: &str = "The text isn't percent-encoded UTF-8; write each byte that needs it as `%` and two hexadecimal \
                         digits.";

/// Decodes a name or value of a query string: `+` is a blank, `%` and two digits a byte. `None` if it isn't UTF-8.
pub(super) fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => hex(rest.next()?)? << 4 | hex(rest.next()?)?,
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: &str) -> Result<ListQuery, Refusal> {
        let uri: Uri = format!("/v1/payments?{query}").parse().unwrap();
        list(Uuid::from_u128(1), &uri)
    }

    #[test]
    fn dates_mean_whole_days() {
        let query = of("paid_at_start=2024-01-31&paid_at_end=2024-01-31").unwrap();
        let time = |text: &str| Some(text.parse::<Timestamp>().unwrap().as_microsecond());
        assert_eq!(query.filter.paid_at_start, time("2024-01-31T00:00:00Z"));
        assert_eq!(
            query.filter.paid_at_end,
            time("2024-01-31T23:59:59.999999Z")
        );
        // Days at the edges of what can be told.
        for edge in ["-9999-01-01", "9999-12-31", "0001-01-01"] {
            let query = of(&format!("paid_at_end={edge}"));
            assert_eq!(query.is_ok(), edge.len() == 10, "{edge}");
        }
    }

    #[test]
    fn fractions_below_a_microsecond_stay_within_the_period() {
        let query = of(
            "paid_at_start=1969-12-31T23:59:59.0000001Z&paid_at_end=1969-12-31T23:59:59.0000029Z",
        )
        .unwrap();
        assert_eq!(query.filter.paid_at_start, Some(-999_999));
        assert_eq!(query.filter.paid_at_end, Some(-999_998));
    }

    #[test]
    fn reference_numbers_are_those_between_the_commas() {
        let query = of("reference_numbers=,CHK-1,,CHK-2&limit=1000").unwrap();
        assert_eq!(query.filter.reference_numbers.unwrap(), ["CHK-1", "CHK-2"]);
        assert_eq!(query.limit, 1_000);
    }

    #[test]
    fn percent_encoding_is_decoded_exactly() {
        assert_eq!(decode("a+b%2Bc%C3%BC").as_deref(), Some("a b+cü"));
        for bad in ["%", "%4", "%zz", "%C3", "%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
