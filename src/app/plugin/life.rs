//! How far this process has come: it runs, it ends, everything it has taken is safe.

use std::sync::Arc;

use tokio::sync::watch;

/// Where everybody who has to know looks; cheap to clone.
#[derive(Debug, Clone, Default)]
pub(super) struct Life(Arc<watch::Sender<Stage>>);

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    #[default]
    Running,
    Ending,
    Closed,
}

impl Life {
    /// Begins the end, once.
    pub(super) fn end(&self, why: &str) {
        if self.advance(Stage::Ending) {
            tracing::info!("time to end: {why}");
        }
    }

    /// Until the end begins.
    pub(super) async fn ending(&self) {
        self.reached(Stage::Ending).await;
    }

    /// Whether the end has begun.
    pub(super) fn is_ending(&self) -> bool {
        *self.0.borrow() >= Stage::Ending
    }

    /// What was taken is safe.
    pub(super) fn close(&self) {
        self.advance(Stage::Closed);
    }

    /// Until it is.
    pub(super) async fn closed(&self) {
        self.reached(Stage::Closed).await;
    }

    fn advance(&self, stage: Stage) -> bool {
        self.0.send_if_modified(|reached| {
            let further = *reached < stage;
            *reached = stage.max(*reached);
            further
        })
    }

    async fn reached(&self, stage: Stage) {
        let mut seen = self.0.subscribe();
        // The sender is ours, so it is there for as long as this waits.
        let _there = seen.wait_for(|reached| *reached >= stage).await;
    }
}
