//! The one socket of a child: made before the host is told of it, gone when the process ends.

use std::fs::{self, Permissions};
use std::io;
use std::net::Ipv4Addr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use rustix::fs::Gid;
use tokio::net::{TcpListener, UnixListener};

use super::host::Host;
use crate::app::neighbor::{Address, Connection};

/// The shortest that any system allows (macOS, sun_path of unix(4)).
const MAX_PATH_BYTES: usize = 104;

/// Where a path is short, if anywhere.
const SHORT_FOLDER: &str = "/tmp";

/// Names that are tried in one folder.
const NAMES: usize = 8;

/// Why there is no socket.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// The host wants a group to have it, and it cannot be given.
    #[error("give the socket to the group of PLUGIN_UNIX_SOCKET_GROUP, {group}")]
    Group {
        /// As the host says it.
        group: String,
        /// Why.
        source: io::Error,
    },
    /// Neither a path nor a port.
    #[error(
        "listen for the host: there is no room for a socket, and no port between {least} and {most} is free"
    )]
    Nowhere {
        /// First port tried.
        least: u16,
        /// Last port tried.
        most: u16,
    },
}

/// A socket that listens.
#[derive(Debug)]
pub(super) struct Door {
    listener: Listener,
    address: Address,
}

#[derive(Debug)]
enum Listener {
    Unix(UnixListener),
    Tcp(TcpListener),
}

impl Door {
    /// A socket where the host wants it, or else where there is room, or else a port.
    pub(super) async fn open(host: &Host) -> Result<Self, Error> {
        Self::open_in(&[&host.socket_folder, Path::new(SHORT_FOLDER)], host).await
    }

    async fn open_in(folders: &[&Path], host: &Host) -> Result<Self, Error> {
        for folder in folders {
            match socket(folder) {
                Ok(door) => {
                    door.share(host.socket_group.as_deref())?;
                    return Ok(door);
                }
                Err(error) => tracing::warn!(%error, "no socket can be in {}", folder.display()),
            }
        }
        for port in host.ports.clone() {
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await {
                tracing::warn!(
                    "the host has to come to port {port}, which every user of this machine can reach"
                );
                let address = Address::Tcp((Ipv4Addr::LOCALHOST, port).into());
                return Ok(Self { listener: Listener::Tcp(listener), address });
            }
        }
        Err(Error::Nowhere { least: *host.ports.start(), most: *host.ports.end() })
    }

    /// Where it is.
    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// The next who comes.
    pub(super) async fn accept(&self) -> io::Result<Connection> {
        match &self.listener {
            Listener::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
            Listener::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
        }
    }

    /// Until then it was this user's alone.
    fn share(&self, group: Option<&str>) -> Result<(), Error> {
        let (Some(group), Address::Unix(path)) = (group, &self.address) else { return Ok(()) };
        let shared = group_number(group)
            .and_then(|number| Ok(rustix::fs::chown(path, None, Some(Gid::from_raw(number)))?))
            .and_then(|()| fs::set_permissions(path, Permissions::from_mode(0o660)));
        shared.map_err(|source| Error::Group { group: group.to_owned(), source })
    }
}

impl Drop for Door {
    fn drop(&mut self) {
        if let Address::Unix(path) = &self.address
            && let Err(error) = fs::remove_file(path)
        {
            tracing::debug!(%error, "the socket was gone already");
        }
    }
}

fn socket(folder: &Path) -> io::Result<Door> {
    let mut tries = NAMES;
    loop {
        tries -= 1;
        let path = folder.join(format!("plugin{}", random_letters()?));
        if path.as_os_str().as_bytes().len() > MAX_PATH_BYTES {
            return Err(io::Error::other(format!("a path may have {MAX_PATH_BYTES} bytes")));
        }
        // The host could not read it in the line it gets.
        if path.to_str().is_none_or(|path| path.contains(['|', '\n', '\r'])) {
            return Err(io::Error::other("its name cannot be told to the host"));
        }
        match UnixListener::bind(&path) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries > 0 => {}
            bound => {
                let door = Door { listener: Listener::Unix(bound?), address: Address::Unix(path.clone()) };
                // Whatever the process's mask says.
                fs::set_permissions(&path, Permissions::from_mode(0o600))?;
                return Ok(door);
            }
        }
    }
}

/// A name that nobody else has chosen.
pub(super) fn random_letters() -> io::Result<String> {
    let mut bytes = [0; 5];
    rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// By number, or by its name in the system's own list (group(5)).
fn group_number(group: &str) -> io::Result<u32> {
    if let Ok(number) = group.parse() {
        return Ok(number);
    }
    let groups = fs::read_to_string("/etc/group")?;
    let mut named = groups.lines().filter_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(group)).then(|| fields.nth(1)?.parse().ok())?
    });
    named.next().ok_or_else(|| io::Error::other("/etc/group has no such name"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(folder: &Path, ports: std::ops::RangeInclusive<u16>) -> Host {
        Host { socket_folder: folder.to_owned(), socket_group: None, ports }
    }

    #[tokio::test]
    async fn a_socket_is_its_users_alone_and_gone_with_its_door() {
        let folder = tempfile::tempdir().unwrap();
        let door = Door::open(&host(folder.path(), 1..=1)).await.unwrap();
        let Address::Unix(path) = door.address().clone() else { panic!("{}", door.address()) };
        assert!(path.starts_with(folder.path()), "{}", path.display());
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let (here, there) = tokio::join!(door.address().reach(), door.accept());
        assert!(here.is_ok() && there.is_ok());
        drop(door);
        assert!(!path.exists());
    }

    #[tokio::test]
    async fn a_group_may_use_what_it_is_given() {
        let folder = tempfile::tempdir().unwrap();
        let own = rustix::process::getegid().as_raw().to_string();
        let with = |group: &str| Host { socket_group: Some(group.to_owned()), ..host(folder.path(), 1..=1) };
        let door = Door::open(&with(&own)).await.unwrap();
        let Address::Unix(path) = door.address() else { panic!("{}", door.address()) };
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o660);
        let error = Door::open(&with("nobody-has-this-name")).await.unwrap_err().to_string();
        assert!(error.contains("nobody-has-this-name"), "{error}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "what is not used is not left");
    }

    #[tokio::test]
    async fn a_folder_that_is_too_deep_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(100));
        fs::create_dir(&deep).unwrap();
        let door = Door::open(&host(&deep, 1..=1)).await.unwrap();
        let Address::Unix(path) = door.address() else { panic!("{}", door.address()) };
        assert_eq!(path.parent(), Some(Path::new(SHORT_FOLDER)));
    }

    #[tokio::test]
    async fn where_no_socket_can_be_a_port_of_the_hosts_is_taken() {
        let nowhere = Path::new("/nobody/has/this/folder");
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let port = taken.local_addr().unwrap().port();
        let full = Door::open_in(&[nowhere], &host(nowhere, port..=port)).await.unwrap_err().to_string();
        assert!(full.contains(&format!("between {port} and {port}")), "{full}");
        let door = Door::open_in(&[nowhere], &host(nowhere, port..=u16::MAX)).await.unwrap();
        let Address::Tcp(address) = door.address() else { panic!("{}", door.address()) };
        assert!(address.ip().is_loopback() && address.port() > port, "{address}");
        let (here, there) = tokio::join!(door.address().reach(), door.accept());
        assert!(here.is_ok() && there.is_ok());
    }

    #[test]
    fn a_group_is_known_by_name_and_by_number() {
        assert_eq!(group_number("0").unwrap(), 0);
        assert_eq!(group_number("4711").unwrap(), 4711);
        assert!(group_number("nobody-has-this-name").is_err());
    }
}
