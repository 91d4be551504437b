//! Moments as signatures write them: `20150830T123600Z`.
//!
//! It does not know the time.
use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// Reads a moment, as seconds since 1970-01-01T00:00:00Z.
pub(super) fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    if bytes.len() != 16 || bytes[8] != b'T' || bytes[15] != b'Z' {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i16> {
        let digits = bytes.get(from..to)?;
        digits.iter().try_fold(0, |sum, digit| {
            digit
                .is_ascii_digit()
                .then(|| sum * 10 + i16::from(digit - b'0'))
        })
    };
    let small = |from: usize| i8::try_from(number(from, from + 2)?).ok();
    let civil = DateTime::new(
        number(0, 4)?,
        small(4)?,
        small(6)?,
        small(9)?,
        small(11)?,
        small(13)?,
        0,
    );
    let moment = TimeZone::UTC.to_timestamp(civil.ok()?).ok()?;
    Some(moment.as_second())
}

/// Writes a moment; none when its year has not four digits.
pub(super) fn format(secs: i64) -> Option<String> {
    let text = Timestamp::from_second(secs)
        .ok()?
        .strftime("%Y%m%dT%H%M%SZ")
        .to_string();
    (text.len() == 16 && !text.starts_with('-')).then_some(text)
}

/// Writes a moment for a message.
pub(super) fn show(secs: i64) -> String {
    format(secs).unwrap_or_else(|| "a time out of range".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_read_what_they_write() {
        assert_eq!(parse("20150830T123600Z"), Some(1_440_938_160));
        assert_eq!(format(1_440_938_160).unwrap(), "20150830T123600Z");
        for wrong in [
            "20150830T123600",
            "20150830t123600Z",
            "20151330T123600Z",
            "20150830T126000Z",
            "2015-830T123600Z",
            "+0150830T123600Z",
            "20150230T000000Z",
            "",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
        assert_eq!(format(i64::MAX), None);
        assert_eq!(format(-100_000_000_000), None);
    }
}
