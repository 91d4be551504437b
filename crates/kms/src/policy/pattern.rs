//! Texts with `*` and `?` as policies have them.
//!
//! It does not know what they are compared with.
use super::condition::Match;

/// What marks a policy variable, such as `${aws:username}`. None is known here, and a pattern
/// that has one matches nothing for sure: a variable's value must never act as a wildcard.
const VARIABLE: &str = "${";

/// A pattern: `*` is any text, `?` any one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern {
    text: String,
    case: Case,
}

/// Whether letters' case counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    /// It does.
    Counts,
    /// It does not, for ASCII letters.
    Ignored,
}

impl Pattern {
    /// A pattern from a policy.
    pub(super) fn new(text: &str, case: Case) -> Self {
        let text = match case {
            Case::Counts => text.to_owned(),
            Case::Ignored => text.to_ascii_lowercase(),
        };
        Self { text, case }
    }

    /// Whether all of `text`, taken literally, fits.
    pub(super) fn matches(&self, text: &str) -> Match {
        if self.text == "*" {
            return Match::Yes;
        }
        if self.text.contains(VARIABLE) {
            return Match::Unknown;
        }
        match self.case {
            Case::Counts => Match::from(fits(&self.text, text)),
            Case::Ignored => Match::from(fits(&self.text, &text.to_ascii_lowercase())),
        }
    }
}

/// Whether a text has a policy variable.
pub(super) fn has_variable(text: &str) -> bool {
    text.contains(VARIABLE)
}

/// Greedy with one place to go back to, so the time is bounded by the product of the lengths.
fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_text));
                at += 1;
            }
            Some(&one) if one == '?' || one == text[in_text] => {
                at += 1;
                in_text += 1;
            }
            _ => match star {
                Some((star_at, taken)) => {
                    star = Some((star_at, taken + 1));
                    at = star_at + 1;
                    in_text = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&one| one == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, as slow as it is plain.
    fn by_definition(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|at| by_definition(rest, &text[at..])),
            Some(('?', rest)) => !text.is_empty() && by_definition(rest, &text[1..]),
            Some((one, rest)) => text.first() == Some(one) && by_definition(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn matching_is_as_defined(pattern in "[ab*?]{0,8}", text in "[ab*?]{0,8}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(fits(&pattern, &text), by_definition(&p, &t));
        }
    }

    #[test]
    fn variables_are_unknown() {
        let pattern = Pattern::new("arn:aws:kms:*:*:key/${aws:username}", Case::Counts);
        assert_eq!(
            pattern.matches("arn:aws:kms:us-east-1:1:key/x"),
            Match::Unknown
        );
    }

    #[test]
    fn case_counts_as_told() {
        assert_eq!(
            Pattern::new("KMS:re*", Case::Ignored).matches("kms:ReEncryptTo"),
            Match::Yes
        );
        assert_eq!(
            Pattern::new("Key/*", Case::Counts).matches("key/x"),
            Match::No
        );
    }
}
