//! `snapferry login`: keeps an access key for the verbs over the API, once a server took it.
//!
//! It does not know how the file is read: `client` does.
use std::io::{self, BufRead, IsTerminal, Write};

use clap::Args;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use crate::{
    client::{self, Api, ApiError, Remote},
    commands::{
        failure::Failure,
        invocation::{Invocation, Outcome, Run},
        output::{print, run},
    },
};

/// Keep an access key for the verbs that speak to a server
///
/// Asks for the access key's id and secret, or reads them as two lines from standard input, tries them, and
/// writes them with endpoint and region into ~/.config/snapferry/credentials, which only you can read. --profile names
/// one of several. The variables AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY go before it, and so do AWS's own files when
/// a profile is named that they have.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    snapferry login --endpoint https://db.example:8085\n  \
    snapferry login --profile backup --region eu-west-1 < key.txt")]
pub(crate) struct Login {
    #[command(flatten)]
    remote: Remote,
}

impl Run for Login {
    fn run(self, _: &Invocation) -> Result<Outcome, Failure> {
        let (id, secret) = ask().map_err(|source| Failure::Io {
            doing: "read the access key",
            source,
        })?;
        if id.is_empty() || secret.is_empty() {
            return Err(Failure::NoKeyGiven);
        }
        let login = client::Login::of(&self.remote, id, secret).map_err(ApiError::from)?;
        let account = run(async {
            let api = Api::of(&login)?;
            let caller = api
                .call(api.region(), "GetCallerIdentity", Map::new())
                .await?;
            let account = caller.get("Account").and_then(Value::as_str);
            Ok(account.unwrap_or_default().to_owned())
        })?;
        let kept = login.keep().map_err(ApiError::from)?;
        print(&format!(
            "logged in to {} as account {account}; kept in {}\n",
            login.endpoint(),
            kept.display()
        ))?;
        Ok(Outcome::Done)
    }
}

/// An access key's id and secret: from a terminal without showing the secret, else two lines.
fn ask() -> io::Result<(String, Zeroizing<String>)> {
    let mut lines = io::stdin().lock();
    let asks = lines.is_terminal();
    if asks {
        write!(io::stderr(), "Access key id: ")?;
    }
    let mut id = String::new();
    lines.read_line(&mut id)?;
    let mut secret = Zeroizing::new(String::new());
    if asks {
        drop(lines);
        secret = Zeroizing::new(rpassword::prompt_password("Secret access key: ")?);
    } else {
        lines.read_line(&mut secret)?;
    }
    Ok((
        id.trim().to_owned(),
        Zeroizing::new(secret.trim().to_owned()),
    ))
}
