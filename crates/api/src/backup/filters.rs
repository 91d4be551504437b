//! What lists of jobs and recovery points are narrowed by.
use model::Timestamp;

use super::faults::{invalid, shown};
use service::fault::Fault;

/// A moment of the query: ISO 8601.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn moment(member: &str, given: Option<&str>) -> Result<Option<Timestamp>, Fault> {
    let read = |text: &str| {
        Timestamp::parse(text).ok_or_else(|| {
            invalid(
                member,
                format!("{member} is {}: it is no moment in ISO 8601.", shown(text)),
            )
        })
    };
    given.map(read).transpose()
}

/// Whether a moment lies between two, of which either may be left out.
pub(crate) fn between(
    moment: Option<Timestamp>,
    after: Option<Timestamp>,
    before: Option<Timestamp>,
) -> bool {
    match moment {
        Some(moment) => {
            after.is_none_or(|after| after <= moment)
                && before.is_none_or(|before| moment <= before)
        }
        None => after.is_none() && before.is_none(),
    }
}

/// Whether a value is the one that is asked for, where one is.
pub(crate) fn is(asked: Option<&String>, value: &str) -> bool {
    asked.is_none_or(|asked| asked == value)
}

/// The same, where `*` asks for all.
pub(crate) fn is_any_or(asked: Option<&String>, value: &str) -> bool {
    asked.is_none_or(|asked| asked == "*" || asked == value)
}
