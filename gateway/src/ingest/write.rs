//! What a write is: what it reads, what it decides, what it answers. The
//! writer knows nothing else of it.

use sea_orm::DbErr;
use tokio::sync::oneshot;

use crate::error::{ApiError, ApiResult};
use crate::ingest::IngestOptions;
use crate::ingest::unit::{ReadSet, UnitOfWork};
use crate::store::table::Tables;
use crate::store::write::Transaction;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

/// Something that commits or fails as a whole.
///
/// The steps run in the order in which they stand here, in one transaction
/// with other writes, and all of them again when the transaction is run again.
pub(crate) trait Write: Send + Sync + 'static {
    /// What was decided, while positions are not known yet.
    type Draft: Send + Sync;
    /// What the caller hears after the commit.
    type Answer: Send + Sync;

    /// Whether the caller hears the answer before anybody hears the entries
    /// that follow from it.
    const HEARS_FIRST: bool = false;

    /// How many items it adds to a batch.
    fn weight(&self) -> usize {
        1
    }

    /// Asks for what it names itself.
    fn reads(&self, reads: &mut ReadSet, options: &IngestOptions);

    /// Asks for streams that must be looked up first. Nothing is locked yet:
    /// only what leads to a stream may be read here.
    fn locate(
        &self,
        _tx: &Transaction,
        _reads: &mut ReadSet,
    ) -> impl Future<Output = Result<(), DbErr>> + Send {
        std::future::ready(Ok(()))
    }

    /// Asks for rows that follow from the devices, which are loaded now.
    fn follow(&self, _rows: &mut Tables, _options: &IngestOptions) {}

    /// Decides, on the rows loaded and without I/O. What it changed before a
    /// refusal is written all the same, such as that a command has expired.
    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<Self::Draft>;

    /// Completes the answer, now that positions are given out; may still write
    /// what a repeated request must hear again.
    fn answer(&self, unit: &mut UnitOfWork, draft: Self::Draft) -> ApiResult<Self::Answer>;

    /// It is over: committed, or refused with this error.
    fn ended(&self, _refused: Option<&ApiError>) {}
}

/// A write that waits for the writer, and who waits for its answer.
pub(crate) struct Pending<W: Write> {
    write: W,
    stage: Stage<W>,
    reply: oneshot::Sender<ApiResult<W::Answer>>,
}

/// How far an attempt has come.
enum Stage<W: Write> {
    Waiting,
    Decided(ApiResult<W::Draft>),
    Answered(ApiResult<W::Answer>),
}

impl<W: Write> Pending<W> {
    pub(super) fn new(write: W) -> (Self, oneshot::Receiver<ApiResult<W::Answer>>) {
        let (reply, answer) = oneshot::channel();
        (Self { write, stage: Stage::Waiting, reply }, answer)
    }
}

/// A [`Pending`] write of any kind.
pub(crate) trait Queued: Send + Sync {
    fn hears_first(&self) -> bool;
    fn weight(&self) -> usize;
    fn reads(&self, reads: &mut ReadSet, options: &IngestOptions);
    fn locate<'a>(
        &'a self,
        tx: &'a Transaction,
        reads: &'a mut ReadSet,
    ) -> BoxFuture<'a, Result<(), DbErr>>;
    fn follow(&self, rows: &mut Tables, options: &IngestOptions);
    fn decide(&mut self, unit: &mut UnitOfWork);
    fn answer(&mut self, unit: &mut UnitOfWork);
    /// Tells the caller what was answered: it is committed.
    fn committed(self: Box<Self>);
    /// Tells the caller that nothing was written, or that nobody knows.
    fn refused(self: Box<Self>, error: &ApiError);
}

impl<W: Write> Queued for Pending<W> {
    fn hears_first(&self) -> bool {
        W::HEARS_FIRST
    }

    fn weight(&self) -> usize {
        self.write.weight()
    }

    fn reads(&self, reads: &mut ReadSet, options: &IngestOptions) {
        self.write.reads(reads, options);
    }

    fn locate<'a>(
        &'a self,
        tx: &'a Transaction,
        reads: &'a mut ReadSet,
    ) -> BoxFuture<'a, Result<(), DbErr>> {
        self.write.locate(tx, reads).boxed()
    }

    fn follow(&self, rows: &mut Tables, options: &IngestOptions) {
        self.write.follow(rows, options);
    }

    fn decide(&mut self, unit: &mut UnitOfWork) {
        self.stage = Stage::Decided(self.write.decide(unit));
    }

    fn answer(&mut self, unit: &mut UnitOfWork) {
        if let Stage::Decided(draft) = std::mem::replace(&mut self.stage, Stage::Waiting) {
            let answer = draft.and_then(|draft| self.write.answer(unit, draft));
            self.stage = Stage::Answered(answer);
        }
    }

    fn committed(self: Box<Self>) {
        self.write.ended(None);
        if let Stage::Answered(answer) = self.stage {
            // Whether somebody waits any more or not: what was written stands.
            let _ = self.reply.send(answer);
        }
    }

    fn refused(self: Box<Self>, error: &ApiError) {
        self.write.ended(Some(error));
        let _ = self.reply.send(Err(error.clone()));
    }
}
