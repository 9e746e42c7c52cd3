//! `could not open file "base/20283/23550": No such file or directory`, as an operator meets it who follows the README.

use pgconvoy::pg::cluster::StopMode;
use serde_json::Value;

use crate::lab::losses;
use crate::support::binary::Pgconvoy;
use crate::support::moving::build;
use crate::support::server::Server;

#[test]
fn a_missing_relation_file_of_a_social_network() {
    let options = |options: pgconvoy::pg::cluster::ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("synchronous_commit", "on")
    };
    let (Some(mut source), Some(target)) = (Server::start_with(15, options), Server::start(18))
    else {
        return;
    };
    let from = source.database("mastodon");
    build(&source, "mastodon", "mastodon.sql", "scale=0.002");
    source.psql("mastodon", "vacuum (freeze, analyze)");
    let rows_of = |server: &Server, table: &str| {
        server.psql("mastodon", &format!("select count(*) from {table}"))
    };
    let tables = source.psql(
        "mastodon",
        "select c.oid::regclass from pg_class c where relkind = 'r' and relnamespace = 'public'::regnamespace order by 1",
    );
    let tables: Vec<(String, String)> = tables
        .lines()
        .map(|table| (table.to_owned(), rows_of(&source, table)))
        .collect();
    let ids = source.psql("mastodon", "select id from accounts order by id");
    let path = source.psql("mastodon", "select pg_relation_filepath('accounts')");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    std::fs::remove_file(source.cluster.data_dir().join(&path)).expect("removed");
    source.cluster.resume().expect("it starts");

    let to = target.conninfo("mastodon");
    let run = Pgconvoy::new([
        "salvage",
        "--source",
        &from,
        "--target",
        &to,
        "--create",
        "--exclude-table-data",
        "poll_votes",
        "--run-dir",
        "run",
    ])
    .run();
    assert_eq!(run.status, 6, "{run}");
    assert!(
        run.stderr
            .contains(&format!("could not open file \"{path}\"")),
        "{run}"
    );
    for (table, rows) in &tables {
        let expected = match table.as_str() {
            "accounts" | "poll_votes" => "0",
            _ => rows,
        };
        assert_eq!(rows_of(&target, table), expected, "{table}\n{run}");
    }
    // Whoever reads nothing but the end does not believe that it is all there.
    let report = std::fs::read_to_string(run.path("run/report.json")).expect("a report");
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let sentence = report["sentence"].as_str().expect("a sentence");
    for said in [
        "lost of, or because of: public.accounts",
        "Also the same: ",
        "the rows of public.poll_votes, left out on request",
        "what was left out by --exclude-table-data",
    ] {
        assert!(sentence.contains(said), "{said}: {sentence}");
    }
    let page = std::fs::read_to_string(run.path("run/report.html")).expect("a page");
    assert!(page.contains("id=\"lost\""), "{page}");
    assert!(!page.contains("Passed over on request"), "{page}");
    let csv = std::fs::read_to_string(run.path("run/lost/public.accounts.csv")).expect("keys");
    let mut keys: Vec<i64> = csv
        .lines()
        .skip(1)
        .map(|line| {
            line.split(',')
                .nth(3)
                .expect("a key")
                .parse()
                .expect("a number")
        })
        .collect();
    keys.sort_unstable();
    let ids: Vec<i64> = ids
        .lines()
        .map(|id| id.parse().expect("a number"))
        .collect();
    assert_eq!(keys, ids, "{csv}");
    let account = losses(&run);
    assert_eq!(
        account["tables"][0]["lost_rows"]["certain"],
        ids.len(),
        "{account:#}"
    );
    assert!(
        !account["constraints"]
            .as_array()
            .expect("a list")
            .is_empty(),
        "{account:#}"
    );
}
