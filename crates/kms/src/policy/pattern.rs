//! Texts with `*` and `?` as policies have them.
//!
//! It does not know what they are compared with.
//!
//! A pattern is cut at its stars when it is read. Its pieces are found one behind the other, each
//! at the first place where it fits, so nothing is ever tried again: the time is linear where no
//! piece has a `?`, and at most the product of a piece's length and the text's where one has.
//! Whoever writes a policy chooses both, so each comparison is paid for out of an [`Effort`].
use super::{effort::Effort, truth::Match};

/// What marks a policy variable, such as `${aws:username}`. None is known here, and a pattern
/// that has one matches nothing for sure: a variable's value must never act as a wildcard.
const VARIABLE: &str = "${";

/// A pattern: `*` is any text, `?` any one character.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Pattern {
    /// `*` alone.
    Anything,
    /// It has a policy variable.
    Unknown,
    /// It has no star.
    Whole(Piece),
    /// It has at least one.
    Starred {
        /// What the text begins with.
        head: Piece,
        /// What is found in between, in this order; none is empty.
        middle: Vec<Piece>,
        /// What it ends with.
        tail: Piece,
    },
}

/// What stands between two stars. A `?` in it is any one character unless it is literal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Piece {
    text: String,
    chars: usize,
    literal: bool,
}

impl Pattern {
    /// A pattern from a policy.
    pub(super) fn new(text: &str) -> Self {
        if text == "*" {
            return Self::Anything;
        }
        if has_variable(text) {
            return Self::Unknown;
        }
        let Some((head, rest)) = text.split_once('*') else {
            return Self::Whole(Piece::new(text));
        };
        let (middle, tail) = rest.rsplit_once('*').unwrap_or(("", rest));
        Self::Starred {
            head: Piece::new(head),
            middle: middle
                .split('*')
                .filter(|piece| !piece.is_empty())
                .map(Piece::new)
                .collect(),
            tail: Piece::new(tail),
        }
    }

    /// Whether all of `text`, taken literally, fits; unknown when the effort is spent.
    pub(super) fn matches(&self, text: &str, effort: &Effort) -> Match {
        match self {
            Self::Anything => Match::Yes,
            Self::Unknown => Match::Unknown,
            Self::Whole(piece) => piece
                .starts(text, effort)
                .map_or(Match::Unknown, |end| Match::from(end == Some(text.len()))),
            Self::Starred { head, middle, tail } => {
                between(head, middle, tail, text, effort).map_or(Match::Unknown, Match::from)
            }
        }
    }
}

/// Whether a text has a policy variable.
pub(super) fn has_variable(text: &str) -> bool {
    text.contains(VARIABLE)
}

/// Whether a text begins and ends as it should, with the middle in between; none when the effort
/// is spent.
fn between(
    head: &Piece,
    middle: &[Piece],
    tail: &Piece,
    text: &str,
    effort: &Effort,
) -> Option<bool> {
    let Some(at) = head.starts(text, effort)? else {
        return Some(false);
    };
    let rest = &text[at..];
    effort.spend(tail.chars)?;
    let Some(end) = before_last(rest, tail.chars) else {
        return Some(false);
    };
    if tail.starts(&rest[end..], effort)?.is_none() {
        return Some(false);
    }
    let mut rest = &rest[..end];
    for piece in middle {
        match piece.find(rest, effort)? {
            Some(behind) => rest = &rest[behind..],
            None => return Some(false),
        }
    }
    Some(true)
}

/// Where the last `count` characters of a text begin; none when it has fewer.
fn before_last(text: &str, count: usize) -> Option<usize> {
    if count == 0 {
        return Some(text.len());
    }
    if text.len() < count {
        return None;
    }
    text.char_indices().rev().nth(count - 1).map(|(at, _)| at)
}

impl Piece {
    fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            chars: text.chars().count(),
            literal: !text.contains('?'),
        }
    }

    /// Where a text goes on behind this piece, if it begins with it; none when the effort is spent.
    fn starts(&self, text: &str, effort: &Effort) -> Option<Option<usize>> {
        if self.literal {
            effort.spend(1 + self.text.len().min(text.len()))?;
            return Some(text.starts_with(&self.text).then_some(self.text.len()));
        }
        let mut given = text.char_indices();
        for (tried, wanted) in self.text.chars().enumerate() {
            match given.next() {
                Some((_, one)) if wanted == '?' || wanted == one => {}
                _ => {
                    effort.spend(tried + 1)?;
                    return Some(None);
                }
            }
        }
        effort.spend(self.chars + 1)?;
        Some(Some(given.next().map_or(text.len(), |(at, _)| at)))
    }

    /// Where a text goes on behind the first place that this piece fits; none when the effort is
    /// spent.
    fn find(&self, text: &str, effort: &Effort) -> Option<Option<usize>> {
        if self.literal {
            effort.spend(1 + self.text.len() + text.len())?;
            let found = text.find(&self.text);
            return Some(found.map(|at| at + self.text.len()));
        }
        for (at, _) in text.char_indices() {
            if let Some(length) = self.starts(&text[at..], effort)? {
                return Some(Some(at + length));
            }
        }
        Some(None)
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

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

    fn matches(pattern: &str, text: &str) -> Match {
        Pattern::new(pattern).matches(text, &Effort::new())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn matching_is_as_defined(pattern in "[abé*?]{0,9}", text in "[abé*?]{0,9}") {
            let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(matches(&pattern, &text), Match::from(by_definition(&p, &t)));
        }

        /// A text that is made from the pattern fits it, whatever stands for its wildcards.
        #[test]
        fn what_a_pattern_makes_fits(parts in proptest::collection::vec(("[ab]{0,3}", "[*?]", "[abé]{1,3}"), 0..6)) {
            let (mut pattern, mut text) = (String::new(), String::new());
            for (literal, wild, filling) in &parts {
                pattern.push_str(literal);
                pattern.push_str(wild);
                text.push_str(literal);
                match wild.as_str() {
                    "?" => text.extend(filling.chars().take(1)),
                    _ => text.push_str(filling),
                }
            }
            prop_assert_eq!(matches(&pattern, &text), Match::Yes);
        }
    }

    #[test]
    fn variables_are_unknown() {
        assert_eq!(
            matches(
                "arn:aws:kms:*:*:key/${aws:username}",
                "arn:aws:kms:us-east-1:1:key/x"
            ),
            Match::Unknown
        );
    }

    #[test]
    fn the_worst_patterns_are_bounded() {
        let text = "a".repeat(8_000);
        let worst = [
            format!("*{}b", "a".repeat(3_900)),
            format!("*{}b*", "a".repeat(3_900)),
            format!("*{}?b*", "a".repeat(3_900)),
            "*a".repeat(2_000) + "b",
            "*a?".repeat(2_000) + "b",
            format!("*{}*{}?b*", "?".repeat(3_000), "a".repeat(3_000)),
        ];
        let began = Instant::now();
        for pattern in &worst {
            assert_ne!(matches(pattern, &text), Match::Yes, "{pattern}");
        }
        let each = began.elapsed() / u32::try_from(worst.len()).expect("few");
        // Some milliseconds without optimisation; a matcher that goes back takes a second each.
        assert!(each < Duration::from_millis(300), "{each:?}");
    }
}
