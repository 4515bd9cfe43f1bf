//! The server's face: routes, and what stands before and around them.

mod body;
mod cursor;
mod handlers;
mod outer;
mod query;
mod refusal;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::routing::{MethodRouter, get, patch, post};
use axum::serve::ListenerExt;
use layer_payments_types::Operation;
use tokio::net::TcpListener;

use self::refusal::Refusal;
use crate::config::{Config, Database, Token};
use crate::error::{Error, Kind};
use crate::store::Store;

/// How long connections may take to finish once the server is told to stop. Requests are answered in milliseconds, so
/// only a client that stopped sending is cut off.
const GRACE: Duration = Duration::from_secs(30);

/// What every request handler needs.
#[derive(Debug)]
struct App {
    store: Store,
    token: Token,
    bulk_limit: usize,
    body_limit: usize,
}

/// A server that listens: clients that connect are served once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    local_addr: SocketAddr,
}

impl Server {
    /// Opens the database, bringing its schema up to date, and listens on `address`. Port 0 takes a free port, which
    /// [`local_addr`](Server::local_addr) tells.
    ///
    /// # Errors
    ///
    /// If the address is in use or may not be used, or the database can't be opened: the file isn't a database or is
    /// another program's, it was written by a newer release, or it can't be written to.
    pub async fn bind(config: Config, address: SocketAddr) -> Result<Server, Error> {
        let listen_error = |source| Kind::Listen { address, source };
        let listener = TcpListener::bind(address).await.map_err(listen_error)?;
        let local_addr = listener.local_addr().map_err(listen_error)?;
        let Config {
            database,
            token,
            bulk_limit,
            body_limit,
        } = config;
        let store = open(database).await?;
        Ok(Server {
            app: Arc::new(App {
                store,
                token,
                bulk_limit,
                body_limit,
            }),
            listener,
            local_addr,
        })
    }

    /// The address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Serves until `shutdown` is ready, then takes no further connection, finishes the requests that it took (a client
    /// that doesn't finish its own within 30 seconds is cut off), closes the database and returns.
    ///
    /// # Errors
    ///
    /// If the operating system ends the listening.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let (stopping, stopped) = tokio::sync::oneshot::channel::<()>();
        let listener = self.listener.tap_io(|connection| {
            // Replies are written in one piece, so waiting to fill a packet only delays them. A failure costs speed.
            let _ = connection.set_nodelay(true);
        });
        let serving = axum::serve(listener, router(Arc::clone(&self.app)))
            .with_graceful_shutdown(async move {
                shutdown.await;
                // The receiver is gone if serving ended by itself.
                let _ = stopping.send(());
            })
            .into_future();
        let cut_off = async {
            match stopped.await {
                Ok(()) => tokio::time::sleep(GRACE).await,
                Err(_) => std::future::pending().await,
            }
        };
        let result = tokio::select! {
            result = serving => result.map_err(Kind::Serve),
            () = cut_off => {
                tracing::warn!("cut off clients that did not finish their requests");
                Ok(())
            }
        };
        self.app.store.close().await;
        result.map_err(Error)
    }
}

async fn open(database: Database) -> Result<Store, Error> {
    let task = tokio::task::spawn_blocking(move || {
        Store::open(&database).map_err(|source| match database {
            Database::File(path) => Kind::OpenFile { path, source },
            Database::Memory => Kind::OpenMemory(source),
        })
    });
    Ok(task.await.map_err(|_| Kind::Panicked)??)
}

fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for operation in Operation::ALL {
        router = router.route(operation.path(), route(operation));
    }
    router
        .route_layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            outer::authenticate,
        ))
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn(outer::answer))
        .with_state(app)
}

/// Where an operation is handled. A new operation in the specification is an error here until it has a place.
fn route(operation: Operation) -> MethodRouter<Arc<App>> {
    match operation {
        Operation::ListInvoicePayments => get(handlers::list),
        Operation::RecordInvoicePayment => post(handlers::record),
        Operation::BulkCreateInvoicePayments => post(handlers::bulk),
        Operation::UpdateInvoicePayment => patch(handlers::update),
    }
}

async fn unknown_route(request: Request) -> Refusal {
    let refusal = Refusal::unknown_route(request.uri().path());
    outer::drain(request).await;
    refusal
}

async fn wrong_method(request: Request) -> Refusal {
    let refusal = Refusal::wrong_method(request.uri().path());
    outer::drain(request).await;
    refusal
}
