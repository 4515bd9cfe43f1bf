//! Pacing: how many tasks together stay under Layer's rate limit, before it has to refuse them.
//!
//! Layer has one bucket of request tokens for the whole API, which is filled up once a second. What
//! keeps under it is the generic cell rate algorithm: each request reserves the next place in a row
//! whose places are evenly apart, with a small burst. The kept crates for this (`governor`) bring
//! more than ten others along and know no pause, which is what a `Retry-After` asks of all tasks at
//! once; what is needed is small enough to stand here.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Keeps all calls of a client, of its clones, and of every other client that is given the same
/// limiter ([`Builder::rate_limiter`](crate::Builder::rate_limiter)) below a rate.
///
/// Clones share one row. What a 429 asks for with `Retry-After` holds for all calls that share the
/// limiter: none leaves before. So does an empty bucket (`X-RateLimit-Remaining: 0`) until it is
/// filled again, since another process may draw from it too.
///
/// A call waits for its place within its own time ([`Builder::timeout`](crate::Builder::timeout));
/// where the place lies beyond it, the call fails at once and takes none.
#[derive(Clone)]
pub struct RateLimiter(Arc<Mutex<Row>>);

/// The row of places.
#[derive(Debug)]
struct Row {
    /// Between two places; zero where only pauses limit.
    interval: Duration,
    /// How much earlier than its place a request may leave, which makes the burst.
    slack: Duration,
    /// The next place.
    next: Option<Instant>,
    /// Nothing leaves before this.
    paused_until: Option<Instant>,
}

/// Whether the place was one to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Waited(pub(crate) bool);

/// The place that a call wants lies beyond its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLate;

impl RateLimiter {
    /// For a bucket that is filled up to `capacity` request tokens once a second, as Layer's are:
    /// 100 in the sandbox, 500 in production. Source: Layer's page on rate limiting.
    ///
    /// Requests leave nine tenths as fast, and at most a tenth of the bucket at once, so that no
    /// second sees more than the bucket holds. Zero is taken for one.
    pub fn per_second(capacity: u32) -> RateLimiter {
        let capacity = capacity.max(1);
        let burst = capacity / 10;
        // Rounded up, so that the row is rather too slow than too fast.
        let interval = Duration::from_nanos(1_000_000_000_u64.div_ceil((capacity - burst).into()));
        RateLimiter::new(interval, interval * burst.saturating_sub(1))
    }

    /// Sets no pace, but pauses all calls when the API asks one of them to wait.
    pub fn unlimited() -> RateLimiter {
        RateLimiter::new(Duration::ZERO, Duration::ZERO)
    }

    fn new(interval: Duration, slack: Duration) -> RateLimiter {
        RateLimiter(Arc::new(Mutex::new(Row {
            interval,
            slack,
            next: None,
            paused_until: None,
        })))
    }

    fn row(&self) -> std::sync::MutexGuard<'_, Row> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place from `now` on, unless it lies beyond `deadline`.
    pub(crate) async fn wait(
        &self,
        mut now: Instant,
        deadline: Instant,
    ) -> Result<Waited, TooLate> {
        let mut waited = Waited(false);
        loop {
            let place = self.row().reserve(now, deadline)?;
            if place <= now {
                return Ok(waited);
            }
            waited = Waited(true);
            tokio::time::sleep_until(place).await;
            // A pause may have been called for while this waited. Its place is lost then, and it
            // takes a new one, so that what waited doesn't leave all at once after the pause.
            now = Instant::now();
            if !self.row().is_paused(now) {
                return Ok(waited);
            }
        }
    }

    /// Lets nothing leave for this long.
    pub(crate) fn pause(&self, length: Duration) {
        self.row().pause(Instant::now(), length);
    }
}

impl Row {
    fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|end| now < end)
    }

    /// Takes the next place: the time at which the request may leave.
    fn reserve(&mut self, now: Instant, deadline: Instant) -> Result<Instant, TooLate> {
        let earliest = self.paused_until.map_or(now, |end| end.max(now));
        let next = self.next.map_or(earliest, |next| next.max(earliest));
        let place = next
            .checked_sub(self.slack)
            .map_or(earliest, |place| place.max(earliest));
        if place > deadline {
            return Err(TooLate);
        }
        self.next = Some(next + self.interval);
        Ok(place)
    }

    fn pause(&mut self, now: Instant, length: Duration) {
        let Some(end) = now.checked_add(length) else {
            return;
        };
        if self.paused_until.is_none_or(|known| known < end) {
            self.paused_until = Some(end);
            // Those who wait in the row have lost their places; the row begins anew after it, and
            // without a burst, since everybody has waited and would come at once.
            self.next = end.checked_add(self.slack);
        }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = self.row();
        let mut debug = f.debug_struct("RateLimiter");
        if row.interval.is_zero() {
            debug.field("interval", &None::<Duration>);
        } else {
            debug.field("interval", &row.interval);
        }
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    /// At which milliseconds after `start` so many requests may leave that ask for it at once.
    fn places(limiter: &RateLimiter, start: Instant, count: usize) -> Vec<u128> {
        let far = start + Duration::from_secs(1_000);
        (0..count)
            .map(|_| {
                let place = limiter.row().reserve(start, far).expect("in time");
                (place - start).as_millis()
            })
            .collect()
    }

    #[test]
    fn no_second_sees_more_than_the_bucket_holds() {
        for capacity in [1, 2, 5, 10, 20, 100, 500, 10_000] {
            let limiter = RateLimiter::per_second(capacity);
            let start = Instant::now();
            // A first crowd, a rest in which the burst is saved up again, and a second crowd.
            let far = start + Duration::from_secs(1_000);
            let mut times = Vec::new();
            for crowd in [start, start + Duration::from_millis(20_500)] {
                for _ in 0..capacity * 10 {
                    times.push(limiter.row().reserve(crowd, far).expect("in time"));
                }
            }
            for pair in times.windows(capacity as usize + 1) {
                let apart = pair[capacity as usize] - pair[0];
                assert!(
                    apart >= Duration::from_secs(1),
                    "{} requests within {apart:?} of a bucket of {capacity}",
                    pair.len()
                );
            }
        }
    }

    #[test]
    fn a_full_row_moves_nine_tenths_as_fast_as_the_bucket_is_filled() {
        let limiter = RateLimiter::per_second(100);
        let start = Instant::now();
        let mut seconds = BTreeMap::new();
        for place in places(&limiter, start, 460) {
            *seconds.entry(place / 1_000).or_insert(0) += 1;
        }
        let counts: Vec<i32> = seconds.into_values().collect();
        assert_eq!(counts[..4], [99, 90, 90, 90]);
    }

    #[test]
    fn a_place_beyond_the_deadline_is_refused_and_not_taken() {
        let limiter = RateLimiter::per_second(1);
        let start = Instant::now();
        let soon = start + Duration::from_millis(1_500);
        assert_eq!(limiter.row().reserve(start, soon), Ok(start));
        let second = start + Duration::from_secs(1);
        assert_eq!(limiter.row().reserve(start, soon), Ok(second));
        assert_eq!(limiter.row().reserve(start, soon), Err(TooLate));
        let later = start + Duration::from_secs(5);
        let third = start + Duration::from_secs(2);
        assert_eq!(limiter.row().reserve(start, later), Ok(third));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_and_is_followed_by_no_rush() {
        let limiter = RateLimiter::per_second(10);
        let start = Instant::now();
        let far = start + Duration::from_secs(60);
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    limiter.wait(Instant::now(), far).await.expect("in time");
                    (Instant::now() - start).as_millis()
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(500)).await;
        limiter.pause(Duration::from_secs(3));
        // A shorter pause doesn't end a longer one.
        limiter.pause(Duration::from_secs(1));
        let mut times = Vec::new();
        for task in tasks {
            times.push(task.await.expect("it waits"));
        }
        times.sort_unstable();
        let before: Vec<_> = times.iter().filter(|time| **time <= 500).collect();
        let after: Vec<_> = times.iter().filter(|time| **time > 500).collect();
        assert_eq!(before.len(), 5);
        assert!(after.iter().all(|time| **time >= 3_500), "{times:?}");
        for pair in after.windows(2) {
            assert!(pair[1] - pair[0] >= 111, "{times:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pace_only_pauses_hold() {
        let limiter = RateLimiter::unlimited();
        let start = Instant::now();
        let far = start + Duration::from_secs(60);
        for _ in 0..1_000 {
            limiter.wait(Instant::now(), far).await.expect("in time");
        }
        assert_eq!(Instant::now(), start);
        limiter.pause(Duration::from_secs(2));
        limiter.wait(Instant::now(), far).await.expect("in time");
        assert_eq!(Instant::now() - start, Duration::from_secs(2));
        limiter.pause(Duration::from_secs(100));
        assert_eq!(limiter.wait(Instant::now(), far).await, Err(TooLate));
    }
}
