//! Settings from texts: order, types, and a named problem for each mistake.

use super::*;
use crate::config::Environment;

fn from_env(env: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load(None, env.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())))
}

fn from_file(text: &str) -> Result<Config, ConfigError> {
    load(Some(("gateway.toml", text)), [])
}

/// The only problem, as an operator reads it.
fn problem(result: Result<Config, ConfigError>) -> String {
    let problems = result.unwrap_err().problems;
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems[0].to_string()
}

/// The dotted keys of all whole numbers.
fn numbers(prefix: &str, table: &Table, keys: &mut Vec<String>) {
    for (name, value) in table {
        let key = format!("{prefix}{name}");
        match value {
            Value::Table(inner) => numbers(&format!("{key}."), inner, keys),
            Value::Integer(_) => keys.push(key),
            _ => {}
        }
    }
}

#[test]
fn defaults_load_and_every_number_has_a_range() {
    let config = from_env(&[]).unwrap();
    assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(config.limits.body_bytes, 2 * 1024 * 1024);
    assert!(check::warnings(&config).is_empty());

    let mut keys = Vec::new();
    numbers("", &DEFAULTS.parse().unwrap(), &mut keys);
    let mut ranged: Vec<_> = check::RANGES.iter().map(|(key, _)| (*key).to_owned()).collect();
    keys.sort();
    ranged.sort();
    assert_eq!(keys, ranged);
}

#[test]
fn the_documented_ranges_are_the_checked_ones() {
    for (key, range) in check::RANGES {
        let words = format!("{} to {}", range.start(), range.end());
        let flowing = DEFAULTS.replace("\n# ", " ");
        assert!(flowing.contains(&words), "{key}: `{words}` is not in gateway.default.toml");
    }
}

#[test]
fn the_environment_goes_before_the_file_and_the_file_before_the_defaults() {
    let file = "listen = '127.0.0.1:1'\n[journal]\nretention_h = 1\n";
    let env = [("TIDEGATE_LISTEN".to_owned(), "127.0.0.1:2".to_owned())];
    let config = load(Some(("f", file)), env).unwrap();
    assert_eq!(config.listen.port(), 2);
    assert_eq!(config.journal.retention_h, 1);
    assert_eq!(config.journal.retention_entries, 100_000);
}

#[test]
fn variables_are_read_as_the_type_of_their_default() {
    let digits = "12345678901234567890123456789012";
    let config = from_env(&[
        ("TIDEGATE_AUTH__HS256_SECRET", digits),
        ("TIDEGATE_STREAMS__SHARED", r#"["news", "prices"]"#),
        ("TIDEGATE_DATABASE__AUTO_MIGRATE", "false"),
        ("TIDEGATE_HTTP__TRUSTED_PROXIES", r#"["10.0.0.0/8"]"#),
        ("TIDEGATE_ENVIRONMENT", "production"),
        ("TIDEGATE_LIMITS__WRITE_QUEUE", "7"),
        ("TIDEGATE_DATA_DIR", "/tmp/tide"),
    ])
    .unwrap();
    assert_eq!(config.auth.hs256_secret, digits);
    assert_eq!(config.streams.shared.len(), 2);
    assert!(!config.database.auto_migrate);
    assert_eq!(config.environment, Environment::Production);
    assert_eq!(config.limits.write_queue, 7);
}

#[test]
fn variables_of_the_clients_and_of_others_are_passed_over() {
    from_env(&[
        ("TIDEGATE_CONFIG", "/etc/tidegate.toml"),
        ("TIDEGATE_URL", "ws://localhost"),
        ("TIDEGATE_TOKEN", "t"),
        ("TIDEGATE_SERVICE_TOKEN", "t"),
        ("HOME", "/root"),
    ])
    .unwrap();
}

#[test]
fn a_setting_is_understood_by_its_old_name_too() {
    let old = "[push]\nack_timeout_ms = 700\n";
    assert_eq!(from_file(old).unwrap().push.result_timeout_ms, 700);
    let both = "[push]\nresult_timeout_ms = 800\nack_timeout_ms = 700\n";
    assert_eq!(from_file(both).unwrap().push.result_timeout_ms, 800);
    let old = ("TIDEGATE_PUSH__ACK_TIMEOUT_MS", "700");
    assert_eq!(from_env(&[old]).unwrap().push.result_timeout_ms, 700);
    let both = [old, ("TIDEGATE_PUSH__RESULT_TIMEOUT_MS", "800")];
    assert_eq!(from_env(&both).unwrap().push.result_timeout_ms, 800);
}

#[test]
fn unknown_keys_are_named_with_their_origin_and_their_neighbours() {
    assert_eq!(
        problem(from_file("[tls]\ncert = 'a'\n")),
        "`tls.cert` is not a setting; known here: cert_file, key_file (in gateway.toml)"
    );
    assert_eq!(
        problem(from_env(&[("TIDEGATE_TLS__CERT", "a")])),
        "`tls.cert` is not a setting; known here: cert_file, key_file \
         (in the variable TIDEGATE_TLS__CERT)"
    );
    assert!(problem(from_env(&[("TIDEGATE_TLS", "a")])).starts_with("`tls` is not a setting"));
    assert!(problem(from_file("[session.x]\ny = 1")).starts_with("`session.x` is not a setting"));
}

#[test]
fn wrong_types_are_named_with_the_value() {
    assert_eq!(
        problem(from_file("listen = 8080")),
        "`listen` must be a text, not 8080 (in gateway.toml)"
    );
    assert_eq!(
        problem(from_env(&[("TIDEGATE_LIMITS__WRITE_QUEUE", "many")])),
        "`limits.write_queue` must be a whole number, not \"many\" \
         (in the variable TIDEGATE_LIMITS__WRITE_QUEUE)"
    );
    for text in ["news", "\"news\"", "[]\nother = 1", "["] {
        let problem = problem(from_env(&[("TIDEGATE_STREAMS__SHARED", text)]));
        assert!(problem.starts_with("`streams.shared` must be a list"), "{problem}");
    }
    assert!(problem(from_env(&[("TIDEGATE_DATABASE__AUTO_MIGRATE", "yes")])).contains("true or"));
    assert!(problem(from_file("tls = 1")).starts_with("`tls` must be a table, not 1"));
}

#[test]
fn numbers_out_of_range_are_named_with_the_range() {
    assert_eq!(
        problem(from_env(&[("TIDEGATE_LIMITS__BODY_BYTES", "12")])),
        "`limits.body_bytes` is 12; allowed is 1024 to 104857600 \
         (in the variable TIDEGATE_LIMITS__BODY_BYTES)"
    );
    assert!(problem(from_file("[session]\nhello_timeout_ms = -1")).contains("is -1; allowed"));
}

#[test]
fn values_that_do_not_parse_are_named() {
    for (file, expected) in [
        ("environment = 'test'", "`environment` is \"test\""),
        ("listen = 'localhost'", "`listen` is \"localhost\""),
        ("[streams]\nshared = ['News']", "`streams.shared` is [\"News\"]"),
        ("[streams]\nshared = ['user:a']", "`streams.shared` is"),
        ("[streams]\nshared = ['a', 'a']", "`streams.shared` is"),
        ("[http]\ntrusted_proxies = ['10.0.0.1/40']", "`http.trusted_proxies[0]` is"),
        ("[http]\ncors_origins = ['*', 'https://a.example']", "`http.cors_origins` is"),
        ("[http]\ncors_origins = ['https://a.example/x']", "`http.cors_origins` is"),
        ("[log]\nfilter = 'tidegate=loud'", "`log.filter` is"),
        ("data_dir = ''", "`data_dir` is"),
    ] {
        let problem = problem(from_file(file));
        assert!(problem.starts_with(expected), "{problem}");
        assert!(problem.ends_with("(in gateway.toml)"), "{problem}");
    }
}

#[test]
fn contradictions_are_named() {
    for (file, key) in [
        ("environment = 'production'", "environment"),
        ("[tls]\ncert_file = 'a'", "tls.key_file"),
        ("[tls]\nkey_file = 'a'", "tls.cert_file"),
        ("[auth]\njwks_file = 'a'\njwks_url = 'https://a.example'", "auth.jwks_url"),
        ("[auth]\njwks_url = 'ftp://a.example'", "auth.jwks_url"),
        ("[limits]\nframes_burst = 50", "limits.frames_burst"),
        ("[drain]\nspread_ms = 9000\ndeadline_ms = 9000", "drain.deadline_ms"),
        ("[database]\nurl = 'mysql://u:hidden@h/d'", "database.url"),
    ] {
        let problem = problem(from_file(file));
        assert!(problem.starts_with(&format!("`{key}`")), "{problem}");
    }
}

#[test]
fn a_file_that_is_not_toml_is_named_with_the_line() {
    let problem = problem(from_file("listen = '127.0.0.1:1'\n[tls\n"));
    assert!(problem.starts_with("not TOML: line 2: "), "{problem}");
}

#[test]
fn all_problems_are_told_at_once() {
    let file = "nothing = 1\n[limits]\nbody_bytes = 1\nwrite_queue = 'x'\n[tls]\ncert_file = 'a'";
    let problems = from_file(file).unwrap_err().problems;
    let keys: Vec<_> = problems.iter().map(|problem| problem.key.as_str()).collect();
    assert_eq!(keys, ["limits.write_queue", "nothing", "limits.body_bytes", "tls.key_file"]);
}

#[test]
fn no_secret_is_told() {
    let hidden = "hidden";
    for result in [
        from_env(&[("TIDEGATE_AUTH__HS256_SECRET", hidden)]),
        from_env(&[("TIDEGATE_DATABASE__URL", "mysql://u:hidden@h/d")]),
        from_env(&[("TIDEGATE_AUTH__JWKS_URL", "ftp://u:hidden@h/")]),
        from_file("[auth]\nhs256_secret = ['hidden']"),
    ] {
        let problem = problem(result);
        assert!(!problem.contains(hidden), "{problem}");
    }
    let config = from_env(&[
        ("TIDEGATE_AUTH__HS256_SECRET", "hidden-hidden-hidden-hidden-hidden"),
        ("TIDEGATE_DATABASE__URL", "postgres://u:hidden@h/d"),
    ])
    .unwrap();
    let text = effective(&config);
    assert!(!text.contains(hidden) && !format!("{config:?}").contains(hidden), "{text}");
    assert!(text.contains("hs256_secret = \"***\""), "{text}");
    assert!(text.contains("url = \"postgres://u:***@h/d\""), "{text}");
}

#[test]
fn what_is_in_force_can_be_loaded_again() {
    let config = from_env(&[("TIDEGATE_STREAMS__SHARED", "[\"news\"]")]).unwrap();
    let again = from_file(&effective(&config)).unwrap();
    assert_eq!(effective(&again), effective(&config));
}

#[test]
fn risky_pairs_are_warned_of() {
    let config = from_env(&[
        ("TIDEGATE_ENVIRONMENT", "production"),
        ("TIDEGATE_AUTH__JWKS_URL", "http://id.example/keys"),
        ("TIDEGATE_DATABASE__SYNCHRONOUS", "normal"),
        ("TIDEGATE_HTTP__CORS_ORIGINS", "[\"*\"]"),
        ("TIDEGATE_HTTP__TRUSTED_PROXIES", "[\"0.0.0.0/0\"]"),
    ])
    .unwrap();
    assert_eq!(check::warnings(&config).len(), 4);
    let config = from_env(&[("TIDEGATE_LISTEN", "0.0.0.0:80")]).unwrap();
    assert_eq!(check::warnings(&config).len(), 1);
}

#[test]
fn variables_of_the_origin_system_are_understood() {
    let config = from_env(&[
        ("ATOM_SAAS_ENABLED", "True"),
        ("ATOM_SAAS_API_URL", "https://atom.example.org"),
        ("ATOM_SAAS_API_TOKEN", "at_saas_0123456789abcdef"),
        ("ATOM_SAAS_URL", "ws://old.example.org/ws"),
        ("ATOM_SAAS_WS_URL", "wss://atom.example.org/ws"),
        ("ATOM_SAAS_SYNC_INTERVAL_MINUTES", "5"),
        ("ATOM_SAAS_CONFLICT_STRATEGY", "MERGE"),
        ("TIDEGATE_MARKETPLACE__INTERVAL_S", "600"),
    ])
    .unwrap()
    .marketplace;
    assert!(config.is_on());
    assert_eq!(config.base_url, "https://atom.example.org");
    assert_eq!(config.ws_url, "wss://atom.example.org/ws");
    assert_eq!(config.strategy.as_str(), "merge");
    assert_eq!(config.interval_s, 600, "our own variable counts more");

    let wrong = problem(from_env(&[("ATOM_SAAS_SYNC_INTERVAL_MINUTES", "61")]));
    assert_eq!(
        wrong,
        "`marketplace.interval_s` is 3660; allowed is 300 to 3600 \
         (in the variable ATOM_SAAS_SYNC_INTERVAL_MINUTES)"
    );
    let wrong = problem(from_env(&[("MARKETPLACE_ENABLED", "perhaps")]));
    assert!(wrong.contains("must be true or false"), "{wrong}");
    let secret = from_env(&[("ATOM_SAAS_API_TOKEN", "at_saas_0123456789abcdef")]).unwrap();
    assert!(!effective(&secret).contains("0123456789abcdef"));
}
