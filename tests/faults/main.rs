//! Moves that are killed, cut off or starved at every moment and then resumed: what arrives is what an undisturbed move
//! brings, the source is as it was, and nothing of ours stays behind.
//!
//! | file | |
//! |---|---|
//! | `faults.txt` | the table: phase, database, fault, moment |
//! | `table` | reads it |
//! | `lab` | two servers, and what an undisturbed move between them looks like |
//! | `case` | one move with its resumptions, and the look at what is left of them |
//! | `figures` | how many faults, resumptions and differences; `make test-faults` sums them up |
//! | `matrix` | goes through the table |
//! | `instants` | kills at random instants, and what resumes as well |
//! | `disks` | full and read-only ones |
//! | `elsewhere` | without the run directory, after the source has changed, two at a time |

#[path = "../support/mod.rs"]
mod support;

mod case;
mod disks;
mod elsewhere;
mod figures;
mod instants;
mod lab;
mod matrix;
mod table;
