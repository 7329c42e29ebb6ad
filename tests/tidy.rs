//! Checks on the source text: which floor may name which, names that say something, openings.
#![expect(clippy::unwrap_used, reason = "a test that cannot read the source has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors and what each may name of the others, ground first, as in `src/lib.rs`.
const FLOORS: [(&str, &[&str]); 13] = [
    ("model", &[]),
    ("proto", &[]),
    ("otlp", &["model"]),
    ("buffer", &[]),
    ("to_disk", &["otlp", "buffer"]),
    ("store", &["model", "otlp"]),
    ("translate", &["model", "proto", "otlp"]),
    ("ingest", &["model", "otlp", "buffer", "store"]),
    ("upstream", &["model", "otlp", "ingest"]),
    ("query", &["model", "otlp", "store"]),
    ("receive", &["model", "proto", "otlp", "translate", "ingest"]),
    ("serve", &["model", "proto", "otlp", "translate", "query"]),
    (
        "app",
        &[
            "model",
            "proto",
            "otlp",
            "buffer",
            "store",
            "translate",
            "ingest",
            "upstream",
            "query",
            "receive",
            "serve",
        ],
    ),
];

/// Names that say nothing about what a file holds.
const VAGUE: [&str; 11] =
    ["util", "utils", "common", "helper", "helpers", "misc", "shared", "manager", "base", "core", "types"];

#[test]
fn each_floor_names_only_what_it_may() {
    let allowed: BTreeMap<_, _> = FLOORS.into_iter().collect();
    let mut wrong = Vec::new();
    for file in rust_files(Path::new("src")) {
        let Some(floor) = floor_of(&file) else { continue };
        let Some(may) = allowed.get(floor.as_str()) else {
            wrong.push(format!("{}: '{floor}' is not a floor of tests/tidy.rs", file.display()));
            continue;
        };
        for named in crate_paths(&fs::read_to_string(&file).unwrap()) {
            if named != floor && !may.contains(&named.as_str()) {
                wrong.push(format!("{}: '{floor}' may not name '{named}'", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_opens_with_one_true_line() {
    let mut folders = vec!["src", "tests", "benches", "examples", "fuzz/fuzz_targets"];
    folders.retain(|folder| Path::new(folder).exists());
    for file in folders.into_iter().flat_map(|folder| rust_files(Path::new(folder))) {
        let text = fs::read_to_string(&file).unwrap();
        assert!(text.starts_with("//! "), "{}: the first line is not a `//!` line", file.display());
    }
}

#[test]
fn no_file_has_a_vague_name() {
    for file in rust_files(Path::new("src")) {
        for part in file.components() {
            let name = part.as_os_str().to_string_lossy();
            let stem = name.trim_end_matches(".rs");
            assert!(!VAGUE.contains(&stem), "{}: '{stem}' says nothing", file.display());
        }
    }
}

#[test]
fn the_table_has_no_ring() {
    for (place, (floor, may)) in FLOORS.iter().enumerate() {
        for named in *may {
            let below = FLOORS[..place].iter().any(|(other, _)| other == named);
            assert!(below, "'{floor}' may name '{named}', which does not stand below it");
        }
    }
}

#[test]
fn the_library_lists_the_floors_in_this_order() {
    let library = fs::read_to_string("src/lib.rs").unwrap();
    let listed: Vec<_> =
        library.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let floors: Vec<_> =
        FLOORS.iter().map(|(floor, _)| *floor).filter(|floor| listed.contains(floor)).collect();
    assert_eq!(listed, floors);
    assert!(!library.contains("pub use"), "what is the library's stands on its floor");
}

#[test]
fn async_stays_at_the_doors() {
    for file in rust_files(Path::new("src")) {
        let waits = ["upstream", "receive", "serve", "app"];
        if floor_of(&file).is_some_and(|floor| !waits.contains(&floor.as_str())) {
            let text = code(&fs::read_to_string(&file).unwrap());
            for word in ["async ", ".await", "tokio::"] {
                assert!(!text.contains(word), "{}: '{word}' below the doors", file.display());
            }
        }
    }
}

#[test]
fn no_path_climbs_twice() {
    for file in rust_files(Path::new("src")) {
        let text = code(&fs::read_to_string(&file).unwrap());
        assert!(!text.contains("super::super"), "{}: name it from `crate::`", file.display());
    }
}

#[test]
fn a_path_is_found_however_it_is_written() {
    let text =
        "use crate::store::Store;\nuse crate::{model::{Span, id}, query};\nlet x = crate::otlp::scan();";
    let found: Vec<_> = crate_paths(text).into_iter().collect();
    assert_eq!(found, ["model", "otlp", "query", "store"]);
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// `src/store/key.rs` and `src/store.rs` belong to `store`; `lib.rs` and `main.rs` to no floor.
fn floor_of(file: &Path) -> Option<String> {
    let first = file.components().nth(1)?.as_os_str().to_string_lossy().into_owned();
    let floor = first.trim_end_matches(".rs").to_owned();
    (floor != "lib" && floor != "main").then_some(floor)
}

/// The text without the lines that are comments.
fn code(text: &str) -> String {
    text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n")
}

/// The first names after every `crate::` outside of comments, grouped imports included.
fn crate_paths(text: &str) -> BTreeSet<String> {
    let code = code(text);
    let mut named = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            named.extend(group_heads(group));
        } else {
            named.insert(leading_name(rest));
        }
    }
    named
}

/// The leading names of `a::b, c::{d, e}, f}…`, up to the brace that closes the group.
fn group_heads(group: &str) -> Vec<String> {
    let (mut depth, mut heads, mut at_head) = (0, Vec::new(), true);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            ',' if depth == 0 => at_head = true,
            _ if at_head && letter.is_alphabetic() => {
                heads.push(leading_name(&group[at..]));
                at_head = false;
            }
            _ => {}
        }
    }
    heads
}

fn leading_name(text: &str) -> String {
    text.chars().take_while(|letter| letter.is_alphanumeric() || *letter == '_').collect()
}
