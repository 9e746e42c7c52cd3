//! The objects of one archive: all of which the names begin with its own.
//!
//! There are no directories there, and nothing can be renamed: an object has its name as soon as it is complete, and not before.
//! Which of them make up an archive is what the manifest says, and that is written last.

use std::collections::BTreeMap;
use std::fmt;
use std::future::ready;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::path::{Path as ObjectPath, PathPart};
use object_store::{Error, GetOptions, ObjectMeta, ObjectStoreExt as _, PutMode, PutOptions};
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::StoreError;
use super::client::{Client, connect};
use super::download::{Download, Wanted};
use super::name::{Address, Meaning, meaning, refused};
use super::runtime::{handle, wait};
use crate::archive::ArchiveError;

/// Parts of all uploads that are on their way at once, each in memory, as long as none is larger than [`SHARE`].
const PARTS_AT_ONCE: usize = 8;
/// A larger part takes the place of several, and one that is larger than all of these shares goes alone: what is on its way has to
/// arrive in time over an ordinary line, too.
const SHARE: usize = 16 << 20;

/// The objects of an archive. A clone is the same.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    client: Arc<dyn Client>,
    runtime: Handle,
    root: String,
    shown: PathBuf,
    prefix: ObjectPath,
    permits: Arc<Semaphore>,
    /// Nobody waits for anything any more.
    stop: watch::Sender<bool>,
}

impl fmt::Debug for Objects {
    /// Without credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Objects({})", self.0.shown.display())
    }
}

/// What a store says of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::archive) struct Head {
    pub bytes: u64,
    /// Another content has another one; not every store has them.
    pub tag: Option<String>,
}

impl Head {
    /// An error if what is there is another one.
    pub(super) fn compare(&self, there: &Self) -> Result<(), StoreError> {
        if there.bytes != self.bytes {
            return Err(StoreError::NotAsSent {
                what: format!("{} bytes of {} are there", there.bytes, self.bytes),
            });
        }
        match (&self.tag, &there.tag) {
            (Some(sent), Some(found)) if sent != found => Err(StoreError::NotAsSent {
                what: format!("its tag is {found} instead of {sent}"),
            }),
            _ => Ok(()),
        }
    }
}

impl From<ObjectMeta> for Head {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            bytes: meta.size,
            tag: meta.e_tag,
        }
    }
}

impl Objects {
    /// Those of a name; `None` if it means a path.
    pub(super) fn named(name: &Path) -> Result<Option<Self>, ArchiveError> {
        let refused = |error| refused(name, error);
        match meaning(name).map_err(refused)? {
            Meaning::Path(_) => Ok(None),
            Meaning::Objects(address) => Self::at(&address).map(Some).map_err(refused),
        }
    }

    /// In memory, and gone with the last clone.
    #[cfg(test)]
    pub(in crate::archive) fn in_memory() -> Self {
        Self(Arc::new(Inner {
            client: Arc::new(object_store::memory::InMemory::new()),
            runtime: handle("memory").expect("a runtime"),
            root: "memory".to_owned(),
            shown: PathBuf::from("memory"),
            prefix: ObjectPath::from("archive"),
            permits: Arc::new(Semaphore::new(PARTS_AT_ONCE)),
            stop: watch::Sender::new(false),
        }))
    }

    /// Those of an archive whose name is below this one's.
    #[cfg(test)]
    pub(in crate::archive) fn below(&self, name: &str) -> Self {
        Self(Arc::new(Inner {
            client: self.client(),
            runtime: handle("memory").expect("a runtime"),
            root: self.0.root.clone(),
            shown: self.0.shown.join(name),
            prefix: self.object(name),
            permits: Arc::clone(&self.0.permits),
            stop: watch::Sender::new(false),
        }))
    }

    fn at(address: &Address) -> Result<Self, StoreError> {
        let prefix = ObjectPath::parse(&address.prefix).map_err(|error| StoreError::Settings {
            store: address.root.clone(),
            why: error.to_string(),
        })?;
        Ok(Self(Arc::new(Inner {
            client: connect(address)?,
            runtime: handle(&address.root)?,
            root: address.root.clone(),
            shown: address.shown(),
            prefix,
            permits: Arc::new(Semaphore::new(PARTS_AT_ONCE)),
            stop: watch::Sender::new(false),
        })))
    }

    /// The archive's name, for people.
    pub(in crate::archive) fn shown(&self) -> &Path {
        &self.0.shown
    }

    pub(super) fn client(&self) -> Arc<dyn Client> {
        Arc::clone(&self.0.client)
    }

    pub(super) fn runtime(&self) -> &Handle {
        &self.0.runtime
    }

    /// Waits until a part of so many bytes may be on its way. It is, until this is dropped.
    pub(super) fn room_for(&self, bytes: usize) -> io::Result<OwnedSemaphorePermit> {
        let shares = bytes.div_ceil(SHARE).clamp(1, PARTS_AT_ONCE);
        let shares = u32::try_from(shares).map_err(io::Error::other)?;
        let permits = Arc::clone(&self.0.permits);
        let room = self.wait(permits.acquire_many_owned(shares))?;
        // They are there until the last upload is dropped.
        room.map_err(io::Error::other)
    }

    /// The object of a name within the archive.
    pub(super) fn object(&self, name: &str) -> ObjectPath {
        self.0.prefix.clone().join(PathPart::from(name))
    }

    /// What an error of the library means.
    pub(super) fn meaning_of(&self, error: &Error) -> StoreError {
        StoreError::of(&self.0.root, error)
    }

    /// A request that was never answered, because of us.
    pub(super) fn ended_abnormally(&self, error: &tokio::task::JoinError) -> StoreError {
        StoreError::Answer {
            store: self.0.root.clone(),
            said: format!("nothing, because its request ended abnormally: {error}"),
        }
    }

    /// Asks, and waits for the answer.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        request: impl Future<Output = object_store::Result<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.wait(self.0.runtime.spawn(request))? {
            Ok(answer) => answer.map_err(|error| self.meaning_of(&error)),
            Err(error) => Err(self.ended_abnormally(&error)),
        }
    }

    /// Waits for something, as long as anybody waits.
    pub(super) fn wait<F: Future>(&self, future: F) -> Result<F::Output, StoreError> {
        wait(unless_stopped(&mut self.0.stop.subscribe(), future))
    }

    /// Nobody waits any more: whoever does is told so at once. What is on its way may arrive, or not.
    pub(in crate::archive) fn stop(&self) {
        self.0.stop.send_replace(true);
    }

    /// Whether there is nothing. What some stores show as a folder is an empty object of the prefix's own name.
    pub(in crate::archive) fn is_empty(&self) -> Result<bool, StoreError> {
        let (client, prefix) = (self.client(), self.0.prefix.clone());
        let first = self.ask(async move {
            let listed = client.list(Some(&prefix));
            let mut below = listed.try_filter(|meta| ready(meta.location != prefix));
            below.try_next().await
        })?;
        Ok(first.is_none())
    }

    /// The files of the archive, with their lengths. What has a further `/` in its name is another's, which was written below this one.
    pub(in crate::archive) fn files(&self) -> Result<BTreeMap<String, u64>, StoreError> {
        let (client, prefix) = (self.client(), self.0.prefix.clone());
        let listed = self.ask(async move { client.list_with_delimiter(Some(&prefix)).await })?;
        let objects = listed.objects.into_iter();
        let named = objects.map(|meta| (name_below(&self.0.prefix, &meta.location), meta.size));
        // Not every store leaves the others out by itself, nor its folder.
        let own = named.filter(|(name, _)| !name.contains('/') && !name.is_empty());
        Ok(own.collect())
    }

    /// What there is of one; `None` if it is not there.
    pub(in crate::archive) fn head(&self, name: &str) -> Result<Option<Head>, StoreError> {
        let (client, object) = (self.client(), self.object(name));
        match self.ask(async move { client.head(&object).await }) {
            Ok(meta) => Ok(Some(meta.into())),
            Err(StoreError::Missing) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A small one whole.
    pub(in crate::archive) fn whole(&self, name: &str) -> Result<Vec<u8>, StoreError> {
        let (client, object) = (self.client(), self.object(name));
        let read = self.ask(async move {
            let answer = client.get_opts(&object, GetOptions::default()).await?;
            answer.bytes().await
        });
        read.map(Vec::from)
    }

    /// Reads a part of one.
    pub(in crate::archive) fn read(&self, name: &str, range: Range<u64>) -> Download {
        self.download(name, range, None)
    }

    /// Reads one that must be this.
    pub(in crate::archive) fn read_all(&self, name: &str, head: Head) -> Download {
        self.download(name, 0..head.bytes, Some(head))
    }

    fn download(&self, name: &str, range: Range<u64>, head: Option<Head>) -> Download {
        let wanted = Wanted {
            client: self.client(),
            root: self.0.root.clone(),
            object: self.object(name),
            range,
            head,
        };
        Download::begin(wanted, &self.0.runtime, self.0.stop.subscribe())
    }

    /// Writes a small one whole. Returns its tag, if the store has such.
    pub(in crate::archive) fn put(
        &self,
        name: &str,
        content: Bytes,
    ) -> Result<Option<String>, StoreError> {
        let (client, object) = (self.client(), self.object(name));
        let put = async move {
            let put = client.put_opts(&object, content.into(), PutOptions::default());
            put.await
        };
        Ok(self.ask(put)?.e_tag)
    }

    /// Writes a small one whole, unless there is one; whether that was so. A store that cannot do that on a condition writes it.
    pub(in crate::archive) fn put_new(
        &self,
        name: &str,
        content: Bytes,
    ) -> Result<bool, StoreError> {
        let (client, object) = (self.client(), self.object(name));
        self.ask(async move {
            let put = client.put_opts(&object, content.clone().into(), PutMode::Create.into());
            match put.await {
                Ok(_) => Ok(true),
                Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(false),
                Err(error) if cannot(&error) => {
                    let put = client.put_opts(&object, content.into(), PutOptions::default());
                    put.await.map(|_| true)
                }
                Err(error) => Err(error),
            }
        })
    }

    /// Takes one away; it may be gone already.
    pub(in crate::archive) fn remove(&self, name: &str) -> Result<(), StoreError> {
        let (client, object) = (self.client(), self.object(name));
        match self.ask(async move { client.delete(&object).await }) {
            Err(StoreError::Missing) => Ok(()),
            removed => removed,
        }
    }

    /// Gives an upload up; it may be completed, or given up already.
    pub(in crate::archive) fn give_up(&self, name: &str, upload: String) -> Result<(), StoreError> {
        let (client, object) = (self.client(), self.object(name));
        match self.ask(async move { client.abort_multipart(&object, &upload).await }) {
            // Whatever it answers, it has understood; servers say many things of an upload that is not there.
            Err(error) if !error.may_pass() => Ok(()),
            given_up => given_up,
        }
    }
}

/// Whether a store does not know how to do something: the library's word for it, or that of the store itself.
fn cannot(error: &Error) -> bool {
    let is_known = matches!(
        error,
        Error::NotImplemented { .. } | Error::NotSupported { .. }
    );
    is_known || error.to_string().contains("NotImplemented")
}

/// What something comes to, or that nobody waits for it any more.
pub(super) async fn unless_stopped<F: Future>(
    stop: &mut watch::Receiver<bool>,
    future: F,
) -> Result<F::Output, StoreError> {
    let stopped = async {
        // As long as there is somebody who could say so.
        if stop.wait_for(|stopped| *stopped).await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        biased;
        output = future => Ok(output),
        () = stopped => Err(StoreError::Stopped),
    }
}

/// What is left of an object's name.
fn name_below(prefix: &ObjectPath, object: &ObjectPath) -> String {
    let (prefix, object) = (prefix.as_ref(), object.as_ref());
    let below = object.strip_prefix(prefix).unwrap_or(object);
    below.trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use object_store::PutPayload;

    use super::*;

    #[test]
    fn an_archive_below_another_has_files_of_its_own() {
        let objects = Objects::in_memory();
        let below = objects.below("other");
        for (objects, file, content) in [
            (&objects, "toc.dat", "12"),
            (&below, "toc.dat", "123"),
            (&below, "9.dat.gz", "1"),
            (&below.below("another"), "toc.dat", "1234"),
        ] {
            let put = objects.put(file, Bytes::from(content));
            put.expect("memory");
        }
        let files = |objects: &Objects| {
            let files = objects.files().expect("memory").into_iter();
            files.collect::<Vec<(String, u64)>>()
        };
        let file = |name: &str, length: u64| (name.to_owned(), length);
        assert_eq!(files(&objects), [file("toc.dat", 2)]);
        let of_below = [file("9.dat.gz", 1), file("toc.dat", 3)];
        assert_eq!(files(&below), of_below);
    }

    #[test]
    fn a_folder_is_no_file() {
        let objects = Objects::in_memory().below("shop");
        // As the consoles of some stores make one: an object of no bytes.
        let folder = PutPayload::from_static(b"");
        let made = objects.ask({
            let (client, place) = (objects.client(), objects.0.prefix.clone());
            async move { client.put(&place, folder).await }
        });
        made.expect("memory");
        assert!(objects.is_empty().expect("memory"));
        objects.put("toc.dat", Bytes::from("1")).expect("memory");
        assert!(!objects.is_empty().expect("memory"));
        let files: Vec<String> = objects.files().expect("memory").into_keys().collect();
        assert_eq!(files, ["toc.dat"]);
    }

    #[test]
    fn a_larger_part_takes_the_place_of_several() {
        let objects = Objects::in_memory();
        for (bytes, left) in [
            (1, 7),
            (8 << 20, 7),
            (16 << 20, 7),
            ((16 << 20) + 1, 6),
            (64 << 20, 4),
            (128 << 20, 0),
            (512 << 20, 0),
        ] {
            let room = objects.room_for(bytes).expect("nothing is on its way");
            assert_eq!(objects.0.permits.available_permits(), left, "{bytes}");
            drop(room);
            assert_eq!(objects.0.permits.available_permits(), PARTS_AT_ONCE);
        }
    }
}
