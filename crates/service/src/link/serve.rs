//! The side of a link that is asked: who may copy what is decided here, by this region's records.
//!
//! It does not believe the asking deployment more than its peer key proves: what it may ask for
//! is what the named caller could copy, and of the vault it sees only what a pass names.
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use catalog::{
    CatalogError, CatalogExt, snapshots, tombstones,
    transfer_holds::{self, Redeemed},
};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use http::{HeaderValue, Response, header};
use model::{Account, ArnKind, Region, Snapshot, SnapshotName, SnapshotStatus, Timestamp};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::Semaphore;
use tracing::{Instrument, Span, field::Empty};
use vault::{ObjectId, ObjectKind, PIECE_BYTES_MAX, Reach, VaultError};
use wire::RawRequest;

use super::{
    message::{
        Claims, Hello, KeyAsk, KeyGiven, ObjectAsk, Offer, Offered, Refusal, TicketAsk, VERSIONS,
        Welcome, name_of, path,
    },
    peer::{ANSWER_HEADER, Covered, Envelope, HEADER, Peer, answer_mac},
    sealed, transcript_parts,
};
use crate::{
    auth::{authenticate::Access, presigned},
    context::ServiceContext,
    fault::{Code, Fault},
    keys::RdsUse,
    trace,
};

/// Time between a ticket and the use of it: one request to KMS and two to the catalog.
const TICKET_LIFE: Duration = Duration::from_secs(120);
/// Time for a whole copy, with every pause of the link.
const PASS_LIFE: Duration = Duration::from_secs(7 * 24 * 3_600);
/// How far the clocks of a deployment's nodes may be apart.
const CLOCKS_APART: Duration = Duration::from_secs(15 * 60);
/// Pieces being read at once: together at most 64 MiB.
const PIECES_AT_ONCE: usize = 16;
/// Snapshots whose objects' names are remembered, and for how long: what was condemned
/// meanwhile is not read for longer than that.
const REACHES_MAX: usize = 32;
const REACH_LIFE: Duration = Duration::from_secs(60);

/// Answers other deployments.
#[derive(Debug)]
pub struct LinkServer {
    context: Arc<ServiceContext>,
    access: Arc<Access>,
    pieces: Semaphore,
    reaches: Mutex<HashMap<String, (Timestamp, Arc<Reach>)>>,
}

/// A message whose sender was proved.
struct Proved<'a> {
    from: Region,
    to: Region,
    peer: &'a Peer,
    body: &'a [u8],
}

enum Reply {
    Json(String),
    Piece(Bytes),
}

impl LinkServer {
    pub(crate) fn new(context: Arc<ServiceContext>, access: Arc<Access>) -> Self {
        Self {
            context,
            access,
            pieces: Semaphore::new(PIECES_AT_ONCE),
            reaches: Mutex::default(),
        }
    }

    /// Answers one message.
    pub async fn handle(&self, request: &RawRequest) -> Response<Bytes> {
        let id = self.context.entropy.uuid();
        let action = path::known(&request.path);
        let span = tracing::info_span!("request", %id, action, account = Empty);
        trace::join_request(&span, &request.headers);
        self.answer(request).instrument(span).await
    }

    async fn answer(&self, request: &RawRequest) -> Response<Bytes> {
        let header = request.headers.get(HEADER);
        let read = header.and_then(|value| Envelope::parse(value.to_str().ok()?));
        let Some((envelope, mac)) = read else {
            return stranger("a message of a link has the header snapferry-link, of version 1");
        };
        let peers = &self.context.settings.peers;
        let (path, body) = (request.path.as_str(), request.body.as_ref());
        let known = peers
            .get(&envelope.from)
            .filter(|_| !peers.contains_key(&envelope.to));
        let Some(peer) = known else {
            tracing::warn!(from = %envelope.from, to = %envelope.to, "a link's message between regions that are not configured so was refused");
            return stranger("these two regions have no link here");
        };
        let now = self.context.now().seconds();
        if !envelope.is_proved(&peer.key, path, body, &mac, now) {
            tracing::warn!(from = %envelope.from, sent = envelope.time, now, "a link's message without the right peer key, or with a clock that is far off, was refused");
            return stranger(
                "the peer key is not the one known here, or the clocks are over 15 minutes apart",
            );
        }
        // The peer region stands where an account does: both are who asks.
        Span::current().record("account", envelope.from.as_str());
        let request_mac: [u8; 32] = mac.try_into().expect("a verified MAC has 32 bytes");
        let message = Proved {
            from: envelope.from,
            to: envelope.to,
            peer,
            body,
        };
        let result = match path {
            path::HELLO => hello(&message),
            path::TICKET => self.ticket(&message).await,
            path::KEY => self.key(&message).await,
            path::OBJECT => self.object(&message).await,
            _ => Err(Fault::new(
                Code::InvalidAction,
                "The link has no such message.",
            )),
        };
        let (status, body, covered) = match result {
            Ok(Reply::Json(text)) => (200, Bytes::from(text), Covered::Body),
            Ok(Reply::Piece(bytes)) => (200, bytes, Covered::Length),
            Err(fault) => {
                tracing::info!(from = %message.from, path, fault = fault.code.as_str(), why = %fault.message, "a link's message was refused");
                let refusal = Refusal {
                    code: fault.code.as_str().to_owned(),
                    message: fault.message.to_string(),
                };
                (fault.code.status(), json(&refusal), Covered::Body)
            }
        };
        let proof = answer_mac(&peer.key, &request_mac, status, &body, covered);
        let mut response = answer(status, body, Some(&proof));
        let peer = crate::auth::caller::Proved(message.from.to_string());
        response.extensions_mut().insert(peer);
        response
    }

    async fn ticket(&self, message: &Proved<'_>) -> Result<Reply, Fault> {
        let ask: TicketAsk = message.read()?;
        let source = self.source(message, &ask).await?;
        if message.peer.demand_presigned_url {
            let outer = presigned::Outer {
                action: "CopyDBClusterSnapshot",
                source: ("SourceDBClusterSnapshotIdentifier", &ask.source_given),
                source_region: &message.to,
                kms_key_id: ask.kms_key_id.as_deref(),
                encrypted_source: None,
            };
            let url = ask.pre_signed_url.as_deref().ok_or_else(|| {
                Fault::combination(format!(
                    "Region {} demands a PreSignedUrl of copies to {}; SDKs make one when SourceRegion is given.",
                    message.to, message.from
                ))
            })?;
            presigned::prove(&self.access, &ask.caller, &message.from, url, &outer).await?;
        }
        let content = source.content.as_ref().ok_or_else(|| unready(&source))?;
        let claims = Claims {
            id: HEXLOWER.encode(self.context.entropy.uuid().as_bytes()),
            expires: self.context.now().plus(TICKET_LIFE).seconds(),
            to: message.from.clone(),
            caller: ask.caller,
            source: source.arn(),
            snapshot: source.uid,
            volume: content.volume.clone(),
            manifest: content.manifest,
        };
        let offer = Offer {
            ticket: self.token("ticket", &claims),
            snapshot: offered(&source, content, &claims.caller),
        };
        Ok(Reply::Json(text(&offer)))
    }

    /// The snapshot, if the caller may copy it.
    async fn source(&self, message: &Proved<'_>, ask: &TicketAsk) -> Result<Snapshot, Fault> {
        let missing = || {
            let given = model::limits::echo(&ask.source_given);
            Fault::new(
                Code::DbClusterSnapshotNotFound,
                format!("DBClusterSnapshot not found: {given}"),
            )
        };
        let wanted = ask.source.locate(ArnKind::ClusterSnapshot);
        let wanted = wanted.filter(|wanted| *wanted.region == message.to);
        let wanted = wanted.ok_or_else(missing)?;
        let name = SnapshotName::parse_existing(wanted.name).map_err(|_| missing())?;
        let (region, account) = (message.to.clone(), wanted.account.clone());
        let found = self
            .context
            .catalog
            .read(move |tx| snapshots::get(tx, &region, &account, &name))
            .await?;
        let source = found
            .map(|stored| stored.value)
            .filter(|source| source.is_open_to(&ask.caller))
            .ok_or_else(missing)?;
        if source.status != SnapshotStatus::Available {
            return Err(unready(&source));
        }
        Ok(source)
    }

    async fn key(&self, message: &Proved<'_>) -> Result<Reply, Fault> {
        let ask: KeyAsk = message.read()?;
        let claims = self.claims(message, "ticket", &ask.ticket)?;
        self.redeem(&claims).await?;
        let named = claims.source.locate(ArnKind::ClusterSnapshot);
        let named = named.filter(|named| *named.region == message.to);
        let named = named.ok_or_else(|| invalid("ticket"))?;
        let name = SnapshotName::parse_existing(named.name).map_err(|_| invalid("ticket"))?;
        let (region, account) = (message.to.clone(), named.account.clone());
        let found = self
            .context
            .catalog
            .read(move |tx| snapshots::get(tx, &region, &account, &name))
            .await?;
        // The right to it is looked at again: it may have been taken back meanwhile.
        let source = found
            .map(|stored| stored.value)
            .filter(|source| source.uid == claims.snapshot && source.is_open_to(&claims.caller))
            .ok_or_else(|| invalid("ticket"))?;
        let content = source.content.as_ref().ok_or_else(|| unready(&source))?;
        if content.manifest != claims.manifest || content.volume != claims.volume {
            return Err(invalid("ticket"));
        }
        let mut given = KeyGiven {
            pass: String::new(),
            public: None,
            blob: None,
        };
        if let Some(wrapped) = &content.wrapped_key {
            let target = ask.target_key.as_ref().ok_or_else(|| {
                Fault::value("Must specify new KMS key for cross region encrypted snapshot copy.")
            })?;
            let as_caller = RdsUse::new(&*self.context.keys, &claims.caller, &source.region);
            let data_key = as_caller.unwrap_source(wrapped).await?;
            let public = BASE64URL_NOPAD
                .decode(ask.public.as_bytes())
                .map_err(|_| invalid("public key"))?;
            let parts = transcript_parts(&claims, target, &ask.ticket);
            let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
            let transcript = sealed::Transcript { parts: &parts };
            let sealed = sealed::seal(&data_key, &public, &message.peer.key, transcript)
                .map_err(|_| invalid("public key"))?;
            given.public = Some(BASE64URL_NOPAD.encode(&sealed.public));
            given.blob = Some(BASE64URL_NOPAD.encode(&sealed.blob));
        }
        let pass = Claims {
            expires: self.context.now().plus(PASS_LIFE).seconds(),
            ..claims
        };
        given.pass = self.token("pass", &pass);
        tracing::info!(source = %pass.source, to = %pass.to, caller = %pass.caller, "a region of another deployment copies");
        Ok(Reply::Json(text(&given)))
    }

    /// Uses the ticket up, in one transaction, so that no node takes it again.
    async fn redeem(&self, claims: &Claims) -> Result<(), Fault> {
        let claims = claims.clone();
        let redeemed = self
            .context
            .catalog
            .write(move |tx| transfer_holds::redeem(tx, &claims.id, claims.named()))
            .await?;
        match redeemed {
            Redeemed::Now => Ok(()),
            Redeemed::Before => Err(invalid("ticket")),
            Redeemed::TooMany => Err(Fault::new(
                Code::ServiceUnavailable,
                "Too many copies to other deployments are under way. Try again later.",
            )),
        }
    }

    async fn object(&self, message: &Proved<'_>) -> Result<Reply, Fault> {
        let ask: ObjectAsk = message.read()?;
        let claims = self.claims(message, "pass", &ask.pass)?;
        let kind = ObjectKind::ALL
            .into_iter()
            .find(|kind| name_of(*kind) == ask.kind)
            .ok_or_else(|| Fault::value("The link has no such kind of objects."))?;
        let object = ObjectId {
            kind,
            hash: ask.hash,
        };
        let length = usize::try_from(ask.length)
            .ok()
            .filter(|length| (1..=PIECE_BYTES_MAX).contains(length))
            .ok_or_else(|| Fault::value("A piece has 1 byte to 4 MiB."))?;
        let _place = self.pieces.acquire().await;
        let read = match self.reach(&claims, &message.to).await {
            Ok(reach) => reach.read(object, ask.start, length).await,
            Err(error) => Err(error),
        };
        match read {
            Ok(bytes) => Ok(Reply::Piece(bytes)),
            Err(VaultError::Missing { .. }) => {
                self.lock().remove(&claims.id);
                Err(Fault::new(
                    Code::DbClusterSnapshotNotFound,
                    "The snapshot's bytes are no longer there, or the object is not one of them.",
                ))
            }
            Err(error) => Err(Fault::internal(&error)),
        }
    }

    /// What a pass gives access to, found anew from time to time, and held meanwhile.
    async fn reach(&self, claims: &Claims, region: &Region) -> Result<Arc<Reach>, VaultError> {
        let now = self.context.now();
        let known = self.lock().get(&claims.id).cloned();
        if let Some((found, reach)) = known
            && now.is_within(REACH_LIFE, found)
        {
            return Ok(reach);
        }
        // Held before it is looked for: what is found then stays while it is read.
        let held = claims.clone();
        let absent = self
            .context
            .catalog
            .write(move |tx| {
                transfer_holds::hold(tx, &held.id, held.named())?;
                let prefix = format!("volumes/{}/", held.volume);
                tombstones::list(tx, &held.source.region, &prefix)
            })
            .await
            .map_err(|error: CatalogError| VaultError::Link {
                peer: "the catalog".to_owned(),
                why: error.to_string(),
            })?;
        let vault = self.context.vaults.get(region)?;
        let reach = Reach::open(&vault, &claims.volume, claims.manifest, &absent).await?;
        let reach = Arc::new(reach);
        let mut reaches = self.lock();
        if REACHES_MAX <= reaches.len() {
            reaches.retain(|_, (found, _)| now.is_within(REACH_LIFE, *found));
        }
        if reaches.len() < REACHES_MAX {
            reaches.insert(claims.id.clone(), (now, Arc::clone(&reach)));
        }
        Ok(reach)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Timestamp, Arc<Reach>)>> {
        self.reaches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Claims under this deployment's master key: not even the peer can make or read them.
    fn token(&self, purpose: &'static str, claims: &Claims) -> String {
        let blob = self
            .context
            .kms
            .seal_token(purpose, text(claims).as_bytes());
        BASE64URL_NOPAD.encode(&blob)
    }

    /// What a ticket or a pass says, when it is ours, for this peer, and not over.
    fn claims(
        &self,
        message: &Proved<'_>,
        purpose: &'static str,
        token: &str,
    ) -> Result<Claims, Fault> {
        let blob = BASE64URL_NOPAD.decode(token.as_bytes()).ok();
        let opened = blob.and_then(|blob| self.context.kms.open_token(purpose, &blob));
        let claims = opened
            .and_then(|plain| serde_json::from_slice::<Claims>(&plain).ok())
            .filter(|claims| claims.to == message.from && claims.source.region == message.to)
            .ok_or_else(|| invalid(purpose))?;
        // One that lives on for longer than any is given was made by a clock that was ahead.
        let now = self.context.now();
        if !(now.seconds()..=now.plus(PASS_LIFE + CLOCKS_APART).seconds()).contains(&claims.expires)
        {
            return Err(invalid(purpose));
        }
        Ok(claims)
    }
}

impl Proved<'_> {
    fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        serde_json::from_slice(self.body).map_err(|error| {
            Fault::new(
                Code::MalformedInput,
                format!("The link's message does not read: {error}"),
            )
        })
    }
}

fn hello(message: &Proved<'_>) -> Result<Reply, Fault> {
    let hello: Hello = message.read()?;
    let common = VERSIONS.iter().filter(|v| hello.versions.contains(v)).max();
    let release = env!("CARGO_PKG_VERSION").to_owned();
    match common {
        Some(&version) => Ok(Reply::Json(text(&Welcome { version, release }))),
        None => Err(Fault::new(
            Code::ServiceUnavailable,
            format!(
                "Region {} (release {release}) speaks version {VERSIONS:?} of the link, and region {} \
                 (release {}) speaks {:?}. Upgrade the older of the two.",
                message.to, message.from, hello.release, hello.versions
            ),
        )),
    }
}

/// What a copy needs of a snapshot's record. Its tags are for its owner alone.
fn offered(source: &Snapshot, content: &model::Content, caller: &Account) -> Offered {
    let source = source.clone();
    let own = source.account == *caller;
    Offered {
        name: source.name,
        uid: source.uid,
        created_at: source.created_at,
        cluster_name: source.cluster_name,
        cluster_resource_id: source.cluster_resource_id,
        cluster_created_at: source.cluster_created_at,
        engine: source.engine,
        engine_version: source.engine_version,
        engine_mode: source.engine_mode,
        master_username: source.master_username,
        port: source.port,
        cluster_port: source.cluster_port,
        allocated_storage_gib: source.allocated_storage_gib,
        storage_type: source.storage_type,
        storage_encrypted: source.storage_encrypted,
        tags: if own { source.tags } else { Vec::new() },
        volume: content.volume.clone(),
        manifest: content.manifest,
        logical_bytes: content.logical_bytes,
        stored_bytes: content.stored_bytes,
    }
}

fn unready(source: &Snapshot) -> Fault {
    Fault::not_available("copy", source)
}

fn invalid(what: &str) -> Fault {
    Fault::new(
        Code::AccessDenied,
        format!("The link's {what} is not valid, was used already, or has expired."),
    )
}

fn text<T: Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("the link's messages serialize")
}

fn json<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(text(value))
}

/// An answer to someone who proved nothing.
fn stranger(message: &str) -> Response<Bytes> {
    let refusal = Refusal {
        code: Code::AccessDenied.as_str().to_owned(),
        message: message.to_owned(),
    };
    answer(Code::AccessDenied.status(), json(&refusal), None)
}

fn answer(status: u16, body: Bytes, proof: Option<&str>) -> Response<Bytes> {
    let mut response = Response::builder()
        .status(status)
        .header(header::CACHE_CONTROL, "no-store")
        .header(header::CONTENT_TYPE, "application/octet-stream");
    if let Some(proof) = proof.and_then(|proof| HeaderValue::from_str(proof).ok()) {
        response = response.header(ANSWER_HEADER, proof);
    }
    response
        .body(body)
        .expect("a status of the fault table and plain headers")
}
