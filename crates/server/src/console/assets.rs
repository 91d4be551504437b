//! What pages load besides: a style sheet, and scripts that nothing needs.
//!
//! htmx and its SSE extension are Big Sky Software's, as they lie in the package htmx.org 4.0.1, under the
//! Zero-Clause BSD licence (`assets/LICENSE-htmx`).
//!
//! They are sent compressed to who reads that. Pages are not: they have a session's token beside what
//! an address says, and the length of the two compressed tells of the token.
use std::{io::Write, sync::OnceLock};

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use flate2::{Compression, write::GzEncoder};
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::reply;

/// A file that lies in the binary.
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    name: OnceLock<String>,
    compressed: OnceLock<Bytes>,
}

const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const ICON: &str = "image/svg+xml";

const fn asset(
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
) -> Asset {
    Asset {
        stem,
        extension,
        content_type,
        bytes,
        name: OnceLock::new(),
        compressed: OnceLock::new(),
    }
}

/// The look.
pub(super) static STYLE: Asset = asset("console", "css", CSS, include_bytes!("assets/console.css"));
/// Keys, local times.
pub(super) static SCRIPTS: Asset =
    asset("console", "js", SCRIPT, include_bytes!("assets/console.js"));
/// htmx.
pub(super) static HTMX: Asset = asset("htmx", "js", SCRIPT, include_bytes!("assets/htmx.min.js"));
/// Its extension for streams of events.
pub(super) static HTMX_SSE: Asset = asset(
    "hx-sse",
    "js",
    SCRIPT,
    include_bytes!("assets/hx-sse.min.js"),
);
/// The icon.
pub(super) static FAVICON: Asset = asset("icon", "svg", ICON, include_bytes!("assets/icon.svg"));

static ASSETS: [&Asset; 5] = [&STYLE, &SCRIPTS, &HTMX, &HTMX_SSE, &FAVICON];

impl Asset {
    /// Its name, which has its hash in it: what browsers keep under it never changes.
    fn name(&self) -> &str {
        self.name.get_or_init(|| {
            let hash = digest::digest(&digest::SHA256, self.bytes);
            let hash = HEXLOWER.encode(&hash.as_ref()[..8]);
            format!("{}-{hash}.{}", self.stem, self.extension)
        })
    }

    /// Its address.
    pub(super) fn href(&self) -> String {
        format!("/console/assets/{}", self.name())
    }

    /// Its bytes by gzip, made when somebody first asks.
    fn compressed(&self) -> Bytes {
        let made = self.compressed.get_or_init(|| {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
            let written = encoder.write_all(self.bytes);
            let whole = written.and_then(|()| encoder.finish());
            whole.expect("memory takes what is written").into()
        });
        made.clone()
    }
}

/// Whether gzip is among what may be sent (RFC 9110, 12.5.3).
fn takes_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(header::ACCEPT_ENCODING).into_iter();
    let given = given.filter_map(|value| value.to_str().ok());
    let mut codings = given.flat_map(|value| value.split(','));
    codings.any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_gzip = parts
            .next()
            .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
        let weight = parts
            .find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='))
            .unwrap_or("1");
        is_gzip && weight.parse().is_ok_and(|weight: f32| 0.0 < weight)
    })
}

/// The file of that name, if there is one.
pub(super) fn answer(name: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
    let asset = ASSETS.into_iter().find(|asset| asset.name() == name)?;
    let gzip = takes_gzip(headers);
    let tag = match gzip {
        true => format!("\"{name}.gz\""),
        false => format!("\"{name}\""),
    };
    let has = headers.get(header::IF_NONE_MATCH);
    let mut response = if has.is_some_and(|has| has.as_bytes() == tag.as_bytes()) {
        reply::answer(StatusCode::NOT_MODIFIED, asset.content_type, Bytes::new())
    } else {
        let bytes = match gzip {
            true => asset.compressed(),
            false => Bytes::from_static(asset.bytes),
        };
        reply::answer(StatusCode::OK, asset.content_type, bytes)
    };
    let whole = response.status() == StatusCode::OK;
    let headers = response.headers_mut();
    if gzip && whole {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in [
        (header::VARY, "accept-encoding"),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(header::ETAG, tag);
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `npm pack htmx.org@4.0.1` has under these names.
    const VENDORED: [(&Asset, &str); 2] = [
        (
            &HTMX,
            "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
        ),
        (
            &HTMX_SSE,
            "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
        ),
    ];

    #[test]
    fn what_others_wrote_is_as_they_published_it() {
        for (asset, expected) in VENDORED {
            let hash = digest::digest(&digest::SHA256, asset.bytes);
            assert_eq!(HEXLOWER.encode(hash.as_ref()), expected, "{}", asset.stem);
        }
    }

    fn accepting(codings: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static(codings));
        headers
    }

    #[test]
    fn who_reads_gzip_is_sent_it() {
        for (codings, expected) in [
            ("gzip, deflate, br, zstd", true),
            ("br;q=1.0, GZIP;q=0.8", true),
            ("gzip;q=0", false),
            ("gzip;Q=0", false),
            ("gzip;Q=0.5", true),
            ("gzip;q=x", false),
            ("x-gzip", false),
            ("", false),
        ] {
            let response = answer(STYLE.name(), &accepting(codings)).expect("a file");
            let has = response.headers().contains_key(header::CONTENT_ENCODING);
            assert_eq!(has, expected, "{codings}");
            assert_eq!(
                response.body().len() < STYLE.bytes.len(),
                expected,
                "{codings}"
            );
        }
    }

    #[test]
    fn all_files_are_small_and_come_out_whole() {
        let mut sum = 0;
        for asset in ASSETS {
            let response = answer(asset.name(), &accepting("gzip")).expect("a file");
            sum += response.body().len();
            let mut whole = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&response.body()[..]);
            std::io::Read::read_to_end(&mut decoder, &mut whole).expect("gzip");
            assert_eq!(whole, asset.bytes, "{}", asset.stem);
        }
        assert!(sum < 40_000, "{sum} bytes");
    }

    #[test]
    fn a_file_is_found_by_its_own_name_alone() {
        for asset in ASSETS {
            let response = answer(asset.name(), &HeaderMap::new()).expect("a file");
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(response.body().len(), asset.bytes.len());
            let mut kept = HeaderMap::new();
            kept.insert(
                header::IF_NONE_MATCH,
                response.headers()[header::ETAG].clone(),
            );
            let again = answer(asset.name(), &kept).expect("a file");
            assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
        }
        assert!(answer("console.css", &HeaderMap::new()).is_none());
    }
}
