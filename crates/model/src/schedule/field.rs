//! The fields of a cron expression.
use std::ops::RangeInclusive;

use jiff::civil::Date;

use super::error::ScheduleError;

const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// Values that a field stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    first: u16,
    /// Whether each of them, from the first one on, is one.
    has: Vec<bool>,
}

fn wrong(name: &str, text: &str, why: &str) -> ScheduleError {
    let text: String = text.chars().take(64).collect();
    ScheduleError(format!("the field {name} is {text}: {why}"))
}

/// Digits alone: no sign.
fn number(text: &str) -> Option<u16> {
    let is_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_digits.then(|| text.parse().ok())?
}

/// A number, or one of the names, of which the first is the first value.
fn value(text: &str, allowed: &RangeInclusive<u16>, names: &[&str]) -> Option<u16> {
    let named = || {
        let place = names
            .iter()
            .position(|name| name.eq_ignore_ascii_case(text))?;
        Some(u16::try_from(place).ok()? + allowed.start())
    };
    let found = number(text).or_else(named)?;
    allowed.contains(&found).then_some(found)
}

impl Field {
    /// Reads `*`, `a`, `a-b`, `a/n`, `a-b/n`, `*/n`, and lists of them. A range of what comes round
    /// again may lead over its end (`FRI-MON`).
    pub(super) fn parse(
        name: &str,
        text: &str,
        allowed: RangeInclusive<u16>,
        names: &[&str],
    ) -> Result<Self, ScheduleError> {
        let (first, last) = (*allowed.start(), *allowed.end());
        let mut found = Self {
            first,
            has: vec![false; usize::from(last - first) + 1],
        };
        for item in text.split(',') {
            found.add(item, &allowed, names).ok_or_else(|| {
                wrong(
                    name,
                    text,
                    &format!("its values are {first} to {last}, with the wildcards of EventBridge"),
                )
            })?;
        }
        Ok(found)
    }

    fn add(&mut self, item: &str, allowed: &RangeInclusive<u16>, names: &[&str]) -> Option<()> {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| 0 < *step)?)),
            None => (item, None),
        };
        let read = |text| value(text, allowed, names);
        let (low, high) = match range.split_once('-') {
            _ if range == "*" => (*allowed.start(), *allowed.end()),
            Some((low, high)) => (read(low)?, read(high)?),
            // `a/n` goes on to the end.
            None if step.is_some() => (read(range)?, *allowed.end()),
            None => (read(range)?, read(range)?),
        };
        let count = allowed.end() - allowed.start() + 1;
        let comes_round = count < 100;
        let span = match low <= high {
            true => high - low,
            false if comes_round => high + count - low,
            false => return None,
        };
        let step = usize::from(step.unwrap_or(1));
        for passed in (0..=span).step_by(step) {
            let place = usize::from((low - allowed.start() + passed) % count);
            *self.has.get_mut(place)? = true;
        }
        Some(())
    }

    pub(super) fn has(&self, value: u16) -> bool {
        let place = value.checked_sub(self.first).map(usize::from);
        place.is_some_and(|place| self.has.get(place) == Some(&true))
    }

    /// Its values, rising.
    pub(super) fn all(&self) -> impl Iterator<Item = u16> + '_ {
        let values = self.first..;
        values
            .zip(&self.has)
            .filter(|(_, has)| **has)
            .map(|(value, _)| value)
    }
}

/// Which days, by one of the two fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Days {
    /// By the day of the month.
    OfMonth(Vec<OfMonth>),
    /// By the day of the week, 1 being Sunday.
    OfWeek(OfWeek),
}

/// A part of the list of days of the month.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OfMonth {
    Days(Field),
    /// `L`.
    Last,
    /// `LW`.
    LastWeekday,
    /// `15W`: the weekday of the month that is nearest to a day.
    NearestWeekday(i8),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OfWeek {
    Days(Field),
    /// `6L`: the last Friday of the month.
    Last(i8),
    /// `3#2`: the second Tuesday of the month.
    Nth(i8, i8),
}

impl Days {
    pub(super) fn parse(of_month: &str, of_week: &str) -> Result<Self, ScheduleError> {
        match (of_month, of_week) {
            ("?", "?") => Err(ScheduleError(
                "only one of day-of-month and day-of-week can be ?".to_owned(),
            )),
            ("?", of_week) => OfWeek::parse(of_week).map(Self::OfWeek),
            (of_month, "?") => {
                let items = of_month.split(',').map(OfMonth::parse);
                Ok(Self::OfMonth(items.collect::<Result<_, _>>()?))
            }
            _ => Err(ScheduleError(
                "one of day-of-month and day-of-week must be ?".to_owned(),
            )),
        }
    }

    pub(super) fn has(&self, date: Date) -> bool {
        match self {
            Self::OfMonth(items) => items.iter().any(|item| item.has(date)),
            Self::OfWeek(day) => day.has(date),
        }
    }
}

fn is_weekday(date: Date) -> bool {
    date.weekday().to_monday_one_offset() <= 5
}

impl OfMonth {
    fn parse(item: &str) -> Result<Self, ScheduleError> {
        let name = "day-of-month";
        match item.to_ascii_uppercase().as_str() {
            "L" => Ok(Self::Last),
            "LW" | "WL" => Ok(Self::LastWeekday),
            item => match item.strip_suffix('W') {
                Some(day) => value(day, &(1..=31), &[])
                    .and_then(|day| i8::try_from(day).ok())
                    .map(Self::NearestWeekday)
                    .ok_or_else(|| wrong(name, item, "W stands behind a day from 1 to 31")),
                None => Field::parse(name, item, 1..=31, &[]).map(Self::Days),
            },
        }
    }

    fn has(&self, date: Date) -> bool {
        match self {
            Self::Days(days) => days.has(u16::from(date.day().unsigned_abs())),
            Self::Last => date == date.last_of_month(),
            Self::LastWeekday => {
                is_weekday(date) && {
                    let left = date.days_in_month() - date.day();
                    left == 0 || (left <= 2 && date.weekday().to_monday_one_offset() == 5)
                }
            }
            Self::NearestWeekday(day) => nearest_weekday(date, *day) == Some(date),
        }
    }
}

/// The weekday nearest to a day of a date's month, within that month.
fn nearest_weekday(within: Date, day: i8) -> Option<Date> {
    let wanted = Date::new(within.year(), within.month(), day).ok()?;
    let (first, last) = (day == 1, wanted == wanted.last_of_month());
    match wanted.weekday().to_monday_one_offset() {
        6 if first => wanted.tomorrow().and_then(Date::tomorrow).ok(),
        6 => wanted.yesterday().ok(),
        7 if last => wanted.yesterday().and_then(Date::yesterday).ok(),
        7 => wanted.tomorrow().ok(),
        _ => Some(wanted),
    }
}

impl OfWeek {
    fn parse(text: &str) -> Result<Self, ScheduleError> {
        let name = "day-of-week";
        let text = text.to_ascii_uppercase();
        let day = |text: &str| {
            let found = value(text, &(1..=7), &WEEKDAYS);
            let found = found.and_then(|day| i8::try_from(day).ok());
            found.ok_or_else(|| {
                wrong(
                    name,
                    text,
                    "a day of the week is 1 (Sunday) to 7, or SUN to SAT",
                )
            })
        };
        if text == "L" {
            return Field::parse(name, "7", 1..=7, &WEEKDAYS).map(Self::Days);
        }
        if let Some((of_week, count)) = text.split_once('#') {
            let count = value(count, &(1..=5), &[]).and_then(|count| i8::try_from(count).ok());
            let count =
                count.ok_or_else(|| wrong(name, &text, "behind # is one number from 1 to 5"))?;
            return Ok(Self::Nth(day(of_week)?, count));
        }
        if let Some(of_week) = text.strip_suffix('L') {
            return day(of_week).map(Self::Last);
        }
        if text.contains('/') {
            return Err(wrong(name, &text, "it has no increments"));
        }
        Field::parse(name, &text, 1..=7, &WEEKDAYS).map(Self::Days)
    }

    fn has(&self, date: Date) -> bool {
        let today = date.weekday().to_sunday_one_offset();
        match self {
            Self::Days(days) => days.has(u16::from(today.unsigned_abs())),
            Self::Last(day) => today == *day && date.days_in_month() < date.day() + 7,
            Self::Nth(day, count) => today == *day && (date.day() - 1) / 7 + 1 == *count,
        }
    }
}
