//! A chunk of a cluster's log: a clear header that says which stretch it is and what it follows,
//! and the log's bytes, sealed.
//!
//! It does not know how an engine's log is laid out, nor which chunks are needed.
use model::{Hash, LogPlace, Timestamp};
use uuid::Uuid;

use crate::{
    error::{ObjectId, ObjectKind, VaultError},
    format::{
        cursor::Cursor,
        head::{CHUNK_HISTORY_BYTES, CHUNK_LOG_BYTES, HEAD_BYTES, Head, VolumeTag},
        part::{Packer, PartError, PartSpan, Unpacker, part_bytes_max},
        seal::{DataKey, Seal, Sealing, draw},
    },
};

/// Bytes of the clear header behind the head.
const FIELDS_BYTES: usize = 16 + 4 + 8 + 8 + 8 + 32 + 32 + 4;
/// A part's plaintext, bytes, at most.
const STRETCH_BYTES: usize = 1 << 20;

/// Which stretch of a log a chunk is. All of it stands in the clear.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkHead {
    /// The stream.
    pub stream: Uuid,
    /// Where its bytes begin.
    pub start: LogPlace,
    /// The position behind its last byte.
    pub end: u64,
    /// A moment: what was acknowledged until then lies before `end`.
    pub at: Timestamp,
    /// The chunk before it in the stream; none in the first.
    pub previous: Option<Hash>,
    /// The last of the chunks that it was put together from: one that follows may name that as its
    /// previous. None in a chunk as it was streamed.
    pub stands_for: Option<Hash>,
}

/// A chunk, opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chunk {
    /// Which stretch it is.
    pub head: ChunkHead,
    /// How its timeline came to be, in the engine's own words: in the first chunk of each timeline
    /// but the first. Empty elsewhere.
    pub history: Vec<u8>,
    /// The log.
    pub log: Vec<u8>,
}

fn optional(hash: Option<Hash>) -> [u8; 32] {
    hash.map_or([0; 32], |hash| hash.0)
}

impl ChunkHead {
    fn to_bytes(self, history: usize) -> [u8; FIELDS_BYTES] {
        let mut bytes = Vec::with_capacity(FIELDS_BYTES);
        bytes.extend_from_slice(self.stream.as_bytes());
        bytes.extend_from_slice(&self.start.timeline.to_le_bytes());
        bytes.extend_from_slice(&self.start.position.to_le_bytes());
        bytes.extend_from_slice(&self.end.to_le_bytes());
        bytes.extend_from_slice(&self.at.0.to_le_bytes());
        bytes.extend_from_slice(&optional(self.previous));
        bytes.extend_from_slice(&optional(self.stands_for));
        let history = u32::try_from(history).expect("histories are bounded");
        bytes.extend_from_slice(&history.to_le_bytes());
        bytes.try_into().expect("the fields' sizes are constant")
    }

    /// Reads the fields, and the bytes of the history.
    fn parse(cursor: &mut Cursor<'_>) -> Option<(Self, usize)> {
        let stream = Uuid::from_bytes(cursor.array()?);
        let start = LogPlace {
            timeline: cursor.u32()?,
            position: cursor.u64()?,
        };
        let end = cursor.u64()?;
        let at = Timestamp(i64::from_le_bytes(cursor.array()?));
        let mut hash = || {
            let bytes = cursor.array()?;
            Some((bytes != [0; 32]).then_some(Hash(bytes)))
        };
        let (previous, stands_for) = (hash()?, hash()?);
        let history = usize::try_from(cursor.u32()?).ok()?;
        let head = Self {
            stream,
            start,
            end,
            at,
            previous,
            stands_for,
        };
        head.is_sane(history).then_some((head, history))
    }

    fn is_sane(&self, history: usize) -> bool {
        let bytes = self.end.checked_sub(self.start.position);
        bytes.is_some_and(|bytes| (1..=CHUNK_LOG_BYTES as u64).contains(&bytes))
            && history <= CHUNK_HISTORY_BYTES
    }
}

impl Chunk {
    /// The object's bytes and their hash.
    ///
    /// # Errors
    /// [`VaultError::TooMany`] when it is larger than a chunk may be, or its places do not fit its
    /// bytes.
    pub(crate) fn write(
        &self,
        volume: VolumeTag,
        sealing: &Sealing,
    ) -> Result<(Hash, Vec<u8>), VaultError> {
        let length = self.head.end.checked_sub(self.head.start.position);
        if !self.head.is_sane(self.history.len()) || length != Some(self.log.len() as u64) {
            return Err(VaultError::TooMany {
                what: "bytes in a chunk of the log",
                limit: CHUNK_LOG_BYTES as u64,
            });
        }
        let key = sealing.data_key();
        let head = Head {
            kind: ObjectKind::Chunk,
            sealed: key.is_some(),
            volume,
            salt: draw(),
        };
        let mut bytes = head.to_bytes().to_vec();
        bytes.extend_from_slice(&self.head.to_bytes(self.history.len()));
        let mut seal = Seal::new(&head, key.map(DataKey::bytes), &bytes);
        let plain = [self.history.as_slice(), self.log.as_slice()].concat();
        let mut packer = Packer::new();
        for (number, stretch) in (0..).zip(plain.chunks(STRETCH_BYTES)) {
            let from = bytes.len();
            bytes.resize(from + part_bytes_max(stretch.len()), 0);
            let taken = packer.write(&mut seal, number, stretch, &mut bytes[from..]);
            bytes.truncate(from + taken);
        }
        Ok((Hash(*blake3::hash(&bytes).as_bytes()), bytes))
    }

    /// Opens an object whose hash was checked; its bytes are changed in place.
    ///
    /// # Errors
    /// When it is no chunk of this volume or breaks a rule; [`VaultError::WrongKey`];
    /// [`VaultError::Sealing`].
    pub(crate) fn read(
        hash: Hash,
        bytes: &mut [u8],
        volume: VolumeTag,
        key: Option<&DataKey>,
    ) -> Result<Self, VaultError> {
        let object = ObjectId {
            kind: ObjectKind::Chunk,
            hash,
        };
        let damaged = |why| VaultError::damaged(object, why);
        let (sealed, head, history) = clear(object, bytes, volume)?;
        if sealed.sealed != key.is_some() {
            return Err(VaultError::Sealing {
                object,
                sealed: sealed.sealed,
            });
        }
        let begin = HEAD_BYTES + FIELDS_BYTES;
        let mut seal = Seal::new(&sealed, key.map(DataKey::bytes), &bytes[..begin]);
        let log_bytes = usize::try_from(head.end - head.start.position).expect("it is bounded");
        let mut plain = vec![0; history + log_bytes];
        let (mut at, mut filled, mut unpacker) = (begin, 0, Unpacker::new());
        for number in 0.. {
            if filled == plain.len() {
                break;
            }
            let room = &mut plain[filled..];
            let span = PartSpan::read(bytes, at, room.len().min(STRETCH_BYTES))
                .map_err(|error| damaged(error.why()))?;
            if span.plain == 0 {
                return Err(damaged("a part of it is empty"));
            }
            let end = span.end();
            match unpacker.read(&mut seal, number, span, bytes, room) {
                Ok(()) => {}
                Err(PartError::Unopened) => return Err(VaultError::WrongKey { object }),
                Err(error) => return Err(damaged(error.why())),
            }
            (at, filled) = (end, filled + span.plain);
        }
        if at != bytes.len() {
            return Err(damaged("it has bytes behind its last part"));
        }
        let log = plain.split_off(history);
        Ok(Self {
            head,
            history: plain,
            log,
        })
    }
}

/// What the chunk of this hash says of itself without any key.
fn clear(
    object: ObjectId,
    bytes: &[u8],
    volume: VolumeTag,
) -> Result<(Head, ChunkHead, usize), VaultError> {
    let head = Head::parse(bytes, object, volume)?;
    let mut cursor = Cursor(&bytes[HEAD_BYTES..]);
    match ChunkHead::parse(&mut cursor) {
        Some((fields, history)) => Ok((head, fields, history)),
        None => Err(VaultError::damaged(
            object,
            "its header is cut short or breaks a bound",
        )),
    }
}

impl ChunkHead {
    /// Reads the header of an object whose hash was checked, without any key.
    ///
    /// # Errors
    /// When it is no chunk of this volume or breaks a rule.
    pub(crate) fn of_object(
        hash: Hash,
        bytes: &[u8],
        volume: VolumeTag,
    ) -> Result<Self, VaultError> {
        let object = ObjectId {
            kind: ObjectKind::Chunk,
            hash,
        };
        clear(object, bytes, volume).map(|(_, head, _)| head)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const VOLUME: VolumeTag = VolumeTag([1; 32]);

    fn key(byte: u8) -> Sealing {
        Sealing::Sealed(DataKey::from_bytes([byte; 32]))
    }

    fn chunk(log: Vec<u8>, history: Vec<u8>) -> Chunk {
        Chunk {
            head: ChunkHead {
                stream: Uuid::from_u128(7),
                start: LogPlace {
                    timeline: 3,
                    position: 1 << 40,
                },
                end: (1 << 40) + log.len() as u64,
                at: Timestamp(-5),
                previous: Some(Hash([9; 32])),
                stands_for: None,
            },
            history,
            log,
        }
    }

    fn read(
        hash: Hash,
        bytes: &[u8],
        volume: VolumeTag,
        sealing: &Sealing,
    ) -> Result<Chunk, VaultError> {
        Chunk::read(hash, &mut bytes.to_vec(), volume, sealing.data_key())
    }

    #[test]
    fn a_large_chunk_is_cut_into_parts_and_comes_back() {
        let log: Vec<u8> = (0..3 * STRETCH_BYTES + 5)
            .map(|at| u8::try_from((at * at) % 251).expect("a byte"))
            .collect();
        let chunk = chunk(log, b"1\t0/3000000\n".to_vec());
        let (hash, bytes) = chunk.write(VOLUME, &key(1)).expect("fits");
        assert_eq!(read(hash, &bytes, VOLUME, &key(1)).expect("opens"), chunk);
        let head = ChunkHead::of_object(hash, &bytes, VOLUME).expect("it is clear");
        assert_eq!(head, chunk.head);
    }

    #[test]
    fn a_chunk_opens_under_its_key_and_in_its_volume_alone() {
        let chunk = chunk(vec![5; 100], vec![]);
        let (hash, bytes) = chunk.write(VOLUME, &key(1)).expect("fits");
        let wrong = read(hash, &bytes, VOLUME, &key(2));
        assert!(matches!(wrong, Err(VaultError::WrongKey { .. })));
        let open = read(hash, &bytes, VOLUME, &Sealing::Open);
        assert!(matches!(
            open,
            Err(VaultError::Sealing { sealed: true, .. })
        ));
        assert!(read(hash, &bytes, VolumeTag([2; 32]), &key(1)).is_err());
    }

    #[test]
    fn places_that_do_not_fit_the_bytes_are_refused() {
        for change in [
            |chunk: &mut Chunk| chunk.head.end += 1,
            |chunk: &mut Chunk| chunk.head.end = chunk.head.start.position,
            |chunk: &mut Chunk| chunk.head.end = 0,
            |chunk: &mut Chunk| chunk.history = vec![0; CHUNK_HISTORY_BYTES + 1],
            |chunk: &mut Chunk| chunk.log = vec![0; CHUNK_LOG_BYTES + 1],
        ] {
            let mut chunk = chunk(vec![5; 100], vec![]);
            change(&mut chunk);
            let written = chunk.write(VOLUME, &Sealing::Open);
            assert!(matches!(written, Err(VaultError::TooMany { .. })));
        }
    }

    proptest! {
        #[test]
        fn chunks_come_back(
            log in proptest::collection::vec(any::<u8>(), 1..5000),
            history in proptest::collection::vec(any::<u8>(), 0..200), sealed: bool
        ) {
            let sealing = if sealed { key(1) } else { Sealing::Open };
            let chunk = chunk(log, history);
            let (hash, bytes) = chunk.write(VOLUME, &sealing).expect("fits");
            prop_assert_eq!(read(hash, &bytes, VOLUME, &sealing).expect("opens"), chunk);
        }

        #[test]
        fn any_flipped_bit_of_a_sealed_chunk_is_refused(
            at: proptest::sample::Index, bit in 0_u8..8
        ) {
            let chunk = chunk((0..200).collect(), vec![1, 2]);
            let (hash, mut bytes) = chunk.write(VOLUME, &key(1)).expect("fits");
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read(hash, &bytes, VOLUME, &key(1)).is_err());
        }

        #[test]
        fn a_chunk_that_was_cut_is_refused(at: proptest::sample::Index, sealed: bool) {
            let sealing = if sealed { key(1) } else { Sealing::Open };
            let (hash, bytes) = chunk((0..200).collect(), vec![]).write(VOLUME, &sealing).expect("fits");
            let cut = &bytes[..at.index(bytes.len())];
            prop_assert!(read(hash, cut, VOLUME, &sealing).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..300), keep in 0_usize..200
        ) {
            let (hash, bytes) = chunk(vec![1; 50], vec![]).write(VOLUME, &Sealing::Open).expect("fits");
            let mut bytes = bytes[..keep.min(bytes.len())].to_vec();
            bytes.extend(tail);
            let _ = read(hash, &bytes, VOLUME, &Sealing::Open);
            let _ = ChunkHead::of_object(hash, &bytes, VOLUME);
        }
    }
}
