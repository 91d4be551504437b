//! The AWS doorway: bytes to values and values to bytes.
//!
//! It knows no word of any service, does no I/O, and is handed the time.
//! - [`sigv4`]: who signed a request, and whether rightly; the same, turned round, signs one.
//! - [`protocol`]: in which protocol a request is written, what it asks, and how it is answered.
mod echo;
mod fault;
mod percent;
pub mod protocol;
mod request;
pub mod sigv4;

pub use echo::ECHO_CHARS_MAX;
pub use fault::Fault;
pub use percent::encode as percent_encode;
pub use protocol::{InputCode, InputError, Parameters, json, xml};
pub use request::RawRequest;
