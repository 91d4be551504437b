//! A manifest's body: the keys, the directories and files, and the engine's document.
//!
//! It does not know how it is sealed, nor what the engine's document means.
use std::collections::HashSet;

use model::pages::ChangeToken;

use crate::format::{
    block::IdKey,
    cursor::{Cursor, put_count},
    head::{
        BLOCK_BYTES, FILE_BYTES, LIST_ENTRIES, PATCHES_MAX, PATH_BYTES, SEGMENT_BLOCKS,
        SEGMENT_BYTES,
    },
    seal::ObjectKey,
    tables::Tables,
};

/// Entries of a list that follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Layer {
    /// The list's number in the manifest.
    pub(crate) list: u32,
    /// Its first entry; the rest follow.
    pub(crate) first: u32,
    /// How many.
    pub(crate) count: u16,
}

impl Layer {
    fn put(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.list.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
    }

    fn parse(cursor: &mut Cursor<'_>, lists: usize) -> Option<Self> {
        let (list, first, count) = (cursor.u32()?, cursor.u32()?, cursor.u16()?);
        let sane = (list as usize) < lists
            && usize::from(count) <= SEGMENT_BLOCKS
            && (first as usize).checked_add(usize::from(count))? <= LIST_ENTRIES;
        sane.then_some(Self { list, first, count })
    }
}

/// Where the blocks of up to 32 MiB of a file are listed: a whole list's entries for its first
/// blocks, and patches, each upon what is before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) whole: Layer,
    /// The oldest first.
    pub(crate) patches: Vec<Layer>,
}

/// How much of a pack a snapshot needs: what tells the next one which packs to leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PackUse {
    /// Blocks stored in it.
    pub(crate) blocks: u32,
    /// Times that the snapshot refers to them.
    pub(crate) live: u32,
}

/// A directory of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Directory {
    pub(crate) path: String,
    pub(crate) mode: u32,
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) path: String,
    pub(crate) mode: u32,
    pub(crate) size: u64,
    /// What says later that the file is as it was when it was read, if anything does.
    pub(crate) change_token: Option<ChangeToken>,
    /// One for every 32 MiB.
    pub(crate) segments: Vec<Segment>,
}

impl File {
    /// The layers of all its segments.
    pub(crate) fn layers_mut(&mut self) -> impl Iterator<Item = &mut Layer> {
        let segments = self.segments.iter_mut();
        segments.flat_map(|segment| std::iter::once(&mut segment.whole).chain(&mut segment.patches))
    }

    /// How many blocks a segment of a file of `size` bytes has.
    pub(crate) fn segment_blocks(size: u64, segment: usize) -> usize {
        let rest = size.saturating_sub(segment as u64 * SEGMENT_BYTES);
        let blocks = rest.div_ceil(BLOCK_BYTES as u64);
        usize::try_from(blocks.min(SEGMENT_BLOCKS as u64)).expect("a segment has few blocks")
    }
}

/// The sealed part of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    pub(crate) id_key: IdKey,
    /// In the order of the header's lists; empty in an unencrypted volume.
    pub(crate) list_keys: Vec<ObjectKey>,
    /// In the order of the header's packs; empty in an unencrypted volume.
    pub(crate) pack_keys: Vec<ObjectKey>,
    /// In the order of the header's packs.
    pub(crate) pack_uses: Vec<PackUse>,
    pub(crate) logical_bytes: u64,
    pub(crate) directories: Vec<Directory>,
    pub(crate) files: Vec<File>,
    pub(crate) engine_document: String,
    /// Blocks that were caught half-written and that something else in the snapshot mends: the
    /// numbers of their file and in it, ascending.
    pub(crate) torn: Vec<(u32, u32)>,
    /// In a snapshot that was sealed anew: where its packs came from; empty in others.
    pub(crate) origins: Vec<u8>,
}

const LAYER_BYTES: usize = 4 + 4 + 2;
/// The section that says where packs of a snapshot sealed anew came from.
const ORIGINS_TAG: u16 = 1;
/// The section of torn blocks.
const TORN_TAG: u16 = 2;
const TORN_BYTES: usize = 4 + 4;

fn put_path(bytes: &mut Vec<u8>, path: &str, mode: u32) {
    let length = u16::try_from(path.len()).expect("paths are bounded");
    bytes.extend_from_slice(&length.to_le_bytes());
    bytes.extend_from_slice(path.as_bytes());
    bytes.extend_from_slice(&mode.to_le_bytes());
}

impl Body {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        // Reserved at once: a vector that grows would leave copies of keys behind in memory.
        let mut bytes = Vec::with_capacity(self.size());
        bytes.extend_from_slice(&self.id_key.0);
        for key in self.list_keys.iter().chain(&self.pack_keys) {
            bytes.extend_from_slice(&key.0);
        }
        for pack in &self.pack_uses {
            bytes.extend_from_slice(&pack.blocks.to_le_bytes());
            bytes.extend_from_slice(&pack.live.to_le_bytes());
        }
        bytes.extend_from_slice(&self.logical_bytes.to_le_bytes());
        put_count(&mut bytes, self.directories.len());
        for directory in &self.directories {
            put_path(&mut bytes, &directory.path, directory.mode);
        }
        put_count(&mut bytes, self.files.len());
        for file in &self.files {
            put_path(&mut bytes, &file.path, file.mode);
            bytes.extend_from_slice(&file.size.to_le_bytes());
            bytes.push(u8::from(file.change_token.is_some()));
            bytes.extend_from_slice(file.change_token.as_ref().map_or(&[], |e| e.as_slice()));
            for segment in &file.segments {
                segment.whole.put(&mut bytes);
                let patches = u8::try_from(segment.patches.len()).expect("patches are bounded");
                bytes.push(patches);
                for patch in &segment.patches {
                    patch.put(&mut bytes);
                }
            }
        }
        put_count(&mut bytes, self.engine_document.len());
        bytes.extend_from_slice(self.engine_document.as_bytes());
        put_count(&mut bytes, self.sections().count());
        for (tag, length) in self.sections() {
            bytes.extend_from_slice(&tag.to_le_bytes());
            put_count(&mut bytes, length);
            if tag == ORIGINS_TAG {
                bytes.extend_from_slice(&self.origins);
            } else {
                for (file, block) in &self.torn {
                    bytes.extend_from_slice(&file.to_le_bytes());
                    bytes.extend_from_slice(&block.to_le_bytes());
                }
            }
        }
        debug_assert_eq!(bytes.len(), self.size());
        bytes
    }

    /// Tags and lengths of the sections that it has.
    fn sections(&self) -> impl Iterator<Item = (u16, usize)> {
        let torn = self.torn.len() * TORN_BYTES;
        let all = [(ORIGINS_TAG, self.origins.len()), (TORN_TAG, torn)];
        all.into_iter().filter(|(_, length)| 0 < *length)
    }

    fn size(&self) -> usize {
        let keys = self.list_keys.len() + self.pack_keys.len();
        let directories = self.directories.iter().map(|d| 6 + d.path.len());
        let files = self.files.iter().map(|f| {
            let layers = |s: &Segment| LAYER_BYTES * (1 + s.patches.len()) + 1;
            let segments: usize = f.segments.iter().map(layers).sum();
            15 + f.path.len() + f.change_token.map_or(0, |e| e.len()) + segments
        });
        32 + 32 * keys
            + 8 * self.pack_uses.len()
            + 8
            + 4
            + directories.sum::<usize>()
            + 4
            + files.sum::<usize>()
            + 4
            + self.engine_document.len()
            + 4
            + self
                .sections()
                .map(|(_, length)| 2 + 4 + length)
                .sum::<usize>()
    }

    /// Reads a body.
    ///
    /// # Errors
    /// The rule that is broken.
    pub(crate) fn parse(plain: &[u8], tables: &Tables) -> Result<Self, &'static str> {
        let body = Self::parse_fields(plain, tables).ok_or("its body is not of format 1")?;
        check_tree(&body)?;
        Ok(body)
    }

    fn parse_fields(plain: &[u8], tables: &Tables) -> Option<Self> {
        let mut cursor = Cursor(plain);
        let id_key = IdKey(cursor.array()?);
        let mut keys = |count: usize| -> Option<Vec<ObjectKey>> {
            let count = if tables.head.sealed { count } else { 0 };
            (0..count).map(|_| cursor.array().map(ObjectKey)).collect()
        };
        let (list_keys, pack_keys) = (keys(tables.lists.len())?, keys(tables.packs.len())?);
        let pack_uses = (0..tables.packs.len())
            .map(|_| {
                let (blocks, live) = (cursor.u32()?, cursor.u32()?);
                Some(PackUse { blocks, live })
            })
            .collect::<Option<Vec<_>>>()?;
        let logical_bytes = cursor.u64()?;
        let directories = (0..cursor.count(6)?)
            .map(|_| {
                Some(Directory {
                    path: cursor.text16()?.to_owned(),
                    mode: cursor.u32()?,
                })
            })
            .collect::<Option<Vec<_>>>()?;
        let files = (0..cursor.count(15)?)
            .map(|_| parse_file(&mut cursor, tables.lists.len()))
            .collect::<Option<Vec<_>>>()?;
        let engine_document = cursor.text32()?.to_owned();
        let (mut origins, mut torn) = (Vec::new(), Vec::new());
        for _ in 0..cursor.count(6)? {
            let tag = cursor.u16()?;
            let length = cursor.count(1)?;
            let section = cursor.take(length)?;
            match tag {
                ORIGINS_TAG => origins = section.to_vec(),
                TORN_TAG => torn = parse_torn(section, &files)?,
                // A later release added it, and this one may leave it aside.
                _ => {}
            }
        }
        let whole: u64 = files
            .iter()
            .try_fold(0_u64, |sum, file| sum.checked_add(file.size))?;
        (cursor.0.is_empty() && whole == logical_bytes).then_some(Self {
            id_key,
            list_keys,
            pack_keys,
            pack_uses,
            logical_bytes,
            directories,
            files,
            engine_document,
            torn,
            origins,
        })
    }
}

fn parse_torn(section: &[u8], files: &[File]) -> Option<Vec<(u32, u32)>> {
    let mut cursor = Cursor(section);
    let mut blocks = Vec::with_capacity(section.len() / TORN_BYTES);
    while !cursor.0.is_empty() {
        let (file, block) = (cursor.u32()?, cursor.u32()?);
        let of_file = files.get(file as usize)?.size.div_ceil(BLOCK_BYTES as u64);
        let follows = blocks.last().is_none_or(|last| *last < (file, block));
        if !follows || of_file <= u64::from(block) {
            return None;
        }
        blocks.push((file, block));
    }
    Some(blocks)
}

fn parse_file(cursor: &mut Cursor<'_>, lists: usize) -> Option<File> {
    let (path, mode, size) = (cursor.text16()?.to_owned(), cursor.u32()?, cursor.u64()?);
    if FILE_BYTES < size {
        return None;
    }
    let change_token = match cursor.take(1)? {
        [0] => None,
        [1] => Some(cursor.array()?),
        _ => return None,
    };
    let segments = usize::try_from(size.div_ceil(SEGMENT_BYTES)).ok()?;
    // A segment takes at least 11 bytes, so a false size cannot make it reserve much.
    if cursor.0.len() / (LAYER_BYTES + 1) < segments {
        return None;
    }
    let segments = (0..segments)
        .map(|_| {
            let whole = Layer::parse(cursor, lists)?;
            let patches = usize::from(*cursor.take(1)?.first()?);
            if PATCHES_MAX < patches {
                return None;
            }
            let patches = (0..patches).map(|_| Layer::parse(cursor, lists));
            let patches = patches.collect::<Option<Vec<_>>>()?;
            Some(Segment { whole, patches })
        })
        .collect::<Option<Vec<_>>>()?;
    Some(File {
        path,
        mode,
        size,
        change_token,
        segments,
    })
}

/// Says which rule a path breaks: relative, normal, bounded, without links to follow.
pub(crate) fn check_path(path: &str) -> Result<(), &'static str> {
    if path.is_empty() || PATH_BYTES < path.len() {
        return Err("is empty or too long");
    }
    if path.contains('\0') {
        return Err("has a null character");
    }
    for name in path.split('/') {
        match name {
            "" => return Err("is absolute, or has an empty part"),
            "." | ".." => return Err("has a part that is . or .."),
            _ if 255 < name.len() => return Err("has a part that is too long"),
            _ => {}
        }
    }
    Ok(())
}

/// The folder a path lies in; none for the top.
pub(crate) fn parent(path: &str) -> Option<&str> {
    path.rsplit_once('/').map(|(parent, _)| parent)
}

/// What a reader must be sure of before it makes files: every path is legal and named once,
/// and every folder comes before what lies in it.
fn check_tree(body: &Body) -> Result<(), &'static str> {
    let mut directories = HashSet::new();
    for directory in &body.directories {
        check_path(&directory.path).map_err(|_| "it has a path that snapshots cannot have")?;
        let rooted = parent(&directory.path).is_none_or(|parent| directories.contains(parent));
        if !rooted || !directories.insert(directory.path.as_str()) {
            return Err("a directory is listed twice, or before the one it lies in");
        }
    }
    let mut files = HashSet::new();
    for file in &body.files {
        check_path(&file.path).map_err(|_| "it has a path that snapshots cannot have")?;
        let rooted = parent(&file.path).is_none_or(|parent| directories.contains(parent));
        let path = file.path.as_str();
        if !rooted || directories.contains(path) || !files.insert(path) {
            return Err("a file is listed twice, or lies in no directory");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_inside() {
        for path in ["a", "a/b", "base/1/2619_fsm", "a b/ü", "...", "a/..b"] {
            assert_eq!(check_path(path), Ok(()), "{path}");
        }
        let long = "x".repeat(256);
        for path in [
            "", "/a", "a/", "a//b", ".", "..", "a/../b", "a/.", "a\0b", &long,
        ] {
            assert!(check_path(path).is_err(), "{path}");
        }
        assert!(check_path(&"a/".repeat(PATH_BYTES)).is_err());
        assert_eq!((parent("a/b/c"), parent("a")), (Some("a/b"), None));
    }

    #[test]
    fn segments_cover_a_file() {
        for (size, blocks) in [
            (1, vec![1]),
            (SEGMENT_BYTES, vec![SEGMENT_BLOCKS]),
            (SEGMENT_BYTES + 1, vec![SEGMENT_BLOCKS, 1]),
            (
                SEGMENT_BYTES * 2 - 8192,
                vec![SEGMENT_BLOCKS, SEGMENT_BLOCKS - 1],
            ),
        ] {
            let count = usize::try_from(size.div_ceil(SEGMENT_BYTES)).expect("few");
            let found: Vec<usize> = (0..count).map(|s| File::segment_blocks(size, s)).collect();
            assert_eq!(found, blocks, "{size}");
        }
    }
}
