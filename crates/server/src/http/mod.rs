//! The server's face: routes, and what stands before and around them.

mod auth;
mod body;
mod connection;
mod crowd;
mod cursor;
mod docs;
mod faults;
mod handle;
mod handlers;
mod health;
mod limit;
mod local;
mod metrics;
mod outer;
mod query;
mod refusal;
mod routes;
mod wire;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware;
use axum::serve::Listener;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use uuid::Uuid;

use self::auth::{Auth, authenticate};
use self::crowd::Crowd;
use self::faults::Faults;
pub use self::faults::{FaultRule, InvalidFaults};
pub use self::handle::Handle;
use self::limit::Bucket;
pub use self::limit::RateLimit;
use self::metrics::Metrics;
use self::refusal::Refusal;
use self::routes::Purpose;
use crate::config::{Config, Database};
use crate::domain::payment::whole_microseconds;
use crate::error::{Error, Kind};
use crate::fixtures::Fixtures;
use crate::store::{self, Policy, Scope, Store, Unit};

/// What every request handler needs.
#[derive(Debug)]
struct App {
    store: Store,
    auth: Auth,
    limit: Option<Bucket>,
    faults: Faults,
    metrics: Metrics,
    bulk_limit: usize,
    body_limit: body::Limit,
    /// What the server is filled with at its start, and when it is reset.
    businesses: Vec<Uuid>,
    fixtures: Option<Fixtures>,
}

impl App {
    async fn new(config: Config) -> Result<App, Error> {
        let clock = config.clock;
        let limit = config.rate_limit;
        let policy = Policy {
            strict_invoices: config.strict_invoices,
        };
        let store = open(config.database, policy).await?;
        let (businesses, fixtures) = (config.businesses.clone(), config.fixtures.clone());
        store
            .write(Scope::Store, move |unit| {
                fill(unit, businesses.clone(), fixtures.clone())
            })
            .await
            .map_err(Kind::Fill)?;
        let mut drawn = [0; 64];
        getrandom::fill(&mut drawn).map_err(Kind::Random)?;
        let key = store.token_key(drawn).await.map_err(Kind::TokenKey)?;
        Ok(App {
            auth: Auth::new(
                config.token,
                config.clients,
                key,
                config.token_lifetime,
                clock.clone(),
            ),
            limit: limit.map(|limit| Bucket::new(limit, clock)),
            faults: Faults::new(config.faults),
            metrics: Metrics::new(),
            bulk_limit: config.bulk_limit,
            body_limit: body::Limit {
                bytes: config.body_limit,
                time: config.body_timeout,
                room: body::Room::new(config.bodies_limit),
            },
            store,
            businesses: config.businesses,
            fixtures: config.fixtures,
        })
    }
}

/// A server that listens: clients that connect are served once it [runs](Server::run).
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listener: TcpListener,
    local_addr: SocketAddr,
    head_timeout: Duration,
    connections: usize,
    shutdown_timeout: Duration,
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
        let head_timeout = config.head_timeout;
        let connections = crowd::most_connections(config.connections);
        let shutdown_timeout = config.shutdown_timeout;
        Ok(Server {
            app: Arc::new(App::new(config).await?),
            listener,
            local_addr,
            head_timeout,
            connections,
            shutdown_timeout,
        })
    }

    /// The address that the server listens on.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// A way to the server for the program that runs it.
    pub fn handle(&self) -> Handle {
        Handle::new(Arc::clone(&self.app))
    }

    /// Serves until `shutdown` is ready, then takes no further connection, finishes the requests that it took (a client
    /// that doesn't finish its own within [`Config::shutdown_timeout`] is cut off), closes the database and returns.
    ///
    /// # Errors
    ///
    /// None so far: a connection that can't be accepted is logged and tried again, since that passes or concerns that
    /// client alone.
    pub async fn run(
        self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), Error> {
        let Server {
            app,
            mut listener,
            head_timeout,
            connections: most,
            shutdown_timeout,
            ..
        } = self;
        let router = router(Arc::clone(&app));
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(head_timeout)
            .max_buf_size(wire::HEAD_LIMIT);
        let mut shutdown = std::pin::pin!(shutdown);
        let (stop, stopped) = watch::channel(());
        let crowd = Crowd::new(most);
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                () = &mut shutdown => break,
                // Whoever comes when all places are taken waits in the system's queue.
                (stream, _) = Listener::accept(&mut listener), if connections.len() < most => {
                    let place = crowd.place();
                    let serving = connection::serve(stream, protocol.clone(), router.clone(), stopped.clone(), place);
                    connections.spawn(serving);
                }
                // Ended connections are let go as they end.
                Some(_) = connections.join_next() => {}
            }
            crowd.counts(connections.len());
        }
        drop(listener);
        // Each connection has a receiver of its own; if there is none left, there is nothing to tell.
        let _ = stop.send(());
        let finishing = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(shutdown_timeout, finishing)
            .await
            .is_err()
        {
            tracing::warn!("cut off clients that did not finish their requests");
            connections.shutdown().await;
        }
        app.store.close().await;
        Ok(())
    }
}

async fn open(database: Database, policy: Policy) -> Result<Store, Error> {
    Store::open(database.clone(), policy)
        .await
        .map_err(|source| Kind::open(&database, source).into())
}

/// Fills the books with what there is to be from the start. What is there already stays.
fn fill(
    unit: &mut dyn Unit,
    businesses: Vec<Uuid>,
    fixtures: Option<Fixtures>,
) -> Result<(), store::Error> {
    for id in businesses {
        unit.register_business(id)?;
    }
    let all = fixtures
        .into_iter()
        .flat_map(|fixtures| fixtures.businesses);
    for (index, fixtures) in all.enumerate() {
        let (id, closing_date) = (fixtures.id, fixtures.closing_date);
        let (business, _) = unit.create_business(&fixtures.business)?;
        crate::domain::local::fill(&mut *unit.books(id)?, fixtures, |part, error| {
            let store::Error::Refused(mut refusals) = error else {
                return error;
            };
            for refusal in &mut refusals {
                refusal
                    .pointer
                    .insert_str(0, &format!("/businesses/{index}{part}"));
            }
            store::Error::Refused(refusals)
        })?;
        if business.closing_date.is_none() && closing_date.is_some() {
            unit.close_until(id, closing_date.map(whole_microseconds))?;
        }
    }
    Ok(())
}

fn router(app: Arc<App>) -> Router {
    let mut router = Router::new();
    for route in routes::all() {
        let mut handler = (route.handler)();
        if route.purpose == Purpose::Layer {
            let state = (Arc::clone(&app), route.id);
            handler = handler.route_layer(middleware::from_fn_with_state(state, faults::meet));
        }
        // Outside of the faults: only who may send a request can break it.
        let state = (Arc::clone(&app), route.access);
        handler = handler.route_layer(middleware::from_fn_with_state(state, authenticate));
        router = router.route(route.path, handler);
    }
    router
        .fallback(unknown_route)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(&app),
            outer::answer,
        ))
        .with_state(app)
}

async fn unknown_route(request: Request) -> Refusal {
    let refusal = Refusal::unknown_route(request.uri());
    outer::drain(request).await;
    refusal
}

async fn wrong_method(request: Request) -> Refusal {
    let refusal = Refusal::wrong_method(request.uri().path());
    outer::drain(request).await;
    refusal
}
