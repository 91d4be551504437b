//! Whether a server answers: it greets whoever connects to its socket, and the first bytes of that are judged.
//!
//! It believes the server nothing else, and reads no more than it needs.
use std::{io, time::Duration};

use tokio::{io::AsyncReadExt, net::UnixStream, time::timeout};

use super::options;
use crate::home::Home;

/// How long a server may take to its first word.
const WAIT: Duration = Duration::from_secs(5);
/// A packet's length and number, and its first byte.
const FIRST_BYTES: usize = 5;
/// The version of the greeting, and a refusal: too many others have sessions.
const ANSWERS: [u8; 2] = [10, 0xFF];

/// Whether the server takes sessions now.
pub(super) async fn answers(home: &Home) -> bool {
    match timeout(WAIT, first_bytes(home)).await {
        Ok(Ok([_, _, _, 0, first])) => ANSWERS.contains(&first),
        Ok(Ok(_)) => false,
        Ok(Err(error)) => {
            tracing::debug!(home = %home.dir.display(), %error, "the server does not answer");
            false
        }
        Err(_) => {
            tracing::debug!(home = %home.dir.display(), "the server does not answer in time");
            false
        }
    }
}

async fn first_bytes(home: &Home) -> io::Result<[u8; FIRST_BYTES]> {
    let mut stream = UnixStream::connect(options::socket_path(home)).await?;
    let mut first = [0; FIRST_BYTES];
    stream.read_exact(&mut first).await?;
    Ok(first)
}
