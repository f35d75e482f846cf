//! Sealing what is stored and secret: AES-256-GCM with a random nonce, bound to
//! the place it is stored in.
//!
//! A sealed text names the key it was sealed with, so that several keys can be in
//! use while one takes another's place. Knows nothing of what is sealed.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

pub mod resolve;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// Longest name of a key.
const ID_BYTES_MAX: usize = 64;

/// What sealed texts begin with: how they are made.
const VERSION: &str = "s1";

/// A key and its name.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: String,
    bytes: [u8; KEY_BYTES],
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Key {
    /// Reads `id:base64url of 32 bytes`.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, bytes) = text.split_once(':')?;
        let is_of_id = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !(1..=ID_BYTES_MAX).contains(&id.len()) || !id.bytes().all(is_of_id) {
            return None;
        }
        let bytes = URL_SAFE_NO_PAD.decode(bytes.trim_end_matches('=')).ok()?;
        Some(Self { id: id.to_owned(), bytes: bytes.try_into().ok()? })
    }

    /// A new one.
    pub fn random() -> Self {
        let id = rand::random::<[u8; 4]>().map(|byte| format!("{byte:02x}")).concat();
        Self { id: format!("k{id}"), bytes: rand::random() }
    }

    /// As settings hold it.
    pub fn text(&self) -> String {
        format!("{}:{}", self.id, URL_SAFE_NO_PAD.encode(self.bytes))
    }

    /// Its name.
    pub fn id(&self) -> &str {
        &self.id
    }
}

/// Where a sealed text is stored: put anywhere else, it does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place<'a> {
    /// Whose row it is in.
    pub user_id: &'a str,
    /// Which row of theirs.
    pub row: &'a str,
    /// Which field.
    pub field: &'a str,
}

impl Place<'_> {
    /// What the seal covers beside the text: each part with its length, so that
    /// no two places read alike.
    fn bytes(self) -> Vec<u8> {
        let mut bytes = VERSION.as_bytes().to_vec();
        for part in [self.user_id, self.row, self.field] {
            bytes.extend((part.len() as u64).to_be_bytes());
            bytes.extend(part.as_bytes());
        }
        bytes
    }
}

/// A text that was sealed. Its `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text.
    pub const fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Why a text was not sealed or opened. Says nothing of the text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key at all.
    #[error("there is no key to seal with: `sealing.keys` is empty")]
    NoKey,
    /// It was sealed with a key that is not there.
    #[error("it was sealed with the key `{0}`, which is not among `sealing.keys`")]
    UnknownKey(String),
    /// It was changed, or is of another place, or the key is another one of the
    /// same name.
    #[error("it does not open: it was changed, or its key was")]
    Broken,
    /// It was not made by the gateway.
    #[error("it is no sealed text")]
    NotSealed,
}

/// The keys: the first seals, all open.
pub struct Sealing {
    keys: Vec<(String, RandomizedNonceKey)>,
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(id, _)| id)).finish()
    }
}

impl Sealing {
    /// With these keys.
    pub fn new(keys: &[Key]) -> Self {
        let of = |key: &Key| {
            let made = RandomizedNonceKey::new(&AES_256_GCM, &key.bytes);
            (key.id.clone(), made.expect("a key has the length that the cipher takes"))
        };
        Self { keys: keys.iter().map(of).collect() }
    }

    /// The key that seals.
    pub fn first(&self) -> Option<&str> {
        self.keys.first().map(|(id, _)| id.as_str())
    }

    /// Seals a text for its place.
    pub fn seal(&self, place: Place<'_>, secret: &Secret) -> Result<String, SealError> {
        let (id, key) = self.keys.first().ok_or(SealError::NoKey)?;
        let mut bytes = secret.0.clone().into_bytes();
        let sealed = key.seal_in_place_append_tag(Aad::from(place.bytes()), &mut bytes);
        let nonce = sealed.map_err(|_| SealError::Broken)?;
        let mut whole = nonce.as_ref().to_vec();
        whole.append(&mut bytes);
        Ok(format!("{VERSION}.{id}.{}", URL_SAFE_NO_PAD.encode(whole)))
    }

    /// Opens a text that was sealed for this place.
    pub fn open(&self, place: Place<'_>, sealed: &str) -> Result<Secret, SealError> {
        let (id, whole) = parts(sealed).ok_or(SealError::NotSealed)?;
        let key = self.keys.iter().find(|(known, _)| known == id);
        let (_, key) = key.ok_or_else(|| SealError::UnknownKey(id.to_owned()))?;
        let mut whole = URL_SAFE_NO_PAD.decode(whole).map_err(|_| SealError::NotSealed)?;
        if whole.len() < NONCE_LEN {
            return Err(SealError::NotSealed);
        }
        let mut bytes = whole.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&whole).map_err(|_| SealError::NotSealed)?;
        let opened = key.open_in_place(nonce, Aad::from(place.bytes()), &mut bytes);
        let opened = opened.map_err(|_| SealError::Broken)?;
        String::from_utf8(opened.to_vec()).map(Secret).map_err(|_| SealError::Broken)
    }

    /// Whether a text is sealed with the key that seals now.
    pub fn is_current(&self, sealed: &str) -> bool {
        parts(sealed).is_some_and(|(id, _)| Some(id) == self.first())
    }
}

/// The id of the key, and the rest.
fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(VERSION)?.strip_prefix('.')?.split_once('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'_> = Place { user_id: "ana", row: "strava", field: "access" };

    fn secret() -> Secret {
        Secret::new("a token that nobody reads".to_owned())
    }

    #[test]
    fn what_is_sealed_opens_in_its_place_only() {
        let sealing = Sealing::new(&[Key::random()]);
        let sealed = sealing.seal(PLACE, &secret()).unwrap();
        assert!(!sealed.contains("token"));
        assert_ne!(sealed, sealing.seal(PLACE, &secret()).unwrap(), "each has its nonce");
        assert_eq!(sealing.open(PLACE, &sealed), Ok(secret()));
        for place in [
            Place { user_id: "bob", ..PLACE },
            Place { row: "oura", ..PLACE },
            Place { field: "refresh", ..PLACE },
            Place { user_id: "anas", row: "trava", field: "access" },
        ] {
            assert_eq!(sealing.open(place, &sealed), Err(SealError::Broken), "{place:?}");
        }
    }

    #[test]
    fn the_first_key_seals_and_all_open() {
        let (old, new) = (Key::random(), Key::random());
        let before = Sealing::new(std::slice::from_ref(&old));
        let sealed = before.seal(PLACE, &secret()).unwrap();
        let both = Sealing::new(&[new.clone(), old.clone()]);
        assert_eq!(both.open(PLACE, &sealed), Ok(secret()));
        assert!(!both.is_current(&sealed) && before.is_current(&sealed));
        let again = both.seal(PLACE, &secret()).unwrap();
        assert!(both.is_current(&again));
        let after = Sealing::new(&[new]);
        assert_eq!(after.open(PLACE, &again), Ok(secret()));
        let unknown = SealError::UnknownKey(old.id().to_owned());
        assert_eq!(after.open(PLACE, &sealed), Err(unknown));
        assert_eq!(Sealing::new(&[]).seal(PLACE, &secret()), Err(SealError::NoKey));
    }

    #[test]
    fn what_was_changed_does_not_open() {
        let sealing = Sealing::new(&[Key::random()]);
        let sealed = sealing.seal(PLACE, &secret()).unwrap();
        for at in 0..sealed.len() {
            let mut bytes = sealed.clone().into_bytes();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(sealing.open(PLACE, &changed).is_err(), "{at}");
        }
        for text in ["", "s1", "s1.", "s1.k", "s1.k.", "s1..x", "a token"] {
            assert!(sealing.open(PLACE, text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_key_reads_as_it_is_written() {
        let key = Key::random();
        assert_eq!(Key::parse(&key.text()), Some(key.clone()));
        assert!(!format!("{key:?}").contains(key.text().split_once(':').unwrap().1));
        for text in ["", "k1", "k1:", "k1:AAAA", ":AAAA", "k.1:AAAA"] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
