//! A table of more than two gigabytes, and so of three files, of which one is gone or cut off: where the server says nothing, and
//! counts fewer rows.
//!
//! A server finds the blocks of a file that lies behind a missing one no more, so that these are lost as well. Each row has a page of its
//! own: what is lost is known from the block on which it begins. Some minutes and five gigabytes of disk: `make test-salvage`.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pgconvoy::pg::cluster::{ClusterOptions, StopMode};

use crate::lab::{PAGE, losses};
use crate::support::binary::Pgconvoy;
use crate::support::server::Server;

/// Blocks of a file (`RELSEG_SIZE`).
const SEGMENT: u64 = 131_072;
/// Two files, and the beginning of a third.
const ROWS: u64 = 2 * SEGMENT + 2000;

const TABLE: &str = "
begin;
create table wide (id int not null, body text not null);
alter table wide alter body set storage plain;
insert into wide select i, rpad(i::text, 7900, md5(i::text)) from generate_series(1, :rows) i;
alter table wide add primary key (id);
commit;
create table narrow (id int primary key);
insert into narrow select generate_series(1, 1000);
";

/// What is done to a file of the table, by the number that its name ends with.
enum Damage {
    Gone(u64),
    /// Only so many blocks of it are left.
    Cut(u64, u64),
}

impl Damage {
    fn segment(&self) -> u64 {
        match self {
            Self::Gone(segment) | Self::Cut(segment, _) => *segment,
        }
    }

    /// How many blocks can be reached: those before it.
    fn reached(&self) -> u64 {
        match self {
            Self::Gone(segment) => segment * SEGMENT,
            Self::Cut(segment, blocks) => segment * SEGMENT + blocks,
        }
    }
}

fn file_of(table: &Path, segment: u64) -> PathBuf {
    if segment == 0 {
        return table.to_owned();
    }
    PathBuf::from(format!("{}.{segment}", table.display()))
}

/// Salvages while a file is damaged, and puts it back.
fn salvaged_with(damage: &Damage, source: &mut Server, (from, to): (&str, &str), target: &Server) {
    let path = source.psql("big", "select pg_relation_filepath('wide')");
    let file = file_of(&source.cluster.data_dir().join(path), damage.segment());
    let aside = file.with_extension("aside");
    source.cluster.stop(StopMode::Fast).expect("it stops");
    fs::rename(&file, &aside).expect("moved aside");
    if let Damage::Cut(_, blocks) = damage {
        let owner = fs::metadata(&aside).expect("it is there");
        fs::copy(&aside, &file).expect("copied");
        let cut = OpenOptions::new().write(true).open(&file).expect("opened");
        cut.set_len(blocks * PAGE).expect("cut");
        chown(&file, Some(owner.uid()), Some(owner.gid())).expect("given");
    }
    source.cluster.resume().expect("it starts");
    let run = Pgconvoy::new([
        "salvage",
        "--source",
        from,
        "--target",
        to,
        "--overwrite",
        "big",
        "--run-dir",
        "run",
    ])
    .timeout(Duration::from_secs(900))
    .run();
    assert_eq!(run.status, 6, "{run}");
    let reached = damage.reached();
    let there = target.psql("big", "select count(*), coalesce(max(id), 0) from wide");
    assert_eq!(there, format!("{reached}|{reached}"), "{run}");
    let bodies = "select count(*) from wide where body <> rpad(id::text, 7900, md5(id::text))";
    assert_eq!(target.psql("big", bodies), "0", "{run}");
    assert_eq!(target.psql("big", "select count(*) from narrow"), "1000");
    let account = losses(&run);
    let lost = &account["tables"][0]["lost_rows"];
    let count = |what: &str| lost[what].as_u64().expect("a count");
    assert_eq!(
        count("certain") + count("perhaps"),
        ROWS - reached,
        "{lost:#}\n{run}"
    );
    // Where no page is left to tell, the visibility map does; VACUUM may have left some out of it.
    let visible = "select relallvisible from pg_class where relname = 'wide'";
    let visible: u64 = source.psql("big", visible).parse().expect("a number");
    assert!(
        count("perhaps") <= ROWS - visible,
        "{visible}: {lost:#}\n{run}"
    );
    let keys = fs::read_to_string(run.path("run/lost/public.wide.csv")).expect("keys");
    let named = keys
        .lines()
        .skip(1)
        .filter_map(|line| line.split(',').nth(3));
    let mut named: Vec<u64> = named.map(|id| id.parse().expect("a number")).collect();
    named.sort_unstable();
    assert!(
        named.iter().copied().eq(reached + 1..=ROWS),
        "{} keys are named, and not those of the {} rows that are lost",
        named.len(),
        ROWS - reached
    );
    source.cluster.stop(StopMode::Fast).expect("it stops");
    fs::rename(&aside, &file).expect("put back");
    source.cluster.resume().expect("it starts");
}

#[test]
#[ignore = "five gigabytes: make test-salvage"]
fn heavy_files_of_a_gigabyte() {
    let options = |options: ClusterOptions| {
        options
            .setting("autovacuum", "off")
            .setting("max_wal_size", "4GB")
            .setting("wal_level", "minimal")
            .setting("max_wal_senders", "0")
    };
    let (Some(mut source), Some(target)) = (
        Server::start_with(18, options),
        Server::start_with(18, options),
    ) else {
        return;
    };
    let (from, to) = (source.database("big"), target.database("big"));
    source.psql("big", &TABLE.replace(":rows", &ROWS.to_string()));
    source.psql("big", "vacuum (freeze, analyze)");
    source.psql("big", "checkpoint");
    let elsewhere = "select count(*) from wide where ctid <> format('(%s,1)', id - 1)::tid";
    assert_eq!(source.psql("big", elsewhere), "0");
    for damage in [
        Damage::Gone(1),
        Damage::Gone(0),
        Damage::Gone(2),
        Damage::Cut(1, SEGMENT / 2),
    ] {
        salvaged_with(&damage, &mut source, (&from, &to), &target);
    }
}
