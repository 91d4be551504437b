//! Reads a relation's file and checks the pages as they pass.
//!
//! It does not know where the bytes go.
use std::{
    fs::File,
    io::{self, Read},
    os::unix::fs::FileExt,
    thread,
    time::Duration,
};

use super::super::page::{PAGE_BYTES, Verdict, judge};

/// How often a page whose checksum does not hold is read again: a server may be writing it.
const TRIES: u32 = 6;
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// A page that was caught half-written, and that the log will write anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TornPage {
    pub(super) file: String,
    pub(super) block: u64,
    /// Where the page says it was last changed; the dump's end must be after it.
    pub(super) lsn: u64,
}

/// A relation's file, cut at the size it had when it was opened.
pub(super) struct PageReader<'a> {
    file: &'a File,
    path: &'a str,
    first_block: u32,
    /// Changes after this place are in the dump's log; none: nobody writes.
    start_lsn: Option<u64>,
    at: u64,
    size: u64,
    /// The rest of a page that a small read began.
    page: Box<[u8; PAGE_BYTES]>,
    page_left: std::ops::Range<usize>,
    pub(super) torn: Vec<TornPage>,
    pub(super) damaged: Option<u64>,
}

impl<'a> PageReader<'a> {
    pub(super) fn new(
        file: &'a File,
        path: &'a str,
        size: u64,
        first_block: u32,
        start_lsn: Option<u64>,
    ) -> Self {
        Self {
            file,
            path,
            first_block,
            start_lsn,
            at: 0,
            size,
            page: Box::new([0; PAGE_BYTES]),
            page_left: 0..0,
            torn: Vec::new(),
            damaged: None,
        }
    }

    /// Reads from the file at the place it has come to, checks whole pages, and moves on.
    fn read_checked(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size - self.at).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let mut got = 0;
        while got < wanted {
            match self
                .file
                .read_at(&mut buffer[got..wanted], self.at + got as u64)
            {
                // The file has shrunk: the log has that, too.
                Ok(0) => break,
                Ok(more) => got += more,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        let first = self.at / PAGE_BYTES as u64;
        // Bytes after the last whole page are no page of the relation yet.
        for (block, page) in (first..).zip(buffer[..got].chunks_exact_mut(PAGE_BYTES)) {
            let page: &mut [u8; PAGE_BYTES] = page.try_into().expect("chunks of a page's size");
            self.check(page, block)?;
        }
        self.at += got as u64;
        if got < wanted {
            self.size = self.at;
        }
        Ok(got)
    }

    fn check(&mut self, page: &mut [u8; PAGE_BYTES], block: u64) -> io::Result<()> {
        let in_relation = u32::try_from(block)
            .map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?
            .wrapping_add(self.first_block);
        let mut verdict = judge(page, in_relation);
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            if verdict == Verdict::Good {
                return Ok(());
            }
            thread::sleep(pause);
            pause *= 2;
            match self.file.read_exact_at(page, block * PAGE_BYTES as u64) {
                Ok(()) => verdict = judge(page, in_relation),
                // Cut off meanwhile: whatever was read is beyond the relation's end now.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    page.fill(0);
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        match (verdict, self.start_lsn) {
            (Verdict::Good, _) => Ok(()),
            (Verdict::Bad { lsn }, Some(start)) if start < lsn => {
                self.torn.push(TornPage {
                    file: self.path.to_owned(),
                    block,
                    lsn,
                });
                Ok(())
            }
            (Verdict::Bad { .. }, _) => {
                self.damaged = Some(block);
                Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "a page is damaged",
                ))
            }
        }
    }
}

impl Read for PageReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.page_left.is_empty() && PAGE_BYTES <= buffer.len() {
            // Whole pages straight into the caller's buffer.
            let whole = buffer.len() - buffer.len() % PAGE_BYTES;
            return self.read_checked(&mut buffer[..whole]);
        }
        if self.page_left.is_empty() {
            let mut page = std::mem::replace(&mut self.page, Box::new([0; PAGE_BYTES]));
            let got = self.read_checked(&mut page[..]);
            self.page = page;
            self.page_left = 0..got?;
        }
        let count = buffer.len().min(self.page_left.len());
        let from = self.page_left.start;
        buffer[..count].copy_from_slice(&self.page[from..from + count]);
        self.page_left.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of two unwritten pages and a stray end, and one page that claims to be newer.
    fn file(pages: &[[u8; PAGE_BYTES]], tail: &[u8]) -> File {
        use std::io::Write;
        let mut file = tempfile::tempfile().expect("a file");
        for page in pages {
            file.write_all(page).expect("writes");
        }
        file.write_all(tail).expect("writes");
        file
    }

    fn newer(lsn: u32) -> [u8; PAGE_BYTES] {
        let mut page = [7; PAGE_BYTES];
        page[0..4].copy_from_slice(&0_u32.to_ne_bytes());
        page[4..8].copy_from_slice(&lsn.to_ne_bytes());
        page
    }

    #[test]
    fn small_and_large_reads_give_the_same() {
        let file = file(&[[0; PAGE_BYTES], [0; PAGE_BYTES]], b"tail");
        let size = 2 * PAGE_BYTES as u64 + 4;
        let mut whole = Vec::new();
        let mut reader = PageReader::new(&file, "f", size, 0, None);
        reader.read_to_end(&mut whole).expect("reads");
        assert_eq!(whole.len() as u64, size);
        let mut pieces = Vec::new();
        let mut reader = PageReader::new(&file, "f", size, 0, None);
        let mut piece = [0; 1000];
        loop {
            match reader.read(&mut piece).expect("reads") {
                0 => break,
                got => pieces.extend_from_slice(&piece[..got]),
            }
        }
        assert_eq!(pieces, whole);
    }

    proptest::proptest! {
        #[test]
        fn any_sizes_of_reads_give_the_file(
            sizes in proptest::collection::vec(1_usize..30_000, 1..12),
            tail in 0_usize..PAGE_BYTES,
        ) {
            let file = file(&[[0; PAGE_BYTES]; 5], &vec![3; tail]);
            let size = (5 * PAGE_BYTES + tail) as u64;
            let mut reader = PageReader::new(&file, "f", size, 0, None);
            let mut got = Vec::new();
            for size in sizes.iter().cycle() {
                let mut piece = vec![0; *size];
                match reader.read(&mut piece).expect("reads") {
                    0 => break,
                    count => got.extend_from_slice(&piece[..count]),
                }
            }
            proptest::prop_assert_eq!(got.len() as u64, size);
            proptest::prop_assert!(got[..5 * PAGE_BYTES].iter().all(|byte| *byte == 0));
            proptest::prop_assert!(got[5 * PAGE_BYTES..].iter().all(|byte| *byte == 3));
        }
    }

    #[test]
    fn growth_is_cut_and_shrinkage_ends_the_file() {
        let file = file(&[[0; PAGE_BYTES]; 3], b"");
        for (size, expected) in [(1, 1), (5, 3)] {
            let mut reader = PageReader::new(&file, "f", size * PAGE_BYTES as u64, 0, None);
            let got = io::copy(&mut reader, &mut io::sink()).expect("reads");
            assert_eq!(got, expected * PAGE_BYTES as u64);
        }
    }

    #[test]
    fn a_bad_page_passes_only_if_the_log_writes_it_anew() {
        let file = file(&[[0; PAGE_BYTES], newer(500)], b"");
        let size = 2 * PAGE_BYTES as u64;
        let mut reader = PageReader::new(&file, "f", size, 0, Some(499));
        io::copy(&mut reader, &mut io::sink()).expect("torn pages pass");
        assert_eq!(
            reader.torn,
            [TornPage {
                file: "f".to_owned(),
                block: 1,
                lsn: 500
            }]
        );
        for start in [Some(500), None] {
            let mut reader = PageReader::new(&file, "f", size, 0, start);
            assert!(io::copy(&mut reader, &mut io::sink()).is_err());
            assert_eq!(reader.damaged, Some(1));
        }
    }
}
