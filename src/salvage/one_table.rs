//! The search of one table, once the first pass is over: what could not be read is closed in on, one thing at a time, and the indexes
//! are asked what is missing.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write as _};

use super::SalvageError;
use super::account::{Cause, DamageMap, TableLosses, gaps, longest, runs};
use super::beforehand::HASHES_LISTS;
use super::crosscheck::{CrossCheck, patient_cross_check};
use super::facts::{Kind, TableFacts};
use super::keys::{csv_line, file_name};
use super::objects;
use super::patches::LostValuesList;
use super::places::Places;
use super::probe::{Found, Probe, Search};
use super::seen::Seen;
use super::sight::{Sight, patient_session};
use super::survey::{Progress, Shared, Survey};
use crate::model::Rows;
use crate::pg::Session;
use crate::plan::Around;

/// Runs of blocks of a damaged table that are read as such: each is a query of its own within that for the table.
const RUNS: usize = 200;

/// The search of one table.
pub(super) struct TableSearch<'a> {
    pub survey: &'a Survey<'a>,
    pub shared: &'a Shared,
    pub table: &'a TableFacts,
}

impl TableSearch<'_> {
    /// Finds out what can be read of it and what is lost, and adds it to the map. A table that could be read as a whole has been held against
    /// its indexes before. The session is for questions that bring nothing down; it is opened where there is none.
    pub async fn conclude(
        &self,
        (mut progress, check): (Progress, Option<CrossCheck>),
        (session, map): (&mut Option<Session>, &mut DamageMap),
    ) -> Result<(), SalvageError> {
        let table = self.table;
        let mut losses = TableLosses::none_of(table.name.clone(), table.shape.reached);
        let mut around = None;
        if !progress.failed.is_empty() {
            (self.survey.tell)(format!(
                "{} is damaged ({}): looking for what of it can be read",
                table.name.shown(),
                progress.causes[0].message
            ));
            // What is read now may bring down the server, and all sessions with it.
            *session = None;
            around = Some(self.close_in(&mut progress, &mut losses).await?);
        }
        let plain = around.as_ref().is_some_and(|around| around.plain);
        if !plain {
            losses.rows_read = progress.seen.rows();
        }
        let session = match session {
            Some(session) => session,
            none => none.insert(patient_session(self.survey.source).await?),
        };
        let known = (!plain).then(|| progress.known(&self.shared.beforehand));
        let check = if let Some(check) = check {
            check
        } else {
            let what = (&self.shared.facts, table);
            let known = (known, &self.shared.scratch);
            patient_cross_check(self.survey.source, session, what, known).await?
        };
        if !losses.lost_columns.is_empty() || losses.lost_rows.certain > 0 {
            let remedy = self.remedy_of_values(session).await?;
            losses.notes.extend(remedy);
        }
        let notes = check.damaged.iter();
        map.losses
            .notes
            .extend(notes.map(|note| format!("{}: {note}", table.name.shown())));
        if table.kind == Kind::LargeObjects {
            return objects::large_objects(session, (self, &check), (losses, map)).await;
        }
        self.account(&check, &mut losses)?;
        if table.kind == Kind::Catalog {
            objects::of_catalog(table, &losses, map);
            return Ok(());
        }
        if table.kind == Kind::Matview {
            objects::matview(table, &losses, map);
            return Ok(());
        }
        map.losses.tables_looked_at += 1;
        map.losses.rows_read += losses.rows_read;
        map.rows.push((table.name.clone(), losses.rows_read));
        if let Some(around) = around {
            map.around.push((table.name.clone(), around));
        }
        if losses.is_loss() || !losses.causes.is_empty() {
            map.losses.tables.push(losses);
        }
        Ok(())
    }

    /// Finds out what can be read of a table of which not everything can.
    async fn close_in(
        &self,
        progress: &mut Progress,
        losses: &mut TableLosses,
    ) -> Result<Around, SalvageError> {
        let mut sight = Sight::new(self.survey.source, self.survey.timeout);
        let table = self.table;
        let mut around = Around {
            major: self.shared.major,
            ..Around::default()
        };
        if let Err(cause) = self.shared.ask(&mut sight, table, Probe::Open).await? {
            losses.because(cause);
            around.plain = self
                .plainly(&mut sight, (&mut progress.seen, &mut *losses))
                .await?;
            return Ok(around);
        }
        self.learn_of_values(&mut sight, progress).await?;
        let search = self.searching(progress);
        let (mut found, mut partly) = self
            .search(&mut sight, search, (&mut progress.seen, &mut *losses))
            .await?;
        self.part_ways((&mut found, &mut partly));
        let mut suspects = self
            .doubt(&mut found, (&mut progress.seen, &mut *losses))
            .await?;
        self.lead_around(&mut around, progress, (&mut found, &mut partly));
        let mut values = LostValuesList::of(self, &mut *losses);
        self.patch(&mut found, &mut around, (&mut values, &suspects))
            .await?;
        self.leave_blank(&partly, &mut around, &mut values).await?;
        values.end()?;
        // They are there, in part.
        progress.seen.extend(partly);
        for row in &around.patched {
            let (block, offset) = row.place;
            progress.seen.insert(block, offset);
        }
        suspects.forget(&found.lost_rows);
        let facts = &self.shared.facts;
        around.sound = suspects.is_empty()
            && self
                .shared
                .beforehand
                .proves((facts, table), &progress.seen);
        if !suspects.is_empty() {
            around.doubtful = self.survey.doubtful;
            self.write_suspects(&suspects, (&around, &mut *losses))
                .await?;
        }
        losses.lost_blocks = runs(&found.lost_blocks);
        progress.lost = self.shared.beforehand.suspects(table);
        for place in found.lost_rows {
            progress.lost.insert_nearest(place);
        }
        losses.lost_rows.certain = progress.lost.rows();
        Ok(around)
    }

    /// Of the rows that were read without values known to be lost, takes those whose other values are read one by one. On a server that
    /// searches the whole list for each place, these are all of them; on others, those of blocks in which a row is lost with its value,
    /// because nothing can replace that, or in which a value is asked for once more.
    fn part_ways(&self, (found, partly): (&mut Found, &mut Seen)) {
        let beforehand = &self.shared.beforehand;
        let is_whole = |columns: &BTreeSet<u16>| {
            columns.len() < self.table.columns.len() && self.replaced(columns).is_some()
        };
        let mut blocks = partly.sorted_blocks();
        if self.shared.major >= HASHES_LISTS {
            if self.survey.doubtful.is_none() && is_whole(&beforehand.losses(self.table)) {
                return;
            }
            let stays = |place| {
                let columns = beforehand.losses_of(self.table, place);
                is_whole(&columns) && !self.may_come(place, &columns)
            };
            blocks.retain(|&block| {
                let mut offsets = partly.of(block).iter();
                !offsets.all(|offset| stays((block, offset)))
            });
        }
        let apart = partly.split_off(blocks);
        self.one_by_one(&apart, found);
    }

    /// Rows of which values are known to be lost, as if each had been found.
    pub(super) fn one_by_one(&self, rows: &Seen, found: &mut Found) {
        for place in rows.places() {
            let columns = self.shared.beforehand.losses_of(self.table, place);
            found.whole.remove(&place.0);
            if columns.len() == self.table.columns.len() {
                found.lost_rows.insert(place);
            } else {
                found.lost_columns.insert(place, columns);
            }
        }
    }

    /// What is read of the table: as runs of blocks, where all of it can be, and otherwise row by row.
    fn lead_around(
        &self,
        around: &mut Around,
        progress: &Progress,
        (found, partly): (&mut Found, &mut Seen),
    ) {
        let failed = progress.failed.iter().flat_map(|&(from, to)| from..to);
        let failed: BTreeSet<u32> = failed.collect();
        let hurt: BTreeSet<u32> = failed.difference(&found.whole).copied().collect();
        // What is between them is read as runs, but for the shortest of too many. Rows that the server shows because of what it thinks of
        // their page, it may not show by themselves.
        let (mut blocks, short) = longest(gaps(&hurt, self.table.shape.reached), RUNS);
        let tells = |run: &(u32, u32)| self.shared.beforehand.tells_rows(self.table, *run);
        let (short, others): (Vec<_>, Vec<_>) = short.into_iter().partition(tells);
        blocks.extend(others);
        blocks.sort_unstable();
        around.blocks = blocks;
        let short = short.into_iter().flat_map(|(from, to)| from..to);
        let alone: Vec<u32> = hurt.into_iter().chain(short).collect();
        for &block in &alone {
            let seen = progress.seen.of(block);
            let rows = seen.iter().map(|offset| (block, offset));
            around.rows.extend(rows);
        }
        self.one_by_one(&partly.split_off(alone), found);
    }

    /// Whether the table can be read by COPY alone, when no query can be planned; otherwise nothing of it can.
    async fn plainly(
        &self,
        sight: &mut Sight,
        (seen, losses): (&mut Seen, &mut TableLosses),
    ) -> Result<bool, SalvageError> {
        // COPY takes nothing but tables.
        let plain = match self.table.kind {
            Kind::Matview => Err(Cause::interrupted()),
            _ => self.shared.ask(sight, self.table, Probe::Plain).await?,
        };
        match plain {
            Ok(places) => {
                losses.rows_read = places.rows;
                Ok(true)
            }
            Err(cause) => {
                losses.because(cause);
                *seen = Seen::default();
                losses.lost_blocks = whole(self.table);
                losses.lost_rows.unknown = losses.lost_blocks.is_empty();
                Ok(false)
            }
        }
    }

    /// Where something is known to be lost, the rest has not been asked for yet.
    fn searching(&self, progress: &Progress) -> Search {
        let is_known = |run: &(u32, u32)| self.shared.beforehand.knows_losses(self.table, *run);
        let failed = progress.failed.iter().copied();
        let (known, failed): (Vec<_>, Vec<_>) = failed.partition(is_known);
        Search::after_failures(&failed, self.columns()).and_among(&known)
    }

    /// How many columns are copied.
    pub fn columns(&self) -> u16 {
        u16::try_from(self.table.columns.len()).unwrap_or(u16::MAX)
    }

    /// Asks for what failed by halves, until it is known what of it can be read; and the rows of blocks that were read as a whole, without
    /// values that are known to be lost.
    pub async fn search(
        &self,
        sight: &mut Sight,
        mut search: Search,
        (seen, losses): (&mut Seen, &mut TableLosses),
    ) -> Result<(Found, Seen), SalvageError> {
        let table = self.table;
        let mut partly = Seen::default();
        while let Some(probe) = search.next_probe() {
            let asked = self.asked_as(probe);
            let read = self.shared.ask(sight, table, asked).await?;
            let is_none = read.as_ref().is_ok_and(|places| places.rows == 0);
            if is_none && matches!(asked, Probe::Row { .. }) {
                // It was deleted: whatever is wrong with it, nothing is lost.
                continue;
            }
            search.told(probe, read.is_ok());
            match (read, asked) {
                (Ok(places), Probe::Rest { from, to }) => {
                    self.take_rest(places, (from, to), (&mut *seen, &mut partly));
                }
                (Ok(places), Probe::Blocks { .. } | Probe::Rows { .. }) => seen.extend(places.seen),
                (Err(cause), Probe::Page { .. } | Probe::Row { .. } | Probe::Column { .. }) => {
                    losses.because(cause);
                }
                _ => {}
            }
        }
        Ok((search.found(), partly))
    }

    /// Blocks of which values are known to be lost are asked for without these.
    fn asked_as(&self, probe: Probe) -> Probe {
        match probe {
            Probe::Blocks { from, to }
                if self.shared.beforehand.knows_losses(self.table, (from, to)) =>
            {
                Probe::Rest { from, to }
            }
            other => other,
        }
    }

    /// What was read without values that are lost: of the rows that are there, these are lost.
    fn take_rest(
        &self,
        mut places: Places,
        blocks: (u32, u32),
        (seen, partly): (&mut Seen, &mut Seen),
    ) {
        let beforehand = &self.shared.beforehand;
        for place in beforehand.rows_with_losses(self.table, blocks) {
            if places.seen.has(place.0, place.1) {
                partly.insert(place.0, place.1);
                places.seen.remove(place);
            }
        }
        seen.extend(places.seen);
    }

    /// What the indexes say is missing.
    pub fn account(
        &self,
        check: &CrossCheck,
        losses: &mut TableLosses,
    ) -> Result<(), SalvageError> {
        let table = self.table;
        for wrong in table.shape.wrong.iter().chain(&table.toast_wrong) {
            losses.because(Cause::silent(wrong.clone()));
        }
        let file_wrong = !table.shape.wrong.is_empty();
        let cut_off = table.shape.cut_off.iter();
        losses.lost_blocks.extend(cut_off.copied());
        let (certain, perhaps) = self.missing(check, losses.rows_read);
        let Some(index) = &check.index else {
            let zeros = runs(&check.zeros);
            if !zeros.is_empty() {
                losses.because(Cause::silent(
                    "blocks of zeros, and no index that shows whether there ever was a row in them",
                ));
                losses.lost_blocks.extend(zeros);
            }
            left_alone(check, table, losses);
            if table.shape.reached < table.pages {
                losses.because(Cause::silent(format!(
                    "{} blocks, where there were once {}, and no index that shows what was in the others",
                    table.shape.reached, table.pages
                )));
                losses.lost_blocks.push((table.shape.reached, table.pages));
            }
            losses.lost_blocks.sort_unstable();
            losses.lost_blocks.dedup();
            losses.lost_rows.unknown |= file_wrong || !losses.lost_blocks.is_empty();
            losses.lost_rows.certain += certain;
            losses.lost_rows.perhaps += perhaps;
            if certain + perhaps > 0 {
                losses.because(Cause::silent(
                    "the table's pages hold rows that the server does not show, and nothing has replaced or deleted them",
                ));
            }
            return Ok(());
        };
        losses.named_by = Some(index.name.shown());
        let probed = losses.lost_rows.certain;
        losses.key = index
            .columns
            .iter()
            .map(|column| column.name.clone())
            .collect();
        (losses.lost_rows.certain, losses.lost_rows.perhaps) = (certain, perhaps);
        // Rows that cannot be read, and that no entry leads to.
        losses.lost_rows.perhaps += probed.saturating_sub(certain + perhaps);
        emptied(check, losses);
        if check.missing.is_none() {
            return Ok(());
        }
        if check.others > 0 {
            losses.because(others_there(check.others, &index.name.shown()));
        }
        if losses.causes.is_empty() {
            losses.because(Cause::silent(
                "rows that an index points to are missing, although reading the table gives no error",
            ));
        }
        losses.keys_file = Some(self.write_keys(check, &losses.key)?);
        Ok(())
    }

    /// How many rows are missing for certain, and how many more perhaps.
    fn missing(&self, check: &CrossCheck, rows_read: u64) -> (u64, u64) {
        let (certain, perhaps) = (check.missing.lost, check.missing.perhaps);
        // Of a table that was read without places, how many there must be is all that is known.
        let of_pages = check.by_pages.map_or((0, 0), |(live, doubtful)| {
            let hidden = live.saturating_sub(rows_read);
            let at_most = (live + doubtful).saturating_sub(rows_read);
            (hidden, at_most - hidden)
        });
        let bent = check.unlisted.min(certain);
        let certain = certain - bent + of_pages.0;
        let perhaps = perhaps + bent + of_pages.1;
        if self.shared.facts.quiet.is_cold() {
            (certain, perhaps)
        } else {
            (0, certain + perhaps)
        }
    }

    /// `lost/<table>.csv`: where each row was, whether it is lost for certain, and its key.
    fn write_keys(&self, check: &CrossCheck, key: &[String]) -> Result<String, SalvageError> {
        let name = &self.table.name;
        let file = format!("lost/{}.csv", file_name(&name.shown()));
        let path = self.survey.directory.join(&file);
        let failed = |source| SalvageError::File {
            doing: "writing",
            path: path.clone(),
            source,
        };
        let create = || -> io::Result<io::BufWriter<File>> {
            fs::create_dir_all(self.survey.directory.join("lost"))?;
            let mut out = io::BufWriter::new(File::create(&path)?);
            let head = ["block", "line_pointer", "lost"].into_iter();
            let head = head.chain(key.iter().map(String::as_str));
            out.write_all(csv_line(head.map(Some)).as_bytes())?;
            Ok(out)
        };
        let mut out = create().map_err(failed)?;
        let is_told = self.shared.facts.quiet.is_cold() && check.unlisted == 0;
        for entry in check.missing.entries() {
            let entry = entry?;
            let (block, offset) = (entry.place.0.to_string(), entry.place.1.to_string());
            let lost = if entry.is_certain && is_told {
                "certain"
            } else {
                "perhaps"
            };
            let key = check.key_of(&entry);
            let values = key.iter().flatten().map(Option::as_deref);
            let fields = [Some(block.as_str()), Some(offset.as_str()), Some(lost)];
            let line = csv_line(fields.into_iter().chain(values));
            out.write_all(line.as_bytes()).map_err(failed)?;
        }
        out.into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| file.sync_all())
            .map_err(failed)?;
        Ok(file)
    }
}

/// Blocks of zeros that an index says nothing of any more.
fn emptied(check: &CrossCheck, losses: &mut TableLosses) {
    if check.zeros.is_empty() {
        return;
    }
    losses.because(Cause::silent(
        "blocks of zeros, whose rows were all visible once, and no entries of an index that point to them any more",
    ));
    losses.lost_blocks.extend(runs(&check.zeros));
    losses.lost_blocks.sort_unstable();
    losses.lost_blocks.dedup();
    losses.lost_rows.unknown = true;
}

/// Blocks with rows that nothing leads to, and why blocks of zeros had some, where no index tells of them.
fn left_alone(check: &CrossCheck, table: &TableFacts, losses: &mut TableLosses) {
    if !check.loose.is_empty() {
        losses.because(Cause::silent(
            "blocks with rows that no line pointer leads to, and no index that shows which these are",
        ));
        losses.lost_blocks.extend(runs(&check.loose));
    }
    if let Some(rows) = check.traceless.filter(|_| !check.zeros.is_empty()) {
        losses.because(Cause::silent(format!(
            "{rows} of {} rows that were counted there once have left no trace",
            table.rows
        )));
    }
}

/// Why rows do not have the keys that an index has for their places.
fn others_there(rows: u64, index: &str) -> Cause {
    let (rows, they) = match rows {
        1 => ("1 row does not have the key".to_owned(), "it"),
        rows => (format!("{} rows do not have the keys", Rows(rows)), "them"),
    };
    Cause::silent(format!(
        "{rows} that the index {index} has for {they}: others took that place, or the index is damaged"
    ))
}

/// All blocks that a table has, or had.
fn whole(table: &TableFacts) -> Vec<(u32, u32)> {
    let blocks = table.shape.reached.max(table.pages);
    (blocks > 0).then_some((0, blocks)).into_iter().collect()
}
