//! `global/pg_control`: what a cluster says about itself, behind a checksum of its own.
//!
//! It does not know any server process. Layout: PostgreSQL's `ControlFileData`, versions 13 to 18.
use super::page::PAGE_BYTES;

/// Where it lies in the data folder.
pub(super) const CONTROL_PATH: &str = "global/pg_control";
/// Bytes of the file; far more than the structure in it.
pub(super) const CONTROL_BYTES: usize = PAGE_BYTES;

/// What pg_control says, as far as dumps and loads need it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Control {
    pub(super) system_identifier: u64,
    pub(super) catalog_version: u32,
    state: u32,
    /// Where the latest checkpoint's record begins in the log.
    pub(super) checkpoint: u64,
    pub(super) timeline: u32,
    pub(super) page_bytes: u32,
    pub(super) wal_segment_bytes: u32,
    pub(super) checksums: bool,
}

/// What makes a cluster another one than its copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) system_identifier: u64,
    /// A secret, from which a server answers for users that do not exist.
    pub(super) nonce: [u8; 32],
}

/// Why bytes are not a pg_control that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ControlFault {
    /// Not the right length, or the checksum does not hold: perhaps half-written.
    Torn,
    /// A layout that this version of Snapferry does not know.
    Version(u32),
}

impl Control {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, ControlFault> {
        if bytes.len() != CONTROL_BYTES {
            return Err(ControlFault::Torn);
        }
        let word = |at: usize| {
            u32::from_ne_bytes(
                bytes[at..at + 4]
                    .try_into()
                    .expect("four bytes within a page"),
            )
        };
        let long = |at: usize| {
            u64::from_ne_bytes(
                bytes[at..at + 8]
                    .try_into()
                    .expect("eight bytes within a page"),
            )
        };
        let (_, crc_at) = places(word(8))?;
        if crc32c::crc32c(&bytes[..crc_at]) != word(crc_at) {
            return Err(ControlFault::Torn);
        }
        Ok(Self {
            system_identifier: long(0),
            catalog_version: word(12),
            state: word(16),
            checkpoint: long(32),
            timeline: word(48),
            page_bytes: word(216),
            wal_segment_bytes: word(228),
            checksums: word(252) != 0,
        })
    }

    pub(super) fn is_shut_down(&self) -> bool {
        self.state == 1
    }

    /// Whether its server took writes when it last ran, or was about to: it did not follow.
    pub(super) fn took_writes(&self) -> bool {
        matches!(self.state, 1 | 3 | 4 | 6)
    }

    pub(super) fn state_name(&self) -> &'static str {
        match self.state {
            0 => "starting up",
            1 => "shut down",
            2 => "shut down in recovery",
            3 => "shutting down",
            4 => "in crash recovery",
            5 => "in archive recovery",
            6 => "in production",
            _ => "unknown",
        }
    }
}

/// Where the nonce begins, and where the checksum is that closes the structure.
fn places(version: u32) -> Result<(usize, usize), ControlFault> {
    match version {
        1300 => Ok((256, 288)),
        // A byte that says whether char is signed stands before the nonce.
        1800 => Ok((257, 292)),
        version => Err(ControlFault::Version(version)),
    }
}

/// Gives a pg_control that holds another identity, and the checksum that belongs to it.
///
/// # Errors
/// As [`Control::read`].
pub(super) fn renew(bytes: &mut [u8], identity: &Identity) -> Result<(), ControlFault> {
    Control::read(bytes)?;
    let version = u32::from_ne_bytes(bytes[8..12].try_into().expect("four bytes"));
    let (nonce_at, crc_at) = places(version)?;
    bytes[..8].copy_from_slice(&identity.system_identifier.to_ne_bytes());
    bytes[nonce_at..nonce_at + 32].copy_from_slice(&identity.nonce);
    let crc = crc32c::crc32c(&bytes[..crc_at]);
    bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_ne_bytes());
    Ok(())
}

impl std::fmt::Display for ControlFault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Torn => f.write_str("its checksum does not hold"),
            Self::Version(version) => write!(f, "its layout {version} is not known"),
        }
    }
}

/// Whether a relation map's own checksum holds. Its length depends on the version: 62 entries
/// before PostgreSQL 16, 64 since.
pub(super) fn relation_map_holds(bytes: &[u8]) -> bool {
    let crc_at = match bytes.len() {
        512 => 504,
        524 => 520,
        _ => return false,
    };
    let stored = bytes[crc_at..crc_at + 4].try_into().expect("four bytes");
    crc32c::crc32c(&bytes[..crc_at]) == u32::from_ne_bytes(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pg_control as PostgreSQL 15 lays it out, with a checksum that holds.
    fn sample(version: u32, crc_at: usize) -> Vec<u8> {
        let mut bytes = vec![0; CONTROL_BYTES];
        bytes[0..8].copy_from_slice(&7_711_247_073_803_268_409_u64.to_ne_bytes());
        for (at, value) in [
            (8, version),
            (12, 202_209_061),
            (16, 1),
            (48, 3),
            (216, 8192),
            (228, 16 << 20),
            (252, 1),
        ] {
            bytes[at..at + 4].copy_from_slice(&u32::to_ne_bytes(value));
        }
        bytes[32..40].copy_from_slice(&0x0174_14F8_u64.to_ne_bytes());
        let crc = crc32c::crc32c(&bytes[..crc_at]);
        bytes[crc_at..crc_at + 4].copy_from_slice(&crc.to_ne_bytes());
        bytes
    }

    #[test]
    fn both_layouts_are_read() {
        for (version, crc_at) in [(1300, 288), (1800, 292)] {
            let control = Control::read(&sample(version, crc_at)).expect("holds");
            assert_eq!(control.system_identifier, 7_711_247_073_803_268_409);
            assert_eq!((control.timeline, control.checkpoint), (3, 0x0174_14F8));
            assert_eq!(
                (control.page_bytes, control.wal_segment_bytes),
                (8192, 16 << 20)
            );
            assert!(control.checksums && control.is_shut_down());
        }
    }

    #[test]
    fn another_identity_changes_nothing_else() {
        for (version, crc_at) in [(1300, 288), (1800, 292)] {
            let old = sample(version, crc_at);
            let mut new = old.clone();
            let identity = Identity {
                system_identifier: 5,
                nonce: [7; 32],
            };
            renew(&mut new, &identity).expect("holds");
            let (before, after) = (Control::read(&old), Control::read(&new).expect("holds"));
            assert_eq!(after.system_identifier, 5);
            assert_eq!(
                before,
                Ok(Control {
                    system_identifier: 7_711_247_073_803_268_409,
                    ..after
                })
            );
            let changed: Vec<usize> = (8..CONTROL_BYTES)
                .filter(|at| old[*at] != new[*at])
                .collect();
            assert_eq!(
                changed[..32],
                (crc_at - 35..crc_at)
                    .filter(|at| new[*at] == 7)
                    .collect::<Vec<_>>()
            );
            assert!(
                changed[32..]
                    .iter()
                    .all(|at| (crc_at..crc_at + 4).contains(at))
            );
            new[100] ^= 1;
            assert_eq!(renew(&mut new, &identity), Err(ControlFault::Torn));
        }
    }

    #[test]
    fn a_changed_byte_or_another_layout_is_refused() {
        let mut torn = sample(1300, 288);
        torn[100] ^= 1;
        assert_eq!(Control::read(&torn), Err(ControlFault::Torn));
        assert_eq!(Control::read(&torn[..512]), Err(ControlFault::Torn));
        let other = sample(1201, 288);
        assert_eq!(Control::read(&other), Err(ControlFault::Version(1201)));
    }

    #[test]
    fn relation_maps_carry_a_checksum() {
        for (length, crc_at) in [(512, 504), (524, 520)] {
            let mut map = vec![9_u8; length];
            let crc = crc32c::crc32c(&map[..crc_at]);
            map[crc_at..crc_at + 4].copy_from_slice(&crc.to_ne_bytes());
            assert!(relation_map_holds(&map));
            map[0] ^= 1;
            assert!(!relation_map_holds(&map));
        }
        assert!(!relation_map_holds(&[0; 100]));
    }
}
