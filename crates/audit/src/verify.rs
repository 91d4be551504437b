//! Whether a chain is whole: no line removed, altered, moved, added, or cut off, as far as that can
//! be known.
use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};

use crate::chain::{Head, LINE_BYTES_MAX, Link, NOTHING, files, hash_of};

/// Findings that are listed.
const FINDINGS_MAX: usize = 100;

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// The line in it, from 1; 0 for the file as such.
    pub line: u64,
    /// What is wrong, in words.
    pub why: String,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Names the chain.
    pub chain: Option<String>,
    /// Files that were read.
    pub files: usize,
    /// Records that follow one another as they were written.
    pub records: u64,
    /// The first record's number: above 1, older files were taken away.
    pub first: Option<u64>,
    /// The last record's number.
    pub last: Option<u64>,
    /// Records of strangers that were left out, by the records' own account.
    pub omitted: u64,
    /// What is wrong; none when the chain is whole.
    pub findings: Vec<Finding>,
}

/// What is kept of a chain elsewhere.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// Where it ended.
    pub head: Option<Head>,
    /// The number of the first record that is not too old to be kept.
    pub first: u64,
}

/// Reads a chain.
struct Reader {
    report: Report,
    /// The hash of the line before, and its number.
    before: Option<(String, u64)>,
    known: Known,
}

/// Reads the chain in a folder, and compares it with what is kept of it elsewhere.
///
/// # Errors
/// When the folder or a file cannot be read.
pub fn verify(folder: &Path, known: Known) -> io::Result<Report> {
    let mut reader = Reader {
        report: Report::default(),
        before: None,
        known,
    };
    let files = files(folder)?;
    for (first, path) in &files {
        reader.report.files += 1;
        reader.file(*first, path)?;
    }
    reader.end(folder);
    Ok(reader.report)
}

impl Reader {
    fn find(&mut self, file: &Path, line: u64, why: String) {
        if self.report.findings.len() < FINDINGS_MAX {
            self.report.findings.push(Finding {
                file: file.to_owned(),
                line,
                why,
            });
        }
    }

    fn file(&mut self, first: u64, path: &Path) -> io::Result<()> {
        let mut lines = BufReader::new(File::open(path)?);
        for number in 1.. {
            let mut line = Vec::new();
            (&mut lines)
                .take(LINE_BYTES_MAX + 1)
                .read_until(b'\n', &mut line)?;
            if line.is_empty() {
                break;
            }
            if line.pop() != Some(b'\n') {
                // Whoever wrote it was killed at it, and never answered the request.
                self.find(
                    path,
                    number,
                    "the line has no end: its writing was cut short, or it was cut".to_owned(),
                );
                break;
            }
            let link = self.line(path, number, &line);
            if let (1, Some(link)) = (number, &link)
                && link.seq != first
            {
                let why = format!(
                    "the file is named for the record {first} and begins with {}",
                    link.seq
                );
                self.find(path, number, why);
            }
        }
        Ok(())
    }

    fn line(&mut self, path: &Path, number: u64, line: &[u8]) -> Option<Link> {
        let Some(link) = Link::of(line) else {
            self.find(path, number, "this is no record".to_owned());
            self.before = None;
            return None;
        };
        let hash = hash_of(line);
        for why in self.wrong(&link, &hash) {
            self.find(path, number, why);
        }
        let report = &mut self.report;
        report.chain.get_or_insert_with(|| link.chain.clone());
        report.first.get_or_insert(link.seq);
        report.last = report.last.max(Some(link.seq));
        report.records += 1;
        report.omitted += link.omitted;
        self.before = Some((hash, link.seq));
        Some(link)
    }

    /// What is wrong with a line after the one before.
    fn wrong(&self, link: &Link, hash: &str) -> Vec<String> {
        let mut wrong = Vec::new();
        let chain = self.report.chain.as_ref();
        if chain.is_some_and(|chain| *chain != link.chain) {
            wrong.push(format!(
                "record {} is of another chain, {}",
                link.seq, link.chain
            ));
        }
        match &self.before {
            Some((_, before)) if before + 1 != link.seq => wrong.push(format!(
                "record {} follows record {before}: what stood between was removed or moved",
                link.seq
            )),
            Some((before, _)) if *before != link.previous => wrong.push(format!(
                "record {} does not follow what stands before it: one of the two was altered",
                link.seq
            )),
            None if link.seq == 1 && link.previous != NOTHING => {
                wrong.push("the first record follows another one".to_owned());
            }
            _ => {}
        }
        if let Some(head) = &self.known.head
            && head.chain == link.chain
            && head.seq == link.seq
            && head.hash != hash
        {
            wrong.push(format!(
                "record {} is not the one that the catalog knows: it was written again",
                link.seq
            ));
        }
        wrong
    }

    fn end(&mut self, folder: &Path) {
        let known = std::mem::take(&mut self.known);
        let Some(head) = known.head else {
            return;
        };
        let report = &self.report;
        let (first, last) = (report.first.unwrap_or(0), report.last.unwrap_or(0));
        if report
            .chain
            .as_ref()
            .is_some_and(|chain| *chain != head.chain)
        {
            let why = format!(
                "the catalog knows the chain {}, and this is another",
                head.chain
            );
            self.find(folder, 0, why);
            return;
        }
        if last < head.seq {
            let why = format!(
                "the catalog knows {} records, and the last one here is {last}: the end was cut off",
                head.seq
            );
            self.find(folder, 0, why);
        }
        if known.first.max(1) < first {
            let why = format!(
                "record {} is not too old to be kept, and the first one here is {first}: older files were removed",
                known.first.max(1)
            );
            self.find(folder, 0, why);
        }
    }
}
