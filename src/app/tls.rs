//! TLS at our own doors: who we are, and whom we let in; and how such a door is known by commands of this program.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, ServerConfig, SignatureScheme,
};

use super::{named_file, watched};
use crate::upstream;

/// What is spoken within, the better first (RFC 7301). Clients of gRPC insist on being told.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// The settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    /// Our certificates in PEM, ours first.
    pub certificate_file: PathBuf,
    /// The key of the first, in PEM.
    pub key_file: PathBuf,
    /// Who must have signed a client's certificate, in PEM; nobody is asked for one where there is none.
    pub client_ca_file: Option<PathBuf>,
    /// Keys of the doors that speak TLS, such as `doors.storage`.
    pub doors: Vec<&'static str>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub(super) enum Error {
    /// Missing, unreadable, or not PEM.
    #[error("read tls.{key} = {}", path.display())]
    Pem { key: &'static str, path: PathBuf, source: pem::Error },
    /// Without a single certificate.
    #[error("read tls.{key} = {}: there is no certificate in it", path.display())]
    Empty { key: &'static str, path: PathBuf },
    /// Certificates or keys that cannot be used.
    #[error("use tls.{key}")]
    Unusable { key: &'static str, source: rustls::Error },
    /// No clients can be told by them.
    #[error("use tls.client_ca_file")]
    Clients(#[from] VerifierBuilderError),
}

/// What connections are taken with: the files as they were when they were last good.
#[derive(Debug)]
pub(super) struct Identity(RwLock<Arc<ServerConfig>>);

impl Identity {
    /// For a connection that begins now.
    pub(super) fn now(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.0.read())
    }
}

impl Tls {
    /// Reads the files for the first time.
    pub(super) fn identity(&self) -> Result<Arc<Identity>, Error> {
        Ok(Arc::new(Identity(RwLock::new(self.server()?))))
    }

    /// Reads them again whenever they change; never ends. Files that cannot be used change nothing: a certificate and its
    /// key are rarely replaced in one moment.
    pub(super) async fn keep(self, identity: Arc<Identity>) {
        let files =
            [Some(self.certificate_file.clone()), Some(self.key_file.clone()), self.client_ca_file.clone()];
        let mut is_first = true;
        let read_again = || {
            let is_change = !std::mem::take(&mut is_first);
            match self.server() {
                Ok(config) => {
                    *identity.0.write() = config;
                    if is_change {
                        tracing::info!("connections are taken with the certificate as it is now");
                    }
                }
                Err(error) => tracing::warn!(
                    error = &error as &(dyn std::error::Error + 'static),
                    "the changed files of [tls] cannot be used; connections are taken as before"
                ),
            }
        };
        watched::watch(files.into_iter().flatten().collect(), read_again).await;
    }

    /// Reads the files.
    pub(super) fn server(&self) -> Result<Arc<ServerConfig>, Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|source| Error::Unusable { key: "certificate_file", source })?;
        let builder = match &self.client_ca_file {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                for certificate in certificates("client_ca_file", path)? {
                    let unusable = |source| Error::Unusable { key: "client_ca_file", source };
                    roots.add(certificate).map_err(unusable)?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let chain = certificates("certificate_file", &self.certificate_file)?;
        let failed = |source| Error::Pem { key: "key_file", path: self.key_file.clone(), source };
        let file = named_file::open(&self.key_file).map_err(pem::Error::Io).map_err(failed)?;
        let key = PrivateKeyDer::from_pem_reader(file).map_err(failed)?;
        // That the two belong together is looked at here.
        let mut config = builder
            .with_single_cert(chain, key)
            .map_err(|source| Error::Unusable { key: "certificate_file and tls.key_file", source })?;
        config.alpn_protocols = PROTOCOLS.map(<[u8]>::to_vec).to_vec();
        Ok(Arc::new(config))
    }
}

/// For a client on this machine that trusts whom the machine trusts, and beside them a server that shows a certificate of
/// these settings: under whatever name it was asked, since who can write that file is who has set the server up.
pub(super) fn trusting(server: Option<&Tls>) -> Result<ClientConfig, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let pinned = server.map(|tls| certificates("certificate_file", &tls.certificate_file)).transpose()?;
    let roots = Arc::new(upstream::machine_roots());
    // A machine without any trusts nobody.
    let by_name = WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider)).build().ok();
    let known = Known { pinned: pinned.unwrap_or_default(), by_name, provider: Arc::clone(&provider) };
    let unusable = |source| Error::Unusable { key: "certificate_file", source };
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.map_err(unusable)?.dangerous().with_custom_certificate_verifier(Arc::new(known));
    Ok(builder.with_no_client_auth())
}

/// Servers that are known by their certificate, and others by their name.
#[derive(Debug)]
struct Known {
    pinned: Vec<CertificateDer<'static>>,
    by_name: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        shown: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.pinned.contains(shown) {
            return Ok(ServerCertVerified::assertion());
        }
        let unknown = || rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        let by_name = self.by_name.as_ref().ok_or_else(unknown)?;
        by_name.verify_server_cert(shown, intermediates, name, ocsp, now)
    }

    /// That it has the certificate's key is asked of everybody.
    fn verify_tls12_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, shown, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |source| Error::Pem { key, path: path.to_owned(), source };
    let file = named_file::open(path).map_err(pem::Error::Io).map_err(failed)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(file).collect();
    let certificates = certificates.map_err(failed)?;
    if certificates.is_empty() {
        return Err(Error::Empty { key, path: path.to_owned() });
    }
    Ok(certificates)
}
