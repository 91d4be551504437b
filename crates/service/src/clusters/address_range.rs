//! The addresses that clusters may have.
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

/// Addresses from a first to a last one, of one family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// What clusters listen on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClusterAddresses {
    /// All on one address, each with a port of its own.
    Shared(IpAddr),
    /// Each on one of its own.
    Own(AddressRange),
}

impl ClusterAddresses {
    /// Whether every machine has them for itself.
    pub fn is_loopback(&self) -> bool {
        match self {
            Self::Shared(host) => host.is_loopback(),
            Self::Own(range) => range.first.is_loopback(),
        }
    }
}

impl Default for ClusterAddresses {
    /// Loopback addresses, away from those that people and programs use.
    fn default() -> Self {
        Self::Own(AddressRange {
            first: Ipv4Addr::new(127, 64, 0, 1).into(),
            last: Ipv4Addr::new(127, 127, 255, 254).into(),
        })
    }
}

/// A text is no range of addresses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a range of addresses such as 10.0.8.0/24 or 10.0.8.10-10.0.8.99")]
pub struct NoRange(String);

impl FromStr for AddressRange {
    type Err = NoRange;

    /// `10.0.8.0/24`, without the network's own and its broadcast address; or the first and the
    /// last one, as in `10.0.8.10-10.0.8.99`.
    fn from_str(text: &str) -> Result<Self, NoRange> {
        let wrong = || NoRange(model::limits::echo(text));
        let range = match text.split_once('/') {
            Some((network, bits)) => {
                let network = network.trim().parse().map_err(|_| wrong())?;
                of_network(network, bits.trim().parse().map_err(|_| wrong())?)
            }
            None => {
                let (first, last) = text.split_once('-').ok_or_else(wrong)?;
                Some(Self {
                    first: first.trim().parse().map_err(|_| wrong())?,
                    last: last.trim().parse().map_err(|_| wrong())?,
                })
            }
        };
        range
            .filter(|range| {
                let one = [range.first, range.last];
                range.first.is_ipv4() == range.last.is_ipv4()
                    && range.first <= range.last
                    && !one
                        .iter()
                        .any(|ip| ip.is_unspecified() || ip.is_multicast())
            })
            .ok_or_else(wrong)
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.first, self.last)
    }
}

/// The addresses that a network's hosts may have.
fn of_network(network: IpAddr, bits: u32) -> Option<AddressRange> {
    let width: u32 = if network.is_ipv4() { 32 } else { 128 };
    let host_bits = width.checked_sub(bits).filter(|bits| *bits < 128)?;
    let mask = (1_u128 << host_bits) - 1;
    // No machine has addresses of the network 0.
    let low = Some(number(network) & !mask).filter(|low| *low != 0)?;
    // A network of one or two has no addresses to spare (RFC 3021), nor has IPv6 a broadcast.
    let (skip_first, skip_last) = match (network.is_ipv4(), host_bits) {
        (_, 0 | 1) => (0, 0),
        (true, _) => (1, 1),
        (false, _) => (1, 0),
    };
    Some(AddressRange {
        first: address(network, low + skip_first),
        last: address(network, low + mask - skip_last),
    })
}

fn number(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => u32::from(ip).into(),
        IpAddr::V6(ip) => ip.into(),
    }
}

/// The address with a number, of the family of `like`.
fn address(like: IpAddr, number: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX)).into(),
        IpAddr::V6(_) => Ipv6Addr::from(number).into(),
    }
}

impl AddressRange {
    /// Every address once, from the one at `start` on and around.
    pub(super) fn from(self, start: u128) -> impl Iterator<Item = IpAddr> {
        let (low, high) = (number(self.first), number(self.last));
        let start = low + start % (high - low).saturating_add(1);
        (start..=high)
            .chain(low..start)
            .map(move |number| address(self.first, number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(text: &str) -> AddressRange {
        text.parse().expect("a range")
    }

    #[test]
    fn networks_and_ends_are_read() {
        for (text, first, last) in [
            ("10.0.8.0/24", "10.0.8.1", "10.0.8.254"),
            ("10.0.8.77/24", "10.0.8.1", "10.0.8.254"),
            ("10.0.8.4/31", "10.0.8.4", "10.0.8.5"),
            ("10.0.8.4/32", "10.0.8.4", "10.0.8.4"),
            ("10.0.8.10 - 10.0.9.1", "10.0.8.10", "10.0.9.1"),
            ("fd00::/64", "fd00::1", "fd00::ffff:ffff:ffff:ffff"),
        ] {
            let read = range(text);
            assert_eq!(read.first.to_string(), first, "{text}");
            assert_eq!(read.last.to_string(), last, "{text}");
        }
        for wrong in [
            "",
            "10.0.8.0",
            "10.0.8.0/33",
            "10.0.8.9-10.0.8.1",
            "10.0.8.1-fd00::1",
            "0.0.0.0/0",
            "::/0",
            "224.0.0.0/4",
            "a-b",
            "10.0.8.0/24/1",
        ] {
            assert!(wrong.parse::<AddressRange>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_walk_meets_each_address_once() {
        let all: Vec<_> = range("10.0.8.1-10.0.8.5")
            .from(8)
            .map(|ip| ip.to_string())
            .collect();
        assert_eq!(
            all,
            ["10.0.8.4", "10.0.8.5", "10.0.8.1", "10.0.8.2", "10.0.8.3"]
        );
        assert_eq!(range("fd00::/64").from(u128::MAX).take(3).count(), 3);
    }

    #[test]
    fn the_default_is_loopback_and_away_from_what_others_use() {
        let ClusterAddresses::Own(range) = ClusterAddresses::default() else {
            panic!("each has its own");
        };
        for ip in [range.first, range.last] {
            assert!(ip.is_loopback() && ip.to_string() != "127.0.0.1");
        }
        assert!(number(Ipv4Addr::new(127, 0, 255, 255).into()) < number(range.first));
    }
}
