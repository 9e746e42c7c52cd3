//! The scenarios: what the source is filled with, and what lies between the tools and the servers.
//!
//! The rows depend on the scale alone, so that every run of a scenario, on any version, moves the same.

use std::time::Duration;

use crate::road::Kind;

/// How the servers of a pair are set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Setting {
    /// As somebody sets them who is about to load a few gigabytes.
    Tuned,
    /// As initdb leaves them.
    Default,
}

impl Setting {
    pub const ALL: [Self; 2] = [Self::Tuned, Self::Default];

    pub fn name(self) -> &'static str {
        match self {
            Self::Tuned => "tuned",
            Self::Default => "default",
        }
    }

    /// Throw-away clusters take short cuts that no server of value may take: here they are undone.
    pub fn settings(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Tuned => &[
                ("fsync", "on"),
                ("full_page_writes", "on"),
                ("synchronous_commit", "on"),
                ("max_wal_size", "8GB"),
                ("shared_buffers", "2GB"),
                ("maintenance_work_mem", "512MB"),
            ],
            Self::Default => &[
                ("fsync", "on"),
                ("full_page_writes", "on"),
                ("synchronous_commit", "on"),
                ("max_wal_size", "1GB"),
            ],
        }
    }
}

/// A script that fills a part of the source: psql's variable `scale` is set in it.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// Run once.
    Once(&'static str),
    /// Run by all cores at a time, with `part` (from 0) and `parts` set.
    InParts(&'static str),
}

/// What is moved, and by what road.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    pub name: &'static str,
    pub about: &'static str,
    /// In this order; paths from the checkout's root.
    pub steps: &'static [Step],
    /// What the scale is multiplied by.
    pub scale: f64,
    /// What lies between the tools and both servers; else it is a Unix socket.
    pub road: Option<Kind>,
    /// Settings without which some tool could not do it at all.
    pub settings: &'static [(&'static str, &'static str)],
}

const MIX: &[Step] = &[Step::Once("fixtures/schemas/mastodon.sql")];

const MANY: &[Step] = &[
    Step::Once("benches/scenarios/many.sql"),
    Step::InParts("benches/scenarios/many-tables.sql"),
    Step::Once("benches/scenarios/many-references.sql"),
];

/// A round trip takes twice that.
const TEN_MS: Duration = Duration::from_millis(10);

/// 100 Mbit/s.
const NARROW_BYTES_PER_SECOND: u64 = 12_500_000;

const PLAIN: Scenario = Scenario {
    name: "",
    about: "",
    steps: &[],
    scale: 1.0,
    road: None,
    settings: &[],
};

pub const SCENARIOS: [Scenario; 8] = [
    Scenario {
        name: "mix",
        about: "a social network's database, 2 GB with its indexes",
        steps: MIX,
        ..PLAIN
    },
    Scenario {
        name: "giant",
        about: "one table of more than 1 GB that is nearly everything, with six indexes, one of them GIN",
        steps: &[
            Step::Once("benches/scenarios/giant.sql"),
            Step::InParts("benches/scenarios/giant-rows.sql"),
            Step::Once("benches/scenarios/giant-indexes.sql"),
        ],
        ..PLAIN
    },
    Scenario {
        name: "many",
        about: "3,000 small tables",
        steps: MANY,
        ..PLAIN
    },
    Scenario {
        name: "many-more",
        about: "30,000 small tables",
        steps: MANY,
        scale: 10.0,
        // pg_dump locks all tables in one transaction: the usual 64 are enough for some 7,000.
        settings: &[("max_locks_per_transaction", "512")],
        ..PLAIN
    },
    Scenario {
        name: "toast",
        about: "few rows with values of 1 to 10 MB: bytea, text, jsonb; more than 1 GB",
        steps: &[
            Step::Once("benches/scenarios/toast.sql"),
            Step::InParts("benches/scenarios/toast-rows.sql"),
        ],
        ..PLAIN
    },
    Scenario {
        name: "blobs",
        about: "100,000 large objects of a few kB",
        steps: &[
            Step::Once("benches/scenarios/blobs.sql"),
            Step::InParts("benches/scenarios/blobs-objects.sql"),
        ],
        ..PLAIN
    },
    Scenario {
        name: "far",
        about: "mix at 0.4, with 20 ms for a round trip to either server",
        steps: MIX,
        scale: 0.4,
        road: Some(Kind {
            one_way: TEN_MS,
            bytes_per_second: None,
        }),
        ..PLAIN
    },
    Scenario {
        name: "narrow",
        about: "the same, and 100 Mbit/s in each direction",
        steps: MIX,
        scale: 0.4,
        road: Some(Kind {
            one_way: TEN_MS,
            bytes_per_second: Some(NARROW_BYTES_PER_SECOND),
        }),
        ..PLAIN
    },
];
