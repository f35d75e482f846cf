//! What a device says it holds.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{Epoch, Seq, StreamName};

/// "I hold everything of this epoch up to and including `seq`."
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cursor {
    /// The epoch the position belongs to.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub epoch: Epoch,
    /// The last position held.
    #[cfg_attr(feature = "openapi", schema(value_type = i64))]
    pub seq: Seq,
}

/// A cursor for each stream.
pub type Cursors = BTreeMap<StreamName, Cursor>;
