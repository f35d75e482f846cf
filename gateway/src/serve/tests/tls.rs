//! TLS: requests, silence, and certificates that change.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// A new certificate in the folder; the client trusts exactly this one.
fn issue(dir: &Path) -> (TlsFiles, CertificateDer<'static>) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
    std::fs::write(&files.cert, made.cert.pem()).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, made.cert.der().clone())
}

async fn handshake<S>(stream: S, trusted: &CertificateDer<'static>) -> std::io::Result<TlsStream<S>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await
}

#[tokio::test]
async fn requests_are_answered_and_silence_is_closed() {
    let dir = tempfile::tempdir().unwrap();
    let (files, trusted) = issue(dir.path());
    let server = start(ServeOptions { tls: Some(files), ..options() }, hello()).await;

    let mut stream = handshake(server.connect().await, &trusted).await.unwrap();
    stream.write_all(GET).await.unwrap();
    assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 200"));

    assert_eq!(read_all(&mut server.connect().await).await, "", "silent before the handshake");
    let mut silent = handshake(server.connect().await, &trusted).await.unwrap();
    assert_eq!(read_all(&mut silent).await, "", "silent after it");
    assert_eq!(server.refused(ConnectionRefusal::Silent), 2);

    let mut half = server.connect().await;
    half.write_all(&[22, 3, 1]).await.unwrap();
    assert_eq!(read_all(&mut half).await, "", "stuck in the handshake");
    let mut plain = server.connect().await;
    plain.write_all(GET).await.unwrap();
    read_all(&mut plain).await;
    assert_eq!(server.refused(ConnectionRefusal::Tls), 2);
}

#[tokio::test]
async fn a_new_certificate_is_used_and_a_bad_one_is_not() {
    let dir = tempfile::tempdir().unwrap();
    let (files, old) = issue(dir.path());
    let tls = Some(Tls::load(files.clone()).await.unwrap());
    let server = Server::new(hello(), tls, options(), CancellationToken::new());
    let accepts = async |trusted: &CertificateDer<'static>| {
        let (client, peer) = tokio::io::duplex(16 * 1024);
        let acceptor = server.tls.as_ref().unwrap().acceptor();
        let _accepting = TaskTracker::new().spawn(async move {
            let _ = acceptor.accept(peer).await;
        });
        handshake(client, trusted).await.is_ok()
    };
    assert!(accepts(&old).await);

    std::fs::write(&files.key, "no key").unwrap();
    let reload = async || server.tls.as_ref().unwrap().reload().await;
    reload().await;
    assert!(accepts(&old).await, "not PEM");

    let (_, new) = issue(dir.path());
    let certificate = std::fs::read(&files.cert).unwrap();
    let (_, newer) = issue(dir.path());
    std::fs::write(&files.cert, certificate).unwrap();
    reload().await;
    assert!(accepts(&old).await, "the key of another certificate");
    assert!(!accepts(&new).await);

    let (_, newest) = issue(dir.path());
    reload().await;
    assert!(accepts(&newest).await);
    assert!(!accepts(&old).await && !accepts(&newer).await);
}

#[tokio::test]
async fn files_that_cannot_be_read_stop_the_start() {
    let files = TlsFiles { cert: "/nowhere/cert.pem".into(), key: "/nowhere/key.pem".into() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = ServeOptions { tls: Some(files), ..options() };
    let failed = serve(listener, hello(), options, CancellationToken::new()).await.unwrap_err();
    assert!(failed.to_string().contains("/nowhere/cert.pem"));
}

/// Whatever stands where the certificate was: a named pipe would hold whoever
/// opens it until somebody writes.
#[tokio::test]
async fn a_certificate_that_does_not_answer_stops_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (files, trusted) = issue(dir.path());
    let server = start(ServeOptions { tls: Some(files.clone()), ..patient() }, hello()).await;
    // The server listens for the signal: it would end this process otherwise.
    handshake(server.connect().await, &trusted).await.unwrap();
    std::fs::remove_file(&files.cert).unwrap();
    let pipe = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &files.cert, pipe.0, pipe.1, 0).unwrap();
    for _ in 0..3 {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::HUP)
            .unwrap();
        let asking = async {
            let mut stream = handshake(server.connect().await, &trusted).await.unwrap();
            stream.write_all(GET).await.unwrap();
            assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 200"));
        };
        timeout(PATIENCE, asking).await.expect("connections are accepted");
    }
    server.shutdown.cancel();
    server.ended().await;
}
