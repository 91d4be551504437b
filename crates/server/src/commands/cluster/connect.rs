//! Opens a session on a cluster by its database's own client, which takes this program's place.
//!
//! It does not know the client: the engine tells how it is called.
use std::{fs, io, path::PathBuf};

use clap::Args;
use clap_complete::engine::ArgValueCandidates;
use engine::{ClientCall, ClientTarget, Profile};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use crate::{
    client::{Api, Remote},
    commands::{completion, failure::Failure, output::run},
    process::replace::{PassedFile, replace},
};

/// The authorities that a machine trusts, for clusters that show a certificate of one of them.
const MACHINE_AUTHORITIES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Open a session on a cluster by its database's own client
///
/// The client gets the cluster's address, port and master user, and checks the server's certificate by the
/// deployment's authority, which is fetched over the API. A password that RDS manages is fetched from its
/// secret and handed over in memory alone; otherwise the client asks for one, or finds it where it always does.
/// What stands after -- goes to the client.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    snapferry cluster connect orders\n  \
    snapferry cluster connect orders --database shop --user reports --reader\n  \
    snapferry cluster connect orders -- -c 'select 1'")]
pub(super) struct Connect {
    /// The cluster's name
    #[arg(value_name = "NAME", add = ArgValueCandidates::new(completion::clusters))]
    name: String,
    /// Database [default: the one that the cluster was made with]
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// User [default: the master user]
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Connect to a reader
    #[arg(long)]
    reader: bool,
    /// Authorities that the server's certificate is checked by [default: the deployment's own]
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    ca: Option<PathBuf>,
    /// Do not check the server's certificate, and do without TLS where it has none
    #[arg(long)]
    insecure: bool,
    #[command(flatten)]
    remote: Remote,
    /// For the client
    #[arg(last = true, value_name = "ARGUMENTS")]
    arguments: Vec<String>,
}

/// What is known of a cluster.
struct Found {
    profile: &'static Profile,
    host: String,
    port: u16,
    user: String,
    database: Option<String>,
    password: Option<Zeroizing<String>>,
    authorities: Option<Vec<u8>>,
}

impl Connect {
    /// Ends in the client.
    ///
    /// # Errors
    /// The API's; that there is no client.
    pub(super) fn connect(self) -> Result<(), Failure> {
        let found = run(async { self.find(&Api::open(&self.remote)?).await })?;
        let passed = |content: &[u8]| {
            PassedFile::of(content).map_err(|source| Failure::Io {
                doing: "keep a file in memory",
                source,
            })
        };
        let authorities = found.authorities.as_deref().map(passed).transpose()?;
        let password = found.password.as_deref().map(|password| {
            let content = Zeroizing::new((found.profile.client_password)(password));
            passed(content.as_bytes())
        });
        let password = password.transpose()?;
        let path = |file: &Option<PassedFile>| file.as_ref().map(PassedFile::path);
        let ClientCall {
            program,
            package,
            mut arguments,
            variables,
        } = (found.profile.client)(&ClientTarget {
            host: &found.host,
            port: found.port,
            user: &found.user,
            database: found.database.as_deref(),
            authorities: path(&authorities).as_deref(),
            password_file: path(&password).as_deref(),
        });
        arguments.extend(self.arguments);
        let files: Vec<PassedFile> = authorities.into_iter().chain(password).collect();
        let source = replace(program, &arguments, &variables, &files);
        Err(match source.kind() {
            io::ErrorKind::NotFound => Failure::NoClient { program, package },
            _ => Failure::Io {
                doing: "begin the client",
                source,
            },
        })
    }

    async fn find(&self, api: &Api) -> Result<Found, Failure> {
        let asked = Map::from_iter([("DBClusterIdentifier".to_owned(), json!(self.name))]);
        let answer = api.call(api.region(), "DescribeDBClusters", asked);
        let cluster = &answer.await?["items"][0];
        let text = |name: &str| cluster.get(name).and_then(Value::as_str);
        let unusable = || Failure::NoEndpoint {
            name: self.name.clone(),
            status: text("Status").unwrap_or("unknown").to_owned(),
        };
        let host = text(if self.reader {
            "ReaderEndpoint"
        } else {
            "Endpoint"
        });
        let port = cluster.get("Port").and_then(Value::as_u64);
        let profile = text("Engine").and_then(engine::profile);
        let (Some(host), Some(profile)) = (host, profile) else {
            return Err(unusable());
        };
        let port = port.and_then(|port| u16::try_from(port).ok());
        let master = text("MasterUsername").unwrap_or_default();
        Ok(Found {
            profile,
            host: host.to_owned(),
            port: port.unwrap_or(profile.default_port),
            user: self.user.as_deref().unwrap_or(master).to_owned(),
            database: self
                .database
                .as_deref()
                .or(text("DatabaseName"))
                .map(str::to_owned),
            password: match &self.user {
                Some(user) if user != master => None,
                _ => managed_password(api, cluster).await?,
            },
            authorities: self.authorities(api).await?,
        })
    }

    /// Whom the client is to trust; none when it is to trust anyone.
    async fn authorities(&self, api: &Api) -> Result<Option<Vec<u8>>, Failure> {
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|source| Failure::Io {
                doing: "read the authorities",
                source,
            })
        };
        match (&self.ca, self.insecure) {
            (Some(path), _) => return Ok(Some(read(path)?)),
            (None, true) => return Ok(None),
            (None, false) => {}
        }
        let answer = api.call(api.region(), "DescribeClusterAuthority", Map::new());
        let answer = answer.await?;
        match answer.get("CertificatePem").and_then(Value::as_str) {
            Some(own) => Ok(Some(own.as_bytes().to_vec())),
            // The clusters show a certificate that somebody else signed.
            None => Ok(Some(read(&PathBuf::from(MACHINE_AUTHORITIES))?)),
        }
    }
}

/// The master user's password, when RDS manages it and the caller may read its secret.
async fn managed_password(
    api: &Api,
    cluster: &Value,
) -> Result<Option<Zeroizing<String>>, Failure> {
    let Some(secret) = cluster["MasterUserSecret"]["SecretArn"].as_str() else {
        return Ok(None);
    };
    let asked = Map::from_iter([("SecretId".to_owned(), json!(secret))]);
    let answer = api.call(api.region(), "GetSecretValue", asked).await?;
    let text = answer["SecretString"].as_str().unwrap_or_default();
    let read: Value = serde_json::from_str(text).unwrap_or_default();
    let password = read.get("password").and_then(Value::as_str);
    Ok(password.map(|password| Zeroizing::new(password.to_owned())))
}
