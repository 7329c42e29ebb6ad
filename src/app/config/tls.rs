//! `[tls]`: the doors that are opened with a certificate.

use super::{Error, Reader};
use crate::app::tls::Tls;

/// The doors that can speak TLS, by their keys: all that take connections.
const DOORS: [&str; 12] = [
    "doors.otlp_grpc",
    "doors.otlp_http",
    "doors.jaeger_grpc",
    "doors.jaeger_http",
    "doors.sampling_http",
    "doors.sampling_grpc",
    "doors.zipkin",
    "doors.storage",
    "doors.archive",
    "doors.query",
    "doors.ui",
    "doors.admin",
];

/// Instead of naming them.
const ALL: &str = "all";

/// `None` without a certificate; everything else is checked all the same.
pub(super) fn read(read: &Reader<'_>) -> Result<Option<Tls>, Error> {
    let doors = doors(read)?;
    let client_ca_file = read.file("tls.client_ca_file")?;
    let identity = read.identity("tls.certificate_file", "tls.key_file")?;
    let Some((certificate_file, key_file)) = identity else {
        if client_ca_file.is_some() {
            let why = "name a certificate and a key too, with tls.certificate_file and tls.key_file";
            return Err(read.wrong("tls.client_ca_file", why));
        }
        return Ok(None);
    };
    if doors.is_empty() {
        return Err(read.wrong("tls.doors", "name the doors that the certificate is for, or no certificate"));
    }
    Ok(Some(Tls { certificate_file, key_file, client_ca_file, doors }))
}

fn doors(read: &Reader<'_>) -> Result<Vec<&'static str>, Error> {
    let named = read.texts("tls.doors")?;
    if named == [ALL] {
        return Ok(DOORS.to_vec());
    }
    let name_of = |key: &'static str| key.strip_prefix("doors.").unwrap_or(key);
    let key_of = |name: &String| DOORS.into_iter().find(|key| name_of(key) == name);
    named.iter().map(key_of).collect::<Option<Vec<_>>>().ok_or_else(|| {
        let known: Vec<_> = DOORS.into_iter().map(name_of).collect();
        read.wrong("tls.doors", format!("write \"{ALL}\", or some of {}", known.join(", ")))
    })
}
