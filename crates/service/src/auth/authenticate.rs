//! Who asks: signatures, access keys, and the account they stand for.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_lc_rs::{constant_time, digest};
use catalog::{Catalog, CatalogError, CatalogExt, access_keys, accounts};
use http::{HeaderValue, header::HOST};
use kms::MasterKey;
use locked::{Locker, Place};
use model::{Account, Clock, Timestamp, limits};
use wire::{
    RawRequest,
    sigv4::{self, AuthFault, Claim, Scope, SigningKey},
};
use zeroize::Zeroizing;

use crate::{
    auth::{
        caller::Caller,
        sessions::{Issued, Role, RoleArn, Session},
    },
    fault::{Code, Fault},
    settings::{Mode, Settings},
};

/// The purpose that access keys' secrets are sealed for; their context is the access key's id.
pub const SECRET_PURPOSE: &str = "access-key";
/// A key's row is read again after this long, so a disabled key is refused within a second.
const ROW_LIFE: Duration = Duration::from_millis(500);
/// Access keys remembered at most; the table is emptied when it is full.
const REMEMBERED_MAX: usize = 4_096;

/// What a request proved.
#[derive(Debug)]
pub struct Proof {
    /// Who asks.
    pub caller: Caller,
    /// Service and region of the credential, when there is one.
    pub scope: Option<Scope>,
    /// Whether a presigned URL was verified.
    pub presigned: bool,
}

/// An access key that was read lately. Its secrets lie in the locker beside it.
struct Known {
    account: Account,
    /// None when it is longer than any that is made here.
    secret: Option<Place>,
    read_at: Timestamp,
    signing: Option<(Scope, Place)>,
}

/// The access keys that were read lately, with their secrets out of swap.
#[derive(Default)]
struct Remembered {
    keys: HashMap<String, Known>,
    secrets: Locker,
}

impl Remembered {
    /// Remembers a key, in place of what was known of it.
    fn put(&mut self, id: &str, account: &Account, secret: &str, at: Timestamp) {
        if REMEMBERED_MAX <= self.keys.len() {
            *self = Self::default();
        }
        self.forget(id);
        let known = Known {
            account: account.clone(),
            secret: self.secrets.put(secret.as_bytes()),
            read_at: at,
            signing: None,
        };
        self.keys.insert(id.to_owned(), known);
    }

    fn forget(&mut self, id: &str) {
        if let Some(known) = self.keys.remove(id) {
            let signing = known.signing.map(|(_, place)| place);
            for place in known.secret.into_iter().chain(signing) {
                self.secrets.remove(place);
            }
        }
    }

    /// The account and the signing key of one that was read no longer ago than a row's life.
    fn signing_key(
        &mut self,
        id: &str,
        scope: &Scope,
        now: Timestamp,
    ) -> Option<(Account, SigningKey)> {
        let known = self.keys.get_mut(id)?;
        if !now.is_within(ROW_LIFE, known.read_at) {
            return None;
        }
        if let Some((of, place)) = &known.signing
            && of == scope
        {
            let bytes = self.secrets.get(place).try_into().ok()?;
            return Some((known.account.clone(), SigningKey::from_bytes(bytes)));
        }
        let secret = std::str::from_utf8(self.secrets.get(known.secret.as_ref()?)).ok()?;
        let key = SigningKey::derive(secret, scope);
        if let Some((_, place)) = known.signing.take() {
            self.secrets.remove(place);
        }
        let place = self.secrets.put(key.expose());
        known.signing = place.map(|place| (scope.clone(), place));
        Some((known.account.clone(), key))
    }
}

/// Checks who asks.
pub struct Access {
    catalog: Arc<dyn Catalog>,
    master_key: Arc<MasterKey>,
    clock: Arc<dyn Clock>,
    mode: Mode,
    default_account: Account,
    roles: Vec<Role>,
    known: Mutex<Remembered>,
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Access")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

impl Access {
    /// Access as the settings want it.
    pub fn new(
        catalog: Arc<dyn Catalog>,
        master_key: Arc<MasterKey>,
        clock: Arc<dyn Clock>,
        settings: &Settings,
    ) -> Self {
        Self {
            catalog,
            master_key,
            clock,
            mode: settings.mode,
            default_account: settings.default_account.clone(),
            roles: settings.roles.clone(),
            known: Mutex::default(),
        }
    }

    /// Finds out who sent a request.
    ///
    /// # Errors
    /// The documented fault of a request that is not signed, or not rightly.
    pub async fn authenticate(&self, request: &RawRequest) -> Result<Proof, Fault> {
        match self.mode {
            Mode::Closed => self.verify(request).await,
            Mode::Dev => self.believe(request),
        }
    }

    /// Finds out who types an access key and its secret, as people do who sign in to the console.
    /// The secret is compared here and kept nowhere. Where signatures are not checked, neither is
    /// it: twelve digits as the access key are the account.
    ///
    /// # Errors
    /// `InvalidClientTokenId`, whether there is no such key, it is not active or its secret is
    /// another; the catalog's.
    pub async fn sign_in(&self, access_key_id: &str, secret: &str) -> Result<Caller, Fault> {
        let of = |account| Caller {
            account,
            access_key_id: access_key_id.to_owned(),
            session: None,
        };
        if self.mode == Mode::Dev {
            let account = access_key_id.parse();
            return Ok(of(account.unwrap_or_else(|_| self.default_account.clone())));
        }
        let row = self.active_key(access_key_id).await?;
        let expected = match &row {
            Some(row) => self
                .master_key
                .open(SECRET_PURPOSE, &row.id, &row.sealed_secret),
            // Without a key the same is done before the answer is no.
            None => Ok(Zeroizing::default()),
        }
        .map_err(|error| Fault::internal(&error))?;
        let hash = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
        let (given, expected) = (hash(secret.as_bytes()), hash(&expected));
        let same = constant_time::verify_slices_are_equal(given.as_ref(), expected.as_ref());
        match row {
            Some(row) if same.is_ok() => Ok(of(row.account)),
            _ => Err(AuthFault::InvalidClientTokenId.into()),
        }
    }

    /// Whether someone who signed in with an access key may go on: it is there, active, and still
    /// of that account.
    ///
    /// # Errors
    /// The catalog's.
    pub async fn may_go_on(&self, caller: &Caller) -> Result<bool, Fault> {
        if self.mode == Mode::Dev {
            return Ok(true);
        }
        let row = self.active_key(&caller.access_key_id).await?;
        Ok(row.is_some_and(|row| row.account == caller.account))
    }

    async fn active_key(&self, id: &str) -> Result<Option<access_keys::AccessKey>, Fault> {
        let id = id.to_owned();
        let read = self.catalog.point_read(move |tx| access_keys::get(tx, &id));
        Ok(read.await?.filter(access_keys::AccessKey::is_active))
    }

    /// The role of an ARN, if the caller may assume it. Where signatures are not checked anyone
    /// is any account already, and so may assume any role.
    pub fn assumable(&self, caller: &Account, arn: &RoleArn) -> Option<Role> {
        let found = self.roles.iter().find(|role| role.arn == *arn);
        match self.mode {
            Mode::Closed => found.filter(|role| role.trusts.contains(caller)).cloned(),
            Mode::Dev => Some(found.cloned().unwrap_or_else(|| Role {
                arn: arn.clone(),
                trusts: Vec::new(),
                external_id: None,
                session_secs_max: limits::SESSION_SECS_MAX,
            })),
        }
    }

    /// Temporary credentials for a caller, or for a role.
    ///
    /// # Errors
    /// As [`Session::begin`].
    pub fn begin_session(
        &self,
        caller: &Caller,
        role: Option<(&Role, &str)>,
        seconds: u64,
    ) -> Result<Issued, Fault> {
        let by = (&caller.account, caller.issuer());
        Session::begin(&self.master_key, by, role, self.clock.now(), seconds)
    }

    /// Finds out who signed a presigned URL that came as a parameter. In dev mode the signature
    /// itself is not checked, but all that it needs must be there.
    ///
    /// With an endpoint of its own the SDK for JavaScript signs the host without the port that
    /// it then writes, so a URL with a port may be signed either way.
    ///
    /// # Errors
    /// The documented fault of a request that is not signed, or not rightly.
    pub async fn authenticate_url(&self, request: &RawRequest) -> Result<Proof, Fault> {
        match self.mode {
            Mode::Closed => match self.verify(request).await {
                Err(fault) if fault.code == Code::SignatureDoesNotMatch => {
                    match without_port(request) {
                        Some(other) => self.verify(&other).await,
                        None => Err(fault),
                    }
                }
                result => result,
            },
            Mode::Dev => {
                sigv4::read(request)?.ok_or(AuthFault::MissingAuthenticationToken)?;
                self.believe(request)
            }
        }
    }

    async fn verify(&self, request: &RawRequest) -> Result<Proof, Fault> {
        let claim = sigv4::read(request)?.ok_or(AuthFault::MissingAuthenticationToken)?;
        let session = self.session(&claim.access_key_id, claim.security_token.as_deref());
        let known = match (&claim.security_token, &session) {
            (None, _) => self.signing_key(&claim).await?,
            (Some(_), Some(session)) => {
                let key = SigningKey::derive(session.secret(), &claim.scope);
                Some((session.account.clone(), key))
            }
            // A token of another's making.
            (Some(_), None) => None,
        };
        // Without a key the same work is done before the answer is no.
        claim.verify(
            request,
            known.as_ref().map(|(_, key)| key),
            self.clock.now().seconds(),
        )?;
        let (account, _) = known.ok_or(AuthFault::InvalidClientTokenId)?;
        if let Some(session) = &session {
            self.stands(session).await?;
        }
        Ok(Proof {
            caller: Caller {
                account,
                access_key_id: claim.access_key_id.clone(),
                session,
            },
            presigned: claim.is_presigned(),
            scope: Some(claim.scope),
        })
    }

    fn session(&self, access_key_id: &str, token: Option<&str>) -> Option<Session> {
        Session::open(&self.master_key, access_key_id, token?)
    }

    /// Refuses a session that is over, or whose ground is gone: the access key that it came from
    /// is not active any more, its account was deleted, the role or its trust was taken away.
    async fn stands(&self, session: &Session) -> Result<(), Fault> {
        session.lasting(self.clock.now())?;
        if let Some(of) = &session.role
            && self.assumable(&session.begun_by, &of.role).is_none()
        {
            return Err(AuthFault::InvalidClientTokenId.into());
        }
        let issuer = session.issuer.clone().unwrap_or_default();
        let account = session.account.clone();
        let (key, there) = self
            .catalog
            .point_read(move |tx| {
                let key = access_keys::get(tx, &issuer)?;
                Ok::<_, CatalogError>((key, accounts::get(tx, &account)?.is_some()))
            })
            .await?;
        if there && key.is_some_and(|key| key.is_active()) {
            return Ok(());
        }
        Err(AuthFault::InvalidClientTokenId.into())
    }

    async fn signing_key(&self, claim: &Claim) -> Result<Option<(Account, SigningKey)>, Fault> {
        let now = self.clock.now();
        if let Some(found) = self.remembered(claim, now) {
            return Ok(Some(found));
        }
        let Some(row) = self.active_key(&claim.access_key_id).await? else {
            self.lock().forget(&claim.access_key_id);
            return Ok(None);
        };
        let secret = self
            .master_key
            .open(SECRET_PURPOSE, &claim.access_key_id, &row.sealed_secret)
            .map_err(|error| Fault::internal(&error))?;
        let secret = Zeroizing::new(String::from_utf8_lossy(&secret).into_owned());
        let key = SigningKey::derive(&secret, &claim.scope);
        self.lock()
            .put(&claim.access_key_id, &row.account, &secret, now);
        Ok(Some((row.account, key)))
    }

    fn remembered(&self, claim: &Claim, now: Timestamp) -> Option<(Account, SigningKey)> {
        let mut known = self.lock();
        known.signing_key(&claim.access_key_id, &claim.scope, now)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Remembered> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dev mode: twelve digits as the access key select the account; nothing is checked. The
    /// key of a session of ours selects the session's, until that ends.
    fn believe(&self, request: &RawRequest) -> Result<Proof, Fault> {
        let credential = sigv4::credential_hint(request);
        let access_key_id = credential
            .as_ref()
            .map(|(id, _)| id.clone())
            .unwrap_or_default();
        let token = sigv4::security_token_hint(request);
        let session = self.session(&access_key_id, token.as_deref());
        let account = match &session {
            Some(session) => {
                session.lasting(self.clock.now())?;
                session.account.clone()
            }
            None => access_key_id
                .parse()
                .unwrap_or_else(|_| self.default_account.clone()),
        };
        Ok(Proof {
            caller: Caller {
                account,
                access_key_id,
                session,
            },
            scope: credential.and_then(|(_, scope)| scope),
            presigned: false,
        })
    }
}

/// The same request, with a Host header that has no port; none when it has none.
fn without_port(request: &RawRequest) -> Option<RawRequest> {
    let host = request.headers.get(HOST)?.to_str().ok()?;
    let (name, port) = host.rsplit_once(':')?;
    if port.is_empty() || !port.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let mut other = request.clone();
    other
        .headers
        .insert(HOST, HeaderValue::from_str(name).ok()?);
    Some(other)
}

#[cfg(test)]
mod tests;
