//! The typed values of the keywords that take one of a few words.

use std::fmt;

macro_rules! words {
    ($(#[$doc:meta])* $name:ident, $expected:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Every value, in libpq's order.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word in a connection string.
            pub fn word(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }

            pub(super) fn from_word(word: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|value| value.word() == word)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.word())
            }
        }

        pub(super) const $expected: &str = concat!("one of", $(" ", $word,)+);
    };
}

words! {
    /// Whether the connection is encrypted, and what is checked of the server's certificate. Ordered from weak to strong.
    SslMode, SSL_MODES {
        /// Never encrypted.
        Disable = "disable",
        /// Encrypted only if the server refuses otherwise.
        Allow = "allow",
        /// Encrypted if the server can.
        Prefer = "prefer",
        /// Encrypted. The certificate is checked only if a root certificate file exists.
        Require = "require",
        /// Encrypted, and the certificate's issuer is checked.
        VerifyCa = "verify-ca",
        /// Encrypted, and the certificate's issuer and name are checked.
        VerifyFull = "verify-full",
    }
}

words! {
    /// How encryption begins.
    SslNegotiation, SSL_NEGOTIATIONS {
        /// With an `SSLRequest`, which every server understands.
        Postgres = "postgres",
        /// With the TLS handshake itself (Postgres 17 and later).
        Direct = "direct",
    }
}

words! {
    /// Whether SCRAM is bound to the server's certificate.
    ChannelBinding, CHANNEL_BINDINGS {
        /// Not.
        Disable = "disable",
        /// If both sides can.
        Prefer = "prefer",
        /// Or no connection at all.
        Require = "require",
    }
}

words! {
    /// Which of several servers will do.
    TargetSessionAttrs, SESSION_ATTRS {
        /// Any.
        Any = "any",
        /// One whose sessions can write by default.
        ReadWrite = "read-write",
        /// One whose sessions cannot write by default.
        ReadOnly = "read-only",
        /// One that is not in recovery.
        Primary = "primary",
        /// One that is in recovery.
        Standby = "standby",
        /// One that is in recovery; if there is none, any.
        PreferStandby = "prefer-standby",
    }
}

words! {
    /// In which order hosts are tried.
    LoadBalance, LOAD_BALANCE {
        /// In the order they are written.
        Disable = "disable",
        /// In a random order.
        Random = "random",
    }
}

words! {
    /// A version of TLS.
    TlsVersion, TLS_VERSIONS {
        /// 1.0: not spoken.
        V1_0 = "TLSv1",
        /// 1.1: not spoken.
        V1_1 = "TLSv1.1",
        /// 1.2.
        V1_2 = "TLSv1.2",
        /// 1.3.
        V1_3 = "TLSv1.3",
    }
}

/// What a server says of itself once connected, as far as [`TargetSessionAttrs`] asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerState {
    /// `default_transaction_read_only`, as it is before a session changes it.
    pub read_only_by_default: bool,
    /// `pg_is_in_recovery()`.
    pub in_recovery: bool,
}

impl TargetSessionAttrs {
    /// Whether a server will do; if not, why. With `prefer-standby` ask for a standby first and, when no host is one,
    /// take any.
    pub fn accepts(self, server: ServerState) -> Result<(), &'static str> {
        let writable = !server.read_only_by_default && !server.in_recovery;
        match self {
            Self::ReadWrite if !writable => Err("sessions there are read-only"),
            Self::ReadOnly if writable => Err("sessions there are not read-only"),
            Self::Primary if server.in_recovery => Err("the server is a standby"),
            Self::Standby | Self::PreferStandby if !server.in_recovery => {
                Err("the server is not a standby")
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `target_session_attrs` in the manual's section 34.1.2.
    #[test]
    fn a_server_is_accepted_for_what_it_is() {
        let primary = ServerState {
            read_only_by_default: false,
            in_recovery: false,
        };
        let read_only_primary = ServerState {
            read_only_by_default: true,
            in_recovery: false,
        };
        let standby = ServerState {
            read_only_by_default: false,
            in_recovery: true,
        };
        let accepted = |attrs: TargetSessionAttrs| {
            [primary, read_only_primary, standby].map(|server| attrs.accepts(server).is_ok())
        };
        assert_eq!(accepted(TargetSessionAttrs::Any), [true, true, true]);
        assert_eq!(
            accepted(TargetSessionAttrs::ReadWrite),
            [true, false, false]
        );
        assert_eq!(accepted(TargetSessionAttrs::ReadOnly), [false, true, true]);
        assert_eq!(accepted(TargetSessionAttrs::Primary), [true, true, false]);
        assert_eq!(accepted(TargetSessionAttrs::Standby), [false, false, true]);
        assert_eq!(
            accepted(TargetSessionAttrs::PreferStandby),
            [false, false, true]
        );
    }
}
