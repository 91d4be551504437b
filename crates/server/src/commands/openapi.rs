//! `snapferry openapi`: the document of the JSON door.
use clap::Args;

use crate::commands::{
    failure::Failure,
    invocation::{Invocation, Outcome, Run},
    output::print,
};

/// Print the OpenAPI document of the JSON door
///
/// A running server answers it at /openapi.json.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  snapferry openapi > openapi.json")]
pub(crate) struct Openapi {}

impl Run for Openapi {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        print(&api::openapi::text())?;
        Ok(Outcome::Done)
    }
}
