//! What came from which service, and what did not: batches that are missing between others, and what clients say they lost.
//!
//! What a client lost before it was first heard is not counted: that was long ago, or is counted already.
//!
//! Limits: [`MAX_SERVICES`] services, what is beyond goes by the name [`OVERFLOW`]; names and client ids are cut; clients
//! are forgotten one to two hours after their last batch, or when there are too many; services six hours after theirs, when
//! there is no room for others.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::translate::jaeger::thrift::ClientLosses;

/// Services counted by their names.
const MAX_SERVICES: usize = 256;

/// A service without a batch for so long makes room for another.
const SILENT: Duration = Duration::from_secs(6 * 3_600);

/// The name of all others.
const OVERFLOW: &str = "overflow";

/// Letters of a service's name, and bytes of a client's id, that tell one from another.
const MAX_NAME_CHARS: usize = 128;
const MAX_CLIENT_ID_BYTES: usize = 64;

/// Clients that are remembered at least, and for how long; twice as many and as long at most.
const MAX_CLIENTS: usize = 4_096;
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// The number of a client's first batch: which of these depends on the client.
const FIRST: RangeInclusive<i64> = 0..=1;

/// A step ahead of more than this is no gap: nobody lost a million batches between two.
const MAX_GAP: i128 = 1 << 20;

/// What one service sent over UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Service {
    /// Batches that came.
    pub batches: u64,
    /// Spans in them, with those that could not be kept.
    pub spans: u64,
    /// Batches that did not come though later ones did; fewer when they come late.
    pub missing_batches: u64,
    /// Spans that its clients lost before they sent them: their queue was full,
    pub lost_full_queue: u64,
    /// they would not have fitted into a datagram,
    pub lost_too_large: u64,
    /// or they could not be sent.
    pub lost_failed: u64,
}

/// What a datagram says of its sender.
#[derive(Debug, Default)]
pub(super) struct Said {
    pub(super) service: Bytes,
    /// The id that the client gave itself.
    pub(super) client: Option<Bytes>,
    pub(super) spans: u32,
    pub(super) sequence: Option<i64>,
    pub(super) losses: Option<ClientLosses>,
}

/// Services, and the clients that are remembered.
#[derive(Debug)]
pub(super) struct Clients {
    /// With the time of the last batch.
    services: HashMap<String, (Service, Instant)>,
    /// Those that sent something since `turned` …
    recent: HashMap<(String, Id), Client>,
    /// … and those that last did before.
    earlier: HashMap<(String, Id), Client>,
    turned: Instant,
}

/// Who a client is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Id {
    Own(Vec<u8>),
    /// Of one that does not say.
    Address(SocketAddr),
}

impl Clients {
    pub(super) fn new(now: Instant) -> Self {
        Self { services: HashMap::new(), recent: HashMap::new(), earlier: HashMap::new(), turned: now }
    }

    /// A datagram came.
    pub(super) fn came(&mut self, said: &Said, from: SocketAddr, now: Instant) {
        let name = name(&said.service);
        let name = if self.has_room_for(&name, now) { name } else { OVERFLOW.to_owned() };
        let heard = match (said.sequence, said.losses) {
            (None, None) => Heard::default(),
            (sequence, losses) => self.client(&name, said, from, now).hears(sequence, losses),
        };
        let (service, last) = self.services.entry(name).or_insert((Service::default(), now));
        *last = now;
        service.batches += 1;
        service.spans += u64::from(said.spans);
        service.missing_batches = service.missing_batches.saturating_add_signed(heard.missing);
        let [full_queue, too_large, failed] = heard.lost;
        service.lost_full_queue = service.lost_full_queue.saturating_add(full_queue);
        service.lost_too_large = service.lost_too_large.saturating_add(too_large);
        service.lost_failed = service.lost_failed.saturating_add(failed);
    }

    fn has_room_for(&mut self, name: &str, now: Instant) -> bool {
        if self.services.contains_key(name) {
            return true;
        }
        if self.services.len() >= MAX_SERVICES {
            self.services.retain(|_, (_, last)| now.saturating_duration_since(*last) < SILENT);
        }
        self.services.len() < MAX_SERVICES
    }

    fn client(&mut self, service: &str, said: &Said, from: SocketAddr, now: Instant) -> &mut Client {
        if self.recent.len() >= MAX_CLIENTS || now.saturating_duration_since(self.turned) >= REMEMBERED {
            self.earlier = std::mem::take(&mut self.recent);
            self.turned = now;
        }
        let id = said
            .client
            .as_ref()
            .map_or(Id::Address(from), |id| Id::Own(id[..id.len().min(MAX_CLIENT_ID_BYTES)].to_vec()));
        let key = (service.to_owned(), id);
        let known = self.earlier.remove(&key).unwrap_or_default();
        self.recent.entry(key).or_insert(known)
    }

    /// By name.
    pub(super) fn services(&self) -> Vec<(String, Service)> {
        let mut services: Vec<_> =
            self.services.iter().map(|(name, (service, _))| (name.clone(), *service)).collect();
        services.sort_by(|one, other| one.0.cmp(&other.0));
        services
    }
}

fn name(service: &[u8]) -> String {
    // A letter has at most four bytes.
    let start = &service[..service.len().min(4 * MAX_NAME_CHARS)];
    String::from_utf8_lossy(start).chars().take(MAX_NAME_CHARS).collect()
}

/// What a batch tells of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Heard {
    /// How many more are missing than before it, or fewer.
    missing: i64,
    /// Spans lost by the client since it last said so, for each reason.
    lost: [u64; 3],
}

/// A client as far as it is remembered.
#[derive(Debug, Default)]
struct Client {
    sequence: Option<Sequence>,
    /// What it said that it had lost, at most, if it is known what it had lost before.
    lost: Option<[u64; 3]>,
}

impl Client {
    fn hears(&mut self, number: Option<i64>, losses: Option<ClientLosses>) -> Heard {
        let is_first_heard = self.sequence.is_none() && self.lost.is_none();
        let step = number.map(|number| match &mut self.sequence {
            Some(sequence) => sequence.step(number),
            none => {
                *none = Some(Sequence::starting_at(number));
                Step::Known
            }
        });
        if is_first_heard || step == Some(Step::Anew) {
            // With its first batch a client says all that it ever lost.
            self.lost = number.filter(|number| FIRST.contains(number)).map(|_first| [0; 3]);
        }
        let missing = match step {
            Some(Step::Ahead { over }) => over,
            Some(Step::Late) => -1,
            Some(Step::Known | Step::Anew) | None => 0,
        };
        let lost = losses.map_or([0; 3], |losses| self.newly_lost(losses));
        Heard { missing, lost }
    }

    /// Its numbers only grow; smaller ones come from a batch that came late.
    fn newly_lost(&mut self, losses: ClientLosses) -> [u64; 3] {
        let now = [losses.full_queue, losses.too_large, losses.failed];
        let now = now.map(|spans| u64::try_from(spans).unwrap_or(0));
        let before = self.lost.unwrap_or(now);
        self.lost = Some(std::array::from_fn(|reason| now[reason].max(before[reason])));
        std::array::from_fn(|reason| now[reason].saturating_sub(before[reason]))
    }
}

/// The numbers of a client's batches: each is one more than the one before.
#[derive(Debug, Clone, Copy)]
struct Sequence {
    highest: i64,
    /// Which of the last came or are not missed, the highest in the lowest bit.
    settled: u128,
}

/// What the number of a batch means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    /// It was not missed: it came before, belongs to the time before the first that we heard, or is too old to tell.
    Known,
    /// It is the highest now, and so many between are missing.
    Ahead { over: i64 },
    /// It was missing.
    Late,
    /// The client began anew.
    Anew,
}

impl Sequence {
    /// Numbers that come twice, or late, are not taken for those of a client that began anew within so many.
    const REORDERED: i128 = 16;

    /// None before the first is missed.
    fn starting_at(number: i64) -> Self {
        Self { highest: number, settled: u128::MAX }
    }

    fn step(&mut self, number: i64) -> Step {
        let ahead = i128::from(number) - i128::from(self.highest);
        let is_first = FIRST.contains(&number) && ahead < -Self::REORDERED;
        match ahead {
            1..=MAX_GAP => {
                self.settled = self.settled.checked_shl(ahead as u32).unwrap_or(0) | 1;
                self.highest = number;
                Step::Ahead { over: ahead as i64 - 1 }
            }
            -127..=0 => {
                let bit = 1 << -ahead;
                if self.settled & bit == 0 {
                    self.settled |= bit;
                    return Step::Late;
                }
                if is_first { self.anew(number) } else { Step::Known }
            }
            // Much too late.
            ..-127 if !is_first => Step::Known,
            _ => self.anew(number),
        }
    }

    fn anew(&mut self, number: i64) -> Step {
        *self = Self::starting_at(number);
        Step::Anew
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FROM: ([u8; 4], u16) = ([127, 0, 0, 1], 9);

    fn said(service: &str, sequence: i64) -> Said {
        let service = Bytes::copy_from_slice(service.as_bytes());
        Said { service, spans: 2, sequence: Some(sequence), ..Said::default() }
    }

    #[test]
    fn gaps_are_missing_until_they_are_filled() {
        // What comes, and how many are missing then.
        let cases: [&[(i64, u64)]; 11] = [
            &[(1, 0), (2, 0), (3, 0)],
            &[(1, 0), (4, 2), (5, 2), (3, 1), (2, 0), (2, 0)],
            // The first that is heard is no gap, and neither is what was sent before it.
            &[(100, 0), (99, 0), (101, 0), (103, 1)],
            // Doubled.
            &[(1, 0), (3, 1), (3, 1), (1, 1), (3, 1), (4, 1)],
            // Begun anew.
            &[(1, 0), (2, 0), (200, 197), (1, 197), (2, 197), (4, 198)],
            &[(1_000, 0), (1, 0), (2, 0), (4, 1)],
            &[(30, 0), (1, 0), (2, 0)],
            // Too late to be told from others.
            &[(1, 0), (500, 498), (300, 498), (501, 498)],
            // Not to be believed.
            &[(1, 0), (i64::MAX, 0), (i64::MIN, 0), (i64::MIN + 2, 0), (0, 0), (2, 1)],
            &[(1, 0), (1 + (1 << 20), (1 << 20) - 1)],
            &[(0, 0), (129, 128), (2, 127), (1, 127)],
        ];
        for numbers in cases {
            let now = Instant::now();
            let mut clients = Clients::new(now);
            for (step, (number, missing)) in numbers.iter().enumerate() {
                clients.came(&said("shop", *number), FROM.into(), now);
                let service = clients.services()[0].1;
                assert_eq!(service.missing_batches, *missing, "{numbers:?}, step {step}");
                assert_eq!((service.batches, service.spans), (step as u64 + 1, 2 * step as u64 + 2));
            }
        }
    }

    #[test]
    fn clients_are_told_apart_by_their_ids_and_without_one_by_their_addresses() {
        let now = Instant::now();
        let mut clients = Clients::new(now);
        for number in [1, 2] {
            for client in ["one", "other"] {
                let client = Some(Bytes::from_static(client.as_bytes()));
                clients.came(&Said { client, ..said("shop", number) }, FROM.into(), now);
            }
            for port in 1..=3 {
                clients.came(&said("shop", 10 * number), (FROM.0, port).into(), now);
            }
            clients.came(&said("stock", 100 * number), FROM.into(), now);
        }
        let missing: Vec<_> = clients.services().iter().map(|(_, service)| service.missing_batches).collect();
        assert_eq!(missing, [3 * 9, 99]);
    }

    #[test]
    fn what_a_client_says_that_it_lost_is_counted_once() {
        let now = Instant::now();
        let mut clients = Clients::new(now);
        let mut says = |number: i64, [full_queue, too_large, failed]: [i64; 3]| {
            let losses = Some(ClientLosses { full_queue, too_large, failed });
            clients.came(&Said { losses, ..said("shop", number) }, FROM.into(), now);
            let service = clients.services()[0].1;
            [service.lost_full_queue, service.lost_too_large, service.lost_failed]
        };
        assert_eq!(says(200, [50, 0, 10]), [0, 0, 0], "before it was heard");
        assert_eq!(says(201, [50, 0, 10]), [0, 0, 0]);
        assert_eq!(says(203, [59, 2, 10]), [9, 2, 0]);
        assert_eq!(says(202, [57, 1, 10]), [9, 2, 0], "late");
        assert_eq!(says(7, [40, 0, 0]), [9, 2, 0], "much too late");
        assert_eq!(says(204, [-1, i64::MIN, 10]), [9, 2, 0]);
        assert_eq!(says(205, [60, 2, 10]), [10, 2, 0]);
        assert_eq!(says(1, [3, 0, 0]), [13, 2, 0], "begun anew");
        assert_eq!(says(2, [i64::MAX, 0, 0])[0], 10 + i64::MAX as u64);
        assert_eq!(says(1 << 40, [i64::MAX, 5, 0])[1], 2, "another one");
    }

    #[test]
    fn a_service_without_a_batch_for_hours_makes_room_for_another() {
        let start = Instant::now();
        let mut clients = Clients::new(start);
        for number in 0..MAX_SERVICES {
            clients.came(&said(&format!("made up {number}"), 1), FROM.into(), start);
        }
        let mut comes = |service: &str, now| {
            clients.came(&said(service, 1), FROM.into(), now);
            clients.services().iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
        };
        let names = comes("shop", start + SILENT / 2);
        assert!(names.len() == MAX_SERVICES + 1 && names.contains(&OVERFLOW.to_owned()));
        assert_eq!(comes("made up 7", start + SILENT / 2).len(), MAX_SERVICES + 1);
        assert_eq!(comes("shop", start + SILENT), ["made up 7", OVERFLOW, "shop"]);
    }

    #[test]
    fn a_client_is_forgotten_after_an_hour_or_two_without_a_batch() {
        let start = Instant::now();
        for (hours, missing) in [(0, 8), (1, 8), (3, 0)] {
            let mut clients = Clients::new(start);
            clients.came(&said("shop", 1), FROM.into(), start);
            for hour in 0..=hours {
                clients.came(&said("stock", hour), FROM.into(), start + hour as u32 * REMEMBERED);
            }
            clients.came(&said("shop", 10), FROM.into(), start + hours as u32 * REMEMBERED);
            assert_eq!(clients.services()[0].1.missing_batches, missing, "after {hours} h");
        }
    }

    #[test]
    fn neither_services_nor_clients_nor_their_names_are_without_bounds() {
        let now = Instant::now();
        let mut clients = Clients::new(now);
        for number in 0..10_000_u32 {
            let client = Some(Bytes::from(number.to_string().repeat(100)));
            let service = format!("{number} {}", "ä".repeat(1_000));
            clients.came(&Said { client, ..said(&service, 1) }, FROM.into(), now);
        }
        clients.came(&said("overflow", 1), FROM.into(), now);
        let services = clients.services();
        assert_eq!(services.len(), MAX_SERVICES + 1);
        assert!(services.iter().all(|(name, _)| name.chars().count() <= MAX_NAME_CHARS));
        let overflow = services.iter().find(|(name, _)| name == OVERFLOW).unwrap().1;
        assert_eq!(overflow.batches, 10_001 - MAX_SERVICES as u64);
        assert!(clients.recent.len() + clients.earlier.len() <= 2 * MAX_CLIENTS);
        assert_eq!(name(b"\xff"), "\u{fffd}");
    }
}
