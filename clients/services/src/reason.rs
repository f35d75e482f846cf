//! The reasons that push services give for a refusal, made fit to be shown in
//! timelines and logs: bounded, and without anything that could be a token.
//!
//! Answers come from servers that devices chose, and may quote the request.

use reqwest::header::HeaderMap;

use crate::limits::{REASON_BYTES, REASON_WORD_BYTES};

/// Headers that say why, the most telling first: those of Microsoft's service.
const HEADERS: [&str; 4] = [
    "x-wns-error-description",
    "x-wns-status",
    "x-wns-notificationstatus",
    "x-wns-deviceconnectionstatus",
];

/// What the names of other services' headers for it contain.
const TELLING: [&str; 2] = ["error", "reason"];

/// What replaces a word that is not shown.
const HIDDEN: &str = "[hidden]";

/// Shortest part of a secret that is taken for one when it stands alone.
const FRAGMENT_BYTES: usize = 6;

/// Collects the reasons of one answer.
#[derive(Debug)]
pub(crate) struct Reasons<'a> {
    /// What must not be shown: the token, or the path and query of an endpoint.
    secret: &'a str,
    text: String,
}

impl<'a> Reasons<'a> {
    /// None yet. No word of `secret` will be shown.
    pub(crate) const fn new(secret: &'a str) -> Self {
        Self { secret, text: String::new() }
    }

    /// Adds what the headers say.
    pub(crate) fn headers(mut self, headers: &HeaderMap) -> Self {
        let listed = HEADERS.iter().filter_map(|name| Some((*name, headers.get(*name)?)));
        let others = headers.iter().map(|(name, value)| (name.as_str(), value));
        let others = others.filter(|(name, _)| {
            !HEADERS.contains(name) && TELLING.iter().any(|part| name.contains(part))
        });
        for (name, value) in listed.chain(others) {
            let value = String::from_utf8_lossy(value.as_bytes());
            self = self.add(&format!("{name}: {value}"));
        }
        self
    }

    /// Adds a sentence.
    pub(crate) fn add(mut self, sentence: &str) -> Self {
        let mut is_first = true;
        for word in sentence.split_ascii_whitespace() {
            let word = if self.is_plain(word) { word } else { HIDDEN };
            let between = match (self.text.is_empty(), is_first) {
                (true, _) => "",
                (false, true) => ", ",
                (false, false) => " ",
            };
            if self.text.len() + between.len() + word.len() > REASON_BYTES {
                break;
            }
            self.text.push_str(between);
            self.text.push_str(word);
            is_first = false;
        }
        self
    }

    /// All of it, at most [`REASON_BYTES`]; `None` when nothing was said.
    pub(crate) fn text(self) -> Option<String> {
        Some(self.text).filter(|text| !text.is_empty())
    }

    /// Whether a word may be shown: short, printable, no address, and neither
    /// part of the secret nor around it.
    fn is_plain(&self, word: &str) -> bool {
        let is_part = word.len() >= FRAGMENT_BYTES && self.secret.contains(word);
        let mut parts = self.secret.split(['/', '?', '&', '=', '#']);
        let is_around = parts.any(|part| part.len() >= FRAGMENT_BYTES && word.contains(part));
        word.len() <= REASON_WORD_BYTES
            && word.bytes().all(|byte| byte.is_ascii_graphic())
            && !word.contains("://")
            && !is_part
            && !is_around
    }
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        let list = list.iter();
        list.map(|(name, value)| {
            (name.parse().unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap())
        })
        .collect()
    }

    fn said(secret: &str, list: &[(&'static str, &'static str)]) -> Option<String> {
        Reasons::new(secret).headers(&headers(list)).text()
    }

    #[test]
    fn the_telling_headers_are_taken_over_and_no_others() {
        let all = [
            ("date", "Sun, 06 Nov 1994 08:49:37 GMT"),
            ("x-wns-status", "dropped"),
            ("x-push-reason", "quiet hours"),
            ("x-wns-error-description", "The cloud is throttled"),
            ("set-cookie", "id=1"),
        ];
        assert_eq!(
            said("", &all).unwrap(),
            "x-wns-error-description: The cloud is throttled, x-wns-status: dropped, \
             x-push-reason: quiet hours"
        );
        assert_eq!(said("", &[("date", "today")]), None);
    }

    #[test]
    fn nothing_that_could_be_a_token_is_shown() {
        let shown = |value| said("/w/?token=BQYAAAC12", &[("x-wns-error-description", value)]);
        for (value, expected) in [
            ("channel BQYAAAC12 is bad", "channel [hidden] is bad"),
            ("channel 'BQYAAAC12': bad", "channel [hidden] bad"),
            ("it begins QYAAAC here", "it begins [hidden] here"),
            ("see https://x/y now", "see [hidden] now"),
            ("key eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.e30.x bad", "key [hidden] bad"),
            ("at caf\u{e9}", "at [hidden]"),
        ] {
            let expected = format!("x-wns-error-description: {expected}");
            assert_eq!(shown(value).unwrap(), expected);
        }
    }

    #[test]
    fn what_is_shown_is_bounded() {
        let long = "word ".repeat(1_000);
        let text = Reasons::new("").add(&long).add(&long).text().unwrap();
        assert!((REASON_BYTES - 8..=REASON_BYTES).contains(&text.len()));
    }
}
