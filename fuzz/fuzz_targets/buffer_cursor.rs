//! Any bytes as a consumer's position: the buffer opens, the consumer is given frames at most once, and its position
//! is written and found again.

#![no_main]

mod memory_disk;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use memory_disk::{MemoryDisk, StoppedClock};
use tracelodge::buffer::{Buffer, Consumer, Environment, FileStorageConfig, Signal, StartAt, Take};

const LOCK: &[u8] = include_bytes!("../../src/buffer/golden/v1/LOCK");
const FILE: &[u8] = include_bytes!("../../src/buffer/golden/v1/1700000000000");
const SLOT_BYTES: usize = 512;
const FRAMES: usize = 3;

fuzz_target!(|input: &[u8]| {
    let Some((mode, file)) = input.split_first() else { return };
    let mut file = file.to_vec();
    if mode & 1 != 0 {
        vouch_for_slots(&mut file);
    }
    let disk = MemoryDisk::default();
    disk.place("/buffer/LOCK", LOCK.to_vec());
    disk.place("/buffer/1700000000000", FILE.to_vec());
    disk.place("/buffer/cursor.upstream", file);
    // A later version may have written it.
    let Some(buffer) = open(&disk) else { return };
    let mut consumer = buffer.consumer("upstream", StartAt::Latest).expect("nobody else has the name");
    let pending = buffer.stats().consumers[0].pending.frames;
    let given = everything(&mut consumer);
    assert!(given.is_sorted_by(|a, b| a < b) && given.len() <= FRAMES);
    assert_eq!(given.len() as u64, pending);
    if mode & 2 != 0 {
        consumer.go_live();
    }
    if let Some(last) = given.last() {
        consumer.rewind();
        assert_eq!(everything(&mut consumer), given);
        consumer.release(*last);
    }
    consumer.save().expect("this disk can be written to");
    drop((consumer, buffer));
    let buffer = open(&disk).expect("it has been opened once");
    let mut consumer = buffer.consumer("upstream", StartAt::Oldest).expect("nobody else has the name");
    assert!(everything(&mut consumer).is_empty(), "what was released is given again");
});

fn open(disk: &MemoryDisk) -> Option<Buffer> {
    let environment = Environment::new(Arc::new(disk.clone()), Arc::new(StoppedClock));
    let settings = FileStorageConfig::appliance();
    Buffer::open(Path::new("/buffer"), Signal::Traces, settings, environment).map(|(buffer, _)| buffer).ok()
}

fn everything(consumer: &mut Consumer) -> Vec<u64> {
    let take = Take { max_frames: 2, max_bytes: 1_000, max_items: 10 };
    let mut given = Vec::new();
    loop {
        let frames = consumer.next(take, Duration::ZERO).expect("this disk can be read");
        if frames.is_empty() {
            return given;
        }
        given.extend(frames.iter().map(|frame| frame.sequence));
        assert!(given.len() <= FRAMES, "more frames than there are");
    }
}

/// Makes the slots this buffer's and their checksums right, or no run would get past them.
fn vouch_for_slots(file: &mut [u8]) {
    for slot in file.chunks_exact_mut(SLOT_BYTES).take(2) {
        slot[24..40].copy_from_slice(&LOCK[16..32]);
        let checksum = crc32c::crc32c(&slot[..SLOT_BYTES - 4]);
        slot[SLOT_BYTES - 4..].copy_from_slice(&checksum.to_le_bytes());
    }
}
