//! The zoo, from one version to a later one.

use crate::scene::{Scene, is_nothing, quiet};
use crate::support::moving::{assert_proven, build, move_with};

#[test]
fn the_zoo_is_brought_over_from_15_to_18() {
    let (Some(source), Some(target)) = (quiet(15), quiet(18)) else {
        return;
    };
    build(&target, "postgres", "zoo-roles.sql", "");
    let (from, to) = (source.database("zoo"), target.database("zoo"));
    build(
        &source,
        "zoo",
        "zoo.sql",
        "target=18 pg_dump=18 subscription=off",
    );
    assert_proven(&move_with(&from, &to, &[]));
    source.psql("zoo", include_str!("zoo.sql"));
    let scene = Scene {
        source: &source,
        target: &target,
        database: "zoo",
    };
    let done = scene.bring_over_as_foretold();
    let tables = done["tables"].as_array().map_or(0, Vec::len);
    assert!(tables > 60, "{tables}: {done}");
    assert!(!is_nothing(&done));
}
