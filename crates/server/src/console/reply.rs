//! The console's answers, with the headers that all of them have.
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use maud::Markup;
use tokio::sync::mpsc;

use super::reached::ROOT;

/// Nothing but what this server sends is loaded, shown or sent to.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// A page.
pub(super) fn html(status: StatusCode, page: Markup) -> Response<Bytes> {
    answer(
        status,
        "text/html; charset=utf-8",
        page.into_string().into(),
    )
}

/// Sends the browser on to a page, which it asks for by GET.
pub(super) fn see_other(to: &str) -> Response<Bytes> {
    let mut response = answer(
        StatusCode::SEE_OTHER,
        "text/plain; charset=utf-8",
        Bytes::new(),
    );
    let to = HeaderValue::from_str(to).unwrap_or(HeaderValue::from_static(ROOT));
    response.headers_mut().insert(header::LOCATION, to);
    response
}

/// Events as they come.
pub(super) fn stream(events: mpsc::Receiver<Bytes>) -> Response<mpsc::Receiver<Bytes>> {
    let head = answer(StatusCode::OK, "text/event-stream", Bytes::new());
    head.map(|_| events)
}

/// An answer that nobody keeps.
pub(super) fn answer(
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_TYPE, content_type),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        // Without any, forms would come from an Origin of `null`.
        (header::REFERRER_POLICY, "same-origin"),
        (header::X_FRAME_OPTIONS, "DENY"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        ("cross-origin-opener-policy", "same-origin"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}
