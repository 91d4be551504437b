//! The page at `/`: what this is, and how to point clients at it. No script, no outside resource.
//!
//! It does not know what the service holds.
use std::path::{Path, PathBuf};

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::BASE64;
use http::{HeaderValue, Response, StatusCode, header};
use service::Mode;
use wire::RawRequest;

use crate::{deployment::credentials::export_lines, http::response::typed};

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#14213d;--soft:#5b6478;--line:#d9dee8;--sheet:#fff;--back:#f3f5f9;--accent:#0b6e99}\
@media(prefers-color-scheme:dark){:root{--ink:#e8ecf4;--soft:#9aa5ba;--line:#2c3548;--sheet:#171e2c;--back:#0f141f;--accent:#5cc0e8}}\
*{box-sizing:border-box}\
body{margin:0;background:var(--back);color:var(--ink);font:16px/1.55 system-ui,sans-serif}\
main{max-width:46rem;margin:0 auto;padding:3rem 1.25rem 4rem}\
h1{font-size:2rem;margin:0;letter-spacing:-.02em}\
h2{font-size:1.05rem;margin:2.2rem 0 .5rem}\
p{margin:.4rem 0 .8rem}\
.lead{color:var(--soft);font-size:1.1rem}\
.tag{display:inline-block;padding:.1rem .6rem;border:1px solid var(--line);border-radius:1rem;font-size:.85rem;color:var(--soft)}\
pre{background:var(--sheet);border:1px solid var(--line);border-left:3px solid var(--accent);border-radius:.4rem;padding:.9rem 1rem;overflow-x:auto;margin:.4rem 0}\
code{font:14px/1.5 ui-monospace,monospace}\
li{margin:.2rem 0}\
footer{margin-top:3rem;padding-top:1rem;border-top:1px solid var(--line);color:var(--soft);font-size:.9rem}";

/// The help page of one server.
#[derive(Debug)]
pub(crate) struct HomePage {
    mode: Mode,
    scheme: &'static str,
    credentials: PathBuf,
    policy: HeaderValue,
}

impl HomePage {
    /// The page of a server that is reached over `scheme`.
    pub(crate) fn new(mode: Mode, scheme: &'static str, credentials: &Path) -> Self {
        let style = BASE64.encode(digest::digest(&digest::SHA256, STYLE.as_bytes()).as_ref());
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        Self {
            mode,
            scheme,
            credentials: credentials.to_owned(),
            policy: HeaderValue::from_str(&policy).expect("plain ASCII"),
        }
    }

    /// Whether a GET of `/` asks for the page, and not for the API.
    pub(crate) fn is_asked(&self, request: &RawRequest) -> bool {
        let signed = request.headers.contains_key(header::AUTHORIZATION);
        request.query.is_empty() && !signed && !accepts(request, "application/json")
    }

    /// The page: HTML for browsers, plain text for the rest.
    pub(crate) fn answer(&self, request: &RawRequest) -> Response<Bytes> {
        // The host check let only names of ours pass.
        let host = request
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or("localhost");
        let endpoint = format!("{}://{host}", self.scheme);
        if !accepts(request, "text/html") {
            return typed(
                StatusCode::OK,
                "text/plain; charset=utf-8",
                self.text(&endpoint),
            );
        }
        let mut response = typed(
            StatusCode::OK,
            "text/html; charset=utf-8",
            self.html(&endpoint),
        );
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_SECURITY_POLICY, self.policy.clone());
        headers.insert(
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        );
        headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        response
    }

    fn mode_line(&self) -> &'static str {
        match self.mode {
            Mode::Closed => "Closed: every request is signed, and its signature is checked.",
            Mode::Dev => {
                "Dev: signatures are not checked. An access key id of twelve digits selects that account."
            }
        }
    }

    fn exports(&self, endpoint: &str) -> String {
        match self.mode {
            Mode::Closed => export_lines(endpoint, &self.credentials),
            Mode::Dev => format!(
                "export AWS_ENDPOINT_URL={endpoint}\nexport AWS_ACCESS_KEY_ID=000000000000\nexport AWS_SECRET_ACCESS_KEY=anything\nexport AWS_DEFAULT_REGION=us-east-1\n"
            ),
        }
    }

    fn text(&self, endpoint: &str) -> String {
        format!(
            "Snapferry {}: the Amazon RDS cluster snapshot API over real PostgreSQL and real storage.\n{}\n\nPoint the AWS CLI and SDKs here:\n\n{}\nThen:\n\n{AWS_CLI}\n",
            env!("CARGO_PKG_VERSION"),
            self.mode_line(),
            self.exports(endpoint),
        )
    }

    fn html(&self, endpoint: &str) -> String {
        let (mode, exports) = (self.mode_line(), escape(&self.exports(endpoint)));
        let version = env!("CARGO_PKG_VERSION");
        let (endpoint, python) = (
            escape(endpoint),
            escape(&BOTO3.replace("ENDPOINT", endpoint)),
        );
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>Snapferry</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>Snapferry</h1>\n\
             <p class=\"lead\">Snapshots of real database clusters, ferried between regions, accounts and encryption keys, behind the Amazon RDS API.</p>\n\
             <p><span class=\"tag\">{mode}</span></p>\n\
             <h2>Endpoint</h2>\n<p>RDS, KMS and STS, for every region:</p>\n<pre><code>{endpoint}</code></pre>\n\
             <h2>In a shell</h2>\n<pre><code>{exports}</code></pre>\n\
             <h2>AWS CLI</h2>\n<pre><code>{AWS_CLI}</code></pre>\n\
             <h2>boto3</h2>\n<pre><code>{python}</code></pre>\n\
             <h2>More</h2>\n<ul>\n<li><code>/healthz</code> says whether the server can work, <code>/metrics</code> how much it has done.</li>\n\
             <li><code>snapferry serve --help</code> lists the settings.</li>\n\
             <li>The project&#39;s README and <code>docs/</code> describe signing JSON with curl, backup and upgrade.</li>\n</ul>\n\
             <footer>snapferry {version}</footer>\n</main>\n</body>\n</html>\n"
        )
    }
}

const AWS_CLI: &str = "\
aws rds describe-db-cluster-snapshots
aws rds copy-db-cluster-snapshot \\
    --source-db-cluster-snapshot-identifier monday \\
    --target-db-cluster-snapshot-identifier monday-copy";

const BOTO3: &str = "\
import boto3

rds = boto3.client(\"rds\", endpoint_url=\"ENDPOINT\", region_name=\"us-east-1\")
rds.describe_db_cluster_snapshots()";

fn accepts(request: &RawRequest, content_type: &str) -> bool {
    request
        .headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|part| {
            part.split(';')
                .next()
                .unwrap_or_default()
                .trim()
                .eq_ignore_ascii_case(content_type)
        })
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, Method};

    use super::*;

    fn get(query: &str, fields: &[(header::HeaderName, &'static str)]) -> RawRequest {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(name, HeaderValue::from_static(value));
        }
        RawRequest {
            method: Method::GET,
            path: "/".to_owned(),
            query: query.to_owned(),
            headers,
            body: Bytes::new(),
        }
    }

    #[test]
    fn browsers_get_html_and_tools_get_text() {
        let page = HomePage::new(Mode::Closed, "http", Path::new("/data/<credentials>"));
        let browser = get(
            "",
            &[
                (header::HOST, "localhost:1"),
                (header::ACCEPT, "text/html,*/*;q=0.8"),
            ],
        );
        assert!(page.is_asked(&browser));
        let response = page.answer(&browser);
        let body = String::from_utf8_lossy(response.body()).into_owned();
        assert!(body.contains("http://localhost:1") && body.contains("&lt;credentials&gt;"));
        assert!(
            !body.contains("<script")
                && response
                    .headers()
                    .contains_key(header::CONTENT_SECURITY_POLICY)
        );
        let curl = get(
            "",
            &[(header::HOST, "localhost:1"), (header::ACCEPT, "*/*")],
        );
        assert!(page.is_asked(&curl));
        assert!(
            page.answer(&curl).headers()[header::CONTENT_TYPE]
                .to_str()
                .expect("ASCII")
                .starts_with("text/plain")
        );
    }

    #[test]
    fn the_api_is_left_to_the_service() {
        let page = HomePage::new(Mode::Dev, "http", Path::new("/data/credentials"));
        assert!(!page.is_asked(&get("Action=DescribeDBClusters", &[])));
        assert!(!page.is_asked(&get("", &[(header::ACCEPT, "application/json")])));
        assert!(!page.is_asked(&get("", &[(header::AUTHORIZATION, "AWS4-HMAC-SHA256 x")])));
    }
}
