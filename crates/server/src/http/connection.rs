//! One connection: served until it ends, the server stops, or a fault cuts it.

use std::sync::Arc;

use axum::Router;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};

use super::crowd::{Activity, Place};
use super::wire::Wire;

/// Cuts the connection that a request came by. Every request has its connection's among its extensions.
#[derive(Clone, Debug, Default)]
pub(super) struct Cutter(Arc<Notify>);

impl Cutter {
    /// Resets the connection. Never returns: whoever waits for the request's reply is gone with it.
    pub(super) async fn cut<T>(self) -> T {
        self.0.notify_one();
        std::future::pending().await
    }
}

/// Serves a connection until it ends, until the request at hand is answered once `stopped` says so, or until it is idle
/// and its place is wanted.
pub(super) async fn serve(
    stream: TcpStream,
    protocol: http1::Builder,
    router: Router,
    mut stopped: watch::Receiver<()>,
    place: Place,
) {
    // Replies are written in one piece, so waiting to fill a packet only delays them. A failure costs speed.
    let _ = stream.set_nodelay(true);
    let cutter = Cutter::default();
    let router = TowerToHyperService::new(router);
    let activity = Activity::default();
    let service = service_fn(|mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(cutter.clone());
        let busy = activity.busy();
        let answering = router.call(request);
        async move {
            let answer = answering.await;
            drop(busy);
            answer
        }
    });
    let mut connection = protocol.serve_connection(Wire::new(stream, activity.clone()), service);
    let mut wanted = std::pin::pin!(place.wanted_while_idle(&activity));
    let mut stopping = false;
    let ended = loop {
        tokio::select! {
            ended = &mut connection => break ended,
            () = cutter.0.notified() => {
                let stream = connection.into_parts().io.into_inner();
                // So the client sees a reset and not an end, which some take for an empty reply.
                if let Err(error) = stream.set_zero_linger() {
                    tracing::debug!(error = &error as &dyn std::error::Error, "closed, not reset");
                }
                return;
            }
            // A client that is about to send a request finds the connection closed, as at any server that closes idle ones.
            () = &mut wanted => return,
            _ = stopped.changed(), if !stopping => {
                stopping = true;
                std::pin::Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if let Err(error) = ended {
        // The client went away, or sent something else than HTTP, or nothing for too long.
        tracing::debug!(error = &error as &dyn std::error::Error, "connection ended");
        connection.into_parts().io.close().await;
    }
}
