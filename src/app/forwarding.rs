//! The buffers and who takes from them to another server: opened, started, ended, forgotten.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};

use super::clock::SystemClock;
use super::config::{Config, Upstream};
use super::folder::DataFolder;
use crate::buffer::{self, Buffer, Environment, FileStorageConfig, HostDisk, Reserve, WhenFull};
use crate::ingest::forward::{CONSUMER, ForwardCounts, Forwarder, Route, Throttle, pending};
use crate::ingest::{Buffers, Signal};
use crate::translate;
use crate::upstream::{Client, Endpoint};

/// Memory for fresh log records and data points: nobody but a forwarder reads them.
const FORWARD_TAIL_BYTES: usize = 4 << 20;

/// How long a name may take that might be our own.
const LOOK_UP_WITHIN: Duration = Duration::from_secs(1);

/// Opens every buffer that somebody takes from.
pub(super) fn open_buffers(
    config: &Config,
    folder: &DataFolder,
    clock: &Arc<SystemClock>,
) -> anyhow::Result<Buffers> {
    let environment = environment(config, folder, clock)?;
    let open = |signal| open_buffer(config, folder, &environment, signal);
    let forwarded =
        |signal| config.upstream.as_ref().is_some_and(|upstream| upstream.signals.contains(&signal));
    let traces = open(Signal::Traces)?;
    let left = Signal::ALL.into_iter().filter(|signal| !forwarded(*signal));
    let waiting = left.map(|signal| match signal {
        Signal::Traces => Ok((signal, pending(&traces).items)),
        Signal::Logs | Signal::Metrics => Ok((signal, left_waiting(&path(folder, signal), || open(signal))?)),
    });
    warn_of_what_was_left(waiting);
    let opened = |signal| forwarded(signal).then(|| open(signal)).transpose();
    Ok(Buffers { logs: opened(Signal::Logs)?, metrics: opened(Signal::Metrics)?, traces })
}

/// All buffers share what is set aside on their disk.
fn environment(
    config: &Config,
    folder: &DataFolder,
    clock: &Arc<SystemClock>,
) -> anyhow::Result<Environment> {
    let environment = Environment::host(Arc::clone(clock) as Arc<dyn buffer::Clock>);
    let Some(bytes) = config.reserve_size else { return Ok(environment) };
    let reserve = Reserve::open(Arc::new(HostDisk), &folder.join("buffer/reserve"), bytes);
    Ok(environment.with_reserve(Arc::new(reserve.context("open the buffer")?)))
}

fn path(folder: &DataFolder, signal: Signal) -> PathBuf {
    folder.join(&format!("buffer/{}", signal.name()))
}

fn open_buffer(
    config: &Config,
    folder: &DataFolder,
    environment: &Environment,
    signal: Signal,
) -> anyhow::Result<Buffer> {
    let settings = match signal {
        Signal::Traces => config.buffer.clone(),
        // Nothing of theirs is kept elsewhere: a sender that is told to come again would only lose newer ones.
        Signal::Logs | Signal::Metrics => FileStorageConfig {
            tail_bytes: FORWARD_TAIL_BYTES.min(config.buffer.tail_bytes),
            when_full: WhenFull::DropOldest,
            ..config.buffer.clone()
        },
    };
    let named = match signal {
        Signal::Traces => buffer::Signal::Traces,
        Signal::Logs => buffer::Signal::Logs,
        Signal::Metrics => buffer::Signal::Metrics,
    };
    let (buffer, recovery) = Buffer::open(&path(folder, signal), named, settings, environment.clone())
        .with_context(|| format!("open the buffer of {}", signal.name()))?;
    let signal = signal.name();
    if recovery.vanished_frames > 0 || recovery.quarantined_files > 0 {
        tracing::warn!(
            signal,
            recovery.vanished_frames,
            recovery.quarantined_files,
            "the buffer is damaged: some requests in it cannot be used any more"
        );
    }
    if recovery.recovered_files > 0 {
        tracing::info!(
            signal,
            recovery.frames,
            recovery.recovered_files,
            recovery.torn_bytes,
            "the last run did not end by itself; its buffer was repaired"
        );
    }
    Ok(buffer)
}

/// What waits in a buffer that nobody takes from any more: looked at, and closed again.
fn left_waiting(path: &Path, open: impl FnOnce() -> anyhow::Result<Buffer>) -> anyhow::Result<u64> {
    if path.exists() { Ok(pending(&open()?).items) } else { Ok(0) }
}

/// An upstream, or a signal of it, that is no longer set may only be set again later: what waits for it is kept until
/// it expires, or makes room, or somebody says otherwise.
fn warn_of_what_was_left(waiting: impl Iterator<Item = anyhow::Result<(Signal, u64)>>) {
    for found in waiting {
        match found {
            Ok((_, 0)) => {}
            Ok((signal, items)) => tracing::warn!(
                signal = signal.name(),
                items,
                "the buffer holds what was to be forwarded, and upstream.endpoint and upstream.signals do not have it \
                 forwarded any more; `tracelodge forget-upstream` drops what waits, of all signals"
            ),
            Err(error) => {
                tracing::warn!("it is not known what was to be forwarded, could not {error:#}");
            }
        }
    }
}

/// Drops what waits for an upstream, of all signals. Says how many items of each.
pub(super) fn forget_upstream(config: &Config) -> anyhow::Result<Vec<(Signal, u64)>> {
    let folder = DataFolder::take(&config.data_dir)?;
    let environment = environment(config, &folder, &Arc::new(SystemClock))?;
    let mut dropped = Vec::new();
    for signal in Signal::ALL.into_iter().filter(|signal| path(&folder, *signal).exists()) {
        let buffer = open_buffer(config, &folder, &environment, signal)?;
        dropped.push((signal, pending(&buffer).items));
        buffer.forget_consumer(CONSUMER).context("forget the upstream")?;
        buffer.close();
        drop(buffer);
        if signal != Signal::Traces {
            // Nobody else takes from it.
            let path = path(&folder, signal);
            std::fs::remove_dir_all(&path).with_context(|| format!("remove {}", path.display()))?;
        }
    }
    Ok(dropped)
}

/// What forwards.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    forwarders: Vec<Forwarder>,
}

/// What each signal's forwarder counts; empty without an upstream.
pub(super) type ForwardingCounts = Vec<(Signal, Arc<ForwardCounts>)>;

impl Forwarding {
    /// Starts a forwarder for each signal that is forwarded, if there is somewhere to forward to.
    pub(super) async fn start(
        upstream: Option<&Upstream>,
        buffers: &Buffers,
        folder: &DataFolder,
        own_doors: &[SocketAddr],
    ) -> anyhow::Result<(Self, ForwardingCounts)> {
        let Some(upstream) = upstream else { return Ok((Self::default(), Vec::new())) };
        let endpoint = &upstream.client.endpoint;
        if is_own_door(endpoint, own_doors).await {
            bail!("forward to upstream.endpoint = \"{endpoint}\": that is this program's own door");
        }
        let clock = Arc::new(SystemClock);
        let client =
            Client::new(upstream.client.clone(), Arc::clone(&clock) as _).context("use its upstream")?;
        let route = Route {
            upstream: Arc::new(client),
            say_spans: translate::otlp::for_others,
            start: upstream.start,
            throttle: Arc::new(Throttle::new(upstream.max_bytes_per_second)),
            rejected: folder.join("rejected"),
            clock,
        };
        let (mut forwarders, mut counts) = (Vec::new(), Vec::new());
        for (signal, buffer) in buffers.each().filter(|(signal, _)| upstream.signals.contains(signal)) {
            let counted = Arc::new(ForwardCounts::default());
            forwarders.push(Forwarder::start(buffer, signal, &route, Arc::clone(&counted))?);
            counts.push((signal, counted));
        }
        Ok((Self { forwarders }, counts))
    }

    /// What is waited for is not waited for any longer.
    pub(super) fn close(&self) {
        self.forwarders.iter().for_each(Forwarder::close);
    }

    /// Sends what closed buffers still hold, as far as the other server takes it at once. Returns whether it
    /// was all.
    pub(super) fn finish(self, deadline: Instant) -> bool {
        let mut all = true;
        for forwarder in self.forwarders {
            all &= forwarder.finish(deadline);
        }
        all
    }
}

/// As far as it can be told: a name that cannot be found now may be anybody's.
async fn is_own_door(endpoint: &Endpoint, own_doors: &[SocketAddr]) -> bool {
    if own_doors.iter().all(|door| door.port() != endpoint.port()) {
        return false;
    }
    let found = tokio::net::lookup_host((endpoint.host(), endpoint.port()));
    let Ok(Ok(found)) = tokio::time::timeout(LOOK_UP_WITHIN, found).await else { return false };
    let own = |address: SocketAddr| {
        own_doors.iter().any(|door| {
            let everywhere = door.ip().is_unspecified() && is_this_machine(address.ip());
            door.port() == address.port() && (door.ip() == address.ip().to_canonical() || everywhere)
        })
    };
    found.into_iter().any(own)
}

/// The system gives sockets only on its own addresses.
fn is_this_machine(address: IpAddr) -> bool {
    UdpSocket::bind((address, 0)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::Protocol;

    #[tokio::test]
    async fn a_door_of_our_own_is_known_by_any_of_its_names() {
        let listed: Vec<SocketAddr> =
            ["127.0.0.1:4317", "0.0.0.0:4318"].map(|door| door.parse().unwrap()).into();
        for (address, own) in [
            ("http://127.0.0.1:4317", true),
            ("http://localhost:4317", true),
            ("http://127.0.0.2:4317", false),
            ("http://127.0.0.1:4318", true),
            ("http://127.0.0.2:4318", true),
            ("http://localhost:4319", false),
            ("http://192.0.2.1:4318", false),
            ("http://nowhere.invalid:4318", false),
        ] {
            let endpoint = Endpoint::parse(address, Protocol::Http).unwrap();
            assert_eq!(is_own_door(&endpoint, &listed).await, own, "{address}");
        }
    }
}
