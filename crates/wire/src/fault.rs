//! A fault on the wire, before a protocol writes it.
//!
//! It does not know which faults there are; the one table of them is the service's.

/// What a caller is told when a request cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The code that clients compare.
    pub code: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// The sentence for people.
    pub message: String,
    /// The kind of refusal in the JSON envelope's own words, such as `NOT_FOUND`.
    pub kind: &'static str,
    /// Members that it has beside these, in protocols that write them: what it is about.
    pub details: Vec<(&'static str, String)>,
}

impl Fault {
    /// Whether the sender is at fault, and not the receiver.
    pub fn is_senders(&self) -> bool {
        self.status < 500
    }
}
