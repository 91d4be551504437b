//! Signed receipts of drills: who signs them, what they say, and how they are checked by whoever has
//! the public key, without a server.
//!
//! An account's receipts in a region are a chain: each has the next number, and the hash of the one
//! before it. It does not know how a drill is made.
mod envelope;
mod key;
mod statement;
mod verify;

use catalog::{CatalogError, Tx, keyed};
use model::{Drill, ReceiptChain, SignedReceipt};

pub use envelope::Envelope;
pub use key::{NotAKey, PublicKey, ReceiptKey, ReceiptKeyError, public_key, reencrypt};
pub use statement::Statement;
pub use verify::{Chain, Wrong, verify};

/// Signs what is known of a drill that is over, as the next one of its chain. The caller writes the drill.
///
/// # Errors
/// The catalog's; `Stale` when another drill of the account ended at the same time.
pub(crate) fn issue(
    tx: &mut dyn Tx,
    key: &ReceiptKey,
    drill: &mut Drill,
) -> Result<(), CatalogError> {
    let found = keyed::get::<ReceiptChain>(tx, &drill.region, &[drill.account.as_str()])?;
    let before = found.as_ref().map(|stored| &stored.value);
    let statement = Statement::of(drill, before, tx.now());
    let Some(envelope) = Envelope::signed(&statement, key) else {
        tracing::error!(drill = %drill.arn(), "its receipt could not be signed: the cryptographic library failed");
        return Ok(());
    };
    let newest = ReceiptChain {
        region: drill.region.clone(),
        account: drill.account.clone(),
        number: statement.number,
        sha256: envelope.sha256(),
    };
    drill.receipt = Some(SignedReceipt {
        number: newest.number,
        sha256: newest.sha256.clone(),
        key: key.id().to_owned(),
        envelope: envelope.text(),
    });
    match found {
        None => keyed::insert(tx, newest).map(drop),
        Some(mut stored) => {
            stored.value = newest;
            keyed::update(tx, stored).map(drop)
        }
    }
}
