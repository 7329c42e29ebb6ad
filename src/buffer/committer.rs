//! The three threads of a buffer: one writes, one answers, one deletes what has been released.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use crate::buffer::journal::Journal;
use crate::buffer::queue::{Answer, Ending, Errand};
use crate::buffer::writer::Writer;

/// Groups that may wait to be answered before the committer does.
const MAX_UNANSWERED_GROUPS: usize = 2;

/// Gives answers until the committer has ended: waking many appenders takes as long as a sync.
pub(super) fn spawn_answerer() -> std::io::Result<(SyncSender<Vec<Answer>>, JoinHandle<()>)> {
    let (answers, to_give) = sync_channel::<Vec<Answer>>(MAX_UNANSWERED_GROUPS);
    let thread = thread::Builder::new().name("buffer-answer".into());
    let thread = thread.spawn(move || to_give.into_iter().flatten().for_each(Answer::give))?;
    Ok((answers, thread))
}

/// Writes until told to end.
pub(super) fn spawn_committer(
    journal: Arc<Journal>,
    writer: Writer,
    answers: SyncSender<Vec<Answer>>,
) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("buffer-commit".into()).spawn(move || {
        let _closing = CloseOnDrop(&journal);
        commit_until_ended(&journal, writer, &answers);
    })
}

/// Deletes until the buffer is closed.
pub(super) fn spawn_sweeper(journal: Arc<Journal>) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().name("buffer-sweep".into()).spawn(move || journal.sweep_until_closed())
}

fn commit_until_ended(journal: &Journal, mut writer: Writer, answers: &SyncSender<Vec<Answer>>) {
    loop {
        let deadline = writer.until_due(journal).and_then(|rest| Instant::now().checked_add(rest));
        let ending = commit_once(journal, &mut writer, deadline, |given| {
            give_or_hand_over(given, answers);
        });
        match ending {
            Ending::No => {}
            Ending::Abandon => return,
            Ending::Close => {
                if let Err(error) = writer.seal(journal) {
                    tracing::warn!(error = &error as &dyn std::error::Error, "buffer file left unsealed");
                }
                return;
            }
        }
    }
}

/// A lone answer is given at once: handing it over would take as long.
fn give_or_hand_over(given: Vec<Answer>, answers: &SyncSender<Vec<Answer>>) {
    if given.len() == 1 {
        return given.into_iter().for_each(Answer::give);
    }
    answers.send(given).expect("the answerer ends after the committer");
}

/// Waits for work and does it: at most one group, then sealing if that is due.
///
/// While one group is being synced the next one gathers in the queue: that is all the batching there is.
pub(super) fn commit_once(
    journal: &Journal,
    writer: &mut Writer,
    deadline: Option<Instant>,
    give: impl FnOnce(Vec<Answer>),
) -> Ending {
    let work = journal.queue.take(deadline);
    let (cost, ending) = (work.cost(), work.ending);
    if ending == Ending::Abandon {
        return ending;
    }
    if !work.group.is_empty() {
        // However late the thread was woken: nothing more goes into a file that is past its age.
        writer.seal_if_due(journal, false);
        give(writer.append(journal, work.group));
        journal.queue.finished(cost);
    }
    for errand in work.errands {
        run(journal, writer, errand);
    }
    writer.sync_if_due(journal);
    writer.seal_if_due(journal, work.seal_demanded);
    ending
}

/// Whoever sent it may have gone away.
fn run(journal: &Journal, writer: &mut Writer, errand: Errand) {
    let gone = match errand {
        Errand::Seal(told) => told.try_send(writer.seal(journal)).is_err(),
        Errand::SealIfDue(told) => {
            writer.seal_if_due(journal, false);
            told.try_send(Ok(())).is_err()
        }
        Errand::Clear(told) => told.try_send(writer.clear(journal)).is_err(),
    };
    if gone {
        tracing::debug!("nobody waits for what was asked of a buffer");
    }
}

/// However the committer ends, nobody may wait for it any more.
struct CloseOnDrop<'a>(&'a Journal);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            tracing::error!("the thread that writes a buffer has panicked");
            self.0.degrade("the thread that writes has panicked");
        }
        self.0.queue.abandon();
        self.0.close();
    }
}
