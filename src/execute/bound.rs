//! Which side sets the pace of a running COPY, as the relay itself notices: it waits for rows, for room, or for neither.
//!
//! Only of one that moves, and up to when it last did. Before its first row and after its last, the relay waits for answers that it does
//! not time; what the servers do then, the watchdog asks them.

use std::time::{Duration, Instant};

use crate::event::Bound;
use crate::model::{Bytes, Rows};
use crate::pg::wire::{Gauge, Waits};

/// Over how long it is looked at: what changes faster is nothing to act on.
const WINDOW: Duration = Duration::from_secs(5);
/// Whoever is waited for so much of the time sets the pace.
const MOSTLY: f64 = 0.6;
/// If nobody is waited for much longer than this part of the time, we do.
const HARDLY: f64 = 0.3;

/// What was seen of a job.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// Since when it is looked at, and what it had waited until then; from its first movement on.
    since: Option<(Instant, Waits)>,
    /// How far it was.
    shown: (Rows, Bytes),
    told: Bound,
}

impl Pace {
    /// What is to be told now, if that is news.
    pub fn look(&mut self, gauge: &Gauge, now: Instant) -> Option<Bound> {
        let shows = gauge.read();
        if shows == self.shown {
            return None;
        }
        self.shown = shows;
        let waits = gauge.waits();
        let (since, before) = *self.since.get_or_insert((now, waits));
        let passed = now.saturating_duration_since(since);
        if passed < WINDOW {
            return None;
        }
        self.since = Some((now, waits));
        let bound = bound(passed, waits.since(before));
        let is_news = bound != self.told;
        self.told = bound;
        is_news.then_some(bound)
    }
}

fn bound(passed: Duration, waits: Waits) -> Bound {
    let part = |waited: Duration| waited.as_secs_f64() / passed.as_secs_f64().max(1e-9);
    let (for_rows, for_room) = (part(waits.for_rows), part(waits.for_room));
    if for_rows >= MOSTLY {
        Bound::Source
    } else if for_room >= MOSTLY {
        Bound::Target
    } else if for_rows + for_room < HARDLY {
        Bound::Client
    } else {
        Bound::Nobody
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn whoever_is_waited_for_sets_the_pace() {
        let of = |for_rows, for_room| {
            let waits = Waits {
                for_rows: MS(for_rows),
                for_room: MS(for_room),
            };
            bound(MS(1000), waits)
        };
        assert_eq!(of(700, 100), Bound::Source);
        assert_eq!(of(100, 700), Bound::Target);
        assert_eq!(of(100, 100), Bound::Client);
        assert_eq!(of(400, 400), Bound::Nobody);
    }

    #[test]
    fn it_is_told_when_it_changes_and_of_the_last_window_alone() {
        let (gauge, began) = (Gauge::default(), Instant::now());
        let mut pace = Pace::default();
        let mut told = Vec::new();
        for second in 1..=16 {
            match second {
                1..=11 => gauge.waited_for_rows(MS(950)),
                _ => gauge.waited_for_room(MS(950)),
            }
            gauge.advance(Rows(1), Bytes(1));
            let news = pace.look(&gauge, began + MS(1000 * second));
            told.extend(news.map(|bound| (second, bound)));
        }
        assert_eq!(told, [(6, Bound::Source), (16, Bound::Target)]);
    }

    #[test]
    fn of_one_that_stands_still_nothing_is_said() {
        let (gauge, began) = (Gauge::default(), Instant::now());
        let mut pace = Pace::default();
        for second in 1..=20 {
            assert_eq!(pace.look(&gauge, began + MS(1000 * second)), None);
        }
    }
}
