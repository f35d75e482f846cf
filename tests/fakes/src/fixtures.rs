//! Keys and files that tests and the sandbox need: a service account, a
//! browser's key pair, fingerprints for logs.

use std::sync::OnceLock;

use aws_lc_rs::digest;
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::KeyPair as _;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

/// The Firebase project of the fakes.
pub const PROJECT_ID: &str = "tidegate-sandbox";

/// The RSA key pair of the fake service account.
#[derive(Debug)]
pub struct AccountKey {
    pem: String,
    public_der: Vec<u8>,
}

impl AccountKey {
    /// The key of this process: made once, for it takes a while.
    pub fn shared() -> &'static Self {
        static KEY: OnceLock<AccountKey> = OnceLock::new();
        KEY.get_or_init(Self::generate)
    }

    /// Another key of 2048 bits.
    pub fn generate() -> Self {
        let pair = KeyPair::generate(KeySize::Rsa2048).expect("the system makes RSA keys");
        let der: Pkcs8V1Der<'_> = pair.as_der().expect("a new key can be written");
        Self { pem: pem(der.as_ref()), public_der: pair.public_key().as_ref().to_vec() }
    }

    /// The public key as PKCS#1 DER.
    pub(crate) fn public_der(&self) -> &[u8] {
        &self.public_der
    }

    /// A key file like Google's, with `token_uri` of your choice.
    pub fn credentials(&self, project_id: &str, token_uri: &str) -> String {
        let file = json!({
            "type": "service_account",
            "project_id": project_id,
            "private_key_id": PRIVATE_KEY_ID,
            "private_key": self.pem,
            "client_email": client_email(project_id),
            "client_id": "100000000000000000001",
            "auth_uri": "https://accounts.google.com/o/oauth2/auth",
            "token_uri": token_uri,
            "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
            "client_x509_cert_url": "https://www.googleapis.com/robot/v1/metadata/x509/sandbox",
            "universe_domain": "googleapis.com",
        });
        format!("{file:#}\n")
    }
}

/// The id of the key in the key file and in assertions.
pub(crate) const PRIVATE_KEY_ID: &str = "5a4d0b0e3f2c19788697a5b4c3d2e1f00f1e2d3c";

/// The account's name.
pub(crate) fn client_email(project_id: &str) -> String {
    format!("push@{project_id}.iam.gserviceaccount.com")
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN PRIVATE KEY-----\n");
    // Lines of 64 characters (RFC 7468).
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END PRIVATE KEY-----\n");
    pem
}

/// Eight characters that tell tokens apart in a log without revealing them.
pub(crate) fn fingerprint(secret: &str) -> String {
    let hash = digest::digest(&digest::SHA256, secret.as_bytes());
    let [a, b, c, d, ..] = hash.as_ref() else { return String::new() };
    format!("{a:02x}{b:02x}{c:02x}{d:02x}")
}
