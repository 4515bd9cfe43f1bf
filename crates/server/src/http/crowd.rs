//! How many connections there are, and which of them may be closed for others.
//!
//! A connection takes a file of the process, of which the system gives it so many. Without a limit of its own the server
//! would run out of them, for its database too, and clients that say nothing would lock out all others until their time
//! is up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long a connection may stay idle while its place is wanted.
const LONGEST_IDLE: Duration = Duration::from_secs(2);

/// Files that connections leave to the database, the log and the listener.
#[cfg(unix)]
const OTHER_FILES: u64 = 64;

/// So many connections as are asked for, or as the process can open files for; one at least.
pub(super) fn most_connections(wanted: usize) -> usize {
    let most = wanted.max(1);
    #[cfg(unix)]
    if let Some(files) = rustix::process::getrlimit(rustix::process::Resource::Nofile).current {
        let room = files.saturating_sub(OTHER_FILES).max(1);
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        if room < most {
            tracing::warn!(
                files,
                connections = room,
                "the process may open too few files for so many connections; raise its limit"
            );
            return room;
        }
    }
    most
}

/// Whether there are nearly as many connections as there may be.
#[derive(Debug)]
pub(super) struct Crowd {
    most: usize,
    is_dense: watch::Sender<bool>,
}

/// A connection's place in the crowd.
#[derive(Debug)]
pub(super) struct Place(watch::Receiver<bool>);

impl Crowd {
    pub(super) fn new(most: usize) -> Crowd {
        Crowd {
            most,
            is_dense: watch::channel(false).0,
        }
    }

    pub(super) fn place(&self) -> Place {
        Place(self.is_dense.subscribe())
    }

    /// Tells how many connections there are now.
    pub(super) fn counts(&self, connections: usize) {
        // A quarter is kept for those that come, so that most find a place before any is full.
        let dense = connections > self.most - self.most.div_ceil(4);
        self.is_dense.send_if_modified(|was| {
            let differs = *was != dense;
            *was = dense;
            differs
        });
    }
}

impl Place {
    /// Ready once others want the place and the connection has been idle for long enough.
    pub(super) async fn wanted_while_idle(mut self, activity: &Activity) {
        loop {
            if self.0.wait_for(|is_dense| *is_dense).await.is_err() {
                // The server stops, and tells connections so in another way.
                return std::future::pending().await;
            }
            let idle = activity.idle().unwrap_or_default();
            let Some(rest) = LONGEST_IDLE
                .checked_sub(idle)
                .filter(|rest| !rest.is_zero())
            else {
                return;
            };
            tokio::time::sleep(rest).await;
        }
    }
}

/// What a connection does, to tell whether it is idle. Clones are of the same connection.
#[derive(Clone, Debug)]
pub(super) struct Activity(Arc<Mutex<Doing>>);

#[derive(Debug)]
struct Doing {
    /// A request was taken and isn't answered yet. Its body may still be on the way.
    is_answering: bool,
    /// A reply waits for the client to read.
    is_writing: bool,
    /// When either ended, or the connection began.
    since: Instant,
}

/// A request that was taken. Ends when it is dropped.
pub(super) struct Busy(Activity);

impl Default for Activity {
    fn default() -> Activity {
        Activity(Arc::new(Mutex::new(Doing {
            is_answering: false,
            is_writing: false,
            since: Instant::now(),
        })))
    }
}

impl Activity {
    fn change(&self, change: impl FnOnce(&mut Doing)) {
        let mut doing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut doing);
        doing.since = Instant::now();
    }

    /// Says that a request was taken.
    pub(super) fn busy(&self) -> Busy {
        self.change(|doing| doing.is_answering = true);
        Busy(self.clone())
    }

    /// Says that something was written, or has to wait.
    pub(super) fn wrote(&self, waits: bool) {
        self.change(|doing| doing.is_writing = waits);
    }

    /// How long the connection has been waiting for a request. `None` if it isn't.
    fn idle(&self) -> Option<Duration> {
        let doing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        (!doing.is_answering && !doing.is_writing).then(|| doing.since.elapsed())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.change(|doing| doing.is_answering = false);
    }
}
