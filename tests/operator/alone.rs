//! One run at a time for a run directory, and for a target.

use crate::scene::Scene;
use crate::support::moving::{RUN_DIR, assert_no_ledger, assert_proven};

#[test]
fn a_run_directory_and_a_target_belong_to_one_run_at_a_time() {
    // 13 does not look whether its client is still there: what a killed run leaves behind stays.
    let Some(scene) = Scene::set(13, 3600) else {
        return;
    };
    let mut first = scene.moving(&[]).start();
    scene.wait_for_slow_index(&mut first);
    let pid = first.pid();

    let same_dir = first.dir().join(RUN_DIR).display().to_string();
    let refused = scene.moving_in(&same_dir, &[]).run();
    assert_eq!(refused.status, 2, "{refused}");
    let says = format!("{same_dir} cannot be used: it is in use by pgconvoy, pid {pid}, since ");
    assert!(refused.stderr.contains(&says), "{refused}");
    assert!(
        refused
            .stderr
            .contains(&format!("pgconvoy watch {same_dir}")),
        "{refused}"
    );

    let refused = scene.moving(&["--overwrite", "dst"]).run();
    assert_eq!(refused.status, 4, "{refused}");
    for says in [
        "the target database \"dst\" is being filled by another run of pgconvoy: pid ",
        " (pgconvoy:claim), role postgres, since 20",
        "Nothing was touched",
    ] {
        assert!(refused.stderr.contains(says), "{says}: {refused}");
    }
    assert!(!refused.path(RUN_DIR).exists(), "{refused}");

    first.kill();
    drop(first.finish());
    let left = scene.backends("query ilike '%slow_index%'");
    assert_ne!(left, "", "a killed run leaves it behind");
    let again = scene
        .moving(&["--overwrite", "dst", "--exclude-table=slow"])
        .run();
    assert_proven(&again);
    let says = "ended a session that an earlier run left on the target: pid ";
    assert!(again.stderr.contains(says), "{again}");
    scene.assert_no_backends();
    assert_no_ledger(&scene.server, "dst");
}
