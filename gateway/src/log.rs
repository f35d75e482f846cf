//! Sets up logging, once for the process. Lines go to standard error, so that
//! what a subcommand prints can be piped.

use std::io::{IsTerminal as _, stderr};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Config, Environment, Log, LogFormat};

/// Logs as configured from here on.
pub fn init(config: &Config) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log.filter)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(stderr)
        // A line that cannot be written, on a full disk or to a reader that is
        // gone, would be told of on the same stream, and that fails with a panic.
        .log_internal_errors(false);
    let discreet = filter_fn(|line| is_discreet(line.target(), line.is_span()));
    let done = if is_json(&config.log, config.environment) {
        // The fields of the event and of its innermost span on one level: what
        // a line is searched by.
        builder.json().flatten_event(true).with_span_list(false).finish().with(discreet).try_init()
    } else {
        builder.with_ansi(stderr().is_terminal()).finish().with(discreet).try_init()
    };
    done.map_err(|error| anyhow::anyhow!("cannot set up logging: {error}"))
}

/// Whether what a library traces may be logged, whatever the filter asks for.
/// tungstenite writes whole requests, tokens included, and what clients say in
/// close frames; sea-orm's spans name what it is called with, such as the
/// database's address with its password; sqlx's reader of that address repeats
/// what it does not know, which may be a piece of the password.
fn is_discreet(target: &str, is_span: bool) -> bool {
    let tells_secrets =
        ["tungstenite", "sqlx_postgres::options"].iter().any(|known| target.starts_with(known));
    let names_the_database = is_span && target.starts_with("sea_orm");
    !tells_secrets && !names_the_database
}

fn is_json(log: &Log, environment: Environment) -> bool {
    match log.format {
        LogFormat::Auto => environment == Environment::Production,
        LogFormat::Human => false,
        LogFormat::Json => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn machines_read_production_and_people_read_development() {
        let log = |format| Log { format, filter: String::new() };
        assert!(is_json(&log(LogFormat::Auto), Environment::Production));
        assert!(!is_json(&log(LogFormat::Auto), Environment::Development));
        assert!(is_json(&log(LogFormat::Json), Environment::Development));
        assert!(!is_json(&log(LogFormat::Human), Environment::Production));
    }
}
