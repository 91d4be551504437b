//! `MaxResults` and `NextToken` of AWS Backup's lists.
use data_encoding::BASE64URL_NOPAD;
use serde::de::DeserializeOwned;

use super::faults::invalid;
use crate::shapes::Page;
use service::fault::Fault;

/// Rows of a page at most, and where none are asked for.
const ROWS_MAX: usize = 1_000;

/// The page that is asked for.
///
/// # Errors
/// `InvalidParameterValueException`.
pub(crate) fn asked<K: DeserializeOwned>(
    max_results: Option<i64>,
    token: Option<&str>,
) -> Result<Page<K>, Fault> {
    let rows = match max_results {
        None => ROWS_MAX,
        Some(asked) => usize::try_from(asked)
            .ok()
            .filter(|rows| (1..=ROWS_MAX).contains(rows))
            .ok_or_else(|| {
                invalid(
                    "MaxResults",
                    format!("MaxResults is {asked}: it must be between 1 and {ROWS_MAX}."),
                )
            })?,
    };
    let read = |token: &str| {
        let bytes = BASE64URL_NOPAD.decode(token.as_bytes()).ok()?;
        serde_json::from_slice(&bytes).ok()
    };
    let after = token.map(|token| {
        read(token).ok_or_else(|| {
            invalid(
                "NextToken",
                "The NextToken is not one that this action returned.",
            )
        })
    });
    Ok(Page {
        rows,
        after: after.transpose()?,
    })
}

/// The page that is asked for of a list that is made whole each time, and the token of the next.
///
/// # Errors
/// As [`asked`].
pub(crate) fn cut<T>(
    all: Vec<T>,
    max_results: Option<i64>,
    token: Option<&str>,
    name: impl Fn(&T) -> String,
) -> Result<(Vec<T>, Option<String>), Fault> {
    Ok(asked(max_results, token)?.cut(all, name))
}
