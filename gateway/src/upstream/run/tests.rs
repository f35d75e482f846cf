//! When a listing is whole, and where a run goes on.

use super::*;

#[test]
fn a_page_that_lacks_items_is_no_page() {
    for (page, items, total, expected) in [
        (1, 100, Some(250), Some(false)),
        (3, 50, Some(250), Some(true)),
        (1, 0, Some(0), Some(true)),
        (1, 100, Some(100), Some(true)),
        // Something came in meanwhile.
        (3, 51, Some(250), Some(true)),
        (2, 99, Some(250), None),
        (3, 49, Some(250), None),
        (1, 0, Some(250), None),
        (1, 100, None, Some(false)),
        (2, 99, None, Some(true)),
    ] {
        let is_last = check_page(page, 100, items, total).ok();
        assert_eq!(is_last, expected, "page {page}: {items} of {total:?}");
    }
}

#[test]
fn a_listing_is_whole_only_when_its_pages_agree_and_all_came() {
    let listing = |ids: &[&str], totals: &[Option<u64>]| {
        let mut seen = Seen::new(Timestamp::default());
        for id in ids {
            seen.see(id);
        }
        for total in totals {
            seen.page(*total);
        }
        seen
    };
    assert!(listing(&["a", "b"], &[Some(2), Some(2)]).is_whole());
    assert!(listing(&[], &[Some(0)]).is_whole());
    assert!(!listing(&["a", "a"], &[Some(2)]).is_whole(), "one came twice");
    assert!(!listing(&["a", "b"], &[Some(3), Some(2)]).is_whole(), "the total moved");
    assert!(!listing(&["a", "b"], &[Some(2), Some(3), Some(2)]).is_whole(), "it moved back");
    assert!(!listing(&["a", "b"], &[None]).is_whole(), "no total");
    assert!(listing(&["a"], &[Some(1)]).has("a"));
    assert!(!listing(&["a"], &[Some(1)]).has("b"));
}

#[test]
fn a_cut_run_goes_on_where_it_was_unless_pages_are_numbered_anew() {
    let mut row = crate::store::sync_state::initial();
    assert_eq!(begin(&mut row, 100), None);
    assert_eq!(row.status, SYNCING);
    let run_id = row.run_id.clone();
    row.cursor = Some(r#"{"page":7,"page_size":100}"#.to_owned());
    assert_eq!(begin(&mut row, 100), Some(Checkpoint { page: 7, page_size: 100 }));
    assert_eq!(row.run_id, run_id);
    assert_eq!(begin(&mut row, 50), None);
    assert_ne!(row.run_id, run_id);
    assert_eq!(row.cursor, None);
}
