//! What the settings of health data and its providers may be.

use std::collections::BTreeSet;

use crate::config::check::{is_origin_and_path, is_web_url};
use crate::config::health::{ProviderSettings, Providers, Sealing, return_url};
use crate::config::{Config, Environment};
use crate::sealing::Key;

/// The keys of one provider's settings: what is refused is named.
struct Names {
    enabled: &'static str,
    client_secret: &'static str,
    base_url: &'static str,
    authorize_url: &'static str,
    token_url: &'static str,
    revoke_url: &'static str,
    scopes: &'static str,
    read_limits: &'static str,
    limits: &'static str,
    verify_token: &'static str,
    webhook_secret: &'static str,
}

macro_rules! names {
    ($provider:literal) => {
        Names {
            enabled: concat!("providers.", $provider, ".enabled"),
            client_secret: concat!("providers.", $provider, ".client_secret"),
            base_url: concat!("providers.", $provider, ".base_url"),
            authorize_url: concat!("providers.", $provider, ".authorize_url"),
            token_url: concat!("providers.", $provider, ".token_url"),
            revoke_url: concat!("providers.", $provider, ".revoke_url"),
            scopes: concat!("providers.", $provider, ".scopes"),
            read_limits: concat!("providers.", $provider, ".read_limits"),
            limits: concat!("providers.", $provider, ".limits"),
            verify_token: concat!("providers.", $provider, ".verify_token"),
            webhook_secret: concat!("providers.", $provider, ".webhook_secret"),
        }
    };
}

/// In the order of [`Providers::all`].
const NAMES: [Names; 4] =
    [names!("strava"), names!("google_health"), names!("oura"), names!("fitbit")];

pub(super) fn sealing(sealing: &Sealing, refuse: &mut impl FnMut(&'static str, &str)) {
    let keys: Vec<_> = sealing.keys.iter().map(|text| Key::parse(text)).collect();
    if keys.iter().any(Option::is_none) {
        refuse("sealing.keys", "a key is `id:base64url of 32 bytes`, as `sealing-key` prints it");
    }
    let ids: BTreeSet<&str> = keys.iter().flatten().map(Key::id).collect();
    if ids.len() < keys.iter().flatten().count() {
        refuse("sealing.keys", "two keys have the same id");
    }
}

pub(super) fn providers(config: &Config, refuse: &mut impl FnMut(&'static str, &str)) {
    let providers = &config.providers;
    let url = &providers.public_url;
    if url.is_empty() {
        if providers.is_any_configured() {
            refuse("providers.public_url", "needed with a provider's `client_id`");
        }
    } else if !is_origin_and_path(url) {
        refuse("providers.public_url", "is written `https://sync.example.org`, no `/` at its end");
    }
    if providers.return_urls.iter().any(|url| return_url(url).is_none()) {
        refuse("providers.return_urls", "each is a URL, such as `https://app.example.org/done`");
    }
    if config.environment == Environment::Production
        && providers.is_any_configured()
        && config.sealing.keys.is_empty()
    {
        refuse("sealing.keys", "needed in production with a provider's `client_id`");
    }
    for ((_, settings), names) in providers.all().into_iter().zip(&NAMES) {
        provider(settings, names, refuse);
    }
}

fn provider(
    settings: &ProviderSettings,
    names: &Names,
    refuse: &mut impl FnMut(&'static str, &str),
) {
    if settings.is_configured() && settings.client_secret.is_empty() {
        refuse(names.client_secret, "needed with `client_id`");
    }
    for (key, url) in [
        (names.base_url, &settings.base_url),
        (names.authorize_url, &settings.authorize_url),
        (names.token_url, &settings.token_url),
        (names.revoke_url, &settings.revoke_url),
    ] {
        if !is_web_url(url) {
            refuse(key, "must be an `https://` or `http://` URL");
        }
    }
    let is_scope = |scope: &String| {
        !scope.is_empty() && scope.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',')
    };
    if settings.scopes.is_empty() || !settings.scopes.iter().all(is_scope) {
        refuse(names.scopes, "at least one, without spaces and commas");
    }
    for (key, limits) in
        [(names.read_limits, settings.read_limits), (names.limits, settings.limits)]
    {
        if limits.is_some_and(|limits| limits.iter().any(|n| !(1..=10_000_000).contains(n))) {
            refuse(key, "two numbers, each 1 to 10000000");
        }
    }
    if !settings.webhooks {
        return;
    }
    if settings.verify_token.as_deref() == Some("") {
        refuse(names.verify_token, "needed with `webhooks`");
    }
    if settings.webhook_secret.as_deref() == Some("") {
        refuse(names.webhook_secret, "needed with `webhooks`");
    }
    if settings.enabled.is_some() {
        refuse(names.enabled, "there are no news of this provider: `webhooks` must be false");
    }
}

/// Whether tokens are sent over a connection that anybody can read.
pub(super) fn has_open_address(providers: &Providers) -> bool {
    let is_open = |settings: &ProviderSettings| {
        let urls = [&settings.base_url, &settings.token_url, &settings.revoke_url];
        settings.is_configured() && urls.iter().any(|url| url.starts_with("http://"))
    };
    providers.all().iter().any(|(_, settings)| is_open(settings))
}

#[cfg(test)]
mod tests {
    use crate::config::check;
    use crate::config::load::{effective, load};
    use crate::sealing::Key;

    const ON: &str = "[providers]\npublic_url = 'https://s.example'\n\
                      [providers.strava]\nclient_id = '1'\nclient_secret = 'hidden'\n";

    #[test]
    fn what_does_not_go_together_is_named() {
        for (file, key) in [
            ("[sealing]\nkeys = ['hidden']", "sealing.keys"),
            ("[providers]\npublic_url = 'https://a.example/'", "providers.public_url"),
            ("[providers]\npublic_url = 'a.example'", "providers.public_url"),
            ("[providers]\nreturn_urls = ['/done']", "providers.return_urls"),
            ("[providers.oura]\nbase_url = 'x'", "providers.oura.base_url"),
            ("[providers.oura]\nscopes = []", "providers.oura.scopes"),
            ("[providers.strava]\nlimits = [0, 1]", "providers.strava.limits"),
            ("[providers.strava]\nread_limits = [1]", "providers.strava.read_limits"),
            ("[providers.oura]\nwebhooks = true", "providers.oura.verify_token"),
            (
                "[providers.google_health]\nwebhooks = true",
                "providers.google_health.webhook_secret",
            ),
            ("[providers.fitbit]\nwebhooks = true", "providers.fitbit.enabled"),
            ("[providers.fitbit]\nverify_token = 'x'", "providers.fitbit.verify_token"),
        ] {
            let error = load(Some(("f", file)), []).unwrap_err().to_string();
            assert!(error.contains(&format!("`{key}`")), "{file}: {error}");
            assert!(!error.contains("hidden"), "{error}");
        }
        let alone = "[providers.strava]\nclient_id = '1'";
        let error = load(Some(("f", alone)), []).unwrap_err().to_string();
        assert!(error.contains("providers.public_url"), "{error}");
        assert!(error.contains("providers.strava.client_secret"), "{error}");
    }

    #[test]
    fn keys_are_needed_in_production_and_told_to_nobody() {
        let secret = "auth.hs256_secret = '0123456789012345678901234567890123456789'\n";
        let production = format!("environment = 'production'\n{secret}{ON}");
        let error = load(Some(("f", &production)), []).unwrap_err().to_string();
        assert!(error.contains("`sealing.keys`"), "{error}");
        let key = Key::random().text();
        let file =
            format!("{production}base_url = 'http://s.example'\n[sealing]\nkeys = ['{key}']");
        let config = load(Some(("f", &file)), []).unwrap();
        assert_eq!(check::warnings(&config).len(), 1);
        let shown = format!("{} {config:?}", effective(&config));
        assert!(!shown.contains("hidden") && !shown.contains(&key), "{shown}");
        assert!(shown.contains("keys = [\"***\"]"), "{shown}");
        let twice = format!("[sealing]\nkeys = ['{key}', '{key}']");
        assert!(load(Some(("f", &twice)), []).is_err());
    }
}
