//! Whether a server answers: a session is asked for over the cluster's own socket, and the first
//! bytes of the answer are judged.
//!
//! It believes the server nothing else, and reads no more than it needs.
use std::{io, time::Duration};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
    time::timeout,
};

use super::conf::{self, ADMIN};
use crate::Home;

/// How long a server may take to its first answer.
const WAIT: Duration = Duration::from_secs(5);
/// Bytes of an answer that are looked at.
const ANSWER_BYTES_MAX: usize = 1024;
/// The protocol's version, 3.0.
const PROTOCOL: u32 = 3 << 16;
/// "The database system is starting up", or shutting down, or in recovery.
const CANNOT_CONNECT_NOW: &[u8] = b"57P03";

/// Whether the server takes sessions now.
pub(super) async fn answers(home: &Home) -> bool {
    match timeout(WAIT, ask(home)).await {
        Ok(Ok(answer)) => takes_sessions(&answer),
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

async fn ask(home: &Home) -> io::Result<Vec<u8>> {
    let mut stream = UnixStream::connect(conf::socket_path(home)).await?;
    stream.write_all(&request()).await?;
    let mut answer = vec![0; ANSWER_BYTES_MAX];
    let read = stream.read(&mut answer).await?;
    answer.truncate(read);
    Ok(answer)
}

/// A StartupMessage.
fn request() -> Vec<u8> {
    let mut body = PROTOCOL.to_be_bytes().to_vec();
    for word in [
        "user",
        ADMIN,
        "database",
        ADMIN,
        "application_name",
        "snapferry",
    ] {
        body.extend(word.as_bytes());
        body.push(0);
    }
    body.push(0);
    let length = u32::try_from(body.len() + 4).expect("a few words");
    [length.to_be_bytes().to_vec(), body].concat()
}

/// Whatever a server says of a session, it answers, unless it says that it takes none.
fn takes_sessions(answer: &[u8]) -> bool {
    match answer.first() {
        Some(b'R') => true,
        Some(b'E') => {
            let code = answer.get(5..).unwrap_or_default().split(|byte| *byte == 0);
            !code
                .filter_map(|field| field.strip_prefix(b"C"))
                .any(|code| code == CANNOT_CONNECT_NOW)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_answers_and_recovery_is_none() {
        let error = |code: &str| {
            let fields = format!("SFATAL\0VFATAL\0C{code}\0Mno\0\0");
            let length = u32::try_from(fields.len() + 4).expect("short");
            [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
        };
        assert!(takes_sessions(b"R\0\0\0\x08\0\0\0\0"));
        assert!(takes_sessions(&error("53300")), "too many connections");
        assert!(!takes_sessions(&error("57P03")));
        assert!(!takes_sessions(b"") && !takes_sessions(b"HTTP/1.1 200"));
    }

    #[test]
    fn the_request_says_its_own_length() {
        let request = request();
        let length = u32::from_be_bytes(request[..4].try_into().expect("four"));
        assert_eq!(length as usize, request.len());
    }
}
