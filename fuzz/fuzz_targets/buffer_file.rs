//! Any bytes as a buffer's file, finished or not: it opens, gives what is sound once, and takes more.

#![no_main]

mod memory_disk;

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use memory_disk::{MemoryDisk, StoppedClock};
use tracelodge::buffer::{Buffer, Consumer, Environment, FileStorageConfig, Frame, Recovery, Signal, Take};

const LOCK: &[u8] = include_bytes!("../../src/buffer/golden/v1/LOCK");
const HEADER_BYTES: usize = 40;

fuzz_target!(|input: &[u8]| {
    let Some((mode, file)) = input.split_first() else { return };
    let mut file = file.to_vec();
    if mode & 2 != 0 {
        vouch_for_frames(&mut file);
    }
    let disk = MemoryDisk::default();
    if mode & 4 == 0 {
        disk.place("/buffer/LOCK", LOCK.to_vec());
    }
    let most = file.len() / HEADER_BYTES;
    disk.place(if mode & 1 == 0 { "/buffer/1700000000000" } else { "/buffer/1700000000000.tmp" }, file);
    let Some((frames, first)) = opened_and_read(&disk, most) else { return };
    let (again, second) = opened_and_read(&disk, most).expect("it has been opened once");
    if mode & 2 == 0 {
        assert_eq!(frames, again);
        assert_eq!(second.recovered_files + second.empty_files + second.quarantined_files, 0);
        assert_eq!(first.next_sequence, second.next_sequence);
    } else {
        // A header that was vouched for may lie about its length: what mending puts behind the file makes room for it,
        // and it hides what stands there.
        assert!(again.iter().all(|frame| frames.contains(frame)));
    }
    append(&disk, second.next_sequence);
});

/// None if a later version is said to have written the file, or if it is another signal's.
fn opened_and_read(disk: &MemoryDisk, most: usize) -> Option<(Vec<Frame>, Recovery)> {
    let (buffer, recovery) = open(disk)?;
    let mut consumer = buffer.external_consumer("store", None).expect("nobody else has the name");
    let frames = everything(&mut consumer, most);
    assert!(frames.is_sorted_by(|a, b| a.sequence < b.sequence));
    assert!(frames.last().is_none_or(|frame| frame.sequence < recovery.next_sequence));
    Some((frames, recovery))
}

fn open(disk: &MemoryDisk) -> Option<(Buffer, Recovery)> {
    let environment = Environment::new(Arc::new(disk.clone()), Arc::new(StoppedClock));
    let settings = FileStorageConfig { max_file_size: 1 << 20, ..FileStorageConfig::appliance() };
    Buffer::open(Path::new("/buffer"), Signal::Traces, settings, environment).ok()
}

/// Few at a time, so that files are read in pieces too.
fn everything(consumer: &mut Consumer, most: usize) -> Vec<Frame> {
    let take = Take { max_frames: 3, max_bytes: 1_000, max_items: 10 };
    let mut frames = Vec::new();
    loop {
        let some = consumer.next(take, Duration::ZERO).expect("this disk can be read");
        if some.is_empty() {
            return frames;
        }
        frames.extend(some);
        assert!(frames.len() <= most, "more frames than the file has room for");
    }
}

fn append(disk: &MemoryDisk, sequence: u64) {
    let Some((buffer, _)) = open(disk) else { return };
    let (answer, answered) = sync_channel(1);
    let mut consumer =
        buffer.external_consumer("store", Some(sequence - 1)).expect("nobody else has the name");
    buffer.append(b"one more"[..].into(), 1, move |outcome| answer.send(outcome).expect("waited for"));
    assert_eq!(answered.recv().expect("answered").expect("there is room"), sequence);
    let frames = everything(&mut consumer, 1);
    assert_eq!((frames.len(), &*frames[0].payload), (1, &b"one more"[..]));
}

/// Makes the checksums of whatever could be a frame's header right, or no run would get past them.
fn vouch_for_frames(file: &mut [u8]) {
    for at in (64..file.len().saturating_sub(HEADER_BYTES - 1)).step_by(8) {
        if !file[at..].starts_with(b"TF") {
            continue;
        }
        let (header, payload) = file[at..].split_at_mut(HEADER_BYTES);
        let length = u32::from_le_bytes(header[4..8].try_into().expect("four bytes")) as usize;
        if let Some(payload) = payload.get(..length) {
            header[32..36].copy_from_slice(&crc32c::crc32c(payload).to_le_bytes());
        }
        let checksum = crc32c::crc32c_append(crc32c::crc32c(&header[..36]), &LOCK[16..32]);
        header[36..].copy_from_slice(&checksum.to_le_bytes());
    }
}
