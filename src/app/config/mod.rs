//! Settings: as written (defaults, file, environment, flags) and then as meant.
//!
//! `config/default.toml` is the list of all keys, their defaults and their types; nothing else lists them.

mod file;
mod tls;
mod upstream;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::{Table, Value};

use super::Args;
use super::listen::Limits;
use super::tls::Tls;
use super::tokens::{Files, Right};
use crate::serve::guard::AllowedHosts;
use crate::translate::thrift::Protocol;
use crate::{buffer, ingest, serve, store};

pub(super) use upstream::Upstream;

/// The reference: every key, its default and its meaning.
pub(super) const DEFAULTS: &str = include_str!("../../../config/default.toml");

/// One request of the largest size takes this much of the budget at most: packed, inflated while the space for
/// it doubles, and as protobuf beside its JSON.
const IN_FLIGHT_REQUESTS: usize = 3;

/// What a Jaeger's span takes of it, in its own lengths, unless it has very many values.
const SPAN_COPIES: usize = 4;

/// What a Jaeger's span takes of it at most while it is read and written again, in its own lengths.
const LARGEST_SPAN_COPIES: usize = 8;

/// The largest span in a request of its own.
const LARGEST_SPAN_REQUEST: usize = store::MAX_SPAN_BYTES + (4 << 20);

/// What settings in the environment begin with.
const ENVIRONMENT_PREFIX: &str = "TRACELODGE_";

/// Why settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is not there, or not readable.
    #[error("read the settings file {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not TOML. What stands there is not shown: it may be a secret.
    #[error("read {place}, line {line}, column {column}: {why}")]
    Syntax {
        /// Which file.
        place: String,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong.
        why: String,
    },
    /// A key that does not exist.
    #[error("{place}: there is no setting '{key}'{}", nearest.as_ref().map(|near| format!("; did you mean '{near}'?")).unwrap_or_default())]
    UnknownKey {
        /// Which file, variable or flag.
        place: String,
        /// As written.
        key: String,
        /// The key that looks most like it.
        nearest: Option<String>,
    },
    /// A value that does not say what its key needs.
    #[error("{key} = {value}: {why}")]
    Value {
        /// Which.
        key: String,
        /// As written.
        value: String,
        /// What is wrong, and what would be right.
        why: String,
    },
    /// Settings of the buffer that make no sense together.
    #[error("buffer.{0}")]
    Buffer(buffer::InvalidSetting),
    /// A flag without `=`.
    #[error("--set {0}: write KEY=VALUE")]
    Flag(String),
    /// Neither given nor to be guessed.
    #[error("there is no home folder to keep data in: give one with --data-dir")]
    NoDataDir,
}

/// Settings as meant: checked, with nothing left open.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where everything is kept.
    pub data_dir: PathBuf,
    /// The OTLP door that is known for gRPC.
    pub otlp_grpc: Door,
    /// The OTLP door that is known for HTTP.
    pub otlp_http: Door,
    /// Jaeger's collector over gRPC.
    pub jaeger_grpc: Door,
    /// Jaeger's collector over HTTP.
    pub jaeger_http: Door,
    /// Jaeger's agent, and what is spoken to it.
    pub agents: [(Door, Protocol); 3],
    /// Sampling over HTTP.
    pub sampling_http: Door,
    /// Sampling over gRPC.
    pub sampling_grpc: Door,
    /// Zipkin's spans and answers.
    pub zipkin: Door,
    /// How much clients are told to sample, if a file says it.
    pub strategies_file: Option<PathBuf>,
    /// Jaeger's storage.
    pub storage: Door,
    /// Jaeger's archive storage.
    pub archive: Door,
    /// Jaeger's queries over gRPC.
    pub query: Door,
    /// What the storage says that it can do.
    pub storage_offer: serve::storage::Settings,
    /// The doors with a certificate, if any.
    pub tls: Option<Tls>,
    /// Who may do what.
    pub tokens: Files,
    /// The page and the query APIs.
    pub ui: Door,
    /// Health and metrics.
    pub admin: Door,
    /// Whether the admin door empties everything when it is asked to.
    pub purge: bool,
    /// Names browsers may use.
    pub allowed_hosts: AllowedHosts,
    /// Connections at once, at each door.
    pub connections: Limits,
    /// The way in.
    pub receive: ingest::Settings,
    /// Pages whose scripts may send.
    pub allowed_origins: Vec<String>,
    /// The disk buffer.
    pub buffer: buffer::FileStorageConfig,
    /// Where everything accepted is forwarded to, if anywhere.
    pub upstream: Option<Upstream>,
    /// Bytes set aside for getting out of a full disk, or `None` when that is off.
    pub reserve_size: Option<u64>,
    /// The store.
    pub store: store::Settings,
    /// A filter of `tracing`.
    pub log_level: String,
    /// Whether logs are JSON.
    pub log_json: bool,
    /// Whether a plugin keeps nothing.
    pub ephemeral: bool,
}

/// Where a door listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Its key.
    pub key: &'static str,
    /// What it is, for people.
    pub name: &'static str,
    /// Host and port, or `None` when it is off.
    pub address: Option<(String, u16)>,
}

impl Config {
    /// Reads file, environment and flags over the defaults.
    pub fn load(args: &Args, environment: impl Iterator<Item = (OsString, OsString)>) -> Result<Self, Error> {
        let mut settings = defaults();
        if let Some(path) = &args.config {
            let text =
                std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.clone(), source })?;
            let place = path.display().to_string();
            for (key, value) in file::read(&place, &text)? {
                set(&mut settings, &place, &key, value)?;
            }
        }
        for (name, text) in environment {
            let (name, text) = (name.to_string_lossy(), text.to_string_lossy());
            if let Some(name) = name.strip_prefix(ENVIRONMENT_PREFIX) {
                let place = format!("{ENVIRONMENT_PREFIX}{name}");
                let key = environment_key(name, &place)?;
                set(&mut settings, &place, &key, value_of(&text))?;
            }
        }
        for flag in &args.settings {
            let (key, text) = flag.split_once('=').ok_or_else(|| Error::Flag(flag.clone()))?;
            set(&mut settings, "--set", key.trim(), value_of(text.trim()))?;
        }
        let mut config = meant(&settings, args.data_dir.is_some())?;
        if let Some(folder) = &args.data_dir {
            config.data_dir.clone_from(folder);
        }
        Ok(config)
    }

    /// The same for a host's child: it opens no port, and its host sends spans of any size, and drops those that are
    /// refused.
    pub(super) fn for_a_child(mut self) -> Self {
        let answering =
            [&mut self.storage, &mut self.archive, &mut self.query, &mut self.ui, &mut self.admin];
        let receiving = [&mut self.otlp_grpc, &mut self.otlp_http, &mut self.zipkin];
        let collecting = [&mut self.jaeger_grpc, &mut self.jaeger_http];
        let sampling = [&mut self.sampling_http, &mut self.sampling_grpc];
        let agents = self.agents.iter_mut().map(|(door, _)| door);
        let tcp = answering.into_iter().chain(receiving).chain(collecting).chain(sampling);
        tcp.chain(agents).for_each(|door| door.address = None);
        // Who may not read a server's key can share its file of settings.
        self.tls = None;
        self.strategies_file = None;
        self.tokens = Files::default();
        self.receive.max_span_bytes = store::MAX_SPAN_BYTES;
        let most = self.buffer.max_payload_bytes().min(LARGEST_SPAN_REQUEST);
        self.receive.max_request_bytes = self.receive.max_request_bytes.max(most);
        self.receive.in_flight_bytes =
            self.receive.in_flight_bytes.max(LARGEST_SPAN_COPIES * store::MAX_SPAN_BYTES);
        self
    }
}

/// All keys with their values, as dotted names.
fn flatten(table: &Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (name, value) in table {
        match value {
            Value::Table(inner) => {
                flat.extend(flatten(inner).into_iter().map(|(key, value)| (format!("{name}.{key}"), value)));
            }
            value => flat.push((name.clone(), value.clone())),
        }
    }
    flat
}

fn defaults() -> Vec<(String, Value)> {
    let table = DEFAULTS.parse::<Table>().expect("the built-in settings are TOML: a test reads them");
    flatten(&table)
}

fn set(settings: &mut [(String, Value)], place: &str, key: &str, value: Value) -> Result<(), Error> {
    match settings.iter_mut().find(|(known, _)| known == key) {
        Some((_, slot)) => {
            *slot = value;
            Ok(())
        }
        None => Err(unknown(place, key, key, settings.iter().map(|(known, _)| known.clone()))),
    }
}

fn unknown(place: &str, written: &str, key: &str, known: impl Iterator<Item = String>) -> Error {
    let nearest = known
        .map(|known| (strsim::jaro_winkler(&known, key), known))
        .filter(|(likeness, _)| *likeness > 0.7)
        .max_by(|one, other| one.0.total_cmp(&other.0));
    Error::UnknownKey {
        place: place.to_owned(),
        key: written.to_owned(),
        nearest: nearest.map(|(_, known)| known),
    }
}

/// `DOORS_OTLP_GRPC` is `doors.otlp_grpc`.
fn environment_key(name: &str, place: &str) -> Result<String, Error> {
    let spelled = |key: &str| key.replace('.', "_").to_uppercase();
    let keys: Vec<String> = defaults().into_iter().map(|(key, _)| key).collect();
    if let Some(key) = keys.iter().find(|key| spelled(key) == name) {
        return Ok(key.clone());
    }
    let names = keys.iter().map(|key| format!("{ENVIRONMENT_PREFIX}{}", spelled(key)));
    Err(unknown("the environment", place, place, names))
}

/// A flag's or variable's text: TOML if it is, else a string.
fn value_of(text: &str) -> Value {
    let table = format!("value = {text}").parse::<Table>().ok();
    table.and_then(|mut table| table.remove("value")).unwrap_or_else(|| Value::String(text.to_owned()))
}

/// `placed`: where data is kept is said elsewhere.
fn meant(settings: &[(String, Value)], placed: bool) -> Result<Config, Error> {
    let read = Reader { settings };
    let host = read.text("doors.host")?;
    let door = |key, name| read.door(key, name, &host);
    let agent = |key, name| read.door(key, name, "localhost");
    let buffer = read.buffer()?;
    Ok(Config {
        data_dir: match read.text("data_dir")?.as_str() {
            "" if placed => PathBuf::new(),
            "" => state_folder().ok_or(Error::NoDataDir)?,
            folder => PathBuf::from(folder),
        },
        otlp_grpc: door("doors.otlp_grpc", "OTLP")?,
        otlp_http: door("doors.otlp_http", "OTLP")?,
        jaeger_grpc: door("doors.jaeger_grpc", "Jaeger gRPC")?,
        jaeger_http: door("doors.jaeger_http", "Jaeger thrift")?,
        agents: [
            (agent("doors.agent_compact", "agent, compact")?, Protocol::Compact),
            (agent("doors.agent_binary", "agent, binary")?, Protocol::Binary),
            (agent("doors.agent_zipkin", "agent, old Zipkin")?, Protocol::Compact),
        ],
        sampling_http: door("doors.sampling_http", "sampling")?,
        sampling_grpc: door("doors.sampling_grpc", "sampling gRPC")?,
        zipkin: door("doors.zipkin", "Zipkin")?,
        strategies_file: read.file("sampling.strategies_file")?,
        storage: door("doors.storage", "Jaeger storage")?,
        archive: door("doors.archive", "Jaeger archive")?,
        query: door("doors.query", "Jaeger query")?,
        storage_offer: serve::storage::Settings {
            streaming_writer: read.flag("storage.streaming_writer")?,
            missing_kind: read.text("storage.missing_kind")?,
        },
        tls: tls::read(&read)?,
        tokens: read.tokens()?,
        ui: door("doors.ui", "page and query API")?,
        admin: door("doors.admin", "health and metrics")?,
        purge: read.flag("doors.purge")?,
        allowed_hosts: AllowedHosts::new(read.texts("doors.allowed_hosts")?)
            .map_err(|error| read.wrong("doors.allowed_hosts", error.to_string()))?,
        connections: Limits {
            connections: read.count("doors.max_connections")?,
            connections_per_address: read.count("doors.max_connections_per_address")?,
        },
        receive: read.receive(&buffer)?,
        allowed_origins: read.texts("receive.allowed_origins")?,
        buffer,
        upstream: upstream::read(&read)?,
        reserve_size: read.size_or("buffer.reserve_size", "off")?,
        store: store::Settings {
            cache_bytes: read.size("store.cache_bytes")? as usize,
            max_age: read.duration("store.max_age")?,
            max_bytes: read.store_max_bytes()?,
            min_free_bytes: read.size_or_none("store.min_free_bytes")?,
        },
        log_level: read.text("log.level")?,
        log_json: read.one_of("log.format", &["text", "json"])? == "json",
        ephemeral: read.flag("plugin.ephemeral")?,
    })
}

/// Reads values by key; the default file has every key, so a key that is missing is our own mistake.
struct Reader<'a> {
    settings: &'a [(String, Value)],
}

impl Reader<'_> {
    fn value(&self, key: &str) -> &Value {
        let found = self.settings.iter().find(|(known, _)| known == key);
        &found.expect("every key that is read is in config/default.toml: a test reads them all").1
    }

    fn buffer(&self) -> Result<buffer::FileStorageConfig, Error> {
        let settings = buffer::FileStorageConfig {
            max_folder_size: self.size("buffer.max_folder_size")?,
            max_file_size: self.size("buffer.max_file_size")?,
            max_file_age_for_write: self.duration("buffer.max_file_age_for_write")?,
            max_file_age_for_read: self.duration("buffer.max_file_age_for_read")?,
            tail_bytes: self.size("buffer.tail_bytes")? as usize,
            ..buffer::FileStorageConfig::appliance()
        };
        if settings.max_file_age_for_write >= settings.max_file_age_for_read {
            let age = self.text("buffer.max_file_age_for_read")?;
            let why = format!("write less than buffer.max_file_age_for_read, which is {age}");
            return Err(self.wrong("buffer.max_file_age_for_write", why));
        }
        settings.check().map_err(Error::Buffer)?;
        Ok(settings)
    }

    fn receive(&self, buffer: &buffer::FileStorageConfig) -> Result<ingest::Settings, Error> {
        let settings = ingest::Settings {
            max_request_bytes: self.size("receive.max_request_bytes")? as usize,
            max_span_bytes: self.size("receive.max_span_bytes")? as usize,
            in_flight_bytes: self.size("receive.in_flight_bytes")? as usize,
        };
        if settings.max_span_bytes > store::MAX_SPAN_BYTES {
            let why = format!("write at most {}MiB", store::MAX_SPAN_BYTES >> 20);
            return Err(self.wrong("receive.max_span_bytes", why));
        }
        let most = buffer.max_payload_bytes();
        if settings.max_request_bytes > most {
            let why = format!("a file of the buffer (buffer.max_file_size) holds at most {most} bytes of it");
            return Err(self.wrong("receive.max_request_bytes", why));
        }
        if settings.in_flight_bytes < IN_FLIGHT_REQUESTS * settings.max_request_bytes {
            let why = format!("write at least {IN_FLIGHT_REQUESTS} times receive.max_request_bytes");
            return Err(self.wrong("receive.in_flight_bytes", why));
        }
        // Where requests are the smaller ones it is they that bound a span.
        let largest_span = settings.max_span_bytes;
        let is_bound = largest_span <= settings.max_request_bytes;
        if is_bound && settings.in_flight_bytes < SPAN_COPIES * largest_span {
            let why = format!("write at least {SPAN_COPIES} times receive.max_span_bytes");
            return Err(self.wrong("receive.in_flight_bytes", why));
        }
        Ok(settings)
    }

    fn tokens(&self) -> Result<Files, Error> {
        let [ingest, read, admin] = Right::ALL.map(|right| self.file(right.key()));
        Ok(Files([ingest?, read?, admin?]))
    }

    fn store_max_bytes(&self) -> Result<Option<u64>, Error> {
        let key = "store.max_bytes";
        let bytes = self.size_or(key, "auto")?;
        if bytes.is_some_and(|bytes| bytes < store::LEAST_BYTES) {
            return Err(self.wrong(key, format!("write at least {}MiB", store::LEAST_BYTES >> 20)));
        }
        Ok(bytes)
    }

    fn wrong(&self, key: &str, why: impl Into<String>) -> Error {
        Error::Value { key: key.to_owned(), value: self.value(key).to_string(), why: why.into() }
    }

    fn text(&self, key: &str) -> Result<String, Error> {
        self.value(key).as_str().map(str::to_owned).ok_or_else(|| self.wrong(key, "write a text"))
    }

    /// A path, unless it is empty.
    fn file(&self, key: &str) -> Result<Option<PathBuf>, Error> {
        let path = self.text(key)?;
        Ok((!path.is_empty()).then(|| path.into()))
    }

    /// The files of a certificate and of its key: both or none.
    fn identity(&self, certificate: &str, key: &str) -> Result<Option<(PathBuf, PathBuf)>, Error> {
        let plain = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
        match (self.file(certificate)?, self.file(key)?) {
            (None, None) => Ok(None),
            (Some(certificate), Some(key)) => Ok(Some((certificate, key))),
            (Some(_), None) => Err(self.wrong(key, format!("name the key of {}", plain(certificate)))),
            (None, Some(_)) => {
                Err(self.wrong(certificate, format!("name the certificate of {}", plain(key))))
            }
        }
    }

    fn flag(&self, key: &str) -> Result<bool, Error> {
        self.value(key).as_bool().ok_or_else(|| self.wrong(key, "write true or false"))
    }

    fn one_of(&self, key: &str, words: &[&str]) -> Result<String, Error> {
        let text = self.text(key)?;
        let known = words.contains(&text.as_str());
        known.then_some(text).ok_or_else(|| self.wrong(key, format!("write one of {}", words.join(", "))))
    }

    /// A list of texts; a single text is a list of its comma-separated parts, as environments write lists.
    fn texts(&self, key: &str) -> Result<Vec<String>, Error> {
        let wrong = || self.wrong(key, "write a list of texts");
        match self.value(key) {
            Value::Array(values) => {
                values.iter().map(|value| value.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
            }
            Value::String(text) => Ok(text
                .split(',')
                .map(|part| part.trim().to_owned())
                .filter(|part| !part.is_empty())
                .collect()),
            _ => Err(wrong()),
        }
    }

    fn count(&self, key: &str) -> Result<usize, Error> {
        let number = self.value(key).as_integer().and_then(|number| usize::try_from(number).ok());
        number.filter(|number| *number > 0).ok_or_else(|| self.wrong(key, "write a whole number above 0"))
    }

    fn size(&self, key: &str) -> Result<u64, Error> {
        self.bytes(key)
            .filter(|bytes| *bytes > 0)
            .ok_or_else(|| self.wrong(key, "write a size such as 512KiB, 20MiB or 2GiB"))
    }

    fn size_or_none(&self, key: &str) -> Result<u64, Error> {
        self.bytes(key)
            .ok_or_else(|| self.wrong(key, "write a size such as 512KiB or 20MiB, or 0 for no bound"))
    }

    fn bytes(&self, key: &str) -> Option<u64> {
        match self.value(key) {
            Value::Integer(bytes) => u64::try_from(*bytes).ok(),
            Value::String(text) => parse_size(text),
            _ => None,
        }
    }

    /// A size; `None` where the other word stands.
    fn size_or(&self, key: &str, other: &str) -> Result<Option<u64>, Error> {
        if self.value(key).as_str() == Some(other) {
            return Ok(None);
        }
        let expected = || format!("write a size such as 512KiB, 20MiB or 2GiB, or \"{other}\"");
        self.size(key).map(Some).map_err(|_no_size| self.wrong(key, expected()))
    }

    fn duration(&self, key: &str) -> Result<Duration, Error> {
        let duration = self.value(key).as_str().and_then(parse_duration).filter(|time| !time.is_zero());
        duration.ok_or_else(|| self.wrong(key, "write a time such as 200ms, 30s, 15m, 12h or 7d"))
    }

    fn door(&self, key: &'static str, name: &'static str, host: &str) -> Result<Door, Error> {
        let wrong = || self.wrong(key, "write a port, an \"address:port\" or \"off\"");
        let address = match self.value(key) {
            Value::String(text) if text == "off" => None,
            Value::String(text) => {
                let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
                let host = host.trim_start_matches('[').trim_end_matches(']');
                Some((host.to_owned(), port.parse().map_err(|_not_a_port| wrong())?))
            }
            Value::Integer(port) => {
                Some((host.to_owned(), u16::try_from(*port).map_err(|_too_large| wrong())?))
            }
            _ => return Err(wrong()),
        };
        Ok(Door { key, name, address })
    }
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = split_unit(text)?;
    let factor = match unit {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "TiB" => 1 << 40,
        _ => return None,
    };
    number.checked_mul(factor)
}

fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = split_unit(text)?;
    let millis = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(millis).map(Duration::from_millis)
}

fn split_unit(text: &str) -> Option<(u64, &str)> {
    let digits = text.len() - text.trim_start_matches(|letter: char| letter.is_ascii_digit()).len();
    let number = text[..digits].parse().ok()?;
    Some((number, text[digits..].trim()))
}

/// The platform's folder for what a program keeps between its runs (XDG Base Directory 0.8).
fn state_folder() -> Option<PathBuf> {
    let absolute = |path: &PathBuf| path.is_absolute();
    if let Some(folder) = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(absolute) {
        return Some(folder.join("tracelodge"));
    }
    let home = std::env::home_dir().filter(absolute)?;
    let beneath = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/state" };
    Some(home.join(Path::new(beneath)).join("tracelodge"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(settings: &[&str], environment: &[(&str, &str)]) -> Result<Config, Error> {
        let settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
        let environment = environment.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        let args = Args { settings, data_dir: Some("/data".into()), ..Args::default() };
        Config::load(&args, environment)
    }

    #[test]
    fn the_defaults_are_what_their_file_says() {
        let config = load(&[], &[]).unwrap();
        assert_eq!(config.data_dir, Path::new("/data"));
        assert_eq!(config.otlp_grpc.address, Some(("localhost".to_owned(), 4317)));
        assert_eq!(config.receive.max_request_bytes, 20 << 20);
        assert_eq!(config.reserve_size, Some(16 << 20));
        assert_eq!(config.store.max_age, Duration::from_secs(7 * 86_400));
    }

    #[test]
    fn every_key_is_explained_and_read() {
        let mut explained = false;
        for line in DEFAULTS.lines() {
            // Keys that belong together share the comment above the first.
            explained = line.starts_with('#') || (explained && !line.is_empty());
            if line.contains(" = ") && !line.starts_with('#') {
                assert!(explained, "no comment above: {line}");
            }
        }
        for (key, _) in defaults() {
            let wrong = format!("{key}=[[1]]");
            assert!(load(&[&wrong], &[]).is_err(), "{key} is in the file but nobody reads it");
        }
    }

    #[test]
    fn a_child_shares_a_servers_settings_but_not_its_doors_and_limits() {
        let settings = [
            "tls.certificate_file=/not/here.pem",
            "tls.key_file=/not/here.key",
            "tls.doors=storage",
            "receive.max_request_bytes=1MiB",
            "receive.max_span_bytes=1MiB",
            "receive.in_flight_bytes=4MiB",
        ];
        let config = load(&settings, &[]).unwrap().for_a_child();
        assert_eq!((config.tls, config.storage.address), (None, None));
        let limits = (config.receive.max_request_bytes, config.receive.max_span_bytes);
        assert_eq!((limits, config.receive.in_flight_bytes), ((20 << 20, 16 << 20), 128 << 20));
        // What the buffer cannot hold is not taken either.
        let settings = [&settings[..], &["buffer.max_file_size=8MiB"]].concat();
        let config = load(&settings, &[]).unwrap().for_a_child();
        assert_eq!(config.receive.max_request_bytes, config.buffer.max_payload_bytes());
        // One that is above stays.
        let settings = ["receive.max_request_bytes=21MiB"];
        assert_eq!(load(&settings, &[]).unwrap().for_a_child().receive.max_request_bytes, 21 << 20);
    }

    #[test]
    fn later_words_win() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[doors]\nui = 1\nadmin = 2\notlp_http = \"[::1]:3\"\n").unwrap();
        let args = Args {
            config: Some(file.path().into()),
            settings: vec!["doors.otlp_grpc=off".to_owned()],
            data_dir: Some("/data".into()),
            ..Args::default()
        };
        let environment = [("TRACELODGE_DOORS_UI".into(), "0.0.0.0:9".into())];
        let config = Config::load(&args, environment.into_iter()).unwrap();
        assert_eq!(config.ui.address, Some(("0.0.0.0".to_owned(), 9)));
        assert_eq!(config.admin.address, Some(("localhost".to_owned(), 2)));
        assert_eq!(config.otlp_http.address, Some(("::1".to_owned(), 3)));
        assert_eq!(config.otlp_grpc.address, None);
    }

    #[test]
    fn an_upstream_is_read_whole() {
        let settings = [
            "upstream.endpoint=https://otlp.example.org:4317",
            "upstream.protocol=grpc",
            "upstream.headers=[\"authorization=Bearer abc\"]",
            "upstream.signals=traces,metrics",
            "upstream.compression=zstd",
            "upstream.max_bytes_per_second=512KiB",
            "upstream.certificate_file=me.pem",
            "upstream.key_file=me.key",
            "upstream.start=latest",
        ];
        let upstream = load(&settings, &[]).unwrap().upstream.unwrap();
        assert_eq!(upstream.client.endpoint.to_string(), "https://otlp.example.org:4317");
        assert_eq!(upstream.client.headers["authorization"], "Bearer abc");
        assert_eq!(upstream.signals, [ingest::Signal::Traces, ingest::Signal::Metrics]);
        assert_eq!(upstream.client.timeout, Duration::from_secs(10));
        assert_eq!(upstream.client.identity, Some(("me.pem".into(), "me.key".into())));
        assert_eq!((upstream.start, upstream.max_bytes_per_second), (buffer::StartAt::Latest, 512 << 10));
        assert!(load(&[], &[]).unwrap().upstream.is_none());
    }

    #[test]
    fn a_wrong_upstream_is_named_and_its_secrets_are_not() {
        let on = "upstream.endpoint=http://a:4318";
        let cases: [(&[&str], &str); 18] = [
            (
                &["upstream.endpoint=a:4318"],
                "upstream.endpoint = \"a:4318\": write an address such as http://gateway:4318 or https://otlp.example.org",
            ),
            (
                &["upstream.endpoint=http://me:pass@a"],
                "upstream.endpoint = …: write it without user and password, and put them into upstream.headers",
            ),
            (
                &["upstream.endpoint=ftp://me:pass@a"],
                "upstream.endpoint = …: write it without user and password, and put them into upstream.headers",
            ),
            (
                &["upstream.endpoint=me:pass@a:4318"],
                "upstream.endpoint = …: write it without user and password, and put them into upstream.headers",
            ),
            (
                &["upstream.endpoint=http://a b/?api-key=pass"],
                "upstream.endpoint = …: write it without '?' or '#' and what follows; put keys into upstream.headers",
            ),
            (
                &["upstream.endpoint=http://a:43l8"],
                "upstream.endpoint = \"http://a:43l8\": write its port as a number from 1 to 65535",
            ),
            (
                &["upstream.headers=[\"authorization: Bearer cGFzcw==\"]"],
                "upstream.headers = …: write each header as name=value; a name has no spaces and no ':'",
            ),
            (
                &["upstream.headers=[\"authorization=pass\\u0007\"]"],
                "upstream.headers = …: the value of 'authorization' has characters that headers cannot have",
            ),
            (
                &["upstream.signals=traces,profiles"],
                "upstream.signals = \"traces,profiles\": write some of traces, logs, metrics",
            ),
            (&["upstream.signals=[]"], "upstream.signals = []: write some of traces, logs, metrics"),
            (&["upstream.headers=[\"pass\"]"], "upstream.headers = …: write each header as name=value"),
            (&["upstream.headers=[1]"], "upstream.headers = …: write each header as name=value"),
            (&["upstream.headers=te=pass"], "upstream.headers = …: 'te' is set by the protocol itself"),
            (&["upstream.protocol=kafka"], "upstream.protocol = \"kafka\": write one of http, grpc"),
            (&["upstream.compression=lz4"], "upstream.compression = \"lz4\": write one of gzip, zstd, none"),
            (
                &["upstream.max_bytes_per_second=fast"],
                "upstream.max_bytes_per_second = \"fast\": write a size such as 512KiB or 20MiB, or 0 for no bound",
            ),
            (
                &[on, "upstream.certificate_file=me.pem"],
                "upstream.key_file = \"\": name the key of certificate_file",
            ),
            (
                &[on, "upstream.ca_file=ca.pem"],
                "upstream.endpoint = \"http://a:4318\": write https:// before it, or leave ca_file, certificate_file \
                 and key_file empty",
            ),
        ];
        for (settings, expected) in cases {
            let error = load(settings, &[]).unwrap_err().to_string();
            assert_eq!(error, expected);
            let shown = ["pass@", "=pass", "cGFzcw"].into_iter().find(|secret| error.contains(secret));
            assert_eq!(shown, None, "{error}");
        }
    }

    #[test]
    fn a_file_that_is_not_toml_is_told_where_but_not_shown() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for (text, expected) in [
            ("[upstream]\nheaders = [\"authorization=Bearer abc]\n", ", line 2, column "),
            ("[upstream]\n\nheaders = Bearer abc\n", ", line 3, column 11: "),
            ("é = é", ", line 1, column "),
            ("a = 1\na = 2\n", ", line 2, column 1: "),
        ] {
            std::fs::write(file.path(), text).unwrap();
            let args = Args { config: Some(file.path().into()), ..Args::default() };
            let error = Config::load(&args, std::iter::empty()).unwrap_err().to_string();
            let place = format!("read {}{expected}", file.path().display());
            assert!(error.starts_with(&place), "{error}");
            assert!(!error.contains("Bearer") && !error.contains("abc") && !error.contains('\n'), "{error}");
        }
    }

    #[test]
    fn the_reserve_can_be_switched_off_but_not_be_nothing() {
        assert_eq!(load(&["buffer.reserve_size=off"], &[]).unwrap().reserve_size, None);
        assert_eq!(
            load(&["buffer.reserve_size=0"], &[]).unwrap_err().to_string(),
            "buffer.reserve_size = 0: write a size such as 512KiB, 20MiB or 2GiB, or \"off\""
        );
    }

    #[test]
    fn the_store_may_be_small_and_leave_nothing_free() {
        let store = load(&["store.max_bytes=64MiB", "store.min_free_bytes=0"], &[]).unwrap().store;
        assert_eq!((store.max_bytes, store.min_free_bytes), (Some(64 << 20), 0));
        assert_eq!(load(&[], &[]).unwrap().store.max_bytes, None);
    }

    #[test]
    fn a_wrong_word_is_named_with_the_right_one() {
        type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], &'a str);
        let cases: [Case<'_>; 14] = [
            (&["door.ui=1"], &[], "--set: there is no setting 'door.ui'; did you mean 'doors.ui'?"),
            (&["qqq=1"], &[], "--set: there is no setting 'qqq'"),
            (&["doors.ui"], &[], "--set doors.ui: write KEY=VALUE"),
            (&["doors.ui=99999"], &[], "doors.ui = 99999: write a port, an \"address:port\" or \"off\""),
            (
                &["store.max_age=week"],
                &[],
                "store.max_age = \"week\": write a time such as 200ms, 30s, 15m, 12h or 7d",
            ),
            (
                &["store.max_age=0s"],
                &[],
                "store.max_age = \"0s\": write a time such as 200ms, 30s, 15m, 12h or 7d",
            ),
            (
                &["receive.max_span_bytes=17MiB"],
                &[],
                "receive.max_span_bytes = \"17MiB\": write at most 16MiB",
            ),
            (
                &["receive.in_flight_bytes=20MiB"],
                &[],
                "receive.in_flight_bytes = \"20MiB\": write at least 3 times receive.max_request_bytes",
            ),
            (
                &["receive.max_span_bytes=16MiB", "receive.in_flight_bytes=60MiB"],
                &[],
                "receive.in_flight_bytes = \"60MiB\": write at least 4 times receive.max_span_bytes",
            ),
            (&["store.max_bytes=65535KiB"], &[], "store.max_bytes = \"65535KiB\": write at least 64MiB"),
            (
                &["buffer.max_file_age_for_write=5d"],
                &[],
                "buffer.max_file_age_for_write = \"5d\": write less than buffer.max_file_age_for_read, which is 72h",
            ),
            (
                &["doors.allowed_hosts=http://a.example"],
                &[],
                "doors.allowed_hosts = \"http://a.example\": 'http://a.example' is not a host's name alone, such as \
                 traces.example.org or *.example.org",
            ),
            (&["log.format=xml"], &[], "log.format = \"xml\": write one of text, json"),
            (
                &[],
                &[("TRACELODGE_DOOR_UI", "1")],
                "the environment: there is no setting 'TRACELODGE_DOOR_UI'; did you mean 'TRACELODGE_DOORS_UI'?",
            ),
        ];
        for (settings, environment, expected) in cases {
            assert_eq!(load(settings, environment).unwrap_err().to_string(), expected);
        }
    }
}
