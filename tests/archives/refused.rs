//! What is refused before a row is loaded or an object is dropped: columns, keys and subscriptions that stand in the way.

use crate::scene::{anew, archives, assert_ends, restore, rules, scene, scratch};
use crate::support::moving::assert_proven;

#[test]
fn columns_that_are_missing_or_computed_are_named() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    let to = anew(&server, "rows");
    assert_proven(&restore(&archive, &to, &["--schema-only"]));
    for (done, said) in [
        ("drop column body", "app.child.body is missing"),
        (
            "add column body text generated always as (id::text) stored",
            "app.child.body is computed by the target",
        ),
    ] {
        server.psql("rows", &format!("alter table app.child {done}"));
        let refused = restore(&archive, &to, &["--data-only"]);
        assert_ends(&refused, 4, &["[columns-missing]", said]);
        let loaded = "select count(*) from app.parent";
        assert_eq!(server.psql("rows", loaded), "0", "{refused}");
    }
    let as_it_was = "alter table app.child drop column body, add column body text";
    server.psql("rows", as_it_was);
    assert_proven(&restore(&archive, &to, &["--data-only"]));
}

/// One that can wait for the end of its transaction is checked by a trigger.
#[test]
fn keys_that_nobody_would_check_are_named() {
    let Some(server) = scene(18) else { return };
    let dir = scratch();
    let [archive, _] = archives(&server, dir.path());
    let to = anew(&server, "rows");
    assert_proven(&restore(&archive, &to, &["--schema-only"]));
    let add = "alter table app.self add constraint once unique (up) deferrable";
    server.psql("rows", add);
    let aside = ["--data-only", "--disable-triggers"];
    let refused = restore(&archive, &to, &aside);
    assert_ends(&refused, 4, &["[deferrable-keys]", "once of app.self"]);
    // Both ways out that it names.
    assert_proven(&restore(&archive, &to, &["--data-only"]));
    server.psql("rows", "alter table app.self drop constraint once");
    let again = [&aside[..], &["--overwrite", "rows"]].concat();
    assert_proven(&restore(&archive, &to, &again));
}

/// Who drops a subscription has to see to its slot on the other server.
#[test]
fn subscriptions_are_not_dropped() {
    let Some(server) = scene(18) else { return };
    server.psql(
        "scene",
        "set client_min_messages = error;
         create subscription news connection 'dbname=none' publication p with (connect = false)",
    );
    let dir = scratch();
    for archive in archives(&server, dir.path()) {
        let to = anew(&server, "kept");
        assert_proven(&restore(&archive, &to, &["--no-subscriptions"]));
        let clean = ["--clean", "kept"];
        let refused = restore(&archive, &to, &clean);
        let said = [
            "[clean-subscriptions]",
            "--clean does not drop subscriptions",
            ": news",
        ];
        assert_ends(&refused, 4, &said);
        let left_out = [&clean[..], &["--no-subscriptions"]].concat();
        let run = restore(&archive, &to, &left_out);
        assert_proven(&run);
        assert_eq!(rules(&run), ["target-cleaned"], "{run}");
    }
}
