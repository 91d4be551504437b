//! A connection whose peer has to take what it asked for: who reads too slowly is cut off.
//!
//! It does not know what is written.
use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep},
};

/// How fast a peer has to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// While something waits to be written, [`Pace::bytes`] have to go in this time.
    window: Duration,
    bytes: usize,
    /// After a pause of this length between two writes a new answer begins.
    pause: Duration,
}

/// Some 3 KiB a second.
pub(crate) const PACE: Pace = Pace {
    window: Duration::from_secs(20),
    bytes: 64 << 10,
    pause: Duration::from_secs(1),
};

/// A stream that fails to write with [`io::ErrorKind::TimedOut`] when its peer is too slow.
#[derive(Debug)]
pub(crate) struct Paced<S> {
    inner: S,
    pace: Pace,
    bytes: usize,
    blocked: bool,
    /// A new answer began: the window does too, once something waits.
    anew: bool,
    wrote_at: Option<Instant>,
    end: Pin<Box<Sleep>>,
}

impl<S> Paced<S> {
    /// Watches over a stream's writes.
    pub(crate) fn new(inner: S, pace: Pace) -> Self {
        Self {
            inner,
            pace,
            bytes: 0,
            blocked: false,
            anew: true,
            wrote_at: None,
            end: Box::pin(sleep(pace.window)),
        }
    }

    /// Passes on what a write answered, unless it has been waiting for too long.
    fn watched(
        &mut self,
        context: &mut Context<'_>,
        answered: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let now = Instant::now();
        if let Poll::Ready(written) = answered {
            let pause = self.pace.pause;
            if !self.blocked && self.wrote_at.is_none_or(|at| pause <= now - at) {
                self.anew = true;
            }
            self.blocked = false;
            self.bytes += *written.as_ref().unwrap_or(&0);
            self.wrote_at = Some(now);
            return Poll::Ready(written);
        }
        if !self.blocked && (self.anew || self.pace.bytes <= self.bytes) {
            (self.anew, self.bytes) = (false, 0);
            self.end.as_mut().reset(now + self.pace.window);
        }
        self.blocked = true;
        ready!(self.end.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Paced<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Paced<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let answered = Pin::new(&mut self.inner).poll_write(context, bytes);
        self.watched(context, answered)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let answered = Pin::new(&mut self.inner).poll_write_vectored(context, pieces);
        self.watched(context, answered)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    const QUICK: Pace = Pace {
        window: Duration::from_millis(300),
        bytes: 8 << 10,
        pause: Duration::from_millis(100),
    };

    fn run<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime")
            .block_on(work)
    }

    /// Writes 64 KiB to a peer that takes so many bytes every 20 ms.
    fn written(takes: usize) -> io::Result<()> {
        run(async {
            let (ours, mut theirs) = duplex(4 << 10);
            let mut paced = Paced::new(ours, QUICK);
            let read = async move {
                let mut piece = vec![0; takes];
                while theirs.read_exact(&mut piece).await.is_ok() {
                    sleep(Duration::from_millis(20)).await;
                }
                std::future::pending::<()>().await;
            };
            tokio::select! {
                result = paced.write_all(&[0; 64 << 10]) => result,
                () = read => unreachable!("it never ends"),
            }
        })
    }

    #[test]
    fn a_slow_reader_is_cut_off_and_a_steady_one_is_not() {
        let slow = written(10);
        assert_eq!(
            slow.map_err(|error| error.kind()),
            Err(io::ErrorKind::TimedOut)
        );
        assert!(written(4_000).is_ok());
    }

    #[test]
    fn one_who_never_reads_is_cut_off() {
        let result = run(async {
            let (ours, _theirs) = duplex(1 << 10);
            Paced::new(ours, QUICK).write_all(&[0; 4 << 10]).await
        });
        assert_eq!(
            result.map_err(|error| error.kind()),
            Err(io::ErrorKind::TimedOut)
        );
    }

    #[test]
    fn the_servers_own_pauses_are_not_its_peers() {
        run(async {
            let (ours, mut theirs) = duplex(1 << 10);
            let mut paced = Paced::new(ours, QUICK);
            for _ in 0..4 {
                let mut taken = [0; 3 << 10];
                let (wrote, read) = tokio::join!(
                    paced.write_all(&[1; 3 << 10]),
                    theirs.read_exact(&mut taken)
                );
                assert!(wrote.is_ok() && read.is_ok());
                sleep(QUICK.pause * 2).await;
            }
        });
    }
}
