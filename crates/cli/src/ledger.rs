//! `layer-payments ledger`: looking into the books of a database.

use crate::args::LedgerCheck;
use crate::output::{Output, message, printable};
use crate::{Exit, database};

/// Checks the books; each fault is a line on standard output.
pub(crate) async fn check(args: LedgerCheck) -> anyhow::Result<Exit> {
    let faults = layer_payments_server::check_books(&database::named(args.db)?).await?;
    let mut output = Output::new();
    for fault in &faults {
        output.write(format!("{}\n", printable(fault)).as_bytes())?;
    }
    output.finish()?;
    match faults.len() {
        0 => {
            message("the books are in order");
            Ok(Exit::Well)
        }
        1 => {
            message("1 fault");
            Ok(Exit::Partly)
        }
        more => {
            message(format_args!("{more} faults"));
            Ok(Exit::Partly)
        }
    }
}
