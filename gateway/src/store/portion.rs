//! Reads bounded by bytes: rows that differ in size by a thousand times are
//! read until there is enough of them, not by their number.

use sea_orm::sea_query::{
    Expr, ExprTrait, Func, IntoColumnRef, IntoIden, Order, Query, SelectStatement,
    SubQueryStatement, WindowStatement,
};
use sea_orm::{Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QuerySelect};

/// How much one read may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portion {
    /// Most rows; from 1.
    pub rows: usize,
    /// The row that reaches so many bytes is the last one; from 1.
    pub bytes: usize,
}

/// Rows of one read.
#[derive(Clone, Debug)]
pub struct Portioned<T> {
    /// The rows, in order.
    pub rows: Vec<T>,
    /// Whether none follow.
    pub is_last: bool,
    /// What was read.
    pub cost: Cost,
}

/// What was read from the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Rows.
    pub rows: usize,
    /// Bytes of them, about.
    pub bytes: usize,
}

impl Cost {
    /// Of rows with texts of so many bytes.
    pub fn of(texts: impl ExactSizeIterator<Item = usize>) -> Self {
        let rows = texts.len();
        Self { rows, bytes: texts.map(|bytes| bytes + ROW_BYTES).sum() }
    }
}

impl std::ops::AddAssign for Cost {
    fn add_assign(&mut self, other: Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
    }
}

impl Portion {
    /// Whether what was read may have more after it.
    pub(super) const fn is_full(self, cost: Cost) -> bool {
        cost.rows >= self.rows || cost.bytes >= self.bytes
    }

    /// Says of the rows that a read within this brought whether any follow.
    /// `bytes_of` tells how many bytes the texts of a row have that the read was
    /// bounded by, and `after` finds what follows a row.
    pub(super) async fn of<E: EntityTrait, T>(
        self,
        db: &impl ConnectionTrait,
        rows: Vec<T>,
        bytes_of: impl Fn(&T) -> usize,
        after: impl Fn(&T) -> Condition,
    ) -> Result<Portioned<T>, DbErr> {
        let cost = Cost::of(rows.iter().map(bytes_of));
        let is_last = match rows.last().filter(|_| self.is_full(cost)) {
            None => true,
            Some(last) => {
                let query = E::find().select_only().expr(Expr::val(1)).filter(after(last));
                query.limit(1).into_tuple::<i32>().one(db).await?.is_none()
            }
        };
        Ok(Portioned { rows, is_last, cost })
    }

    /// Whether a row is one of the first that match and have so many bytes
    /// together. To be used with the same condition, order and number of rows.
    ///
    /// Only the lengths of further rows are looked at, which both databases
    /// tell without reading the texts.
    pub(super) fn holds<E: EntityTrait + Default, const KEYS: usize>(
        self,
        keys: [E::Column; KEYS],
        texts: &[E::Column],
        matching: Condition,
    ) -> Expr {
        let mut sizes = Query::select();
        sizes.expr_as(size(texts), BYTES).from(E::default()).cond_where(matching);
        for key in keys {
            sizes.column(key);
        }
        let last = self.last_of(keys, sizes);
        let keys = keys.map(|key| Expr::col((E::default(), key)));
        Expr::tuple(keys).lte(single(last))
    }

    /// The keys of the last row that a portion holds, of rows given by their keys
    /// and [`size`]. No row where there is none.
    pub(super) fn last_of<K: IntoIden + Copy, const KEYS: usize>(
        self,
        keys: [K; KEYS],
        mut sizes: SelectStatement,
    ) -> SelectStatement {
        sizes.limit(self.rows as u64);
        let mut window = WindowStatement::new();
        for key in keys {
            sizes.order_by(key.into_iden(), Order::Asc);
            window.order_by(key.into_iden(), Order::Asc);
        }
        let mut sums = Query::select();
        sums.columns(keys.map(IntoIden::into_iden)).column(BYTES);
        sums.expr_window_as(Func::sum(Expr::col(BYTES)), window, BYTES_UPTO);
        sums.from_subquery(sizes.take(), "sizes");
        let mut last = Query::select();
        last.columns(keys.map(IntoIden::into_iden)).from_subquery(sums.take(), "sums").limit(1);
        let enough = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        last.and_where(Expr::col(BYTES_UPTO).sub(Expr::col(BYTES)).lt(enough));
        for key in keys {
            last.order_by(key.into_iden(), Order::Desc);
        }
        last.take()
    }
}

/// How many bytes a row with these texts is counted for, as [`BYTES`].
pub(super) fn size<C: IntoColumnRef + Copy>(texts: &[C]) -> Expr {
    let row = Expr::val(i32::try_from(ROW_BYTES).unwrap_or(i32::MAX));
    texts.iter().fold(row, |sum, text| {
        let length = Func::cust("octet_length").arg(Expr::col(*text));
        sum.add(Func::coalesce([length.into(), Expr::val(0)]))
    })
}

/// What is counted for a row beside its texts: about what it has on the wire
/// around its body.
const ROW_BYTES: usize = 64;

/// The name of a row's [`size`].
pub(super) const BYTES: &str = "bytes";
const BYTES_UPTO: &str = "bytes_upto";

pub(super) fn single(select: SelectStatement) -> Expr {
    Expr::from(SubQueryStatement::from(select))
}
