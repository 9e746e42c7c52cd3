//! How many workers, how large a chunk, how much memory.

use clap::Args;

use super::size;
use crate::cli::requested::Sizes;
use crate::model::Bytes;

/// How to go about it.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Speed")]
pub struct SpeedArgs {
    /// Number of workers; each has a connection to the source and one to the target [default: all cores]
    #[arg(short = 'j', long, value_name = "N", value_parser = SpeedArgs::parse_jobs)]
    jobs: Option<u32>,

    /// Tables larger than this are copied in chunks, for example 512MB [default: chosen from the table sizes]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    chunk_size: Option<Bytes>,

    /// Memory on the target for all index builds together [default: half of its `shared_buffers`, at least 512MB]
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<Bytes>,
}

impl SpeedArgs {
    /// Number of workers.
    pub fn jobs(&self) -> u32 {
        self.jobs.unwrap_or_else(Self::cores)
    }

    /// How many there are by default.
    pub fn cores() -> u32 {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        u32::try_from(cores).unwrap_or(1)
    }

    /// A number of workers.
    pub fn parse_jobs(text: &str) -> Result<u32, String> {
        const MOST: u32 = 1000;
        match text.parse() {
            Ok(0) => Err(
                "nothing would ever be done: give at least 1, or leave -j out to use all cores"
                    .to_owned(),
            ),
            Ok(jobs) if jobs <= MOST => Ok(jobs),
            _ => Err(format!("it must be a number from 1 to {MOST}")),
        }
    }

    /// Sizes that were named.
    pub fn sizes(&self) -> Sizes {
        Sizes {
            memory: self.memory,
            chunk_size: self.chunk_size,
            workers: None,
        }
    }
}
