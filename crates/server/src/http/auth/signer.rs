//! Issued tokens: what they grant and until when, signed.
//!
//! A token carries its grant itself and an HMAC-SHA256 over it, so nothing of it is stored and checking it reads
//! nothing. The key is drawn when the server starts and never leaves its memory, so issued tokens end with the process;
//! servers that share a database in PostgreSQL have one key, which is kept there.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use uuid::Uuid;

use crate::clients::ApiClient;
use crate::store::TokenKey;

/// Changes whenever the form of a token does.
const VERSION: u8 = 1;
const CLIENT: usize = 1;
const BUSINESS: usize = CLIENT + 2;
const EXPIRES: usize = BUSINESS + 16;
/// Makes two tokens of the same grant differ.
const SERIAL: usize = EXPIRES + 8;
const SIGNATURE: usize = SERIAL + 16;
const LENGTH: usize = SIGNATURE + 32;
/// Stands for the token that the server was started with in the place of a client, and nil for no business.
const NO_CLIENT: u16 = u16::MAX;

/// Signs tokens and knows its own.
pub(super) struct Signer {
    key: Hmac<Sha256>,
}

/// What a token grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) client: Option<u16>,
    pub(super) business: Option<Uuid>,
    /// Since 1970.
    pub(super) expires: Duration,
}

/// Why a token grants nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rejected {
    /// It wasn't signed with this key.
    Unknown,
    Expired,
}

impl Signer {
    /// A token names its client by the place in the configuration, so servers with one key and other clients don't take
    /// each other's.
    pub(super) fn new(key: TokenKey, clients: &[ApiClient]) -> Signer {
        let mut of_clients = Hmac::<Sha256>::new(&key.into());
        for client in clients {
            of_clients.update(client.id().as_bytes());
            // No id has it.
            of_clients.update(b":");
        }
        let mut own = [0; 64];
        own[..32].copy_from_slice(&of_clients.finalize().into_bytes());
        Signer {
            key: Hmac::new(&own.into()),
        }
    }

    pub(super) fn sign(&self, grant: &Grant) -> String {
        let expires = u64::try_from(grant.expires.as_millis()).unwrap_or(u64::MAX);
        let mut bytes = [0; LENGTH];
        bytes[0] = VERSION;
        bytes[CLIENT..BUSINESS].copy_from_slice(&grant.client.unwrap_or(NO_CLIENT).to_be_bytes());
        bytes[BUSINESS..EXPIRES].copy_from_slice(grant.business.unwrap_or_default().as_bytes());
        bytes[EXPIRES..SERIAL].copy_from_slice(&expires.to_be_bytes());
        bytes[SERIAL..SIGNATURE].copy_from_slice(Uuid::now_v7().as_bytes());
        let signature = self.over(&bytes[..SIGNATURE]).finalize().into_bytes();
        bytes[SIGNATURE..].copy_from_slice(&signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// What a token grants at this time since 1970. The signature is compared in constant time.
    pub(super) fn open(&self, token: &[u8], now: Duration) -> Result<Grant, Rejected> {
        let bytes = URL_SAFE_NO_PAD.decode(token).ok();
        let bytes: [u8; LENGTH] = bytes
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or(Rejected::Unknown)?;
        let (grant, signature) = bytes.split_at(SIGNATURE);
        self.over(grant)
            .verify_slice(signature)
            .map_err(|_| Rejected::Unknown)?;
        // It is signed, so the lengths are right and the version is this one.
        let part = |from: usize, to: usize| grant[from..to].iter().copied();
        let number = |from, to| part(from, to).fold(0, |sum, byte| sum << 8 | u64::from(byte));
        let expires = Duration::from_millis(number(EXPIRES, SERIAL));
        if now >= expires {
            return Err(Rejected::Expired);
        }
        let client = u16::try_from(number(CLIENT, BUSINESS)).map_err(|_| Rejected::Unknown)?;
        let business =
            Uuid::from_slice(&grant[BUSINESS..EXPIRES]).map_err(|_| Rejected::Unknown)?;
        Ok(Grant {
            client: (client != NO_CLIENT).then_some(client),
            business: (!business.is_nil()).then_some(business),
            expires,
        })
    }

    fn over(&self, grant: &[u8]) -> Hmac<Sha256> {
        self.key.clone().chain_update(grant)
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_700_000_000);

    fn grant(client: Option<u16>, business: Option<Uuid>) -> Grant {
        Grant {
            client,
            business,
            expires: NOW + Duration::from_secs(60),
        }
    }

    #[test]
    fn a_token_grants_what_was_signed_until_it_expires() {
        let signer = Signer::new([1; 64], &[]);
        for grant in [
            grant(None, None),
            grant(Some(0), None),
            grant(Some(7), Some(Uuid::from_u128(1))),
        ] {
            let token = signer.sign(&grant);
            assert_ne!(token, signer.sign(&grant));
            assert_eq!(signer.open(token.as_bytes(), NOW), Ok(grant));
            let last = grant.expires - Duration::from_millis(1);
            assert_eq!(signer.open(token.as_bytes(), last), Ok(grant));
            assert_eq!(
                signer.open(token.as_bytes(), grant.expires),
                Err(Rejected::Expired)
            );
        }
    }

    #[test]
    fn no_bit_of_a_token_can_be_changed() {
        let signer = Signer::new([1; 64], &[]);
        let token = signer.sign(&grant(Some(1), Some(Uuid::from_u128(1))));
        let bytes = URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let changed = URL_SAFE_NO_PAD.encode(bytes);
            assert_eq!(
                signer.open(changed.as_bytes(), NOW),
                Err(Rejected::Unknown),
                "{bit}"
            );
        }
        for other in ["", "x", &token[1..], &format!("{token}A")] {
            assert_eq!(signer.open(other.as_bytes(), NOW), Err(Rejected::Unknown));
        }
        let client = |id| ApiClient::new(id, "secret").unwrap();
        for other in [
            Signer::new([2; 64], &[]),
            Signer::new([1; 64], &[client("a")]),
        ] {
            assert_eq!(other.open(token.as_bytes(), NOW), Err(Rejected::Unknown));
        }
        let same = Signer::new([1; 64], &[]);
        assert!(same.open(token.as_bytes(), NOW).is_ok());
    }
}
