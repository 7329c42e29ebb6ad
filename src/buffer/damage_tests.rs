//! Files of fifty frames cut at every byte and spoiled in every bit: always opened, one frame lost at most, and counted.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::{ProptestConfig, Strategy, any, prop_oneof, proptest};
use proptest::test_runner::FileFailurePersistence;
use rustix::io::Errno;

use crate::buffer::consumer::Consumer;
use crate::buffer::folder::Folder;
use crate::buffer::journal::Journal;
use crate::buffer::model_tests::cases;
use crate::buffer::queue::{Answer, Pending};
use crate::buffer::segment::MAGIC;
use crate::buffer::simulated_disk::SimulatedDisk;
use crate::buffer::tests::{ALL, TestClock};
use crate::buffer::{Error, FileStorageConfig, Recovery, Signal, StartAt};

const FRAMES: usize = 50;
/// Payload sizes, over and over; a frame's items are its place, counted from one.
const SIZES: [usize; 6] = [5, 8, 40, 0, 17, 33];
/// Where frames begin in the file, and where the last one ends.
const STARTS: [u64; FRAMES + 1] = starts();
const LOCK: &str = "/buffer/LOCK";

const fn starts() -> [u64; FRAMES + 1] {
    let mut starts = [64; FRAMES + 1];
    let mut at = 0;
    while at < FRAMES {
        starts[at + 1] = starts[at] + 40 + SIZES[at % SIZES.len()].next_multiple_of(8) as u64;
        at += 1;
    }
    starts
}

/// What the frame in that place, counted from one, was appended with.
fn payload(place: u32) -> Vec<u8> {
    vec![place as u8; SIZES[(place as usize - 1) % SIZES.len()]]
}

/// A folder with one file of fifty frames, and that file's path.
fn folder(sealed: bool) -> (SimulatedDisk, PathBuf) {
    let disk = SimulatedDisk::default();
    let (journal, mut writer, _) = open(&disk).unwrap();
    let group = (1..=FRAMES as u32).map(|place| {
        Pending::new(payload(place).into(), place, 0, Box::new(|answer| assert!(answer.is_ok())))
    });
    let answers = writer.append(&journal, group.collect());
    answers.into_iter().for_each(Answer::give);
    if sealed {
        writer.seal(&journal).unwrap();
    }
    drop((journal, writer));
    let path = disk.paths().into_iter().find(|path| path != Path::new(LOCK)).unwrap();
    (disk, path)
}

fn open(disk: &SimulatedDisk) -> Result<(Arc<Journal>, super::writer::Writer, Recovery), Error> {
    let folder = Folder { path: "/buffer".into(), disk: Arc::new(disk.clone()) };
    let (journal, writer, recovery) =
        Journal::open(folder, Signal::Traces, FileStorageConfig::appliance(), TestClock::new())?;
    Ok((Arc::new(journal), writer, recovery))
}

/// What is found in a folder.
struct Found {
    recovery: Recovery,
    /// By their items.
    delivered: Vec<u32>,
    damaged_frames: u64,
    damaged_items: u64,
}

impl Found {
    fn in_folder(disk: &SimulatedDisk) -> Self {
        let (journal, _writer, recovery) = open(disk).unwrap();
        let mut consumer = Consumer::attach(Arc::clone(&journal), "store", None).unwrap();
        let mut delivered = Vec::new();
        loop {
            let frames = consumer.next(ALL, Duration::ZERO).unwrap();
            if frames.is_empty() {
                break;
            }
            for frame in frames {
                assert_eq!(frame.payload, payload(frame.items));
                delivered.push(frame.items);
            }
        }
        assert!(delivered.is_sorted_by(|a, b| a < b), "out of order or twice: {delivered:?}");
        let counters = journal.stats().counters;
        Self {
            delivered,
            damaged_frames: recovery.vanished_frames + counters.damaged_frames,
            damaged_items: counters.damaged_items,
            recovery,
        }
    }

    fn lost(&self) -> Vec<u32> {
        (1..=FRAMES as u32).filter(|items| !self.delivered.contains(items)).collect()
    }
}

fn with_each_bit_flipped(sealed: bool, mut check: impl FnMut(u64, Found)) {
    let (disk, path) = folder(sealed);
    let bits = disk.with_bytes(&path, |bytes| bytes.len() * 8);
    for bit in 0..bits {
        let copy = disk.copy();
        copy.with_bytes(&path, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        check(bit as u64 / 8, Found::in_folder(&copy));
    }
}

/// The place of the frame that a byte of the file belongs to.
fn frame_at(byte: u64) -> Option<u32> {
    let place = STARTS.iter().rposition(|start| *start <= byte)?;
    (place < FRAMES).then_some(place as u32 + 1)
}

fn is_padding(byte: u64) -> bool {
    frame_at(byte).is_some_and(|frame| {
        let place = frame as usize - 1;
        byte >= STARTS[place] + 40 + payload(frame).len() as u64
    })
}

#[test]
fn a_flipped_bit_in_a_sealed_file_costs_the_frame_it_is_in() {
    with_each_bit_flipped(true, |byte, found| {
        let expected: Vec<_> = frame_at(byte).filter(|_| !is_padding(byte)).into_iter().collect();
        assert_eq!(found.lost(), expected, "byte {byte}");
        assert_eq!(found.damaged_frames, expected.len() as u64, "byte {byte}");
        assert_eq!(
            found.damaged_items,
            expected.iter().map(|items| u64::from(*items)).sum::<u64>(),
            "byte {byte}"
        );
        assert_eq!(found.recovery.next_sequence, FRAMES as u64 + 1, "byte {byte}");
    });
}

#[test]
fn a_flipped_bit_in_an_unfinished_file_costs_the_frame_it_is_in() {
    with_each_bit_flipped(false, |byte, found| {
        let expected: Vec<_> = frame_at(byte).filter(|_| !is_padding(byte)).into_iter().collect();
        assert_eq!(found.lost(), expected, "byte {byte}");
        // Damage to the last frame cannot be told from an append that was cut short.
        let torn = expected == [FRAMES as u32];
        assert_eq!(found.damaged_frames, u64::from(!expected.is_empty() && !torn), "byte {byte}");
        assert_eq!(
            found.recovery.torn_bytes,
            if torn { STARTS[FRAMES] - STARTS[FRAMES - 1] } else { 0 },
            "byte {byte}"
        );
    });
}

/// The frames of which some byte that a checksum covers is not what it was.
fn touched(before: &[u8], after: &[u8]) -> Vec<u32> {
    let is_touched = |place: &u32| {
        let start = STARTS[*place as usize - 1] as usize;
        let bytes = start..start + 40 + payload(*place).len();
        before[bytes.clone()] != after[bytes]
    };
    (1..=FRAMES as u32).filter(is_touched).collect()
}

/// Spoils a copy of the file and finds that only the frames in which a byte changed are lost, and all of them counted.
fn costs_what_it_touches(what: &str, sealed: bool, spoil: impl Fn(&mut [u8])) {
    let (disk, path) = folder(sealed);
    let before = disk.with_bytes(&path, |bytes| bytes.clone());
    disk.with_bytes(&path, |bytes| spoil(bytes));
    let after = disk.with_bytes(&path, |bytes| bytes.clone());
    let found = Found::in_folder(&disk);
    let lost = touched(&before, &after);
    assert_eq!(found.lost(), lost, "{what}");
    let footer = STARTS[FRAMES] as usize;
    if sealed && before[footer..] == after[footer..] {
        let items: u64 = lost.iter().map(|items| u64::from(*items)).sum();
        assert_eq!((found.damaged_frames, found.damaged_items), (lost.len() as u64, items), "{what}");
    }
}

#[test]
fn zeroed_ranges_cost_the_frames_they_cover() {
    for sealed in [true, false] {
        let length = STARTS[FRAMES] as usize + if sealed { 96 } else { 0 };
        for (bytes, step) in [(1, 7), (8, 8), (64, 8), (512, 64)] {
            for start in (64..length - bytes).step_by(step) {
                costs_what_it_touches(&format!("{bytes} bytes from {start}"), sealed, |file| {
                    file[start..start + bytes].fill(0);
                });
            }
        }
    }
}

#[test]
fn a_block_that_was_written_to_a_later_place_too_costs_the_frames_it_covers() {
    for sealed in [true, false] {
        for from in (64..1_024_usize).step_by(88) {
            for to in (from + 512..STARTS[FRAMES] as usize - 512).step_by(104) {
                costs_what_it_touches(&format!("512 bytes from {from} to {to}"), sealed, |file| {
                    file.copy_within(from..from + 512, to);
                });
            }
        }
    }
}

/// Frames only ever follow each other upwards: what stands between a misplaced frame and where it came from is passed.
#[test]
fn a_block_that_was_written_to_an_earlier_place_too_costs_the_frames_between_and_they_are_counted() {
    let [to, from] = [5, 30].map(|place| STARTS[place - 1] as usize);
    let (disk, path) = folder(true);
    disk.with_bytes(&path, |bytes| bytes.copy_within(from..STARTS[35 - 1] as usize, to));
    let found = Found::in_folder(&disk);
    assert_eq!(found.lost(), (5..30).collect::<Vec<_>>());
    assert_eq!((found.damaged_frames, found.damaged_items), (25, (5..30).sum::<u64>()));
}

#[test]
fn blocks_of_another_buffer_are_no_frames() {
    let (other, other_path) = folder(true);
    let foreign = other.with_bytes(&other_path, |bytes| bytes.clone());
    for sealed in [true, false] {
        for start in (64..STARTS[FRAMES] as usize - 512).step_by(56) {
            costs_what_it_touches(&format!("foreign bytes at {start}"), sealed, |file| {
                file[start..start + 512].copy_from_slice(&foreign[start..start + 512]);
            });
        }
    }
}

/// Something that happens to a file: where, how far, and which bytes.
#[derive(Debug, Clone)]
enum Spoiling {
    Flip(usize),
    Zero(usize, usize),
    Garbage(usize, Vec<u8>),
    Copy(usize, usize, usize),
    Insert(usize, usize),
    Remove(usize, usize),
    Truncate(usize),
}

impl Spoiling {
    fn any() -> impl Strategy<Value = Self> {
        let (at, length) = (0..usize::MAX, 0..700_usize);
        prop_oneof![
            at.clone().prop_map(Self::Flip),
            (at.clone(), length.clone()).prop_map(|(at, length)| Self::Zero(at, length)),
            (at.clone(), vec(any::<u8>(), 1..200)).prop_map(|(at, bytes)| Self::Garbage(at, bytes)),
            (at.clone(), at.clone(), length.clone())
                .prop_map(|(from, to, length)| Self::Copy(from, to, length)),
            (at.clone(), length.clone()).prop_map(|(at, length)| Self::Insert(at, length)),
            (at.clone(), length).prop_map(|(at, length)| Self::Remove(at, length)),
            at.prop_map(Self::Truncate),
        ]
    }

    fn apply(&self, file: &mut Vec<u8>) {
        let length = file.len();
        let place = |at: usize| at % (length + 1);
        let range = |at: usize, bytes: usize| place(at)..(place(at) + bytes).min(length);
        match self {
            Self::Flip(bit) if length > 0 => file[bit / 8 % length] ^= 1 << (bit % 8),
            Self::Flip(_) => {}
            Self::Zero(at, bytes) => file[range(*at, *bytes)].fill(0),
            Self::Garbage(at, bytes) => drop(file.splice(range(*at, bytes.len()), bytes.iter().copied())),
            Self::Copy(from, to, bytes) => {
                let block = file[range(*from, *bytes)].to_vec();
                file.splice(range(*to, block.len()), block);
            }
            Self::Insert(at, bytes) => {
                let block = file[range(*at, *bytes)].to_vec();
                file.splice(place(*at)..place(*at), block);
            }
            Self::Remove(at, bytes) => drop(file.drain(range(*at, *bytes))),
            Self::Truncate(at) => file.truncate(place(*at)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: cases(),
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_folder_opens_whatever_has_happened_to_its_files(
        spoilings in vec((0..2_usize, Spoiling::any()), 1..8),
        sealed in any::<bool>(),
    ) {
        let (disk, path) = folder(sealed);
        for (file, spoiling) in &spoilings {
            disk.with_bytes([&*path, Path::new(LOCK)][*file], |bytes| spoiling.apply(bytes));
        }
        if let Err(Error::OtherLayout { .. }) = open(&disk) {
            // Nothing says any more that this is a buffer: it could be somebody else's, and is left alone.
            let is_ours = disk.with_bytes(&path, |bytes| bytes.starts_with(&MAGIC));
            let is_known = disk.with_bytes(Path::new(LOCK), |bytes| !bytes.is_empty());
            assert!(!is_ours && !is_known);
            return Ok(());
        }
        let found = Found::in_folder(&disk);
        let again = Found::in_folder(&disk);
        assert_eq!(again.delivered, found.delivered, "opened again");
        let changed = again.recovery.recovered_files + again.recovery.empty_files + again.recovery.quarantined_files;
        assert_eq!(changed, 0, "opened again");
        let (journal, mut writer, recovery) = open(&disk).unwrap();
        let one = Pending::new(vec![1].into(), 1, 0, Box::new(|answer| assert!(answer.is_ok())));
        writer.append(&journal, vec![one]).into_iter().for_each(Answer::give);
        assert_eq!(journal.stats().last_sequence, recovery.next_sequence);
    }
}

#[test]
fn a_flipped_bit_in_the_lock_file_costs_nothing() {
    let (disk, _) = folder(true);
    for bit in 0..64 * 8 {
        let copy = disk.copy();
        copy.with_bytes(Path::new(LOCK), |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
        assert!(Found::in_folder(&copy).lost().is_empty(), "bit {bit}");
    }
}

#[test]
fn a_file_cut_anywhere_keeps_the_frames_before_the_cut() {
    for sealed in [true, false] {
        let (disk, path) = folder(sealed);
        let length = disk.with_bytes(&path, |bytes| bytes.len());
        for cut in 0..length {
            let copy = disk.copy();
            copy.with_bytes(&path, |bytes| bytes.truncate(cut));
            let found = Found::in_folder(&copy);
            let whole = STARTS[1..].iter().filter(|end| **end <= cut as u64).count() as u32;
            assert_eq!(found.delivered, (1..=whole).collect::<Vec<_>>(), "cut at {cut}");
            assert_eq!(found.damaged_frames, 0, "cut at {cut}");
            let again = Found::in_folder(&copy);
            assert_eq!(again.delivered, found.delivered, "cut at {cut}, opened again");
            assert_eq!(
                again.recovery.recovered_files + again.recovery.empty_files,
                0,
                "cut at {cut}, opened again"
            );
        }
    }
}

#[test]
fn a_zeroed_block_in_the_middle_costs_the_frames_it_covers() {
    let (disk, path) = folder(true);
    disk.with_bytes(&path, |bytes| bytes[150..300].fill(0));
    let found = Found::in_folder(&disk);
    assert_eq!(found.lost(), [2, 3, 4, 5]);
    assert_eq!((found.damaged_frames, found.damaged_items), (4, 14));
}

#[test]
fn a_zeroed_header_costs_nothing() {
    for sealed in [true, false] {
        let (disk, path) = folder(sealed);
        disk.with_bytes(&path, |bytes| bytes[..64].fill(0));
        let found = Found::in_folder(&disk);
        assert!(found.lost().is_empty(), "lost {:?}", found.lost());
        assert_eq!((found.damaged_frames, found.recovery.next_sequence), (0, FRAMES as u64 + 1));
    }
}

#[test]
fn a_zeroed_sector_in_an_unfinished_file_costs_the_frames_it_covers() {
    let (disk, path) = folder(false);
    disk.with_bytes(&path, |bytes| bytes[150..300].fill(0));
    let found = Found::in_folder(&disk);
    assert_eq!((found.lost(), found.damaged_frames), (vec![2, 3, 4, 5], 4));
}

#[test]
fn an_unfinished_file_whose_only_frames_are_damaged_is_kept_aside_and_counted() {
    let (disk, path) = folder(false);
    disk.with_bytes(&path, |bytes| {
        bytes.truncate(160);
        (bytes[64 + 40], bytes[112 + 40]) = (0xff, 0xff);
    });
    let (journal, _writer, recovery) = open(&disk).unwrap();
    assert_eq!((recovery.quarantined_files, recovery.empty_files, recovery.next_sequence), (1, 0, 3));
    let mut consumer = Consumer::attach(Arc::clone(&journal), "store", Some(0)).unwrap();
    assert!(consumer.next(ALL, Duration::ZERO).unwrap().is_empty());
    assert_eq!(journal.stats().counters.damaged_frames, 2);
    drop((journal, _writer, consumer));
    assert_eq!(open(&disk).unwrap().2.next_sequence, 3);
}

#[test]
fn a_repeated_block_is_read_once() {
    let (disk, path) = folder(true);
    disk.with_bytes(&path, |bytes| {
        let block = bytes[64..240].to_vec();
        bytes.splice(240..240, block);
    });
    let found = Found::in_folder(&disk);
    assert!(found.lost().is_empty() && found.delivered.len() == FRAMES, "{:?}", found.delivered);
}

#[test]
fn a_stale_block_of_the_same_buffer_is_no_first_frame() {
    for sealed in [true, false] {
        let disk = SimulatedDisk::default();
        let (journal, mut writer, _) = open(&disk).unwrap();
        for size in [8, 40] {
            writer.append(&journal, vec![Pending::new(vec![1; size].into(), 1, 0, Box::new(|_| ()))]);
            writer.seal(&journal).unwrap();
        }
        writer.append(&journal, vec![Pending::new(vec![1; 8].into(), 1, 0, Box::new(|_| ()))]);
        if sealed {
            writer.seal(&journal).unwrap();
        }
        drop((journal, writer));
        // The third file's only frame turns into that of the first.
        let stale = disk.with_bytes(Path::new("/buffer/1700000000000"), |bytes| bytes[64..112].to_vec());
        let name = if sealed { "/buffer/1700000000002" } else { "/buffer/1700000000002.tmp" };
        disk.with_bytes(Path::new(name), |bytes| bytes[64..112].copy_from_slice(&stale));
        disk.remove(Path::new("/buffer/1700000000000"));
        let (journal, _writer, recovery) = open(&disk).unwrap();
        assert_eq!(recovery.frames, if sealed { 2 } else { 1 });
        let mut consumer = Consumer::attach(Arc::clone(&journal), "store", Some(0)).unwrap();
        let given = consumer.next(ALL, Duration::ZERO).unwrap();
        assert_eq!(given.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), [2]);
        assert!(consumer.next(ALL, Duration::ZERO).unwrap().is_empty());
    }
}

#[test]
fn a_file_of_another_buffer_is_put_out_of_the_way() {
    let (disk, _) = folder(true);
    let (other, path) = folder(true);
    let foreign = other.with_bytes(&path, |bytes| bytes.clone());
    let stray = Path::new("/buffer/1800000000000");
    disk.place(stray, foreign);
    let found = Found::in_folder(&disk);
    assert_eq!((found.recovery.quarantined_files, found.delivered.len()), (1, FRAMES));
    assert!(disk.paths().contains(&PathBuf::from("/buffer/quarantine/1800000000000")));
}

#[test]
fn what_is_no_data_file_is_left_alone() {
    let (disk, _) = folder(true);
    let strays = [".nomedia", "007", "12.tmp.bak", "99999999999999999999", "cursor.upstream"];
    for name in strays {
        disk.place(&Path::new("/buffer").join(name), b"not ours".to_vec());
    }
    let found = Found::in_folder(&disk);
    assert_eq!(
        (found.recovery.quarantined_files, found.recovery.empty_files, found.delivered.len()),
        (0, 0, FRAMES)
    );
    assert_eq!(disk.paths().len(), strays.len() + 2);
}

#[test]
fn the_quarantine_keeps_the_newest_within_its_bound() {
    let (disk, _) = folder(true);
    for name in 1..=4 {
        disk.place(&PathBuf::from(format!("/buffer/{name}")), vec![7; 30 << 20]);
    }
    assert_eq!(Found::in_folder(&disk).recovery.quarantined_files, 4);
    let kept: Vec<_> =
        disk.paths().into_iter().filter(|path| path.starts_with("/buffer/quarantine")).collect();
    assert_eq!(kept, ["/buffer/quarantine/3", "/buffer/quarantine/4"].map(PathBuf::from));
}

/// Three files of one frame each, of one, two and three items.
fn folder_of_three() -> (SimulatedDisk, Arc<Journal>, Consumer) {
    let disk = SimulatedDisk::default();
    let (journal, mut writer, _) = open(&disk).unwrap();
    let consumer = Consumer::attach(Arc::clone(&journal), "store", None).unwrap();
    for items in 1..=3 {
        let payload = vec![items as u8; SIZES[items as usize - 1]];
        writer.append(&journal, vec![Pending::new(payload.into(), items, 0, Box::new(|_| ()))]);
        writer.seal(&journal).unwrap();
    }
    (disk, journal, consumer)
}

#[test]
fn a_file_that_is_gone_before_opening_is_counted_and_stepped_over() {
    let (disk, journal, consumer) = folder_of_three();
    drop((journal, consumer));
    disk.remove(Path::new("/buffer/1700000000001"));
    let found = Found::in_folder(&disk);
    assert_eq!((found.delivered, found.damaged_frames), (vec![1, 3], 1));
}

#[test]
fn a_file_that_goes_while_it_is_needed_is_counted_and_stepped_over() {
    let (disk, journal, consumer) = folder_of_three();
    drop(consumer);
    disk.remove(Path::new("/buffer/1700000000000"));
    let mut consumer = Consumer::attach(Arc::clone(&journal), "store", Some(0)).unwrap();
    let first = consumer.next(ALL, Duration::ZERO).unwrap();
    assert_eq!(first[0].items, 2);
    assert_eq!(journal.stats().counters.damaged_frames, 1);
    consumer.release(2);
    assert_eq!(journal.sweep().unwrap(), 2);
}

/// Makes a 64-byte header one of version 2.
fn raise_version(bytes: &mut [u8]) {
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
}

#[test]
fn files_of_a_later_version_are_refused_and_left_as_they_are() {
    let spoil_lock =
        |disk: &SimulatedDisk, _: &Path| disk.with_bytes(Path::new(LOCK), |lock| raise_version(lock));
    let spoil_file = |disk: &SimulatedDisk, path: &Path| disk.with_bytes(path, |file| raise_version(file));
    let spoil_file_and_lose_lock = |disk: &SimulatedDisk, path: &Path| {
        disk.with_bytes(path, |file| raise_version(file));
        disk.with_bytes(Path::new(LOCK), |lock| lock[20] ^= 1);
    };
    for spoil in [spoil_lock as fn(&SimulatedDisk, &Path), spoil_file, spoil_file_and_lose_lock] {
        for sealed in [true, false] {
            let (disk, path) = folder(sealed);
            spoil(&disk, &path);
            let before = [&path, Path::new(LOCK)].map(|path| disk.with_bytes(path, |bytes| bytes.clone()));
            let error = open(&disk).unwrap_err();
            let Error::Io { source, .. } = error else { panic!("{error}") };
            assert_eq!(source.to_string(), "written in format 2, this program knows 1");
            let after = [&path, Path::new(LOCK)].map(|path| disk.with_bytes(path, |bytes| bytes.clone()));
            assert_eq!(after, before);
        }
    }
}

#[test]
fn a_sound_frame_of_an_unknown_kind_or_codec_is_never_cut_off() {
    for (at, value) in [(2, 9), (3, 7)] {
        let (disk, path) = folder(false);
        disk.with_bytes(&path, |bytes| {
            let id = *bytes[28..].first_chunk::<16>().unwrap();
            let header = &mut bytes[STARTS[FRAMES - 1] as usize..][..40];
            header[at] = value;
            let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..36]), &id);
            header[36..].copy_from_slice(&checksum.to_le_bytes());
        });
        let found = Found::in_folder(&disk);
        assert_eq!((found.lost(), found.recovery.torn_bytes), (vec![FRAMES as u32], 0));
    }
}

#[test]
fn a_file_that_may_not_be_opened_now_is_no_damaged_file() {
    for lock_is_lost in [false, true] {
        let (disk, path) = folder(false);
        if lock_is_lost {
            disk.with_bytes(Path::new(LOCK), |bytes| bytes.fill(0));
        }
        disk.fail_to_open(&path, Errno::ACCESS);
        assert!(matches!(open(&disk), Err(Error::Io { doing: "read", .. })));
        disk.heal();
        assert!(Found::in_folder(&disk).lost().is_empty());
    }
}

/// A folder with one file of twelve frames of 1000 bytes and one item each, and the path of that file.
fn folder_of_large_frames(sealed: bool) -> (SimulatedDisk, PathBuf) {
    let disk = SimulatedDisk::default();
    let (journal, mut writer, _) = open(&disk).unwrap();
    let group = (0..12).map(|_| Pending::new(vec![1; 1_000].into(), 1, 0, Box::new(|_| ())));
    writer.append(&journal, group.collect());
    if sealed {
        writer.seal(&journal).unwrap();
    }
    let name = if sealed { "/buffer/1700000000000" } else { "/buffer/1700000000000.tmp" };
    (disk, name.into())
}

#[test]
fn a_sector_that_cannot_be_read_costs_the_frames_of_its_page() {
    for sealed in [true, false] {
        let (disk, path) = folder_of_large_frames(sealed);
        disk.fail_to_read(&path, 5_000..5_001);
        let (journal, _writer, recovery) = open(&disk).unwrap();
        assert_eq!((recovery.quarantined_files, recovery.next_sequence), (0, 13));
        let mut consumer = Consumer::attach(Arc::clone(&journal), "store", None).unwrap();
        let frames = consumer.next(ALL, Duration::ZERO).unwrap();
        let given: Vec<_> = frames.iter().map(|frame| frame.sequence).collect();
        // Bytes 4096 to 8191 are lost; frames take 1040 bytes, the first begins at 64.
        assert_eq!(given, [1, 2, 3, 9, 10, 11, 12]);
        let lost = recovery.vanished_frames + journal.stats().counters.damaged_frames;
        assert_eq!(lost, 5);
    }
}

#[test]
fn an_unfinished_file_that_cannot_be_read_is_kept_aside() {
    let (disk, path) = folder(false);
    disk.fail_to_read(&path, 0..4_096);
    let found = Found::in_folder(&disk);
    assert_eq!((found.recovery.quarantined_files, found.recovery.empty_files), (1, 0));
}

#[test]
fn a_lock_file_that_cannot_be_read_costs_nothing() {
    let (disk, _) = folder(true);
    disk.fail_to_read(Path::new(LOCK), 0..64);
    assert!(Found::in_folder(&disk).lost().is_empty());
}

#[test]
fn a_file_that_the_disk_cannot_open_is_stepped_over_and_counted() {
    let (disk, journal, consumer) = folder_of_three();
    drop(consumer);
    disk.fail_to_open(Path::new("/buffer/1700000000000"), Errno::IO);
    let mut consumer = Consumer::attach(Arc::clone(&journal), "store", Some(0)).unwrap();
    assert_eq!(consumer.next(ALL, Duration::ZERO).unwrap()[0].items, 2);
    assert_eq!(journal.stats().counters.damaged_frames, 1);
    drop((journal, consumer));
    let found = Found::in_folder(&disk);
    assert_eq!((found.recovery.quarantined_files, found.delivered), (1, vec![2, 3]));
}

/// Files as the first version wrote them. They are never written anew: whoever changes the format adds others.
#[test]
fn files_of_version_1_are_read() {
    let disk = SimulatedDisk::default();
    disk.place(Path::new(LOCK), include_bytes!("golden/v1/LOCK").to_vec());
    let sealed = include_bytes!("golden/v1/1700000000000").to_vec();
    disk.place(Path::new("/buffer/1700000000000"), sealed.clone());
    let unfinished = include_bytes!("golden/v1/1700000000001.tmp").to_vec();
    disk.place(Path::new("/buffer/1700000000001.tmp"), unfinished);
    let cursor = include_bytes!("golden/v1/cursor.upstream").to_vec();
    disk.place(Path::new("/buffer/cursor.upstream"), cursor);
    let (journal, _writer, recovery) = open(&disk).unwrap();
    assert_eq!((recovery.files, recovery.frames, recovery.recovered_files), (2, 5, 1));
    assert_eq!(journal.about().id[..], include_bytes!("golden/v1/LOCK")[16..32]);
    let mut upstream = Consumer::attach_durable(&journal, "upstream", StartAt::Latest).unwrap();
    let mut consumer = Consumer::attach(journal, "store", None).unwrap();
    let all = |consumer: &mut Consumer| {
        let mut frames = consumer.next(ALL, Duration::ZERO).unwrap();
        frames.extend(consumer.next(ALL, Duration::ZERO).unwrap());
        frames
    };
    let owed: Vec<_> = all(&mut upstream).iter().map(|frame| frame.sequence).collect();
    assert_eq!(owed, [2, 5]);
    let frames = all(&mut consumer);
    let found: Vec<_> = frames.iter().map(|frame| (frame.sequence, &*frame.payload)).collect();
    let expected: [(u64, &[u8]); 5] = [
        (1, b"the first frame"),
        (2, b""),
        (3, b"\x00\x01\x02\xff of the sealed file"),
        (4, b"two frames of a file"),
        (5, b"that a crash left unfinished"),
    ];
    assert_eq!(found, expected);
    assert!(frames.iter().all(|frame| frame.accepted == 1_700_000_000_000_000_000 && frame.items == 1));
    assert_eq!(disk.with_bytes(Path::new("/buffer/1700000000000"), |bytes| bytes.clone()), sealed);
}
