//! Invoices: which names are one invoice's, and what can be paid on it (D26, D30, and "Invoices have two names" in the
//! server's documentation). What is paid follows from the payments and is never kept here.

use serde_json::{Value, json};

/// An invoice as the model knows it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invoice {
    /// Not known until the server tells it, where it chose the id itself.
    pub(crate) id: Option<String>,
    /// Whether the id is the invoice's own: one that a request has named. Any other gives way to one that is.
    is_own: bool,
    pub(crate) external_id: Option<String>,
    total: Option<i64>,
    is_void: bool,
    /// Another invoice has taken this one's place, as both were the same.
    pub(crate) is_gone: bool,
}

/// What payments pay on an invoice, and how much of that was refunded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Paid {
    pub(crate) paid: i64,
    pub(crate) refunded: i64,
}

/// The invoices of one business. Each is known by its place, which stays.
#[derive(Clone, Debug, Default)]
pub(crate) struct Invoices(pub(crate) Vec<Invoice>);

/// What both names of an invoice in a request mean for those that are known.
pub(crate) enum Settled {
    Nothing,
    /// The invoice at the first place now has the id of its own that was given.
    Named(usize),
    /// The invoice at the first place is the one at the second.
    Joined(usize, usize),
}

impl Invoices {
    /// The places of those that there are.
    pub(crate) fn places(&self) -> Vec<usize> {
        (0..self.0.len())
            .filter(|place| !self.0[*place].is_gone)
            .collect()
    }

    fn find(&self, wanted: impl Fn(&Invoice) -> bool) -> Option<usize> {
        self.0
            .iter()
            .position(|invoice| !invoice.is_gone && wanted(invoice))
    }

    pub(crate) fn by_id(&self, id: &str) -> Option<usize> {
        self.find(|invoice| invoice.id.as_deref() == Some(id))
    }

    fn by_external_id(&self, name: &str) -> Option<usize> {
        self.find(|invoice| invoice.external_id.as_deref() == Some(name))
    }

    fn add(&mut self, invoice: Invoice) -> usize {
        self.0.push(invoice);
        self.0.len() - 1
    }

    /// Gives an invoice another total.
    pub(crate) fn set_total(&mut self, place: usize, total: Option<i64>) {
        self.0[place].total = total;
    }

    /// Takes over what a request says by giving both names. Names that can't be one invoice's change nothing.
    pub(crate) fn settle(&mut self, id: &str, name: &str) -> Settled {
        let of_id = self.by_id(id);
        let is_nameless = of_id.is_none_or(|place| self.0[place].external_id.is_none());
        let Some(of_name) = self.by_external_id(name) else {
            if is_nameless {
                let place = of_id.unwrap_or_else(|| self.add(Invoice::default()));
                let invoice = &mut self.0[place];
                (invoice.id, invoice.is_own) = (Some(id.to_owned()), true);
                invoice.external_id = Some(name.to_owned());
            }
            return Settled::Nothing;
        };
        if of_id == Some(of_name) {
            self.0[of_name].is_own = true;
            return Settled::Nothing;
        }
        if self.0[of_name].is_own || !is_nameless {
            return Settled::Nothing;
        }
        match of_id {
            None => {
                let invoice = &mut self.0[of_name];
                (invoice.id, invoice.is_own) = (Some(id.to_owned()), true);
                Settled::Named(of_name)
            }
            Some(of_id) => {
                let name = self.0[of_name].external_id.take();
                self.0[of_name].is_gone = true;
                self.0[of_id].external_id = name;
                self.0[of_id].is_own = true;
                Settled::Joined(of_name, of_id)
            }
        }
    }

    /// The invoice that an allocation names, registered if it is new. `None` if the names aren't one invoice's.
    pub(crate) fn named(&mut self, id: Option<&str>, name: Option<&str>) -> Option<usize> {
        match (id, name) {
            (Some(id), Some(name)) => self
                .by_external_id(name)
                .filter(|place| self.0[*place].id.as_deref() == Some(id)),
            (Some(id), None) => {
                let place = self
                    .by_id(id)
                    .unwrap_or_else(|| self.add(Invoice::default()));
                let invoice = &mut self.0[place];
                (invoice.id, invoice.is_own) = (Some(id.to_owned()), true);
                Some(place)
            }
            (None, Some(name)) => Some(self.by_external_id(name).unwrap_or_else(|| {
                self.add(Invoice {
                    external_id: Some(name.to_owned()),
                    ..Invoice::default()
                })
            })),
            (None, None) => None,
        }
    }

    /// Why no more can be paid on an invoice of which so much is paid.
    pub(crate) fn refusal(&self, place: usize, paid: i64, more: i64) -> Option<&'static str> {
        let invoice = &self.0[place];
        let outstanding = invoice.total.map(|total| total - paid);
        match outstanding {
            _ if more <= 0 => None,
            _ if invoice.is_void => Some("invoice-void"),
            Some(0) => Some("invoice-paid"),
            Some(outstanding) if outstanding < more => Some("invoice-overpaid"),
            _ => None,
        }
    }

    /// Creates an invoice or gives one another total. Gives its place, and whether it is new; or where it is wrong and by
    /// which rule. `paid` tells what is paid on the invoice at a place.
    pub(crate) fn create(
        &mut self,
        request: &Value,
        paid: impl Fn(usize) -> i64,
    ) -> Result<(usize, bool), (&'static str, &'static str)> {
        let (id, name) = (request["id"].as_str(), request["external_id"].as_str());
        let total = request["total_amount"].as_i64().unwrap_or_default();
        let of_id = id.and_then(|id| self.by_id(id));
        let of_name = name.and_then(|name| self.by_external_id(name));
        let Some(place) = of_id.or(of_name) else {
            let place = self.add(Invoice {
                id: id.map(str::to_owned),
                external_id: name.map(str::to_owned),
                // The reply tells the id, so that whoever asked may rely on it.
                is_own: true,
                total: Some(total),
                ..Invoice::default()
            });
            return Ok((place, true));
        };
        let invoice = &self.0[place];
        let other_id = id.is_some_and(|id| invoice.id.as_deref() != Some(id));
        let other_name = match (name, invoice.external_id.as_deref()) {
            (Some(given), Some(known)) => given != known,
            (Some(_), None) => of_name.is_some(),
            (None, _) => false,
        };
        if other_id || other_name {
            return Err(("/external_id", "invoice-ids-disagree"));
        }
        if paid(place) > total {
            return Err(("/total_amount", "invoice-overpaid"));
        }
        let invoice = &mut self.0[place];
        invoice.total = Some(total);
        invoice.is_own = true;
        if let Some(name) = name {
            invoice.external_id = Some(name.to_owned());
        }
        Ok((place, false))
    }

    /// Voids an invoice of which so much is paid. An error is the code of what is wrong.
    pub(crate) fn void(&mut self, place: usize, paid: i64) -> Result<(), &'static str> {
        if paid > 0 {
            return Err("invoice-paid");
        }
        (self.0[place].is_void, self.0[place].is_own) = (true, true);
        Ok(())
    }

    /// The invoice as replies have to show it. The server alone knows when it was voided.
    pub(crate) fn expected(
        &self,
        place: usize,
        Paid { paid, refunded }: Paid,
        shown: &Value,
    ) -> Value {
        let invoice = &self.0[place];
        let outstanding = match invoice.total {
            _ if invoice.is_void => Some(0),
            total => total.map(|total| total - paid),
        };
        let status = match outstanding {
            _ if invoice.is_void => "VOIDED",
            _ if paid > 0 && refunded == paid => "REFUNDED",
            Some(0) => "PAID",
            _ if paid > 0 => "PARTIALLY_PAID",
            _ => "SENT",
        };
        let voided_at = match &shown["voided_at"] {
            Value::String(time) if invoice.is_void => json!(time),
            _ if invoice.is_void => json!("a time"),
            _ => Value::Null,
        };
        json!({
            "type": "Invoice",
            "id": invoice.id,
            "external_id": invoice.external_id,
            "status": status,
            "total_amount": invoice.total,
            "paid_amount": paid,
            "refunded_amount": refunded,
            "outstanding_balance": outstanding,
            "reference_number": null,
            "voided_at": voided_at,
        })
    }
}
