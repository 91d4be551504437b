//! How the program ends, by number: the one table.
//!
//! It does not know what went wrong.
use std::process::ExitCode;

macro_rules! exit_statuses {
    ($($name:ident = $number:literal: $meaning:literal,)*) => {
        /// How the program ends.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum ExitStatus {
            $(#[doc = $meaning] $name = $number,)*
        }

        impl ExitStatus {
            /// Each number, and what it means.
            pub(crate) const ALL: &[(u8, &str)] = &[$(($number, $meaning),)*];
        }
    };
}

exit_statuses! {
    Done = 0: "done",
    Failed = 1: "failed",
    Usage = 2: "the command line or a setting is wrong",
    Damaged = 3: "done, and damage was found, or a check failed",
    Refused = 4: "no credentials, or the server does not let them",
    NotFound = 5: "what was asked for is not there",
    Conflict = 6: "it is in another state, or there already",
    Quota = 7: "a quota is reached",
    TryAgain = 75: "the server gives no answer or is busy: try again",
    TimedOut = 124: "waited as long as asked",
    Interrupted = 130: "interrupted",
}

impl ExitStatus {
    /// The table for a terminal.
    pub(crate) fn lines() -> String {
        let line = |(number, meaning): &(u8, &str)| format!("  {number:>3}  {meaning}");
        Self::ALL.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
