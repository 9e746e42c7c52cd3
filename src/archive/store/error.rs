//! What stores say, in words: whether somebody has to give other credentials, name another bucket, or wait.
//!
//! The library's errors are texts about requests, and its own types of them are not for others: what a store has answered is
//! taken out of the text. Nothing in there is a secret but what a person has put into the environment, and that is taken out.

use std::error::Error;

use object_store::client::{HttpError, HttpErrorKind};

/// Why a store does not do what it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A name that is no place. It is not repeated, as there may be a secret in it.
    #[error("a name that begins with {scheme}:// is no place for an archive: {why}")]
    Name {
        /// How it begins.
        scheme: String,
        /// Why not.
        why: String,
    },
    /// The environment has something in it that nobody understands.
    #[error("{store} cannot be used as the environment has it: {why}")]
    Settings {
        /// The bucket.
        store: String,
        /// What.
        why: String,
    },
    /// There are none.
    #[error("there are no credentials for {store}")]
    NoCredentials {
        /// The bucket.
        store: String,
    },
    /// There are some, and they are not good enough.
    #[error("{store} refuses it: {said}")]
    Refused {
        /// The bucket.
        store: String,
        /// What it says.
        said: String,
    },
    /// The bucket does not exist.
    #[error("there is no bucket {store}")]
    NoBucket {
        /// The bucket.
        store: String,
    },
    /// The object does not exist.
    #[error("it is not there")]
    Missing,
    /// Nobody answers, or not to the end.
    #[error("{store} cannot be reached{tries}: {why}")]
    Unreachable {
        /// The bucket.
        store: String,
        /// How often that was tried.
        tries: String,
        /// Why.
        why: String,
    },
    /// It answers something else.
    #[error("{store} answers: {said}")]
    Answer {
        /// The bucket.
        store: String,
        /// What it says.
        said: String,
    },
    /// Nobody waited for it.
    #[error("the run is stopped")]
    Stopped,
    /// What is there is not what was sent.
    #[error("it is not what was sent: {what}")]
    NotAsSent {
        /// In what way.
        what: String,
    },
}

/// Codes of S3 and Azure for credentials that are not good enough, and for a bucket that is not there.
const REFUSALS: [&str; 12] = [
    "AccessDenied",
    "AccountProblem",
    "AuthenticationFailed",
    "AuthorizationFailure",
    "AuthorizationPermissionMismatch",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "NoAuthenticationInformation",
    "NotSignedUp",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
];
const NO_BUCKET: [&str; 2] = ["NoSuchBucket", "ContainerNotFound"];

/// What is asked for the credentials of a machine when the environment has none.
const METADATA: [&str; 6] = [
    "169.254.169.254",
    "169.254.170.2",
    "metadata.google",
    "/latest/api/token",
    "/latest/meta-data",
    "/metadata/identity",
];

/// Variables whose values are secret.
const SECRETS: [&str; 11] = [
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_TOKEN",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "AZURE_STORAGE_ACCESS_KEY",
    "AZURE_STORAGE_MASTER_KEY",
    "AZURE_STORAGE_CLIENT_SECRET",
    "AZURE_CLIENT_SECRET",
    "AZURE_STORAGE_SAS_KEY",
    "AZURE_STORAGE_SAS_TOKEN",
    "GOOGLE_SERVICE_ACCOUNT_KEY",
];

impl StoreError {
    /// What an error of the library means, of this bucket.
    pub(super) fn of(store: &str, error: &object_store::Error) -> Self {
        let text = error.to_string();
        let code = between(&text, "<Code>", "</Code>");
        let said = without_secrets(said(&text, error));
        let store = store.to_owned();
        let is = |codes: &[&str]| code.is_some_and(|code| codes.contains(&code));
        if METADATA.iter().any(|place| text.contains(place)) {
            return Self::NoCredentials { store };
        }
        if is(&NO_BUCKET) || text.contains("specified bucket does not exist") {
            return Self::NoBucket { store };
        }
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            object_store::Error::PermissionDenied { .. }
            | object_store::Error::Unauthenticated { .. } => Self::Refused { store, said },
            _ if is(&REFUSALS) => Self::Refused { store, said },
            _ if is_about_the_road(error) => Self::Unreachable {
                store,
                tries: tries(&text),
                why: said,
            },
            _ => Self::Answer { store, said },
        }
    }

    /// Whether it says something of what is in the object that was asked for, and not only that nobody gave it away.
    pub fn is_of_content(&self) -> bool {
        matches!(self, Self::Missing | Self::NotAsSent { .. })
    }

    /// Whether the same may go well another time.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// The chain of causes, outermost first.
fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| {
        (*error).source()
    })
}

/// Nobody answered, or the answer broke off; also an answer that says that the store itself has trouble.
fn is_about_the_road(error: &object_store::Error) -> bool {
    let on_the_road = causes(error).any(|cause| {
        let http = cause.downcast_ref::<HttpError>();
        http.is_some_and(|http| http.kind() != HttpErrorKind::Decode)
    });
    let text = error.to_string();
    on_the_road || text.contains("error sending request") || text.contains("status code: 5")
}

/// What the store has answered, or else the innermost cause.
fn said(text: &str, error: &object_store::Error) -> String {
    let code = between(text, "<Code>", "</Code>");
    let message = between(text, "<Message>", "</Message>");
    let answered = match (code, message) {
        (Some(code), Some(message)) => Some(format!("{code}: {message}")),
        (Some(code), None) => Some(code.to_owned()),
        _ => None,
    };
    let said = answered.unwrap_or_else(|| innermost(error));
    said.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The cause of all causes.
pub(super) fn innermost(error: &(dyn Error + 'static)) -> String {
    let last = causes(error).last();
    last.map_or_else(|| error.to_string(), ToString::to_string)
}

/// `, after 6 retries`, if there were any.
fn tries(text: &str) -> String {
    match between(text, ", after ", " retries") {
        Some(count) if count.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!(", after {count} retries")
        }
        _ => String::new(),
    }
}

fn between<'a>(text: &'a str, begin: &str, end: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(begin)?;
    rest.split_once(end).map(|(found, _)| found)
}

pub(super) fn without_secrets(mut text: String) -> String {
    for name in SECRETS {
        match std::env::var(name) {
            Ok(secret) if !secret.is_empty() => text = text.replace(&secret, "[hidden]"),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn generic(text: &str) -> object_store::Error {
        object_store::Error::Generic {
            store: "S3",
            source: text.to_owned().into(),
        }
    }

    #[test]
    fn what_a_store_answers_is_taken_out_of_the_text() {
        let answer = "Error performing GET http://host/b in 3ms, after 6 retries, max_retries: 6, retry_timeout: 30s  - Server \
                      returned non-2xx status code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>The \
                      signature\n does not match</Message></Error>";
        let refused = StoreError::of("s3://b", &generic(answer));
        let said = "s3://b refuses it: SignatureDoesNotMatch: The signature does not match";
        assert_eq!(refused.to_string(), said);
        let missing =
            "<Code>NoSuchBucket</Code><Message>The specified bucket does not exist</Message>";
        let missing = StoreError::of("s3://b", &generic(missing));
        assert_eq!(missing.to_string(), "there is no bucket s3://b");
        let away = "Error performing PUT http://host/b in 9s, after 6 retries, max_retries: 6, retry_timeout: 30s  - HTTP error: \
                    error sending request";
        let away = StoreError::of("s3://b", &generic(away));
        assert!(away.may_pass(), "{away:?}");
        assert!(
            away.to_string()
                .starts_with("s3://b cannot be reached, after 6 retries: "),
            "{away}"
        );
        let metadata = generic("Error performing PUT http://169.254.169.254/latest/api/token");
        let none = StoreError::of("s3://b", &metadata);
        assert_eq!(none.to_string(), "there are no credentials for s3://b");
    }
}
