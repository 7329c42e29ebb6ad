//! Files of format 2 as a version before wrote them: read for ever, answer for answer.
//!
//! `tests/golden/disk/format-2/` is a data directory, each file packed by zstd: a sealed block, the active one, and the
//! archive. Its answers stand in `answers.txt` beside them. As long as the format is not released,
//! `STORE_GOLDEN=write cargo test golden` writes all of it anew; after that, no version ever does.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use tempfile::TempDir;

use super::tests::settings;
use super::*;
use crate::model::sketch::{BASE, trace, trace_id};
use crate::model::{SpanId, SpanKind, content_hash};
use crate::otlp::SpanView;

const BUFFER: [u8; 16] = *b"the golden one \0";
const MINUTE: Duration = Duration::from_secs(60);

/// Traces of the sealed block, then of the active one; 3 is pinned.
const SEALED: [&str; 3] = [
    "
shop | GET /cart | server | 0-100 | http.status_code=200 resource:zone=a !event=retry@30
  shop | load | client | 10-90 | retried=true
    cart | GET | server | 20-80 | scope:name=lib scope:version=1.2 scope:part=x event:level=warn
      redis | HGET | client | 30-40 | !error=refused db.system=redis
",
    "
shop | send | producer | 1000-1010 | messaging.system=kafka
  mail | receive | consumer | 1500-1600 | !ok #9
",
    "
 | GET /pinned | server | 3600000-3600001 | text=kept
  a/b | odd | internal | 3600000-3600000 | !link=1
",
];
const ACTIVE: [&str; 2] = [
    "
late | reply | consumer | 7200000-7200001 | #9 ^77
",
    "
shop | GET /cart | server | 7200100-7260100 | http.status_code=500 !error
  cart | GET | server | 7200200-7200300
",
];

fn golden() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/disk/format-2")
}

fn numbered(first: u64, sketches: &[&str]) -> Vec<Vec<Span>> {
    (first..).zip(sketches).map(|(number, sketch)| trace(number, sketch)).collect()
}

/// Fills a new store: every table has rows, and the sealed block was merged.
fn fill(folder: &TempDir) {
    let store = Store::open(folder.path(), &settings(), BASE).unwrap();
    let append = |sequence, spans: &[Span]| {
        store.append(spans, &Cursor { buffer: BUFFER, signal: 1, sequence }, BASE.plus(MINUTE)).unwrap();
    };
    for (sequence, spans) in (1..).zip(numbered(1, &SEALED)) {
        append(sequence, &spans);
    }
    // A chunk in many parts.
    append(4, &trace(6, &format!("shop | large | internal | 0-1 | text={}", noise(100_000))));
    assert!(store.pin(trace_id(3), BASE).unwrap());
    store.roll(BASE.plus(MINUTE)).unwrap();
    assert_eq!(store.merge().unwrap().map(|merged| merged.runs), Some(4));
    for (sequence, spans) in (5..).zip(numbered(4, &ACTIVE)) {
        append(sequence, &spans);
    }
}

/// Letters that do not pack well.
fn noise(letters: usize) -> String {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut letter = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b"abcdefghijklmnopqrstuvwxyz012345"[(state >> 59) as usize])
    };
    (0..letters).map(|_| letter()).collect()
}

/// A span in one line, and whether its hash is still that of its bytes.
fn told(span: &Span) -> String {
    let number = |id: SpanId| u64::from_be_bytes(id.0);
    let millis = |time: Timestamp| time.since(BASE).as_millis();
    let hash = content_hash(&span.resource, &span.scope, &span.body);
    format!(
        "{}<{} {:?} {:?} {} {:?} {}-{} {:016x} {}",
        number(span.span_id),
        span.parent_id.map_or(0, number),
        span.resource.service,
        SpanView::name_of(&span.body),
        span.kind.name(),
        span.status,
        millis(span.start),
        millis(span.end),
        span.content_hash,
        hash == span.content_hash
    )
}

fn stats(calls: u64, errors: u64, durations: &Histogram) -> String {
    format!("{calls} calls {errors} errors {:?} at half", durations.quantile(0.5).unwrap_or_default())
}

/// Every answer a store gives, as text.
fn answers(store: &Store) -> String {
    let snapshot = store.snapshot().unwrap();
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").unwrap();
    for number in 1..=6 {
        let mut spans = snapshot.trace(trace_id(number), usize::MAX).unwrap().spans;
        spans.sort_by_key(|span| (span.span_id, span.content_hash));
        spans.iter().for_each(|span| line(format!("trace {number}: {}", told(span))));
    }
    let services = snapshot.services().unwrap();
    for service in &services {
        let operations = snapshot.operations(service).unwrap();
        line(format!("service {service:?}: {operations:?}, {} spans", searched(&snapshot, service)));
    }
    for call in snapshot.dependencies(Timestamp::ZERO, Timestamp::MAX).unwrap() {
        let stats = stats(call.calls, call.errors, &call.durations);
        line(format!("{:?} calls {:?}, {}: {stats}", call.parent, call.child, call.kind.name()));
    }
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let kinds: Vec<SpanKind> = (0..6).map(SpanKind::from_number).collect();
    let wanted = Wanted { services: &services, kinds: &kinds, minutes: 0..=u32::MAX, by_operation: true };
    for ((service, operation), minutes) in &snapshot.red(&wanted).unwrap().series {
        for (minute, Stats { calls, errors, durations }) in minutes {
            let stats = stats(*calls, *errors, durations);
            line(format!("{service:?} {operation:?} in minute {minute}: {stats}"));
        }
    }
    let Status { spans, traces_pinned, blocks, runs, oldest, waiting, damaged_rows, .. } = store.status();
    line(format!("{spans} spans, {traces_pinned} pinned, {runs} runs in {blocks} blocks, {waiting} waiting"));
    line(format!("oldest {oldest:?}, {damaged_rows} damaged, cursor {:?}", store.cursor(BUFFER, 1).unwrap()));
    text
}

/// The spans that a search with a service and a pair they all have comes upon.
fn searched(snapshot: &Snapshot<'_>, service: &str) -> usize {
    searched_by(snapshot, service, ("otel.scope.version", if service == "cart" { "1.2" } else { "" }))
}

fn searched_by(snapshot: &Snapshot<'_>, service: &str, (key, value): (&str, &str)) -> usize {
    let filter = Filter {
        service: Some(service.to_owned()),
        operation: None,
        kind: None,
        status: None,
        tags: vec![vec![tag_hash(key, value)]],
        starts: Timestamp::ZERO..=Timestamp::MAX,
        durations: Duration::ZERO..=Duration::MAX,
    };
    let (mut scan, mut candidates) = (snapshot.scan(&filter).unwrap(), Vec::new());
    while scan.advance(&mut candidates).unwrap() {}
    candidates.len()
}

/// Blocks and archive.
fn files(folder: &TempDir) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = fs::read_dir(folder.path().join("blocks"))
        .unwrap()
        .map(|entry| PathBuf::from("blocks").join(entry.unwrap().file_name()))
        .collect();
    files.push("archive.redb".into());
    files.sort();
    files
}

fn write_anew() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder);
    let told = answers(&Store::open(folder.path(), &settings(), BASE).unwrap());
    let _none_yet = fs::remove_dir_all(golden());
    fs::create_dir_all(golden().join("blocks")).unwrap();
    for file in files(&folder) {
        let bytes = fs::read(folder.path().join(&file)).unwrap();
        let packed = zstd::encode_all(&bytes[..], 19).unwrap();
        fs::write(golden().join(format!("{}.zst", file.display())), packed).unwrap();
    }
    fs::write(golden().join("answers.txt"), told).unwrap();
}

fn unpack() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("blocks")).unwrap();
    for place in ["blocks", ""] {
        for entry in fs::read_dir(golden().join(place)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "zst") {
                let bytes = zstd::decode_all(&fs::read(&path).unwrap()[..]).unwrap();
                fs::write(folder.path().join(place).join(path.file_stem().unwrap()), bytes).unwrap();
            }
        }
    }
    folder
}

#[test]
fn golden_files_of_format_2_are_read() {
    if std::env::var_os("STORE_GOLDEN").is_some_and(|asked| asked == "write") {
        write_anew();
    }
    let folder = unpack();
    assert_eq!(files(&folder).len(), 3);
    for file in files(&folder) {
        let tally = verify(&folder.path().join(&file), &mut |_| ()).unwrap();
        assert!(tally.rows > 0 && tally.damages == 0, "{}: {tally:?}", file.display());
    }
    let store = Store::open(folder.path(), &settings(), BASE).unwrap();
    let expected = fs::read_to_string(golden().join("answers.txt")).unwrap();
    assert_eq!(answers(&store), expected);
    assert_eq!(searched_by(&store.snapshot().unwrap(), "shop", ("http.status_code", "500")), 1);
    assert_eq!(searched_by(&store.snapshot().unwrap(), "shop", ("http.status_code", "501")), 0);
    // They are gone on with: the parent comes late, and is the one that was waited for; a retry is known.
    let cursor = Cursor { buffer: BUFFER, signal: 1, sequence: 7 };
    let parent = trace(4, "ask | send | producer | 7200000-7200001 | #77");
    store.append(&[&parent[..], &trace(1, SEALED[0])].concat(), &cursor, BASE.plus(MINUTE)).unwrap();
    assert!(answers(&store).contains("\"ask\" calls \"late\", messaging: 1 calls"));
    assert_eq!((store.status().spans, store.status().waiting), (13, 0));
    // Nothing is merged that was written before, and the pinned trace outlives the blocks.
    assert_eq!(store.merge().unwrap(), None);
    store.expire(BASE.plus(DAY)).unwrap();
    let snapshot = store.snapshot().unwrap();
    let left =
        [1, 2, 3, 4, 5, 6].map(|number| snapshot.trace(trace_id(number), usize::MAX).unwrap().spans.len());
    assert_eq!(left, [0, 0, 2, 0, 0, 0]);
}

const DAY: Duration = Duration::from_secs(86_400 + 60);

#[test]
fn what_is_written_now_gives_the_golden_answers() {
    let folder = tempfile::tempdir().unwrap();
    fill(&folder);
    let store = Store::open(folder.path(), &settings(), BASE).unwrap();
    assert_eq!(answers(&store), fs::read_to_string(golden().join("answers.txt")).unwrap());
}
