//! The demo: a proven move, then a changed cent that is found.

mod support;

use support::binary::Pgconvoy;

#[test]
fn the_demo_moves_proves_and_raises_the_alarm() {
    let run = Pgconvoy::new(["demo"]);
    let temporary = run.dir().join("tmp");
    std::fs::create_dir(&temporary).expect("created");
    make_public(run.dir());
    make_public(&temporary);
    let run = run.env("TMPDIR", &temporary).run();
    assert_eq!(run.status, 0, "{run}");
    for said in [
        "Proven: 5 tables, 468,000 rows",
        "Exit status 0: it is proven.",
        "shop.customers: identical",
        "shop.orders: NOT the same",
        "differs: table data \"shop\".\"orders\"",
        "214.10)",
        "214.11)",
        "exit status 3",
    ] {
        assert!(run.stderr.contains(said), "not said: {said}\n{run}");
    }
    let left: Vec<_> = std::fs::read_dir(&temporary)
        .expect("can be read")
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

/// Where the tests run as root, the servers do not.
fn make_public(dir: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(dir, mode).expect("permitted");
}
