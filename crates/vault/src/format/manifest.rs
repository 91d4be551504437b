//! Manifests: a clear, authenticated header that says what a snapshot reaches, and a sealed
//! body that says what the snapshot is.
//!
//! It does not know whose snapshot it is, nor what the engine's document means.

use model::Hash;
use zeroize::Zeroizing;

use crate::{
    error::{ObjectKind, VaultError},
    format::{
        body::Body,
        head::{Head, MANIFEST_BYTES, VolumeTag},
        part::{Packer, PartError, PartSpan, Unpacker, part_bytes_max},
        seal::{DataKey, ObjectKey, Seal, draw},
        tables::{Reached, Tables, object},
    },
};

/// A manifest as read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) tables: Tables,
    pub(crate) body: Body,
}

impl Manifest {
    /// Builds the object and gives its hash, the snapshot's root hash.
    ///
    /// # Errors
    /// When the snapshot is too large to be described.
    pub(crate) fn write(
        volume: VolumeTag,
        data_key: Option<&DataKey>,
        lists: Vec<Reached>,
        packs: Vec<Reached>,
        body: &Body,
        packer: &mut Packer,
    ) -> Result<(Hash, Vec<u8>), VaultError> {
        let head = Head {
            kind: ObjectKind::Manifest,
            sealed: data_key.is_some(),
            volume,
            salt: draw(),
        };
        let tables = Tables {
            head,
            lists,
            packs,
            end: 0,
        };
        let mut object = tables.to_bytes();
        let plain = Zeroizing::new(body.to_bytes());
        let start = object.len();
        if MANIFEST_BYTES < start + part_bytes_max(plain.len()) {
            return Err(VaultError::TooMany {
                what: "bytes in its manifest",
                limit: MANIFEST_BYTES as u64,
            });
        }
        let mut seal = Seal::new(&tables.head, data_key.map(DataKey::bytes), &object);
        object.resize(start + part_bytes_max(plain.len()), 0);
        let taken = packer.write(&mut seal, 0, &plain, &mut object[start..]);
        object.truncate(start + taken);
        Ok((Hash(*blake3::hash(&object).as_bytes()), object))
    }

    /// Reads a manifest whose hash was checked; its body is opened in place.
    ///
    /// # Errors
    /// When it is no manifest of this volume, the key is not its key, or it breaks a rule.
    pub(crate) fn read(
        hash: Hash,
        bytes: &mut [u8],
        volume: VolumeTag,
        data_key: Option<&DataKey>,
        unpacker: &mut Unpacker,
    ) -> Result<Self, VaultError> {
        let object = object(hash);
        let wrong = |why| VaultError::damaged(object, why);
        let tables = Tables::parse(hash, bytes, volume)?;
        if tables.head.sealed != data_key.is_some() {
            return Err(VaultError::Sealing {
                object,
                sealed: tables.head.sealed,
            });
        }
        let mut seal = Seal::new(
            &tables.head,
            data_key.map(DataKey::bytes),
            &bytes[..tables.end],
        );
        let span = PartSpan::read(bytes, tables.end, MANIFEST_BYTES).map_err(|e| wrong(e.why()))?;
        if span.end() != bytes.len() {
            return Err(wrong("it has bytes behind its end"));
        }
        let mut plain = Zeroizing::new(vec![0; span.plain]);
        unpacker
            .read(&mut seal, 0, span, bytes, &mut plain)
            .map_err(|e| match e {
                // The root hash held, so the bytes are those that were sealed.
                PartError::Unopened => VaultError::WrongKey { object },
                other => wrong(other.why()),
            })?;
        let body = Body::parse(&plain, &tables).map_err(wrong)?;
        Ok(Self { tables, body })
    }

    /// The key of a pack by its number; none in an unencrypted volume.
    pub(crate) fn pack_key(&self, pack: usize) -> Option<&ObjectKey> {
        self.body.pack_keys.get(pack)
    }

    /// The key of a list by its number; none in an unencrypted volume.
    pub(crate) fn list_key(&self, list: usize) -> Option<&ObjectKey> {
        self.body.list_keys.get(list)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::{
        block::IdKey,
        body::{Directory, File, Layer, PackUse, Segment},
        head::HEAD_BYTES,
        head::SEGMENT_BYTES,
    };

    const VOLUME: VolumeTag = VolumeTag([4; 32]);

    fn rows(count: u8) -> Vec<Reached> {
        (0..count)
            .map(|i| Reached {
                hash: Hash([i; 32]),
                size: 100 + u64::from(i),
            })
            .collect()
    }

    fn sample(sealed: bool) -> Body {
        let keys = |count: u8| {
            let count = if sealed { count } else { 0 };
            (0..count).map(|i| ObjectKey([i; 32])).collect()
        };
        let directory = |path: &str| Directory {
            path: path.to_owned(),
            mode: 0o700,
        };
        let layer = |list, first| Layer {
            list,
            first,
            count: 5,
        };
        Body {
            id_key: IdKey([1; 32]),
            list_keys: keys(2),
            pack_keys: keys(3),
            pack_uses: (0..3).map(|live| PackUse { blocks: 9, live }).collect(),
            logical_bytes: SEGMENT_BYTES + 5,
            directories: vec![directory("a"), directory("a/b")],
            files: vec![
                File {
                    path: "a/b/c".to_owned(),
                    mode: 0o600,
                    size: SEGMENT_BYTES + 5,
                    change_token: Some([8; 16]),
                    segments: vec![
                        Segment {
                            whole: layer(1, 0),
                            patches: vec![],
                        },
                        Segment {
                            whole: layer(0, 9),
                            patches: vec![layer(1, 7), layer(0, 3)],
                        },
                    ],
                },
                File {
                    path: "empty".to_owned(),
                    mode: 0o640,
                    size: 0,
                    change_token: None,
                    segments: vec![],
                },
            ],
            engine_document: "{}".to_owned(),
            torn: if sealed {
                vec![(0, 0), (0, 4096)]
            } else {
                Vec::new()
            },
            origins: if sealed { vec![7; 9] } else { Vec::new() },
        }
    }

    fn write(body: &Body, key: Option<&DataKey>) -> (Hash, Vec<u8>) {
        Manifest::write(VOLUME, key, rows(2), rows(3), body, &mut Packer::new()).expect("fits")
    }

    fn read(hash: Hash, bytes: &[u8], key: Option<&DataKey>) -> Result<Manifest, VaultError> {
        Manifest::read(hash, &mut bytes.to_vec(), VOLUME, key, &mut Unpacker::new())
    }

    #[test]
    fn manifests_come_back_and_need_their_key() {
        let key = DataKey::from_bytes([5; 32]);
        for key in [None, Some(&key)] {
            let body = sample(key.is_some());
            let (hash, bytes) = write(&body, key);
            let manifest = read(hash, &bytes, key).expect("reads");
            assert_eq!(manifest.body, body);
            assert_eq!(
                (&manifest.tables.lists, &manifest.tables.packs),
                (&rows(2), &rows(3))
            );
            assert_eq!(manifest.tables.reached_bytes(), 100 + 101 + 100 + 101 + 102);
        }
        let (hash, bytes) = write(&sample(true), Some(&key));
        let other = DataKey::from_bytes([6; 32]);
        assert!(matches!(
            read(hash, &bytes, Some(&other)),
            Err(VaultError::WrongKey { .. })
        ));
        assert!(matches!(
            read(hash, &bytes, None),
            Err(VaultError::Sealing { sealed: true, .. })
        ));
        assert!(
            Tables::parse(hash, &bytes, VOLUME).is_ok(),
            "the header needs no key"
        );
        assert!(Tables::parse(hash, &bytes, VolumeTag([0; 32])).is_err());
    }

    #[test]
    fn trees_that_lead_astray_are_refused() {
        type Change = fn(&mut Body);
        let changes: [Change; 11] = [
            |b| b.files[0].path = "a/../c".to_owned(),
            |b| b.files[0].path = "/etc/passwd".to_owned(),
            |b| b.files[0].path = "x/c".to_owned(),
            |b| b.files[0].path = "a/b".to_owned(),
            |b| b.files[0].path = "empty".to_owned(),
            |b| b.directories.reverse(),
            |b| b.logical_bytes += 1,
            |b| b.files[0].segments[0].whole.list = 2,
            |b| b.files[0].segments[1].patches[1].list = 2,
            |b| b.files[0].segments[1].patches[0].count = 4097,
            |b| b.files[0].segments[1].patches = vec![b.files[0].segments[0].whole; 13],
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut body = sample(false);
            change(&mut body);
            let (hash, bytes) = write(&body, None);
            assert!(
                matches!(read(hash, &bytes, None), Err(VaultError::Damaged { .. })),
                "{number}"
            );
        }
    }

    #[test]
    fn a_newer_version_is_named() {
        let (hash, mut bytes) = write(&sample(false), None);
        bytes[8] = 2;
        assert!(matches!(
            read(hash, &bytes, None),
            Err(VaultError::Format { version: 2, .. })
        ));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(
            tail in proptest::collection::vec(any::<u8>(), 0..300), begun: bool
        ) {
            let hash = Hash([0; 32]);
            let mut bytes = if begun { write(&sample(false), None).1[..HEAD_BYTES].to_vec() } else { vec![] };
            bytes.extend(tail);
            let _ = Tables::parse(hash, &bytes, VOLUME);
            let _ = read(hash, &bytes, None);
        }

        #[test]
        fn arbitrary_bodies_never_panic(
            plain in proptest::collection::vec(any::<u8>(), 0..300), keep in 0_usize..200, sealed: bool
        ) {
            let body = sample(sealed);
            let key = DataKey::from_bytes([5; 32]);
            let (hash, bytes) = write(&body, sealed.then_some(&key));
            let tables = Tables::parse(hash, &bytes, VOLUME).expect("reads");
            let mut begun = body.to_bytes();
            begun.truncate(keep);
            begun.extend(&plain);
            let _ = Body::parse(&begun, &tables);
            let _ = Body::parse(&plain, &tables);
        }

        #[test]
        fn any_flipped_bit_of_a_sealed_manifest_is_refused_even_without_its_hash(
            at: proptest::sample::Index, bit in 0_u8..8
        ) {
            let key = DataKey::from_bytes([5; 32]);
            let (hash, mut bytes) = write(&sample(true), Some(&key));
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
            prop_assert!(read(hash, &bytes, Some(&key)).is_err());
        }
    }
}
