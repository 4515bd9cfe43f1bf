//! `layer-payments serve`: the API on this machine.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use layer_payments_server::{ApiClient, Config, Fixtures, Server, Token};

use crate::args::{RateLimit, Secret, Serve};
use crate::connection::{LOCAL_BUSINESS, given, new_token};
use crate::output::message;
use crate::{Exit, database};

pub(crate) async fn run(args: Serve) -> anyhow::Result<Exit> {
    let token = given(args.token.clone(), "LAYER_TOKEN", "a token")?;
    // Before the socket is open, so that no signal after "listening" is lost.
    let shutdown = shutdown_signal().context("waiting for signals")?;
    let (token, is_new) = match token {
        Some(token) => (token, false),
        None => (new_token(), true),
    };
    let mut config = Config::new(database::of_server(&args)?, Token::new(token.reveal())?)
        .token_lifetime(Duration::from_secs(args.token_lifetime.into()))
        .connections(usize::try_from(args.connections).unwrap_or(usize::MAX))
        .faults(args.faults)
        .strict_invoices(args.strict_invoices)
        .business(LOCAL_BUSINESS);
    for id in &args.business {
        config = config.business(*id);
    }
    if let Some(path) = &args.fixtures {
        config = config.fixtures(fixtures(path)?);
    }
    if let Some(id) = &args.client_id {
        let secret: Secret = given(None, "LAYER_CLIENT_SECRET", "a secret")?
            .context("--client-id needs the client's secret in LAYER_CLIENT_SECRET")?;
        config = config.client(ApiClient::new(id, secret.reveal())?);
    }
    config = match args.rate_limit {
        RateLimit::Off => config,
        RateLimit::Sandbox => config.rate_limit(layer_payments_server::RateLimit::SANDBOX),
        RateLimit::Production => config.rate_limit(layer_payments_server::RateLimit::PRODUCTION),
    };
    let server = Server::bind(config, args.listen).await?;

    message(format_args!("listening on http://{}", server.local_addr()));
    message(format_args!(
        "documentation: http://{}/docs",
        server.local_addr()
    ));
    if is_new {
        message(format_args!("token: {}", token.reveal()));
    }
    message(format_args!(
        "business of imports with --local: {LOCAL_BUSINESS}"
    ));
    if !server.local_addr().ip().is_loopback() {
        message(
            "warning: other machines can reach this address, and HTTP carries the token readable",
        );
    }
    server.run(shutdown).await.context("serving")?;
    message("stopped");
    Ok(Exit::Well)
}

fn fixtures(path: &Path) -> anyhow::Result<Fixtures> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    Fixtures::from_json(&text).with_context(|| format!("the fixtures in {}", path.display()))
}

/// Ends when the user or the system asks the program to end.
#[cfg(unix)]
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    use tokio::signal::unix::{SignalKind, signal};

    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
    })
}

/// Ends when the user asks the program to end.
#[cfg(not(unix))]
fn shutdown_signal() -> std::io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
    })
}
