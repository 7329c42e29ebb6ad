//! Where attacks are made: a running program, what it is measured by, and the good requests beside them.

use std::path::Path;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use tokio::sync::oneshot;

use crate::attack::Attack;
use crate::harness::{Client, PATIENCE, Server};
use crate::wire;

/// What an attack may take.
#[derive(Debug, Clone, Copy)]
struct Bounds {
    /// Until it is answered, and each good request beside and behind it.
    time: Duration,
    /// Resident, at the most, above what it was before.
    more_kib: u64,
    /// The same beside a request that is nearly as large as one may be, which stands in memory beside what is made of it.
    more_beside_kib: u64,
    /// Tries, the best of which counts, each after a failure with a fresh start: others use the machine, too, and the store
    /// may be merging what attacks before this one have left.
    tries: u32,
}

impl Bounds {
    /// Where the program is slow and the machine busy.
    const ANYWHERE: Self =
        Self { time: Duration::from_secs(2), more_kib: 64 << 10, more_beside_kib: 96 << 10, tries: 2 };

    /// What is promised.
    const STRICT: Self =
        Self { time: Duration::from_millis(100), more_kib: 32 << 10, more_beside_kib: 64 << 10, tries: 3 };
}

/// A request of so many bytes is nearly as large as one may be.
const LARGE_BYTES: usize = 16 << 20;

/// A running program with room for its data.
struct Ground {
    _data: TempDir,
    server: Server,
    client: Client,
    good_requests: u64,
}

/// What an attack did.
#[derive(Debug)]
struct Measured {
    answer: String,
    time: Duration,
    more_kib: u64,
    /// Bytes.
    sent: usize,
}

/// Makes these attacks. With `BOMBS=strict` in the environment each has a fresh start of the program and the strict bounds,
/// and what was measured is printed.
pub(crate) async fn withstands(attacks: &[Attack]) {
    withstands_within(0, attacks).await;
}

/// The same of attacks that are taken and stored, for which the store may take so much more of its own memory, which
/// `store.cache_bytes` bounds.
pub(crate) async fn withstands_within(store_kib: u64, attacks: &[Attack]) {
    let strict = std::env::var_os("BOMBS").is_some_and(|asked| asked == "strict");
    let mut bounds = if strict { Bounds::STRICT } else { Bounds::ANYWHERE };
    bounds.more_kib += store_kib;
    let (mut failed, mut ground) = (Vec::new(), Ground::new());
    for attack in attacks {
        let mut tried = Err(String::new());
        for _ in 0..bounds.tries {
            if strict {
                ground = Ground::new();
            }
            tried = ground.measure(attack).await.and_then(|measured| judge(attack, bounds, measured));
            if tried.is_ok() {
                break;
            }
            ground = Ground::new();
        }
        let said = tried.unwrap_or_else(|trouble| {
            failed.push(format!("{}: {trouble}", attack.name));
            trouble
        });
        if strict {
            show(&format!("{:<56} {said}", attack.name));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[expect(clippy::print_stdout, reason = "who asks for the numbers reads them here")]
fn show(line: &str) {
    println!("{line}");
}

fn judge(attack: &Attack, bounds: Bounds, measured: Measured) -> Result<String, String> {
    let Measured { answer, time, more_kib, sent } = measured;
    let allowed = if sent >= LARGE_BYTES { bounds.more_beside_kib } else { bounds.more_kib };
    let said = format!("{answer:<24} {:>7.1} ms {more_kib:>7} KiB", time.as_secs_f64() * 1e3);
    if !attack.answers.iter().any(|right| answer.starts_with(right)) {
        return Err(format!("{said}: none of {:?}", attack.answers));
    }
    if time > bounds.time || more_kib > allowed {
        return Err(format!("{said}: more than {:?} or {allowed} KiB", bounds.time));
    }
    Ok(said)
}

impl Ground {
    fn new() -> Self {
        let data = tempfile::tempdir().unwrap();
        let server = Server::start(data.path());
        Self { _data: data, server, client: Client::new(), good_requests: 0 }
    }

    /// The time is that of the answer if it is in the attacked's hands, and of the slowest good request.
    async fn measure(&mut self, attack: &Attack) -> Result<Measured, String> {
        // What is taken for the first time by any request is none of the attack's.
        self.good_request().await?;
        self.is_stored().await?;
        let before = self.resident_kib("VmRSS:");
        self.forget_peak();
        let (over, mut is_over) = oneshot::channel::<()>();
        let attacked = async {
            let made = attack.make(&self.server).await;
            drop(over);
            made
        };
        let (server, mut number) = (&self.server, self.good_requests);
        let beside = async {
            let mut slowest = Duration::ZERO;
            while is_over.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                number += 1;
                // Each on a connection of its own, as somebody new would.
                slowest = slowest.max(good_request(&Client::new(), server, number).await?);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Ok::<_, String>((slowest, number))
        };
        let (made, beside) = tokio::join!(attacked, beside);
        let (mut time, number) = beside?;
        self.good_requests = number;
        if !attack.lasts() {
            time = time.max(made.time);
        }
        time = time.max(self.good_request().await?);
        // What of the attack was taken is stored before what came behind it.
        self.is_stored().await?;
        let more_kib = self.resident_kib("VmHWM:").saturating_sub(before);
        Ok(Measured { answer: made.answer, time, more_kib, sent: made.sent })
    }

    async fn good_request(&mut self) -> Result<Duration, String> {
        self.good_requests += 1;
        good_request(&self.client, &self.server, self.good_requests).await
    }

    /// Waits until the last good request can be read.
    async fn is_stored(&self) -> Result<(), String> {
        let url = self.server.query(&format!("/api/traces/{}", wire::trace_id(self.good_requests)));
        let read = self.client.until(&url, |answer| answer.status == 200);
        let read = tokio::time::timeout(PATIENCE, read).await;
        read.map(drop).map_err(|_elapsed| "what is good is not stored".to_owned())
    }

    /// A line of the kernel's account of the process.
    fn resident_kib(&self, name: &str) -> u64 {
        let path = format!("/proc/{}/status", self.server.process_id());
        let status = std::fs::read_to_string(path).expect("the program lives");
        let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("the program lives");
        line.trim().trim_end_matches(" kB").parse().unwrap()
    }

    /// The kernel takes the highest resident size anew from here on (proc(5), `clear_refs`).
    fn forget_peak(&self) {
        let path = format!("/proc/{}/clear_refs", self.server.process_id());
        std::fs::write(Path::new(&path), "5").unwrap();
    }
}

async fn good_request(client: &Client, server: &Server, number: u64) -> Result<Duration, String> {
    let started = Instant::now();
    let body = wire::trace("good", number, 2);
    let headers = [("content-type", "application/x-protobuf")];
    let answer = client.send(http::Method::POST, server.otlp_http("/v1/traces"), &headers, body);
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    match answer {
        Ok(Ok(answer)) if answer.status == 200 => Ok(started.elapsed()),
        Ok(Ok(answer)) => Err(format!("a good request was answered {}", answer.status)),
        Ok(Err(error)) => Err(format!("a good request was not answered: {error}")),
        Err(_elapsed) => Err("a good request had no answer".to_owned()),
    }
}
