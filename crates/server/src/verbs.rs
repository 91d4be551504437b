//! The verbs that work on a data folder beside the server: access keys and jobs.
//!
//! It does not know whether a server runs.
use std::{
    io::{self, Write},
    time::Duration,
};

use catalog::{
    Catalog, CatalogExt, access_keys,
    copy::Copied,
    jobs,
    nodes::{self, NodeState},
};
use model::{Account, Job, limits};
use serde_json::json;
use service::Mode;

use crate::{
    catalogs,
    cli::{AccessKeyVerb, CatalogVerb, Folder, JobVerb, KeyFormat, ListFormat, NodeVerb, Shared},
    credentials,
    credentials::NewAccessKey,
    data_dir::{DataDir, default_path},
    failure::Failure,
    master_key,
};

/// Rows of a list at most.
const ROWS_MAX: usize = 10_000;

/// `snapferry access-key ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn access_key(verb: AccessKeyVerb) -> Result<(), Failure> {
    match verb {
        AccessKeyVerb::Create {
            account,
            folder,
            master_key,
            format,
        } => {
            let dir = closed(&folder)?;
            let shared = folder.shared.catalog.as_ref();
            // Only serving begins a catalog: here a key is never made for one.
            let sealing_key = master_key::obtain(&dir, master_key.master_key_fd, true)?;
            let catalog = catalogs::open(&dir, shared)?;
            let key = run(async {
                if shared.is_some() {
                    catalogs::check_mode(&*catalog, Mode::Closed).await?;
                }
                master_key::check(&*catalog, &sealing_key).await?;
                Ok(credentials::create(&*catalog, &sealing_key, account).await?)
            })?;
            print(&shown_key(&key, format))
        }
        AccessKeyVerb::List {
            account,
            folder,
            format,
        } => {
            let catalog = match &folder.shared.catalog {
                Some(url) => catalogs::open_shared(url)?,
                None => catalogs::open(&closed(&folder)?, None)?,
            };
            let keys = run(async move { list_keys(&*catalog, account).await })?;
            print(&shown_keys(&keys, format))
        }
    }
}

/// `snapferry job ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn job(verb: JobVerb) -> Result<(), Failure> {
    let JobVerb::List {
        folder,
        dev,
        format,
    } = verb;
    let mode = if dev { Mode::Dev } else { Mode::Closed };
    let catalog = match &folder.shared.catalog {
        Some(url) => catalogs::open_shared(url)?,
        None => catalogs::open(&attach(&folder, mode)?, None)?,
    };
    let jobs = run(async move { Ok(catalog.read(|tx| jobs::list(tx, None, ROWS_MAX)).await?) })?;
    print(&shown_jobs(&jobs, format))
}

/// `snapferry node ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn node(verb: NodeVerb) -> Result<(), Failure> {
    let open = |shared: Shared| match &shared.catalog {
        Some(url) => Ok(catalogs::open_shared(url)?),
        None => Err(Failure::NoSharedCatalog),
    };
    match verb {
        NodeVerb::List { shared, format } => {
            let catalog = open(shared)?;
            let listed = run(async move { Ok(catalog.read(nodes::list).await?) })?;
            print(&shown_nodes(&listed, format))
        }
        NodeVerb::Drain {
            name,
            wait_seconds,
            shared,
        } => {
            let catalog = open(shared)?;
            run(async move {
                let asked = name.clone();
                if !catalog.write(move |tx| nodes::drain(tx, &asked)).await? {
                    return Err(Failure::NoSuchNode(name));
                }
                let patience = Duration::from_secs(wait_seconds);
                if patience.is_zero()
                    || catalogs::wait_until_drained(&*catalog, &name, patience).await?
                {
                    Ok(())
                } else {
                    Err(Failure::StillBusy(name))
                }
            })
        }
    }
}

/// `snapferry catalog ...`.
///
/// # Errors
/// Whatever kept it from its work.
pub(crate) fn catalog(verb: CatalogVerb) -> Result<(), Failure> {
    let CatalogVerb::Copy { from, to, format } = verb;
    let copied = run(async move { Ok(catalogs::copy(&from, &to).await?) })?;
    print(&shown_copy(&copied, format))
}

async fn list_keys(
    catalog: &dyn Catalog,
    account: Option<Account>,
) -> Result<Vec<access_keys::AccessKey>, Failure> {
    Ok(catalog
        .read(move |tx| access_keys::list(tx, account.as_ref(), ROWS_MAX))
        .await?)
}

/// The folder that is named, else the default one of a mode.
fn attach(folder: &Folder, mode: Mode) -> Result<DataDir, Failure> {
    Ok(match &folder.data {
        Some(path) => DataDir::attach(path)?,
        None => DataDir::attach(&default_path(mode)?)?,
    })
}

fn closed(folder: &Folder) -> Result<DataDir, Failure> {
    let dir = attach(folder, Mode::Closed)?;
    match dir.mode() {
        Mode::Closed => Ok(dir),
        Mode::Dev => Err(Failure::DevHasNoKeys(dir.path().to_owned())),
    }
}

fn run<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|source| Failure::Io {
            doing: "start",
            source,
        })?
        .block_on(work)
}

pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // The reader, such as `head`, has seen enough.
        Err(source) if source.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(source) => Err(Failure::Io {
            doing: "write to standard output",
            source,
        }),
        Ok(()) => Ok(()),
    }
}

fn shown_key(key: &NewAccessKey, format: KeyFormat) -> String {
    let (account, id, secret) = (&key.account, &key.id, key.secret.as_str());
    match format {
        KeyFormat::Text => format!(
            "# Access key for account {account}. The secret is shown only now.\n[{}-{account}]\naws_access_key_id = {id}\naws_secret_access_key = {secret}\n",
            credentials::PROFILE
        ),
        KeyFormat::Env => {
            format!("export AWS_ACCESS_KEY_ID={id}\nexport AWS_SECRET_ACCESS_KEY={secret}\n")
        }
        KeyFormat::Json => {
            let value = json!({ "account": account.as_str(), "access_key_id": id, "secret_access_key": secret });
            format!("{value}\n")
        }
    }
}

fn shown_keys(keys: &[access_keys::AccessKey], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &["ACCESS KEY ID", "ACCOUNT", "STATUS", "CREATED"],
            keys.iter().map(|key| {
                vec![
                    key.id.clone(),
                    key.account.to_string(),
                    key.status.as_str().to_owned(),
                    key.created_at.to_rfc3339_secs(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(keys.iter().map(|key| {
            json!({
                "access_key_id": key.id,
                "account": key.account.as_str(),
                "status": key.status.as_str(),
                "created_at": key.created_at.to_rfc3339_secs(),
            })
        })),
    }
}

/// The word for a node: one that is silent is lost, whatever it said last.
fn state_of(one: &nodes::Listed) -> &'static str {
    match one.node.state {
        NodeState::Stopped => "stopped",
        _ if limits::NODE_SILENCE <= one.silent => "lost",
        NodeState::Draining if one.leases == 0 => "drained",
        state => state.as_str(),
    }
}

fn shown_nodes(listed: &[nodes::Listed], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &[
                "NAME", "STATE", "SILENT", "CLUSTERS", "JOBS", "VERSION", "STARTED", "ENDPOINT",
            ],
            listed.iter().map(|one| {
                vec![
                    one.node.name.clone(),
                    state_of(one).to_owned(),
                    format!("{} s", one.silent.as_secs()),
                    one.clusters.to_string(),
                    one.leases.to_string(),
                    one.node.build.clone(),
                    one.node.started_at.to_rfc3339_secs(),
                    one.node.endpoint.clone(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(listed.iter().map(|one| {
            json!({
                "name": one.node.name,
                "state": state_of(one),
                "silent_millis": u64::try_from(one.silent.as_millis()).unwrap_or(u64::MAX),
                "clusters": one.clusters,
                "jobs": one.leases,
                "version": one.node.build,
                "started_at": one.node.started_at.to_rfc3339_secs(),
                "endpoint": one.node.endpoint,
            })
        })),
    }
}

fn shown_copy(copied: &[Copied], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &["TABLE", "ROWS", "CHECKSUM"],
            copied.iter().map(|one| {
                vec![
                    one.table.to_owned(),
                    one.rows.to_string(),
                    one.checksum.clone(),
                ]
            }),
        ),
        ListFormat::Json => {
            lines_of_json(copied.iter().map(
                |one| json!({ "table": one.table, "rows": one.rows, "checksum": one.checksum }),
            ))
        }
    }
}

fn shown_jobs(jobs: &[Job], format: ListFormat) -> String {
    match format {
        ListFormat::Text => table(
            &[
                "CREATED",
                "KIND",
                "STATE",
                "DONE",
                "REGION",
                "ACCOUNT",
                "SUBJECT",
                "TRIES",
                "LAST ERROR",
            ],
            jobs.iter().map(|job| {
                vec![
                    job.created_at.to_rfc3339_secs(),
                    job.kind.as_str().to_owned(),
                    job.state.as_str().to_owned(),
                    done(job),
                    job.region.to_string(),
                    job.account.to_string(),
                    job.subject.clone(),
                    job.attempts.to_string(),
                    job.error.clone().unwrap_or_default(),
                ]
            }),
        ),
        ListFormat::Json => lines_of_json(jobs.iter().map(|job| {
            json!({
                "id": job.id.to_string(),
                "kind": job.kind.as_str(),
                "state": job.state.as_str(),
                "node": job.node,
                "runner": job.lease_owner,
                "region": job.region.as_str(),
                "account": job.account.as_str(),
                "subject": job.subject,
                "attempts": job.attempts,
                "created_at": job.created_at.to_rfc3339_micros(),
                "progress": {
                    "bytes_total": job.progress.bytes_total,
                    "bytes_done": job.progress.bytes_done,
                    "bytes_shipped": job.progress.bytes_shipped,
                    "objects_shipped": job.progress.objects_shipped,
                    "bytes_held": job.progress.bytes_held,
                },
                "error": job.error,
            })
        })),
    }
}

fn done(job: &Job) -> String {
    match job.state {
        model::JobState::Done => "100%".to_owned(),
        _ if job.progress.bytes_total == 0 => String::new(),
        _ => format!("{}%", job.progress.percent()),
    }
}

/// An array with an element a line, which people and `grep` can read as well.
fn lines_of_json(values: impl Iterator<Item = serde_json::Value>) -> String {
    let lines: Vec<String> = values.map(|value| format!("  {value}")).collect();
    if lines.is_empty() {
        "[]\n".to_owned()
    } else {
        format!("[\n{}\n]\n", lines.join(",\n"))
    }
}

/// Columns as wide as their widest cell; the last one is not padded.
fn table(head: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let mut lines = vec![
        head.iter()
            .map(|cell| (*cell).to_owned())
            .collect::<Vec<_>>(),
    ];
    lines.extend(rows.map(|row| row.iter().map(|cell| one_line(cell)).collect()));
    let width = |column: usize| {
        lines
            .iter()
            .map(|line| line[column].chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let cells = line
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A cell without what would break the table or the terminal.
fn one_line(cell: &str) -> String {
    cell.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up_and_cells_stay_on_their_line() {
        let rows = vec![
            vec!["1".to_owned(), "a\nb\u{1b}".to_owned()],
            vec!["222".to_owned(), "é".to_owned()],
        ];
        assert_eq!(
            table(&["A", "LAST"], rows.into_iter()),
            "A    LAST\n1    a b\n222  é\n"
        );
    }

    #[test]
    fn a_list_is_json_also_when_it_is_empty() {
        for count in 0..3 {
            let text = lines_of_json((0..count).map(|n| json!({ "n": n })));
            let read: Vec<serde_json::Value> = serde_json::from_str(&text).expect("JSON");
            assert_eq!(read.len(), count);
        }
    }

    #[test]
    fn keys_print_in_every_format() {
        let key = NewAccessKey::draw("123456789012".parse().expect("an account")).expect("random");
        for format in [KeyFormat::Text, KeyFormat::Env, KeyFormat::Json] {
            let text = shown_key(&key, format);
            assert!(
                text.contains(&key.id) && text.contains(key.secret.as_str()),
                "{text}"
            );
        }
    }
}
