//! The clients that may ask for tokens.

use crate::config::Token;

/// A client that may ask for access tokens with its id and secret (OAuth 2.0 client credentials).
///
/// Only the secret's SHA-256 is kept, so that it can't get into a log, and secrets are compared in constant time.
#[derive(Clone, Debug)]
pub struct ApiClient {
    id: String,
    secret: Token,
}

/// Why a text can't be the id or the secret of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidClient {
    /// The id is empty or holds a character that HTTP Basic can't carry in a name.
    #[error("the client's id must be one or more visible ASCII characters without a colon")]
    Id,
    /// The secret is empty or holds a blank, a control character or one outside ASCII.
    #[error("the client's secret must be one or more visible ASCII characters")]
    Secret,
}

impl ApiClient {
    /// Takes a client's id and secret: one or more visible ASCII characters each, the id without a colon, which HTTP
    /// Basic sets between the two.
    ///
    /// # Errors
    ///
    /// [`InvalidClient`] for an id or secret that couldn't be sent.
    pub fn new(id: &str, secret: &str) -> Result<ApiClient, InvalidClient> {
        let sendable = |byte: u8| byte.is_ascii_graphic() && byte != b':';
        if id.is_empty() || !id.bytes().all(sendable) {
            return Err(InvalidClient::Id);
        }
        Ok(ApiClient {
            id: id.to_owned(),
            secret: Token::new(secret).map_err(|_| InvalidClient::Secret)?,
        })
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// Whether these are this client's id and secret. The secret is compared in constant time; ids are no secrets.
    pub(crate) fn accepts(&self, id: &str, secret: &str) -> bool {
        let right = self.secret.accepts(secret.as_bytes());
        self.id == id && right
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_both_together_are_accepted() {
        let client = ApiClient::new("app", "hush:hush").unwrap();
        assert!(client.accepts("app", "hush:hush"));
        for (id, secret) in [("app", "hush"), ("App", "hush:hush"), ("", "")] {
            assert!(!client.accepts(id, secret), "{id:?} {secret:?}");
        }
        assert!(!format!("{client:?}").contains("hush"));
    }

    #[test]
    fn unsendable_ids_and_secrets_are_refused() {
        for id in ["", "a:b", "a b", "ä"] {
            assert_eq!(ApiClient::new(id, "s").unwrap_err(), InvalidClient::Id);
        }
        for secret in ["", "a b", "ä"] {
            let error = ApiClient::new("a", secret).unwrap_err();
            assert_eq!(error, InvalidClient::Secret);
        }
    }
}
