//! Decryption of an `aes128gcm` message (RFC 8188, RFC 8291), written with
//! plain HMAC as the documents spell it out, so that it shares no mistake
//! with a sender that uses HKDF.

use aws_lc_rs::aead::{AES_128_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::hmac;

/// Salt, record size, key length and the sender's public key.
const HEADER_BYTES: usize = 16 + 4 + 1 + 65;

/// Least record size: the tag, the delimiter and one byte.
const RECORD_BYTES_MIN: usize = 18;

/// The plaintext of a message of one record; `None` if anything is wrong.
pub(crate) fn open(
    body: &[u8],
    key: &PrivateKey,
    public_key: &[u8],
    auth: &[u8; 16],
) -> Option<Vec<u8>> {
    let (header, record) = body.split_at_checked(HEADER_BYTES)?;
    let (salt, rest) = header.split_at(16);
    let record_bytes = u32::from_be_bytes(rest[..4].try_into().ok()?);
    let record_bytes = usize::try_from(record_bytes).ok()?;
    if rest[4] != 65 || record_bytes < RECORD_BYTES_MIN || record.len() > record_bytes {
        return None;
    }
    let sender = &rest[5..];
    let peer = UnparsedPublicKey::new(&ECDH_P256, sender);
    let shared = agreement::agree(key, peer, (), |shared| Ok(shared.to_vec())).ok()?;

    let key_prk = hmac_sha256(auth, &[&shared]);
    let key_material = hmac_sha256(&key_prk, &[b"WebPush: info\0", public_key, sender, &[1]]);
    let prk = hmac_sha256(salt, &[&key_material]);
    let content_key = hmac_sha256(&prk, &[b"Content-Encoding: aes128gcm\0", &[1]]);
    let nonce = hmac_sha256(&prk, &[b"Content-Encoding: nonce\0", &[1]]);

    let cipher = LessSafeKey::new(UnboundKey::new(&AES_128_GCM, &content_key[..16]).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(&nonce[..12]).ok()?;
    let mut record = record.to_vec();
    let padded = cipher.open_in_place(nonce, Aad::empty(), &mut record).ok()?;
    // The last record ends with 2 and any number of zeros.
    let end = padded.iter().rposition(|byte| *byte != 0)?;
    (padded[end] == 2).then(|| padded[..end].to_vec())
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    context.sign().as_ref().try_into().expect("SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    /// RFC 8291 section 5.
    const PUBLIC: &str =
        "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4";
    const PRIVATE: &str = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94";
    const AUTH: &str = "BTBZMqHH6r4Tts7J_aSIgg";
    const BODY: &str = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3\
        vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPTpK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQe\
        xSgSxsj_Qulcy4a-fN";

    fn bytes(text: &str) -> Vec<u8> {
        URL_SAFE_NO_PAD.decode(text).unwrap()
    }

    fn open_example(body: &[u8]) -> Option<Vec<u8>> {
        let key = PrivateKey::from_private_key(&ECDH_P256, &bytes(PRIVATE)).unwrap();
        open(body, &key, &bytes(PUBLIC), &bytes(AUTH).try_into().unwrap())
    }

    #[test]
    fn the_example_of_rfc_8291_opens() {
        let text = open_example(&bytes(BODY)).unwrap();
        assert_eq!(text, b"When I grow up, I want to be a watermelon");
    }

    #[test]
    fn damage_anywhere_is_noticed() {
        let body = bytes(BODY);
        for at in 0..body.len() {
            let mut damaged = body.clone();
            damaged[at] ^= 1;
            // The record size is not part of the cipher: a small change that
            // still holds the record goes unnoticed, as RFC 8188 has it.
            let is_record_size = (16..20).contains(&at);
            assert_eq!(open_example(&damaged).is_some(), is_record_size, "byte {at}");
        }
        assert_eq!(open_example(&body[..90]), None);
        assert_eq!(open_example(&[]), None);
    }
}
