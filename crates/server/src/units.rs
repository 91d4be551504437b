//! How quantities are written for people.
//!
//! It does not know what they are of.

/// `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "B");
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

/// `1 snapshot`, `2 snapshots`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let plural = match (count, what.strip_suffix("ias")) {
        (1, _) => what.to_owned(),
        (_, Some(_)) => format!("{what}es"),
        _ => format!("{what}s"),
    };
    format!("{count} {plural}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        assert_eq!(size(1_023), "1023 B");
        assert_eq!(size(1_536 << 20), "1.5 GiB");
        assert_eq!(counted(1, "alias"), "1 alias");
        assert_eq!(counted(2, "alias"), "2 aliases");
        assert_eq!(counted(0, "key"), "0 keys");
    }
}
