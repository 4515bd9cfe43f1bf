//! Why a server can't start or run.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::Database;
use crate::store;

/// Why a server can't start or run. Says what failed and, through [`source`](std::error::Error::source), why.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] pub(crate) Kind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum Kind {
    #[error("can't open the database {}", .path.display())]
    OpenFile {
        path: PathBuf,
        source: store::OpenError,
    },
    #[error("can't set up the database in memory")]
    OpenMemory(#[source] store::OpenError),
    #[cfg(feature = "postgres")]
    #[error("can't open the database {database}")]
    OpenPostgres {
        /// Shown without its password.
        database: Box<store::Postgres>,
        source: store::OpenError,
    },
    #[cfg(feature = "postgres")]
    #[error("the store wasn't copied, and nothing was written")]
    Copy(#[source] store::CopyError),
    #[error("can't listen on {address}")]
    Listen {
        address: SocketAddr,
        source: io::Error,
    },
    #[error("can't read the books to their end")]
    Books(#[source] store::Error),
    #[error("can't fill the books with what there is to be from the start: {}", refused(.0))]
    Fill(#[source] store::Error),
    #[error("the key that tokens are signed with can't be read from the database")]
    TokenKey(#[source] store::Error),
    #[error("the system gives no random numbers for the key that tokens are signed with")]
    Random(#[source] getrandom::Error),
}

impl Kind {
    /// Why a database can't be opened.
    pub(crate) fn open(database: &Database, source: store::OpenError) -> Kind {
        match database {
            Database::File(path) => Kind::OpenFile {
                path: path.clone(),
                source,
            },
            Database::Memory => Kind::OpenMemory(source),
            #[cfg(feature = "postgres")]
            Database::Postgres(database) => Kind::OpenPostgres {
                database: database.clone(),
                source,
            },
        }
    }
}

/// What the books refuse, where that is the reason.
fn refused(error: &store::Error) -> String {
    match error {
        store::Error::Refused(refusals) => refusals
            .iter()
            .map(|refusal| format!("{}: {}", refusal.pointer, refusal.message))
            .collect::<Vec<_>>()
            .join(" "),
        error => error.to_string(),
    }
}
