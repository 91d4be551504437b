//! When something is due again and again: EventBridge's `cron(…)` and `rate(…)`.
//!
//! Source: "Cron expressions reference" and "Schedule types" of the EventBridge guides. Times are
//! those of a time zone's clocks. One that they skip in spring is the first moment after the gap, so
//! that a day has its backup; one that they show twice in autumn is the first of the two.
use std::time::Duration;

use jiff::{
    civil::{Date, DateTime},
    tz::{AmbiguousOffset, TimeZone},
};

use self::field::{Days, Field};
use crate::clock::Timestamp;

mod error;
mod field;

pub use error::ScheduleError;

/// Years that may be named.
const YEARS: std::ops::RangeInclusive<u16> = 1970..=2199;

/// A time zone of the IANA database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone(TimeZone);

impl Zone {
    /// Coordinated Universal Time.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// Finds one by its name, such as `Europe/Berlin`.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn parse(name: &str) -> Result<Self, ScheduleError> {
        let found = TimeZone::get(name);
        found.map(Self).map_err(|_| {
            let name: String = name.chars().take(64).collect();
            ScheduleError(format!(
                "{name} is not a time zone of the IANA database, such as Etc/UTC or America/New_York"
            ))
        })
    }

    /// The moment at which its clocks show a time, by the rules of this module.
    fn moment(&self, shown: DateTime) -> Option<jiff::Timestamp> {
        let offset = match self.0.to_ambiguous_timestamp(shown).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset,
            AmbiguousOffset::Fold { before, .. } => before,
            AmbiguousOffset::Gap { before, .. } => {
                // With the offset from before the gap it lies behind it: back to where it began.
                let behind = before.to_timestamp(shown).ok()?;
                let soon = behind
                    .checked_add(jiff::SignedDuration::from_secs(1))
                    .ok()?;
                let change = self.0.preceding(soon).next();
                return change.map(|change| change.timestamp()).or(Some(behind));
            }
        };
        offset.to_timestamp(shown).ok()
    }
}

/// When something is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Schedule {
    /// At times of a calendar.
    Cron(Box<Cron>),
    /// Again and again after so long.
    Rate(Duration),
}

impl Schedule {
    /// Reads an expression.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, ScheduleError> {
        let within = |word: &str| {
            let rest = text.trim().strip_prefix(word)?.strip_prefix('(')?;
            rest.strip_suffix(')')
        };
        if let Some(fields) = within("cron") {
            return Ok(Self::Cron(Box::new(Cron::parse(fields)?)));
        }
        if let Some(rate) = within("rate") {
            return parse_rate(rate).map(Self::Rate);
        }
        let text: String = text.chars().take(256).collect();
        Err(ScheduleError(format!(
            "{text} is neither cron(minutes hours day-of-month month day-of-week year) nor rate(value unit)"
        )))
    }

    /// The first time that it is due after a moment. Rates count from `begun`.
    pub fn next(&self, zone: &Zone, begun: Timestamp, after: Timestamp) -> Option<Timestamp> {
        match self {
            Self::Cron(cron) => cron.next(zone, after),
            Self::Rate(every) => {
                let every_us = i64::try_from(every.as_micros()).ok()?;
                let passed = after.0.saturating_sub(begun.0).div_euclid(every_us);
                let count = passed.saturating_add(1).max(1);
                let next = count.checked_mul(every_us)?.checked_add(begun.0)?;
                Some(Timestamp(next))
            }
        }
    }
}

fn parse_rate(text: &str) -> Result<Duration, ScheduleError> {
    let wrong = || {
        ScheduleError(format!(
            "rate({}) is not rate(value unit): a whole number of at least 1, and minute, minutes, hour, hours, day or days",
            text.chars().take(64).collect::<String>()
        ))
    };
    let (value, unit) = text.trim().split_once(' ').ok_or_else(wrong)?;
    let value: u32 = value.parse().map_err(|_| wrong())?;
    let seconds: u64 = match (value, unit.trim()) {
        (0, _) => return Err(wrong()),
        (1, "minute") | (2.., "minutes") => 60,
        (1, "hour") | (2.., "hours") => 3_600,
        (1, "day") | (2.., "days") => 24 * 3_600,
        _ => return Err(wrong()),
    };
    Ok(Duration::from_secs(seconds * u64::from(value)))
}

/// `cron(minutes hours day-of-month month day-of-week year)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cron {
    minutes: Field,
    hours: Field,
    months: Field,
    years: Field,
    days: Days,
}

const MONTHS: [&str; 12] = [
    "JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC",
];

impl Cron {
    fn parse(text: &str) -> Result<Self, ScheduleError> {
        let fields: Vec<&str> = text.split_whitespace().collect();
        let [minutes, hours, of_month, months, of_week, years] = fields.as_slice() else {
            return Err(ScheduleError(format!(
                "a cron expression has six fields (minutes, hours, day-of-month, month, day-of-week and year), and this one has {}",
                fields.len()
            )));
        };
        Ok(Self {
            minutes: Field::parse("minutes", minutes, 0..=59, &[])?,
            hours: Field::parse("hours", hours, 0..=23, &[])?,
            months: Field::parse("month", months, 1..=12, &MONTHS)?,
            years: Field::parse("year", years, YEARS, &[])?,
            days: Days::parse(of_month, of_week)?,
        })
    }

    /// The first time after a moment, on the clocks of a zone; none: never again.
    fn next(&self, zone: &Zone, after: Timestamp) -> Option<Timestamp> {
        let after = jiff::Timestamp::from_microsecond(after.0).ok()?;
        let today = zone.0.to_datetime(after).date();
        // From the day before: in a gap a time belongs to a later moment than its date says.
        let mut date = today.yesterday().ok()?;
        while date.year() <= i16::try_from(*YEARS.end()).ok()? {
            let (year, month) = (u16::try_from(date.year()).ok()?, date.month());
            if !self.years.has(year) {
                date = Date::new(date.year() + 1, 1, 1).ok()?;
                continue;
            }
            if !self.months.has(u16::from(month.unsigned_abs())) {
                date = date.last_of_month().tomorrow().ok()?;
                continue;
            }
            if self.days.has(date)
                && let Some(found) = self.on(zone, date, after)
            {
                return Some(Timestamp(found.as_microsecond()));
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    /// The first time of a day after a moment.
    fn on(&self, zone: &Zone, date: Date, after: jiff::Timestamp) -> Option<jiff::Timestamp> {
        let hours = self.hours.all().filter_map(|hour| i8::try_from(hour).ok());
        hours
            .flat_map(|hour| self.minutes.all().map(move |minute| (hour, minute)))
            .filter_map(|(hour, minute)| {
                let shown = date.at(hour, i8::try_from(minute).ok()?, 0, 0);
                zone.moment(shown)
            })
            .find(|moment| after < *moment)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse(text).expect("a moment")
    }

    /// The first times after a moment, as a zone's clocks and UTC show them.
    fn times(expression: &str, zone: &str, after: &str, count: usize) -> Vec<String> {
        let schedule = Schedule::parse(expression).expect(expression);
        let zone = Zone::parse(zone).expect("a zone");
        let mut after = at(after);
        let mut found = Vec::new();
        while found.len() < count {
            let Some(next) = schedule.next(&zone, after, after) else {
                break;
            };
            assert!(after < next, "{expression}");
            found.push(next.to_rfc3339_secs());
            after = next;
        }
        found
    }

    /// The examples of "Cron expressions reference" and AWS Backup's default, from the 28th of
    /// February 2024 (a Wednesday of a leap year), 23:59, on.
    #[test]
    fn the_examples_of_the_reference() {
        for (expression, wanted) in [
            (
                "cron(0 10 * * ? *)",
                ["2024-02-29T10:00:00Z", "2024-03-01T10:00:00Z"],
            ),
            (
                "cron(15 12 * * ? *)",
                ["2024-02-29T12:15:00Z", "2024-03-01T12:15:00Z"],
            ),
            (
                "cron(0 18 ? * MON-FRI *)",
                ["2024-02-29T18:00:00Z", "2024-03-01T18:00:00Z"],
            ),
            (
                "cron(0 8 1 * ? *)",
                ["2024-03-01T08:00:00Z", "2024-04-01T08:00:00Z"],
            ),
            (
                "cron(0/15 * * * ? *)",
                ["2024-02-29T00:00:00Z", "2024-02-29T00:15:00Z"],
            ),
            (
                "cron(0/10 * ? * MON-FRI *)",
                ["2024-02-29T00:00:00Z", "2024-02-29T00:10:00Z"],
            ),
            (
                "cron(0/5 8-17 ? * MON-FRI *)",
                ["2024-02-29T08:00:00Z", "2024-02-29T08:05:00Z"],
            ),
            (
                "cron(0 9 ? * 2#1 *)",
                ["2024-03-04T09:00:00Z", "2024-04-01T09:00:00Z"],
            ),
            (
                "cron(15 10 ? * 6L 2022-2025)",
                ["2024-03-29T10:15:00Z", "2024-04-26T10:15:00Z"],
            ),
            (
                "cron(0 5 ? * * *)",
                ["2024-02-29T05:00:00Z", "2024-03-01T05:00:00Z"],
            ),
            (
                "cron(0 0 L * ? *)",
                ["2024-02-29T00:00:00Z", "2024-03-31T00:00:00Z"],
            ),
            (
                "cron(0 0 LW * ? *)",
                ["2024-02-29T00:00:00Z", "2024-03-29T00:00:00Z"],
            ),
            // The 3rd of March is a Sunday, the 1st of June a Saturday: the nearest weekday of the month.
            (
                "cron(0 0 3W * ? *)",
                ["2024-03-04T00:00:00Z", "2024-04-03T00:00:00Z"],
            ),
            (
                "cron(0 0 1W JUN ? *)",
                ["2024-06-03T00:00:00Z", "2025-06-02T00:00:00Z"],
            ),
            (
                "cron(0 0 ? * L *)",
                ["2024-03-02T00:00:00Z", "2024-03-09T00:00:00Z"],
            ),
            (
                "cron(0 0 ? * 1 *)",
                ["2024-03-03T00:00:00Z", "2024-03-10T00:00:00Z"],
            ),
            (
                "cron(0 22-1/2 ? * SAT-MON *)",
                ["2024-03-02T00:00:00Z", "2024-03-02T22:00:00Z"],
            ),
            (
                "cron(30 1 29 2 ? *)",
                ["2024-02-29T01:30:00Z", "2028-02-29T01:30:00Z"],
            ),
            (
                "cron(0 0 1,15 JAN,jul ? 2025/2)",
                ["2025-01-01T00:00:00Z", "2025-01-15T00:00:00Z"],
            ),
        ] {
            assert_eq!(
                times(expression, "Etc/UTC", "2024-02-28T23:59:00Z", 2),
                wanted,
                "{expression}"
            );
        }
    }

    #[test]
    fn what_has_an_end_ends() {
        let all = times(
            "cron(0 0 31 12 ? 2199)",
            "Etc/UTC",
            "2024-01-01T00:00:00Z",
            3,
        );
        assert_eq!(all, ["2199-12-31T00:00:00Z"]);
        assert!(times("cron(0 0 1 1 ? 2023)", "Etc/UTC", "2024-01-01T00:00:00Z", 3).is_empty());
        assert!(times("cron(0 0 30 2 ? *)", "Etc/UTC", "2024-01-01T00:00:00Z", 3).is_empty());
    }

    /// New York's clocks went from 02:00 to 03:00 on 10 March 2024 (07:00Z), and from 02:00 back to
    /// 01:00 on 3 November (06:00Z).
    #[test]
    fn clocks_that_are_changed() {
        let daily = |zone, after, count| times("cron(30 2 * * ? *)", zone, after, count);
        assert_eq!(
            daily("America/New_York", "2024-03-09T12:00:00Z", 2),
            ["2024-03-10T07:00:00Z", "2024-03-11T06:30:00Z"]
        );
        let each_half_hour = "cron(0/30 * * * ? *)";
        assert_eq!(
            times(
                each_half_hour,
                "America/New_York",
                "2024-03-10T06:00:00Z",
                3
            ),
            [
                "2024-03-10T06:30:00Z",
                "2024-03-10T07:00:00Z",
                "2024-03-10T07:30:00Z"
            ]
        );
        assert_eq!(
            times(
                "cron(30 1 * * ? *)",
                "America/New_York",
                "2024-11-02T12:00:00Z",
                2
            ),
            ["2024-11-03T05:30:00Z", "2024-11-04T06:30:00Z"]
        );
        assert_eq!(
            times(
                each_half_hour,
                "America/New_York",
                "2024-11-03T05:00:00Z",
                3
            ),
            [
                "2024-11-03T05:30:00Z",
                "2024-11-03T07:00:00Z",
                "2024-11-03T07:30:00Z"
            ]
        );
        // A day that begins with a gap: Cairo went from 00:00 to 01:00 on 26 April 2024.
        assert_eq!(
            times(
                "cron(15 0 * * ? *)",
                "Africa/Cairo",
                "2024-04-25T12:00:00Z",
                2
            ),
            ["2024-04-25T22:00:00Z", "2024-04-26T21:15:00Z"]
        );
        assert_eq!(
            times(
                "cron(0 5 ? * * *)",
                "Asia/Kolkata",
                "2024-01-01T00:00:00Z",
                1
            ),
            ["2024-01-01T23:30:00Z"]
        );
    }

    #[test]
    fn rates_count_from_where_they_began() {
        let begun = at("2024-01-01T00:00:30Z");
        for (rate, after, wanted) in [
            (
                "rate(5 minutes)",
                "2024-01-01T00:00:30Z",
                "2024-01-01T00:05:30Z",
            ),
            (
                "rate(1 hour)",
                "2024-01-01T10:30:00Z",
                "2024-01-01T11:00:30Z",
            ),
            (
                "rate(2 days)",
                "2024-01-03T00:00:30Z",
                "2024-01-05T00:00:30Z",
            ),
            (
                "rate(1 day)",
                "2020-01-01T00:00:00Z",
                "2024-01-02T00:00:30Z",
            ),
        ] {
            let schedule = Schedule::parse(rate).expect("a rate");
            let next = schedule.next(&Zone::UTC, begun, at(after));
            assert_eq!(next, Some(at(wanted)), "{rate}");
        }
    }

    #[test]
    fn what_is_wrong_is_told() {
        for text in [
            "",
            "0 5 * * ? *",
            "cron()",
            "cron(0 5 * * ?)",
            "cron(0 5 * * * *)",
            "cron(0 5 ? * ? *)",
            "cron(0 5 1 * 1 *)",
            "cron(60 5 * * ? *)",
            "cron(0 24 * * ? *)",
            "cron(0 5 0 * ? *)",
            "cron(0 5 32 * ? *)",
            "cron(0 5 * 13 ? *)",
            "cron(0 5 ? * 8 *)",
            "cron(0 5 ? * 0 *)",
            "cron(0 5 * * ? 1969)",
            "cron(0 5 * * ? 2200)",
            "cron(0 5 * * ? 2030-2020)",
            "cron(0/0 5 * * ? *)",
            "cron(0 5 ? * 3#1,6#3 *)",
            "cron(0 5 ? * 3#6 *)",
            "cron(0 5 ? * 3#0 *)",
            "cron(0 5 ? * MON/2 *)",
            "cron(0 5 W * ? *)",
            "cron(0 5 32W * ? *)",
            "cron(0 5 * FOO ? *)",
            "cron(, 5 * * ? *)",
            "cron(-1 5 * * ? *)",
            "cron(? 5 * * ? *)",
            "cron(+1 5 * * ? *)",
            "cron(0 5 * * ? * *)",
            "rate(0 minutes)",
            "rate(1 minutes)",
            "rate(2 minute)",
            "rate(5)",
            "rate(1 week)",
            "rate(-1 days)",
        ] {
            assert!(Schedule::parse(text).is_err(), "{text}");
        }
        assert!(Zone::parse("Mars/Olympus").is_err());
    }
}
