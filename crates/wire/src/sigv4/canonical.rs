//! The one text that a request's signature covers.
//!
//! It does not know where the signature is, nor whose it is.
use aws_lc_rs::digest;
use data_encoding::HEXLOWER;

use super::{ALGORITHM, QUERY_SIGNATURE, fault::AuthFault, key::Scope};
use crate::{RawRequest, percent};

/// The decoded names and values of a query, in the order sent.
pub(super) type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// Splits a query as the parameter reader does, so that what is signed is what is read.
pub(super) fn pairs(query: &str) -> Result<Pairs, AuthFault> {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((percent::decode(name)?, percent::decode(value)?))
        })
        .collect::<Result<_, percent::BadEscape>>()
        .map_err(|_| AuthFault::incomplete("The query string has a broken percent escape."))
}

pub(super) fn sha256_hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, bytes).as_ref())
}

/// The string to sign. `signed_headers` are lower-case and sorted.
pub(super) fn string_to_sign(
    request: &RawRequest,
    signed_headers: &[String],
    signed_at: &str,
    scope: &Scope,
) -> Result<String, AuthFault> {
    let hash = sha256_hex(&canonical_request(request, signed_headers)?);
    Ok(format!("{ALGORITHM}\n{signed_at}\n{scope}\n{hash}"))
}

fn canonical_request(
    request: &RawRequest,
    signed_headers: &[String],
) -> Result<Vec<u8>, AuthFault> {
    let mut text = Vec::with_capacity(512);
    let mut line = |part: &[u8]| {
        text.extend_from_slice(part);
        text.push(b'\n');
    };
    line(request.method.as_str().as_bytes());
    line(canonical_path(&request.path).as_bytes());
    line(canonical_query(&request.query)?.as_bytes());
    for name in signed_headers {
        line(&canonical_header(request, name)?);
    }
    line(b"");
    line(signed_headers.join(";").as_bytes());
    text.extend_from_slice(sha256_hex(&request.body).as_bytes());
    Ok(text)
}

/// The path without dot segments and doubled slashes, encoded once more than it was sent.
fn canonical_path(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                kept.pop();
            }
            name => kept.push(name),
        }
    }
    let end = if path.ends_with('/') && !kept.is_empty() {
        "/"
    } else {
        ""
    };
    percent::encode_path(format!("/{}{end}", kept.join("/")).as_bytes())
}

/// All parameters but the signature, encoded, sorted by name and then by value.
fn canonical_query(query: &str) -> Result<String, AuthFault> {
    let mut encoded: Vec<(String, String)> = pairs(query)?
        .iter()
        .filter(|(name, _)| name != QUERY_SIGNATURE.as_bytes())
        .map(|(name, value)| (percent::encode(name), percent::encode(value)))
        .collect();
    encoded.sort_unstable();
    let lines: Vec<String> = encoded
        .into_iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    Ok(lines.join("&"))
}

/// `name:value`, several values joined with commas, runs of white space made one space.
fn canonical_header(request: &RawRequest, name: &str) -> Result<Vec<u8>, AuthFault> {
    let mut line = name.as_bytes().to_vec();
    let mut separator = b':';
    for value in request.headers.get_all(name) {
        line.push(separator);
        separator = b',';
        let words = value.as_bytes().split(u8::is_ascii_whitespace);
        for (count, word) in words.filter(|word| !word.is_empty()).enumerate() {
            if 0 < count {
                line.push(b' ');
            }
            line.extend_from_slice(word);
        }
    }
    if separator == b':' {
        return Err(AuthFault::unfit(format!(
            "'{name}' is named as a SignedHeader, but it does not exist in the HTTP request."
        )));
    }
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_normalised_and_encoded_again() {
        for (sent, canonical) in [
            ("", "/"),
            ("/", "/"),
            ("//", "/"),
            ("/./", "/"),
            ("/./example", "/example"),
            ("//example//", "/example/"),
            ("/example1/example2/../..", "/"),
            ("/example/..", "/"),
            ("/../../a", "/a"),
            ("/a%20b/", "/a%2520b/"),
            ("/example space/", "/example%20space/"),
            ("/ሴ", "/%E1%88%B4"),
        ] {
            assert_eq!(canonical_path(sent), canonical, "{sent}");
        }
    }

    #[test]
    fn queries_are_sorted_by_what_is_encoded() {
        for (sent, canonical) in [
            ("", ""),
            ("b=2&a=1&a=0", "a=0&a=1&b=2"),
            ("a&b=", "a=&b="),
            ("a=x+y&a=%7e", "a=x%20y&a=~"),
            ("a-=1&a=1", "a=1&a-=1"),
            ("k=a=b&X-Amz-Signature=0", "k=a%3Db"),
        ] {
            assert_eq!(canonical_query(sent).unwrap(), canonical, "{sent}");
        }
        assert!(canonical_query("a=%").is_err());
    }
}
