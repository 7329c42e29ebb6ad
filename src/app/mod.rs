//! Puts the parts together: settings, folder, ports, parts, and their end in order.
//!
//! Promise: it starts with no argument and no file, says where it listens, and ends within five seconds of
//! being asked with everything that was acknowledged on disk. What it cannot have it names, with the setting
//! that would change it.
//!
//! Does not know: what a span is.

mod archived;
mod args;
mod ask;
mod backup;
mod clock;
mod config;
mod folder;
mod forwarding;
mod health;
mod import;
mod listen;
mod named_file;
mod neighbor;
mod offered;
mod open_doors;
mod over_udp;
mod patient;
mod plugin;
mod purge;
mod restore;
mod sampling;
mod status;
mod telemetry;
mod tls;
mod tokens;
mod verify;
mod watched;

use std::convert::identity;
use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use clap::Parser as _;
use rustix::fs::Mode;

use crate::ingest::{Buffers, Drain, DrainCounts, Ingest, Upkeep};
use crate::model::Clock;
use crate::query::Query;
use crate::receive;
use crate::serve::admin::Process;
use crate::serve::grpc::Source;
use crate::serve::health::IsServing;
use crate::serve::http::{About, Answers};
use crate::serve::turns::Turns;
use crate::serve::{self};
use crate::store::Store;
use crate::translate::thrift::Protocol;

pub use args::{Args, Command};
pub use clock::SystemClock;
pub use config::Config;

use archived::Archived;
use folder::DataFolder;
use forwarding::Forwarding;
use listen::{Bound, Datagrams, Serving, TurnedAway};
use neighbor::{Address, Kind};
use sampling::Sampling;
use telemetry::{Received, Report};
use tls::{Identity, Tls};
use tokens::{Right, Tokens, needed};

/// Of this program.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Threads for work that would hold up connections. Questions have 50 of them at most (`serve::turns`, and a backup), so that
/// requests always have the others.
const MAX_BLOCKING_THREADS: usize = 96;

/// Requests in flight are answered within this time after the program was asked to end …
const ANSWER_WITHIN: Duration = Duration::from_millis(2_000);

/// … and what they brought is carried into the store and forwarded within this. What is left is safe in the
/// buffer.
const DRAIN_WITHIN: Duration = Duration::from_millis(2_000);

/// What still runs after that is left behind within this.
const LEAVE_WITHIN: Duration = Duration::from_millis(300);

/// The folder of the archive's store, within the data folder.
const ARCHIVE: &str = "archive";

/// The program: arguments in, exit code out. Where a host of Jaeger's plugins has started it, it is its child.
pub fn main() -> ExitCode {
    // Before anything else has a word: standard output is the host's then.
    if plugin::has_started_us(|name| std::env::var_os(name)) {
        return plugin::main(std::env::args_os());
    }
    main_with(std::env::args_os())
}

/// The same with other arguments than the process was given; the first is the program's name.
pub fn main_with(arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>) -> ExitCode {
    match run(&Args::parse_from(arguments)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&mut std::io::stderr(), &format!("tracelodge could not {error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// A reader of our words who is gone is no reason to fail.
fn say(to: &mut impl std::io::Write, line: &str) {
    let _gone = writeln!(to, "{line}").and_then(|()| to.flush());
}

fn run(args: &Args) -> anyhow::Result<()> {
    if args.print_config {
        say(&mut std::io::stdout(), config::DEFAULTS.trim_end());
        return Ok(());
    }
    let config = Config::load(args, std::env::vars_os()).context("use its settings")?;
    telemetry::start_logs(&config.log_level, config.log_json).context("use its settings")?;
    if args.check_config {
        if let Some(upstream) = &config.upstream {
            upstream.client.check_files().context("use its settings")?;
        }
        config.tls.as_ref().map(Tls::server).transpose().context("use its settings")?;
        Sampling::open(&config).context("use its settings")?;
        config.tokens.tokens().context("use its settings")?;
        say(&mut std::io::stdout(), "the settings are good");
        return Ok(());
    }
    // Spans may hold what is nobody else's business.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    match &args.command {
        Some(Command::ForgetUpstream) => forget_upstream(&config),
        Some(Command::Import(import)) => import::run(import, &config),
        Some(Command::Backup(backup)) => backup::run(backup, &config),
        Some(Command::Restore(restore)) => restore::run(restore, &config),
        Some(Command::Verify(verify)) => verify::run(verify, &config),
        Some(Command::Status(status)) => status::run(status, &config),
        None => serve_until_asked_to_end(&config),
    }
}

fn forget_upstream(config: &Config) -> anyhow::Result<()> {
    let dropped = forwarding::forget_upstream(config)?;
    for (signal, items) in &dropped {
        say(&mut std::io::stdout(), &format!("{}: {items} items are not waiting any more", signal.name()));
    }
    if dropped.is_empty() {
        say(&mut std::io::stdout(), "nothing was waiting");
    }
    Ok(())
}

/// What serves doors.
fn threads() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_name("doors")
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .build()
}

fn serve_until_asked_to_end(config: &Config) -> anyhow::Result<()> {
    let runtime = threads().context("start its threads")?;
    let ended = runtime.block_on(async {
        let asked_to_end = ending().context("listen to signals")?;
        outlive_file_limits().context("listen to signals")?;
        raise_descriptor_limit();
        let app = App::start(config).await?;
        app.announce();
        asked_to_end.await;
        let folder = app.folder();
        app.finish().await;
        Ok(folder)
    });
    // A question that still runs is nobody's any more.
    runtime.shutdown_timeout(LEAVE_WITHIN);
    ended.map(drop)
}

/// Completes at the first SIGTERM or SIGINT; a second one ends the program at once.
fn ending() -> std::io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let mut either = async move || {
            tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        };
        either().await;
        tokio::spawn(async move {
            either().await;
            std::process::exit(1);
        });
    })
}

/// A write beyond the limit on the size of files (`ulimit -f`) fails like any other, where it would end the program.
fn outlive_file_limits() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    // Whoever listens is not killed, and no longer needs to listen for that.
    signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())).map(drop)
}

/// Connections and files at once may be as many as the system allows this user, not only as shells begin with.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit on open files stays as it is");
    }
}

/// The running program.
#[derive(Debug)]
pub struct App {
    ingest: Arc<Ingest>,
    buffers: Buffers,
    drain: Drain,
    upkeep: Upkeep,
    archived: Archived,
    forwarding: Forwarding,
    serving: Serving,
    doors: Vec<Listed>,
    page: Option<String>,
    storage: Router,
    /// Held until everything else is closed.
    folder: Arc<DataFolder>,
}

/// The sockets, had before anything is opened, so that a busy port is said at once.
struct Doors {
    otlp: Vec<Bound>,
    jaeger_grpc: Option<Bound>,
    jaeger_http: Option<Bound>,
    agents: Vec<(Datagrams, Protocol)>,
    sampling_http: Option<Bound>,
    sampling_grpc: Option<Bound>,
    zipkin: Option<Bound>,
    storage: Option<Bound>,
    archive: Option<Bound>,
    query: Option<Bound>,
    ui: Option<Bound>,
    admin: Option<Bound>,
    /// What those that speak TLS take connections with.
    tls: Option<(Tls, Arc<Identity>)>,
}

impl Doors {
    async fn bind(config: &Config) -> anyhow::Result<Self> {
        // What is wrong with certificates is said before a door is open.
        let tls = config.tls.as_ref().map(|tls| anyhow::Ok((tls.clone(), tls.identity()?))).transpose()?;
        let bind = async |door: &config::Door| {
            let within_tls = tls.as_ref().filter(|(tls, _)| tls.doors.contains(&door.key));
            let bound = listen::bind(door).await?;
            anyhow::Ok(bound.map(|bound| match within_tls {
                Some((_, identity)) => bound.within_tls(Arc::clone(identity)),
                None => bound,
            }))
        };
        let mut otlp = Vec::new();
        for door in [&config.otlp_grpc, &config.otlp_http] {
            otlp.extend(bind(door).await?);
        }
        let mut agents = Vec::new();
        for (door, protocol) in &config.agents {
            agents.extend(listen::bind_datagrams(door).await?.map(|bound| (bound, *protocol)));
        }
        let for_jaeger = |bound: Option<Bound>| bound.map(Bound::for_jaeger);
        Ok(Self {
            otlp,
            jaeger_grpc: bind(&config.jaeger_grpc).await?,
            jaeger_http: bind(&config.jaeger_http).await?,
            agents,
            sampling_http: bind(&config.sampling_http).await?,
            sampling_grpc: bind(&config.sampling_grpc).await?,
            zipkin: bind(&config.zipkin).await?,
            storage: for_jaeger(bind(&config.storage).await?),
            archive: for_jaeger(bind(&config.archive).await?),
            query: for_jaeger(bind(&config.query).await?),
            ui: bind(&config.ui).await?,
            admin: bind(&config.admin).await?,
            tls,
        })
    }

    /// Where requests come in.
    fn otlp_addresses(&self) -> Vec<SocketAddr> {
        self.otlp.iter().flat_map(Bound::addresses).collect()
    }

    /// Whom each had no place for.
    fn turned_away(&self) -> Vec<(&'static str, Arc<TurnedAway>)> {
        let others = [
            &self.jaeger_grpc,
            &self.jaeger_http,
            &self.sampling_http,
            &self.sampling_grpc,
            &self.zipkin,
            &self.storage,
            &self.archive,
            &self.query,
            &self.ui,
            &self.admin,
        ];
        self.otlp.iter().chain(others.into_iter().flatten()).map(Bound::turned_away).collect()
    }

    /// Where a browser finds the page.
    fn page(&self) -> Option<String> {
        let ui = self.ui.as_ref()?;
        Some(format!("{}://{}", ui.scheme(), shown(*ui.addresses().first()?)))
    }

    /// Where the process itself is asked.
    fn admin_address(&self) -> Option<String> {
        let admin = self.admin.as_ref()?;
        Some(format!("{}://{}", admin.scheme(), shown(*admin.addresses().first()?)))
    }

    /// Each door with its addresses, the page last.
    fn listed(&self, tokens: &Tokens) -> Vec<Listed> {
        let asks_for_certificates = self.tls.as_ref().is_some_and(|(tls, _)| tls.client_ca_file.is_some());
        let listed = |bound: &Bound, rights: &[Right]| Listed {
            name: bound.name,
            scheme: bound.scheme(),
            addresses: bound.addresses(),
            asks_who: asks_for_certificates && bound.is_encrypted()
                || rights.iter().all(|right| tokens.are_asked_for(*right)),
        };
        let each = |doors: &[&Option<Bound>], rights: &[Right]| -> Vec<Listed> {
            doors.iter().filter_map(|door| door.as_ref()).map(|bound| listed(bound, rights)).collect()
        };
        let agent = |(agent, _): &(Datagrams, Protocol)| Listed {
            name: agent.name,
            scheme: UDP,
            addresses: agent.addresses(),
            asks_who: false,
        };
        let otlp = self.otlp.iter().map(|bound| listed(bound, &[Right::Ingest])).collect();
        let groups = [
            otlp,
            each(&[&self.jaeger_grpc, &self.jaeger_http], &[Right::Ingest]),
            each(&[&self.zipkin], &[Right::Ingest, Right::Read]),
            self.agents.iter().map(agent).collect(),
            // What they tell is told to all.
            each(&[&self.sampling_http, &self.sampling_grpc], &[]),
            each(&[&self.storage, &self.archive], &[Right::Ingest, Right::Read]),
            each(&[&self.query], &[Right::Read]),
            each(&[&self.admin], &[Right::Admin]),
            each(&[&self.ui], &[Right::Read]),
        ];
        groups.into_iter().flatten().collect()
    }
}

/// How addresses of datagrams begin.
const UDP: &str = "udp";

/// A door as it is told of.
#[derive(Debug)]
struct Listed {
    name: &'static str,
    scheme: &'static str,
    addresses: Vec<SocketAddr>,
    /// Whether somebody who comes in must say who they are, with a token or a certificate of their own, where that matters.
    asks_who: bool,
}

impl Listed {
    fn is_for_datagrams(&self) -> bool {
        self.scheme == UDP
    }

    fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }
}

impl App {
    /// Opens everything and serves.
    pub async fn start(config: &Config) -> anyhow::Result<Self> {
        Self::start_in(config, DataFolder::take(&config.data_dir)?).await
    }

    async fn start_in(config: &Config, mut folder: DataFolder) -> anyhow::Result<Self> {
        let started = Instant::now();
        let sampling = Sampling::open(config).context("use its settings")?;
        let tokens = config.tokens.tokens().context("use its settings")?;
        let doors = Doors::bind(config).await?;
        let (page, admin) = (doors.page(), doors.admin_address());
        if let Err(error) = folder.introduce(page.as_deref(), admin.as_deref()) {
            tracing::warn!(%error, "a second start on this data folder cannot be told who has it");
        }

        let (now, counts): (Arc<dyn Clock>, _) = (Arc::new(SystemClock), Arc::new(DrainCounts::default()));
        let (store, buffers, drain, upkeep) = open_store(config, &folder, &now, &counts)?;
        let (forwarding, forwarded) =
            Forwarding::start(config.upstream.as_ref(), &buffers, &folder, &doors.otlp_addresses()).await?;
        let ingest = Arc::new(Ingest::new(buffers.clone(), config.receive.clone()));
        let archived = Archived::open(&folder.join(ARCHIVE), &store, &ingest, &now)?;
        let received = Received::default();
        let query = Arc::new(Query::new(Arc::clone(&store)));

        let report = Arc::new(Report {
            started,
            tokens: Arc::clone(&tokens),
            turned_away: doors.turned_away(),
            ingest: Arc::clone(&ingest),
            received: received.clone(),
            archived: archived.query(),
            archived_max_bytes: store.bytes_beside(),
            buffers: buffers.clone(),
            drain: counts,
            forwarded,
            clock: Arc::clone(&now),
            query: Arc::clone(&query),
        });
        let listed = doors.listed(&tokens);
        let storage_address = storage_address(&doors, &tokens);
        let answers = Answers {
            query,
            clock: now,
            about: about(&listed, &received.agent),
            allowed_hosts: config.allowed_hosts.clone(),
            turns: Turns::default(),
        };
        let process = process(config, &report, &answers.about, &store, &archived);
        let incoming =
            Incoming { ingest: Arc::clone(&ingest), archived: &archived, received, sampling, tokens };
        let (serving, storage) = serve_all(config, doors, incoming, answers, process);
        let folder = Arc::new(folder);
        let doors = listed;
        let app = Self {
            ingest,
            buffers,
            drain,
            upkeep,
            archived,
            forwarding,
            serving,
            doors,
            page,
            storage,
            folder,
        };
        if let Some(address) = storage_address {
            app.announce_storage(Kind::Server, address);
        }
        Ok(app)
    }

    /// The data folder, for who has it until more than this has ended.
    fn folder(&self) -> Arc<DataFolder> {
        Arc::clone(&self.folder)
    }

    /// Jaeger's storage, for doors of other kinds.
    fn storage(&self) -> Router {
        self.storage.clone()
    }

    /// Tells other processes that come to the folder where its storage can be asked. Where they cannot be told they do not
    /// find it, and all else goes on …
    fn announce_storage(&self, kind: Kind, address: Address) {
        if let Err(error) = self.folder.announce(kind, address) {
            tracing::warn!(%error, "other processes on this data folder cannot be told where to ask");
        }
    }

    /// … and that it no longer can; calls without an end of their own end.
    fn withdraw_storage(&self) {
        self.folder.withdraw();
        self.serving.stop();
    }

    /// One line per door; the page's address last, where a reader's eye ends.
    fn announce(&self) {
        let mut stdout = std::io::stdout().lock();
        for Listed { name, scheme, addresses, .. } in &self.doors {
            let addresses: Vec<String> =
                addresses.iter().map(|address| format!("{scheme}://{address}")).collect();
            say(&mut stdout, &format!("{name:>20}  {}", addresses.join(" and ")));
        }
        for sentence in open_doors::sentences(&self.doors) {
            say(&mut stdout, &format!("\n{sentence}."));
        }
        if let Some(page) = &self.page {
            say(&mut stdout, &format!("\nOpen {page}"));
        }
    }

    /// Refuses new work, answers what is in flight, carries it into the store, closes.
    pub async fn finish(self) {
        tracing::info!("stopping");
        self.folder.withdraw();
        self.ingest.stop();
        if !self.serving.finish(ANSWER_WITHIN).await {
            tracing::warn!("some connections did not end in time and are cut");
        }
        let (buffers, drain, upkeep, forwarding) = (self.buffers, self.drain, self.upkeep, self.forwarding);
        let archived = self.archived;
        let carried = tokio::task::spawn_blocking(move || {
            buffers.each().for_each(|(_, buffer)| buffer.close());
            forwarding.close();
            archived.close();
            let deadline = Instant::now() + DRAIN_WITHIN;
            let stored = drain.finish(DRAIN_WITHIN);
            drop(upkeep);
            (stored, forwarding.finish(deadline))
        });
        let (stored, forwarded) = carried.await.unwrap_or((false, false));
        if !stored {
            tracing::info!("spans that are safe in the buffer reach the store after the next start");
        }
        if !forwarded {
            tracing::info!(
                "what is safe in the buffer and not forwarded yet is forwarded after the next start"
            );
        }
    }
}

/// Where processes that come to the folder later can ask for Jaeger's storage. Not where it takes a certificate or a
/// token: they would not know whom to trust, and have none.
fn storage_address(doors: &Doors, tokens: &Tokens) -> Option<Address> {
    if tokens.are_asked_for(Right::Ingest) || tokens.are_asked_for(Right::Read) {
        return None;
    }
    let plain = doors.storage.as_ref().filter(|bound| !bound.is_encrypted())?;
    Some(Address::Tcp(shown(*plain.addresses().first()?)))
}

/// Where spans are kept, and those who carry them there and keep it in order.
fn open_store(
    config: &Config,
    folder: &DataFolder,
    clock: &Arc<dyn Clock>,
    counts: &Arc<DrainCounts>,
) -> anyhow::Result<(Arc<Store>, Buffers, Drain, Upkeep)> {
    let store = Arc::new(Store::open(&folder.join(""), &config.store, clock.now())?);
    let buffers = forwarding::open_buffers(config, folder, &Arc::new(SystemClock))?;
    let drain = Drain::start(&buffers.traces, Arc::clone(&store), Arc::clone(clock), Arc::clone(counts))?;
    let upkeep = Upkeep::start(Arc::clone(&store), Arc::clone(clock), Arc::clone(counts))
        .context("start the store's upkeep")?;
    Ok((store, buffers, drain, upkeep))
}

/// What the page says of the program. Addresses have their scheme where it is another than what most people expect.
fn about(doors: &[Listed], agent: &Arc<receive::agent::Counts>) -> About {
    let first = |door: &Listed| {
        let address = shown(*door.addresses.first()?);
        let is_plain = !door.is_encrypted() && !door.is_for_datagrams();
        let address = if is_plain { address.to_string() } else { format!("{}://{address}", door.scheme) };
        Some((door.name.to_owned(), address))
    };
    About {
        version: VERSION.to_owned(),
        doors: doors.iter().filter_map(first).collect(),
        open_doors: open_doors::sentences(doors),
        agent: over_udp::asking(Arc::clone(agent)),
    }
}

/// What the admin door tells and does.
fn process(
    config: &Config,
    report: &Arc<Report>,
    about: &About,
    store: &Arc<Store>,
    archived: &Archived,
) -> Process {
    let (store, clock) = (Arc::clone(store), Arc::clone(&report.clock));
    let buffer = report.buffers.traces.clone();
    let backup = backup::writing(Arc::clone(&store), archived.store(), buffer.clone(), Arc::clone(&clock));
    let purge = config.purge.then(|| purge::purging(store, buffer, archived.archive(), clock));
    let health = health::health(Arc::clone(report));
    let status = status::answering(Arc::clone(report), about.clone());
    let report = Arc::clone(report);
    Process { health, metrics: Arc::new(move || report.metrics()), status, backup, purge }
}

/// An address that a browser on this machine can be given.
fn shown(address: SocketAddr) -> SocketAddr {
    let ip = if address.ip().is_unspecified() { Ipv4Addr::LOCALHOST.into() } else { address.ip() };
    SocketAddr::new(ip, address.port())
}

/// Where what comes in goes, where it is counted, and how much of it is asked for.
struct Incoming<'a> {
    ingest: Arc<Ingest>,
    archived: &'a Archived,
    received: Received,
    sampling: Sampling,
    tokens: Arc<Tokens>,
}

fn serve_all(
    config: &Config,
    doors: Doors,
    mut incoming: Incoming<'_>,
    answers: Answers,
    process: Process,
) -> (Serving, Router) {
    let mut serving = Serving::new(config.connections);
    incoming.sampling.follow(&mut serving);
    let tokens = Arc::clone(&incoming.tokens);
    serving.keep(config.tokens.clone().keep(Arc::clone(&tokens)));
    if let Some((tls, identity)) = doors.tls {
        serving.keep(tls.keep(identity));
    }
    let source = Source {
        query: Arc::clone(&answers.query),
        turns: answers.turns.clone(),
        clock: Arc::clone(&answers.clock),
    };
    let is_serving = health::is_serving(&incoming.ingest, &source.query);
    let storage = storage(config, &incoming, &source, &serving);
    let query = serve::questions::router(source.clone(), Arc::clone(&is_serving));
    let admin = serve::admin::router(process, answers.allowed_hosts.clone());
    let hosts = answers.allowed_hosts.clone();
    let page = serve::http::router(Arc::new(answers));
    let Receivers { otlp, jaeger_grpc, jaeger_http, sampling_http, sampling_grpc, zipkin } =
        receivers(config, &incoming, source, is_serving);
    for (agent, protocol) in doors.agents {
        for socket in agent.sockets {
            let (ingest, counts) = (Arc::clone(&incoming.ingest), Arc::clone(&incoming.received.agent));
            let ending = serving.ending();
            serving.run(receive::agent::listen(socket, protocol, ingest, counts, ending));
        }
    }
    let [for_spans, for_archive] = storage;
    let otlp = tokens.guard(otlp, needed::by_receivers);
    for bound in doors.otlp {
        serving.add(bound, &otlp);
    }
    // Who comes under a strange name, or from a page that may not, is not even asked for a token: a browser would show its
    // user where to type it.
    let named = |router| serve::guard::named(router, hosts.clone());
    let closed = |router, needed| serve::grpc::closed(router, |router| tokens.guard(router, needed));
    let doors = [
        (doors.jaeger_grpc, closed(jaeger_grpc, needed::by_jaeger_grpc)),
        (doors.jaeger_http, tokens.guard(jaeger_http, needed::by_jaeger_http)),
        (doors.sampling_http, sampling_http),
        (doors.sampling_grpc, serve::grpc::closed(sampling_grpc, identity)),
        (doors.zipkin, named(tokens.guard(zipkin, needed::by_zipkin))),
        (doors.storage, closed(for_spans.clone(), needed::by_storage)),
        (doors.archive, closed(for_archive, needed::by_storage)),
        (doors.query, closed(query, needed::by_query)),
        (doors.admin, named(tokens.guard(admin, needed::by_admin))),
        (doors.ui, named(tokens.guard(page, needed::by_page))),
    ];
    for (bound, router) in doors {
        if let Some(bound) = bound {
            serving.add(bound, &router);
        }
    }
    (serving, serve::grpc::closed(for_spans, identity))
}

/// Jaeger's storage: of spans, and of what is archived.
fn storage(config: &Config, incoming: &Incoming<'_>, source: &Source, serving: &Serving) -> [Router; 2] {
    let Incoming { ingest, archived, received, .. } = incoming;
    let archive = Source { query: archived.query(), ..source.clone() };
    let storage = |source: &Source, into: &Arc<Ingest>, counts: &Arc<receive::Counts>| {
        let (offer, is_serving) = (config.storage_offer.clone(), health::is_serving(ingest, &source.query));
        let reading = serve::storage::router(source.clone(), archive.clone(), offer, is_serving);
        let (counts, ending) = (Arc::clone(counts), serving.ending());
        let writing = receive::storage::router(Arc::clone(into), archived.ingest(), counts, ending);
        reading.merge(writing)
    };
    [storage(source, ingest, &received.storage), storage(&archive, &archived.ingest(), &received.archive)]
}

/// What the doors that clients send to and ask at lead to.
struct Receivers {
    otlp: Router,
    jaeger_grpc: Router,
    jaeger_http: Router,
    sampling_http: Router,
    sampling_grpc: Router,
    zipkin: Router,
}

fn receivers(config: &Config, incoming: &Incoming<'_>, source: Source, is_serving: IsServing) -> Receivers {
    let Incoming { ingest, received, sampling, .. } = incoming;
    let (ingest, origins) = (|| Arc::clone(ingest), || config.allowed_origins.clone());
    let (current, hosts) = (|| sampling.current(), config.allowed_hosts.clone());
    let collector = receive::jaeger::grpc(ingest(), Arc::clone(&received.jaeger));
    let collector_sampling = serve::sampling::collector_grpc(current(), Arc::clone(&is_serving));
    let thrift = receive::jaeger::http(ingest(), Arc::clone(&received.jaeger), origins());
    let zipkin = receive::zipkin::router(ingest(), Arc::clone(&received.zipkin), origins());
    Receivers {
        otlp: receive::otlp::router(ingest(), Arc::clone(&received.otlp), origins()),
        jaeger_grpc: collector_sampling.merge(collector),
        jaeger_http: thrift.merge(serve::sampling::collector_http(current())),
        sampling_http: serve::sampling::http(current()),
        sampling_grpc: serve::sampling::grpc(current(), Arc::clone(&is_serving)),
        zipkin: zipkin.merge(serve::zipkin::router(source, is_serving, hosts)),
    }
}
