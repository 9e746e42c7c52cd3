//! libpq's rules, one by one. What a text means was compared with libpq's own `PQconninfoParse`.

use super::*;
use std::path::Path;

/// A text taken apart, as `keyword=value` in the order of the keywords; or the message.
fn parsed(text: &str) -> Result<Vec<String>, String> {
    let mut settings = std::collections::BTreeMap::new();
    for found in parse::parse(text).map_err(|error| error.to_string())? {
        settings.insert(found.keyword.name, found.value);
    }
    Ok(settings
        .into_iter()
        .map(|(keyword, value)| format!("{keyword}={value}"))
        .collect())
}

#[track_caller]
fn means(text: &str, settings: &[&str]) {
    assert_eq!(
        parsed(text),
        Ok(settings.iter().map(ToString::to_string).collect()),
        "{text}"
    );
}

#[track_caller]
fn is_refused(text: &str, part: &str) {
    match parsed(text) {
        Ok(settings) => panic!("{text} is {settings:?}"),
        Err(message) => assert!(message.contains(part), "{text}: {message}"),
    }
}

/// The cases of libpq's own regression test (`src/interfaces/libpq/t/001_uri.pl`).
#[test]
fn uris_mean_what_they_mean_to_libpq() {
    for (text, settings) in [
        (
            "postgresql://uri-user:secret@host:12345/db",
            &[
                "dbname=db",
                "host=host",
                "password=secret",
                "port=12345",
                "user=uri-user",
            ][..],
        ),
        (
            "postgresql://uri-user@host/db",
            &["dbname=db", "host=host", "user=uri-user"],
        ),
        ("postgresql://host:12345", &["host=host", "port=12345"]),
        ("postgresql://host/", &["host=host"]),
        ("postgresql://host?", &["host=host"]),
        ("postgresql://", &[]),
        ("postgres:///", &[]),
        ("postgres:///db", &["dbname=db"]),
        ("postgresql://uri-user@", &["user=uri-user"]),
        ("postgres://@host", &["host=host"]),
        ("postgres://host:/", &["host=host"]),
        ("postgres://:12345/", &["port=12345"]),
        ("postgresql://?hostaddr=127.0.0.1", &["hostaddr=127.0.0.1"]),
        (
            "postgresql://example.com?hostaddr=63.1.2.4",
            &["host=example.com", "hostaddr=63.1.2.4"],
        ),
        ("postgresql://%68ost/", &["host=host"]),
        (
            "postgresql://host/db?u%73er=someotheruser&port=12345",
            &["dbname=db", "host=host", "port=12345", "user=someotheruser"],
        ),
        (
            "postgresql://[2001:db8::1234]:12345/db",
            &["dbname=db", "host=2001:db8::1234", "port=12345"],
        ),
        ("postgresql://[::1]?user=u", &["host=::1", "user=u"]),
        (
            "postgres://otheruser@:12345/db?host=/path/to/socket",
            &[
                "dbname=db",
                "host=/path/to/socket",
                "port=12345",
                "user=otheruser",
            ],
        ),
        (
            "postgres://%2Fvar%2Flib%2Fpostgresql:5/dbname",
            &["dbname=dbname", "host=/var/lib/postgresql", "port=5"],
        ),
        (
            "postgres://u:p@h1:1,h2:2,/db",
            &[
                "dbname=db",
                "host=h1,h2,",
                "password=p",
                "port=1,2,",
                "user=u",
            ],
        ),
        (
            "postgres://h1,[::1]:5,:6/db",
            &["dbname=db", "host=h1,::1,", "port=,5,6"],
        ),
        ("postgres://h?ssl=true", &["host=h", "sslmode=require"]),
        ("postgres://h?user=x&", &["host=h", "user=x"]),
        ("postgres://h/a#b", &["dbname=a#b", "host=h"]),
        (
            "postgres://u:p:?q@h/d",
            &["dbname=d", "host=h", "password=p:?q", "user=u"],
        ),
        ("postgres://u:@h", &["host=h", "user=u"]),
        ("postgres://:pw@h", &["host=h", "password=pw"]),
        ("postgres://h?dbname=", &["dbname=", "host=h"]),
        ("postgres://h/%C3%A4", &["dbname=ä", "host=h"]),
    ] {
        means(text, settings);
    }
}

#[test]
fn malformed_uris_are_refused() {
    for (text, part) in [
        (
            "postgresql://host?uzer=",
            "unknown keyword \"uzer\"; did you mean \"user\"?",
        ),
        ("postgre://", "neither"),
        ("postgres://[::1", "no closing \"]\""),
        ("postgres://[]", "is empty"),
        ("postgres://[::1]z", "(character 17)"),
        (
            "postgresql://host?zzz",
            "missing \"=\" after the URI parameter \"zzz\"",
        ),
        ("postgresql://host?user&value2", "\"user\""),
        ("postgresql://host?user=key=value", "second \"=\""),
        ("postgresql://host?key=key=value", "unknown keyword \"key\""),
        ("postgres://h/a?user=a&&port=3", "missing \"=\""),
        ("postgres://host?dbname=%XXfoo", "dbname has a \"%\""),
        ("postgresql://a%00b", "the host contains %00"),
        ("postgresql://%zz", "the host has a \"%\""),
        ("postgresql://%1", "the host has a \"%\""),
        ("postgresql://%", "the host has a \"%\""),
        ("postgresql://%ff", "the host is not UTF-8"),
    ] {
        if text == "postgre://" {
            // Not a URI and without "=": a database name, as for psql.
            means(text, &["dbname=postgre://"]);
        } else {
            is_refused(text, part);
        }
    }
}

#[test]
fn keywords_mean_what_they_mean_to_libpq() {
    for (text, settings) in [
        ("host = x port=1", &["host=x", "port=1"][..]),
        ("  host=a\t\n port=2  ", &["host=a", "port=2"]),
        (r"host='a\'b' ", &["host=a'b"]),
        (
            r"password='back\\slash and space'",
            &[r"password=back\slash and space"],
        ),
        ("host=''dbname=x", &["dbname=x", "host="]),
        ("host = 'a'port=5", &["host=a", "port=5"]),
        (r"host=a\ b", &["host=a b"]),
        (r"host=a\", &["host=a"]),
        ("host=", &["host="]),
        ("host =", &["host="]),
        ("host= port=3", &["host=port=3"]),
        ("host=a host=b", &["host=b"]),
        ("user=ä dbname=ö", &["dbname=ö", "user=ä"]),
        ("shop", &["dbname=shop"]),
        ("a b", &["dbname=a b"]),
        ("", &[]),
    ] {
        means(text, settings);
    }
    for (text, part) in [
        ("a b port=1", "missing \"=\" after \"a\" at character 1"),
        ("host='abc", "the quoted value of \"host\" is never closed"),
        ("=x", "unknown keyword \"\""),
        ("'host'=a", "unknown keyword \"'host'\""),
        ("databse=x", "did you mean \"dbname\"?"),
        ("port=1 dbname=a b", "at character 17"),
        ("host=a\0b", "null character"),
    ] {
        is_refused(text, part);
    }
}

/// Each text has a password that was not quoted or escaped; no piece of it may show up in the message.
#[test]
fn messages_repeat_no_piece_of_a_password() {
    let environment = Environment::default().with_os_user("me");
    for text in [
        "password=hush secret1 host=h",
        "password=hush secret1=x host=h",
        "password='hush secret1",
        "postgres://u:secret1/hush@h/d",
        "postgres://u:12/secret1@h/d",
        "postgres://u:hush@secret1@h/d",
        "postgres://u:%secret1@h/d",
        "postgres://u:hush%00secret1@h/d",
        "postgres://h?password=hush&secret1=x",
        "postgres://h?password=hush&secret1",
        "postgres://h?password=hush=secret1",
        "postgres://h?password=%secret1",
        "sslpassword=secret1",
        "oauth_client_secret=secret1",
        "scram_client_key=secret1",
    ] {
        let error = Conninfo::resolve(text, &environment).expect_err(text);
        for shown in [error.to_string(), format!("{error:?}")] {
            for piece in ["secret1", "hush"] {
                assert!(!shown.contains(piece), "{text}: {shown}");
            }
        }
    }
}

#[test]
fn the_password_is_cut_out_and_nothing_else() {
    for (text, without, password) in [
        (
            "postgres://u:p%40q@h:1/d?sslmode=require",
            "postgres://u@h:1/d?sslmode=require",
            Some("p@q"),
        ),
        ("postgres://:pw@h", "postgres://@h", Some("pw")),
        (
            "postgres://u@h?password=a&port=1",
            "postgres://u@h?port=1",
            Some("a"),
        ),
        (
            "postgres://u@h?port=1&pass%77ord=a",
            "postgres://u@h?port=1&",
            Some("a"),
        ),
        (
            "postgres://u:first@h?password=last",
            "postgres://u@h?",
            Some("last"),
        ),
        ("host=h password=x port=1", "host=h port=1", Some("x")),
        (r"password = 'it\'s  me'host=h", "host=h", Some("it's  me")),
        ("host=h password=x", "host=h ", Some("x")),
        ("password=x", "", Some("x")),
        ("password=a host=h password=b", "host=h ", Some("b")),
        ("password= host=h", "", Some("host=h")),
        ("host=h", "host=h", None),
        ("postgres://u@h", "postgres://u@h", None),
        ("shop", "shop", None),
    ] {
        let taken = take_password(text).expect("parses");
        assert_eq!(taken.text, without);
        assert_eq!(
            taken.password.as_ref().map(Password::expose),
            password,
            "{text}"
        );
        assert_eq!(has_password(text), password.is_some(), "{text}");
        // What is left means the same.
        let mut rest: Vec<_> = parsed(text).expect("parses");
        rest.retain(|setting| !setting.starts_with("password="));
        assert_eq!(parsed(&taken.text), Ok(rest), "{text}");
    }
}

fn home() -> tempfile::TempDir {
    tempfile::tempdir().expect("a directory")
}

fn resolve(text: &str, variables: &[(&str, &str)]) -> Result<Conninfo, String> {
    let environment = Environment::new(variables.iter().copied()).with_os_user("me");
    Conninfo::resolve(text, &environment).map_err(|error| error.to_string())
}

#[track_caller]
fn resolved(text: &str, variables: &[(&str, &str)]) -> Conninfo {
    resolve(text, variables).expect("resolves")
}

fn hosts(conninfo: &Conninfo) -> Vec<String> {
    conninfo.hosts.iter().map(ToString::to_string).collect()
}

#[test]
fn nothing_given_means_the_local_server() {
    let conninfo = resolved("", &[]);
    assert_eq!(
        hosts(&conninfo),
        [
            "socket \"/var/run/postgresql/.s.PGSQL.5432\"",
            "socket \"/tmp/.s.PGSQL.5432\"",
            "localhost:5432"
        ]
    );
    assert_eq!(
        (conninfo.user.as_str(), conninfo.database.as_str()),
        ("me", "me")
    );
    assert_eq!(conninfo.connect_timeout, Some(DEFAULT_CONNECT_TIMEOUT));
    assert_eq!(conninfo.tls.mode, SslMode::Prefer);
    assert_eq!(conninfo.channel_binding, ChannelBinding::Prefer);
    assert!(conninfo.tcp.keepalives);
    assert!(conninfo.hosts.iter().all(|host| host.password.is_none()));
    assert_eq!(resolved("user=anna", &[]).database, "anna");
    let nobody = Conninfo::resolve("", &Environment::default());
    assert!(matches!(nobody, Err(ConninfoError::NoUser)));
}

#[test]
fn hosts_addresses_and_ports_are_paired() {
    for (text, expected) in [
        ("host=a,b port=1,2", &["a:1", "b:2"][..]),
        ("host=a,b port=7", &["a:7", "b:7"]),
        ("host=a,b port=,2", &["a:5432", "b:2"]),
        (
            "host=a,/run/pg",
            &["a:5432", "socket \"/run/pg/.s.PGSQL.5432\""],
        ),
        (
            "host=@abstract port=1",
            &["socket \"@abstract/.s.PGSQL.1\""],
        ),
        ("host=a,b hostaddr=10.0.0.1,", &["a:5432", "b:5432"]),
        ("hostaddr=10.0.0.1,::1", &["10.0.0.1:5432", "[::1]:5432"]),
        ("postgres://[2001:db8::1]:3/", &["[2001:db8::1]:3"]),
        ("postgres://h1,h2:2?port=9", &["h1:9", "h2:9"]),
        (
            "host=,b port=6",
            &[
                "socket \"/var/run/postgresql/.s.PGSQL.6\"",
                "socket \"/tmp/.s.PGSQL.6\"",
                "localhost:6",
                "b:6",
            ],
        ),
    ] {
        assert_eq!(hosts(&resolved(text, &[])), expected, "{text}");
    }
    let conninfo = resolved("host=a,b hostaddr=10.0.0.1,", &[]);
    assert_eq!(
        conninfo.hosts[0].place,
        Place::Tcp {
            host: Some("a".to_owned()),
            address: Some([10, 0, 0, 1].into())
        }
    );
    for (text, part) in [
        (
            "host=a,b port=1,2,3",
            "3 port numbers cannot be matched to 2 hosts",
        ),
        (
            "host=a,b hostaddr=10.0.0.1",
            "1 hostaddr values cannot be matched to 2 hosts",
        ),
        (
            "host=a port=0",
            "the port of host 1 in port in the connection string",
        ),
        ("host=a,b port=1,x", "the port of host 2"),
        ("host=a port=65536", "65535"),
        (
            "hostaddr=db.example.com",
            "\"db.example.com\" is not an IP address",
        ),
    ] {
        let message = resolve(text, &[]).expect_err(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn layers_hide_each_other() {
    let home = home();
    let service_file = home.path().join(".pg_service.conf");
    std::fs::write(
        &service_file,
        "[s]\nhost=service\nport=2\nuser=service\npassword=service\n[other]\nhost=other\n",
    )
    .expect("written");
    let variables = [
        ("PGSERVICE", "s"),
        ("PGHOST", "variable"),
        ("PGPORT", "3"),
        ("PGDATABASE", "variable"),
        ("PGPASSWORD", "variable"),
        ("PGAPPNAME", "variable"),
        ("PGCONNECT_TIMEOUT", "3"),
    ];
    let environment = Environment::new(variables)
        .with_os_user("me")
        .with_home(home.path());
    let resolve = |text| Conninfo::resolve(text, &environment).expect("resolves");

    let conninfo = resolve("user=explicit fallback_application_name=f");
    assert_eq!(hosts(&conninfo), ["service:2"]);
    assert_eq!(conninfo.user, "explicit");
    assert_eq!(conninfo.database, "variable");
    assert_eq!(conninfo.hosts[0].password, Some(Password::new("service")));
    assert_eq!(conninfo.application_name.as_deref(), Some("variable"));
    assert_eq!(conninfo.connect_timeout, Some(Duration::from_secs(3)));

    // The string's service wins over the variable's; an empty value hides what is below it and means the default.
    let conninfo = resolve("service=other port='' dbname=");
    assert_eq!(hosts(&conninfo), ["other:5432"]);
    assert_eq!(conninfo.database, "me");
    // No service at all.
    assert_eq!(hosts(&resolve("service=")), ["variable:3"]);
    let elsewhere = format!("service=s servicefile={}", service_file.display());
    let no_home = Environment::default().with_os_user("me");
    let conninfo = Conninfo::resolve(&elsewhere, &no_home).expect("resolves");
    assert_eq!(hosts(&conninfo), ["service:2"]);

    let error = Conninfo::resolve("service=nowhere", &environment).expect_err("is not defined");
    assert!(
        error
            .to_string()
            .contains("service \"nowhere\" is not defined"),
        "{error}"
    );
    std::fs::write(&service_file, "[s]\nhots=x\n").expect("written");
    let error = Conninfo::resolve("", &environment).expect_err("is misspelt");
    assert!(
        error.to_string().contains("did you mean \"host\""),
        "{error}"
    );
}

#[test]
fn the_password_file_is_asked_for_every_host() {
    let home = home();
    let write = |path: &Path, text: &str, mode: u32| {
        std::fs::write(path, text).expect("written");
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
            .expect("changed");
    };
    let own = home.path().join(".pgpass");
    write(
        &own,
        "a:1:d:u:one\nb:*:d:u:two\nlocalhost:*:*:*:local\n/run/pg:*:*:*:socket\n10.0.0.1:*:*:*:address\n",
        0o600,
    );
    let environment = Environment::default()
        .with_os_user("me")
        .with_home(home.path());
    let passwords = |text: &str| -> Vec<Option<String>> {
        Conninfo::resolve(text, &environment)
            .expect("resolves")
            .hosts
            .iter()
            .map(|host| Some(host.password.as_ref()?.expose().to_owned()))
            .collect()
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        passwords("host=a,b,c port=1,2,3 dbname=d user=u"),
        [some("one"), some("two"), None]
    );
    assert_eq!(passwords("host=a port=1 dbname=other user=u"), [None]);
    assert_eq!(
        passwords("host=a port=1 dbname=d user=u password=x"),
        [some("x")]
    );
    assert_eq!(
        passwords("host=a port=1 dbname=d user=u password=''"),
        [some("one")]
    );
    assert_eq!(passwords(""), [some("local"), some("local"), some("local")]);
    assert_eq!(passwords("host=/run/pg"), [some("socket")]);
    assert_eq!(passwords("hostaddr=10.0.0.1"), [some("address")]);

    let other = home.path().join("other");
    write(&other, "*:*:*:*:elsewhere\n", 0o600);
    let text = format!("host=a passfile={}", other.display());
    assert_eq!(passwords(&text), [some("elsewhere")]);

    write(&other, "*:*:*:*:elsewhere\n", 0o644);
    let conninfo = Conninfo::resolve(&text, &environment).expect("resolves");
    assert_eq!(conninfo.hosts[0].password, None);
    assert!(
        conninfo.warnings[0].contains("chmod 0600"),
        "{:?}",
        conninfo.warnings
    );
    let missing = Conninfo::resolve("passfile=/nonexistent/file", &environment).expect("resolves");
    assert!(
        missing.warnings[0].contains("does not exist"),
        "{:?}",
        missing.warnings
    );
}

#[test]
fn what_cannot_be_honoured_is_refused_by_name() {
    for (text, variables, part) in [
        (
            "gssencmode=require",
            &[][..],
            "gssencmode in the connection string is \"require\", which cannot be honoured: GSSAPI",
        ),
        (
            "",
            &[("PGGSSENCMODE", "require")],
            "PGGSSENCMODE in the environment",
        ),
        ("require_auth=scram-sha-256", &[], "require_auth"),
        ("sslcertmode=require", &[], "sslcertmode"),
        ("sslpassword=x", &[], "openssl pkey"),
        ("replication=database", &[], "replication"),
        ("min_protocol_version=3.2", &[], "min_protocol_version"),
        ("ssl_max_protocol_version=TLSv1.1", &[], "TLS before 1.2"),
        ("oauth_issuer=x", &[], "OAuth"),
        ("sslkeylogfile=/x", &[], "sslkeylogfile"),
        (
            "sslmode=yes",
            &[],
            "must be one of disable allow prefer require verify-ca verify-full",
        ),
        ("target_session_attrs=master", &[], "prefer-standby"),
        ("channel_binding=x", &[], "channel_binding"),
        ("connect_timeout=soon", &[], "must be a whole number"),
        ("sslsni=yes", &[], "must be 0 or 1"),
        (
            "ssl_min_protocol_version=TLSv1.3 ssl_max_protocol_version=TLSv1.2",
            &[],
            "newer than",
        ),
        (
            "sslrootcert=system sslmode=verify-ca",
            &[],
            "use verify-full",
        ),
        ("sslnegotiation=direct", &[], "use require or stronger"),
        (
            "hostaddr=10.0.0.1 sslmode=verify-full",
            &[],
            "give host as well",
        ),
        ("host=a gssdelegation=1", &[], "gssdelegation"),
    ] {
        let message = resolve(text, variables).expect_err(text);
        assert!(message.contains(part), "{text}: {message}");
    }
}

#[test]
fn what_asks_for_nothing_is_let_pass() {
    for text in [
        "gssencmode=disable",
        "gssencmode=prefer",
        "krbsrvname=x",
        "gsslib=x",
        "gssdelegation=0",
        "client_encoding=latin1",
        "sslcompression=1",
        "replication=false",
        "require_auth=",
        "sslcertmode=allow",
        "min_protocol_version=3.0 max_protocol_version=latest",
        "ssl_min_protocol_version=TLSv1",
        "hostaddr=10.0.0.1 host=h sslmode=verify-full",
        "sslrootcert=system",
        "sslrootcert=system sslmode=disable",
        "sslnegotiation=direct sslmode=require",
    ] {
        resolved(text, &[]);
    }
}

#[test]
fn tls_settings_have_libpqs_defaults() {
    let environment = Environment::default()
        .with_os_user("me")
        .with_home("/home/me");
    let tls = |text| Conninfo::resolve(text, &environment).expect("resolves").tls;
    let in_home = |name: &str| OwnFile {
        path: Path::new("/home/me/.postgresql").join(name),
        named: false,
    };
    let named = |path: &str| OwnFile {
        path: PathBuf::from(path),
        named: true,
    };
    let defaults = tls("");
    assert_eq!(defaults.root, RootSource::File(in_home("root.crt")));
    assert_eq!(defaults.certificate, Some(in_home("postgresql.crt")));
    assert_eq!(defaults.key, Some(in_home("postgresql.key")));
    assert_eq!(defaults.crl, Some(in_home("root.crl")));
    assert!(defaults.sni);

    let given = tls("sslrootcert=/r sslcert=/c sslkey=/k sslcrl=/l sslsni=0 sslmode=verify-ca");
    assert_eq!(given.root, RootSource::File(named("/r")));
    assert_eq!(given.certificate, Some(named("/c")));
    assert_eq!(given.key, Some(named("/k")));
    assert_eq!(given.crl, Some(named("/l")));
    assert!(!given.sni);
    assert_eq!(given.mode, SslMode::VerifyCa);

    let system = tls("sslrootcert=system sslcertmode=disable sslcrldir=/crls");
    assert_eq!(
        (system.root, system.mode),
        (RootSource::System, SslMode::VerifyFull)
    );
    assert_eq!((system.certificate, system.crl), (None, None));
    assert_eq!(
        resolved("", &[("PGSSLROOTCERT", "system")]).tls.mode,
        SslMode::VerifyFull
    );
    assert_eq!(
        resolved("", &[("PGREQUIRESSL", "1")]).tls.mode,
        SslMode::Require
    );
    assert_eq!(
        resolved("", &[("PGREQUIRESSL", "1"), ("PGSSLMODE", "disable")])
            .tls
            .mode,
        SslMode::Disable
    );
}

#[test]
fn timeouts_and_keepalives() {
    let second = Duration::from_secs(1);
    assert_eq!(resolved("connect_timeout=0", &[]).connect_timeout, None);
    assert_eq!(resolved("connect_timeout=-1", &[]).connect_timeout, None);
    assert_eq!(
        resolved("connect_timeout=2", &[]).connect_timeout,
        Some(second * 2)
    );
    let tcp = resolved("", &[]).tcp;
    assert_eq!(
        (tcp.idle, tcp.interval, tcp.count, tcp.user_timeout),
        (
            Some(second * 30),
            Some(second * 10),
            Some(9),
            Some(second * 120)
        )
    );
    let tcp = resolved(
        "keepalives=0 keepalives_idle=1 keepalives_interval=2 keepalives_count=0 tcp_user_timeout=1500",
        &[],
    )
    .tcp;
    assert!(!tcp.keepalives);
    assert_eq!(
        (tcp.idle, tcp.interval, tcp.count, tcp.user_timeout),
        (
            Some(second),
            Some(second * 2),
            None,
            Some(Duration::from_millis(1500))
        )
    );
    // Handed on to a process of our own, it comes out as it went in.
    for tcp in [tcp, resolved("", &[]).tcp] {
        assert_eq!(resolved(&tcp.to_string(), &[]).tcp, tcp);
    }
}

#[test]
fn an_endpoint_shows_no_secret() {
    let conninfo = resolved("postgres://u:hush@h:7/d", &[]);
    let endpoint = conninfo.endpoint(&conninfo.hosts[0]);
    assert_eq!(
        (
            endpoint.host.as_str(),
            endpoint.port,
            endpoint.database.as_str(),
            endpoint.user.as_str()
        ),
        ("h", 7, "d", "u")
    );
    assert_eq!(conninfo.to_string(), "database \"d\" at h:7 as \"u\"");
    assert!(!format!("{conninfo:?}").contains("hush"));
    let environment = Environment::new([("PGPASSWORD", "hush")]);
    assert!(!format!("{environment:?}").contains("hush"));
}

#[test]
fn a_server_that_was_found_stays_the_one_when_its_database_is_closed_to_writers() {
    let environment = Environment::default().with_os_user("me");
    let found = |attrs: &str| {
        let text = format!("host=a,b dbname=d target_session_attrs={attrs}");
        Conninfo::resolve(&text, &environment).expect("resolves")
    };
    let closed = found("read-write").even_if_closed();
    assert_eq!(closed.target_session_attrs, TargetSessionAttrs::Primary);
    assert_eq!(closed.hosts.len(), 2);
    for attrs in ["primary", "standby", "any"] {
        let asked = found(attrs);
        let same = asked.clone().even_if_closed();
        assert_eq!(same.target_session_attrs, asked.target_session_attrs);
    }
    let asked = found("read-write");
    let pinned = asked.clone().pinned_to(&asked.hosts[1]);
    // It may have been closed to writers since; it must not have become a standby.
    assert_eq!(pinned.target_session_attrs, TargetSessionAttrs::Primary);
    assert_eq!(pinned.child_settings, []);
    let pinned = |attrs| found(attrs).pinned_to(&asked.hosts[1]).target_session_attrs;
    assert_eq!(pinned("prefer-standby"), TargetSessionAttrs::Any);
    assert_eq!(pinned("standby"), TargetSessionAttrs::Standby);
}

mod any_text {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Nothing that is typed makes the parser panic, and what is left of a text without its password has none.
        #[test]
        fn is_taken_apart_or_refused(text in "(postgres://)?[a-z@:/?&=,%'\\\\ \\[\\]0-9ä.]{0,40}") {
            if let Ok(taken) = take_password(&text) {
                prop_assert!(!has_password(&taken.text) || taken.password.is_none(), "{}", taken.text);
            }
        }

        /// Whatever a password is, percent-encoded or quoted it arrives as it was.
        #[test]
        fn a_password_of_any_characters_survives(password in "[^\0]{1,20}") {
            let encoded: String = password.bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02x}"));
            let quoted = password.replace('\\', "\\\\").replace('\'', "\\'");
            for text in [
                format!("postgres://u:{encoded}@h/d"),
                format!("postgres://u@h/d?password={encoded}"),
                format!("host=h password='{quoted}' port=1"),
            ] {
                let taken = take_password(&text).expect("parses");
                prop_assert_eq!(taken.password, Some(Password::new(password.clone())));
            }
        }
    }
}

#[test]
fn the_readme_knows_how_long_a_host_and_a_connection_are_waited_for() {
    let timeout = DEFAULT_CONNECT_TIMEOUT.as_secs();
    let says = format!("A host that does not let us in within {timeout} s is given up");
    assert!(crate::readme_says(&says));
    let tcp = TcpSettings::default();
    assert_eq!(tcp.user_timeout, Some(Duration::from_secs(2 * 60)));
    let said = tcp.to_string().replacen("keepalives=1 ", "", 1);
    let says = format!(
        "has not acknowledged anything for two minutes, on our side and on the server's (`{said}`"
    );
    assert!(crate::readme_says(&says));
}
