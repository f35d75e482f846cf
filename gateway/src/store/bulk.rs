//! Statements about many rows or keys, in few texts.
//!
//! A statement a row would cost a hand-off to the connection's thread each.
//! Connections keep the statements they have prepared; one of a size of its
//! own would have to be prepared anew, which for hundreds of rows takes as long
//! as running it. So SQLite is given rows by a few sizes, and lists of keys that
//! are filled up to one. PostgreSQL is given arrays: a column, or a list of keys,
//! is one value, and the text is the same for any number of them.

use std::fmt::{Display, Write as _};

use sea_orm::sea_query::{
    Expr, Func, OnConflict, PostgresQueryBuilder, Query, SelectStatement, SqliteQueryBuilder,
};
use sea_orm::{
    ActiveModelTrait, ActiveValue, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait,
    FromQueryResult, Iterable, Statement, Value,
};
use serde::de::DeserializeOwned;

mod keys;

pub(super) use keys::{in_pairs, one_of};

/// Most keys in one list.
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
fn rows_of_next<E: EntityTrait>(backend: DatabaseBackend, left: usize) -> usize {
    let most = left.min(BINDS_MAX / E::Column::iter().count());
    match backend {
        DatabaseBackend::Postgres => most,
        _ => most - most % step(most),
    }
}

/// Inserts rows. All of them have the same columns set.
pub(super) async fn insert_rows<A>(
    db: &impl ConnectionTrait,
    mut rows: impl ExactSizeIterator<Item = A> + Send,
    on_conflict: Option<&OnConflict>,
) -> Result<(), DbErr>
where
    A: ActiveModelTrait + Send,
{
    let backend = db.get_database_backend();
    while rows.len() > 0 {
        let count = rows_of_next::<A::Entity>(backend, rows.len());
        let statement = insert(backend, rows.by_ref().take(count), on_conflict, Answer::Nothing);
        db.execute_raw(statement).await?;
    }
    Ok(())
}

/// As [`insert_rows`]; the rows as they are then.
pub(super) async fn insert_and_read<A>(
    db: &impl ConnectionTrait,
    mut rows: impl ExactSizeIterator<Item = A> + Send,
    on_conflict: Option<&OnConflict>,
) -> Result<Vec<<A::Entity as EntityTrait>::Model>, DbErr>
where
    A: ActiveModelTrait + Send,
{
    let backend = db.get_database_backend();
    let mut written = Vec::with_capacity(rows.len());
    while rows.len() > 0 {
        let count = rows_of_next::<A::Entity>(backend, rows.len());
        let statement = insert(backend, rows.by_ref().take(count), on_conflict, Answer::Rows);
        for row in db.query_all_raw(statement).await? {
            written.push(FromQueryResult::from_query_result(&row, "")?);
        }
    }
    Ok(written)
}

/// What a statement that inserts answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Nothing,
    /// The rows as they are then.
    Rows,
}

/// The statement that inserts these rows. Written by hand: SeaORM would make an
/// expression of each value first, which takes longer than running the statement.
fn insert<A: ActiveModelTrait>(
    backend: DatabaseBackend,
    rows: impl ExactSizeIterator<Item = A>,
    on_conflict: Option<&OnConflict>,
    answer: Answer,
) -> Statement {
    let count = rows.len();
    let mut columns: Vec<<A::Entity as EntityTrait>::Column> = Vec::new();
    let mut values = Vec::new();
    for (index, mut row) in rows.enumerate() {
        for column in <A::Entity as EntityTrait>::Column::iter() {
            let (ActiveValue::Set(value) | ActiveValue::Unchanged(value)) = row.take(column) else {
                continue;
            };
            if index == 0 {
                columns.push(column);
            }
            values.push(value);
        }
        if index == 0 {
            values.reserve(values.len() * count);
        }
    }
    debug_assert_eq!(values.len(), columns.len() * count);
    let (before, after) = insert_sql::<A::Entity>(backend, &columns, on_conflict, answer);
    if backend == DatabaseBackend::Postgres
        && let Some(arrays) = arrays(&values, columns.len())
    {
        let (types, arrays): (Vec<_>, Vec<_>) = arrays.into_iter().unzip();
        let places = types.iter().zip(1..).map(|(of, at)| format!("${at}::text::{of}[]"));
        let places = places.collect::<Vec<_>>().join(", ");
        let sql = format!("{before}SELECT * FROM unnest({places}){after}");
        return Statement::from_sql_and_values(backend, sql, arrays.into_iter().map(Value::from));
    }
    let sql = format!("{before}VALUES {}{after}", places(backend, columns.len(), count));
    Statement::from_sql_and_values(backend, sql, values)
}

/// SeaORM's text before and after the rows.
fn insert_sql<E: EntityTrait>(
    backend: DatabaseBackend,
    columns: &[E::Column],
    on_conflict: Option<&OnConflict>,
    answer: Answer,
) -> (String, String) {
    let mut insert = Query::insert();
    insert.into_table(E::default().table_ref()).columns(columns.iter().copied());
    insert.values_panic(columns.iter().map(|_| Expr::cust("?")));
    if let Some(on_conflict) = on_conflict {
        insert.on_conflict(on_conflict.clone());
    }
    if answer == Answer::Rows {
        insert.returning(Query::returning().columns(E::Column::iter()));
    }
    let one = match backend {
        DatabaseBackend::Postgres => insert.to_string(PostgresQueryBuilder),
        _ => insert.to_string(SqliteQueryBuilder),
    };
    let row = format!("VALUES ({})", vec!["?"; columns.len()].join(", "));
    let (before, after) = one.split_once(&row).expect("an insert has its row");
    (before.to_owned(), after.to_owned())
}

/// Places for so many rows.
fn places(backend: DatabaseBackend, columns: usize, rows: usize) -> String {
    let mut places = String::with_capacity(rows * columns * 7);
    for row in 0..rows {
        places.push_str(if row == 0 { "(" } else { ", (" });
        for column in 0..columns {
            places.push_str(if column == 0 { "" } else { ", " });
            if backend == DatabaseBackend::Postgres {
                let _ = write!(places, "${}", row * columns + column + 1);
            } else {
                places.push('?');
            }
        }
        places.push(')');
    }
    places
}

/// The values by column, each column as the text of a PostgreSQL array with its
/// type: a value bound by itself costs the server more than writing it. `None`
/// if there are values of other types.
fn arrays(values: &[Value], columns: usize) -> Option<Vec<(&'static str, String)>> {
    let mut arrays = vec![("", String::from("{")); columns];
    for row in values.chunks_exact(columns) {
        for ((of, array), value) in arrays.iter_mut().zip(row) {
            if array.len() > 1 {
                array.push(',');
            }
            *of = element(array, value)?;
        }
    }
    for (_, array) in &mut arrays {
        array.push('}');
    }
    Some(arrays)
}

/// Appends a value to the text of an array; its type.
fn element(array: &mut String, value: &Value) -> Option<&'static str> {
    let (of, text): (_, Option<&dyn Display>) = match value {
        Value::String(text) => {
            match text {
                Some(text) => quote(array, text),
                None => array.push_str("NULL"),
            }
            return Some("text");
        }
        Value::BigInt(number) => ("int8", number.as_ref().map(|number| number as &dyn Display)),
        Value::Int(number) => ("int4", number.as_ref().map(|number| number as &dyn Display)),
        Value::Bool(truth) => ("bool", truth.as_ref().map(|truth| truth as &dyn Display)),
        _ => return None,
    };
    let _ = match text {
        Some(text) => write!(array, "{text}"),
        None => write!(array, "NULL"),
    };
    Some(of)
}

/// Appends a text in quotes, as arrays take it.
fn quote(array: &mut String, text: &str) {
    array.push('"');
    for part in text.split_inclusive(['"', '\\']) {
        let plain = part.trim_end_matches(['"', '\\']);
        array.push_str(plain);
        if plain.len() < part.len() {
            array.push('\\');
            array.push_str(&part[plain.len()..]);
        }
    }
    array.push('"');
}

/// The rows of a query in one row of JSON: SQLite's rows come one by one from
/// another thread, and waking for each costs more than reading it.
pub(super) async fn packed<T: DeserializeOwned>(
    db: &impl ConnectionTrait,
    rows: SelectStatement,
    columns: impl IntoIterator<Item = &'static str>,
) -> Result<Vec<T>, DbErr> {
    let row = Func::cust("json_array").args(columns.into_iter().map(Expr::col));
    let statement = Query::select()
        .expr(Func::cust("json_group_array").arg(row))
        .from_subquery(rows, "rows")
        .take();
    let Some(packed) = db.query_one(&statement).await? else { return Ok(Vec::new()) };
    let packed: String = packed.try_get_by_index(0)?;
    serde_json::from_str(&packed).map_err(|error| DbErr::Json(error.to_string()))
}

#[cfg(test)]
mod tests {
    use sea_orm::QueryTrait;
    use tidegate_entity::{command, stream_head};

    use super::*;

    fn split<E: EntityTrait>(backend: DatabaseBackend, mut left: usize) -> Vec<usize> {
        let next = || {
            (left > 0).then(|| {
                let count = rows_of_next::<E>(backend, left);
                left -= count;
                count
            })
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn rows_go_by_few_sizes() {
        let heads = |count| split::<stream_head::Entity>(DatabaseBackend::Sqlite, count);
        let commands = |count| split::<command::Entity>(DatabaseBackend::Sqlite, count);
        assert_eq!(heads(7), [7]);
        assert_eq!(heads(9), [8, 1]);
        assert_eq!(heads(127), [96, 24, 7]);
        // Twenty columns: 200 rows are the most.
        assert_eq!(commands(301), [192, 96, 12, 1]);
        assert_eq!(commands(0), [0_usize; 0]);
    }

    #[test]
    fn postgres_is_given_any_number_of_rows() {
        let commands = |count| split::<command::Entity>(DatabaseBackend::Postgres, count);
        assert_eq!(commands(127), [127]);
        assert_eq!(commands(301), [200, 101]);
    }

    #[test]
    fn rows_are_inserted_as_by_hand() {
        let head = |stream: &str| stream_head::Model {
            stream: stream.to_owned(),
            epoch: "0a1b2c3d".to_owned(),
            seq: 1,
            trimmed: 0,
            pending: 0,
        };
        let heads = || ["a", "b"].map(|stream| stream_head::ActiveModel::from(head(stream)));
        let once = OnConflict::column(stream_head::Column::Stream).do_nothing().to_owned();
        let ours =
            insert(DatabaseBackend::Sqlite, heads().into_iter(), Some(&once), Answer::Nothing);
        let theirs = stream_head::Entity::insert_many(heads()).on_conflict(once.clone());
        assert_eq!(ours, theirs.build(DatabaseBackend::Sqlite));
        let ours =
            insert(DatabaseBackend::Postgres, heads().into_iter(), Some(&once), Answer::Rows);
        assert_eq!(
            ours.sql,
            "INSERT INTO \"stream_head\" (\"stream\", \"epoch\", \"seq\", \"trimmed\", \
             \"pending\") SELECT * FROM unnest($1::text::text[], $2::text::text[], \
             $3::text::int8[], $4::text::int8[], $5::text::int8[]) \
             ON CONFLICT (\"stream\") DO NOTHING \
             RETURNING \"stream\", \"epoch\", \"seq\", \"trimmed\", \"pending\""
        );
    }

    #[test]
    fn arrays_are_written_as_postgres_reads_them() {
        let text = |text: &str| Value::from(text.to_owned());
        let rows = [text(r#"a"b\c\""#), Value::from(7_i64), text("NULL"), Value::BigInt(None)];
        let arrays = arrays(&rows, 2).unwrap();
        assert_eq!(arrays[0], ("text", r#"{"a\"b\\c\\\"","NULL"}"#.to_owned()));
        assert_eq!(arrays[1], ("int8", "{7,NULL}".to_owned()));
    }
}
