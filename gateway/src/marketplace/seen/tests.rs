//! When a listing is whole.

use super::*;

fn ids(from: usize, to: usize) -> Vec<Named> {
    (from..to).map(|id| (id.to_string(), None)).collect()
}

fn page(number: u32, ids: &[Named], total: Option<u64>) -> Page<'_> {
    Page { number, size: 100, ids, repeated: 0, unnamed: 0, total }
}

/// A listing in pages of 100: what each names, and its total.
fn listing(pages: &[(Vec<Named>, Option<u64>)]) -> Result<Seen, String> {
    let mut seen = Seen::new(Timestamp::default());
    for (number, (ids, total)) in (1..).zip(pages) {
        let is_last = seen.take(&page(number, ids, *total)).map_err(|error| error.to_string())?;
        assert_eq!(is_last, pages.len() == number as usize, "page {number}");
    }
    seen.check_end().map_err(|error| error.to_string())?;
    Ok(seen)
}

fn failure(pages: &[(Vec<Named>, Option<u64>)]) -> String {
    listing(pages).expect_err("it is not whole")
}

#[test]
fn a_page_that_lacks_more_than_slips_is_no_page() {
    for (number, items, total, expected) in [
        (1, 100, Some(250), Some(false)),
        (3, 50, Some(250), Some(true)),
        (1, 0, Some(0), Some(true)),
        (1, 100, Some(100), Some(true)),
        // Something came in meanwhile.
        (3, 51, Some(250), Some(true)),
        // The total is wrong: there may be more.
        (1, 100, Some(0), Some(false)),
        (2, 100, Some(150), Some(false)),
        // Up to a twentieth may be missing.
        (2, 88, Some(250), Some(false)),
        (3, 38, Some(250), Some(true)),
        (2, 87, Some(250), None),
        (3, 37, Some(250), None),
        (1, 0, Some(250), None),
        (1, 9, Some(10), None),
        (1, 100, None, Some(false)),
        (2, 99, None, Some(true)),
    ] {
        let ids = ids(0, items);
        let is_last = Seen::new(Timestamp::default()).take(&page(number, &ids, total));
        assert_eq!(is_last.ok(), expected, "page {number}: {items} of {total:?}");
    }
}

#[test]
fn what_pages_lack_adds_up() {
    let pages = [(ids(0, 94), Some(250)), (ids(100, 193), Some(250)), (ids(200, 250), Some(250))];
    assert_eq!(failure(&pages), "skills, page 2: 93 of 100 skills came");
    let pages = [(ids(0, 94), Some(250)), (ids(100, 194), Some(250)), (ids(200, 250), Some(250))];
    assert!(!listing(&pages).unwrap().is_whole());
}

/// The same id twice: the first word counts, or the later one by upstream's own
/// clock.
#[test]
fn a_repeated_id_counts_once() {
    let at = |seconds: i64| Some(Timestamp::from_millis(seconds * 1000));
    let mut seen = Seen::new(Timestamp::default());
    let first = [("timed".to_owned(), at(5)), ("untimed".to_owned(), None)];
    let shown = Page { repeated: 1, ..page(1, &first, Some(3)) };
    assert!(seen.take(&shown).unwrap() && seen.check_end().is_ok());
    assert!(!seen.is_whole(), "one of three is not known");
    for (id, updated_at, counts) in [
        ("timed", at(4), false),
        ("timed", at(5), false),
        ("timed", at(6), true),
        ("timed", None, false),
        ("untimed", at(9), false),
        ("untimed", None, false),
        ("other", None, true),
    ] {
        assert_eq!(seen.counts(&(id.to_owned(), updated_at)), counts, "{id} {updated_at:?}");
    }
}

/// A last page with nothing but one that was there before ends a listing all the
/// same.
#[test]
fn a_page_of_one_repeated_item_is_no_failure() {
    let seen = listing(&[(ids(0, 100), Some(101)), (ids(7, 8), Some(101))]).unwrap();
    assert!(!seen.is_whole());
}

#[test]
fn a_listing_is_whole_only_when_its_pages_agree_and_all_came() {
    let mut whole = listing(&[(ids(0, 100), Some(150)), (ids(100, 150), Some(150))]).unwrap();
    assert!(whole.is_whole());
    assert!(whole.has("149") && !whole.has("150"));
    assert!(listing(&[(vec![], Some(0))]).unwrap().is_whole());
    assert!(!listing(&[(ids(0, 2), None)]).unwrap().is_whole(), "no total");
    let moved = listing(&[(ids(0, 100), Some(151)), (ids(100, 150), Some(150))]).unwrap();
    assert!(!moved.is_whole());
    for back in [[Some(150), Some(151), Some(150)], [None, Some(150), Some(150)]] {
        let mut totals = Totals::default();
        for total in back {
            totals.add(total);
        }
        whole.totals = totals;
        assert!(!whole.is_whole(), "it moved back");
    }
    let twice = listing(&[(ids(0, 100), Some(150)), (ids(99, 149), Some(150))]).unwrap();
    assert!(!twice.is_whole(), "one came twice");
}

#[test]
fn what_follows_a_total_keeps_to_it() {
    let first = (ids(0, 100), Some(300));
    for (second, why) in [
        ((vec![], None), "skills, page 2: the total is missing"),
        ((ids(100, 200), None), "skills, page 2: the total is missing"),
        ((vec![], Some(0)), "skills, page 2: no skill of 0, after 100 came"),
        (first.clone(), "skills, page 2: nothing but what came before"),
    ] {
        assert_eq!(failure(&[first.clone(), second]), why);
    }
    let mostly_again = [first.clone(), (ids(10, 110), Some(300)), (ids(110, 210), Some(300))];
    assert_eq!(failure(&mostly_again), "skills: 210 of 300 came");
}

#[test]
fn skills_that_move_between_pages_are_no_failure() {
    // One deleted from a page that was read: the next one is on none.
    let shift = [(ids(0, 100), Some(250)), (ids(101, 201), Some(249)), (ids(201, 250), Some(249))];
    assert_eq!(listing(&shift).unwrap().len(), 249);
    // Half of them, and what was on the last page is gone.
    let halved = [(ids(0, 100), Some(201)), (ids(100, 200), Some(201)), (vec![], Some(150))];
    assert_eq!(listing(&halved).unwrap().may_slip(201), 51);
    // One moved to the front: it is on none, and another one twice.
    let moved = [(ids(0, 100), Some(150)), (ids(99, 149), Some(150))];
    assert_eq!(listing(&moved).unwrap().len(), 149);
    // Without totals the page that is not full is the last one.
    for last in [vec![], ids(100, 120)] {
        assert!(listing(&[(ids(0, 100), None), (last, None)]).is_ok());
    }
}

#[test]
fn items_that_cannot_be_read_came_all_the_same() {
    let mut seen = Seen::new(Timestamp::default());
    let shown = Page { unnamed: 7, ..page(1, &[], Some(7)) };
    assert!(seen.take(&shown).unwrap());
    assert!(seen.check_end().is_ok() && !seen.is_whole());
}

#[test]
fn an_empty_listing_excuses_nothing() {
    assert_eq!(listing(&[(vec![], Some(0))]).unwrap().may_slip(1_000), 0);
    assert_eq!(listing(&[(vec![], None)]).unwrap().may_slip(1_000), 0);
    assert_eq!(listing(&[(ids(0, 60), Some(60))]).unwrap().may_slip(1_000), 50);
}
