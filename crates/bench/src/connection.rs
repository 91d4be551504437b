//! One kept HTTP/1.1 connection: a request out, an answer in, with as little work as can be.
//!
//! It knows answers with a length only; the servers that are measured send no others.
use std::net::SocketAddr;

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A larger answer is no answer of the actions that are measured.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// What one read may bring, bytes.
const READ_BYTES: usize = 64 << 10;

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    /// The HTTP status.
    pub(crate) status: u16,
    /// The body's length, bytes.
    pub(crate) body_bytes: usize,
}

/// A connection that is opened anew when the server closes it.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    buffer: Vec<u8>,
    /// Times it was opened.
    pub(crate) opened: u64,
}

struct Head {
    status: u16,
    bytes: usize,
    body_bytes: usize,
    closes: bool,
}

impl Connection {
    /// A connection that opens at its first request.
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self {
            address,
            stream: None,
            buffer: Vec::with_capacity(READ_BYTES),
            opened: 0,
        }
    }

    /// Opens it now, so that the first request does not pay for it.
    ///
    /// # Errors
    /// When nobody listens.
    pub(crate) async fn open(&mut self) -> anyhow::Result<()> {
        let stream = TcpStream::connect(self.address)
            .await
            .with_context(|| format!("cannot connect to {}", self.address))?;
        stream.set_nodelay(true)?;
        self.stream = Some(stream);
        self.opened += 1;
        Ok(())
    }

    /// Sends a request and reads the whole answer. With a text wanted, answers also whether the
    /// body has it.
    ///
    /// # Errors
    /// When the connection breaks, or what comes is no HTTP/1 answer with a length.
    pub(crate) async fn ask(&mut self, request: &[u8]) -> anyhow::Result<Answer> {
        if self.stream.is_none() {
            self.open().await?;
        }
        let stream = self.stream.as_mut().context("just opened")?;
        stream.write_all(request).await?;
        self.buffer.clear();
        let head = loop {
            if let Some(head) = read_head(&self.buffer)? {
                break head;
            }
            more(stream, &mut self.buffer).await?;
        };
        let whole = head.bytes + head.body_bytes;
        if ANSWER_BYTES_MAX < whole {
            bail!("an answer of {whole} bytes");
        }
        while self.buffer.len() < whole {
            more(stream, &mut self.buffer).await?;
        }
        if head.closes {
            self.stream = None;
        }
        Ok(Answer {
            status: head.status,
            body_bytes: head.body_bytes,
        })
    }

    /// The last answer as text, cut, for a message.
    pub(crate) fn last(&self) -> String {
        String::from_utf8_lossy(&self.buffer)
            .chars()
            .take(600)
            .collect()
    }
}

async fn more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> anyhow::Result<()> {
    buffer.reserve(READ_BYTES);
    if stream.read_buf(buffer).await? == 0 {
        bail!("the server closed the connection within an answer");
    }
    Ok(())
}

/// The head of an answer, once it is whole.
fn read_head(bytes: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return Ok(None);
    };
    let text = std::str::from_utf8(&bytes[..end]).context("a head that is not UTF-8")?;
    let mut lines = text.split("\r\n");
    let first = lines.next().unwrap_or_default();
    let status = first
        .split(' ')
        .nth(1)
        .and_then(|code| code.parse().ok())
        .with_context(|| format!("no HTTP status: {first}"))?;
    let mut body_bytes = None;
    let mut closes = first.starts_with("HTTP/1.0");
    for line in lines {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        if name.eq_ignore_ascii_case("content-length") {
            body_bytes = Some(value.trim().parse().context("a length that is no number")?);
        } else if name.eq_ignore_ascii_case("connection") {
            closes = value.trim().eq_ignore_ascii_case("close");
        }
    }
    Ok(Some(Head {
        status,
        bytes: end + 4,
        body_bytes: body_bytes.context("an answer without a length")?,
        closes,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_read_once_they_are_whole() {
        let whole = b"HTTP/1.1 404 Not Found\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        assert!(read_head(&whole[..20]).unwrap().is_none());
        let head = read_head(whole).unwrap().unwrap();
        assert_eq!((head.status, head.body_bytes, head.closes), (404, 3, true));
        assert_eq!(&whole[head.bytes..], b"abc");
        assert!(read_head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(read_head(b"nonsense\r\n\r\n").is_err());
    }
}
