//! Slots as bytes. A number is a LEB128 varint. A slot is the nanoseconds since the slot before it, then
//!
//! - `0` and both versions, blue first: a byte of flags, requests and failures if there were any, and what the flags
//!   say is there;
//! - or `2`, both versions, and alike what is beside them: blue's late requests, green's, the arm, and how many failures are held;
//! - or `3`, both versions, `0` or `1` and what is beside them, how many routes, and each: its number and both versions;
//! - or `1`, a length, and so many bytes of JSON.
//!
//! Buckets are how many there are, then the distance of each index to the one before, then the counts: like stands by
//! like, which compresses better. A packed chunk is a byte that names this format, and the slots in a zlib stream, whose
//! checksum tells damage.

use std::io::{Read, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::{Beside, Buckets, Counted, Health, Input, OnRoute, Slot, Tick};
use crate::journal::error::Failure;
use crate::journal::record::nanos_of;

const FORMAT: u8 = 1;

const TICK: u8 = 0;
const OTHER: u8 = 1;
const TICK_AND_BESIDE: u8 = 2;
const TICK_AND_ROUTES: u8 = 3;

const REQUESTS: u8 = 1;
const HEAD: u8 = 1 << 1;
const WHOLE: u8 = 1 << 2;
const WAITING: u8 = 1 << 3;
const CLIENTS: u8 = 1 << 4;
const HEALTH: u8 = 1 << 5;
const UNHEALTHY: u8 = 1 << 6;

/// No chunk is nearly as long when unpacked; damage must not fill the memory.
const LONGEST: u64 = 64 << 20;

pub(super) fn write(slot: &Slot, before: Duration, to: &mut Vec<u8>) {
    number(nanos_of(slot.after.saturating_sub(before)), to);
    match &slot.input {
        Input::Tick(tick) => {
            let Tick { blue, green, beside, routes } = tick.as_ref();
            to.push(match (beside, routes.is_empty()) {
                (None, true) => TICK,
                (Some(_), true) => TICK_AND_BESIDE,
                (_, false) => TICK_AND_ROUTES,
            });
            counted(blue, to);
            counted(green, to);
            if !routes.is_empty() {
                to.push(u8::from(beside.is_some()));
            }
            if let Some(Beside { late_blue, late_green, arm, held }) = beside {
                [late_blue, late_green, arm].into_iter().for_each(|beside| counted(beside, to));
                number(*held, to);
            }
            if !routes.is_empty() {
                number(routes.len() as u64, to);
            }
            for OnRoute { number, blue, green } in routes {
                to.push(*number);
                counted(blue, to);
                counted(green, to);
            }
        }
        Input::Other(value) => {
            let json = value.to_string();
            to.push(OTHER);
            number(json.len() as u64, to);
            to.extend_from_slice(json.as_bytes());
        }
    }
}

pub(super) fn pack(slots: &[u8]) -> Vec<u8> {
    let mut zlib = ZlibEncoder::new(vec![FORMAT], Compression::best());
    zlib.write_all(slots).expect("memory takes every write");
    zlib.finish().expect("memory takes every write")
}

pub(in crate::journal) fn unpack(packed: &[u8]) -> Result<Vec<Slot>, Failure> {
    let zlib = match packed {
        [FORMAT, zlib @ ..] => zlib,
        [format, ..] => return Err(damaged(&format!("has the unknown format {format}"))),
        [] => return Err(damaged("is empty")),
    };
    let mut bytes = Vec::new();
    let length = ZlibDecoder::new(zlib).take(LONGEST).read_to_end(&mut bytes);
    length.map_err(|error| damaged(&format!("cannot be unpacked: {error}")))?;
    read(&bytes).ok_or_else(|| damaged("does not hold what it should"))
}

fn damaged(detail: &str) -> Failure {
    Failure::Corrupt(format!("a chunk of evidence {detail}"))
}

fn number(mut value: u64, to: &mut Vec<u8>) {
    while value >= 0x80 {
        to.push(value as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn counted(counted: &Counted, to: &mut Vec<u8>) {
    let Counted { requests, failures, head, whole, waiting, clients, health } = counted;
    let flag = |flag, set| if set { flag } else { 0 };
    to.push(
        flag(REQUESTS, *requests > 0 || *failures > 0)
            | flag(HEAD, !head.is_empty())
            | flag(WHOLE, whole.is_some())
            | flag(WAITING, !waiting.is_empty())
            | flag(CLIENTS, clients.is_some())
            | flag(HEALTH, health.is_some())
            | flag(UNHEALTHY, health.is_some_and(|health| health.unhealthy > 0)),
    );
    if *requests > 0 || *failures > 0 {
        number(*requests, to);
        number(*failures, to);
    }
    if !head.is_empty() {
        buckets(head, to);
    }
    if let Some(whole) = whole {
        buckets(whole, to);
    }
    if !waiting.is_empty() {
        buckets(waiting, to);
    }
    if let Some(clients) = clients {
        number(*clients, to);
    }
    if let Some(Health { endpoints, failing, unhealthy }) = health {
        number(*endpoints, to);
        number(*failing, to);
        if *unhealthy > 0 {
            number(*unhealthy, to);
        }
    }
}

fn buckets(buckets: &Buckets, to: &mut Vec<u8>) {
    let buckets = buckets.indexed();
    number(buckets.len() as u64, to);
    let mut before = 0;
    for (index, _) in buckets {
        number(u64::from(index - before), to);
        before = *index;
    }
    for (_, count) in buckets {
        number(*count, to);
    }
}

/// What is left to be read. None is damage.
struct Rest<'a>(&'a [u8]);

pub(in crate::journal) fn read(bytes: &[u8]) -> Option<Vec<Slot>> {
    read_up_to(bytes, usize::MAX)
}

/// None of more slots as well.
pub(super) fn read_up_to(bytes: &[u8], most: usize) -> Option<Vec<Slot>> {
    let mut rest = Rest(bytes);
    let mut slots = Vec::new();
    let mut after = Duration::ZERO;
    while !rest.0.is_empty() {
        if slots.len() == most {
            return None;
        }
        after = after.checked_add(Duration::from_nanos(rest.number()?))?;
        let input = match rest.byte()? {
            TICK => {
                let (blue, green) = (rest.counted()?, rest.counted()?);
                Input::Tick(Box::new(Tick { blue, green, ..Tick::default() }))
            }
            TICK_AND_BESIDE => {
                let (blue, green) = (rest.counted()?, rest.counted()?);
                let beside = Some(rest.beside()?);
                Input::Tick(Box::new(Tick { blue, green, beside, routes: Vec::new() }))
            }
            TICK_AND_ROUTES => {
                let (blue, green) = (rest.counted()?, rest.counted()?);
                let beside = match rest.byte()? {
                    0 => None,
                    1 => Some(rest.beside()?),
                    _ => return None,
                };
                let routes = rest.routes()?;
                Input::Tick(Box::new(Tick { blue, green, beside, routes }))
            }
            OTHER => {
                let length = usize::try_from(rest.number()?).ok()?;
                let (json, behind) = rest.0.split_at_checked(length)?;
                rest.0 = behind;
                Input::Other(serde_json::from_slice(json).ok()?)
            }
            _ => return None,
        };
        slots.push(Slot { after, input });
    }
    Some(slots)
}

impl Rest<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, behind) = self.0.split_first()?;
        self.0 = behind;
        Some(*first)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit only.
            if shift == 63 && bits > 1 {
                return None;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn beside(&mut self) -> Option<Beside> {
        let (late_blue, late_green, arm) = (self.counted()?, self.counted()?, self.counted()?);
        Some(Beside { late_blue, late_green, arm, held: self.number()? })
    }

    fn routes(&mut self) -> Option<Vec<OnRoute>> {
        // Without one it would be another kind of tick, and a byte tells no more apart than this.
        let number = self.number()?.checked_sub(1).filter(|number| u8::try_from(*number).is_ok())?;
        let mut routes = Vec::new();
        for _ in 0..=number {
            routes.push(OnRoute { number: self.byte()?, blue: self.counted()?, green: self.counted()? });
        }
        Some(routes)
    }

    fn counted(&mut self) -> Option<Counted> {
        let flags = self.byte()?;
        let mut counted = Counted::default();
        if flags & REQUESTS != 0 {
            counted.requests = self.number()?;
            counted.failures = self.number()?;
        }
        if flags & HEAD != 0 {
            counted.head = self.buckets()?;
        }
        if flags & WHOLE != 0 {
            counted.whole = Some(self.buckets()?);
        }
        if flags & WAITING != 0 {
            counted.waiting = self.buckets()?;
        }
        if flags & CLIENTS != 0 {
            counted.clients = Some(self.number()?);
        }
        if flags & HEALTH != 0 {
            let (endpoints, failing) = (self.number()?, self.number()?);
            let unhealthy = if flags & UNHEALTHY != 0 { self.number()? } else { 0 };
            counted.health = Some(Health { endpoints, failing, unhealthy });
        }
        Some(counted)
    }

    fn buckets(&mut self) -> Option<Buckets> {
        // Each takes two bytes or more: a number of buckets that cannot be must not be believed.
        let number = usize::try_from(self.number()?).ok().filter(|number| *number <= self.0.len() / 2)?;
        let mut buckets = Vec::with_capacity(number);
        let mut index = 0_u16;
        for _ in 0..number {
            index = index.checked_add(u16::try_from(self.number()?).ok()?)?;
            buckets.push((index, 0));
        }
        for bucket in &mut buckets {
            bucket.1 = self.number()?;
        }
        Buckets::from_indexed(buckets)
    }
}
