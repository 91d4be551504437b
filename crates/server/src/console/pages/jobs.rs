//! What runs: bytes, rate, time left, and a copy's end before its time.
use std::sync::Arc;

use api::{Api, Origin};
use bytes::Bytes;
use http::StatusCode;
use maud::{Markup, html};
use serde_json::{Value, json};
use tokio::sync::{Mutex, mpsc};
use wire::Parameters;

use super::snapshot;
use crate::console::{
    backend::Backend,
    format::{Standing, age, state},
    live::Look,
    rates::Rates,
    refusal::Refusal,
    sessions::SignedIn,
    shapes::{Job, Jobs},
    visit::{Done, Visit},
};
use crate::units::size;

const ACTION: &str = "DescribeJobs";
/// What can be ended before its time.
const COPY: &str = "copy-snapshot";

/// The page.
pub(super) async fn show(visit: &Visit<'_>) -> Result<Markup, Refusal> {
    let found: Jobs = visit.ask(Api::Snapferry, ACTION, json!({})).await?;
    let mut rates = Rates::default();
    rates.see(&found.jobs, visit.now());
    Ok(html! {
        h1 { "Jobs" }
        div aria-live="polite" hx-sse:connect=(visit.link("jobs/live")) hx-sse:close="over" hx-swap="innerHTML" {
            (Shown::of(visit).table(&found.jobs, &rates))
        }
        noscript { p { a href=(visit.link("jobs")) { "Look again" } } }
    })
}

/// The stream of the same, for whoever stays.
pub(super) fn watch(visit: &Visit<'_>) -> Result<mpsc::Receiver<Bytes>, Refusal> {
    let viewer = visit.backend.live.enter().ok_or_else(|| {
        let why = "As many pages are watched as this server lets; load the page again to see more.";
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, why)
    })?;
    let backend = Arc::clone(visit.backend);
    let watched = Arc::new(Watched {
        signed_in: visit.signed_in.clone(),
        region: visit.region.clone(),
        shown: Shown::of(visit),
        rates: Mutex::default(),
    });
    let cx = Arc::clone(backend.service.context());
    Ok(viewer.stream(cx, move || {
        let (backend, watched) = (Arc::clone(&backend), Arc::clone(&watched));
        async move { watched.look(&backend).await }
    }))
}

/// `DeleteDBClusterSnapshot` of a copy that is being made ends it.
pub(super) async fn cancel(visit: &Visit<'_>, fields: &Parameters) -> Result<Done, Refusal> {
    let found = snapshot::named(visit, fields.get("id")).await?;
    let id = &found.id;
    if found.status != "copying" {
        let why = format!("Nothing was ended: {id} is {} by now.", found.status);
        return Err(Refusal::new(StatusCode::CONFLICT, why));
    }
    let asked = json!({ "DBClusterSnapshotIdentifier": id });
    let _: Value = visit
        .ask(Api::Rds, "DeleteDBClusterSnapshot", asked)
        .await?;
    Ok(Done {
        next: visit.link("jobs"),
        notice: format!("The copy {id} was ended; nothing of it stays."),
    })
}

/// What one who stays sees.
struct Watched {
    signed_in: SignedIn,
    region: model::Region,
    shown: Shown,
    rates: Mutex<Rates>,
}

impl Watched {
    async fn look(&self, backend: &Backend) -> Look {
        let caller = &self.signed_in.caller;
        if !backend.sessions.lasts(&self.signed_in, backend.now()) {
            return Look::Over;
        }
        match backend.may_go_on(caller).await {
            Ok(true) => {}
            Ok(false) => return Look::Over,
            // A catalog that does not answer ends no session.
            Err(_) => return Look::Nothing,
        }
        // A read is in no record.
        let origin = Origin::default();
        let asked = backend.ask(
            (caller, &origin),
            &self.region,
            (Api::Snapferry, ACTION),
            json!({}),
        );
        let Ok(found): Result<Jobs, Refusal> = asked.await else {
            return Look::Nothing;
        };
        let mut rates = self.rates.lock().await;
        rates.see(&found.jobs, backend.now());
        Look::Shown(self.shown.table(&found.jobs, &rates))
    }
}

/// What a table needs beside the jobs.
struct Shown {
    here: String,
    token: String,
}

impl Shown {
    fn of(visit: &Visit<'_>) -> Self {
        Self {
            here: visit.link(""),
            token: visit.signed_in.token.clone(),
        }
    }

    fn table(&self, jobs: &[Job], rates: &Rates) -> Markup {
        html! {
            @if jobs.is_empty() {
                p { "Nothing runs in this region." }
            } @else {
                div class="scroll" tabindex="0" role="region" aria-label="Jobs" {
                    table {
                        thead { tr {
                            th scope="col" { "Job" }
                            th scope="col" { "Of" }
                            th scope="col" { "Done" }
                            th scope="col" { "Rate" }
                            th scope="col" { "Left" }
                            th scope="col" { span class="hidden" { "Change" } }
                        } }
                        tbody { @for job in jobs { (self.line(job, rates)) } }
                    }
                }
            }
        }
    }

    fn line(&self, job: &Job, rates: &Rates) -> Markup {
        let name = &job.source_identifier;
        let id = wire::percent_encode(name.as_bytes());
        let page = format!("{}{}?id={id}", self.here, job.source_type);
        html! {
            tr {
                th scope="row" { (job.job_type.replace('-', " ")) }
                td { a href=(page) { (name) } }
                td {
                    progress max="100" value=(job.percent_progress) aria-label={ "Progress of " (name) } {}
                    div class="soft" {
                        @match job.bytes_total {
                            0 => "not known yet",
                            total => { (size(job.bytes_done)) " of " (size(total)) ", " (job.percent_progress) " %" },
                        }
                    }
                    @if 1 < job.attempts { div { (state(Standing::Warning, "tried again")) } }
                }
                td { @if let Some(rate) = rates.of(job) { (size(rate as u64)) "/s" } }
                td { @if let Some(left) = rates.left(job) { (age(left)) } }
                td { @if job.job_type == COPY { (self.canceler(name)) } }
            }
        }
    }

    fn canceler(&self, name: &str) -> Markup {
        html! {
            form method="post" action={ (self.here) "jobs" } {
                input type="hidden" name="token" value=(self.token);
                input type="hidden" name="id" value=(name);
                button class="danger" { "Cancel" span class="hidden" { " " (name) } }
            }
        }
    }
}
