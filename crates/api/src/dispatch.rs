//! From a raw request to an answer: who asks, and which action.
//!
//! It does not know how requests and answers are written: that is the protocols'.
use std::{net::IpAddr, str::FromStr, sync::Arc, time::Instant};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Response, header};
use model::{Account, Region, limits};
use serde_json::Value;
use tracing::{Instrument, Span, field::Empty};
use wire::{
    RawRequest,
    protocol::{Asked, Dialect, Spoken},
};

use crate::{
    action::{ActionContext, Api, Entry},
    actions,
    apis::PROTOCOLS,
    known_actions,
    recorder::{self, Answered, Origin},
};
use service::{
    Service,
    auth::{
        authenticate::{Access, Proof},
        caller::{Caller, Proved},
    },
    context::ServiceContext,
    fault::{Code, EarlyRefusal, Fault},
    outcome::{Observer, Outcome},
    trace,
};

/// Finds and runs actions.
#[derive(Debug)]
pub struct Dispatch {
    service: Arc<ServiceContext>,
    access: Arc<Access>,
}

/// What is known of a request, as it goes on.
#[derive(Default)]
struct Known {
    api: Option<Api>,
    entry: Option<&'static Entry>,
    caller: Option<Caller>,
    region: Option<Region>,
    asked: Option<Asked>,
}

impl Known {
    fn account(&self) -> Option<&Account> {
        self.caller.as_ref().map(|caller| &caller.account)
    }
}

impl Dispatch {
    /// In front of a service.
    pub fn new(service: &Service) -> Self {
        actions::RestoreDoor::open(service);
        Self {
            service: service.context().clone(),
            access: service.access().clone(),
        }
    }

    /// The methods that a request may have, by its head.
    pub fn methods(&self, request: &RawRequest) -> &'static [Method] {
        PROTOCOLS.of(request).methods()
    }

    /// Answers one request that came from an address; none when a proxy stands between.
    pub async fn handle(&self, request: RawRequest, from: Option<IpAddr>) -> Response<Bytes> {
        let request_id = self.service.entropy.uuid().to_string();
        let span = span(&request_id);
        trace::join_request(&span, &request.headers);
        let handled = async {
            let (begun, spoken) = (Instant::now(), PROTOCOLS.of(&request));
            let mut known = Known::default();
            let result = self.run(&request, spoken, &request_id, &mut known).await;
            let origin = Origin::of(&request, from);
            self.record(&origin, &request_id, &known, result.as_ref())
                .await;
            self.conclude(result, spoken, &request_id, &known, begun)
        };
        handled.instrument(span).await
    }

    /// Refuses a request of which only the head is known: a foreign host, a cross-site page, a
    /// body that is too large or does not come.
    pub fn refuse(&self, request: &RawRequest, fault: Fault) -> Response<Bytes> {
        let request_id = self.service.entropy.uuid().to_string();
        let spoken = PROTOCOLS.of(request);
        span(&request_id).in_scope(|| {
            let known = Known::default();
            self.conclude(Err(fault), spoken, &request_id, &known, Instant::now())
        })
    }

    /// Writes the answer of a request, and tells of it: here and nowhere else.
    fn conclude(
        &self,
        result: Result<Response<Bytes>, Fault>,
        spoken: Spoken,
        request_id: &str,
        known: &Known,
        begun: Instant,
    ) -> Response<Bytes> {
        self.tell(result.as_ref().err(), known, begun);
        let mut response = result.unwrap_or_else(|fault| {
            let service = known.api.map(Api::service);
            spoken.fault(&fault.on_wire(), service, request_id)
        });
        if let Some(account) = known.account() {
            response
                .extensions_mut()
                .insert(Proved(account.to_string()));
        }
        response
    }

    /// A request's log line and its count.
    fn tell(&self, fault: Option<&Fault>, known: &Known, begun: Instant) {
        match fault {
            Some(fault) => {
                tracing::info!(fault = fault.code.as_str(), why = %fault.message, "refused");
                trace::failed(fault.code.as_str());
            }
            None => tracing::debug!("answered"),
        }
        self.service.metrics.observe(&Outcome {
            api: known.api.map(Api::as_str),
            action: known.entry.map(|entry| entry.name),
            account: known.account(),
            code: fault.map(|fault| fault.code),
            took: begun.elapsed(),
        });
    }

    /// Keeps a record of a request, where it is to have one; waits for it where changes need one.
    async fn record(
        &self,
        origin: &Origin,
        request_id: &str,
        known: &Known,
        result: Result<&Response<Bytes>, &Fault>,
    ) {
        let kept = recorder::record(
            &self.service,
            &Answered {
                origin,
                request_id,
                api: known.api,
                entry: known.entry,
                caller: known.caller.as_ref(),
                region: known.region.as_ref(),
                asked: known.asked.as_ref(),
                result,
            },
        );
        if self.service.settings.audit_required
            && let Some(kept) = kept
        {
            // What was done is done: its record waits in memory, and the next change is refused.
            drop(kept.wait().await);
        }
    }

    /// Refuses a change while no record of it can be written, where that is wanted.
    async fn recordable(&self, entry: &Entry) -> Result<(), Fault> {
        if entry.reads || !self.service.settings.audit_required {
            return Ok(());
        }
        let Some(log) = &self.service.audit else {
            return Ok(());
        };
        log.check().await.map_err(|_| {
            Fault::new(
                Code::ServiceUnavailable,
                "Changes are refused while no record of them can be written. Please try again later.",
            )
        })
    }

    /// Runs an action for someone who signed in to the console: past the same checks as a request,
    /// with the same log line, count and record. `input` has the members that AWS documents, and so has
    /// the answer.
    ///
    /// # Errors
    /// The action's fault.
    pub async fn act(
        &self,
        (caller, origin): (&Caller, &Origin),
        region: &Region,
        (api, action): (Api, &str),
        input: &Value,
    ) -> Result<Value, Fault> {
        let request_id = self.service.entropy.uuid().to_string();
        let span = span(&request_id);
        let acted = async {
            let (begun, request) = (Instant::now(), in_process(action, input));
            let mut known = Known {
                api: Some(api),
                caller: Some(caller.clone()),
                ..Known::default()
            };
            Span::current().record("account", tracing::field::display(&caller.account));
            let result = self
                .run_as(caller, region, &request, &request_id, &mut known)
                .await;
            self.record(origin, &request_id, &known, result.as_ref())
                .await;
            self.tell(result.as_ref().err(), &known, begun);
            result
        };
        let response = acted.instrument(span).await?;
        serde_json::from_slice(response.body()).map_err(|error| Fault::internal(&error))
    }

    async fn run_as(
        &self,
        caller: &Caller,
        region: &Region,
        request: &RawRequest,
        request_id: &str,
        known: &mut Known,
    ) -> Result<Response<Bytes>, Fault> {
        let spoken = PROTOCOLS.of(request);
        let asked = spoken.read(request)?;
        let entry = find(&asked, spoken.dialect(), known)?;
        let asked = known.asked.insert(asked);
        self.is_ours(entry)?;
        let region = self.hosted(region.clone())?;
        known.region = Some(region.clone());
        self.recordable(entry).await?;
        let cx = self.context(caller.clone(), region);
        (entry.call)(asked, &cx, spoken, request_id).await
    }

    async fn run(
        &self,
        request: &RawRequest,
        spoken: Spoken,
        request_id: &str,
        known: &mut Known,
    ) -> Result<Response<Bytes>, Fault> {
        let host = HostLabels::of(request);
        known.api = host.api;
        if limits::BODY_BYTES_MAX < request.body.len() {
            return Err(EarlyRefusal::TooLarge.into());
        }
        // What is not authenticated learns of no action.
        let proof = self.access.authenticate(request).await?;
        let account = &proof.caller.account;
        Span::current().record("account", tracing::field::display(account));
        known.caller = Some(proof.caller.clone());
        known.api = self.scoped(&proof)?.or(host.api);
        let asked = spoken.read(request)?;
        let entry = find(&asked, spoken.dialect(), known)?;
        let asked = known.asked.insert(asked);
        if request.method == Method::GET && !entry.reads && !proof.presigned {
            return Err(Fault::new(
                Code::InvalidAction,
                format!(
                    "{} changes something and so needs POST, or a presigned URL.",
                    entry.name
                ),
            ));
        }
        self.is_ours(entry)?;
        let region = self.region(&proof, &host)?;
        known.region = Some(region.clone());
        self.recordable(entry).await?;
        let cx = self.context(proof.caller, region);
        (entry.call)(asked, &cx, spoken, request_id).await
    }

    /// Refuses what another KMS has to be asked.
    fn is_ours(&self, entry: &Entry) -> Result<(), Fault> {
        match (entry.api, &self.service.outside_kms) {
            (Api::Kms, Some(outside)) => Err(Fault::new(
                Code::KmsUnsupported,
                format!(
                    "The keys of this server are held by another KMS, at {}: ask it.",
                    outside.endpoint
                ),
            )),
            _ => Ok(()),
        }
    }

    fn context(&self, caller: Caller, region: Region) -> ActionContext {
        ActionContext {
            service: self.service.clone(),
            access: self.access.clone(),
            caller,
            region,
        }
    }

    /// The API that a credential is for.
    fn scoped(&self, proof: &Proof) -> Result<Option<Api>, Fault> {
        let Some(scope) = &proof.scope else {
            return Ok(None);
        };
        match Api::parse(&scope.service) {
            None if self.service.settings.mode == service::Mode::Closed => Err(Fault::new(
                Code::SignatureDoesNotMatch,
                format!(
                    "Credential should be scoped to correct service: one of {}, not '{}'.",
                    Api::ALL
                        .iter()
                        .map(|api| format!("'{}'", api.as_str()))
                        .collect::<Vec<_>>()
                        .join(", "),
                    scope.service
                ),
            )),
            api => Ok(api),
        }
    }

    /// The region that is asked: the credential's, else the host's, else the default.
    fn region(&self, proof: &Proof, host: &HostLabels) -> Result<Region, Fault> {
        if let Some(scope) = &proof.scope {
            let known = Region::from_str(&scope.region)
                .ok()
                .filter(|region| self.service.settings.knows(region));
            return match known {
                Some(region) => self.hosted(region),
                None => Err(Fault::new(
                    Code::SignatureDoesNotMatch,
                    format!(
                        "Credential should be scoped to a valid region, not '{}'.",
                        limits::echo(&scope.region)
                    ),
                )),
            };
        }
        let by_host = host
            .region
            .clone()
            .filter(|region| self.service.settings.knows(region));
        self.hosted(by_host.unwrap_or_else(|| self.service.settings.default_region.clone()))
    }

    /// A region, unless another deployment hosts it.
    fn hosted(&self, region: Region) -> Result<Region, Fault> {
        match self.service.settings.peers.get(&region) {
            None => Ok(region),
            Some(peer) => Err(Fault::value(format!(
                "Region {region} is hosted by another deployment: send the request to {}.",
                peer.endpoint
            ))),
        }
    }
}

/// A request for an action that came in no request, in the protocol that writes answers as they are.
fn in_process(action: &str, input: &Value) -> RawRequest {
    let mut headers = HeaderMap::new();
    let content_type = HeaderValue::from_static("application/x-amz-json-1.1");
    headers.insert(header::CONTENT_TYPE, content_type);
    if let Ok(target) = HeaderValue::from_str(action) {
        headers.insert("x-amz-target", target);
    }
    RawRequest {
        method: Method::POST,
        path: "/".to_owned(),
        query: String::new(),
        headers,
        body: input.to_string().into(),
    }
}

/// A request's span; what is not known yet is recorded as soon as it is.
fn span(request_id: &str) -> Span {
    tracing::info_span!("request", id = request_id, action = Empty, account = Empty)
}

/// The action that is asked for.
fn find(asked: &Asked, dialect: Dialect, known: &mut Known) -> Result<&'static Entry, Fault> {
    known.api = known.api.or(asked.service.and_then(Api::parse));
    let name = limits::echo(&asked.action);
    // Who asks is not known yet: a span is not named as anybody likes.
    let record = || {
        Span::current().record("action", name.as_str());
    };
    if let Some(entry) = actions::find(known.api, &asked.action) {
        record();
        (known.api, known.entry) = (Some(entry.api), Some(entry));
        return Ok(entry);
    }
    if known_actions::is_known(known.api, &asked.action) {
        record();
        return Err(Fault::new(
            Code::not_implemented(dialect),
            format!(
                "{name} is not implemented here. `snapferry actions` lists the actions that are."
            ),
        ));
    }
    let message = match dialect {
        Dialect::Query => format!("Could not find operation {name} for version 2014-10-31"),
        Dialect::Json => format!("Unknown operation: {name}"),
    };
    Err(Fault::new(Code::unknown_action(dialect), message))
}

/// What a host name says: `rds.us-east-1.amazonaws.com`.
struct HostLabels {
    api: Option<Api>,
    region: Option<Region>,
}

impl HostLabels {
    fn of(request: &RawRequest) -> Self {
        let host = request
            .headers
            .get(header::HOST)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let host = host.rsplit_once(':').map_or(host, |(name, _)| name);
        let mut labels = host.split('.');
        let api = labels.next().and_then(Api::parse);
        let region = labels.next().and_then(|label| label.parse().ok());
        Self {
            api,
            region: region.filter(|_| api.is_some()),
        }
    }
}
