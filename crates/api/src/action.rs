//! What an API action is, and its erased form in the registry.
//!
//! An action is its input: a struct that any protocol's reader can fill, and one `run`. Its
//! output serializes to XML and JSON alike. See docs/adding/action.md.
use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use http::Response;
use model::Region;
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};
use wire::protocol::{Answer, Asked, Spoken};

use crate::schema::Shapes;
use service::{
    auth::{authenticate::Access, caller::Caller},
    context::ServiceContext,
    fault::Fault,
};

pub use crate::apis::Api;
pub use wire::protocol::{Label, Layout};

/// Everything an action may touch.
#[derive(Debug)]
pub struct ActionContext {
    /// The rooms.
    pub service: Arc<ServiceContext>,
    /// Checks signatures beside the request's own.
    pub access: Arc<Access>,
    /// Who asks.
    pub caller: Caller,
    /// The region that is asked.
    pub region: Region,
}

/// What an action answers.
pub trait Output: Serialize + JsonSchema + Send {
    /// How it looks in the JSON door's envelope.
    const LAYOUT: Layout = Layout::Plain;

    /// What that layout adds.
    fn label(&self) -> Label {
        Label::None
    }
}

impl Output for () {}

/// One API action; the input struct is the action.
pub trait Action: DeserializeOwned + JsonSchema + Send + 'static {
    /// The name on the wire.
    const NAME: &'static str;
    /// Its name where a name alone must tell it: in the JSON door and the OpenAPI document.
    const DOOR: &'static str = Self::NAME;
    /// The API it belongs to.
    const API: Api;
    /// Whether it only reads, and so may be asked by GET.
    const READS: bool = false;
    /// What it answers.
    type Output: Output;
    /// Does it.
    fn run(self, cx: &ActionContext) -> impl Future<Output = Result<Self::Output, Fault>> + Send;
}

type Reply<'a> = Pin<Box<dyn Future<Output = Result<Response<Bytes>, Fault>> + Send + 'a>>;

/// An action with its types erased, as the registry holds it.
#[derive(Debug)]
pub struct Entry {
    /// The name on the wire.
    pub name: &'static str,
    /// Its name where a name alone must tell it.
    pub door: &'static str,
    /// The API it belongs to.
    pub api: Api,
    /// Whether it only reads.
    pub reads: bool,
    /// Reads the input, runs, and writes a good answer; the text is the request's id.
    pub call: for<'a> fn(&'a Asked, &'a ActionContext, Spoken, &'a str) -> Reply<'a>,
    /// The schemas of its input and output.
    pub shapes: fn() -> Shapes,
}

/// An action's row in the registry.
pub const fn entry<A: Action>() -> Entry {
    Entry {
        name: A::NAME,
        door: A::DOOR,
        api: A::API,
        reads: A::READS,
        call: call::<A>,
        shapes: || Shapes::of::<A, A::Output>(A::Output::LAYOUT),
    }
}

fn call<'a, A: Action>(
    asked: &'a Asked,
    cx: &'a ActionContext,
    spoken: Spoken,
    request_id: &'a str,
) -> Reply<'a> {
    Box::pin(async move {
        let input = asked.input.read::<A>();
        let action = input.map_err(|error| Fault::of_input(&error, A::API.input_code(&error)))?;
        let output = action.run(cx).await?;
        Ok(spoken.success(&Answer {
            action: A::NAME,
            service: A::API.service(),
            status: asked.status,
            output: &output,
            layout: A::Output::LAYOUT,
            label: output.label(),
            request_id,
        }))
    })
}
