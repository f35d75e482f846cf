//! Tokens as rows hold them: sealed, each bound to its user, provider and field.

use tidegate_entity::{integration, oauth_state};
use tidegate_protocol::entry::IntegrationError;
use tidegate_services::provider::Tokens;

use crate::error::{ApiError, ApiResult};
use crate::providers::fault::Fault;
use crate::sealing::{Place, SealError, Sealing, Secret};

/// Which token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    Access,
    /// The newest one and the one before alike, so that one takes the other's place.
    Refresh,
}

/// Where a token of a row is.
fn place(row: &integration::Model, field: Field) -> Place<'_> {
    let field = match field {
        Field::Access => "access_token",
        Field::Refresh => "refresh_token",
    };
    Place { user_id: &row.user_id, row: &row.provider, field }
}

/// Where the verifier of an authorization is.
fn verifier_place(row: &oauth_state::Model) -> Place<'_> {
    Place { user_id: &row.user_id, row: &row.state_hash, field: "verifier" }
}

/// Seals a token for a row.
pub(super) fn seal(
    sealing: &Sealing,
    row: &integration::Model,
    field: Field,
    token: &str,
) -> ApiResult<String> {
    sealing.seal(place(row, field), &Secret::new(token.to_owned())).map_err(|error| refused(&error))
}

fn refused(error: &SealError) -> ApiError {
    tracing::error!(%error, "tokens cannot be sealed");
    ApiError::unavailable("tokens cannot be kept now; try again later")
}

/// Opens a token of a row.
pub(super) fn open(
    sealing: &Sealing,
    row: &integration::Model,
    field: Field,
    sealed: Option<&String>,
) -> Result<Secret, Fault> {
    let Some(sealed) = sealed else {
        let detail = "there is no token".to_owned();
        return Err(Fault::Failed(IntegrationError::ReconnectRequired, detail));
    };
    sealing.open(place(row, field), sealed).map_err(|error| {
        let detail = match &error {
            SealError::UnknownKey(id) => format!("sealed with the key `{id}`"),
            other => other.to_string(),
        };
        Fault::Failed(IntegrationError::UnknownKey, detail)
    })
}

/// The access token of a row.
pub(super) fn access(sealing: &Sealing, row: &integration::Model) -> Result<Secret, Fault> {
    open(sealing, row, Field::Access, row.access_token.as_ref())
}

/// Seals a verifier.
pub(super) fn seal_verifier(
    sealing: &Sealing,
    row: &oauth_state::Model,
    verifier: &str,
) -> ApiResult<String> {
    sealing
        .seal(verifier_place(row), &Secret::new(verifier.to_owned()))
        .map_err(|error| refused(&error))
}

/// Opens a verifier.
pub(super) fn open_verifier(
    sealing: &Sealing,
    row: &oauth_state::Model,
) -> ApiResult<Option<Secret>> {
    let Some(sealed) = &row.verifier else { return Ok(None) };
    sealing.open(verifier_place(row), sealed).map(Some).map_err(|error| refused(&error))
}

/// Puts tokens into a row. `used`: the refresh token that was traded for them, kept
/// beside a new one until that has proved good.
pub(super) fn put(
    sealing: &Sealing,
    row: &mut integration::Model,
    tokens: &Tokens,
    used: Option<&Secret>,
) -> ApiResult<()> {
    row.access_token = Some(seal(sealing, row, Field::Access, &tokens.access_token)?);
    let used = used.map(Secret::reveal);
    match (tokens.refresh_token.as_deref(), used) {
        (Some(new), Some(used)) if new != used => {
            row.refresh_token_before = Some(seal(sealing, row, Field::Refresh, used)?);
            row.refresh_token = Some(seal(sealing, row, Field::Refresh, new)?);
        }
        (new, used) => {
            let kept = new.or(used).map(|token| seal(sealing, row, Field::Refresh, token));
            row.refresh_token = kept.transpose()?;
            row.refresh_token_before = None;
        }
    }
    row.token_expires_at = Some(tokens.expires_at.millis());
    row.token_version += 1;
    row.refresh_claim = None;
    row.refresh_claimed_until = None;
    Ok(())
}

/// Takes the tokens out of a row.
pub(super) fn clear(row: &mut integration::Model) {
    row.access_token = None;
    row.refresh_token = None;
    row.refresh_token_before = None;
    row.token_expires_at = None;
    row.token_version += 1;
    row.refresh_claim = None;
    row.refresh_claimed_until = None;
}

/// The row with everything sealed by the key that seals now; `None` where that is
/// so already.
pub fn reseal(
    sealing: &Sealing,
    row: &integration::Model,
) -> Result<Option<integration::Model>, SealError> {
    let mut after = row.clone();
    for (field, text) in [
        (Field::Access, &mut after.access_token),
        (Field::Refresh, &mut after.refresh_token),
        (Field::Refresh, &mut after.refresh_token_before),
    ] {
        if let Some(sealed) = text
            && !sealing.is_current(sealed)
        {
            let place = place(row, field);
            *sealed = sealing.seal(place, &sealing.open(place, sealed)?)?;
        }
    }
    Ok((after != *row).then_some(after))
}

/// As [`reseal`], of an authorization's verifier.
pub fn reseal_verifier(
    sealing: &Sealing,
    row: &oauth_state::Model,
) -> Result<Option<String>, SealError> {
    let Some(sealed) = row.verifier.as_deref().filter(|text| !sealing.is_current(text)) else {
        return Ok(None);
    };
    let place = verifier_place(row);
    sealing.seal(place, &sealing.open(place, sealed)?).map(Some)
}
