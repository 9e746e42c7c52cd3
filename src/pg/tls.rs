//! TLS as libpq does it, with rustls: what each `sslmode` checks, client certificates, revocation lists.
//!
//! | sslmode | encrypted | issuer checked | name checked |
//! |---|---|---|---|
//! | `allow`, `prefer`, `require` | see [`super::dial`] | if the root file exists | no |
//! | `verify-ca` | yes | yes | no |
//! | `verify-full` | yes | yes | yes |
//!
//! The rules are those of `initialize_SSL` in libpq's `fe-secure-openssl.c`, except that a file which was named and does
//! not exist is an error here in every mode from `require` up. TLS before 1.2 and certificates of X.509 version 1 are not
//! supported by rustls.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{
    CertificateDer, CertificateRevocationListDer, IpAddr as TlsIpAddr, PrivateKeyDer, ServerName,
};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::certificate::{Check, Verifier};
use super::conninfo::{
    HostTarget, OwnFile, Place, RootSource, SslMode, SslNegotiation, TlsSettings, TlsVersion,
};

/// Why there is no TLS, or none that can be trusted.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is needed does not exist.
    #[error("the {what} \"{}\" does not exist{advice}", path.display())]
    Missing {
        /// What it is for.
        what: &'static str,
        /// Where it should be.
        path: PathBuf,
        /// How else.
        advice: &'static str,
    },
    /// A file cannot be read.
    #[error("the {what} \"{}\" cannot be read", path.display())]
    Unreadable {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A file has not the content it should have.
    #[error("the {what} \"{}\" cannot be used: {problem}", path.display())]
    Unusable {
        /// What it is for.
        what: &'static str,
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// The operating system has no root certificates.
    #[error("sslrootcert=system: no root certificate of this system can be used{detail}")]
    NoSystemRoots {
        /// What the system said, if anything.
        detail: String,
    },
    /// There is nothing to check the certificate against.
    #[error(
        "sslmode {mode} needs root certificates, and there is no home directory to look for .postgresql/root.crt in: give sslrootcert"
    )]
    NoRoots {
        /// The mode.
        mode: SslMode,
    },
    /// A name that cannot be in a certificate.
    #[error(
        "\"{name}\" cannot be checked against a certificate: it is neither a host name nor an address"
    )]
    Name {
        /// The host as written.
        name: String,
    },
    /// Settings that rustls refuses.
    #[error("TLS cannot be set up")]
    Setup(#[source] rustls::Error),
    /// The server's certificate did not pass.
    #[error("the server's certificate was refused: {explanation} (checked: {checked})")]
    Certificate {
        /// What is wrong with it, and what may help.
        explanation: String,
        /// Against what it was checked.
        checked: String,
    },
    /// The handshake failed for another reason.
    #[error("the TLS handshake failed: {explanation}")]
    Handshake {
        /// What the other side said, in words.
        explanation: String,
        /// The error.
        #[source]
        source: std::io::Error,
    },
}

/// What the network is asked for at once. rustls asks for 4 kB, and a record of rows has 8.
const READ_AHEAD: usize = 64 << 10;

/// A TLS connection.
pub(super) type Encrypted = TlsStream<BufReader<TcpStream>>;

/// TLS, ready to be used for any number of connections.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
    check: Check,
    /// In words, for messages.
    roots: String,
}

impl Tls {
    /// Reads every file that is needed. `None` for `sslmode=disable`, which reads nothing.
    pub(super) fn prepare(settings: &TlsSettings) -> Result<Option<Self>, TlsError> {
        if settings.mode == SslMode::Disable {
            return Ok(None);
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = read_roots(settings)?;
        let described = match (&roots, &settings.root) {
            (None, _) => "nothing, there are no root certificates".to_owned(),
            (Some(_), RootSource::File(file)) => {
                format!("the root certificates in \"{}\"", file.path.display())
            }
            (Some(_), _) => "the system's root certificates".to_owned(),
        };
        let check = match (settings.mode, &roots) {
            (_, None) => Check::Nothing,
            (SslMode::VerifyFull, Some(_)) => Check::ChainAndName,
            (_, Some(_)) => Check::Chain,
        };
        let verifier = Verifier::new(check, trusted(roots, settings, &provider)?, &provider);
        let builder = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(settings))
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier));
        let mut config = match read_client_certificate(settings)? {
            None => builder.with_no_client_auth(),
            Some(own) => builder
                .with_client_auth_cert(own.chain, own.key)
                .map_err(|error| TlsError::Unusable {
                    what: "client certificate",
                    path: own.path,
                    problem: format!("it does not go with its key: {error}"),
                })?,
        };
        config.enable_sni = settings.sni;
        if settings.negotiation == SslNegotiation::Direct {
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Some(Self {
            config: Arc::new(config),
            check,
            roots: described,
        }))
    }

    /// Makes a TCP connection a TLS connection.
    pub(super) async fn handshake(
        &self,
        stream: TcpStream,
        host: &HostTarget,
    ) -> Result<Encrypted, TlsError> {
        let name = self.server_name(host)?;
        let stream = BufReader::with_capacity(READ_AHEAD, stream);
        tokio_rustls::TlsConnector::from(Arc::clone(&self.config))
            .connect(name, stream)
            .await
            .map_err(|error| self.explain(error, host))
    }

    /// What the certificate must be for. Where the name is not checked, one that cannot be in a certificate doesn't matter.
    fn server_name(&self, host: &HostTarget) -> Result<ServerName<'static>, TlsError> {
        let name = host.name();
        // "db.example.com." is the same host; certificates are without the dot.
        let trimmed = name.strip_suffix('.').unwrap_or(&name);
        match ServerName::try_from(trimmed.to_owned()) {
            Ok(name) => Ok(name),
            Err(_) if self.check != Check::ChainAndName => {
                let address = match host.place {
                    Place::Tcp {
                        address: Some(address),
                        ..
                    } => address,
                    _ => std::net::Ipv4Addr::LOCALHOST.into(),
                };
                Ok(ServerName::IpAddress(TlsIpAddr::from(address)))
            }
            Err(_) => Err(TlsError::Name { name }),
        }
    }

    fn explain(&self, error: std::io::Error, host: &HostTarget) -> TlsError {
        if let Some(rustls::Error::InvalidCertificate(why)) = rustls_error(&error) {
            let name = match self.check {
                Check::ChainAndName => format!(", and that it is for \"{}\"", host.name()),
                Check::Chain | Check::Nothing => String::new(),
            };
            return TlsError::Certificate {
                explanation: super::certificate::explain(why),
                checked: format!("that it leads to {}{name}", self.roots),
            };
        }
        TlsError::Handshake {
            explanation: explain_alert(&error).unwrap_or_else(|| match error.kind() {
                ErrorKind::UnexpectedEof => {
                    "the server closed the connection; is it a PostgreSQL server, and is a proxy in between?"
                        .to_owned()
                }
                _ => error.to_string(),
            }),
            source: error,
        }
    }
}

/// The error of rustls inside an I/O error.
fn rustls_error(error: &std::io::Error) -> Option<&rustls::Error> {
    error.get_ref()?.downcast_ref()
}

/// What a TLS alert of the server means, in words. It may come long after the handshake: in TLS 1.3 a server looks at
/// the client's certificate when the client thinks that the handshake is over.
pub(super) fn explain_alert(error: &std::io::Error) -> Option<String> {
    use rustls::AlertDescription as Alert;
    let rustls::Error::AlertReceived(alert) = rustls_error(error)? else {
        return None;
    };
    Some(match alert {
        Alert::CertificateRequired => {
            "the server demands a client certificate; give sslcert and sslkey".to_owned()
        }
        Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown => format!(
            "the server does not accept our client certificate ({alert:?}); is it signed by an authority in the server's ssl_ca_file?"
        ),
        Alert::CertificateExpired => "our client certificate has expired".to_owned(),
        Alert::CertificateRevoked => "our client certificate has been revoked".to_owned(),
        Alert::ProtocolVersion => {
            "the server speaks no version of TLS that is allowed here (1.2 or newer, within ssl_min_protocol_version and ssl_max_protocol_version)".to_owned()
        }
        Alert::HandshakeFailure => {
            "the server and this side have no cipher suite in common".to_owned()
        }
        Alert::NoApplicationProtocol => {
            "the server does not speak PostgreSQL on this port (ALPN)".to_owned()
        }
        other => format!("the server sent the TLS alert {other:?}"),
    })
}

fn versions(settings: &TlsSettings) -> Vec<&'static SupportedProtocolVersion> {
    [
        (TlsVersion::V1_2, &rustls::version::TLS12),
        (TlsVersion::V1_3, &rustls::version::TLS13),
    ]
    .into_iter()
    .filter(|(version, _)| (settings.min_version..=settings.max_version).contains(version))
    .map(|(_, version)| version)
    .collect()
}

/// The roots, if there are any; an error where the mode cannot do without, or where they were asked for by name.
fn read_roots(settings: &TlsSettings) -> Result<Option<Vec<CertificateDer<'static>>>, TlsError> {
    const WHAT: &str = "root certificate file";
    let file = match &settings.root {
        RootSource::System => {
            let found = rustls_native_certs::load_native_certs();
            if found.certs.is_empty() {
                let detail = found.errors.first().map(|error| format!(": {error}"));
                return Err(TlsError::NoSystemRoots {
                    detail: detail.unwrap_or_default(),
                });
            }
            return Ok(Some(found.certs));
        }
        RootSource::File(file) => file,
        RootSource::None if settings.mode >= SslMode::VerifyCa => {
            return Err(TlsError::NoRoots {
                mode: settings.mode,
            });
        }
        RootSource::None => return Ok(None),
    };
    let needed =
        settings.mode >= SslMode::VerifyCa || (file.named && settings.mode >= SslMode::Require);
    let Some(bytes) = read(file, WHAT)? else {
        return if needed {
            Err(TlsError::Missing {
                what: WHAT,
                path: file.path.clone(),
                advice: "; put it there, give sslrootcert, use the system's roots with sslrootcert=system, or choose an sslmode that checks no certificate",
            })
        } else {
            Ok(None)
        };
    };
    certificates(&bytes, WHAT, &file.path).map(Some)
}

/// A file's bytes, or `None` if it does not exist.
fn read(file: &OwnFile, what: &'static str) -> Result<Option<Vec<u8>>, TlsError> {
    match std::fs::read(&file.path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(source) => Err(TlsError::Unreadable {
            what,
            path: file.path.clone(),
            source,
        }),
    }
}

fn certificates(
    pem: &[u8],
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let unusable = |problem: String| TlsError::Unusable {
        what,
        path: path.to_owned(),
        problem,
    };
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(format!("it is not PEM ({error})")))?;
    if found.is_empty() {
        return Err(unusable("there is no PEM certificate in it".to_owned()));
    }
    Ok(found)
}

/// Makes the check of chains out of roots and revocation lists, and keeps the roots for the comparison byte by byte.
fn trusted(
    roots: Option<Vec<CertificateDer<'static>>>,
    settings: &TlsSettings,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<super::certificate::Trusted>, TlsError> {
    let Some(roots) = roots else {
        return Ok(None);
    };
    let path = match &settings.root {
        RootSource::File(file) => file.path.clone(),
        RootSource::System | RootSource::None => PathBuf::from("system"),
    };
    let mut store = RootCertStore::empty();
    // A bundle may hold a few that rustls does not understand, as OpenSSL's loader takes what it can.
    let (usable, _) = store.add_parsable_certificates(roots.iter().cloned());
    let unusable = |problem: String| TlsError::Unusable {
        what: "root certificate file",
        path: path.clone(),
        problem,
    };
    if usable == 0 {
        return Err(unusable(
            "no certificate in it can be used as a root".to_owned(),
        ));
    }
    let mut builder =
        WebPkiServerVerifier::builder_with_provider(Arc::new(store), Arc::clone(provider));
    let crls = read_crls(settings)?;
    if !crls.is_empty() {
        // As OpenSSL with X509_V_FLAG_CRL_CHECK_ALL: the whole chain, and a stale list is no list.
        builder = builder.with_crls(crls).enforce_revocation_expiration();
    }
    let chain = builder
        .build()
        .map_err(|error| unusable(error.to_string()))?;
    Ok(Some(super::certificate::Trusted { chain, roots }))
}

fn read_crls(
    settings: &TlsSettings,
) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    const WHAT: &str = "certificate revocation list";
    let mut files = Vec::new();
    if let Some(file) = &settings.crl {
        match read(file, WHAT)? {
            Some(bytes) => files.push((file.path.clone(), bytes)),
            None if file.named => {
                return Err(TlsError::Missing {
                    what: WHAT,
                    path: file.path.clone(),
                    advice: "; put it there, or leave sslcrl out",
                });
            }
            None => {}
        }
    }
    if let Some(directory) = &settings.crl_dir {
        let unreadable = |source| TlsError::Unreadable {
            what: WHAT,
            path: directory.clone(),
            source,
        };
        for entry in std::fs::read_dir(directory).map_err(unreadable)? {
            let path = entry.map_err(unreadable)?.path();
            let bytes = std::fs::read(&path).map_err(unreadable)?;
            files.push((path, bytes));
        }
    }
    let mut lists = Vec::new();
    for (path, bytes) in files {
        let before = lists.len();
        for list in CertificateRevocationListDer::pem_slice_iter(&bytes) {
            lists.push(list.map_err(|error| TlsError::Unusable {
                what: WHAT,
                path: path.clone(),
                problem: format!("it is not PEM ({error})"),
            })?);
        }
        if lists.len() == before {
            return Err(TlsError::Unusable {
                what: WHAT,
                path,
                problem: "there is no PEM revocation list in it".to_owned(),
            });
        }
    }
    Ok(lists)
}

struct ClientCertificate {
    path: PathBuf,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

fn read_client_certificate(settings: &TlsSettings) -> Result<Option<ClientCertificate>, TlsError> {
    const CERTIFICATE: &str = "client certificate";
    let Some(file) = &settings.certificate else {
        return Ok(None);
    };
    let Some(pem) = read(file, CERTIFICATE)? else {
        return if file.named {
            Err(TlsError::Missing {
                what: CERTIFICATE,
                path: file.path.clone(),
                advice: "; put it there, or leave sslcert out",
            })
        } else {
            Ok(None)
        };
    };
    let Some(key) = &settings.key else {
        return Err(TlsError::Unusable {
            what: CERTIFICATE,
            path: file.path.clone(),
            problem: "there is no key for it: give sslkey".to_owned(),
        });
    };
    Ok(Some(ClientCertificate {
        path: file.path.clone(),
        chain: certificates(&pem, CERTIFICATE, &file.path)?,
        key: read_key(key)?,
    }))
}

/// libpq's rule: nobody but the owner may read the key, except that one of root's may also be readable by its group.
fn read_key(file: &OwnFile) -> Result<PrivateKeyDer<'static>, TlsError> {
    const KEY: &str = "key of the client certificate";
    let unusable = |problem: String| TlsError::Unusable {
        what: KEY,
        path: file.path.clone(),
        problem,
    };
    let Some(bytes) = read(file, KEY)? else {
        return Err(TlsError::Missing {
            what: KEY,
            path: file.path.clone(),
            advice: ", but there is a client certificate; give sslkey, or sslcertmode=disable to do without",
        });
    };
    let metadata = std::fs::metadata(&file.path).map_err(|source| TlsError::Unreadable {
        what: KEY,
        path: file.path.clone(),
        source,
    })?;
    if !metadata.is_file() {
        return Err(unusable("it is not a regular file".to_owned()));
    }
    if !key_permissions_are_tight(metadata.uid(), metadata.mode()) {
        return Err(unusable(format!(
            "its permissions are {:04o}, so others may read it; chmod 0600 it (0640 will do if root owns it)",
            metadata.mode() & 0o7777
        )));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let encrypted = bytes
            .windows(b"ENCRYPTED".len())
            .any(|window| window == b"ENCRYPTED");
        unusable(if encrypted {
            "it is encrypted, which is not supported; decrypt it with openssl pkey".to_owned()
        } else {
            format!("there is no PEM key in it ({error})")
        })
    })
}

fn key_permissions_are_tight(owner: u32, mode: u32) -> bool {
    let loose = if owner == 0 { 0o037 } else { 0o077 };
    mode & loose == 0
}
