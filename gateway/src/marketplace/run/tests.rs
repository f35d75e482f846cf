//! Where a run goes on.

use super::*;

#[test]
fn a_cut_run_goes_on_where_it_was_unless_pages_are_numbered_anew() {
    let mut row = crate::store::sync_state::initial();
    assert_eq!(begin(&mut row, 100), None);
    assert_eq!(row.status, Status::Syncing);
    let run_id = row.run_id.clone();
    row.cursor = Some(r#"{"page":7,"page_size":100}"#.to_owned());
    assert_eq!(begin(&mut row, 100), Some(Checkpoint { page: 7, page_size: 100 }));
    assert_eq!(row.run_id, run_id);
    assert_eq!(begin(&mut row, 50), None);
    assert_ne!(row.run_id, run_id);
    assert_eq!(row.cursor, None);
}
