//! The scalar types that Postgres and its contrib extensions have, each with a maker of values: its corners, and what lies between.

use super::dice::Dice;

/// A scalar type.
#[derive(Clone, Copy)]
pub struct Builtin {
    /// As in a column definition.
    pub sql: &'static str,
    /// The first major version that has it.
    pub since: u32,
    /// What can only be a key where all of its values are short and the type has an order.
    pub key: bool,
    /// Makes a value, as text, for a server of a major version.
    pub make: fn(&mut Dice, u32) -> String,
}

const fn plain(sql: &'static str, make: fn(&mut Dice, u32) -> String) -> Builtin {
    Builtin {
        sql,
        since: 10,
        key: false,
        make,
    }
}

const fn key(sql: &'static str, make: fn(&mut Dice, u32) -> String) -> Builtin {
    Builtin {
        key: true,
        ..plain(sql, make)
    }
}

const fn since(since: u32, builtin: Builtin) -> Builtin {
    Builtin { since, ..builtin }
}

/// All of them.
pub const BUILTINS: &[Builtin] = &[
    key("smallint", |dice, _| integer(dice, 15)),
    key("integer", |dice, _| integer(dice, 31)),
    key("bigint", |dice, _| integer(dice, 63)),
    key("numeric", numeric),
    key("numeric(20,5)", |dice, _| {
        format!("{}.{}", dice.between(-9_999_999, 9_999_999), dice.digits(5))
    }),
    since(15, plain("numeric(5,-2)", |dice, _| integer(dice, 15))),
    key("real", |dice, _| {
        float(dice, &["1e-45", "3.4028235e38", "1.17549435e-38"], 30)
    }),
    key("double precision", |dice, _| {
        float(
            dice,
            &[
                "4.9e-324",
                "1.7976931348623157e308",
                "2.2250738585072014e-308",
            ],
            300,
        )
    }),
    plain("money", |dice, _| {
        format!(
            "{}.{}",
            dice.between(-99_999_999, 99_999_999),
            dice.digits(2)
        )
    }),
    key("text", |dice, _| text(dice)),
    key("text", |dice, _| text(dice)),
    key("character varying", |dice, _| text(dice)),
    key("character varying(12)", |dice, _| {
        text(dice).chars().take(12).collect()
    }),
    key("character(7)", |dice, _| {
        text(dice).chars().take(7).collect()
    }),
    key("name", |dice, _| text(dice).chars().take(15).collect()),
    plain("\"char\"", |dice, _| {
        dice.pick(&["", "a", "Z", "\\", " ", "~", "\n"]).to_owned()
    }),
    key("bytea", |dice, _| bytes(dice)),
    key("boolean", |dice, _| dice.pick(&["t", "f"]).to_owned()),
    key("date", |dice, _| moment(dice, DATES, date)),
    key("time without time zone", |dice, _| {
        moment(dice, TIMES, time)
    }),
    key("time(2) without time zone", |dice, _| {
        moment(dice, TIMES, time)
    }),
    key("time with time zone", |dice, _| {
        format!("{}{}", moment(dice, TIMES, time), zone(dice))
    }),
    key("timestamp without time zone", |dice, _| {
        moment(dice, STAMPS, stamp)
    }),
    key("timestamp(0) without time zone", |dice, _| {
        moment(dice, &["infinity"], stamp)
    }),
    key("timestamp with time zone", |dice, _| {
        moment(dice, STAMPS, |dice| {
            format!("{}{}", stamp(dice), zone(dice))
        })
    }),
    key("interval", interval),
    plain("interval year to month", |dice, _| {
        format!(
            "{} years {} mons",
            dice.between(-99, 99),
            dice.between(-11, 11)
        )
    }),
    key("uuid", |dice, _| match dice.below(8) {
        0 => "00000000-0000-0000-0000-000000000000".to_owned(),
        _ => dice.hex(32),
    }),
    key("inet", |dice, _| address(dice, false)),
    key("cidr", |dice, _| address(dice, true)),
    key("macaddr", |dice, _| dice.hex(12)),
    key("macaddr8", |dice, _| dice.hex(16)),
    plain("bit(1)", |dice, _| bits(dice, 1)),
    plain("bit(13)", |dice, _| bits(dice, 13)),
    key("bit varying", |dice, _| {
        let length = dice.index(40);
        bits(dice, length)
    }),
    plain("bit varying(9)", |dice, _| {
        let length = dice.index(10);
        bits(dice, length)
    }),
    plain("json", |dice, _| json(dice, 3)),
    plain("jsonb", |dice, _| json(dice, 3)),
    plain("jsonb", |dice, _| json(dice, 4)),
    plain("point", |dice, _| point(dice)),
    plain("line", |dice, _| {
        format!("{{1,{},{}}}", coordinate(dice), coordinate(dice))
    }),
    plain("lseg", |dice, _| format!("[{}]", points(dice, 2))),
    plain("box", |dice, _| points(dice, 2)),
    plain("path", |dice, _| {
        let length = 1 + dice.index(4);
        let inside = points(dice, length);
        if dice.one_in(2) {
            format!("[{inside}]")
        } else {
            format!("({inside})")
        }
    }),
    plain("polygon", |dice, _| {
        let length = 1 + dice.index(4);
        format!("({})", points(dice, length))
    }),
    plain("circle", |dice, _| {
        format!("<{},{}>", point(dice), dice.below(99))
    }),
    plain("tsvector", |dice, _| {
        dice.pick(&[
            "",
            "'a':1A,2B 'b'",
            "'it''s':3 'x y':4,16383D",
            "'\\\\':1",
            "cat:7 dog",
        ])
        .to_owned()
    }),
    plain("tsquery", |dice, _| {
        dice.pick(&[
            "",
            "'a' & !'b'",
            "'a' <-> 'b'",
            "'x':*AB | ('y' <3> 'z')",
            "!!'n'",
        ])
        .to_owned()
    }),
    plain("oid", |dice, _| dice.below(1 << 32).to_string()),
    plain("xid", |dice, _| dice.below(1 << 32).to_string()),
    plain("cid", |dice, _| dice.below(1 << 32).to_string()),
    plain("tid", |dice, _| {
        format!("({},{})", dice.below(1 << 32), dice.below(1 << 16))
    }),
    since(13, plain("xid8", |dice, _| dice.next().to_string())),
    plain("pg_lsn", |dice, _| {
        format!("{:X}/{:X}", dice.below(1 << 32), dice.below(1 << 32))
    }),
    plain("txid_snapshot", |dice, _| snapshot(dice)),
    since(13, plain("pg_snapshot", |dice, _| snapshot(dice))),
    plain("int2vector", |dice, _| list(dice, |dice| integer(dice, 15))),
    plain("oidvector", |dice, _| {
        list(dice, |dice| dice.below(1 << 32).to_string())
    }),
    plain("regclass", |dice, _| {
        dice.pick(&[
            "pg_catalog.pg_class",
            "-",
            "public.\"a target\"",
            "4000000001",
        ])
        .to_owned()
    }),
    plain("regtype", |dice, _| {
        dice.pick(&[
            "integer",
            "-",
            "timestamp with time zone",
            "text[]",
            "public.\"a target\"",
        ])
        .to_owned()
    }),
    plain("regproc", |dice, _| {
        dice.pick(&["pg_catalog.now", "-", "pg_catalog.pg_sleep"])
            .to_owned()
    }),
    plain("regprocedure", |dice, _| {
        dice.pick(&["pg_catalog.lower(text)", "-", "pg_catalog.length(bytea)"])
            .to_owned()
    }),
    plain("regoper", |dice, _| {
        dice.pick(&["pg_catalog.||/", "0"]).to_owned()
    }),
    plain("regoperator", |dice, _| {
        dice.pick(&[
            "pg_catalog.+(integer,integer)",
            "0",
            "pg_catalog.=(text,text)",
        ])
        .to_owned()
    }),
    plain("regnamespace", |dice, _| {
        dice.pick(&["pg_catalog", "-", "public"]).to_owned()
    }),
    plain("regrole", |dice, _| {
        dice.pick(&["postgres", "-", "pg_monitor"]).to_owned()
    }),
    plain("regconfig", |dice, _| {
        dice.pick(&["pg_catalog.english", "pg_catalog.simple"])
            .to_owned()
    }),
    plain("regdictionary", |dice, _| {
        dice.pick(&["pg_catalog.simple", "pg_catalog.english_stem"])
            .to_owned()
    }),
    since(
        13,
        plain("regcollation", |dice, _| {
            dice.pick(&["pg_catalog.\"C\"", "-"]).to_owned()
        }),
    ),
    since(
        12,
        plain("jsonpath", |dice, _| {
            dice.pick(&[
                "$",
                "strict $.a[*] ? (@ > 1.50)",
                "$.\"x y\".size()",
                "$[0 to last]",
            ])
            .to_owned()
        }),
    ),
    plain("refcursor", |dice, _| text(dice)),
    plain("aclitem", |dice, _| {
        dice.pick(&[
            "=r/postgres",
            "postgres=arwd*/postgres",
            "pg_monitor=/postgres",
        ])
        .to_owned()
    }),
];

/// Types of extensions, which are all in the schema public.
pub const EXTENSIONS: &[(&str, Builtin)] = &[
    (
        "hstore",
        plain("public.hstore", |dice, _| {
            dice.pick(&[
                "",
                "a=>1",
                "\"x y\"=>NULL, b=>\"NULL\"",
                "\"\"=>\"\"",
                "q=>\"\\\"\", z=>\"é\"",
            ])
            .to_owned()
        }),
    ),
    ("citext", key("public.citext", |dice, _| text(dice))),
    (
        "ltree",
        plain("public.ltree", |dice, _| {
            format!(
                "{}{}",
                dice.pick(&["Top", "a.b", "A.B.c_9"]),
                ".x".repeat(dice.index(5))
            )
        }),
    ),
    (
        "ltree",
        plain("public.lquery", |dice, _| {
            dice.pick(&["*.a.*", "a|b.*{2,3}", "!x.y@*"]).to_owned()
        }),
    ),
    (
        "cube",
        plain("public.cube", |dice, _| {
            format!(
                "({}, {}),(0, {})",
                dice.between(-9, 9),
                dice.digits(3),
                coordinate(dice)
            )
        }),
    ),
    (
        "seg",
        plain("public.seg", |dice, _| {
            dice.pick(&["1.50", "1.5", "0.1 .. 2.00", "< 5", "~7.0"])
                .to_owned()
        }),
    ),
    (
        "isn",
        plain("public.isbn13", |dice, _| {
            dice.pick(&["978-0-393-04002-9", "979-10-90636-07-1"])
                .to_owned()
        }),
    ),
    (
        "lo",
        // A domain, of which there are no arrays before.
        since(
            11,
            plain("public.lo", |dice, _| dice.below(1 << 31).to_string()),
        ),
    ),
];

fn integer(dice: &mut Dice, bits: u32) -> String {
    let largest = i64::MAX >> (63 - bits);
    match dice.below(6) {
        0 => *[0, 1, -1, largest, -largest - 1]
            .get(dice.index(5))
            .expect("five"),
        1 => dice.between(-largest - 1, largest),
        _ => dice.between(-99.max(-largest), 999.min(largest)),
    }
    .to_string()
}

fn numeric(dice: &mut Dice, version: u32) -> String {
    match dice.below(10) {
        0 if version >= 14 => dice.pick(&["Infinity", "-Infinity"]).to_owned(),
        0 | 1 => dice
            .pick(&[
                "NaN", "0", "0.000", "1", "1.0", "1.00", "-0.10", "1e40", "1e-40",
            ])
            .to_owned(),
        2 => {
            let (before, after) = (1 + dice.below(60), 1 + dice.below(40));
            format!("-1{}.{}", dice.digits(before), dice.digits(after))
        }
        _ => {
            let after = 1 + dice.below(4);
            format!("{}.{}", dice.between(-999, 999), dice.digits(after))
        }
    }
}

fn float(dice: &mut Dice, corners: &[&str], exponent: i64) -> String {
    match dice.below(6) {
        0 => dice
            .pick(&["NaN", "Infinity", "-Infinity", "0", "-0", "0.1", "1e-5"])
            .to_owned(),
        1 => dice.pick(corners).to_owned(),
        2 => format!(
            "{}.{}e{}",
            dice.between(-9, 9),
            dice.digits(6),
            dice.between(-exponent, exponent)
        ),
        _ => format!("{}.{}", dice.between(-999, 999), dice.digits(3)),
    }
}

/// Text that somebody may take for something else.
pub fn text(dice: &mut Dice) -> String {
    const NASTY: &[&str] = &[
        "",
        " ",
        "  x ",
        "NULL",
        "null",
        "\\N",
        "\\.",
        "\\",
        "'",
        "\"",
        "it's",
        "a\nb",
        "a\r\nb",
        "\t",
        "\u{b}",
        "{}",
        "{NULL}",
        "(,)",
        "\"\"",
        "[1,2)",
        ",",
        ";",
        "--",
        "/*",
        "$1",
        "$$",
        "%s",
        "é",
        "e\u{301}",
        "日本語",
        "😀",
        "\u{feff}",
        "\u{200b}",
        "ﬀ",
        "\u{1}",
        "\u{7f}",
        "x'y\"z\\",
        "0",
        "0.0",
        "true",
    ];
    match dice.below(4) {
        0 => dice.pick(NASTY).to_owned(),
        1 => {
            let length = dice.index(30);
            (0..length)
                .map(|_| {
                    *[
                        ' ', 'a', 'b', 'Z', '9', 'ü', '\\', '\'', '"', '\n', '€', '漢',
                    ]
                    .get(dice.index(12))
                    .expect("twelve")
                })
                .collect()
        }
        _ => {
            let digits = 1 + dice.index(12);
            format!("v{}", dice.hex(digits))
        }
    }
}

fn bytes(dice: &mut Dice) -> String {
    let length = dice.index(24) * 2;
    match dice.below(6) {
        0 => dice
            .pick(&["\\x", "\\x00", "\\x5c", "\\xff00ff", "\\x0a0d"])
            .to_owned(),
        _ => format!("\\x{}", dice.hex(length)),
    }
}

const DATES: &[&str] = &[
    "infinity",
    "-infinity",
    "4713-11-24 BC",
    "5874897-12-31",
    "2000-01-01",
    "0001-12-31 BC",
    "2024-02-29",
];
const TIMES: &[&str] = &["24:00:00", "00:00:00", "23:59:59.999999"];
const STAMPS: &[&str] = &[
    "infinity",
    "-infinity",
    "4713-11-25 00:00:00 BC",
    "294276-12-30 23:59:59.999999",
    "2000-01-01 00:00:00",
    "0044-03-15 12:00:00.000001 BC",
    "1970-01-01 00:00:00",
];

fn moment(dice: &mut Dice, corners: &[&str], make: fn(&mut Dice) -> String) -> String {
    if dice.one_in(6) {
        dice.pick(corners).to_owned()
    } else {
        make(dice)
    }
}

fn date(dice: &mut Dice) -> String {
    format!(
        "{:04}-{:02}-{:02}",
        dice.between(1, 2999),
        dice.between(1, 12),
        dice.between(1, 28)
    )
}

fn time(dice: &mut Dice) -> String {
    format!(
        "{:02}:{:02}:{:02}.{}",
        dice.below(24),
        dice.below(60),
        dice.below(60),
        dice.digits(6)
    )
}

fn stamp(dice: &mut Dice) -> String {
    format!("{} {}", date(dice), time(dice))
}

fn zone(dice: &mut Dice) -> String {
    dice.pick(&["+00", "+15:59", "-15:59", "-03:30", "+05:45"])
        .to_owned()
}

fn interval(dice: &mut Dice, version: u32) -> String {
    match dice.below(6) {
        0 if version >= 17 => dice.pick(&["infinity", "-infinity"]).to_owned(),
        0 | 1 => dice
            .pick(&[
                "0",
                "1 day",
                "24:00:00",
                "1 mon",
                "30 days",
                "-1 mons +2 days -03:04:05.000006",
                "178000000 years",
            ])
            .to_owned(),
        _ => format!(
            "{} mons {} days {}.{} secs",
            dice.between(-40, 40),
            dice.between(-40, 40),
            dice.between(-4000, 4000),
            dice.digits(6)
        ),
    }
}

/// In a network, the bits to the right of the mask are 0.
fn address(dice: &mut Dice, is_network: bool) -> String {
    match (dice.below(4), is_network) {
        (0, _) => dice
            .pick(&[
                "0.0.0.0/0",
                "::/0",
                "10.0.0.0/8",
                "2001:db8::/32",
                "::1/128",
                "192.168.1.0/24",
            ])
            .to_owned(),
        (1, true) => format!("2001:db8:{}::/48", dice.hex(3)),
        (1, false) => format!(
            "2001:db8:{}::{}/{}",
            dice.hex(3),
            dice.hex(3),
            dice.below(129)
        ),
        (_, true) => format!("10.{}.{}.0/24", dice.below(256), dice.below(256)),
        (2, false) => format!("10.{}.0.{}", dice.below(256), dice.below(256)),
        (_, false) => format!(
            "10.{}.0.{}/{}",
            dice.below(256),
            dice.below(256),
            dice.below(33)
        ),
    }
}

fn bits(dice: &mut Dice, length: usize) -> String {
    (0..length)
        .map(|_| if dice.one_in(2) { '1' } else { '0' })
        .collect()
}

/// Spaces, doubled keys and the scale of numbers are kept by one of the two types, and some of them by both.
fn json(dice: &mut Dice, depth: u32) -> String {
    match dice.below(if depth == 0 { 5 } else { 8 }) {
        0 => dice
            .pick(&[
                "null",
                "true",
                "\"\"",
                "1.0",
                "1.00",
                "-0",
                "1e3",
                "\"\\u00e9\"",
                "\"é\"",
                " 7 ",
            ])
            .to_owned(),
        1 => dice.between(-999, 999).to_string(),
        2 => format!("{}.{}", dice.between(-9, 9), dice.digits(20)),
        3 | 4 => format!("\"{}\"", dice.hex(6)),
        5 => {
            let length = dice.index(4);
            let elements: Vec<String> = (0..length).map(|_| json(dice, depth - 1)).collect();
            format!("[{}]", elements.join(dice.pick(&[",", " , "])))
        }
        _ => {
            let length = dice.index(5);
            let members: Vec<String> = (0..length)
                .map(|_| {
                    format!(
                        "\"{}\": {}",
                        dice.pick(&["a", "b", "é", "a b", "", "aa", "Z"]),
                        json(dice, depth - 1)
                    )
                })
                .collect();
            format!("{{{}}}", members.join(","))
        }
    }
}

fn coordinate(dice: &mut Dice) -> String {
    dice.pick(&["0", "-0", "1.5", "-2.25", "0.1", "1e20", "1e-300", "42"])
        .to_owned()
}

fn point(dice: &mut Dice) -> String {
    format!("({},{})", coordinate(dice), coordinate(dice))
}

fn points(dice: &mut Dice, count: usize) -> String {
    let points: Vec<String> = (0..count).map(|_| point(dice)).collect();
    points.join(",")
}

fn snapshot(dice: &mut Dice) -> String {
    let first = 1 + dice.below(1 << 40);
    let listed = if dice.one_in(2) {
        format!("{},{}", first + 1, first + 7)
    } else {
        String::new()
    };
    format!("{first}:{}:{listed}", first + 9)
}

fn list(dice: &mut Dice, element: fn(&mut Dice) -> String) -> String {
    let length = dice.index(5);
    let elements: Vec<String> = (0..length).map(|_| element(dice)).collect();
    elements.join(" ")
}
