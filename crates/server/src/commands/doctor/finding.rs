//! What a look found.

/// How it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// As it should be.
    Ok,
    /// A server runs with it.
    Warning,
    /// A server does not start, or does not do its work.
    Failed,
}

impl State {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failed => "failed",
        }
    }
}

/// What was found, and what is to be done about it.
#[derive(Debug, Clone)]
pub(super) struct Finding {
    pub(super) state: State,
    pub(super) found: String,
    pub(super) remedy: Option<String>,
}

impl Finding {
    fn new(state: State, found: impl Into<String>) -> Self {
        Self {
            state,
            found: found.into(),
            remedy: None,
        }
    }

    pub(super) fn ok(found: impl Into<String>) -> Self {
        Self::new(State::Ok, found)
    }

    pub(super) fn warning(found: impl Into<String>) -> Self {
        Self::new(State::Warning, found)
    }

    pub(super) fn failed(found: impl Into<String>) -> Self {
        Self::new(State::Failed, found)
    }

    /// The same with what is to be done.
    pub(super) fn with(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// A failure in the words that a server would have for it.
    pub(super) fn of(failure: &crate::commands::failure::Failure) -> Self {
        Self {
            remedy: failure.hint(),
            ..Self::failed(failure.chain())
        }
    }
}
