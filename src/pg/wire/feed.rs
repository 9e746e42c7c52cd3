//! Feeds tables whose rows come from elsewhere than a server into COPY FROM: one table, or many in a row.
//!
//! ```text
//!   a thread that reads a file ──► pieces, a few at most ──► COPY a FROM, pieces, end, COPY b FROM, … ──► target
//!                                                              target ──► a has so many rows, b so many, …
//! ```
//!
//! As in the [relay](super::relay), nobody waits for an answer before the next table is sent, and a table only counts as
//! arrived when the target had an answer for it with as many rows as were sent. What reads files waits for the disk, and
//! decompresses: it has a thread of its own for each table, which waits while the target does not take what there is.

use std::future::Future;

use bytes::BytesMut;
use tokio::io::{AsyncWrite, AsyncWriteExt, BufWriter};
use tokio::sync::mpsc;

use super::answers::Answers;
use super::connection::{Wire, put_query};
use super::relay::{COPY_DONE, Moment, OUTBOX, listen};
use super::{Gauge, MESSAGE_HEADER};
use crate::model::{Bytes, Rows, SqlText};
use crate::pg::PgError;

/// Pieces that are ready while the target is busy with one.
const AHEAD: usize = 4;

/// A part of what COPY is sent: the message, and how many rows end in it.
pub struct Piece {
    message: Vec<u8>,
    rows: Rows,
}

impl Piece {
    /// An empty one, with room for about as much.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut message = Vec::with_capacity(bytes + MESSAGE_HEADER);
        message.extend_from_slice(b"d\0\0\0\0");
        Self {
            message,
            rows: Rows(0),
        }
    }

    /// Where its content is appended.
    pub fn content(&mut self) -> &mut Vec<u8> {
        &mut self.message
    }

    /// How many bytes of content it has.
    pub fn size(&self) -> usize {
        self.message.len() - MESSAGE_HEADER
    }

    /// Rows that end in it.
    pub fn count(&mut self, rows: Rows) {
        self.rows = rows;
    }

    fn framed(mut self) -> Result<(Vec<u8>, Rows), PgError> {
        let length = i32::try_from(self.message.len() - 1).map_err(|_| PgError::Supply {
            what: "more than 2 GB are to be sent at once".to_owned(),
        })?;
        self.message[1..MESSAGE_HEADER].copy_from_slice(&length.to_be_bytes());
        Ok((self.message, self.rows))
    }
}

/// Reads what one COPY is sent: hands pieces out for as long as they are taken, and says how many rows they were.
type Read = Box<dyn FnOnce(&mut dyn FnMut(Piece) -> bool) -> Result<Rows, PgError> + Send>;

/// What one COPY is sent. Nothing is read before its turn comes.
pub struct Supply(Read);

/// Rows that are read by `read`, in a thread of its own.
pub fn supply(
    read: impl FnOnce(&mut dyn FnMut(Piece) -> bool) -> Result<Rows, PgError> + Send + 'static,
) -> Supply {
    Supply(Box::new(read))
}

impl Supply {
    /// The pieces; and, after the last of them, how many rows they were.
    fn begin(
        self,
    ) -> (
        mpsc::Receiver<Piece>,
        impl Future<Output = Result<Rows, PgError>>,
    ) {
        let (sender, pieces) = mpsc::channel(AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            let mut hand_out = |piece: Piece| sender.blocking_send(piece).is_ok();
            (self.0)(&mut hand_out)
        });
        let end = async {
            reading.await.unwrap_or_else(|error| {
                Err(PgError::Supply {
                    what: format!("reading ended abnormally: {error}"),
                })
            })
        };
        (pieces, end)
    }
}

/// What goes in in one transaction of the target.
pub struct Feed<'a> {
    /// What the target is told first.
    pub opening: &'a [SqlText],
    /// `COPY … FROM STDIN`, one after the other, each with its rows.
    pub copies: Vec<(SqlText, Supply)>,
    /// Is told of what happens.
    pub tell: &'a (dyn Fn(Moment) + Sync),
}

/// Feeds a target. Commits nothing. On error the session is in the middle of something and must be thrown away. Returns with how
/// many bytes each table went, framing included.
pub async fn feed(
    target: &mut Wire,
    feed: Feed<'_>,
    gauge: &Gauge,
) -> Result<Vec<(Rows, Bytes)>, PgError> {
    let Feed {
        opening,
        copies,
        tell,
    } = feed;
    let (statements, supplies): (Vec<SqlText>, Vec<Supply>) = copies.into_iter().unzip();
    let mut writer = BufWriter::with_capacity(OUTBOX, &mut target.writer);
    let mut answers = Answers::new(&mut target.reader, &mut target.buffer, &mut target.notices);
    let ended = tokio::try_join!(
        biased;
        listen(&mut answers, opening, (statements.iter(), tell)),
        push(&mut writer, (opening, &statements, supplies), gauge),
    );
    match ended {
        Ok((arrived, sent)) => {
            answers.close();
            agree(&sent, &arrived)?;
            Ok(sent)
        }
        Err(error) => {
            // What a server said before it hung up is the news, not that it hung up.
            let said = answers.complaint();
            target.broken = true;
            Err(said.filter(|_| error.is_lost_connection()).unwrap_or(error))
        }
    }
}

async fn push<W: AsyncWrite + Unpin>(
    target: &mut W,
    (opening, statements, supplies): (&[SqlText], &[SqlText], Vec<Supply>),
    gauge: &Gauge,
) -> Result<Vec<(Rows, Bytes)>, PgError> {
    let mut request = BytesMut::new();
    for sql in opening {
        put_query(sql, &mut request);
    }
    let mut sent = Vec::with_capacity(statements.len());
    for (copy_in, supply) in statements.iter().zip(supplies) {
        let (mut pieces, end) = supply.begin();
        put_query(copy_in, &mut request);
        write(target, &request).await?;
        request.clear();
        let mut bytes = 0;
        while let Some(piece) = pieces.recv().await {
            let (message, rows) = piece.framed()?;
            write(target, &message).await?;
            let size = message.len() as u64;
            bytes += size;
            gauge.advance(rows, Bytes(size));
        }
        // A file that was cut short is an error here, before the target is told that this is the end.
        let rows = end.await?;
        request.extend_from_slice(COPY_DONE);
        sent.push((rows, Bytes(bytes)));
    }
    write(target, &request).await?;
    target.flush().await.map_err(lost)?;
    Ok(sent)
}

async fn write(target: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> Result<(), PgError> {
    target.write_all(bytes).await.map_err(lost)
}

fn lost(source: std::io::Error) -> PgError {
    PgError::Io {
        doing: "writing rows to the target".to_owned(),
        source,
    }
}

/// Two counts of every table: our own and the target's.
fn agree(sent: &[(Rows, Bytes)], arrived: &[Rows]) -> Result<(), PgError> {
    if sent.len() != arrived.len() {
        return Err(PgError::Protocol {
            what: "a table had no answer".to_owned(),
        });
    }
    for (&(ours, _), &target_tag) in sent.iter().zip(arrived) {
        if ours != target_tag {
            return Err(PgError::CountMismatch {
                ours,
                source_tag: ours,
                target_tag,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testing::{asked, framed, sql};
    use super::*;

    fn of_rows(rows: &'static [&'static str], ended: Result<Rows, PgError>) -> Supply {
        supply(move |hand_out| {
            for row in rows {
                let mut piece = Piece::with_capacity(16);
                piece.content().extend_from_slice(row.as_bytes());
                piece.count(Rows(1));
                hand_out(piece);
            }
            ended
        })
    }

    async fn pushed(supplies: Vec<Supply>) -> (Vec<u8>, Result<Vec<(Rows, Bytes)>, PgError>) {
        let mut depot = Vec::new();
        let statements = [sql("copy a from stdin"), sql("copy b from stdin")];
        let opening = [sql("begin")];
        let what = (&opening[..], &statements[..supplies.len()], supplies);
        let ended = push(&mut depot, what, &Gauge::default()).await;
        (depot, ended)
    }

    #[tokio::test]
    async fn the_target_is_sent_one_table_after_the_other() {
        let supplies = vec![
            of_rows(&["1\n", "2\n"], Ok(Rows(2))),
            of_rows(&[], Ok(Rows(0))),
        ];
        let (sent, ended) = pushed(supplies).await;
        let expected = [
            asked("begin"),
            asked("copy a from stdin"),
            framed(&["1\n", "2\n"]),
            COPY_DONE.to_vec(),
            asked("copy b from stdin"),
            COPY_DONE.to_vec(),
        ];
        assert_eq!(sent, expected.concat());
        let sent = ended.expect("both went through");
        assert_eq!(sent, [(Rows(2), Bytes(14)), (Rows(0), Bytes(0))]);
    }

    #[tokio::test]
    async fn what_was_cut_short_has_no_end() {
        let broken = || PgError::Supply {
            what: "7.dat ends in the middle of a row".to_owned(),
        };
        let (sent, ended) = pushed(vec![of_rows(&["1\n"], Err(broken()))]).await;
        let error = ended.expect_err("it is not whole");
        assert_eq!(error.to_string(), broken().to_string());
        assert!(!sent.ends_with(COPY_DONE));
        let panicking = supply(|_| panic!("a defect"));
        let (sent, ended) = pushed(vec![panicking]).await;
        assert!(matches!(ended, Err(PgError::Supply { .. })), "{ended:?}");
        assert!(!sent.ends_with(COPY_DONE));
    }

    #[test]
    fn both_counts_must_agree() {
        let sent = [(Rows(1), Bytes(0)), (Rows(2), Bytes(0))];
        assert!(agree(&sent, &[Rows(1), Rows(2)]).is_ok());
        assert!(agree(&sent, &[Rows(1), Rows(3)]).is_err());
        assert!(agree(&sent, &[Rows(1)]).is_err());
    }
}
