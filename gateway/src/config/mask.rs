//! Hides secrets where settings are written out.

use serde::Serializer;

/// What stands for a secret that is set.
const MASK: &str = "***";

/// Serialises a secret: whether it is set, and nothing of it.
pub(crate) fn secret<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if text.is_empty() { "" } else { MASK })
}

/// Serialises secrets: how many are set, and nothing of them.
pub(crate) fn secrets<S: Serializer>(texts: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(texts.iter().map(|_| MASK))
}

/// Serialises a secret that not all of its kind have.
#[expect(clippy::ref_option, reason = "serde gives the field")]
pub(crate) fn some<S: Serializer>(text: &Option<String>, serializer: S) -> Result<S::Ok, S::Error> {
    secret(text.as_deref().unwrap_or_default(), serializer)
}

/// Serialises a URL without what may be secret in it.
pub(crate) fn url<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&masked_url(text))
}

/// The URL without its password, and without its query, where database drivers
/// and identity providers take secrets too.
pub fn masked_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url
            .split_once('?')
            .map_or_else(|| url.to_owned(), |(path, _)| format!("{path}?***"));
    };
    // A password may hold an `@`. One with a slash, a question mark or a number
    // sign that was not escaped ends in what seems to be the path.
    let authority = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let is_torn = rest.rfind('@').is_some_and(|at| at > authority && rest[..at].contains(':'));
    if is_torn {
        return format!("{scheme}://***");
    }
    let (rest, query) = match rest.find(['?', '#']) {
        Some(end) => (&rest[..end], "?***"),
        None => (rest, ""),
    };
    let address = format!("{scheme}://{rest}");
    let Some(at) = rest[..authority.min(rest.len())].rfind('@') else {
        return format!("{address}{query}");
    };
    let user = rest[..at].split_once(':').map_or(&rest[..at], |(user, _)| user);
    let mask = if user.len() < at { ":***" } else { "" };
    format!("{scheme}://{user}{mask}{}{query}", &rest[at..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_and_queries_of_urls_are_hidden() {
        for (url, masked) in [
            ("", ""),
            ("sqlite://data/a.db", "sqlite://data/a.db"),
            ("sqlite://a.db?mode=rwc", "sqlite://a.db?***"),
            ("postgres://u:p@h:5432/d", "postgres://u:***@h:5432/d"),
            ("postgres://u:p@ss:w@h/d", "postgres://u:***@h/d"),
            ("postgres://u@h/d?password=p", "postgres://u@h/d?***"),
            ("postgres://u:p@s/s@h/d", "postgres://***"),
            ("postgres://u:p/w@h/d", "postgres://***"),
            ("postgres://u/x:p@h/d", "postgres://***"),
            ("postgres://u:77?p@h/d", "postgres://***"),
            ("postgres://u:77#p@h/d", "postgres://***"),
            ("postgres://u@h/d#p", "postgres://u@h/d?***"),
            ("https://h/a@b", "https://h/a@b"),
            ("https://h:8443/a@b", "https://***"),
        ] {
            assert_eq!(masked_url(url), masked);
        }
    }
}
