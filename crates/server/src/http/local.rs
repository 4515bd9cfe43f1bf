//! The routes below `/local`: what the public API can't create, and what it doesn't show.

use std::collections::HashMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::{get, patch, post};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use uuid::Uuid;

use super::handlers::{Data, Params, business_of, or_drain, path_id, reply};
use super::refusal::{Fault, Refusal};
use super::routes::{Access, Purpose, Route};
use super::{App, body, fill, query};
use crate::domain::ledger::Line;
use crate::domain::local::{
    self, Business, BusinessUpdate, InvoiceReply, IsNew, LocalBooks, NewAccount, NewBusiness,
    NewInvoice, NewMatch, NewPayout,
};
use crate::domain::payment::whole_microseconds;
use crate::domain::reply::{Account, chart_account};
use crate::store::{self, Balance, EntryFilter, JournalEntry, Scope, Unit};
use crate::text::shortened;

macro_rules! route {
    ($id:literal, $method:literal, $path:literal, $handler:expr) => {
        Route {
            id: $id,
            method: $method,
            path: $path,
            access: Access::Everything,
            purpose: Purpose::Server,
            handler: || $handler,
        }
    };
}

/// All of them. They take tokens that aren't limited to a business.
pub(super) static ROUTES: &[Route] = &[
    route!(
        "list_businesses",
        "GET",
        "/local/businesses",
        get(list_businesses)
    ),
    route!(
        "create_business",
        "POST",
        "/local/businesses",
        post(create_business)
    ),
    route!(
        "get_business",
        "GET",
        "/local/businesses/{businessId}",
        get(get_business)
    ),
    route!(
        "update_business",
        "PATCH",
        "/local/businesses/{businessId}",
        patch(update_business)
    ),
    route!(
        "list_ledger_accounts",
        "GET",
        "/local/businesses/{businessId}/ledger-accounts",
        get(list_accounts)
    ),
    route!(
        "create_ledger_account",
        "POST",
        "/local/businesses/{businessId}/ledger-accounts",
        post(create_account)
    ),
    route!(
        "list_invoices",
        "GET",
        "/local/businesses/{businessId}/invoices",
        get(list_invoices)
    ),
    route!(
        "create_invoice",
        "POST",
        "/local/businesses/{businessId}/invoices",
        post(create_invoice)
    ),
    route!(
        "void_invoice",
        "POST",
        "/local/businesses/{businessId}/invoices/{invoiceId}/void",
        post(void_invoice)
    ),
    route!(
        "create_payout",
        "POST",
        "/local/businesses/{businessId}/payouts",
        post(create_payout)
    ),
    route!(
        "create_match",
        "POST",
        "/local/businesses/{businessId}/matches",
        post(create_match)
    ),
    route!(
        "list_journal_entries",
        "GET",
        "/local/businesses/{businessId}/journal-entries",
        get(list_entries)
    ),
    route!(
        "get_trial_balance",
        "GET",
        "/local/businesses/{businessId}/trial-balance",
        get(trial_balance)
    ),
    route!("check_books", "GET", "/local/books-check", get(check_books)),
    route!("reset", "POST", "/local/reset", post(reset)),
];

type Result<T = Response> = std::result::Result<T, Refusal>;

fn answer<T: Serialize>(status: StatusCode, data: &T) -> Result {
    let document = serde_json::to_string(data).map_err(store::Error::from)?;
    reply(status, Data::One(&document), &json!({}))
}

fn created<T: Serialize>((data, is_new): (T, IsNew)) -> Result {
    let status = match is_new {
        IsNew(true) => StatusCode::CREATED,
        IsNew(false) => StatusCode::OK,
    };
    answer(status, &data)
}

/// The body of a request that has to have one.
async fn required<T: DeserializeOwned>(app: &App, request: Request) -> Result<T> {
    body::json(request, &app.body_limit).await?.ok_or_else(|| {
        Refusal::malformed(
            "body-missing",
            "The request has no body; send a JSON object.".to_owned(),
        )
    })
}

/// Creates something in a business.
async fn create<T, U, F>(app: &App, params: &Params, request: Request, work: F) -> Result
where
    T: Clone + DeserializeOwned + Send + 'static,
    U: Serialize + Send + 'static,
    F: Fn(
            &mut dyn LocalBooks<Error = store::Error>,
            T,
        ) -> std::result::Result<(U, IsNew), store::Error>
        + Send
        + 'static,
{
    let address = business_of(params, &request);
    let (business, request) = or_drain(address, request).await?;
    let body: T = required(app, request).await?;
    let work = move |unit: &mut dyn Unit| work(&mut *unit.books(business)?, body.clone());
    created(app.store.write(Scope::Business(business), work).await?)
}

async fn list_businesses(State(app): State<Arc<App>>, request: Request) -> Result {
    query::none(request.uri())?;
    let list: Vec<Business> = app.store.read(|view| view.businesses()).await?;
    answer(StatusCode::OK, &list)
}

async fn create_business(State(app): State<Arc<App>>, request: Request) -> Result {
    let address = query::none(request.uri());
    let ((), request) = or_drain(address, request).await?;
    let business: NewBusiness = required(&app, request).await?;
    created(
        app.store
            .write(Scope::Store, move |unit| unit.create_business(&business))
            .await?,
    )
}

async fn get_business(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    let id = business_of(&params, &request)?;
    let business = app.store.read(move |view| view.business(id)).await?;
    answer(StatusCode::OK, &business)
}

async fn update_business(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    let address = business_of(&params, &request);
    let (id, request) = or_drain(address, request).await?;
    let update: BusinessUpdate = required(&app, request).await?;
    let closing_date = update.closing_date.map(whole_microseconds);
    let business = app
        .store
        .write(Scope::Business(id), move |unit| {
            unit.close_until(id, closing_date)
        })
        .await?;
    answer(StatusCode::OK, &business)
}

async fn list_accounts(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    let balances = balances(&app, business_of(&params, &request)?).await?;
    let accounts: Vec<_> = balances
        .iter()
        .map(|balance| chart_account(&balance.account))
        .collect();
    answer(StatusCode::OK, &accounts)
}

async fn create_account(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    create(&app, &params, request, |books, account: NewAccount| {
        let (account, is_new) = local::create_account(books, account)?;
        Ok((chart_account(&account), is_new))
    })
    .await
}

async fn list_invoices(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    let business = path_id(&params, "businessId")?;
    let [external_id] = query::texts(request.uri(), ["external_id"])?;
    let invoices = app
        .store
        .read(move |view| view.invoices(business, external_id.as_deref()))
        .await?;
    let invoices: Vec<InvoiceReply> = invoices.into_iter().map(InvoiceReply::from).collect();
    answer(StatusCode::OK, &invoices)
}

async fn create_invoice(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    create(&app, &params, request, |books, invoice: NewInvoice| {
        local::create_invoice(books, invoice)
    })
    .await
}

async fn void_invoice(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    let ids = business_of(&params, &request)
        .and_then(|business| Ok((business, path_id(&params, "invoiceId")?)));
    let ((business, id), _) = or_drain(ids, request).await?;
    let invoice = app
        .store
        .write(Scope::Business(business), move |unit| {
            local::void_invoice(&mut *unit.books(business)?, id)
        })
        .await?
        .ok_or_else(|| Refusal::no_invoice(id))?;
    answer(StatusCode::OK, &invoice)
}

async fn create_payout(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    create(&app, &params, request, |books, payout: NewPayout| {
        local::create_payout(books, payout)
    })
    .await
}

async fn create_match(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    create(&app, &params, request, |books, bank: NewMatch| {
        local::create_match(books, bank)
    })
    .await
}

/// The most entries of a page.
const MOST_ENTRIES: usize = 1_000;

async fn list_entries(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    let business = path_id(&params, "businessId")?;
    let [payment, after, limit] = query::texts(request.uri(), ["payment_id", "after", "limit"])?;
    let filter = EntryFilter {
        payment: parsed("payment_id", payment.as_deref(), "a UUID", |text| {
            text.parse().ok()
        })?,
        after: number("after", after.as_deref(), 0..=i64::MAX)?.unwrap_or(0),
        limit: number("limit", limit.as_deref(), 1..=MOST_ENTRIES)?.unwrap_or(100),
    };
    let (entries, names, has_more) = app
        .store
        .read(move |view| {
            let (entries, has_more) = view.entries(business, filter)?;
            Ok((entries, view.balances(business)?, has_more))
        })
        .await?;
    let names: HashMap<Uuid, Account> = names
        .into_iter()
        .map(|balance| (balance.account.id, balance.account))
        .collect();
    let documents: Vec<String> = entries
        .iter()
        .map(|entry| entry_reply(business, entry, &names).to_string())
        .collect();
    reply(
        StatusCode::OK,
        Data::Many(&documents),
        &json!({"pagination": {"has_more": has_more}}),
    )
}

/// A query parameter's value.
fn parsed<T>(
    name: &str,
    value: Option<&str>,
    right: &str,
    read: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>> {
    value
        .map(|value| {
            read(value).ok_or_else(|| {
                Refusal::bad_request(vec![Fault::of_parameter(
                    name,
                    "type-mismatch",
                    format!("{:?} isn't {right}; give one.", shortened(value)),
                )])
            })
        })
        .transpose()
}

/// A query parameter that is a whole number of a range.
fn number<T>(name: &str, value: Option<&str>, range: RangeInclusive<T>) -> Result<Option<T>>
where
    T: FromStr + PartialOrd + Display,
{
    let right = format!("a whole number from {} to {}", range.start(), range.end());
    parsed(name, value, &right, |text| {
        text.parse().ok().filter(|number| range.contains(number))
    })
}

fn entry_reply(business: Uuid, entry: &JournalEntry, accounts: &HashMap<Uuid, Account>) -> Value {
    let line = |line: &Line<Uuid>| {
        let account = accounts.get(&line.account);
        json!({
            "account": {
                "id": line.account,
                "stable_name": account.and_then(|account| account.stable_name.as_deref()),
                "name": account.map(|account| &account.kind.name),
            },
            "direction": line.side.name(),
            "amount": line.amount,
        })
    };
    json!({
        "type": "Ledger_Entry",
        "business_id": business,
        "entry_number": entry.number,
        "entry_type": entry.entry.entry_type.name(),
        "agent": "API",
        "entry_at": entry.entry.at,
        "date": entry.posted_at,
        "source_id": entry.entry.source,
        "invoice_payment_id": entry.payment,
        "reversal_of": entry.reversal_of,
        "reversed_by": entry.reversed_by,
        "line_items": entry.entry.lines.iter().map(line).collect::<Vec<_>>(),
    })
}

async fn trial_balance(State(app): State<Arc<App>>, params: Params, request: Request) -> Result {
    let balances = balances(&app, business_of(&params, &request)?).await?;
    let (mut debits, mut credits) = (0_i128, 0_i128);
    let accounts: Vec<Value> = balances
        .iter()
        .map(|balance| {
            // Each account stands on the side that it has more on, as in a trial balance on paper. The difference of two
            // numbers of 63 bits fits into 64.
            let net = balance.debits - balance.credits;
            debits += i128::from(net.max(0));
            credits += i128::from((-net).max(0));
            json!({
                "account": chart_account(&balance.account),
                "debits": balance.debits,
                "credits": balance.credits,
                "debit_balance": net.max(0),
                "credit_balance": (-net).max(0),
            })
        })
        .collect();
    answer(
        StatusCode::OK,
        &json!({
            "type": "Trial_Balance",
            "accounts": accounts,
            // Sums over all accounts may be more than JSON numbers of 64 bits hold; they're equal all the same.
            "total_debits": i64::try_from(debits).ok(),
            "total_credits": i64::try_from(credits).ok(),
            "is_balanced": debits == credits,
        }),
    )
}

async fn balances(app: &App, business: Uuid) -> Result<Vec<Balance>> {
    Ok(app.store.read(move |view| view.balances(business)).await?)
}

async fn check_books(State(app): State<Arc<App>>, request: Request) -> Result {
    query::none(request.uri())?;
    let faults = app.store.check().await?;
    answer(
        StatusCode::OK,
        &json!({"type": "Books_Check", "faults": faults}),
    )
}

/// Takes everything away, and fills the server as at its start.
async fn reset(State(app): State<Arc<App>>, request: Request) -> Result {
    query::none(request.uri())?;
    let (businesses, fixtures) = (app.businesses.clone(), app.fixtures.clone());
    app.store
        .write(Scope::Store, move |unit| {
            unit.reset()?;
            fill(unit, businesses.clone(), fixtures.clone())
        })
        .await?;
    answer(StatusCode::OK, &json!({"type": "Reset"}))
}
