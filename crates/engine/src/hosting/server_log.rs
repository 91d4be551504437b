//! The file that a server's messages go to: this process opens it, notes where a start's messages begin, and cuts
//! it when it grows.
//!
//! It does not know what is in it.
use std::{
    fs,
    io::{Read, Seek, SeekFrom},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
};

use super::{
    child::last_lines,
    files::{make_folder, replace},
};
use crate::{error::EngineError, home::Home, profile::Profile};

/// A log beyond this many bytes is cut.
const LOG_BYTES_MAX: u64 = 8 << 20;
/// Bytes of the log that a cut keeps, in a file beside it whose name ends in `.1`.
const LOG_BYTES_KEPT: u64 = 1 << 20;
/// Bytes of the log that go into an error.
const TAIL_BYTES: u64 = 4 << 10;

/// Where the messages of the last start begin, in the home's own folder: what a server before it said explains
/// nothing of this one.
const BEGINNING: &str = "log-beginning";

fn note_beginning(home: &Home, at: u64) -> std::io::Result<()> {
    replace(&home.dir, BEGINNING, at.to_string().as_bytes(), None).map(drop)
}

/// Where the messages of the last start begin; at the log's own beginning where nothing says it.
fn beginning(home: &Home) -> u64 {
    let noted = fs::read_to_string(home.dir.join(BEGINNING));
    noted.ok().and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Opens the log for a new server, cut if it has grown.
///
/// # Errors
/// When it cannot be read or written.
pub(crate) fn open(home: &Home, profile: &Profile) -> Result<fs::File, EngineError> {
    let path = home.log_file(profile);
    let failed = |source| EngineError::io("open the log", &path, source);
    make_folder(&home.dir.join("log"), 0o700).map_err(failed)?;
    trim(home, profile)?;
    let mut options = fs::OpenOptions::new();
    options.append(true).create(true).mode(0o600);
    let file = options.open(&path).map_err(failed)?;
    let at = file.metadata().map_err(failed)?.len();
    note_beginning(home, at).map_err(failed)?;
    Ok(file)
}

/// Cuts a log that has grown too long; the server goes on writing to the same file.
pub(crate) fn trim(home: &Home, profile: &Profile) -> Result<(), EngineError> {
    let path = home.log_file(profile);
    let failed = |source| EngineError::io("cut the log", &path, source);
    let mut file = match fs::OpenOptions::new().read(true).write(true).open(&path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    };
    let length = file.metadata().map_err(failed)?.len();
    if length <= LOG_BYTES_MAX {
        return Ok(());
    }
    file.seek(SeekFrom::Start(length - LOG_BYTES_KEPT))
        .map_err(failed)?;
    let mut kept = Vec::new();
    (&file)
        .take(LOG_BYTES_KEPT)
        .read_to_end(&mut kept)
        .map_err(failed)?;
    let old = path.with_extension("log.1");
    fs::write(&old, &kept).map_err(failed)?;
    fs::set_permissions(&old, fs::Permissions::from_mode(0o600)).map_err(failed)?;
    file.set_len(0).map_err(failed)?;
    note_beginning(home, 0).map_err(failed)
}

/// Whether a server has said these words since its last start; a log of more bytes than `most` is not read to its
/// end.
///
/// # Errors
/// When the log cannot be read.
pub(crate) fn has_said(
    home: &Home,
    profile: &Profile,
    words: &str,
    most: u64,
) -> Result<bool, EngineError> {
    let path = home.log_file(profile);
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(&path)?;
        file.seek(SeekFrom::Start(beginning(home)))?;
        let mut text = Vec::new();
        file.take(most).read_to_end(&mut text)?;
        Ok(text)
    };
    let text = read().map_err(|source| EngineError::io("read", &path, source))?;
    Ok(String::from_utf8_lossy(&text).contains(words))
}

/// The last lines of the log since the server's last start, for an error.
pub(crate) fn tail(home: &Home, profile: &Profile) -> String {
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = fs::File::open(home.log_file(profile))?;
        let length = file.metadata()?.len();
        let from = length.saturating_sub(TAIL_BYTES).max(beginning(home));
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    last_lines(&read().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::mysql::PROFILE;

    #[test]
    fn what_an_earlier_server_said_is_not_this_ones() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Home {
            dir: folder.path().to_owned(),
            socket_dir: folder.path().join("sockets"),
            host: "127.0.0.1".to_owned(),
            port: 1,
            os_uid: None,
            os_uid_shared: false,
            version: "1.0".to_owned(),
            replication: Default::default(),
        };
        let says = |text: &str| {
            let mut log = open(&home, &PROFILE).expect("opens");
            log.write_all(text.as_bytes()).expect("writes");
            log
        };
        let said = |words| has_said(&home, &PROFILE, words, 1 << 20).expect("reads");
        says("one is missing!\n");
        assert!(said("is missing!") && tail(&home, &PROFILE).contains("one"));
        let mut log = says("");
        assert!(!said("is missing!"));
        assert_eq!(tail(&home, &PROFILE), "");
        log.write_all(b"two\n").expect("writes");
        assert!(said("two") && !said("one"));
        assert_eq!(tail(&home, &PROFILE).trim(), "two");
        // A cut takes what came before, and the place with it.
        let filling = vec![b'x'; usize::try_from(LOG_BYTES_MAX).expect("small") + 1];
        log.write_all(&filling).expect("writes");
        trim(&home, &PROFILE).expect("cuts");
        log.write_all(b"three\n").expect("writes");
        assert!(said("three") && !said("two"));
        assert_eq!(tail(&home, &PROFILE).trim(), "three");
    }
}
