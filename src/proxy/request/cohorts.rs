//! Clients that go to green before others, by a rule.

use http::header::COOKIE;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::choose::Chosen;
use super::client::Client;
use super::client_key::cookie;
use super::service::{Service, Serving};
use crate::config::{Cohort, Sent};
use crate::gate::Version;
use crate::gate::route::Goes;
use crate::live::Place;
use crate::measure::clients::Drawn;
use crate::measure::shard::{Arm, Member, Standing};
use crate::release::Weight;
use crate::routing::Table;

impl Service {
    /// To green, where the request is of a cohort that is there.
    pub(super) fn of_cohort(
        &self,
        serving: &Serving,
        (head, place, client): (&Parts, Place, &Client),
        table: Table,
    ) -> Option<Chosen> {
        let settings = serving.settings();
        let mut on_green = settings.cohorts.iter().enumerate().filter(|(number, _)| table.cohorts().contains(*number));
        let (number, _) = on_green.find(|(_, cohort)| is_of(cohort, serving, head, client))?;
        let version = Version::Green;
        let section = table.roles.section(version);
        if place.goes == Goes::ToBlue || serving.endpoints.of(section).is_empty() {
            return None;
        }
        let is_aside = place.goes == Goes::Excluded || self.is_beyond_share(settings, head, client, version);
        let member = Member { cohort: number as u8, warms_up: false };
        let standing = if is_aside { Standing::Aside } else { Standing::Cohort(member) };
        let (drawn, arm, copied) = (Drawn::Request, Arm::Rest, Weight::ZERO);
        Some(Chosen { version, section, routed: table.routed(), drawn, arm, standing, route: place.route, copied })
    }
}

fn is_of(cohort: &Cohort, serving: &Serving, head: &Parts, client: &Client) -> bool {
    has_sent(cohort, &head.headers)
        && cohort.is_for(head.uri.path())
        && cohort.is_from(|| serving.origin(&head.headers, client))
}

fn has_sent(cohort: &Cohort, headers: &HeaderMap) -> bool {
    let header = |wanted: &Sent<HeaderName>| {
        headers.get_all(&wanted.name).iter().map(HeaderValue::as_bytes).any(|value| wanted.fits(value))
    };
    let in_cookie = |wanted: &Sent<String>| {
        let mut all = headers.get_all(COOKIE).iter();
        all.find_map(|all| cookie(all.as_bytes(), wanted.name.as_bytes())).is_some_and(|value| wanted.fits(value))
    };
    cohort.header.as_ref().is_none_or(header) && cohort.cookie.as_ref().is_none_or(in_cookie)
}
