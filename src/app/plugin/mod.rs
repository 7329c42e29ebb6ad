//! Jaeger's storage as a child process of Jaeger 1.12 to 1.57, by the rules of hashicorp/go-plugin.
//!
//! Promise: nothing but the one line of the handshake ever goes to standard output. No port is opened. What was
//! acknowledged is safe before the host hears that this process may end, and it ends when the host does, in whatever way
//! that ends. Two children that are given one data folder share it: one has it, the other passes calls on to the first, and
//! takes its place.
//!
//! Limits: how long a call waits while the folder changes hands, how much of one is kept to be passed on once more.
//!
//! Does not know: what a span is.
//!
//! Source: hashicorp/go-plugin `docs/guide-plugin-write-non-go.md`, `client.go`, `server.go`.

mod calls;
mod connections;
mod control;
mod door;
mod guest;
mod health;
mod host;
mod life;
mod parent;
mod passing;
mod settings;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use rustix::fs::Mode;
use tokio::signal::unix::Signal;
use tracing::Level;

use super::folder::{self, DataFolder};
use super::neighbor::{Address, Kind, Neighbor};
use super::telemetry::hclog;
use super::{ANSWER_WITHIN, App, Config, LEAVE_WITHIN};
use calls::{Answering, Calls};
use connections::Connections;
use door::Door;
use guest::Owner;
use host::{Host, PROTOCOL};
use life::Life;
use parent::Parent;

pub(super) use host::has_started_us;

/// Who comes at the time when another process ends, or begins, has the folder, or that process's answers, within this. A
/// host waits twice as long for the handshake.
const FOLDER_WITHIN: Duration = Duration::from_secs(30);

/// Between two looks at a folder that another process has.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// When the log says that the folder still cannot be had.
const COMPLAIN_AFTER: Duration = Duration::from_secs(10);

/// A host that is asked to end together with this process has this long to do so.
const HOST_WITHIN: Duration = Duration::from_secs(2);

/// The host closes its connection when it has the answer that ends this process, and kills two seconds later.
const CLOSE_WITHIN: Duration = Duration::from_millis(700);

/// The child: arguments in, exit code out.
pub(super) fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let parent = Parent::now();
    hclog::start_panics();
    match run(parent, arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            hclog::say(Level::ERROR, module_path!(), &format!("tracelodge could not {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run(parent: Parent, arguments: impl IntoIterator<Item = OsString>) -> anyhow::Result<()> {
    let args = settings::arguments(arguments)?;
    let host = Host::read(|name| std::env::var_os(name))?;
    let (config, temporary) = settings::read(&args, std::env::vars_os())?;
    hclog::start(&config.log_level).context("use its settings")?;
    // Spans may hold what is nobody else's business.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let runtime = super::threads().context("start its threads")?;
    let child = Child::new(config);
    let ended = runtime.block_on(child.live(parent, &host));
    // A call that still runs is nobody's any more.
    runtime.shutdown_timeout(LEAVE_WITHIN);
    ended.map(drop)?;
    drop(temporary);
    Ok(())
}

/// A terminal's Ctrl-C reaches this process too, and is the host's to act on: it ends its child in order.
fn listen_to_signals(life: &Life) -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // Whoever listens is not killed, and no longer needs to listen for that.
    drop(signal(SignalKind::interrupt())?);
    for kind in [SignalKind::terminate(), SignalKind::hangup()] {
        tokio::spawn(end_when_asked(signal(kind)?, life.clone()));
    }
    Ok(())
}

async fn end_when_asked(mut signals: Signal, life: Life) {
    let _asked = signals.recv().await;
    // A supervisor sends it to all processes at once, and the host has something left to write.
    tokio::select! {
        () = tokio::time::sleep(HOST_WITHIN) => {}
        () = life.ending() => {}
        _again = signals.recv() => {}
    }
    life.end("a signal asked for it");
    let _asked_again = signals.recv().await;
    std::process::exit(1);
}

/// How this process stands to the data folder.
enum Standing {
    /// It has it.
    Owner(Box<App>),
    /// Another one has, of this kind.
    Guest(Owner, Kind),
}

struct Child {
    config: Config,
    life: Life,
    calls: Calls,
}

impl Child {
    fn new(config: Config) -> Self {
        let life = Life::default();
        Self { config, calls: Calls::new(life.clone()), life }
    }

    /// From the first signal to the last call. The folder, if it was this process's, is returned: others may not have it
    /// before everything is closed.
    async fn live(self, parent: Parent, host: &Host) -> anyhow::Result<Option<Arc<DataFolder>>> {
        listen_to_signals(&self.life).context("listen to signals")?;
        super::outlive_file_limits().context("listen to signals")?;
        let door = Door::open(host).await?;
        let address = door.address().clone();
        let standing = tokio::select! {
            standing = self.stand(&address, Some(FOLDER_WITHIN), Kind::Child) => standing?,
            () = self.life.ending() => return Ok(None),
        };
        // Nobody would ever connect where nobody has read where.
        if let Err(error) = shake_hands(&address) {
            if let Standing::Owner(app) = standing {
                drop(self.close(*app).await);
            }
            return Err(error).context("tell its host where it listens");
        }
        let router = self.router().await;
        let connections = Connections::serve(door, router, self.life.clone());
        tokio::spawn(parent.watch(connections.open(), self.life.clone()));
        let outcome = self.serve(standing, &address).await;
        self.life.close();
        // Who has not gone by then is left.
        let _gone = tokio::time::timeout(CLOSE_WITHIN, connections.ended()).await;
        outcome
    }

    async fn router(&self) -> Router {
        let others = Router::new().fallback(Calls::answer).with_state(self.calls.clone());
        others.merge(control::router(&self.life)).merge(health::router(&self.calls).await)
    }

    /// Until the end; what it had taken is safe then.
    async fn serve(
        &self,
        mut standing: Standing,
        address: &Address,
    ) -> anyhow::Result<Option<Arc<DataFolder>>> {
        loop {
            let kind = match standing {
                Standing::Owner(app) => {
                    self.life.ending().await;
                    app.withdraw_storage();
                    self.finish_calls().await;
                    return Ok(Some(self.close(*app).await));
                }
                Standing::Guest(owner, kind) => tokio::select! {
                    () = owner.gone() => kind,
                    () = self.life.ending() => {
                        self.finish_calls().await;
                        return Ok(None);
                    }
                },
            };
            tracing::info!("the process that has the data folder is gone");
            self.calls.answered_by(Answering::Nobody);
            let found = tokio::select! {
                found = self.stand(address, None, kind) => found,
                () = self.life.ending() => return Ok(None),
            };
            standing = found.inspect_err(|_error| self.life.end("it cannot go on"))?;
        }
    }

    /// Nobody is answered by it any more when it is closed, and the folder is the last that goes.
    async fn close(&self, app: App) -> Arc<DataFolder> {
        let folder = app.folder();
        self.calls.answered_by(Answering::Nobody);
        app.finish().await;
        folder
    }

    async fn finish_calls(&self) {
        if tokio::time::timeout(ANSWER_WITHIN, self.calls.done()).await.is_err() {
            tracing::warn!("some calls did not end in time and are cut");
        }
    }

    /// Takes the folder, or finds somebody who has it. The guest of a server waits for it to come back: it is meant to
    /// find its folder free.
    async fn stand(
        &self,
        address: &Address,
        within: Option<Duration>,
        after: Kind,
    ) -> anyhow::Result<Standing> {
        let folder = &self.config.data_dir;
        let started = Instant::now();
        let mut complained = false;
        loop {
            if after == Kind::Child {
                match DataFolder::take(folder) {
                    Ok(folder) => return self.own(folder, address).await,
                    Err(folder::Error::Held { .. })
                        if within.is_none_or(|within| started.elapsed() < within) => {}
                    Err(error @ folder::Error::Held { .. }) => {
                        return Err(error).context(
                            "pass calls on to who has its data folder: nothing there says where it can be asked, as a \
                             server's doors.storage does that is on, speaks no TLS ([tls]) and asks for no token \
                             (tokens.ingest_file, tokens.read_file)",
                        );
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if let Some(neighbor) = Neighbor::of(folder)
                && let Some(standing) = self.visit(&neighbor).await
            {
                return Ok(standing);
            }
            if !complained && started.elapsed() > COMPLAIN_AFTER {
                complained = true;
                tracing::warn!("the data folder cannot be had, and whoever has it cannot be asked");
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn own(&self, folder: DataFolder, address: &Address) -> anyhow::Result<Standing> {
        let app = App::start_in(&self.config, folder).await?;
        self.calls.answered_by(Answering::Ourselves(app.storage()));
        app.announce_storage(Kind::Child, address.clone());
        tracing::info!("this process has the data folder {}", self.config.data_dir.display());
        Ok(Standing::Owner(Box::new(app)))
    }

    async fn visit(&self, neighbor: &Neighbor) -> Option<Standing> {
        let address = &neighbor.address;
        let owner = Owner::reach(address).await;
        let owner = owner.inspect_err(|error| tracing::debug!(%error, "nobody is at {address}")).ok()?;
        self.calls.answered_by(Answering::Another(owner.clone()));
        tracing::info!("another process has the data folder; calls are passed on to {address}");
        Some(Standing::Guest(owner, neighbor.kind))
    }
}

/// The only words on standard output.
fn shake_hands(address: &Address) -> std::io::Result<()> {
    let (network, place) = address.parts();
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "1|{PROTOCOL}|{network}|{place}|grpc")?;
    stdout.flush()
}
