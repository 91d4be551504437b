//! Names and heads of the log's segments.
//!
//! It does not know what the log says.
use crate::postgres::control::Control;

/// Bytes at a segment's beginning that say which segment it is.
pub(in crate::postgres) const HEAD_BYTES: usize = 40;
/// Bytes of a page of the log.
pub(in crate::postgres) const PAGE_BYTES: usize = 8192;

/// The segments of one timeline.
#[derive(Debug, Clone, Copy)]
pub(in crate::postgres) struct Segments {
    pub(in crate::postgres) timeline: u32,
    pub(in crate::postgres) bytes: u64,
    system_identifier: u64,
}

impl Segments {
    pub(in crate::postgres) fn of(control: &Control, timeline: u32) -> Self {
        Self {
            timeline,
            bytes: u64::from(control.wal_segment_bytes),
            system_identifier: control.system_identifier,
        }
    }

    /// Those that a segment's head tells of; none when it is no head.
    pub(in crate::postgres) fn of_head(head: &[u8; HEAD_BYTES], timeline: u32) -> Option<Self> {
        let bytes = u32::from_ne_bytes(head[32..36].try_into().expect("four bytes"));
        let is_possible = bytes.is_power_of_two() && (1 << 20..=1 << 30).contains(&bytes);
        let segments = Self {
            timeline,
            bytes: bytes.into(),
            system_identifier: u64::from_ne_bytes(head[24..32].try_into().expect("eight bytes")),
        };
        (is_possible && segments.is_ours(head)).then_some(segments)
    }

    /// The number of the segment that holds this place.
    pub(in crate::postgres) fn number(&self, lsn: u64) -> u64 {
        lsn / self.bytes
    }

    /// The file name of a segment.
    pub(in crate::postgres) fn name(&self, number: u64) -> String {
        let per_id = (1 << 32) / self.bytes;
        format!(
            "{:08X}{:08X}{:08X}",
            self.timeline,
            number / per_id,
            number % per_id
        )
    }

    /// Whether a segment's head says that it is this segment of this cluster. A segment that was
    /// put to new use meanwhile keeps its old head until it is written.
    pub(in crate::postgres) fn head_fits(&self, number: u64, head: &[u8; HEAD_BYTES]) -> bool {
        let place = u64::from_ne_bytes(head[8..16].try_into().expect("eight bytes of the head"));
        Some(place) == number.checked_mul(self.bytes) && self.is_ours(head)
    }

    /// The head with another cluster's identifier; none when it is not this cluster's.
    pub(in crate::postgres) fn renewed(
        &self,
        head: &[u8; HEAD_BYTES],
        system_identifier: u64,
    ) -> Option<[u8; HEAD_BYTES]> {
        let mut new = *head;
        new[24..32].copy_from_slice(&system_identifier.to_ne_bytes());
        self.is_ours(head).then_some(new)
    }

    /// Whether a segment's head is one of this cluster's.
    pub(super) fn is_ours(&self, head: &[u8; HEAD_BYTES]) -> bool {
        let cluster = u64::from_ne_bytes(head[24..32].try_into().expect("eight bytes"));
        let bytes = u32::from_ne_bytes(head[32..36].try_into().expect("four bytes"));
        let page_bytes = u32::from_ne_bytes(head[36..40].try_into().expect("four bytes"));
        cluster == self.system_identifier
            && u64::from(bytes) == self.bytes
            && page_bytes as usize == PAGE_BYTES
    }
}

/// `<timeline>.history`: which timelines the cluster came through.
pub(in crate::postgres) fn is_history(name: &str) -> bool {
    name.strip_suffix(".history").is_some_and(|timeline| {
        timeline.len() == 8
            && timeline
                .bytes()
                .all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEGMENTS: Segments = Segments {
        timeline: 2,
        bytes: 16 << 20,
        system_identifier: 77,
    };

    #[test]
    fn names_are_postgresqls() {
        let name = |lsn| SEGMENTS.name(SEGMENTS.number(lsn));
        assert_eq!(name(0x0174_14F8), "000000020000000000000001");
        assert_eq!(name(0xFF00_0000), "0000000200000000000000FF");
        assert_eq!(name(0x1_0000_0000), "000000020000000100000000");
        assert!(is_history("0000000A.history"));
        assert!(!is_history("../0000000A.history") && !is_history("0000000a.history"));
    }

    #[test]
    fn heads_tell_a_reused_segment() {
        let mut head = [0; HEAD_BYTES];
        head[8..16].copy_from_slice(&(3_u64 * (16 << 20)).to_ne_bytes());
        head[24..32].copy_from_slice(&77_u64.to_ne_bytes());
        head[32..36].copy_from_slice(&(16_u32 << 20).to_ne_bytes());
        head[36..40].copy_from_slice(&8192_u32.to_ne_bytes());
        assert!(SEGMENTS.head_fits(3, &head));
        assert!(!SEGMENTS.head_fits(4, &head));
    }
}
