//! Pages that are watched: what is new in them is sent as it comes.
//!
//! It does not know what is shown.
use std::{future::Future, sync::Arc, time::Duration};

use bytes::Bytes;
use maud::Markup;
use service::context::ServiceContext;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{Instant, sleep},
};

/// Pages that are watched at once on this node; further ones are loaded again by hand.
const VIEWERS_MAX: usize = 64;
/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A connection without a word for 10 seconds is ended.
const HEARTBEAT: Duration = Duration::from_secs(5);
/// Events that wait for a slow reader.
const EVENTS_WAITING: usize = 4;
/// A comment.
const STILL_HERE: &[u8] = b": still here\n\n";
/// Tells htmx to ask no more.
const OVER: &[u8] = b"event: over\ndata: signed out\n\n";

/// What a look finds.
pub(super) enum Look {
    /// What is to be shown.
    Shown(Markup),
    /// Nothing, this time.
    Nothing,
    /// Nobody may see it any more.
    Over,
}

/// Room for all who watch.
#[derive(Debug)]
pub(super) struct Live {
    viewers: Arc<Semaphore>,
}

impl Default for Live {
    fn default() -> Self {
        Self {
            viewers: Arc::new(Semaphore::new(VIEWERS_MAX)),
        }
    }
}

/// One who watches.
pub(super) struct Viewer {
    _permit: OwnedSemaphorePermit,
}

impl Live {
    /// Begins to watch; none when too many do.
    pub(super) fn enter(&self) -> Option<Viewer> {
        let permit = Arc::clone(&self.viewers).try_acquire_owned().ok()?;
        Some(Viewer { _permit: permit })
    }
}

impl Viewer {
    /// Looks again and again, and sends what is new, until the reader leaves, the process ends or nobody
    /// may look any more.
    pub(super) fn stream<F, L>(self, cx: Arc<ServiceContext>, mut look: F) -> mpsc::Receiver<Bytes>
    where
        F: FnMut() -> L + Send + 'static,
        L: Future<Output = Look> + Send,
    {
        let (sender, receiver) = mpsc::channel(EVENTS_WAITING);
        tokio::spawn(async move {
            let _room = self;
            let mut told = Told::default();
            loop {
                let (news, is_last) = match look().await {
                    Look::Shown(markup) => (told.news(markup.into_string()), false),
                    Look::Nothing => (told.still_here(), false),
                    Look::Over => (Some(Bytes::from_static(OVER)), true),
                };
                if let Some(news) = news
                    && sender.send(news).await.is_err()
                {
                    return;
                }
                if is_last {
                    return;
                }
                tokio::select! {
                    () = sender.closed() => return,
                    () = cx.stopped() => return,
                    () = sleep(LOOK) => {}
                }
            }
        });
        receiver
    }
}

/// What a reader was sent.
struct Told {
    shown: Option<String>,
    number: u64,
    at: Instant,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            shown: None,
            number: 0,
            at: Instant::now(),
        }
    }
}

impl Told {
    /// What is to be sent, if anything is.
    fn news(&mut self, html: String) -> Option<Bytes> {
        if self.shown.as_ref() == Some(&html) {
            return self.still_here();
        }
        self.number += 1;
        self.at = Instant::now();
        let event = event(self.number, &html);
        self.shown = Some(html);
        Some(event)
    }

    fn still_here(&mut self) -> Option<Bytes> {
        (HEARTBEAT <= self.at.elapsed()).then(|| {
            self.at = Instant::now();
            Bytes::from_static(STILL_HERE)
        })
    }
}

/// One event, which htmx puts in the place of the last one.
fn event(number: u64, html: &str) -> Bytes {
    let mut event = format!("id: {number}\n");
    for line in html.split(['\r', '\n']) {
        event.push_str("data: ");
        event.push_str(line);
        event.push('\n');
    }
    event.push('\n');
    event.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_keeps_its_lines() {
        assert_eq!(event(7, "<p>\na</p>"), "id: 7\ndata: <p>\ndata: a</p>\n\n");
    }

    #[test]
    fn what_is_not_new_is_not_sent() {
        let mut told = Told::default();
        assert!(told.news("a".to_owned()).is_some());
        assert!(told.news("a".to_owned()).is_none() && told.still_here().is_none());
        assert!(
            told.news("b".to_owned())
                .is_some_and(|event| event.starts_with(b"id: 2\n"))
        );
    }

    #[test]
    fn there_is_room_for_some_and_again_when_one_leaves() {
        let live = Live::default();
        let mut viewers: Vec<Viewer> = (0..VIEWERS_MAX)
            .map(|_| live.enter().expect("room"))
            .collect();
        assert!(live.enter().is_none());
        viewers.pop();
        assert!(live.enter().is_some());
    }
}
