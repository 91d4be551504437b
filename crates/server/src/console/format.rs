//! How moments, ages and states are written.
use std::time::Duration;

use maud::{Markup, html};
use model::Timestamp;

/// Snapshots are taken daily: one more hour is no delay yet.
const FRESH: Duration = Duration::from_secs(25 * 3600);
/// One daily snapshot was missed, and not two.
const LATE: Duration = Duration::from_secs(49 * 3600);

/// How well it stands with something. Each has a word and a shape beside its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Good,
    Busy,
    Warning,
    Bad,
    Off,
}

impl Standing {
    fn class(self) -> &'static str {
        match self {
            Self::Good => "state good",
            Self::Busy => "state busy",
            Self::Warning => "state warning",
            Self::Bad => "state bad",
            Self::Off => "state off",
        }
    }

    fn shape(self) -> &'static str {
        match self {
            Self::Good => "●",
            Self::Busy => "◐",
            Self::Warning => "▲",
            Self::Bad => "✖",
            Self::Off => "○",
        }
    }
}

/// A state's word, with its shape.
pub(super) fn state(standing: Standing, word: &str) -> Markup {
    html! {
        span class=(standing.class()) { span aria-hidden="true" { (standing.shape()) } " " (word) }
    }
}

/// A status of the API's.
pub(super) fn status(word: &str) -> Markup {
    let standing = match word {
        "available" | "active" | "Enabled" | "COMPLETED" | "SUCCESSFUL" => Standing::Good,
        "stopped" | "Disabled" => Standing::Off,
        "failed" | "PendingDeletion" | "FAILED" | "ABORTED" | "EXPIRED" | "PARTIAL"
        | "TIMED_OUT" => Standing::Bad,
        word if word.starts_with("inaccessible") || word.starts_with("incompatible") => {
            Standing::Bad
        }
        _ => Standing::Busy,
    };
    state(standing, word)
}

/// How good a backup of that age is.
pub(super) fn freshness(age: Duration) -> Standing {
    if age <= FRESH {
        Standing::Good
    } else if age <= LATE {
        Standing::Warning
    } else {
        Standing::Bad
    }
}

/// A moment in UTC; scripts write it in the reader's zone.
pub(super) fn moment(text: &str) -> Markup {
    match Timestamp::parse(text) {
        Some(at) => {
            let whole = at.to_rfc3339_secs();
            let shown = whole.get(..16).unwrap_or(&whole).replace('T', " ");
            html! { time datetime=(whole) title={ (whole) } { (shown) " UTC" } }
        }
        None => html! { (text) },
    }
}

/// A moment of an answer in JSON, which is in seconds since 1970.
pub(super) fn moment_of(seconds: f64) -> Markup {
    moment(&timestamp(seconds).to_rfc3339_secs())
}

/// The same, to reckon with: whole seconds.
pub(super) fn timestamp(seconds: f64) -> Timestamp {
    // Seconds of our own time.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "whole seconds of this century"
    )]
    let whole = seconds as i64;
    Timestamp(whole.saturating_mul(1_000_000))
}

/// `5 minutes`, `3 hours`, `12 days`.
pub(super) fn age(age: Duration) -> String {
    let seconds = age.as_secs();
    let (count, unit) = match seconds {
        0..=119 => (seconds, "second"),
        120..=7_199 => (seconds / 60, "minute"),
        7_200..=172_799 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    match count {
        1 => format!("1 {unit}"),
        _ => format!("{count} {unit}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_have_one_unit() {
        let told = [0, 1, 119, 120, 7_199, 7_200, 172_799, 172_800, 864_000];
        let told = told.map(|seconds| age(Duration::from_secs(seconds)));
        assert_eq!(
            told,
            [
                "0 seconds",
                "1 second",
                "119 seconds",
                "2 minutes",
                "119 minutes",
                "2 hours",
                "47 hours",
                "2 days",
                "10 days"
            ]
        );
    }

    #[test]
    fn a_moment_that_does_not_read_is_shown_as_text() {
        let shown = moment("2026-11-29T09:10:11.123456Z").into_string();
        assert!(shown.contains(">2026-11-29 09:10 UTC</time>"), "{shown}");
        assert_eq!(moment("<b>").into_string(), "&lt;b&gt;");
    }
}
