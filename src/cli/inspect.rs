//! The first steps of every command that has a source and a target: who they are, what they hold, what is to be moved.
//!
//! Nothing here changes either of them.

use std::collections::BTreeSet;
use std::ffi::OsString;

use crate::catalog::{self, ServerFacts, SourceFacts, TargetFacts};
use crate::failure::Failure;
use crate::ledger;
use crate::model::{Endpoint, FilterKind, Filters, Objects, QualifiedName, ServerVersion};
use crate::pg::client_tools::{ChildEnvironment, ClientTool, Search};
use crate::pg::conninfo::{Conninfo, Environment};
use crate::pg::{Connector, Session, Side, Snapshot};
use crate::toc::Toc;

/// One end of the road, connected.
pub struct Server {
    /// Opens further sessions on the same server.
    pub connector: Connector,
    /// A session for questions.
    pub session: Session,
    /// Who it is.
    pub facts: ServerFacts,
    /// What people are shown.
    pub endpoint: Endpoint,
}

/// The source in one snapshot: its schema archive, and what the catalog says.
pub struct SourceView {
    /// Held until nothing reads the source any more.
    pub snapshot: Snapshot,
    /// The schema archive, as `pg_dump` wrote it.
    pub archive: Vec<u8>,
    /// Its table of contents.
    pub toc: Toc,
    /// Facts.
    pub facts: SourceFacts,
    /// Tables whose rows are left out.
    pub exclude_data: BTreeSet<QualifiedName>,
}

impl Server {
    /// Connects, and asks who it is.
    pub async fn connect(conninfo: Conninfo, side: Side) -> Result<Self, Failure> {
        let connector = Connector::new(conninfo, side)?;
        let session = connector.session("questions").await?;
        let connector = connector.pinned_to(session.peer());
        let facts = catalog::server_facts(&session).await?;
        let endpoint = connector.endpoint(session.peer(), Some(facts.version));
        Ok(Self {
            connector,
            session,
            facts,
            endpoint,
        })
    }

    /// What a client program needs to reach the same server and database.
    pub fn child_environment(&self) -> ChildEnvironment {
        ChildEnvironment::new(self.connector.conninfo(), self.session.peer())
    }
}

/// Refuses to move a database onto itself.
pub fn refuse_same_database(source: &Server, target: &Server) -> Result<(), Failure> {
    let identity =
        |server: &Server| Some((server.facts.system_identifier?, server.facts.database_oid));
    let same_place = source.endpoint == target.endpoint;
    if same_place || identity(source).is_some() && identity(source) == identity(target) {
        return Err(Failure::usage(
            format!(
                "source and target are the same database: {}",
                source.endpoint
            ),
            "Give --target another database; nothing was touched.",
        ));
    }
    Ok(())
}

/// The `pg_dump` for this pair of servers: not older than either, so that it can compare both, and otherwise the oldest
/// there is, because a newer one may write SQL that the target does not know yet.
pub async fn find_pg_dump(
    environment: &Environment,
    servers: &[&Server],
) -> Result<ClientTool, Failure> {
    let needed = servers
        .iter()
        .map(|server| server.facts.version)
        .max()
        .unwrap_or(ServerVersion::OLDEST);
    let search = Search::run("pg_dump", environment).await;
    let suits = |tool: &&ClientTool| tool.version.major() >= needed.major();
    let closest = search
        .found
        .iter()
        .filter(suits)
        .map(|tool| tool.version.major())
        .min();
    let found = search
        .found
        .iter()
        .find(|tool| Some(tool.version.major()) == closest)
        .cloned();
    Ok(match found {
        Some(tool) => tool,
        None => search.newest_for(needed)?,
    })
}

/// Takes the snapshot and reads everything about the source in it.
pub async fn view_source(
    source: &Server,
    pg_dump: &ClientTool,
    filters: &Filters,
) -> Result<SourceView, Failure> {
    filters.check_database(&source.facts.database)?;
    filters.check_pg_dump(pg_dump.version.major())?;
    let exclude_data = check_patterns(source, filters).await?;
    let snapshot = Snapshot::take(&source.connector, catalog::readable_tables).await?;
    let archive = dump_schema(
        source,
        pg_dump,
        DumpOptions {
            snapshot: Some(&snapshot.id),
            filters,
        },
    )
    .await?;
    let toc = Toc::parse(&archive)?;
    let mut facts = catalog::source_facts(snapshot.session()).await?;
    // As pg_dump has it: who selects schemas or tables does not mean large objects.
    let selects = |kind| {
        matches!(
            kind,
            FilterKind::Schema
                | FilterKind::Table
                | FilterKind::TableAndChildren
                | FilterKind::Extension
        )
    };
    if filters.iter().any(|filter| selects(filter.kind)) {
        facts.large_objects.clear();
    }
    Ok(SourceView {
        snapshot,
        archive,
        toc,
        facts,
        exclude_data,
    })
}

/// What a schema is dumped with.
#[derive(Clone, Copy)]
pub struct DumpOptions<'a> {
    /// The snapshot to see.
    pub snapshot: Option<&'a str>,
    /// What to select.
    pub filters: &'a Filters,
}

/// The schema archive of a server, by `pg_dump`.
pub async fn dump_schema(
    server: &Server,
    pg_dump: &ClientTool,
    options: DumpOptions<'_>,
) -> Result<Vec<u8>, Failure> {
    let mut arguments: Vec<OsString> = ["--format=custom", "--schema-only"]
        .map(OsString::from)
        .to_vec();
    arguments.push(format!("--exclude-schema={}", ledger::SCHEMA).into());
    arguments.extend(
        options
            .snapshot
            .map(|id| OsString::from(format!("--snapshot={id}"))),
    );
    // Where the database has an encoding, its names and definitions travel in UTF-8; otherwise as the bytes they are.
    if server.facts.encoding != "SQL_ASCII" {
        arguments.push("--encoding=UTF8".into());
    }
    arguments.extend(
        options
            .filters
            .pg_dump_args()
            .into_iter()
            .map(OsString::from),
    );
    let output = pg_dump
        .run(&arguments, Some(&server.child_environment()))
        .await?;
    Ok(output.stdout)
}

/// Patterns that match nothing are an error, found before anything is done. Returns the tables whose rows are left out.
async fn check_patterns(
    source: &Server,
    filters: &Filters,
) -> Result<BTreeSet<QualifiedName>, Failure> {
    if filters.is_empty() {
        return Ok(BTreeSet::new());
    }
    let relations = catalog::relations(&source.session).await?;
    let schemas = catalog::schemas(&source.session).await?;
    let extensions = catalog::installed_extensions(&source.session).await?;
    let extensions: Vec<String> = extensions
        .into_iter()
        .map(|extension| extension.name)
        .collect();
    let objects = Objects {
        relations: &relations,
        schemas: &schemas,
        extensions: &extensions,
        foreign_servers: &[],
    };
    let unmatched = filters.unmatched(&objects);
    if !unmatched.is_empty() {
        return Err(Failure::unmatched(&unmatched, &source.facts.database));
    }
    Ok(filters
        .data_excluded(&relations)
        .into_iter()
        .cloned()
        .collect())
}

/// What the target holds and offers.
pub async fn view_target(target: &Server) -> Result<TargetFacts, Failure> {
    Ok(catalog::target_facts(&target.session).await?)
}
