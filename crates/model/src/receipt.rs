//! Receipts of drills: signed, and each with the hash of the one before it.
//!
//! It does not know what a receipt says, nor how it is signed.
use serde::{Deserialize, Serialize};

use crate::ids::{Account, Region};

/// A signed receipt, and its place in its chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SignedReceipt {
    /// Its number in the account's chain in the region, from 1.
    pub number: u64,
    /// SHA-256 over what is signed, hexadecimal.
    pub sha256: String,
    /// The key that signed it: SHA-256 over its public half, hexadecimal.
    pub key: String,
    /// What is signed and its signature, as one JSON text.
    pub envelope: String,
}

/// The newest receipt of an account in a region: the next one names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReceiptChain {
    /// The region.
    pub region: Region,
    /// The account.
    pub account: Account,
    /// The receipt's number.
    pub number: u64,
    /// The receipt's hash.
    pub sha256: String,
}

impl ReceiptChain {
    /// What it is called in errors.
    pub fn arn(&self) -> String {
        format!("{} in {}", self.account, self.region)
    }
}
