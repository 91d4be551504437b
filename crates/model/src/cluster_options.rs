//! What a cluster's owner chose beside the database itself, and what waits to be changed.
//!
//! Most of it changes nothing here: it is recorded, and answered again as it was given.
use serde::{Deserialize, Serialize};

use crate::{clock::Timestamp, names::ClusterName};

/// An IAM role that a cluster has, in the words of its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClusterRole {
    /// Its ARN.
    pub arn: String,
    /// What it is for, such as `s3Import`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
}

/// What was chosen; none where the default is answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ClusterOptions {
    /// `ddd:hh24:mi-ddd:hh24:mi` in lower case, UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<String>,
    /// A cluster parameter group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter_group: Option<String>,
    /// A subnet group's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_group: Option<String>,
    /// Names of VPC security groups.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub security_groups: Vec<String>,
    /// Its IAM roles.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<ClusterRole>,
    /// `IPV4` or `DUAL`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network_type: Option<String>,
    /// Whether minor versions come by themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auto_minor_version_upgrade: Option<bool>,
    /// Whether it is reached from outside its network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publicly_accessible: Option<bool>,
    /// `open-source-rds-extended-support`, or the same with `-disabled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lifecycle_support: Option<String>,
    /// Kinds of logs that are to be exported.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub log_exports: Vec<String>,
    /// Seconds between two measurements; 0 for none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring_interval: Option<u32>,
    /// The role that measurements are sent by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub monitoring_role: Option<String>,
    /// `standard` or `advanced`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub insights_mode: Option<String>,
    /// Whether Performance Insights is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_insights: Option<bool>,
    /// Its key, as it was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_insights_key: Option<String>,
    /// Days that its data are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_insights_days: Option<u32>,
    /// The certificate authority that was named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_certificate: Option<String>,
}

impl ClusterOptions {
    /// Whether nothing was chosen.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Changes that were asked for and wait for a restart or the maintenance window.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PendingChanges {
    /// Its name to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<ClusterName>,
    /// Its version to be, of the same series.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub engine_version: Option<String>,
    /// Its port to be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<u16>,
}

impl PendingChanges {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Whether what waits needs a restart.
    pub fn restarts(&self) -> bool {
        self.engine_version.is_some() || self.port.is_some()
    }
}

/// Minutes of a day and of a week.
const DAY: u32 = 24 * 60;
const WEEK: u32 = 7 * DAY;
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// The least length of a window, in minutes.
const WINDOW_MIN: u32 = 30;

/// A stretch of minutes that comes again each day or each week.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    start: u32,
    minutes: u32,
    period: u32,
}

fn clock(text: &str) -> Option<u32> {
    let (hours, minutes) = text.split_once(':')?;
    let digits = |part: &str| part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(hours) || !digits(minutes) {
        return None;
    }
    let (hours, minutes): (u32, u32) = (hours.parse().ok()?, minutes.parse().ok()?);
    (hours < 24 && minutes < 60).then_some(hours * 60 + minutes)
}

fn day_and_clock(text: &str) -> Option<u32> {
    let (day, time) = text.split_once(':')?;
    let day = DAYS.iter().position(|one| one.eq_ignore_ascii_case(day))?;
    Some(u32::try_from(day).ok()? * DAY + clock(time)?)
}

impl Window {
    fn between(start: u32, end: u32, period: u32) -> Option<Self> {
        let minutes = (end + period - start) % period;
        (WINDOW_MIN <= minutes).then_some(Self {
            start,
            minutes,
            period,
        })
    }

    /// Reads `hh24:mi-hh24:mi`: half an hour or more, each day.
    pub fn daily(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        Self::between(clock(start)?, clock(end)?, DAY)
    }

    /// Reads `ddd:hh24:mi-ddd:hh24:mi`: half an hour or more, each week.
    pub fn weekly(text: &str) -> Option<Self> {
        let (start, end) = text.split_once('-')?;
        Self::between(day_and_clock(start)?, day_and_clock(end)?, WEEK)
    }

    /// Half an hour a day that a moment draws.
    pub fn drawn(moment: Timestamp) -> Self {
        let start = moment.0.rem_euclid(i64::from(DAY));
        Self {
            start: u32::try_from(start).unwrap_or(0),
            minutes: WINDOW_MIN,
            period: DAY,
        }
    }

    /// Half an hour inside it, which `draw` chooses.
    pub fn part(self, draw: u32) -> Self {
        let choices = self.minutes - WINDOW_MIN + 1;
        Self {
            start: (self.start + draw % choices) % self.period,
            minutes: WINDOW_MIN,
            period: self.period,
        }
    }

    /// The same length so much later.
    pub fn later(self, minutes: u32) -> Self {
        Self {
            start: (self.start + minutes) % self.period,
            ..self
        }
    }

    /// Half an hour a week that begins as a daily window ends, on a day that `moment` draws.
    pub fn weekly_after(daily: Self, moment: Timestamp) -> Self {
        let day = u32::try_from(moment.0.rem_euclid(7)).unwrap_or(0);
        Self {
            start: (day * DAY + daily.start + daily.minutes) % WEEK,
            minutes: WINDOW_MIN,
            period: WEEK,
        }
    }

    /// Whether a weekly window and a daily one have a minute in common.
    pub fn overlaps(self, daily: Self) -> bool {
        (0..7).any(|day| {
            let other = (day * DAY + daily.start) % WEEK;
            let ahead = (other + WEEK - self.start) % WEEK;
            let behind = (self.start + WEEK - other) % WEEK;
            ahead < self.minutes || behind < daily.minutes
        })
    }

    /// Minutes since it opened last.
    fn open_for(self, moment: Timestamp) -> u32 {
        // 1970 began on a Thursday.
        let minutes = moment.seconds().div_euclid(60) + i64::from(3 * DAY);
        let at = u32::try_from(minutes.rem_euclid(i64::from(self.period))).unwrap_or(0);
        (at + self.period - self.start) % self.period
    }

    /// Whether it is open at a moment.
    pub fn contains(self, moment: Timestamp) -> bool {
        self.open_for(moment) < self.minutes
    }

    /// When it opened last.
    pub fn last_opening(self, moment: Timestamp) -> Timestamp {
        let minute = moment.0 - moment.0.rem_euclid(60_000_000);
        Timestamp(minute - i64::from(self.open_for(moment)) * 60_000_000)
    }

    /// The text that it is read from, in lower case.
    pub fn text(self) -> String {
        let end = (self.start + self.minutes) % self.period;
        format!("{}-{}", self.moment(self.start), self.moment(end))
    }

    fn moment(self, at: u32) -> String {
        let time = format!("{:02}:{:02}", at % DAY / 60, at % 60);
        match self.period {
            DAY => time,
            _ => format!("{}:{time}", DAYS[(at / DAY % 7) as usize]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_read_and_written() {
        for good in [
            "mon:23:45-tue:00:15",
            "sun:23:45-mon:00:15",
            "wed:03:00-wed:03:30",
        ] {
            assert_eq!(Window::weekly(good).expect(good).text(), good);
        }
        let upper = Window::weekly("Mon:03:00-MON:04:00").expect("days have any case");
        assert_eq!(upper.text(), "mon:03:00-mon:04:00");
        for bad in [
            "mon:03:00-mon:03:29",
            "mon:03:00",
            "03:00-04:00",
            "foo:03:00-mon:04:00",
            "mon:24:00-tue:01:00",
            "mon:3:00-mon:4:00",
            "",
            "mon:+3:00-mon:04:00",
        ] {
            assert_eq!(Window::weekly(bad), None, "{bad}");
        }
        assert_eq!(
            Window::daily("23:45-00:15").expect("over midnight").text(),
            "23:45-00:15"
        );
        assert_eq!(Window::daily("01:00-01:29"), None);
    }

    #[test]
    fn windows_that_meet_are_told() {
        let daily = Window::daily("23:30-00:30").expect("good");
        for (weekly, meets) in [
            ("sun:00:00-sun:00:30", true),
            ("sat:23:00-sat:23:31", true),
            ("sat:23:00-sat:23:30", false),
            ("tue:00:30-tue:01:00", false),
            ("tue:22:00-wed:02:00", true),
            ("sun:23:45-mon:00:15", true),
        ] {
            let weekly = Window::weekly(weekly).expect("good");
            assert_eq!(weekly.overlaps(daily), meets, "{}", weekly.text());
        }
        for moment in 0..14 {
            let drawn = Window::weekly_after(daily, Timestamp(moment));
            assert!(!drawn.overlaps(daily), "{}", drawn.text());
            assert_eq!(Window::weekly(&drawn.text()), Some(drawn));
        }
    }

    #[test]
    fn a_window_is_open_in_its_minutes() {
        let weekly = Window::weekly("sat:23:45-sun:00:15").expect("good");
        for (moment, open) in [
            ("2026-11-28T23:44:59Z", false),
            ("2026-11-28T23:45:00Z", true),
            ("2026-11-29T00:14:59Z", true),
            ("2026-11-29T00:15:00Z", false),
            ("2026-11-27T23:50:00Z", false),
        ] {
            let at = Timestamp::parse(moment).expect("a moment");
            assert_eq!(weekly.contains(at), open, "{moment}");
        }
        let at = |text: &str| Timestamp::parse(text).expect("a moment");
        let daily = Window::daily("23:45-00:15").expect("good");
        assert!(daily.contains(at("2026-11-27T23:50:00Z")));
        for (moment, opened) in [
            ("2026-11-27T23:45:00Z", "2026-11-27T23:45:00Z"),
            ("2026-11-28T00:00:59.5Z", "2026-11-27T23:45:00Z"),
            ("2026-11-27T23:44:59Z", "2026-11-26T23:45:00Z"),
        ] {
            assert_eq!(daily.last_opening(at(moment)), at(opened), "{moment}");
        }
    }
}
