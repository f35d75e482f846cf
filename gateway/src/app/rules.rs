//! The rules by which conflicts are judged: the built-in ones, what a file
//! changes of them, and the marketplace's strategy.

use anyhow::{Context, anyhow};

use crate::config::Config;
use crate::resolve::rules::Rules;
use crate::resolve::rules::settings::Settings;

/// Reads them; every mistake in the file is named.
pub(super) fn read(config: &Config) -> anyhow::Result<Rules> {
    let path = &config.conflicts.rules_file;
    let mut settings = Settings::default();
    if !path.is_empty() {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("cannot read `conflicts.rules_file` ({path})"))?;
        settings = toml::from_str(&text)
            .with_context(|| format!("`conflicts.rules_file` ({path}) is not as it should be"))?;
    }
    let strategy = config.marketplace.strategy;
    settings.skill.strategy.get_or_insert(strategy);
    settings.category.strategy.get_or_insert(strategy);
    settings.rules().map_err(|found| {
        let lines: Vec<String> = found.iter().map(|invalid| format!("\n  {invalid}")).collect();
        anyhow!("`conflicts.rules_file` ({path}) cannot be used:{}", lines.concat())
    })
}
