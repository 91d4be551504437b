//! S3's object lock: how a bucket is asked to keep an object.
//!
//! It does not know which objects are to be kept.
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_lc_rs::digest;
use data_encoding::BASE64;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use model::Timestamp;
use object_store::{
    aws::AmazonS3,
    client::{HttpClient, HttpRequest, HttpRequestBody},
    path::Path,
    signer::{SignedUrlOptions, Signer},
};
use vault::{Keeping, Retained, Retention};

/// How long a signature is good.
const SIGNED_FOR: Duration = Duration::from_secs(300);
const CHECKSUM: HeaderName = HeaderName::from_static("x-amz-checksum-sha256");
const ALGORITHM: HeaderName = HeaderName::from_static("x-amz-sdk-checksum-algorithm");

const MODE: &str = "x-amz-object-lock-mode";
const UNTIL: &str = "x-amz-object-lock-retain-until-date";

/// Asks a bucket.
///
/// It is asked whether it has object lock before anything is put: a store that does not know the question
/// about retention would take the answer for the object.
#[derive(Debug)]
pub(crate) struct ObjectLock {
    store: Arc<AmazonS3>,
    client: HttpClient,
    /// Whether the bucket was seen to have it, which it keeps for good.
    is_enabled: AtomicBool,
}

impl Retention for ObjectLock {
    fn keep<'a>(&'a self, path: &'a Path, until: Timestamp) -> Keeping<'a> {
        Box::pin(async move {
            if !self.is_enabled().await? {
                return Ok(Retained::NoLock);
            }
            let until = to_the_second(until);
            if self.kept(path).await?.is_none_or(|already| already < until) {
                self.put(path, &until).await?;
            }
            Ok(Retained::Kept)
        })
    }
}

/// A moment as S3 takes it, rounded up; such texts of one form are in the order of their moments.
fn to_the_second(at: Timestamp) -> String {
    let text = at.plus(Duration::from_micros(999_999)).to_rfc3339_micros();
    let whole = text.split('.').next().unwrap_or_default();
    format!("{whole}Z")
}

/// An answer's head and text.
type Answer = (StatusCode, HeaderMap, String);

impl ObjectLock {
    pub(crate) fn new(store: Arc<AmazonS3>, client: HttpClient) -> Self {
        Self {
            store,
            client,
            is_enabled: AtomicBool::new(false),
        }
    }

    async fn is_enabled(&self) -> object_store::Result<bool> {
        if self.is_enabled.load(Ordering::Relaxed) {
            return Ok(true);
        }
        let bucket = Path::default();
        let options = SignedUrlOptions::default().with_query([("object-lock", "")]);
        let answer = self.ask(Method::GET, &bucket, options, None).await?;
        let enabled = has_lock(&answer).ok_or_else(|| unlike(&bucket, &answer))?;
        self.is_enabled.store(enabled, Ordering::Relaxed);
        Ok(enabled)
    }

    /// Until when nobody deletes an object, or shortens that.
    async fn kept(&self, path: &Path) -> object_store::Result<Option<String>> {
        let options = SignedUrlOptions::default();
        let answer = self.ask(Method::HEAD, path, options, None).await?;
        match answer.0.is_success() {
            true => Ok(until_of(&answer.1)),
            false => Err(unlike(path, &answer)),
        }
    }

    async fn put(&self, path: &Path, until: &str) -> object_store::Result<()> {
        let body = format!(
            "<Retention xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Mode>COMPLIANCE</Mode>\
             <RetainUntilDate>{until}</RetainUntilDate></Retention>"
        );
        let sum = BASE64.encode(digest::digest(&digest::SHA256, body.as_bytes()).as_ref());
        let sum = HeaderValue::from_str(&sum).map_err(generic)?;
        let options = SignedUrlOptions::default()
            .with_query([("retention", "")])
            .with_signed_header(CHECKSUM, sum)
            .with_signed_header(ALGORITHM, HeaderValue::from_static("SHA256"));
        let answer = self.ask(Method::PUT, path, options, Some(body)).await?;
        match answer.0.is_success() {
            true => Ok(()),
            false => Err(unlike(path, &answer)),
        }
    }

    async fn ask(
        &self,
        method: Method,
        path: &Path,
        options: SignedUrlOptions,
        body: Option<String>,
    ) -> object_store::Result<Answer> {
        let url = self
            .store
            .signed_url_opts(method.clone(), path, SIGNED_FOR, &options)
            .await?;
        let body = body.map_or_else(HttpRequestBody::empty, HttpRequestBody::from);
        let mut request = HttpRequest::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = url.as_str().parse().map_err(generic)?;
        *request.headers_mut() = options.signed_headers;
        let answer = self.client.execute(request).await.map_err(generic)?;
        let (head, body) = answer.into_parts();
        let body = body.bytes().await.map_err(generic)?;
        let text = String::from_utf8_lossy(&body).into_owned();
        Ok((head.status, head.headers, text))
    }
}

fn generic(error: impl std::error::Error + Send + Sync + 'static) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: Box::new(error),
    }
}

/// An answer that does not do what was asked: a missing right, above all.
fn unlike(path: &Path, (status, _, text): &Answer) -> object_store::Error {
    let code = between(text, "Code").unwrap_or("no code");
    generic(std::io::Error::other(format!(
        "the store answers {} ({code}) about object lock of {path:?}; that needs the rights \
         s3:GetBucketObjectLockConfiguration, s3:GetObjectRetention and s3:PutObjectRetention",
        status.as_u16()
    )))
}

/// The text of an element; there is one of that name at most.
fn between<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (_, rest) = text.split_once(&format!("<{name}>"))?;
    Some(rest.split_once(&format!("</{name}>"))?.0)
}

/// Whether a bucket says that it has object lock; none: it says nothing of it.
fn has_lock((status, _, text): &Answer) -> Option<bool> {
    if status.is_success() {
        // A store that does not know the question answers another one.
        return Some(between(text, "ObjectLockEnabled") == Some("Enabled"));
    }
    let without = [
        "ObjectLockConfigurationNotFoundError",
        "NotImplemented",
        "MethodNotAllowed",
    ];
    without.contains(&between(text, "Code")?).then_some(false)
}

/// Until when an object is kept for good, by its head.
fn until_of(head: &HeaderMap) -> Option<String> {
    let text = |name| head.get(name).and_then(|value| value.to_str().ok());
    if text(MODE) != Some("COMPLIANCE") {
        return None;
    }
    text(UNTIL)?.get(..19).map(|until| format!("{until}Z"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_says_whether_it_has_object_lock() {
        let of = |status: u16, text: &str| {
            let status = StatusCode::from_u16(status).expect("a status");
            has_lock(&(status, HeaderMap::new(), text.to_owned()))
        };
        let error = |code: &str| format!("<Error><Code>{code}</Code></Error>");
        let enabled = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>";
        assert_eq!(of(200, enabled), Some(true));
        assert_eq!(
            of(200, "<ListBucketResult></ListBucketResult>"),
            Some(false)
        );
        assert_eq!(
            of(404, &error("ObjectLockConfigurationNotFoundError")),
            Some(false)
        );
        assert_eq!(of(403, &error("AccessDenied")), None);
        assert_eq!(of(500, ""), None);
    }

    #[test]
    fn an_object_says_until_when_it_is_kept() {
        let of = |mode: &'static str| {
            let mut head = HeaderMap::new();
            head.insert(MODE, HeaderValue::from_static(mode));
            head.insert(UNTIL, HeaderValue::from_static("2030-01-02T03:04:05.000Z"));
            until_of(&head)
        };
        assert_eq!(of("COMPLIANCE").as_deref(), Some("2030-01-02T03:04:05Z"));
        assert_eq!(of("GOVERNANCE"), None);
        assert_eq!(until_of(&HeaderMap::new()), None);
    }

    #[test]
    fn moments_are_rounded_up() {
        assert_eq!(to_the_second(Timestamp(1)), "1970-01-01T00:00:01Z");
        assert_eq!(to_the_second(Timestamp(1_000_000)), "1970-01-01T00:00:01Z");
    }
}
