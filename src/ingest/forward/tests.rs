//! A forwarder over a real buffer, with an upstream that answers as it is told.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{CONSUMER, ForwardCounts, Forwarder, Outcome, Pace, Refusal, Route, Throttle, Upstream, pending};
use crate::buffer::{self, Amount, Buffer, Environment, FileStorageConfig, StartAt, WhenFull};
use crate::ingest::Signal;
use crate::model::{Clock, Timestamp};

const PATIENCE: Duration = Duration::from_secs(20);

/// Waits that a test can wait for.
const QUICK: Pace = Pace {
    first: Duration::from_millis(4),
    first_blocked: Duration::from_millis(4),
    longest: Duration::from_millis(8),
};

#[derive(Debug)]
struct Still;

impl buffer::Clock for Still {
    fn wall_nanos(&self) -> u64 {
        1_700_000_000_000_000_000
    }

    fn boot_millis(&self) -> u64 {
        1
    }

    fn boot_id(&self) -> u64 {
        1
    }
}

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp(buffer::Clock::wall_nanos(self))
    }
}

/// Says what it is told to, and takes everything else but what contains `poison`.
#[derive(Debug, Default)]
struct Script {
    next: Mutex<VecDeque<Outcome>>,
    /// Until this is `None`, the answer to everything.
    always: Mutex<Option<Outcome>>,
    poison: Option<u8>,
    /// What larger ones are answered with.
    too_large: Option<(usize, Outcome)>,
    got: Mutex<Vec<Bytes>>,
    taken: Mutex<Vec<Bytes>>,
    /// Every call takes this long.
    slow: Duration,
}

impl Upstream for Script {
    fn export(&self, _signal: Signal, request: Bytes) -> Outcome {
        std::thread::sleep(self.slow);
        self.got.lock().push(request.clone());
        let told = self.always.lock().clone().or_else(|| self.next.lock().pop_front());
        let outcome = told.unwrap_or_else(|| match (self.poison, &self.too_large) {
            (Some(poison), _) if request.contains(&poison) => refused("poison", Refusal::Content),
            (_, Some((most, outcome))) if request.len() > *most => outcome.clone(),
            _ => Outcome::Accepted { rejected: 0, message: String::new() },
        });
        if matches!(outcome, Outcome::Accepted { .. }) {
            self.taken.lock().push(request);
        }
        outcome
    }
}

impl Script {
    /// All bytes that were taken, in order.
    fn taken(&self) -> Vec<u8> {
        self.taken.lock().concat()
    }
}

fn open(folder: &Path) -> Buffer {
    let settings = FileStorageConfig::appliance();
    let environment = Environment::host(Arc::new(Still));
    Buffer::open(&folder.join("buffer"), buffer::Signal::Traces, settings, environment).unwrap().0
}

fn append(buffer: &Buffer, payload: Vec<u8>) {
    let (tell, told) = mpsc::sync_channel(1);
    let items = payload.len() as u32;
    buffer.append(payload.into(), items, move |done| tell.send(done.map(drop)).unwrap());
    told.recv_timeout(PATIENCE).unwrap().unwrap();
}

fn route(folder: &Path, script: &Arc<Script>) -> Route {
    Route {
        upstream: Arc::clone(script) as _,
        say_spans: |request| (request.clone(), 0),
        start: StartAt::Oldest,
        throttle: Arc::new(Throttle::new(0)),
        rejected: folder.join("rejected"),
        clock: Arc::new(Still),
    }
}

fn start(folder: &Path, buffer: &Buffer, script: &Arc<Script>) -> (Forwarder, Arc<ForwardCounts>) {
    let (counts, route) = (Arc::new(ForwardCounts::default()), route(folder, script));
    let forwarder =
        Forwarder::start_with(buffer, Signal::Traces, &route, Arc::clone(&counts), QUICK).unwrap();
    (forwarder, counts)
}

fn refused(why: &str, cause: Refusal) -> Outcome {
    Outcome::Refused { why: why.to_owned(), cause }
}

fn until(what: &str, mut satisfied: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !satisfied() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn small_frames_share_a_request_and_large_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    // Known before anything comes, so that everything waits for it.
    drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
    for number in 0..100_u8 {
        append(&buffer, vec![number; 100_000]);
    }
    append(&buffer, vec![100; 5 << 20]);
    append(&buffer, vec![101; 10]);
    let (forwarder, counts) = start(folder.path(), &buffer, &script);
    until("all are taken", || counts.items.value() == 10_000_000 + (5 << 20) + 10);
    let sizes: Vec<usize> = script.got.lock().iter().map(Bytes::len).collect();
    assert_eq!(sizes, [4_100_000, 4_100_000, 1_800_000, 5 << 20, 10]);
    let mut expected: Vec<u8> = (0..100).flat_map(|number| vec![number; 100_000]).collect();
    expected.extend(vec![100; 5 << 20]);
    expected.extend([101; 10]);
    assert!(script.taken() == expected, "other bytes, or another order");
    assert_eq!(counts.requests.value(), 5);
    until("nothing is owed", || pending(&buffer) == Amount::default());
    drop(forwarder);
}

/// In other words: nothing of what is zero, and twice as much of everything else.
fn in_other_words(request: &Bytes) -> (Bytes, u32) {
    let said: Vec<u8> = request.iter().filter(|byte| **byte != 0).flat_map(|byte| [*byte; 2]).collect();
    let left_out = request.iter().filter(|byte| **byte == 0).count();
    (said.into(), left_out as u32)
}

#[test]
fn spans_are_sent_as_they_are_said_and_what_cannot_be_said_is_counted() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
    for payload in [vec![0; 3], vec![1, 0, 2], vec![3; 3 << 20], vec![0; 5]] {
        append(&buffer, payload);
    }
    let route = Route { say_spans: in_other_words, ..route(folder.path(), &script) };
    let counts = Arc::new(ForwardCounts::default());
    // Each goes by itself in the end, and what says nothing does not go at all.
    *script.always.lock() = Some(refused("size", Refusal::Size));
    let _forwarder =
        Forwarder::start_with(&buffer, Signal::Traces, &route, Arc::clone(&counts), QUICK).unwrap();
    until("the two that say something are refused", || counts.set_aside_items.value() == 2 + (3 << 20));
    until("nothing is owed", || pending(&buffer) == Amount::default());
    assert_eq!(counts.left_out_items.value(), 3 + 1 + 5);
    *script.always.lock() = None;
    append(&buffer, vec![0; 7]);
    append(&buffer, vec![4, 0]);
    until("nothing is owed", || pending(&buffer) == Amount::default());
    assert_eq!((counts.items.value(), counts.left_out_items.value()), (1, 17));
    assert_eq!(script.taken(), [4, 4]);
    let got = script.got.lock();
    assert!(got.iter().all(|request| !request.is_empty()));
    // Sizes are those of what is sent: the large one goes alone, though what is kept of all would fit.
    assert_eq!(got.iter().filter(|request| request.len() > 4 << 20).map(Bytes::len).max(), Some(6 << 20));
}

#[test]
fn what_is_no_span_is_never_said_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    let route = Route { say_spans: in_other_words, ..route(folder.path(), &script) };
    let counts = Arc::new(ForwardCounts::default());
    let _forwarder =
        Forwarder::start_with(&buffer, Signal::Logs, &route, Arc::clone(&counts), QUICK).unwrap();
    append(&buffer, vec![0, 1]);
    until("it is taken", || counts.items.value() == 2);
    assert_eq!(script.taken(), [0, 1]);
}

#[test]
fn a_request_that_cannot_be_said_goes_as_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    let route = Route { say_spans: |_| panic!("a defect"), ..route(folder.path(), &script) };
    let counts = Arc::new(ForwardCounts::default());
    let _forwarder =
        Forwarder::start_with(&buffer, Signal::Traces, &route, Arc::clone(&counts), QUICK).unwrap();
    append(&buffer, vec![1; 2]);
    until("it is taken", || counts.items.value() == 2);
    assert_eq!(script.taken(), [1, 1]);
}

#[test]
fn only_the_frame_that_is_refused_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let script = Arc::new(Script { poison: Some(37), ..Script::default() });
    drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
    for number in 0..64_u8 {
        append(&buffer, vec![number; 10]);
    }
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    until("nothing is owed", || pending(&buffer) == Amount::default());
    assert_eq!(script.taken(), (0..64).filter(|n| *n != 37).flat_map(|n| [n; 10]).collect::<Vec<u8>>());
    assert_eq!((counts.items.value(), counts.set_aside_items.value()), (630, 10));
    let files: Vec<_> = std::fs::read_dir(folder.path().join("rejected/traces")).unwrap().collect();
    let [file] = &files[..] else { panic!("{files:?}") };
    let mut expected = vec![10];
    expected.extend([37; 10]);
    assert_eq!(std::fs::read(file.as_ref().unwrap().path()).unwrap(), expected);
    // Halving: all, and then two tries for each of six levels.
    assert_eq!(script.got.lock().len(), 13);
}

#[test]
fn a_server_that_takes_less_is_sent_less_after_the_first_time() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let refused = refused("too large", Refusal::Size);
    let script = Arc::new(Script { too_large: Some((1 << 20, refused)), ..Script::default() });
    drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
    for number in 0..64_u8 {
        append(&buffer, vec![number; 200_000]);
    }
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    until("all are taken", || counts.items.value() == 64 * 200_000);
    assert_eq!(counts.set_aside_items.value(), 0);
    let sizes: Vec<usize> = script.got.lock().iter().map(Bytes::len).collect();
    let refused = sizes.iter().filter(|size| **size > 1 << 20).count();
    assert_eq!(refused, 2, "4 MB, and 2 MB once: {sizes:?}");
    assert_eq!(script.taken(), (0..64).flat_map(|number| vec![number; 200_000]).collect::<Vec<u8>>());
}

#[test]
fn a_line_that_carries_little_in_time_is_sent_little_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let late = Outcome::Retry { why: "no answer in time".to_owned(), after: None };
    let script = Arc::new(Script { too_large: Some((300_000, late)), ..Script::default() });
    drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
    for number in 0..64_u8 {
        append(&buffer, vec![number; 50_000]);
    }
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    until("all are taken", || counts.items.value() == 64 * 50_000);
    assert_eq!(script.taken(), (0..64).flat_map(|number| vec![number; 50_000]).collect::<Vec<u8>>());
}

#[test]
fn a_failed_request_is_sent_again_as_it_was_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    let retry = || Outcome::Retry { why: "busy".to_owned(), after: None };
    let blocked = || Outcome::Blocked { why: "who are you?".to_owned() };
    script.next.lock().extend([retry(), retry(), blocked(), blocked(), retry()]);
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    append(&buffer, b"abc".to_vec());
    until("it is taken", || pending(&buffer) == Amount::default());
    assert_eq!(script.got.lock().len(), 6);
    assert!(script.got.lock().iter().all(|request| request == "abc"));
    assert_eq!((counts.retries.value(), counts.requests.value()), (5, 1));
    assert!(!counts.failing.load(Ordering::Relaxed) && !counts.blocked.load(Ordering::Relaxed));
}

#[test]
fn a_server_that_refuses_everything_is_not_believed_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    *script.always.lock() = Some(refused("no", Refusal::Content));
    drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
    for number in 0..100 {
        append(&buffer, vec![number]);
    }
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    until("it is blocked", || counts.blocked.load(Ordering::Relaxed) && counts.retries.value() > 20);
    assert_eq!((counts.set_aside_items.value(), pending(&buffer).items), (5, 95));
    *script.always.lock() = None;
    until("all others are taken", || counts.items.value() == 95);
    assert!(!counts.blocked.load(Ordering::Relaxed));
    let mut taken = script.taken();
    taken.sort_unstable();
    assert_eq!(taken, (5..100).collect::<Vec<u8>>());
    until("nothing is owed", || pending(&buffer) == Amount::default());
}

#[test]
fn what_is_sound_gets_past_any_number_of_bad_ones() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let script = Arc::new(Script { poison: Some(1), ..Script::default() });
    drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
    for number in [0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3] {
        append(&buffer, vec![number]);
    }
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    until("nothing is owed", || pending(&buffer) == Amount::default());
    assert_eq!((counts.items.value(), counts.set_aside_items.value()), (3, 8));
    // Those that come one by one too.
    for number in [1, 1, 1, 1, 1] {
        append(&buffer, vec![number]);
    }
    until("none is believed any more", || counts.set_aside_items.value() == 13);
    append(&buffer, vec![1]);
    until("the sixth waits", || counts.blocked.load(Ordering::Relaxed));
    append(&buffer, vec![4]);
    until("nothing is owed", || pending(&buffer) == Amount::default());
    assert_eq!((counts.items.value(), counts.set_aside_items.value()), (4, 14));
    assert_eq!(script.taken().iter().max(), Some(&4));
}

#[test]
fn a_server_that_ran_out_of_something_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    script.next.lock().extend([(); 9].map(|()| refused("quota", Refusal::Exhausted)));
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    append(&buffer, b"abc".to_vec());
    until("it is taken", || counts.items.value() == 3);
    assert_eq!((counts.retries.value(), counts.set_aside_items.value()), (9, 0));
}

#[test]
fn a_refusal_that_is_not_about_the_size_makes_no_request_smaller() {
    for (cause, smaller) in [(Refusal::Content, false), (Refusal::Size, true)] {
        let folder = tempfile::tempdir().unwrap();
        let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
        // The first of several, and none of its halves.
        script.next.lock().extend([refused("no", cause)]);
        drop(buffer.consumer(CONSUMER, StartAt::Oldest).unwrap());
        for _ in 0..60 {
            append(&buffer, vec![0; 200_000]);
        }
        let (_forwarder, counts) = start(folder.path(), &buffer, &script);
        until("all are taken", || counts.items.value() == 60 * 200_000);
        let sizes: Vec<usize> = script.got.lock().iter().map(Bytes::len).collect();
        assert_eq!(sizes[3..].iter().all(|size| *size <= 2 << 20), smaller, "{cause:?} {sizes:?}");
    }
}

#[test]
fn a_request_that_expired_or_made_room_is_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let settings = FileStorageConfig {
        max_folder_size: 1 << 20,
        max_file_size: 128 << 10,
        when_full: WhenFull::DropOldest,
        ..FileStorageConfig::appliance()
    };
    let environment = Environment::host(Arc::new(Still));
    let path = folder.path().join("buffer");
    let buffer = Buffer::open(&path, buffer::Signal::Logs, settings, environment).unwrap().0;
    let script = Arc::new(Script { poison: Some(1), ..Script::default() });
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    *script.always.lock() = Some(Outcome::Retry { why: "gone".to_owned(), after: None });
    append(&buffer, vec![1; 10]);
    until("it is tried", || counts.failing.load(Ordering::Relaxed));
    for _ in 0..40 {
        append(&buffer, vec![2; 60_000]);
    }
    until("the first ones are gone", || {
        let tried = script.got.lock().len();
        script.got.lock()[tried / 2..].iter().all(|request| !request.contains(&1)) && tried > 20
    });
    *script.always.lock() = None;
    until("nothing is owed", || pending(&buffer) == Amount::default());
    assert_eq!(counts.set_aside_items.value(), 0);
}

/// Sends five, so that what was owed at the start has been looked at and worked off. Returns how many files were
/// finished for that.
fn settled(buffer: &Buffer, counts: &ForwardCounts) -> u64 {
    for sent in 1..=5 {
        append(buffer, vec![0]);
        until("it is taken", || counts.requests.value() == sent && pending(buffer) == Amount::default());
    }
    buffer.stats().counters.sealed_files
}

#[test]
fn a_hiccup_leaves_the_order_of_a_backlog_alone() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let script = Arc::new(Script { slow: Duration::from_millis(1), ..Script::default() });
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    let sealed = settled(&buffer, &counts);
    *script.always.lock() = Some(Outcome::Retry { why: "gone".to_owned(), after: None });
    append(&buffer, vec![0]);
    until("the outage is noticed", || counts.failing.load(Ordering::Relaxed));
    for number in 1..=20 {
        append(&buffer, vec![number; 1 << 20]);
    }
    let retry = || Outcome::Retry { why: "busy".to_owned(), after: None };
    let taken = || Outcome::Accepted { rejected: 0, message: String::new() };
    script.next.lock().extend((0..400).map(|turn| if turn % 2 == 0 { retry() } else { taken() }));
    *script.always.lock() = None;
    for number in (100..=199).cycle() {
        append(&buffer, vec![number; 10]);
        if pending(&buffer).bytes < 1 << 20 {
            break;
        }
    }
    until("nothing is owed", || pending(&buffer) == Amount::default());
    let of = |range: std::ops::RangeInclusive<u8>| -> Vec<u8> {
        let requests = script.taken.lock();
        let mut firsts: Vec<u8> =
            requests.iter().flat_map(|request| request.chunks(1 << 20)).map(|chunk| chunk[0]).collect();
        firsts.retain(|first| range.contains(first));
        firsts
    };
    assert_eq!(of(1..=20), (1..=20).collect::<Vec<u8>>());
    assert!(of(100..=199).len() > 3, "fresh ones went beside it");
    assert_eq!(buffer.stats().counters.sealed_files - sealed, 1, "for the split, once");
}

#[test]
fn an_outage_that_leaves_little_behind_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    let sealed = settled(&buffer, &counts);
    for number in 1..=20 {
        script.next.lock().push_back(Outcome::Retry { why: "busy".to_owned(), after: None });
        append(&buffer, vec![number; 3]);
    }
    until("all are taken", || counts.items.value() == 5 + 60);
    assert_eq!(script.taken()[5..], (1..=20).flat_map(|number| [number; 3]).collect::<Vec<u8>>());
    assert_eq!(buffer.stats().counters.sealed_files, sealed);
}

#[test]
fn a_request_that_cannot_be_set_aside_is_held_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let script = Arc::new(Script { poison: Some(1), ..Script::default() });
    std::fs::write(folder.path().join("rejected"), "in the way").unwrap();
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    append(&buffer, vec![1; 4]);
    until("it is refused", || !script.got.lock().is_empty());
    append(&buffer, vec![2; 4]);
    assert_eq!(counts.set_aside_items.value(), 0);
    std::fs::remove_file(folder.path().join("rejected")).unwrap();
    until("nothing is owed", || pending(&buffer) == Amount::default());
    assert_eq!((counts.items.value(), counts.set_aside_items.value()), (4, 4));
}

/// Has a defect.
#[derive(Debug)]
struct Broken;

impl Upstream for Broken {
    fn export(&self, _signal: Signal, _request: Bytes) -> Outcome {
        panic!("a defect")
    }
}

#[test]
fn a_forwarder_that_ends_by_itself_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let counts = Arc::new(ForwardCounts::default());
    let route = Route { upstream: Arc::new(Broken), ..route(folder.path(), &Arc::default()) };
    let _forwarder =
        Forwarder::start_with(&buffer, Signal::Traces, &route, Arc::clone(&counts), QUICK).unwrap();
    assert!(!counts.ended.load(Ordering::Relaxed));
    append(&buffer, vec![1]);
    until("it has ended", || counts.ended.load(Ordering::Relaxed));
}

#[test]
fn who_is_blocked_says_so_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    *script.always.lock() = Some(Outcome::Blocked { why: "who are you?".to_owned() });
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    for number in 0..10 {
        append(&buffer, vec![number; 3]);
    }
    until("it is blocked", || counts.blocked.load(Ordering::Relaxed) && counts.retries.value() > 2);
    assert_eq!((pending(&buffer).items, counts.set_aside_items.value()), (30, 0));
    *script.always.lock() = None;
    until("all are taken", || counts.items.value() == 30);
    assert!(!counts.blocked.load(Ordering::Relaxed));
    assert!(!folder.path().join("rejected").exists());
}

#[test]
fn what_the_upstream_leaves_out_is_counted_and_not_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let (buffer, script) = (open(folder.path()), Arc::new(Script::default()));
    let message = "too old".to_owned();
    script.next.lock().extend([
        Outcome::Accepted { rejected: 2, message: message.clone() },
        // More than it was sent.
        Outcome::Accepted { rejected: 99, message },
    ]);
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    for sent in 1..=3 {
        append(&buffer, vec![1; 5]);
        until("it is taken", || counts.requests.value() == sent);
    }
    assert_eq!((counts.items.value(), counts.rejected_items.value()), (3 + 5, 2 + 5));
    assert_eq!(script.got.lock().len(), 3);
}

#[test]
fn after_an_outage_fresh_frames_go_first_and_the_backlog_beside_them() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let script = Arc::new(Script { slow: Duration::from_millis(3), ..Script::default() });
    *script.always.lock() = Some(Outcome::Retry { why: "gone".to_owned(), after: None });
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    append(&buffer, vec![1; 10]);
    until("the outage is noticed", || counts.failing.load(Ordering::Relaxed));
    // A backlog of many requests.
    for _ in 0..16 {
        append(&buffer, vec![2; 2 << 20]);
    }
    // From here on there is always something fresh.
    *script.always.lock() = None;
    until("the link is back", || counts.requests.value() == 1);
    let mut fresh = 0;
    while pending(&buffer).items > 100 || fresh < 20 {
        append(&buffer, vec![3; 10]);
        fresh += 1;
    }
    until("nothing is owed", || pending(&buffer) == Amount::default());
    let taken = script.taken.lock();
    let kinds: Vec<u8> = taken.iter().map(|request| request[0]).collect();
    assert_eq!(kinds[0], 1, "the request that failed");
    let backlog: Vec<usize> = (0..kinds.len()).filter(|at| kinds[*at] == 2).collect();
    let last = *backlog.last().unwrap();
    let fresh_among = kinds[1..last].iter().filter(|kind| **kind == 3).count();
    assert!(fresh_among > 0, "{kinds:?}");
    // Never two of the backlog while fresh ones waited, and never more than three fresh ones between two.
    for pair in backlog.windows(2) {
        assert!(pair[1] - pair[0] <= 4, "{kinds:?}");
    }
    let mut sums = BTreeMap::new();
    for request in taken.iter() {
        for kind in &request[..] {
            *sums.entry(*kind).or_insert(0) += 1;
        }
    }
    assert_eq!(sums, BTreeMap::from([(1, 10), (2, 32 << 20), (3, fresh * 10)]));
}

#[test]
fn what_an_earlier_run_left_is_forwarded() {
    let folder = tempfile::tempdir().unwrap();
    let script = Arc::new(Script::default());
    *script.always.lock() = Some(Outcome::Retry { why: "gone".to_owned(), after: None });
    {
        let buffer = open(folder.path());
        let (forwarder, counts) = start(folder.path(), &buffer, &script);
        for number in 1..=20 {
            append(&buffer, vec![number; 2]);
        }
        until("it was tried", || counts.retries.value() > 0);
        buffer.close();
        assert!(!forwarder.finish(Instant::now() + Duration::from_secs(2)));
    }
    *script.always.lock() = None;
    let buffer = open(folder.path());
    let (_forwarder, counts) = start(folder.path(), &buffer, &script);
    append(&buffer, vec![0; 2]);
    until("all are taken", || counts.items.value() == 42);
    let mut taken = script.taken();
    taken.sort_unstable();
    assert_eq!(taken, (0..=20).flat_map(|number| [number; 2]).collect::<Vec<u8>>());
}

#[test]
fn a_closed_buffer_is_sent_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let script = Arc::new(Script { slow: Duration::from_millis(20), ..Script::default() });
    let (forwarder, counts) = start(folder.path(), &buffer, &script);
    for number in 0..50 {
        append(&buffer, vec![number; 4]);
    }
    buffer.close();
    assert!(forwarder.finish(Instant::now() + PATIENCE));
    assert_eq!(counts.items.value(), 200);
}

#[test]
fn nobody_waits_for_an_upstream_that_hangs() {
    let folder = tempfile::tempdir().unwrap();
    let buffer = open(folder.path());
    let script = Arc::new(Script { slow: Duration::from_secs(3), ..Script::default() });
    let (forwarder, _counts) = start(folder.path(), &buffer, &script);
    append(&buffer, vec![1; 4]);
    buffer.close();
    let asked = Instant::now();
    assert!(!forwarder.finish(asked + Duration::from_millis(200)));
    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
}
