//! The certificate that a server shows, and its key, as files beside its settings.
//!
//! It does not know who makes them.
use std::fs;

use super::files::replace;
use crate::{certify::Tls, error::EngineError, home::Home};

/// The certificate's file in the folder of settings.
pub(crate) const CERTIFICATE: &str = "server.crt";
/// Its key's.
pub(crate) const KEY: &str = "server.key";

/// Writes the certificate that the server is to show, where that is another one than it has. The
/// key goes first: both are read when the server is told to.
pub(crate) fn write(home: &Home, tls: &Tls) -> Result<bool, EngineError> {
    let dir = home.conf();
    let failed = |source| EngineError::io("write the server's certificate in", &dir, source);
    let shown = match fs::read_to_string(dir.join(CERTIFICATE)) {
        Ok(text) => Some(text),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(failed(error)),
    };
    let identity = tls.certifier.identity(home, shown.as_deref());
    let identity = identity.map_err(|source| EngineError::NoCertificate {
        host: home.host.clone(),
        source,
    })?;
    let Some(identity) = identity else {
        return Ok(false);
    };
    replace(&dir, KEY, identity.key.as_bytes(), home.os_uid).map_err(failed)?;
    replace(
        &dir,
        CERTIFICATE,
        identity.certificate.as_bytes(),
        home.os_uid,
    )
    .map_err(failed)?;
    Ok(true)
}
