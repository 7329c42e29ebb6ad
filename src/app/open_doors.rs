//! Doors that others than this machine can reach though they lack what would keep strangers out: said in words, at the
//! start and on the page.

use std::net::SocketAddr;

use super::Listed;

/// Whether a door is open in one way.
type Lacks = fn(&Listed) -> bool;

/// What doors lack, in the order in which it is said.
const LACKS: [(Lacks, &str); 3] = [
    (
        |door| !door.asks_who && !door.is_encrypted(),
        "nobody is asked who they are ([tokens]) and nothing is encrypted ([tls])",
    ),
    (|door| !door.asks_who && door.is_encrypted(), "nobody is asked who they are ([tokens])"),
    (|door| door.asks_who && !door.is_encrypted(), "nothing is encrypted ([tls])"),
];

/// A sentence for each way in which doors are open; none where no door is.
pub(super) fn sentences(doors: &[Listed]) -> Vec<String> {
    let (datagrams, streams): (Vec<_>, Vec<_>) =
        doors.iter().filter(|door| others_reach(door)).partition(|door| door.is_for_datagrams());
    let sentence = |(lacks, what): (Lacks, &str)| {
        let mut names: Vec<_> = streams.iter().filter(|door| lacks(door)).map(|door| door.name).collect();
        // OTLP has two doors, side by side.
        names.dedup();
        let names = names.join(", ");
        (!names.is_empty()).then(|| format!("Others than this machine can reach {names}: {what}"))
    };
    LACKS.into_iter().filter_map(sentence).chain(for_datagrams(&datagrams)).collect()
}

fn others_reach(door: &Listed) -> bool {
    door.addresses.iter().any(|address| !is_of_this_machine(address))
}

fn is_of_this_machine(address: &SocketAddr) -> bool {
    address.ip().to_canonical().is_loopback()
}

/// Nothing would change these but another address.
fn for_datagrams(doors: &[&Listed]) -> Option<String> {
    let ports = doors.iter().filter_map(|door| Some(door.addresses.first()?.port().to_string()));
    let ports: Vec<_> = ports.collect();
    if ports.is_empty() {
        return None;
    }
    Some(format!(
        "Others than this machine can send to the agent (UDP {}): nobody is asked who they are and nothing is encrypted, \
         which over UDP cannot be had",
        ports.join(", ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(name: &'static str, address: &str, scheme: &'static str, asks_who: bool) -> Listed {
        Listed { name, scheme, addresses: vec![address.parse().unwrap()], asks_who }
    }

    #[test]
    fn doors_of_this_machine_are_not_mentioned() {
        let doors = [
            door("OTLP", "127.0.0.1:4317", "http", false),
            door("Zipkin", "[::1]:9411", "http", false),
            door("sampling", "[::ffff:127.0.0.1]:5778", "http", false),
            door("agent, compact", "127.0.0.1:6831", "udp", false),
        ];
        assert_eq!(sentences(&doors), [""; 0]);
    }

    #[test]
    fn each_lack_is_said_once_with_the_doors_that_have_it() {
        let doors = [
            door("OTLP", "0.0.0.0:4317", "http", false),
            door("OTLP", "0.0.0.0:4318", "http", false),
            door("Jaeger thrift", "127.0.0.1:14268", "http", false),
            door("Jaeger gRPC", "10.0.0.1:14250", "https", false),
            door("Zipkin", "[::]:9411", "http", true),
            door("agent, compact", "0.0.0.0:6831", "udp", false),
            door("agent, binary", "127.0.0.1:6832", "udp", false),
            door("agent, old Zipkin", "0.0.0.0:5775", "udp", false),
            door("Jaeger storage", "[2001:db8::1]:17271", "https", true),
            door("page and query API", "192.168.1.2:16686", "http", false),
        ];
        let expected = [
            "Others than this machine can reach OTLP, page and query API: \
             nobody is asked who they are ([tokens]) and nothing is encrypted ([tls])",
            "Others than this machine can reach Jaeger gRPC: nobody is asked who they are ([tokens])",
            "Others than this machine can reach Zipkin: nothing is encrypted ([tls])",
            "Others than this machine can send to the agent (UDP 6831, 5775): \
             nobody is asked who they are and nothing is encrypted, which over UDP cannot be had",
        ];
        assert_eq!(sentences(&doors), expected);
    }
}
