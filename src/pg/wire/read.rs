//! Reads tables by COPY, and keeps nothing: counts and hashes, of one table or of many that are asked for at once.

use tokio::io::{AsyncRead, AsyncWrite};

use super::answers::Answers;
use super::connection::{Wire, queries, send_all};
use super::scanner::RowSink;
use super::{Gauge, Relayed};
use crate::model::{MultisetDigest, RowLayout, Rows, SqlText};
use crate::pg::PgError;

/// What a server is asked.
pub enum Question<'a> {
    /// `COPY … TO STDOUT`, and what its rows look like.
    Copy(SqlText, RowLayout<'a>),
    /// `SELECT count(*)`; the answer is a digest of nothing but the number of rows.
    Count(SqlText),
}

impl Question<'_> {
    fn sql(&self) -> &SqlText {
        match self {
            Self::Copy(sql, _) | Self::Count(sql) => sql,
        }
    }
}

/// Asks everything at once, each in a statement of its own, and reads the answers as they come: one round trip for all of
/// them. A refusal stands in the place of its answer, and stops none of the others, unless they are in one transaction.
///
/// An error is that of the connection; it must be thrown away.
pub async fn ask_all(
    wire: &mut Wire,
    questions: &[Question<'_>],
    gauge: &Gauge,
) -> Result<Vec<Result<Relayed, PgError>>, PgError> {
    let mut answers = Answers::new(&mut wire.reader, &mut wire.buffer, &mut wire.notices);
    // Together: a server takes no further question while it cannot get rid of its rows.
    let request = queries(questions.iter().map(Question::sql));
    let send = send_all(&mut wire.writer, &request, "sending a statement");
    let receive = async {
        let mut heard = Vec::with_capacity(questions.len());
        for question in questions {
            let answer = answer(&mut answers, question, gauge).await;
            match answer {
                Err(error) if answers.is_lost() => return Err(error),
                answer => heard.push(answer),
            }
        }
        Ok(heard)
    };
    match tokio::try_join!(biased; receive, send) {
        Ok((heard, ())) => {
            answers.close();
            Ok(heard)
        }
        Err(error) => {
            let said = answers.complaint();
            wire.broken = true;
            Err(said.filter(|_| error.is_lost_connection()).unwrap_or(error))
        }
    }
}

async fn answer<R: AsyncRead + Unpin>(
    answers: &mut Answers<'_, R>,
    question: &Question<'_>,
    gauge: &Gauge,
) -> Result<Relayed, PgError> {
    match question {
        Question::Copy(sql, layout) => copy(answers, (sql, *layout), (gauge, ()))
            .await
            .map(|(relayed, ())| relayed),
        Question::Count(sql) => {
            let rows = answers.count(sql).await?;
            Ok(Relayed {
                digest: MultisetDigest { rows, sum: 0 },
                ..Relayed::default()
            })
        }
    }
}

/// One COPY from its beginning to its end.
pub(super) async fn copy<R, W, S>(
    answers: &mut Answers<'_, R, W>,
    (sql, layout): (&SqlText, RowLayout<'_>),
    (gauge, sink): (&Gauge, S),
) -> Result<(Relayed, S), PgError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    S: RowSink,
{
    answers.begin(sql, b'H').await?;
    let taken = answers.rows((sql, layout), (gauge, sink)).await?;
    let tag: Rows = answers.end(sql).await?;
    let ours = taken.digest.rows;
    if ours != tag {
        return Err(PgError::CountMismatch {
            ours,
            source_tag: tag,
            target_tag: tag,
        });
    }
    let relayed = Relayed {
        digest: taken.digest,
        bytes: taken.bytes,
    };
    Ok((relayed, taken.sink))
}

/// Reads one COPY to its end, counting and hashing.
pub async fn read_copy(
    wire: &mut Wire,
    copy_out: &SqlText,
    layout: RowLayout<'_>,
    gauge: &Gauge,
) -> Result<Relayed, PgError> {
    let (relayed, ()) = read_rows(wire, copy_out, layout, (gauge, ())).await?;
    Ok(relayed)
}

/// Reads one COPY to its end, and shows each row to a sink, which is given back.
pub async fn read_rows<S: RowSink>(
    wire: &mut Wire,
    copy_out: &SqlText,
    layout: RowLayout<'_>,
    (gauge, sink): (&Gauge, S),
) -> Result<(Relayed, S), PgError> {
    wire.send_query(copy_out).await?;
    let mut answers = Answers::new(&mut wire.reader, &mut wire.buffer, &mut wire.notices);
    let read = copy(&mut answers, (copy_out, layout), (gauge, sink)).await;
    let is_lost = answers.is_lost();
    answers.close();
    wire.broken |= is_lost;
    read
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::super::connection::Notices;
    use super::super::testing::{counted, given_out, refused, sql};
    use super::*;

    #[tokio::test]
    async fn a_refusal_stands_in_the_place_of_its_answer() {
        let said = [given_out(&["1", "2"]), refused("42501"), counted(4)].concat();
        let questions = [
            Question::Copy(sql("copy a to stdout"), RowLayout::Text),
            Question::Copy(sql("copy b to stdout"), RowLayout::Text),
            Question::Count(sql("select count(*) from c")),
        ];
        let (mut leftover, mut notices) = (BytesMut::new(), Notices::default());
        let mut reader = said.as_slice();
        let mut answers = Answers::new(&mut reader, &mut leftover, &mut notices);
        let mut heard = Vec::new();
        for question in &questions {
            let answered = answer(&mut answers, question, &Gauge::default()).await;
            heard.push(answered.map(|relayed| relayed.digest.rows.0));
        }
        assert!(matches!(heard[..], [Ok(2), Err(_), Ok(4)]), "{heard:?}");
        let Err(PgError::Server { statement, .. }) = &heard[1] else {
            panic!("{heard:?}");
        };
        assert_eq!(*statement, sql("copy b to stdout"));
    }
}
