//! A PostgreSQL for a desk, as tests have it: it prints where a program finds an empty database, and ends, with all that
//! was written, at the end of standard input or with this process.

use std::io;

use layer_payments_test_postgres::Cluster;

fn main() -> io::Result<()> {
    let cluster = Cluster::start();
    let database = cluster.database();
    println!("{}", database.url());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}
