//! Targets that follow their source after a move, cut-over, fallback, and the removal of it all, by the real binary between real
//! servers.

#[path = "../support/mod.rs"]
mod support;

mod application;
mod budget;
mod conditions;
mod faults;
mod foreign;
mod foreseen;
mod identity;
mod killed;
mod lab;
mod refusals;
mod rules;
mod scene;
mod story;
mod unheard;
