//! Pacing: how many tasks together stay under Layer's rate limit, before it has to refuse them.
//!
//! Layer has one bucket of request tokens for the whole API, which is filled up once a second. What
//! keeps under it is the generic cell rate algorithm: places evenly apart, with a small burst. Calls
//! stand in a row, and only the first one waits for a place and takes it when it leaves; one that is
//! dropped leaves the row and takes none along, and a pause holds all of them. The kept crates for
//! this (`governor`) bring more than ten others along and know no pause, which is what a
//! `Retry-After` asks of all tasks at once; what is needed is small enough to stand here.

use std::fmt;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Keeps all calls of a client, of its clones, and of every other client that is given the same
/// limiter ([`Builder::rate_limiter`](crate::Builder::rate_limiter)) below a rate.
///
/// Clones share one row. What a 429 or 5xx asks for with `Retry-After` holds for all calls that
/// share the limiter: none leaves before. So does an empty bucket (`X-RateLimit-Remaining: 0`) until
/// it is filled again, since another process may draw from it too.
///
/// A call waits for its place within its own time ([`Builder::timeout`](crate::Builder::timeout)),
/// less what it needs to be answered. Where its place lies beyond that, it fails, at once if the row
/// is too long already, and takes none.
#[derive(Clone)]
pub struct RateLimiter(Arc<Row>);

/// The calls that wait, and the places.
struct Row {
    places: Mutex<Places>,
    /// Held by the first in the row. Tokio's mutex is fair, so the row keeps its order.
    first: tokio::sync::Mutex<()>,
    /// How many calls stand in the row.
    length: AtomicU32,
}

#[derive(Debug)]
struct Places {
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
pub(crate) struct TooLate {
    /// How long a pause still lasts, if that's the reason.
    pub(crate) paused_for: Option<Duration>,
}

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
        RateLimiter(Arc::new(Row {
            places: Mutex::new(Places {
                interval,
                slack,
                next: None,
                paused_until: None,
            }),
            first: tokio::sync::Mutex::new(()),
            length: AtomicU32::new(0),
        }))
    }

    fn places(&self) -> std::sync::MutexGuard<'_, Places> {
        self.0.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place from `now` on, and takes it, unless it lies beyond `latest`.
    pub(crate) async fn wait(&self, now: Instant, latest: Instant) -> Result<Waited, TooLate> {
        let ahead = self.0.length.load(Ordering::Relaxed);
        {
            let mut places = self.places();
            if ahead == 0 && places.take(now) {
                return Ok(Waited(false));
            }
            if places.after(now, ahead) > latest {
                return Err(places.too_late(now));
            }
        }
        let _standing = Standing::in_row(&self.0.length);
        let Ok(_first) = tokio::time::timeout_at(latest, self.0.first.lock()).await else {
            return Err(self.places().too_late(Instant::now()));
        };
        loop {
            let place = {
                let mut places = self.places();
                let now = Instant::now();
                if places.take(now) {
                    return Ok(Waited(true));
                }
                let place = places.after(now, 0);
                if place > latest {
                    return Err(places.too_late(now));
                }
                place
            };
            // What was asked for meanwhile is seen when this ends: it may be a pause.
            tokio::time::sleep_until(place).await;
        }
    }

    /// Lets nothing leave for this long.
    pub(crate) fn pause(&self, length: Duration) {
        self.places().pause(Instant::now(), length);
    }
}

/// A call's standing in the row, which ends with the call.
struct Standing<'a>(&'a AtomicU32);

impl Standing<'_> {
    fn in_row(length: &AtomicU32) -> Standing<'_> {
        length.fetch_add(1, Ordering::Relaxed);
        Standing(length)
    }
}

impl Drop for Standing<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Places {
    /// When the call that has so many others before it may leave, as it looks now.
    fn after(&self, now: Instant, others: u32) -> Instant {
        let earliest = self.paused_until.map_or(now, |end| end.max(now));
        let Some(next) = self.next else {
            return earliest;
        };
        // What saturates is so far away that no call waits for it.
        let place = next
            .checked_add(self.interval.saturating_mul(others))
            .unwrap_or(next);
        place
            .checked_sub(self.slack)
            .map_or(earliest, |place| place.max(earliest))
    }

    /// Takes the next place, if it's there.
    fn take(&mut self, now: Instant) -> bool {
        if self.after(now, 0) > now {
            return false;
        }
        let next = self.next.map_or(now, |next| next.max(now));
        self.next = next.checked_add(self.interval);
        true
    }

    fn pause(&mut self, now: Instant, length: Duration) {
        let Some(end) = now.checked_add(length) else {
            return;
        };
        if self.paused_until.is_none_or(|known| known < end) {
            self.paused_until = Some(end);
            // Without a burst after it, since everybody has waited and would come at once.
            let after = end.checked_add(self.slack);
            self.next = self.next.max(after);
        }
    }

    fn too_late(&self, now: Instant) -> TooLate {
        let paused_for = self
            .paused_until
            .map(|end| end.saturating_duration_since(now))
            .filter(|left| !left.is_zero());
        TooLate { paused_for }
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places = self.places();
        let interval = Some(places.interval).filter(|interval| !interval.is_zero());
        let mut debug = f.debug_struct("RateLimiter");
        debug.field("interval", &interval);
        debug.finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// When so many calls leave that come at once, in time after now. The clock stands still, and
    /// goes on as fast as they wait.
    async fn departures(limiter: &RateLimiter, count: usize) -> Vec<Duration> {
        let start = Instant::now();
        let latest = start + Duration::from_secs(1_000);
        let tasks: Vec<_> = (0..count)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    let now = Instant::now();
                    limiter.wait(now, latest).await.expect("in time");
                    start.elapsed()
                })
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.push(task.await.expect("it waits"));
        }
        times
    }

    fn no_second_is_overfull(times: &[Duration], capacity: usize) {
        for window in times.windows(capacity + 1) {
            let apart = window[capacity] - window[0];
            assert!(
                apart >= Duration::from_secs(1),
                "{} requests within {apart:?} of a bucket of {capacity}",
                window.len()
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_sees_more_than_the_bucket_holds() {
        for capacity in [1, 2, 5, 10, 20, 100, 500] {
            let limiter = RateLimiter::per_second(capacity);
            let capacity = usize::try_from(capacity).expect("it's small");
            let start = Instant::now();
            let mut times = departures(&limiter, capacity * 3).await;
            assert!(times.is_sorted(), "who comes first leaves first");
            // A rest in which the burst is saved up again, and a second crowd.
            tokio::time::sleep(Duration::from_millis(1_350)).await;
            let rested = start.elapsed();
            let second = departures(&limiter, capacity * 3).await;
            times.extend(second.into_iter().map(|time| rested + time));
            no_second_is_overfull(&times, capacity);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_row_moves_nine_tenths_as_fast_as_the_bucket_is_filled() {
        let times = departures(&RateLimiter::per_second(100), 460).await;
        let count = |second: u64| times.iter().filter(|time| time.as_secs() == second).count();
        // The clock of these tests has milliseconds, so a place may be one late.
        let counts = [count(0), count(1), count(2), count(3)];
        assert!((97..=100).contains(&counts[0]), "{counts:?}");
        assert!(
            counts[1..].iter().all(|count| (84..=91).contains(count)),
            "{counts:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_beyond_the_time_is_refused_at_once_and_not_taken() {
        let limiter = RateLimiter::per_second(1);
        let start = Instant::now();
        let soon = start + Duration::from_millis(1_500);
        assert_eq!(limiter.wait(start, soon).await, Ok(Waited(false)));
        let second = tokio::spawn({
            let limiter = limiter.clone();
            async move { limiter.wait(start, soon).await }
        });
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = Instant::now();
        let refused = limiter.wait(now, soon).await;
        assert_eq!(refused, Err(TooLate { paused_for: None }));
        assert_eq!(Instant::now(), now, "at once");
        assert_eq!(second.await.expect("no panic"), Ok(Waited(true)));
        let later = start + Duration::from_secs(5);
        let now = Instant::now();
        assert_eq!(limiter.wait(now, later).await, Ok(Waited(true)));
        assert_eq!(start.elapsed().as_secs(), 2, "nobody's place was lost");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_that_are_dropped_leave_the_row_and_take_no_place_along() {
        let limiter = RateLimiter::per_second(10);
        let start = Instant::now();
        let latest = start + Duration::from_secs(1_000);
        let dropped: Vec<_> = (0..400)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move { limiter.wait(start, latest).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(200)).await;
        for task in dropped {
            task.abort();
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
        let now = Instant::now();
        limiter.wait(now, latest).await.expect("in time");
        assert!(
            now.elapsed() <= Duration::from_millis(120),
            "{:?}",
            now.elapsed()
        );
        assert_eq!(limiter.0.length.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_everyone_and_is_followed_by_no_rush() {
        // One that is shorter than the row is long, and one that is longer.
        for (capacity, length) in [(50, 1), (10, 4)] {
            let limiter = RateLimiter::per_second(capacity);
            let pausing = limiter.clone();
            let pause = Duration::from_secs(length);
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(500)).await;
                pausing.pause(pause);
                // A shorter pause doesn't end a longer one.
                pausing.pause(pause / 4);
            });
            let times = departures(&limiter, 150).await;
            let start = Duration::from_millis(500);
            let quiet = times
                .iter()
                .filter(|time| **time > start && **time < start + pause);
            assert_eq!(quiet.count(), 0, "{times:?}");
            assert!(times[0] < start && times[149] > start + pause);
            no_second_is_overfull(&times, usize::try_from(capacity).expect("it's small"));
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
        let paused_for = Some(Duration::from_secs(100));
        let refused = limiter.wait(Instant::now(), far).await;
        assert_eq!(refused, Err(TooLate { paused_for }));
    }
}
