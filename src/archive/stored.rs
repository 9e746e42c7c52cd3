//! A finished archive, opened for reading: where the rows of each table and the content of each large object are, whoever
//! wrote it.
//!
//! ```text
//!   pgconvoy dump, pg_dump -Fd   a directory: a file for each
//!   pg_dump -Fc                  one file: a block for each (blocks)
//!   pg_dump -Ft                  one file: a member for each (tar)
//! ```
//!
//! Opening looks for everything that the table of contents names, so that what is missing is known before anything is done
//! with the rest. What is in the files is known when they have been read.

mod custom;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use super::blocks::{Packing, unpacked};
use super::check::is_of_the_road;
use super::prefix::MARK;
use super::store::{self, Store};
use super::tar::{self, Member};
use super::{Algorithm, ArchiveError, Decoder, MANIFEST, TOC};
use crate::model::{Bytes, DumpId, Oid};
use crate::toc::{DataPlace, Entry, OffsetState, Toc};

/// How much of a file is read at once.
const BUFFER: usize = 128 << 10;

/// How much of a file tells what it is.
const SNIFF: u64 = 512;

/// A line of a list of large objects is a number and the name of a file: longer than this it is none.
const LONGEST_LINE: u64 = 512;

/// An archive.
pub struct Stored {
    /// Its table of contents.
    pub toc: Toc,
    rows: HashMap<DumpId, Place>,
    objects: Objects,
}

/// Where each large object is, and the `BLOBS` entry that it is listed by.
type Objects = BTreeMap<Oid, (DumpId, Place)>;

/// Where something is.
#[derive(Debug, Clone)]
pub struct Place {
    path: PathBuf,
    /// For people: `3541.dat.gz`, or `the block of entry 3541`.
    name: String,
    form: Form,
    /// How long it is as it is stored; of a large object in a custom file that is not known.
    stored: Option<Bytes>,
}

#[derive(Debug, Clone)]
enum Form {
    File(Algorithm),
    Object(Algorithm, store::Objects),
    Member(Member),
    Chunks {
        int_size: u8,
        at: u64,
        /// Where they end, if that is known before they are read.
        end: Option<u64>,
        packing: Packing,
    },
}

impl Stored {
    /// Opens that of a name: a directory, a custom file or a tar file, or objects that are the files of a directory.
    pub fn open(name: &Path) -> Result<Self, ArchiveError> {
        Self::of(&Store::at(name)?)
    }

    /// Opens one.
    pub fn of(archive: &Store) -> Result<Self, ArchiveError> {
        let path = match archive {
            Store::Local(path) if !path.is_dir() => path,
            _ => return in_files(archive),
        };
        let there = fs::metadata(path).map_err(ArchiveError::file("opening", path))?;
        if !there.is_file() {
            return Err(ArchiveError::NotAFile {
                path: path.to_owned(),
            });
        }
        let begins = || -> io::Result<Vec<u8>> {
            let mut begins = Vec::new();
            File::open(path)?.take(SNIFF).read_to_end(&mut begins)?;
            Ok(begins)
        };
        let stored = if tar::is_tar(&begins().map_err(ArchiveError::file("opening", path))?) {
            tar_file(path)?
        } else {
            custom::open(path)?
        };
        stored.with_all_objects(path)
    }

    /// An error if a large object of the table of contents is in none of the lists: without a manifest nothing else tells of it.
    fn with_all_objects(self, path: &Path) -> Result<Self, ArchiveError> {
        match self.lost_objects() {
            None => Ok(self),
            Some(what) => Err(ArchiveError::Data {
                path: path.to_owned(),
                what,
            }),
        }
    }

    fn lost_objects(&self) -> Option<String> {
        // Definitions alone have no lists.
        let mut entries = self.toc.entries.iter();
        if !entries.any(|entry| entry.is("BLOBS") && has_data(entry)) {
            return None;
        }
        let named = named_objects(&self.toc)?;
        let mut lost = named.iter().filter(|oid| !self.objects.contains_key(*oid));
        let first = lost.next()?;
        let more = match lost.count() {
            0 => String::new(),
            more => format!(" (and of {more} more)"),
        };
        Some(format!(
            "the content of large object {first}{more} is missing: the table of contents has it, and no list of large objects"
        ))
    }

    /// Where the rows of a `TABLE DATA` entry are.
    pub fn rows(&self, entry: DumpId) -> Option<&Place> {
        self.rows.get(&entry)
    }

    /// Where the content of a large object is.
    pub fn object(&self, oid: Oid) -> Option<&Place> {
        self.objects.get(&oid).map(|(_, place)| place)
    }

    /// All large objects, each with the `BLOBS` entry that it is listed by.
    pub fn objects(&self) -> impl Iterator<Item = (Oid, DumpId)> {
        self.objects.iter().map(|(oid, (list, _))| (*oid, *list))
    }

    /// Whether an object's file would read as well if it had been cut off: there is no compression, which has an end, or there is
    /// nothing in the file, as `pg_dump` may write for an empty object. Rows have a last line, and blocks and members a length.
    pub fn has_open_end(&self, oid: Oid) -> bool {
        let Some(place) = self.object(oid) else {
            return false;
        };
        match place.form {
            Form::File(algorithm) | Form::Object(algorithm, _) => {
                algorithm == Algorithm::None || place.stored == Some(Bytes(0))
            }
            Form::Member(_) | Form::Chunks { .. } => false,
        }
    }
}

/// Something that is asked for, and of which nothing has been read.
pub struct Asked<'a> {
    place: &'a Place,
    /// The object, on its way from a store.
    object: Option<Box<dyn Read + Send>>,
}

impl Asked<'_> {
    /// Reads it, decompressed; from here on it is waited for.
    pub fn read(self) -> io::Result<Box<dyn BufRead + Send>> {
        match (&self.place.form, self.object) {
            (Form::Object(algorithm, _), Some(object)) => {
                let object = BufReader::with_capacity(BUFFER, object);
                Ok(Box::new(Decoder::buffered(*algorithm, object)?))
            }
            _ => self.place.open_file(),
        }
    }
}

impl Place {
    /// Reads what is there, decompressed.
    pub fn open(&self) -> io::Result<Box<dyn BufRead + Send>> {
        self.ask().read()
    }

    /// Asks for it, so that it is on its way when it is read.
    pub fn ask(&self) -> Asked<'_> {
        let object = match &self.form {
            Form::Object(_, objects) => {
                let length = self.stored.map_or(0, |stored| stored.0);
                Some(Box::new(objects.read(&self.name, 0..length)) as Box<dyn Read + Send>)
            }
            _ => None,
        };
        Asked {
            place: self,
            object,
        }
    }

    fn open_file(&self) -> io::Result<Box<dyn BufRead + Send>> {
        match &self.form {
            Form::File(algorithm) | Form::Object(algorithm, _) => {
                let file = BufReader::with_capacity(BUFFER, File::open(&self.path)?);
                Ok(Box::new(Decoder::buffered(*algorithm, file)?))
            }
            Form::Member(member) => {
                let mut file = File::open(&self.path)?;
                file.seek(SeekFrom::Start(member.offset))?;
                Ok(Box::new(BufReader::with_capacity(
                    BUFFER,
                    file.take(member.bytes),
                )))
            }
            Form::Chunks {
                int_size,
                at,
                end,
                packing,
            } => unpacked(&self.path, (*int_size, *at, *end), *packing),
        }
    }

    /// What it is called, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How long it is as it is stored, where that is known.
    pub fn stored(&self) -> Option<Bytes> {
        self.stored
    }

    /// An error that is about it.
    pub fn broken(&self, what: &(impl fmt::Display + ?Sized)) -> ArchiveError {
        ArchiveError::Data {
            path: self.path.clone(),
            what: match &self.form {
                Form::File(_) | Form::Object(..) => what.to_string(),
                _ => format!("{}: {what}", self.name),
            },
        }
    }

    /// It could not be read: that is about it, unless it is the road to it that is broken.
    fn unread(&self, error: io::Error) -> ArchiveError {
        if is_of_the_road(&error) {
            return ArchiveError::file("reading", &self.path)(error);
        }
        self.broken(&error)
    }
}

/// What files there are, by name: in a directory, in a store or in a tar file.
trait Files {
    /// Where the file is that the table of contents calls so: it may have a compression's ending besides.
    fn find(&self, name: &str) -> Result<Option<Place>, ArchiveError>;
    /// What the list of an entry's large objects is called, if it is not what the table of contents says.
    fn list_of(&self, _entry: &Entry) -> Option<String> {
        None
    }
    fn path(&self) -> &Path;
}

struct InStore<'a> {
    store: &'a Store,
    lengths: BTreeMap<String, u64>,
}

impl Files for InStore<'_> {
    fn find(&self, name: &str) -> Result<Option<Place>, ArchiveError> {
        let named = |algorithm: Algorithm| format!("{name}{}", algorithm.suffix());
        let mut found = Algorithm::ALL
            .into_iter()
            .filter_map(|algorithm| Some((algorithm, *self.lengths.get(&named(algorithm))?)));
        let Some((algorithm, length)) = found.next() else {
            return Ok(None);
        };
        let path = self.store.path_of(&named(algorithm));
        if let Some((other, _)) = found.next() {
            let what = format!("{} exists as well: which of them is meant?", named(other));
            return Err(ArchiveError::Data { path, what });
        }
        Ok(Some(Place {
            path,
            name: named(algorithm),
            form: match self.store {
                Store::Local(_) => Form::File(algorithm),
                Store::Objects(objects) => Form::Object(algorithm, objects.clone()),
            },
            stored: Some(Bytes(length)),
        }))
    }

    fn path(&self) -> &Path {
        self.store.shown()
    }
}

struct InTar<'a> {
    path: &'a Path,
    members: HashMap<String, Member>,
}

impl Files for InTar<'_> {
    fn find(&self, name: &str) -> Result<Option<Place>, ArchiveError> {
        Ok(self.members.get(name).map(|member| Place {
            path: self.path.to_owned(),
            name: name.to_owned(),
            form: Form::Member(*member),
            stored: Some(Bytes(member.bytes)),
        }))
    }

    /// As `_StartLOs` in `pg_backup_tar.c` has it: since 17 there is a list for each entry.
    fn list_of(&self, entry: &Entry) -> Option<String> {
        let own = format!("blobs_{}.toc", entry.dump_id);
        let names = [own, "blobs.toc".to_owned()];
        names
            .into_iter()
            .find(|name| self.members.contains_key(name))
    }

    fn path(&self) -> &Path {
        self.path
    }
}

fn in_files(store: &Store) -> Result<Stored, ArchiveError> {
    let toc = store.toc()?;
    let lengths = store.files();
    let lengths = lengths.map_err(ArchiveError::file("looking into", store.shown()))?;
    let files = InStore { store, lengths };
    let (stored, used) = of_files(&files, toc)?;
    let surplus = files.lengths.keys().find(|name| {
        let known = [TOC, MANIFEST, MARK].contains(&name.as_str()) || used.contains(*name);
        !known && is_like_data(name)
    });
    match surplus {
        // Ours is held to its manifest, and what could not be read for it was named.
        None if files.lengths.contains_key(MANIFEST) => Ok(stored),
        None => stored.with_all_objects(store.shown()),
        Some(name) => Err(ArchiveError::Data {
            path: store.path_of(name),
            what: "it is in no table of contents: is it from another archive?".to_owned(),
        }),
    }
}

/// `3541.dat.gz`, `blob_16411.dat`, `blobs_3542.toc`.
fn is_like_data(name: &str) -> bool {
    let bare = Algorithm::ALL
        .iter()
        .filter(|algorithm| !algorithm.suffix().is_empty())
        .find_map(|algorithm| name.strip_suffix(algorithm.suffix()))
        .unwrap_or(name);
    let ending = Path::new(bare)
        .extension()
        .and_then(|ending| ending.to_str());
    matches!(ending, Some("dat" | "toc"))
}

fn tar_file(path: &Path) -> Result<Stored, ArchiveError> {
    let members = tar::members(path).map_err(ArchiveError::content(path))?;
    let files = InTar { path, members };
    let toc = files.find(TOC)?.ok_or_else(|| ArchiveError::Data {
        path: path.to_owned(),
        what: format!("it has no {TOC}, so it was not made by pg_dump"),
    })?;
    let read = toc.open().map_err(ArchiveError::file("reading", path))?;
    let (stored, used) = of_files(&files, Toc::read(read)?)?;
    // Data that is in no table of contents is another archive's, or there twice.
    let mut names = files.members.keys();
    let surplus = names.find(|name| {
        let known = name.as_str() == TOC || used.contains(*name);
        !known && is_like_data(name)
    });
    match surplus {
        None => Ok(stored),
        Some(name) => Err(ArchiveError::Data {
            path: path.join(name),
            what: "it is in no table of contents: is it from another archive?".to_owned(),
        }),
    }
}

/// Everything that the table of contents names; and the names of the files.
fn of_files(files: &dyn Files, toc: Toc) -> Result<(Stored, BTreeSet<String>), ArchiveError> {
    let mut used = BTreeSet::new();
    let mut find = |name: &str, of: String| {
        let place = files.find(name)?.ok_or_else(|| ArchiveError::Data {
            path: files.path().join(name),
            what: format!("it is missing, and with it {of}"),
        })?;
        if !used.insert(place.name.clone()) {
            return Err(place.broken(&format!("it is named twice, the second time for {of}")));
        }
        Ok::<Place, ArchiveError>(place)
    };
    let named = named_objects(&toc);
    let mut rows = HashMap::new();
    let mut objects = BTreeMap::new();
    for entry in toc.entries.iter().filter(|entry| has_data(entry)) {
        let Some(name) = entry.data_file() else {
            continue;
        };
        let list = entry.is("BLOBS").then(|| files.list_of(entry)).flatten();
        let name = list.as_deref().unwrap_or(name);
        let place = find(name, format!("the data of {entry}"))?;
        if !entry.is("BLOBS") {
            rows.insert(entry.dump_id, place);
            continue;
        }
        // Each is looked for as soon as it is read, and each has a file of its own: no list is longer than there are files.
        let mut list = place.open().map_err(|error| place.unread(error))?;
        while let Some((oid, name)) = next_listed(&place, &mut list)? {
            if objects.contains_key(&oid) {
                return Err(place.broken(&format!("large object {oid} is in two lists")));
            }
            let file = find(&name, format!("the content of large object {oid}"))?;
            if named.as_ref().is_some_and(|named| !named.contains(&oid)) {
                return Err(place.broken(&format!(
                    "it lists large object {oid}, which the table of contents does not have"
                )));
            }
            objects.insert(oid, (entry.dump_id, file));
        }
    }
    let stored = Stored { toc, rows, objects };
    Ok((stored, used))
}

/// Which large objects there are by the table of contents; `None` if that has none of them, as `pg_dump --section=data` before 15
/// leaves them out.
fn named_objects(toc: &Toc) -> Option<BTreeSet<Oid>> {
    let mut named: Option<BTreeSet<Oid>> = None;
    for entry in &toc.entries {
        let text = match entry.desc.as_str() {
            "BLOB" => String::from_utf8_lossy(&entry.tag),
            // Since 17: one is about many, a number a line.
            "BLOB METADATA" => String::from_utf8_lossy(entry.defn_bytes()),
            _ => continue,
        };
        let oids = text.split_ascii_whitespace();
        let oids = oids.filter_map(|word| word.parse().ok().map(Oid));
        named.get_or_insert_with(BTreeSet::new).extend(oids);
    }
    named
}

/// The next line of a list of large objects: `16411 blob_16411.dat`.
fn next_listed(
    list: &Place,
    from: &mut impl BufRead,
) -> Result<Option<(Oid, String)>, ArchiveError> {
    let mut line = Vec::new();
    let read = from
        .by_ref()
        .take(LONGEST_LINE)
        .read_until(b'\n', &mut line);
    read.map_err(|error| list.unread(error))?;
    if line.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8_lossy(&line);
    let Some(text) = text.strip_suffix('\n') else {
        let is_cut = (line.len() as u64) < LONGEST_LINE;
        return Err(list.broken(if is_cut {
            "it ends in the middle of a line"
        } else {
            "it has a line that does not end, as no list of large objects has"
        }));
    };
    let listed = || {
        let (oid, name) = text.trim_end_matches('\r').split_once(' ')?;
        // A name leads to a file of this archive and nowhere else.
        let is_plain = !name.is_empty() && !name.contains('/');
        is_plain.then_some((Oid(oid.parse().ok()?), name.to_owned()))
    };
    let listed = listed().map(Some);
    listed.ok_or_else(|| list.broken(&format!("this is no line of it: {text}")))
}

fn has_data(entry: &Entry) -> bool {
    match &entry.data {
        DataPlace::File(name) => !name.is_empty(),
        DataPlace::Offset { state, .. } => *state != OffsetState::NoData,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::SqlText;
    use crate::toc::ArchiveFormat;
    use crate::toc::testing::{entry, toc};

    #[test]
    fn what_a_cut_would_not_show_in_is_known() {
        let dir = tempfile::tempdir().expect("a directory");
        let list = Entry {
            data: DataPlace::File("blobs_7.toc".into()),
            ..entry("BLOBS")
        };
        let bytes = toc(vec![list]).to_bytes().expect("writable");
        let files: [(&str, &[u8]); 6] = [
            (TOC, &bytes),
            (
                "blobs_7.toc",
                b"1 blob_1.dat\n2 blob_2.dat\n3 blob_3.dat\n4 blob_4.dat\n",
            ),
            ("blob_1.dat", b"x"),
            ("blob_2.dat.gz", b"x"),
            ("blob_3.dat.lz4", b"x"),
            ("blob_4.dat.lz4", b""),
        ];
        for (name, content) in files {
            fs::write(dir.path().join(name), content).expect("written");
        }
        let stored = Stored::open(dir.path()).expect("all is there");
        let open = |oid| stored.has_open_end(Oid(oid));
        assert_eq!([1, 2, 3, 4, 5].map(open), [true, false, false, true, false]);
        assert!(stored.objects().all(|(_, list)| list == DumpId(7)));
    }

    /// Opens a directory with up to two large objects, this list of them, and a table of contents that has these.
    fn listing(oids: Option<&str>, list: &str) -> Result<usize, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let blobs = Entry {
            data: DataPlace::File("blobs_7.toc".into()),
            ..entry("BLOBS")
        };
        let metadata = oids.map(|oids| Entry {
            dump_id: DumpId(6),
            defn: Some(SqlText::from(oids)),
            data: DataPlace::File("".into()),
            ..entry("BLOB METADATA")
        });
        let entries = metadata.into_iter().chain([blobs]).collect();
        let bytes = toc(entries).to_bytes().expect("writable");
        let objects = ["blob_1.dat", "blob_2.dat"].into_iter();
        let objects = objects.filter(|name| list.contains(name));
        let objects = objects.map(|name| (name, b"x".as_slice()));
        let files = [(TOC, bytes.as_slice()), ("blobs_7.toc", list.as_bytes())];
        for (name, content) in files.into_iter().chain(objects) {
            fs::write(dir.path().join(name), content).expect("written");
        }
        let stored = Stored::open(dir.path()).map_err(|error| error.to_string())?;
        Ok(stored.objects().count())
    }

    /// The same of a custom file with these large objects, empty ones, and a table of contents that has 1 and 2.
    fn in_a_block(objects: &[u8]) -> Result<usize, String> {
        let placed = |state| DataPlace::Offset { state, position: 0 };
        let metadata = Entry {
            dump_id: DumpId(6),
            defn: Some(SqlText::from("1\n2\n")),
            data: placed(OffsetState::NoData),
            ..entry("BLOB METADATA")
        };
        let blobs = Entry {
            data: placed(OffsetState::NotSet),
            ..entry("BLOBS")
        };
        let mut contents = toc(vec![metadata, blobs]);
        contents.header.format = ArchiveFormat::Custom;
        let mut bytes = contents.to_bytes().expect("writable");
        let number = |value: u8| [0, value, 0, 0, 0];
        bytes.push(3);
        bytes.extend(number(7));
        for oid in objects {
            bytes.extend([number(*oid), number(0)].concat());
        }
        bytes.extend(number(0));
        let file = tempfile::NamedTempFile::new().expect("a file");
        fs::write(file.path(), bytes).expect("written");
        let stored = Stored::open(file.path()).map_err(|error| error.to_string())?;
        Ok(stored.objects().count())
    }

    #[test]
    fn a_list_has_all_large_objects_that_there_are() {
        let both = Some("1\n2\n");
        let lost = "large object 2 is missing";
        let refused = listing(both, "1 blob_1.dat\n").expect_err("one is not in it");
        assert!(refused.contains(lost), "{refused}");
        let refused = listing(both, "").expect_err("none is in it");
        assert!(refused.contains("1 (and of 1 more) is"), "{refused}");
        assert_eq!(listing(None, "1 blob_1.dat\n"), Ok(1), "who knows");
        assert_eq!(in_a_block(&[1, 2]), Ok(2));
        let refused = in_a_block(&[1]).expect_err("one is not in it");
        assert!(refused.contains(lost), "{refused}");
    }

    #[test]
    fn a_list_has_no_more_large_objects_than_there_are() {
        let both = "1 blob_1.dat\n2 blob_2.dat\n";
        for oids in [None, Some("1\n2\n")] {
            assert_eq!(listing(oids, both), Ok(2));
        }
        for (oids, list, said) in [
            (Some("1\n"), both, "object 2, which the table of contents"),
            (None, "1 blob_1.dat\n1 blob_2.dat\n", "1 is in two lists"),
            (None, "1 blob_1.dat\n2 blob_1.dat\n", "it is named twice"),
            (None, "1 blob_1.dat\n2 blob_2.dat", "the middle of a line"),
            (None, "1 blob_1.dat\nx blob_2.dat\n", "of it: x blob_2.dat"),
            (None, "1 ../1/blob_1.dat\n", "no line of it"),
            // What follows is not read any more.
            (None, "3 blob_3.dat\nno line\n", "blob_3.dat: it is missing"),
        ] {
            let refused = listing(oids, list).expect_err(said);
            assert!(refused.contains(said), "{refused}");
        }
    }

    fn list() -> Place {
        Place {
            path: "blobs_7.toc.gz".into(),
            name: "blobs_7.toc.gz".to_owned(),
            form: Form::File(Algorithm::Gzip),
            stored: None,
        }
    }

    struct Refused(io::ErrorKind);

    impl Read for Refused {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(self.0.into())
        }
    }

    #[test]
    fn a_list_that_may_not_be_read_is_not_damaged_by_that() {
        for (kind, is_damaged) in [
            (io::ErrorKind::PermissionDenied, false),
            (io::ErrorKind::InvalidData, true),
        ] {
            let mut refused = BufReader::new(Refused(kind));
            let error = next_listed(&list(), &mut refused).expect_err("nothing is read");
            let is_of_data = matches!(error, ArchiveError::Data { .. });
            assert_eq!(is_of_data, is_damaged, "{error}");
        }
    }

    #[test]
    fn a_line_that_does_not_end_is_not_waited_for() {
        let mut endless = BufReader::new(io::repeat(b'1'));
        let refused = next_listed(&list(), &mut endless).expect_err("no line");
        let said = refused.to_string();
        assert!(said.contains("a line that does not end"), "{said}");
    }
}
