//! Query strings, read strictly: a parameter that isn't the operation's, one that stands twice and a value that isn't
//! understood are refused, all of them at once. A filter that is misspelt and ignored would give a wrong list.

use axum::http::Uri;
use jiff::civil::Date;
use jiff::tz::Offset;
use jiff::{Timestamp, ToSpan};
use layer_payments_types::{Operation, ParameterLocation, SortKey, SortOrder};
use uuid::Uuid;

use super::cursor;
use super::refusal::{Fault, Refusal};
use crate::store::{Filter, ListQuery};
use crate::text::shortened;

const DEFAULT_LIMIT: usize = 100;
const MOST: usize = 1_000;

/// Refuses every parameter of an operation that has none.
pub(super) fn none(operation: Operation, uri: &Uri) -> Result<(), Refusal> {
    parameters(operation, uri).map(drop)
}

/// Reads the parameters of a list.
pub(super) fn list(business: Uuid, uri: &Uri) -> Result<ListQuery, Refusal> {
    let mut draft = Draft::default();
    let mut faults = Vec::new();
    for (name, value) in parameters(Operation::ListInvoicePayments, uri)? {
        if let Err(problem) = draft.set(name, &value) {
            faults.push(Fault::of_parameter(
                name,
                "parameter-malformed",
                format!("The value {:?} {problem}", shortened(&value)),
            ));
        }
    }
    if let (Some(start), Some(end)) = (draft.filter.paid_at_start, draft.filter.paid_at_end)
        && start > end
    {
        faults.push(Fault::of_parameter(
            "paid_at_start",
            "period-reversed",
            "The start is later than `paid_at_end`, so that no payment could pass; swap them."
                .to_owned(),
        ));
    }
    if !faults.is_empty() {
        return Err(Refusal::bad_request(faults));
    }
    let mut query = ListQuery {
        business,
        filter: draft.filter,
        sort_by: draft.sort_by.unwrap_or(SortKey::PaidAt),
        sort_order: draft.sort_order.unwrap_or(SortOrder::Asc),
        after: None,
        limit: draft.limit.unwrap_or(DEFAULT_LIMIT),
        count: draft.count,
    };
    if let Some(text) = draft.cursor {
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

/// What a list's parameters have said so far.
#[derive(Default)]
struct Draft {
    filter: Filter,
    sort_by: Option<SortKey>,
    sort_order: Option<SortOrder>,
    cursor: Option<String>,
    limit: Option<usize>,
    count: bool,
}

impl Draft {
    /// Takes one parameter. An error completes the sentence "The value … ".
    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "method" => {
                self.filter.method = Some(
                    value
                        .parse()
                        .map_err(|error| format!("is no method; {error}."))?,
                );
            }
            "paid_at_start" => self.filter.paid_at_start = Some(time(value, Bound::Start)?),
            "paid_at_end" => self.filter.paid_at_end = Some(time(value, Bound::End)?),
            "external_id" => self.filter.external_id = Some(value.to_owned()),
            "reference_numbers" => {
                self.filter.reference_numbers = Some(value.split(',').map(str::to_owned).collect());
            }
            "included_in_payout" => self.filter.included_in_payout = Some(boolean(value)?),
            "is_matched" => self.filter.is_matched = Some(boolean(value)?),
            "sort_by" => {
                self.sort_by = Some(
                    value
                        .parse()
                        .map_err(|error| format!("can't be sorted by; {error}."))?,
                );
            }
            "sort_order" => {
                self.sort_order = Some(
                    value
                        .parse()
                        .map_err(|error| format!("is no order; {error}."))?,
                );
            }
            "cursor" => self.cursor = Some(value.to_owned()),
            "limit" => {
                self.limit = Some(
                    value
                        .parse()
                        .ok()
                        .filter(|limit| (1..=MOST).contains(limit))
                        .ok_or_else(|| {
                            format!("is no limit; give a whole number from 1 to {MOST}.")
                        })?,
                );
            }
            "show_total_count" => self.count = boolean(value)?,
            _ => return Err("belongs to a parameter that this server doesn't support.".to_owned()),
        }
        Ok(())
    }
}

fn boolean(value: &str) -> Result<bool, String> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("is no truth value; give `true` or `false`.".to_owned()),
    }
}

#[derive(Clone, Copy)]
enum Bound {
    Start,
    End,
}

/// Reads an end of a period, in microseconds: a timestamp, or a date for the whole day in UTC, as Layer's own client
/// sends it. Finer fractions are cut so that the period stays within what was said.
fn time(value: &str, bound: Bound) -> Result<i64, String> {
    if value.len() == 10
        && let Ok(date) = value.parse::<Date>()
    {
        return Ok(day(date, bound));
    }
    let time: Timestamp = value.parse().map_err(|_| {
        "is no time; give an RFC 3339 timestamp such as `2024-01-31T00:00:00Z` (with `+` written as `%2B`) or a date \
         such as `2024-01-31`."
            .to_owned()
    })?;
    let nanoseconds = time.as_nanosecond();
    let floor = nanoseconds.div_euclid(1_000);
    let microseconds = match bound {
        Bound::Start if nanoseconds.rem_euclid(1_000) != 0 => floor + 1,
        Bound::Start | Bound::End => floor,
    };
    // Every timestamp's microseconds fit into 64 bits.
    Ok(i64::try_from(microseconds).unwrap_or(time.as_microsecond()))
}

/// The first or the last microsecond of a day.
fn day(date: Date, bound: Bound) -> i64 {
    match bound {
        // The first and the last days that dates know are partly outside what timestamps know.
        Bound::Start => midnight(date).unwrap_or(Timestamp::MIN).as_microsecond(),
        Bound::End => date
            .checked_add(1.day())
            .ok()
            .and_then(midnight)
            .map_or(Timestamp::MAX.as_microsecond(), |next| {
                next.as_microsecond() - 1
            }),
    }
}

fn midnight(date: Date) -> Option<Timestamp> {
    Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).ok()
}

/// The query's parameters, decoded, each one of the operation's and there once.
fn parameters(operation: Operation, uri: &Uri) -> Result<Vec<(&'static str, String)>, Refusal> {
    let mut found: Vec<(&'static str, String)> = Vec::new();
    let mut faults = Vec::new();
    for piece in uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|piece| !piece.is_empty())
    {
        let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
        let Some(name) = decode(name) else {
            faults.push(Fault::of_parameter(
                name,
                "parameter-malformed",
                MALFORMED.to_owned(),
            ));
            continue;
        };
        let Some(known) = known(operation).find(|known| *known == name) else {
            faults.push(Fault::of_parameter(
                &name,
                "parameter-unknown",
                unknown_text(operation, &name),
            ));
            continue;
        };
        if found.iter().any(|(name, _)| *name == known) {
            faults.push(Fault::of_parameter(
                known,
                "parameter-repeated",
                "The parameter stands there more than once; give it once.".to_owned(),
            ));
            continue;
        }
        match decode(value) {
            Some(value) => found.push((known, value)),
            None => faults.push(Fault::of_parameter(
                known,
                "parameter-malformed",
                MALFORMED.to_owned(),
            )),
        }
    }
    if faults.is_empty() {
        Ok(found)
    } else {
        Err(Refusal::bad_request(faults))
    }
}

const MALFORMED: &str = "The text isn't percent-encoded UTF-8; write each byte that needs it as `%` and two hexadecimal \
                         digits.";

/// The names of an operation's query parameters.
fn known(operation: Operation) -> impl Iterator<Item = &'static str> {
    operation
        .parameters()
        .iter()
        .filter(|parameter| parameter.location == ParameterLocation::Query)
        .map(|parameter| parameter.name)
}

fn unknown_text(operation: Operation, name: &str) -> String {
    let names: Vec<&str> = known(operation).collect();
    let name = shortened(name);
    if names.is_empty() {
        format!("There is no parameter `{name}`; this operation has none.")
    } else {
        format!(
            "There is no parameter `{name}`; the parameters are {}.",
            names.join(", ")
        )
    }
}

/// Decodes a name or value of a query string: `+` is a blank, `%` and two digits a byte. `None` if it isn't UTF-8.
fn decode(text: &str) -> Option<String> {
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
    fn every_parameter_of_the_specification_is_supported() {
        for name in known(Operation::ListInvoicePayments) {
            let value = match name {
                "method" => "CASH",
                "paid_at_start" | "paid_at_end" => "2024-01-31",
                "included_in_payout" | "is_matched" | "show_total_count" => "true",
                "sort_by" => "amount",
                "sort_order" => "DESC",
                "limit" => "7",
                _ => "text",
            };
            Draft::default().set(name, value).unwrap();
        }
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
    fn percent_encoding_is_decoded_exactly() {
        assert_eq!(decode("a+b%2Bc%C3%BC").as_deref(), Some("a b+cü"));
        for bad in ["%", "%4", "%zz", "%C3", "%+1"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
