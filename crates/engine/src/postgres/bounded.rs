//! A connection to a cluster's server, which may be any program that the server's user put in its
//! place: it sends no more than is ever needed, in messages that fit, and is that user's.
//!
//! It does not know what the messages say.
use std::{
    io,
    path::Path,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::UnixStream,
};

/// Bytes that a server may send in one session. The longest thing that is asked for is a backup's
/// label, of some 300 bytes; what else it says on its own is thrown away.
const SESSION_BYTES_MAX: usize = 1 << 20;
/// Bytes of one message: room is made for the length that it claims.
const MESSAGE_BYTES_MAX: usize = 128 << 10;
/// A message's type and its length, which counts itself.
const HEAD_BYTES: usize = 5;

/// What may still come.
#[derive(Debug)]
struct Allowance {
    bytes: usize,
    head: [u8; HEAD_BYTES],
    head_bytes: usize,
    /// Of the message that has begun.
    body_bytes: usize,
}

impl Default for Allowance {
    fn default() -> Self {
        Self {
            bytes: SESSION_BYTES_MAX,
            head: [0; HEAD_BYTES],
            head_bytes: 0,
            body_bytes: 0,
        }
    }
}

impl Allowance {
    /// Takes what came.
    ///
    /// # Errors
    /// `InvalidData` when that is too much, or a message is too long.
    fn take(&mut self, mut came: &[u8]) -> io::Result<()> {
        let too_much = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
        self.bytes = self.bytes.checked_sub(came.len()).ok_or_else(|| {
            too_much(format!(
                "the server sent more than {SESSION_BYTES_MAX} bytes in a session"
            ))
        })?;
        while !came.is_empty() {
            if 0 < self.body_bytes {
                let passed = self.body_bytes.min(came.len());
                self.body_bytes -= passed;
                came = &came[passed..];
                continue;
            }
            self.head[self.head_bytes] = came[0];
            self.head_bytes += 1;
            came = &came[1..];
            if self.head_bytes == HEAD_BYTES {
                self.head_bytes = 0;
                let length = u32::from_be_bytes([1, 2, 3, 4].map(|at| self.head[at]));
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                if !(HEAD_BYTES - 1..=MESSAGE_BYTES_MAX).contains(&length) {
                    return Err(too_much(format!(
                        "the server began a message of {length} bytes; 4 to {MESSAGE_BYTES_MAX} are taken"
                    )));
                }
                self.body_bytes = length - (HEAD_BYTES - 1);
            }
        }
        Ok(())
    }
}

/// A connection that ends when more comes than may.
#[derive(Debug)]
pub(super) struct Bounded {
    stream: UnixStream,
    allowance: Allowance,
}

impl Bounded {
    /// Connects to the socket of a server that runs as `user`.
    ///
    /// # Errors
    /// The system's; `InvalidData` when another user listens there.
    pub(super) async fn connect(socket: &Path, user: u32) -> io::Result<Self> {
        let stream = UnixStream::connect(socket).await?;
        // A link may lead to another cluster's socket, which this process could open.
        let listener = stream.peer_cred()?.uid();
        if listener != user {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("user {listener} listens at the socket of user {user}"),
            ));
        }
        Ok(Self {
            stream,
            allowance: Allowance::default(),
        })
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        Poll::Ready(self.allowance.take(&buffer.filled()[before..]))
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(body: usize) -> Vec<u8> {
        let length = u32::try_from(body + 4).expect("a short one");
        [b"N".as_slice(), &length.to_be_bytes(), &vec![b'x'; body]].concat()
    }

    proptest! {
        #[test]
        fn messages_pass_however_they_are_cut(
            bodies in proptest::collection::vec(0_usize..3_000, 1..20),
            cut in 1_usize..4_000,
        ) {
            let bytes: Vec<u8> = bodies.iter().flat_map(|body| message(*body)).collect();
            let mut allowance = Allowance::default();
            for piece in bytes.chunks(cut) {
                prop_assert!(allowance.take(piece).is_ok());
            }
            prop_assert_eq!(allowance.bytes, SESSION_BYTES_MAX - bytes.len());
            prop_assert_eq!((allowance.head_bytes, allowance.body_bytes), (0, 0));
        }
    }

    #[test]
    fn a_long_message_ends_at_its_head() {
        for length in [2_000_000_000_u32, 0, 3, u32::MAX] {
            let mut allowance = Allowance::default();
            assert!(allowance.take(&message(10)).is_ok());
            let head = [b"t".as_slice(), &length.to_be_bytes()].concat();
            let (first, last) = head.split_at(4);
            assert!(allowance.take(first).is_ok());
            assert!(allowance.take(last).is_err(), "{length}");
        }
    }

    #[test]
    fn an_endless_stream_ends() {
        let mut allowance = Allowance::default();
        let one = message(60_000);
        let taken = (0..100)
            .take_while(|_| allowance.take(&one).is_ok())
            .count();
        assert_eq!(taken, SESSION_BYTES_MAX / one.len());
    }
}
