//! How a request ended, and who wants to know.
//!
//! It does not know who counts or keeps it.
use std::{fmt, time::Duration};

use model::Account;

use crate::{
    fault::Code,
    metrics::{Metrics, NO_ACTION},
};

/// How a request ended. Names that a client may have invented are not in it.
#[derive(Debug)]
pub struct Outcome<'a> {
    /// The API that was asked, by its name in a credential's scope, where it is known.
    pub api: Option<&'static str>,
    /// The action, where there is one of that name.
    pub action: Option<&'static str>,
    /// The account that asked, once it was proved.
    pub account: Option<&'a Account>,
    /// The fault that was answered; none for a good answer.
    pub code: Option<Code>,
    /// How long it took from its head or its whole body to its answer.
    pub took: Duration,
}

/// Hears of every request once, when it is answered.
pub trait Observer: fmt::Debug + Send + Sync {
    /// Takes note; must not wait.
    fn observe(&self, outcome: &Outcome<'_>);
}

/// The API that counts for a request that names none: it answers such requests.
const USUAL_API: &str = "rds";

impl Observer for Metrics {
    fn observe(&self, outcome: &Outcome<'_>) {
        self.request(
            outcome.api.unwrap_or(USUAL_API),
            outcome.action.unwrap_or(NO_ACTION),
            outcome.code.map(Code::as_str),
            outcome.took,
        );
    }
}
