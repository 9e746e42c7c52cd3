//! Certificates for these tests.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, RevocationReason, RevokedCertParams, SerialNumber,
    date_time_ymd,
};

/// Somebody who signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub pem: String,
}

/// A certificate and its key, in PEM.
pub struct Signed {
    pub certificate: String,
    pub key: String,
}

/// What a certificate says.
#[derive(Default)]
pub struct Wish<'a> {
    pub common_name: &'a str,
    pub alternative_names: &'a [&'a str],
    pub serial: u64,
    pub expired: bool,
}

impl Wish<'_> {
    fn params(&self) -> CertificateParams {
        let names: Vec<String> = self
            .alternative_names
            .iter()
            .map(ToString::to_string)
            .collect();
        let mut params = CertificateParams::new(names).expect("valid names");
        params.distinguished_name = rcgen::DistinguishedName::new();
        params
            .distinguished_name
            .push(DnType::CommonName, self.common_name);
        params.serial_number = Some(SerialNumber::from(self.serial));
        if self.expired {
            params.not_after = date_time_ymd(2020, 1, 1);
        }
        params
    }
}

fn key() -> KeyPair {
    KeyPair::generate().expect("a key")
}

impl Authority {
    pub fn new(name: &str) -> Self {
        let mut params = Wish {
            common_name: name,
            serial: 1,
            ..Wish::default()
        }
        .params();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = key();
        let pem = params.self_signed(&key).expect("signed").pem();
        Self {
            issuer: Issuer::new(params, key),
            pem,
        }
    }

    pub fn sign(&self, wish: &Wish<'_>) -> Signed {
        let key = key();
        Signed {
            certificate: wish
                .params()
                .signed_by(&key, &self.issuer)
                .expect("signed")
                .pem(),
            key: key.serialize_pem(),
        }
    }

    /// A list on which these serial numbers are.
    pub fn revoke(&self, serials: &[u64]) -> String {
        let revoked = |serial: &u64| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: date_time_ymd(2024, 1, 1),
            reason_code: Some(RevocationReason::KeyCompromise),
            invalidity_date: None,
        };
        CertificateRevocationListParams {
            this_update: date_time_ymd(2024, 1, 1),
            next_update: date_time_ymd(2200, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: serials.iter().map(revoked).collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        }
        .signed_by(&self.issuer)
        .expect("signed")
        .pem()
        .expect("PEM")
    }
}

/// A certificate as `openssl req -new -x509` makes it: signed by itself, an authority, and with nothing but a common name.
pub fn self_signed(common_name: &str) -> Signed {
    let mut params = Wish {
        common_name,
        serial: 7,
        ..Wish::default()
    }
    .params();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = key();
    Signed {
        certificate: params.self_signed(&key).expect("signed").pem(),
        key: key.serialize_pem(),
    }
}

/// Writes a file that only its owner may read, for the client's side.
pub fn write_private(directory: &Path, name: &str, content: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).expect("written");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
        .expect("changed");
    path
}
