//! Checking a server's certificate, and naming it for channel binding.
//!
//! rustls checks chains and names; what is added are libpq's differences: `verify-ca` ignores the name, a certificate
//! without alternative names is known by its common name, and one that is itself among the roots is trusted (the
//! self-signed certificate of the manual's section 19.9.5).

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, SignatureScheme};
use x509_parser::prelude::{FromDer, X509Certificate};

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing: there are no roots, and the mode does not ask for any.
    Nothing,
    /// The chain of issuers.
    Chain,
    /// The chain of issuers, and the name.
    ChainAndName,
}

/// What chains must lead to.
#[derive(Debug)]
pub(super) struct Trusted {
    pub(super) chain: Arc<WebPkiServerVerifier>,
    pub(super) roots: Vec<CertificateDer<'static>>,
}

/// rustls' hook for the check.
#[derive(Debug)]
pub(super) struct Verifier {
    check: Check,
    trusted: Option<Trusted>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Verifier {
    pub(super) fn new(check: Check, trusted: Option<Trusted>, provider: &CryptoProvider) -> Self {
        Self {
            check,
            trusted,
            algorithms: provider.signature_verification_algorithms,
        }
    }

    fn check_name(
        &self,
        certificate: &CertificateDer<'_>,
        name: &ServerName<'_>,
    ) -> Result<(), Error> {
        if self.check != Check::ChainAndName {
            return Ok(());
        }
        let parsed = ParsedCertificate::try_from(certificate)?;
        rustls::client::verify_server_name(&parsed, name).or_else(|error| {
            if common_name_matches(certificate, name) {
                Ok(())
            } else {
                Err(error)
            }
        })
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let (Check::Chain | Check::ChainAndName, Some(trusted)) = (self.check, &self.trusted)
        else {
            return Ok(ServerCertVerified::assertion());
        };
        if trusted.roots.iter().any(|root| root == end_entity) {
            check_validity(end_entity, now)?;
        } else {
            let verified = trusted.chain.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                now,
            );
            match verified {
                // The name is the last thing that rustls checks, so the chain has passed.
                Ok(_)
                | Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName
                    | CertificateError::NotValidForNameContext { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        self.check_name(end_entity, server_name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, Error> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(|_| Error::InvalidCertificate(CertificateError::BadEncoding))
}

/// The dates of a certificate that is trusted by being a root itself.
fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let validity = parse(certificate)?.validity.clone();
    let now = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
    if now > validity.not_after.timestamp() {
        Err(Error::InvalidCertificate(CertificateError::Expired))
    } else if now < validity.not_before.timestamp() {
        Err(Error::InvalidCertificate(CertificateError::NotValidYet))
    } else {
        Ok(())
    }
}

/// libpq's fallback (`pgtls_verify_peer_name_matches_certificate_guts`): only if the certificate has no alternative name
/// of a host or an address at all, its common name counts, with a wildcard for the first label at most.
fn common_name_matches(certificate: &CertificateDer<'_>, name: &ServerName<'_>) -> bool {
    use x509_parser::extensions::GeneralName;
    let Ok(parsed) = parse(certificate) else {
        return false;
    };
    let has_alternative_names = match parsed.subject_alternative_name() {
        Ok(None) => false,
        Ok(Some(names)) => names
            .value
            .general_names
            .iter()
            .any(|name| matches!(name, GeneralName::DNSName(_) | GeneralName::IPAddress(_))),
        Err(_) => true,
    };
    if has_alternative_names {
        return false;
    }
    parsed
        .subject()
        .iter_common_name()
        .last()
        .and_then(|common_name| common_name.as_str().ok())
        .is_some_and(|pattern| matches_pattern(pattern, &name.to_str()))
}

/// `*.example.com` is for `db.example.com`, but not for `a.db.example.com` or `example.com`.
fn matches_pattern(pattern: &str, name: &str) -> bool {
    if pattern.eq_ignore_ascii_case(name) {
        return true;
    }
    match (pattern.strip_prefix("*."), name.split_once('.')) {
        (Some(domain), Some((label, rest))) => {
            !label.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

/// The hash of a certificate that SCRAM is bound to (`tls-server-end-point`, RFC 5929): the hash of its own signature,
/// but SHA-256 in place of MD5 and SHA-1. `None` where the signature has no hash of its own.
pub(super) fn end_point(certificate: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let parsed = parse(certificate).ok()?;
    let algorithm = match parsed.signature_algorithm.algorithm.to_id_string().as_str() {
        // MD5, SHA-1 and SHA-256 with RSA; SHA-1 and SHA-256 with ECDSA.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => &ring::digest::SHA256,
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => &ring::digest::SHA384,
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => &ring::digest::SHA512,
        _ => return None,
    };
    Some(
        ring::digest::digest(algorithm, certificate)
            .as_ref()
            .to_vec(),
    )
}

/// What is wrong with a certificate, and what may help, in a sentence.
pub(super) fn explain(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer => {
            "none of the root certificates has signed it; is it the right sslrootcert, and does the server send its intermediate certificates?".to_owned()
        }
        CertificateError::NotValidForName => "it is for another name".to_owned(),
        CertificateError::NotValidForNameContext {
            expected,
            presented,
        } => {
            let expected = expected.to_str();
            if presented.is_empty() {
                format!("it is not for \"{expected}\", and names no host as a subject alternative name")
            } else {
                format!("it is not for \"{expected}\", but for {}", presented.join(", "))
            }
        }
        CertificateError::Expired => "it has expired".to_owned(),
        CertificateError::ExpiredContext { not_after, .. } => {
            format!("it expired on {}; is this machine's clock right?", date(*not_after))
        }
        CertificateError::NotValidYet => {
            "it is not valid yet; is this machine's clock right?".to_owned()
        }
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is not valid before {}; is this machine's clock right?", date(*not_before))
        }
        CertificateError::Revoked => "it, or the certificate of an issuer, has been revoked".to_owned(),
        CertificateError::UnknownRevocationStatus => {
            "sslcrl has no list from one of its issuers, so it cannot be known whether it has been revoked".to_owned()
        }
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "the revocation list is out of date; fetch a newer one".to_owned()
        }
        CertificateError::BadSignature => {
            "its signature is wrong: an issuer with the right name has another key; is the root certificate an old one?".to_owned()
        }
        CertificateError::BadEncoding => "it is malformed".to_owned(),
        // The library's own names; the two that happen in practice are explained.
        other => {
            let name = format!("{other:?}");
            if name.contains("UnsupportedCertVersion") {
                "it is of X.509 version 1, which is not supported; issue it again with extensions, such as a subject alternative name".to_owned()
            } else if name.contains("CaUsedAsEndEntity") {
                "it is the certificate of an authority, which is not accepted from a server; issue one for the server, or give this very certificate as sslrootcert".to_owned()
            } else {
                other.to_string()
            }
        }
    }
}

fn date(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .ok()
        .and_then(|seconds| chrono::DateTime::from_timestamp(seconds, 0))
        .map_or_else(|| "an impossible date".to_owned(), |time| time.to_rfc3339())
}
