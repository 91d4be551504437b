//! What is around a page's content: who is signed in, where, the other pages.
use bytes::Bytes;
use http::Response;
use maud::{Markup, html};
use model::Region;

use super::{
    cookies::Theme,
    document::document,
    reached::ROOT,
    refusal::Refusal,
    reply,
    visit::{Entry, Visit, with_query},
};

/// A page of an account, below what the last change has to say or why this one was refused.
pub(super) fn page(visit: &Visit<'_>, refusal: Option<&Refusal>, content: &Markup) -> Markup {
    let notice = visit.backend.sessions.take_notice(&visit.signed_in);
    let body = html! {
        a class="skip" href="#content" { "Skip to the content" }
        header {
            a class="name" href=(visit.link("")) { "Snapferry" }
            (navigation(visit))
            (place(visit))
        }
        main id="content" {
            @if let Some(notice) = &notice {
                p class="notice" role="status" { (notice) }
            }
            @if let Some(refusal) = refusal { (refusal.shown()) }
            (content)
        }
        (footer(visit))
    };
    let title = format!("{} · {} · Snapferry", visit.page.title, visit.region);
    document(&title, visit.theme, None, &body)
}

/// A refusal as a page of an account, with the form that it is about.
pub(super) fn refused(visit: &Visit<'_>, refusal: &Refusal) -> Response<Bytes> {
    let content = html! {
        @if let Some(form) = &refusal.form { (form) }
        @else { h1 { (visit.page.title) } }
    };
    reply::html(refusal.status, page(visit, Some(refusal), &content))
}

fn navigation(visit: &Visit<'_>) -> Markup {
    let shown = |page: &&Entry| page.key.is_some();
    html! {
        nav aria-label="Pages" {
            @for page in visit.navigation.iter().filter(shown) {
                a href=(visit.link(page.path)) data-key=[page.key]
                    aria-current=[(page.path == visit.page.path).then_some("page")] { (page.title) }
            }
        }
    }
}

/// Account and region, and the ways to others.
fn place(visit: &Visit<'_>) -> Markup {
    let account = visit.account();
    html! {
        div class="place" {
            details {
                summary { "Account " span class="mono" { (account) } }
                div class="menu" {
                    @for other in visit.accounts.iter().filter(|other| *other != account) {
                        a href={ (ROOT) (other) "/" (visit.region) "/" } { "Account " span class="mono" { (other) } }
                    }
                    a href="/console/sign-in" { "Sign in to another account" }
                    form method="post" action="/console/sign-out" {
                        (visit.token())
                        input type="hidden" name="account" value=(account);
                        button { "Sign out" }
                    }
                }
            }
            form method="get" action={ (ROOT) (account) } class="row" {
                label { span class="hidden" { "Region" } (regions(visit, &visit.region, "region")) }
                button { "Go" }
            }
        }
    }
}

/// A choice of all regions.
pub(super) fn regions(visit: &Visit<'_>, chosen: &Region, name: &str) -> Markup {
    let settings = &visit.backend.service.context().settings;
    let extra = settings.extra_regions.iter().chain(settings.peers.keys());
    let mut all: Vec<Region> = Region::known().chain(extra.cloned()).collect();
    all.sort();
    all.dedup();
    html! {
        select name=(name) {
            @for region in &all {
                option value=(region) selected[region == chosen] { (region) }
            }
        }
    }
}

fn footer(visit: &Visit<'_>) -> Markup {
    let back = visit.link(visit.page.path);
    let back = with_query(back, &[("id", visit.asked("id").unwrap_or_default())]);
    html! {
        footer {
            span { "snapferry " (env!("CARGO_PKG_VERSION")) }
            form method="post" action="/console/theme" class="row" {
                input type="hidden" name="back" value=(back);
                @for theme in Theme::ALL {
                    button name="theme" value=(theme.as_str()) aria-pressed=(theme == visit.theme) {
                        (match theme { Theme::System => "System", Theme::Light => "Light", Theme::Dark => "Dark" })
                    }
                }
            }
        }
    }
}
