//! What packages are made of: nothing is named that is not there, and nothing that is needed is missing.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// The first of each of the lists within a list of `Cargo.toml`.
fn assets() -> Vec<String> {
    let manifest = text("Cargo.toml");
    let assets = manifest.split_once("assets = [").expect("assets").1;
    let assets = assets.split_once("\n]").expect("their end").0;
    let of_line = |line: &str| line.split('"').nth(1).map(str::to_owned);
    assets.lines().filter_map(of_line).collect()
}

#[test]
fn the_debian_package_has_what_make_puts_together() {
    let makefile = text("Makefile");
    let assets = assets();
    assert!(assets.len() >= 6, "{assets:?}");
    for asset in assets {
        let made = match asset.strip_prefix("target/package/") {
            Some(made) => {
                let made = made.trim_end_matches("/*.1");
                makefile.contains(&format!("$(PACKAGE)/{made}\n"))
            }
            None => root().join(&asset).exists() || makefile.contains(&asset),
        };
        assert!(made, "nobody makes {asset}");
    }
}

/// Without these a package is made all the same, in which nobody is named, and which says nothing of what may be done with it.
#[test]
fn the_debian_package_says_who_made_it_and_what_may_be_done_with_it() {
    let manifest = text("Cargo.toml");
    let value = |key: &str| {
        let line = manifest.lines().find_map(|line| line.strip_prefix(key));
        let value = line.and_then(|line| line.strip_prefix(" = \"")?.strip_suffix('"'));
        value.unwrap_or_else(|| panic!("no {key}")).to_owned()
    };
    let maintainer = regex::Regex::new("^[^<>]+ <[^@<> ]+@[^@<> ]+>$").expect("a pattern");
    assert!(maintainer.is_match(&value("maintainer")));
    // It stands on one line, beside the package's name.
    assert!(value("description").len() < 79, "{}", value("description"));
    assert!(manifest.contains("\nextended-description = "));
    let copyright = r#"["LICENSE", "usr/share/doc/pgconvoy/copyright", "644"]"#;
    assert!(manifest.contains(copyright));
    // The profile keeps the lines of the source, which nobody needs who installs it.
    assert!(text("Makefile").contains("cargo deb --no-build --locked --strip"));
}

/// With what the image's build is given, cargo finds every target that the manifest names.
#[test]
fn the_image_is_built_from_what_is_copied_into_it() {
    let dockerfile = text("Dockerfile");
    let ignored: BTreeSet<String> = text(".dockerignore").lines().map(str::to_owned).collect();
    let dir = tempfile::tempdir().expect("a directory");
    let sources = dockerfile.lines().filter_map(|line| {
        let copied = line
            .strip_prefix("COPY ")
            .filter(|line| !line.starts_with("--from"))?;
        let mut words: Vec<&str> = copied.split(' ').collect();
        // The last word says where to.
        words.pop();
        Some(words)
    });
    for source in sources.flatten() {
        assert!(!ignored.contains(source), "{source} is kept from the build");
        let (from, to) = (root().join(source), dir.path().join(source));
        assert!(from.exists(), "{source} is not there");
        fs::create_dir_all(to.parent().expect("a parent")).expect("made");
        std::os::unix::fs::symlink(&from, &to).expect("linked");
    }
    let cargo = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--offline",
            "--locked",
            "--format-version",
            "1",
        ])
        .current_dir(dir.path())
        .output()
        .expect("cargo starts");
    let said = String::from_utf8_lossy(&cargo.stderr);
    assert!(cargo.status.success(), "{said}");
    for file in ["Dockerfile", "Makefile"] {
        assert!(text(file).contains("pgconvoy"), "{file}");
    }
    let user = dockerfile.rsplit_once("\nUSER ").expect("a user").1;
    assert!(
        !user.starts_with("root") && user.contains("ENTRYPOINT"),
        "{user}"
    );
}
