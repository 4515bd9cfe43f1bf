//! What a server is started with.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use layer_payments_server::{ApiClient, Config, Database, Fixtures, RateLimit, Token};
use uuid::Uuid;

use crate::Layer;
use crate::error::Error;

/// The business that there is unless another is named. It is the one that the program `layer-payments` uses locally.
pub const DEFAULT_BUSINESS: Uuid = Uuid::from_u128(0x10ca_1000_0000_4000_8000_0000_0000_0000);

/// Requests that were taken may still run this long once the server is told to stop. They take milliseconds, unless a
/// client has stopped reading.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// The settings of a [`Layer`], from [`Layer::builder`]. All of them have a default; what is wrong with one is told by
/// [`start`](Builder::start).
pub struct Builder {
    businesses: Vec<Uuid>,
    token: Option<String>,
    fixtures: Option<Source>,
    database: Database,
    clients: Vec<(String, String)>,
    changes: Vec<Change>,
}

type Change = Box<dyn FnOnce(Config) -> Config + Send>;

enum Source {
    File(PathBuf),
    Text(String),
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            businesses: Vec::new(),
            token: None,
            fixtures: None,
            database: Database::Memory,
            clients: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// Adds a business, beside those of the fixtures. The first is the one that [`Layer::client`] is for. Unless one is
    /// added, that is the first of the fixtures, or without fixtures [`DEFAULT_BUSINESS`].
    #[must_use]
    pub fn business(mut self, id: Uuid) -> Builder {
        self.businesses.push(id);
        self
    }

    /// Sets the token that opens everything. A new random one unless set.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Builder {
        self.token = Some(token.into());
        self
    }

    /// Fills the server from a file of fixtures in JSON, as `layer-payments serve --fixtures` does. Of this and
    /// [`fixtures_json`](Builder::fixtures_json) the last call counts.
    #[must_use]
    pub fn fixtures(mut self, file: impl AsRef<Path>) -> Builder {
        self.fixtures = Some(Source::File(file.as_ref().to_owned()));
        self
    }

    /// Fills the server from the text of fixtures in JSON. [`Fixtures`] shows what there can be.
    #[must_use]
    pub fn fixtures_json(mut self, text: impl Into<String>) -> Builder {
        self.fixtures = Some(Source::Text(text.into()));
        self
    }

    /// Sets where the data are kept. In memory unless set. A file stays when the server stops, and what is in it is there
    /// when another server starts with it.
    #[must_use]
    pub fn database(mut self, database: Database) -> Builder {
        self.database = database;
        self
    }

    /// Adds a client that gets tokens at [`Layer::token_url`] for its id and secret.
    #[must_use]
    pub fn oauth_client(mut self, id: impl Into<String>, secret: impl Into<String>) -> Builder {
        self.clients.push((id.into(), secret.into()));
        self
    }

    /// Sets how long the tokens of [`oauth_client`](Builder::oauth_client) are good. An hour unless set, as Layer's are.
    #[must_use]
    pub fn token_lifetime(self, time: Duration) -> Builder {
        self.configure(move |config| config.token_lifetime(time))
    }

    /// Limits how many requests a second are taken. No limit unless set.
    #[must_use]
    pub fn rate_limit(self, limit: RateLimit) -> Builder {
        self.configure(move |config| config.rate_limit(limit))
    }

    /// Changes any other setting of the server, such as its clock or the most payments of a bulk:
    ///
    /// ```
    /// # use layer_payments_local::Layer;
    /// let builder = Layer::builder().configure(|config| config.strict_invoices(true).bulk_limit(10));
    /// ```
    ///
    /// Faults are allowed unless this says otherwise: only the test itself can reach the server.
    #[must_use]
    pub fn configure(mut self, change: impl FnOnce(Config) -> Config + Send + 'static) -> Builder {
        self.changes.push(Box::new(change));
        self
    }

    /// Starts the server.
    ///
    /// # Errors
    ///
    /// If a setting isn't right, which [`Error::setting`] names; if the database can't be opened or doesn't take the
    /// fixtures; if the system gives no port, thread or random numbers.
    pub async fn start(self) -> Result<Layer, Error> {
        let token = match self.token {
            Some(token) => token,
            None => Uuid::new_v4().simple().to_string(),
        };
        let checked = Token::new(&token).map_err(|error| Error::setting_of("token", error))?;
        let mut config = Config::new(self.database, checked)
            .faults(true)
            .shutdown_timeout(SHUTDOWN);
        for (id, secret) in &self.clients {
            let client = ApiClient::new(id, secret)
                .map_err(|error| Error::setting_of("oauth_client", error))?;
            config = config.client(client);
        }
        let fixtures = self.fixtures.map(read).transpose()?;
        let first_of_fixtures = fixtures
            .as_ref()
            .and_then(|fixtures| fixtures.business_ids().next());
        let business = match (self.businesses.first(), first_of_fixtures) {
            (Some(id), _) => *id,
            (None, Some(id)) => id,
            (None, None) => DEFAULT_BUSINESS,
        };
        config.businesses = self.businesses;
        if config.businesses.is_empty() && first_of_fixtures.is_none() {
            config.businesses.push(business);
        }
        config.fixtures = fixtures;
        for change in self.changes {
            config = change(config);
        }
        Layer::run(config, business, token).await
    }
}

/// Shows no token and no secret.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("businesses", &self.businesses)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}

fn read(source: Source) -> Result<Fixtures, Error> {
    match source {
        Source::Text(text) => Fixtures::from_json(text.as_bytes())
            .map_err(|error| Error::setting_of("fixtures_json", error)),
        Source::File(path) => {
            let text = std::fs::read(&path).map_err(|error| Error::fixtures_file(&path, error))?;
            Fixtures::from_json(&text).map_err(|error| Error::fixtures_file(&path, error))
        }
    }
}
