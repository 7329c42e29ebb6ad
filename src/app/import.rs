//! `tracelodge import`: what a folder holds, sent to a server. The folder stays as it is.

use std::fmt;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use http::header::AUTHORIZATION;

use super::ask::Token;
use super::clock::SystemClock;
use super::tokens::Right;
use super::{Config, say};
use crate::buffer::{self, FolderReader, Found, HostDisk, Layout};
use crate::ingest::Signal;
use crate::ingest::forward::{Outcome, Upstream};
use crate::upstream::{Client, Compression, Endpoint, Protocol, Settings};

/// A server on this machine answers at once; one far away has this long.
const REACH_WITHIN: Duration = Duration::from_secs(10);

/// One request and its answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// The first pause before a request is sent again; each one after it is twice as long …
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// … up to this, unless the server asks for more.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Whatever a server asks for: longer than anyone waits, and short enough to be added up.
const MOST_ASKED_FOR: Duration = Duration::from_secs(60 * 60);

/// So long a request is sent again and again; a server that is away for longer is somebody's to look at.
const PATIENCE: Duration = Duration::from_secs(120);

/// Troubles that are said one by one; more of them are counted only.
const MAX_SAID: u64 = 20;

/// What to import, and where to.
#[derive(Debug, Clone, clap::Args)]
pub struct Import {
    /// A folder of OpenTelemetry Java's disk buffer, or of tracelodge's own; it stays as it is
    pub folder: PathBuf,

    /// The server's OTLP/HTTP door; on this machine or with https:// it is shown the first token of tokens.ingest_file
    #[arg(long, value_name = "URL", default_value = "http://localhost:4318")]
    pub to: String,

    /// What the folder holds; unless given, what it says itself, or what its name says, or traces
    #[arg(long)]
    pub signal: Option<SignalName>,
}

/// A signal on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum SignalName {
    /// Spans
    Traces,
    /// Log records
    Logs,
    /// Data points
    Metrics,
}

impl SignalName {
    fn signal(self) -> Signal {
        match self {
            Self::Traces => Signal::Traces,
            Self::Logs => Signal::Logs,
            Self::Metrics => Signal::Metrics,
        }
    }
}

/// Reads the folder from its start to its end, and says what became of it.
pub(super) fn run(import: &Import, config: &Config) -> anyhow::Result<()> {
    let folder = import.folder.display();
    let endpoint = Endpoint::parse(&import.to, Protocol::Http)
        .with_context(|| format!("send to {} as --to says", import.to))?;
    let reader =
        FolderReader::open(&import.folder, Arc::new(HostDisk)).with_context(|| format!("import {folder}"))?;
    let signal = signal_of(import, reader.layout())?;
    if reader.files_left() == 0 {
        say(&mut std::io::stdout(), &format!("there is nothing to import in {folder}"));
        return Ok(());
    }
    reach(&endpoint)?;
    let token = Token::first(Right::Ingest, config, &import.to)?;
    let client = client(endpoint, &token).context("send anything")?;
    let way = Way { upstream: &client, signal, token, pause: std::thread::sleep };
    let (tally, ended) = carry(reader, &way, &mut |line| say(&mut std::io::stderr(), line));
    say(&mut std::io::stdout(), &format!("requests of {}: {tally}", signal.name()));
    ended.with_context(|| match signal {
        // Spans have ids.
        Signal::Traces => {
            format!("send everything to {}; to import the folder again does no harm", import.to)
        }
        Signal::Logs | Signal::Metrics => {
            format!(
                "send everything to {}; what is imported again may be there twice, if it keeps {}",
                import.to,
                signal.name()
            )
        }
    })?;
    if tally.refused > 0 || tally.rejected_items > 0 || tally.damaged > 0 {
        bail!("import everything in {folder}");
    }
    Ok(())
}

/// By what was said, by what the folder says, by its name, in this order.
fn signal_of(import: &Import, layout: Layout) -> anyhow::Result<Signal> {
    let asked = import.signal.map(SignalName::signal);
    let Layout::Frames(found) = layout else {
        return Ok(asked.unwrap_or_else(|| signal_by_name(&import.folder)));
    };
    let found = match found {
        buffer::Signal::Traces => Signal::Traces,
        buffer::Signal::Logs => Signal::Logs,
        buffer::Signal::Metrics => Signal::Metrics,
    };
    if let Some(asked) = asked.filter(|asked| *asked != found) {
        bail!("import {} as {}: it holds {}", import.folder.display(), asked.name(), found.name());
    }
    Ok(found)
}

fn signal_by_name(folder: &Path) -> Signal {
    let folder = folder.canonicalize().unwrap_or_else(|_unresolved| folder.to_owned());
    let name = folder.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
    let words = [
        ("span", Signal::Traces),
        ("trace", Signal::Traces),
        ("log", Signal::Logs),
        ("metric", Signal::Metrics),
    ];
    words.into_iter().find(|(word, _)| name.contains(word)).map_or(Signal::Traces, |(_, signal)| signal)
}

/// Says at once that nobody is there, instead of trying for minutes.
fn reach(endpoint: &Endpoint) -> anyhow::Result<()> {
    let advice = || format!("reach {endpoint}; start tracelodge there, or give its address with --to");
    let addresses = (endpoint.host(), endpoint.port()).to_socket_addrs().with_context(advice)?;
    let mut failed = None;
    for address in addresses {
        match TcpStream::connect_timeout(&address, REACH_WITHIN) {
            Ok(_connected) => return Ok(()),
            Err(error) => failed = Some(error),
        }
    }
    Err(failed.unwrap_or_else(|| std::io::ErrorKind::AddrNotAvailable.into())).with_context(advice)
}

fn client(endpoint: Endpoint, token: &Token) -> anyhow::Result<Client> {
    let shown = match token {
        Token::Shown(token) => Some((AUTHORIZATION, token.clone())),
        Token::Missing(_) | Token::Withheld => None,
    };
    let settings = Settings {
        endpoint,
        headers: shown.into_iter().collect(),
        compression: Compression::None,
        timeout: ANSWER_WITHIN,
        ca_file: None,
        identity: None,
    };
    Ok(Client::new(settings, Arc::new(SystemClock))?)
}

/// What became of what was found.
#[derive(Debug, Default, PartialEq, Eq)]
struct Tally {
    read: u64,
    sent: u64,
    refused: u64,
    rejected_items: u64,
    damaged: u64,
}

impl fmt::Display for Tally {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, sent, refused, rejected_items, damaged } = self;
        write!(formatter, "{read} read, {sent} sent, {refused} refused, {damaged} damaged")?;
        if *rejected_items > 0 {
            write!(formatter, "; {rejected_items} items of those sent were left out")?;
        }
        Ok(())
    }
}

/// The way to the server.
struct Way<'a> {
    upstream: &'a dyn Upstream,
    signal: Signal,
    /// What it is shown.
    token: Token,
    pause: fn(Duration),
}

/// Sends what is found, one request after the other, and says each trouble as it comes; how far it got, and what ended
/// it before the end.
fn carry(
    found: impl Iterator<Item = Found>,
    way: &Way<'_>,
    say: &mut dyn FnMut(&str),
) -> (Tally, anyhow::Result<()>) {
    let mut tally = Tally::default();
    let mut troubles = 0;
    let mut trouble = |line: String| {
        troubles += 1;
        match troubles {
            1..=MAX_SAID => say(&line),
            _ if troubles == MAX_SAID + 1 => say("there is more of this; it is only counted"),
            _ => {}
        }
    };
    for found in found {
        let (file, request) = match found {
            Found::Request { file, payload } => (file, payload),
            Found::Damage(damage) => {
                tally.damaged += 1;
                trouble(format!("damaged: {damage}"));
                continue;
            }
        };
        tally.read += 1;
        match way.send(&request) {
            Ok(Sent::Taken { rejected: 0, .. }) => tally.sent += 1,
            Ok(Sent::Taken { rejected, message }) => {
                tally.sent += 1;
                tally.rejected_items += rejected;
                trouble(format!("left out: {rejected} items of a request in {file}: {message}"));
            }
            Ok(Sent::Refused { why }) => {
                tally.refused += 1;
                trouble(format!("refused: a request in {file}: {why}"));
            }
            Err(error) => return (tally, Err(error)),
        }
    }
    (tally, Ok(()))
}

/// An answer that says something about the bytes.
enum Sent {
    Taken { rejected: u64, message: String },
    Refused { why: String },
}

impl Way<'_> {
    /// Until there is an answer about the bytes, or for as long as patience lasts.
    fn send(&self, request: &bytes::Bytes) -> anyhow::Result<Sent> {
        let (mut waited, mut pause) = (Duration::ZERO, FIRST_PAUSE);
        loop {
            let asked = Instant::now();
            let (why, after) = match self.upstream.export(self.signal, request.clone()) {
                Outcome::Accepted { rejected, message } => return Ok(Sent::Taken { rejected, message }),
                Outcome::Refused { why, .. } => return Ok(Sent::Refused { why }),
                Outcome::Unauthorized { why } => bail!("{why}{}", self.token.advice()),
                Outcome::Blocked { why } => bail!(why),
                Outcome::Retry { why, after } => (why, after),
            };
            waited += asked.elapsed();
            let rest = after.unwrap_or(pause).min(MOST_ASKED_FOR);
            if waited + rest > PATIENCE {
                bail!("{why}, for {} seconds", PATIENCE.as_secs());
            }
            (self.pause)(rest);
            waited += rest;
            pause = (2 * pause).min(LONGEST_PAUSE);
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use parking_lot::Mutex;

    use super::*;
    use crate::buffer::Damage;
    use crate::ingest::forward::Refusal;

    /// Answers as it was told to, then with acceptance.
    #[derive(Debug, Default)]
    struct Answering {
        answers: Mutex<Vec<Outcome>>,
        seen: Mutex<Vec<(Signal, Bytes)>>,
    }

    impl Upstream for Answering {
        fn export(&self, signal: Signal, request: Bytes) -> Outcome {
            self.seen.lock().push((signal, request));
            let next = self.answers.lock().pop();
            next.unwrap_or(Outcome::Accepted { rejected: 0, message: String::new() })
        }
    }

    fn request(payload: &'static [u8]) -> Found {
        Found::Request { file: "17".to_owned(), payload: Bytes::from_static(payload) }
    }

    fn damage() -> Found {
        Found::Damage(Damage { file: "18".to_owned(), what: "bad sectors".to_owned() })
    }

    /// What was told, what was said, how it ended and what was seen, when the answers come in this order.
    fn carried(found: Vec<Found>, mut answers: Vec<Outcome>) -> (Tally, Vec<String>, Option<String>, usize) {
        answers.reverse();
        let upstream = Answering { answers: Mutex::new(answers), ..Answering::default() };
        let way = Way { upstream: &upstream, signal: Signal::Logs, token: Token::Withheld, pause: |_| {} };
        let mut said = Vec::new();
        let (tally, ended) = carry(found.into_iter(), &way, &mut |line| said.push(line.to_owned()));
        let seen = upstream.seen.lock();
        assert!(seen.iter().all(|(signal, _)| *signal == Signal::Logs));
        (tally, said, ended.err().map(|error| error.to_string()), seen.len())
    }

    fn retry(after: u64) -> Outcome {
        Outcome::Retry { why: "HTTP 503".to_owned(), after: Some(Duration::from_secs(after)) }
    }

    #[test]
    fn everything_is_sent_and_every_trouble_is_said() {
        let answers = vec![
            Outcome::Accepted { rejected: 0, message: String::new() },
            Outcome::Accepted { rejected: 3, message: "no trace id".to_owned() },
            Outcome::Refused { why: "HTTP 400: not OTLP".to_owned(), cause: Refusal::Content },
        ];
        let (tally, said, ended, _) =
            carried(vec![request(b"a"), damage(), request(b"b"), request(b"c")], answers);
        assert_eq!(tally, Tally { read: 3, sent: 2, refused: 1, rejected_items: 3, damaged: 1 });
        assert_eq!(
            said,
            [
                "damaged: 18: bad sectors",
                "left out: 3 items of a request in 17: no trace id",
                "refused: a request in 17: HTTP 400: not OTLP",
            ]
        );
        assert_eq!(ended, None);
        assert_eq!(
            tally.to_string(),
            "3 read, 2 sent, 1 refused, 1 damaged; 3 items of those sent were left out"
        );
    }

    #[test]
    fn a_busy_server_is_asked_again_as_late_as_it_says() {
        let (tally, _, ended, seen) = carried(vec![request(b"a")], vec![retry(7), retry(60)]);
        assert_eq!((tally.sent, ended, seen), (1, None, 3));
    }

    #[test]
    fn a_server_that_is_away_for_too_long_ends_it() {
        let (tally, _, ended, seen) =
            carried(vec![request(b"a"), request(b"b")], vec![retry(100), retry(100)]);
        assert_eq!((tally.read, tally.sent, seen), (1, 0, 2));
        assert_eq!(ended.as_deref(), Some("HTTP 503, for 120 seconds"));
    }

    #[test]
    fn a_server_that_asks_for_eternity_ends_it_too() {
        let (tally, _, ended, seen) = carried(vec![request(b"a")], vec![retry(1), retry(u64::MAX)]);
        assert_eq!((tally.read, tally.sent, seen), (1, 0, 2));
        assert_eq!(ended.as_deref(), Some("HTTP 503, for 120 seconds"));
    }

    #[test]
    fn a_wrong_address_ends_it_at_once() {
        let blocked = Outcome::Blocked { why: "HTTP 404".to_owned() };
        let (_, _, ended, seen) = carried(vec![request(b"a"), request(b"b")], vec![blocked]);
        assert_eq!((ended.as_deref(), seen), (Some("HTTP 404"), 1));
    }

    #[test]
    fn who_wants_a_token_that_is_not_shown_is_told_of_with_what_to_do() {
        let unauthorized = Outcome::Unauthorized { why: "HTTP 401: a token".to_owned() };
        let (_, _, ended, _) = carried(vec![request(b"a")], vec![unauthorized]);
        let said = "HTTP 401: a token; this command shows its token only to this machine or within TLS: write https:// \
                    before the address";
        assert_eq!(ended.as_deref(), Some(said));
    }

    #[test]
    fn no_more_troubles_are_said_than_anyone_reads() {
        let (tally, said, _, _) = carried(vec![damage(); 500], Vec::new());
        assert_eq!((tally.damaged, said.len() as u64), (500, MAX_SAID + 1));
    }

    #[test]
    fn a_folders_name_says_what_it_holds() {
        let cases = [
            ("/nowhere/spans", Signal::Traces),
            ("/nowhere/MyTraces", Signal::Traces),
            ("/nowhere/logs", Signal::Logs),
            ("/nowhere/metrics.bak", Signal::Metrics),
            ("/nowhere/else", Signal::Traces),
        ];
        for (folder, signal) in cases {
            assert_eq!(signal_by_name(Path::new(folder)), signal, "{folder}");
        }
    }

    #[test]
    fn a_folder_that_says_what_it_holds_is_not_imported_as_something_else() {
        let import = |signal| Import { folder: "/nowhere/logs".into(), to: String::new(), signal };
        let traces = Layout::Frames(buffer::Signal::Traces);
        assert_eq!(signal_of(&import(None), traces).unwrap(), Signal::Traces);
        assert_eq!(
            signal_of(&import(Some(SignalName::Metrics)), Layout::Delimited).unwrap(),
            Signal::Metrics
        );
        let error = signal_of(&import(Some(SignalName::Logs)), traces).unwrap_err();
        assert_eq!(error.to_string(), "import /nowhere/logs as logs: it holds traces");
    }
}
