//! Whether the host is still there: one that is killed, or is older than Jaeger 1.57, ends without a word.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, getppid};
use tokio::sync::watch;

use super::life::Life;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Who started this process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Parent(Option<Pid>);

impl Parent {
    /// Whoever it is now. It may be process 1, in a container.
    pub(super) fn now() -> Self {
        Self(getppid())
    }

    /// Ends this process's life when the host is gone: its child has another parent then; or, where something stands
    /// between the two that outlives it, nobody is connected and nobody could read what is printed. A guest of the data
    /// folder is connected too, and keeps the child alive for as long as it stays: such scripts are meant to `exec`.
    pub(super) async fn watch(self, open: watch::Receiver<usize>, life: Life) {
        let mut was_alone = false;
        loop {
            if getppid() != self.0 {
                return life.end("the host is gone");
            }
            // A host that has just come may not be counted yet.
            let is_alone = *open.borrow() == 0 && nobody_reads();
            if is_alone && was_alone {
                return life.end("the host has closed everything");
            }
            was_alone = is_alone;
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = life.ending() => return,
            }
        }
    }
}

/// Standard output is a pipe, and its other end is closed.
fn nobody_reads() -> bool {
    let stdout = std::io::stdout();
    let mut asked = [PollFd::new(&stdout, PollFlags::empty())];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut asked, Some(&at_once)).is_ok() && asked[0].revents().contains(PollFlags::ERR)
}
