//! What a program can do with a server that runs in it, beside sending it requests.

use std::sync::Arc;

use super::App;
use super::faults::{FaultRule, InvalidFaults};
use crate::error::{Error, Kind};

/// A way to a server in the same process, from [`Server::handle`](crate::Server::handle). Good while the server runs;
/// cloning is cheap.
#[derive(Clone, Debug)]
pub struct Handle {
    app: Arc<App>,
}

impl Handle {
    pub(super) fn new(app: Arc<App>) -> Handle {
        Handle { app }
    }

    /// Checks the books as [`check_books`](crate::check_books) does those of a file, beside the requests that are
    /// answered. Gives a line for each fault; none if the books are in order. Needs a Tokio runtime.
    ///
    /// # Errors
    ///
    /// If they can't be read to their end, or the server has stopped.
    pub async fn check_books(&self) -> Result<Vec<String>, Error> {
        Ok(self.app.store.check().await.map_err(Kind::Books)?)
    }

    /// Replaces all fault rules, as `PUT /local/faults` does, and counts requests from 0 again. The first rule that
    /// strikes a request decides. None: requests can still ask for a fault in their header.
    ///
    /// # Errors
    ///
    /// If the server doesn't allow faults ([`Config::faults`](crate::Config::faults)) or a rule isn't right; the rules
    /// before stay then.
    pub fn set_faults<R: Into<FaultRule>>(
        &self,
        seed: u64,
        rules: impl IntoIterator<Item = R>,
    ) -> Result<(), InvalidFaults> {
        let rules = rules.into_iter().map(Into::into).collect();
        self.app.faults.set(seed, rules)
    }

    /// How many requests each fault rule has struck since the rules were set.
    pub fn faults_struck(&self) -> Vec<u64> {
        self.app.faults.struck()
    }

    /// What `/metrics` gives: counters for Prometheus.
    pub fn metrics(&self) -> String {
        self.app.metrics.text()
    }
}
