//! A volume as a sweep sees it: what lies there, and what live manifests reach.
//!
//! It does not know which manifests are live, nor what is condemned: the catalog does. It needs
//! no key for anything.
use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::{Arc, Mutex, PoisonError},
};

use futures_util::{StreamExt, TryStreamExt, stream};
use model::{Hash, VolumeRef};

use crate::{
    error::{ObjectKind, VaultError},
    format::head::VolumeTag,
    gc::sweep::{ObjectEntry, entries},
    index::header::header,
    store::{listing::VolumeListing, names::Condemned, vault::Vault},
};

/// Headers that are read at once.
const READS_AT_ONCE: usize = 8;

/// What is in a volume, at one listing of it.
#[derive(Debug)]
pub struct Survey {
    /// Every incarnation of every object, condemned ones included, by path.
    pub objects: Vec<ObjectEntry>,
    /// What the manifests reach, themselves included.
    pub reached: HashSet<Hash>,
}

/// Lists a volume once, and reads those of the manifests' headers that are not remembered.
///
/// # Errors
/// When any header cannot be read: what it reaches is then unknown, and nothing of the volume
/// may be swept. The store's.
pub async fn survey(
    vault: &Vault,
    volume: &VolumeRef,
    manifests: &[Hash],
    condemned: &Condemned,
    headers: &Headers,
) -> Result<Survey, VaultError> {
    let all = VolumeListing::list(vault, volume, &ObjectKind::ALL, &Condemned::new()).await?;
    let listing = &all.sound_manifests(vault, volume, condemned);
    let mut reached: HashSet<Hash> = manifests.iter().copied().collect();
    let each = &mut |_: Hash, hashes: &[Hash]| reached.extend(hashes.iter().copied());
    walk(vault, volume, manifests, listing, headers, each).await?;
    Ok(Survey {
        objects: entries(all),
        reached,
    })
}

/// What is kept in a volume: the bytes of each object, and which manifests need it.
#[derive(Debug, Default)]
pub struct Usage {
    /// The objects, in the order of the numbers that manifests name them by: bytes of all names that an
    /// object has, and how many of the manifests need it.
    pub objects: Vec<(u64, u32)>,
    /// What each of the manifests that were asked for reaches, itself included, by objects' numbers.
    pub reached: HashMap<Hash, Vec<u32>>,
}

/// Weighs a volume by one listing of it and all manifests that live there. What those of `wanted` reach
/// is told, of at most `entries_max` entries in all; none when that is not enough.
///
/// # Errors
/// When any header cannot be read; the store's.
pub async fn usage(
    vault: &Vault,
    volume: &VolumeRef,
    manifests: &[Hash],
    wanted: &HashSet<Hash>,
    entries_max: usize,
    condemned: &Condemned,
    headers: &Headers,
) -> Result<Option<Usage>, VaultError> {
    let all = VolumeListing::list(vault, volume, &ObjectKind::ALL, &Condemned::new()).await?;
    let listing = &all.sound_manifests(vault, volume, condemned);
    let (mut numbers, mut usage) = (HashMap::new(), Usage::default());
    let mut entries_told = 0;
    let each = &mut |manifest: Hash, hashes: &[Hash]| {
        let mut reached = Vec::new();
        let is_wanted = wanted.contains(&manifest);
        for hash in hashes.iter().chain([&manifest]) {
            let number = *numbers.entry(*hash).or_insert(usage.objects.len());
            if number == usage.objects.len() {
                usage.objects.push((0, 0));
            }
            usage.objects[number].1 += 1;
            if is_wanted && entries_told < entries_max {
                reached.push(u32::try_from(number).unwrap_or(u32::MAX));
            }
            entries_told += usize::from(is_wanted);
        }
        if is_wanted {
            usage.reached.insert(manifest, reached);
        }
    };
    walk(vault, volume, manifests, listing, headers, each).await?;
    // A condemned name goes in any case, unless it is the only one of what is needed.
    let mut last_names = vec![0; usage.objects.len()];
    for entry in entries(all) {
        let Some(&number) = numbers.get(&entry.hash) else {
            continue;
        };
        match condemned.contains(&entry.path) {
            false => usage.objects[number].0 += entry.size,
            true => last_names[number] += entry.size,
        }
    }
    for ((bytes, _), last) in usage.objects.iter_mut().zip(last_names) {
        if *bytes == 0 {
            *bytes = last;
        }
    }
    Ok((entries_told <= entries_max).then_some(usage))
}

/// Tells what each manifest reaches, from what is remembered or else from its header. Each once.
async fn walk(
    vault: &Vault,
    volume: &VolumeRef,
    manifests: &[Hash],
    listing: &VolumeListing,
    headers: &Headers,
    each: &mut (dyn FnMut(Hash, &[Hash]) + Send),
) -> Result<(), VaultError> {
    let tag = VolumeTag::of(volume);
    let mut unknown = Vec::new();
    for &manifest in &manifests.iter().copied().collect::<HashSet<_>>() {
        match headers.find(tag, manifest) {
            Some(known) => each(manifest, &known),
            None => unknown.push(manifest),
        }
    }
    let mut read = stream::iter(unknown)
        .map(|manifest| async move {
            let header = header(vault, volume, manifest, listing).await?;
            let hashes: Arc<[Hash]> = header.objects().map(|(object, _)| object.hash).collect();
            Ok::<_, VaultError>((manifest, hashes))
        })
        .buffer_unordered(READS_AT_ONCE);
    while let Some((manifest, hashes)) = read.try_next().await? {
        each(manifest, &hashes);
        headers.keep(tag, manifest, hashes);
    }
    Ok(())
}

/// What manifests reach, remembered: a manifest never changes. Bounded; the ones read first are
/// forgotten first.
#[derive(Debug)]
pub struct Headers {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    reached: HashMap<(VolumeTag, Hash), Arc<[Hash]>>,
    order: VecDeque<(VolumeTag, Hash)>,
    bytes: usize,
}

/// What one header costs beside its hashes: its key in the map and in the order, about.
const ENTRY_BYTES: usize = 256;

fn cost(hashes: &[Hash]) -> usize {
    size_of_val(hashes) + ENTRY_BYTES
}

impl Headers {
    /// Remembers as much as so many bytes hold.
    pub fn remembering(bytes_max: usize) -> Self {
        Self {
            bytes_max,
            kept: Mutex::default(),
        }
    }

    fn find(&self, tag: VolumeTag, manifest: Hash) -> Option<Arc<[Hash]>> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.reached.get(&(tag, manifest)).cloned()
    }

    fn keep(&self, tag: VolumeTag, manifest: Hash, hashes: Arc<[Hash]>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (key, bytes) = ((tag, manifest), cost(&hashes));
        if self.bytes_max < bytes || kept.reached.contains_key(&key) {
            return;
        }
        while self.bytes_max < kept.bytes + bytes {
            let Some(oldest) = kept.order.pop_front() else {
                break;
            };
            if let Some(gone) = kept.reached.remove(&oldest) {
                kept.bytes -= cost(&gone);
            }
        }
        kept.bytes += bytes;
        kept.order.push_back(key);
        kept.reached.insert(key, hashes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_remembered_within_their_bound() {
        let volume: VolumeRef = "us-east-1/123456789012/5e4a1f3e-0000-4000-8000-000000000001"
            .parse()
            .unwrap();
        let tag = VolumeTag::of(&volume);
        let hash = |n: u8| Hash([n; 32]);
        let of = |n: usize| -> Arc<[Hash]> { vec![hash(1); n].into() };
        let headers = Headers::remembering(3 * cost(&of(10)));
        for n in 0..3 {
            headers.keep(tag, hash(n), of(10));
            headers.keep(tag, hash(n), of(10));
        }
        assert!((0..3).all(|n| headers.find(tag, hash(n)).is_some()));
        headers.keep(tag, hash(3), of(11));
        let left: Vec<bool> = (0..4)
            .map(|n| headers.find(tag, hash(n)).is_some())
            .collect();
        assert_eq!(left, [false, false, true, true]);
        headers.keep(tag, hash(4), of(1_000));
        assert!(headers.find(tag, hash(4)).is_none(), "larger than all room");
        let kept = headers.kept.lock().unwrap();
        assert_eq!(kept.bytes, cost(&of(10)) + cost(&of(11)));
        assert_eq!(kept.order.len(), kept.reached.len());
    }
}
