//! Tables of words: how the words of a source are looked up.

use crate::health::activity::ActivityType;

/// Words by what they stand for. What stands in no row is unknown.
pub(super) type Words = &'static [(ActivityType, &'static [&'static str])];

/// Numbers and their names. Those that stand for nothing of ours are there too: a
/// number that is missing is one that nobody has looked at.
pub(super) type Numbers = &'static [(u32, &'static str, ActivityType)];

/// What a word stands for.
pub(super) fn by_word(table: Words, word: &str) -> Option<ActivityType> {
    let found = table.iter().find(|(_, words)| words.iter().any(|known| is_same(known, word)));
    found.map(|(activity_type, _)| *activity_type)
}

/// What a number's name stands for.
pub(super) fn by_name(table: Numbers, name: &str) -> Option<ActivityType> {
    let found = table.iter().find(|(_, known, _)| is_same(known, name));
    found.map(|(.., activity_type)| *activity_type)
}

/// What a number, written as text, stands for.
pub(super) fn by_number(table: Numbers, text: &str) -> Option<ActivityType> {
    let text = text.trim();
    let number: u32 = text.strip_suffix(".0").unwrap_or(text).parse().ok()?;
    let found = table.iter().find(|(known, ..)| *known == number);
    found.map(|(.., activity_type)| *activity_type)
}

/// `Open Water Swim`, `openWaterSwim` and `OPEN_WATER_SWIM` are one word.
fn is_same(known: &str, word: &str) -> bool {
    letters(known).eq(letters(word))
}

fn letters(word: &str) -> impl Iterator<Item = char> {
    word.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase)
}
