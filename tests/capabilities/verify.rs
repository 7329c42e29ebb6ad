//! `verify` names each damaged row and changes nothing; `status` says what a server holds.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::{ReadableDatabase as _, ReadableTable as _, TableDefinition};

use crate::harness::{Client, Server, run};
use crate::wire;

const HEADERS: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

/// A folder of a stopped server, with rows in every table: a call, one that waits for its parent, a pinned trace.
async fn filled(data: &Path) {
    let (server, client) = (Server::start(data), Client::new());
    let mut orphan = wire::span(2, 1);
    orphan.parent_span_id = vec![0xee; 8];
    let mut called = wire::span(1, 1);
    called.name = "called".to_owned();
    let requests = [
        wire::request("shop", vec![wire::span(1, 0)]),
        wire::request("bank", vec![called]),
        wire::request("late", vec![orphan]),
    ];
    for request in requests {
        let body: Bytes = prost::Message::encode_to_vec(&request).into();
        let answer = client.post(server.otlp_http("/v1/traces"), &HEADERS, body).await;
        assert_eq!(answer.status, 200);
    }
    let url = |trace| server.query(&format!("/api/traces/{}", wire::trace_id(trace)));
    client.until(&url(2), |answer| answer.status == 200).await;
    client
        .until(&url(1), |answer| {
            answer.status == 200 && answer.json()["data"][0]["spans"].as_array().unwrap().len() == 2
        })
        .await;
    let pin = client.post(server.query(&format!("/api/archive/{}", wire::trace_id(1))), &[], Bytes::new());
    assert_eq!(pin.await.status, 200);
    assert_eq!(server.terminate().0, Some(0));
}

fn verify(path: &Path) -> (Option<i32>, String, String) {
    run(&[OsStr::new("verify"), path.as_os_str()])
}

fn files(data: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let blocks = fs::read_dir(data.join("blocks")).unwrap().map(|entry| entry.unwrap().path());
    blocks.chain([data.join("archive.redb")]).map(|path| (path.clone(), fs::read(&path).unwrap())).collect()
}

fn block_of(files: &BTreeMap<PathBuf, Vec<u8>>) -> PathBuf {
    files.keys().find(|path| !path.ends_with("archive.redb")).unwrap().clone()
}

/// The first row of a table, if it has any.
fn first_row(file: &Path, table: &str) -> Option<(Vec<u8>, Vec<u8>)> {
    let database = redb::Database::open(file).unwrap();
    let reading = database.begin_read().unwrap();
    let table = reading.open_table(TableDefinition::<&[u8], &[u8]>::new(table)).ok()?;
    let (key, value) = table.first().unwrap()?;
    Some((key.value().to_vec(), value.value().to_vec()))
}

/// Changes one bit in every copy of these bytes: older pages may hold some.
fn flip_in(file: &Path, bytes: &[u8]) {
    let mut all = fs::read(file).unwrap();
    let places: Vec<usize> = all
        .windows(bytes.len())
        .enumerate()
        .filter(|(_, window)| *window == bytes)
        .map(|(at, _)| at)
        .collect();
    assert!(!places.is_empty());
    for place in places {
        all[place + bytes.len() / 2] ^= 0x10;
    }
    fs::write(file, all).unwrap();
}

#[tokio::test]
async fn a_sound_store_is_called_so_and_stays_as_it_is() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path()).await;
    let before = files(data.path());
    let (code, said, troubles) = verify(data.path());
    assert_eq!((code, troubles.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("blocks/0000000001-") && said.contains("\narchive.redb: 2 spans, "), "{said}");
    assert!(said.contains("\nsound: 5 spans, "), "{said}");
    assert_eq!(files(data.path()), before);

    // After a crash too, though a start would repair it.
    let server = Server::start(data.path());
    let answer =
        Client::new().post(server.otlp_http("/v1/traces"), &HEADERS, wire::trace("shop", 9, 3)).await;
    assert_eq!(answer.status, 200);
    let (code, _, troubles) = verify(data.path());
    assert_eq!(code, Some(1));
    assert!(troubles.contains("it is held by process"), "{troubles}");
    server.kill();
    let before = files(data.path());
    let (code, said, troubles) = verify(data.path());
    assert_eq!((code, troubles.as_str()), (Some(0), ""), "{said}");
    assert_eq!(files(data.path()), before);
}

#[tokio::test]
async fn every_damaged_row_is_named_with_what_it_costs() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path()).await;
    let sound = files(data.path());
    let block = block_of(&sound);
    let archive = data.path().join("archive.redb");
    let tables = [
        ("jaeger.spans", &block, "1 spans of run 0 are not shown"),
        (
            "jaeger.spans.ServiceNameIndex",
            &block,
            "a search by the service bank does not find its spans of run ",
        ),
        ("jaeger.spans.SearchableTags", &block, "a search by a tag reads all spans of run 0"),
        ("jaeger.runs", &block, "the spans of run 0 are not found"),
        ("jaeger.resources", &block, "spans of this resource and scope are not shown"),
        ("jaeger.services", &block, "this service is not listed"),
        ("jaeger.operations", &block, "this operation is not listed"),
        ("jaeger.dependencies", &block, "calls between two services in one hour are not counted"),
        ("jaeger.pending_parents", &block, "calls whose parents come later are not counted"),
        ("jaeger.red", &block, "an operation's numbers of one minute are missing"),
        ("jaeger.archive", &archive, "it is not known when this trace was pinned"),
        ("buffer.cursor", &block, "what the buffer still holds is stored again"),
    ];
    for (table, file, cost) in tables {
        let (key, value) = first_row(file, table).unwrap_or_else(|| panic!("{table} has no row"));
        flip_in(file, &value);
        let damaged = fs::read(file).unwrap();
        let (code, said, troubles) = verify(data.path());
        assert_eq!(code, Some(1), "{table}: {said}");
        let row = format!(": {table} {}: its bytes are not those that were written; ", wire::hex(&key));
        let line = said.lines().find(|line| line.contains(&row)).unwrap_or_else(|| panic!("{table}: {said}"));
        assert!(line.starts_with("damaged: ") && line.contains(cost), "{line}");
        assert!(
            troubles.contains("tracelodge could not find ") && troubles.contains(" sound: "),
            "{troubles}"
        );
        assert_eq!(fs::read(file).unwrap(), damaged, "{table}: the file was changed");
        for (path, bytes) in &sound {
            fs::write(path, bytes).unwrap();
        }
    }
}

#[tokio::test]
async fn a_file_that_is_none_and_a_folder_without_a_store_are_said() {
    let data = tempfile::tempdir().unwrap();
    let (code, _, troubles) = verify(data.path());
    assert_eq!(code, Some(1));
    assert!(troubles.contains("find a store in it"), "{troubles}");
    filled(data.path()).await;
    let block = block_of(&files(data.path()));
    let whole = fs::read(&block).unwrap();
    for bytes in [Vec::new(), b"not a database".to_vec(), whole[..whole.len() / 3].to_vec()] {
        fs::write(&block, bytes).unwrap();
        let (code, said, _) = verify(data.path());
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("nothing in this file is shown") || said.contains("jaeger."), "{said}");
        assert!(said.contains("\narchive.redb: "), "the rest is read: {said}");
    }
}

#[tokio::test]
async fn what_is_of_the_first_format_is_not_called_sound() {
    let data = tempfile::tempdir().unwrap();
    filled(data.path()).await;
    fs::write(data.path().join("blocks/spans.redb"), b"rows").unwrap();
    let (code, said, troubles) = verify(data.path());
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(troubles.contains("of the first format: start the server once"), "{troubles}");
}

#[tokio::test]
async fn a_server_says_what_it_holds_and_one_that_is_not_there_is_said() {
    let data = tempfile::tempdir().unwrap();
    let status = |more: &[&str]| {
        let mut arguments = vec![OsStr::new("status"), OsStr::new("--data-dir"), data.path().as_os_str()];
        arguments.extend(more.iter().map(OsStr::new));
        run(&arguments)
    };
    let (code, said, troubles) = status(&[]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(troubles.contains("none runs on the data folder"), "{troubles}");
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "asking makes nothing");

    filled(data.path()).await;
    let server = Server::start(data.path());
    let (code, said, troubles) = status(&[]);
    assert_eq!(code, Some(0), "{troubles}");
    let lines = [
        format!("version             {}", env!("CARGO_PKG_VERSION")),
        format!("page and query API  http://{}", server.page),
        "spans               3 in 1 blocks and ".to_owned(),
        "oldest span         2023-11-14T22:13:20Z".to_owned(),
        "archive             1 traces kept for good, ".to_owned(),
        "dropped spans       0 by age, 0 by free, 0 by size".to_owned(),
        "in the buffer       0 items of traces for the store, ".to_owned(),
        "damaged             0 rows met, 0 files set aside".to_owned(),
    ];
    for line in lines {
        assert!(said.lines().any(|said| said.starts_with(&line)), "{line}:\n{said}");
    }
    let (code, said, _) = status(&["--json", "--address", &server.admin]);
    assert_eq!(code, Some(0));
    let told: serde_json::Value = serde_json::from_str(&said).unwrap();
    assert_eq!(told["spans"], 3);
    let page = Client::new().get_json(server.query("/api/a1/status")).await;
    for field in ["spans", "blocks", "dataBytes", "maxBytes", "archiveBytes", "droppedSpans", "version"] {
        assert_eq!(told[field], page[field], "{field}");
    }
    let (code, _, troubles) = status(&["--address", &server.page]);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("could not say how a server is"), "{troubles}");
}
