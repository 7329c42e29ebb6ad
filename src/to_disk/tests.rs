//! How exports are told of, and what becomes of them, for all three signals.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use opentelemetry::KeyValue;
use opentelemetry::logs::{LogRecord as _, Logger as _, LoggerProvider as _};
use opentelemetry::metrics::MeterProvider as _;
use opentelemetry::trace::{Span as _, Tracer as _, TracerProvider as _};
use opentelemetry_sdk::error::OTelSdkError;
use opentelemetry_sdk::logs::SdkLoggerProvider;
use opentelemetry_sdk::metrics::exporter::PushMetricExporter as _;
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter as _};
use parking_lot::Mutex;

use crate::buffer::{
    Clock, DelimitedStorage, Environment, Error, FileSignalStorage, FileStorageConfig, FolderReader, Found,
    HostDisk, LogRecords, Metrics, SignalStorage, Spans, StoredSignal,
};
use crate::to_disk::serialization_tests::{finished, plain_span, scope};
use crate::to_disk::{
    Export, ExporterCallback, LogRecordToDiskExporter, MetricToDiskExporter, SpanToDiskExporter,
};

/// What a listener was told.
#[derive(Debug, PartialEq, Eq)]
enum Told {
    Success(u32),
    Failure(u32, Option<String>),
    Shutdown,
}

#[derive(Debug, Default)]
struct Listener {
    told: Mutex<Vec<Told>>,
    requests: Mutex<Vec<Bytes>>,
}

impl Listener {
    fn told(&self) -> Vec<Told> {
        std::mem::take(&mut *self.told.lock())
    }
}

impl ExporterCallback for Listener {
    fn on_export_success(&self, export: &Export) {
        self.requests.lock().push(export.request.clone());
        self.told.lock().push(Told::Success(export.items));
    }

    fn on_export_error(&self, export: &Export, error: Option<&Error>) {
        self.told.lock().push(Told::Failure(export.items, error.map(Error::to_string)));
    }

    fn on_shutdown(&self) {
        self.told.lock().push(Told::Shutdown);
    }
}

fn span() -> SpanData {
    plain_span("one", scope("test"))
}

fn settings() -> FileStorageConfig {
    FileStorageConfig {
        max_file_size: 4 << 10,
        min_file_age_for_read: Duration::ZERO,
        ..FileStorageConfig::default()
    }
}

/// An exporter of spans with who listens to it and where it writes to.
fn exporter(folder: &Path) -> (SpanToDiskExporter, Arc<Listener>, Arc<dyn SignalStorage>) {
    let storage: Arc<dyn SignalStorage> = Arc::new(DelimitedStorage::create(folder, settings()).unwrap());
    let listener = Arc::new(Listener::default());
    let exporter = SpanToDiskExporter::new(Arc::clone(&storage)).with_callback(listener.clone());
    (exporter, listener, storage)
}

fn requests(folder: &Path) -> Vec<Bytes> {
    let request = |found| match found {
        Found::Request { payload, .. } => payload,
        Found::Damage(damage) => panic!("{damage}"),
    };
    FolderReader::open(folder, Arc::new(HostDisk)).unwrap().map(request).collect()
}

#[test]
fn what_is_written_is_told_and_stands_in_the_order_of_the_exports() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, listener, storage) = exporter(folder.path());
    finished(exporter.export(vec![span()])).unwrap();
    finished(exporter.export(vec![span(), span()])).unwrap();
    assert_eq!(listener.told(), [Told::Success(1), Told::Success(2)]);
    storage.close().unwrap();
    drop((exporter, storage));
    assert_eq!(requests(folder.path()), *listener.requests.lock());
}

#[test]
fn a_failure_reaches_the_listener_and_the_sdk_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, listener, storage) = exporter(folder.path());
    storage.close().unwrap();
    let failed = finished(exporter.export(vec![span()])).unwrap_err();
    let cause = Error::Closed.to_string();
    assert!(matches!(failed, OTelSdkError::InternalFailure(said) if said == cause));
    assert_eq!(listener.told(), [Told::Failure(1, Some(cause))]);
}

#[test]
fn after_its_shutdown_an_exporter_fails_without_a_cause() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, listener, _storage) = exporter(folder.path());
    exporter.shutdown().unwrap();
    let failed = finished(exporter.export(vec![span()])).unwrap_err();
    assert!(matches!(failed, OTelSdkError::AlreadyShutdown));
    assert_eq!(listener.told(), [Told::Shutdown, Told::Failure(1, None)]);
}

#[test]
fn a_shutdown_is_told_once_and_leaves_the_storage_open() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, listener, storage) = exporter(folder.path());
    exporter.shutdown().unwrap();
    assert!(matches!(exporter.shutdown(), Err(OTelSdkError::AlreadyShutdown)));
    assert_eq!(listener.told(), [Told::Shutdown]);
    storage.write(Bytes::from_static(b"still open"), 1).unwrap();
}

#[test]
fn a_flush_succeeds_and_is_told_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, listener, storage) = exporter(folder.path());
    exporter.force_flush().unwrap();
    MetricToDiskExporter::new(storage).with_callback(listener.clone()).force_flush().unwrap();
    assert_eq!(listener.told(), []);
}

#[test]
fn an_export_of_nothing_succeeds_and_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, listener, storage) = exporter(folder.path());
    finished(exporter.export(Vec::new())).unwrap();
    assert_eq!(listener.told(), [Told::Success(0)]);
    storage.close().unwrap();
    drop((exporter, storage));
    assert_eq!(requests(folder.path()), Vec::<Bytes>::new());
}

fn long_span(bytes: usize) -> SpanData {
    SpanData { attributes: vec![KeyValue::new("text", "x".repeat(bytes))], ..span() }
}

#[test]
fn an_export_that_fits_no_file_is_written_in_halves_down_to_single_spans() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, listener, storage) = exporter(folder.path());
    finished(exporter.export((0..6).map(|_| long_span(1_000)).collect())).unwrap();
    assert_eq!(listener.told(), [Told::Success(3), Told::Success(3)]);
    // One span alone is too long: the others do not suffer.
    let lengths = [1_000, 1_000, 5_000, 1_000, 1_000, 1_000, 1_000, 1_000];
    let failed = finished(exporter.export(lengths.map(long_span).into())).unwrap_err();
    assert!(matches!(&failed, OTelSdkError::InternalFailure(said) if said.contains("the limit is 4096")));
    let told = listener.told();
    let lost = Told::Failure(1, Some(failed.to_string().replace("Operation failed: ", "")));
    assert_eq!(
        told,
        [Told::Success(2), lost, Told::Success(1), Told::Success(2), Told::Success(2)],
        "each part, in the order of the spans"
    );
    storage.close().unwrap();
    drop((exporter, storage));
    assert_eq!(requests(folder.path()), *listener.requests.lock());
}

#[test]
fn log_records_and_metrics_that_fit_no_file_together_are_written_apart() {
    let folders = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let storages = folders.each_ref().map(|folder| delimited(folder.path(), settings()).unwrap());
    let listener = Arc::new(Listener::default());
    let exporter = LogRecordToDiskExporter::new(storages[0].clone()).with_callback(listener.clone());
    let provider = SdkLoggerProvider::builder().with_batch_exporter(exporter).build();
    for _ in 0..4 {
        let logger = provider.logger("test");
        let mut record = logger.create_log_record();
        record.set_body(long_text().into());
        logger.emit(record);
    }
    provider.shutdown().unwrap();
    assert_eq!(
        listener.told(),
        [const { Told::Success(1) }; 4].into_iter().chain([Told::Shutdown]).collect::<Vec<_>>()
    );

    let exporter = MetricToDiskExporter::new(storages[1].clone()).with_callback(listener.clone());
    let reader = PeriodicReader::builder(exporter).with_interval(Duration::from_secs(3_600)).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    for name in ["one", "two"] {
        let counter = provider.meter("test").u64_counter(name).with_description(long_text()).build();
        counter.add(1, &[KeyValue::new("side", "left")]);
        counter.add(1, &[KeyValue::new("side", "right")]);
    }
    provider.force_flush().unwrap();
    assert_eq!(listener.told(), [Told::Success(2), Told::Success(2)]);
}

/// Panics whatever it is told.
#[derive(Debug)]
struct Panicking;

impl ExporterCallback for Panicking {
    fn on_export_success(&self, _: &Export) {
        panic!("a test's own");
    }

    fn on_export_error(&self, _: &Export, _: Option<&Error>) {
        panic!("a test's own");
    }

    fn on_shutdown(&self) {
        panic!("a test's own");
    }
}

#[test]
fn a_listener_that_panics_does_not_concern_the_sdk() {
    let folder = tempfile::tempdir().unwrap();
    let (exporter, _, _storage) = exporter(folder.path());
    let exporter = exporter.with_callback(Arc::new(Panicking));
    finished(exporter.export(vec![span()])).unwrap();
    exporter.shutdown().unwrap();
    assert!(finished(exporter.export(vec![span()])).is_err());
}

/// A clock that does not answer while its hand is held.
#[derive(Debug, Default)]
struct HeldClock {
    hand: Mutex<()>,
    asked: AtomicBool,
}

impl Clock for HeldClock {
    fn wall_nanos(&self) -> u64 {
        self.asked.store(true, Ordering::Release);
        drop(self.hand.lock());
        1
    }

    fn boot_millis(&self) -> u64 {
        1
    }

    fn boot_id(&self) -> u64 {
        1
    }
}

#[test]
fn an_export_that_is_not_written_in_time_fails_with_the_time() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(HeldClock::default());
    let storage =
        DelimitedStorage::open(folder.path(), settings(), Environment::host(clock.clone())).unwrap();
    let storage: Arc<dyn SignalStorage> = Arc::new(storage);
    let listener = Arc::new(Listener::default());
    let timeout = Duration::from_millis(30);
    let exporter = SpanToDiskExporter::new(Arc::clone(&storage))
        .with_callback(listener.clone())
        .with_write_timeout(timeout);
    // Opening has asked, too.
    clock.asked.store(false, Ordering::Release);
    let held = clock.hand.lock();
    std::thread::scope(|scope| {
        scope.spawn(|| storage.write(Bytes::from_static(b"the one before"), 1).unwrap());
        while !clock.asked.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
        let failed = finished(exporter.export(vec![span()])).unwrap_err();
        assert!(matches!(failed, OTelSdkError::Timeout(waited) if waited == timeout));
        drop(held);
    });
    let said = Error::TimedOut { waited: timeout }.to_string();
    assert_eq!(listener.told(), [Told::Failure(1, Some(said))]);
    finished(exporter.export(vec![span()])).unwrap();
    assert_eq!(listener.told(), [Told::Success(1)]);
}

/// A text that makes an export fill a file of its own.
fn long_text() -> String {
    "x".repeat(3_000)
}

/// Lets the SDK export some of a signal through a provider and shuts it down.
type Exporting = fn(Arc<dyn SignalStorage>, Arc<Listener>);
/// Opens a storage.
type Opening = fn(&Path, FileStorageConfig) -> Result<Arc<dyn SignalStorage>, Error>;

fn delimited(folder: &Path, config: FileStorageConfig) -> Result<Arc<dyn SignalStorage>, Error> {
    Ok(Arc::new(DelimitedStorage::create(folder, config)?))
}

fn frames<S: StoredSignal>(
    folder: &Path,
    config: FileStorageConfig,
) -> Result<Arc<dyn SignalStorage>, Error> {
    Ok(Arc::new(FileSignalStorage::<S>::create(folder, config)?))
}

/// Each signal, with the storages that take it.
const SIGNALS: [(Exporting, [Opening; 2]); 3] = [
    (export_spans, [delimited, frames::<Spans>]),
    (export_logs, [delimited, frames::<LogRecords>]),
    (export_metrics, [delimited, frames::<Metrics>]),
];

fn export_spans(storage: Arc<dyn SignalStorage>, listener: Arc<Listener>) {
    let exporter = SpanToDiskExporter::new(storage).with_callback(listener);
    let provider = SdkTracerProvider::builder().with_simple_exporter(exporter).build();
    for _ in 0..2 {
        let mut span = provider.tracer("test").start("one");
        span.set_attribute(KeyValue::new("text", long_text()));
        span.end();
    }
    provider.shutdown().unwrap();
}

fn export_logs(storage: Arc<dyn SignalStorage>, listener: Arc<Listener>) {
    let exporter = LogRecordToDiskExporter::new(storage).with_callback(listener);
    let provider = SdkLoggerProvider::builder().with_simple_exporter(exporter).build();
    for _ in 0..2 {
        let logger = provider.logger("test");
        let mut record = logger.create_log_record();
        record.set_body(long_text().into());
        logger.emit(record);
    }
    provider.shutdown().unwrap();
}

/// Shutting down exports a second time.
fn export_metrics(storage: Arc<dyn SignalStorage>, listener: Arc<Listener>) {
    let exporter = MetricToDiskExporter::new(storage).with_callback(listener);
    let reader = PeriodicReader::builder(exporter).with_interval(Duration::from_secs(3_600)).build();
    let provider = SdkMeterProvider::builder().with_reader(reader).build();
    provider.meter("test").u64_counter("count").with_description(long_text()).build().add(1, &[]);
    provider.force_flush().unwrap();
    provider.shutdown().unwrap();
}

fn data_files(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter(|name| name.to_str().unwrap().parse::<u64>().is_ok()).count()
}

/// Exports each signal twice to each storage, opens it again, reads everything, removing it if so asked, and expects so
/// many files afterwards.
fn expect_left_after_reading(config: &FileStorageConfig, remove: bool, left: usize) {
    for (exporting, openings) in SIGNALS {
        for opening in openings {
            check_left_after_reading((exporting, opening), config, remove, left);
        }
    }
}

fn check_left_after_reading(
    (exporting, opening): (Exporting, Opening),
    config: &FileStorageConfig,
    remove: bool,
    left: usize,
) {
    let folder = tempfile::tempdir().unwrap();
    let listener = Arc::new(Listener::default());
    let storage = opening(folder.path(), config.clone()).unwrap();
    exporting(storage.clone(), listener.clone());
    assert_eq!(listener.told(), [Told::Success(1), Told::Success(1), Told::Shutdown]);
    storage.close().unwrap();
    // The SDK's threads let go of their exporters a moment after the shutdown.
    while Arc::strong_count(&storage) > 1 {
        std::thread::yield_now();
    }
    drop(storage);
    assert_eq!(data_files(folder.path()), 2);

    let storage = opening(folder.path(), config.clone()).unwrap();
    let (mut batches, mut read) = (storage.iter().unwrap(), Vec::new());
    while let Some(batch) = batches.next_batch() {
        read.push(batch.unwrap().payload);
        if remove {
            batches.remove().unwrap();
        }
    }
    assert_eq!(read, *listener.requests.lock());
    drop(batches);
    // Whatever a thread of the storage has left to delete is deleted by then.
    storage.close().unwrap();
    assert_eq!(data_files(folder.path()), left);
}

#[test]
fn each_signal_is_exported_and_read_and_leaves_no_file() {
    expect_left_after_reading(&settings(), false, 0);
}

#[test]
fn each_signal_is_exported_and_read_and_stays_where_reading_does_not_delete() {
    let config = FileStorageConfig { delete_items_on_iteration: false, ..settings() };
    expect_left_after_reading(&config, false, 2);
}

#[test]
fn each_signal_is_exported_and_read_and_removed_one_by_one() {
    let config = FileStorageConfig { delete_items_on_iteration: false, ..settings() };
    expect_left_after_reading(&config, true, 0);
}
