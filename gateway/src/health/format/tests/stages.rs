//! Stages of sleep, row by row, and what they make of a night.

use crate::health::format::stages::Stage::{self, Asleep, Awake, Core, Deep, InBed, Rem};
use crate::health::source::Source::{AppleHealth, HealthConnect};

#[test]
fn numbers_mean_what_their_source_means() {
    let apple = [InBed, Asleep, Awake, Core, Deep, Rem];
    for (number, stage) in apple.into_iter().enumerate() {
        assert_eq!(Stage::of(AppleHealth, &number.to_string()), Some(stage));
    }
    let health_connect = [
        None,
        Some(Awake),
        Some(Asleep),
        Some(Awake),
        Some(Core),
        Some(Deep),
        Some(Rem),
        Some(Awake),
    ];
    for (number, stage) in health_connect.into_iter().enumerate() {
        assert_eq!(Stage::of(HealthConnect, &number.to_string()), stage);
    }
    for (source, number) in [(AppleHealth, "6"), (HealthConnect, "8"), (AppleHealth, "-1")] {
        assert_eq!(Stage::of(source, number), None);
    }
}

#[test]
fn words_mean_the_same_to_all() {
    for (word, stage) in [
        ("In Bed", InBed),
        ("inBed", InBed),
        ("Asleep", Asleep),
        ("sleeping", Asleep),
        ("Unspecified", Asleep),
        ("Core", Core),
        ("light", Core),
        ("Deep", Deep),
        ("REM", Rem),
        ("Awake", Awake),
        ("awake_in_bed", Awake),
        ("OUT_OF_BED", Awake),
        ("STAGE_TYPE_LIGHT", Core),
        ("SLEEP_STAGE_TYPE_REM", Rem),
        ("HKCategoryValueSleepAnalysisInBed", InBed),
        ("HKCategoryValueSleepAnalysisAsleep", Asleep),
        ("HKCategoryValueSleepAnalysisAsleepUnspecified", Asleep),
        ("HKCategoryValueSleepAnalysisAsleepCore", Core),
        ("HKCategoryValueSleepAnalysisAsleepDeep", Deep),
        ("HKCategoryValueSleepAnalysisAsleepREM", Rem),
        ("HKCategoryValueSleepAnalysisAwake", Awake),
    ] {
        for source in [AppleHealth, HealthConnect] {
            assert_eq!(Stage::of(source, word), Some(stage), "{word}");
        }
    }
    for word in ["", "unknown", "dreaming", "睡觉"] {
        assert_eq!(Stage::of(AppleHealth, word), None);
    }
}
