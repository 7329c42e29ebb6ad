//! Many who say little, slowly: others are served at once beside them.

use crate::attack::{Attack, Door, Means};
use crate::ground;

fn crowd(
    name: &'static str,
    door: Door,
    connections: usize,
    start: fn() -> Vec<u8>,
    drip: &'static [u8],
) -> Attack {
    Attack { name, answers: &[""], door, means: Means::Crowd { connections, start, drip } }
}

const BODY: &str = "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-protobuf\r\n";

fn crowds() -> Vec<Attack> {
    vec![
        crowd("300 who say nothing", Door::OtlpHttp, 300, Vec::new, b""),
        crowd(
            "300 heads, a letter at a time",
            Door::OtlpHttp,
            300,
            || b"GET / HTTP/1.1\r\nx: ".to_vec(),
            b"x",
        ),
        crowd("300 half prefaces of HTTP/2", Door::OtlpGrpc, 300, || b"PRI * HTTP/2.0\r\n".to_vec(), b""),
        crowd(
            "300 bodies, a byte at a time",
            Door::OtlpHttp,
            300,
            || format!("{BODY}content-length: 20000000\r\n\r\n").into_bytes(),
            b"\n",
        ),
        crowd(
            "300 bodies in chunks of one byte",
            Door::OtlpHttp,
            300,
            || format!("{BODY}transfer-encoding: chunked\r\n\r\n").into_bytes(),
            b"1\r\n\n\r\n",
        ),
        crowd(
            "300 bodies to the page's door, a byte at a time",
            Door::Page,
            300,
            || {
                b"POST /api/transform HTTP/1.1\r\nhost: localhost\r\ncontent-length: 20000000\r\n\r\n"
                    .to_vec()
            },
            b" ",
        ),
        crowd(
            "300 who ask and do not read",
            Door::Page,
            300,
            || b"GET /api/services HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100),
            b"",
        ),
        crowd("1 100 at a door with room for 1 024", Door::Page, 1_100, Vec::new, b""),
        crowd("1 100 at the admin door", Door::Admin, 1_100, || b"G".to_vec(), b""),
        crowd(
            "300 connections of HTTP/2 that say no more",
            Door::Storage,
            300,
            || [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat(),
            b"",
        ),
        crowd(
            "40 backups that nobody takes",
            Door::Admin,
            40,
            || b"POST /backup HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0\r\n\r\n".to_vec(),
            b"",
        ),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_served_beside_a_crowd() {
    ground::withstands(&crowds()).await;
}
