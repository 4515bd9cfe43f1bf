//! What columns of both engines hold that SQL has no type for: names of values, lists and objects as JSON.

use std::borrow::Cow;
use std::str::FromStr;

use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::Error;
use crate::domain::chart::{self, AccountKind, Class};
use crate::domain::payment::Metadata;
use crate::domain::reply::Account;

/// A list's column: NULL when empty.
pub(super) fn json_list<T: Serialize>(list: &[T]) -> Result<Option<String>, Error> {
    if list.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(list)?))
}

/// A metadata column: NULL when empty.
pub(super) fn json_object(metadata: &Metadata) -> Result<Option<String>, Error> {
    if metadata.is_empty() {
        return Ok(None);
    }
    Ok(Some(serde_json::to_string(metadata)?))
}

/// What a JSON column holds.
pub(super) fn from_json<T: DeserializeOwned + Default>(column: Option<&str>) -> Result<T, Error> {
    match column {
        None => Ok(T::default()),
        Some(text) => Ok(serde_json::from_str(text)?),
    }
}

/// The value that a column has the name of.
pub(super) fn named<T: FromStr>(name: &str) -> Result<T, Error> {
    name.parse()
        .map_err(|_| Error::Corrupt(format!("the name {name:?}")))
}

/// The columns of an account that say what it is. Where the chart says it, all but the stable name may be NULL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct AccountColumns {
    pub(super) stable_name: Option<String>,
    pub(super) account_number: Option<String>,
    pub(super) name: Option<String>,
    pub(super) account_type: Option<String>,
    pub(super) normality: Option<String>,
    pub(super) subtype: Option<String>,
}

impl AccountColumns {
    /// The columns of a new account of which everything is given.
    pub(super) fn of(account: &Account) -> AccountColumns {
        let Class {
            account_type,
            normality,
            subtype,
        } = &account.kind.class;
        AccountColumns {
            stable_name: account.stable_name.clone(),
            account_number: account.account_number.clone(),
            name: Some(account.kind.name.clone()),
            account_type: Some(account_type.to_string()),
            normality: Some(normality.to_string()),
            subtype: subtype.as_deref().map(str::to_owned),
        }
    }

    /// The account with this id.
    pub(super) fn account(self, id: Uuid) -> Result<Account, Error> {
        let AccountColumns {
            stable_name,
            account_number,
            name,
            account_type,
            normality,
            subtype,
        } = self;
        let of_chart = stable_name.as_deref().and_then(chart::kind_of);
        let kind = match (name, of_chart) {
            (None, Some(kind)) => kind,
            (Some(name), _) => AccountKind {
                name,
                class: Class {
                    account_type: named(account_type.as_deref().unwrap_or_default())?,
                    normality: named(normality.as_deref().unwrap_or_default())?,
                    subtype: subtype.map(Cow::Owned),
                },
            },
            (None, None) => {
                return Err(Error::Corrupt(format!(
                    "the account {stable_name:?}, of which nothing is known"
                )));
            }
        };
        Ok(Account {
            id,
            stable_name,
            account_number,
            kind,
        })
    }
}
