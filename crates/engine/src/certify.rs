//! The certificates that servers show to their clients.
//!
//! It does not know who makes them, nor for how long they are good.
use std::{error::Error, fmt, sync::Arc};

use zeroize::Zeroizing;

use crate::home::Home;

/// What a server shows, and its proof: both PEM.
#[derive(Clone, PartialEq, Eq)]
pub struct Identity {
    /// The certificate, and those between it and its authority. Lines outside of them are kept.
    pub certificate: String,
    /// The certificate's private key.
    pub key: Zeroizing<String>,
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("certificate", &self.certificate)
            .finish_non_exhaustive()
    }
}

/// Gives servers their certificates.
pub trait Certifier: Send + Sync + fmt::Debug {
    /// What the home's server is to show from now on; none: it goes on with `shown`, the text of
    /// the certificate that it has.
    ///
    /// # Errors
    /// Why there is none.
    fn identity(
        &self,
        home: &Home,
        shown: Option<&str>,
    ) -> Result<Option<Identity>, Box<dyn Error + Send + Sync>>;
}

/// How servers speak TLS.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Gives them their certificates.
    pub certifier: Arc<dyn Certifier>,
    /// Whether clients without TLS are refused.
    pub forced: bool,
}
