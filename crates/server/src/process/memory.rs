//! Keeps what this process has in memory to itself (no core file, and no look from outside), and gives
//! back what only the start needed.
//!
//! It does not know which secrets lie there.
use std::{fs, io, ops::Range, os::unix::fs::MetadataExt, ptr, time::Duration};

use rustix::{
    io::Errno,
    mm::{Advice, madvise},
    process::{DumpableBehavior, Resource, Rlimit, getrlimit, set_dumpable_behavior, setrlimit},
};

/// No core file is written of this process, and no other one of its user can trace it or read its
/// memory and environment.
///
/// That does not pass on to programs that this one starts: a cluster's server keeps the rules for
/// core files that it would have. The limit RLIMIT_CORE would pass on, and a program that takes core
/// files at a pipe does not mind it; so it is only lowered where the system knows nothing better.
///
/// # Errors
/// When the system takes neither.
pub(crate) fn hide() -> Result<(), Errno> {
    set_dumpable_behavior(DumpableBehavior::NotDumpable).or_else(|_| {
        let maximum = getrlimit(Resource::Core).maximum;
        let none = Rlimit {
            current: Some(0),
            maximum,
        };
        setrlimit(Resource::Core, none)
    })
}

/// How long after the start the program is let go of: jobs of before have begun by then.
const SETTLE: Duration = Duration::from_secs(3);
/// How often it is from then on.
const PERIOD: Duration = Duration::from_secs(300);

/// Once the server has settled, gives back the pages of the program that its start touched; and now and
/// then those of what has come up since.
///
/// The start maps nearly the whole program, since the system maps some tens of pages around each that
/// is used. They stay in the page cache, and come back as they are used, without a read: some hundred
/// faults of a microsecond.
pub(crate) async fn settle() {
    tokio::time::sleep(SETTLE).await;
    loop {
        match release_program() {
            Ok(bytes) => tracing::debug!(bytes, "let go of the program's pages"),
            Err(error) => tracing::debug!(%error, "the program's pages stay mapped"),
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Lets go of the code and constants of this process's own file; says how many bytes they span.
///
/// # Errors
/// When the system does not tell what is mapped, or refuses.
fn release_program() -> io::Result<usize> {
    let program = fs::metadata("/proc/self/exe")?.ino();
    let maps = fs::read_to_string("/proc/self/maps")?;
    let mut bytes = 0;
    for range in unwritten(&maps, program) {
        bytes += range.len();
        let start = ptr::with_exposed_provenance_mut(range.start);
        #[expect(unsafe_code, reason = "the system's call takes an address")]
        // SAFETY: the range is a mapping of the program's file which no one has ever been able to
        // write: what is let go of is read from the file again, and is then the same.
        unsafe {
            madvise(start, range.len(), Advice::LinuxDontNeed)?;
        }
    }
    Ok(bytes)
}

/// Where the file of that inode is mapped as it is: its code, and what lies before it. What comes after
/// was written while the program was linked, though it cannot be written any more.
fn unwritten(maps: &str, inode: u64) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut seen_code = false;
    for line in maps.lines() {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [range, rights, _, _, of, ..] = fields[..] else {
            continue;
        };
        let code = rights == "r-xp";
        if of.parse() != Ok(inode) || !(code || rights == "r--p" && !seen_code) {
            continue;
        }
        seen_code |= code;
        let number = |text| usize::from_str_radix(text, 16).ok();
        let bounds = range.split_once('-');
        if let Some((start, end)) = bounds.and_then(|(a, b)| Some((number(a)?, number(b)?))) {
            ranges.push(start..end);
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_linker_wrote_is_not_let_go_of() {
        let maps = "\
            1000-3000 r--p 00000000 fe:00 77 /bin/snapferry\n\
            3000-9000 r-xp 00002000 fe:00 77 /bin/snapferry\n\
            9000-a000 r--p 00008000 fe:00 77 /bin/snapferry\n\
            a000-b000 rw-p 00009000 fe:00 77 /bin/snapferry\n\
            b000-c000 rw-p 00000000 00:00 0 [heap]\n\
            d000-e000 r-xp 00000000 fe:00 78 /lib/libc.so.6\n\
            nonsense\n";
        assert_eq!(unwritten(maps, 77), [0x1000..0x3000, 0x3000..0x9000]);
        assert!(unwritten(maps, 76).is_empty());
    }

    #[test]
    fn the_program_runs_on_without_its_pages() {
        let before = resident_file_pages();
        assert!(release_program().expect("the system tells its own maps") > 1 << 20);
        assert!(resident_file_pages() < before);
    }

    fn resident_file_pages() -> u64 {
        let status = fs::read_to_string("/proc/self/statm").expect("the system's own file");
        let shared = status
            .split(' ')
            .nth(2)
            .expect("the third is what files have");
        shared.parse().expect("a number")
    }
}
