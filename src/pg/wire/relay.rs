//! The COPY relay: from one server's COPY TO into another's COPY FROM, without touching disk; one table, or many in a row.
//!
//! Nobody waits for an answer. The source is asked for everything at once, and the target is sent the next table while it
//! is still busy with the one before:
//!
//! ```text
//!   ask     COPY a TO, count a, COPY b TO, count b, … ──► source
//!   pump    source ──► rows of a, number, rows of b, … ──► COPY a FROM, rows, end, COPY b FROM, rows, end, … ──► target
//!   listen  target ──► a has so many rows, b so many, …
//! ```
//!
//! A bundle of a hundred small tables takes no more round trips than a single one. That is safe because the server ignores
//! rows that come outside of a COPY (manual, "COPY Operations"; `PostgresMain`): what is sent after a refusal does
//! nothing, and a COPY behind it in the same transaction is refused as well. It only counts as arrived when each table had
//! an answer of its own, with the number of rows that the source said, and that went through our hands. Who commits does so
//! afterwards.
//!
//! The pump has one buffer, read from the source and written to the target as it is. That is all the memory a relay takes,
//! and all the backpressure it needs: while the target does not take the buffer, the source is not read. A target that fails
//! early (disk full, a constraint) says so at once and then swallows whatever is sent; because it is listened to
//! meanwhile, a failed COPY does not go on for hours.

use std::time::{Duration, Instant};

use bytes::BytesMut;
use tokio::io::{AsyncRead, AsyncWrite, BufWriter};

use super::answers::Answers;
use super::connection::{Wire, put_query, queries, send_all};
use super::{Gauge, Relayed};
use crate::fault;
use crate::model::{RowLayout, Rows, SqlText};
use crate::pg::PgError;

/// Pieces smaller than this are sent to the target together; it is what a server sends at once.
pub(super) const OUTBOX: usize = 8 << 10;

/// `CopyDone`.
pub(super) const COPY_DONE: &[u8] = b"c\0\0\0\x04";

/// The two ends of a relay.
pub struct Ends<'a> {
    /// A session of the source, inside its transaction.
    pub source: &'a mut Wire,
    /// A session of the target.
    pub target: &'a mut Wire,
}

/// One COPY: out of the source, into the target.
pub struct Leg<'a> {
    /// `COPY … TO STDOUT`.
    pub copy_out: SqlText,
    /// `COPY … FROM STDIN`.
    pub copy_in: SqlText,
    /// What the rows look like.
    pub layout: RowLayout<'a>,
    /// `SELECT count(*)`, which the source is asked as well.
    pub count: Option<SqlText>,
}

/// What goes through in one transaction of the target.
pub struct Bundle<'a> {
    /// What the target is told first: its BEGIN, unless it has one, and whatever makes it ready.
    pub opening: &'a [SqlText],
    /// One after the other.
    pub legs: &'a [Leg<'a>],
    /// Is told of what happens.
    pub tell: &'a (dyn Fn(Moment) + Sync),
}

/// Something happens to a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// The target has done what comes before the first COPY.
    Opened,
    /// The target has all of a table, and not yet all of the next.
    BetweenLegs,
}

/// A leg that both servers and our own count agree on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passed {
    /// What went through.
    pub relayed: Relayed,
    /// What the source counts, if it was asked.
    pub counted: Option<Rows>,
    /// How long the source took for it.
    pub duration: Duration,
}

/// Relays a bundle. Commits nothing. On error both sessions are in the middle of something and must be thrown away: what was
/// begun on the target is then rolled back.
pub async fn relay(
    ends: Ends<'_>,
    bundle: &Bundle<'_>,
    gauge: &Gauge,
) -> Result<Vec<Passed>, PgError> {
    let Ends { source, target } = ends;
    let outbox = BufWriter::with_capacity(OUTBOX, &mut target.writer);
    let mut from_source = Answers::passed_on(
        &mut source.reader,
        &mut source.buffer,
        &mut source.notices,
        Some(outbox),
    );
    let mut from_target = Answers::new(&mut target.reader, &mut target.buffer, &mut target.notices);
    let ended = tokio::try_join!(
        biased;
        listen(&mut from_target, bundle.opening, (copies_in(bundle), bundle.tell)),
        pump(&mut from_source, bundle, gauge),
        ask(&mut source.writer, bundle),
    );
    match ended {
        Ok((arrived, passed, ())) => {
            from_source.close();
            from_target.close();
            agree(&passed, &arrived)?;
            Ok(passed.into_iter().map(|(passed, _)| passed).collect())
        }
        Err(error) => {
            // What a server said before it hung up is the news, not that it hung up.
            let said = from_target.complaint().or(from_source.complaint());
            (source.broken, target.broken) = (true, true);
            Err(said.filter(|_| error.is_lost_connection()).unwrap_or(error))
        }
    }
}

/// Asks the source for everything. Its answers are read meanwhile: it takes no further question while it cannot get rid of
/// its rows.
async fn ask(source: &mut (impl AsyncWrite + Unpin), bundle: &Bundle<'_>) -> Result<(), PgError> {
    let request = queries(
        bundle
            .legs
            .iter()
            .flat_map(|leg| [Some(&leg.copy_out), leg.count.as_ref()])
            .flatten(),
    );
    send_all(source, &request, "sending a statement").await
}

/// Passes on what the source answers, each table between its COPY FROM and its end. Returns with each what the source's
/// command tag says.
async fn pump<R, W>(
    source: &mut Answers<'_, R, W>,
    bundle: &Bundle<'_>,
    gauge: &Gauge,
) -> Result<Vec<(Passed, Rows)>, PgError>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut request = BytesMut::new();
    for sql in bundle.opening {
        put_query(sql, &mut request);
    }
    source.pass(&request).await?;
    let mut passed = Vec::with_capacity(bundle.legs.len());
    for leg in bundle.legs {
        let started = Instant::now();
        source.begin(&leg.copy_out, b'H').await?;
        request.clear();
        put_query(&leg.copy_in, &mut request);
        source.pass(&request).await?;
        let question = (&leg.copy_out, leg.layout);
        // A stream that was cut short is an error here, before the target is told that this is the end.
        let taken = source.rows(question, (gauge, ())).await?;
        source.pass(COPY_DONE).await?;
        fault::point("copy-done-sent");
        let source_tag = source.end(&leg.copy_out).await?;
        let mut counted = None;
        if let Some(count) = &leg.count {
            counted = Some(source.count(count).await?);
        }
        let relayed = Relayed {
            digest: taken.digest,
            bytes: taken.bytes,
        };
        let duration = started.elapsed();
        let leg = Passed {
            relayed,
            counted,
            duration,
        };
        passed.push((leg, source_tag));
    }
    source.flush().await?;
    Ok(passed)
}

fn copies_in<'a>(bundle: &'a Bundle<'_>) -> impl Iterator<Item = &'a SqlText> {
    bundle.legs.iter().map(|leg| &leg.copy_in)
}

/// Hears the target out, in the order of what it is sent. Returns what its command tags say.
pub(super) async fn listen<'a, R>(
    target: &mut Answers<'_, R>,
    opening: &[SqlText],
    (copies_in, tell): (impl Iterator<Item = &'a SqlText>, &(dyn Fn(Moment) + Sync)),
) -> Result<Vec<Rows>, PgError>
where
    R: AsyncRead + Unpin,
{
    for sql in opening {
        target.done(sql).await?;
    }
    tell(Moment::Opened);
    let mut arrived = Vec::new();
    for copy_in in copies_in {
        if !arrived.is_empty() {
            tell(Moment::BetweenLegs);
        }
        target.begin(copy_in, b'G').await?;
        arrived.push(target.end(copy_in).await?);
    }
    Ok(arrived)
}

/// Three counts of every table: our own, the source's and the target's.
fn agree(passed: &[(Passed, Rows)], arrived: &[Rows]) -> Result<(), PgError> {
    if passed.len() != arrived.len() {
        return Err(PgError::Protocol {
            what: "a table had no answer".to_owned(),
        });
    }
    for (&(leg, source_tag), &target_tag) in passed.iter().zip(arrived) {
        let ours = leg.relayed.digest.rows;
        if ours != source_tag || ours != target_tag {
            return Err(PgError::CountMismatch {
                ours,
                source_tag,
                target_tag,
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::connection::Notices;
    use super::super::testing::{
        Depot, Road, asked, complaint, counted, framed, given_out, message, ready, refused, sql,
        tag, taken_in,
    };
    use super::*;

    fn legs(names: &[&str]) -> Vec<Leg<'static>> {
        let leg = |name: &&str| Leg {
            copy_out: sql(&format!("copy {name} to stdout")),
            copy_in: sql(&format!("copy {name} from stdin")),
            layout: RowLayout::Text,
            count: Some(sql(&format!("select count(*) from {name}"))),
        };
        names.iter().map(leg).collect()
    }

    /// What a target is sent for what a source answers, and how that ended.
    async fn pumped(
        legs: &[Leg<'_>],
        said: &[Vec<u8>],
    ) -> (Vec<u8>, usize, Result<Vec<(Passed, Rows)>, PgError>) {
        let opening = [sql("begin")];
        let bundle = Bundle {
            opening: &opening,
            legs,
            tell: &|_| {},
        };
        let said = said.concat();
        let mut road = Road {
            bytes: &said,
            at_once: 5000,
            reads: 0,
        };
        let mut depot = Depot::default();
        let (mut leftover, mut notices) = (BytesMut::new(), Notices::default());
        let outbox = Some(BufWriter::with_capacity(OUTBOX, &mut depot));
        let mut answers = Answers::passed_on(&mut road, &mut leftover, &mut notices, outbox);
        let ended = pump(&mut answers, &bundle, &Gauge::default()).await;
        answers.flush().await.expect("what was held back");
        (depot.bytes, depot.writes, ended)
    }

    /// How a target's answers to three tables are taken.
    async fn heard(said: &[Vec<u8>]) -> Result<Vec<Rows>, PgError> {
        let opening = [sql("begin"), sql("truncate table a")];
        let bundle = Bundle {
            opening: &opening,
            legs: &legs(&["a", "b", "c"]),
            tell: &|_| {},
        };
        let said = said.concat();
        let (mut leftover, mut notices) = (BytesMut::new(), Notices::default());
        let mut reader = said.as_slice();
        let mut answers = Answers::new(&mut reader, &mut leftover, &mut notices);
        listen(
            &mut answers,
            bundle.opening,
            (copies_in(&bundle), bundle.tell),
        )
        .await
    }

    fn opened() -> Vec<u8> {
        [tag("BEGIN"), ready(), tag("TRUNCATE TABLE"), ready()].concat()
    }

    #[tokio::test]
    async fn the_target_is_sent_one_table_after_the_other() {
        let said = [
            given_out(&["1\n", "2\n"]),
            counted(2),
            given_out(&[]),
            counted(0),
        ];
        let (sent, _, ended) = pumped(&legs(&["a", "b"]), &said).await;
        let expected = [
            asked("begin"),
            asked("copy a from stdin"),
            framed(&["1\n", "2\n"]),
            COPY_DONE.to_vec(),
            asked("copy b from stdin"),
            COPY_DONE.to_vec(),
        ];
        assert_eq!(sent, expected.concat());
        let passed = ended.expect("both went through");
        let counts = passed.iter().map(|(leg, tag)| {
            let ours = leg.relayed.digest.rows.0;
            (ours, leg.counted.map(|rows| rows.0), tag.0)
        });
        assert_eq!(
            counts.collect::<Vec<_>>(),
            [(2, Some(2), 2), (0, Some(0), 0)]
        );
    }

    /// A thousand tables of a row each cost as many system calls as their bytes do, not as there are tables.
    #[tokio::test]
    async fn small_tables_travel_together() {
        let names: Vec<String> = (0..1000).map(|number| format!("t{number}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let said = vec![[given_out(&["1\n"]), counted(1)].concat(); 1000];
        let (sent, writes, ended) = pumped(&legs(&names), &said).await;
        assert_eq!(ended.expect("all went through").len(), 1000);
        let reads = said.concat().len() / 5000 + 2;
        assert!(writes <= reads + sent.len() / OUTBOX, "{writes} writes");
    }

    #[tokio::test]
    async fn what_the_source_refuses_does_not_begin_on_the_target() {
        let said = [
            given_out(&["1\n"]),
            counted(1),
            refused("42501"),
            refused("25P02"),
        ];
        let (sent, _, ended) = pumped(&legs(&["a", "b"]), &said).await;
        let Err(PgError::Server { statement, error }) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(
            (statement, error.code.as_str()),
            (sql("copy b to stdout"), "42501")
        );
        assert!(sent.ends_with(COPY_DONE));
        let needle = asked("copy b from stdin");
        assert!(!sent.windows(needle.len()).any(|sent| sent == needle));
    }

    #[tokio::test]
    async fn what_was_cut_short_has_no_end() {
        let mut binary = legs(&["a"]);
        binary[0].layout = RowLayout::PLAIN;
        let (sent, _, ended) = pumped(&binary, &[given_out(&[])]).await;
        assert!(matches!(ended, Err(PgError::Scan(_))), "{ended:?}");
        assert!(!sent.ends_with(COPY_DONE));

        let begun = [
            message(b'H', b""),
            framed(&["1\n"]),
            complaint("58030"),
            ready(),
        ];
        let (sent, _, ended) = pumped(&legs(&["a"]), &begun).await;
        assert_eq!(ended.expect_err("it failed").code(), Some("58030"));
        assert!(!sent.ends_with(COPY_DONE));
    }

    #[tokio::test]
    async fn every_table_has_an_answer_of_its_own() {
        let said = [opened(), taken_in(1), taken_in(0), taken_in(7)];
        assert_eq!(
            heard(&said).await.expect("all is well"),
            [Rows(1), Rows(0), Rows(7)]
        );
        let without_g = [tag("COPY 1"), ready()].concat();
        let without_tag = [message(b'G', b""), ready()].concat();
        let without_count = [message(b'G', b""), tag("COPY"), ready()].concat();
        let twice = [message(b'G', b""), tag("COPY 1"), tag("COPY 1"), ready()].concat();
        let rows = [message(b'G', b""), framed(&["1"]), tag("COPY 1"), ready()].concat();
        for not_one in [
            without_g,
            without_tag,
            without_count,
            twice,
            rows,
            ready(),
            vec![],
        ] {
            for place in 1..=3 {
                let mut said = said.clone();
                said[place].clone_from(&not_one);
                let ended = heard(&said).await;
                assert!(ended.is_err(), "{not_one:?} for table {place}: {ended:?}");
            }
        }
        for end in 0..said.concat().len() {
            let ended = heard(&[said.concat()[..end].to_vec()]).await;
            assert!(ended.is_err(), "{end} bytes: {ended:?}");
        }
    }

    /// After the first refusal the transaction is spoilt: what the others are refused for is no news.
    #[tokio::test]
    async fn the_first_refusal_is_the_one_that_is_named() {
        let in_the_middle = [message(b'G', b""), refused("23514")].concat();
        for first in [refused("23514"), in_the_middle] {
            let said = [opened(), taken_in(1), first, refused("25P02")];
            let ended = heard(&said).await;
            let Err(PgError::Server { statement, error }) = ended else {
                panic!("{ended:?}");
            };
            assert_eq!(
                (statement, error.code.as_str()),
                (sql("copy b from stdin"), "23514")
            );
        }
        let spoilt = [tag("BEGIN"), ready(), refused("42501"), refused("25P02")];
        let ended = heard(&spoilt).await;
        let Err(PgError::Server { statement, .. }) = ended else {
            panic!("{ended:?}");
        };
        assert_eq!(statement, sql("truncate table a"));
    }

    #[tokio::test]
    async fn what_a_server_says_before_it_hangs_up_is_the_news() {
        let said = [opened(), message(b'G', b""), complaint("57P01")];
        assert_eq!(heard(&said).await.expect_err("gone").code(), Some("57P01"));
    }

    #[test]
    fn three_counts_must_agree() {
        let leg = Passed {
            relayed: Relayed::default(),
            counted: None,
            duration: Duration::ZERO,
        };
        let passed = [(leg, Rows(0)), (leg, Rows(0))];
        assert!(agree(&passed, &[Rows(0), Rows(0)]).is_ok());
        assert!(agree(&passed, &[Rows(0), Rows(1)]).is_err());
        assert!(agree(&[(leg, Rows(0)), (leg, Rows(1))], &[Rows(0), Rows(0)]).is_err());
        assert!(agree(&passed, &[Rows(0)]).is_err());
    }
}
