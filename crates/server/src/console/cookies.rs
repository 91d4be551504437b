//! What the console keeps in a browser: a session for each account, and light or dark.
//!
//! It does not know which sessions there are.
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, header};
use model::Account;

use super::reached::{ROOT, Reached};

/// Accounts that one browser is signed in to at once, as far as they are looked at.
const ACCOUNTS_MAX: usize = 16;
const THEME: &str = "snapferry-theme";

/// Light, dark, or what the system says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Theme {
    #[default]
    System,
    Light,
    Dark,
}

impl Theme {
    /// All, in the order of the switch.
    pub(super) const ALL: [Self; 3] = [Self::System, Self::Light, Self::Dark];

    /// The word in the cookie and in the page.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::System => "system",
            Self::Light => "light",
            Self::Dark => "dark",
        }
    }

    /// Reads it.
    pub(super) fn read(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|theme| theme.as_str() == word)
    }
}

/// A request's cookies.
pub(super) struct Cookies {
    pairs: Vec<(String, String)>,
}

impl Cookies {
    /// Those of a request.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::COOKIE).iter();
        let texts = values.filter_map(|value| value.to_str().ok());
        let pairs = texts
            .flat_map(|text| text.split(';'))
            .filter_map(|pair| pair.trim().split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        Self { pairs }
    }

    fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.pairs.iter();
        pairs
            .find(|(named, _)| named == name)
            .map(|(_, value)| value.as_str())
    }

    /// The id of an account's session.
    pub(super) fn session(&self, reached: Reached, account: &Account) -> Option<&str> {
        self.get(&name(reached, account.as_str()))
    }

    /// The accounts that it has a session for, which may be over.
    pub(super) fn accounts(&self, reached: Reached) -> Vec<Account> {
        let prefix = name(reached, "");
        let named = self
            .pairs
            .iter()
            .filter_map(|(name, _)| name.strip_prefix(&prefix));
        let accounts = named.filter_map(|account| account.parse().ok());
        accounts.take(ACCOUNTS_MAX).collect()
    }

    /// What was chosen by the switch.
    pub(super) fn theme(&self) -> Theme {
        self.get(THEME).and_then(Theme::read).unwrap_or_default()
    }
}

/// Two tabs may show two accounts, so each has a cookie of its own. The prefix keeps others than this
/// very host from setting it; browsers take it only over TLS.
fn name(reached: Reached, account: &str) -> String {
    let prefix = if reached.tls { "__Host-" } else { "" };
    format!("{prefix}snapferry-{account}")
}

fn attributes(reached: Reached) -> &'static str {
    match reached.tls {
        true => "; Path=/; HttpOnly; SameSite=Strict; Secure",
        false => "; Path=/; HttpOnly; SameSite=Strict",
    }
}

fn set(response: &mut Response<Bytes>, cookie: &str) {
    let value = HeaderValue::from_str(cookie).expect("digits, and an alphabet of base 64");
    response.headers_mut().append(header::SET_COOKIE, value);
}

/// Gives the browser a session, until it is closed or the session is over.
pub(super) fn begin_session(
    reached: Reached,
    account: &Account,
    id: &str,
    response: &mut Response<Bytes>,
) {
    let (name, attributes) = (name(reached, account.as_str()), attributes(reached));
    set(response, &format!("{name}={id}{attributes}"));
}

/// Takes it away again.
pub(super) fn end_session(reached: Reached, account: &Account, response: &mut Response<Bytes>) {
    let (name, attributes) = (name(reached, account.as_str()), attributes(reached));
    set(response, &format!("{name}={attributes}; Max-Age=0"));
}

/// Remembers light or dark.
pub(super) fn keep_theme(theme: Theme, response: &mut Response<Bytes>) {
    let theme = theme.as_str();
    set(
        response,
        &format!("{THEME}={theme}; Path={ROOT}; HttpOnly; SameSite=Strict; Max-Age=31536000"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Reached = Reached {
        tls: false,
        safely: true,
    };
    const TLS: Reached = Reached {
        tls: true,
        safely: true,
    };

    #[test]
    fn a_session_is_found_by_its_account() {
        let account: Account = "000000000000".parse().expect("an account");
        let other: Account = "111122223333".parse().expect("an account");
        for reached in [PLAIN, TLS] {
            let mut response = Response::new(Bytes::new());
            begin_session(reached, &account, "abc", &mut response);
            let cookie = response.headers()[header::SET_COOKIE]
                .to_str()
                .expect("ASCII")
                .to_owned();
            assert_eq!(
                cookie.starts_with("__Host-") && cookie.ends_with("Secure"),
                reached.tls
            );
            assert!(cookie.contains("HttpOnly") && cookie.contains("SameSite=Strict"));
            let pair = cookie.split(';').next().expect("a pair");
            let mut headers = HeaderMap::new();
            headers.append(header::COOKIE, "other=1; broken".parse().expect("a value"));
            headers.append(header::COOKIE, pair.parse().expect("a value"));
            let cookies = Cookies::of(&headers);
            assert_eq!(cookies.session(reached, &account), Some("abc"));
            assert_eq!(cookies.session(reached, &other), None);
            assert_eq!(cookies.accounts(reached), std::slice::from_ref(&account));
        }
    }
}
