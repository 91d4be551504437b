//! A dump's files as they are read: cut at their size, and checked on the way.
//!
//! It does not know where the bytes go, nor which threads ask for them.
use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc, thread, time::Duration};

use model::pages::{ChangeToken, Content, PageCheck, Pages};

use super::super::page::{Layout, LayoutFault, PAGE_BYTES, PAGE_BYTES_MIN, Verdict};
use crate::{EngineError, dump::FirstFailure, folder::read_full};

/// How often a page whose sum does not hold is read again: a server may be writing it, and nothing but its next
/// writing makes up for a half-written one.
const TRIES: u32 = 100;
/// How long the first wait is, in tenths; the last one is ten times as long.
const PAUSE: Duration = Duration::from_millis(2);
/// What the account of a damaged page can do.
const DAMAGE_ADVICE: &str = "CHECK TABLE tells which table it is of";
pub(super) const ENCRYPTED: &str = "is encrypted, which dumps cannot keep";

/// A file of the data folder, cut at the size it had when it was opened.
#[derive(Debug)]
pub(super) struct DataFile {
    pub(super) file: File,
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) change_token: Option<ChangeToken>,
    /// Its pages; none: it has none.
    pub(super) layout: Option<Layout>,
    pub(super) failure: Arc<FirstFailure>,
}

/// How long to wait before the next try.
fn pause(tried: u32) -> Duration {
    PAUSE * (1 + tried / 10)
}

/// Reads of what pages a file consists, again while its first page may be half-written.
pub(super) fn layout_of(file: &File, path: &str) -> Result<Layout, EngineError> {
    let mut fault = LayoutFault::Damaged;
    for tried in 0..TRIES {
        let beginning =
            read_beginning(file).map_err(|source| EngineError::io("read", path, source))?;
        match Layout::of(&beginning) {
            Ok(layout) => return Ok(layout),
            Err(found) => fault = found,
        }
        if matches!(fault, LayoutFault::Unsupported(_)) || beginning.len() < PAGE_BYTES_MIN {
            break;
        }
        thread::sleep(pause(tried));
    }
    Err(match fault {
        LayoutFault::Damaged => damaged(path, 0),
        LayoutFault::Unsupported(why) => EngineError::Unexpected {
            file: path.to_owned(),
            why,
        },
    })
}

pub(in crate::mysql) fn read_beginning(file: &File) -> io::Result<Vec<u8>> {
    let mut beginning = vec![0; PAGE_BYTES];
    let got = read_full(file, &mut beginning, 0)?;
    beginning.truncate(got);
    Ok(beginning)
}

fn damaged(path: &str, block: u64) -> EngineError {
    EngineError::PageDamaged {
        file: path.to_owned(),
        block,
        advice: DAMAGE_ADVICE,
    }
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
        match got < wanted {
            // Nothing makes a file shorter while a dump runs.
            true => Err(self.failure.keep(EngineError::FileDamaged {
                file: self.path.clone(),
                why: "it shrank while it was read".to_owned(),
            })),
            false => Ok(got),
        }
    }

    fn pages(&self) -> Option<&dyn Pages> {
        self.layout.as_ref().map(|_| self as &dyn Pages)
    }

    fn change_token(&self) -> Option<ChangeToken> {
        self.change_token
    }
}

impl Pages for DataFile {
    fn page_bytes(&self) -> usize {
        self.layout.map_or(PAGE_BYTES, |layout| layout.page_bytes())
    }

    fn check(&self, page: &mut [u8], offset: u64) -> io::Result<PageCheck> {
        let layout = self
            .layout
            .filter(|layout| page.len() == layout.page_bytes())
            .filter(|layout| offset.is_multiple_of(layout.page_bytes() as u64));
        let Some(layout) = layout else {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "{} bytes at {offset} of {} are no page",
                    page.len(),
                    self.path
                ),
            ));
        };
        let block = offset / layout.page_bytes() as u64;
        let number = u32::try_from(block)
            .map_err(|_| self.unreadable(io::ErrorKind::FileTooLarge.into()))?;
        match layout.judge(page, number) {
            Verdict::Good => Ok(PageCheck::Ok),
            Verdict::Bad | Verdict::Encrypted => self.check_again(layout, page, number),
        }
    }
}

impl DataFile {
    fn unreadable(&self, error: io::Error) -> io::Error {
        self.failure.unreadable(&self.path, error)
    }

    /// Reads a page again whose sum did not hold, until it does.
    fn check_again(&self, layout: Layout, page: &mut [u8], number: u32) -> io::Result<PageCheck> {
        let mut verdict = Verdict::Bad;
        for tried in 0..TRIES {
            thread::sleep(pause(tried));
            let offset = u64::from(number) * layout.page_bytes() as u64;
            self.file
                .read_exact_at(page, offset)
                .map_err(|error| self.unreadable(error))?;
            verdict = layout.judge(page, number);
            if verdict == Verdict::Good {
                tracing::debug!(
                    file = self.path,
                    number,
                    tried,
                    "a page was caught half-written"
                );
                return Ok(PageCheck::Reread);
            }
        }
        Err(self.failure.keep(match verdict {
            Verdict::Encrypted => EngineError::Unexpected {
                file: self.path.clone(),
                why: ENCRYPTED,
            },
            _ => damaged(&self.path, u64::from(number)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// A page of tablespace 0, which is signed.
    fn page(number: u32, filling: u8) -> Vec<u8> {
        let mut page = vec![0; PAGE_BYTES];
        page[38..PAGE_BYTES - 8].fill(filling);
        page[38..100].fill(0);
        page[4..8].copy_from_slice(&number.to_be_bytes());
        let sum = crc32c::crc32c(&page[4..26]) ^ crc32c::crc32c(&page[38..PAGE_BYTES - 8]);
        page[..4].copy_from_slice(&sum.to_be_bytes());
        page[PAGE_BYTES - 8..PAGE_BYTES - 4].copy_from_slice(&sum.to_be_bytes());
        page
    }

    fn file(bytes: &[u8], size: u64) -> DataFile {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(bytes).expect("writes");
        DataFile {
            layout: Some(layout_of(&file, "f").expect("a first page")),
            file,
            path: "f".to_owned(),
            size,
            change_token: None,
            failure: Arc::default(),
        }
    }

    #[test]
    fn a_half_written_page_is_read_again_until_it_holds() {
        let mut bytes = [page(0, 1), page(1, 2)].concat();
        let whole = bytes.clone();
        bytes[PAGE_BYTES + 9000] ^= 1;
        let size = bytes.len() as u64;
        let file = file(&bytes, size);
        let mut buffer = vec![0; PAGE_BYTES];
        file.read_at(&mut buffer, PAGE_BYTES as u64).expect("reads");
        let writer = file.file.try_clone().expect("another descriptor");
        let found = thread::scope(|scope| {
            let check = scope.spawn(|| file.check(&mut buffer, PAGE_BYTES as u64));
            thread::sleep(Duration::from_millis(40));
            writer.write_all_at(&whole, 0).expect("writes");
            check.join().expect("no panic")
        });
        assert_eq!(found.expect("it holds"), PageCheck::Reread);
        assert_eq!(buffer, page(1, 2));
    }

    #[test]
    fn a_damaged_page_ends_the_dump_with_its_place() {
        let mut bytes = [page(0, 1), page(1, 2)].concat();
        bytes[PAGE_BYTES + 9000] ^= 1;
        let file = file(&bytes, bytes.len() as u64);
        let mut buffer = bytes[PAGE_BYTES..].to_vec();
        file.check(&mut buffer, PAGE_BYTES as u64)
            .expect_err("damaged");
        let failure = file.failure.take();
        assert!(
            matches!(failure, Some(EngineError::PageDamaged { block: 1, .. })),
            "{failure:?}"
        );
    }

    #[test]
    fn growth_is_cut_and_shrinkage_is_an_error() {
        let bytes = [page(0, 1), page(1, 2), page(2, 3)].concat();
        let short = file(&bytes, 2 * PAGE_BYTES as u64);
        let mut buffer = vec![9; 4 * PAGE_BYTES];
        assert_eq!(
            short.read_at(&mut buffer, 0).expect("reads"),
            2 * PAGE_BYTES
        );
        let long = file(&bytes, 4 * PAGE_BYTES as u64);
        assert!(long.read_at(&mut buffer, 0).is_err());
        let failure = long.failure.take();
        assert!(matches!(failure, Some(EngineError::FileDamaged { .. })));
    }

    #[test]
    fn a_file_without_a_first_page_is_named() {
        let mut empty = tempfile::tempfile().expect("a file");
        let refused = layout_of(&empty, "f").expect_err("no page");
        assert!(matches!(refused, EngineError::PageDamaged { block: 0, .. }));
        let mut encrypted = page(0, 1);
        encrypted[54..58].copy_from_slice(&(1_u32 << 13).to_be_bytes());
        let sum =
            crc32c::crc32c(&encrypted[4..26]) ^ crc32c::crc32c(&encrypted[38..PAGE_BYTES - 8]);
        encrypted[..4].copy_from_slice(&sum.to_be_bytes());
        encrypted[PAGE_BYTES - 8..PAGE_BYTES - 4].copy_from_slice(&sum.to_be_bytes());
        empty.write_all(&encrypted).expect("writes");
        let refused = layout_of(&empty, "f").expect_err("encrypted");
        assert!(
            matches!(refused, EngineError::Unexpected { .. }),
            "{refused}"
        );
    }
}
