//! From a raw request to an answer: who asks, which action, in which form.
use std::{
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderValue, Method, Response, header};
use model::{Region, limits};
use wire::{RawRequest, query::Parameters};

use crate::{
    action::{ActionContext, Api, Entry, Form, Input},
    actions, known_actions,
};
use service::{
    Service,
    auth::{
        authenticate::{Access, Proof},
        caller::Proved,
    },
    core::Core,
    fault::{Code, Fault},
    metrics::NO_ACTION,
};

/// The action of a JSON POST to `/` that names none: the operation this door was made for.
const UNNAMED_JSON_ACTION: &str = "CopyDBClusterSnapshot";

/// Finds and runs actions.
#[derive(Debug)]
pub struct Dispatch {
    core: Arc<Core>,
    access: Arc<Access>,
}

/// How a request is written, and how its answer is to be.
struct Spoken {
    form: Form,
    json_body: bool,
}

impl Spoken {
    /// Decides by Content-Type, X-Amz-Target and Accept; see "The JSON door" in the docs.
    fn of(request: &RawRequest) -> Self {
        let text = |name: &str| {
            request
                .headers
                .get(name)
                .and_then(|value| value.to_str().ok())
                .unwrap_or_default()
                .to_ascii_lowercase()
        };
        let content_type = text("content-type");
        let accept = text("accept");
        if content_type.starts_with("application/x-amz-json-")
            || request.headers.contains_key("x-amz-target")
        {
            return Self {
                form: Form::AwsJson,
                json_body: true,
            };
        }
        let json_body =
            content_type.split(';').next().unwrap_or_default().trim() == "application/json";
        let accepts_json = accept
            .split(',')
            .any(|part| part.split(';').next().unwrap_or_default().trim() == "application/json");
        let accepts_any = accept.trim().is_empty() || accept.trim() == "*/*";
        let form = if accepts_json || (json_body && accepts_any) {
            Form::Envelope
        } else {
            Form::Xml
        };
        Self { form, json_body }
    }
}

impl Dispatch {
    /// In front of a service.
    pub fn new(service: &Service) -> Self {
        Self {
            core: service.core().clone(),
            access: service.access().clone(),
        }
    }

    /// Answers one request.
    pub async fn handle(&self, request: RawRequest) -> Response<Bytes> {
        let request_id = self.core.entropy.uuid().to_string();
        let spoken = Spoken::of(&request);
        let begun = Instant::now();
        let (mut proved, mut called) = (None, None);
        let (name, result) = self
            .answer(&request, &spoken, &request_id, &mut proved, &mut called)
            .await;
        self.count(called, &result, begun.elapsed());
        match &result {
            Ok(_) => tracing::debug!(%request_id, action = name, "answered"),
            Err((_, fault)) => {
                tracing::info!(%request_id, action = name, fault = fault.code.as_str(), why = %fault.message, "refused");
            }
        }
        let mut response = match result {
            Ok(body) => reply(200, spoken.form, body, &request_id),
            Err((api, fault)) => fault_response(&fault, spoken.form, api, &request_id),
        };
        if let Some(proved) = proved {
            response.extensions_mut().insert(proved);
        }
        response
    }

    fn count(
        &self,
        called: Option<&'static Entry>,
        result: &Result<String, (Api, Fault)>,
        took: Duration,
    ) {
        let fault = result.as_ref().err();
        let api = called.map(|entry| entry.api).or(fault.map(|(api, _)| *api));
        let action = called.map_or(NO_ACTION, |entry| entry.name);
        let code = fault.map(|(_, fault)| fault.code.as_str());
        let metrics = &self.core.metrics;
        metrics.request(api.unwrap_or(Api::Rds).as_str(), action, code, took);
    }

    async fn answer(
        &self,
        request: &RawRequest,
        spoken: &Spoken,
        request_id: &str,
        proved: &mut Option<Proved>,
        called: &mut Option<&'static Entry>,
    ) -> (String, Result<String, (Api, Fault)>) {
        let host = HostLabels::of(request);
        let found = self.find(request, spoken, &host, proved).await;
        let (proof, entry, input) = match found {
            Ok(found) => found,
            Err((name, api, fault)) => return (name, Err((api, fault))),
        };
        *called = Some(entry);
        let name = entry.name.to_owned();
        let run = async {
            if request.method == Method::GET && !entry.reads && !proof.presigned {
                return Err(Fault::new(
                    Code::InvalidAction,
                    format!(
                        "{} changes something and so needs POST, or a presigned URL.",
                        entry.name
                    ),
                ));
            }
            if let (Api::Kms, Some(outside)) = (entry.api, &self.core.outside_kms) {
                return Err(Fault::new(
                    Code::KmsUnsupported,
                    format!(
                        "The keys of this server are held by another KMS, at {}: ask it.",
                        outside.endpoint
                    ),
                ));
            }
            let region = self.region(&proof, &host)?;
            let cx = ActionContext {
                core: self.core.clone(),
                access: self.access.clone(),
                caller: proof.caller,
                region,
            };
            (entry.call)(&input, &cx, spoken.form, request_id).await
        };
        (name, run.await.map_err(|fault| (entry.api, fault)))
    }

    /// Authenticates, then finds the action; what is not authenticated learns of no action.
    async fn find(
        &self,
        request: &RawRequest,
        spoken: &Spoken,
        host: &HostLabels,
        proved: &mut Option<Proved>,
    ) -> Result<(Proof, &'static Entry, Input), (String, Api, Fault)> {
        let targeted = target(request).and_then(|(api, _)| api);
        let guess = host
            .api
            .or(targeted)
            .unwrap_or(if spoken.form == Form::AwsJson {
                Api::Kms
            } else {
                Api::Rds
            });
        let early = |fault: Fault| (String::new(), guess, fault);
        if limits::BODY_BYTES_MAX < request.body.len() {
            return Err(early(too_large()));
        }
        let proof = self.access.authenticate(request).await.map_err(early)?;
        *proved = Some(Proved(proof.caller.account.to_string()));
        let scoped = match &proof.scope {
            Some(scope) => match Api::parse(&scope.service) {
                Some(api) => Some(api),
                None if self.core.settings.mode == service::Mode::Dev => None,
                None => {
                    return Err(early(Fault::new(
                        Code::SignatureDoesNotMatch,
                        format!(
                            "Credential should be scoped to correct service: 'rds', 'kms', 'sts' or 'tagging', not '{}'.",
                            scope.service
                        ),
                    )));
                }
            },
            None => None,
        };
        let api = scoped.or(host.api).or(targeted);
        let (name, input) =
            named(request, spoken).map_err(|fault| (String::new(), api.unwrap_or(guess), fault))?;
        let entry = actions::find(api, &name).ok_or_else(|| {
            let known = known_actions::is_known(api, &name);
            let api = api.unwrap_or(guess);
            let fault = if known {
                not_implemented(&name, spoken.form)
            } else if spoken.form == Form::AwsJson {
                Fault::new(
                    Code::KmsUnknownOperation,
                    format!("Unknown operation: {}", cut(&name)),
                )
            } else {
                Fault::new(
                    Code::InvalidAction,
                    format!(
                        "Could not find operation {} for version 2014-10-31",
                        cut(&name)
                    ),
                )
            };
            (cut(&name), api, fault)
        })?;
        Ok((proof, entry, input))
    }

    /// The region that is asked: the credential's, else the host's, else the default.
    fn region(&self, proof: &Proof, host: &HostLabels) -> Result<Region, Fault> {
        if let Some(scope) = &proof.scope {
            let known = Region::from_str(&scope.region)
                .ok()
                .filter(|region| self.core.settings.knows(region));
            return match known {
                Some(region) => self.hosted(region),
                None => Err(Fault::new(
                    Code::SignatureDoesNotMatch,
                    format!(
                        "Credential should be scoped to a valid region, not '{}'.",
                        cut(&scope.region)
                    ),
                )),
            };
        }
        let by_host = host
            .region
            .clone()
            .filter(|region| self.core.settings.knows(region));
        self.hosted(by_host.unwrap_or_else(|| self.core.settings.default_region.clone()))
    }

    /// A region, unless another deployment hosts it.
    fn hosted(&self, region: Region) -> Result<Region, Fault> {
        match self.core.settings.peers.get(&region) {
            None => Ok(region),
            Some(peer) => Err(Fault::value(format!(
                "Region {region} is hosted by another deployment: send the request to {}.",
                peer.endpoint
            ))),
        }
    }
}

fn cut(text: &str) -> String {
    text.chars().take(limits::ECHO_CHARS_MAX).collect()
}

/// What is said of an action that the API has and this server has not.
fn not_implemented(name: &str, form: Form) -> Fault {
    let code = if form == Form::AwsJson {
        Code::KmsUnsupported
    } else {
        Code::InvalidAction
    };
    Fault::new(
        code,
        format!("{name} is not implemented here. `snapferry actions` lists the actions that are."),
    )
}

fn too_large() -> Fault {
    Fault::new(
        Code::RequestEntityTooLarge,
        format!(
            "The request's body is larger than {} bytes.",
            limits::BODY_BYTES_MAX
        ),
    )
}

/// The answer to a request whose body was too large to be read.
pub fn refuse_too_large(request: &RawRequest, request_id: &str) -> Response<Bytes> {
    fault_response(&too_large(), Spoken::of(request).form, Api::Rds, request_id)
}

/// A refusal before any action was looked for, such as a foreign host or a cross-site page.
pub fn refuse(request: &RawRequest, request_id: &str, message: String) -> Response<Bytes> {
    fault_response(
        &Fault::new(Code::AccessDenied, message),
        Spoken::of(request).form,
        Api::Rds,
        request_id,
    )
}

/// The API and operation that an X-Amz-Target names; a bare operation is of no API yet.
fn target(request: &RawRequest) -> Option<(Option<Api>, &str)> {
    let text = request.headers.get("x-amz-target")?.to_str().ok()?;
    let of = |(prefix, api): (&str, Api)| Some((Some(api), text.strip_prefix(prefix)?));
    let apis = [
        ("TrentService.", Api::Kms),
        ("ResourceGroupsTaggingAPI_20170126.", Api::Tagging),
    ];
    Some(apis.into_iter().find_map(of).unwrap_or((None, text)))
}

/// The action's name and parameters.
fn named(request: &RawRequest, spoken: &Spoken) -> Result<(String, Input), Fault> {
    if spoken.form == Form::AwsJson {
        let name = target(request).map_or("", |(_, name)| name);
        if name.is_empty() {
            return Err(Fault::new(
                Code::KmsUnknownOperation,
                "The X-Amz-Target header names no operation.",
            ));
        }
        return Ok((name.to_owned(), Input::AwsJson(request.body.clone())));
    }
    if spoken.json_body {
        if request.method != Method::POST {
            return Err(Fault::new(
                Code::MalformedInput,
                "A JSON body is sent with POST.",
            ));
        }
        return Ok((named_in_json(request)?, Input::Json(request.body.clone())));
    }
    let body = match request.method {
        Method::POST => std::str::from_utf8(&request.body)
            .map_err(|_| Fault::new(Code::MalformedInput, "The body is not UTF-8."))?,
        _ => "",
    };
    let parameters = Parameters::parse(&request.query, body)?;
    let name = parameters
        .get("Action")
        .filter(|name| !name.is_empty())
        .ok_or_else(|| {
            Fault::new(
                Code::MissingAction,
                "The request must contain the parameter Action.",
            )
        })?
        .to_owned();
    Ok((name, Input::Query(parameters)))
}

/// The action of a JSON request: by `?Action=`, by its path, or by a member of the body.
fn named_in_json(request: &RawRequest) -> Result<String, Fault> {
    let query = Parameters::parse(&request.query, "")?;
    let in_query = query.get("Action").map(str::to_owned);
    let in_path = Some(request.path.trim_matches('/'))
        .filter(|path| !path.is_empty())
        .map(str::to_owned);
    let in_body = wire::json::action(&request.body)?;
    let mut names = [in_query, in_path, in_body].into_iter().flatten();
    let name = names.next();
    match (name, names.next()) {
        (Some(name), Some(other)) if name != other => Err(Fault::combination(format!(
            "The request names two actions: {} and {}.",
            cut(&name),
            cut(&other)
        ))),
        (name, _) => Ok(name.unwrap_or_else(|| UNNAMED_JSON_ACTION.to_owned())),
    }
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

fn fault_response(fault: &Fault, form: Form, api: Api, request_id: &str) -> Response<Bytes> {
    let outside = wire::Fault {
        code: fault.code.as_str().into(),
        status: fault.code.status(),
        message: fault.message.to_string(),
        sender: fault.code.status() < 500,
    };
    let body = match form {
        Form::Xml => outside.to_xml(api.namespace(), request_id),
        Form::Envelope => outside.to_envelope(fault.code.door().as_str(), request_id),
        Form::AwsJson => outside.to_aws_json(),
    };
    let mut response = reply(outside.status, form, body, request_id);
    if form == Form::AwsJson
        && let Ok(value) = HeaderValue::from_str(&outside.code)
    {
        response.headers_mut().insert("x-amzn-errortype", value);
    }
    response
}

fn reply(status: u16, form: Form, body: String, request_id: &str) -> Response<Bytes> {
    let content_type = match form {
        Form::Xml => "text/xml",
        Form::Envelope => "application/json",
        Form::AwsJson => "application/x-amz-json-1.1",
    };
    Response::builder()
        .status(status)
        .header(header::CONTENT_TYPE, content_type)
        .header("x-amzn-requestid", request_id)
        .header(header::CACHE_CONTROL, "no-store")
        .body(Bytes::from(body))
        .expect("a status of the fault table and plain headers")
}
