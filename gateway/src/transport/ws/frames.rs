//! What a live session does with each frame of its client.

use std::collections::VecDeque;

use tidegate_protocol::client::{
    self, Ack, ClientFrame, ClientMessage, ParseError, Results, Subscribe,
};
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::command::Channel;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::id::{Seq, StreamName};
use tidegate_protocol::limits::{RESULT_ERROR_BYTES, RESULTS_PER_FRAME};
use tidegate_protocol::server::{
    AuthOk, ResultsOk, ServerMessage, StreamStatus, StreamStatuses, Streams, Verdict,
};

use crate::auth::{AuthError, Claims};
use crate::error::{ApiError, ApiResult};
use crate::ingest::commands::Report;
use crate::journal::Attempt;
use crate::metrics::label::FrameIn;
use crate::session::stream::Head as _;
use crate::session::verdict::Beginning;
use crate::store::head::Heads;
use crate::transport::open::{self, Wanted};
use crate::transport::ws::end::End;
use crate::transport::ws::hello;
use crate::transport::ws::live::Live;
use crate::transport::ws::work::{Done, Next, Opening, Parsed, Reference};

impl Live {
    /// Takes a frame, or lets it wait for its turn; one that is still to be
    /// acted on. Acks never wait: they have no answer, and open the window.
    pub(super) fn frame(&mut self, text: &str) -> Result<Option<Box<Parsed>>, End> {
        let parsed = client::parse(text);
        let kind = parsed.as_ref().map_or(FrameIn::Invalid, |frame| FrameIn::from(&frame.body));
        self.state.metrics.frames_received.of(kind).inc();
        match parsed {
            Ok(ClientFrame { body: ClientMessage::Ack(ack), .. }) => self.ack(ack).map(|()| None),
            Ok(ClientFrame { body: ClientMessage::Pong, .. }) => Ok(None),
            other if self.work.is_busy() => {
                self.work.wait(Box::new(other), text.len());
                Ok(None)
            }
            other => Ok(Some(Box::new(other))),
        }
    }

    /// Acts on a frame whose turn it is, or answers the one in hand.
    pub(super) async fn go_on(&mut self, next: Next) -> Result<(), End> {
        match next {
            Next::Act(frame) => self.act(*frame).await,
            Next::Answer(Done::Reported(reported), reference) => match reported {
                Ok(ok) => self.answer(&ServerMessage::ResultsOk(ok), reference).await,
                Err(error) => self.refuse(&error, reference).await,
            },
            Next::Answer(Done::Ensured(opening, heads), reference) => {
                match heads.and_then(|heads| self.follow(opening, &heads)) {
                    Ok(streams) => {
                        let answer = ServerMessage::Streams(Streams { streams });
                        self.answer(&answer, reference).await
                    }
                    Err(error) => self.refuse(&error, reference).await,
                }
            }
            Next::Answer(Done::Verified(claims), reference) => self.renew(claims, reference).await,
        }
    }

    /// Names what is wrong with a frame, and ends the session.
    async fn unreadable(&mut self, error: ParseError) -> Result<(), End> {
        let (reason, named) = hello::refusal(error);
        if let Some(error) = named {
            self.refuse(&error, None).await?;
        }
        Err(reason.into())
    }

    pub(super) async fn act(&mut self, frame: Parsed) -> Result<(), End> {
        let ClientFrame { body, reference } = match frame {
            Ok(frame) => frame,
            Err(error) => return self.unreadable(error).await,
        };
        match body {
            ClientMessage::Ack(ack) => self.ack(ack),
            ClientMessage::Pong => Ok(()),
            ClientMessage::Hello(_) => Err(CloseReason::SecondHello.into()),
            ClientMessage::Results(results) => self.results(results, reference).await,
            ClientMessage::Subscribe(ask) => self.subscribe(ask, reference).await,
            ClientMessage::Unsubscribe(ask) => self.unsubscribe(&ask, reference).await,
            ClientMessage::Auth(auth) => {
                let state = self.state.clone();
                let work = async move { Done::Verified(state.auth.verify(&auth.token).await) };
                self.work.begin(work, reference);
                Ok(())
            }
            ClientMessage::Mutate => {
                let message = "offline edits are not part of this gateway yet";
                self.refuse(&ApiError::new(ErrorCode::NotSupported, message), reference).await
            }
            ClientMessage::Unknown => {
                let message = "the type of the frame is not known";
                self.refuse(&ApiError::new(ErrorCode::UnknownType, message), reference).await
            }
        }
    }

    async fn answer(&mut self, message: &ServerMessage, reference: Reference) -> Result<(), End> {
        self.socket.feed_message(message, reference.as_deref()).await.map_err(End::from)
    }

    async fn refuse(&mut self, error: &ApiError, reference: Reference) -> Result<(), End> {
        self.answer(&hello::error_frame(error), reference).await
    }

    fn ack(&mut self, ack: Ack) -> Result<(), End> {
        let now = self.state.clock.now();
        let device = self.device();
        for (stream, cursor) in self.session.ack(ack.cursors)? {
            // Only the user's own stream carries commands.
            let passed =
                if stream.owner().is_some() { self.passed(cursor.seq) } else { Vec::new() };
            let behind = self.state.ingest.behind();
            behind.ack_delivered(&device, &stream, cursor, passed, now);
        }
        Ok(())
    }

    /// Takes the commands delivered up to a position.
    fn passed(&mut self, upto: Seq) -> Vec<Attempt> {
        let mut passed = Vec::new();
        while let Some((_, attempt)) = self.unacked.pop_front_if(|(seq, _)| *seq <= upto) {
            passed.push(attempt);
        }
        if self.unacked.is_empty() {
            self.unacked = VecDeque::new();
        }
        passed
    }

    async fn results(&mut self, results: Results, reference: Reference) -> Result<(), End> {
        if let Err(error) = check_results(&results) {
            return self.refuse(&error, reference).await;
        }
        let report = Report {
            user_id: self.user_id().clone(),
            device_id: self.viewer.device_id.clone(),
            channel: Channel::Socket,
            results: results.results,
        };
        let ingest = self.state.ingest.clone();
        let work = async move {
            let reported = ingest.report(report).await;
            Done::Reported(reported.map(|results| ResultsOk { results }))
        };
        self.work.begin(work, reference);
        Ok(())
    }

    /// Follows streams, or begins anew with one already followed.
    async fn subscribe(&mut self, ask: Subscribe, reference: Reference) -> Result<(), End> {
        let wanted = match self.wanted(&ask) {
            Ok(wanted) => wanted,
            Err(error) => return self.refuse(&error, reference).await,
        };
        let opening = Opening {
            watches: open::watch(&self.state.hub, &wanted.open, &self.signal),
            cursors: ask.cursors,
            refused: wanted.refused,
        };
        let ingest = self.state.ingest.clone();
        let work = async move {
            let heads = ingest.ensure(wanted.open).await;
            Done::Ensured(opening, heads)
        };
        self.work.begin(work, reference);
        Ok(())
    }

    fn wanted(&self, ask: &Subscribe) -> ApiResult<Wanted> {
        self.check_count(ask)?;
        let wanted = Wanted::sort(&self.state, self.user_id(), &ask.streams);
        let followed = |name: &&StreamName| self.session.position(name).is_none();
        let after = self.session.streams().len() + wanted.open.iter().filter(followed).count();
        let streams_max = self.state.config.limits.streams_per_session;
        if after > streams_max {
            let reason = format!("a session follows at most {streams_max} streams");
            return Err(ApiError::invalid("streams", reason));
        }
        Ok(wanted)
    }

    fn follow(&mut self, opening: Opening, heads: &Heads) -> ApiResult<StreamStatuses> {
        let Opening { watches, cursors, refused: mut statuses } = opening;
        for opened in open::begin(watches, heads, &cursors)? {
            let (name, epoch) = (opened.state.id.name.clone(), opened.state.id.epoch.clone());
            statuses.insert(name.clone(), opened.status);
            if name.owner().is_some() {
                // They belong to the deliveries before this beginning.
                self.unacked = VecDeque::new();
            }
            self.session.follow(opened.state);
            if let Beginning::Resumed(seq) = opened.beginning {
                let cursor = Cursor { epoch, seq };
                let now = self.state.clock.now();
                self.state.ingest.behind().ack(&self.device(), &name, cursor, now);
            }
        }
        Ok(statuses)
    }

    /// Bounds the answer: it names every stream asked for.
    fn check_count(&self, ask: &Subscribe) -> ApiResult<()> {
        let streams_max = self.state.config.limits.streams_per_session;
        if ask.streams.len() <= streams_max {
            return Ok(());
        }
        Err(ApiError::invalid("streams", format!("at most {streams_max} names")))
    }

    /// Leaves shared streams; answers with those still followed. The user's
    /// own stream cannot be left.
    async fn unsubscribe(&mut self, ask: &Subscribe, reference: Reference) -> Result<(), End> {
        if let Err(error) = self.check_count(ask) {
            return self.refuse(&error, reference).await;
        }
        for name in &ask.streams {
            let index = self.session.position(name).filter(|_| name.owner().is_none());
            if let Some(index) = index {
                self.session.leave(index);
            }
        }
        let followed = self.session.streams().iter().map(|stream| {
            let status = StreamStatus {
                epoch: Some(stream.id.epoch.clone()),
                head: Some(stream.watch.head()),
                verdict: Verdict::Resumed,
                reason: None,
            };
            (stream.id.name.clone(), status)
        });
        let streams = Streams { streams: followed.collect() };
        self.answer(&ServerMessage::Streams(streams), reference).await
    }

    async fn renew(
        &mut self,
        verified: Result<Claims, AuthError>,
        reference: Reference,
    ) -> Result<(), End> {
        let claims = match verified {
            Ok(claims) => claims,
            // Nothing can be said about the token: the old one still counts.
            Err(error @ AuthError::Unavailable) => {
                return self.refuse(&error.into(), reference).await;
            }
            Err(_) => return Err(CloseReason::Unauthenticated.into()),
        };
        hello::check_role(&claims)?;
        if claims.sub != *self.user_id() {
            return Err(CloseReason::Forbidden.into());
        }
        if claims.device_id.as_ref().is_some_and(|bound| *bound != self.viewer.device_id) {
            return Err(CloseReason::DeviceMismatch.into());
        }
        self.session.renew_token(claims.exp, self.state.now());
        let answer = ServerMessage::AuthOk(AuthOk { expires_at: claims.exp });
        self.answer(&answer, reference).await
    }
}

/// Bounds of reported outcomes; the same over HTTP.
pub(crate) fn check_results(results: &Results) -> ApiResult<()> {
    if results.results.len() > RESULTS_PER_FRAME {
        let reason = format!("at most {RESULTS_PER_FRAME} results");
        return Err(ApiError::invalid("results", reason));
    }
    for (index, result) in results.results.iter().enumerate() {
        if result.error.as_ref().is_some_and(|error| error.len() > RESULT_ERROR_BYTES) {
            let field = format!("results[{index}].error");
            return Err(ApiError::invalid(field, format!("at most {RESULT_ERROR_BYTES} bytes")));
        }
        if result.attempt.is_some_and(|attempt| attempt < 1) {
            return Err(ApiError::invalid(format!("results[{index}].attempt"), "from 1"));
        }
    }
    Ok(())
}
