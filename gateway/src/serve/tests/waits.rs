//! What clients are waited for, and how long.

use axum::routing::post;
use tokio::time::Instant;

use super::*;
use crate::hub::peer::Peer;

#[tokio::test]
async fn a_silent_client_is_closed() {
    let server = start(options(), hello()).await;
    assert_eq!(read_all(&mut server.connect().await).await, "");
    assert_eq!(server.refused(ConnectionRefusal::Silent), 1);
}

#[tokio::test]
async fn a_half_head_is_closed() {
    let server = start(options(), hello()).await;
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

/// The idle time is its own: a head may be slow for less long than a connection
/// may be idle, and a connection that was idle for longer than a head may take
/// is asked again.
#[tokio::test(start_paused = true)]
async fn a_connection_kept_alive_may_be_idle_for_its_own_time() {
    let (almost, idle) = (Duration::from_secs(74), Duration::from_secs(75));
    let options = ServeOptions { keep_alive_timeout: idle, ..options() };
    let server = start(options, hello()).await;
    let mut stream = server.connect().await;
    for _ in 0..3 {
        stream.write_all(GET).await.unwrap();
        assert!(read_some(&mut stream).await.ends_with("hello"));
        tokio::time::advance(almost).await;
    }
    stream.write_all(GET).await.unwrap();
    assert!(read_some(&mut stream).await.ends_with("hello"));
    let asked = Instant::now();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "idle for too long");
    assert!(asked.elapsed() >= idle);
}

/// The time of a head begins with its first byte, on a connection kept alive
/// as well.
#[tokio::test(start_paused = true)]
async fn a_half_head_after_an_answer_is_closed_in_a_heads_time() {
    let server = start(options(), hello()).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    assert!(read_some(&mut stream).await.ends_with("hello"));
    stream.write_all(b"GET / HTTP/1.1\r\nhos").await.unwrap();
    let begun = Instant::now();
    assert_eq!(read_all(&mut stream).await, "");
    assert!(begun.elapsed() < PATIENCE, "{:?}", begun.elapsed());
}

/// Neither the time of a head nor that of idleness runs while a request is
/// answered or its body comes.
#[tokio::test(start_paused = true)]
async fn a_slow_answer_and_a_slow_body_are_no_idleness() {
    let slow = async |body: axum::body::Bytes| {
        tokio::time::sleep(PATIENCE * 3).await;
        body
    };
    let server = start(options(), Router::new().route("/", post(slow))).await;
    let mut stream = server.connect().await;
    stream.write_all(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\na").await.unwrap();
    tokio::time::sleep(PATIENCE * 2).await;
    stream.write_all(b"b").await.unwrap();
    let mut said = vec![0; 4096];
    let count = stream.read(&mut said).await.unwrap();
    let said = String::from_utf8_lossy(&said[..count]);
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("ab"), "{said}");
}

/// `shutdown(SHUT_WR)` says that nothing follows, not that nobody listens.
#[tokio::test]
async fn a_client_that_sends_nothing_more_still_gets_its_answer() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (enter, wait) = (Arc::clone(&entered), Arc::clone(&leave));
    let slow = async move |axum::Extension(peer): axum::Extension<Peer>| {
        enter.notify_one();
        peer.finished.cancelled().await;
        wait.notified().await;
        "done"
    };
    let server =
        start(patient(), Router::new().route("/", get(slow).post(async |body: String| body)));
    let server = server.await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    entered.notified().await;
    stream.shutdown().await.unwrap();
    leave.notify_one();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("done"), "{answer}");

    let mut stream = server.connect().await;
    let post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nbody";
    stream.write_all(post).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("body"), "{answer}");

    let mut stream = server.connect().await;
    stream.write_all(&post[..post.len() - 1]).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = read_all(&mut stream).await;
    assert!(!answer.starts_with("HTTP/1.1 200"), "half a body is none: {answer}");
}

/// The answer is whole when the client has it, not when hyper does: neither
/// the end of what the client sends nor the idle time cuts what is left of it.
#[tokio::test(start_paused = true)]
async fn a_client_that_reads_slowly_gets_the_whole_answer() {
    const LARGE: usize = 64 << 20;
    let large = Router::new().route("/", get(async || vec![0_u8; LARGE]));
    let idle = Duration::from_secs(1);
    let server = start(ServeOptions { keep_alive_timeout: idle, ..patient() }, large).await;
    for sends_nothing_more in [true, false] {
        let mut stream = server.connect().await;
        stream.write_all(GET).await.unwrap();
        if sends_nothing_more {
            stream.shutdown().await.unwrap();
        }
        let (mut got, mut some) = (0, vec![0; 1 << 20]);
        while got < LARGE {
            let count = timeout(PATIENCE, stream.read(&mut some)).await.unwrap();
            let count = count.expect("the connection stands");
            assert!(count > 0, "cut after {got} bytes, half closed: {sends_nothing_more}");
            if got / (8 << 20) < (got + count) / (8 << 20) {
                tokio::time::advance(idle * 2).await;
            }
            got += count;
        }
        assert!(read_all(&mut stream).await.chars().all(|left| left == '\0'));
    }
}

/// Who is refused before the body was read hears it, though it goes on sending:
/// a reset would look like trouble on the way, and have it come again.
#[tokio::test]
async fn a_refusal_outlives_the_body_that_it_is_for() {
    const LARGE: usize = 2 << 20;
    let refuse = async || http::StatusCode::UNAUTHORIZED;
    let server = start(patient(), Router::new().route("/", post(refuse))).await;
    let mut stream = server.connect().await;
    let head = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {LARGE}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 401"));
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "that was all");
    stream.write_all(&vec![0; LARGE]).await.unwrap();
    while server.options.metrics.connections.get() > 0 {
        stream.write_all(&[0; 1024]).await.unwrap_or_default();
        tokio::task::yield_now().await;
    }
}

/// A client that asks and never reads does not keep its place.
#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let large = Router::new().route("/", get(async || vec![0_u8; 64 << 20]));
    let options = ServeOptions { write_timeout: Duration::from_millis(50), ..patient() };
    let server = start(options, large).await;
    let mut stream = server.connect().await;
    stream.write_all(GET).await.unwrap();
    let cut = async {
        while server.options.metrics.connections.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    assert!(read_some(&mut stream).await.starts_with("HTTP/1.1 200"));
    timeout(PATIENCE, cut).await.expect("the connection is cut");
}
