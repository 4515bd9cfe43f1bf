//! What the server counts, for Prometheus.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, StatusCode};
use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

use super::refusal::Refusal;
use super::{App, query};

/// Seconds. A read takes well under a millisecond and a write waits for the disk; what takes longer than the last is a
/// body that is sent slowly, or a fault on demand.
const BUCKETS: [f64; 13] = [
    0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0,
];

/// The server's counters. Labels are of a fixed set, so that no request can make them more.
#[derive(Debug)]
pub(super) struct Metrics {
    registry: Registry,
    requests: Family<RequestLabels, Counter>,
    durations: Family<OperationLabels, Histogram>,
    in_flight: Gauge,
    rate_limited: Counter,
    faults: Family<OperationLabels, Counter>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RequestLabels {
    operation: &'static str,
    /// 0 for a request that got no reply.
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OperationLabels {
    operation: &'static str,
}

/// A request that is being answered. Counts as one that got no reply if it is dropped before.
pub(super) struct InFlight {
    app: Arc<App>,
    operation: &'static str,
    started: Instant,
    status: u16,
}

impl Metrics {
    pub(super) fn new() -> Metrics {
        let mut registry = Registry::with_prefix("layer_payments");
        let requests = Family::default();
        registry.register(
            "http_requests",
            "Requests by operation and status; status 0 got no reply, since the connection ended first",
            requests.clone(),
        );
        let histogram: fn() -> Histogram = || Histogram::new(BUCKETS);
        let durations = Family::new_with_constructor(histogram);
        registry.register_with_unit(
            "http_request_duration",
            "Time from the end of a request's headers to its reply",
            Unit::Seconds,
            durations.clone(),
        );
        let in_flight = Gauge::default();
        registry.register(
            "http_requests_in_flight",
            "Requests that are being answered",
            in_flight.clone(),
        );
        let rate_limited = Counter::default();
        registry.register(
            "http_requests_rate_limited",
            "Requests that the rate limit refused",
            rate_limited.clone(),
        );
        let faults = Family::default();
        registry.register(
            "faults",
            "Requests that met a fault on demand",
            faults.clone(),
        );
        Metrics {
            registry,
            requests,
            durations,
            in_flight,
            rate_limited,
            faults,
        }
    }

    /// All counters in the form that Prometheus reads.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        // Only what is written to can fail, and a `String` doesn't.
        let _ = prometheus_text::encode(&mut text, &self.registry);
        text
    }

    pub(super) fn rate_limited(&self) {
        self.rate_limited.inc();
    }

    pub(super) fn fault(&self, operation: &'static str) {
        self.faults
            .get_or_create(&OperationLabels { operation })
            .inc();
    }
}

impl InFlight {
    pub(super) fn new(app: Arc<App>, operation: &'static str) -> InFlight {
        app.metrics.in_flight.inc();
        InFlight {
            app,
            operation,
            started: Instant::now(),
            status: 0,
        }
    }

    /// Ends with a reply. Tells how long it took.
    pub(super) fn answered(mut self, status: StatusCode) -> Duration {
        self.status = status.as_u16();
        self.started.elapsed()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let metrics = &self.app.metrics;
        let operation = self.operation;
        metrics.in_flight.dec();
        let labels = RequestLabels {
            operation,
            status: self.status,
        };
        metrics.requests.get_or_create(&labels).inc();
        let durations = metrics
            .durations
            .get_or_create(&OperationLabels { operation });
        durations.observe(self.started.elapsed().as_secs_f64());
    }
}

/// `metrics`
pub(super) async fn metrics(
    State(app): State<Arc<App>>,
    request: Request,
) -> Result<([(HeaderName, &'static str); 1], String), Refusal> {
    query::none(request.uri())?;
    let text = app.metrics.text();
    let media_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(CONTENT_TYPE, media_type)], text))
}
