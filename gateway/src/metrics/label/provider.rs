//! Labels of what is done with cloud providers.

use tidegate_services::provider::{Provider, ProviderError};

use crate::metrics::label::Label;

labels! {
    /// A cloud provider of health data.
    ProviderName {
        /// Strava.
        Strava = "strava";
        /// Google Health.
        GoogleHealth = "google_health";
        /// Oura.
        Oura = "oura";
        /// Fitbit's former API.
        Fitbit = "fitbit";
    }

    /// What a cloud provider answered.
    ProviderAnswer {
        /// What was asked for.
        Ok = "ok";
        /// It does not accept the token.
        Unauthorized = "unauthorized";
        /// It does not accept the grant any more.
        DeadRefresh = "dead_refresh";
        /// Its service was switched off.
        Gone = "gone";
        /// It does not serve this installation.
        Inactive = "inactive";
        /// Too many requests.
        RateLimited = "rate_limited";
        /// Another refusal.
        Refused = "refused";
        /// Nothing, or nothing that makes sense.
        Unavailable = "unavailable";
    }

    /// How a run of an integration ended.
    RunResult {
        /// Everything was read.
        Done = "done";
        /// It waits for a rate window.
        Waiting = "waiting";
        /// Something could not be read or stored.
        Failed = "failed";
    }

    /// How the refresh of a token ended.
    RefreshResult {
        /// There are new tokens.
        Refreshed = "refreshed";
        /// The provider accepts none of the old ones.
        Refused = "refused";
        /// It will be tried again.
        Failed = "failed";
    }

    /// What became of an event that a webhook told.
    WebhookResult {
        /// It is looked at later.
        Taken = "taken";
        /// It came before.
        Known = "known";
        /// Nobody here is meant.
        UnknownOwner = "unknown_owner";
        /// Too many wait: a run reads what is new.
        Dropped = "dropped";
        /// It is not signed by whom it should be.
        Refused = "refused";
        /// It could not be read.
        Unreadable = "unreadable";
    }

    /// What came of looking at such an event.
    EventResult {
        /// What it told of was read.
        Fetched = "fetched";
        /// What it told of is gone.
        Gone = "gone";
        /// The user had withdrawn what was granted.
        Deauthorized = "deauthorized";
        /// There was nothing to look at, or it was not so.
        Void = "void";
        /// The provider did not answer for too long.
        GivenUp = "given_up";
    }
}

impl From<Provider> for ProviderName {
    fn from(provider: Provider) -> Self {
        match provider {
            Provider::Strava => Self::Strava,
            Provider::GoogleHealth => Self::GoogleHealth,
            Provider::Oura => Self::Oura,
            Provider::Fitbit => Self::Fitbit,
        }
    }
}

impl From<Option<&ProviderError>> for ProviderAnswer {
    fn from(refusal: Option<&ProviderError>) -> Self {
        match refusal {
            None => Self::Ok,
            Some(ProviderError::Unauthorized) => Self::Unauthorized,
            Some(ProviderError::DeadRefresh) => Self::DeadRefresh,
            Some(ProviderError::Gone) => Self::Gone,
            Some(ProviderError::Inactive) => Self::Inactive,
            Some(ProviderError::RateLimited { .. }) => Self::RateLimited,
            Some(ProviderError::Refused { .. }) => Self::Refused,
            Some(ProviderError::Unavailable(_)) => Self::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_have_one_word_everywhere() {
        for provider in Provider::ALL {
            assert_eq!(ProviderName::from(provider).word(), provider.as_str());
        }
        assert_eq!(ProviderAnswer::from(Some(&ProviderError::Gone)).word(), "gone");
        assert_eq!(ProviderAnswer::from(None).word(), "ok");
    }
}
