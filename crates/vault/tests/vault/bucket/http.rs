//! As much of HTTP/1.1 as an S3 client speaks to a server on loopback.
//!
//! It does not know what a request means.
use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
};

/// A request, read to its end.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// As it was sent.
    pub(crate) raw_path: String,
    pub(crate) raw_query: String,
    /// Decoded, without the bucket.
    pub(crate) key: String,
    pub(crate) query: BTreeMap<String, String>,
    /// By names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Bytes,
}

/// An answer.
#[derive(Debug, Clone, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Bytes,
}

/// How an answer's body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    Whole,
    /// Half of it, then the connection ends.
    Torn,
    /// In eight pieces with pauses.
    Slowly,
}

/// Percent-decoded; `+` stands for a space in queries.
pub(crate) fn decoded(text: &str, plus: char) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        match (first, behind) {
            (b'%', [a, b, behind @ ..]) => {
                let hex = [a.to_ascii_lowercase(), b.to_ascii_lowercase()];
                bytes.extend(data_encoding::HEXLOWER.decode(&hex).unwrap());
                rest = behind;
            }
            (b'+', _) => bytes.push(plus as u8),
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).unwrap()
}

impl Request {
    /// None when the client has closed the connection, or sends what is no request.
    pub(crate) async fn read(from: &mut BufReader<TcpStream>) -> Option<Self> {
        let mut line = String::new();
        from.read_line(&mut line).await.ok()?;
        let mut words = line.split_whitespace();
        let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mut headers = BTreeMap::new();
        loop {
            let mut line = String::new();
            from.read_line(&mut line).await.ok()?;
            let Some((name, value)) = line.trim_end().split_once(':') else {
                break;
            };
            headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
        }
        let length = headers.get("content-length").map_or("0", String::as_str);
        let mut body = vec![0; length.parse().ok()?];
        from.read_exact(&mut body).await.ok()?;
        let (path, query) = target.split_once('?').unwrap_or((&target, ""));
        let key = decoded(path, '+');
        let key = key.trim_start_matches('/');
        Some(Self {
            method,
            key: key.split_once('/').map_or("", |(_, key)| key).to_owned(),
            query: query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(name, value)| (decoded(name, ' '), decoded(value, ' ')))
                .collect(),
            raw_path: path.to_owned(),
            raw_query: query.to_owned(),
            headers,
            body: body.into(),
        })
    }
}

impl Answer {
    pub(crate) fn new(status: u16, body: impl Into<Bytes>) -> Self {
        Self {
            status,
            headers: vec![],
            body: body.into(),
        }
    }

    pub(crate) fn error(status: u16, code: &str) -> Self {
        Self::new(status, format!("<Error><Code>{code}</Code></Error>"))
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Writes it; false when the connection is at its end.
    pub(crate) async fn write(&self, to: &mut TcpStream, head: bool, sent: Sent) -> bool {
        let mut text = format!("HTTP/1.1 {} X\r\n", self.status);
        for (name, value) in &self.headers {
            text += &format!("{name}: {value}\r\n");
        }
        text += &format!("Content-Length: {}\r\n\r\n", self.body.len());
        let body = if head { &[][..] } else { &self.body[..] };
        let pieces: Vec<&[u8]> = match sent {
            Sent::Whole => vec![body],
            Sent::Torn => vec![&body[..body.len() / 2]],
            Sent::Slowly => body.chunks(body.len() / 8 + 1).collect(),
        };
        if to.write_all(text.as_bytes()).await.is_err() {
            return false;
        }
        for piece in pieces {
            if to.write_all(piece).await.is_err() {
                return false;
            }
            if sent == Sent::Slowly {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        }
        sent != Sent::Torn
    }
}
