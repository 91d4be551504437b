//! What a command is, to whoever runs it.
use crate::commands::failure::Failure;

/// How the program was called.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Invocation {
    /// Whether secrets stood on the command line.
    pub(crate) had_secrets: bool,
    /// The definition of the whole command line.
    pub(crate) command_line: fn() -> clap::Command,
}

/// How a command ended that did its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// All is well.
    Done,
    /// It met damage.
    Damaged,
}

impl Outcome {
    /// By whether damage was met.
    pub(crate) fn of(damaged: bool) -> Self {
        if damaged { Self::Damaged } else { Self::Done }
    }
}

/// A command of the command line.
pub(crate) trait Run {
    /// Does its work, and prints what came of it.
    ///
    /// # Errors
    /// Whatever kept it from its work.
    fn run(self, invocation: &Invocation) -> Result<Outcome, Failure>;
}
