//! What can be asked of the program: commands, flags and their help.
//!
//! The environment variables are read in [`crate::connection`] and not here, because a flag that is given decides whether
//! they count: with `--local` they don't.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::civil::{Date, Time};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use layer_payments_types::{Operation, PaymentMethod, SortKey, SortOrder};
use uuid::Uuid;

use crate::connection::MOST_PAYMENTS;

/// Checks, imports, lists, records and updates Layer invoice payments, and serves the API on this machine
///
/// Every command but `serve` and `validate` talks to an API: Layer's own (--base-url, --token, --business), a server that
/// you started (the same), or one that runs inside of the command on a database file (--local).
#[derive(Debug, Parser)]
#[command(
    name = "layer-payments",
    version,
    max_term_width = 100,
    arg_required_else_help = true,
    after_help = "Examples:
  layer-payments validate payments.csv
  layer-payments import payments.csv --local payments.db
  layer-payments list --local payments.db --method CREDIT_CARD --paid-at-start 2024-01-01
  layer-payments serve --db payments.db

`layer-payments help COMMAND` tells more about a command, with examples.",
    after_long_help = operations_help()
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Import(Import),
    List(List),
    Record(Record),
    Update(Update),
    Validate(Validate),
    Serve(Serve),
    Migrate(Migrate),
    Copy(Copy),
    #[command(subcommand)]
    Ledger(Ledger),
}

/// The command that does what an operation of the API does.
///
/// The match names every operation: one that the API description gains doesn't compile until it has a command.
pub(crate) fn command_of(operation: Operation) -> &'static str {
    match operation {
        Operation::ListInvoicePayments => "list",
        Operation::RecordInvoicePayment => "record",
        Operation::BulkCreateInvoicePayments => "import",
        Operation::UpdateInvoicePayment => "update",
    }
}

fn operations_help() -> String {
    let mut help = String::from(
        "Examples:
  layer-payments validate payments.csv
  layer-payments import payments.csv --local payments.db
  layer-payments list --local payments.db --method CREDIT_CARD --paid-at-start 2024-01-01
  layer-payments serve --db payments.db

Commands and the operations of the API that they call:
",
    );
    for operation in Operation::ALL {
        let command = command_of(operation);
        help.push_str(&format!(
            "  {command:<7} {:<5} {}\n",
            operation.method(),
            operation.path()
        ));
    }
    help.push_str(
        "
Data goes to standard output, everything else to standard error.

Exit codes:
  0  all well
  1  some rows were rejected, or the command stopped half-way; of validate: there are errors
  2  nothing could be done; of validate: the file can't be read to its end",
    );
    help
}

/// Where the API is and who calls it.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Where the API is")]
pub(crate) struct Api {
    /// Use no server but this database file, which is made if it isn't there
    ///
    /// Runs the API of `layer-payments serve` inside of this command. The LAYER_* variables don't count then.
    #[arg(long, value_name = "DB", conflicts_with_all = ["base_url", "token"])]
    pub(crate) local: Option<PathBuf>,

    /// The API's address, such as <https://sandbox.layerfi.com>, from LAYER_BASE_URL unless given.
    #[arg(
        long,
        value_name = "URL",
        help = "The API's address, such as https://sandbox.layerfi.com [env: LAYER_BASE_URL]"
    )]
    pub(crate) base_url: Option<String>,

    /// The access token [env: LAYER_TOKEN]
    ///
    /// The variable is the better place: other users of this machine can see the flags of a command.
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,

    /// The business whose payments are meant; with --local there is a fixed one [env: LAYER_BUSINESS_ID]
    #[arg(long, value_name = "UUID")]
    pub(crate) business: Option<Uuid>,
}

/// A token, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    pub(crate) fn new(text: String) -> Self {
        Self(text)
    }

    /// The token itself, for the one who sends or checks it.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl FromStr for Secret {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// Import payments from a CSV or JSON Lines file
///
/// Each row is checked first; those that are wrong are reported with row and column, and the others are sent, many in one
/// request. A payment with an external_id is recorded once, however often it's imported: the second time it's found
/// unchanged, or updated if the file has other values. So an import that was interrupted is completed by starting it again.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  Try it, with nothing but a file:
    layer-payments import payments.csv --local payments.db

  Into Layer's sandbox, with the token in LAYER_TOKEN:
    layer-payments import payments.csv --base-url https://sandbox.layerfi.com \\
        --business 738ec216-e8e5-48f2-b7f2-cdc89c96b3d4

  From another program:
    export-payments | layer-payments import - --format jsonl --local payments.db

CSV: the first row names the columns, in any order. An empty cell leaves the property out. Rows are \
numbered as a spreadsheet shows them. These must be there:
  paid_at              2024-02-27T02:22:55Z
  method               CASH, CHECK, CREDIT_CARD, ACH, CREDIT_BALANCE or OTHER
  amount               cents: 9000 is 90.00
These may be there:
  external_id          your own id of the payment; makes importing it again safe
  fee                  cents
  processor            such as STRIPE
  invoice_id, invoice_external_id
                       the invoice that gets the whole amount
  invoice_payments     instead of these, several allocations: the API's JSON array
  additional_fees, dedicated_refunds
                       the API's JSON arrays
  tags                 department=sales; location=berlin, or the API's JSON array
  memo, reference_number
                       text
  metadata             a JSON object
  payment_clearing_account_identifier, redemption_account
                       an account's stable name or id, or the API's JSON object
  id, imported_at      passed over; `list --output csv` writes them

JSON Lines: in each line the JSON object that the API takes for one payment.")]
pub(crate) struct Import {
    /// The file to import; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The file's format, where its name doesn't end with .csv, .jsonl or .ndjson
    #[arg(long, value_enum)]
    pub(crate) format: Option<ImportFormat>,

    /// The most payments to send in one request [default: 25, or 500 with --local]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=MOST_PAYMENTS as i64))]
    pub(crate) chunk: Option<u32>,

    #[command(flatten)]
    pub(crate) api: Api,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ImportFormat {
    /// Comma-separated values with a header
    Csv,
    /// A JSON object a line
    Jsonl,
}

/// List payments, all pages
///
/// Filters combine: a payment must pass all of them.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  layer-payments list --local payments.db
  layer-payments list --local payments.db --paid-at-start 2024-01-01 --paid-at-end 2024-03-31 \\
      --output csv > first-quarter.csv
  layer-payments list --local payments.db --external-id payment-1 --output json
  layer-payments list --local payments.db --sort-by amount --sort-order DESC --max 10

The CSV has the columns that `import` takes, and id and imported_at. Importing it again changes nothing; \
a row without external_id is refused then, as it would be recorded once more. \
Refunds, payouts and whatever else the API adds to a payment are in the JSON forms only.")]
pub(crate) struct List {
    /// How to write the payments
    #[arg(long, value_enum, default_value_t = ListFormat::Table)]
    pub(crate) output: ListFormat,

    /// Stop after this many payments
    #[arg(long, value_name = "COUNT")]
    pub(crate) max: Option<u64>,

    /// How many payments to ask for at a time
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000), default_value_t = 500)]
    pub(crate) limit: u32,

    #[command(flatten)]
    pub(crate) filters: Filters,

    #[command(flatten)]
    pub(crate) api: Api,
}

#[derive(Args, Debug)]
#[command(next_help_heading = "Which payments, and in which order")]
pub(crate) struct Filters {
    /// Only payments made by this method
    #[arg(long, value_parser = one_of::<PaymentMethod>(&METHODS), hide_possible_values = false)]
    pub(crate) method: Option<PaymentMethod>,

    /// Only payments made at this time or later: 2024-01-31T08:00:00Z, or a day (UTC)
    #[arg(long, value_name = "TIME", value_parser = start)]
    pub(crate) paid_at_start: Option<Timestamp>,

    /// Only payments made at this time or earlier; a day counts to its end
    #[arg(long, value_name = "TIME", value_parser = end)]
    pub(crate) paid_at_end: Option<Timestamp>,

    /// Only the payment with this external id
    #[arg(long, value_name = "ID")]
    pub(crate) external_id: Option<String>,

    /// Only payments with one of these reference numbers: CHK-1,CHK-2
    #[arg(long, value_name = "NUMBERS", value_delimiter = ',')]
    pub(crate) reference_numbers: Option<Vec<String>>,

    /// Only payments that are in a payout, or with `false` only those that are in none
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) included_in_payout: Option<bool>,

    /// Only payments matched with a bank transaction, or with `false` only the others
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub(crate) is_matched: Option<bool>,

    /// What orders the list [default: paid_at]
    #[arg(long, value_parser = one_of::<SortKey>(&SORT_KEYS))]
    pub(crate) sort_by: Option<SortKey>,

    /// Which way the list runs [default: ASC]
    #[arg(long, value_parser = one_of::<SortOrder>(&SORT_ORDERS))]
    pub(crate) sort_order: Option<SortOrder>,
}

pub(crate) const METHODS: [&str; 6] = [
    "CASH",
    "CHECK",
    "CREDIT_CARD",
    "ACH",
    "CREDIT_BALANCE",
    "OTHER",
];
const SORT_KEYS: [&str; 3] = ["paid_at", "imported_at", "amount"];
const SORT_ORDERS: [&str; 2] = ["ASC", "DESC"];

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ListFormat {
    /// Columns for people
    Table,
    /// One JSON array
    Json,
    /// A JSON object a line
    Jsonl,
    /// The columns that `import` takes
    Csv,
}

/// Record one payment
///
/// Prints the payment as the API has it. With an external_id, recording it again finds or updates it.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  layer-payments record payment.json --local payments.db
  layer-payments record --local payments.db --json '{\"external_id\": \"payment-1\",
      \"paid_at\": \"2024-02-27T02:22:55Z\", \"method\": \"CASH\", \"amount\": 9000,
      \"invoice_payments\": [{\"invoice_external_id\": \"invoice-1001\", \"amount\": 9000}]}'")]
pub(crate) struct Record {
    #[command(flatten)]
    pub(crate) body: Body,

    #[command(flatten)]
    pub(crate) api: Api,
}

/// Change a payment
///
/// What the JSON object leaves out stays as it is; null clears; an empty list empties. Prints the payment as it is then.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  Clear the memo and correct the amount with its allocation:
    layer-payments update e67c216b-28f4-4a0e-9a21-7f05c19e4c66 --local payments.db \\
        --json '{\"memo\": null, \"amount\": 9500, \"invoice_payments\": [
            {\"invoice_external_id\": \"invoice-1001\", \"amount\": 9500}]}'

The id is the one that the API gave the payment. `layer-payments list --external-id ... --output json` shows it.")]
pub(crate) struct Update {
    /// The payment's id
    pub(crate) payment_id: Uuid,

    #[command(flatten)]
    pub(crate) body: Body,

    #[command(flatten)]
    pub(crate) api: Api,
}

/// The JSON that a command sends, as text or in a file.
#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct Body {
    /// A file that holds the JSON object; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,

    /// The JSON object itself
    #[arg(long, value_name = "JSON")]
    pub(crate) json: Option<String>,
}

/// Check the payments of a file offline
///
/// Finds everything that is wrong with them by Layer's documented rules: what `import` would reject, and what is likely a
/// mistake. Nothing is sent anywhere. The file may be larger than memory.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  layer-payments validate payments.csv
  layer-payments validate payments.jsonl --output json | jq -r '.[].code' | sort | uniq -c
  export-payments | layer-payments validate -
  echo '{\"amount\": 9500, \"memo\": null}' | layer-payments validate - --operation update

What is found goes to standard output, one line each: how bad it is, where it is in the file and in the \
payment's JSON, what is wrong and what would be right, and the rule. With --output json it's one JSON array:
  [
  {\"code\":\"amount-negative\",\"severity\":\"error\",\"pointer\":\"/3/amount\",\"message\":\"...\"}
  ]
The pointer is an RFC 6901 JSON Pointer. It starts with the payment's index, from 0, where the file holds \
many, in CSV and JSON Lines too. The README of spec/rules describes the rules by their codes.

The columns of CSV are those of `import`. JSON is a list of payments, as in a bulk request, or one payment.

Exit codes:
  0  no errors; there may be warnings
  1  errors
  2  the file can't be read to its end, or isn't in that format")]
pub(crate) struct Validate {
    /// The file to check; `-` is standard input
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// The file's format; without it the name tells (.csv, .jsonl, .ndjson, .json), or else the file's beginning
    #[arg(long, value_enum)]
    pub(crate) format: Option<ValidateFormat>,

    /// What the file's JSON is to be sent for; without it a list is for `bulk` and an object for `record`
    #[arg(long, value_enum)]
    pub(crate) operation: Option<Asked>,

    /// How to write what is found
    #[arg(long, value_enum, default_value_t = ValidateOutput::Text)]
    pub(crate) output: ValidateOutput,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ValidateFormat {
    /// Comma-separated values with a header
    Csv,
    /// A JSON object a line
    Jsonl,
    /// One JSON list or object
    Json,
}

/// The operations that take a payment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Asked {
    /// To record payments, one a request
    Record,
    /// To record payments, many a request
    Bulk,
    /// To change a payment, whatever it is now
    Update,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ValidateOutput {
    /// Lines for people
    Text,
    /// One JSON array
    Json,
}

/// Look into the books of a database
#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    Check(LedgerCheck),
}

/// Check that the books balance, and that everything else follows from them
///
/// Works out anew whatever can be: that each journal entry balances, that each account's balance is the sum of its lines,
/// that each payment has exactly the entries that the posting rules give, and each invoice what its payments pay. Each
/// fault is a line on standard output. Reads only; servers may run on the database meanwhile.
///
/// The exit code is 0 if the books are in order, 1 if there are faults, 2 if the database can't be read.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  layer-payments import payments.csv --local payments.db
  layer-payments ledger check --local payments.db
  layer-payments ledger check --db postgres://layer@db.example.com/payments")]
pub(crate) struct LedgerCheck {
    /// The database: a file, or the URL of one in PostgreSQL, as for `serve` [env: LAYER_DB]
    #[arg(long, value_name = "FILE|URL", visible_alias = "local")]
    pub(crate) db: Option<DatabaseName>,
}

/// Bring the schema of a database in PostgreSQL up to date
///
/// Lays it out in a database that is empty. All of it is done, or nothing; what is up to date stays as it is. The user
/// needs the right to create and change tables, which the user of `serve` doesn't. A new release says whether servers of
/// the one before may go on meanwhile.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  createdb payments
  layer-payments migrate --db postgres://owner@db.example.com/payments
  layer-payments serve --db postgres://layer@db.example.com/payments")]
pub(crate) struct Migrate {
    /// The URL of the database, as for `serve` [env: LAYER_DB]
    #[arg(long, value_name = "URL")]
    pub(crate) db: Option<DatabaseName>,
}

/// Move a database file over to PostgreSQL
///
/// Copies everything that the file holds to a database that `migrate` has laid out and that holds nothing yet. All of it is one
/// transaction: the database has everything in the end, or nothing. The file stays as it is, and can't be written to
/// meanwhile: stop its server first, and serve the database from then on. Before the transaction is committed, the books of
/// both are checked, and all payments and journal lines of both are compared.
///
/// The exit code is 0 if everything was copied, 2 if nothing was.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  layer-payments migrate --db postgres://owner@db.example.com/payments
  layer-payments copy --from payments.db --to postgres://layer@db.example.com/payments
  layer-payments serve --db postgres://layer@db.example.com/payments")]
pub(crate) struct Copy {
    /// The database file
    #[arg(long, value_name = "FILE")]
    pub(crate) from: PathBuf,

    /// The URL of the database in PostgreSQL, as for `serve` [env: LAYER_DB]
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<DatabaseName>,
}

/// The name of a file, or a URL that may hold a password, which no message shows.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct DatabaseName(OsString);

impl DatabaseName {
    /// The name itself, for the one who opens it.
    pub(crate) fn reveal(&self) -> &OsStr {
        &self.0
    }
}

impl From<OsString> for DatabaseName {
    fn from(name: OsString) -> Self {
        Self(name)
    }
}

impl FromStr for DatabaseName {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Self(text.into()))
    }
}

impl fmt::Debug for DatabaseName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DatabaseName([redacted])")
    }
}

/// Serve the API on this machine
///
/// Keeps payments in one SQLite file, which is made if it isn't there, or in PostgreSQL, where several servers may share a
/// database. A payment that was acknowledged survives a crash. Ctrl-C and SIGTERM finish the requests at hand, then end.
#[derive(Args, Debug)]
#[command(after_long_help = "\
Examples:
  layer-payments serve --db payments.db --token secret \\
    --business 738ec216-e8e5-48f2-b7f2-cdc89c96b3d4
  curl -H 'Authorization: Bearer secret' \\
    http://127.0.0.1:8080/v1/businesses/738ec216-e8e5-48f2-b7f2-cdc89c96b3d4/invoices/payments

  In PostgreSQL, with the password in LAYER_DB_PASSWORD:
    layer-payments serve --db postgres://layer@db.example.com/payments --migrate --token secret

  Tokens that expire, as Layer gives them:
    LAYER_CLIENT_SECRET=hush layer-payments serve --db payments.db --client-id my-app
    curl -u my-app:hush http://127.0.0.1:8080/oauth2/token \\
      -d grant_type=client_credentials -d scope=https://sandbox.layerfi.com/sandbox

  Break a tenth of the requests, the same ones in every run:
    layer-payments serve --db payments.db --token secret --faults
    curl -X PUT -H 'Authorization: Bearer secret' -H 'Content-Type: application/json' \\
      http://127.0.0.1:8080/local/faults \\
      -d '{\"seed\": 7, \"rules\": [{\"fault\": \"cut=after\", \"probability\": 0.1}]}'")]
pub(crate) struct Serve {
    /// The database: a file, or the URL of one in PostgreSQL [env: LAYER_DB]
    ///
    /// A URL is like postgres://user@host:5432/database. If it has no password, the one in LAYER_DB_PASSWORD or else in
    /// PGPASSWORD is taken; other users of this machine can see the flags of a command. TLS is asked for, with a
    /// certificate that the system trusts and that names the host, unless the host is this machine or the URL says
    /// otherwise, by sslmode (disable, prefer, require, verify-ca, verify-full) and sslrootcert (a file with the
    /// certificate of an authority).
    #[arg(long, value_name = "FILE|URL")]
    pub(crate) db: Option<DatabaseName>,

    /// The most connections to PostgreSQL; requests wait up to 5 seconds for one [default: 10]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) db_pool: Option<u32>,

    /// How long PostgreSQL may work on one statement: 30s, 500ms, 2min, or seconds; 0 is for ever [default: 30s]
    ///
    /// A request whose statement takes longer is answered with 503.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) db_statement_timeout: Option<Duration>,

    /// Bring the schema in PostgreSQL up to date first; otherwise one of another release is refused
    ///
    /// Leave it out where several servers share a database, and run `layer-payments migrate` once instead. A file is
    /// always brought up to date.
    #[arg(long)]
    pub(crate) migrate: bool,

    /// The address and port to listen on; port 0 takes a free one
    ///
    /// Only this machine reaches the default. With another address, such as 0.0.0.0:8080, others do too; HTTP carries the
    /// token readable, so put something that speaks TLS in front.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) listen: std::net::SocketAddr,

    /// A business that there is, besides the one of imports with --local; more than one may be given
    ///
    /// A request for a business that isn't there is answered with 404. Businesses can also be created by a fixtures file
    /// and by POST /local/businesses.
    #[arg(long, value_name = "UUID")]
    pub(crate) business: Vec<Uuid>,

    /// A JSON file with ledger accounts, invoices, payments, payouts and matches that there are from the start
    ///
    /// What is there already, by its id or external id, stays, so the server can be started with the same file each time
    /// as long as nobody changes these. POST /local/reset takes
    /// everything away and fills the server with the file anew.
    #[arg(long, value_name = "FILE")]
    pub(crate) fixtures: Option<PathBuf>,

    /// Refuse payments that name an invoice which wasn't created before
    ///
    /// Otherwise an invoice that is named for the first time is registered: the public API can't create one.
    #[arg(long)]
    pub(crate) strict_invoices: bool,

    /// The token that callers must send; without one, a new one is made and printed [env: LAYER_TOKEN]
    #[arg(long, value_name = "TOKEN")]
    pub(crate) token: Option<Secret>,

    /// A client that gets tokens at /oauth2/token, with the secret in LAYER_CLIENT_SECRET
    ///
    /// There is no flag for the secret: other users of this machine can see the flags of a command.
    #[arg(long, value_name = "ID")]
    pub(crate) client_id: Option<String>,

    /// How long the client's tokens are good, in seconds; a short time shows whether a client renews them
    #[arg(long, value_name = "SECONDS", default_value_t = 3_600, requires = "client_id",
        value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) token_lifetime: u32,

    /// Refuse requests as Layer does, with 429, once they are too many in a second
    ///
    /// All clients share the limit. Without one, replies carry no X-RateLimit headers: the server has this machine to
    /// itself, and an import would only wait.
    #[arg(long, value_enum, value_name = "LIMIT", default_value_t = RateLimit::Off)]
    pub(crate) rate_limit: RateLimit,

    /// How many connections are served at once; others wait until one ends
    ///
    /// It is fewer if the system lets the program open fewer files. While more than three quarters are taken, a connection
    /// that has been idle for 2 seconds is closed; otherwise it may be idle for a minute.
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) connections: u32,

    /// Make faults on demand, to see how a client takes them; not for a server that serves in earnest
    ///
    /// One request asks for a fault in its X-Fault header, or rules at /local/faults strike a share of all requests:
    /// latency=250ms, status=503, html, retry-after=2, cut=before (the connection is reset and nothing was written),
    /// cut=after (it is reset and all was written), several with semicolons between them.
    #[arg(long)]
    pub(crate) faults: bool,

    /// How the log on standard error is written; RUST_LOG chooses what is in it
    ///
    /// A line of the log names the request as its reply does in X-Request-Id. Messages of the program itself, such as the
    /// address it listens on, stay text.
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON object a line, for programs
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum RateLimit {
    /// As many requests as come
    Off,
    /// As in Layer's sandbox: 100 requests a second
    Sandbox,
    /// As in Layer's production: 500 requests a second, 100 in the first
    Production,
}

/// Reads one of a list of values, which the help shows and a wrong value is compared with.
fn one_of<T>(values: &'static [&'static str]) -> impl TypedValueParser<Value = T>
where
    T: FromStr<Err: std::error::Error + Send + Sync + 'static> + Clone + Send + Sync + 'static,
{
    PossibleValuesParser::new(values).try_map(|value| value.parse::<T>())
}

/// Reads a length of time, in seconds unless it has units.
fn duration(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().map(SignedDuration::from_secs);
    let time = seconds.or_else(|_| text.parse::<SignedDuration>());
    time.ok()
        .and_then(|time| Duration::try_from(time).ok())
        .ok_or_else(|| {
            "give a length of time, such as 30s, 500ms or 2min, or a number of seconds".to_owned()
        })
}

fn start(text: &str) -> Result<Timestamp, String> {
    time(text, Time::midnight())
}

fn end(text: &str) -> Result<Timestamp, String> {
    time(text, Time::MAX)
}

/// Reads a time, or a day and takes that time of it in UTC.
fn time(text: &str, of_day: Time) -> Result<Timestamp, String> {
    let wrong = || {
        "give a time with its offset, such as 2024-01-31T08:00:00Z, or a day, such as 2024-01-31"
            .to_owned()
    };
    // What has the length of a day is one; jiff would otherwise take the day out of a longer text too.
    if text.len() == "2024-01-31".len() {
        let day: Date = text.parse().map_err(|_| wrong())?;
        return TimeZone::UTC
            .to_timestamp(day.to_datetime(of_day))
            .map_err(|_| wrong());
    }
    text.parse().map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Cli, clap::Error> {
        Cli::try_parse_from(line.split(' '))
    }

    #[test]
    fn the_definition_holds_together() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_operation_has_a_command_that_exists() {
        let cli = Cli::command();
        for operation in Operation::ALL {
            let name = command_of(operation);
            assert!(
                cli.find_subcommand(name).is_some(),
                "{}: no command `{name}`",
                operation.id()
            );
        }
    }

    #[test]
    fn every_filter_of_the_api_is_a_flag() {
        let cli = Cli::command();
        let list = cli.find_subcommand("list").unwrap();
        let flags: Vec<_> = list
            .get_arguments()
            .filter_map(clap::Arg::get_long)
            .collect();
        for parameter in Operation::ListInvoicePayments.parameters() {
            let expected = match parameter.name {
                "businessId" => "business",
                // The command follows the pages itself, and counts what it lists.
                "cursor" | "show_total_count" => continue,
                name => &name.replace('_', "-"),
            };
            assert!(flags.contains(&expected), "--{expected} is missing");
        }
    }

    #[test]
    fn values_are_those_of_the_types() {
        for method in METHODS {
            assert_eq!(method.parse::<PaymentMethod>().unwrap().to_string(), method);
        }
        for key in SORT_KEYS {
            assert_eq!(key.parse::<SortKey>().unwrap().to_string(), key);
        }
        for order in SORT_ORDERS {
            assert_eq!(order.parse::<SortOrder>().unwrap().to_string(), order);
        }
    }

    #[test]
    fn a_local_database_excludes_a_server() {
        for flags in ["--base-url http://127.0.0.1:1", "--token t"] {
            let error = parse(&format!("layer-payments list --local a.db {flags}")).unwrap_err();
            assert_eq!(error.kind(), clap::error::ErrorKind::ArgumentConflict);
        }
        let business = "--business 738ec216-e8e5-48f2-b7f2-cdc89c96b3d4";
        assert!(parse(&format!("layer-payments list --local a.db {business}")).is_ok());
    }

    #[test]
    fn a_day_is_a_time() {
        assert_eq!(
            start("2024-02-29").unwrap().to_string(),
            "2024-02-29T00:00:00Z"
        );
        assert_eq!(
            end("2024-02-29").unwrap().to_string(),
            "2024-02-29T23:59:59.999999999Z"
        );
        assert_eq!(
            start("2024-02-29T01:00:00+02:00").unwrap().to_string(),
            "2024-02-28T23:00:00Z"
        );
        for wrong in [
            "",
            "2024",
            "2023-02-29",
            "2024-02-29T01:00:00",
            "yesterday",
            "2024-02-29T",
        ] {
            assert!(
                start(wrong).unwrap_err().contains("2024-01-31"),
                "{wrong:?}"
            );
        }
    }

    #[test]
    fn a_length_of_time_has_units_or_is_in_seconds() {
        for (text, milliseconds) in [
            ("30", 30_000),
            ("0", 0),
            ("30s", 30_000),
            ("500ms", 500),
            ("2min", 120_000),
            ("1m 30s", 90_000),
        ] {
            assert_eq!(
                duration(text),
                Ok(Duration::from_millis(milliseconds)),
                "{text:?}"
            );
        }
        for wrong in ["", "-1", "-1s", "30x", "s", "99999999999999999999"] {
            assert!(duration(wrong).unwrap_err().contains("30s"), "{wrong:?}");
        }
    }

    #[test]
    fn no_message_shows_the_password_of_a_database() {
        let url = "postgres://layer:hush@h/p";
        for line in [
            format!("layer-payments serve --db {url}"),
            format!("layer-payments migrate --db {url}"),
            format!("layer-payments ledger check --db {url}"),
            format!("layer-payments ledger check --local {url}"),
        ] {
            let cli = parse(&line).unwrap();
            assert!(!format!("{cli:?}").contains("hush"), "{cli:?}");
            let error = parse(&format!("{line} --migrat")).unwrap_err().to_string();
            assert!(!error.contains("hush"), "{error}");
        }
    }

    #[test]
    fn no_message_shows_a_token() {
        let cli =
            parse("layer-payments list --base-url http://127.0.0.1:1 --token hush-hush").unwrap();
        assert!(!format!("{cli:?}").contains("hush"), "{cli:?}");
    }
}
