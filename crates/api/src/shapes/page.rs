//! `MaxRecords` and `Marker` of the Describe actions.
//!
//! A marker is the key of the last row of the page before, so rows that come or go between
//! pages neither repeat nor hide others.
use model::limits::PAGE_ROWS;
use serde::{Serialize, de::DeserializeOwned};

use service::fault::Fault;

/// Which rows are asked for.
#[derive(Debug)]
pub struct Page<K> {
    /// At most this many.
    pub rows: usize,
    /// After the row of this key.
    pub after: Option<K>,
}

impl<K: Serialize + DeserializeOwned> Page<K> {
    /// Reads the two parameters.
    ///
    /// # Errors
    /// `InvalidParameterValue` when either is out of bounds.
    pub fn read(max_records: Option<i64>, marker: Option<&str>) -> Result<Self, Fault> {
        let rows = match max_records {
            None => *PAGE_ROWS.end(),
            Some(asked) => usize::try_from(asked)
                .ok()
                .filter(|rows| PAGE_ROWS.contains(rows))
                .ok_or_else(|| {
                    Fault::value(format!(
                        "Invalid value {asked} for MaxRecords. Must be between {} and {}",
                        PAGE_ROWS.start(),
                        PAGE_ROWS.end()
                    ))
                })?,
        };
        let after = marker
            .map(|marker| {
                data_encoding::BASE64URL_NOPAD
                    .decode(marker.as_bytes())
                    .ok()
                    .and_then(|bytes| serde_json::from_slice(&bytes).ok())
                    .ok_or_else(|| Fault::value("The request cannot be processed: the Marker is not one that this action returned."))
            })
            .transpose()?;
        Ok(Self { rows, after })
    }

    /// The marker that asks for what follows `key`.
    pub fn marker(key: &K) -> String {
        data_encoding::BASE64URL_NOPAD
            .encode(&serde_json::to_vec(key).expect("keys serialize to JSON"))
    }
}
