//! An object that is written as a stream: what fills a part is sent while the next one fills.
//!
//! ```text
//!   write ──► buffer ──full──► part 0, part 1, …  on their way, a few at once ──► completed: the object is there
//!                └─ never full ──────────────────────────────────────────────► one request
//! ```
//!
//! The store hashes what arrives and refuses a part that is not what its request says (S3: the request is signed with the hash
//! of its content). When it is complete, its size, and its tag where there are tags, are asked for again.
//!
//! All parts but the last have one size, which some stores insist on (Cloudflare's R2 refuses to complete anything else). It is
//! chosen before the first by how large the object is expected to be. One that turns out far larger goes on in larger parts:
//! the number of parts has an end, and most stores take them. The larger they are, the fewer are on their way at once, of all
//! uploads together.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use object_store::MultipartId;
use object_store::multipart::PartId;
use tokio::task::JoinHandle;

use super::StoreError;
use super::begun::Begun;
use super::objects::{Head, Objects};
use super::runtime::wait;

/// Every store takes parts of this size, and no smaller ones but the last.
const SMALLEST_PART: usize = 8 << 20;
/// No object of S3 needs larger ones: so many parts as there may be of them are the largest it takes (5 TiB).
const LARGEST_PART: usize = 512 << 20;
/// Sizes of parts are multiples of this.
const STEP: usize = 1 << 20;
/// No store takes more parts than this.
const MOST_PARTS: usize = 10_000;
/// An object that is as large as expected comes to so many parts, or fewer: it may become more than twice as large. A `bytea` does, which
/// is written in hex, unless it is compressed.
const EXPECTED_PARTS: u64 = 4_000;
/// So many parts have one size. Those behind them are larger.
const PARTS_OF_ONE_SIZE: usize = 9_000;
/// Of those each has twice the size of the one that is so many before it.
const PARTS_OF_A_STEP: usize = 50;
/// Parts of one upload that are on their way at once, if there is room for them.
const AT_ONCE: usize = 4;
/// How long an upload that failed may take to be given up.
const GIVE_UP: Duration = Duration::from_secs(5);

/// How large the parts are of an object that is expected to be so large.
fn chosen_size(expected: u64) -> usize {
    let size = usize::try_from(expected.div_ceil(EXPECTED_PARTS)).unwrap_or(LARGEST_PART);
    let size = size.clamp(SMALLEST_PART, LARGEST_PART);
    size.next_multiple_of(STEP)
}

/// How large a part is, if this size was chosen.
fn size_of(part: usize, chosen: usize) -> usize {
    let Some(beyond) = part.checked_sub(PARTS_OF_ONE_SIZE) else {
        return chosen;
    };
    let doubled = u32::try_from(1 + beyond / PARTS_OF_A_STEP).unwrap_or(u32::MAX);
    let size = chosen.saturating_mul(2_usize.saturating_pow(doubled));
    size.min(LARGEST_PART)
}

/// An object that grows.
pub(in crate::archive) struct Upload {
    objects: Objects,
    name: String,
    begun: Arc<Begun>,
    buffer: Vec<u8>,
    bytes: u64,
    /// The size that was chosen for its parts.
    part_size: usize,
    parts: Option<Parts>,
}

/// What is in more than one part.
struct Parts {
    upload: MultipartId,
    on_their_way: VecDeque<JoinHandle<object_store::Result<PartId>>>,
    arrived: Vec<PartId>,
    begun: usize,
    /// Nobody is there any more who could be told to give it up.
    is_cut_off: bool,
}

impl Upload {
    /// Of an object. Nothing is sent yet.
    pub fn new(objects: Objects, name: &str, begun: Arc<Begun>) -> Self {
        Self {
            objects,
            name: name.to_owned(),
            begun,
            buffer: Vec::new(),
            bytes: 0,
            part_size: chosen_size(0),
            parts: None,
        }
    }

    /// The same, of an object that is expected to be so large.
    pub fn expecting(mut self, bytes: u64) -> Self {
        self.part_size = chosen_size(bytes);
        self
    }

    /// Sends the rest, makes an object of all of it, and looks at it. Returns its tag, if the store has such.
    pub fn end(mut self) -> Result<Option<String>, StoreError> {
        let tag = self.send_rest()?;
        self.check(tag)
    }

    /// The same, for whoever reads all of it again: that is a look as well. Nothing can be read of an empty one.
    pub fn end_to_be_read(mut self) -> Result<Option<String>, StoreError> {
        let tag = self.send_rest()?;
        if self.bytes == 0 {
            return self.check(tag);
        }
        Ok(tag)
    }

    fn send_rest(&mut self) -> Result<Option<String>, StoreError> {
        match self.parts {
            None => {
                let content = Bytes::from(std::mem::take(&mut self.buffer));
                self.objects.put(&self.name, content)
            }
            Some(_) => self.complete(),
        }
    }

    fn complete(&mut self) -> Result<Option<String>, StoreError> {
        if !self.buffer.is_empty() {
            self.send_part().map_err(|error| self.of_the_note(&error))?;
        }
        self.wait_for_all_but(0)?;
        let Some(parts) = &mut self.parts else {
            return Ok(None);
        };
        let (client, object) = (self.objects.client(), self.objects.object(&self.name));
        let (upload, arrived) = (parts.upload.clone(), std::mem::take(&mut parts.arrived));
        let complete = async move { client.complete_multipart(&object, &upload, arrived).await };
        let completed = self.objects.ask(complete)?;
        self.parts = None;
        Ok(completed.e_tag)
    }

    /// What is there is as long as what was sent, and what the store has said it is.
    fn check(&self, tag: Option<String>) -> Result<Option<String>, StoreError> {
        let there = self.objects.head(&self.name)?.ok_or(StoreError::Missing)?;
        let bytes = self.bytes;
        let sent = Head { bytes, tag };
        sent.compare(&there)?;
        Ok(sent.tag)
    }

    fn send_part(&mut self) -> io::Result<()> {
        if self.parts.is_none() {
            self.parts = Some(self.begin()?);
        }
        self.wait_for_all_but(AT_ONCE - 1)?;
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        if parts.begun == MOST_PARTS {
            return Err(io::Error::other("no object can have so many parts"));
        }
        let number = parts.begun;
        parts.begun += 1;
        let content = Bytes::from(std::mem::take(&mut self.buffer));
        let (client, object) = (self.objects.client(), self.objects.object(&self.name));
        let upload = parts.upload.clone();
        let room = self.objects.room_for(content.len())?;
        parts
            .on_their_way
            .push_back(self.objects.runtime().spawn(async move {
                let put = client.put_part(&object, &upload, number, content.into());
                let put = put.await;
                drop(room);
                put
            }));
        Ok(())
    }

    fn begin(&self) -> io::Result<Parts> {
        let (client, object) = (self.objects.client(), self.objects.object(&self.name));
        let upload = self
            .objects
            .ask(async move { client.create_multipart(&object).await })?;
        self.begun.note(&self.name, &upload)?;
        Ok(Parts {
            upload,
            on_their_way: VecDeque::new(),
            arrived: Vec::new(),
            begun: 0,
            is_cut_off: false,
        })
    }

    fn wait_for_all_but(&mut self, count: usize) -> Result<(), StoreError> {
        let Some(parts) = &mut self.parts else {
            return Ok(());
        };
        while parts.on_their_way.len() > count {
            let Some(first) = parts.on_their_way.pop_front() else {
                break;
            };
            let arrived = match self.objects.wait(first)? {
                Ok(put) => put.map_err(|error| self.objects.meaning_of(&error)),
                Err(error) => Err(self.objects.ended_abnormally(&error)),
            };
            match arrived {
                Ok(part) => parts.arrived.push(part),
                Err(error) => {
                    parts.is_cut_off = error.may_pass();
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// How large the part is that is being filled.
    fn size_now(&self) -> usize {
        let part = self.parts.as_ref().map_or(0, |parts| parts.begun);
        size_of(part, self.part_size)
    }

    /// What kept a part from being sent: the store's error, or that of the note of what is begun.
    fn of_the_note(&self, error: &io::Error) -> StoreError {
        let inner = error.get_ref();
        let inner = inner.and_then(|inner| inner.downcast_ref::<StoreError>());
        inner.cloned().unwrap_or_else(|| StoreError::NotAsSent {
            what: format!("the last part of {} was not sent: {error}", self.name),
        })
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() >= self.size_now() {
            self.send_part()?;
        }
        let room = self.size_now().saturating_sub(self.buffer.len());
        let count = bytes.len().min(room);
        self.buffer.extend_from_slice(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    /// One that failed is given up. If that cannot be done now, whoever goes on finds the note.
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else {
            return;
        };
        for part in &parts.on_their_way {
            part.abort();
        }
        if parts.is_cut_off {
            return;
        }
        let (client, object) = (self.objects.client(), self.objects.object(&self.name));
        let give_up = async move {
            let give_up = client.abort_multipart(&object, &parts.upload);
            let _ = tokio::time::timeout(GIVE_UP, give_up).await;
        };
        let _ = wait(self.objects.runtime().spawn(give_up));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// So many bytes fit into the parts before this one.
    fn room(before: usize, chosen: usize) -> u64 {
        let sizes = (0..before).map(|part| size_of(part, chosen) as u64);
        sizes.sum()
    }

    #[test]
    fn twice_what_is_expected_goes_in_parts_of_one_size() {
        for expected in [
            0,
            1,
            1 << 30,
            30 << 30,
            100 << 30,
            1 << 40,
            2_400_000_000_000,
        ] {
            let chosen = chosen_size(expected);
            assert_eq!(chosen % STEP, 0, "{expected}: {chosen}");
            assert!((SMALLEST_PART..=LARGEST_PART).contains(&chosen));
            let mut sizes = (0..PARTS_OF_ONE_SIZE).map(|part| size_of(part, chosen));
            assert!(sizes.all(|size| size == chosen), "{expected}");
            let room = room(PARTS_OF_ONE_SIZE, chosen);
            assert!(room >= 2 * expected, "{expected}: {room}");
        }
        assert_eq!(chosen_size(32 << 30), 9 << 20);
        // As the guide to `dump` says.
        assert_eq!(chosen_size(1_000_000_000_000), 239 << 20);
        assert_eq!(chosen_size(u64::MAX), LARGEST_PART);
        assert!(room(MOST_PARTS, LARGEST_PART) > 5_000_000_000_000);
    }

    #[test]
    fn far_more_than_was_expected_goes_in_larger_ones() {
        assert_eq!(size_of(9_000, SMALLEST_PART), 2 * SMALLEST_PART);
        assert_eq!(size_of(9_049, SMALLEST_PART), 2 * SMALLEST_PART);
        assert_eq!(size_of(9_050, SMALLEST_PART), 4 * SMALLEST_PART);
        assert_eq!(size_of(9_999, SMALLEST_PART), LARGEST_PART);
        let most = room(MOST_PARTS, SMALLEST_PART);
        assert!(most > 500_000_000_000, "{most}");
    }

    #[test]
    fn an_object_is_sent_in_the_parts_that_were_chosen_for_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let objects = Objects::in_memory();
        let begun = Arc::new(Begun::at(dir.path().join("archive.uploads")));
        let content = vec![7_u8; 25 << 20];
        for (expected, parts) in [(0, 3), (40_000_000_000, 2), (u64::MAX, 0)] {
            let upload = Upload::new(objects.clone(), "7.dat", Arc::clone(&begun));
            let mut upload = upload.expecting(expected);
            upload.write_all(&content).expect("memory");
            let sent = upload.parts.as_ref().map_or(0, |parts| parts.begun);
            assert_eq!(sent, parts, "{expected}");
            upload.end().expect("memory");
            let there = objects.head("7.dat").expect("memory").expect("it is there");
            assert_eq!(there.bytes, content.len() as u64, "{expected}");
        }
    }
}
