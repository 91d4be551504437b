//! Reading request bodies within limits of size, time and memory.
//!
//! It does not know what a body says.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use model::limits;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};

/// Requests being read and answered at once, over all connections. More wait their turn.
const REQUESTS_MAX: usize = 1_024;
/// Bodies up to this are read at once: together at most 64 MiB.
const SMALL_BODY_BYTES: usize = 64 << 10;
/// Larger bodies being read or answered at once: together at most 16 MiB.
const LARGE_BODIES_MAX: usize = 16;
/// What is still read of a body that is too large, so that the client hears the answer instead
/// of a reset connection; and for how long.
const DISCARD_BYTES_MAX: usize = 8 * limits::BODY_BYTES_MAX;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Bounds how much is being read and answered at once.
#[derive(Debug)]
pub(crate) struct Turns {
    patience: Duration,
    requests: Semaphore,
    large_bodies: Semaphore,
}

/// A request's place among those being answered, and its body.
#[derive(Debug)]
pub(crate) struct Turn<'a> {
    /// The whole body.
    pub(crate) body: Bytes,
    _request: SemaphorePermit<'a>,
    _large_body: Option<SemaphorePermit<'a>>,
}

/// Why a body was not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// The server has too much to do.
    Busy,
    /// It is larger than [`limits::BODY_BYTES_MAX`].
    TooLarge,
    /// It did not arrive in time.
    Slow,
    /// Its connection ended before it.
    Broken,
}

/// Whether the client waits for a word before it sends the body (`Expect: 100-continue`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    AtOnce,
    WhenAsked,
}

impl Turns {
    /// All turns free; a request has `patience` for its turn and its body.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            requests: Semaphore::new(REQUESTS_MAX),
            large_bodies: Semaphore::new(LARGE_BODIES_MAX),
        }
    }

    /// Waits for a turn, and reads the body.
    ///
    /// # Errors
    /// The limit that was met.
    pub(crate) async fn take<B>(&self, body: B, sending: Sending) -> Result<Turn<'_>, BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let deadline = Instant::now() + self.patience;
        let request = acquire(&self.requests, deadline).await?;
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if limits::BODY_BYTES_MAX < announced {
            if sending == Sending::AtOnce {
                discard(body).await;
            }
            return Err(BodyError::TooLarge);
        }
        let (body, large_body) = self.read(body, announced, deadline).await?;
        Ok(Turn {
            body,
            _request: request,
            _large_body: large_body,
        })
    }

    async fn read<B>(
        &self,
        mut body: B,
        announced: usize,
        deadline: Instant,
    ) -> Result<(Bytes, Option<SemaphorePermit<'_>>), BodyError>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut large_body = None;
        let mut read = BytesMut::with_capacity(announced.min(SMALL_BODY_BYTES));
        loop {
            let frame = match timeout_at(deadline, body.frame()).await {
                Err(_) => return Err(BodyError::Slow),
                Ok(None) => return Ok((read.freeze(), large_body)),
                Ok(Some(Err(_))) => return Err(BodyError::Broken),
                Ok(Some(Ok(frame))) => frame,
            };
            // Trailers say nothing here.
            let Ok(data) = frame.into_data() else {
                continue;
            };
            let bytes = read.len() + data.len();
            if limits::BODY_BYTES_MAX < bytes {
                drop(read);
                discard(body).await;
                return Err(BodyError::TooLarge);
            }
            if SMALL_BODY_BYTES < bytes && large_body.is_none() {
                large_body = Some(acquire(&self.large_bodies, deadline).await?);
            }
            read.extend_from_slice(&data);
        }
    }
}

async fn acquire(turns: &Semaphore, deadline: Instant) -> Result<SemaphorePermit<'_>, BodyError> {
    let turn = timeout_at(deadline, turns.acquire())
        .await
        .map_err(|_| BodyError::Busy)?;
    Ok(turn.expect("the semaphore is never closed"))
}

async fn discard<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut left = DISCARD_BYTES_MAX;
    let discard = async {
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(bytes) {
                Some(less) => left = less,
                None => return,
            }
        }
    };
    // Whether all of it was read or the time is over, the answer comes now.
    let _ = timeout(DISCARD_TIMEOUT, discard).await;
}

#[cfg(test)]
mod tests {
    use std::{
        convert::Infallible,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    /// A body of so many pieces that does not say its size; then it ends, or never does.
    struct Pieces {
        left: usize,
        piece: Bytes,
        ends: bool,
    }

    impl Body for Pieces {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            if self.left == 0 {
                return if self.ends {
                    Poll::Ready(None)
                } else {
                    Poll::Pending
                };
            }
            self.left -= 1;
            Poll::Ready(Some(Ok(Frame::data(self.piece.clone()))))
        }
    }

    fn pieces(left: usize, ends: bool) -> Pieces {
        Pieces {
            left,
            piece: Bytes::from(vec![b'x'; 1 << 10]),
            ends,
        }
    }

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(work)
    }

    #[test]
    fn bodies_up_to_the_limit_are_whole() {
        run(async {
            let turns = Turns::new(PATIENCE);
            for kib in [0, 1, 64, 65, 1_024] {
                let turn = turns
                    .take(pieces(kib, true), Sending::AtOnce)
                    .await
                    .expect("within the limit");
                assert_eq!(turn.body.len(), kib << 10);
            }
            assert_eq!(turns.large_bodies.available_permits(), LARGE_BODIES_MAX);
            assert_eq!(turns.requests.available_permits(), REQUESTS_MAX);
        });
    }

    #[test]
    fn larger_ones_are_refused_announced_or_not() {
        run(async {
            let turns = Turns::new(PATIENCE);
            let announced = || Full::new(Bytes::from(vec![0; limits::BODY_BYTES_MAX + 1]));
            for sending in [Sending::AtOnce, Sending::WhenAsked] {
                assert_eq!(
                    turns.take(announced(), sending).await.err(),
                    Some(BodyError::TooLarge)
                );
            }
            for ends in [true, false] {
                let endless = pieces(100 << 10, ends);
                assert_eq!(
                    turns.take(endless, Sending::AtOnce).await.err(),
                    Some(BodyError::TooLarge)
                );
            }
        });
    }

    #[test]
    fn a_body_that_stalls_is_given_up() {
        run(async {
            let turns = Turns::new(PATIENCE);
            assert_eq!(
                turns.take(pieces(3, false), Sending::AtOnce).await.err(),
                Some(BodyError::Slow)
            );
        });
    }

    #[test]
    fn large_bodies_wait_for_each_other() {
        run(async {
            let turns = Turns::new(PATIENCE);
            let mut held = Vec::new();
            for _ in 0..LARGE_BODIES_MAX {
                held.push(
                    turns
                        .take(pieces(100, true), Sending::AtOnce)
                        .await
                        .expect("a turn"),
                );
            }
            assert_eq!(
                turns.take(pieces(100, true), Sending::AtOnce).await.err(),
                Some(BodyError::Busy)
            );
            assert!(turns.take(pieces(10, true), Sending::AtOnce).await.is_ok());
            held.clear();
            assert!(turns.take(pieces(100, true), Sending::AtOnce).await.is_ok());
        });
    }
}
