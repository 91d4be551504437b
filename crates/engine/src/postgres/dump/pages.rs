//! A dump's files as they are read: cut at their size, and checked on the way.
//!
//! It does not know where the bytes go, nor which threads ask for them.
use std::{
    fs::File,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use model::pages::{ChangeToken, Content, PageCheck, Pages, SinceBase, whole_page};

use super::super::{
    changes::Changes,
    page::{PAGE_BYTES, Verdict, judge},
    review::Place,
};
use crate::{EngineError, dump::FirstFailure, folder::read_full};

/// How often a page whose checksum does not hold is read again: a server may be writing it.
const TRIES: u32 = 6;
/// What the account of a damaged page can do.
pub(super) const DAMAGE_ADVICE: &str = "amcheck and pg_amcheck find which";
const FIRST_PAUSE: Duration = Duration::from_millis(2);

/// A page that was caught half-written, and that the log will write anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct TornPage {
    pub(super) file: String,
    pub(super) block: u64,
    /// Where the page says it was last changed; the dump's end must be after it.
    pub(super) lsn: u64,
}

/// The pages that were caught half-written, on whichever thread.
#[derive(Debug, Default)]
pub(super) struct TornPages(Mutex<Vec<TornPage>>);

impl TornPages {
    fn add(&self, page: TornPage) {
        let mut torn = self.0.lock().unwrap_or_else(|e| e.into_inner());
        torn.push(page);
    }

    /// A half-written page that says it was changed after this place in the log.
    pub(super) fn after(&self, lsn: u64) -> Option<TornPage> {
        let torn = self.0.lock().unwrap_or_else(|e| e.into_inner());
        torn.iter().find(|page| lsn < page.lsn).cloned()
    }
}

/// A file of the data folder, cut at the size it had when it was opened.
#[derive(Debug)]
pub(super) struct DataFile {
    pub(super) file: File,
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) change_token: Option<ChangeToken>,
    pub(super) kind: FileKind,
    pub(super) failure: Arc<FirstFailure>,
    pub(super) torn: Arc<TornPages>,
    /// Which of its pages changed since the base, where that is known.
    pub(super) changes: Option<(Arc<Changes>, Place)>,
}

/// What is checked of a file while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FileKind {
    /// Its pages. Changes after `start_lsn` are in the dump's log; none: nobody writes.
    Relation {
        first_block: u32,
        start_lsn: Option<u64>,
    },
    /// That it keeps its size, unless it may shrink.
    Plain { may_shrink: bool },
}

impl Content for DataFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = buffer.len().min(left);
        let got = read_full(&self.file, &mut buffer[..wanted], offset)
            .map_err(|error| self.unreadable(error))?;
        match self.kind {
            FileKind::Plain { may_shrink: false } if got < wanted => {
                Err(self.failure.keep(EngineError::FileDamaged {
                    file: self.path.clone(),
                    why: "it shrank while it was read".to_owned(),
                }))
            }
            // A file that has shrunk: the log has that, too.
            _ => Ok(got),
        }
    }

    fn pages(&self) -> Option<&dyn Pages> {
        match self.kind {
            FileKind::Relation { .. } => Some(self),
            FileKind::Plain { .. } => None,
        }
    }

    fn change_token(&self) -> Option<ChangeToken> {
        self.change_token
    }
}

impl Pages for DataFile {
    fn page_bytes(&self) -> usize {
        PAGE_BYTES
    }

    fn check(&self, page: &mut [u8], offset: u64) -> io::Result<PageCheck> {
        let FileKind::Relation {
            first_block,
            start_lsn,
        } = self.kind
        else {
            return Err(io::Error::other("a plain file has no pages"));
        };
        let page = whole_page(page, offset)?;
        let block = offset / PAGE_BYTES as u64;
        let in_relation = u32::try_from(block)
            .map_err(|_| self.unreadable(io::ErrorKind::FileTooLarge.into()))?
            .wrapping_add(first_block);
        match judge(page, in_relation) {
            Verdict::Good => Ok(PageCheck::Ok),
            Verdict::Bad { .. } => self.check_again(page, block, in_relation, start_lsn),
        }
    }

    fn since_base(&self, offset: u64) -> SinceBase {
        match (&self.changes, self.block(offset)) {
            (Some((changes, place)), Some(block)) if changes.is_same(*place, block) => {
                match changes.is_checked {
                    true => SinceBase::SaidSame,
                    false => SinceBase::Same,
                }
            }
            _ => SinceBase::Unknown,
        }
    }

    fn contradict(&self, offset: u64) {
        if let (Some((changes, place)), Some(block)) = (&self.changes, self.block(offset)) {
            changes.contradict(&self.path, *place, block);
        }
    }
}

impl DataFile {
    /// The relation's block at this offset.
    fn block(&self, offset: u64) -> Option<u32> {
        let FileKind::Relation { first_block, .. } = self.kind else {
            return None;
        };
        let block = u32::try_from(offset / PAGE_BYTES as u64).ok()?;
        block.checked_add(first_block)
    }

    fn unreadable(&self, error: io::Error) -> io::Error {
        self.failure.unreadable(&self.path, error)
    }

    /// Reads a page again whose checksum did not hold, until it does or the log must have it.
    fn check_again(
        &self,
        page: &mut [u8; PAGE_BYTES],
        block: u64,
        in_relation: u32,
        start_lsn: Option<u64>,
    ) -> io::Result<PageCheck> {
        let mut verdict = Verdict::Bad { lsn: 0 };
        let mut pause = FIRST_PAUSE;
        for _ in 0..TRIES {
            thread::sleep(pause);
            pause *= 2;
            match self.file.read_exact_at(page, block * PAGE_BYTES as u64) {
                Ok(()) => verdict = judge(page, in_relation),
                // Cut off meanwhile: whatever was read is beyond the relation's end now.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    page.fill(0);
                    return Ok(PageCheck::Reread);
                }
                Err(error) => return Err(self.unreadable(error)),
            }
            if verdict == Verdict::Good {
                return Ok(PageCheck::Reread);
            }
        }
        match (verdict, start_lsn) {
            (Verdict::Bad { lsn }, Some(start)) if start < lsn => {
                self.torn.add(TornPage {
                    file: self.path.clone(),
                    block,
                    lsn,
                });
                Ok(PageCheck::Torn)
            }
            _ => Err(self.failure.keep(EngineError::PageDamaged {
                file: self.path.clone(),
                block,
                advice: DAMAGE_ADVICE,
            })),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(
        pages: &[[u8; PAGE_BYTES]],
        tail: &[u8],
        size: u64,
        start_lsn: Option<u64>,
    ) -> DataFile {
        use std::io::Write;
        let mut file = tempfile::tempfile().expect("a file");
        for page in pages {
            file.write_all(page).expect("writes");
        }
        file.write_all(tail).expect("writes");
        DataFile {
            file,
            path: "f".to_owned(),
            size,
            change_token: None,
            kind: FileKind::Relation {
                first_block: 0,
                start_lsn,
            },
            failure: Arc::default(),
            torn: Arc::default(),
            changes: None,
        }
    }

    /// A page that claims to have been changed at this place, and whose checksum does not hold.
    fn newer(lsn: u32) -> [u8; PAGE_BYTES] {
        let mut page = [7; PAGE_BYTES];
        page[0..4].copy_from_slice(&0_u32.to_ne_bytes());
        page[4..8].copy_from_slice(&lsn.to_ne_bytes());
        page
    }

    #[test]
    fn growth_is_cut_and_shrinkage_ends_the_file() {
        let zeros = [[0; PAGE_BYTES]; 3];
        let page = PAGE_BYTES as u64;
        let mut buffer = vec![9; 10 * PAGE_BYTES];
        for (size, offset, expected) in [
            (page, 0, page),
            (5 * page, 0, 3 * page + 4),
            (5 * page, 2 * page, page + 4),
            (5 * page, 4 * page, 0),
            (2 * page, 2 * page, 0),
        ] {
            let file = file(&zeros, b"tail", size, None);
            let got = file.read_at(&mut buffer, offset).expect("reads");
            assert_eq!(got as u64, expected, "{size} bytes from {offset}");
        }
    }

    #[test]
    fn a_plain_file_keeps_its_size_or_fails() {
        let mut short = file(&[[0; PAGE_BYTES]], b"", 9000, None);
        let mut buffer = vec![0; 9000];
        short.kind = FileKind::Plain { may_shrink: true };
        assert_eq!(short.read_at(&mut buffer, 0).expect("reads"), 8192);
        short.kind = FileKind::Plain { may_shrink: false };
        assert!(short.read_at(&mut buffer, 0).is_err());
        let failure = short.failure.take();
        assert!(matches!(failure, Some(EngineError::FileDamaged { .. })));
    }

    #[test]
    fn a_bad_page_passes_only_if_the_log_writes_it_again() {
        let (size, page) = (2 * PAGE_BYTES as u64, PAGE_BYTES as u64);
        let mut buffer = vec![0; 2 * PAGE_BYTES];
        let mut look = |file: &DataFile| {
            file.read_at(&mut buffer, 0).expect("reads");
            file.check(&mut buffer[PAGE_BYTES..], page)
        };
        let torn = file(&[[0; PAGE_BYTES], newer(500)], b"", size, Some(499));
        assert_eq!(look(&torn).expect("passes"), PageCheck::Torn);
        assert_eq!(torn.torn.after(500), None);
        let page = torn.torn.after(499).expect("one was torn");
        assert_eq!((page.file.as_str(), page.block, page.lsn), ("f", 1, 500));
        for start in [Some(500), None] {
            let bad = file(&[[0; PAGE_BYTES], newer(500)], b"", size, start);
            assert!(look(&bad).is_err());
            let failure = bad.failure.take();
            assert!(
                matches!(failure, Some(EngineError::PageDamaged { block: 1, .. })),
                "{failure:?}"
            );
        }
    }
}
