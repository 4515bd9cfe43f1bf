//! All routes in one table: those of the public API, from its specification, and those beside it.
//!
//! The table is what the router is built from, and what the layers around it ask about a request. `spec/local.yaml`
//! describes the routes beside the public API, and a test compares the two.

use std::sync::{Arc, LazyLock};

use axum::http::Method;
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use layer_payments_types::Operation;

use super::{App, auth, docs, faults, handlers, health, local, metrics};

/// A method of a path, and what is to be known about it before it is handled.
#[derive(Debug)]
pub(super) struct Route {
    /// The `operationId` of its specification.
    pub(super) id: &'static str,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) access: Access,
    pub(super) purpose: Purpose,
    pub(super) handler: fn() -> MethodRouter<Arc<App>>,
}

/// Whom a route answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Everyone, without a token.
    Anyone,
    /// Whoever has a token; one of a business only for that business.
    Business,
    /// Whoever has a token that isn't limited to a business.
    Everything,
}

/// What a route is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Clients of Layer call it: the rate limit counts it, and faults can be made in it.
    Layer,
    /// Whoever runs or tests the server calls it.
    Server,
}

/// The routes beside the public API.
static BESIDE: &[Route] = &[
    Route {
        id: "issue_token",
        method: "POST",
        path: "/oauth2/token",
        access: Access::Anyone,
        purpose: Purpose::Layer,
        handler: || post(auth::oauth::token),
    },
    Route {
        id: "create_business_auth_token",
        method: "POST",
        path: "/v1/businesses/{businessId}/auth-token",
        access: Access::Everything,
        purpose: Purpose::Layer,
        handler: || post(auth::business_token),
    },
    Route {
        id: "whoami",
        method: "GET",
        path: "/whoami",
        access: Access::Business,
        purpose: Purpose::Layer,
        handler: || get(auth::whoami),
    },
    Route {
        id: "get_faults",
        method: "GET",
        path: "/local/faults",
        access: Access::Everything,
        purpose: Purpose::Server,
        handler: || get(faults::get),
    },
    Route {
        id: "put_faults",
        method: "PUT",
        path: "/local/faults",
        access: Access::Everything,
        purpose: Purpose::Server,
        handler: || put(faults::put),
    },
    Route {
        id: "delete_faults",
        method: "DELETE",
        path: "/local/faults",
        access: Access::Everything,
        purpose: Purpose::Server,
        handler: || delete(faults::delete),
    },
    Route {
        id: "healthz",
        method: "GET",
        path: "/healthz",
        access: Access::Anyone,
        purpose: Purpose::Server,
        handler: || get(health::healthz),
    },
    Route {
        id: "metrics",
        method: "GET",
        path: "/metrics",
        access: Access::Everything,
        purpose: Purpose::Server,
        handler: || get(metrics::metrics),
    },
    Route {
        id: "docs",
        method: "GET",
        path: "/docs",
        access: Access::Anyone,
        purpose: Purpose::Server,
        handler: || get(docs::public_page),
    },
    Route {
        id: "docs_local",
        method: "GET",
        path: "/docs/local",
        access: Access::Anyone,
        purpose: Purpose::Server,
        handler: || get(docs::local_page),
    },
    Route {
        id: "openapi_yaml",
        method: "GET",
        path: "/openapi.yaml",
        access: Access::Anyone,
        purpose: Purpose::Server,
        handler: || get(docs::public_yaml),
    },
    Route {
        id: "openapi_json",
        method: "GET",
        path: "/openapi.json",
        access: Access::Anyone,
        purpose: Purpose::Server,
        handler: || get(docs::public_json),
    },
    Route {
        id: "openapi_local_yaml",
        method: "GET",
        path: "/local/openapi.yaml",
        access: Access::Anyone,
        purpose: Purpose::Server,
        handler: || get(docs::local_yaml),
    },
    Route {
        id: "openapi_local_json",
        method: "GET",
        path: "/local/openapi.json",
        access: Access::Anyone,
        purpose: Purpose::Server,
        handler: || get(docs::local_json),
    },
];

static PUBLIC: LazyLock<Vec<Route>> = LazyLock::new(|| {
    let route = |operation: Operation| Route {
        id: operation.id(),
        method: operation.method(),
        path: operation.path(),
        access: Access::Business,
        purpose: Purpose::Layer,
        handler: handler(operation),
    };
    Operation::ALL.into_iter().map(route).collect()
});

/// Where an operation is handled. A new operation in the specification is an error here until it has a place.
fn handler(operation: Operation) -> fn() -> MethodRouter<Arc<App>> {
    match operation {
        Operation::ListInvoicePayments => || get(handlers::list),
        Operation::RecordInvoicePayment => || post(handlers::record),
        Operation::BulkCreateInvoicePayments => || post(handlers::bulk),
        Operation::UpdateInvoicePayment => || patch(handlers::update),
    }
}

/// All routes.
pub(super) fn all() -> impl Iterator<Item = &'static Route> {
    PUBLIC.iter().chain(BESIDE).chain(local::ROUTES)
}

/// The route that a request was matched with: by the path as the router has it, and the method.
pub(super) fn find(path: &str, method: &Method) -> Option<&'static Route> {
    // Where there is a GET there is a HEAD.
    let method = match method.as_str() {
        "HEAD" => "GET",
        method => method,
    };
    all().find(|route| route.path == path && route.method == method)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn the_routes_beside_the_public_api_are_those_of_their_specification() {
        let text = include_str!("docs/local.yaml");
        let spec: Value = serde_saphyr::from_str(text).unwrap();
        let mut described = BTreeSet::new();
        for (path, item) in spec["paths"].as_object().unwrap() {
            for (method, operation) in item.as_object().unwrap() {
                if method == "parameters" {
                    continue;
                }
                let id = operation["operationId"].as_str().unwrap().to_owned();
                let open = operation["security"] == serde_json::json!([]);
                described.insert((id, method.to_uppercase(), path.clone(), open));
            }
        }
        let served: BTreeSet<_> = BESIDE
            .iter()
            .chain(local::ROUTES)
            .map(|route| {
                let open = route.access == Access::Anyone;
                let names = [route.id, route.method, route.path].map(str::to_owned);
                let [id, method, path] = names;
                (id, method, path, open)
            })
            .collect();
        assert_eq!(described, served);
    }

    #[test]
    fn ids_are_unique() {
        let ids: BTreeSet<_> = all().map(|route| route.id).collect();
        assert_eq!(ids.len(), all().count());
    }
}
