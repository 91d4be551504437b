//! The console at `/console/`: pages for people, made of the API's own answers.
//!
//! It has no action of its own: what a page shows or changes is asked of the API as the caller who
//! signed in. Every page works without scripts; nothing is made before the first one is asked for.
mod assets;
mod attempts;
mod backend;
mod cookies;
mod document;
mod form;
mod format;
mod layout;
mod live;
mod pages;
mod rates;
mod reached;
mod refusal;
mod reply;
mod sessions;
mod shapes;
mod sign_in;
mod visit;

use std::{fmt, net::IpAddr, sync::Arc};

use api::Origin;
use bytes::Bytes;
use http::{HeaderMap, Method, Response, StatusCode, header};
use maud::html;
use model::{Account, Region};
use service::{Service, auth::caller::Proved};
use tokio::sync::mpsc;
use wire::{Parameters, RawRequest};

pub(crate) use self::reached::{Reached, owns};
use self::{
    attempts::Attempts,
    backend::Backend,
    cookies::{Cookies, Theme},
    pages::{ENTRIES, Page},
    reached::{ROOT, is_page},
    refusal::Refusal,
    sessions::SignedIn,
    visit::Visit,
};

/// What the console answers.
pub(crate) enum Answer {
    /// A page, or something else that is there.
    Page(Response<Bytes>),
    /// Events as they come.
    Stream(Response<mpsc::Receiver<Bytes>>),
}

impl From<Response<Bytes>> for Answer {
    fn from(page: Response<Bytes>) -> Self {
        Self::Page(page)
    }
}

/// The console of one server.
pub(crate) struct Console {
    backend: Arc<Backend>,
    reached: Reached,
    attempts: Attempts,
}

impl fmt::Debug for Console {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Console")
            .field("reached", &self.reached)
            .finish_non_exhaustive()
    }
}

/// Whether a browser follows a link to a page, from wherever. That changes nothing, and carries no
/// cookie when it comes from another site.
pub(crate) fn is_followed_link(method: &Method, path: &str, headers: &HeaderMap) -> bool {
    let says = |name: &str, value: &str| {
        let said = headers.get(name);
        said.is_some_and(|said| said.as_bytes() == value.as_bytes())
    };
    owns(path)
        && *method == Method::GET
        && says("sec-fetch-mode", "navigate")
        && says("sec-fetch-dest", "document")
        && !headers.contains_key(header::ORIGIN)
}

/// The answer to a request for a page that the front door refuses.
pub(crate) fn refused(status: StatusCode, why: &str) -> Response<Bytes> {
    document::refused(&Refusal::new(status, why))
}

impl Console {
    /// A console that nobody has signed in to.
    pub(crate) fn new(service: Arc<Service>, reached: Reached) -> Self {
        Self {
            backend: Arc::new(Backend::new(service)),
            reached,
            attempts: Attempts::default(),
        }
    }

    /// Answers a request that came from an address; none when a proxy stands between.
    pub(crate) async fn answer(&self, request: &RawRequest, from: Option<IpAddr>) -> Answer {
        if request.method == Method::POST {
            if let Err(refusal) = comes_from_a_page(&request.headers) {
                return document::refused(&refusal).into();
            }
        } else if request.method != Method::GET && request.method != Method::HEAD {
            let why = "Pages are asked for by GET, and changed by POST.";
            return document::refused(&Refusal::new(StatusCode::METHOD_NOT_ALLOWED, why)).into();
        }
        let path = request.path.strip_prefix(ROOT).unwrap_or_default();
        match path {
            "sign-in" => self.sign_in(request, from).await.into(),
            "sign-out" if request.method == Method::POST => self.sign_out(request).await.into(),
            "theme" if request.method == Method::POST => choose_theme(request).into(),
            "" => self.front(request).await.into(),
            _ => match path.strip_prefix("assets/") {
                Some(name) => assets::answer(name, &request.headers)
                    .unwrap_or_else(|| document::refused(&Refusal::no_page()))
                    .into(),
                None => self.within(path, request, from).await,
            },
        }
    }

    /// Who is signed in for an account by a browser's cookie, if the key still stands.
    async fn signed_in(
        &self,
        cookies: &Cookies,
        account: &Account,
    ) -> Result<Option<SignedIn>, Refusal> {
        let Some(id) = cookies.session(self.reached, account) else {
            return Ok(None);
        };
        let Some(signed_in) = self.backend.sessions.of(id, self.backend.now()) else {
            return Ok(None);
        };
        if signed_in.caller.account != *account {
            return Ok(None);
        }
        if self.backend.may_go_on(&signed_in.caller).await? {
            return Ok(Some(signed_in));
        }
        self.backend
            .sessions
            .end_all_of(&signed_in.caller.access_key_id);
        Ok(None)
    }

    /// The first page: that of whoever is signed in, else the form to do so.
    async fn front(&self, request: &RawRequest) -> Response<Bytes> {
        let cookies = Cookies::of(&request.headers);
        for account in cookies.accounts(self.reached) {
            match self.signed_in(&cookies, &account).await {
                Ok(Some(_)) => return reply::see_other(&self.backend.home_of(&account)),
                Ok(None) => {}
                Err(refusal) => return document::refused(&refusal),
            }
        }
        match is_from_elsewhere(&request.headers) {
            true => ask_again(&request.headers),
            false => reply::see_other("/console/sign-in"),
        }
    }

    /// A page of an account: `ACCOUNT/REGION/PAGE`.
    async fn within(&self, path: &str, request: &RawRequest, from: Option<IpAddr>) -> Answer {
        match self.visit(path, request, from).await {
            Ok(answer) => answer,
            Err(refusal) => document::refused(&refusal).into(),
        }
    }

    async fn visit(
        &self,
        path: &str,
        request: &RawRequest,
        from: Option<IpAddr>,
    ) -> Result<Answer, Refusal> {
        let mut parts = path.splitn(3, '/');
        let account: Account = parts
            .next()
            .and_then(|text| text.parse().ok())
            .ok_or_else(Refusal::no_page)?;
        let cookies = Cookies::of(&request.headers);
        let Some(signed_in) = self.signed_in(&cookies, &account).await? else {
            return Ok(signed_out(request).into());
        };
        let query = Parameters::parse(&request.query, "").map_err(|_| Refusal::unreadable())?;
        let settings = &self.backend.service.context().settings;
        let chosen = query.get("region").filter(|_| !path.contains('/'));
        let named = chosen.or(parts.next()).unwrap_or_default();
        let region: Option<Region> = named.parse().ok();
        let Some(region) = region.filter(|region| settings.knows(region)) else {
            return match named.is_empty() {
                true => Ok(reply::see_other(&self.backend.home_of(&account)).into()),
                false => Err(Refusal::new(
                    StatusCode::NOT_FOUND,
                    "There is no such region.",
                )),
            };
        };
        let Some(name) = parts.next().filter(|_| chosen.is_none()) else {
            return Ok(reply::see_other(&format!("{ROOT}{account}/{region}/")).into());
        };
        let stream = name.strip_suffix("/live");
        let found = pages::find(stream.unwrap_or(name));
        let (page, entry) = found.ok_or_else(Refusal::no_page)?;
        let proved = Proved(account.to_string());
        let visit = Visit {
            backend: &self.backend,
            signed_in,
            origin: Origin::of(request, from),
            region,
            query,
            theme: cookies.theme(),
            accounts: cookies.accounts(self.reached),
            page: entry,
            navigation: ENTRIES,
        };
        if stream.is_some() {
            let watch = page.watch.ok_or_else(Refusal::no_page)?;
            let mut stream = reply::stream(watch(&visit)?);
            stream.extensions_mut().insert(proved);
            return Ok(Answer::Stream(stream));
        }
        let mut response = self.page(page, &visit, request).await?;
        response.extensions_mut().insert(proved);
        Ok(response.into())
    }

    async fn page(
        &self,
        page: &Page,
        visit: &Visit<'_>,
        request: &RawRequest,
    ) -> Result<Response<Bytes>, Refusal> {
        if request.method != Method::POST {
            return Ok(match (page.show)(visit).await {
                Ok(content) => reply::html(StatusCode::OK, layout::page(visit, None, &content)),
                Err(refusal) => layout::refused(visit, &refusal),
            });
        }
        let submit = page.submit.ok_or_else(Refusal::no_form)?;
        let form = form::read(request)?;
        if !visit
            .signed_in
            .has_token(form.get("token").unwrap_or_default())
        {
            return Ok(layout::refused(visit, &Refusal::stale_form()));
        }
        match submit(visit, &form).await {
            Ok(done) => {
                self.backend
                    .sessions
                    .leave_notice(&visit.signed_in, done.notice);
                Ok(reply::see_other(&done.next))
            }
            Err(refusal) => Ok(layout::refused(visit, &refusal)),
        }
    }

    async fn sign_out(&self, request: &RawRequest) -> Response<Bytes> {
        let form = match form::read(request) {
            Ok(form) => form,
            Err(refusal) => return document::refused(&refusal),
        };
        let cookies = Cookies::of(&request.headers);
        let account: Option<Account> = form.get("account").and_then(|text| text.parse().ok());
        let account = account.unwrap_or_else(|| {
            self.backend
                .service
                .context()
                .settings
                .default_account
                .clone()
        });
        let mut response = reply::see_other("/console/sign-in");
        match self.signed_in(&cookies, &account).await {
            Ok(Some(signed_in)) if signed_in.has_token(form.get("token").unwrap_or_default()) => {
                self.backend.sessions.end(&signed_in);
                cookies::end_session(self.reached, &account, &mut response);
                response
            }
            Ok(Some(_)) => document::refused(&Refusal::stale_form()),
            Ok(None) => response,
            Err(refusal) => document::refused(&refusal),
        }
    }
}

/// Remembers light or dark, and goes back to where the switch was.
fn choose_theme(request: &RawRequest) -> Response<Bytes> {
    let form = match form::read(request) {
        Ok(form) => form,
        Err(refusal) => return document::refused(&refusal),
    };
    let back = form.get("back").filter(|back| is_page(back));
    let mut response = reply::see_other(back.unwrap_or(ROOT));
    let theme = form.get("theme").and_then(Theme::read);
    cookies::keep_theme(theme.unwrap_or_default(), &mut response);
    response
}

/// Refuses a change that no page of ours asked for. That an Origin is ours was checked at the front
/// door already; here it has to be there, or a word of the browser's in its place.
fn comes_from_a_page(headers: &HeaderMap) -> Result<(), Refusal> {
    let site = headers.get("sec-fetch-site");
    let is_ours = site.is_some_and(|site| site.as_bytes() == b"same-origin");
    if is_ours || headers.contains_key(header::ORIGIN) {
        return Ok(());
    }
    let why = "A change has to come from a page of this console: the browser did not say where this one came from.";
    Err(Refusal::new(StatusCode::FORBIDDEN, why))
}

fn is_from_elsewhere(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site");
    site.is_some_and(|site| !matches!(site.as_bytes(), b"same-origin" | b"none"))
}

/// The answer to whoever is not signed in, or not any more.
fn signed_out(request: &RawRequest) -> Response<Bytes> {
    if request.method == Method::POST || request.path.ends_with("/live") {
        return document::refused(&Refusal::signed_out());
    }
    if is_from_elsewhere(&request.headers) {
        return ask_again(&request.headers);
    }
    let mut next = request.path.clone();
    if !request.query.is_empty() {
        next.push('?');
        next.push_str(&request.query);
    }
    let next = wire::percent_encode(next.as_bytes());
    reply::see_other(&format!("/console/sign-in?next={next}"))
}

/// A page that asks for itself: with a link from another site the browser sent no cookie, from here it
/// does.
fn ask_again(headers: &HeaderMap) -> Response<Bytes> {
    let page = document::bare(
        "Snapferry",
        Cookies::of(headers).theme(),
        Some(0),
        &html! { p { a href="" { "Go on" } } },
    );
    reply::html(StatusCode::OK, page)
}
