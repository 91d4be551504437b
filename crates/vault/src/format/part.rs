//! A part: bytes compressed and sealed as one behind a small header. Frames of packs, the body
//! of a block list and the body of a manifest are parts.
//!
//! It does not know what is in them.
use zstd::bulk::{Compressor, Decompressor};

use crate::format::{
    cursor::Cursor,
    seal::{Seal, Unopened},
};

/// The part header's length, bytes.
pub(crate) const PART_HEADER_BYTES: usize = 12;
const METHOD_NONE: u8 = 0;
const METHOD_ZSTD: u8 = 1;
const ZSTD_LEVEL: i32 = 1;

/// What a part of so many plain bytes takes at most, sealed, bytes.
pub(crate) const fn part_bytes_max(plain_bytes: usize) -> usize {
    PART_HEADER_BYTES + plain_bytes + crate::format::seal::TAG_BYTES
}

/// Why a part cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PartError {
    /// The object ends within it.
    Short,
    /// Its header says what format 1 cannot say.
    Header,
    /// Its plain length is over what its reader accepts.
    Large,
    /// It is not what was sealed here under this key.
    Unopened,
    /// It does not decompress to its plain length.
    Compression,
}

impl PartError {
    pub(crate) fn why(self) -> &'static str {
        match self {
            Self::Short => "it ends within a part",
            Self::Header => "a part's header is not of format 1",
            Self::Large => "a part is larger than format 1 allows",
            Self::Unopened => "a part does not open under its key",
            Self::Compression => "a part does not decompress to its length",
        }
    }
}

impl From<Unopened> for PartError {
    fn from(Unopened: Unopened) -> Self {
        Self::Unopened
    }
}

/// Compresses, and keeps its tables between parts.
pub(crate) struct Packer(Compressor<'static>);

impl Packer {
    pub(crate) fn new() -> Self {
        Self(Compressor::new(ZSTD_LEVEL).expect("zstd has level 1"))
    }

    /// Writes a part to the beginning of `dst`, which has room for [`part_bytes_max`], and gives
    /// the bytes it took. What does not become smaller is kept as it is.
    pub(crate) fn write(
        &mut self,
        seal: &mut Seal,
        number: u32,
        plain: &[u8],
        dst: &mut [u8],
    ) -> usize {
        let body = &mut dst[PART_HEADER_BYTES..];
        // zstd fails when the result would not be smaller than the plain bytes.
        let (method, length) = match self.0.compress_to_buffer(plain, &mut body[..plain.len()]) {
            Ok(length) if length < plain.len() => (METHOD_ZSTD, length),
            _ => {
                body[..plain.len()].copy_from_slice(plain);
                (METHOD_NONE, plain.len())
            }
        };
        close(seal, number, method, (length, plain.len()), dst)
    }
}

/// Writes a part of bytes that are packed already, as [`PartSpan::open`] gave them, and gives
/// the bytes it took of `dst`.
pub(crate) fn write_packed(
    seal: &mut Seal,
    number: u32,
    span: PartSpan,
    packed: &[u8],
    dst: &mut [u8],
) -> usize {
    dst[PART_HEADER_BYTES..PART_HEADER_BYTES + packed.len()].copy_from_slice(packed);
    let method = if span.compressed {
        METHOD_ZSTD
    } else {
        METHOD_NONE
    };
    close(seal, number, method, (packed.len(), span.plain), dst)
}

/// Lays the header before a part's bytes, which are in place, and seals them.
fn close(
    seal: &mut Seal,
    number: u32,
    method: u8,
    (packed, plain): (usize, usize),
    dst: &mut [u8],
) -> usize {
    let (header, body) = dst.split_at_mut(PART_HEADER_BYTES);
    let stored = packed + seal.overhead();
    let length = |bytes: usize| u32::try_from(bytes).expect("parts are small").to_le_bytes();
    header[..4].copy_from_slice(&length(stored));
    header[4..8].copy_from_slice(&length(plain));
    header[8..].copy_from_slice(&[method, 0, 0, 0]);
    seal.close(number, header, &mut body[..stored]);
    PART_HEADER_BYTES + stored
}

/// Where a part lies in its object, by its header alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PartSpan {
    start: usize,
    stored: usize,
    /// Bytes of plaintext.
    pub(crate) plain: usize,
    /// Whether zstd made them fewer.
    pub(crate) compressed: bool,
}

impl PartSpan {
    /// Reads the header of the part that begins at `start`.
    pub(crate) fn read(object: &[u8], start: usize, plain_max: usize) -> Result<Self, PartError> {
        let mut header = Cursor(object.get(start..).ok_or(PartError::Short)?);
        let (stored, plain) = (
            header.u32().ok_or(PartError::Short)? as usize,
            header.u32().ok_or(PartError::Short)? as usize,
        );
        let compressed = match header.array().ok_or(PartError::Short)? {
            [METHOD_NONE, 0, 0, 0] => false,
            [METHOD_ZSTD, 0, 0, 0] => true,
            _ => return Err(PartError::Header),
        };
        if plain_max < plain {
            return Err(PartError::Large);
        }
        if header.0.len() < stored {
            return Err(PartError::Short);
        }
        Ok(Self {
            start,
            stored,
            plain,
            compressed,
        })
    }

    /// Where the next part begins.
    pub(crate) fn end(&self) -> usize {
        self.start + PART_HEADER_BYTES + self.stored
    }

    /// Opens the part, which changes the object's bytes in place, and gives its bytes as they
    /// were packed.
    pub(crate) fn open<'a>(
        self,
        seal: &mut Seal,
        number: u32,
        object: &'a mut [u8],
    ) -> Result<&'a [u8], PartError> {
        let (header, body) = object[self.start..self.end()].split_at_mut(PART_HEADER_BYTES);
        Ok(seal.open(number, header, body)?)
    }
}

/// Decompresses, and keeps its tables between parts.
pub(crate) struct Unpacker(Decompressor<'static>);

impl Unpacker {
    pub(crate) fn new() -> Self {
        Self(Decompressor::new().expect("zstd can decompress"))
    }

    /// Opens a part, which changes the object's bytes in place, and lays its plaintext into the
    /// first `span.plain` bytes of `dst`, which is at least that long.
    pub(crate) fn read(
        &mut self,
        seal: &mut Seal,
        number: u32,
        span: PartSpan,
        object: &mut [u8],
        dst: &mut [u8],
    ) -> Result<(), PartError> {
        let packed = span.open(seal, number, object)?;
        let dst = &mut dst[..span.plain];
        if !span.compressed {
            if packed.len() != span.plain {
                return Err(PartError::Compression);
            }
            dst.copy_from_slice(packed);
            return Ok(());
        }
        match self.0.decompress_to_buffer(packed, dst) {
            Ok(length) if length == span.plain => Ok(()),
            _ => Err(PartError::Compression),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        error::ObjectKind,
        format::head::{Head, VolumeTag},
    };

    fn seal(key: Option<[u8; 32]>) -> Seal {
        let head = Head {
            kind: ObjectKind::Pack,
            sealed: key.is_some(),
            volume: VolumeTag([1; 32]),
            salt: [2; 32],
        };
        Seal::new(&head, key.as_ref(), &head.to_bytes())
    }

    fn written(key: Option<[u8; 32]>, plain: &[u8]) -> Vec<u8> {
        let mut dst = vec![0; part_bytes_max(plain.len())];
        let length = Packer::new().write(&mut seal(key), 5, plain, &mut dst);
        dst.truncate(length);
        dst
    }

    fn read(key: Option<[u8; 32]>, bytes: &[u8], plain_max: usize) -> Result<Vec<u8>, PartError> {
        let span = PartSpan::read(bytes, 0, plain_max)?;
        let mut plain = vec![0; span.plain];
        let mut bytes = bytes.to_vec();
        Unpacker::new().read(&mut seal(key), 5, span, &mut bytes, &mut plain)?;
        Ok(plain)
    }

    fn contents() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..3000),
            (any::<u8>(), 0_usize..9000).prop_map(|(byte, count)| vec![byte; count]),
        ]
    }

    proptest! {
        #[test]
        fn parts_come_back(plain in contents(), sealed: bool) {
            let key = sealed.then_some([3; 32]);
            let bytes = written(key, &plain);
            prop_assert!(bytes.len() <= part_bytes_max(plain.len()));
            prop_assert_eq!(read(key, &bytes, plain.len()), Ok(plain));
        }

        #[test]
        fn any_flipped_bit_of_a_sealed_part_is_refused(
            plain in contents(), at: proptest::sample::Index, bit in 0_u8..8
        ) {
            let key = Some([3; 32]);
            let mut bytes = written(key, &plain);
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read(key, &bytes, plain.len()).is_err());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(None, &bytes, 1 << 16);
        }
    }

    #[test]
    fn what_does_not_shrink_is_kept_as_it_is() {
        let noise: Vec<u8> = (0..1000_u32)
            .flat_map(|i| blake3::hash(&i.to_le_bytes()).as_bytes()[..8].to_vec())
            .collect();
        let bytes = written(None, &noise);
        assert_eq!(bytes.len(), PART_HEADER_BYTES + noise.len());
        assert!(written(None, &[7; 8192]).len() < 100);
    }
}
