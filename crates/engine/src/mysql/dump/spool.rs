//! The redo log of a dump while that runs, in a file without a name: copied from the server's files as they
//! grow, and handed over as the files of the dump.
//!
//! It does not know the server: it is told how far the log has got.
use std::{
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use model::Told;

use super::{
    super::redo::{self, FileHead, HEAD_BYTES, HeadFault, Named, block_of, whole_blocks},
    content::RedoContent,
    pages::ENCRYPTED,
};
use crate::{
    EngineError,
    folder::{Folder, read_full},
};

/// Bytes that are copied at once.
const CHUNK_BYTES: usize = 1 << 20;
/// How often a block is read again that is not as it must be: the server may be writing it.
const TRIES: u32 = 1000;
const PAUSE: Duration = Duration::from_millis(2);

/// One of the server's redo files.
#[derive(Debug, Clone)]
pub(in crate::mysql) struct RedoFile {
    pub(in crate::mysql) number: u64,
    pub(in crate::mysql) head: FileHead,
    /// Bytes of the file.
    pub(in crate::mysql) size: u64,
}

impl RedoFile {
    /// Behind its last place.
    pub(in crate::mysql) fn end_lsn(&self) -> u64 {
        let blocks = self.size.saturating_sub(HEAD_BYTES as u64);
        self.head.start_lsn().saturating_add(blocks)
    }
}

/// The log from the block of a place on, as far as it was copied.
#[derive(Debug)]
pub(super) struct Spool {
    folder: Folder,
    file: Arc<File>,
    /// The place of its first byte.
    start: u64,
    /// The place behind its last one.
    at: u64,
    bytes_max: u64,
    /// The server's files that it is of.
    files: Vec<RedoFile>,
    current: File,
    buffer: Vec<u8>,
}

impl Spool {
    /// Begins with the block that has `lsn`. `dir` takes the file, of which at most half of what is free is used.
    pub(super) fn begin(data: &Folder, dir: &Path, lsn: u64) -> Result<Self, EngineError> {
        let failed = |source| EngineError::io("keep the redo log in", dir, source);
        let file = without_a_name(dir).map_err(failed)?;
        let free = rustix::fs::fstatvfs(&file).map_err(|error| failed(error.into()))?;
        let folder = data
            .enter(redo::FOLDER)
            .map_err(|source| EngineError::io("enter", redo::FOLDER, source))?;
        let start = block_of(lsn);
        let (first, current) = find(&folder, start)?;
        Ok(Self {
            folder,
            file: Arc::new(file),
            start,
            at: start,
            bytes_max: free.f_bavail.saturating_mul(free.f_frsize) / 2,
            files: vec![first],
            current,
            buffer: vec![0; CHUNK_BYTES],
        })
    }

    /// The place behind what was copied.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Copies all blocks up to this place, at which one begins. The server has written the log up to `end`,
    /// which may be within the last of them.
    pub(super) fn copy_to(&mut self, blocks_end: u64, end: u64) -> Result<(), EngineError> {
        let mut tried = 0;
        while self.at < blocks_end {
            let copied = self.copy_some(blocks_end, end)?;
            match copied {
                Ok(()) => tried = 0,
                Err(_) if tried < TRIES => {
                    tried += 1;
                    thread::sleep(PAUSE);
                }
                Err(redo::BlockFault::Encrypted) => {
                    return Err(EngineError::Unexpected {
                        file: redo::FOLDER.to_owned(),
                        why: ENCRYPTED,
                    });
                }
                Err(fault) => {
                    return Err(damaged(format!("its block at {}: {fault}", self.at)));
                }
            }
        }
        Ok(())
    }

    /// Copies the next blocks of one file, as many as are as they must be; at least one.
    fn copy_some(
        &mut self,
        blocks_end: u64,
        end: u64,
    ) -> Result<Result<(), redo::BlockFault>, EngineError> {
        if self.newest().end_lsn() <= self.at {
            let (next, current) = find(&self.folder, self.at)?;
            self.files.push(next);
            self.current = current;
        }
        let of = self.newest();
        let left = blocks_end.min(of.end_lsn()) - self.at;
        let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(CHUNK_BYTES);
        let offset = HEAD_BYTES as u64 + self.at - of.head.start_lsn();
        let read = read_full(&self.current, &mut self.buffer[..wanted], offset);
        let got = read.map_err(|source| EngineError::io("read", redo::FOLDER, source))?;
        let (good, fault) = whole_blocks(&self.buffer[..got], self.at, end);
        if good == 0 {
            return Ok(Err(fault.unwrap_or(redo::BlockFault::Short)));
        }
        let kept = self.at - self.start;
        if self.bytes_max < kept + good as u64 {
            return Err(EngineError::Disturbed {
                why: format!(
                    "more than {} bytes of redo log were written meanwhile, half of what is free on the disk",
                    self.bytes_max
                ),
                told: Told::new("more was written meanwhile than the host's disk can keep"),
            });
        }
        let written = self.file.write_all_at(&self.buffer[..good], kept);
        written.map_err(|source| EngineError::io("keep", redo::FOLDER, source))?;
        self.at += good as u64;
        Ok(Ok(()))
    }

    fn newest(&self) -> &RedoFile {
        self.files.last().expect("it begins with one")
    }

    /// The files of a dump whose recovery begins at `checkpoint`, with their names.
    pub(super) fn into_files(self, checkpoint: u64) -> Vec<(String, RedoContent)> {
        let count = self.files.len();
        let files = self.files.iter().enumerate();
        let contents = files.map(|(index, file)| {
            let (first, end) = (file.head.start_lsn(), file.end_lsn());
            let is_there = first <= checkpoint && checkpoint < end;
            let (from, to) = (self.start.max(first), self.at.min(end).max(first));
            let content = RedoContent {
                head: file
                    .head
                    .in_dump(is_there.then_some(checkpoint), index + 1 < count),
                spool: Arc::clone(&self.file),
                offset: HEAD_BYTES as u64 + from - first,
                spooled: from - self.start,
                bytes: to.saturating_sub(from),
                size: file.size,
            };
            (redo::file_name(file.number), content)
        });
        contents.collect()
    }
}

/// Makes an empty file that goes with its descriptor, in a folder of this process's user.
fn without_a_name(dir: &Path) -> io::Result<File> {
    crate::hosting::files::make_folder(dir, 0o700)?;
    let path = dir.join("redo");
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = fs::OpenOptions::new();
    let file = options
        .read(true)
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&path)?;
    fs::remove_file(&path)?;
    Ok(file)
}

/// The server's redo file that has this place.
fn find(folder: &Folder, lsn: u64) -> Result<(RedoFile, File), EngineError> {
    let failed = |source| EngineError::io("read", redo::FOLDER, source);
    // A file may be given its name, or its head, while this looks.
    let mut fault = None;
    for _ in 0..TRIES {
        for entry in folder.entries().map_err(failed)? {
            let Named::File(number) = redo::judge_name(&entry.name) else {
                continue;
            };
            let file = match folder.file(&entry.name) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(failed(error)),
            };
            match read_head(&file, number).map_err(failed)? {
                Ok(found) if (found.head.start_lsn()..found.end_lsn()).contains(&lsn) => {
                    return Ok((found, file));
                }
                Ok(_) => {}
                Err(found) => fault = Some(found),
            }
        }
        thread::sleep(PAUSE);
    }
    Err(damaged(match fault {
        Some(fault) => format!("no file has its place {lsn}, and of one {fault}"),
        None => format!("no file has its place {lsn}"),
    }))
}

/// Reads what a file of the log says of itself.
pub(in crate::mysql) fn read_head(
    file: &File,
    number: u64,
) -> io::Result<Result<RedoFile, HeadFault>> {
    let mut bytes = [0; HEAD_BYTES];
    if read_full(file, &mut bytes, 0)? < HEAD_BYTES {
        return Ok(Err(HeadFault::Sum));
    }
    let size = file.metadata()?.len();
    Ok(FileHead::read(bytes).map(|head| RedoFile { number, head, size }))
}

fn damaged(why: String) -> EngineError {
    EngineError::FileDamaged {
        file: redo::FOLDER.to_owned(),
        why,
    }
}

#[cfg(test)]
mod tests {
    use model::pages::Content;

    use super::*;

    const BLOCK: u64 = 512;
    /// Bytes of a redo file of these tests: eight blocks.
    const SIZE: u64 = HEAD_BYTES as u64 + 8 * BLOCK;

    fn sign(part: &mut [u8]) {
        let sum = crc32c::crc32c(&part[..508]);
        part[508..512].copy_from_slice(&sum.to_be_bytes());
    }

    /// A redo file with blocks of which the last has as many used bytes as `end` says.
    fn redo_file(start: u64, end: u64) -> Vec<u8> {
        let mut bytes = vec![0; usize::try_from(SIZE).expect("small")];
        bytes[3] = 6;
        bytes[8..16].copy_from_slice(&start.to_be_bytes());
        sign(&mut bytes[..512]);
        for (index, block) in bytes[HEAD_BYTES..].chunks_exact_mut(512).enumerate() {
            let lsn = start + index as u64 * BLOCK;
            if end <= lsn {
                break;
            }
            let number = u32::try_from(1 + lsn / BLOCK).expect("small");
            block[..4].copy_from_slice(&number.to_be_bytes());
            let used = u16::try_from((end - lsn).min(BLOCK)).expect("small");
            block[4..6].copy_from_slice(&used.to_be_bytes());
            block[8..12].copy_from_slice(&1_u32.to_be_bytes());
            block[12] = u8::try_from(lsn / BLOCK % 251).expect("small");
            sign(block);
        }
        bytes
    }

    struct Place {
        root: tempfile::TempDir,
    }

    impl Place {
        fn new() -> Self {
            let root = tempfile::tempdir().expect("a folder");
            fs::create_dir_all(root.path().join("data/#innodb_redo")).expect("a folder");
            Self { root }
        }

        fn put(&self, name: &str, bytes: &[u8]) {
            let path = self.root.path().join("data/#innodb_redo").join(name);
            fs::write(path, bytes).expect("writes");
        }

        fn spool(&self, lsn: u64) -> Result<Spool, EngineError> {
            let data = Folder::open(&self.root.path().join("data")).expect("opens");
            Spool::begin(&data, &self.root.path().join("spool"), lsn)
        }
    }

    fn read(content: &RedoContent) -> Vec<u8> {
        let mut bytes = vec![7; usize::try_from(content.size()).expect("small")];
        // In odd pieces, as nobody reads it, to see the seams.
        for (at, piece) in (0_u64..).step_by(1000).zip(bytes.chunks_mut(1000)) {
            let got = content.read_at(piece, at).expect("reads");
            assert_eq!(got, piece.len());
        }
        bytes
    }

    #[test]
    fn the_log_of_two_files_is_kept_and_given_with_heads_of_its_own() {
        let place = Place::new();
        let (first, second) = (8192, 8192 + 8 * BLOCK);
        let end = second + 2 * BLOCK + 100;
        place.put("#ib_redo7", &redo_file(first, second));
        place.put("#ib_redo8", &redo_file(second, end));
        place.put("#ib_redo9_tmp", b"");
        let mut spool = place.spool(first + BLOCK + 40).expect("begins");
        spool
            .copy_to(second + BLOCK, second + BLOCK)
            .expect("copies");
        place.put("#ib_redo7", b"it was given to another part of the log");
        spool
            .copy_to(redo::blocks_end(end), end)
            .expect("copies the rest");
        assert_eq!(spool.at(), second + 3 * BLOCK);
        let checkpoint = first + BLOCK + 40;
        let files = spool.into_files(checkpoint);
        let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["#ib_redo7", "#ib_redo8"]);
        for (index, (start, to)) in [(first, second), (second, end)].into_iter().enumerate() {
            let bytes = read(&files[index].1);
            let head = *bytes.first_chunk().expect("a head");
            let head = FileHead::read(head).expect("it holds");
            assert_eq!((head.start_lsn(), head.is_full()), (start, index == 0));
            assert_eq!(head.checkpoint(), (index == 0).then_some(checkpoint));
            let mut expected = redo_file(start, to).split_off(HEAD_BYTES);
            if index == 0 {
                expected[..512].fill(0);
            }
            assert_eq!(&bytes[HEAD_BYTES..], expected, "file {index}");
        }
    }

    #[test]
    fn a_log_that_is_damaged_or_not_there_ends_the_dump() {
        let place = Place::new();
        place.spool(8192).expect_err("no file");
        let mut bytes = redo_file(8192, 8192 + 4 * BLOCK);
        bytes[HEAD_BYTES + 2 * 512 + 30] ^= 1;
        place.put("#ib_redo7", &bytes);
        let mut spool = place.spool(8192).expect("begins");
        let end = 8192 + 4 * BLOCK;
        let refused = spool.copy_to(end, end).expect_err("damaged");
        assert!(
            matches!(refused, EngineError::FileDamaged { .. }),
            "{refused}"
        );
        assert_eq!(spool.at(), 8192 + 2 * BLOCK);
    }

    #[test]
    fn a_log_that_grows_too_large_ends_the_dump() {
        let place = Place::new();
        place.put("#ib_redo7", &redo_file(8192, 8192 + 8 * BLOCK));
        let mut spool = place.spool(8192).expect("begins");
        spool.bytes_max = 3 * BLOCK;
        let end = 8192 + 8 * BLOCK;
        let refused = spool.copy_to(end, end).expect_err("too much");
        assert!(
            matches!(refused, EngineError::Disturbed { .. }),
            "{refused}"
        );
    }
}
