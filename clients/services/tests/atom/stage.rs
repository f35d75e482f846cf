//! A server on loopback that answers with prepared bytes, and a client of it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tidegate_clock::Clock;
use tidegate_protocol::time::Timestamp;
use tidegate_services::atom::contract::Contract;
use tidegate_services::atom::{Atom, AtomOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Long enough for a busy machine, short enough for tests of time-outs.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(crate) const TOKEN: &str = "at_saas_secret-token";

/// What a connection is answered with, before it is closed.
#[derive(Clone)]
pub(crate) enum Answer {
    Bytes(Vec<u8>),
    /// These bytes, and then nothing, for ever.
    Hang(Vec<u8>),
}

/// An answer with a body, and lines of the head besides.
pub(crate) fn answer(status: &str, head: &str, body: &str) -> Answer {
    let length = body.len();
    let text = format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {length}\r\n{head}\r\n{body}"
    );
    Answer::Bytes(text.into_bytes())
}

/// A success with a body of JSON.
pub(crate) fn json(body: &str) -> Answer {
    answer("200 OK", "content-type: application/json\r\n", body)
}

/// A server of prepared answers, one per connection; the last one stays. Ends
/// when it is dropped.
pub(crate) struct Stage {
    base_url: String,
    requests: Arc<Mutex<Vec<String>>>,
    _server: JoinSet<()>,
}

impl Stage {
    pub(crate) async fn new(answers: impl Into<Vec<Answer>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}/base", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let mut server = JoinSet::new();
        server.spawn(serve(listener, answers.into(), Arc::clone(&requests)));
        Self { base_url, requests, _server: server }
    }

    /// A client of contract B.
    pub(crate) fn atom(&self) -> Atom {
        self.client(Contract::B, TIMEOUT)
    }

    pub(crate) fn client(&self, contract: Contract, timeout: Duration) -> Atom {
        let socket = self.base_url.replacen("http", "ws", 1);
        client(contract, &self.base_url, Some(&socket), timeout)
    }

    /// What the paths of clients follow.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// The requests so far, heads in lower case but for the first line.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

pub(crate) fn client(
    contract: Contract,
    base_url: &str,
    ws_url: Option<&str>,
    timeout: Duration,
) -> Atom {
    let options = AtomOptions {
        contract,
        base_url: base_url.parse().unwrap(),
        ws_url: ws_url.map(|url| url.parse().unwrap()),
        token: TOKEN.to_owned(),
        instance_id: Some("instance-1".to_owned()),
        timeout,
        clock: Clock::standing(Timestamp::default()).0,
    };
    Atom::new(options).unwrap()
}

async fn serve(listener: TcpListener, answers: Vec<Answer>, requests: Arc<Mutex<Vec<String>>>) {
    let mut answers = answers.into_iter().peekable();
    let mut hanging = Vec::new();
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let request = read_request(&mut stream).await;
        requests.lock().unwrap().push(request);
        let next = answers.next().unwrap();
        if answers.peek().is_none() {
            answers = vec![next.clone()].into_iter().peekable();
        }
        // A client that has read enough may be gone.
        match next {
            Answer::Bytes(bytes) => drop(stream.write_all(&bytes).await),
            Answer::Hang(bytes) => {
                drop(stream.write_all(&bytes).await);
                hanging.push(stream);
            }
        }
    }
}

async fn read_request(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (line, fields) = head.split_once("\r\n").unwrap_or((head, ""));
            let fields = fields.to_ascii_lowercase();
            let length = fields.lines().find_map(|field| field.strip_prefix("content-length: "));
            if body.len() >= length.map_or(0, |length| length.parse().unwrap()) {
                return format!("{line}\n{fields}\n\n{body}").replace('\r', "");
            }
        }
        let read = stream.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "the client ended in the middle of a request");
    }
}
