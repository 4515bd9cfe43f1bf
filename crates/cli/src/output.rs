//! What the program says: data on standard output, everything else on standard error.
//!
//! Nothing here panics where a reader went away: a closed standard output ends the program quietly (see [`ReaderGone`]),
//! a closed standard error is nobody's loss. Text that came from a file or from the API goes to people through
//! [`printable`], because a memo may hold the control sequences of a terminal.

use std::fmt;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whoever read standard output has stopped, as `head` does. That's no error; there is just nothing left to do.
#[derive(Debug)]
pub(crate) struct ReaderGone;

impl fmt::Display for ReaderGone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("nobody reads standard output any more")
    }
}

impl std::error::Error for ReaderGone {}

/// Standard output, buffered.
pub(crate) struct Output(BufWriter<StdoutLock<'static>>);

impl Output {
    pub(crate) fn new() -> Self {
        Self(BufWriter::with_capacity(64 * 1024, io::stdout().lock()))
    }

    /// Writes bytes as they are.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        self.0.write_all(bytes).or_else(failed)
    }

    /// Writes what is still in the buffer. Dropping would do so too, but wouldn't tell whether it could.
    pub(crate) fn finish(mut self) -> anyhow::Result<()> {
        self.0.flush().or_else(failed)
    }
}

fn failed(error: io::Error) -> anyhow::Result<()> {
    if error.kind() == io::ErrorKind::BrokenPipe {
        return Err(ReaderGone.into());
    }
    Err(error).context("writing to standard output")
}

/// Writes a line for people to standard error.
pub(crate) fn message(text: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Writes an error with its causes, all on one line.
pub(crate) fn error(error: &anyhow::Error) {
    message(format_args!("error: {}", printable(&format!("{error:#}"))));
}

/// Text as it can be shown: control characters, and those that turn the direction of the text around them, are written
/// as escapes. What they would do to a terminal or to the sense of a line is nothing that data should be able to do.
pub(crate) fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\u{200e}'
            | '\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2066}'..='\u{2069}'
            | '\u{2028}'
            | '\u{2029}' => {
                shown.extend(character.escape_unicode());
            }
            _ if character.is_control() => shown.extend(character.escape_default()),
            _ => shown.push(character),
        }
    }
    shown
}

/// Cents as people write money: `-1234567` is `-12345.67`.
pub(crate) fn money(cents: i128) -> String {
    let sign = if cents < 0 { "-" } else { "" };
    let cents = cents.unsigned_abs();
    format!("{sign}{}.{:02}", cents / 100, cents % 100)
}

/// Tells how far a long job is: a bar on a terminal, and a line now and then where standard error isn't one.
pub(crate) struct Progress {
    shown: Shown,
    total_bytes: Option<u64>,
    started: Instant,
}

enum Shown {
    Bar(ProgressBar),
    Lines { next: Instant },
}

/// How much time passes between two lines of progress.
const LINE_INTERVAL: Duration = Duration::from_secs(2);

impl Progress {
    /// Begins. `total_bytes` is the size of the input, where it's known.
    pub(crate) fn new(total_bytes: Option<u64>) -> Self {
        let started = Instant::now();
        let shown = if io::stderr().is_terminal() {
            let bar =
                ProgressBar::with_draw_target(total_bytes, ProgressDrawTarget::stderr_with_hz(10));
            let template = match total_bytes {
                Some(_) => "{bar:40} {percent:>3} %  {prefix}\n{wide_msg}",
                None => "{spinner}  {prefix}\n{wide_msg}",
            };
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            Shown::Bar(bar)
        } else {
            // The first line comes with the first result, so that a log shows soon that the job does something.
            Shown::Lines { next: started }
        };
        Self {
            shown,
            total_bytes,
            started,
        }
    }

    /// Since when the job runs.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Shows that so many bytes of the input are done, and what became of them.
    pub(crate) fn update(&mut self, bytes: u64, rows: u64, state: impl fmt::Display) {
        let per_second = rate(rows, self.elapsed());
        match &mut self.shown {
            Shown::Bar(bar) => {
                bar.set_position(bytes);
                bar.set_prefix(format!("{rows} rows, {per_second} rows/s"));
                bar.set_message(state.to_string());
            }
            Shown::Lines { next } => {
                let now = Instant::now();
                if now < *next {
                    return;
                }
                *next = now + LINE_INTERVAL;
                let share = match self.total_bytes {
                    Some(total) if total > 0 => {
                        format!("{:>3} %, ", bytes.min(total) * 100 / total)
                    }
                    _ => String::new(),
                };
                message(format_args!(
                    "{share}{rows} rows, {per_second} rows/s: {state}"
                ));
            }
        }
    }

    /// Writes a line that stays, above the bar if there is one.
    pub(crate) fn message(&self, text: impl fmt::Display) {
        match &self.shown {
            Shown::Bar(bar) => bar.suspend(|| message(text)),
            Shown::Lines { .. } => message(text),
        }
    }

    /// Takes the bar away; the summary says all that it said.
    pub(crate) fn finish(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

/// Rows a second, as a whole number.
pub(crate) fn rate(rows: u64, elapsed: Duration) -> u64 {
    let milliseconds = elapsed.as_millis().max(1);
    u64::try_from(u128::from(rows) * 1000 / milliseconds).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_has_two_decimals_and_no_float() {
        assert_eq!(money(0), "0.00");
        assert_eq!(money(5), "0.05");
        assert_eq!(money(9_000), "90.00");
        assert_eq!(money(-1_234_567), "-12345.67");
        assert_eq!(money(-5), "-0.05");
        assert_eq!(money(i64::MAX.into()), "92233720368547758.07");
        assert_eq!(money(i64::MIN.into()), "-92233720368547758.08");
    }

    #[test]
    fn what_moves_the_terminal_is_shown_and_not_done() {
        assert_eq!(printable("Grüße 🎉 שלום\u{301}"), "Grüße 🎉 שלום\u{301}");
        assert_eq!(
            printable("a\nb\tc\r\u{1b}[2J\u{9b}"),
            "a\\nb\\tc\\r\\u{1b}[2J\\u{9b}"
        );
        assert_eq!(printable("x\u{202e}y\u{2066}"), "x\\u{202e}y\\u{2066}");
    }

    #[test]
    fn a_rate_needs_no_whole_second() {
        assert_eq!(rate(500, Duration::from_millis(250)), 2_000);
        assert_eq!(rate(500, Duration::ZERO), 500_000);
    }
}
