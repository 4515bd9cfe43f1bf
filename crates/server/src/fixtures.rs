//! What a server is filled with at its start.

use jiff::Timestamp;
use layer_payments_validation::{Context, Severity, read_bulk};
use serde::Deserialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::domain::local::{
    BusinessFixtures, HasName, NewAccount, NewBusiness, NewInvoice, NewMatch, NewPayout,
};
use crate::object::{self, Object};

/// Businesses and what is in them: ledger accounts, invoices, payments, payouts, matches and a closing date.
///
/// Applying them again changes nothing that is there, also where a client has changed it since, so a server can be started
/// with the same file each time. For that, everything has a name of its own: an id, an external id or a stable name. In
/// JSON:
///
/// ```
/// let fixtures = layer_payments_server::Fixtures::from_json(br#"{
///     "businesses": [{
///         "id": "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4",
///         "ledger_accounts": [{"stable_name": "PETTY_CASH", "name": "Petty Cash", "account_type": "ASSET"}],
///         "invoices": [{"external_id": "invoice-1001", "total_amount": 9000}],
///         "payments": [{
///             "external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "ACH", "amount": 9000,
///             "invoice_payments": [{"invoice_external_id": "invoice-1001", "amount": 9000}]
///         }],
///         "payouts": [{
///             "external_id": "payout-1", "completed_at": "2024-02-28T00:00:00Z", "paid_out_amount": 9000,
///             "payments": [{"invoice_payment_external_id": "payment-1"}]
///         }],
///         "matches": [{
///             "payout_external_id": "payout-1",
///             "bank_transaction": {"date": "2024-02-29T00:00:00Z", "amount": 9000}
///         }],
///         "closing_date": "2024-01-01T00:00:00Z"
///     }]
/// }"#)?;
/// # Ok::<(), layer_payments_server::InvalidFixtures>(())
/// ```
///
/// `spec/local.yaml` describes each of these objects.
#[derive(Clone, Debug)]
pub struct Fixtures {
    pub(crate) businesses: Vec<BusinessFixtures>,
}

/// Why a text isn't fixtures: each fault with its place, a line each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct InvalidFixtures(Vec<String>);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(deserialize_with = "object::list")]
    businesses: Vec<RawBusiness>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBusiness {
    id: Uuid,
    #[serde(default)]
    external_id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    closing_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "object::list")]
    ledger_accounts: Vec<NewAccount>,
    #[serde(default, deserialize_with = "object::list")]
    invoices: Vec<NewInvoice>,
    #[serde(default)]
    payments: Option<Box<RawValue>>,
    #[serde(default, deserialize_with = "object::list")]
    payouts: Vec<NewPayout>,
    #[serde(default, deserialize_with = "object::list")]
    matches: Vec<NewMatch>,
}

impl Fixtures {
    /// Reads fixtures from JSON. Payments are checked by the rules of a bulk request.
    ///
    /// # Errors
    ///
    /// [`InvalidFixtures`] with all that is wrong with the payments, or the first thing that is wrong elsewhere.
    pub fn from_json(text: &[u8]) -> Result<Fixtures, InvalidFixtures> {
        let mut json = serde_json::Deserializer::from_slice(text);
        let Object(document): Object<Document> = serde_path_to_error::deserialize(&mut json)
            .map_err(|error| {
                InvalidFixtures(vec![format!("{}: {}", error.path(), error.inner())])
            })?;
        json.end()
            .map_err(|error| InvalidFixtures(vec![format!("after the object: {error}")]))?;
        let context = Context::at(Timestamp::now());
        let mut faults = Vec::new();
        let mut businesses = Vec::with_capacity(document.businesses.len());
        for (index, raw) in document.businesses.into_iter().enumerate() {
            let payments = match raw.payments.as_deref().map(RawValue::get) {
                None | Some("[]" | "null") => Vec::new(),
                Some(text) => match read_bulk(text.as_bytes(), &context) {
                    Ok(valid) => valid.into_inner(),
                    Err(violations) => {
                        let errors = violations
                            .into_iter()
                            .filter(|violation| violation.severity() == Severity::Error);
                        faults.extend(errors.map(|violation| {
                            format!(
                                "/businesses/{index}/payments{}: {} ({})",
                                violation.pointer,
                                violation.message,
                                violation.rule.code()
                            )
                        }));
                        Vec::new()
                    }
                },
            };
            let mut unnamed = Unnamed {
                business: index,
                faults: &mut faults,
            };
            unnamed.look("ledger_accounts", "stable_name", &raw.ledger_accounts);
            unnamed.look("invoices", "external_id", &raw.invoices);
            unnamed.look("payments", "external_id", &payments);
            unnamed.look("payouts", "external_id", &raw.payouts);
            businesses.push(BusinessFixtures {
                business: NewBusiness {
                    id: Some(raw.id),
                    external_id: raw.external_id,
                    name: raw.name,
                    closing_date: None,
                },
                id: raw.id,
                closing_date: raw.closing_date,
                ledger_accounts: raw.ledger_accounts,
                invoices: raw.invoices,
                payments,
                payouts: raw.payouts,
                matches: raw.matches,
            });
        }
        if faults.is_empty() {
            Ok(Fixtures { businesses })
        } else {
            Err(InvalidFixtures(faults))
        }
    }

    /// The ids of the businesses, in their order.
    pub fn business_ids(&self) -> impl Iterator<Item = Uuid> {
        self.businesses.iter().map(|business| business.id)
    }
}

/// Looks for what has no name by which it is found again: it would be created anew at every start.
struct Unnamed<'a> {
    business: usize,
    faults: &'a mut Vec<String>,
}

impl Unnamed<'_> {
    fn look(&mut self, list: &str, name: &str, all: &[impl HasName]) {
        for (index, one) in all.iter().enumerate() {
            if !one.has_name() {
                self.faults.push(format!(
                    "/businesses/{}/{list}/{index}: it has no name by which it is found when the file is applied again; \
                     give `{name}` (name-missing)",
                    self.business
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        Fixtures::from_json(text.as_bytes())
            .unwrap_err()
            .to_string()
    }

    #[test]
    fn faults_are_told_with_their_place() {
        let id = "738ec216-e8e5-48f2-b7f2-cdc89c96b3d4";
        // What a payment lacks hides what else is wrong with it, and not what is wrong with another one.
        let text = faults(&format!(
            r#"{{"businesses": [{{"id": "{id}", "payments": [
                {{"external_id": "payment-1", "paid_at": "2024-02-27T02:22:55Z", "method": "ACH", "amount": -1,
                  "invoice_payments": []}},
                {{"external_id": "payment-2"}}
            ]}}]}}"#
        ));
        assert!(
            text.contains("/businesses/0/payments/0/amount: ")
                && text.contains("(amount-negative)"),
            "{text}"
        );
        assert!(
            text.contains("/businesses/0/payments/1") && text.contains("(property-missing)"),
            "{text}"
        );
        let text = faults(&format!(
            r#"{{"businesses": [{{"id": "{id}", "invoices": [{{"total": 1}}]}}]}}"#
        ));
        assert!(
            text.starts_with("businesses[0].invoices[0]") && text.contains("`total`"),
            "{text}"
        );
        let unnamed = faults(&format!(
            r#"{{"businesses": [{{"id": "{id}",
                "ledger_accounts": [{{"name": "Till", "account_type": "ASSET"}}],
                "invoices": [{{"id": "{id}", "total_amount": 1}}, {{"total_amount": 1}}],
                "payments": [{{"paid_at": "2024-02-27T02:22:55Z", "method": "ACH", "amount": 1,
                  "invoice_payments": []}}],
                "payouts": [{{"paid_out_amount": 1, "completed_at": "2024-02-27T02:22:55Z", "payments": []}}]
            }}]}}"#
        ));
        let places: Vec<&str> = unnamed
            .lines()
            .map(|line| line.split_once(": it has no name").unwrap().0)
            .collect();
        assert_eq!(
            places,
            [
                "/businesses/0/ledger_accounts/0",
                "/businesses/0/invoices/1",
                "/businesses/0/payments/0",
                "/businesses/0/payouts/0"
            ]
        );
        for list in [
            "[[]]".to_owned(),
            r#"{"businesses": [[]]}"#.to_owned(),
            format!(r#"{{"businesses": [{{"id": "{id}", "invoices": [["{id}", null, 1]]}}]}}"#),
        ] {
            let text = faults(&list);
            assert!(text.contains("expected an object"), "{text}");
        }
        assert!(faults("{} x").contains("businesses"));
    }
}
