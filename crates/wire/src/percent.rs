//! Percent escapes, as forms are read and as signatures are computed.
//!
//! It does not know what the text means.
use std::fmt::Write;

/// A percent sign without two hexadecimal digits behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BadEscape;

/// Undoes form encoding: `%XX` is a byte and `+` a space.
pub(crate) fn decode(text: &str) -> Result<Vec<u8>, BadEscape> {
    decode_with(text, b' ')
}

/// Undoes the encoding of a path's part: `%XX` is a byte, and `+` is itself.
pub(crate) fn decode_path(text: &str) -> Result<Vec<u8>, BadEscape> {
    decode_with(text, b'+')
}

fn decode_with(text: &str, plus: u8) -> Result<Vec<u8>, BadEscape> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => plus,
            b'%' => match (rest.next().and_then(digit), rest.next().and_then(digit)) {
                (Some(high), Some(low)) => high << 4 | low,
                _ => return Err(BadEscape),
            },
            plain => plain,
        });
    }
    Ok(bytes)
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Escapes all but RFC 3986's unreserved characters, with upper-case digits.
pub fn encode(bytes: &[u8]) -> String {
    encode_except(bytes, |_| false)
}

/// Escapes as [`encode`] does, but leaves slashes.
pub(crate) fn encode_path(bytes: &[u8]) -> String {
    encode_except(bytes, |byte| byte == b'/')
}

fn encode_except(bytes: &[u8], plain: impl Fn(u8) -> bool) -> String {
    let mut text = String::with_capacity(bytes.len());
    for &byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) || plain(byte) {
            text.push(char::from(byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes all that is written");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_exact() {
        assert_eq!(decode("a+b%2Bc%e1%88%B4"), Ok("a b+cሴ".into()));
        assert_eq!(decode_path("a+b%2Fc"), Ok("a+b/c".into()));
        for bad in ["%", "%4", "%4g", "%+1", "a%"] {
            assert_eq!(decode(bad), Err(BadEscape), "{bad}");
        }
        assert_eq!(encode("a b/ሴ~-._*".as_bytes()), "a%20b%2F%E1%88%B4~-._%2A");
        assert_eq!(encode_path(b"/a%20b/"), "/a%2520b/");
    }
}
