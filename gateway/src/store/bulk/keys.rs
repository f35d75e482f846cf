//! Rows picked by lists of keys.

use sea_orm::sea_query::extension::postgres::PgFunc;
use sea_orm::sea_query::{Asterisk, Expr, ExprTrait, Func, Query};
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseBackend};

use crate::store::bulk::{quote, step};

/// Picks rows whose column is one of these keys.
pub(in crate::store) fn one_of<'a, C: ColumnTrait>(
    db: &impl ConnectionTrait,
    column: C,
    keys: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Expr {
    among(db.get_database_backend(), column, keys)
}

/// Picks rows by pairs of columns that begin an index.
pub(in crate::store) fn in_pairs<'a, C: ColumnTrait>(
    db: &impl ConnectionTrait,
    columns: [C; 2],
    pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
) -> Condition {
    pairs_among(db.get_database_backend(), columns, pairs)
}

fn among<'a, C: ColumnTrait>(
    backend: DatabaseBackend,
    column: C,
    keys: impl ExactSizeIterator<Item = &'a str> + Clone,
) -> Expr {
    match backend {
        DatabaseBackend::Postgres => Expr::col(column.as_column_ref()).eq(PgFunc::any(array(keys))),
        _ => column.is_in(filled(keys)),
    }
}

/// The first column is named by itself too. SQLite looks pairs up by no index,
/// and would read the whole table. PostgreSQL would join, and lock the rows of a
/// write in the order of a hash table: `IS TRUE` has it read them by the index,
/// and look at the pairs then.
fn pairs_among<'a, C: ColumnTrait>(
    backend: DatabaseBackend,
    [first, second]: [C; 2],
    pairs: impl ExactSizeIterator<Item = (&'a str, &'a str)> + Clone,
) -> Condition {
    let of_first = among(backend, first, pairs.clone().map(|(first, _)| first));
    let both = Expr::tuple([first, second].map(|column| Expr::col(column.as_column_ref())));
    let these = if backend == DatabaseBackend::Postgres {
        let firsts = array(pairs.clone().map(|(first, _)| first));
        let seconds = array(pairs.map(|(_, second)| second));
        let wanted = Query::select()
            .column(Asterisk)
            .from_function(Func::cust("unnest").args([firsts, seconds]), "wanted")
            .take();
        both.in_subquery(wanted).is(Expr::custom_keyword("TRUE"))
    } else {
        let owned = |(first, second): (&str, &str)| (first.to_owned(), second.to_owned());
        both.in_tuples(filled(pairs).map(owned))
    };
    Condition::all().add(of_first).add(these)
}

/// Keys as one value: the text of a PostgreSQL array.
fn array<'a>(keys: impl Iterator<Item = &'a str>) -> Expr {
    let mut array = String::from("{");
    for key in keys {
        if array.len() > 1 {
            array.push(',');
        }
        quote(&mut array, key);
    }
    array.push('}');
    Expr::val(array).cast_as("text").cast_as("text[]")
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

#[cfg(test)]
mod tests {
    use sea_orm::{
        Database, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait, Select, Statement,
        Value,
    };
    use tidegate_entity::{device, stream_head};

    use super::*;
    use crate::store::bulk::KEYS_PER_STATEMENT;

    const DEVICE: [device::Column; 2] = [device::Column::UserId, device::Column::DeviceId];

    /// Each would mean something else in an array that does not quote it.
    const HOSTILE: [&str; 9] = ["a\"b", "a\\b\\", "\\\"", "a,b", "{a}", "NULL", "", " a ", "'; --"];

    #[tokio::test]
    async fn pairs_are_looked_up_by_the_index() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        let schema = sea_orm::Schema::new(DatabaseBackend::Sqlite);
        db.execute(&schema.create_table_from_entity(device::Entity)).await.unwrap();
        let keys = [("u1", "a"), ("u2", "b"), ("u1", "c")];
        let query = device::Entity::find().filter(in_pairs(&db, DEVICE, keys.into_iter()));
        let mut explain = query.build(DatabaseBackend::Sqlite);
        explain.sql.insert_str(0, "EXPLAIN QUERY PLAN ");
        let plan = db.query_all_raw(explain).await.unwrap();
        let plan: Vec<String> = plan.iter().map(|row| row.try_get("", "detail").unwrap()).collect();
        assert!(plan[0].starts_with("SEARCH device USING"), "{plan:?}");
    }

    #[tokio::test]
    async fn sqlite_finds_hostile_keys() {
        let db = Database::connect("sqlite::memory:").await.unwrap();
        let schema = sea_orm::Schema::new(DatabaseBackend::Sqlite);
        db.execute(&schema.create_table_from_entity(stream_head::Entity)).await.unwrap();
        for stream in HOSTILE {
            let sql = "INSERT INTO stream_head VALUES (?, 'e', 1, 0, 0)";
            let row = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, [stream.into()]);
            db.execute_raw(row).await.unwrap();
        }
        let query = stream_head::Entity::find().filter(one_of(
            &db,
            stream_head::Column::Stream,
            HOSTILE.into_iter(),
        ));
        assert_eq!(query.all(&db).await.unwrap().len(), HOSTILE.len());
    }

    /// What follows WHERE, and the values.
    fn rendered<E: EntityTrait>(
        query: &Select<E>,
        backend: DatabaseBackend,
    ) -> (String, Vec<Value>) {
        let statement = query.build(backend);
        let (_, condition) = statement.sql.split_once(" WHERE ").unwrap();
        (condition.to_owned(), statement.values.unwrap().0)
    }

    #[test]
    fn postgres_is_given_one_array_of_keys() {
        let query = |keys: &[&'static str]| {
            let these =
                among(DatabaseBackend::Postgres, stream_head::Column::Stream, keys.iter().copied());
            let query = stream_head::Entity::find().filter(these);
            let locked = query.order_by_asc(stream_head::Column::Stream).lock_exclusive();
            rendered(&locked, DatabaseBackend::Postgres)
        };
        let (sql, values) = query(&HOSTILE);
        assert_eq!(
            sql,
            "\"stream_head\".\"stream\" = ANY(CAST(CAST($1 AS text) AS text[])) \
             ORDER BY \"stream_head\".\"stream\" ASC FOR UPDATE"
        );
        let array = r#"{"a\"b","a\\b\\","\\\"","a,b","{a}","NULL",""," a ","'; --"}"#;
        assert_eq!(values, [Value::from(array)]);
        // Of any number, and of none.
        assert_eq!(query(&[]), (sql.clone(), vec![Value::from("{}")]));
        assert_eq!(query(&["a"]), (sql, vec![Value::from(r#"{"a"}"#)]));
    }

    #[test]
    fn postgres_is_given_two_arrays_of_pairs() {
        let pairs = [("u,1", "a"), ("NULL", "\\")];
        let these = pairs_among(DatabaseBackend::Postgres, DEVICE, pairs.into_iter());
        let query = device::Entity::find().filter(these);
        let (sql, values) = rendered(&query, DatabaseBackend::Postgres);
        assert_eq!(
            sql,
            "\"device\".\"user_id\" = ANY(CAST(CAST($1 AS text) AS text[])) AND \
             ((\"device\".\"user_id\", \"device\".\"device_id\") IN (SELECT * FROM \
             unnest(CAST(CAST($2 AS text) AS text[]), CAST(CAST($3 AS text) AS text[])) \
             AS \"wanted\")) IS TRUE"
        );
        let (users, devices) = (r#"{"u,1","NULL"}"#, r#"{"a","\\"}"#);
        assert_eq!(values, [users, users, devices].map(Value::from));
    }

    #[test]
    fn sqlite_is_given_lists_of_few_sizes() {
        let keys = ["a", "b", "c", "d", "e", "f", "g", "h", "i"];
        let these = among(DatabaseBackend::Sqlite, stream_head::Column::Stream, keys.into_iter());
        let (sql, values) =
            rendered(&stream_head::Entity::find().filter(these), DatabaseBackend::Sqlite);
        let places = ["?"; 12].join(", ");
        assert_eq!(sql, format!("\"stream_head\".\"stream\" IN ({places})"));
        assert_eq!(values[7..], ["h", "i", "i", "i", "i"].map(Value::from));
        let pairs = [("u", "a"), ("v", "b")];
        let these = pairs_among(DatabaseBackend::Sqlite, DEVICE, pairs.into_iter());
        let (sql, values) =
            rendered(&device::Entity::find().filter(these), DatabaseBackend::Sqlite);
        assert_eq!(
            sql,
            "\"device\".\"user_id\" IN (?, ?) AND \
             (\"device\".\"user_id\", \"device\".\"device_id\") IN ((?, ?), (?, ?))"
        );
        assert_eq!(values, ["u", "v", "u", "a", "v", "b"].map(Value::from));
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
