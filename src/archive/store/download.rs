//! An object, or a part of it, as a stream.
//!
//! A connection that breaks in the middle is no end: what is missing is asked for again, of the same object, as long as
//! something comes each time. A stream that is read slowly holds back whoever sends it.

use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use futures_util::StreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};

use super::StoreError;
use super::client::Client;
use super::objects::{Head, unless_stopped};
use super::runtime::wait;
use super::setbacks;

/// How many pieces may wait; each is what came at once, some ten kilobytes.
const AHEAD: usize = 64;
/// How often a stream may break without having brought anything.
const MOST_BREAKS: u32 = 5;
const PAUSE: Duration = Duration::from_millis(500);

/// What is asked for.
pub(super) struct Wanted {
    pub client: Arc<dyn Client>,
    /// The bucket, for errors.
    pub root: String,
    pub object: ObjectPath,
    pub range: Range<u64>,
    /// What it must be, if that is known.
    pub head: Option<Head>,
}

/// A stream; whoever drops it is sent no more.
pub(in crate::archive) struct Download {
    pieces: mpsc::Receiver<Result<Bytes, StoreError>>,
    piece: Bytes,
    stop: watch::Receiver<bool>,
}

impl Download {
    /// Begins it.
    pub(super) fn begin(wanted: Wanted, runtime: &Handle, stop: watch::Receiver<bool>) -> Self {
        let (sender, pieces) = mpsc::channel(AHEAD);
        if !wanted.range.is_empty() {
            runtime.spawn(fetch(wanted, sender));
        }
        Self {
            pieces,
            piece: Bytes::new(),
            stop,
        }
    }
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            let next = match self.pieces.try_recv() {
                Ok(next) => Some(next),
                Err(_) => wait(unless_stopped(&mut self.stop, self.pieces.recv()))?,
            };
            match next {
                Some(piece) => self.piece = piece?,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.piece.len());
        self.piece.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}

/// Sends everything that is wanted, or an error.
async fn fetch(wanted: Wanted, sender: mpsc::Sender<Result<Bytes, StoreError>>) {
    if let Err(error) = fetch_all(wanted, &sender).await {
        // Nobody may be there any more.
        let _ = sender.send(Err(error)).await;
    }
}

async fn fetch_all(
    wanted: Wanted,
    sender: &mpsc::Sender<Result<Bytes, StoreError>>,
) -> Result<(), StoreError> {
    let failed = |error| StoreError::of(&wanted.root, &error);
    let end = wanted.range.end;
    let mut at = wanted.range.start;
    let mut tag = None;
    let mut breaks = 0;
    while at < end {
        let options = GetOptions {
            range: Some(GetRange::Bounded(at..end)),
            // Once it has begun, it must go on with the same.
            if_match: tag.clone(),
            ..GetOptions::default()
        };
        let answer = wanted.client.get_opts(&wanted.object, options).await;
        let answer = answer.map_err(failed)?;
        if let Some(head) = &wanted.head {
            head.compare(&answer.meta.clone().into())?;
        }
        tag = tag.or_else(|| answer.meta.e_tag.clone());
        let mut stream = answer.into_stream();
        let broken = loop {
            match stream.next().await {
                Some(Ok(piece)) => {
                    let room = usize::try_from(end - at).unwrap_or(usize::MAX);
                    let piece = piece.slice(..piece.len().min(room));
                    at += piece.len() as u64;
                    breaks = 0;
                    if sender.send(Ok(piece)).await.is_err() {
                        return Ok(());
                    }
                }
                Some(Err(error)) => break failed(error),
                None => {
                    break StoreError::NotAsSent {
                        what: format!("it ends at byte {at} instead of {end}"),
                    };
                }
            }
        };
        if at < end {
            breaks += 1;
            if breaks > MOST_BREAKS {
                return Err(broken);
            }
            setbacks::note(&wanted.root, format!("GET {}: {broken}", wanted.object));
            tokio::time::sleep(PAUSE * breaks).await;
        }
    }
    Ok(())
}
