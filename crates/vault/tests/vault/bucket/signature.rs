//! Signature Version 4 of S3 requests, checked as the pages of AWS describe it.
//!
//! It shares no code with the client's side, which is `object_store`'s.
use aws_lc_rs::{digest, hmac};

use super::http::{Request, decoded};

pub(crate) const KEY_ID: &str = "AKTEST";
pub(crate) const SECRET: &str = "SKTEST";
const REGION: &str = "us-east-1";

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn mac(key: &[u8], text: &str) -> Vec<u8> {
    let key = hmac::Key::new(hmac::HMAC_SHA256, key);
    hmac::sign(&key, text.as_bytes()).as_ref().to_vec()
}

fn encoded(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~".contains(&b);
    text.bytes()
        .map(|b| match plain(b) {
            true => char::from(b).to_string(),
            false => format!("%{b:02X}"),
        })
        .collect()
}

fn canonical_query(raw: &str) -> String {
    let pairs = raw.split('&').filter(|pair| !pair.is_empty());
    let mut pairs: Vec<String> = pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| {
            let (name, value) = (decoded(name, ' '), decoded(value, ' '));
            format!("{}={}", encoded(&name), encoded(&value))
        })
        .collect();
    pairs.sort();
    pairs.join("&")
}

/// Whether the account has signed this request, its host, date and body included.
pub(crate) fn is_signed(request: &Request) -> bool {
    verified(request).is_some()
}

fn verified(request: &Request) -> Option<()> {
    let given = request.headers.get("authorization")?;
    let given = given.strip_prefix("AWS4-HMAC-SHA256 ")?;
    let field = |name: &str| {
        let fields = given.split(',').map(str::trim);
        fields.filter_map(|field| field.strip_prefix(name)).next()
    };
    let scope = field("Credential=")?
        .strip_prefix(KEY_ID)?
        .strip_prefix('/')?;
    let names: Vec<&str> = field("SignedHeaders=")?.split(';').collect();
    if !["host", "x-amz-date", "x-amz-content-sha256"]
        .iter()
        .all(|name| names.contains(name))
    {
        return None;
    }
    let (date, body) = (
        request.headers.get("x-amz-date")?,
        request.headers.get("x-amz-content-sha256")?,
    );
    let day = date.get(..8)?;
    if scope != format!("{day}/{REGION}/s3/aws4_request") || *body != sha256(&request.body) {
        return None;
    }
    let mut headers = String::new();
    for name in &names {
        let value = request.headers.get(*name)?;
        let value: Vec<&str> = value.split_whitespace().collect();
        headers += &format!("{name}:{}\n", value.join(" "));
    }
    let canonical = format!(
        "{}\n{}\n{}\n{headers}\n{}\n{body}",
        request.method,
        request.raw_path,
        canonical_query(&request.raw_query),
        names.join(";"),
    );
    let text = format!(
        "AWS4-HMAC-SHA256\n{date}\n{scope}\n{}",
        sha256(canonical.as_bytes())
    );
    let key = mac(format!("AWS4{SECRET}").as_bytes(), day);
    let key = mac(&mac(&mac(&key, REGION), "s3"), "aws4_request");
    (field("Signature=")? == hex(&mac(&key, &text))).then_some(())
}
