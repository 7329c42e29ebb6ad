//! What the system keeps of datagrams until they are taken, and what it dropped because that was full.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;

use rustix::net::sockopt::{set_socket_recv_buffer_size, socket_recv_buffer_size};
use tokio::net::UdpSocket;

/// Bytes asked for; a system gives as many as it allows.
const WANTED_BYTES: usize = 8 << 20;

/// The tables of sockets that are read at most: some hundred bytes for each of all that the machine has open.
const MAX_TABLE_BYTES: u64 = 16 << 20;

/// Makes room for what comes while nobody reads.
pub(super) fn make_room(socket: &UdpSocket) {
    let address = socket.local_addr().ok();
    if let Err(error) = set_socket_recv_buffer_size(socket, WANTED_BYTES) {
        tracing::debug!(%error, ?address, "the system's own room for datagrams is used");
    }
    match socket_recv_buffer_size(socket) {
        Ok(bytes) => tracing::debug!(bytes, ?address, "room for datagrams"),
        Err(error) => tracing::debug!(%error, ?address, "how much room there is for datagrams is not known"),
    }
}

/// What the system calls a socket.
pub(super) fn inode(socket: &UdpSocket) -> Option<u64> {
    rustix::fs::fstat(socket).ok().map(|socket| socket.st_ino)
}

/// Datagrams dropped since each socket was opened, by the socket's inode. Empty elsewhere than on Linux (proc(5),
/// `/proc/net/udp`).
pub(super) fn drops() -> HashMap<u64, u64> {
    let tables = ["/proc/self/net/udp", "/proc/self/net/udp6"];
    tables.into_iter().filter_map(table).flat_map(|table| rows(&table).collect::<Vec<_>>()).collect()
}

fn table(path: &str) -> Option<String> {
    let mut text = String::new();
    File::open(path).ok()?.take(MAX_TABLE_BYTES).read_to_string(&mut text).ok()?;
    Some(text)
}

/// The inode is the tenth column, the drops are the thirteenth and last.
fn rows(table: &str) -> impl Iterator<Item = (u64, u64)> {
    table.lines().skip(1).filter_map(|row| {
        let mut columns = row.split_ascii_whitespace().skip(9);
        let (inode, drops) = (columns.next()?, columns.nth(2)?);
        Some((inode.parse().ok()?, drops.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_are_found_by_the_inode_of_their_socket() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            \x20 311: 0100007F:1AAF 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 3104532 2 ffff8881 17\n\
            \x20 402: 00000000:14E9 00000000:0000 07 00000000:00000A00 00:00000000 00000000   104        0 20911 2 ffff8882 0\n\
            a row that is none\n";
        assert_eq!(rows(table).collect::<Vec<_>>(), [(3_104_532, 17), (20_911, 0)]);
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn every_socket_of_ours_is_in_the_tables() {
        for address in ["127.0.0.1:0", "[::1]:0"] {
            let Ok(socket) = UdpSocket::bind(address).await else { continue };
            make_room(&socket);
            let inode = inode(&socket).unwrap();
            assert_eq!(drops().get(&inode), Some(&0), "{address}");
        }
    }
}
