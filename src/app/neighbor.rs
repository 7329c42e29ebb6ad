//! Another process of this program that has the data folder: where its storage can be asked, as it wrote it there itself.

use std::fmt::{self, Display};
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use rustix::process::Pid;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};

/// The file in the data folder.
const FILE_NAME: &str = "storage.address";

/// Its name while it is written.
const UNFINISHED: &str = "storage.address.new";

/// Where Jaeger's storage is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Address {
    /// A socket's path.
    Unix(PathBuf),
    /// A port.
    Tcp(SocketAddr),
}

/// Bytes to and from a peer.
pub(super) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// Either kind of stream.
pub(super) type Connection = Box<dyn Duplex>;

impl Address {
    /// The network, and the place in it.
    pub(super) fn parts(&self) -> (&'static str, String) {
        match self {
            Self::Unix(path) => ("unix", path.display().to_string()),
            Self::Tcp(address) => ("tcp", address.to_string()),
        }
    }

    fn read(network: &str, place: &str) -> Option<Self> {
        match network {
            "unix" => Some(Self::Unix(place.into())),
            "tcp" => place.parse().ok().map(Self::Tcp),
            _ => None,
        }
    }

    /// Connects to who listens there. Another user's socket is not that process: a path that is free is anybody's.
    pub(super) async fn reach(&self) -> io::Result<Connection> {
        match self {
            Self::Unix(path) => {
                let stream = UnixStream::connect(path).await?;
                let peer = stream.peer_cred()?.uid();
                if peer != rustix::process::geteuid().as_raw() && peer != 0 {
                    return Err(io::Error::other("the socket is another user's"));
                }
                Ok(Box::new(stream))
            }
            Self::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }
}

impl Display for Address {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (network, place) = self.parts();
        write!(formatter, "{network} {place}")
    }
}

/// What a process is that has the folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// It was started for itself, and will be again.
    Server,
    /// It is a host's child, and not there without one.
    Child,
}

impl Kind {
    const ALL: [Self; 2] = [Self::Server, Self::Child];

    fn name(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Child => "child",
        }
    }
}

/// Who has the folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Neighbor {
    /// What it is.
    pub kind: Kind,
    /// Where it is asked.
    pub address: Address,
}

impl Neighbor {
    /// Writes where this process can be asked, in one step.
    pub(super) fn announce(&self, folder: &Path) -> io::Result<()> {
        let line = format!("{} {} {}\n", self.kind.name(), std::process::id(), self.address);
        fs::write(folder.join(UNFINISHED), line)?;
        fs::rename(folder.join(UNFINISHED), folder.join(FILE_NAME))
    }

    /// What the last one wrote there, if that one still runs.
    pub(super) fn of(folder: &Path) -> Option<Self> {
        let line = fs::read_to_string(folder.join(FILE_NAME)).ok()?;
        let mut words = line.trim_end_matches('\n').splitn(4, ' ');
        let (kind, process) = (words.next()?, words.next()?.parse().ok()?);
        let address = Address::read(words.next()?, words.next()?)?;
        let kind = Kind::ALL.into_iter().find(|known| known.name() == kind)?;
        // Its port may be somebody else's by now.
        rustix::process::test_kill_process(Pid::from_raw(process)?).is_ok().then_some(Self { kind, address })
    }

    /// Nobody can be asked any more; harmless where nobody could.
    pub(super) fn forget(folder: &Path) {
        let _not_there = fs::remove_file(folder.join(FILE_NAME));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_runs_is_found_as_announced() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Neighbor::of(folder.path()), None);
        for (kind, address) in [
            (Kind::Child, Address::Unix("/tmp/plugin of mine".into())),
            (Kind::Server, Address::Tcp("127.0.0.1:17271".parse().unwrap())),
            (Kind::Server, Address::Tcp("[::1]:9".parse().unwrap())),
        ] {
            let neighbor = Neighbor { kind, address };
            neighbor.announce(folder.path()).unwrap();
            assert_eq!(Neighbor::of(folder.path()), Some(neighbor));
        }
        Neighbor::forget(folder.path());
        assert_eq!(Neighbor::of(folder.path()), None);
    }

    #[test]
    fn the_dead_and_the_unreadable_are_nobody() {
        let folder = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let dead = child.id();
        child.wait().unwrap();
        let alive = std::process::id();
        for line in [
            format!("server {dead} tcp 127.0.0.1:17271\n"),
            format!("server {alive} tcp localhost:17271\n"),
            format!("friend {alive} tcp 127.0.0.1:17271\n"),
            format!("server {alive}\n"),
            "server 0 tcp 127.0.0.1:1\n".to_owned(),
            String::new(),
        ] {
            fs::write(folder.path().join(FILE_NAME), &line).unwrap();
            assert_eq!(Neighbor::of(folder.path()), None, "{line}");
        }
    }
}
