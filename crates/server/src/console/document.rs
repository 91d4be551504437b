//! A page from its head to its end, and those for whoever is not signed in.
use bytes::Bytes;
use http::Response;
use maud::{DOCTYPE, Markup, html};

use super::{
    assets::{FAVICON, HTMX, HTMX_SSE, SCRIPTS, STYLE},
    cookies::Theme,
    reached::ROOT,
    refusal::Refusal,
    reply,
};

/// A whole page; it may ask for itself after some seconds.
pub(super) fn document(
    title: &str,
    theme: Theme,
    refresh_secs: Option<u32>,
    body: &Markup,
) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=(theme.as_str()) {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                // No style of its own, which the policy would not let, and no code in attributes.
                meta name="htmx-config" content="{\"includeIndicatorCSS\":false,\"history\":false,\"noSwap\":[204,304,\"4xx\",\"5xx\"]}";
                @if let Some(seconds) = refresh_secs {
                    meta http-equiv="refresh" content=(seconds);
                }
                title { (title) }
                link rel="icon" href=(FAVICON.href());
                link rel="stylesheet" href=(STYLE.href());
                script src=(HTMX.href()) defer {}
                script src=(HTMX_SSE.href()) defer {}
                script src=(SCRIPTS.href()) defer {}
            }
            body { (body) }
        }
    }
}

/// A page for whoever is not signed in; it may ask for itself after some seconds.
pub(super) fn bare(
    title: &str,
    theme: Theme,
    refresh_secs: Option<u32>,
    content: &Markup,
) -> Markup {
    document(
        title,
        theme,
        refresh_secs,
        &html! { main id="content" class="bare" { (content) } },
    )
}

/// A refusal as a page of its own.
pub(super) fn refused(refusal: &Refusal) -> Response<Bytes> {
    let content = html! {
        h1 { "Snapferry" }
        (refusal.shown())
        p { a href=(ROOT) { "To the console" } }
    };
    let page = bare("Snapferry", Theme::System, None, &content);
    reply::html(refusal.status, page)
}
