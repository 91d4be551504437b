//! What forms send.
use wire::{Parameters, RawRequest};

use super::refusal::Refusal;

/// A form's fields.
///
/// # Errors
/// What was sent is none.
pub(super) fn read(request: &RawRequest) -> Result<Parameters, Refusal> {
    let body = std::str::from_utf8(&request.body).map_err(|_| Refusal::unreadable())?;
    Parameters::parse("", body).map_err(|_| Refusal::unreadable())
}
