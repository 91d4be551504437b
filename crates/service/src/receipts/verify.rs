//! Whether receipts are genuine, and whether one is missing, by their public key alone.
//!
//! It reads no catalog and no vault.
use std::collections::BTreeMap;

use serde_json::Value;

use super::{envelope::Envelope, key::PublicKey, statement::Statement};

/// What is wrong with receipts. Lines count from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// There is none.
    #[error("there is no receipt in it")]
    Empty,
    /// It is none.
    #[error("line {line} is no signed receipt: {why}")]
    NoReceipt {
        /// The line.
        line: usize,
        /// Why not.
        why: String,
    },
    /// A drill of before receipts were signed, or what DescribeDrills tells of one.
    #[error("line {line} is unsigned: it is a drill as the API tells it, which proves nothing")]
    Unsigned {
        /// The line.
        line: usize,
    },
    /// Another key's.
    #[error("line {line} is signed by the key {signed_by}, and the key to check it by is {given}")]
    OtherKey {
        /// The line.
        line: usize,
        /// The key that it names.
        signed_by: String,
        /// The key that was given.
        given: String,
    },
    /// Not what was signed.
    #[error("line {line} is not what was signed: it was changed, or the signature is another's")]
    Changed {
        /// The line.
        line: usize,
    },
    /// One is missing.
    #[error(
        "{chain}: between the receipts {before} and {after} there are others, which are missing"
    )]
    Missing {
        /// Whose.
        chain: String,
        /// The last number that is there.
        before: u64,
        /// The next one that is.
        after: u64,
    },
    /// Two have one number.
    #[error("{chain}: two different receipts have the number {number}")]
    Twice {
        /// Whose.
        chain: String,
        /// The number.
        number: u64,
    },
    /// A receipt does not follow the one before it.
    #[error(
        "{chain}: the receipt {number} does not name the one before it: one of them was replaced"
    )]
    Broken {
        /// Whose.
        chain: String,
        /// The number.
        number: u64,
    },
    /// The newest one that is known of is not there.
    #[error("no receipt has the hash {0}: the newest ones are missing, or it is of another chain")]
    NoNewest(String),
    /// The oldest ones are missing.
    #[error("{chain}: the receipts before {number} are missing")]
    NoOldest {
        /// Whose.
        chain: String,
        /// The first number that is there.
        number: u64,
    },
}

/// Receipts of one account in one region, one behind the other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The account and the region, in words.
    pub whose: String,
    /// The first number.
    pub first: u64,
    /// The last number.
    pub last: u64,
    /// SHA-256 over what is signed of the last one.
    pub sha256: String,
    /// How many say that a recovery point could be restored and was as it should be.
    pub successful: usize,
}

/// A receipt that is genuine.
struct Genuine {
    statement: Statement,
    sha256: String,
}

/// Checks receipts, one a line, in any order. With `newest`, a hash that is known from elsewhere, all receipts
/// of its chain must be there from the first to that one.
///
/// # Errors
/// The first thing that is wrong.
pub fn verify(text: &str, key: &PublicKey, newest: Option<&str>) -> Result<Vec<Chain>, Wrong> {
    let mut chains: BTreeMap<String, BTreeMap<u64, Genuine>> = BTreeMap::new();
    let lines = (1..).zip(text.lines());
    for (line, text) in lines.filter(|(_, text)| !text.trim().is_empty()) {
        let genuine = genuine(line, text, key)?;
        let (statement, hash) = (&genuine.statement, genuine.sha256.clone());
        let chain = format!("account {} in {}", statement.account, statement.region);
        let number = statement.number;
        let before = chains
            .entry(chain.clone())
            .or_default()
            .insert(number, genuine);
        // The same one may be there twice: files are put together.
        if before.is_some_and(|before| before.sha256 != hash) {
            return Err(Wrong::Twice { chain, number });
        }
    }
    if chains.is_empty() {
        return Err(Wrong::Empty);
    }
    let checked = chains
        .iter()
        .filter_map(|(whose, receipts)| unbroken(whose, receipts).transpose())
        .collect::<Result<Vec<Chain>, Wrong>>()?;
    if let Some(hash) = newest {
        whole(&chains, hash)?;
    }
    Ok(checked)
}

fn genuine(line: usize, text: &str, key: &PublicKey) -> Result<Genuine, Wrong> {
    let no_receipt = |error: serde_json::Error| Wrong::NoReceipt {
        line,
        why: error.to_string(),
    };
    let value: Value = serde_json::from_str(text).map_err(no_receipt)?;
    let is_drill = |value: &Value| value.get("DrillIdentifier").is_some();
    if is_drill(&value) {
        return Err(Wrong::Unsigned { line });
    }
    // Of the text itself: a value would have lost a member that stands there twice.
    let envelope: Envelope = serde_json::from_str(text).map_err(no_receipt)?;
    if envelope.key() != key.id() {
        return Err(Wrong::OtherKey {
            line,
            signed_by: envelope.key().to_owned(),
            given: key.id(),
        });
    }
    let statement = envelope.opened(key).ok_or(Wrong::Changed { line })?;
    Ok(Genuine {
        statement,
        sha256: envelope.sha256(),
    })
}

/// Whether each receipt follows the one before it.
fn unbroken(whose: &str, receipts: &BTreeMap<u64, Genuine>) -> Result<Option<Chain>, Wrong> {
    let mut before: Option<&Genuine> = None;
    let mut told: Option<Chain> = None;
    for (number, one) in receipts {
        let chain = whose.to_owned();
        if let Some(before) = before {
            let last = before.statement.number;
            if *number != last + 1 {
                return Err(Wrong::Missing {
                    chain,
                    before: last,
                    after: *number,
                });
            }
            if one.statement.previous.as_ref() != Some(&before.sha256) {
                return Err(Wrong::Broken {
                    chain,
                    number: *number,
                });
            }
        }
        let successful = usize::from(one.statement.outcome == "SUCCESSFUL");
        told = Some(Chain {
            whose: chain,
            first: told.as_ref().map_or(*number, |told| told.first),
            last: *number,
            sha256: one.sha256.clone(),
            successful: told.map_or(0, |told| told.successful) + successful,
        });
        before = Some(one);
    }
    Ok(told)
}

/// Whether the chain that has a receipt of that hash is there from its first receipt on.
fn whole(chains: &BTreeMap<String, BTreeMap<u64, Genuine>>, hash: &str) -> Result<(), Wrong> {
    let has = |receipts: &BTreeMap<u64, Genuine>| receipts.values().any(|one| one.sha256 == hash);
    let found = chains.iter().find(|(_, receipts)| has(receipts));
    let (chain, receipts) = found.ok_or_else(|| Wrong::NoNewest(hash.to_owned()))?;
    match receipts.keys().next() {
        Some(1) | None => Ok(()),
        Some(number) => Err(Wrong::NoOldest {
            chain: chain.clone(),
            number: *number,
        }),
    }
}

#[cfg(test)]
mod tests;
