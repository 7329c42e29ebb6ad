//! TLS to the other server: what is trusted, who we are, and which failures are TLS'.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem};
use rustls::{ClientConfig, RootCertStore};

use super::Settings;

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "each message says what its fields are")]
pub enum TlsError {
    /// Missing, unreadable, or not PEM.
    #[error("read upstream.{key} = {}", path.display())]
    Pem { key: &'static str, path: PathBuf, source: pem::Error },
    /// Without a single certificate.
    #[error("read upstream.{key} = {}: there is no certificate in it", path.display())]
    Empty { key: &'static str, path: PathBuf },
    /// Unusable certificates or keys.
    #[error("use upstream.{key}")]
    Unusable { key: &'static str, source: rustls::Error },
    /// A machine without certificates, as in a bare container.
    #[error(
        "find the certificates that this machine trusts: there are none; give some with upstream.ca_file"
    )]
    NoRoots,
}

/// Verifying always, with ring and nothing else.
pub(super) fn config(settings: &Settings) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let roots = if settings.endpoint.is_encrypted() {
        roots(settings.ca_file.as_deref())?
    } else {
        RootCertStore::empty()
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|source| TlsError::Unusable { key: "endpoint", source })?
        .with_root_certificates(roots);
    let Some((certificate, key)) = &settings.identity else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates("certificate_file", certificate)?;
    let failed = |source| TlsError::Pem { key: "key_file", path: key.clone(), source };
    let key = PrivateKeyDer::from_pem_file(key).map_err(failed)?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|source| TlsError::Unusable { key: "certificate_file", source })
}

fn roots(file: Option<&Path>) -> Result<RootCertStore, TlsError> {
    if let Some(path) = file {
        let mut roots = RootCertStore::empty();
        for certificate in certificates("ca_file", path)? {
            roots.add(certificate).map_err(|source| TlsError::Unusable { key: "ca_file", source })?;
        }
        return Ok(roots);
    }
    let roots = machine_roots();
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}

/// The certificates that this machine trusts; a bare container has none.
pub fn machine_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::debug!(%error, "some of this machine's certificates could not be read");
    }
    // Machines carry oddities among hundreds of good ones.
    let (_added, _odd) = roots.add_parsable_certificates(found.certs);
    roots
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |source| TlsError::Pem { key, path: path.to_owned(), source };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(failed)?.collect();
    let certificates = certificates.map_err(failed)?;
    if certificates.is_empty() {
        return Err(TlsError::Empty { key, path: path.to_owned() });
    }
    Ok(certificates)
}

/// TLS' own failure among the causes of a failed call.
pub fn failure<'a>(error: &'a (dyn StdError + 'static)) -> Option<&'a rustls::Error> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(failure) = error.downcast_ref() {
            return Some(failure);
        }
        // An I/O error around another one names that one's cause as its own, and not the one itself.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        cause = match inner {
            Some(inner) => Some(inner),
            None => error.source(),
        };
    }
    None
}
