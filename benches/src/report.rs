//! What is printed: figures, and ratios with their goals.

use std::time::Duration;

/// Whether the goals were met so far.
#[derive(Default)]
pub(crate) struct Report {
    missed: Vec<String>,
}

/// What a ratio should be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    AtLeast(f64),
    AtMost(f64),
}

impl Report {
    /// Starts a benchmark.
    pub(crate) fn title(&self, name: &str, text: &str) {
        println!("\n{name}: {text}");
    }

    /// A figure, with what else is to be said of it.
    pub(crate) fn figure(&self, what: &str, value: f64, unit: &str, more: &str) {
        let value = match value {
            value if value >= 1000.0 => thousands(value),
            value if value >= 10.0 => format!("{value:.1}"),
            value => format!("{value:.2}"),
        };
        let line = format!("  {what:<54} {value:>12} {unit:<14} {more}");
        println!("{}", line.trim_end());
    }

    pub(crate) fn note(&self, text: &str) {
        println!("  {text}");
    }

    /// A value with its goal.
    pub(crate) fn goal(&mut self, what: &str, value: f64, goal: Goal) {
        let (met, words) = match goal {
            Goal::AtLeast(least) => (value >= least, format!("goal: at least {least}")),
            Goal::AtMost(most) => (value <= most, format!("goal: at most {most}")),
        };
        let verdict = if met { "met" } else { "MISSED" };
        println!("  {what:<54} {value:>12.2} {:<14} {words}: {verdict}", "");
        if !met {
            self.missed.push(what.to_owned());
        }
    }

    /// What was missed.
    pub(crate) fn missed(&self) -> &[String] {
        &self.missed
    }
}

fn thousands(value: f64) -> String {
    let digits = format!("{value:.0}");
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The value in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => sorted[length / 2],
        length => (sorted[length / 2 - 1] + sorted[length / 2]) / 2.0,
    }
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
