//! How a client is set up: where the API is, who calls it and how long a call may take.
//!
//! Every setting is checked once, in [`Builder::build`], so that a client that exists is a client
//! that can call. An error names the setting and, where there is one, the environment variable that
//! gives it.

use std::env::VarError;
use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use uuid::Uuid;

use crate::auth::{Bearer, ClientCredentials, IssuedToken, Source, Token, Tokens};
use crate::client::{Client, Shared};
use crate::error::Error;
use crate::observe::{Observer, Watch};
use crate::pace::RateLimiter;
use crate::retry::{Budget, RetryPolicy};

/// How long connecting may take (name resolution, TCP and TLS together) unless
/// [`Builder::connect_timeout`] says otherwise.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt may take, from connecting to the last byte of the reply, unless
/// [`Builder::attempt_timeout`] says otherwise.
pub const DEFAULT_ATTEMPT_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a whole call may take, with all its attempts and the waits between them, unless
/// [`Builder::timeout`] says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(60);

/// What the client calls itself in `User-Agent`.
const PRODUCT: &str = concat!("layer-payments-client/", env!("CARGO_PKG_VERSION"));

/// Where the API is. An environment gives the base URL, where tokens are had and with which scope,
/// and the rate limit; each of them can be set otherwise.
///
/// Source: Layer's pages on authentication and rate limiting; the host in Canada is that of Layer's
/// own components for React.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Environment {
    /// Layer's, with test data only.
    Sandbox,
    /// Layer's, with real money.
    Production,
    /// Layer's in Canada, with real money.
    ProductionCanada,
    /// The server of this project on this machine, as `layer-payments serve` starts it, at
    /// `http://127.0.0.1:8080`. It has no rate limit unless it's told to have one.
    Local,
}

impl Environment {
    /// All of them.
    const ALL: [Environment; 4] = [
        Environment::Sandbox,
        Environment::Production,
        Environment::ProductionCanada,
        Environment::Local,
    ];

    /// The name that [`FromStr`] reads and the variable `LAYER_ENVIRONMENT` may have.
    pub const fn name(self) -> &'static str {
        match self {
            Environment::Sandbox => "sandbox",
            Environment::Production => "production",
            Environment::ProductionCanada => "production-canada",
            Environment::Local => "local",
        }
    }

    /// The base URL of this environment, without a slash at its end.
    pub const fn base_url(self) -> &'static str {
        match self {
            Environment::Sandbox => "https://sandbox.layerfi.com",
            Environment::Production => "https://api.layerfi.com",
            Environment::ProductionCanada => "https://api-ca.layerfi.com",
            Environment::Local => "http://127.0.0.1:8080",
        }
    }

    /// Where [`ClientCredentials`] are exchanged for tokens.
    pub const fn token_url(self) -> &'static str {
        match self {
            Environment::Sandbox | Environment::Production | Environment::ProductionCanada => {
                "https://auth.layerfi.com/oauth2/token"
            }
            Environment::Local => "http://127.0.0.1:8080/oauth2/token",
        }
    }

    /// The scope that tokens are asked for with.
    pub const fn scope(self) -> Option<&'static str> {
        match self {
            Environment::Sandbox => Some("https://sandbox.layerfi.com/sandbox"),
            Environment::Production => Some("https://api.layerfi.com/production"),
            Environment::ProductionCanada => Some("https://api-ca.layerfi.com/production"),
            Environment::Local => None,
        }
    }

    /// How many request tokens a second Layer gives, unless it agreed on others with you.
    pub const fn rate_limit(self) -> Option<u32> {
        match self {
            Environment::Sandbox => Some(100),
            Environment::Production | Environment::ProductionCanada => Some(500),
            Environment::Local => None,
        }
    }
}

impl FromStr for Environment {
    type Err = Error;

    fn from_str(text: &str) -> Result<Environment, Error> {
        let mut all = Environment::ALL.into_iter();
        all.find(|environment| environment.name() == text)
            .ok_or_else(|| {
                let names = Environment::ALL.map(Environment::name).join(", ");
                Setting::Environment.error(format!("is {text:?}; it must be one of {names}"))
            })
    }
}

/// What calls are authorized by.
#[derive(Clone, Debug)]
enum Authority {
    Token(Token),
    Credentials(ClientCredentials),
    Source(Source),
}

/// The settings of a [`Client`], made by [`Client::builder`].
///
/// Needed are an environment or a base URL, a business, and one of token, credentials and token
/// source; everything else has a default.
#[derive(Clone)]
#[must_use = "settings do nothing until `build` is called"]
pub struct Builder {
    environment: Option<Environment>,
    base_url: Option<String>,
    allow_plain_http: bool,
    authority: Option<Authority>,
    business_id: Option<Uuid>,
    timeout: Duration,
    attempt_timeout: Duration,
    connect_timeout: Option<Duration>,
    user_agent: Option<String>,
    proxy: Option<String>,
    http_client: Option<reqwest::Client>,
    retry: RetryPolicy,
    limiter: Option<RateLimiter>,
    watch: Watch,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            environment: None,
            base_url: None,
            allow_plain_http: false,
            authority: None,
            business_id: None,
            timeout: DEFAULT_TIMEOUT,
            attempt_timeout: DEFAULT_ATTEMPT_TIMEOUT,
            connect_timeout: None,
            user_agent: None,
            proxy: None,
            http_client: None,
            retry: RetryPolicy::new(),
            limiter: None,
            watch: Watch::default(),
        }
    }

    /// A builder with the settings that environment variables give. An empty variable counts as
    /// none.
    ///
    /// | Variable | Setting |
    /// |---|---|
    /// | `LAYER_ENVIRONMENT` | [`environment`](Builder::environment): `sandbox`, `production`, `production-canada` or `local` |
    /// | `LAYER_BASE_URL` | [`base_url`](Builder::base_url); needed where there is no environment |
    /// | `LAYER_BUSINESS_ID` | [`business_id`](Builder::business_id); needed |
    /// | `LAYER_TOKEN` | [`token`](Builder::token); this, or the two that follow, are needed |
    /// | `LAYER_CLIENT_ID`, `LAYER_CLIENT_SECRET` | [`credentials`](Builder::credentials) |
    /// | `LAYER_SCOPE`, `LAYER_TOKEN_URL` | the credentials' scope and address, where the environment's aren't right |
    ///
    /// # Errors
    /// Where a needed variable isn't set, where one can't be right, or where there are a token and
    /// credentials. The error names the variable.
    pub fn from_env() -> Result<Builder, Error> {
        let mut builder = Builder::new();
        if let Some(name) = read(
            Setting::Environment,
            "an environment's name, such as sandbox",
        )? {
            builder = builder.environment(name.parse()?);
        }
        if let Some(base_url) = read(
            Setting::BaseUrl,
            "the API's address, such as https://sandbox.layerfi.com",
        )? {
            builder = builder.base_url(base_url);
        } else if builder.environment.is_none() {
            return Err(Setting::BaseUrl.error(
                "isn't given; set LAYER_BASE_URL to the API's address, or LAYER_ENVIRONMENT to \
                 sandbox or production"
                    .to_owned(),
            ));
        }
        let id = read(Setting::ClientId, "the client's id")?;
        let secret = read(Setting::ClientSecret, "the client's secret")?;
        builder = match (read(Setting::Token, "the access token")?, id, secret) {
            (Some(token), None, None) => {
                for (setting, right) in [
                    (Setting::Scope, "the scope"),
                    (Setting::TokenUrl, "the address that gives tokens"),
                ] {
                    if read(setting, right)?.is_some() {
                        return Err(setting.error(
                            "is given beside LAYER_TOKEN, which nothing is asked for; unset one \
                             of them"
                                .to_owned(),
                        ));
                    }
                }
                builder.token(token)
            }
            (None, Some(id), Some(secret)) => {
                let mut credentials = ClientCredentials::new(id, secret);
                if let Some(scope) = read(Setting::Scope, "the scope")? {
                    credentials = credentials.scope(scope);
                }
                if let Some(url) = read(Setting::TokenUrl, "the address that gives tokens")? {
                    credentials = credentials.token_url(url);
                }
                builder.credentials(credentials)
            }
            (None, Some(_), None) => {
                return Err(Setting::ClientSecret
                    .error("isn't given, but LAYER_CLIENT_ID is; set both".to_owned()));
            }
            (None, None, Some(_)) => {
                return Err(Setting::ClientId
                    .error("isn't given, but LAYER_CLIENT_SECRET is; set both".to_owned()));
            }
            (None, None, None) => {
                return Err(Setting::Token.error(
                    "isn't given; set LAYER_TOKEN to the access token, or LAYER_CLIENT_ID and \
                     LAYER_CLIENT_SECRET"
                        .to_owned(),
                ));
            }
            (Some(_), ..) => {
                return Err(Setting::Token.error(
                    "is given beside LAYER_CLIENT_ID or LAYER_CLIENT_SECRET; unset one or the other"
                        .to_owned(),
                ));
            }
        };
        let Some(business) = read(Setting::BusinessId, "the business's UUID")? else {
            return Err(Setting::BusinessId
                .error("isn't given; set LAYER_BUSINESS_ID to the business's UUID".to_owned()));
        };
        let business_id = Uuid::try_parse(&business).map_err(|_| {
            Setting::BusinessId.error(format!("is {business:?}, which isn't a UUID"))
        })?;
        Ok(builder.business_id(business_id))
    }

    /// Calls the API where this environment has it, with the environment's rate limit. The other
    /// settings overrule it, in whatever order they're made.
    pub fn environment(mut self, environment: Environment) -> Builder {
        self.environment = Some(environment);
        self
    }

    /// Calls the API at this address, the part before `/v1`. It may end with a slash and may have a
    /// path of its own, as behind a gateway: `https://gateway.example/layer` calls
    /// `https://gateway.example/layer/v1/...`.
    ///
    /// Plain `http` is refused unless the host is this machine (`localhost` or a loopback address),
    /// because the token would cross the network readable; [`Builder::allow_plain_http`] allows it.
    pub fn base_url(mut self, base_url: impl Into<String>) -> Builder {
        self.base_url = Some(base_url.into());
        self
    }

    /// Whether the base URL, and the address that gives tokens, may be plain `http` to another
    /// machine; false unless set. Whoever sees the traffic sees the token, so it is for networks
    /// that nobody else is on, such as that of a few containers.
    pub fn allow_plain_http(mut self, allow: bool) -> Builder {
        self.allow_plain_http = allow;
        self
    }

    /// The access token that every call carries in its `Authorization` header. It isn't renewed. Of
    /// this, [`Builder::credentials`] and [`Builder::token_source`] the last call counts.
    pub fn token(mut self, token: impl Into<Token>) -> Builder {
        self.authority = Some(Authority::Token(token.into()));
        self
    }

    /// The credentials that access tokens are had for. A token is kept, shared by all clones, and
    /// renewed ahead of its end by one call while the others go on with the old one. Where the API
    /// refuses a token (401), a call renews it and is sent once more.
    pub fn credentials(mut self, credentials: ClientCredentials) -> Builder {
        self.authority = Some(Authority::Credentials(credentials));
        self
    }

    /// A source of access tokens of your own, such as a vault or a service that shares tokens among
    /// processes. It's asked when the first call needs a token, ahead of the end that it tells, and
    /// when the API refuses a token (401); never by two calls at once. What it fails with becomes
    /// the [source](std::error::Error::source) of the call's [`Error`], so it should hold no secret.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # async fn ask_the_vault() -> std::io::Result<String> { Ok(String::new()) }
    /// use layer_payments_client::{Client, IssuedToken};
    ///
    /// let builder = Client::builder().token_source(|| async {
    ///     let token = ask_the_vault().await?;
    ///     Ok::<_, std::io::Error>(IssuedToken::new(token).expires_in(Duration::from_secs(600)))
    /// });
    /// ```
    pub fn token_source<F, R, E>(mut self, issue: F) -> Builder
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<IssuedToken, E>> + Send + 'static,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        self.authority = Some(Authority::Source(Source::new(issue)));
        self
    }

    /// The business whose payments are meant.
    pub fn business_id(mut self, business_id: Uuid) -> Builder {
        self.business_id = Some(business_id);
        self
    }

    /// How long a whole call may take: waiting for a place under the rate limit and for a token,
    /// all attempts, and the waits between them. [`DEFAULT_TIMEOUT`] unless set; it can't be zero
    /// and can't be switched off.
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// How long one attempt may take, from connecting to the last byte of the reply, within what is
    /// left of [`timeout`](Builder::timeout). [`DEFAULT_ATTEMPT_TIMEOUT`] unless set; it can't be
    /// zero and can't be switched off.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Builder {
        self.attempt_timeout = timeout;
        self
    }

    /// How long connecting may take. [`DEFAULT_CONNECT_TIMEOUT`] unless set; it can't be zero and
    /// can't be switched off.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = Some(timeout);
        self
    }

    /// Names the calling program in `User-Agent`, such as `billing/2.4`; this crate's own name and
    /// version follow it.
    pub fn user_agent(mut self, product: impl Into<String>) -> Builder {
        self.user_agent = Some(product.into());
        self
    }

    /// Makes all connections through this proxy, such as `http://proxy.example:3128`, in place of
    /// the one that the environment names. A user name and password may be in it.
    pub fn proxy(mut self, url: impl Into<String>) -> Builder {
        self.proxy = Some(url.into());
        self
    }

    /// Makes all connections with this HTTP client, for what this builder has no setting for, such
    /// as certificates. The time limits of calls and attempts hold for it too; proxy, connect
    /// timeout and redirects are its own matter, and it should follow none
    /// ([`reqwest::redirect::Policy::none`]), since a redirected write becomes a read or reaches a
    /// host that nobody chose. Nor should it be made with
    /// [`connection_verbose`](reqwest::ClientBuilder::connection_verbose), which writes whole
    /// requests into the log, tokens and payments included.
    pub fn http_client(mut self, client: reqwest::Client) -> Builder {
        self.http_client = Some(client);
        self
    }

    /// When a call that failed is tried again; [`RetryPolicy::new`] unless set.
    /// [`RetryPolicy::never`] switches it off.
    pub fn retry(mut self, policy: RetryPolicy) -> Builder {
        self.retry = policy;
        self
    }

    /// What keeps the calls under a rate. Unless set it's one of this client and its clones, with
    /// the rate of the [`environment`](Builder::environment), or without one where there is none.
    /// Layer's limit is one for all calls, so clients of the same API in one program should share
    /// one.
    pub fn rate_limiter(mut self, limiter: RateLimiter) -> Builder {
        self.limiter = Some(limiter);
        self
    }

    /// Is told of each attempt, for metrics.
    pub fn observer(mut self, observer: impl Observer) -> Builder {
        self.watch = Watch(Some(Arc::new(observer)));
        self
    }

    /// Checks the settings and makes the client. Connects to nothing.
    ///
    /// # Errors
    /// Where a needed setting isn't given or a given one can't be right. [`Error::setting`] names
    /// it.
    pub fn build(self) -> Result<Client, Error> {
        let given = self
            .base_url
            .as_deref()
            .or(self.environment.map(Environment::base_url))
            .ok_or_else(|| {
                Setting::BaseUrl.error("isn't given; call `base_url` or `environment`".to_owned())
            })?;
        let base_url = check_url(Setting::BaseUrl, given, self.allow_plain_http)?;
        let business_id = self.business_id.ok_or_else(|| {
            Setting::BusinessId.error("isn't given; call `business_id`".to_owned())
        })?;
        let connect_timeout = self.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT);
        for (setting, value) in [
            (Setting::Timeout, self.timeout),
            (Setting::AttemptTimeout, self.attempt_timeout),
            (Setting::ConnectTimeout, connect_timeout),
        ] {
            if value.is_zero() {
                return Err(setting.error(
                    "is zero, so that no call could ever succeed; give a longer time".to_owned(),
                ));
            }
            if value > MAX_TIMEOUT {
                return Err(setting.error(format!(
                    "is {value:?}, which is no limit; give {MAX_TIMEOUT:?} at most"
                )));
            }
        }
        let user_agent = match &self.user_agent {
            None => HeaderValue::from_static(PRODUCT),
            Some(product) => {
                HeaderValue::try_from(format!("{product} {PRODUCT}")).map_err(|_| {
                    Setting::UserAgent.error(format!(
                    "is {product:?}, which can't be sent in a header; use visible ASCII characters"
                ))
                })?
            }
        };
        let is_local = is_loopback(&base_url);
        let http = self.http(is_local)?;
        // One HTTP client does for both servers, unless only one of them is on this machine.
        let http_for = |url: &Url| match is_loopback(url) == is_local {
            true => Ok(http.clone()),
            false => self.http(!is_local),
        };
        let tokens = self.tokens(&user_agent, http_for)?;
        let limiter = self.limiter.unwrap_or_else(|| {
            let rate = self.environment.and_then(Environment::rate_limit);
            rate.map_or_else(RateLimiter::unlimited, RateLimiter::per_second)
        });
        let shared = Shared {
            http,
            // The generated paths begin with a slash.
            base_url: base_url.as_str().trim_end_matches('/').to_owned(),
            tokens,
            user_agent,
            timeout: self.timeout,
            attempt_timeout: self.attempt_timeout,
            connect_timeout: self.http_client.is_none().then_some(connect_timeout),
            retry: self.retry,
            budget: Budget::new(),
            limiter,
            watch: self.watch,
        };
        Ok(Client::new(shared, business_id))
    }

    /// Where the client's tokens come from.
    fn tokens(
        &self,
        user_agent: &HeaderValue,
        http_for: impl Fn(&Url) -> Result<reqwest::Client, Error>,
    ) -> Result<Tokens, Error> {
        match &self.authority {
            None => Err(Setting::Token
                .error("isn't given; call `token`, `credentials` or `token_source`".to_owned())),
            Some(Authority::Token(token)) => match Bearer::new(token.clone()) {
                Ok(bearer) => Ok(Tokens::Fixed(Arc::new(bearer))),
                Err(fault) => Err(Setting::Token.error(format!(
                    "{fault}; give the access token alone, without `Bearer` and without blanks"
                ))),
            },
            Some(Authority::Source(source)) => Ok(Tokens::renewed(source.clone())),
            Some(Authority::Credentials(credentials)) => {
                for (setting, fault) in [
                    (Setting::ClientId, credentials.fault_of_id()),
                    (Setting::ClientSecret, credentials.fault_of_secret()),
                    (Setting::Scope, credentials.fault_of_scope()),
                ] {
                    if let Some(fault) = fault {
                        return Err(setting.error(fault.to_owned()));
                    }
                }
                let url = credentials
                    .token_url
                    .as_deref()
                    .or(self.environment.map(Environment::token_url))
                    .ok_or_else(|| {
                        Setting::TokenUrl.error(
                            "isn't given, and without an environment it must be; call \
                             `ClientCredentials::token_url`"
                                .to_owned(),
                        )
                    })?;
                let url = check_url(Setting::TokenUrl, url, self.allow_plain_http)?;
                let scope = credentials.scope.clone().or_else(|| {
                    let scope = self.environment.and_then(Environment::scope);
                    scope.map(str::to_owned)
                });
                let http = http_for(&url)?;
                Ok(Tokens::renewed(Source::oauth(
                    http,
                    credentials.clone(),
                    url,
                    scope,
                    user_agent.clone(),
                    self.attempt_timeout,
                )))
            }
        }
    }

    /// The HTTP client, for a host that is this machine or not.
    fn http(&self, is_local: bool) -> Result<reqwest::Client, Error> {
        if let Some(given) = &self.http_client {
            let beside = |setting: Setting| {
                setting.error(
                    "is given beside `http_client`, whose own matter it is; set it there"
                        .to_owned(),
                )
            };
            return match (&self.proxy, self.connect_timeout) {
                (Some(_), _) => Err(beside(Setting::Proxy)),
                (_, Some(_)) => Err(beside(Setting::ConnectTimeout)),
                (None, None) => Ok(given.clone()),
            };
        }
        let mut http = reqwest::Client::builder()
            .connect_timeout(self.connect_timeout.unwrap_or(DEFAULT_CONNECT_TIMEOUT))
            .timeout(self.attempt_timeout)
            // A redirected write turns into a read (301, 302, 303) or is sent to a host that nobody
            // chose. The API has no redirects, so one is reported and not followed.
            .redirect(reqwest::redirect::Policy::none())
            // What is sent again is decided by this client, which knows what can be.
            .retry(reqwest::retry::never())
            // Many load balancers close what has been idle for a minute; a request that meets that
            // is lost.
            .pool_idle_timeout(MAX_IDLE);
        if let Some(proxy) = &self.proxy {
            // Neither the address nor the cause is shown: a password may be in it.
            let proxy = Url::parse(proxy)
                .ok()
                .filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
                .and_then(|url| reqwest::Proxy::all(url).ok())
                .ok_or_else(|| {
                    Setting::Proxy.error(
                        "isn't a proxy's address; give one such as http://proxy.example:3128"
                            .to_owned(),
                    )
                })?;
            http = http.proxy(proxy);
        } else if is_local {
            // What is meant for this machine stays on it, whatever proxy the environment names.
            http = http.no_proxy();
        }
        http.build().map_err(Error::set_up)
    }
}

/// Shows neither token nor secret, nor the addresses that may have a password in them before
/// [`Builder::build`] has checked them, nor the HTTP client, whose default headers may be secrets.
impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<String>| url.as_deref().map(shown_url);
        f.debug_struct("Builder")
            .field("environment", &self.environment)
            .field("base_url", &shown(&self.base_url))
            .field("allow_plain_http", &self.allow_plain_http)
            .field("authority", &self.authority)
            .field("business_id", &self.business_id)
            .field("timeout", &self.timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("connect_timeout", &self.connect_timeout)
            .field("user_agent", &self.user_agent)
            .field("proxy", &shown(&self.proxy))
            .field("http_client", &self.http_client.as_ref().map(|_| "given"))
            .field("retry", &self.retry)
            .field("rate_limiter", &self.limiter)
            .field("observer", &self.watch)
            .finish()
    }
}

/// An address without what may be a password: what stands before an `@`, and a `?` part.
pub(crate) fn shown_url(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.rsplit_once('@') {
        None => url.to_owned(),
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://[redacted]@{host}")
        }
    }
}

/// How long an idle connection is kept.
const MAX_IDLE: Duration = Duration::from_secs(50);

/// The longest time limit. More would be none, and some arithmetic has to end.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 60 * 60);

/// Reads a setting's environment variable; an empty one is none. `right` says what it should be.
fn read(setting: Setting, right: &str) -> Result<Option<String>, Error> {
    let Some(variable) = setting.variable() else {
        return Ok(None);
    };
    match std::env::var(variable) {
        Ok(value) if value.is_empty() => Ok(None),
        Ok(value) => Ok(Some(value)),
        Err(VarError::NotPresent) => Ok(None),
        // The value isn't shown: it may be a token.
        Err(VarError::NotUnicode(_)) => {
            Err(setting.error(format!("isn't Unicode; set {variable} to {right}")))
        }
    }
}

/// Checks an address to which secrets are sent.
fn check_url(setting: Setting, given: &str, allow_plain_http: bool) -> Result<Url, Error> {
    let wrong = |fault: &str| setting.error(fault.to_owned());
    let example = match setting {
        Setting::TokenUrl => Environment::Sandbox.token_url(),
        _ => Environment::Sandbox.base_url(),
    };
    // The value itself is shown only where it can't hold a password, which is to say after the
    // checks for one.
    let url = Url::parse(given.trim()).map_err(|cause| {
        wrong(&format!(
            "isn't an address ({cause}); give one such as {example}"
        ))
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "holds a user name or password; give the address without them, and the access token \
             as `token` or the client's secret as `credentials`",
        ));
    }
    if matches!(setting, Setting::BaseUrl) && url.path().trim_end_matches('/').ends_with("/v1") {
        return Err(wrong(&format!(
            "is {url}; leave out /v1, which every path begins with"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "has a `?` or `#` part; give only scheme, host, port and path",
        ));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!(
            "is {url}, whose scheme is {}; it must be https or http",
            url.scheme()
        )));
    }
    if !url.has_host() {
        return Err(wrong(&format!("is {url}, which names no host")));
    }
    if url.scheme() == "http" && !is_loopback(&url) && !allow_plain_http {
        return Err(wrong(&format!(
            "is {url}, over which secrets would cross the network unencrypted; use https, or set \
             `allow_plain_http`"
        )));
    }
    if url.scheme() == "https" && !HAS_TLS {
        return Err(wrong(&format!(
            "is {url}, but this build has no TLS; turn on the feature `rustls`"
        )));
    }
    Ok(url)
}

/// Whether a URL's host is this machine: a loopback address, or a name that RFC 6761 reserves for
/// one.
fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    match host
        .trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
    {
        Ok(address) => address.is_loopback(),
        Err(_) => {
            let name = host.trim_end_matches('.');
            name == "localhost" || name.ends_with(".localhost")
        }
    }
}

/// Whether this build can speak `https`.
const HAS_TLS: bool = cfg!(any(
    feature = "rustls",
    feature = "rustls-no-provider",
    feature = "native-tls"
));

/// What can be set, so that an error can name it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    Environment,
    BaseUrl,
    Token,
    ClientId,
    ClientSecret,
    Scope,
    TokenUrl,
    BusinessId,
    Timeout,
    AttemptTimeout,
    ConnectTimeout,
    UserAgent,
    Proxy,
}

impl Setting {
    /// The builder's method, or what of its argument is meant.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Setting::Environment => "environment",
            Setting::BaseUrl => "base_url",
            Setting::Token => "token",
            Setting::ClientId => "credentials.id",
            Setting::ClientSecret => "credentials.secret",
            Setting::Scope => "credentials.scope",
            Setting::TokenUrl => "credentials.token_url",
            Setting::BusinessId => "business_id",
            Setting::Timeout => "timeout",
            Setting::AttemptTimeout => "attempt_timeout",
            Setting::ConnectTimeout => "connect_timeout",
            Setting::UserAgent => "user_agent",
            Setting::Proxy => "proxy",
        }
    }

    /// The variable that [`Builder::from_env`] reads for it.
    pub(crate) const fn variable(self) -> Option<&'static str> {
        match self {
            Setting::Environment => Some("LAYER_ENVIRONMENT"),
            Setting::BaseUrl => Some("LAYER_BASE_URL"),
            Setting::Token => Some("LAYER_TOKEN"),
            Setting::ClientId => Some("LAYER_CLIENT_ID"),
            Setting::ClientSecret => Some("LAYER_CLIENT_SECRET"),
            Setting::Scope => Some("LAYER_SCOPE"),
            Setting::TokenUrl => Some("LAYER_TOKEN_URL"),
            Setting::BusinessId => Some("LAYER_BUSINESS_ID"),
            Setting::Timeout
            | Setting::AttemptTimeout
            | Setting::ConnectTimeout
            | Setting::UserAgent
            | Setting::Proxy => None,
        }
    }

    fn error(self, fault: String) -> Error {
        Error::setting_fault(self, &fault)
    }
}
