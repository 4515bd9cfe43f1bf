//! What can be wrong with a server for a test.

use std::error::Error as StdError;
use std::io;
use std::path::{Path, PathBuf};

use layer_payments_server::InvalidFaults;

type Cause = Box<dyn StdError + Send + Sync>;

/// Why a server for a test can't start, was told nonsense, or ended badly. One text with all of it, as a test prints it.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(Box<Kind>);

#[derive(Debug, thiserror::Error)]
enum Kind {
    #[error("the setting `{name}` isn't right: {cause}")]
    Setting { name: &'static str, cause: Cause },
    #[error("the setting `fixtures` isn't right: {}: {cause}", .path.display())]
    FixturesFile { path: PathBuf, cause: Cause },
    #[error("the fault rules aren't right: {0}")]
    Faults(InvalidFaults),
    #[error("the system gives no thread for the server: {0}")]
    Thread(io::Error),
    #[error("the server: {}", chain(.0))]
    Server(layer_payments_server::Error),
    #[error("the client: {}", chain(.0))]
    Client(layer_payments_client::Error),
    #[error("the server broke off")]
    BrokenOff,
    #[error("the books aren't in order:\n{}", .0.join("\n"))]
    Books(Vec<String>),
}

/// An error and what caused it, in one line. The causes would else be lost: a test prints the error that it ends with, and
/// nothing below it.
fn chain(error: &dyn StdError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl Error {
    /// The method of [`Builder`](crate::Builder) that was given what isn't right, if that is the reason.
    pub fn setting(&self) -> Option<&'static str> {
        match &*self.0 {
            Kind::Setting { name, .. } => Some(name),
            Kind::FixturesFile { .. } => Some("fixtures"),
            _ => None,
        }
    }

    /// What is out of order in the books, a line for each fault. Empty if something else is the reason.
    pub fn book_faults(&self) -> &[String] {
        match &*self.0 {
            Kind::Books(faults) => faults,
            _ => &[],
        }
    }

    fn new(kind: Kind) -> Error {
        Error(Box::new(kind))
    }

    pub(crate) fn setting_of(name: &'static str, cause: impl Into<Cause>) -> Error {
        let cause = cause.into();
        Error::new(Kind::Setting { name, cause })
    }

    pub(crate) fn fixtures_file(path: &Path, cause: impl Into<Cause>) -> Error {
        Error::new(Kind::FixturesFile {
            path: path.to_owned(),
            cause: cause.into(),
        })
    }

    pub(crate) fn faults(error: InvalidFaults) -> Error {
        Error::new(Kind::Faults(error))
    }

    pub(crate) fn thread(error: io::Error) -> Error {
        Error::new(Kind::Thread(error))
    }

    pub(crate) fn server(error: layer_payments_server::Error) -> Error {
        Error::new(Kind::Server(error))
    }

    pub(crate) fn client(error: layer_payments_client::Error) -> Error {
        Error::new(Kind::Client(error))
    }

    pub(crate) fn broken_off() -> Error {
        Error::new(Kind::BrokenOff)
    }

    /// What a check of the books gave, as an error unless they are in order.
    pub(crate) fn of_books(
        checked: Result<Vec<String>, layer_payments_server::Error>,
    ) -> Result<(), Error> {
        let faults = checked.map_err(Error::server)?;
        if faults.is_empty() {
            Ok(())
        } else {
            Err(Error::new(Kind::Books(faults)))
        }
    }
}
