//! How far a verb is, on one line of the terminal.
//!
//! It does not know what is counted.
use std::{
    io::{self, IsTerminal, Write},
    time::Instant,
};

use crate::commands::arguments::Format;
use crate::units::{counted, size};

/// The bar's width.
const BAR_CHARS: usize = 30;

/// A line of its own on standard error: only on a terminal, and never beside JSON.
pub(crate) struct Bar {
    shown: bool,
}

impl Bar {
    /// For a report in that format.
    pub(crate) fn new(format: Format) -> Self {
        Self {
            shown: format == Format::Text && io::stderr().is_terminal(),
        }
    }

    /// Whether anyone sees it.
    pub(crate) fn is_shown(&self) -> bool {
        self.shown
    }

    /// Puts a text where the last one was.
    pub(crate) fn show(&self, text: &str) {
        if self.shown {
            // Without anyone to see it, it needs not be shown.
            let _ = write!(io::stderr(), "\r\x1b[K{text}");
        }
    }

    /// Takes the last text away.
    pub(crate) fn clear(&self) {
        self.show("");
    }
}

fn bar(done: u64, total: u64) -> String {
    let part = (done as f64 / total.max(1) as f64).min(1.0);
    let full = (part * BAR_CHARS as f64) as usize;
    format!(
        "[{}{}] {:3.0}%",
        "#".repeat(full),
        "-".repeat(BAR_CHARS - full),
        (part * 100.0).floor(),
    )
}

/// A bar of bytes, and how many come in a second.
pub(crate) fn of_bytes(done: u64, total: u64, rate: f64) -> String {
    format!(
        "{}  {} of {}  {}/s",
        bar(done, total),
        size(done),
        size(total),
        size(rate as u64)
    )
}

/// A bar of things.
pub(crate) fn of_count(done: u64, total: u64, what: &str) -> String {
    format!("{}  {done} of {}", bar(done, total), counted(total, what))
}

/// A bar of a hundredth each, and the seconds that are left.
pub(crate) fn of_percent(percent: u64, what: &str, left: Option<u64>) -> String {
    let left = left.map(|seconds| format!("  {seconds} s left"));
    format!("{}  {what}{}", bar(percent, 100), left.unwrap_or_default())
}

/// A job's bytes, and how fast they have come since it was first seen.
#[derive(Debug)]
pub(crate) struct Paced {
    begun: Instant,
    first: u64,
}

impl Paced {
    /// From here on.
    pub(crate) fn new(first: u64) -> Self {
        Self {
            begun: Instant::now(),
            first,
        }
    }

    fn rate(&self, done: u64) -> f64 {
        let seconds = self.begun.elapsed().as_secs_f64().max(0.001);
        done.saturating_sub(self.first) as f64 / seconds
    }

    /// As long as the rest takes at that pace; none before anything moved.
    pub(crate) fn seconds_left(&self, done: u64, total: u64) -> Option<u64> {
        let rate = self.rate(done);
        (0.0 < rate && done <= total).then(|| ((total - done) as f64 / rate).ceil() as u64)
    }

    /// A bar where the total is known.
    pub(crate) fn line(&self, what: &str, done: u64, total: u64) -> String {
        if total == 0 {
            return format!("{what}: begins");
        }
        let left = self.seconds_left(done, total);
        let left = left.map(|seconds| format!("  {seconds} s left"));
        let bar = of_bytes(done, total, self.rate(done));
        format!("{bar}{}  {what}", left.unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_read_well() {
        let line = of_bytes(1 << 20, 4 << 20, 1e6);
        assert!(line.starts_with("[#######-----------------------]  25%  1.0 MiB of 4.0 MiB"));
        assert!(of_percent(50, "x copying", Some(3)).ends_with(" 50%  x copying  3 s left"));
        assert!(of_bytes(9, 4, 0.0).contains("100%"));
        assert!(of_count(0, 0, "alias").ends_with("0 of 0 aliases"));
    }
}
