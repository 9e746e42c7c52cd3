//! An object that is written as a stream: what fills a part is sent while the next one fills.
//!
//! ```text
//!   write ──► buffer ──full──► part 0, part 1, …  on their way, a few at once ──► completed: the object is there
//!                └─ never full ──────────────────────────────────────────────► one request
//! ```
//!
//! The store hashes what arrives and refuses a part that is not what its request says (S3: the request is signed with the hash
//! of its content). When it is complete, its size, and its tag where there are tags, are asked for again.

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

/// Every store takes parts of this size, and all but the last must have one.
const SMALLEST_PART: usize = 8 << 20;
/// No store takes more parts than this.
const MOST_PARTS: usize = 10_000;
/// So many parts have one size; those behind them have the next, for whatever is so large.
const PARTS_OF_A_SIZE: usize = MOST_PARTS / 4;
/// Parts of one upload that are on their way at once.
const AT_ONCE: usize = 4;
/// How long an upload that failed may take to be given up.
const GIVE_UP: Duration = Duration::from_secs(5);

/// How large a part is: 8 MiB up to 20 GB of an object, 32 MiB up to 100 GB, 128 MiB up to 420 GB, 512 MiB up to 1.7 TB.
fn size_of(part: usize) -> usize {
    let step = (part / PARTS_OF_A_SIZE).min(3);
    SMALLEST_PART << (2 * step)
}

/// An object that grows.
pub(in crate::archive) struct Upload {
    objects: Objects,
    name: String,
    begun: Arc<Begun>,
    buffer: Vec<u8>,
    bytes: u64,
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
            parts: None,
        }
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
        let (upload, permits) = (parts.upload.clone(), self.objects.permits());
        // It is there until the last upload is dropped.
        let permit = self.objects.wait(permits.acquire_owned())?;
        let permit = permit.map_err(io::Error::other)?;
        parts
            .on_their_way
            .push_back(self.objects.runtime().spawn(async move {
                let put = client.put_part(&object, &upload, number, content.into());
                let put = put.await;
                drop(permit);
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
        let part = self.parts.as_ref().map_or(0, |parts| parts.begun);
        if self.buffer.len() >= size_of(part) {
            self.send_part()?;
        }
        let part = self.parts.as_ref().map_or(0, |parts| parts.begun);
        let room = size_of(part).saturating_sub(self.buffer.len());
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

    #[test]
    fn ten_thousand_parts_hold_whatever_a_table_may_come_to() {
        assert_eq!(size_of(0), SMALLEST_PART);
        assert_eq!(size_of(2_499), SMALLEST_PART);
        assert_eq!(size_of(2_500), 4 * SMALLEST_PART);
        assert_eq!(size_of(9_999), 64 * SMALLEST_PART);
        let most: usize = (0..MOST_PARTS).map(size_of).sum();
        assert!(most > 1_700_000_000_000, "{most}");
    }
}
