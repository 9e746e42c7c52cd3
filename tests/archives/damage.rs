//! Damage to archives: a bit flipped, a file cut short, missing, emptied, there twice, swapped with another, of another dump.
//!
//! Ours must never be called whole, and the file and what it holds must be named. One by `pg_dump` has no checksums of what is in
//! it: there it is counted what we find before a server is asked, what stock `pg_restore` finds, and what gets through, with another
//! content than it was written with.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pgconvoy::archive::{MANIFEST, Manifest, Stored, check_files, read_large_object, read_rows};
use pgconvoy::model::SqlText;

use crate::packed::{self, Packed};
use crate::scene::{anew, assert_ends, copy_of, our_dump, pg_dump, restore, scene, scratch, whole};
use crate::support::moving::report;
use crate::support::server::newest_tools;

/// Places in all, and in the sample.
const PLACES: usize = 1000;
const SAMPLE: usize = 12;

fn places() -> usize {
    if whole() { PLACES } else { SAMPLE }
}

/// The files of an archive, and what is in them.
fn files(archive: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let names: Vec<PathBuf> = if archive.is_file() {
        vec![archive.to_owned()]
    } else {
        let entries = fs::read_dir(archive).expect("a directory");
        entries
            .map(|entry| entry.expect("an entry").path())
            .collect()
    };
    let read = |path: PathBuf| {
        let bytes = fs::read(&path).expect("read");
        (path, bytes)
    };
    names.into_iter().map(read).collect()
}

/// So many places, spread evenly over all bytes.
fn spread(files: &BTreeMap<PathBuf, Vec<u8>>) -> Vec<(&PathBuf, &Vec<u8>, usize)> {
    let total: usize = files.values().map(Vec::len).sum();
    let place = |number: usize| {
        let mut at = total * number / places();
        for (path, bytes) in files {
            if at < bytes.len() {
                return (path, bytes, at);
            }
            at -= bytes.len();
        }
        unreachable!("it is within")
    };
    (0..places()).map(place).collect()
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut flipped = bytes.to_vec();
    flipped[at] ^= 1 << (at % 8);
    flipped
}

/// What `verify --archive` finds: the file, and what is said of it.
fn found_in_ours(archive: &Path) -> Vec<(String, Option<String>, String)> {
    match Manifest::read(archive) {
        Err(error) => vec![(MANIFEST.to_owned(), None, error.to_string())],
        Ok(manifest) => {
            let problems = check_files(archive, &manifest).expect("looked at");
            let problems = problems.into_iter();
            problems
                .map(|one| (one.file, one.object, one.what))
                .collect()
        }
    }
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().expect("a name");
    name.to_str().expect("UTF-8").to_owned()
}

/// Whether a file holds something that has a name: rows or a large object.
fn holds_an_object(name: &str) -> bool {
    let is_list = Path::new(name)
        .extension()
        .is_some_and(|ending| ending == "toc");
    !is_list && name != "toc.dat" && name != MANIFEST
}

#[track_caller]
fn assert_found(archive: &Path, name: &str, what: &str) {
    let found = found_in_ours(archive);
    let named = found.iter().find(|(file, _, _)| file == name);
    let (_, object, said) = named.unwrap_or_else(|| panic!("{what} of {name}: {found:?}"));
    assert!(
        object.is_some() || !holds_an_object(name),
        "{what} of {name}: {said}"
    );
}

#[test]
fn damage_to_ours_is_found_wherever_it_is() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    for compression in ["none", "gzip:1", "lz4", "zstd:1"] {
        let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
        let _ = fs::remove_dir_all(&whole);
        our_dump(&server, "scene", (&["-Z", compression], &whole));
        server.psql("scene", "update app.child set body = body || '!'");
        let other = dir.path().join("other");
        let _ = fs::remove_dir_all(&other);
        our_dump(&server, "scene", (&["-Z", compression], &other));
        copy_of(&whole, &broken);
        assert_eq!(found_in_ours(&broken), []);
        let all = files(&broken);
        for (path, bytes, at) in spread(&all) {
            for (what, damaged) in [
                ("a bit", flipped(bytes, at)),
                ("a cut", bytes[..at].to_vec()),
            ] {
                fs::write(path, damaged).expect("written");
                assert_found(&broken, &name_of(path), &format!("{what} at {at}"));
            }
            fs::write(path, bytes).expect("written");
        }
        let data: Vec<&PathBuf> = all
            .keys()
            .filter(|path| holds_an_object(&name_of(path)))
            .collect();
        for (path, bytes) in &all {
            let name = name_of(path);
            fs::remove_file(path).expect("removed");
            let found = found_in_ours(&broken);
            assert!(
                found.iter().any(|(file, _, _)| *file == name),
                "missing {name}: {found:?}"
            );
            fs::write(path, []).expect("emptied");
            if !bytes.is_empty() {
                assert_found(&broken, &name, "emptied");
            }
            let of_other = fs::read(other.join(&name)).expect("the other has it");
            fs::write(path, &of_other).expect("written");
            if of_other != *bytes && name != MANIFEST {
                assert_found(&broken, &name, "another dump's");
            }
            if name == MANIFEST {
                assert!(
                    !found_in_ours(&broken).is_empty(),
                    "another dump's manifest"
                );
            }
            fs::write(path, bytes).expect("written");
        }
        for (one, two) in data.iter().zip(data.iter().skip(1)) {
            if all[*one] == all[*two] {
                continue;
            }
            fs::write(one, &all[*two]).expect("written");
            fs::write(two, &all[*one]).expect("written");
            for path in [one, two] {
                assert_found(&broken, &name_of(path), "swapped");
            }
            let twice = broken.join(format!("9{}", name_of(one)));
            fs::write(one, &all[*one]).expect("written");
            fs::write(two, &all[*two]).expect("written");
            fs::write(&twice, &all[*one]).expect("written");
            let found = found_in_ours(&broken);
            assert!(
                found.iter().any(|(file, _, _)| *file == name_of(&twice)),
                "{found:?}"
            );
            fs::remove_file(&twice).expect("removed");
        }
        assert_eq!(found_in_ours(&broken), []);
    }
}

/// What a restore reads before a server sees it, as it would be taken; the error is why it would not.
pub fn content(archive: &Path) -> Result<Vec<String>, String> {
    let stored = Stored::open(archive).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    for entry in &stored.toc.entries {
        let statements = [&entry.defn, &entry.drop_stmt, &entry.copy_stmt];
        let statements = statements.map(|sql| sql.as_ref().map(SqlText::to_string));
        let names = (
            &entry.namespace,
            &entry.tag,
            &entry.owner,
            &entry.tablespace,
            &entry.table_am,
        );
        content.push(format!(
            "{} {} {names:?} {statements:?} {:?} {:?}",
            entry.dump_id, entry.desc, entry.section, entry.dependencies
        ));
        let Some(place) = stored.rows(entry.dump_id) else {
            continue;
        };
        let broken = |what: String| place.broken(&what).to_string();
        let mut bytes = Vec::new();
        let read = place
            .open()
            .and_then(|mut from| from.read_to_end(&mut bytes));
        read.map_err(|error| broken(error.to_string()))?;
        let rows =
            read_rows(&mut bytes.as_slice(), false).map_err(|error| broken(error.to_string()))?;
        let rows = rows.map_err(broken)?;
        // The server refuses rows with another number of columns.
        let columns = entry.copied_columns().map_or(0, |columns| columns.len());
        let lines = bytes
            .split(|&byte| byte == b'\n')
            .take(usize::try_from(rows.digest.rows.0).unwrap_or(0));
        let is_short = |line: &[u8]| line.split(|&byte| byte == b'\t').count() != columns;
        if columns > 0 && lines.into_iter().any(is_short) {
            return Err(broken("a row has another number of columns".to_owned()));
        }
        content.push(format!("{rows:?}"));
    }
    for (oid, _) in stored.objects() {
        let place = stored.object(oid).expect("it is listed");
        let read = place
            .open()
            .and_then(|mut from| read_large_object(&mut from));
        let read = read.map_err(|error| place.broken(&error).to_string())?;
        content.push(format!("{oid}: {read:?}"));
    }
    Ok(content)
}

/// Of two with one number, only one would be restored.
#[test]
fn a_large_object_that_is_there_twice_is_refused() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let archive = dir.path().join("twice");
    pg_dump(&server, "scene", (&["-Fc", "-Z0"], &archive));
    let mut bytes = fs::read(&archive).expect("read");
    let number = |oid: u32| [&[0], oid.to_le_bytes().as_slice()].concat();
    let at = bytes.windows(5).rposition(|bytes| *bytes == number(70002));
    let at = at.expect("it begins so");
    bytes[at..at + 5].copy_from_slice(&number(70001));
    fs::write(&archive, bytes).expect("written");
    let refused = Stored::open(&archive)
        .map(drop)
        .expect_err("it is there twice");
    let said = refused.to_string();
    assert!(
        said.contains("large object 70001 is in two blocks"),
        "{said}"
    );
}

/// The same by stock `pg_restore`, as a script. It may never end: that is not what it was written with, either.
fn stock_content(archive: &Path) -> Result<Vec<String>, String> {
    let script = archive.with_extension("script");
    let mut running = Command::new(newest_tools().join("pg_restore"))
        .args(["-f", "-"])
        .arg(archive)
        .stdin(Stdio::null())
        .stdout(File::create(&script).expect("made"))
        .stderr(Stdio::null())
        .spawn()
        .expect("pg_restore starts");
    let began = Instant::now();
    let status = loop {
        if let Some(status) = running.try_wait().expect("it can be waited for") {
            break status;
        }
        if began.elapsed() > patience() {
            running.kill().expect("it can be killed");
            break running.wait().expect("it can be waited for");
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    if status.code().is_none() {
        return Err(UNENDED.to_owned());
    }
    if !status.success() {
        return Err("it says so".to_owned());
    }
    let bytes = fs::read(&script).expect("read");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_told = |line: &&str| {
        !["--", r"\restrict ", r"\unrestrict "]
            .iter()
            .any(|begins| line.starts_with(begins))
    };
    Ok(text.lines().filter(is_told).map(str::to_owned).collect())
}

/// How long `pg_restore` may take for a small archive.
fn patience() -> Duration {
    Duration::from_millis(if whole() { 1000 } else { 300 })
}

const UNENDED: &str = "it does not end, or crashes";

/// What became of damages.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Tally {
    found: u32,
    harmless: u32,
    through: u32,
    /// Of those found: by not coming to an end, or by a crash.
    unended: u32,
}

impl Tally {
    /// Counts one; whether it got through.
    fn count(&mut self, whole: &[String], read: Result<&Vec<String>, &String>) -> bool {
        match read {
            Err(why) => {
                self.found += 1;
                self.unended += u32::from(why == UNENDED);
            }
            Ok(read) if *read == whole => self.harmless += 1,
            Ok(_) => {
                self.through += 1;
                return true;
            }
        }
        false
    }
}

/// A stock archive that is damaged.
struct Stock {
    name: &'static str,
    path: PathBuf,
    /// As we read it, and as `pg_restore` does, if it can.
    whole: (Vec<String>, Option<Vec<String>>),
    lines: String,
}

impl Stock {
    /// A bit at each place, or the file cut there; the damages that got through.
    fn damage(&mut self, what: &str, change: fn(&[u8], usize) -> Vec<u8>) -> Vec<(PathBuf, usize)> {
        let all = files(&self.path);
        let (mut ours, mut stock) = (Tally::default(), Tally::default());
        let mut through = Vec::new();
        for (path, bytes, at) in spread(&all) {
            fs::write(path, change(bytes, at)).expect("written");
            let read = content(&self.path);
            if ours.count(&self.whole.0, read.as_ref()) {
                through.push((path.clone(), at));
            }
            if let Some(whole) = &self.whole.1 {
                stock.count(whole, stock_content(&self.path).as_ref());
            }
            fs::write(path, bytes).expect("written");
        }
        let _infallible = writeln!(
            self.lines,
            "{:<16} {what:<8} {:>6} {:>8} {:>8} {:>10} {:>8} {:>8} {:>8}",
            self.name,
            ours.found,
            ours.harmless,
            ours.through,
            stock.found,
            stock.harmless,
            stock.through,
            stock.unended
        );
        through
    }
}

/// Formats that every `pg_dump` knows, and those that only one that was built for it does: these are made out of the first.
const FORMATS: [(&str, &[&str]); 9] = [
    ("-Fd none", &["-Fd", "-Z", "none"]),
    ("-Fd gzip", &["-Fd", "-Z", "gzip:1"]),
    ("-Fd lz4", &["-Fd", "-Z", "lz4"]),
    ("-Fd zstd", &["-Fd", "-Z", "zstd:1"]),
    ("-Fc none", &["-Fc", "-Z", "none"]),
    ("-Fc gzip", &["-Fc", "-Z", "gzip:1"]),
    ("-Fc lz4", &["-Fc", "-Z", "lz4"]),
    ("-Fc zstd", &["-Fc", "-Z", "zstd:1"]),
    ("-Ft", &["-Ft"]),
];

/// As a `pg_dump` would have written it that was built with the compression.
fn packed_like(name: &str, dir: &Path, to: &Path) {
    let packed = if name.ends_with("lz4") {
        Packed::Lz4
    } else {
        Packed::Zstd
    };
    if name.starts_with("-Fd") {
        packed::directory(&dir.join("-Fd-none"), packed, to);
    } else {
        packed::custom(&dir.join("-Fc-none"), packed, to);
    }
}

/// What can be seen of a cut is seen; a bit in a value that nothing watches over is not, and the last sentence says that there is no
/// manifest.
#[test]
fn damage_to_stock_archives_is_found_where_it_can_be() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let mut lines = format!(
        "{:<16} {:<8} {:>6} {:>8} {:>8} {:>10} {:>8} {:>8} {:>8}\n",
        "archive",
        "damage",
        "found",
        "harmless",
        "through",
        "pg_restore",
        "harmless",
        "through",
        "unended"
    );
    for (name, format) in FORMATS {
        let path = dir.path().join(name.replace(' ', "-"));
        let is_known = pg_dump(&server, "scene", (format, &path));
        if !is_known {
            packed_like(name, dir.path(), &path);
        }
        let by_stock = is_known.then(|| stock_content(&path).expect("whole"));
        let whole_content = (content(&path).expect("whole"), by_stock);
        let mut stock = Stock {
            name,
            path,
            whole: whole_content,
            lines: String::new(),
        };
        let cut = stock.damage("cut", |bytes, at| bytes[..at].to_vec());
        let blind = |path: &PathBuf| name == "-Fd none" && name_of(path).starts_with("blob_");
        let seen: Vec<_> = cut.iter().filter(|(path, _)| !blind(path)).collect();
        assert!(seen.is_empty(), "{name}, cut short, gets through: {seen:?}");
        let bits = stock.damage("bit", flipped);
        let in_data: Vec<_> = bits
            .iter()
            .filter(|(path, _)| holds_an_object(&name_of(path)))
            .collect();
        if name == "-Fd gzip" {
            assert!(in_data.is_empty(), "gzip has a checksum: {in_data:?}");
        }
        stock.damage("longer", |bytes, at| [bytes, &bytes[at..]].concat());
        // What got through is restored: it may be proven to be what the archive holds, and no more than that.
        let restored = match (whole(), name) {
            (true, _) => 5,
            (false, "-Fd none") => 1,
            _ => 0,
        };
        let step = (in_data.len() / restored.max(1)).max(1);
        for (path, at) in in_data.iter().step_by(step).take(restored) {
            let bytes = fs::read(path).expect("read");
            fs::write(path, flipped(&bytes, *at)).expect("written");
            let to = anew(&server, "copy");
            let run = restore(&stock.path, &to, &[]);
            fs::write(path, bytes).expect("written");
            if run.status == 0 {
                let report = report(&run);
                let sentence = report["sentence"].as_str().unwrap_or_default();
                assert!(sentence.contains("no manifest"), "{name} at {at}: {run}");
            }
        }
        lines.push_str(&stock.lines);
    }
    println!("of {} places each:\n{lines}", places());
}

/// Files of a directory that are missing, emptied, there twice, swapped, or another dump's.
#[test]
fn files_of_a_stock_directory_that_are_not_its_own_are_found() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert!(pg_dump(&server, "scene", (&["-Fd", "-Z", "none"], &whole)));
    copy_of(&whole, &broken);
    let stored = Stored::open(&whole).expect("whole");
    let data = stored
        .toc
        .entries
        .iter()
        .filter(|entry| entry.is_table_data());
    let data: BTreeMap<String, String> = data
        .map(|entry| {
            (
                entry.tag.to_string_lossy(),
                entry.data_file().expect("a file").to_owned(),
            )
        })
        .collect();
    let all = files(&broken);
    let of = |table: &str| broken.join(&data[table]);
    let to = server.conninfo("copy");
    let damaged = |what: &str, words: &[&str], statuses: &[i32], damage: &dyn Fn()| {
        damage();
        anew(&server, "copy");
        let run = restore(&broken, &to, &[]);
        assert!(statuses.contains(&run.status), "{what}: {run}");
        assert_ends(&run, run.status, words);
        copy_of(&whole, &broken);
    };
    for path in all.keys() {
        let name = name_of(path);
        let is_named = stored
            .toc
            .entries
            .iter()
            .any(|entry| entry.data_file() == Some(name.as_str()));
        if is_named || name.starts_with("blob_") {
            damaged("missing", &[&name, "is missing"], &[4], &|| {
                fs::remove_file(path).expect("removed");
            });
        }
    }
    let tables: BTreeSet<&str> = ["parent", "child", "parts_a", "empty"].into();
    for table in tables {
        let name = data[table].clone();
        damaged("emptied", &[&name, table], &[1], &|| {
            fs::write(of(table), []).expect("emptied");
        });
    }
    damaged("twice", &["in no table of contents"], &[4], &|| {
        fs::copy(of("child"), broken.join("9999.dat"))
            .map(drop)
            .expect("copied");
    });
    damaged("twice, compressed", &["as well"], &[4], &|| {
        let gz = format!("{}.gz", data["child"]);
        fs::copy(of("child"), broken.join(gz))
            .map(drop)
            .expect("copied");
    });
    damaged("swapped", &["child"], &[1], &|| {
        fs::write(of("child"), &all[&of("parts_a")]).expect("written");
        fs::write(of("parts_a"), &all[&of("child")]).expect("written");
    });
    damaged("behind the end", &[&data["child"], "child"], &[1], &|| {
        let doubled = [&all[&of("child")][..], &all[&of("child")][..]].concat();
        fs::write(of("child"), doubled).expect("written");
    });
    // Nobody can tell: the same table of another moment, whole.
    server.psql("scene", "update app.child set body = 'of another day'");
    let other = dir.path().join("other");
    assert!(pg_dump(&server, "scene", (&["-Fd", "-Z", "none"], &other)));
    damaged("another dump's", &["no manifest"], &[0], &|| {
        fs::copy(other.join(&data["child"]), of("child"))
            .map(drop)
            .expect("copied");
    });
}

/// A list of large objects comes to an end, whoever wrote it: it has those that the table of contents has, and a file for each.
#[test]
fn a_list_of_more_large_objects_than_there_are_is_refused() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let (whole, broken) = (dir.path().join("whole"), dir.path().join("broken"));
    assert!(pg_dump(&server, "scene", (&["-Fd", "-Z", "none"], &whole)));
    let all = files(&whole);
    let is_list = |path: &&PathBuf| name_of(path).starts_with("blobs");
    let list = name_of(all.keys().find(is_list).expect("a list"));
    let to = anew(&server, "copy");
    // As long as anybody likes, of one file; and with a file for each.
    let endless = (1..=300_000).map(|oid| format!("{oid} blob_70001.dat\n"));
    let named = (90_001..90_004).map(|oid| format!("{oid} blob_{oid}.dat\n"));
    for (more, words) in [
        (endless.collect::<String>(), "it is named twice"),
        (named.collect(), "which the table of contents does not have"),
    ] {
        copy_of(&whole, &broken);
        let text = fs::read_to_string(broken.join(&list)).expect("text");
        fs::write(broken.join(&list), text + &more).expect("written");
        for oid in 90_001..90_004 {
            fs::write(broken.join(format!("blob_{oid}.dat")), "x").expect("written");
        }
        assert_ends(&restore(&broken, &to, &[]), 4, &[words]);
    }
}
