//! `[tls]`: the doors that are opened with a certificate.

use super::{Error, Reader};
use crate::app::tls::Tls;

/// The doors that can speak TLS, as they are named in `tls.doors`, and their keys: those of Jaeger's own programs, which
/// are told whom to trust.
const DOORS: [(&str, &str); 3] =
    [("storage", "doors.storage"), ("archive", "doors.archive"), ("query", "doors.query")];

/// `None` without a certificate; everything else is checked all the same.
pub(super) fn read(read: &Reader<'_>) -> Result<Option<Tls>, Error> {
    let wrong = || read.wrong("tls.doors", "write some of storage, archive, query");
    let key_of = |name: &String| DOORS.iter().find(|(known, _)| known == name).map(|(_, key)| *key);
    let named = read.texts("tls.doors")?;
    let doors = named.iter().map(key_of).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
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
