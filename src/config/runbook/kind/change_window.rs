//! Times of the week in which a release may go on.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, ToSpan, Zoned};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::quantity::quoted;
use crate::config::raw::Element;
use crate::config::report::{Scope, Wrong};

/// Where `to` is not after `from`, it is of the day after.
#[derive(Clone, Debug, PartialEq)]
pub struct ChangeWindow {
    /// On which it begins, in the order of the week.
    pub days: Vec<Weekday>,
    pub from: Time,
    pub to: Time,
    pub zone: TimeZone,
}

#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(in crate::config) struct RawChangeWindow {
    pub(in crate::config) days: Option<Vec<Element<String>>>,
    #[schemars(required)]
    pub(in crate::config) from: Option<String>,
    #[schemars(required)]
    pub(in crate::config) to: Option<String>,
    pub(in crate::config) zone: Option<String>,
}

/// From Monday.
const WEEK: [(&str, Weekday); 7] = [
    ("mon", Weekday::Monday),
    ("tue", Weekday::Tuesday),
    ("wed", Weekday::Wednesday),
    ("thu", Weekday::Thursday),
    ("fri", Weekday::Friday),
    ("sat", Weekday::Saturday),
    ("sun", Weekday::Sunday),
];

impl ChangeWindow {
    /// How long it is shut yet; none while it is open.
    pub fn shut_for(&self, now: Timestamp) -> Option<SignedDuration> {
        let today = now.to_zoned(self.zone.clone()).date();
        // One that began yesterday may last until today, and the next one begins within a week.
        let days = (-1..=8).filter_map(|days| today.checked_add(days.days()).ok());
        let windows = days.filter(|day| self.days.contains(&day.weekday())).filter_map(|day| self.on(day));
        let next = windows.map(|(from, to)| (from.timestamp(), to.timestamp())).find(|(_, to)| now < *to);
        match next {
            Some((from, _)) if from <= now => None,
            Some((from, _)) => Some(from.duration_since(now)),
            // At the end of the calendar.
            None => Some(SignedDuration::from_hours(24)),
        }
    }

    fn on(&self, day: Date) -> Option<(Zoned, Zoned)> {
        let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
        let at = |day: Date, time: Time| day.to_datetime(time).to_zoned(self.zone.clone()).ok();
        Some((at(day, self.from)?, at(last, self.to)?))
    }
}

pub(in crate::config::runbook) fn change_window(
    scope: &mut Scope<'_, '_>,
    raw: RawChangeWindow,
) -> Option<ChangeWindow> {
    let days = match raw.days {
        Some(raw) => days(&mut scope.key("days"), raw),
        None => Some(WEEK.map(|(_, day)| day).to_vec()),
    };
    let from = scope.required("from", raw.from, |text| time(&text));
    let to = scope.required("to", raw.to, |text| time(&text));
    let zone = scope.optional("zone", raw.zone, TimeZone::UTC, |name| {
        TimeZone::get(&name).map_err(|_| {
            Wrong::new(format!("{} is not a time zone", quoted(&name)), "write a name like `Europe/Berlin`, or `UTC`")
        })
    });
    Some(ChangeWindow { days: days?, from: from?, to: to?, zone: zone? })
}

/// Each a day, or a range of them like `mon-fri`.
fn days(scope: &mut Scope<'_, '_>, raw: Vec<Element<String>>) -> Option<Vec<Weekday>> {
    let count = raw.len();
    let (mut all, mut good) = (Vec::new(), 0);
    if raw.is_empty() {
        scope.wrong_here(Wrong::new("is empty", "write days, like `[mon-fri]`, or remove it"));
        return None;
    }
    for (index, written) in raw.into_iter().enumerate() {
        let Some(written) = written else { continue };
        let numbered = |name: &str| WEEK.iter().position(|(day, _)| *day == name.trim());
        let (first, last) = written.split_once('-').unwrap_or((&written, &written));
        let (Some(first), Some(last)) = (numbered(first), numbered(last)) else {
            let label = "write `mon`, `tue`, `wed`, `thu`, `fri`, `sat` or `sun`, or a range like `mon-fri`";
            scope.wrong_element(index, Wrong::new(format!("{} is not a day", quoted(&written)), label));
            continue;
        };
        good += 1;
        let length = (last + 7 - first) % 7;
        all.extend((first..=first + length).map(|day| WEEK[day % 7].1));
    }
    (good == count).then_some(all)
}

fn time(text: &str) -> Result<Time, Wrong> {
    let parts = text.split_once(':').filter(|(hour, minute)| hour.len() == 2 && minute.len() == 2);
    let time = parts.and_then(|(hour, minute)| Time::new(hour.parse().ok()?, minute.parse().ok()?, 0, 0).ok());
    time.ok_or_else(|| Wrong::new(format!("{} is not a time of the day", quoted(text)), "write one like `\"09:00\"`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window(days: &[Weekday], from: i8, to: i8) -> ChangeWindow {
        let time = |hour| Time::new(hour, 0, 0, 0).expect("a time");
        let zone = TimeZone::get("Europe/Berlin").expect("it is known");
        ChangeWindow { days: days.to_vec(), from: time(from), to: time(to), zone }
    }

    #[track_caller]
    fn check(window: &ChangeWindow, now: &str, shut_for: Option<SignedDuration>) {
        let now: Timestamp = now.parse().expect("a time");
        assert_eq!(window.shut_for(now), shut_for, "{now}");
    }

    #[test]
    fn a_change_window_is_open_between_its_times_on_its_days() {
        let days = [Weekday::Monday, Weekday::Friday];
        let window = window(&days, 9, 17);
        // 2026-11-30 is a Monday, and Berlin an hour ahead of UTC.
        check(&window, "2026-11-30T08:00:00Z", None);
        check(&window, "2026-11-30T15:59:59Z", None);
        check(&window, "2026-11-30T07:59:00Z", Some(SignedDuration::from_mins(1)));
        check(&window, "2026-11-30T16:00:00Z", Some(SignedDuration::from_hours(3 * 24 + 16)));
        check(&window, "2026-12-05T08:00:00Z", Some(SignedDuration::from_hours(48)));
    }

    #[test]
    fn a_change_window_goes_by_the_clock_of_its_zone() {
        // Summer time begins on 2026-03-29, a Sunday, at two: that day has 23 hours.
        let window = window(&[Weekday::Sunday], 9, 17);
        check(&window, "2026-03-29T07:00:00Z", None);
        check(&window, "2026-03-28T23:00:00Z", Some(SignedDuration::from_hours(8)));
    }

    #[test]
    fn a_change_window_may_last_over_midnight() {
        let window = window(&[Weekday::Monday], 22, 4);
        check(&window, "2026-11-30T21:00:00Z", None);
        check(&window, "2026-12-01T02:59:59Z", None);
        check(&window, "2026-12-01T03:00:00Z", Some(SignedDuration::from_hours(6 * 24 + 18)));
    }
}
