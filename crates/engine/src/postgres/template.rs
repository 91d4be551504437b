//! The identity of a cluster that is a copy of what initdb left.
//!
//! Clusters must differ in two numbers that initdb draws: the system identifier, by which a server
//! tells its own log from another cluster's, and the nonce from which it answers for users that do
//! not exist.
use std::{fs, io, os::unix::fs::FileExt, path::Path};

use model::{Clock, Entropy, SystemClock, SystemEntropy};

use super::{
    control::{self, CONTROL_PATH, Control, Identity},
    install::Install,
    wal,
};
use crate::hosting::template::{Template, Templates};

/// What a template is made with beside the programs: another number makes it anew.
const GENERATION: u32 = 1;

/// The template for these programs as they are now; none when none are kept.
pub(super) fn of(templates: &Templates, install: &Install) -> Option<Template> {
    let programs = ["postgres", "initdb"].map(|name| install.program(name));
    let series = install.major.to_string();
    templates.of((&series, &install.version), &programs, GENERATION, renew)
}

/// Gives a cluster that was shut down, and that nobody else can reach, an identity of its own: in
/// its control file, and in the heads of its log's files, without which no server starts on it.
fn renew(data: &Path) -> io::Result<()> {
    let odd = |what: &str| io::Error::new(io::ErrorKind::InvalidData, what.to_owned());
    let path = data.join(CONTROL_PATH);
    let mut bytes = fs::read(&path)?;
    let old = Control::read(&bytes).map_err(|fault| odd(&format!("the control file: {fault}")))?;
    if !old.is_shut_down() {
        return Err(odd("the template was not shut down"));
    }
    let new = draw();
    control::renew(&mut bytes, &new).map_err(|fault| odd(&fault.to_string()))?;
    let segments = wal::Segments::of(&old, old.timeline);
    let mut renewed = 0;
    for entry in fs::read_dir(data.join("pg_wal"))? {
        let entry = entry?;
        if !entry.file_type()?.is_file() {
            continue;
        }
        let file = fs::OpenOptions::new()
            .read(true)
            .write(true)
            .open(entry.path())?;
        let mut head = [0; wal::HEAD_BYTES];
        file.read_exact_at(&mut head, 0)?;
        let head = segments
            .renewed(&head, new.system_identifier)
            .ok_or_else(|| odd("a file of the log is not the template's"))?;
        file.write_all_at(&head, 0)?;
        renewed += 1;
    }
    if renewed == 0 {
        return Err(odd("the template has no log"));
    }
    fs::write(&path, &bytes)
}

/// As PostgreSQL draws them: the identifier's upper half is the moment in seconds.
fn draw() -> Identity {
    let seconds = SystemClock.now().seconds().unsigned_abs() & 0xFFFF_FFFF;
    let chance = SystemEntropy.uuid().as_u128();
    let mut nonce = [0; 32];
    // Two of them have 244 bits of the system's chance; hashing spreads them over all.
    let drawn = [SystemEntropy.uuid(), SystemEntropy.uuid()];
    let mut hash = blake3::Hasher::new();
    hash.update(drawn[0].as_bytes());
    hash.update(drawn[1].as_bytes());
    nonce.copy_from_slice(hash.finalize().as_bytes());
    Identity {
        // The lowest 32 bits of a random UUID are all drawn.
        system_identifier: (seconds << 32) | (chance & 0xFFFF_FFFF) as u64,
        nonce,
    }
}
