//! Where the console is, and how browsers reach it.

/// Where it is.
pub(super) const ROOT: &str = "/console/";

/// How the console is reached.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reached {
    /// Whether browsers see TLS, here or at a proxy before it: cookies are for such connections only.
    pub(crate) tls: bool,
    /// Whether a secret can be typed without others reading it: over TLS, or on this machine.
    pub(crate) safely: bool,
}

/// Whether a path is one of the console's.
pub(crate) fn owns(path: &str) -> bool {
    path == "/console" || path.starts_with(ROOT)
}

/// Whether a text is the address of a page of the console, and of nothing else.
pub(super) fn is_page(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_graphic() && byte != b'\\';
    text.starts_with(ROOT) && text.bytes().all(legal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_own_pages_are_gone_back_to() {
        assert!(is_page("/console/000000000000/us-east-1/?x=y"));
        for foreign in [
            "//evil.example",
            "https://evil.example/console/",
            "/",
            "/console/\\x",
            "/console/\r\nX: y",
        ] {
            assert!(!is_page(foreign), "{foreign}");
        }
    }
}
