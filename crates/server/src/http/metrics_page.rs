//! `/metrics`: who may read names, and what only the process knows.
//!
//! Sums are told to everyone. Names of accounts and clusters are told to who shows the token that
//! the settings give, and with `--dev` to everyone, who could list them all the same.
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use aws_lc_rs::constant_time::verify_slices_are_equal;
use bytes::Bytes;
use http::{Response, StatusCode, header};
use model::Timestamp;
use service::{
    Service,
    metrics::{Build, Of},
};
use wire::RawRequest;
use zeroize::Zeroizing;

use crate::http::{
    connection_slots::ConnectionSlots,
    response::{text, typed},
};

const TEXT_FORMAT: &str = "text/plain; version=0.0.4";
const SCHEME: &str = "Bearer ";

/// What the page needs.
pub(crate) struct MetricsPage {
    /// What has to be shown to be told names.
    pub(crate) token: Option<Zeroizing<String>>,
    /// Whether names are told to everyone.
    pub(crate) is_open: bool,
    /// Folders whose disks are watched, each by a word for it.
    pub(crate) disks: Vec<(&'static str, PathBuf)>,
    /// When the certificate ends that is shown here.
    pub(crate) not_after: Option<Timestamp>,
}

impl fmt::Debug for MetricsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MetricsPage")
            .field("disks", &self.disks)
            .finish_non_exhaustive()
    }
}

/// What a request is told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Names,
    Sums,
    Nothing,
}

impl MetricsPage {
    /// Answers a scrape.
    pub(crate) async fn answer(
        &self,
        request: &RawRequest,
        service: &Service,
        slots: &ConnectionSlots,
    ) -> Response<Bytes> {
        let shown = request.headers.get(header::AUTHORIZATION);
        let named = match self.told(shown.map(http::HeaderValue::as_bytes)) {
            Told::Names => true,
            Told::Sums => false,
            Told::Nothing => {
                return text(
                    StatusCode::UNAUTHORIZED,
                    "this is not the token of --metrics-token\n",
                );
            }
        };
        self.read_process(service, slots);
        typed(StatusCode::OK, TEXT_FORMAT, service.scrape(named).await)
    }

    fn told(&self, shown: Option<&[u8]>) -> Told {
        let token = self.token.as_ref().map(|token| token.as_bytes());
        match (shown, token) {
            (Some(shown), Some(token)) => {
                let shown = shown.strip_prefix(SCHEME.as_bytes()).unwrap_or_default();
                match verify_slices_are_equal(shown, token) {
                    Ok(()) => Told::Names,
                    Err(_) => Told::Nothing,
                }
            }
            _ if self.is_open => Told::Names,
            _ => Told::Sums,
        }
    }

    fn read_process(&self, service: &Service, slots: &ConnectionSlots) {
        let metrics = service.metrics();
        let gauge = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let [strangers, accounts, proxies, displaced] = slots.counts();
        for (of, count) in [
            ("strangers", strangers),
            ("accounts", accounts),
            ("proxies", proxies),
        ] {
            let of = metrics.connections.get_or_create(&Of { of });
            of.set(gauge(count));
        }
        let counted = metrics.connections_displaced.inner();
        counted.store(displaced, Ordering::Relaxed);
        for (of, folder) in &self.disks {
            if let Some(bytes) = available(folder) {
                let of = metrics.disk_available.get_or_create(&Of { of });
                of.set(gauge(bytes));
            }
        }
        let not_after = self.not_after.map_or(0, Timestamp::seconds);
        metrics.tls_not_after.set(not_after);
        let version = env!("CARGO_PKG_VERSION");
        metrics.build.get_or_create(&Build { version }).set(1);
    }
}

/// Bytes that this process may still write on a folder's disk.
fn available(folder: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(folder).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_for_those_with_the_token() {
        let page = |token: Option<&str>, is_open| MetricsPage {
            token: token.map(|token| Zeroizing::new(token.to_owned())),
            is_open,
            disks: Vec::new(),
            not_after: None,
        };
        let closed = page(Some("secret-of-sixteen"), false);
        assert_eq!(closed.told(None), Told::Sums);
        assert_eq!(closed.told(Some(b"Bearer secret-of-sixteen")), Told::Names);
        for wrong in [
            "Bearer secret-of-sixteem",
            "Bearer ",
            "secret-of-sixteen",
            "",
        ] {
            assert_eq!(
                closed.told(Some(wrong.as_bytes())),
                Told::Nothing,
                "{wrong}"
            );
        }
        assert_eq!(page(None, false).told(Some(b"Bearer x")), Told::Sums);
        assert_eq!(page(None, true).told(None), Told::Names);
        let both = page(Some("secret-of-sixteen"), true);
        assert_eq!(both.told(Some(b"Bearer x")), Told::Nothing);
    }
}
