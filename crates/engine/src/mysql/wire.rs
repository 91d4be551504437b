//! The part of MySQL's client protocol that sessions of the administrator's need: a greeting, statements
//! as text, answers as text.
//!
//! It believes the server nothing: what is at the other end may be any program that the cluster's user
//! put there. Packets and answers have bounds, and no password is ever sent.
//!
//! Source: "Client/Server Protocol" in MySQL's source documentation.
use std::{io, path::Path};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

/// Bytes of one packet: room is made for the length that it claims.
const PACKET_BYTES_MAX: usize = 1 << 20;
/// Bytes of all packets that answer one statement.
const ANSWER_BYTES_MAX: usize = 8 << 20;
/// Columns of an answer.
const COLUMNS_MAX: u64 = 256;
/// A packet's length and its number.
const HEAD_BYTES: usize = 4;

/// The version of the greeting.
const GREETING: u8 = 10;
const OK: u8 = 0x00;
const ERROR: u8 = 0xFF;
/// The end of rows, and another way of authentication.
const END: u8 = 0xFE;
const NULL: u8 = 0xFB;
/// The command whose text is a statement.
const QUERY: u8 = 0x03;
const QUIT: u8 = 0x01;

/// What the client can do: long flags, the protocol of 4.1, transactions, authentication by plugins, rows
/// that end without an extra packet.
const CAPABILITIES: u32 = 0x4 | 0x200 | 0x2000 | 0x8000 | 0x8_0000 | 0x100_0000;
/// utf8mb4_general_ci, which every version has.
const CHARACTER_SET: u8 = 45;
/// The plugin that goes by the user of the socket's other end.
const PLUGIN: &[u8] = b"auth_socket\0";

/// What a server refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({code}, {state})")]
pub(super) struct ServerError {
    /// MySQL's number for it.
    pub(super) code: u16,
    /// The standard's, five characters.
    pub(super) state: String,
    /// In words.
    pub(super) message: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The server refuses; the connection stays as it is.
    #[error(transparent)]
    Refused(#[from] ServerError),
    /// The connection has failed, or what came is no answer.
    #[error("the connection to the server failed")]
    Lost(#[from] io::Error),
}

/// The rows of an answer, all cells as text.
pub(super) type Rows = Vec<Vec<Option<String>>>;

/// An answer.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// What its columns are called.
    pub(super) names: Vec<String>,
    /// Its rows.
    pub(super) rows: Rows,
}

/// A connection that is signed on.
#[derive(Debug)]
pub(super) struct Connection {
    stream: UnixStream,
    /// The number of the packet that comes next.
    next: u8,
}

impl Connection {
    /// Connects to the socket of a server that runs as `server_user`, and signs on as `user`.
    ///
    /// # Errors
    /// The system's; `InvalidData` when another user listens there; the server's refusal.
    pub(super) async fn open(
        socket: &Path,
        server_user: u32,
        user: &str,
    ) -> Result<Self, WireError> {
        let stream = UnixStream::connect(socket).await?;
        // A link may lead to another cluster's socket, which this process could open.
        let listener = stream.peer_cred()?.uid();
        if listener != server_user {
            return Err(nonsense(format!(
                "user {listener} listens at the socket of user {server_user}"
            ))
            .into());
        }
        let mut this = Self { stream, next: 0 };
        let greeting = this.packet().await?;
        check_greeting(&greeting)?;
        this.send(&response(user)).await?;
        // One that asks for another way gets nothing by it, and says so.
        for _ in 0..2 {
            let answer = this.packet().await?;
            match answer.first() {
                Some(&OK) => return Ok(this),
                Some(&END) => this.send(&[]).await?,
                _ => return Err(refusal_or_nonsense(&answer)),
            }
        }
        Err(nonsense("the server does not let the administrator in".to_owned()).into())
    }

    /// Has a statement run to its end.
    ///
    /// # Errors
    /// The server's refusal; whatever ends the connection.
    pub(super) async fn query(&mut self, sql: &str) -> Result<Answer, WireError> {
        self.next = 0;
        let mut command = vec![QUERY];
        command.extend(sql.as_bytes());
        self.send(&command).await?;
        let mut left = ANSWER_BYTES_MAX;
        let head = self.packet_of(&mut left).await?;
        let columns = match head.first() {
            Some(&OK) => return Ok(Answer::default()),
            Some(&ERROR) => return Err(refusal_or_nonsense(&head)),
            _ => Reader(&head).length()?,
        };
        if !(1..=COLUMNS_MAX).contains(&columns) {
            return Err(nonsense(format!("an answer of {columns} columns")).into());
        }
        let mut answer = Answer::default();
        for _ in 0..columns {
            // All are read as text, whatever they are.
            answer
                .names
                .push(column_name(&self.packet_of(&mut left).await?)?);
        }
        loop {
            let row = self.packet_of(&mut left).await?;
            match row.first() {
                Some(&END) => return Ok(answer),
                Some(&ERROR) => return Err(refusal_or_nonsense(&row)),
                _ => answer.rows.push(read_row(&row, columns)?),
            }
        }
    }

    /// Says that the session ends.
    pub(super) async fn quit(mut self) {
        self.next = 0;
        if self.send(&[QUIT]).await.is_ok() {
            // The server hangs up once it has let the session go.
            let _ = self.stream.read(&mut [0; 1]).await;
        }
    }

    async fn send(&mut self, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len())
            .ok()
            .filter(|length| *length < 0xFF_FFFF)
            .ok_or_else(|| nonsense("a statement that is too long".to_owned()))?;
        let mut packet = length.to_le_bytes()[..3].to_vec();
        packet.push(self.next);
        packet.extend(body);
        self.next = self.next.wrapping_add(1);
        self.stream.write_all(&packet).await
    }

    async fn packet(&mut self) -> io::Result<Vec<u8>> {
        let mut left = PACKET_BYTES_MAX;
        self.packet_of(&mut left).await
    }

    /// The next packet, of an answer of which so many bytes may come.
    async fn packet_of(&mut self, left: &mut usize) -> io::Result<Vec<u8>> {
        let mut head = [0; HEAD_BYTES];
        self.stream.read_exact(&mut head).await?;
        let [a, b, c, number] = head;
        let length = usize::try_from(u32::from_le_bytes([a, b, c, 0])).unwrap_or(usize::MAX);
        if number != self.next {
            return Err(nonsense(format!(
                "packet {number} in place of {}",
                self.next
            )));
        }
        if PACKET_BYTES_MAX < length || *left < length + HEAD_BYTES {
            return Err(nonsense(format!("a packet of {length} bytes")));
        }
        *left -= length + HEAD_BYTES;
        self.next = self.next.wrapping_add(1);
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).await?;
        Ok(body)
    }
}

fn nonsense(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The first packet of a server that takes sessions, or its refusal of one.
fn check_greeting(greeting: &[u8]) -> Result<(), WireError> {
    match greeting.first() {
        Some(&GREETING) => Ok(()),
        _ => Err(refusal_or_nonsense(greeting)),
    }
}

/// Signs on without a password.
fn response(user: &str) -> Vec<u8> {
    let mut body = CAPABILITIES.to_le_bytes().to_vec();
    body.extend(
        u32::try_from(PACKET_BYTES_MAX)
            .unwrap_or(u32::MAX)
            .to_le_bytes(),
    );
    body.push(CHARACTER_SET);
    body.extend([0; 23]);
    body.extend(user.as_bytes());
    // The name's end, and a proof of no bytes.
    body.extend([0, 0]);
    body.extend(PLUGIN);
    body
}

/// Reads the refusal that a packet is.
fn refusal_or_nonsense(packet: &[u8]) -> WireError {
    let Some((&[ERROR, low, high], rest)) = packet.split_first_chunk::<3>() else {
        return nonsense("what answers is no server of MySQL's".to_owned()).into();
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    // Before it knows who asks, a server says no state.
    let (state, message) = match rest.split_first_chunk::<6>() {
        Some((&[b'#', ref state @ ..], message)) => (text(state), text(message)),
        _ => (String::new(), text(rest)),
    };
    WireError::Refused(ServerError {
        code: u16::from_le_bytes([low, high]),
        state,
        message: message.chars().filter(|c| !c.is_control()).collect(),
    })
}

/// What a column is called, by its description.
fn column_name(packet: &[u8]) -> io::Result<String> {
    let mut reader = Reader(packet);
    // A catalogue, a schema, and a table's two names come before it.
    for _ in 0..4 {
        reader.cell()?;
    }
    Ok(reader.cell()?.unwrap_or_default())
}

fn read_row(row: &[u8], columns: u64) -> io::Result<Vec<Option<String>>> {
    let mut reader = Reader(row);
    (0..columns).map(|_| reader.cell()).collect()
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, bytes: usize) -> io::Result<&'a [u8]> {
        let (taken, rest) = self
            .0
            .split_at_checked(bytes)
            .ok_or_else(|| nonsense("a packet that ends too soon".to_owned()))?;
        self.0 = rest;
        Ok(taken)
    }

    /// A number in one, three, four or nine bytes.
    fn length(&mut self) -> io::Result<u64> {
        let bytes = match self.take(1)?[0] {
            small @ 0..=0xFA => return Ok(u64::from(small)),
            0xFC => 2,
            0xFD => 3,
            END => 8,
            _ => return Err(nonsense("a number that is none".to_owned())),
        };
        let mut number = [0; 8];
        number[..bytes].copy_from_slice(self.take(bytes)?);
        Ok(u64::from_le_bytes(number))
    }

    fn cell(&mut self) -> io::Result<Option<String>> {
        if self.0.first() == Some(&NULL) {
            self.take(1)?;
            return Ok(None);
        }
        let bytes = usize::try_from(self.length()?).unwrap_or(usize::MAX);
        Ok(Some(
            String::from_utf8_lossy(self.take(bytes)?).into_owned(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_and_senseless_ones_refused() {
        let row = [&[3][..], b"abc", &[NULL], &[0], &[0xFC, 1, 0], b"x"].concat();
        let cells = read_row(&row, 4).expect("a row");
        assert_eq!(
            cells,
            [Some("abc"), None, Some(""), Some("x")].map(|cell| cell.map(str::to_owned))
        );
        for wrong in [
            &[3, b'a'][..],
            &[0xFF],
            &[0xFC, 1],
            &[END, 0, 0, 0, 0, 0, 0, 0, 0x80],
        ] {
            assert!(read_row(wrong, 1).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn a_columns_name_is_read() {
        let packet = b"\x03def\x00\x00\x00\x04name\x00\x0c";
        assert_eq!(column_name(packet).expect("a description"), "name");
        assert!(column_name(&packet[..9]).is_err());
    }

    #[test]
    fn refusals_are_read() {
        let refused = |packet: &[u8]| match refusal_or_nonsense(packet) {
            WireError::Refused(error) => Some(error),
            WireError::Lost(_) => None,
        };
        let late = refused(b"\xFF\x10\x04#08004Too many\n connections").expect("a refusal");
        assert_eq!(
            (late.code, &*late.state, &*late.message),
            (1_040, "08004", "Too many connections")
        );
        let early = refused(b"\xFF\x10\x04Too many connections").expect("a refusal");
        assert_eq!((early.code, &*early.state), (1_040, ""));
        assert!(refused(b"HTTP/1.1 400").is_none() && refused(b"").is_none());
    }

    #[test]
    fn no_password_is_sent() {
        let body = response("rdsadmin");
        assert!(body.ends_with(b"rdsadmin\0\0auth_socket\0"));
        assert_eq!(body.len(), 32 + 8 + 2 + PLUGIN.len());
    }
}
