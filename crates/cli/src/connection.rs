//! How a command reaches an API: one that runs somewhere, or one that the command runs itself.

use std::env::{self, VarError};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use layer_payments_client::Client;
use layer_payments_server::{Config, Database, Server, Token};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::args::{Api, Secret};
use crate::database;

/// The business whose payments a local database holds unless `--business` names another.
pub(crate) const LOCAL_BUSINESS: Uuid = Uuid::from_u128(0x10ca_1000_0000_4000_8000_0000_0000_0000);

/// How long a call to the server in this process may take. It isn't lost on the way, so only its work counts.
const LOCAL_TIMEOUT: Duration = Duration::from_secs(600);

/// How many payments a request to the server in this process may hold: as many as `--chunk` may ask for.
pub(crate) const MOST_PAYMENTS: usize = 10_000;

/// How large such a request may be, in bytes. Nobody else can send one, so it may be large.
const MOST_BYTES: usize = 256 << 20;

/// A way to an API.
pub(crate) struct Connection {
    client: Client,
    local: Option<Local>,
}

/// The server that runs in this process.
struct Local {
    stop: oneshot::Sender<()>,
    server: JoinHandle<Result<(), layer_payments_server::Error>>,
}

/// What to do about a local database that isn't there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// Make it: the command brings what will be in it.
    Create,
    /// Say so: in a new one the command would find nothing, and its name is likely misspelt.
    Refuse,
}

impl Connection {
    /// Finds or starts the API that the flags, or else the environment variables, name.
    ///
    /// # Errors
    ///
    /// Where they name none, or one that can't be right, or where the local database can't be opened. Nothing is sent.
    pub(crate) async fn open(api: &Api, missing: Missing) -> anyhow::Result<Self> {
        match &api.local {
            Some(db) if database::is_url(db) => bail!(
                "--local takes a file; for a database in PostgreSQL, start `layer-payments serve --db` and name the server by \
                 --base-url"
            ),
            Some(db) if missing == Missing::Refuse && !db.exists() => bail!(
                "there is no database {}; `import`, `record` and `serve` make one",
                db.display()
            ),
            Some(db) => Self::open_local(db, api.business.unwrap_or(LOCAL_BUSINESS)).await,
            None => Self::open_remote(api),
        }
    }

    fn open_remote(api: &Api) -> anyhow::Result<Self> {
        let base_url = given(api.base_url.clone(), "LAYER_BASE_URL", "an address")?.ok_or_else(|| {
            anyhow!(
                "no API is named; give --local FILE for a database on this machine, or --base-url (or LAYER_BASE_URL) \
                 for a server, such as https://sandbox.layerfi.com"
            )
        })?;
        let token = given(api.token.clone(), "LAYER_TOKEN", "a token")?
            .ok_or_else(|| anyhow!("no access token is given; set LAYER_TOKEN, or give --token"))?;
        let business = given(api.business, "LAYER_BUSINESS_ID", "a UUID")?.ok_or_else(|| {
            anyhow!("no business is named; give --business (or LAYER_BUSINESS_ID), a UUID")
        })?;
        let client = Client::builder()
            .base_url(base_url)
            .token(token.reveal())
            .business_id(business)
            .build()?;
        Ok(Self {
            client,
            local: None,
        })
    }

    async fn open_local(db: &Path, business: Uuid) -> anyhow::Result<Self> {
        let token = new_token();
        let config = Config::new(Database::File(db.to_owned()), Token::new(token.reveal())?)
            .business(business)
            .bulk_limit(MOST_PAYMENTS)
            .body_limit(MOST_BYTES);
        let server = Server::bind(config, SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).await?;
        let client = Client::builder()
            .base_url(format!("http://{}", server.local_addr()))
            .token(token.reveal())
            .business_id(business)
            .timeout(LOCAL_TIMEOUT)
            .attempt_timeout(LOCAL_TIMEOUT)
            .build()?;
        let (stop, stopped) = oneshot::channel();
        let server = tokio::spawn(server.run(async {
            // That the sender is gone says the same as a message.
            let _ = stopped.await;
        }));
        Ok(Self {
            client,
            local: Some(Local { stop, server }),
        })
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Whether the API runs in this process.
    pub(crate) fn is_local(&self) -> bool {
        self.local.is_some()
    }

    /// Ends the server if it runs in this process, after what it has taken.
    pub(crate) async fn close(self) -> anyhow::Result<()> {
        let Some(local) = self.local else {
            return Ok(());
        };
        let Local { stop, server } = local;
        // The server may have ended by itself; then it says why.
        let _ = stop.send(());
        // Idle connections of the client would keep it from ending.
        drop(self.client);
        match server.await {
            Ok(ended) => ended.context("the local server"),
            Err(_) => bail!("the local server broke off"),
        }
    }
}

/// A token that nobody can guess: 244 random bits.
pub(crate) fn new_token() -> Secret {
    Secret::new(format!(
        "{}{}",
        Uuid::new_v4().simple(),
        Uuid::new_v4().simple()
    ))
}

/// A flag's value, or else that of the environment variable. An empty variable is none.
///
/// # Errors
///
/// Where the variable isn't `right`. The error doesn't show its value, which may be a secret in the wrong place.
pub(crate) fn given<T: FromStr>(
    flag: Option<T>,
    variable: &str,
    right: &str,
) -> anyhow::Result<Option<T>> {
    if flag.is_some() {
        return Ok(flag);
    }
    match env::var(variable) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => match value.parse() {
            Ok(value) => Ok(Some(value)),
            Err(_) => bail!("the environment variable {variable} isn't {right}"),
        },
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => bail!("the environment variable {variable} isn't Unicode"),
    }
}
