//! Settles the account once everything that could be read is on the target: whether it is there (`add_up`), and which constraints do not
//! hold because of what is lost.
//!
//! A constraint that is not there, or not validated, is only passed over if rows violate it, which are written down, or if it
//! needs one that is passed over. Anything else remains a difference.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use super::add_up::{Compared, add_up};
use super::tell;
use crate::catalog;
use crate::cli::inspect::Server;
use crate::cli::output::Emitter;
use crate::cli::prove::Proof;
use crate::event::{Emit as _, What};
use crate::failure::Failure;
use crate::model::{
    Difference, DifferenceKind, QualifiedName, Relation, RowLayout, SqlText, Waiver, shown_ident,
};
use crate::pg::wire::{Gauge, Unframed, read_into};
use crate::pg::{Connector, Session};
use crate::salvage::{
    CATALOG, Key, LeftConstraint, Losses, Unindexed, constraints, csv_line, file_name, unindexed,
};
use crate::verify::{self, Outcome};

/// Constraints whose absence is accounted for, by class and object of the difference that says so.
#[derive(Debug, Default)]
pub(in crate::cli) struct Settled {
    explained: BTreeMap<(String, String), String>,
    /// Checks that are not validated, which a definition therefore does not have, by the table's name; and their rules.
    unproven: BTreeMap<String, Vec<(String, String)>>,
    /// Kinds of objects that the source's catalog has lost rows of, and the rules that say so: what the target has more of them comes from
    /// definitions from elsewhere.
    unlisted: BTreeMap<&'static str, String>,
}

impl Settled {
    /// Passes over what is accounted for, and says so by name.
    pub(in crate::cli) fn waive(&self, outcome: &mut Outcome, emitter: &Emitter) {
        let is_explained = |one: &Difference| self.rule(one).is_some();
        let (waived, rest) = std::mem::take(&mut outcome.differences)
            .into_iter()
            .partition::<Vec<_>, _>(is_explained);
        outcome.differences = rest;
        let mut by_rule: BTreeMap<&String, Vec<Difference>> = BTreeMap::new();
        for difference in waived {
            if let Some(rule) = self.rule(&difference) {
                by_rule.entry(rule).or_default().push(difference);
            }
        }
        for (rule, differences) in by_rule {
            emitter.emit(What::Waived(Waiver {
                rule: rule.clone(),
                not_compared: Vec::new(),
                differences,
            }));
        }
    }
}

impl Settled {
    /// By which rule a difference is accounted for.
    fn rule(&self, one: &Difference) -> Option<&String> {
        let place = (one.class.clone(), one.object.clone());
        let of_table = || {
            let unproven = self.unproven.get(&one.object)?;
            let names: Vec<&str> = unproven.iter().map(|(name, _)| name.as_str()).collect();
            let is_it = one.class == "table" && only_lacks(&one.detail, &names);
            unproven.first().filter(|_| is_it).map(|(_, rule)| rule)
        };
        let by_catalog = || {
            let rule = self.unlisted.get(one.class.as_str())?;
            (one.kind == DifferenceKind::Extra).then_some(rule)
        };
        let known = self.explained.get(&place).or_else(of_table);
        known.or_else(by_catalog)
    }

    /// Takes in what is lost of the catalog.
    fn note_catalog(&mut self, losses: &Losses) {
        let of_catalog = losses.objects.iter().filter(|one| one.class == CATALOG);
        for one in of_catalog {
            let rule = format!("salvage:{CATALOG} {}", one.object);
            let kinds = kinds_in(&one.object).iter();
            self.unlisted
                .extend(kinds.map(|kind| (*kind, rule.clone())));
        }
    }

    /// Explains what is missing, or not valid, because the source's catalog does not describe an index any more.
    fn explain_unindexed(&mut self, needing: Vec<Unindexed>, rule: &str) {
        for one in needing {
            let class = match one.kind {
                'I' => "index",
                'f' => "fk constraint",
                _ => "constraint",
            };
            let place = (class.to_owned(), one.object);
            self.explained.insert(place, rule.to_owned());
        }
    }

    /// Explains a difference of a foreign key in the partitions that have it from their parent.
    fn explain_in_partitions(&mut self, key: &Key, (relations, rule): (&[Relation], &str)) {
        let Some(reference) = key.references.as_ref().filter(|_| key.partitioned) else {
            return;
        };
        for partition in below(&key.table, relations) {
            let (class, object) = verify::inherited_object(partition, Some(&reference.table));
            self.explained
                .insert((class.to_owned(), object), rule.to_owned());
        }
    }
}

/// The relation of the catalog that indexes are lost with, if one is.
fn lost_indexes(losses: &Losses) -> Option<&str> {
    let of_catalog = losses.objects.iter().filter(|one| one.class == CATALOG);
    let mut names = of_catalog.map(|one| one.object.as_str());
    names.find(|name| ["pg_catalog.pg_index", "pg_catalog.pg_class"].contains(name))
}

/// What is compared, of what a relation of the catalog describes.
fn kinds_in(catalog: &str) -> &'static [&'static str] {
    match catalog {
        "pg_catalog.pg_constraint" => &["constraint", "fk constraint", "check constraint"],
        "pg_catalog.pg_index" => &["index", "constraint"],
        "pg_catalog.pg_class" => &["index", "constraint", "fk constraint", "check constraint"],
        _ => &[],
    }
}

/// What is below a table, also by way of others.
fn below<'a>(table: &QualifiedName, relations: &'a [Relation]) -> BTreeSet<&'a QualifiedName> {
    let mut found: BTreeSet<&QualifiedName> = BTreeSet::new();
    loop {
        let is_below = |one: &&Relation| {
            let mut parents = one.parents.iter();
            parents.any(|parent| parent == table || found.contains(parent))
        };
        let more: Vec<_> = relations.iter().filter(is_below).collect();
        let known = found.len();
        found.extend(more.into_iter().map(|one| &one.name));
        if found.len() == known {
            return found;
        }
    }
}

/// Whether two definitions of a table, as their lines, differ in nothing but that these checks are not in the second one. The comma
/// behind a line goes with what comes after it.
fn only_lacks(lines: &str, checks: &[&str]) -> bool {
    let of = |mark: &str| -> Vec<&str> {
        let marked = lines.lines().filter_map(|line| line.strip_prefix(mark));
        marked.map(|line| line.trim_end_matches(',')).collect()
    };
    let (removed, mut added) = (of("- "), of("+ "));
    let is_unproven = |line: &str| {
        checks.iter().any(|name| {
            let head = format!("CONSTRAINT {} CHECK ", shown_ident(name));
            line.trim_start().starts_with(&head)
        })
    };
    for line in removed {
        if is_unproven(line) {
            continue;
        }
        let Some(same) = added.iter().position(|other| *other == line) else {
            return false;
        };
        added.swap_remove(same);
    }
    added.is_empty()
}

/// Settles it; nothing to do unless the run is a salvage.
pub(in crate::cli) async fn settle(
    (proof, compared): (&Proof, &Compared),
    directory: &Path,
    emitter: &Emitter,
) -> Result<Settled, Failure> {
    let Some(map) = &proof.salvage else {
        return Ok(Settled::default());
    };
    tell_losses(&map.losses, emitter);
    add_up((proof, compared), map, emitter).await?;
    let keys = constraints(&proof.source.session).await?;
    let left = (&map.losses, keys.as_slice());
    let mut settled = settle_constraints(&proof.target, left, directory).await?;
    if let Some(catalog) = lost_indexes(&map.losses) {
        let needing = unindexed(&proof.source.session).await?;
        settled.explain_unindexed(needing, &format!("salvage:{CATALOG} {catalog}"));
    }
    Ok(settled)
}

/// The same for a restore of an archive that is an account with losses: its rows are what they must be, by its manifest.
pub(in crate::cli) async fn settle_restored(
    target: &Server,
    losses: &Losses,
    (directory, emitter): (&Path, &Emitter),
) -> Result<Settled, Failure> {
    tell_losses(losses, emitter);
    settle_constraints(target, (losses, &losses.may_not_hold), directory).await
}

async fn settle_constraints(
    target: &Server,
    (losses, keys): (&Losses, &[Key]),
    directory: &Path,
) -> Result<Settled, Failure> {
    let mut settled = Settled::default();
    settled.note_catalog(losses);
    let relations = catalog::relations(&target.session).await?;
    let mut losses = losses.clone();
    let search = Violations {
        session: &target.session,
        target: &target.connector,
        directory,
        keys,
        relations: &relations,
    };
    for (key, left) in search.all().await? {
        let index = index_of(key).shown();
        let rule = match key.kind {
            'i' => format!("salvage:index {index}"),
            _ => format!("salvage:constraint {}", key.object()),
        };
        for class in ["constraint", "fk constraint", "check constraint"] {
            let place = (class.to_owned(), key.object());
            settled.explained.insert(place, rule.clone());
        }
        settled.explain_in_partitions(key, (&relations, &rule));
        if key.as_check().is_some() {
            let table = settled.unproven.entry(key.table.shown()).or_default();
            table.push((key.name.clone(), rule.clone()));
        }
        settled.explained.insert(("index".to_owned(), index), rule);
        losses.constraints.push(left);
    }
    tell::write(directory, &losses)?;
    Ok(settled)
}

/// Says what is lost, by object.
pub(in crate::cli) fn tell_losses(losses: &Losses, emitter: &Emitter) {
    for (object, clauses) in losses.said() {
        emitter.emit(What::Waived(Waiver {
            rule: format!("salvage:{object}"),
            not_compared: clauses,
            differences: Vec::new(),
        }));
    }
}

/// The index that a key is, or that it needs.
fn index_of(key: &Key) -> QualifiedName {
    QualifiedName::new(&key.table.schema, &key.name)
}

/// A constraint for the account: by how many rows it is violated, and where they are.
fn left(key: &Key, (violations, file): (u64, String), is_there: bool) -> LeftConstraint {
    LeftConstraint {
        table: key.table.clone(),
        constraint: key.name.clone(),
        violations,
        file,
        sql: key.remedy(is_there),
    }
}

/// The search for rows that violate constraints.
struct Violations<'a> {
    session: &'a Session,
    target: &'a Connector,
    directory: &'a Path,
    keys: &'a [Key],
    /// Those of the target.
    relations: &'a [Relation],
}

impl<'a> Violations<'a> {
    /// Constraints that do not hold on the target because rows violate them, keys first. What damage has made of a value nobody knows, so
    /// that it may be any of them.
    async fn all(&self) -> Result<Vec<(&'a Key, LeftConstraint)>, Failure> {
        let standing: BTreeMap<(QualifiedName, String), bool> = catalog::constraints(self.session)
            .await?
            .into_iter()
            .map(|one| ((one.table, one.name), one.validated))
            .collect();
        let indexes: BTreeMap<QualifiedName, bool> = catalog::indexes(self.session)
            .await?
            .into_iter()
            .map(|one| (one.name, one.valid))
            .collect();
        let relations = self.relations.iter();
        let there: BTreeSet<QualifiedName> = relations.map(|one| one.name.clone()).collect();
        let mut found: Vec<(&Key, LeftConstraint)> = Vec::new();
        // One that was not valid on the source need not hold anywhere: accounts of earlier versions have such as well.
        let meant =
            |key: &&Key| there.contains(&key.table) && !key.definition.ends_with(" NOT VALID");
        for key in self.keys.iter().filter(meant) {
            let place = (key.table.clone(), key.name.clone());
            let standing = match key.kind {
                'i' => indexes.get(&index_of(key)).copied(),
                _ => standing.get(&place).copied(),
            };
            if standing == Some(true) {
                continue;
            }
            if !key.is_among(&there) {
                // What it points to is left out.
                found.push((key, left(key, (0, String::new()), false)));
                continue;
            }
            let (violations, file) = self.write(key).await?;
            let needs_one_that_is_left = key.references.as_ref().is_some_and(|reference| {
                let columns: BTreeSet<&String> = reference.columns.iter().collect();
                let is_it = |(left, _): &(&Key, LeftConstraint)| {
                    matches!(left.kind, 'p' | 'u' | 'i')
                        && left.predicate.is_none()
                        && left.table == reference.table
                        && left.columns.iter().collect::<BTreeSet<_>>() == columns
                };
                found.iter().any(is_it)
            });
            if violations == 0 && !needs_one_that_is_left {
                continue;
            }
            found.push((key, left(key, (violations, file), standing.is_some())));
        }
        Ok(found)
    }

    /// `violations/<constraint>.csv`: the rows that violate it, by their key and the constraint's columns.
    async fn write(&self, key: &Key) -> Result<(u64, String), Failure> {
        let primary = self
            .keys
            .iter()
            .find(|other| other.kind == 'p' && other.table == key.table);
        let mut columns: Vec<String> = primary.map(|key| key.columns.clone()).unwrap_or_default();
        for column in &key.columns {
            if !columns.contains(column) {
                columns.push(column.clone());
            }
        }
        let name = file_name(&format!("{}.{}", key.table.shown(), key.name));
        let file = format!("violations/{name}.csv");
        let path = self.directory.join(&file);
        let failed = |error: io::Error| Failure::file("writing", &path, &error);
        let create = || {
            fs::create_dir_all(self.directory.join("violations"))?;
            let mut out = io::BufWriter::new(File::create(&path)?);
            out.write_all(csv_line(columns.iter().map(|column| Some(column.as_str()))).as_bytes())?;
            Ok(out)
        };
        let mut out = Unframed::new(create().map_err(failed)?);
        let query = key.violations(&columns);
        let sql = SqlText::from(format!("copy ({query}) to stdout (format csv)"));
        let mut wire = self.target.wire("violations").await?;
        let gauge = Gauge::default();
        let read = read_into(&mut wire, &sql, RowLayout::Text, (&gauge, &mut out)).await;
        if let Some(error) = out.failure() {
            return Err(failed(error));
        }
        let rows = read?.digest.rows.0;
        let flushed = out.into_inner().into_inner();
        flushed
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        Ok((rows, file))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::salvage::{Cause, LostObject};

    #[test]
    fn what_is_below_a_table_is_found_by_way_of_others() {
        let relation = |name: &str, parent: &str| Relation {
            name: QualifiedName::new("s", name),
            visible: false,
            parents: vec![QualifiedName::new("s", parent)],
        };
        let relations = [
            relation("leaf", "middle"),
            relation("middle", "root"),
            relation("other", "another"),
        ];
        let found = below(&QualifiedName::new("s", "root"), &relations);
        let names: Vec<&str> = found.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["leaf", "middle"]);
    }

    #[test]
    fn what_a_damaged_catalog_does_not_list_is_meant() {
        let mut losses = Losses::default();
        losses.objects.push(LostObject {
            class: CATALOG.to_owned(),
            object: "pg_catalog.pg_constraint".to_owned(),
            what: "lost: 3 rows".to_owned(),
            cause: Cause::silent("gone"),
        });
        let mut settled = Settled::default();
        settled.note_catalog(&losses);
        let rule = |kind, class: &str| {
            let difference = Difference {
                kind,
                class: class.to_owned(),
                object: "public.t t_pkey".to_owned(),
                detail: String::new(),
            };
            settled.rule(&difference).cloned()
        };
        let known = Some("salvage:catalog pg_catalog.pg_constraint".to_owned());
        assert_eq!(rule(DifferenceKind::Extra, "constraint"), known);
        assert_eq!(rule(DifferenceKind::Missing, "constraint"), None);
        assert_eq!(rule(DifferenceKind::Extra, "index"), None);
    }

    #[test]
    fn what_needs_an_index_that_the_catalog_has_lost_is_explained_and_nothing_else() {
        let mut losses = Losses::default();
        assert_eq!(lost_indexes(&losses), None);
        losses.objects.push(LostObject {
            class: CATALOG.to_owned(),
            object: "pg_catalog.pg_index".to_owned(),
            what: "lost: 1 row".to_owned(),
            cause: Cause::silent("gone"),
        });
        assert_eq!(lost_indexes(&losses), Some("pg_catalog.pg_index"));
        let needing = |kind, object: &str| Unindexed {
            kind,
            object: object.to_owned(),
        };
        let needing = vec![
            needing('p', "public.t t_pkey"),
            needing('I', "public.root_pkey"),
        ];
        let mut settled = Settled::default();
        settled.explain_unindexed(needing, "lost");
        let is_explained = |kind, class: &str, object: &str| {
            let difference = Difference {
                kind,
                class: class.to_owned(),
                object: object.to_owned(),
                detail: String::new(),
            };
            settled.rule(&difference).is_some()
        };
        let (missing, invalid) = (DifferenceKind::Missing, DifferenceKind::Invalid);
        assert!(is_explained(missing, "constraint", "public.t t_pkey"));
        assert!(is_explained(invalid, "index", "public.root_pkey"));
        assert!(!is_explained(missing, "constraint", "public.t t_key"));
        assert!(!is_explained(missing, "fk constraint", "public.t t_pkey"));
    }

    #[test]
    fn a_definition_lacks_the_checks_that_do_not_hold_and_nothing_else() {
        let last = "  CREATE TABLE t (\n- id integer,\n- CONSTRAINT honest CHECK ((id > 0))\n+ id integer\n  );";
        assert!(only_lacks(last, &["honest"]));
        assert!(!only_lacks(last, &["other"]));
        let middle = "  id integer,\n- CONSTRAINT \"Odd\" CHECK ((id > 0)),\n  CONSTRAINT sound CHECK ((id < 9))";
        assert!(only_lacks(middle, &["Odd", "honest"]));
        let more = "- id integer,\n- CONSTRAINT honest CHECK ((id > 0))\n+ id bigint";
        assert!(!only_lacks(more, &["honest"]));
        assert!(!only_lacks("+ extra integer", &["honest"]));
    }
}
