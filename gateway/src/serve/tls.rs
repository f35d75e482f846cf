//! TLS: certificate and key from files, read again on SIGHUP.
//!
//! A pair that cannot be used never replaces one that can: connections go on
//! with the old one, and the log says so.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// PEM files.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// The pair in force.
pub(crate) struct Tls {
    files: TlsFiles,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(crate) async fn load(files: TlsFiles) -> anyhow::Result<Self> {
        let current = RwLock::new(Arc::new(read(&files).await?));
        Ok(Self { files, current })
    }

    /// Reads the files again; new connections use what they hold.
    pub(crate) async fn reload(&self) {
        match read(&self.files).await {
            Ok(config) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                tracing::info!("read the certificate again");
            }
            Err(error) => tracing::error!(
                error = format!("{error:#}"),
                "the new certificate cannot be used; the old one stays in force"
            ),
        }
    }

    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

async fn read(files: &TlsFiles) -> anyhow::Result<ServerConfig> {
    let cert = &files.cert;
    let pem = tokio::fs::read(cert).await.with_context(|| cannot_read(cert))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} is not PEM", cert.display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", cert.display());
    let path = &files.key;
    let pem = tokio::fs::read(path).await.with_context(|| cannot_read(path))?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .with_context(|| format!("{} holds no private key", path.display()))?;
    // Named, so that it does not matter which provider the process installed.
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .context("certificate and key cannot be used together")?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn cannot_read(path: &Path) -> String {
    format!("cannot read {}", path.display())
}
