//! Statements about many rows or keys, in few sizes.
//!
//! A statement a row would cost a hand-off to the connection's thread each.
//! Connections keep the statements they have prepared; one of a size of its
//! own would have to be prepared anew, which for hundreds of rows takes as long
//! as running it. So rows go by a few sizes, and lists of keys are filled up to
//! one.

use sea_orm::sea_query::{Expr, ExprTrait, OnConflict};
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, Iterable,
};

/// Most keys in one `IN` list.
pub(super) const KEYS_PER_STATEMENT: usize = 1_024;

/// Most values bound to one statement: far below what the databases take,
/// because a kept statement with 30,000 values is several megabytes of memory.
const BINDS_MAX: usize = 4_000;

/// Up to here each number is a size.
const FEW: usize = 8;

/// How far apart sizes are about here: above a few there are two to each power
/// of two, so that a connection can keep those of all its statements.
const fn step(size: usize) -> usize {
    if size <= FEW { 1 } else { 1 << (size.ilog2() - 1) }
}

/// How many of `left` rows the next statement takes.
fn rows_of_next<E: EntityTrait>(left: usize) -> usize {
    let most = left.min(BINDS_MAX / E::Column::iter().count());
    most - most % step(most)
}

/// Rows of a table by statements.
pub(super) fn in_sizes<E: EntityTrait, T>(rows: &[T]) -> impl Iterator<Item = &[T]> {
    let mut left = rows;
    std::iter::from_fn(move || {
        let (next, rest) = left.split_at(rows_of_next::<E>(left.len()));
        left = rest;
        (!next.is_empty()).then_some(next)
    })
}

/// Inserts rows.
pub(super) async fn insert_rows<A>(
    db: &impl ConnectionTrait,
    mut rows: impl ExactSizeIterator<Item = A> + Send,
    on_conflict: Option<&OnConflict>,
) -> Result<(), DbErr>
where
    A: ActiveModelTrait + Send,
{
    while rows.len() > 0 {
        let count = rows_of_next::<A::Entity>(rows.len());
        let chunk: Vec<A> = rows.by_ref().take(count).collect();
        let mut insert = A::Entity::insert_many(chunk);
        if let Some(on_conflict) = on_conflict {
            insert = insert.on_conflict(on_conflict.clone());
        }
        insert.exec_without_returning(db).await?;
    }
    Ok(())
}

/// Keys filled up to a size by repeating the last one.
fn filled<K: Clone>(
    keys: impl ExactSizeIterator<Item = K> + Clone,
) -> impl Iterator<Item = K> + Clone {
    let count = keys.len();
    let size = count.next_multiple_of(step(count));
    let last = keys.clone().last();
    keys.chain(std::iter::repeat_n(last, size - count).flatten())
}

/// Picks rows whose column is one of these keys.
pub(super) fn one_of<'a, C: ColumnTrait>(
    column: C,
    keys: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Expr {
    column.is_in(filled(keys))
}

/// Picks rows by pairs of columns that begin an index. The first column is
/// named by itself too: SQLite looks pairs up by no index, and would read the
/// whole table.
pub(super) fn in_pairs<'a, C: ColumnTrait>(
    [first, second]: [C; 2],
    pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
) -> Condition {
    let pairs = filled(pairs);
    let owned = pairs.clone().map(|(first, second)| (first.to_owned(), second.to_owned()));
    Condition::all()
        .add(first.is_in(pairs.map(|(first, _)| first)))
        .add(Expr::tuple([Expr::col(first), Expr::col(second)]).in_tuples(owned))
}

#[cfg(test)]
mod tests {
    use sea_orm::{Database, DatabaseBackend, QueryFilter, QueryTrait};
    use tidegate_entity::{command, device, stream_head};

    use super::*;

    #[tokio::test]
    async fn pairs_are_looked_up_by_the_index() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        let schema = sea_orm::Schema::new(DatabaseBackend::Sqlite);
        db.execute(&schema.create_table_from_entity(device::Entity)).await.unwrap();
        let columns = [device::Column::UserId, device::Column::DeviceId];
        let keys = [("u1", "a"), ("u2", "b"), ("u1", "c")];
        let query = device::Entity::find().filter(in_pairs(columns, keys.into_iter()));
        let mut explain = query.build(DatabaseBackend::Sqlite);
        explain.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let plan = db.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        assert!(plan[0].starts_with("SEARCH device USING"), "{plan:?}");
    }

    #[test]
    fn rows_go_by_few_sizes() {
        fn split<E: EntityTrait>(count: usize) -> Vec<usize> {
            in_sizes::<E, _>(&vec![(); count]).map(<[()]>::len).collect()
        }
        assert_eq!(split::<stream_head::Entity>(7), [7]);
        assert_eq!(split::<stream_head::Entity>(9), [8, 1]);
        assert_eq!(split::<stream_head::Entity>(127), [96, 24, 7]);
        // Twenty columns: 200 rows are the most.
        assert_eq!(split::<command::Entity>(301), [192, 96, 12, 1]);
        assert_eq!(split::<command::Entity>(0), [0_usize; 0]);
    }

    #[test]
    fn lists_are_filled_up() {
        let sizes = |count: usize| filled(vec!["k"; count].iter()).count();
        let sizes = [0, 1, 7, 8, 9, 100, KEYS_PER_STATEMENT].map(sizes);
        assert_eq!(sizes, [0, 1, 7, 8, 12, 128, KEYS_PER_STATEMENT]);
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        assert_eq!(filled(keys.iter()).skip(7).copied().collect::<String>(), "hiiii");
    }
}
