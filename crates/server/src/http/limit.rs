//! The rate limit: one bucket of request tokens for the whole server, as Layer has one for the whole API.
//!
//! Layer's bucket is refilled once a second, starts with a number of tokens of its own, and tells what is left and when
//! it is refilled. The kept crates for rate limits (`governor`) let tokens drip in evenly and start full, and so would
//! tell clients something else; what is needed is small enough to stand here.

use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::clock::Clock;

/// How many requests the server takes: Layer's token bucket.
///
/// The bucket holds a request token for each request that may still be made. It is filled up at every full second of the
/// clock, and a request takes one token; all clients share it. Requests to `/healthz`, `/metrics`, `/docs` and the like
/// take none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// The tokens of a full bucket, which are the requests of a second.
    pub(crate) capacity: u32,
    /// The tokens at the start.
    pub(crate) initial: u32,
}

impl RateLimit {
    /// What Layer's sandbox has: 100 requests a second, and 100 at the start.
    pub const SANDBOX: RateLimit = RateLimit::new(100, 100);

    /// What Layer's production has: 500 requests a second, and 100 at the start.
    pub const PRODUCTION: RateLimit = RateLimit::new(500, 100);

    /// So many requests a second, and so many until the first full second. Layer has routes whose bucket starts with
    /// more than it is refilled to; that is possible here too.
    pub const fn new(per_second: u32, initial: u32) -> RateLimit {
        RateLimit {
            capacity: per_second,
            initial,
        }
    }
}

/// The bucket of a server.
#[derive(Debug)]
pub(super) struct Bucket {
    limit: RateLimit,
    clock: Clock,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    tokens: u32,
    /// The second, since 1970, of the last refill.
    second: u64,
}

/// What is in the bucket, for the headers of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    limit: u32,
    remaining: u32,
    /// The second, since 1970, of the next refill.
    reset: u64,
}

/// There is no token left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Bucket {
    pub(super) fn new(limit: RateLimit, clock: Clock) -> Bucket {
        let level = Mutex::new(Level {
            tokens: limit.initial,
            second: clock.since_1970().as_secs(),
        });
        Bucket {
            limit,
            clock,
            level,
        }
    }

    /// Takes a token, unless `free`, and tells what is left.
    pub(super) fn take(&self, free: bool) -> (Standing, Result<(), Exhausted>) {
        let second = self.clock.since_1970().as_secs();
        // The level is two numbers, right at any moment, so a panic elsewhere doesn't spoil it.
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        // Any other second, since a clock that was set back would else refill nothing until it has caught up.
        if second != level.second {
            level.second = second;
            level.tokens = self.limit.capacity;
        }
        let taken = if free {
            Ok(())
        } else if let Some(tokens) = level.tokens.checked_sub(1) {
            level.tokens = tokens;
            Ok(())
        } else {
            Err(Exhausted)
        };
        let standing = Standing {
            limit: self.limit.capacity,
            remaining: level.tokens,
            reset: second + 1,
        };
        (standing, taken)
    }
}

impl Standing {
    pub(super) fn write(self, headers: &mut HeaderMap) {
        for (name, value) in [
            ("x-ratelimit-limit", u64::from(self.limit)),
            ("x-ratelimit-remaining", u64::from(self.remaining)),
            ("x-ratelimit-reset", self.reset),
        ] {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::{Duration, SystemTime};

    use super::*;

    fn bucket(limit: RateLimit) -> (Arc<AtomicU64>, Bucket) {
        let milliseconds = Arc::new(AtomicU64::new(10_700));
        let time = Arc::clone(&milliseconds);
        let clock = Clock::new(move || {
            SystemTime::UNIX_EPOCH + Duration::from_millis(time.load(Ordering::Relaxed))
        });
        (milliseconds, Bucket::new(limit, clock))
    }

    /// How many requests are taken before one is refused.
    fn empty(bucket: &Bucket) -> usize {
        (0..).find(|_| bucket.take(false).1.is_err()).unwrap()
    }

    #[test]
    fn the_presets_are_layers() {
        for (limit, first, second) in [
            (RateLimit::SANDBOX, 100, 100),
            (RateLimit::PRODUCTION, 100, 500),
            (RateLimit::new(20, 40), 40, 20),
            (RateLimit::new(0, 0), 0, 0),
        ] {
            let (time, bucket) = bucket(limit);
            assert_eq!(empty(&bucket), first);
            // Nothing drips in before the second is full.
            time.store(10_999, Ordering::Relaxed);
            assert_eq!(empty(&bucket), 0);
            time.store(11_000, Ordering::Relaxed);
            assert_eq!(empty(&bucket), second);
            // What isn't used is not saved up, however long.
            time.store(20_000, Ordering::Relaxed);
            assert_eq!(empty(&bucket), second);
            // A clock that is set back.
            time.store(5_000, Ordering::Relaxed);
            assert_eq!(empty(&bucket), second);
        }
    }

    #[test]
    fn what_is_told_is_what_is_left() {
        let (_, bucket) = bucket(RateLimit::new(3, 2));
        let standing = |remaining| Standing {
            limit: 3,
            remaining,
            reset: 11,
        };
        assert_eq!(bucket.take(true), (standing(2), Ok(())));
        assert_eq!(bucket.take(false), (standing(1), Ok(())));
        assert_eq!(bucket.take(false), (standing(0), Ok(())));
        assert_eq!(bucket.take(false), (standing(0), Err(Exhausted)));
        assert_eq!(bucket.take(true), (standing(0), Ok(())));
    }
}
