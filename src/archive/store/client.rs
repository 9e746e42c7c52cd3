//! A connection to a store, with what the environment says: credentials, endpoint, region, certificates.
//!
//! Variables are those of the library, which are those of the providers' own tools where there are any: `AWS_ACCESS_KEY_ID`,
//! `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN`, `AWS_REGION`, `AWS_ENDPOINT` (or `AWS_ENDPOINT_URL`), `GOOGLE_SERVICE_ACCOUNT`,
//! `AZURE_STORAGE_ACCOUNT_NAME`, `AZURE_STORAGE_ACCOUNT_KEY`, … Files of those tools, such as `~/.aws/credentials`, are not
//! read.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::azure::MicrosoftAzureBuilder;
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::multipart::MultipartStore;
use object_store::{BackoffConfig, ClientConfigKey, ClientOptions, ObjectStore, RetryConfig};

use super::StoreError;
use super::name::{Address, Provider};
use super::setbacks::Listening;
use crate::fault;

/// How long a connection may take.
const CONNECT: Duration = Duration::from_secs(10);
/// How long nothing may come back. A part of an upload must be sent within this time, together with those that are on their way
/// beside it. The guide to `dump` says what line that takes.
const SILENCE: Duration = Duration::from_secs(120);
/// How often a request is sent again that may go well another time …
const RETRIES: usize = 6;
/// … and for how long. The guide to `dump` says so, too.
const RETRY_FOR: Duration = Duration::from_secs(60);
/// The longest pause before that.
const LONGEST_PAUSE: Duration = Duration::from_secs(8);

/// Variables with an endpoint: one that begins with `http://` is meant.
const ENDPOINTS: [&str; 4] = [
    "AWS_ENDPOINT",
    "AWS_ENDPOINT_URL",
    "AWS_ENDPOINT_URL_S3",
    "AZURE_ENDPOINT",
];

/// Whoever stores objects, in parts if need be.
pub(super) trait Client: ObjectStore + MultipartStore {}

impl<T: ObjectStore + MultipartStore> Client for T {}

/// Whoever is at an address. Nobody is asked anything yet.
pub(super) fn connect(address: &Address) -> Result<Arc<dyn Client>, StoreError> {
    // Whoever came first has installed the same.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = match address.provider {
        Provider::S3 => s3(&address.root),
        Provider::Google => google(&address.root),
        Provider::Azure => azure(&address.root),
    };
    client.map_err(|error| StoreError::Settings {
        store: address.root.clone(),
        why: error.to_string(),
    })
}

fn s3(root: &str) -> object_store::Result<Arc<dyn Client>> {
    // Objects are removed one by one: not all that speak as S3 does know how to remove many at once.
    let mut builder = AmazonS3Builder::new()
        .with_config(AmazonS3ConfigKey::DisableBulkDelete, "true")
        .with_client_options(options())
        .with_http_connector(listening(root))
        .with_retry(retries());
    for (name, value) in variables("AWS_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.with_url(root).build()?))
}

fn google(root: &str) -> object_store::Result<Arc<dyn Client>> {
    let mut builder = GoogleCloudStorageBuilder::new()
        .with_client_options(options())
        .with_http_connector(listening(root))
        .with_retry(retries());
    for (name, value) in variables("GOOGLE_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.with_url(root).build()?))
}

fn azure(root: &str) -> object_store::Result<Arc<dyn Client>> {
    let mut builder = MicrosoftAzureBuilder::new()
        .with_client_options(options())
        .with_http_connector(listening(root))
        .with_retry(retries());
    for (name, value) in variables("AZURE_") {
        if let Ok(key) = name.parse() {
            builder = builder.with_config(key, value);
        }
    }
    Ok(Arc::new(builder.with_url(root).build()?))
}

fn listening(root: &str) -> Listening {
    Listening {
        store: root.to_owned(),
    }
}

/// Variables with this beginning, as the library has their names.
fn variables(begin: &'static str) -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().filter_map(move |(name, value)| {
        let name = name
            .into_string()
            .ok()
            .filter(|name| name.starts_with(begin))?;
        Some((name.to_ascii_lowercase(), value.into_string().ok()?))
    })
}

/// A stream may take hours, so that there is no limit for a request as a whole.
fn options() -> ClientOptions {
    let is_plain =
        |name: &str| std::env::var(name).is_ok_and(|endpoint| endpoint.starts_with("http://"));
    let plain = ENDPOINTS.into_iter().any(is_plain);
    ClientOptions::new()
        .with_timeout_disabled()
        .with_connect_timeout(CONNECT)
        .with_config(
            ClientConfigKey::ReadTimeout,
            format!("{}s", SILENCE.as_secs()),
        )
        .with_allow_http(plain)
}

fn retries() -> RetryConfig {
    let longest = if fault::strikes("hasty-store") {
        LONGEST_PAUSE / 40
    } else {
        LONGEST_PAUSE
    };
    RetryConfig {
        backoff: BackoffConfig {
            max_backoff: longest,
            ..BackoffConfig::default()
        },
        max_retries: RETRIES,
        retry_timeout: RETRY_FOR,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_knows_how_often_a_store_is_asked_again() {
        assert_eq!((RETRIES, RETRY_FOR), (6, Duration::from_secs(60)));
        assert!(crate::readme_says(
            "sent again, up to 6 times within a minute"
        ));
    }
}
