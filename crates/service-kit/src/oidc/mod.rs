//! Sign-in at an identity provider (OpenID Connect Core 1.0): discovery, keys, the code flow with PKCE, the device flow, and the
//! check of ID tokens. It stores nothing; who becomes which person is in `access`.

mod config;
mod device;
mod discovery;
mod error;
mod http;
mod id_token;
mod keys;
mod provider;
mod roles;

pub use config::{Oidc, OidcConfig};
pub use device::{DeviceCode, DeviceLogin, Poll};
pub use error::ProviderError;
pub use provider::{Account, Provider, SignInFault};

pub(crate) use http::plain;
pub(crate) use provider::{Challenge, random};
