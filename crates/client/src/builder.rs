//! How a client is set up: where the API is, who calls it and how long a call may take.
//!
//! Every setting is checked once, in [`Builder::build`], so that a client that exists is a client
//! that can call. An error names the setting and, where there is one, the environment variable that
//! gives it.

use std::env::VarError;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use reqwest::header::HeaderValue;
use uuid::Uuid;

use crate::client::{Client, Shared};
use crate::error::Error;

/// How long connecting may take (name resolution, TCP and TLS together) unless
/// [`Builder::connect_timeout`] says otherwise.
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a whole call may take, from its start to the last byte of the reply, unless
/// [`Builder::timeout`] says otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// What the client calls itself in `User-Agent`.
const PRODUCT: &str = concat!("layer-payments-client/", env!("CARGO_PKG_VERSION"));

/// One of Layer's own hosts, as the API description lists them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Environment {
    /// Test data only.
    Sandbox,
    /// Real money.
    Production,
    /// Real money, on Layer's host in Canada.
    ProductionCanada,
}

impl Environment {
    /// The base URL of this environment, without a slash at its end.
    pub const fn base_url(self) -> &'static str {
        match self {
            Environment::Sandbox => "https://sandbox.layerfi.com",
            Environment::Production => "https://api.layerfi.com",
            Environment::ProductionCanada => "https://api-ca.layerfi.com",
        }
    }
}

/// An access token. Its text can be given but not read back: neither `Debug` nor any method shows
/// it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Takes the token's text, without the word `Bearer`. [`Builder::build`] checks it.
    pub fn new(text: impl Into<String>) -> Token {
        Token(Arc::from(text.into()))
    }

    /// The text with each occurrence of the token taken out, for what comes back from outside and
    /// is about to be kept: some proxies put the whole request into their error pages.
    pub(crate) fn redact(&self, text: String) -> String {
        if self.is_in(&text) {
            text.replace(&*self.0, "[redacted]")
        } else {
            text
        }
    }

    /// Whether the text holds the token. A token of less than 8 characters is no secret, but would
    /// be found in ordinary words, so that a fault's description would lose what it says; it's in
    /// no text.
    pub(crate) fn is_in(&self, text: &str) -> bool {
        self.0.len() >= 8 && text.contains(&*self.0)
    }

    /// The value of the `Authorization` header, marked so that HTTP libraries don't print it.
    fn authorization(&self) -> Result<HeaderValue, Error> {
        let fault = if self.0.is_empty() {
            "is empty"
        } else if self.0.contains(' ') {
            "holds a space"
        } else if !self.0.bytes().all(|byte| byte.is_ascii_graphic()) {
            "holds a line break or another character that a token can't have"
        } else if let Ok(mut value) = HeaderValue::try_from(format!("Bearer {}", self.0)) {
            value.set_sensitive(true);
            return Ok(value);
        } else {
            "can't be sent in a header"
        };
        Err(Setting::Token.error(format!(
            "{fault}; give the access token alone, without `Bearer` and without blanks"
        )))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token([redacted])")
    }
}

impl From<String> for Token {
    fn from(text: String) -> Token {
        Token::new(text)
    }
}

impl From<&str> for Token {
    fn from(text: &str) -> Token {
        Token::new(text)
    }
}

/// The settings of a [`Client`], made by [`Client::builder`].
///
/// Needed are a base URL (or an environment), a token and a business; everything else has a
/// default.
#[derive(Clone, Debug)]
pub struct Builder {
    base_url: Option<String>,
    allow_plain_http: bool,
    token: Option<Token>,
    business_id: Option<Uuid>,
    timeout: Duration,
    connect_timeout: Duration,
    user_agent: Option<String>,
}

impl Builder {
    pub(crate) fn new() -> Builder {
        Builder {
            base_url: None,
            allow_plain_http: false,
            token: None,
            business_id: None,
            timeout: DEFAULT_TIMEOUT,
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            user_agent: None,
        }
    }

    /// A builder with the base URL, token and business that the environment variables
    /// `LAYER_BASE_URL`, `LAYER_TOKEN` and `LAYER_BUSINESS_ID` give.
    ///
    /// # Errors
    /// Where one of the three isn't set, isn't Unicode or, for the business, isn't a UUID.
    pub fn from_env() -> Result<Builder, Error> {
        let read = |setting: Setting, variable: &str, right: &str| {
            std::env::var(variable).map_err(|cause| {
                let fault = match cause {
                    VarError::NotPresent => "isn't given",
                    // The value isn't shown: it may be a token.
                    VarError::NotUnicode(_) => "isn't Unicode",
                };
                setting.error(format!("{fault}; set {variable} to {right}"))
            })
        };
        let base_url = read(
            Setting::BaseUrl,
            BASE_URL_VARIABLE,
            "the API's address, such as https://sandbox.layerfi.com",
        )?;
        let token = read(Setting::Token, TOKEN_VARIABLE, "the access token")?;
        let business = read(
            Setting::BusinessId,
            BUSINESS_ID_VARIABLE,
            "the business's UUID",
        )?;
        let business_id = Uuid::try_parse(&business).map_err(|_| {
            Setting::BusinessId.error(format!("is {business:?}, which isn't a UUID"))
        })?;
        Ok(Builder::new()
            .base_url(base_url)
            .token(token)
            .business_id(business_id))
    }

    /// Calls one of Layer's own hosts. Sets the base URL: of this and [`Builder::base_url`] the
    /// last call counts.
    pub fn environment(self, environment: Environment) -> Builder {
        self.base_url(environment.base_url())
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

    /// Whether the base URL may be plain `http` to another machine; false unless set. Whoever sees
    /// the traffic sees the token, so it is for networks that nobody else is on, such as that of a
    /// few containers.
    pub fn allow_plain_http(mut self, allow: bool) -> Builder {
        self.allow_plain_http = allow;
        self
    }

    /// The access token that every call carries in its `Authorization` header.
    pub fn token(mut self, token: impl Into<Token>) -> Builder {
        self.token = Some(token.into());
        self
    }

    /// The business whose payments are meant.
    pub fn business_id(mut self, business_id: Uuid) -> Builder {
        self.business_id = Some(business_id);
        self
    }

    /// How long a whole call may take, from its start to the last byte of the reply.
    /// [`DEFAULT_TIMEOUT`] unless set; it can't be zero and can't be switched off.
    pub fn timeout(mut self, timeout: Duration) -> Builder {
        self.timeout = timeout;
        self
    }

    /// How long connecting may take. [`DEFAULT_CONNECT_TIMEOUT`] unless set; it can't be zero and
    /// can't be switched off.
    pub fn connect_timeout(mut self, timeout: Duration) -> Builder {
        self.connect_timeout = timeout;
        self
    }

    /// Names the calling program in `User-Agent`, such as `billing/2.4`; this crate's own name and
    /// version follow it.
    pub fn user_agent(mut self, product: impl Into<String>) -> Builder {
        self.user_agent = Some(product.into());
        self
    }

    /// Checks the settings and makes the client. Connects to nothing.
    ///
    /// # Errors
    /// Where a needed setting isn't given or a given one can't be right. [`Error::setting`] names
    /// it.
    pub fn build(self) -> Result<Client, Error> {
        let given = self.base_url.ok_or_else(|| {
            Setting::BaseUrl.error("isn't given; call `base_url` or `environment`".to_owned())
        })?;
        let (base_url, is_local) = check_base_url(&given, self.allow_plain_http)?;
        let token = self
            .token
            .ok_or_else(|| Setting::Token.error("isn't given; call `token`".to_owned()))?;
        let authorization = token.authorization()?;
        let business_id = self.business_id.ok_or_else(|| {
            Setting::BusinessId.error("isn't given; call `business_id`".to_owned())
        })?;
        for (setting, value) in [
            (Setting::Timeout, self.timeout),
            (Setting::ConnectTimeout, self.connect_timeout),
        ] {
            if value.is_zero() {
                return Err(setting.error(
                    "is zero, so that no call could ever succeed; give a longer time".to_owned(),
                ));
            }
        }
        let user_agent = match self.user_agent {
            None => HeaderValue::from_static(PRODUCT),
            Some(product) => {
                HeaderValue::try_from(format!("{product} {PRODUCT}")).map_err(|_| {
                    Setting::UserAgent.error(format!(
                    "is {product:?}, which can't be sent in a header; use visible ASCII characters"
                ))
                })?
            }
        };

        let mut http = reqwest::Client::builder()
            .timeout(self.timeout)
            .connect_timeout(self.connect_timeout)
            .user_agent(user_agent)
            // A redirected write turns into a read (301, 302, 303) or is sent to a host that nobody
            // chose. The API has no redirects, so one is reported and not followed.
            .redirect(reqwest::redirect::Policy::none());
        if is_local {
            // What is meant for this machine stays on it, whatever proxy the environment names.
            http = http.no_proxy();
        }
        let http = http.build().map_err(Error::set_up)?;
        let shared = Shared {
            http,
            base_url,
            token,
            authorization,
            timeout: self.timeout,
            connect_timeout: self.connect_timeout,
        };
        Ok(Client::new(shared, business_id))
    }
}

/// Checks a base URL; gives it without a slash at its end, and whether its host is this machine.
fn check_base_url(given: &str, allow_plain_http: bool) -> Result<(String, bool), Error> {
    let wrong = |fault: &str| Setting::BaseUrl.error(fault.to_owned());
    // The value itself is shown only where it can't hold a password, which is to say after the
    // check for one.
    let url = Url::parse(given.trim()).map_err(|cause| {
        wrong(&format!(
            "isn't an address ({cause}); give one such as https://sandbox.layerfi.com"
        ))
    })?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong(
            "holds a user name or password; give the address without them, and the access token \
             as `token`",
        ));
    }
    if !matches!(url.scheme(), "http" | "https") {
        return Err(wrong(&format!(
            "is {url}, whose scheme is {}; it must be https or http",
            url.scheme()
        )));
    }
    let Some(host) = url.host_str() else {
        return Err(wrong(&format!("is {url}, which names no host")));
    };
    if url.query().is_some() || url.fragment().is_some() {
        return Err(wrong(
            "has a `?` or `#` part; give only scheme, host, port and path",
        ));
    }
    let is_local = is_loopback(host);
    if url.scheme() == "http" && !is_local && !allow_plain_http {
        return Err(wrong(&format!(
            "is {url}, over which the token would cross the network unencrypted; use https, \
             or set `allow_plain_http`"
        )));
    }
    if url.scheme() == "https" && !cfg!(feature = "rustls") {
        return Err(wrong(&format!(
            "is {url}, but this build has no TLS; turn on the feature `rustls`"
        )));
    }
    Ok((url.as_str().trim_end_matches('/').to_owned(), is_local))
}

/// Whether a URL's host is this machine: a loopback address, or a name that RFC 6761 reserves for
/// one.
fn is_loopback(host: &str) -> bool {
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

const BASE_URL_VARIABLE: &str = "LAYER_BASE_URL";
const TOKEN_VARIABLE: &str = "LAYER_TOKEN";
const BUSINESS_ID_VARIABLE: &str = "LAYER_BUSINESS_ID";

/// What can be set, so that an error can name it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Setting {
    BaseUrl,
    Token,
    BusinessId,
    Timeout,
    ConnectTimeout,
    UserAgent,
}

impl Setting {
    /// The builder's method.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Setting::BaseUrl => "base_url",
            Setting::Token => "token",
            Setting::BusinessId => "business_id",
            Setting::Timeout => "timeout",
            Setting::ConnectTimeout => "connect_timeout",
            Setting::UserAgent => "user_agent",
        }
    }

    /// The variable that [`Builder::from_env`] reads for it.
    pub(crate) const fn variable(self) -> Option<&'static str> {
        match self {
            Setting::BaseUrl => Some(BASE_URL_VARIABLE),
            Setting::Token => Some(TOKEN_VARIABLE),
            Setting::BusinessId => Some(BUSINESS_ID_VARIABLE),
            Setting::Timeout | Setting::ConnectTimeout | Setting::UserAgent => None,
        }
    }

    fn error(self, fault: String) -> Error {
        Error::setting_fault(self, &fault)
    }
}
