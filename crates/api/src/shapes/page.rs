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

impl Page<(String, usize)> {
    /// The page's part of a list that is made whole each time, and the marker of the next. The marker
    /// is the last item's name, beside its place for lists in which names repeat or have no order.
    pub fn cut<T>(&self, all: Vec<T>, name: impl Fn(&T) -> String) -> (Vec<T>, Option<String>) {
        let start = self.after.as_ref().map_or(0, |(last, place)| {
            let stays = all.get(*place).is_some_and(|item| name(item) == *last);
            match stays {
                true => place + 1,
                false => all.iter().take_while(|item| name(item) <= *last).count(),
            }
        });
        let more = start.saturating_add(self.rows) < all.len();
        let items: Vec<T> = all.into_iter().skip(start).take(self.rows).collect();
        let last = items.last().filter(|_| more);
        let marker = last.map(|item| Self::marker(&(name(item), start + items.len() - 1)));
        (items, marker)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_walked_page_by_page_though_it_changes() {
        let all: Vec<String> = (0..50).map(|number| format!("n{number:02}")).collect();
        let first: Page<(String, usize)> = Page::read(Some(20), None).expect("a page");
        let (items, marker) = first.cut(all.clone(), String::clone);
        assert_eq!((items.len(), items[19].as_str()), (20, "n19"));
        let second = Page::read(Some(100), marker.as_deref()).expect("a page");
        let (items, none) = second.cut(all.clone(), String::clone);
        assert_eq!((items.len(), items[0].as_str(), none), (30, "n20", None));
        let fewer: Vec<String> = all.into_iter().skip(5).collect();
        assert_eq!(second.cut(fewer, String::clone).0[0], "n20");
    }
}
