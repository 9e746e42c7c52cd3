//! What an operator does to a run, and what befalls it: two at a time, signals, terminals that go, disks that are full; and
//! how it is started apart from a terminal, and watched from elsewhere.

#[path = "../support/mod.rs"]
mod support;

mod alone;
mod detached;
mod elsewhere;
mod scene;
mod stop;
