//! Parses, runs, prints the failure if there is one, and exits; nothing else.

fn main() {}
