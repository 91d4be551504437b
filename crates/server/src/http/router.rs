//! The front door: from an HTTP request to an answer, by way of the host check and the size limits.
//!
//! It does not know any action; what is not a page of its own goes to the service.
use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use api::Dispatch;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Body;
use model::limits;
use service::{
    Service,
    auth::caller::Proved,
    fault::{Code, EarlyRefusal, Fault},
};
use wire::RawRequest;

use crate::console::{self, Answer, Console};
use crate::http::{
    body::{RequestLimiter, Sending},
    buffers::{Buffer, Buffers, ROOM},
    connection_slots::{ConnectionSlots, Group, Stage, Visitor},
    content::{Content, whole},
    home_page::HomePage,
    host_check::{HostCheck, Refusal},
    metrics_page::MetricsPage,
    probes::Probe,
    response::{PLAIN_TEXT, text, typed},
};

const METRICS: &str = "/metrics";
/// The methods of pages that are only read.
const READING: &[Method] = &[Method::GET, Method::HEAD];

/// Answers requests.
pub(crate) struct Router {
    host_check: HostCheck,
    help_page: HomePage,
    metrics_page: MetricsPage,
    /// None where it is not wanted.
    console: Option<Console>,
    service: Arc<Service>,
    dispatch: Dispatch,
    limiter: RequestLimiter,
    buffers: Arc<Buffers>,
    slots: Arc<ConnectionSlots>,
    openapi: OnceLock<Bytes>,
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("host_check", &self.host_check)
            .finish_non_exhaustive()
    }
}

impl Router {
    /// A router before a service.
    pub(crate) fn new(
        host_check: HostCheck,
        help_page: HomePage,
        metrics_page: MetricsPage,
        console: Option<Console>,
        service: Arc<Service>,
        slots: Arc<ConnectionSlots>,
    ) -> Self {
        Self {
            host_check,
            help_page,
            metrics_page,
            console,
            dispatch: Dispatch::new(&service),
            service,
            limiter: RequestLimiter::new(limits::REQUEST_READ_TIMEOUT),
            buffers: Buffers::new(ROOM),
            slots,
            openapi: OnceLock::new(),
        }
    }

    /// Answers one request of a connection, and says how far it is.
    pub(crate) async fn answer<B>(
        &self,
        request: Request<B>,
        visitor: &Visitor,
        stage: &mut Stage,
    ) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let watches = watches(request.uri().path());
        let mut response = self.route(request, visitor, stage).await;
        if let Some(Proved(who)) = response.extensions_mut().remove() {
            visitor.prove(&who);
        }
        if visitor.group() == Group::Health {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        if !watches {
            let status = response.status().as_u16();
            self.service.metrics().http_response(status);
        }
        response
    }

    async fn route<B>(
        &self,
        request: Request<B>,
        visitor: &Visitor,
        stage: &mut Stage,
    ) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let (mut parts, body) = request.into_parts();
        let mut buffer = self.buffers.of(visitor);
        let has_room = !visitor.overdoes() && buffer.grow(head_bytes(&parts));
        name_host(&parts.uri, &mut parts.headers);
        let passed = match self.host_check.check(&parts.uri, &parts.headers) {
            Err(Refusal::CrossSite)
                if console::is_followed_link(&parts.method, parts.uri.path(), &parts.headers) =>
            {
                Ok(())
            }
            checked => checked,
        };
        let raw = RawRequest {
            method: parts.method,
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            headers: parts.headers,
            body: Bytes::new(),
        };
        if !has_room {
            return whole(self.refuse(&raw, EarlyRefusal::Busy.into()));
        }
        let console = self.console.as_ref().filter(|_| console::owns(&raw.path));
        if let Err(refusal) = passed {
            if console.is_some() {
                return whole(console::refused(
                    StatusCode::FORBIDDEN,
                    &refusal.to_string(),
                ));
            }
            let fault = Fault::new(Code::AccessDenied, refusal.to_string());
            return whole(self.refuse(&raw, fault));
        }
        if visitor.group() == Group::Health && Probe::at(&raw.path).is_none() {
            return whole(self.dispatch.refuse(&raw, EarlyRefusal::Busy.into()));
        }
        if let Some(console) = console {
            return self.show(console, raw, body, buffer, visitor, stage).await;
        }
        if let Some(page) = self.own_page(&raw, stage).await {
            return whole(page);
        }
        let methods = match watches(&raw.path) {
            true => READING,
            false => self.dispatch.methods(&raw),
        };
        if !methods.contains(&raw.method) {
            return whole(other_method(methods));
        }
        whole(self.hand_on(raw, body, buffer, visitor, stage).await)
    }

    /// Refuses a request of which only the head is known. Whoever watches is no caller of the API.
    fn refuse(&self, request: &RawRequest, fault: Fault) -> Response<Bytes> {
        if !watches(&request.path) {
            return self.dispatch.refuse(request, fault);
        }
        let status = StatusCode::from_u16(fault.code.status());
        text(
            status.unwrap_or(StatusCode::BAD_REQUEST),
            format!("{}\n", fault.message),
        )
    }

    /// Reads the body, when it is the request's turn, and asks the console.
    async fn show<B>(
        &self,
        console: &Console,
        mut raw: RawRequest,
        body: B,
        buffer: Buffer,
        visitor: &Visitor,
        stage: &mut Stage,
    ) -> Response<Content>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut turn = match self.limiter.take(body, sending(&raw), buffer).await {
            Ok(turn) => turn,
            Err(refusal) => {
                let fault = Fault::from(refusal);
                let status = StatusCode::from_u16(fault.code.status());
                return whole(console::refused(
                    status.unwrap_or(StatusCode::BAD_REQUEST),
                    &fault.message,
                ));
            }
        };
        stage.answering();
        raw.body = std::mem::take(&mut turn.body);
        match console.answer(&raw, visitor.address()).await {
            Answer::Page(page) => whole(page),
            Answer::Stream(stream) => stream.map(Content::Live),
        }
    }

    /// Reads the body, when it is the request's turn, and asks the service.
    async fn hand_on<B>(
        &self,
        mut raw: RawRequest,
        body: B,
        buffer: Buffer,
        visitor: &Visitor,
        stage: &mut Stage,
    ) -> Response<Bytes>
    where
        B: Body<Data = Bytes> + Unpin,
    {
        let mut turn = match self.limiter.take(body, sending(&raw), buffer).await {
            Ok(turn) => turn,
            Err(refusal) => return self.dispatch.refuse(&raw, refusal.into()),
        };
        stage.answering();
        raw.body = std::mem::take(&mut turn.body);
        if raw.method == Method::POST && raw.path.starts_with("/link/") {
            return self.service.handle_link(&raw).await;
        }
        self.dispatch.handle(raw, visitor.address()).await
    }

    async fn own_page(&self, request: &RawRequest, stage: &mut Stage) -> Option<Response<Bytes>> {
        if request.method != Method::GET && request.method != Method::HEAD {
            return None;
        }
        if let Some(probe) = Probe::at(&request.path) {
            stage.answering();
            return Some(probe.answer(&self.service).await);
        }
        match request.path.as_str() {
            METRICS => {
                stage.answering();
                let page = &self.metrics_page;
                Some(page.answer(request, &self.service, &self.slots).await)
            }
            "/openapi.json" => Some(typed(
                StatusCode::OK,
                "application/json",
                // Made once: anyone may ask for it.
                self.openapi
                    .get_or_init(|| api::openapi::text().into())
                    .clone(),
            )),
            "/" if self.help_page.is_asked(request) => Some(self.help_page.answer(request)),
            "/favicon.ico" => Some(text(StatusCode::NOT_FOUND, "there is no icon\n")),
            _ => None,
        }
    }
}

/// Whether a path is asked by those that watch the server: they come every few seconds, and would
/// be most of what is counted of requests.
fn watches(path: &str) -> bool {
    path == METRICS || Probe::at(path).is_some()
}

fn sending(request: &RawRequest) -> Sending {
    match request.headers.contains_key(header::EXPECT) {
        true => Sending::WhenAsked,
        false => Sending::AtOnce,
    }
}

/// The answer to a method that nothing here has.
fn other_method(methods: &[Method]) -> Response<Bytes> {
    let names: Vec<&str> = methods.iter().map(Method::as_str).collect();
    let mut response = typed(
        StatusCode::METHOD_NOT_ALLOWED,
        PLAIN_TEXT,
        format!("only {} are answered here\n", names.join(" and ")),
    );
    let allowed = HeaderValue::from_str(&names.join(", ")).expect("methods are tokens");
    response.headers_mut().insert(header::ALLOW, allowed);
    response
}

/// What a request's head holds.
fn head_bytes(parts: &http::request::Parts) -> usize {
    let fields = parts.headers.iter();
    let fields: usize = fields
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let target = parts.uri.path_and_query();
    fields + target.map_or(0, |target| target.as_str().len())
}

/// HTTP/2 names the host in its pseudo-header; signatures call it `host` all the same.
fn name_host(uri: &http::Uri, headers: &mut HeaderMap) {
    if headers.contains_key(header::HOST) {
        return;
    }
    if let Some(host) = uri
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok())
    {
        headers.insert(header::HOST, host);
    }
}
