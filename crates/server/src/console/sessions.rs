//! Who is signed in: sessions in memory, each behind a random id of which only the hash is kept.
//!
//! It does not know whether the key behind one still stands; that is asked with every request.
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use aws_lc_rs::{constant_time, digest};
use data_encoding::BASE64URL_NOPAD;
use model::Timestamp;
use service::auth::caller::Caller;

/// A session that was not used for so long is over.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// So is one that began so long ago.
const LIFE: Duration = Duration::from_secs(12 * 3600);
/// Sessions at once, of all.
const SESSIONS_MAX: usize = 256;
/// Sessions at once of one account, so that no account keeps the others out. Another one ends the one
/// that was idle longest, of the same key if that has many.
const SESSIONS_OF_ACCOUNT_MAX: usize = 32;
/// Sessions at once of one access key.
const SESSIONS_OF_KEY_MAX: usize = 16;
/// An id, and a token of forms.
const SECRET_BYTES: usize = 32;

type Hash = [u8; 32];

/// Whoever is signed in, as a request finds them.
#[derive(Clone)]
pub(super) struct SignedIn {
    /// Who acts.
    pub(super) caller: Caller,
    /// What forms have to bring back.
    pub(super) token: String,
    hash: Hash,
}

impl SignedIn {
    /// Whether a form brings the session's token.
    pub(super) fn has_token(&self, given: &str) -> bool {
        constant_time::verify_slices_are_equal(given.as_bytes(), self.token.as_bytes()).is_ok()
    }
}

struct Session {
    caller: Caller,
    token: String,
    notice: Option<String>,
    began_at: Timestamp,
    used_at: Timestamp,
}

impl Session {
    fn lasts(&self, now: Timestamp) -> bool {
        now.is_within(IDLE, self.used_at) && now.is_within(LIFE, self.began_at)
    }
}

/// All sessions of this server.
#[derive(Default)]
pub(super) struct Sessions {
    by_id: Mutex<HashMap<Hash, Session>>,
}

/// Why nobody else can sign in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BeginError {
    /// As many are signed in as fit.
    #[error("{SESSIONS_MAX} sessions are open, and no more fit")]
    Full,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes")]
    NoChance,
}

impl Sessions {
    /// Begins a session, and answers its id, for the cookie.
    ///
    /// # Errors
    /// See [`BeginError`].
    pub(super) fn begin(&self, caller: Caller, now: Timestamp) -> Result<String, BeginError> {
        let (id, token) = (draw()?, draw()?);
        let mut by_id = self.lock();
        by_id.retain(|_, session| session.lasts(now));
        make_room(&mut by_id, SESSIONS_OF_KEY_MAX, |session| {
            session.caller.access_key_id == caller.access_key_id
        });
        make_room(&mut by_id, SESSIONS_OF_ACCOUNT_MAX, |session| {
            session.caller.account == caller.account
        });
        if SESSIONS_MAX <= by_id.len() {
            return Err(BeginError::Full);
        }
        let session = Session {
            caller,
            token,
            notice: None,
            began_at: now,
            used_at: now,
        };
        by_id.insert(hash(&id), session);
        Ok(id)
    }

    /// Who is signed in by an id, if anyone still is.
    pub(super) fn of(&self, id: &str, now: Timestamp) -> Option<SignedIn> {
        let hash = hash(id);
        let mut by_id = self.lock();
        let session = by_id.get_mut(&hash)?;
        if !session.lasts(now) {
            by_id.remove(&hash);
            return None;
        }
        session.used_at = now;
        Some(SignedIn {
            caller: session.caller.clone(),
            token: session.token.clone(),
            hash,
        })
    }

    /// Whether a session is still there; that is no use of it.
    pub(super) fn lasts(&self, of: &SignedIn, now: Timestamp) -> bool {
        let by_id = self.lock();
        by_id
            .get(&of.hash)
            .is_some_and(|session| session.lasts(now))
    }

    /// Leaves what a change has to say to the next page.
    pub(super) fn leave_notice(&self, of: &SignedIn, notice: String) {
        if let Some(session) = self.lock().get_mut(&of.hash) {
            session.notice = Some(notice);
        }
    }

    /// What the last change left to say; once.
    pub(super) fn take_notice(&self, of: &SignedIn) -> Option<String> {
        self.lock().get_mut(&of.hash)?.notice.take()
    }

    /// Ends a session.
    pub(super) fn end(&self, signed_in: &SignedIn) {
        self.lock().remove(&signed_in.hash);
    }

    /// Ends all sessions of a key.
    pub(super) fn end_all_of(&self, access_key_id: &str) {
        self.lock()
            .retain(|_, session| session.caller.access_key_id != access_key_id);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Hash, Session>> {
        self.by_id.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Ends the session that was idle longest of those that count, if there are as many as may be.
fn make_room(by_id: &mut HashMap<Hash, Session>, most: usize, counts: impl Fn(&Session) -> bool) {
    let counted = by_id.iter().filter(|(_, session)| counts(session));
    if most <= counted.clone().count()
        && let Some(idlest) = counted
            .min_by_key(|(_, session)| session.used_at)
            .map(|(id, _)| *id)
    {
        by_id.remove(&idlest);
    }
}

fn hash(id: &str) -> Hash {
    let mut hash = Hash::default();
    hash.copy_from_slice(digest::digest(&digest::SHA256, id.as_bytes()).as_ref());
    hash
}

fn draw() -> Result<String, BeginError> {
    let mut bytes = [0; SECRET_BYTES];
    kms::fill_random(&mut bytes).map_err(|_| BeginError::NoChance)?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp(1_000_000_000_000_000);

    fn caller(key: &str) -> Caller {
        caller_of("000000000000", key)
    }

    fn caller_of(account: &str, key: &str) -> Caller {
        Caller {
            account: account.parse().expect("an account"),
            access_key_id: key.to_owned(),
            session: None,
        }
    }

    #[test]
    fn a_session_ends_idle_and_in_any_case() {
        let sessions = Sessions::default();
        let id = sessions.begin(caller("A"), START).expect("room");
        let pause = IDLE.saturating_sub(Duration::from_secs(1));
        let mut now = START;
        while now.since(START) < LIFE {
            assert!(sessions.of(&id, now).is_some(), "each use was seen");
            now = now.plus(pause);
        }
        assert!(
            sessions.of(&id, now).is_none(),
            "used all the time, and over"
        );
        let other = sessions.begin(caller("A"), START).expect("room");
        assert!(sessions.of(&other, START.plus(IDLE)).is_none());
        assert!(
            sessions.of(&other, START).is_none(),
            "what is over stays so"
        );
    }

    #[test]
    fn a_key_has_some_sessions_and_all_have_a_bound() {
        let sessions = Sessions::default();
        let first = sessions.begin(caller("A"), START).expect("room");
        let mut now = START;
        for _ in 0..SESSIONS_OF_KEY_MAX {
            now = now.plus(Duration::from_secs(1));
            sessions.begin(caller("A"), now).expect("room");
        }
        assert!(sessions.of(&first, now).is_none(), "the idlest made room");
        assert_eq!(sessions.lock().len(), SESSIONS_OF_KEY_MAX);
        for number in 0..SESSIONS_MAX {
            let other = caller(&number.to_string());
            sessions.begin(other, now).expect("room");
        }
        assert_eq!(sessions.lock().len(), SESSIONS_OF_ACCOUNT_MAX);
        for number in SESSIONS_OF_ACCOUNT_MAX..SESSIONS_MAX {
            let account = format!("{number:012}");
            let other = caller_of(&account, &account);
            sessions.begin(other, now).expect("room");
        }
        let another = || caller_of("999999999999", "B");
        assert_eq!(sessions.begin(another(), now), Err(BeginError::Full));
        let later = sessions.begin(another(), now.plus(IDLE));
        assert!(later.is_ok(), "the idle ones went");
    }

    #[test]
    fn a_key_ends_all_its_sessions_and_no_other() {
        let sessions = Sessions::default();
        let ids = ["A", "A", "B"].map(|key| sessions.begin(caller(key), START).expect("room"));
        let one = sessions.of(&ids[0], START).expect("there");
        assert!(sessions.lasts(&one, START) && !sessions.lasts(&one, START.plus(LIFE)));
        sessions.end_all_of("A");
        let there = ids.map(|id| sessions.of(&id, START).is_some());
        assert!(!sessions.lasts(&one, START));
        assert_eq!(there, [false, false, true]);
    }

    #[test]
    fn a_notice_is_read_once_and_a_token_is_the_sessions_own() {
        let sessions = Sessions::default();
        let ids = ["A", "B"].map(|key| sessions.begin(caller(key), START).expect("room"));
        let [one, other] = ids
            .each_ref()
            .map(|id| sessions.of(id, START).expect("there"));
        sessions.leave_notice(&one, "done".to_owned());
        assert_eq!(sessions.take_notice(&other), None);
        assert_eq!(sessions.take_notice(&one).as_deref(), Some("done"));
        assert_eq!(sessions.take_notice(&one), None);
        assert!(one.has_token(&one.token) && !one.has_token(&other.token) && !one.has_token(""));
    }
}
