//! What is repeated of a caller's text.

/// What is echoed of a caller's text is cut here, in characters.
pub const ECHO_CHARS_MAX: usize = 512;

/// A caller's text, cut so that answers and logs stay small.
pub(crate) fn cut(text: &str) -> String {
    text.chars().take(ECHO_CHARS_MAX).collect()
}

/// A caller's text, cut and in quotes.
pub(crate) fn quoted(text: &str) -> String {
    format!("'{}'", cut(text))
}
