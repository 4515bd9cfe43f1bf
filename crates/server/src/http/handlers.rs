//! The operations: from a request to a reply.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use jiff::Timestamp;
use layer_payments_types::{
    Field, Idempotency, IdempotencyOutcome, ListMeta, PageOrder, Pagination, SortOrder, WriteMeta,
};
use layer_payments_validation::{Context, read_bulk, read_create, read_update};
use serde::Serialize;
use serde_json::Map;
use uuid::Uuid;

use super::outer::drain;
use super::refusal::Refusal;
use super::{App, body, cursor, query};
use crate::domain::books;
use crate::store::{self, Scope, Wants};
use crate::text::shortened;

pub(super) type Params = Result<RawPathParams, RawPathParamsRejection>;

/// `list_invoice_payments`
pub(super) async fn list(
    State(app): State<Arc<App>>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    let query = query::list(path_id(&params, "businessId")?, request.uri())?;
    let (query, page) = app
        .store
        .read(move |view| {
            let page = view.page(&query)?;
            Ok((query, page))
        })
        .await?;
    let pagination = Pagination {
        sort_by: Field::Value(query.sort_by.to_string()),
        sort_order: Some(match query.sort_order {
            SortOrder::Asc => PageOrder::Asc,
            SortOrder::Desc => PageOrder::Desc,
        }),
        cursor: page.next.map(|last| cursor::encode(last, &query)).into(),
        has_more: page.next.is_some(),
        total_count: page.total.map_or(Field::Absent, Field::Value),
        extra: Map::new(),
    };
    let meta = ListMeta {
        pagination: Field::Value(pagination),
        extra: Map::new(),
    };
    reply(StatusCode::OK, Data::Many(&page.documents), &meta)
}

/// `record_invoice_payment`
pub(super) async fn record(
    State(app): State<Arc<App>>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    let address = business_of(&params, &request);
    let (business, request) = or_drain(address, request).await?;
    let context = Context::at(Timestamp::now());
    let (payment, _held) = body::read(request, &app.body_limit, move |body| {
        read_create(body, &context)
    })
    .await?;
    let recorded = app
        .store
        .write(
            Scope::Payments(business, Wants::of(std::slice::from_ref(&payment))),
            move |unit| books::record(&mut *unit.books(business)?, payment.clone()),
        )
        .await?;
    let status = match recorded.outcome {
        IdempotencyOutcome::Created => StatusCode::CREATED,
        _ => StatusCode::OK,
    };
    let meta = write_meta(vec![recorded.outcome]);
    reply(status, Data::One(&recorded.document), &meta)
}

/// `bulk_create_invoice_payments`
pub(super) async fn bulk(
    State(app): State<Arc<App>>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    let address = business_of(&params, &request);
    let (business, request) = or_drain(address, request).await?;
    let context = Context::at(Timestamp::now()).with_bulk_limit(app.bulk_limit);
    let (payments, _held) = body::read(request, &app.body_limit, move |body| {
        read_bulk(body, &context)
    })
    .await?;
    let recorded = app
        .store
        .write(
            Scope::Payments(business, Wants::of(&payments)),
            move |unit| books::record_all(&mut *unit.books(business)?, payments.clone()),
        )
        .await?;
    let (documents, outcomes): (Vec<String>, Vec<IdempotencyOutcome>) = recorded
        .into_iter()
        .map(|recorded| (recorded.document, recorded.outcome))
        .unzip();
    reply(
        StatusCode::OK,
        Data::Many(&documents),
        &write_meta(outcomes),
    )
}

/// `update_invoice_payment`
pub(super) async fn update(
    State(app): State<Arc<App>>,
    params: Params,
    request: Request,
) -> Result<Response, Refusal> {
    let address = business_of(&params, &request)
        .and_then(|business| Ok((business, path_id(&params, "paymentId")?)));
    let ((business, id), request) = or_drain(address, request).await?;
    let context = Context::at(Timestamp::now());
    let (update, _held) = body::read(request, &app.body_limit, move |body| {
        read_update(body, None, &context)
    })
    .await?;
    let result = app
        .store
        .write(
            Scope::Payments(business, Wants::of_update(id, &update)),
            move |unit| {
                // An error takes back what looking for the payment may have registered.
                books::update(&mut *unit.books(business)?, id, update.clone())?
                    .ok_or(store::Error::NoPayment)
            },
        )
        .await;
    match result {
        Ok(document) => reply(
            StatusCode::OK,
            Data::One(&document),
            &WriteMeta {
                idempotency: Field::Absent,
                extra: Map::new(),
            },
        ),
        Err(store::Error::NoPayment) => Err(Refusal::no_payment(id)),
        Err(error) => Err(error.into()),
    }
}

/// The business that a write is for. Refuses a query string, which writes don't have.
pub(super) fn business_of(params: &Params, request: &Request) -> Result<Uuid, Refusal> {
    query::none(request.uri())?;
    path_id(params, "businessId")
}

/// Goes on with a request whose address is right, or reads the body of one that is refused for it.
pub(super) async fn or_drain<T>(
    address: Result<T, Refusal>,
    request: Request,
) -> Result<(T, Request), Refusal> {
    match address {
        Ok(address) => Ok((address, request)),
        Err(refusal) => {
            drain(request).await;
            Err(refusal)
        }
    }
}

/// A UUID of the path, in the form with hyphens.
pub(super) fn path_id(params: &Params, name: &str) -> Result<Uuid, Refusal> {
    let text = params
        .as_ref()
        .ok()
        .and_then(|params| params.iter().find(|(known, _)| *known == name))
        .map_or("", |(_, value)| value);
    // The parser knows forms without hyphens too; one business has one address.
    (text.len() == 36)
        .then(|| Uuid::try_parse(text).ok())
        .flatten()
        .ok_or_else(|| {
            Refusal::malformed(
                "path-malformed",
                format!(
                    "{:?} in the path isn't a UUID; give the {name} as one, such as \
                     3a9c378e-dc02-4700-9158-f629d632a83b.",
                    shortened(text)
                ),
            )
        })
}

fn write_meta(outcomes: Vec<IdempotencyOutcome>) -> WriteMeta {
    WriteMeta {
        idempotency: Field::Value(Idempotency {
            outcomes: Some(outcomes),
            extra: Map::new(),
        }),
        extra: Map::new(),
    }
}

/// What a reply is about: documents that are JSON already.
pub(super) enum Data<'a> {
    One(&'a str),
    Many(&'a [String]),
}

/// Writes the envelope around documents, which are copied and not decoded again.
pub(super) fn reply<M: Serialize>(
    status: StatusCode,
    data: Data<'_>,
    meta: &M,
) -> Result<Response, Refusal> {
    let meta = serde_json::to_string(meta).map_err(store::Error::from)?;
    let documents = match data {
        Data::One(document) => document.len(),
        Data::Many(documents) => documents.iter().map(|document| document.len() + 1).sum(),
    };
    let mut body = String::with_capacity(documents + meta.len() + 24);
    body.push_str("{\"data\":");
    match data {
        Data::One(document) => body.push_str(document),
        Data::Many(documents) => {
            body.push('[');
            for (index, document) in documents.iter().enumerate() {
                if index > 0 {
                    body.push(',');
                }
                body.push_str(document);
            }
            body.push(']');
        }
    }
    body.push_str(",\"meta\":");
    body.push_str(&meta);
    body.push('}');
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}
