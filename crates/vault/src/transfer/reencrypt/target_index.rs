//! What is at the target already of the origin's packs and lists, and what is still wanted.
//!
//! It does not know where objects are kept, nor how they are sealed.
use std::collections::HashMap;

use model::Hash;

use super::{
    frames::Fresh,
    origins::{Carried, Local, Mask, Origins, Row},
};
use crate::{
    error::{ObjectId, ObjectKind},
    format::{
        body::PackUse,
        head::VolumeTag,
        list::{Entry, List, ListDraft, ListEntry},
        manifest::Manifest,
        pack::Place,
        seal::ObjectKey,
        tables::Reached,
    },
    store::listing::VolumeListing,
};

/// A pack here that holds frames of a pack of the origin.
#[derive(Debug)]
struct Part {
    origin: Hash,
    hash: Hash,
    /// What is needed to reach it; none when it is only named by lists.
    held: Option<(Reached, Option<ObjectKey>)>,
    carried: Carried,
    /// Blocks stored in it.
    blocks: u32,
    /// Live blocks that are found in it.
    live: u32,
    /// Whether an entry of a list names it.
    named: bool,
    /// Whether this copy made it, in this try or an earlier one.
    own: bool,
}

/// A list here, which serves a copy once: no hash stands twice in a manifest.
type KnownList = (Reached, Option<ObjectKey>);

/// The packs and lists at the target.
#[derive(Debug, Default)]
pub(crate) struct TargetIndex {
    parts: Vec<Part>,
    of: HashMap<Hash, Vec<usize>>,
    lists: HashMap<[u8; 32], Vec<KnownList>>,
}

/// Tables of a manifest, and what its body says of them.
#[derive(Debug, Default)]
pub(crate) struct Inventory {
    pub(crate) packs: Vec<Reached>,
    pub(crate) pack_keys: Vec<ObjectKey>,
    pub(crate) pack_uses: Vec<PackUse>,
    pub(crate) rows: Vec<Row>,
}

/// Stands for the pack of a block that did not come along. No object has this hash, so a reader
/// that needs such a block finds that it is not there.
const NOWHERE: Hash = Hash([0; 32]);

impl TargetIndex {
    /// Learns from a manifest that an earlier copy of the same volume, or an earlier try, wrote.
    pub(crate) fn learn(
        &mut self,
        manifest: &Manifest,
        from: VolumeTag,
        listing: &VolumeListing,
        own: bool,
    ) {
        let tables = &manifest.tables;
        let origins = Origins::parse(&manifest.body.origins, tables.packs.len());
        let Some(origins) = origins.filter(|origins| origins.volume == from) else {
            return;
        };
        let is_here = |kind, row: &Reached| {
            let hash = row.hash;
            listing.holds(ObjectId { kind, hash }, row.size)
        };
        for row in origins.rows {
            let (hash, held, blocks) = match row.local {
                Local::Unreached(hash) => (hash, None, 0),
                Local::Reached(number) => {
                    let number = number as usize;
                    let pack = tables.packs[number];
                    let held = is_here(ObjectKind::Pack, &pack)
                        .then(|| (pack, manifest.pack_key(number).cloned()));
                    (pack.hash, held, manifest.body.pack_uses[number].blocks)
                }
            };
            self.add(Part {
                origin: row.origin,
                hash,
                held,
                carried: row.carried,
                blocks,
                live: 0,
                named: false,
                own,
            });
        }
        for (number, digest) in origins.lists.into_iter().enumerate() {
            let row = tables.lists.get(number).copied();
            let row = row.filter(|row| is_here(ObjectKind::List, row));
            if let Some(row) = row {
                let key = manifest.list_key(number).cloned();
                self.lists.entry(digest).or_default().push((row, key));
            }
        }
    }

    fn add(&mut self, part: Part) {
        let known = self.of.entry(part.origin).or_default();
        match known.iter().find(|at| self.parts[**at].hash == part.hash) {
            Some(at) if self.parts[*at].held.is_some() || part.held.is_none() => {}
            Some(at) => self.parts[*at] = part,
            None => {
                known.push(self.parts.len());
                self.parts.push(part);
            }
        }
    }

    /// Takes a pack in that this copy made for these live blocks, and that is durable with so
    /// many bytes.
    pub(crate) fn add_fresh(&mut self, origin: Hash, fresh: Fresh, size: u64, masks: &[Mask]) {
        let live = (0..)
            .zip(masks)
            .map(|(frame, mask)| mask & fresh.carried.mask(frame));
        let live = live.map(Mask::count_ones).sum();
        let hash = fresh.hash;
        self.add(Part {
            origin,
            hash,
            held: Some((Reached { hash, size }, fresh.key)),
            carried: fresh.carried,
            blocks: fresh.blocks,
            live,
            named: false,
            own: true,
        });
    }

    /// Finds live blocks of a pack of the origin in what is held, and leaves in `masks` those
    /// that are not.
    pub(crate) fn settle(&mut self, origin: Hash, masks: &mut [Mask]) {
        for at in self.of.get(&origin).into_iter().flatten() {
            let part = &mut self.parts[*at];
            if part.held.is_none() {
                continue;
            }
            for (frame, mask) in masks.iter_mut().enumerate() {
                let found = *mask & part.carried.mask(frame);
                part.live += found.count_ones();
                *mask &= !found;
            }
        }
    }

    /// Where a block of the origin is here: the first pack that is held and has it, or else the
    /// first one that once was.
    fn find(&mut self, origin: Hash, place: Place) -> Option<(usize, Place)> {
        let known = self.of.get(&origin)?;
        let find = |held: bool| {
            known.iter().find_map(|at| {
                let part = &self.parts[*at];
                let place = part.carried.place(place)?;
                (part.held.is_some() == held).then_some((*at, place))
            })
        };
        let (at, place) = find(true).or_else(|| find(false))?;
        self.parts[at].named = true;
        Some((at, place))
    }

    /// The plaintext of a list whose entries say where the blocks lie here.
    pub(crate) fn rewrite(&mut self, list: &List) -> Vec<u8> {
        let origins: Vec<Hash> = list.packs().collect();
        let nowhere = u32::MAX;
        let entries = (0..list.entries()).map(|number| match list.entry(number) {
            ListEntry::Zero => Entry::Zero,
            ListEntry::Stored { id, pack, place } => match self.find(origins[pack], place) {
                Some((at, place)) => Entry::Stored {
                    id: *id,
                    pack: u32::try_from(at).expect("the size of manifests bounds their tables"),
                    place,
                },
                None => Entry::Stored {
                    id: [0; 16],
                    pack: nowhere,
                    place: Place(0),
                },
            },
        });
        let entries = entries.collect();
        let positions = list.is_patches().then(|| {
            let positions = (0..list.entries()).map(|entry| list.position(entry));
            let narrow = |at: usize| u16::try_from(at).expect("it was read from 16 bits");
            positions.map(narrow).collect()
        });
        ListDraft::of(entries, positions).plain(|pack| {
            let part = self.parts.get(pack as usize);
            part.map_or(NOWHERE, |part| part.hash)
        })
    }

    /// A list of this plaintext that is here already; each is given once.
    pub(crate) fn take_list(&mut self, digest: &[u8; 32]) -> Option<KnownList> {
        self.lists.get_mut(digest)?.pop()
    }

    /// What a manifest of the whole copy reaches, and its map.
    pub(crate) fn whole(&self) -> Inventory {
        self.inventory(|part| 0 < part.live, |part| part.named)
    }

    /// What this copy made so far.
    pub(crate) fn made(&self) -> Inventory {
        self.inventory(|part| part.own, |_| false)
    }

    fn inventory(
        &self,
        is_reached: impl Fn(&Part) -> bool,
        is_named: impl Fn(&Part) -> bool,
    ) -> Inventory {
        let mut found = Inventory::default();
        for part in &self.parts {
            let reached = part.held.as_ref().filter(|_| is_reached(part));
            let local = match reached {
                Some((reached, key)) => {
                    found.packs.push(*reached);
                    found.pack_keys.extend(key.clone());
                    found.pack_uses.push(PackUse {
                        blocks: part.blocks,
                        live: part.live,
                    });
                    let number = found.packs.len() - 1;
                    Local::Reached(u32::try_from(number).expect("a manifest has fewer packs"))
                }
                None if is_named(part) => Local::Unreached(part.hash),
                None => continue,
            };
            found.rows.push(Row {
                origin: part.origin,
                local,
                carried: part.carried.clone(),
            });
        }
        found
    }
}
