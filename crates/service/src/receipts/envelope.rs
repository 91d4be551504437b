//! A signed text: DSSE (Dead Simple Signing Envelope, version 1), with one signature.
//!
//! It does not know what the text says.
use aws_lc_rs::digest;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};

use super::{
    key::{PublicKey, ReceiptKey},
    statement::Statement,
};

/// What is signed.
const PAYLOAD_TYPE: &str = "application/vnd.snapferry.drill-receipt+json";

/// The envelope as JSON. Nothing may stand in it that is not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Envelope {
    payload_type: String,
    #[serde(with = "base64")]
    payload: Vec<u8>,
    signatures: [Signature; 1],
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    keyid: String,
    #[serde(with = "base64")]
    sig: Vec<u8>,
}

mod base64 {
    use super::BASE64;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub(super) fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&BASE64.encode(bytes))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        BASE64.decode(text.as_bytes()).map_err(D::Error::custom)
    }
}

/// What the signature is over: the text with its type, each with its length before it.
fn signed_bytes(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let (of_type, of_text) = (payload_type.len(), payload.len());
    let mut bytes = format!("DSSEv1 {of_type} {payload_type} {of_text} ").into_bytes();
    bytes.extend(payload);
    bytes
}

impl Envelope {
    /// A statement, signed; none when the cryptographic library fails.
    pub(super) fn signed(statement: &Statement, key: &ReceiptKey) -> Option<Self> {
        let payload = serde_json::to_vec(statement).expect("a receipt serializes");
        let sig = key.sign(&signed_bytes(PAYLOAD_TYPE, &payload))?;
        let signature = Signature {
            keyid: key.id().to_owned(),
            sig,
        };
        Some(Self {
            payload_type: PAYLOAD_TYPE.to_owned(),
            payload,
            signatures: [signature],
        })
    }

    /// As one line of JSON.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).expect("an envelope serializes")
    }

    /// SHA-256 over what is signed of it, hexadecimal: the next receipt has it.
    pub(super) fn sha256(&self) -> String {
        HEXLOWER.encode(digest::digest(&digest::SHA256, &self.payload).as_ref())
    }

    /// The key that it says to be signed by.
    pub(super) fn key(&self) -> &str {
        let [signature] = &self.signatures;
        &signature.keyid
    }

    /// What it says, if the key signed that.
    pub(super) fn opened(&self, key: &PublicKey) -> Option<Statement> {
        let [signature] = &self.signatures;
        let signed = signed_bytes(&self.payload_type, &self.payload);
        if self.payload_type != PAYLOAD_TYPE || !key.has_signed(&signed, &signature.sig) {
            return None;
        }
        serde_json::from_slice(&self.payload).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_signed_is_as_the_protocol_says() {
        // The example of DSSE's own description.
        assert_eq!(
            signed_bytes("http://example.com/HelloWorld", b"hello world"),
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
