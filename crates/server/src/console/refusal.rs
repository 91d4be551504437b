//! What a page says when something cannot be done.
use http::StatusCode;
use maud::{Markup, html};
use service::fault::Fault;

/// Why a page cannot be shown, or a change not be made.
#[derive(Debug)]
pub(super) struct Refusal {
    /// The answer's status.
    pub(super) status: StatusCode,
    /// The API's code, when it is the API that refuses.
    pub(super) code: Option<&'static str>,
    /// A sentence.
    pub(super) message: String,
    /// A form to try again with.
    pub(super) form: Option<Markup>,
}

impl Refusal {
    /// A refusal of the console's own.
    pub(super) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            code: None,
            message: message.into(),
            form: None,
        }
    }

    /// Nothing is there.
    pub(super) fn no_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "There is no such page.")
    }

    /// Nothing can be sent there.
    pub(super) fn no_form() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "This page has no form.")
    }

    /// What was sent is no form.
    pub(super) fn unreadable() -> Self {
        Self::new(StatusCode::BAD_REQUEST, "What was sent is not a form.")
    }

    /// A form without the session's token.
    pub(super) fn stale_form() -> Self {
        let message = "Nothing was changed: the form is not of this session, or older. Load the page again and send it anew.";
        Self::new(StatusCode::FORBIDDEN, message)
    }

    /// A change by someone who is not signed in any more.
    pub(super) fn signed_out() -> Self {
        let message = "You are not signed in, or not any more: nothing was changed.";
        Self::new(StatusCode::UNAUTHORIZED, message)
    }

    /// The same, with a form that what was written stays in.
    #[must_use]
    pub(super) fn with_form(mut self, form: Markup) -> Self {
        self.form = Some(form);
        self
    }

    /// The sentence, as it is shown.
    pub(super) fn shown(&self) -> Markup {
        html! {
            div class="refusal" role="alert" {
                p { (self.message) }
                @if let Some(code) = self.code {
                    p class="soft" { code { (code) } }
                }
            }
        }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        let status = StatusCode::from_u16(fault.code.status());
        Self {
            status: status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            code: Some(fault.code.as_str()),
            message: fault.message.into_owned(),
            form: None,
        }
    }
}
