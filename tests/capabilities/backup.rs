//! Backups of a running and of a stopped server, restored elsewhere; what is torn or tampered with is refused.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use serde_json::Value;

use crate::harness::{Client, Server, run};
use crate::wire;

const HEADERS: [(&str, &str); 1] = [("content-type", "application/x-protobuf")];

async fn send(client: &Client, server: &Server, service: &str, trace: u64) {
    let answer = client.post(server.otlp_http("/v1/traces"), &HEADERS, wire::trace(service, trace, 5)).await;
    assert_eq!(answer.status, 200);
}

async fn stored(client: &Client, server: &Server, trace: u64) -> Value {
    let url = server.query(&format!("/api/traces/{}", wire::trace_id(trace)));
    client.until(&url, |answer| answer.status == 200).await.json()
}

/// A folder of a stopped server that holds these traces.
async fn filled(data: &Path, traces: std::ops::Range<u64>) {
    let (server, client) = (Server::start(data), Client::new());
    for trace in traces.clone() {
        send(&client, &server, "shop", trace).await;
    }
    for trace in traces {
        stored(&client, &server, trace).await;
    }
    assert_eq!(server.terminate().0, Some(0));
}

fn backup(data: &Path, file: &Path, more: &[&str]) -> (Option<i32>, String, String) {
    let mut arguments =
        vec![OsStr::new("backup"), file.as_os_str(), OsStr::new("--data-dir"), data.as_os_str()];
    arguments.extend(more.iter().map(OsStr::new));
    run(&arguments)
}

fn restore(file: &Path, data: &Path) -> (Option<i32>, String, String) {
    run(&[OsStr::new("restore"), file.as_os_str(), OsStr::new("--data-dir"), data.as_os_str()])
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_spans_come_in_gives_the_same_answers_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let file = folder.path().join("lodge.tar");
    let (server, client) = (Arc::new(Server::start(&data)), Client::new());
    let mut before = Vec::new();
    for trace in 1..=20 {
        send(&client, &server, "shop", trace).await;
    }
    for trace in 1..=20 {
        before.push(stored(&client, &server, trace).await);
    }
    let pinned = client.post(server.query(&format!("/api/archive/{}", wire::trace_id(7))), &[], Bytes::new());
    assert_eq!(pinned.await.status, 200);
    let operations = "/api/services/shop/operations";
    let listed = client.get_json(server.query(operations)).await;

    let enough = Arc::new(AtomicBool::new(false));
    let ingest = tokio::spawn({
        let (server, client, enough) = (Arc::clone(&server), client.clone(), Arc::clone(&enough));
        async move {
            let mut trace = 100;
            while !enough.load(Ordering::Relaxed) {
                send(&client, &server, "shop", trace).await;
                trace += 1;
            }
            trace
        }
    });
    for (place, more) in [&[][..], &["--force"]].into_iter().enumerate() {
        let (data, file) = (data.clone(), file.clone());
        let (code, said, troubles) =
            tokio::task::spawn_blocking(move || backup(&data, &file, more)).await.unwrap();
        assert_eq!(code, Some(0), "{troubles}");
        assert!(
            said.contains("lodge.tar: ") && said.contains("; everything that was stored until 20"),
            "{said}"
        );
        assert!(said.contains(&format!("in {} blocks", place + 1)), "{said}");
    }
    enough.store(true, Ordering::Relaxed);
    let last = ingest.await.unwrap();
    assert!(last > 101, "nothing came in meanwhile");
    // What came in meanwhile is there, whatever was copied.
    stored(&client, &server, last - 1).await;
    assert!(!folder.path().join("lodge.tar.tmp").exists());

    let (code, said, troubles) = run(&[OsStr::new("verify"), file.as_os_str()]);
    assert_eq!((code, troubles.as_str()), (Some(0), ""), "{said}");
    assert!(said.contains("\nsound: "), "{said}");

    let (code, said, troubles) = restore(&file, &elsewhere);
    assert_eq!(code, Some(0), "{troubles}");
    assert!(said.starts_with("restored to ") && said.contains(" spans in 2 blocks, "), "{said}");
    let restored = Server::start(&elsewhere);
    for (trace, expected) in (1..).zip(&before) {
        assert_eq!(stored(&client, &restored, trace).await, *expected, "trace {trace}");
    }
    assert_eq!(client.get_json(restored.query(operations)).await, listed);
    assert_eq!(client.get_json(restored.admin("/status")).await["tracesPinned"], 1);
    // It goes on like any other.
    send(&client, &restored, "shop", 9_000).await;
    stored(&client, &restored, 9_000).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_before_is_in_it() {
    let folder = tempfile::tempdir().unwrap();
    let (data, elsewhere) = (folder.path().join("data"), folder.path().join("elsewhere"));
    let (server, client) = (Server::start(&data), Client::new());
    for trace in 1..=5 {
        send(&client, &server, "shop", trace).await;
        let (data, file) = (data.clone(), folder.path().join(format!("{trace}.tar")));
        let made = tokio::task::spawn_blocking(move || backup(&data, &file, &[])).await.unwrap();
        assert!(made.1.contains(&format!(": {} spans in {trace} blocks, ", 5 * trace)), "{made:?}");
    }
    assert_eq!(restore(&folder.path().join("5.tar"), &elsewhere).0, Some(0));
    let restored = Server::start(&elsewhere);
    for trace in 1..=5 {
        stored(&client, &restored, trace).await;
    }
}

#[tokio::test]
async fn a_stopped_servers_folder_is_backed_up_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("a.tar"));
    filled(&data, 1..4).await;
    let (code, said, troubles) = backup(&data, &file, &[]);
    assert_eq!(code, Some(0), "{troubles}");
    assert!(said.contains(": 15 spans in 1 blocks, "), "{said}");
    let first = fs::read(&file).unwrap();

    let (code, _, troubles) = backup(&data, &file, &[]);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("a.tar: it is there already; --force writes over it"), "{troubles}");
    assert_eq!(fs::read(&file).unwrap(), first);

    let elsewhere = folder.path().join("elsewhere");
    assert_eq!(restore(&file, &elsewhere).0, Some(0));
    let (code, _, troubles) = restore(&file, &elsewhere);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("elsewhere: there is a store already"), "{troubles}");
    let (server, client) = (Server::start(&elsewhere), Client::new());
    stored(&client, &server, 3).await;
    let (code, _, troubles) = restore(&file, &elsewhere);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("it is held by process"), "{troubles}");
}

#[tokio::test]
async fn a_stopped_store_with_a_file_too_damaged_to_open_is_not_backed_up_unsaid() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("a.tar"));
    filled(&data, 1..3).await;
    let block = fs::read_dir(data.join("blocks")).unwrap().next().unwrap().unwrap().path();
    fs::write(block, b"no database").unwrap();
    let (code, said, troubles) = backup(&data, &file, &[]);
    assert_eq!((code, said.as_str()), (Some(1), ""));
    assert!(troubles.contains("data/quarantine; another backup is of the rest"), "{troubles}");
    assert!(!file.exists());
    let (code, said, troubles) = backup(&data, &file, &[]);
    assert_eq!(code, Some(0), "{troubles}");
    assert!(said.contains(": 0 spans in "), "{said}");
}

#[tokio::test]
async fn what_cannot_be_backed_up_leaves_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("a.tar"));
    let (code, _, troubles) = backup(&data, &file, &[]);
    assert_eq!(code, Some(1));
    assert!(
        troubles.contains("name the data folder with --data-dir, or a server with --address"),
        "{troubles}"
    );
    assert!(!data.exists());

    let (code, _, troubles) = backup(&data, &file, &["--address", "127.0.0.1:1"]);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("reach a server at 127.0.0.1:1"), "{troubles}");

    filled(&data, 1..2).await;
    let (code, _, troubles) = backup(&data, &folder.path().join("nowhere/a.tar"), &[]);
    assert_eq!(code, Some(1));
    assert!(troubles.contains("nowhere/a.tar.tmp: No such file or directory"), "{troubles}");
    let server = Server::start_with(&data, &["doors.allowed_hosts=a.example"]);
    let (code, _, troubles) = backup(&data, &file, &["--address", &server.page]);
    assert_eq!(code, Some(1));
    assert!(troubles.contains(": HTTP 404: "), "{troubles}");
    let names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["data"]);
}

/// A tar of plain files.
fn tar_of(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        let field = &mut header.as_old_mut().name;
        field[..name.len()].copy_from_slice(name.as_bytes());
        header.set_size(bytes.len() as u64);
        header.set_entry_type(tar::EntryType::Regular);
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    tar.into_inner().unwrap()
}

/// The same tar with one thing in its manifest replaced.
fn with_manifest(tar: &[u8], from: &str, to: &str) -> Vec<u8> {
    let mut read = tar::Archive::new(tar);
    let mut files = Vec::new();
    for entry in read.entries().unwrap() {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut bytes = Vec::new();
        std::io::Read::read_to_end(&mut entry, &mut bytes).unwrap();
        if name == "manifest.json" {
            let text = String::from_utf8(bytes).unwrap();
            assert!(text.contains(from), "{text}");
            bytes = text.replace(from, to).into_bytes();
        }
        files.push((name, bytes));
    }
    let files: Vec<_> = files.iter().map(|(name, bytes)| (name.as_str(), &bytes[..])).collect();
    tar_of(&files)
}

fn with_link() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "archive.redb", "/etc/passwd").unwrap();
    tar.into_inner().unwrap()
}

#[tokio::test]
async fn what_is_torn_or_tampered_with_is_refused_and_nothing_is_restored() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("a.tar"));
    filled(&data, 1..3).await;
    assert_eq!(backup(&data, &file, &[]).0, Some(0));
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[512 * 3 + 70] ^= 1;
    let cut_off = "read it to its end: it was cut off, or is no backup";
    let cases: Vec<(Vec<u8>, &str)> = vec![
        (Vec::new(), cut_off),
        (whole[..512].to_vec(), cut_off),
        (whole[..whole.len() / 2].to_vec(), cut_off),
        (whole[..whole.len() - 4_096].to_vec(), "it"),
        (b"this is not a tar".repeat(100), "read it as a backup"),
        (changed, "is not what was backed up"),
        (with_manifest(&whole, "\"bytes\": ", "\"bytes\": 1"), "is not what was backed up"),
        (
            with_manifest(&whole, "\"format\": 1,", "\"format\": 3,"),
            "read its format 3, made by tracelodge 0.1.0: this version knows formats up to 2",
        ),
        (with_manifest(&whole, "{", "["), "read its manifest"),
        (tar_of(&[("../evil.redb", b"x")]), "it holds '../evil.redb', which no backup does"),
        (tar_of(&[("/etc/evil", b"x")]), "it holds '/etc/evil', which no backup does"),
        (tar_of(&[("blocks/../0-0.redb", b"x")]), "it holds 'blocks/../0-0.redb', which no backup does"),
        (
            tar_of(&[("archive.redb", b"x"), ("archive.redb", b"x")]),
            "it holds 'archive.redb', which no backup does",
        ),
        (with_link(), "it holds 'archive.redb', which no backup does"),
    ];
    let elsewhere = folder.path().join("elsewhere");
    for (place, (bytes, expected)) in cases.into_iter().enumerate() {
        fs::write(&file, bytes).unwrap();
        let (code, said, troubles) = restore(&file, &elsewhere);
        assert_eq!((code, said.as_str()), (Some(1), ""), "case {place}");
        assert!(troubles.contains(expected), "case {place}: {troubles}");
        let left: Vec<_> =
            fs::read_dir(&elsewhere).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["LOCK"], "case {place}");
        let (code, _, _) = run(&[OsStr::new("verify"), file.as_os_str()]);
        assert_eq!(code, Some(1), "case {place}");
    }
    fs::write(&file, whole).unwrap();
    assert_eq!(restore(&file, &elsewhere).0, Some(0));
    // What was unpacked to be looked at is gone too.
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3);
}

/// A server that answers one request with these bytes and hangs up; its address.
fn answering(answer: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4_096];
        let _asked = stream.read(&mut request).unwrap();
        stream.write_all(&answer).unwrap();
    });
    address
}

#[test]
fn a_server_that_goes_away_leaves_no_backup_and_not_even_half_of_one() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("a.tar");
    fs::write(&file, "the one before").unwrap();
    let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
    let zeros = format!("400\r\n{}\r\n", "\0".repeat(0x400));
    let cases = [
        (format!("{head}{zeros}"), "have the rest of it: the server ended, or broke off"),
        (format!("{head}{zeros}0\r\n\r\n"), "read it to its end: it was cut off, or is no backup"),
        ("HTTP/1.1 503 No\r\ncontent-length: 5\r\n\r\nfull\n".to_owned(), ": HTTP 503: full"),
        (String::new(), "reach a server at "),
    ];
    for (answer, expected) in cases {
        let address = answering(answer.into_bytes());
        let (code, said, troubles) = backup(folder.path(), &file, &["--force", "--address", &address]);
        assert_eq!((code, said.as_str()), (Some(1), ""));
        assert!(troubles.contains(expected), "{troubles}");
        assert_eq!(fs::read_to_string(&file).unwrap(), "the one before");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "{expected}");
    }
}
