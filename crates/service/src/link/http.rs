//! The side of a link that asks: a source region that another deployment hosts.
//!
//! It does not believe more of an answer than the peer key proves, and nothing of an object
//! before the vault has checked its hash.
use std::{fmt, time::Duration};

use bytes::Bytes;
use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use futures_util::future::BoxFuture;

use model::{Account, Arn, ArnKind, Region, limits};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;
use vault::{
    Copied, CopyJob, DataKey, ObjectId, Observer, Origin, PIECE_BYTES_MAX, ReadFrom, VaultError,
};

use super::{
    FetchRequest, Link,
    message::{
        Claims, Hello, KeyAsk, KeyGiven, ObjectAsk, Offer, Refusal, TicketAsk, VERSIONS, Welcome,
        name_of, path,
    },
    peer::{ANSWER_HEADER, Covered, Envelope, HEADER, Peer, is_answer},
    sealed::{Receiver, Sealed, Transcript},
    transcript_parts,
};
use crate::{
    context::ServiceContext,
    fault::{Code, Fault},
};

/// The largest answer that is no piece of an object, bytes.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// A piece is asked for again for so long before the job's try ends; each try goes on where the
/// one before was.
const PATIENCE: Duration = Duration::from_secs(180);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A source region of another deployment, as one region here sees it.
#[derive(Debug)]
pub struct RemoteRegion<'a> {
    context: &'a ServiceContext,
    peer: &'a Peer,
    here: &'a Region,
    there: &'a Region,
}

enum Failed {
    /// It may work later.
    Unreachable(String),
    /// The peer's word, proved to be its.
    Refused(Fault),
}

impl<'a> RemoteRegion<'a> {
    /// The peer that hosts `there`, if another deployment does.
    pub fn of(context: &'a ServiceContext, here: &'a Region, there: &'a Region) -> Option<Self> {
        let peer = context.settings.peers.get(there)?;
        Some(Self {
            context,
            peer,
            here,
            there,
        })
    }

    async fn exchange(
        &self,
        path: &str,
        body: Bytes,
        covered: Covered,
        body_bytes_max: usize,
    ) -> Result<Bytes, Failed> {
        let envelope = Envelope {
            from: self.here.clone(),
            to: self.there.clone(),
            time: self.context.now().seconds(),
            nonce: HEXLOWER.encode(self.context.entropy.uuid().as_bytes()),
        };
        let (header, mac) = envelope.seal(&self.peer.key, path, &body);
        let answer = self
            .context
            .peer_transport
            .post(self.peer, path, (HEADER, header), body, body_bytes_max)
            .await
            .map_err(|error| Failed::Unreachable(error.to_string()))?;
        let proof = answer.headers.get(ANSWER_HEADER);
        let proof = proof
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let (status, body) = (answer.status, answer.body);
        let covered = if status == 200 {
            covered
        } else {
            Covered::Body
        };
        if !is_answer(&self.peer.key, &mac, status, &body, covered, proof) {
            let said = serde_json::from_slice::<Refusal>(&body).map(|r| limits::echo(&r.message));
            return Err(Failed::Unreachable(format!(
                "{} does not prove with its answers (status {status}) that it has this link's peer key{}",
                self.peer.endpoint,
                said.map_or(String::new(), |said| format!("; it says: {said}"))
            )));
        }
        if status == 200 {
            return Ok(body);
        }
        let refusal: Refusal = serde_json::from_slice(&body)
            .map_err(|error| Failed::Unreachable(format!("its refusal does not read: {error}")))?;
        match Code::named(&refusal.code) {
            Some(code) if status < 500 => Err(Failed::Refused(Fault::new(
                code,
                limits::echo(&refusal.message),
            ))),
            _ => Err(Failed::Unreachable(limits::echo(&refusal.message))),
        }
    }

    async fn ask<Q: Serialize, A: DeserializeOwned>(
        &self,
        path: &str,
        question: &Q,
    ) -> Result<A, Fault> {
        let body = serde_json::to_vec(question).expect("the link's messages serialize");
        let answered = self
            .exchange(path, body.into(), Covered::Body, ANSWER_BYTES_MAX)
            .await;
        let body = answered.map_err(|failed| match failed {
            Failed::Refused(fault) => fault,
            Failed::Unreachable(why) => self.unreachable(&why),
        })?;
        serde_json::from_slice(&body)
            .map_err(|error| self.unreachable(&format!("its answer does not read: {error}")))
    }

    /// Why it is so is for the operator's log: it names addresses and settings.
    fn unreachable(&self, why: &str) -> Fault {
        tracing::warn!(region = %self.there, peer = self.peer.endpoint, why, "a peer cannot be used");
        Fault::new(
            Code::ServiceUnavailable,
            format!(
                "Region {} is hosted by another deployment, which cannot be used now. \
                 Nothing was changed: try again later.",
                self.there,
            ),
        )
    }

    /// Asks for a snapshot on the caller's behalf.
    ///
    /// # Errors
    /// The source region's fault; `ServiceUnavailable` when it cannot be asked.
    pub async fn ticket(&self, ask: &TicketAsk) -> Result<Offer, Fault> {
        let hello = Hello {
            versions: VERSIONS.to_vec(),
            release: env!("CARGO_PKG_VERSION").to_owned(),
        };
        let welcome: Welcome = self.ask(path::HELLO, &hello).await?;
        if !VERSIONS.contains(&welcome.version) {
            return Err(self.unreachable(&format!(
                "it wants version {} of the link, and this release ({}) speaks {VERSIONS:?}",
                welcome.version, hello.release
            )));
        }
        let offer: Offer = self.ask(path::TICKET, ask).await?;
        let offered = &offer.snapshot;
        let asked = ask.source.locate(ArnKind::ClusterSnapshot);
        if asked.is_none_or(|asked| asked.name != offered.name.as_str())
            || model::tag::validate(&offered.tags).is_err()
        {
            return Err(self.unreachable("it offers another snapshot than it was asked for"));
        }
        Ok(offer)
    }

    /// Redeems a ticket: the data key, for the one purpose that the target key names, and a pass.
    ///
    /// # Errors
    /// The source region's fault; `ServiceUnavailable` when it cannot be asked.
    pub async fn redeem(
        &self,
        (caller, source): (&Account, &Arn),
        offer: &Offer,
        target_key: Option<&Arn>,
    ) -> Result<(Option<DataKey>, String), Fault> {
        let receiver = Receiver::draw().map_err(|error| Fault::internal(&error))?;
        let ask = KeyAsk {
            ticket: offer.ticket.clone(),
            public: BASE64URL_NOPAD.encode(&receiver.public),
            target_key: target_key.cloned(),
        };
        let given: KeyGiven = self.ask(path::KEY, &ask).await?;
        let decode = |text: &str| BASE64URL_NOPAD.decode(text.as_bytes());
        let (Some(target), Some(public), Some(blob)) = (target_key, &given.public, &given.blob)
        else {
            return if offer.snapshot.storage_encrypted {
                Err(self.unreachable("it gives no key for an encrypted snapshot"))
            } else {
                Ok((None, given.pass))
            };
        };
        let (Ok(public), Ok(blob)) = (decode(public), decode(blob)) else {
            return Err(self.unreachable("the key that it gives does not read"));
        };
        let claims = Claims {
            id: String::new(),
            expires: 0,
            to: self.here.clone(),
            caller: caller.clone(),
            source: source.clone(),
            snapshot: offer.snapshot.uid,
            volume: offer.snapshot.volume.clone(),
            manifest: offer.snapshot.manifest,
        };
        let parts = transcript_parts(&claims, target, &offer.ticket);
        let parts: Vec<&[u8]> = parts.iter().map(String::as_bytes).collect();
        let transcript = Transcript { parts: &parts };
        let sealed = Sealed { public, blob };
        match receiver.open(sealed, &self.peer.key, transcript) {
            Ok(key) => Ok((Some(key), given.pass)),
            Err(_) => Err(self.unreachable("the key that it gives is not for this copy")),
        }
    }

    /// The link by which a pass's objects are fetched.
    pub fn link(self, pass: &'a str, observer: &'a dyn Observer) -> HttpLink<'a> {
        HttpLink {
            region: self,
            pass,
            observer,
        }
    }
}

/// Fetches a snapshot from another deployment.
pub struct HttpLink<'a> {
    region: RemoteRegion<'a>,
    pass: &'a str,
    observer: &'a dyn Observer,
}

impl Link for HttpLink<'_> {
    async fn fetch(
        &self,
        wanted: FetchRequest<'_>,
        observer: &dyn Observer,
    ) -> Result<Copied, VaultError> {
        let job = CopyJob {
            from: ReadFrom::Link(self),
            to: wanted.to,
            volume: wanted.volume,
            manifest: wanted.manifest,
            condemned_there: wanted.absent_there,
            throttle: wanted.throttle,
        };
        vault::copy(job, observer).await
    }
}

impl Origin for HttpLink<'_> {
    fn read(
        &self,
        object: ObjectId,
        start: u64,
        length: usize,
    ) -> BoxFuture<'_, Result<Bytes, VaultError>> {
        Box::pin(self.piece(object, start, length))
    }
}

impl fmt::Debug for HttpLink<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("HttpLink").field(&self.region).finish()
    }
}

impl HttpLink<'_> {
    async fn piece(
        &self,
        object: ObjectId,
        start: u64,
        length: usize,
    ) -> Result<Bytes, VaultError> {
        let ask = ObjectAsk {
            pass: self.pass.to_owned(),
            kind: name_of(object.kind).to_owned(),
            hash: object.hash,
            start,
            length: length as u64,
        };
        let body = Bytes::from(serde_json::to_vec(&ask).expect("the link's messages serialize"));
        let peer = || format!("region {}", self.region.there);
        let give_up = Instant::now() + PATIENCE;
        let mut pause = PAUSE_MIN;
        loop {
            let most = length.clamp(ANSWER_BYTES_MAX, PIECE_BYTES_MAX);
            let answered = self
                .region
                .exchange(path::OBJECT, body.clone(), Covered::Length, most)
                .await;
            match answered {
                Ok(bytes) => return Ok(bytes),
                Err(Failed::Refused(fault)) => {
                    return Err(VaultError::LinkRefused {
                        peer: peer(),
                        why: fault.message.into_owned(),
                    });
                }
                Err(Failed::Unreachable(why)) if give_up < Instant::now() => {
                    return Err(VaultError::Link { peer: peer(), why });
                }
                Err(Failed::Unreachable(why)) => {
                    tracing::debug!(%object, why, "a piece is asked for again");
                }
            }
            if self.observer.stop_requested() {
                return Err(VaultError::Stopped);
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}
