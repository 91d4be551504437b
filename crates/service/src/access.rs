//! Who asks: signatures, access keys, and the account they stand for.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use catalog::{Catalog, CatalogExt, access_keys};
use http::{HeaderValue, header::HOST};
use kms::MasterKey;
use model::{Account, Clock, Timestamp};
use wire::{
    RawRequest,
    sigv4::{self, AuthFault, Claim, Scope, SigningKey},
};
use zeroize::Zeroizing;

use crate::{
    action::Caller,
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

struct Known {
    account: Account,
    secret: Zeroizing<String>,
    read_at: Timestamp,
    signing: Option<(Scope, SigningKey)>,
}

/// Checks who asks.
pub struct Access {
    catalog: Arc<dyn Catalog>,
    master_key: Arc<MasterKey>,
    clock: Arc<dyn Clock>,
    mode: Mode,
    default_account: Account,
    known: Mutex<HashMap<String, Known>>,
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
            Mode::Dev => Ok(self.believe(request)),
        }
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
                Ok(self.believe(request))
            }
        }
    }

    async fn verify(&self, request: &RawRequest) -> Result<Proof, Fault> {
        let claim = sigv4::read(request)?.ok_or(AuthFault::MissingAuthenticationToken)?;
        let known = self.signing_key(&claim).await?;
        // Without a key the same work is done before the answer is no.
        claim.verify(
            request,
            known.as_ref().map(|(_, key)| key),
            self.clock.now().seconds(),
        )?;
        let (account, _) = known.ok_or(AuthFault::InvalidClientTokenId)?;
        if claim.security_token.is_some() {
            // No session tokens are issued here.
            return Err(AuthFault::InvalidClientTokenId.into());
        }
        Ok(Proof {
            caller: Caller {
                account,
                access_key_id: claim.access_key_id.clone(),
            },
            presigned: claim.is_presigned(),
            scope: Some(claim.scope),
        })
    }

    async fn signing_key(&self, claim: &Claim) -> Result<Option<(Account, SigningKey)>, Fault> {
        let now = self.clock.now();
        if let Some(found) = self.remembered(claim, now) {
            return Ok(Some(found));
        }
        let id = claim.access_key_id.clone();
        let row = self
            .catalog
            .glance(move |tx| access_keys::get(tx, &id))
            .await?;
        let Some(row) = row.filter(access_keys::AccessKey::is_active) else {
            self.lock().remove(&claim.access_key_id);
            return Ok(None);
        };
        let secret = self
            .master_key
            .open(SECRET_PURPOSE, &claim.access_key_id, &row.sealed_secret)
            .map_err(|error| Fault::internal(&error))?;
        let secret = Zeroizing::new(String::from_utf8_lossy(&secret).into_owned());
        let key = SigningKey::derive(&secret, &claim.scope);
        let mut known = self.lock();
        if REMEMBERED_MAX <= known.len() {
            known.clear();
        }
        known.insert(
            claim.access_key_id.clone(),
            Known {
                account: row.account.clone(),
                secret,
                read_at: now,
                signing: Some((claim.scope.clone(), key.clone())),
            },
        );
        Ok(Some((row.account, key)))
    }

    fn remembered(&self, claim: &Claim, now: Timestamp) -> Option<(Account, SigningKey)> {
        let mut known = self.lock();
        let entry = known.get_mut(&claim.access_key_id)?;
        if !now.is_within(ROW_LIFE, entry.read_at) {
            return None;
        }
        if let Some((scope, key)) = &entry.signing
            && *scope == claim.scope
        {
            return Some((entry.account.clone(), key.clone()));
        }
        let key = SigningKey::derive(&entry.secret, &claim.scope);
        entry.signing = Some((claim.scope.clone(), key.clone()));
        Some((entry.account.clone(), key))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dev mode: twelve digits as the access key select the account; nothing is checked.
    fn believe(&self, request: &RawRequest) -> Proof {
        let credential = sigv4::credential_hint(request);
        let access_key_id = credential
            .as_ref()
            .map(|(id, _)| id.clone())
            .unwrap_or_default();
        let account = access_key_id
            .parse()
            .unwrap_or_else(|_| self.default_account.clone());
        Proof {
            caller: Caller {
                account,
                access_key_id,
            },
            scope: credential.and_then(|(_, scope)| scope),
            presigned: false,
        }
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

impl From<AuthFault> for Fault {
    fn from(fault: AuthFault) -> Self {
        let code = match fault.code() {
            "MissingAuthenticationToken" => Code::MissingAuthenticationToken,
            "InvalidClientTokenId" => Code::InvalidClientTokenId,
            "IncompleteSignature" => Code::IncompleteSignature,
            _ => Code::SignatureDoesNotMatch,
        };
        Self::new(code, fault.message())
    }
}
