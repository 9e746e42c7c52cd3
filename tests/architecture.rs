//! Holds the rules about who may call whom, about how long things may get, and about which schemas a query leaves out.
//!
//! A rule that fails says itself, and the line that breaks it. The scanner is held, too: every rule is shown a
//! snippet that breaks it.

#[path = "support/source.rs"]
mod source;

use std::fs;
use std::path::Path;

use source::Source;

const LONGEST_FUNCTION_LINES: usize = 70;
/// Some 500 lines of code, and a few for slack.
const LONGEST_FILE_LINES: usize = 520;

/// Modules where decisions are made: they have neither a socket nor a file, a process, a clock or dice. A name stands for the
/// file and for the directory.
const PURE: [&str; 46] = [
    "model",
    "event",
    "preflight",
    "plan",
    "schedule",
    "toc",
    "progress/state",
    "progress/estimate",
    "progress/baseline",
    "report/model",
    "report/course",
    "report/job",
    "report/outline",
    "report/html",
    "report/markdown",
    "report/metrics",
    "report/expected",
    "report/timetable",
    "report/turned",
    "verify/statements/changes",
    "verify/statements/shape",
    "salvage/probe",
    "salvage/page",
    "salvage/keys",
    "salvage/files",
    "salvage/account",
    "salvage/standing",
    "salvage/toast",
    "salvage/twins",
    "follow/record",
    "follow/rules",
    "follow/state",
    "follow/statements",
    "follow/tell",
    "follow/turn",
    "salvage/seen",
    "salvage/sound",
    "salvage/proven",
    "salvage/numeric",
    "salvage/checksum",
    "salvage/counted",
    "sync/changes",
    "sync/large_objects",
    "sync/schema",
    "sync/statements",
    "sync/table",
];
/// The files within them that open what the others then think about.
const IMPURE: [&str; 1] = ["toc/open"];

const EVERYWHERE: &str = "";

/// Files that a rule is about must not name certain paths.
struct Ban {
    rule: &'static str,
    /// Files it holds for; [`EVERYWHERE`] is all of them.
    within: &'static [&'static str],
    /// Files it does not hold for.
    except: &'static [&'static str],
    /// Paths with everything below them; with a leading `*::`, wherever they stand.
    paths: &'static [&'static str],
}

const BANS: [Ban; 14] = [
    Ban {
        rule: "pure modules know no runtime, file, socket, process, clock or dice, and nobody who does",
        within: &PURE,
        except: &IMPURE,
        paths: &[
            "tokio",
            "tokio_postgres",
            "tokio_rustls",
            "socket2",
            "nix",
            "rand",
            "fastrand",
            "std::fs",
            "std::net",
            "std::os::unix::net",
            "std::process",
            "std::env",
            "std::thread",
            "std::time::Instant",
            "std::time::SystemTime",
            "*::Utc::now",
            "*::Local::now",
            "std::io::stdin",
            "std::io::stdout",
            "std::io::stderr",
            "crate::pg",
            "crate::execute",
            "crate::ledger",
            "crate::cli",
        ],
    },
    Ban {
        rule: "model knows nobody",
        within: &["model"],
        except: &[],
        paths: &[
            "crate::archive",
            "crate::catalog",
            "crate::event",
            "crate::failure",
            "crate::plan",
            "crate::preflight",
            "crate::progress",
            "crate::report",
            "crate::salvage",
            "crate::schedule",
            "crate::toc",
            "crate::verify",
        ],
    },
    Ban {
        rule: "execute emits events, and knows nobody who shows them",
        within: &["execute"],
        except: &[],
        paths: &["crate::progress", "crate::report", "crate::cli"],
    },
    Ban {
        rule: "progress and report never touch pg: a recorded run replays through them",
        within: &["progress", "report"],
        except: &[],
        paths: &["crate::pg", "tokio_postgres"],
    },
    Ban {
        rule: "only pg opens connections",
        within: &[EVERYWHERE],
        except: &["pg"],
        paths: &[
            "tokio::net",
            "std::net::TcpStream",
            "std::net::TcpListener",
            "std::net::UdpSocket",
            "std::os::unix::net",
            "socket2",
            "tokio_rustls",
            "tokio_postgres::connect",
            "tokio_postgres::Config",
        ],
    },
    Ban {
        rule: "only archive/store talks to object storage",
        within: &[EVERYWHERE],
        except: &["archive/store"],
        paths: &["object_store", "reqwest"],
    },
    Ban {
        rule: "only pg starts processes",
        within: &[EVERYWHERE],
        except: &["pg"],
        paths: &[
            "tokio::process",
            "std::process::Command",
            "std::process::Child",
            "std::process::Stdio",
            "std::os::unix::process::CommandExt",
            "nix::unistd::fork",
            "nix::unistd::execv",
            "nix::unistd::execvp",
            "nix::unistd::execve",
        ],
    },
    Ban {
        rule: "verify must not inherit the copier's mistakes: it never imports plan, execute, ledger or sync",
        within: &["verify"],
        except: &[],
        paths: &[
            "crate::plan",
            "crate::execute",
            "crate::ledger",
            "crate::sync",
        ],
    },
    Ban {
        rule: "sync does what verify finds, and knows nothing of moves",
        within: &["sync"],
        except: &[],
        paths: &["crate::plan", "crate::execute", "crate::ledger"],
    },
    Ban {
        rule: "follow knows nothing of moves",
        within: &["follow"],
        except: &[],
        paths: &[
            "crate::plan",
            "crate::execute",
            "crate::ledger",
            "crate::sync",
        ],
    },
    Ban {
        rule: "only main exits",
        within: &[EVERYWHERE],
        except: &["main"],
        paths: &["std::process::exit", "std::process::abort"],
    },
    Ban {
        rule: "only cli uses clap",
        within: &[EVERYWHERE],
        except: &["cli"],
        paths: &["clap"],
    },
    Ban {
        rule: "only cli, progress and report write for people",
        within: &[EVERYWHERE],
        except: &["main", "cli", "progress", "report"],
        paths: &[
            "std::io::stdout",
            "std::io::stderr",
            "tokio::io::stdout",
            "tokio::io::stderr",
        ],
    },
    Ban {
        rule: "nobody but main calls cli",
        within: &[EVERYWHERE],
        except: &["main", "cli"],
        paths: &["crate::cli"],
    },
];

const DULL_NAMES: [&str; 9] = [
    "util", "utils", "common", "helper", "helpers", "manager", "handler", "handlers", "imp",
];

fn is_within(source: &Source, names: &[&str]) -> bool {
    let stem = source.path.trim_end_matches(".rs");
    names.iter().any(|name| {
        *name == EVERYWHERE
            || stem
                .strip_prefix(name)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn is_below(path: &str, banned: &str) -> bool {
    if let Some(anywhere) = banned.strip_prefix("*::") {
        return format!("::{path}::").contains(&format!("::{anywhere}::"));
    }
    path.strip_prefix(banned)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with("::"))
}

/// Everything in a file that breaks a rule, as `file:line: rule: what`.
fn violations(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let mut broken = |line: usize, rule: &str, what: &str| {
        found.push(format!("src/{}:{line}: {rule}: {what}", source.path));
    };
    imports(source, &mut broken);
    lengths(source, &mut broken);
    names_and_attributes(source, &mut broken);
    found
}

fn imports(source: &Source, broken: &mut impl FnMut(usize, &str, &str)) {
    if source.is_test() {
        return;
    }
    let named = source.named();
    for ban in &BANS {
        if !is_within(source, ban.within) || is_within(source, ban.except) {
            continue;
        }
        for name in &named {
            // `use tokio::*` brings in all that is below, so a glob counts as each of them.
            let is_glob_of = |banned: &str| {
                name.path
                    .strip_suffix("::*")
                    .is_some_and(|parent| is_below(banned, parent))
            };
            if ban
                .paths
                .iter()
                .any(|banned| is_below(&name.path, banned) || is_glob_of(banned))
            {
                broken(name.line, ban.rule, &name.path);
            }
        }
    }
    if !is_within(source, &["main", "cli", "progress", "report"]) {
        for line in source.lines_matching(r"\b(?:e?print(?:ln)?|dbg)!") {
            broken(
                line,
                "only cli, progress and report write for people",
                "a print macro",
            );
        }
    }
}

fn lengths(source: &Source, broken: &mut impl FnMut(usize, &str, &str)) {
    let lines = source.length_lines();
    if lines > LONGEST_FILE_LINES && !source.is_test() {
        let rule = format!("files have at most {LONGEST_FILE_LINES} lines before their tests");
        broken(lines, &rule, &format!("{lines} lines"));
    }
    // A table of cases is as long as it has cases.
    let functions = if source.is_test() {
        Vec::new()
    } else {
        source.functions()
    };
    for function in functions {
        if function.length_lines > LONGEST_FUNCTION_LINES {
            let rule = format!("functions have at most {LONGEST_FUNCTION_LINES} lines");
            let what = format!("{} has {}", function.name, function.length_lines);
            broken(function.line, &rule, &what);
        }
    }
}

fn names_and_attributes(source: &Source, broken: &mut impl FnMut(usize, &str, &str)) {
    if !source.text.starts_with("//! ") {
        broken(1, "a module's first line says what it is", "no //! line");
    }
    let words = source.path.trim_end_matches(".rs").split(['/', '_']);
    for dull in words.filter(|word| DULL_NAMES.contains(word)) {
        broken(1, "a file's name says what is in it", dull);
    }
    for (line, module) in source.modules_missing_in_table() {
        let rule = "a table of a module's files names all of them";
        broken(line, rule, &module);
    }
    for line in source.lines_matching(r"#!?\[\s*allow\b") {
        broken(line, "#[expect] with a reason, never #[allow]", "#[allow]");
    }
}

/// Path and text of every file with this ending.
fn files_below(dir: &Path, prefix: &str, ending: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(dir).expect("the directory can be read") {
        let entry = entry.expect("the directory can be read");
        let name = entry
            .file_name()
            .into_string()
            .expect("file names are UTF-8");
        let path = format!("{prefix}{name}");
        if entry.path().is_dir() {
            files_below(&entry.path(), &format!("{path}/"), ending, found);
        } else if Path::new(&name)
            .extension()
            .is_some_and(|extension| extension == ending)
        {
            let text = fs::read_to_string(entry.path()).expect("sources are UTF-8");
            found.push((path, text));
        }
    }
}

#[test]
fn the_source_keeps_the_rules() {
    let mut files = Vec::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    files_below(&root, "", "rs", &mut files);
    let sources: Vec<Source> = files
        .iter()
        .map(|(path, text)| Source::new(path, text))
        .collect();
    let mut broken: Vec<String> = sources.iter().flat_map(violations).collect();
    broken.sort();
    assert!(
        broken.is_empty(),
        "{} broken rules:\n{}",
        broken.len(),
        broken.join("\n")
    );

    // A rule about a module that was renamed would hold for nobody.
    for name in BANS
        .iter()
        .flat_map(|ban| ban.within.iter().chain(ban.except))
    {
        let top = name.split('/').next().unwrap_or_default();
        assert!(
            sources.iter().any(|source| is_within(source, &[top])),
            "no module {top}"
        );
    }
}

fn rules_broken_by(path: &str, code: &str) -> Vec<String> {
    violations(&Source::new(path, &format!("//! A snippet.\n{code}")))
}

#[track_caller]
fn assert_broken(path: &str, code: &str, line: usize, rule: &str) {
    let broken = rules_broken_by(path, code);
    let expected = format!("src/{path}:{line}: {rule}");
    assert!(
        broken.iter().any(|message| message.starts_with(&expected)),
        "expected {expected}\ngot {broken:#?}\nfrom {code}"
    );
}

#[track_caller]
fn assert_kept(path: &str, code: &str) {
    assert_eq!(rules_broken_by(path, code), Vec::<String>::new(), "{code}");
}

#[test]
fn each_import_rule_catches_a_snippet_that_breaks_it() {
    for (path, code, rule) in [
        ("model/name.rs", "use std::fs;", "pure modules"),
        (
            "event.rs",
            "fn f() { let t = std::time::SystemTime::now(); }",
            "pure modules",
        ),
        (
            "plan/mod.rs",
            "use chrono::Utc; fn f() { Utc::now(); }",
            "pure modules",
        ),
        (
            "plan/cost.rs",
            "use std::{collections::HashMap, time::{Duration, Instant}};",
            "pure modules",
        ),
        (
            "plan/cost.rs",
            "use std::time; fn f() { time::Instant::now(); }",
            "pure modules",
        ),
        ("preflight/mod.rs", "use tokio::*;", "pure modules"),
        (
            "toc/model.rs",
            "use super::super::pg::session::Session;",
            "pure modules",
        ),
        ("progress/state.rs", "use std::env::var;", "pure modules"),
        (
            "report/model/table.rs",
            "use std::io::{self, Write}; fn f() { io::stdout(); }",
            "pure modules",
        ),
        (
            "model/name.rs",
            "use crate::toc::Entry;",
            "model knows nobody",
        ),
        (
            "execute/copy.rs",
            "use crate::{model::Rows, progress::State};",
            "execute emits events",
        ),
        (
            "progress/bars.rs",
            "use crate::pg as database;",
            "progress and report never touch pg",
        ),
        (
            "ledger/mod.rs",
            "async fn f() { tokio::net::TcpStream::connect(1).await; }",
            "only pg opens connections",
        ),
        (
            "verify/rows.rs",
            "use tokio_postgres::{Client, Config};",
            "only pg opens connections",
        ),
        (
            "catalog/mod.rs",
            "use std::process; fn f() { process::Command::new(1); }",
            "only pg starts processes",
        ),
        (
            "verify/mod.rs",
            "fn f() { crate::plan::chunks(); }",
            "verify must not inherit",
        ),
        (
            "cli/move_.rs",
            "fn f() { std::process::exit(1) }",
            "only main exits",
        ),
        (
            "plan/options.rs",
            "#[derive(clap::Args)] struct A;",
            "only cli uses clap",
        ),
        (
            "execute/mod.rs",
            "fn f() { eprintln!(\"done\"); }",
            "only cli, progress and report write",
        ),
        (
            "pg/tls.rs",
            "use std::io::stderr as loud;",
            "only cli, progress and report write",
        ),
        (
            "failure.rs",
            "use crate::cli::Cli;",
            "nobody but main calls cli",
        ),
    ] {
        assert_broken(path, code, 2, rule);
    }
}

#[test]
fn a_table_of_files_lacks_none() {
    let code =
        |table: &str| format!("{table}//!\n\nmod copy;\nmod index;\n#[cfg(test)]\nmod testing;\n");
    let table = "//!\n//! | file | |\n//! |---|---|\n//! | `copy` | rows |\n";
    let rule = "a table of a module's files names all of them: index";
    assert_broken("execute/mod.rs", &code(table), 9, rule);
    let whole = format!("{table}//! | `data`, `index` | the rest |\n");
    assert_kept("execute/mod.rs", &code(&whole));
    assert_kept("execute/mod.rs", &code("//! Without a table.\n"));
}

#[test]
fn object_storage_is_behind_one_door() {
    let code = "use object_store::ObjectStore;";
    let rule = "only archive/store talks to object storage";
    assert_broken("archive/stored.rs", code, 2, rule);
    assert_kept("archive/store/client.rs", code);
}

#[test]
fn sync_and_verify_know_nothing_of_moves() {
    for (path, code, rule) in [
        (
            "sync/apply.rs",
            "use crate::execute::copy;",
            "sync does what verify finds",
        ),
        ("verify/rows.rs", "use crate::sync;", "verify must not"),
    ] {
        assert_broken(path, code, 2, rule);
    }
}

#[test]
fn what_the_rules_allow_is_not_reported() {
    assert_kept("toc/open.rs", "use std::fs::File;");
    assert_kept(
        "pg/dump.rs",
        "use std::process::Command; use tokio::net::TcpStream;",
    );
    assert_kept(
        "main.rs",
        "fn main() { std::process::exit(pgconvoy::cli::run()) }",
    );
    assert_kept(
        "progress/bars.rs",
        "use std::time::Instant; fn f() { eprintln!(); }",
    );
    assert_kept(
        "plan/mod.rs",
        "use std::time::Duration; use chrono::{DateTime, Utc};",
    );
    assert_kept("planner.rs", "use std::fs;");
    assert_kept(
        "model/name.rs",
        "// use std::fs;\n/* use\nstd::fs; */ const A: &str = \"use std::fs;\";",
    );
    assert_kept(
        "model/name.rs",
        "const A: &str = r#\"a \"quoted\" std::fs::read\"#;",
    );
    assert_kept(
        "model/name.rs",
        "#[cfg(test)]\nmod tests { use std::fs; fn f() { println!(\"{\"); } }",
    );
}

#[test]
fn literals_and_test_modules_do_not_hide_the_code_behind_them() {
    let rule = "pure modules";
    assert_broken(
        "plan/a.rs",
        "const A: char = '\"'; use std::fs; const B: char = '\"';",
        2,
        rule,
    );
    assert_broken(
        "plan/a.rs",
        "const A: u8 = b'\\''; use std::fs; const B: char = '\\u{27}';",
        2,
        rule,
    );
    assert_broken(
        "plan/a.rs",
        "fn f<'a>(a: &'a str) {}\nuse std::fs; // 'a",
        3,
        rule,
    );
    assert_broken(
        "plan/a.rs",
        "const A: &str = \"\\\\\"; use std::fs;",
        2,
        rule,
    );
    assert_broken("plan/a.rs", "const A: &str = \"//\"; use std::fs;", 2, rule);
    assert_broken(
        "plan/a.rs",
        "#[cfg(test)]\nmod tests {\n fn f() {}\n}\nuse std::fs;",
        6,
        rule,
    );
    assert_broken(
        "plan/a.rs",
        "#[cfg(test)]\nuse a::b;\nuse std::fs;",
        4,
        rule,
    );
    assert_broken(
        "plan/a.rs",
        "const A: &str = \"one\ntwo\";\nuse std::fs;",
        4,
        rule,
    );
}

#[test]
fn lengths_are_counted_without_tests() {
    let body = |lines: usize| "    f();\n".repeat(lines - 2);
    assert_kept("pg/a.rs", &format!("fn f() {{\n{}}}\n", body(70)));
    assert_broken(
        "pg/a.rs",
        &format!("fn f() {{\n{}}}\n", body(71)),
        2,
        "functions have at most 70",
    );
    let signature = "impl A {\n    fn f<T>(a: [u8; 2], b: T)\n    where\n        T: Copy,\n    {\n";
    assert_broken(
        "pg/a.rs",
        &format!("{signature}{}}}\n}}", body(70)),
        3,
        "functions have at most 70",
    );
    assert_kept(
        "pg/a.rs",
        &format!(
            "trait A {{\n    fn f();\n    {}}}",
            "const A: u8;\n".repeat(90)
        ),
    );

    let tests = "#[cfg(test)]\nmod tests {\n}\n";
    assert_kept(
        "pg/a.rs",
        &format!("{}{tests}", "\n".repeat(LONGEST_FILE_LINES - 1)),
    );
    assert_broken(
        "pg/a.rs",
        &format!("{}{tests}", "\n".repeat(LONGEST_FILE_LINES)),
        LONGEST_FILE_LINES + 1,
        "files have at most 520",
    );
}

#[test]
fn names_first_lines_and_attributes_are_held() {
    for path in [
        "pg/utils.rs",
        "pg/utils/mod.rs",
        "pg/copy_helpers.rs",
        "manager.rs",
        "pg/imp.rs",
    ] {
        assert_broken(path, "", 1, "a file's name says what is in it");
    }
    assert_kept("model/simple.rs", "");
    let broken = violations(&Source::new("pg/a.rs", "use std::fs;\n"));
    assert_eq!(
        broken,
        ["src/pg/a.rs:1: a module's first line says what it is: no //! line"]
    );
    for attribute in [
        "#[allow(dead_code)]",
        "#![allow(dead_code)]",
        "#[ allow(dead_code)]",
    ] {
        assert_broken("pg/a.rs", attribute, 2, "#[expect] with a reason");
    }
    assert_kept(
        "pg/a.rs",
        "#[expect(dead_code, reason = \"#[allow]\")]\nfn f() {}",
    );
}

/// Queries that choose by schema and do not leave out both of ours, each with its reason. They are in the order of their paths.
const NOT_WITHOUT_OURS: [(&str, &str); 16] = [
    (
        "catalog/connections.sql",
        "it is the name of a program there",
    ),
    (
        "catalog/droppable.sql",
        "a target is emptied of ours as well, unless a schema of that name is somebody's own",
    ),
    ("catalog/ledger_schema.sql", "it asks about that one"),
    (
        "catalog/lock_table.sql",
        "it estimates locks, which ours take as well",
    ),
    (
        "catalog/locks.sql",
        "who locks one of ours is in our way, too",
    ),
    (
        "catalog/readable_tables.sql",
        "a lock against DDL keeps nobody from writing to ours",
    ),
    ("catalog/server.sql", "it asks whether that one is there"),
    ("ledger/sign.sql", "it asks about that one"),
    (
        "preflight/collations.sql",
        "no column of ours has another collation than the database's",
    ),
    (
        "preflight/packed_rows.sql",
        "looked up by the names of tables that are moved",
    ),
    (
        "rebase/constraints.sql",
        "a value may be of a domain wherever that stands",
    ),
    (
        "sync/written.sql",
        "a sync writes to neither, so it must know of anybody's trigger that does",
    ),
    (
        "verify/in_system_schemas.sql",
        "about the server's own schemas alone",
    ),
    (
        "verify/locales.14.sql",
        "no column of ours has another collation than the database's",
    ),
    (
        "verify/locales.sql",
        "no column of ours has another collation than the database's",
    ),
    (
        "verify/uncarried_tables.sql",
        "about the server's own schemas alone",
    ),
];

/// Whether a query chooses by schema, and does not name both of ours.
fn forgets_ours(query: &str) -> bool {
    let code = query
        .lines()
        .map(|line| line.split_once("--").map_or(line, |(code, _)| code))
        .collect::<Vec<_>>()
        .join("\n");
    let names = |name: &str| code.contains(&format!("'{name}'"));
    let ours = ["pgconvoy", "pgconvoy_follow"].map(names);
    let leaves_out = names("information_schema") || code.contains("'^pg_");
    (leaves_out || ours.contains(&true)) && ours.contains(&false)
}

#[test]
fn queries_leave_out_our_schemas() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let mut queries = Vec::new();
    files_below(&root, "", "sql", &mut queries);
    queries.sort_unstable();
    let forgetful: Vec<&str> = queries
        .iter()
        .filter(|(_, text)| forgets_ours(text))
        .map(|(path, _)| &**path)
        .collect();
    let explained = NOT_WITHOUT_OURS.map(|(path, _)| path);
    assert_eq!(forgetful, explained);

    for (query, forgets) in [
        ("where nspname !~ '^pg_'", true),
        ("where nspname <> 'information_schema'", true),
        ("where nspname <> 'pgconvoy'", true),
        ("where nspname <> 'pgconvoy' -- nor 'pgconvoy_follow'", true),
        (
            "where nspname !~ '^pg_' and nspname not in ('pgconvoy', 'pgconvoy_follow')",
            false,
        ),
        ("select oid from pg_catalog.pg_class -- '^pg_'", false),
    ] {
        assert_eq!(forgets_ours(query), forgets, "{query}");
    }
}

#[test]
fn the_map_of_the_queries_names_every_folder() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
    let map = fs::read_to_string(root.join("README.md")).expect("sql/README.md can be read");
    let mut rows: Vec<&str> = map
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` |"))
        .map(|(folder, _)| folder)
        .collect();
    rows.sort_unstable();
    let mut folders: Vec<String> = fs::read_dir(&root)
        .expect("sql can be read")
        .map(|entry| entry.expect("sql can be read"))
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().expect("a name in UTF-8"))
        .collect();
    folders.sort_unstable();
    assert_eq!(rows, folders);
}
