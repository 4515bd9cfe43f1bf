//! One fault, and the short text that asks for it.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use axum::http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Long enough for every client's patience, and short enough that a server can still be stopped.
const LONGEST: Duration = Duration::from_secs(300);

/// The statuses of a server, or of a proxy in front of one, that has trouble.
const STATUSES: [u16; 5] = [429, 500, 502, 503, 504];

const GRAMMAR: &str = "Write `none`, or one or more of `latency=250ms`, `status=503`, `html`, `retry-after=2`, \
                       `cut=before` and `cut=after` with semicolons between them";

/// What goes wrong with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// How long the request waits before anything else happens.
    pub(super) latency: Option<Duration>,
    pub(super) then: Then,
}

/// What happens to a request after it has waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is handled.
    Handle,
    /// It isn't handled, and gets a reply that says so.
    Reply {
        status: StatusCode,
        /// Whether the reply is HTML, as from a proxy, and not the envelope.
        html: bool,
        /// Seconds.
        retry_after: Option<u64>,
    },
    /// It gets no reply: the connection is reset.
    Cut {
        /// Whether it is handled before that.
        handled: bool,
    },
}

/// Why a text asks for no fault.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct Malformed(String);

impl FromStr for Fault {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Fault, Malformed> {
        let mut latency = None;
        let mut status = None;
        let mut html = None;
        let mut retry_after = None;
        let mut cut = None;
        if text.trim() != "none" {
            for part in text.split(';').map(str::trim) {
                let (name, value) = part.split_once('=').unwrap_or((part, ""));
                let fresh = match (name, part.contains('=')) {
                    ("latency", true) => set(&mut latency, duration(value)?),
                    ("status", true) => set(&mut status, self::status(value)?),
                    ("html", false) => set(&mut html, ()),
                    ("retry-after", true) => set(&mut retry_after, seconds(value)?),
                    ("cut", true) => set(&mut cut, moment(value)?),
                    _ => return Err(Malformed(format!("{GRAMMAR}; {part:?} is none of them."))),
                };
                if !fresh {
                    return Err(Malformed(format!(
                        "`{name}` stands there twice; give it once."
                    )));
                }
            }
        }
        let then = match (status, cut) {
            (Some(_), Some(_)) => {
                return Err(Malformed(
                    "A request that gets a status isn't cut; give `status` or `cut`, not both."
                        .to_owned(),
                ));
            }
            (Some(status), None) => Then::Reply {
                status,
                html: html.is_some(),
                retry_after,
            },
            _ if html.is_some() || retry_after.is_some() => {
                return Err(Malformed(
                    "`html` and `retry-after` say how a `status` is told; give one with them, such as \
                     `status=503; html`."
                        .to_owned(),
                ));
            }
            (None, Some(handled)) => Then::Cut { handled },
            (None, None) => Then::Handle,
        };
        Ok(Fault { latency, then })
    }
}

/// Sets what isn't set yet. Whether it wasn't.
fn set<T>(place: &mut Option<T>, value: T) -> bool {
    place.replace(value).is_none()
}

fn duration(text: &str) -> Result<Duration, Malformed> {
    let number = |digits: &str| whole(digits).map(Duration::from_millis);
    let duration = match text.strip_suffix("ms") {
        Some(milliseconds) => number(milliseconds),
        None => text
            .strip_suffix('s')
            .and_then(number)
            .map(|time| time * 1_000),
    };
    duration.filter(|time| *time <= LONGEST).ok_or_else(|| {
        Malformed(format!(
            "The latency is {text:?}; give a whole number of milliseconds or seconds up to 300s, such as `250ms` or `2s`."
        ))
    })
}

/// A whole number of at most nine digits.
fn whole(digits: &str) -> Option<u64> {
    let is_whole =
        !digits.is_empty() && digits.len() <= 9 && digits.bytes().all(|byte| byte.is_ascii_digit());
    is_whole.then(|| digits.parse().ok()).flatten()
}

fn status(text: &str) -> Result<StatusCode, Malformed> {
    let code = whole(text).and_then(|code| u16::try_from(code).ok());
    code.filter(|code| STATUSES.contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| {
            Malformed(format!(
                "The status is {text:?}; give 429, 500, 502, 503 or 504."
            ))
        })
}

fn seconds(text: &str) -> Result<u64, Malformed> {
    whole(text).ok_or_else(|| {
        Malformed(format!(
            "`retry-after` is {text:?}; give a whole number of seconds, such as 2."
        ))
    })
}

/// Whether the request is handled before the connection is cut.
fn moment(text: &str) -> Result<bool, Malformed> {
    match text {
        "before" => Ok(false),
        "after" => Ok(true),
        _ => Err(Malformed(format!(
            "`cut` is {text:?}; give `before` (nothing is written) or `after` (all is written)."
        ))),
    }
}

impl fmt::Display for Fault {
    /// Writes the text that asks for this fault.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if let Some(latency) = self.latency {
            parts.push(format!("latency={}ms", latency.as_millis()));
        }
        match &self.then {
            Then::Handle if parts.is_empty() => parts.push("none".to_owned()),
            Then::Handle => {}
            Then::Reply {
                status,
                html,
                retry_after,
            } => {
                parts.push(format!("status={}", status.as_u16()));
                if *html {
                    parts.push("html".to_owned());
                }
                if let Some(seconds) = retry_after {
                    parts.push(format!("retry-after={seconds}"));
                }
            }
            Then::Cut { handled: false } => parts.push("cut=before".to_owned()),
            Then::Cut { handled: true } => parts.push("cut=after".to_owned()),
        }
        f.write_str(&parts.join("; "))
    }
}

impl<'de> Deserialize<'de> for Fault {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Fault, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for Fault {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_are_read_and_written() {
        for (text, canonical) in [
            ("none", "none"),
            ("latency=250ms", "latency=250ms"),
            (
                " latency=2s ;status=503;html",
                "latency=2000ms; status=503; html",
            ),
            ("latency=300s", "latency=300000ms"),
            ("status=429; retry-after=7", "status=429; retry-after=7"),
            ("html; status=502", "status=502; html"),
            ("cut=before", "cut=before"),
            ("cut=after; latency=0ms", "latency=0ms; cut=after"),
        ] {
            let fault: Fault = text.parse().unwrap();
            assert_eq!(fault.to_string(), canonical);
            assert_eq!(canonical.parse(), Ok(fault));
        }
    }

    #[test]
    fn what_is_not_a_fault_is_told_with_the_remedy() {
        for (text, remedy) in [
            ("", "latency=250ms"),
            ("status", "latency=250ms"),
            ("html=1; status=500", "latency=250ms"),
            ("status=503;", "latency=250ms"),
            ("Status=503", "latency=250ms"),
            ("status=404", "429, 500, 502, 503 or 504"),
            ("status=", "429, 500, 502, 503 or 504"),
            ("status=+503", "429, 500, 502, 503 or 504"),
            ("status=503; status=500", "once"),
            ("status=503; cut=after", "not both"),
            ("html", "status=503; html"),
            ("cut=after; retry-after=1", "status=503; html"),
            ("cut=never", "`before`"),
            ("latency=5", "`250ms`"),
            ("latency=301s", "`250ms`"),
            ("latency=-1s", "`250ms`"),
            ("latency=99999999999999999999ms", "`250ms`"),
            ("status=429; retry-after=soon", "such as 2"),
        ] {
            let Malformed(message) = text.parse::<Fault>().unwrap_err();
            assert!(message.contains(remedy), "{text:?}: {message}");
        }
    }
}
