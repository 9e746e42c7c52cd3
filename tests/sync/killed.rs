//! Killed at every moment of its own: the target is as it was, or as it is to be, and the same again does the rest.
#![cfg(feature = "faults")]

use pgconvoy::fault::POINTS;
use serde_json::Value;

use crate::scene::{Scene, is_nothing, prepare, quiet};
use crate::shop::{CHANGES, SHOP};
use crate::support::moving::{assert_proven, move_with};

/// The others are done when everything is asked for: `PGCONVOY_SYNC=whole`.
const BY_DEFAULT: [&str; 2] = ["sync-uncommitted", "sync-committed"];

#[test]
fn killed_at_any_moment_the_target_is_old_or_new_and_the_same_again_does_the_rest() {
    let (Some(source), Some(target)) = (quiet(16), quiet(16)) else {
        return;
    };
    let (from, to) = (source.database("shop"), target.database("shop"));
    source.psql("shop", SHOP);
    source.psql("shop", "create sequence shop.down increment -1");
    assert_proven(&move_with(&from, &to, &[]));
    target.psql(
        "shop",
        "insert into shop.orders (customer, note) select 1, 'only here' from generate_series(1, 5)",
    );
    target.psql("postgres", "create database old template shop");
    source.psql("shop", CHANGES);
    source.psql(
        "shop",
        "select nextval('shop.down') from generate_series(1, 5)",
    );
    let points = POINTS.iter().map(|point| point.name);
    let points: Vec<&str> = points.filter(|name| name.starts_with("sync-")).collect();
    assert_eq!(points.len(), 6);
    let is_whole = std::env::var("PGCONVOY_SYNC").is_ok_and(|wanted| wanted == "whole");
    let points = points
        .into_iter()
        .filter(|name| is_whole || BY_DEFAULT.contains(name));
    for point in points {
        target.psql("postgres", "drop database if exists shop with (force)");
        target.psql("postgres", "create database shop template old");
        let run = prepare(&from, &to, &[])
            .env("PGCONVOY_FAULT", format!("kill@{point}"))
            .run();
        assert_eq!(run.status, -1, "{point}: {run}");
        // A server that has got COMMIT commits, and one that has not rolls back when it notices: the claim waits for that.
        let scene = Scene {
            source: &source,
            target: &target,
            database: "shop",
        };
        let is_new = "select count(*) from shop.customers where id = 200000";
        let rows = "select count(*) from shop.slots where place < 4 and id <> place";
        let (new, swapped) = (target.psql("shop", is_new), target.psql("shop", rows));
        let whole = (new.as_str(), swapped.as_str());
        assert!(
            matches!(whole, ("0", "0") | ("1", "3")),
            "{point}: {whole:?}"
        );
        assert_eq!(new == "1", point == "sync-committed", "{point}");
        // Whoever writes next finds no number taken: what goes on has gone before the commit, and what goes back has not gone yet.
        let at_the_end = BY_DEFAULT.contains(&point);
        let stand = target.psql("shop", STAND);
        let wanted = if at_the_end { "t|-5" } else { "t|-1" };
        assert_eq!(stand, wanted, "{point}");
        let done = scene.bring_over();
        assert!(!is_nothing(&done), "{point}: {done}");
        let tables = done["tables"].as_array().map(Vec::len);
        assert_eq!(tables == Some(0), new == "1", "{point}: {done}");
        if new == "1" {
            let names: Vec<&Value> = done["sequences"]
                .as_array()
                .expect("a list")
                .iter()
                .map(|one| &one["name"])
                .collect();
            assert_eq!(names, ["orders_id_seq"], "{point}: {done}");
        }
    }
}

/// Whether the next order gets a number of its own, and where the sequence stands that goes down.
const STAND: &str = "
    select (select last_value from shop.orders_id_seq) >= (select max(id) from shop.orders), (select last_value from shop.down);
";
