//! `snapferry receipt`: signed receipts of restore tests, and whether they are genuine.
//!
//! It does not know how receipts are signed.
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, Subcommand};
use clap_complete::engine::ArgValueCandidates;
use serde_json::{Value, json};
use service::{
    Mode,
    receipts::{self, Chain, PublicKey, Wrong},
};

use crate::{
    client::{Api, Remote},
    commands::{
        arguments::{Folder, Format},
        completion,
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{attach, print, run},
    },
    deployment::catalogs,
};

/// Bytes of a file with receipts at most: some twenty thousand of them.
const FILE_BYTES_MAX: u64 = 64 << 20;
/// Bytes of a file with a key at most.
const KEY_BYTES_MAX: u64 = 1 << 16;

/// Export signed receipts of restore tests, and check them anywhere
///
/// When a restore test is over, the deployment signs what was restored (the root hash of its blocks, its
/// place in the log), each check and what it found, with the hash of the receipt before it.
#[derive(Debug, Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    snapferry receipt key > receipts.pem\n  \
    snapferry receipt export > receipts.jsonl\n  \
    snapferry receipt verify receipts.jsonl --key receipts.pem"
)]
pub(crate) struct Receipt {
    #[command(subcommand)]
    verb: ReceiptVerb,
}

/// `snapferry receipt ...`.
#[derive(Debug, Subcommand)]
enum ReceiptVerb {
    /// Print the public key that receipts are checked by, as PEM
    ///
    /// It is the same on all nodes that share a catalog. Keep it where the deployment's operator cannot
    /// change it: who has the data folder can sign.
    #[command(after_help = "Examples:\n  \
        snapferry receipt key > receipts.pem")]
    Key {
        #[command(flatten)]
        beside: Beside,
    },
    /// Print signed receipts, one a line, the oldest first, over the API
    #[command(after_help = "Examples:\n  \
        snapferry receipt export > receipts.jsonl\n  \
        snapferry receipt export 0f8fad5b-d9cb-469f-a165-70867728950e > receipt.json")]
    Export {
        /// Only that of this drill
        #[arg(value_name = "ID", add = ArgValueCandidates::new(completion::drills))]
        id: Option<String>,
        #[command(flatten)]
        remote: Remote,
    },
    /// Check that receipts are genuine, and that none between them is missing
    ///
    /// It needs no server and no network: with --key no data folder either. Receipts that are missing at the
    /// end are seen with --newest, a hash that an event or `snapferry drill show` told; then the first ones
    /// must be there, too. Exits with 3 when something is wrong.
    #[command(after_help = "Examples:\n  \
        snapferry receipt verify receipts.jsonl --key receipts.pem\n  \
        snapferry receipt verify receipts.jsonl --data /srv/snapferry")]
    Verify {
        /// The receipts, one a line
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// PEM file with the public key [default: that of the data folder]
        #[arg(long, value_name = "FILE")]
        key: Option<PathBuf>,
        /// All from the first to the one of this hash must be there
        #[arg(long, value_name = "SHA256")]
        newest: Option<String>,
        #[command(flatten)]
        beside: Beside,
        #[command(flatten)]
        format: Format,
    },
}

/// The deployment whose key it is.
#[derive(Debug, Args)]
struct Beside {
    #[command(flatten)]
    folder: Folder,
    /// Look into the default data folder of `snapferry serve --dev`
    #[arg(long, conflicts_with = "data")]
    dev: bool,
}

impl Beside {
    fn key(&self) -> Result<PublicKey, Failure> {
        let mode = if self.dev { Mode::Dev } else { Mode::Closed };
        let catalog = match &self.folder.shared.catalog {
            Some(url) => catalogs::open_shared(url)?,
            None => catalogs::open(&attach(&self.folder, mode)?, None)?,
        };
        let key = run(async { Ok(receipts::public_key(&*catalog).await?) })?;
        key.ok_or(Failure::NoReceiptKey)
    }
}

impl Run for Receipt {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        match self.verb {
            ReceiptVerb::Key { beside } => print(&beside.key()?.pem())?,
            ReceiptVerb::Export { id, remote } => export(id, &remote)?,
            ReceiptVerb::Verify {
                file,
                key,
                newest,
                beside,
                format,
            } => {
                let text = read(&file, FILE_BYTES_MAX)?;
                let key = match &key {
                    None => beside.key()?,
                    Some(path) => PublicKey::from_pem(&read(path, KEY_BYTES_MAX)?)
                        .map_err(|source| Failure::BadReceiptKey(path.clone(), source))?,
                };
                let newest = newest.map(|hash| hash.to_ascii_lowercase());
                let found = receipts::verify(&text, &key, newest.as_deref());
                print(&match format {
                    Format::Json => format!("{}\n", as_json(&found, &key)),
                    Format::Text => as_text(&found, &key),
                })?;
                return Ok(Outcome::of(found.is_err()));
            }
        }
        Ok(Outcome::Done)
    }
}

fn read(path: &Path, bytes_max: u64) -> Result<String, Failure> {
    let unread = |error| Failure::Unread(path.to_owned(), error);
    let mut text = String::new();
    let file = File::open(path).map_err(unread)?;
    let read = file.take(bytes_max + 1).read_to_string(&mut text);
    if bytes_max < read.map_err(unread)? as u64 {
        let told = format!("it has more than {bytes_max} bytes");
        return Err(unread(io::Error::new(io::ErrorKind::FileTooLarge, told)));
    }
    Ok(text)
}

fn export(id: Option<String>, remote: &Remote) -> Result<(), Failure> {
    let api = Api::open(remote)?;
    let asked = id
        .iter()
        .map(|id| ("DrillIdentifier".to_owned(), json!(id)));
    let asked = asked.collect();
    let drills = run(async { Ok(api.list(api.region(), "DescribeDrills", &asked).await?) })?;
    let (lines, left_out) = in_order(&drills);
    if let (Some(id), []) = (id, lines.as_slice()) {
        return Err(Failure::NoReceipt(id));
    }
    if 0 < left_out {
        eprintln!(
            "left out: receipts older than one that the server has forgotten, {left_out} in number"
        );
    }
    print(
        &lines
            .into_iter()
            .map(|line| format!("{line}\n"))
            .collect::<String>(),
    )
}

/// The receipts of drills, the oldest first, back to the first one that is missing: the server forgets
/// drills by the time that they were planned at, and receipts are numbered by their end. How many are older.
fn in_order(drills: &[Value]) -> (Vec<String>, usize) {
    let receipts = drills.iter().filter_map(|drill| {
        let receipt = &drill["Receipt"];
        let (number, text) = (receipt["Number"].as_u64()?, receipt["Envelope"].as_str()?);
        Some((number, text.to_owned()))
    });
    let mut all: Vec<(u64, String)> = receipts.collect();
    all.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    let newest = all.first().map_or(0, |(number, _)| *number);
    let is_next = |(back, receipt): &(u64, &(u64, String))| receipt.0 + back == newest;
    let count = (0..).zip(&all).take_while(is_next).count();
    let left_out = all.len() - count;
    let mut lines: Vec<String> = all.into_iter().take(count).map(|(_, text)| text).collect();
    lines.reverse();
    (lines, left_out)
}

fn as_json(found: &Result<Vec<Chain>, Wrong>, key: &PublicKey) -> Value {
    let shown = |chain: &Chain| {
        json!({
            "whose": chain.whose, "first": chain.first, "last": chain.last,
            "successful": chain.successful, "sha256": chain.sha256,
        })
    };
    let (chains, wrong) = match found {
        Ok(chains) => (chains.iter().map(shown).collect(), None),
        Err(wrong) => (Vec::new(), Some(wrong.to_string())),
    };
    json!({"genuine": found.is_ok(), "key": key.id(), "wrong": wrong, "chains": chains})
}

fn as_text(found: &Result<Vec<Chain>, Wrong>, key: &PublicKey) -> String {
    match found {
        Err(wrong) => format!("Not genuine: {wrong}.\n"),
        Ok(chains) => {
            let line = |chain: &Chain| {
                let Chain {
                    whose,
                    first,
                    last,
                    sha256,
                    successful,
                } = chain;
                let numbers = match first == last {
                    true => format!("receipt {first}"),
                    false => format!("receipts {first} to {last}, none missing between them"),
                };
                format!(
                    "{whose}: {numbers}; {successful} SUCCESSFUL; SHA-256 of the last {sha256}\n"
                )
            };
            let lines: String = chains.iter().map(line).collect();
            format!("Genuine, signed by the key {}.\n{lines}", key.id())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_told_back_to_the_first_that_is_missing() {
        let drill =
            |number: u64| json!({"Receipt": {"Number": number, "Envelope": number.to_string()}});
        let unsigned = json!({"DrillIdentifier": "old"});
        let all = [
            drill(5),
            unsigned.clone(),
            drill(3),
            drill(6),
            drill(4),
            drill(1),
        ];
        let (lines, left_out) = in_order(&all);
        assert_eq!((lines.join(" ").as_str(), left_out), ("3 4 5 6", 1));
        assert_eq!(in_order(&[unsigned]), (Vec::new(), 0));
    }
}
