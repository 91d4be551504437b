//! Opens the bucket that `--vault s3://…` names: address, credentials, retries, timeouts.
//!
//! It does not know what is kept there.
use std::{collections::HashMap, env, fs, path::PathBuf, sync::Arc, time::Duration};

use object_store::{
    BackoffConfig, ClientOptions, RetryConfig,
    aws::{AmazonS3Builder, AmazonS3ConfigKey},
    client::{HttpConnector, ReqwestConnector},
};
use vault::{Bucket, BucketOptions};

use crate::{deployment::object_lock::ObjectLock, settings::vault_place::BucketUrl};

/// The whole of one request, its body included: 16 MiB at half a megabyte a second.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(40);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A request is tried anew for so long, with growing pauses; then the job is.
const RETRY_TIMEOUT: Duration = Duration::from_secs(120);
const RETRIES_MAX: usize = 12;
/// A credentials file is small.
const FILE_BYTES_MAX: u64 = 1 << 20;

/// Why the bucket cannot be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum S3Error {
    /// The file that AWS's variables name.
    #[error("cannot read the credentials file {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        source: std::io::Error,
    },
    /// The profile is not in the file.
    #[error("the credentials file {} has no profile {profile:?} with a key id and a secret", path.display())]
    Profile {
        /// The file.
        path: PathBuf,
        /// What was looked for.
        profile: String,
    },
    /// A setting that the client cannot use.
    #[error("the bucket cannot be used")]
    Store(#[from] object_store::Error),
    /// The first look into it failed.
    #[error("the bucket cannot be used")]
    Vault(#[from] vault::VaultError),
}

/// Opens the bucket. No request is sent yet.
///
/// Credentials: `AWS_ACCESS_KEY_ID` and its companions, else the profile (`AWS_PROFILE`) of the
/// credentials file (`AWS_SHARED_CREDENTIALS_FILE`, `~/.aws/credentials`), else a web identity,
/// a container's or the machine's role. Addresses in the environment are not read: where people
/// talk to Snapferry itself, `AWS_ENDPOINT_URL` names it.
pub(crate) fn open(
    url: &BucketUrl,
    endpoint: Option<&str>,
    virtual_host: bool,
    options: BucketOptions,
) -> Result<Bucket, S3Error> {
    let mut builder = AmazonS3Builder::new();
    for (name, value) in env::vars_os() {
        let (Some(name), Some(value)) = (name.to_str(), value.to_str()) else {
            continue;
        };
        if name.starts_with("AWS_")
            && !name.starts_with("AWS_ENDPOINT")
            && let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>()
        {
            builder = builder.with_config(key, value);
        }
    }
    if env::var_os("AWS_ACCESS_KEY_ID").is_none()
        && let Some(profile) = profile()?
    {
        builder = builder
            .with_access_key_id(&profile.key_id)
            .with_secret_access_key(&profile.secret);
        if let Some(token) = profile.token {
            builder = builder.with_token(token);
        }
    }
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    let client_options = ClientOptions::new()
        .with_timeout(REQUEST_TIMEOUT)
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_allow_http(endpoint.is_some_and(|url| url.starts_with("http://")));
    let store = builder
        .with_bucket_name(&url.bucket)
        .with_virtual_hosted_style_request(virtual_host)
        .with_client_options(client_options.clone())
        .with_retry(RetryConfig {
            backoff: BackoffConfig::default(),
            max_retries: RETRIES_MAX,
            retry_timeout: RETRY_TIMEOUT,
        })
        .build()?;
    let store = Arc::new(store);
    let client = ReqwestConnector::default().connect(&client_options)?;
    let lock = ObjectLock::new(Arc::clone(&store), client);
    Ok(Bucket::new(store, &url.prefix, options)?.with_retention(Arc::new(lock)))
}

struct Profile {
    key_id: String,
    secret: String,
    token: Option<String>,
}

/// The profile of the credentials file, when there is a file; one that is named must be there.
fn profile() -> Result<Option<Profile>, S3Error> {
    let named = env::var_os("AWS_SHARED_CREDENTIALS_FILE").map(PathBuf::from);
    let usual = || env::home_dir().map(|home| home.join(".aws/credentials"));
    let is_named = named.is_some();
    let Some(path) = named.or_else(usual) else {
        return Ok(None);
    };
    let wanted = env::var("AWS_PROFILE").ok();
    let read = fs::metadata(&path).and_then(|meta| {
        if FILE_BYTES_MAX < meta.len() {
            return Err(std::io::Error::other("larger than 1 MiB"));
        }
        fs::read_to_string(&path)
    });
    let text = match read {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !is_named => return Ok(None),
        Err(source) => return Err(S3Error::File { path, source }),
    };
    let profile = wanted.clone().unwrap_or_else(|| "default".to_owned());
    match find(&text, &profile) {
        Some(found) => Ok(Some(found)),
        None if wanted.is_none() => Ok(None),
        None => Err(S3Error::Profile { path, profile }),
    }
}

fn find(text: &str, profile: &str) -> Option<Profile> {
    let mut inside = false;
    let mut values = HashMap::new();
    for line in text.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            inside = name.trim() == profile;
        } else if inside
            && !line.starts_with(['#', ';'])
            && let Some((name, value)) = line.split_once('=')
        {
            values.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    Some(Profile {
        key_id: values.remove("aws_access_key_id")?,
        secret: values.remove("aws_secret_access_key")?,
        token: values.remove("aws_session_token"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_bucket_and_prefix() {
        let parts = |url: &str| {
            let url = url.parse::<BucketUrl>().ok()?;
            Some((url.bucket, url.prefix))
        };
        assert_eq!(parts("s3://vault"), Some(("vault".into(), "".into())));
        assert_eq!(
            parts("s3://vault/a/b/"),
            Some(("vault".into(), "a/b".into()))
        );
        for wrong in [
            "vault",
            "s3://",
            "s3:///a",
            "s3://a?b",
            "s3://a/b//c",
            "gs://a",
        ] {
            assert_eq!(parts(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn profiles_are_found_by_their_names() {
        let text = "[default]\naws_access_key_id = A\n# aws_secret_access_key = no\n\
                    aws_secret_access_key=B\n[ other ]\naws_access_key_id=C\n";
        let found = find(text, "default").expect("a whole profile");
        assert_eq!((found.key_id.as_str(), found.secret.as_str()), ("A", "B"));
        assert!(find(text, "other").is_none() && find(text, "none").is_none());
    }
}
