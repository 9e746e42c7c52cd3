//! Fault points for the test suite, named by moment.
//!
//! Only in builds with the feature `faults`, which no release has: there, `PGCONVOY_FAULT=name` makes one point strike. In
//! every other build a point is a constant `false` and costs nothing.

/// Whether the fault with this name is to happen.
#[cfg(feature = "faults")]
pub fn strikes(name: &str) -> bool {
    std::env::var("PGCONVOY_FAULT").is_ok_and(|wanted| wanted == name)
}

/// Whether the fault with this name is to happen: never, in this build.
#[cfg(not(feature = "faults"))]
pub const fn strikes(_name: &str) -> bool {
    false
}
