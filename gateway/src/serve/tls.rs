//! TLS: certificate and key from files, read again on SIGHUP.
//!
//! A pair that cannot be used never replaces one that can: connections go on
//! with the old one, and the log says so.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};

use anyhow::Context as _;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::signal::unix::Signal;
use tokio_rustls::TlsAcceptor;

use crate::file::SmallFile;

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
    cert: SmallFile,
    key: SmallFile,
    current: RwLock<Arc<ServerConfig>>,
}

impl Tls {
    pub(crate) async fn load(files: TlsFiles) -> anyhow::Result<Self> {
        let (cert, key) = (SmallFile::new(files.cert), SmallFile::new(files.key));
        let current = RwLock::new(Arc::new(read(&cert, &key).await?));
        Ok(Self { cert, key, current })
    }

    /// Reads the files again at every signal; never returns while signals may
    /// come. Those that come while the files are read are one.
    pub(crate) async fn reload_at(&self, mut hangups: Signal) {
        while hangups.recv().await.is_some() {
            self.reload().await;
        }
    }

    /// Reads the files again; new connections use what they hold.
    pub(crate) async fn reload(&self) {
        match read(&self.cert, &self.key).await {
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

async fn read(cert: &SmallFile, key: &SmallFile) -> anyhow::Result<ServerConfig> {
    let pem = cert.read().await?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .with_context(|| format!("{} is not PEM", cert.path().display()))?;
    anyhow::ensure!(!chain.is_empty(), "{} holds no certificate", cert.path().display());
    let pem = key.read().await?;
    let key = PrivateKeyDer::from_pem_slice(&pem)
        .with_context(|| format!("{} holds no private key", key.path().display()))?;
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
