//! Tokens of backends that were found good. A backend shows the same one with
//! every call, and its signature need not be checked again each time: with a
//! shared secret that took 4 % of a command's time.
//!
//! Nothing is kept of tokens but their fingerprint. Those of devices are not
//! remembered: there are many, and each is shown now and then.

use dashmap::DashMap;
use sha2::{Digest as _, Sha256};

use crate::auth::Claims;

/// Most tokens remembered. Backends have a handful each; where there are more,
/// remembering begins anew.
const TOKENS_KEPT: usize = 1_024;

/// SHA-256 of a token.
pub(super) type Fingerprint = [u8; 32];

pub(super) fn fingerprint(token: &str) -> Fingerprint {
    Sha256::digest(token).into()
}

/// What was found, and as long as what it stands.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) claims: Claims,
    /// First second at which the token is good, leeway included.
    pub(super) from_s: i64,
    /// Which reading of the JWKS it was checked with.
    pub(super) reading: u64,
}

#[derive(Debug, Default)]
pub(super) struct KnownTokens(DashMap<Fingerprint, Known>);

impl KnownTokens {
    /// What a token says, where that still stands. Where it does not, the
    /// token is judged anew, which also finds out why.
    pub(super) fn get(&self, token: &Fingerprint, now_s: i64, reading: u64) -> Option<Claims> {
        let known = self.0.get(token)?;
        let times = known.from_s..known.claims.exp.millis().div_euclid(1000);
        (known.reading == reading && times.contains(&now_s)).then(|| known.claims.clone())
    }

    pub(super) fn keep(&self, token: Fingerprint, known: Known) {
        if self.0.len() >= TOKENS_KEPT {
            self.0.clear();
        }
        self.0.insert(token, known);
    }
}

#[cfg(test)]
impl KnownTokens {
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use tidegate_protocol::id::UserId;
    use tidegate_protocol::time::Timestamp;

    use super::*;
    use crate::auth::Role;

    fn known(from_s: i64, exp_s: i64, reading: u64) -> Known {
        let claims = Claims {
            sub: UserId::parse("backend").unwrap(),
            exp: Timestamp::from_millis(exp_s * 1000),
            device_id: None,
            role: Role::Service,
        };
        Known { claims, from_s, reading }
    }

    #[test]
    fn what_is_known_stands_for_its_time_and_its_keys() {
        let tokens = KnownTokens::default();
        let token = fingerprint("a.b.c");
        tokens.keep(token, known(10, 20, 1));
        let stands = |now_s, reading| tokens.get(&token, now_s, reading).is_some();
        assert!(stands(10, 1) && stands(19, 1));
        assert!(!stands(9, 1) && !stands(20, 1) && !stands(15, 2));
        assert_eq!(tokens.get(&fingerprint("a.b.d"), 15, 1), None);
    }

    #[test]
    fn a_bounded_number_is_remembered() {
        let tokens = KnownTokens::default();
        for number in 0..=TOKENS_KEPT * 2 {
            tokens.keep(fingerprint(&number.to_string()), known(0, 20, 1));
            assert!(tokens.0.len() <= TOKENS_KEPT);
        }
        let last = fingerprint(&(TOKENS_KEPT * 2).to_string());
        assert!(tokens.get(&last, 15, 1).is_some());
    }
}
