//! The forms that settings' values have on the command line and in files.
//!
//! It does not know which setting a value is for.
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    ops::RangeInclusive,
    str::FromStr,
};

use model::{Region, limits};
use serde::Deserialize;
use zeroize::Zeroizing;

use crate::settings::address::Address;

/// A text did not have the form that a setting asks for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{value:?} is not {expected}")]
pub(crate) struct FormError {
    value: String,
    expected: &'static str,
}

impl FormError {
    fn new(value: &str, expected: &'static str) -> Self {
        Self {
            value: limits::echo(value),
            expected,
        }
    }
}

/// What signs; it never shows itself.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) struct Secret(pub(crate) Zeroizing<String>);

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(Zeroizing::new(text))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

/// An address to listen on; `localhost` is 127.0.0.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Listen(pub(crate) SocketAddr);

impl FromStr for Listen {
    type Err = FormError;
    fn from_str(text: &str) -> Result<Self, FormError> {
        let wrong = || {
            FormError::new(
                text,
                "an address and a port such as 127.0.0.1:8085 or [::1]:8085",
            )
        };
        match text.strip_prefix("localhost:") {
            Some(port) => port
                .parse()
                .map(|port| Self((Ipv4Addr::LOCALHOST, port).into()))
                .map_err(|_| wrong()),
            None => text.parse().map(Self).map_err(|_| wrong()),
        }
    }
}

/// The address that browsers have this server by: `https://ferry.example.net`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct ExternalUrl {
    /// Scheme, host and port, as browsers write an Origin.
    pub(crate) origin: String,
    pub(crate) host: String,
    pub(crate) tls: bool,
}

impl FromStr for ExternalUrl {
    type Err = FormError;
    fn from_str(text: &str) -> Result<Self, FormError> {
        let parts = Address::parse(text).filter(|parts| parts.target == "/");
        let parts = parts.ok_or_else(|| {
            FormError::new(
                text,
                "a URL without a path such as https://ferry.example.net",
            )
        })?;
        let (scheme, usual) = if parts.tls {
            ("https", 443)
        } else {
            ("http", 80)
        };
        let host = match parts.host.contains(':') {
            true => format!("[{}]", parts.host),
            false => parts.host.clone(),
        };
        let port = match parts.port {
            port if port == usual => String::new(),
            port => format!(":{port}"),
        };
        Ok(Self {
            origin: format!("{scheme}://{host}{port}").to_ascii_lowercase(),
            host: parts.host,
            tls: parts.tls,
        })
    }
}

impl TryFrom<String> for ExternalUrl {
    type Error = FormError;
    fn try_from(text: String) -> Result<Self, FormError> {
        text.parse()
    }
}

/// An inclusive range of TCP ports: `15432-16431`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Ports(pub(crate) RangeInclusive<u16>);

impl FromStr for Ports {
    type Err = FormError;
    fn from_str(text: &str) -> Result<Self, FormError> {
        let wrong = || FormError::new(text, "a range of ports from 1024 on, such as 15432-16431");
        let (first, last) = text.split_once('-').ok_or_else(wrong)?;
        let first: u16 = first.trim().parse().map_err(|_| wrong())?;
        let last: u16 = last.trim().parse().map_err(|_| wrong())?;
        if first < 1_024 || last < first {
            return Err(wrong());
        }
        Ok(Self(first..=last))
    }
}

/// An address, or a network of them: `10.0.0.5`, `10.0.0.0/24`, `2001:db8::/64`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Network {
    address: IpAddr,
    bits: u32,
}

impl Network {
    /// Whether an address is one of it.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        let differ = match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits()).leading_zeros(),
            _ => return false,
        };
        self.bits <= differ
    }
}

impl FromStr for Network {
    type Err = FormError;
    fn from_str(text: &str) -> Result<Self, FormError> {
        let wrong = || {
            FormError::new(
                text,
                "an address or a network such as 10.0.0.5 or 10.0.0.0/24",
            )
        };
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(width), |bits| bits.parse().map_err(|_| wrong()))?;
        if width < bits {
            return Err(wrong());
        }
        Ok(Self { address, bits })
    }
}

/// Addresses for clusters: `10.0.8.0/24` or `10.0.8.10-10.0.8.99`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Addresses(pub(crate) service::AddressRange);

impl FromStr for Addresses {
    type Err = service::NoRange;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

impl TryFrom<String> for Addresses {
    type Error = service::NoRange;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

/// A number of bytes: digits, and KiB, MiB, GiB, kB, MB or GB after them if wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ByteCount(pub(crate) u64);

impl FromStr for ByteCount {
    type Err = FormError;
    fn from_str(text: &str) -> Result<Self, FormError> {
        let wrong = || FormError::new(text, "a number of bytes such as 1000000 or 128MiB");
        let digits = text
            .find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let unit: u64 = match unit.trim_start() {
            "" | "B" => 1,
            "kB" | "KB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            _ => return Err(wrong()),
        };
        let number: u64 = number.parse().map_err(|_| wrong())?;
        number.checked_mul(unit).map(Self).ok_or_else(wrong)
    }
}

impl<'de> Deserialize<'de> for ByteCount {
    /// A TOML integer, or a string with a unit.
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = ByteCount;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number of bytes such as 1000000 or \"128MiB\"")
            }
            fn visit_i64<E: serde::de::Error>(self, value: i64) -> Result<ByteCount, E> {
                u64::try_from(value)
                    .map(ByteCount)
                    .map_err(|_| E::invalid_value(serde::de::Unexpected::Signed(value), &self))
            }
            fn visit_u64<E: serde::de::Error>(self, value: u64) -> Result<ByteCount, E> {
                Ok(ByteCount(value))
            }
            fn visit_str<E: serde::de::Error>(self, value: &str) -> Result<ByteCount, E> {
                value.parse().map_err(E::custom)
            }
        }
        from.deserialize_any(Visitor)
    }
}

macro_rules! from_text {
    ($($name:ident),*) => {
        $(impl TryFrom<String> for $name {
            type Error = FormError;
            fn try_from(text: String) -> Result<Self, FormError> {
                text.parse()
            }
        })*
    };
}
from_text!(Listen, Ports, Network, RegionPair);

/// Two regions: `us-east-1=eu-west-1`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct RegionPair {
    pub(crate) from: Region,
    pub(crate) to: Region,
}

impl FromStr for RegionPair {
    type Err = FormError;

    fn from_str(text: &str) -> Result<Self, FormError> {
        let wrong = || FormError::new(text, "two regions such as us-east-1=eu-west-1");
        let (from, to) = text.split_once('=').ok_or_else(wrong)?;
        let region = |text: &str| text.parse::<Region>().map_err(|_| wrong());
        Ok(Self {
            from: region(from)?,
            to: region(to)?,
        })
    }
}

/// A time in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub(crate) struct Seconds(pub(crate) u64);

impl FromStr for Seconds {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_have_their_bounds() {
        for wrong in [
            "",
            "MiB",
            "-1",
            "1.5MiB",
            "1TiB",
            "99999999999999999999",
            "17179869184GiB",
        ] {
            assert!(wrong.parse::<ByteCount>().is_err(), "{wrong}");
        }
        assert_eq!("5 kB".parse(), Ok(ByteCount(5_000)));
        for wrong in ["", "1", "80-90", "2000-1999", "2000-70000", "a-b"] {
            assert!(wrong.parse::<Ports>().is_err(), "{wrong}");
        }
        for wrong in ["", "10.0.0", "10.0.0.0/33", "::/129", "10.0.0.0/-1", "a/8"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
        let has = |network: &str, address: &str| {
            let network: Network = network.parse().expect("a network");
            network.has(address.parse().expect("an address"))
        };
        assert!(has("10.0.0.5", "10.0.0.5") && !has("10.0.0.5", "10.0.0.4"));
        assert!(has("10.0.0.0/24", "10.0.0.255") && !has("10.0.0.0/24", "10.0.1.0"));
        assert!(has("2001:db8::/32", "2001:db8:1::1") && !has("::/0", "10.0.0.1"));
        assert!(has("0.0.0.0/0", "255.255.255.255"));
        for wrong in [
            "",
            "us-east-1",
            "us-east-1=",
            "=eu-west-1",
            "a=b=c",
            "us-east-1:eu-west-1",
        ] {
            assert!(wrong.parse::<RegionPair>().is_err(), "{wrong}");
        }
        assert_eq!("1024-65535".parse(), Ok(Ports(1_024..=65_535)));
        assert_eq!(
            "localhost:0".parse(),
            Ok(Listen((Ipv4Addr::LOCALHOST, 0).into()))
        );
        for wrong in ["", "8085", "localhost", "example.net:80", "127.0.0.1:70000"] {
            assert!(wrong.parse::<Listen>().is_err(), "{wrong}");
        }
    }
}
