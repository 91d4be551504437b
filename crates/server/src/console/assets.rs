//! What pages load besides: a style sheet, and scripts that nothing needs.
//!
//! htmx and its SSE extension are Big Sky Software's, as they lie in the package htmx.org 4.0.1, under the
//! Zero-Clause BSD licence (`assets/LICENSE-htmx`).
use std::sync::OnceLock;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::reply;

/// A file that lies in the binary.
pub(super) struct Asset {
    stem: &'static str,
    extension: &'static str,
    content_type: &'static str,
    bytes: &'static [u8],
    name: OnceLock<String>,
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
}

/// The file of that name, if there is one.
pub(super) fn answer(name: &str, headers: &HeaderMap) -> Option<Response<Bytes>> {
    let asset = ASSETS.into_iter().find(|asset| asset.name() == name)?;
    let tag = format!("\"{name}\"");
    let has = headers.get(header::IF_NONE_MATCH);
    let mut response = if has.is_some_and(|has| has.as_bytes() == tag.as_bytes()) {
        reply::answer(StatusCode::NOT_MODIFIED, asset.content_type, Bytes::new())
    } else {
        let bytes = Bytes::from_static(asset.bytes);
        reply::answer(StatusCode::OK, asset.content_type, bytes)
    };
    let for_ever = HeaderValue::from_static("public, max-age=31536000, immutable");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, for_ever);
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
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
