//! Reading request bodies within limits of size, time and memory.
//!
//! It does not know what a body says.
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body;
use model::limits;
use service::fault::EarlyRefusal;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout, timeout_at},
};

use crate::http::buffers::Buffer;

/// Requests being answered at once, over all connections; more wait their turn.
const REQUESTS_MAX: usize = 1_024;
/// Bodies announce their size; so much is taken at once, the rest as it comes.
const FIRST_BYTES: usize = 8 << 10;
/// How often a body that waits for room looks for it.
const LOOK: Duration = Duration::from_millis(20);
/// What is still read of a body that is too large, so that the client hears the answer instead
/// of a reset connection; and for how long.
const DISCARD_BYTES_MAX: usize = 8 * limits::BODY_BYTES_MAX;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Bounds how much is being answered at once.
#[derive(Debug)]
pub(crate) struct RequestLimiter {
    patience: Duration,
    requests: Semaphore,
}

/// A request's slot among those being answered, and its body.
#[derive(Debug)]
pub(crate) struct RequestPermit<'a> {
    /// The whole body.
    pub(crate) body: Bytes,
    _request: SemaphorePermit<'a>,
    _buffer: Buffer,
}

/// Whether the client waits for a word before it sends the body (`Expect: 100-continue`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sending {
    AtOnce,
    WhenAsked,
}

impl RequestLimiter {
    /// Nothing is being answered yet; a request has `patience` for its turn and its body.
    pub(crate) fn new(patience: Duration) -> Self {
        Self {
            patience,
            requests: Semaphore::new(REQUESTS_MAX),
        }
    }

    /// Reads the body into as much of the room as it needs, and waits for a turn.
    ///
    /// # Errors
    /// The limit that was met.
    pub(crate) async fn take<B>(
        &self,
        body: B,
        sending: Sending,
        mut buffer: Buffer,
    ) -> Result<RequestPermit<'_>, EarlyRefusal>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let deadline = Instant::now() + self.patience;
        let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
        if limits::BODY_BYTES_MAX < announced {
            if sending == Sending::AtOnce {
                discard(body).await;
            }
            return Err(EarlyRefusal::TooLarge);
        }
        let body = read(body, announced, &mut buffer, deadline).await?;
        // Not before: a body that never ends would keep others from their turn.
        let request = acquire(&self.requests, deadline).await?;
        Ok(RequestPermit {
            body,
            _request: request,
            _buffer: buffer,
        })
    }
}

async fn read<B>(
    mut body: B,
    announced: usize,
    buffer: &mut Buffer,
    deadline: Instant,
) -> Result<Bytes, EarlyRefusal>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut room = announced.min(FIRST_BYTES);
    find_room(buffer, room, deadline).await?;
    let mut read = BytesMut::with_capacity(room);
    loop {
        let frame = match timeout_at(deadline, body.frame()).await {
            Err(_) => return Err(EarlyRefusal::Slow),
            Ok(None) => return Ok(read.freeze()),
            Ok(Some(Err(_))) => return Err(EarlyRefusal::Broken),
            Ok(Some(Ok(frame))) => frame,
        };
        // Trailers say nothing here.
        let Ok(data) = frame.into_data() else {
            continue;
        };
        let wanted = read.len() + data.len();
        if limits::BODY_BYTES_MAX < wanted {
            drop(read);
            discard(body).await;
            return Err(EarlyRefusal::TooLarge);
        }
        if room < wanted {
            // Counted before it is kept, in steps that double as the buffer's do.
            let all = wanted.next_power_of_two().min(limits::BODY_BYTES_MAX);
            find_room(buffer, all - room, deadline).await?;
            room = all;
            read.reserve(room - read.len());
        }
        read.extend_from_slice(&data);
    }
}

/// Room comes back when others are done.
async fn find_room(
    buffer: &mut Buffer,
    bytes: usize,
    deadline: Instant,
) -> Result<(), EarlyRefusal> {
    while !buffer.grow(bytes) {
        if deadline < Instant::now() + LOOK {
            return Err(EarlyRefusal::Busy);
        }
        sleep(LOOK).await;
    }
    Ok(())
}

async fn acquire(
    limiter: &Semaphore,
    deadline: Instant,
) -> Result<SemaphorePermit<'_>, EarlyRefusal> {
    let turn = timeout_at(deadline, limiter.acquire())
        .await
        .map_err(|_| EarlyRefusal::Busy)?;
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
        sync::Arc,
        task::{Context, Poll},
    };

    use http_body_util::Full;
    use hyper::body::Frame;

    use super::*;
    use crate::http::{
        buffers::{Buffers, ROOM, Room},
        connection_slots::Group,
    };

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

    /// Room for one request of a stranger, as others have.
    fn buffer(buffers: &Arc<Buffers>, connection: u8) -> Buffer {
        let group = Group::Stranger([10, 0, 0, connection].into());
        buffers.begin(connection.into(), group)
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
            let (limiter, buffers) = (RequestLimiter::new(PATIENCE), Buffers::new(ROOM));
            for kib in [0, 1, 64, 65, 1_024] {
                let turn = limiter
                    .take(pieces(kib, true), Sending::AtOnce, buffer(&buffers, 1))
                    .await
                    .expect("within the limit");
                assert_eq!(turn.body.len(), kib << 10);
            }
            assert_eq!(limiter.requests.available_permits(), REQUESTS_MAX);
        });
    }

    #[test]
    fn larger_ones_are_refused_announced_or_not() {
        run(async {
            let (limiter, buffers) = (RequestLimiter::new(PATIENCE), Buffers::new(ROOM));
            let announced = || Full::new(Bytes::from(vec![0; limits::BODY_BYTES_MAX + 1]));
            for sending in [Sending::AtOnce, Sending::WhenAsked] {
                assert_eq!(
                    limiter
                        .take(announced(), sending, buffer(&buffers, 1))
                        .await
                        .err(),
                    Some(EarlyRefusal::TooLarge)
                );
            }
            for ends in [true, false] {
                let endless = pieces(100 << 10, ends);
                assert_eq!(
                    limiter
                        .take(endless, Sending::AtOnce, buffer(&buffers, 1))
                        .await
                        .err(),
                    Some(EarlyRefusal::TooLarge)
                );
            }
        });
    }

    #[test]
    fn a_body_that_stalls_is_given_up() {
        run(async {
            let (limiter, buffers) = (RequestLimiter::new(PATIENCE), Buffers::new(ROOM));
            assert_eq!(
                limiter
                    .take(pieces(3, false), Sending::AtOnce, buffer(&buffers, 1))
                    .await
                    .err(),
                Some(EarlyRefusal::Slow)
            );
        });
    }

    #[test]
    fn large_bodies_wait_for_each_other() {
        run(async {
            let room = Room {
                strangers: 1 << 20,
                known: 1 << 20,
            };
            let (limiter, buffers) = (RequestLimiter::new(PATIENCE), Buffers::new(room));
            let take =
                |kib, who| limiter.take(pieces(kib, true), Sending::AtOnce, buffer(&buffers, who));
            // A quarter of the room for each address.
            let mut held = Vec::new();
            for who in 1..=4 {
                held.push(take(250, who).await.expect("a turn"));
            }
            assert_eq!(take(100, 5).await.err(), Some(EarlyRefusal::Busy));
            assert!(
                take(10, 5).await.is_ok(),
                "each has room for a usual request"
            );
            let (freed, waited) = tokio::join!(
                async {
                    sleep(PATIENCE / 4).await;
                    held.pop();
                },
                take(100, 5)
            );
            assert_eq!(freed, ());
            assert!(waited.is_ok());
        });
    }
}
