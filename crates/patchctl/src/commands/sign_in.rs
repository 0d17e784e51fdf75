//! Signing in at the identity provider of a platform, and the platforms one has signed in to.

use std::time::Duration;

use api_client::access::AccessClient;
use api_types::access::{ExchangeIdToken, SignInProvider};
use serde::Serialize;
use service_kit::oidc::{DeviceLogin, Poll};
use tokio::time::{Instant, sleep};

use crate::arguments::{ContextCommand, GlobalOptions, LoginArguments};
use crate::connect::{Connection, addresses, http_url};
use crate::context::{self, Context, Contexts};
use terminal::{Columns, Printer, done, note};
use terminal::{CommandResult, Failure};

const CONTEXTS: Columns = "current name server signed_in";

pub async fn login(global: &GlobalOptions, arguments: LoginArguments) -> CommandResult {
    let addresses = addresses(global)?;
    let name = match (arguments.name, &global.context) {
        (Some(name), _) => name,
        (None, Some(context)) => context.clone(),
        (None, None) => name_of(&addresses.patch_manager)?,
    };
    context::check_name(&name)?;
    let mut contexts = Contexts::open()?;
    let platform = AccessClient::new(&addresses.patch_manager, "");
    let provider = platform.get_sign_in_ways().await?.provider.ok_or_else(|| {
        Failure::new("this platform has no identity provider")
            .hint("an administrator issues a token with `patchctl token create`; use it with --token-file")
    })?;
    let id_token = sign_in(&provider, arguments.provider_ca.as_deref()).await?;
    let issued = platform.exchange_id_token(&ExchangeIdToken { id_token }).await?;
    let context = Context {
        server: addresses.patch_manager,
        cmdb_url: global.cmdb_url.clone(),
        itsm_url: global.itsm_url.clone(),
        sim_engine_url: global.sim_engine_url.clone(),
    };
    contexts.sign_in(&name, context, &issued.token)?;
    let roles: Vec<&str> = issued.roles.iter().map(|role| role.name()).collect();
    done(&format!(
        "signed in as {} ({}) until {}; context `{name}` is current",
        issued.subject,
        roles.join(", "),
        issued.expires_at.format("%Y-%m-%d %H:%M UTC")
    ))
}

/// The ID token of the person who follows what is printed.
async fn sign_in(provider: &SignInProvider, authority: Option<&std::path::Path>) -> Result<String, Failure> {
    let client_id = provider.device_client_id.as_deref().ok_or_else(|| {
        Failure::new(
            "this platform lets nobody sign in from the command line: it has no --oidc-device-client-id",
        )
    })?;
    let fails =
        |error: anyhow::Error| Failure::new(format!("cannot sign in at `{}`: {error:#}", provider.issuer));
    let (mut login, code) =
        DeviceLogin::start(&provider.issuer, client_id, &provider.scopes, authority).await.map_err(fails)?;
    match &code.whole_page {
        Some(page) => note(&format!("open {page}\nand check that it shows the code {}", code.code)),
        None => note(&format!("open {} and enter the code {}", code.page, code.code)),
    }
    let deadline = Instant::now() + code.lasts;
    let expired = || Failure::new("nobody signed in with the code in time; run `patchctl login` again");
    loop {
        let wait = login.interval().max(Duration::from_secs(1));
        if Instant::now() + wait > deadline {
            return Err(expired());
        }
        sleep(wait).await;
        match login.poll().await.map_err(|error| fails(error.into()))? {
            Poll::Done(token) => return Ok(token),
            Poll::Pending => {}
            Poll::Denied => return Err(Failure::new("the sign-in was refused at the identity provider")),
            Poll::Expired => return Err(expired()),
        }
    }
}

fn name_of(server: &str) -> Result<String, Failure> {
    let url = http_url(server)?;
    let host = url.host_str().unwrap_or_default().replace(['[', ']', ':'], "");
    Ok(url.port().map_or_else(|| host.clone(), |port| format!("{host}-{port}")))
}

pub async fn logout(global: &GlobalOptions) -> CommandResult {
    let chosen = context::chosen(global)?.ok_or_else(not_signed_in)?;
    let contexts = Contexts::open()?;
    let token = contexts.token(&chosen.name)?.ok_or_else(not_signed_in)?;
    // First here: whatever the platform answers, the token is gone from this machine.
    contexts.sign_out(&chosen.name)?;
    match AccessClient::new(&chosen.context.server, token.trim()).sign_out().await {
        Ok(signed_out) => {
            if let Some(page) = signed_out.provider_page {
                note(&format!("to sign out at the identity provider as well, open {page}"));
            }
            done(&format!("signed out of `{}`", chosen.name))
        }
        // It has ended by itself.
        Err(error) if error.status() == Some(401) => done(&format!("signed out of `{}`", chosen.name)),
        Err(error) => Err(Failure::new(format!(
            "the token is removed from this machine, but the platform could not be told to end it: {error}"
        ))
        .hint("it ends by itself within hours; an administrator ends it at once by removing the person's record")),
    }
}

fn not_signed_in() -> Failure {
    Failure::new("you are not signed in").hint("sign in with `patchctl login`")
}

pub async fn whoami(connection: &Connection, printer: Printer) -> CommandResult {
    printer.item(&connection.access().get_me().await?)
}

#[derive(Serialize)]
struct Listed<'a> {
    current: &'static str,
    name: &'a str,
    server: &'a str,
    signed_in: bool,
}

pub fn context(command: ContextCommand, printer: Printer) -> CommandResult {
    let mut contexts = Contexts::open()?;
    match command {
        ContextCommand::List => {
            let mut listed = Vec::new();
            for (name, context) in contexts.list() {
                let current = if contexts.current() == Some(name) { "*" } else { "" };
                let signed_in = contexts.token(name)?.is_some();
                listed.push(Listed { current, name, server: &context.server, signed_in });
            }
            printer.list(&listed, CONTEXTS)
        }
        ContextCommand::Use { name } => {
            contexts.make_current(&name)?;
            done(&format!("commands use `{name}`"))
        }
    }
}
