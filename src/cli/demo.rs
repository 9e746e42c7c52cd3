//! `pgconvoy demo`: everything, on two throw-away clusters that end with it.
//!
//! The move is the real one, with the display of a real one. The second look, at the damaged target, reads and judges rows as a
//! move does, without the rest of `verify`: it takes no longer than one likes to watch.

use clap::{Args, Command, FromArgMatches as _};

use super::arguments::SpeedArgs;
use super::move_database::MoveArgs;
use super::output::style_of_stderr;
use super::say::say;
use crate::catalog::{self, Table, Types};
use crate::failure::Failure;
use crate::model::{CopyFormat, Difference, ExitStatus, Rows, Verdict, quote_ident};
use crate::pg::cluster::{ClusterOptions, ServerInstall, ThrowawayCluster, installed_servers};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::wire::{Gauge, Wire};
use crate::pg::{Connector, Session, Side};
use crate::progress::{Style, words};
use crate::verify::content::{Evidence, Reading, judge};

const SAMPLE: &str = include_str!("../../sql/demo/shop.sql");
const DAMAGE: &str = include_str!("../../sql/demo/damage.sql");
const DATABASE: &str = "shop";

/// Move a sample database between two throw-away servers, prove it, then damage it to show the alarm
///
/// Needs a Postgres server installed on this machine, and nothing else: the two servers it starts are its own, reachable
/// through a private socket only, and are removed at the end.
#[derive(Debug, Clone, Args)]
pub struct DemoArgs {
    /// Number of workers [default: all cores]
    #[arg(short = 'j', long, value_name = "N", value_parser = SpeedArgs::parse_jobs)]
    jobs: Option<u32>,

    /// Use no colours, as if the variable `NO_COLOR` were set
    #[arg(long)]
    no_color: bool,
}

/// The two servers.
struct Stage {
    source: ThrowawayCluster,
    target: ThrowawayCluster,
}

/// One end, for questions and for reading rows.
struct End {
    session: Session,
    wire: Wire,
}

pub(super) async fn run(args: DemoArgs) -> Result<ExitStatus, Failure> {
    let style = style_of_stderr();
    let stage = in_background(set_the_stage).await?;
    fill_source(&stage, style).await?;

    heading(style, "Moving it: this is what you see in a real move");
    let status = Box::pin(move_it(&stage, &args)).await?;
    if status != ExitStatus::Proven {
        return Err(unexpected("the move is not proven", status));
    }
    say("Exit status 0: it is proven.");

    heading(
        style,
        "Now something goes wrong on the target: one cent, in one row",
    );
    connect(&stage.target, Side::Target)
        .await?
        .session
        .execute(DAMAGE)
        .await?;
    say(&format!("  {}", DAMAGE.lines().last().unwrap_or_default()));
    say("No error, no log line, the same number of rows. Reading both sides again:");
    let found = compare(&stage).await?;
    for difference in &found {
        say(&format!(
            "{} {} {}: {}",
            style.bad("differs:"),
            difference.class,
            difference.object,
            difference.detail
        ));
    }
    if found.is_empty() {
        return Err(unexpected("the damage was not seen", ExitStatus::Proven));
    }
    show_the_row(&stage).await?;
    say(&format!(
        "{} a move that finds this ends with exit status {}, and says where.",
        style.bad("The alarm:"),
        ExitStatus::Different.code()
    ));

    in_background(move || {
        drop(stage);
        Ok(())
    })
    .await?;
    heading(style, "That was all");
    say(
        "A whole database went from one server to the other, proven row by row; then one changed cent was found.",
    );
    say(
        "The two servers are gone. Your own: pgconvoy move --source … --target … (see pgconvoy move --help)",
    );
    Ok(ExitStatus::Proven)
}

/// What blocks, in a thread where it may.
async fn in_background<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(Failure::defect(error.to_string())))
}

fn set_the_stage() -> Result<Stage, Failure> {
    let mut installed: Vec<ServerInstall> = installed_servers();
    installed.sort_by_key(|install| install.version);
    // Where several are installed, it becomes an upgrade as well.
    let (Some(oldest), Some(newest)) = (installed.first(), installed.last()) else {
        return Err(Failure::usage(
            "no PostgreSQL server is installed on this machine",
            "Install one (Debian: apt-get install postgresql), or name the directory of its programs in PGCONVOY_PG_BIN.",
        ));
    };
    say(&format!(
        "Starting two servers of my own: PostgreSQL {} as the source, {} as the target …",
        oldest.version, newest.version
    ));
    let start =
        |install: &ServerInstall| ThrowawayCluster::start(&ClusterOptions::new(&install.bin_dir));
    Ok(Stage {
        source: start(oldest)?,
        target: start(newest)?,
    })
}

async fn fill_source(stage: &Stage, style: Style) -> Result<(), Failure> {
    heading(
        style,
        "A shop with customers, products and orders, made on the source",
    );
    for cluster in [&stage.source, &stage.target] {
        let session = open(cluster, "postgres", Side::Target)?
            .session("demo")
            .await?;
        session
            .execute(&format!("create database {DATABASE}"))
            .await?;
    }
    let source = connect(&stage.source, Side::Target).await?;
    source.session.execute(SAMPLE).await?;
    let facts = catalog::source_facts(&source.session).await?;
    let rows: Rows = facts.tables.iter().map(|table| table.row_estimate).sum();
    say(&format!(
        "{}, about {rows} rows, {}, {}, a materialized view, sequences, a trigger, a large object",
        words::count(facts.tables.len() as u64, "table", "tables"),
        words::count(facts.indexes.len() as u64, "index", "indexes"),
        words::count(
            facts
                .constraints
                .iter()
                .filter(|one| one.kind == 'f')
                .count() as u64,
            "foreign key",
            "foreign keys"
        ),
    ));
    Ok(())
}

/// The real thing, as if typed.
async fn move_it(stage: &Stage, args: &DemoArgs) -> Result<ExitStatus, Failure> {
    let mut typed = vec![
        "move".to_owned(),
        format!("--source={}", stage.source.conninfo(DATABASE)),
        format!("--target={}", stage.target.conninfo(DATABASE)),
        // It goes with the servers.
        format!("--run-dir={}", stage.source.dir().join("run").display()),
    ];
    // Nobody will go on with it.
    typed.push("--drain-seconds=0".to_owned());
    typed.extend(args.jobs.map(|jobs| format!("--jobs={jobs}")));
    typed.extend(args.no_color.then(|| "--no-color".to_owned()));
    let parsed = MoveArgs::augment_args(Command::new("move"))
        .try_get_matches_from(typed)
        .and_then(|matches| MoveArgs::from_arg_matches(&matches));
    match parsed {
        Ok(args) => Box::pin(args.start()).await,
        Err(error) => Err(Failure::usage(error.to_string(), "Leave the option out.")),
    }
}

/// Reads every table of both sides anew.
async fn compare(stage: &Stage) -> Result<Vec<Difference>, Failure> {
    let mut source = connect(&stage.source, Side::Source).await?;
    let mut target = connect(&stage.target, Side::Target).await?;
    let facts = catalog::source_facts(&source.session).await?;
    let mut differences = Vec::new();
    for table in &facts.tables {
        let types = table.columns.iter().map(|column| column.type_oid);
        let arrays = Types(&facts.types).arrays_among(types);
        let wires = (&mut source.wire, &mut target.wire);
        differences.extend(compare_table(table, &arrays, wires).await?);
    }
    Ok(differences)
}

async fn compare_table(
    table: &Table,
    arrays: &[u16],
    (source, target): (&mut Wire, &mut Wire),
) -> Result<Vec<Difference>, Failure> {
    let columns: Vec<String> = table
        .columns
        .iter()
        .map(|column| quote_ident(&column.name))
        .collect();
    let reading = Reading {
        from: &format!("only {}", table.name),
        columns: &columns,
        condition: None,
        format: &CopyFormat::Binary,
        arrays,
        encoding: None,
    };
    let gauge = Gauge::default();
    let evidence = Evidence {
        read: Some(reading.hash(source, &gauge).await?.digest),
        source_count: Some(reading.count(source).await?),
        target: Some(reading.hash(target, &gauge).await?.digest),
        hashed: true,
    };
    let (verdict, differences) = judge(&table.name, &evidence);
    let word = if verdict == Verdict::Identical {
        "identical"
    } else {
        "NOT the same"
    };
    say(&format!("  {}: {word}", table.name.shown()));
    Ok(differences)
}

/// The damaged row as both sides have it.
async fn show_the_row(stage: &Stage) -> Result<(), Failure> {
    const ROW: &str = "select o::text as row from shop.orders o where o.id = 47110";
    for (name, cluster, side) in [
        ("source", &stage.source, Side::Source),
        ("target", &stage.target, Side::Target),
    ] {
        let end = connect(cluster, side).await?;
        for row in end.session.query_text("a row", ROW, &[]).await? {
            say(&format!("  {name}: {}", row.get::<String>("row")?));
        }
    }
    Ok(())
}

fn open(cluster: &ThrowawayCluster, database: &str, side: Side) -> Result<Connector, Failure> {
    let text = cluster.conninfo(database);
    let conninfo = Conninfo::resolve(&text, &Environment::of_process())?;
    Ok(Connector::new(conninfo, side)?)
}

async fn connect(cluster: &ThrowawayCluster, side: Side) -> Result<End, Failure> {
    let connector = open(cluster, DATABASE, side)?;
    Ok(End {
        session: connector.session("demo").await?,
        wire: connector.wire("demo").await?,
    })
}

fn unexpected(what: &str, status: ExitStatus) -> Failure {
    Failure::defect(format!(
        "the demo did not go as it should: {what} (exit status {})",
        status.code()
    ))
}

fn heading(style: Style, text: &str) {
    say(&format!("\n{}", style.strong(&format!("— {text}"))));
}
