//! What tells that a file is as it was at an earlier dump, without reading it.
//!
//! It does not know what earlier dumps found: it condenses what the file system says of a file
//! so that two dumps agree exactly when nothing was written between their looks.
//!
//! The rule. A look is fstat on the descriptor that would be read, after the dump's beginning
//! and before the first read. Two looks that are equal in size, times of change, inode and
//! device say that no write came between, if a write always moves the times. It does once they
//! are [`SETTLED`] old by the file system's own clock, since a write then gets another tick: so
//! only such files have one. It holds for local file systems that are known to keep these
//! times, within one incarnation of the data folder, and within one run of the system, since a
//! crash may lose times whose data was written.
use std::{
    fs::{self, Metadata},
    io::Write,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    time::Duration,
};

use model::pages::ChangeToken;

use super::whole::incarnation;
use crate::{Home, folder::Folder};

/// How old a file's times must be.
const SETTLED: Duration = Duration::from_secs(10);
/// A file beside the data folder whose time of change tells the file system's clock.
const CLOCK: &str = "clock";
/// ext2 to ext4, XFS, Btrfs, tmpfs, F2FS, ZFS: by the number that statfs gives.
const KNOWN_FILE_SYSTEMS: [i64; 6] = [
    0xEF53,
    0x5846_5342,
    0x9123_683E,
    0x0102_1994,
    0xF2F5_2010,
    0x2FC1_2FC1,
];
/// Where Linux says which run of the system this is.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What all files of one dump have in common.
#[derive(Debug, Clone)]
pub(crate) struct Witness {
    /// Incarnation, run of the system, device.
    scene: blake3::Hasher,
    device: u64,
    /// The file system's clock at the dump's beginning, nanoseconds.
    now: i128,
}

fn nanos(secs: i64, nanos: i64) -> i128 {
    i128::from(secs) * 1_000_000_000 + i128::from(nanos)
}

impl Witness {
    /// Looks at the scene, after the dump has begun. None when nothing would be certain. `context` tells the
    /// engine's tokens, and the rule by which it makes them, from all others.
    pub(crate) fn of(home: &Home, data: &Folder, context: &'static str) -> Option<Self> {
        let incarnation = incarnation(home)?;
        let boot = fs::read_to_string(BOOT_ID).ok()?;
        let (device, kind) = data.file_system().ok()?;
        if !KNOWN_FILE_SYSTEMS.contains(&kind) {
            return None;
        }
        let clock = clock(home).ok()?;
        if clock.dev() != device {
            return None;
        }
        let mut scene = blake3::Hasher::new_derive_key(context);
        scene
            .update(incarnation.as_bytes())
            .update(&device.to_le_bytes())
            .update(boot.trim().as_bytes());
        Some(Self {
            scene,
            device,
            now: nanos(clock.mtime(), clock.mtime_nsec()),
        })
    }

    /// The change token of a file by what fstat says of it; none when it was changed too lately.
    pub(crate) fn of_file(&self, file: &Metadata) -> Option<ChangeToken> {
        let times = [
            nanos(file.mtime(), file.mtime_nsec()),
            nanos(file.ctime(), file.ctime_nsec()),
        ];
        let settled = i128::try_from(SETTLED.as_nanos()).ok()?;
        if file.dev() != self.device || times.iter().any(|time| self.now < time + settled) {
            return None;
        }
        let mut scene = self.scene.clone();
        scene
            .update(&file.len().to_le_bytes())
            .update(&file.ino().to_le_bytes());
        for time in times {
            scene.update(&time.to_le_bytes());
        }
        scene.finalize().as_bytes().first_chunk().copied()
    }
}

/// Writes beside the data folder, and gives what the file system says of that.
fn clock(home: &Home) -> std::io::Result<Metadata> {
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(home.dir.join(CLOCK))?;
    file.write_all(b"-")?;
    file.metadata()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    const CONTEXT: &str = "snapferry engine tests evidence 1";

    fn home(dir: &std::path::Path) -> Home {
        fs::create_dir(dir.join("data")).expect("a folder");
        fs::write(dir.join("whole"), "5e4a1f3e000040008000000000000001").expect("a mark");
        Home {
            dir: dir.to_owned(),
            socket_dir: dir.join("s"),
            host: "127.0.0.1".to_owned(),
            port: 1,
            os_uid: None,
            os_uid_shared: false,
            version: "15".to_owned(),
            replication: Default::default(),
        }
    }

    #[test]
    fn a_write_or_another_incarnation_is_seen_and_a_fresh_file_has_none() {
        let dir = tempfile::tempdir().expect("a folder");
        let home = home(dir.path());
        let data = Folder::open(&home.data()).expect("a folder");
        let Some(mut witness) = Witness::of(&home, &data, CONTEXT) else {
            return; // This machine's temporary folder is on another kind of file system.
        };
        let path = home.data().join("1");
        fs::write(&path, [1; 8192]).expect("writes");
        let look = || fs::metadata(&path).expect("a file");
        assert_eq!(witness.of_file(&look()), None, "written just now");
        witness.now += 60 * 1_000_000_000;
        let first = witness.of_file(&look());
        assert!(first.is_some());
        assert_eq!(witness.of_file(&look()), first, "nothing was written");

        std::thread::sleep(Duration::from_millis(20));
        let file = fs::OpenOptions::new().write(true).open(&path);
        file.expect("opens").write_all_at(&[2], 5).expect("writes");
        let second = witness.of_file(&look());
        assert!(second.is_some() && second != first, "a byte was written");
        fs::rename(&path, home.data().join("2")).expect("renames");
        fs::copy(home.data().join("2"), &path).expect("copies");
        assert_ne!(witness.of_file(&look()), second, "another inode");

        let third = witness.of_file(&look());
        fs::write(dir.path().join("whole"), "5e4a1f3e000040008000000000000002").expect("a mark");
        let mut other = Witness::of(&home, &data, CONTEXT).expect("as before");
        other.now = witness.now;
        assert_ne!(other.of_file(&look()), third, "another incarnation");
        fs::write(dir.path().join("whole"), "").expect("a mark");
        assert!(
            Witness::of(&home, &data, CONTEXT).is_none(),
            "no incarnation"
        );
    }
}
