//! One reader for a file that several connections load: it deals the rows out in stripes, to each chunk in its turn.
//!
//! ```text
//!                     ┌─ stripes 0, 3, 6, … ─► chunk 0 ─► COPY, in a transaction of its own
//!   file ──► reader ──┼─ stripes 1, 4, 7, … ─► chunk 1 ─► …
//!                     └─ stripes 2, 5, 8, … ─► chunk 2 ─► …
//! ```
//!
//! Whose a row is depends on the file alone ([`Stripes`]). So what chunks have committed in an earlier session stays: their
//! stripes are read, and dealt to nobody. No chunk hears of the end before the reader has seen that of the file, and that
//! it holds what it must: none commits rows of a file that is broken.
//!
//! The reader is never more than some pieces ahead of the slowest chunk, which is all the memory that it takes. It begins when
//! all that are to come have come, or after a while without the others; who comes later has a reader of its own. So nobody
//! waits for a chunk that waits for a worker, or for a connection.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, BufRead};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc;

use super::{Broken, File, PIECE, not_taken};
use crate::archive::{Content, RowPieces, Stretch};
use crate::model::{DumpId, Rows};
use crate::pg::PgError;
use crate::pg::wire::{Piece, Supply, supply};
use crate::plan::Stripes;

/// Pieces that a chunk is behind the reader at most: two stripes and more.
const AHEAD: usize = 8;
/// How long a reader waits for chunks that are to come: they may have to connect first.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who reads at the moment, by the entry of the rows.
#[derive(Default)]
pub(super) struct Dealers(Mutex<HashMap<DumpId, Arc<Dealer>>>);

/// A reader, and the chunks that it deals to.
#[derive(Default)]
struct Dealer {
    seats: Mutex<Seats>,
    taken: Condvar,
}

#[derive(Default)]
struct Seats {
    /// By whose turn it is when.
    chunks: BTreeMap<u32, mpsc::Sender<Dealt>>,
    /// It is too late for others.
    is_begun: bool,
}

/// What a chunk is dealt.
enum Dealt {
    Rows(Piece),
    End(Result<Share, Broken>),
}

/// What was in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    /// In all of it.
    pub whole: Content,
    /// In the stripes of this chunk.
    pub own: Content,
}

/// What a chunk has of the rows.
pub(super) struct Hand(mpsc::Receiver<Dealt>);

impl Dealers {
    /// Takes a chunk's seat with a reader that has not begun, or with a new one. So many chunks are to come, this among them.
    pub fn join(&self, file: File, stripes: Stripes, to_come: usize) -> Hand {
        let (chunk, hand) = mpsc::channel(AHEAD);
        let mut dealers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let there = dealers.get(&file.entry);
        if !there.is_some_and(|dealer| dealer.seat(stripes.turn, &chunk)) {
            let dealer = Arc::new(Dealer::default());
            dealer.seat(stripes.turn, &chunk);
            dealers.insert(file.entry, Arc::clone(&dealer));
            tokio::task::spawn_blocking(move || deal(dealer.begin(to_come), &file, stripes));
        }
        Hand(hand)
    }
}

impl Dealer {
    /// Whether it was in time.
    fn seat(&self, turn: u32, chunk: &mpsc::Sender<Dealt>) -> bool {
        let mut seats = self.seats();
        if !seats.is_begun {
            seats.chunks.insert(turn, chunk.clone());
            self.taken.notify_one();
        }
        !seats.is_begun
    }

    fn begin(&self, to_come: usize) -> BTreeMap<u32, mpsc::Sender<Dealt>> {
        let is_early = |seats: &mut Seats| seats.chunks.len() < to_come;
        let waited = self
            .taken
            .wait_timeout_while(self.seats(), PATIENCE, is_early);
        let (mut seats, _) = waited.unwrap_or_else(PoisonError::into_inner);
        seats.is_begun = true;
        std::mem::take(&mut seats.chunks)
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        // Nothing panics while it holds the lock; if something did, who is there would still be true.
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A chunk as the reader sees it.
struct Chunk {
    sender: mpsc::Sender<Dealt>,
    own: Content,
}

/// Deals a whole file out.
fn deal(chunks: BTreeMap<u32, mpsc::Sender<Dealt>>, file: &File, stripes: Stripes) {
    let chunks = chunks.into_iter().map(|(turn, sender)| {
        let own = Content::default();
        (turn, Chunk { sender, own })
    });
    let mut chunks: BTreeMap<u32, Chunk> = chunks.collect();
    let opened = file.place.open();
    let read = opened.and_then(|from| deal_rows(from, stripes, &mut chunks));
    let read = match read {
        Ok(rows) => file.judge(rows),
        Err(error) => Err(Broken::reading(&file.place, error)),
    };
    for Chunk { sender, own } in chunks.into_values() {
        let end = read.clone().map(|whole| Share { whole, own });
        // One that has failed by itself hears of nothing any more.
        let _ = sender.blocking_send(Dealt::End(end));
    }
}

/// Deals for as long as there are rows, and anybody who takes them. The inner result is what the rows were.
fn deal_rows(
    from: impl BufRead,
    stripes: Stripes,
    chunks: &mut BTreeMap<u32, Chunk>,
) -> io::Result<Result<Content, String>> {
    let mut rows = RowPieces::new(from);
    for turn in (0..stripes.of.max(1)).cycle() {
        let is_last = match chunks.get_mut(&turn) {
            None => pass_over(&mut rows, stripes.bytes)?,
            Some(chunk) => {
                let before = rows.content();
                let is_last = deal_stripe(&mut rows, stripes.bytes, &chunk.sender)?;
                chunk.own = chunk.own.and(rows.content().since(before));
                is_last
            }
        };
        chunks.retain(|_, chunk| !chunk.sender.is_closed());
        if is_last || chunks.is_empty() {
            break;
        }
    }
    Ok(rows.finish())
}

/// A stripe, to a chunk that may have failed by now. Returns whether it was the last.
fn deal_stripe(
    rows: &mut RowPieces<impl BufRead>,
    length: u64,
    chunk: &mpsc::Sender<Dealt>,
) -> io::Result<bool> {
    let mut stretch = Stretch::Within;
    while stretch == Stretch::Within {
        let mut piece = Piece::with_capacity(3 * PIECE);
        let told = rows.rows();
        while stretch == Stretch::Within && piece.size() < PIECE {
            stretch = rows.next_in_stripe(length, piece.content())?;
        }
        piece.count(Rows(rows.rows().0 - told.0));
        if piece.size() > 0 {
            // Whoever is gone is seen off behind the stripe.
            let _ = chunk.blocking_send(Dealt::Rows(piece));
        }
    }
    Ok(stretch == Stretch::Nothing)
}

/// A stripe that is nobody's. Returns whether it was the last.
fn pass_over(rows: &mut RowPieces<impl BufRead>, length: u64) -> io::Result<bool> {
    let mut passed = Vec::new();
    loop {
        match rows.next_in_stripe(length, &mut passed)? {
            Stretch::Within => passed.clear(),
            end => return Ok(end == Stretch::Nothing),
        }
    }
}

impl Hand {
    /// As what a COPY is sent. What was in the file is noted when all of it has been read.
    pub fn supply(mut self, noted: Arc<OnceLock<Share>>) -> Supply {
        supply(move |hand_out| {
            while let Some(dealt) = self.0.blocking_recv() {
                match dealt {
                    Dealt::Rows(piece) => {
                        if !hand_out(piece) {
                            return Err(not_taken());
                        }
                    }
                    Dealt::End(end) => {
                        let share = end?;
                        let _ = noted.set(share);
                        return Ok(share.own.digest.rows);
                    }
                }
            }
            Err(PgError::Supply {
                what: "reading ended abnormally".to_owned(),
            })
        })
    }
}
