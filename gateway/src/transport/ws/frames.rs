//! What a live session does with each frame of its client.

use std::collections::VecDeque;

use tidegate_protocol::client::{self, Ack, Auth, ClientMessage, ParseError, Results, Subscribe};
use tidegate_protocol::code::{CloseReason, ErrorCode};
use tidegate_protocol::command::Channel;
use tidegate_protocol::cursor::Cursor;
use tidegate_protocol::id::{CommandId, Seq, StreamName};
use tidegate_protocol::limits::{RESULT_ERROR_BYTES, RESULTS_PER_FRAME};
use tidegate_protocol::server::{
    AuthOk, ResultsOk, ServerMessage, StreamStatus, StreamStatuses, Streams, Verdict,
};

use crate::auth::AuthError;
use crate::error::{ApiError, ApiResult};
use crate::ingest::commands::Report;
use crate::metrics::label::FrameIn;
use crate::session::verdict::Beginning;
use crate::transport::open::{self, Wanted};
use crate::transport::ws::end::End;
use crate::transport::ws::hello;
use crate::transport::ws::live::Live;

type Reference = Option<Box<serde_json::value::RawValue>>;

impl Live {
    /// Acts on a frame.
    pub(super) async fn frame(&mut self, text: &str) -> Result<(), End> {
        let frame = match client::parse(text) {
            Ok(frame) => frame,
            // Boxed: an idle session must not have room for it.
            Err(error) => return Box::pin(self.unreadable(error)).await,
        };
        self.state.metrics.frames_received.of(FrameIn::from(&frame.body)).inc();
        match frame.body {
            ClientMessage::Ack(ack) => self.ack(ack),
            // Boxed: an idle session must not have room for it.
            other => Box::pin(self.act(other, frame.reference)).await,
        }
    }

    /// Names what is wrong with a frame, and ends the session.
    async fn unreadable(&mut self, error: ParseError) -> Result<(), End> {
        self.state.metrics.frames_received.of(FrameIn::Invalid).inc();
        let (reason, named) = hello::refusal(error);
        if let Some(error) = named {
            self.refuse(&error, None).await?;
        }
        Err(reason.into())
    }

    async fn act(&mut self, body: ClientMessage, reference: Reference) -> Result<(), End> {
        match body {
            ClientMessage::Ack(ack) => self.ack(ack),
            ClientMessage::Pong => Ok(()),
            ClientMessage::Hello(_) => Err(CloseReason::SecondHello.into()),
            ClientMessage::Results(results) => self.results(results, reference).await,
            ClientMessage::Subscribe(ask) => self.subscribe(ask, reference).await,
            ClientMessage::Unsubscribe(ask) => self.unsubscribe(&ask, reference).await,
            ClientMessage::Auth(auth) => self.auth(auth, reference).await,
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
    fn passed(&mut self, upto: Seq) -> Vec<(CommandId, i32)> {
        let mut passed = Vec::new();
        while let Some((_, id, attempt)) = self.unacked.pop_front_if(|(seq, ..)| *seq <= upto) {
            passed.push((id, attempt));
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
        match self.state.ingest.report(report).await {
            Ok(results) => {
                let answer = ServerMessage::ResultsOk(ResultsOk { results });
                self.answer(&answer, reference).await
            }
            Err(error) => self.refuse(&error, reference).await,
        }
    }

    /// Follows streams, or begins anew with one already followed.
    async fn subscribe(&mut self, ask: Subscribe, reference: Reference) -> Result<(), End> {
        match self.open(&ask).await {
            Ok(streams) => {
                let answer = ServerMessage::Streams(Streams { streams });
                self.answer(&answer, reference).await
            }
            Err(error) => self.refuse(&error, reference).await,
        }
    }

    async fn open(&mut self, ask: &Subscribe) -> ApiResult<StreamStatuses> {
        self.check_count(ask)?;
        let wanted = Wanted::sort(&self.state, self.user_id(), &ask.streams);
        let followed = |name: &&StreamName| self.session.position(name).is_none();
        let after = self.watches.len() + wanted.open.iter().filter(followed).count();
        let streams_max = self.state.config.limits.streams_per_session;
        if after > streams_max {
            let reason = format!("a session follows at most {streams_max} streams");
            return Err(ApiError::invalid("streams", reason));
        }
        let watches = open::watch(&self.state.hub, &wanted.open, &self.signal);
        let heads = self.state.ingest.ensure(wanted.open).await?;
        let mut statuses = wanted.refused;
        for opened in open::begin(watches, &heads, &ask.cursors)? {
            let (name, epoch) = (opened.state.id.name.clone(), opened.state.id.epoch.clone());
            statuses.insert(name.clone(), opened.status);
            if name.owner().is_some() {
                // They belong to the deliveries before this beginning.
                self.unacked = VecDeque::new();
            }
            let index = self.session.follow(opened.state);
            if index < self.watches.len() {
                self.watches[index] = opened.watch;
            } else {
                self.watches.push(opened.watch);
            }
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
                self.watches.remove(index);
            }
        }
        let followed = self.session.streams().iter().zip(&self.watches).map(|(stream, watch)| {
            let status = StreamStatus {
                epoch: Some(stream.id.epoch.clone()),
                head: Some(watch.topic().head()),
                verdict: Verdict::Resumed,
                reason: None,
            };
            (stream.id.name.clone(), status)
        });
        let streams = Streams { streams: followed.collect() };
        self.answer(&ServerMessage::Streams(streams), reference).await
    }

    async fn auth(&mut self, auth: Auth, reference: Reference) -> Result<(), End> {
        let claims = match self.state.auth.verify(&auth.token).await {
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
