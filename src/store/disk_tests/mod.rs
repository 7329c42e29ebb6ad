//! The store on disks that misbehave: power cuts, failing calls, full disks, rot, and files that are not what they were.
//!
//! `CRASH_IMAGES` says how many power cuts are tried; the other tests grow with it.

mod crash_images;
mod disk;
mod emptied;
mod failures;
mod life;
mod once;
mod rot;
mod truth;

/// How many disks are looked at after a power cut; `CRASH_IMAGES` asks for more.
fn crash_images() -> u64 {
    std::env::var_os("CRASH_IMAGES").and_then(|images| images.to_str()?.parse().ok()).unwrap_or(40)
}
