//! The AWS doorway: bytes to values and values to bytes.
//!
//! It knows no word of any service, does no I/O, and is handed the time.
//! - [`sigv4`]: who signed a request, and whether rightly; the same, turned round, signs one.
//! - [`query`] and [`json`]: parameters into any `Deserialize` type.
//! - [`xml`] and [`Fault`]: answers, good and bad.
mod fault;
mod input;
pub mod json;
mod percent;
pub mod query;
mod request;
pub mod sigv4;
pub mod xml;

pub use fault::{ERROR_TYPE_HEADER, Fault};
pub use input::{ECHO_CHARS_MAX, InputError};
pub use request::RawRequest;
