//! What this process spends: processor seconds, wall seconds, peak memory.
//!
//! It does not know on what.
use std::{fmt, fs, time::Instant};

/// Clock ticks of /proc a second; Linux has had 100 of them for ever.
const TICKS: f64 = 100.0;

/// A measurement that has begun.
#[derive(Debug)]
pub(crate) struct Cost {
    wall: Instant,
    user: f64,
    system: f64,
}

/// What was spent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spent {
    pub(crate) wall: f64,
    pub(crate) user: f64,
    pub(crate) system: f64,
    /// Of the whole process so far.
    pub(crate) peak_mib: f64,
}

impl Cost {
    pub(crate) fn begin() -> Self {
        let (user, system) = times();
        Self {
            wall: Instant::now(),
            user,
            system,
        }
    }

    pub(crate) fn end(&self) -> Spent {
        let (user, system) = times();
        Spent {
            wall: self.wall.elapsed().as_secs_f64(),
            user: user - self.user,
            system: system - self.system,
            peak_mib: peak_mib(),
        }
    }
}

/// User and system seconds of this process.
fn times() -> (f64, f64) {
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = text.rsplit(')').next().unwrap_or_default();
    let mut ticks = fields
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse::<f64>().unwrap_or_default() / TICKS);
    (
        ticks.next().unwrap_or_default(),
        ticks.next().unwrap_or_default(),
    )
}

fn peak_mib() -> f64 {
    let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
    kib.unwrap_or_default() / 1024.0
}

impl fmt::Display for Spent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "wall {:.2} s, CPU {:.2} s (user {:.2}, system {:.2}), peak {:.0} MiB",
            self.wall,
            self.user + self.system,
            self.user,
            self.system,
            self.peak_mib
        )
    }
}
