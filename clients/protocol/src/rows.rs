//! Words as values of database columns: each is stored as its text.

pub use sea_orm;

/// Makes a type with `as_str`, `from_word` and `Copy` the type of a column of
/// texts. A text that is none of the words, which a newer version may have
/// written, is an error of the query that names the column and the type.
#[macro_export]
macro_rules! stored {
    ($name:ident) => {
        const _: () = {
            use $crate::rows::sea_orm::sea_query::{
                ArrayType, ColumnType, Nullable, ValueType, ValueTypeErr,
            };
            use $crate::rows::sea_orm::{
                ColIdx, DbErr, QueryResult, TryFromU64, TryGetError, TryGetable, Value,
            };

            impl From<$name> for Value {
                fn from(word: $name) -> Self {
                    word.as_str().into()
                }
            }

            impl TryGetable for $name {
                fn try_get_by<I: ColIdx>(
                    row: &QueryResult,
                    column: I,
                ) -> Result<Self, TryGetError> {
                    let word = String::try_get_by(row, column)?;
                    Self::from_word(&word).ok_or_else(|| {
                        let name = stringify!($name);
                        DbErr::Type(format!("column {column:?}: not a known {name}")).into()
                    })
                }
            }

            impl ValueType for $name {
                fn try_from(value: Value) -> Result<Self, ValueTypeErr> {
                    match value {
                        Value::String(Some(word)) => Self::from_word(&word).ok_or(ValueTypeErr),
                        _ => Err(ValueTypeErr),
                    }
                }

                fn type_name() -> String {
                    stringify!($name).to_owned()
                }

                fn array_type() -> ArrayType {
                    ArrayType::String
                }

                fn column_type() -> ColumnType {
                    ColumnType::Text
                }
            }

            impl Nullable for $name {
                fn null() -> Value {
                    Value::String(None)
                }
            }

            // What every part of a primary key has to have.
            impl TryFromU64 for $name {
                fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                    Err(DbErr::ConvertFromU64(stringify!($name)))
                }
            }
        };
    };
}
