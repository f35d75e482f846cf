//! A device that polls: the gateway's own code, up to the answer, and a network
//! that may lose that.

use std::time::Duration;

use rand::Rng as _;
use rand::rngs::StdRng;
use tidegate::transport::poll::{self, PollCursor, PollRequest, Position};
use tidegate_protocol::server::Verdict;
use tokio_util::sync::CancellationToken;

use crate::simulation::client::Mismatch;
use crate::simulation::connection::{Device, market, news};
use crate::simulation::node::Node;

impl Device {
    /// Asks once; whether it has everything that there is.
    pub(super) async fn poll(&mut self, node: &Node, rng: &mut StdRng) -> bool {
        if self.session.take().is_some() || self.polled.is_none() {
            self.client.begin();
            self.polled = None;
            // A token that ended meanwhile is known again.
            node.ingest.register(self.registration(false)).await.unwrap();
        }
        let position = match &self.polled {
            Some(cursor) => Position::Opaque(PollCursor::decode(cursor).unwrap()),
            None => Position::Cursors(self.client.cursors()),
        };
        let request = PollRequest {
            user_id: self.user.clone(),
            device_id: self.id.clone(),
            wait: Duration::ZERO,
            limit: rng.random_range(1..10),
            subscribe: vec![news(), market()],
            position,
            finished: CancellationToken::new(),
        };
        let answer = poll::poll(&node.state, request).await.unwrap();
        if rng.random_bool(0.2) {
            // Lost on its way: the next poll asks for the same.
            return false;
        }
        for (stream, status) in &answer.streams {
            if status.verdict == Verdict::Reset {
                self.client.reset(stream);
            }
        }
        for frame in &answer.frames {
            if let Err(Mismatch(stream)) = self.client.take(frame.get()) {
                self.client.forget(&stream);
                self.polled = None;
                return false;
            }
        }
        self.polled = Some(answer.cursor);
        !answer.more
    }
}
