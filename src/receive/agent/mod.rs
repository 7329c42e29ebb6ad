//! Jaeger's agent: datagrams of thrift, which nobody answers.
//!
//! Promise: what is lost on the way is counted, because no sender is told. The system says what it dropped before it could
//! be taken; what cannot be read, and spans there is no room or no disk for, are counted here; and gaps between the numbers
//! of a client's batches tell what never came, for each service. No datagram, and no error of a socket, ends the listening.
//!
//! Limits: of a socket [`MAX_DATAGRAMS`] datagrams or [`MAX_BYTES`] become one request, [`MAX_REQUESTS`] requests wait for
//! the disk, in [room of its own](PART_OF_IN_FLIGHT); what comes meanwhile waits with the system, as long as that has room.
//! See [`clients`] for what is remembered.
//!
//! Does not know: ports, what its counts are shown as.

mod clients;
mod kernel;
mod message;

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::net::UdpSocket;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::seldom::Seldom;
use crate::ingest::{Accepted, Budget, Counter, DoorCounts, Ingest, Refused, Reservation, Signal};
use crate::translate::thrift::Protocol;
use clients::Clients;
use message::Read;

pub use clients::Service;

/// No datagram is longer (RFC 768, RFC 8200).
const DATAGRAM_BYTES: usize = 65_535;

/// Datagrams, and bytes of them and of what is made of them, that become one request: as much as is read at a time by a
/// thread that serves others, too.
const MAX_DATAGRAMS: u32 = 64;
const MAX_BYTES: usize = 256 << 10;

/// Requests of a socket that are on their way to the disk.
const MAX_REQUESTS: usize = 4;

/// The part of `receive.in_flight_bytes` that a socket has beside it, for itself: the doors whose senders are answered
/// leave no room otherwise, or are left none.
const PART_OF_IN_FLIGHT: usize = 32;

/// After an error of a socket: asking again at once would only burn the processor.
const PAUSE: Duration = Duration::from_millis(50);

/// What became of datagrams, and what did not become of them.
#[derive(Debug)]
pub struct Counts {
    /// Datagrams as requests.
    pub door: DoorCounts,
    dropped: DroppedSpans,
    sockets: Mutex<Vec<Arc<Socket>>>,
    clients: Mutex<Clients>,
    unread: Seldom,
    left_out: Seldom,
    lost: Seldom,
}

/// Spans that were read and are not kept, by what there was none of.
#[derive(Debug, Default)]
struct DroppedSpans {
    memory: Counter,
    disk: Counter,
    defect: Counter,
}

/// What is counted of one socket.
#[derive(Debug)]
struct Socket {
    address: SocketAddr,
    inode: Option<u64>,
    datagrams: Counter,
    unread: Counter,
}

/// The counts at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Told {
    /// Each socket.
    pub sockets: Vec<SocketTold>,
    /// Spans that were read and are not kept, by what there was none of: `memory`, `disk`, which at the end of the program
    /// takes nothing more; or by a `defect` of ours.
    pub dropped_spans: [(&'static str, u64); 3],
    /// What came from each service, by name.
    pub services: Vec<(String, Service)>,
}

/// The counts of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketTold {
    /// Where it listens.
    pub address: SocketAddr,
    /// Datagrams that came in.
    pub datagrams: u64,
    /// Those that could not be read.
    pub unread: u64,
    /// Those that the system dropped because nobody took them in time, where the system says.
    pub dropped_by_system: Option<u64>,
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            door: DoorCounts::default(),
            dropped: DroppedSpans::default(),
            sockets: Mutex::default(),
            clients: Mutex::new(Clients::new(Instant::now())),
            unread: Seldom::new("datagrams for Jaeger's agent could not be read"),
            left_out: Seldom::new("spans for Jaeger's agent were left out"),
            lost: Seldom::new("spans for Jaeger's agent are lost"),
        }
    }
}

impl Counts {
    /// All but `door`; reads files of the system.
    pub fn told(&self) -> Told {
        let (drops, sockets) = (kernel::drops(), self.sockets.lock().clone());
        let sockets = sockets.iter().map(|socket| SocketTold {
            address: socket.address,
            datagrams: socket.datagrams.value(),
            unread: socket.unread.value(),
            dropped_by_system: socket.inode.and_then(|inode| drops.get(&inode)).copied(),
        });
        let DroppedSpans { memory, disk, defect } = &self.dropped;
        let dropped = [("memory", memory), ("disk", disk), ("defect", defect)];
        Told {
            sockets: sockets.collect(),
            dropped_spans: dropped.map(|(reason, spans)| (reason, spans.value())),
            services: self.clients.lock().services(),
        }
    }

    fn add(&self, socket: &UdpSocket) -> io::Result<Arc<Socket>> {
        let counted = Arc::new(Socket {
            address: socket.local_addr()?,
            inode: kernel::inode(socket),
            datagrams: Counter::default(),
            unread: Counter::default(),
        });
        self.sockets.lock().push(Arc::clone(&counted));
        Ok(counted)
    }

    /// A request had its outcome.
    fn had(&self, datagrams: u32, spans: u32, outcome: &Result<Accepted, Refused>) {
        let datagrams = u64::from(datagrams);
        self.door.requests.add(datagrams);
        match outcome {
            Ok(accepted) => {
                self.door.accepted_spans.add(accepted.items.into());
                self.leave_out(accepted.rejected, accepted.message.as_deref());
            }
            Err(Refused::Malformed(why)) => self.leave_out(spans, Some(why)),
            Err(Refused::Defect) => {
                self.door.failed_requests.add(datagrams);
                self.lose(&self.dropped.defect, spans, &Refused::Defect);
            }
            Err(refused) => {
                self.door.refused_requests.add(datagrams);
                self.lose(&self.dropped.disk, spans, refused);
            }
        }
    }

    fn leave_out(&self, spans: u32, why: Option<&str>) {
        if spans > 0 {
            self.door.rejected_spans.add(spans.into());
            self.left_out.happened(spans.into(), &why.unwrap_or_default());
        }
    }

    fn lose(&self, dropped: &Counter, spans: u32, why: &dyn std::fmt::Display) {
        if spans > 0 {
            dropped.add(spans.into());
            self.lost.happened(spans.into(), why);
        }
    }
}

/// Takes datagrams until the program is ending.
pub async fn listen(
    socket: UdpSocket,
    protocol: Protocol,
    ingest: Arc<Ingest>,
    counts: Arc<Counts>,
    mut ending: watch::Receiver<bool>,
) {
    kernel::make_room(&socket);
    let counted = match counts.add(&socket) {
        Ok(counted) => counted,
        Err(error) => return tracing::error!(%error, "a socket for Jaeger's agent has no address"),
    };
    let room = Arc::new(Budget::new(ingest.settings().in_flight_bytes / PART_OF_IN_FLIGHT));
    let datagram = vec![0; DATAGRAM_BYTES].into();
    let mut listener = Listener { socket, counted, protocol, ingest, room, counts, datagram };
    tokio::select! {
        () = listener.listen() => {}
        // Who holds the other end ends the program when it lets go.
        _ended = ending.wait_for(|ending| *ending) => {}
    }
}

/// A socket and what is done with what it hears.
struct Listener {
    socket: UdpSocket,
    counted: Arc<Socket>,
    protocol: Protocol,
    ingest: Arc<Ingest>,
    /// For requests on their way to the disk.
    room: Arc<Budget>,
    counts: Arc<Counts>,
    /// The datagram that is being received.
    datagram: Box<[u8]>,
}

impl Listener {
    /// Never ends.
    async fn listen(&mut self) {
        let requests = Arc::new(Semaphore::new(MAX_REQUESTS));
        loop {
            let permit = Arc::clone(&requests).acquire_owned().await.expect("nobody closes it");
            let heard = match self.socket.readable().await {
                Ok(()) => self.hear(permit),
                Err(error) => Err(error),
            };
            match heard {
                // Others are served by the same threads.
                Ok(()) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::debug!(%error, address = %self.counted.address, "no datagram could be taken");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Takes what is there and hands it over; an error is told of after that.
    fn hear(&mut self, permit: OwnedSemaphorePermit) -> io::Result<()> {
        let mut gathered = Gathered::default();
        let heard = loop {
            if gathered.is_full() {
                break Ok(());
            }
            match self.socket.try_recv_from(&mut self.datagram) {
                Ok((length, from)) => {
                    // A panic is reported by its own hook.
                    let take = AssertUnwindSafe(|| self.take(length, from, &mut gathered));
                    if catch_unwind(take).is_err() {
                        self.cannot_read(from, &Refused::Defect);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.hand_over(gathered, permit);
        heard
    }

    fn take(&self, length: usize, from: SocketAddr, gathered: &mut Gathered) {
        self.counted.datagrams.add(1);
        gathered.taken += 1;
        gathered.bytes += length;
        let datagram = Bytes::copy_from_slice(&self.datagram[..length]);
        let read = match message::read(self.protocol, &datagram) {
            Ok(read) => read,
            Err(error) => return self.cannot_read(from, &error),
        };
        let Read { request, spans, left_out, first, said } = read;
        self.counts.clients.lock().came(&said, from, Instant::now());
        self.counts.leave_out(left_out, first.as_deref());
        if let Err(why) = gathered.add(&request, spans, &self.room) {
            self.counts.door.requests.add(1);
            self.counts.door.refused_requests.add(1);
            self.counts.lose(&self.counts.dropped.memory, spans, &why);
        }
    }

    fn cannot_read(&self, from: SocketAddr, why: &dyn std::fmt::Display) {
        self.counted.unread.add(1);
        self.counts.door.requests.add(1);
        self.counts.door.failed_requests.add(1);
        tracing::debug!(%from, error = %why, "a datagram could not be read");
        self.counts.unread.happened(1, &format_args!("{why}, from {from}"));
    }

    fn hand_over(&self, gathered: Gathered, permit: OwnedSemaphorePermit) {
        let Gathered { request, room, datagrams, spans, .. } = gathered;
        if request.is_empty() {
            return self.counts.had(datagrams, 0, &Ok(Accepted::default()));
        }
        let (counts, request) = (Arc::clone(&self.counts), request.into_boxed_slice().into());
        let done = move |outcome| {
            counts.had(datagrams, spans, &outcome);
            drop((room, permit));
        };
        let accept = || self.ingest.accept(Signal::Traces, request, done);
        if catch_unwind(AssertUnwindSafe(accept)).is_err() {
            self.counts.had(datagrams, spans, &Err(Refused::Defect));
        }
    }
}

/// Of the part that a socket has for itself too little is free.
#[derive(Debug, thiserror::Error)]
#[error(
    "what came before is not on disk yet and takes all room of its socket, receive.in_flight_bytes / {PART_OF_IN_FLIGHT}"
)]
struct NoRoom;

/// Datagrams that become one request.
#[derive(Debug, Default)]
struct Gathered {
    /// Export requests, one behind the other, are one.
    request: Vec<u8>,
    room: Option<Reservation>,
    /// Those that are in it, and the spans in them.
    datagrams: u32,
    spans: u32,
    /// All that were taken, and their bytes.
    taken: u32,
    bytes: usize,
}

impl Gathered {
    fn is_full(&self) -> bool {
        self.taken >= MAX_DATAGRAMS || self.bytes + self.request.len() >= MAX_BYTES
    }

    fn add(&mut self, request: &[u8], spans: u32, budget: &Arc<Budget>) -> Result<(), NoRoom> {
        let needed = self.request.len() + request.len();
        match &mut self.room {
            Some(room) => room.grow(needed).map_err(|_refused| NoRoom)?,
            none => *none = Some(Budget::reserve(budget, needed).map_err(|_refused| NoRoom)?),
        }
        self.request.extend_from_slice(request);
        self.datagrams += 1;
        self.spans += spans;
        Ok(())
    }
}
