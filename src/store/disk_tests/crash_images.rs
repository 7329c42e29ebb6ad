//! Power cuts at any moment of a store's life, and of its life after the first cut.

use std::sync::Arc;

use parking_lot::Mutex;

use super::crash_images;
use super::disk::{Dice, SimulatedDisk};
use super::life::{Life, Promised};

/// What happens in a life, and in one that begins after a power cut.
const EVENTS: u64 = 40;
const EVENTS_AFTER: u64 = 5;

/// One in so many writes a power cut is tried; in lives that begin after one they are rarer.
const RARITY: [u64; 3] = [12, 120, u64::MAX];

type Pictures = Arc<Mutex<Vec<(SimulatedDisk, Promised)>>>;

/// Lives on, with pictures taken.
fn live(life: &mut Life, events: u64, (seed, depth): (u64, usize)) -> Vec<(SimulatedDisk, Promised)> {
    let pictures = Pictures::default();
    let (album, promised) = (Arc::clone(&pictures), Arc::clone(&life.promised));
    let take = move |disk| album.lock().push((disk, promised.lock().clone()));
    life.disk.watch(Dice(seed), RARITY[depth], take);
    life.open().unwrap();
    life.check(true);
    for _event in 0..events {
        life.live().unwrap();
    }
    life.disk.watch_no_more();
    life.check(true);
    std::mem::take(&mut *pictures.lock())
}

#[test]
fn what_was_acknowledged_is_there_once_after_any_power_cut() {
    let (mut looked_at, mut seed) = (0, 0);
    while looked_at < crash_images() {
        seed += 1;
        let mut life = Life::begin(SimulatedDisk::default(), Promised::new(seed), seed);
        let mut waiting: Vec<_> = live(&mut life, EVENTS, (seed, 0))
            .into_iter()
            .map(|(disk, promised)| (disk, promised, 1))
            .collect();
        while let Some((disk, promised, depth)) = waiting.pop() {
            looked_at += 1;
            let mut life = Life::begin(disk, promised, seed + looked_at);
            let pictures = live(&mut life, EVENTS_AFTER, (seed + looked_at, depth));
            if depth + 1 < RARITY.len() {
                waiting.extend(pictures.into_iter().map(|(disk, promised)| (disk, promised, depth + 1)));
            }
            if looked_at >= crash_images() {
                break;
            }
        }
    }
}
