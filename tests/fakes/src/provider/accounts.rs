//! Who has granted what: codes, access tokens and refresh tokens.

use std::collections::HashMap;
use std::sync::Arc;

/// How long a code can be traded, in seconds.
const CODE_LIFE_S: i64 = 600;

/// How long a refresh token that was used gives the same pair again, where it
/// does, in seconds.
const REPEAT_S: i64 = 120;

/// What becomes of a refresh token that is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rotation {
    /// It stays, and is not named again.
    Stays,
    /// It stays, and is named again.
    Repeated,
    /// Another takes its place; it is dead at once.
    SingleUse,
    /// Another takes its place; for 2 min the old one gives the same pair.
    Forgiving,
}

/// How a provider gives out tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// Seconds that an access token lives.
    pub(crate) life_s: i64,
    /// Seconds that must be left for the same access token to come back.
    pub(crate) keeps_above_s: Option<i64>,
    /// Whether a new access token ends the old one.
    pub(crate) ends_old: bool,
}

/// What a user said yes to.
#[derive(Clone, Debug)]
pub(crate) struct Caller {
    pub(crate) user: Arc<str>,
    pub(crate) scopes: Arc<[String]>,
}

/// A code that was given to the browser.
#[derive(Clone, Debug)]
pub(crate) struct Code {
    pub(crate) caller: Caller,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: Option<String>,
    pub(crate) end_s: i64,
}

/// A pair of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The access token.
    pub access_token: String,
    /// The refresh token.
    pub refresh_token: String,
}

/// What a token request is answered with.
#[derive(Clone, Debug)]
pub(crate) struct Issued {
    pub(crate) caller: Caller,
    pub(crate) access_token: String,
    /// `None`: not named.
    pub(crate) refresh_token: Option<String>,
    pub(crate) expires_in_s: i64,
}

#[derive(Debug)]
struct Grant {
    caller: Caller,
    access: String,
    access_end_s: i64,
    refresh: String,
}

#[derive(Debug)]
pub(crate) struct Accounts {
    prefix: &'static str,
    rules: Rules,
    pub(crate) rotation: Rotation,
    serial: u64,
    grants: HashMap<u64, Grant>,
    codes: HashMap<String, Code>,
    access: HashMap<String, (u64, i64)>,
    refresh: HashMap<String, u64>,
    spent: HashMap<String, (u64, i64)>,
}

impl Accounts {
    pub(crate) fn new(prefix: &'static str, rules: Rules, rotation: Rotation) -> Self {
        Self {
            prefix,
            rules,
            rotation,
            serial: 0,
            grants: HashMap::new(),
            codes: HashMap::new(),
            access: HashMap::new(),
            refresh: HashMap::new(),
            spent: HashMap::new(),
        }
    }

    /// A code for a user who said yes.
    pub(crate) fn code(
        &mut self,
        caller: Caller,
        redirect_uri: &str,
        challenge: Option<String>,
        now_s: i64,
    ) -> String {
        let code = self.word("code");
        let redirect_uri = redirect_uri.to_owned();
        let end_s = now_s + CODE_LIFE_S;
        self.codes.insert(code.clone(), Code { caller, redirect_uri, challenge, end_s });
        code
    }

    /// Takes a code: it works once.
    pub(crate) fn take_code(&mut self, code: &str, now_s: i64) -> Option<Code> {
        self.codes.remove(code).filter(|code| now_s < code.end_s)
    }

    /// Whose code this is.
    pub(crate) fn user_of_code(&self, code: &str) -> Option<Arc<str>> {
        Some(Arc::clone(&self.codes.get(code)?.caller.user))
    }

    /// Tokens for a user.
    pub(crate) fn issue(&mut self, caller: Caller, now_s: i64) -> Issued {
        let (access, refresh) = (self.word("access"), self.word("refresh"));
        let (number, access_end_s) = (self.serial, now_s + self.rules.life_s);
        self.access.insert(access.clone(), (number, access_end_s));
        self.refresh.insert(refresh.clone(), number);
        let grant = Grant {
            caller: caller.clone(),
            access: access.clone(),
            access_end_s,
            refresh: refresh.clone(),
        };
        self.grants.insert(number, grant);
        Issued {
            caller,
            access_token: access,
            refresh_token: Some(refresh),
            expires_in_s: self.rules.life_s,
        }
    }

    /// Whose refresh token this is or was.
    pub(crate) fn user_of_refresh(&self, token: &str) -> Option<Arc<str>> {
        let number =
            self.refresh.get(token).or_else(|| self.spent.get(token).map(|(number, _)| number))?;
        Some(Arc::clone(&self.grants.get(number)?.caller.user))
    }

    /// Whose token of either kind this is.
    pub(crate) fn user_of(&self, token: &str) -> Option<Arc<str>> {
        let number = self.access.get(token).map(|(number, _)| number);
        let number = number.or_else(|| self.refresh.get(token))?;
        Some(Arc::clone(&self.grants.get(number)?.caller.user))
    }

    /// Trades a refresh token.
    pub(crate) fn refresh(&mut self, token: &str, now_s: i64) -> Option<Issued> {
        let Some(number) = self.refresh.get(token).copied() else {
            return self.repeat(token, now_s);
        };
        let left_s = self.grants.get(&number)?.access_end_s - now_s;
        let keeps = self.rules.keeps_above_s.is_some_and(|above_s| left_s > above_s);
        if !keeps {
            self.renew(number, token, now_s);
        }
        let grant = self.grants.get(&number)?;
        let names_refresh = self.rotation != Rotation::Stays;
        Some(Issued {
            caller: grant.caller.clone(),
            access_token: grant.access.clone(),
            refresh_token: names_refresh.then(|| grant.refresh.clone()),
            expires_in_s: grant.access_end_s - now_s,
        })
    }

    fn renew(&mut self, number: u64, token: &str, now_s: i64) {
        let (access, refresh) = (self.word("access"), self.word("refresh"));
        let end_s = now_s + self.rules.life_s;
        let Some(grant) = self.grants.get_mut(&number) else { return };
        let old = std::mem::replace(&mut grant.access, access.clone());
        grant.access_end_s = end_s;
        self.access.insert(access, (number, end_s));
        if self.rules.ends_old {
            self.access.remove(&old);
        }
        if matches!(self.rotation, Rotation::SingleUse | Rotation::Forgiving) {
            grant.refresh.clone_from(&refresh);
            self.refresh.remove(token);
            self.refresh.insert(refresh, number);
            self.spent.insert(token.to_owned(), (number, now_s));
        }
    }

    /// The pair that a refresh token has given already.
    fn repeat(&self, token: &str, now_s: i64) -> Option<Issued> {
        let (number, at_s) = self.spent.get(token)?;
        if self.rotation != Rotation::Forgiving || now_s - at_s > REPEAT_S {
            return None;
        }
        let grant = self.grants.get(number)?;
        Some(Issued {
            caller: grant.caller.clone(),
            access_token: grant.access.clone(),
            refresh_token: Some(grant.refresh.clone()),
            expires_in_s: grant.access_end_s - now_s,
        })
    }

    /// Who calls with this access token.
    pub(crate) fn caller(&self, access_token: &str, now_s: i64) -> Option<Caller> {
        let (number, end_s) = self.access.get(access_token)?;
        let grant = self.grants.get(number)?;
        (now_s < *end_s).then(|| grant.caller.clone())
    }

    /// Ends the grant that a token of either kind belongs to.
    pub(crate) fn revoke(&mut self, token: &str) -> Option<Arc<str>> {
        let number = self.refresh.get(token).copied();
        let number = number.or_else(|| self.access.get(token).map(|(number, _)| *number))?;
        self.end(number)
    }

    /// Ends all grants of a user.
    pub(crate) fn revoke_user(&mut self, user: &str) {
        for number in self.numbers_of(user) {
            self.end(number);
        }
    }

    /// Ends all access tokens of a user; refresh tokens still work.
    pub(crate) fn expire_user(&mut self, user: &str, now_s: i64) {
        for number in self.numbers_of(user) {
            self.access.retain(|_, (known, _)| *known != number);
            if let Some(grant) = self.grants.get_mut(&number) {
                grant.access_end_s = now_s;
            }
        }
    }

    /// Ends all refresh tokens of a user; access tokens still work.
    pub(crate) fn kill_refresh(&mut self, user: &str) {
        for number in self.numbers_of(user) {
            self.refresh.retain(|_, known| *known != number);
            self.spent.retain(|_, (known, _)| *known != number);
        }
    }

    /// The pairs of a user that are valid, oldest first.
    pub(crate) fn pairs_of(&self, user: &str) -> Vec<Pair> {
        let mut numbers = self.numbers_of(user);
        numbers.sort_unstable();
        let grants = numbers.iter().filter_map(|number| self.grants.get(number));
        grants
            .map(|grant| Pair {
                access_token: grant.access.clone(),
                refresh_token: grant.refresh.clone(),
            })
            .collect()
    }

    fn numbers_of(&self, user: &str) -> Vec<u64> {
        let of_user = self.grants.iter().filter(|(_, grant)| &*grant.caller.user == user);
        of_user.map(|(number, _)| *number).collect()
    }

    fn end(&mut self, number: u64) -> Option<Arc<str>> {
        self.access.retain(|_, (known, _)| *known != number);
        self.refresh.retain(|_, known| *known != number);
        self.spent.retain(|_, (known, _)| *known != number);
        Some(self.grants.remove(&number)?.caller.user)
    }

    /// A word nobody has had.
    fn word(&mut self, kind: &str) -> String {
        self.serial += 1;
        format!("{}-{kind}-{:06}", self.prefix, self.serial)
    }
}
