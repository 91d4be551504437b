//! Who listens on TCP on this machine, as the system lists it.
//!
//! It does not know clusters. Of sockets that are bound and do not listen, the list has none.
use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// The state of a listening socket in the list.
const LISTEN: &str = "0A";

/// A socket that listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Listener {
    /// Where.
    pub(crate) address: SocketAddr,
    /// The user that made it.
    pub(crate) uid: u32,
    /// The socket's number, as in `/proc/PID/fd`.
    pub(crate) inode: u64,
}

/// Every listening socket of this process's network.
///
/// # Errors
/// When the system's list cannot be read. A machine without IPv6 has no second list.
pub(crate) fn all() -> io::Result<Vec<Listener>> {
    let mut found: Vec<_> = lines(&fs::read_to_string("/proc/net/tcp")?).collect();
    match fs::read_to_string("/proc/net/tcp6") {
        Ok(text) => found.extend(lines(&text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

fn lines(text: &str) -> impl Iterator<Item = Listener> + '_ {
    text.lines().skip(1).filter_map(line)
}

fn line(line: &str) -> Option<Listener> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, LISTEN, _, _, _, uid, _, inode, ..] = fields[..] else {
        return None;
    };
    Some(Listener {
        address: address(local)?,
        uid: uid.parse().ok()?,
        inode: inode.parse().ok()?,
    })
}

/// `0100007F:1538`: the address in words of four bytes, each in the machine's order.
fn address(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.split_once(':')?;
    let word = |at: usize| {
        let word = u32::from_str_radix(host.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let host: IpAddr = match host.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.as_flattened().try_into().ok()?;
            Ipv6Addr::from(bytes).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(host, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn this_process_finds_its_own() {
        for host in ["127.0.0.1", "127.64.3.2", "::1"] {
            let Ok(socket) = TcpListener::bind((host, 0)) else {
                continue;
            };
            let address = socket.local_addr().expect("has one");
            let found = all().expect("the list reads");
            let ours: Vec<_> = found.iter().filter(|one| one.address == address).collect();
            let [one] = ours[..] else {
                panic!("{address} is there {} times", ours.len());
            };
            assert_eq!(one.uid, rustix::process::geteuid().as_raw());
        }
    }

    #[test]
    fn lines_of_other_states_are_left_out() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
             0: 0100007F:1538 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1879 0 4242 1 0 100\n\
             1: 0100007F:1538 0100007F:9999 01 00000000:00000000 00:00000000 00000000  1879 0 4243 1 0 100\n\
             garbage\n";
        let found: Vec<_> = lines(text).collect();
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].uid, found[0].inode), (1_879, 4_242));
    }
}
