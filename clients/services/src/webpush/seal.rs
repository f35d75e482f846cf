//! Message encryption for Web Push (RFC 8291): one `aes128gcm` record
//! (RFC 8188) for one subscription.
//!
//! Owns the key schedule. Each message gets a key pair and a salt of its own;
//! [`Ephemeral`] is consumed, so that none is used twice.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use aws_lc_rs::rand;

use crate::limits::{WEBPUSH_BODY_BYTES, WEBPUSH_PLAIN_BYTES};
use crate::webpush::subscription::{POINT_BYTES, Subscription};

/// The record size in the header: the whole message is one record.
const RECORD_BYTES: u32 = 4096;

/// Ends the plaintext of the last record; padding would follow it.
const LAST_RECORD: u8 = 2;

/// The message could not be encrypted: it is too long, or the random source
/// or the key failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the message could not be encrypted")]
pub struct SealError;

impl From<Unspecified> for SealError {
    fn from(_: Unspecified) -> Self {
        Self
    }
}

/// The sender's key pair and salt for one message.
#[derive(Debug)]
pub struct Ephemeral {
    key: PrivateKey,
    salt: [u8; 16],
}

impl Ephemeral {
    /// Fresh from the system's random source.
    pub fn generate() -> Result<Self, SealError> {
        let mut salt = [0; 16];
        rand::fill(&mut salt)?;
        Ok(Self { key: PrivateKey::generate(&ECDH_P256)?, salt })
    }

    /// From known values, for reproducible output. Sending two messages with
    /// the same values reveals both.
    pub fn from_parts(private_key: &[u8; 32], salt: [u8; 16]) -> Result<Self, SealError> {
        let key = PrivateKey::from_private_key(&ECDH_P256, private_key).map_err(|_| SealError)?;
        Ok(Self { key, salt })
    }
}

/// Encrypts `plaintext`, at most [`WEBPUSH_PLAIN_BYTES`], for the subscriber.
///
/// The result is `salt (16) | record size (4) | key length (1) | sender's
/// public key (65) | ciphertext and tag`.
pub fn seal(
    plaintext: &[u8],
    to: &Subscription,
    ephemeral: Ephemeral,
) -> Result<Vec<u8>, SealError> {
    if plaintext.len() > WEBPUSH_PLAIN_BYTES {
        return Err(SealError);
    }
    let Ephemeral { key, salt } = ephemeral;
    let sender = key.compute_public_key()?;
    let receiver = UnparsedPublicKey::new(&ECDH_P256, to.public_key());
    let secret = agreement::agree(&key, receiver, SealError, |shared| {
        let info = [b"WebPush: info\0", &to.public_key()[..], sender.as_ref()];
        Ok(derive::<32>(to.auth(), shared, &info)?)
    })?;
    let content_key = derive::<16>(&salt, &secret, &[b"Content-Encoding: aes128gcm\0"])?;
    let nonce = derive::<12>(&salt, &secret, &[b"Content-Encoding: nonce\0"])?;

    let mut record = Vec::with_capacity(plaintext.len() + 1 + AES_128_GCM.tag_len());
    record.extend_from_slice(plaintext);
    record.push(LAST_RECORD);
    LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content_key)?).seal_in_place_append_tag(
        Nonce::assume_unique_for_key(nonce),
        Aad::empty(),
        &mut record,
    )?;

    let mut body = Vec::with_capacity(WEBPUSH_BODY_BYTES.min(86 + record.len()));
    body.extend_from_slice(&salt);
    body.extend_from_slice(&RECORD_BYTES.to_be_bytes());
    body.push(u8::try_from(POINT_BYTES).map_err(|_| SealError)?);
    body.extend_from_slice(sender.as_ref());
    body.extend_from_slice(&record);
    Ok(body)
}

struct Length(usize);

impl KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// HKDF-SHA256, extract and expand.
fn derive<const N: usize>(
    salt: &[u8],
    secret: &[u8],
    info: &[&[u8]],
) -> Result<[u8; N], Unspecified> {
    let mut output = [0; N];
    Salt::new(HKDF_SHA256, salt).extract(secret).expand(info, Length(N))?.fill(&mut output)?;
    Ok(output)
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;
    use crate::webpush::subscription::decode;

    /// RFC 8291 section 5.
    const SUBSCRIPTION: &str = r#"{"endpoint":"https://push.example.net/push/x","keys":{
        "p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth":"BTBZMqHH6r4Tts7J_aSIgg"}}"#;
    const SENDER: &str = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw";
    const SALT: &str = "DGv6ra1nlYgDCS1FRnbzlw";
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3\
        vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQe\
        xSgSxsj_Qulcy4a-fN";

    #[test]
    fn the_example_of_rfc_8291_comes_out() {
        let to = Subscription::from_json(SUBSCRIPTION).unwrap();
        let ephemeral =
            Ephemeral::from_parts(&decode(SENDER).unwrap(), decode(SALT).unwrap()).unwrap();
        let body = seal(b"When I grow up, I want to be a watermelon", &to, ephemeral).unwrap();
        assert_eq!(URL_SAFE_NO_PAD.encode(body), BODY);
    }

    #[test]
    fn the_longest_message_fills_one_record_and_no_more_fits() {
        let to = Subscription::from_json(SUBSCRIPTION).unwrap();
        let sealed = |bytes| seal(&vec![0; bytes], &to, Ephemeral::generate().unwrap());
        assert_eq!(sealed(WEBPUSH_PLAIN_BYTES).unwrap().len(), WEBPUSH_BODY_BYTES);
        assert_eq!(sealed(WEBPUSH_PLAIN_BYTES + 1), Err(SealError));
        assert_ne!(sealed(1).unwrap(), sealed(1).unwrap(), "keys and salt are fresh");
    }
}
