//! Labels of figures about health data.

use crate::metrics::label::Label;

labels! {
    /// What became of an item of health data that a sender brought.
    HealthItem {
        /// It made a row.
        Created = "created";
        /// It changed a row.
        Updated = "updated";
        /// It said nothing new.
        Unchanged = "unchanged";
        /// A value is wrong.
        Refused = "refused";
        /// It has a name that nobody knows.
        Ignored = "ignored";
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_stands_where_its_index_says() {
        for (index, value) in HealthItem::VALUES.iter().enumerate() {
            assert_eq!(value.index(), index, "{}", value.word());
        }
    }
}
