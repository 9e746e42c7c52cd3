//! A part of a table, compressed, until it is in the table's file.
//!
//! It is held in memory until it is its turn. What is longer than that may be is held in a file, where there may be one. There is
//! none beside an archive in object storage: there the part stops reading until it is its turn, and goes into the file as it
//! comes. Those before it need nothing of it but perhaps its session, where the server has no room for as many as there are workers: if
//! somebody waits for one, the part gives way, and is read anew when it is its turn.

use std::io::{self, Write};
use std::path::PathBuf;

use tokio::runtime::Handle;

use super::assembly::{Assembly, Place, Turn};
use crate::archive::{ArchiveError, Blocks, Growing, Held};
use crate::pg::Pool;

/// A part.
pub(super) struct Piece<'a> {
    assembly: &'a Assembly,
    part: usize,
    held: Kept<'a>,
    /// Where it has its session from.
    source: &'a Pool,
    /// Somebody else needed that, before it was its turn.
    gave_way: bool,
}

enum Kept<'a> {
    /// With room in a file.
    Anywhere(Held),
    /// In memory.
    Memory(Blocks),
    /// In the table's file.
    InTurn(Turn<'a>),
}

impl<'a> Piece<'a> {
    /// Nothing yet.
    pub fn new(
        assembly: &'a Assembly,
        part: usize,
        (source, overflow): (&'a Pool, Option<PathBuf>),
    ) -> Self {
        let held = match overflow {
            Some(path) => Kept::Anywhere(Held::new(path)),
            None => Kept::Memory(Blocks::default()),
        };
        Self {
            assembly,
            part,
            held,
            source,
            gave_way: false,
        }
    }

    /// It was broken off because somebody else needed the session; nothing of it is in the file.
    pub fn gave_way(&self) -> bool {
        self.gave_way
    }

    /// Waits until it is its turn, or else until somebody needs its session.
    async fn turn(&mut self) -> io::Result<Turn<'a>> {
        let (assembly, source) = (self.assembly, self.source);
        tokio::select! {
            biased;
            turn = assembly.turn(self.part) => turn,
            () = source.is_wanted() => {
                self.gave_way = true;
                Err(io::Error::other("its session is needed elsewhere"))
            }
        }
    }

    /// Some of it is in the file: it cannot be read once more from the beginning.
    pub fn cannot_be_repeated(&self) -> bool {
        matches!(self.held, Kept::InTurn(_))
    }

    /// All of it into the file, when it is its turn. Returns where it is.
    pub async fn append(self) -> Result<Place, ArchiveError> {
        let (assembly, part) = (self.assembly, self.part);
        match self.held {
            Kept::Anywhere(held) => assembly.append(part, |file| held.append_to(file)).await,
            Kept::Memory(held) => {
                let mut held = held.into_pieces();
                let append = |file: &mut Growing| held.try_for_each(|piece| file.append(&piece));
                assembly.append(part, append).await
            }
            Kept::InTurn(turn) => Ok(turn.over()),
        }
    }
}

impl Write for Piece<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.held {
            Kept::Anywhere(held) => held.write(bytes),
            Kept::InTurn(turn) => match turn.file() {
                Some(file) => tokio::task::block_in_place(|| file.write(bytes)),
                None => Err(io::Error::other("its file is complete already")),
            },
            Kept::Memory(held) if held.have_room_for(bytes.len()) => {
                held.push(bytes);
                Ok(bytes.len())
            }
            Kept::Memory(held) => {
                let held = std::mem::take(held);
                let turn = Box::pin(self.turn());
                let mut turn = tokio::task::block_in_place(|| Handle::current().block_on(turn))?;
                if let Some(file) = turn.file() {
                    let mut held = held.into_pieces();
                    tokio::task::block_in_place(|| {
                        held.try_for_each(|piece| file.write_all(&piece))
                    })?;
                }
                self.held = Kept::InTurn(turn);
                self.write(bytes)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
