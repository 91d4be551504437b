//! Signing in by an access key: its secret is compared once, and not kept.
use std::net::IpAddr;

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use maud::{Markup, html};
use service::{Mode, fault::Code};
use wire::{Parameters, RawRequest};

use super::{
    Console,
    cookies::{self, Cookies},
    document, form,
    reached::{ROOT, is_page},
    refusal::Refusal,
    reply,
    sessions::BeginError,
};

/// Longer texts are neither keys nor secrets of ours.
const FIELD_CHARS_MAX: usize = 128;
const BEYOND_LOOPBACK: &str = "This server is reached without TLS from other machines, so that a secret that is typed here could be read on the way. Give it --tls-certificate and --tls-key, or put a proxy with TLS before it and name that by --external-url https://…";

impl Console {
    /// The form, and what it sends.
    pub(super) async fn sign_in(
        &self,
        request: &RawRequest,
        from: Option<IpAddr>,
    ) -> Response<Bytes> {
        if !self.reached.safely {
            return document::refused(&Refusal::new(StatusCode::FORBIDDEN, BEYOND_LOOPBACK));
        }
        if request.method != Method::POST {
            let query = Parameters::parse(&request.query, "").unwrap_or_default();
            let next = query.get("next").unwrap_or_default();
            return self.form(request, next, "", None);
        }
        let form = match form::read(request) {
            Ok(form) => form,
            Err(refusal) => return document::refused(&refusal),
        };
        let field = |name| form.get(name).unwrap_or_default().trim();
        let (key, next) = (field("key"), field("next"));
        match self.begin(key, field("secret"), from).await {
            Ok(signed_in) => self.welcome(signed_in, next),
            Err(refusal) => self.form(request, next, key, Some(&refusal)),
        }
    }

    async fn begin(
        &self,
        key: &str,
        secret: &str,
        from: Option<IpAddr>,
    ) -> Result<(model::Account, String), Refusal> {
        let fits = |text: &str| text.len() <= FIELD_CHARS_MAX;
        let now = self.backend.now();
        if !fits(key) || !fits(secret) {
            return Err(wrong());
        }
        if !self.attempts.begin(from, key, now) {
            tracing::warn!(
                access_key = key,
                "too many failed attempts to sign in to the console"
            );
            let why = "Too many attempts failed. Wait a minute and try again.";
            return Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, why));
        }
        let caller = match self.backend.service.access().sign_in(key, secret).await {
            Ok(caller) => caller,
            Err(fault) if fault.code == Code::InvalidClientTokenId => {
                tracing::info!(
                    access_key = key,
                    "an attempt to sign in to the console failed"
                );
                return Err(wrong());
            }
            Err(fault) => return Err(fault.into()),
        };
        self.attempts.succeeded(from, key);
        let account = caller.account.clone();
        let id = self.backend.sessions.begin(caller, now).map_err(|error| {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let advice = match error {
                BeginError::Full => " Sign out where you are signed in, or wait: each ends after 30 minutes without use.",
                BeginError::NoChance => "",
            };
            Refusal::new(status, format!("Nobody else can sign in: {error}.{advice}"))
        })?;
        tracing::info!(%account, access_key = key, "signed in to the console");
        Ok((account, id))
    }

    fn welcome(&self, (account, id): (model::Account, String), next: &str) -> Response<Bytes> {
        let home = self.backend.home_of(&account);
        let own = format!("{}{account}/", ROOT);
        let next = Some(next).filter(|next| is_page(next) && next.starts_with(&own));
        let mut response = reply::see_other(next.unwrap_or(&home));
        cookies::begin_session(self.reached, &account, &id, &mut response);
        response
    }

    fn form(
        &self,
        request: &RawRequest,
        next: &str,
        key: &str,
        refusal: Option<&Refusal>,
    ) -> Response<Bytes> {
        let content = html! {
            h1 { "Snapferry" }
            p class="soft" { "Snapshots of database clusters: are they there, and where." }
            @if let Some(refusal) = refusal { (refusal.shown()) }
            form method="post" action="/console/sign-in" class="card narrow" {
                input type="hidden" name="next" value=(next);
                (fields(self.backend.mode(), key))
                button class="main" { "Sign in" }
            }
        };
        let theme = Cookies::of(&request.headers).theme();
        let status = refusal.map_or(StatusCode::OK, |refusal| refusal.status);
        reply::html(
            status,
            document::bare("Sign in · Snapferry", theme, None, &content),
        )
    }
}

fn fields(mode: Mode, key: &str) -> Markup {
    html! {
        @match mode {
            Mode::Closed => {
                label { "Access key ID"
                    input name="key" value=(key) autocomplete="username" required autofocus spellcheck="false" autocapitalize="off" maxlength=(FIELD_CHARS_MAX);
                }
                label { "Secret access key"
                    input name="secret" type="password" autocomplete="current-password" required maxlength=(FIELD_CHARS_MAX);
                }
                p class="soft" { "The secret is compared once and not kept. The first key is in the file " code { "credentials" } " of the data folder; " code { "snapferry access-key create" } " makes others." }
            }
            Mode::Dev => {
                label { "Account"
                    input name="key" value=(key) placeholder="000000000000" inputmode="numeric" pattern="[0-9]{12}" title="twelve digits" autofocus;
                }
                p class="soft" { "This server runs with " code { "--dev" } ": it checks no secrets." }
            }
        }
    }
}

fn wrong() -> Refusal {
    let why = "There is no active access key with this ID and secret.";
    Refusal::new(StatusCode::FORBIDDEN, why)
}
