//! Streams that must exist.

use tidegate_protocol::id::StreamName;

use crate::error::ApiResult;
use crate::ingest::unit::{ReadSet, UnitOfWork, stream_key};
use crate::ingest::write::Write;
use crate::ingest::{Ingest, IngestOptions};
use crate::store::head::Heads;

impl Ingest {
    /// Makes sure that streams exist; their heads.
    pub async fn ensure(&self, streams: Vec<StreamName>) -> ApiResult<Heads> {
        self.submit(Ensure(streams)).await
    }
}

/// Streams that must exist.
struct Ensure(Vec<StreamName>);

impl Write for Ensure {
    type Draft = ();
    type Answer = Heads;

    fn reads(&self, reads: &mut ReadSet, _: &IngestOptions) {
        reads.streams.extend(self.0.iter().map(stream_key));
    }

    fn decide(&self, unit: &mut UnitOfWork) -> ApiResult<()> {
        unit.ensure(self.0.iter().map(stream_key));
        Ok(())
    }

    fn answer(&self, unit: &mut UnitOfWork, (): ()) -> ApiResult<Heads> {
        Ok(heads_of(unit, &self.0))
    }
}

/// The heads of these streams.
pub(super) fn heads_of(unit: &UnitOfWork, streams: &[StreamName]) -> Heads {
    let of = |stream: &StreamName| {
        let (name, head) = unit.heads.get_key_value(stream.as_str())?;
        Some((name.clone(), head.clone()))
    };
    streams.iter().filter_map(of).collect()
}
