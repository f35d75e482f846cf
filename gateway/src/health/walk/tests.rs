//! The walk against the rule written out.

use proptest::prelude::*;

use super::*;

fn span(id: &str, source: Source, from_s: i64, elapsed_s: i64) -> Span {
    let (start_ms, end_ms) = (from_s * 1000, (from_s + elapsed_s) * 1000);
    Span { id: id.to_owned(), source, start_ms, end_ms, elapsed_s }
}

/// The rule as it is written, without an index.
fn slow(spans: &[Span]) -> Vec<Option<usize>> {
    let mut order: Vec<usize> = (0..spans.len()).collect();
    order.sort_by_key(|number| {
        let span = &spans[*number];
        let place = (-i32::from(span.source.priority()), -span.elapsed_s, span.start_ms);
        (place, span.source.as_str(), span.id.clone())
    });
    let (mut shown, mut result) = (Vec::<usize>::new(), vec![None; spans.len()]);
    for number in order {
        let same = shown.iter().copied().find(|other| {
            let (one, other) = (&spans[number], &spans[*other]);
            let begin = one.start_ms.max(other.start_ms);
            let overlap_ms = one.end_ms.min(other.end_ms) - begin;
            let shorter_s = one.elapsed_s.min(other.elapsed_s);
            one.source != other.source && shorter_s > 0 && overlap_ms > shorter_s * 500
        });
        match same {
            Some(other) => result[number] = Some(other),
            None => shown.push(number),
        }
    }
    result
}

#[test]
fn half_of_the_shorter_one_is_not_enough() {
    let watch = span("w", Source::AppleHealth, 0, 1_000);
    assert_eq!(duplicates(&[watch.clone(), span("s", Source::Strava, 500, 1_000)]), [None, None]);
    assert_eq!(duplicates(&[watch, span("s", Source::Strava, 499, 1_000)]), [None, Some(0)]);
}

#[test]
fn one_source_and_no_length_are_never_the_same() {
    let own = span("a", Source::Strava, 0, 1_000);
    assert_eq!(duplicates(&[own.clone(), span("b", Source::Strava, 0, 1_000)]), [None, None]);
    assert_eq!(duplicates(&[own, span("c", Source::Manual, 0, 0)]), [None, None]);
}

/// Two workouts of a watch inside one long ride both count, the ride does not.
#[test]
fn what_is_hidden_hides_nobody() {
    let spans = [
        span("ride", Source::Strava, 0, 10_000),
        span("one", Source::AppleHealth, 0, 3_000),
        span("two", Source::AppleHealth, 5_000, 3_000),
        span("typed", Source::Manual, 8_500, 1_000),
    ];
    assert_eq!(duplicates(&spans), [Some(1), None, None, None]);
}

#[test]
fn classes_hold_all_lengths() {
    assert_eq!(
        [class(0), class(4 * HOUR_MS), class(4 * HOUR_MS + 1), class(i64::MAX)],
        [0, 0, 1, 4]
    );
    assert_eq!(earliest(0, 4 * HOUR_MS), 0);
    assert_eq!(earliest(4, 0), i64::MIN);
}

fn any_span() -> impl Strategy<Value = (Source, i64, i64)> {
    let long =
        prop_oneof![8 => 0_i64..3_000, 1 => 10_000_i64..200_000, 1 => 1_000_000_i64..9_000_000];
    (proptest::sample::select(Source::ALL), 0_i64..20_000, long)
}

fn numbered(all: Vec<(Source, i64, i64)>) -> Vec<Span> {
    let named = |(number, (source, start, elapsed)): (usize, (Source, i64, i64))| {
        span(&format!("{number:04}"), source, start, elapsed)
    };
    all.into_iter().enumerate().map(named).collect()
}

proptest! {
    #[test]
    fn the_walk_is_the_rule(all in proptest::collection::vec(any_span(), 0..60)) {
        let spans = numbered(all);
        prop_assert_eq!(duplicates(&spans), slow(&spans));
    }

    #[test]
    fn the_order_of_arrival_does_not_matter(
        all in proptest::collection::vec(any_span(), 0..40), turn in 0_usize..40,
    ) {
        let spans = numbered(all);
        let mut turned = spans.clone();
        turned.rotate_left(turn.min(spans.len()));
        let named = |spans: &[Span]| -> BTreeMap<String, Option<String>> {
            let all = duplicates(spans);
            let name = |number: usize| spans[number].id.clone();
            (0..spans.len()).map(|number| (name(number), all[number].map(name))).collect()
        };
        prop_assert_eq!(named(&spans), named(&turned));
    }

    /// Walking again only what is connected with a newcomer is enough.
    #[test]
    fn only_what_is_connected_changes(all in proptest::collection::vec(any_span(), 1..60)) {
        let spans = numbered(all);
        let (last, rest) = spans.split_last().unwrap();
        let mut result = duplicates(rest);
        result.push(None);
        let touched = connected(&spans, [spans.len() - 1]);
        prop_assert!(touched.contains(&(spans.len() - 1)), "{}", last.id);
        let part: Vec<Span> = touched.iter().map(|number| spans[*number].clone()).collect();
        for (at, duplicate_of) in duplicates(&part).into_iter().enumerate() {
            result[touched[at]] = duplicate_of.map(|number| touched[number]);
        }
        prop_assert_eq!(result, slow(&spans));
    }
}
