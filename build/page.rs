//! Builds the page under `ui/` into `$OUT_DIR/ui`, from where it is embedded into the program.
//!
//! `npm ci` runs only when the lock file changed, Vite only when a source did. Nothing is written into the
//! source tree but `ui/node_modules` and a lock file that git ignores. `PAGE_BUILD` says what is wanted:
//!
//! * unset: build it; without Node and npm, or without a network for the first `npm ci`, warn and embed a
//!   placeholder that says what to do. An error in the page's own sources fails the build.
//! * `required`: the same, but a placeholder is an error (releases).
//! * `none`: the placeholder, without asking (checks of the Rust side).
//! * `prebuilt:<folder>`: take a folder that Vite has built elsewhere (container images).
//!
//! A packaged crate (it has `Cargo.toml.orig`) holds `ui/dist` and never runs npm: cargo forbids build scripts
//! to change packaged sources.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode, Output};
use std::{env, io};

/// What decides how the page looks. Never `ui/` itself: `node_modules` would make every build a new one.
const INPUTS: [&str; 6] = [
    "ui/src",
    "ui/index.html",
    "ui/package.json",
    "ui/package-lock.json",
    "ui/vite.config.ts",
    "ui/tsconfig.json",
];

/// npm can be talkative when it fails.
const MOST_LINES: usize = 8;

/// The Node that Vite runs on.
const WANTED_NODE: &str = "Node 20.19 or newer of version 20, or 22.12 or newer, with npm";

/// Why there is no page.
enum Problem {
    /// Nobody wants one here.
    Unwanted(&'static str),
    /// This machine cannot build it: a placeholder will do, unless a page is required.
    Missing(String),
    /// Something is wrong that the builder should see.
    Broken(String),
}

type Outcome = Result<(), Problem>;

/// Puts a page, or a placeholder for it, into `$OUT_DIR/ui`.
pub(crate) fn put(out: &Path) -> ExitCode {
    println!("cargo::rerun-if-env-changed=PAGE_BUILD");
    let wish = env::var_os("PAGE_BUILD").map(|wish| wish.to_string_lossy().into_owned()).unwrap_or_default();
    let page = out.join("ui");
    let outcome = fs::create_dir_all(&page)
        .map_err(|error| Problem::Broken(format!("cannot create {}: {error}", page.display())))
        .and_then(|()| put_page(&wish, &page));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Unwanted(why)) => put_placeholder(&page, why),
        Err(Problem::Missing(why)) if wish != "required" => {
            warn(&why);
            put_placeholder(&page, &why)
        }
        Err(Problem::Missing(why) | Problem::Broken(why)) => fail(&why),
    }
}

fn warn(why: &str) {
    println!("cargo::warning=tracelodge is built without its page:");
    for line in why.lines().take(MOST_LINES) {
        println!("cargo::warning={line}");
    }
    // Cargo cannot know that the machine has changed.
    println!("cargo::warning=once that is mended: touch build.rs, and build again");
}

/// An error of the build, line by line.
pub(crate) fn fail(why: &str) -> ExitCode {
    for line in why.lines() {
        println!("cargo::error={line}");
    }
    ExitCode::FAILURE
}

fn put_page(wish: &str, page: &Path) -> Outcome {
    if let Some(folder) = wish.strip_prefix("prebuilt:") {
        return copy_built(Path::new(folder), page);
    }
    match wish {
        "none" => Err(Problem::Unwanted("PAGE_BUILD=none left it out")),
        "" if env::var_os("DOCS_RS").is_some() => Err(Problem::Unwanted("documentation needs no page")),
        "" | "required" if Path::new("Cargo.toml.orig").exists() => packaged(page),
        "" | "required" => build(page),
        other => Err(Problem::Broken(format!(
            "PAGE_BUILD is \"{other}\", but can only be none, required or prebuilt:<folder>"
        ))),
    }
}

/// The crate as it is published: its page came with it.
fn packaged(page: &Path) -> Outcome {
    let built = Path::new("ui/dist");
    if built.join("index.html").exists() {
        return copy_built(built, page);
    }
    Err(Problem::Missing("this package was made without a built page (ui/dist)".to_owned()))
}

fn build(page: &Path) -> Outcome {
    for input in INPUTS {
        println!("cargo::rerun-if-changed={input}");
    }
    if !Path::new("ui/package.json").exists() {
        return Err(Problem::Missing("there is no ui folder beside Cargo.toml".to_owned()));
    }
    check_node()?;
    let _one_at_a_time =
        lock().map_err(|error| Problem::Missing(format!("cannot lock ui/.build-lock: {error}")))?;
    install()?;
    let mut vite = Command::new("node");
    // A developer's NODE_ENV would make a page for debugging.
    vite.args(["node_modules/vite/bin/vite.js", "build", "--emptyOutDir", "--logLevel", "warn", "--outDir"])
        .arg(page)
        .env("NODE_ENV", "production")
        .env("NO_COLOR", "1")
        .current_dir("ui");
    let output = vite.output().map_err(|error| Problem::Broken(format!("cannot run Vite: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Problem::Broken(format!("the page under ui/ does not build:\n{}", said(&output))))
}

fn check_node() -> Outcome {
    let Ok(output) = Command::new("node").arg("--version").output() else {
        return Err(Problem::Missing(format!("there is no node on the PATH; it takes {WANTED_NODE}")));
    };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    match node_version(&version) {
        (20, 19..) | (22, 12..) | (23.., _) => Ok(()),
        _ => Err(Problem::Missing(format!("node is {version}; it takes {WANTED_NODE}"))),
    }
}

/// `v20.19.1` → (20, 19); what cannot be read is older than any.
fn node_version(text: &str) -> (u32, u32) {
    let mut numbers = text.trim_start_matches('v').split('.').map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// Builds with other profiles and targets share `ui/node_modules`. Released when the file is closed.
fn lock() -> io::Result<File> {
    let file = File::create("ui/.build-lock")?;
    file.lock()?;
    Ok(file)
}

/// Runs `npm ci` unless what it would install is there: the lock file it last ran with is kept as the stamp.
fn install() -> Outcome {
    let lock_file = Path::new("ui/package-lock.json");
    let stamp = Path::new("ui/node_modules/.tracelodge-lock.json");
    let wanted = fs::read(lock_file)
        .map_err(|error| Problem::Broken(format!("cannot read {lock_file:?}: {error}")))?;
    if fs::read(stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    // NODE_ENV=production would leave Vite out. No package here needs its install script.
    let install = ["ci", "--ignore-scripts", "--include=dev", "--no-audit", "--no-fund"];
    // npm would try for minutes without a network; cargo shows nothing meanwhile.
    let patience =
        ["--prefer-offline", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", "--fetch-timeout=30000"];
    let output = Command::new(npm).args(install).args(patience).current_dir("ui").output();
    match output {
        Err(error) => Err(Problem::Missing(format!("npm cannot be run: {error}"))),
        Ok(output) if !output.status.success() => {
            Err(Problem::Missing(format!("npm ci failed in ui/:\n{}", said(&output))))
        }
        Ok(_) => fs::write(stamp, wanted)
            .map_err(|error| Problem::Broken(format!("cannot write {stamp:?}: {error}"))),
    }
}

/// What a program complained about.
fn said(output: &Output) -> String {
    let told = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("npm warn")).collect();
        lines.join("\n").trim().to_owned()
    };
    let complaint = told(&output.stderr);
    if complaint.is_empty() { told(&output.stdout) } else { complaint }
}

fn copy_built(from: &Path, page: &Path) -> Outcome {
    println!("cargo::rerun-if-changed={}", from.display());
    if !from.join("index.html").exists() {
        return Err(Problem::Broken(format!(
            "{} holds no built page: index.html is not there",
            from.display()
        )));
    }
    fs::remove_dir_all(page)
        .and_then(|()| copy_folder(from, page))
        .map_err(|error| Problem::Broken(format!("cannot copy the page from {}: {error}", from.display())))
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

/// A page that says plainly that the page is missing. Everything else of the program works.
fn put_placeholder(page: &Path, why: &str) -> ExitCode {
    let reason = why.replace('&', "&amp;").replace('<', "&lt;");
    let text = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n<title>tracelodge</title>\n\
         <h1>This tracelodge was built without its page</h1>\n<p>Why: {reason}.</p>\n\
         <p>Install {WANTED_NODE}, then build again:\n\
         <code>touch build.rs &amp;&amp; cargo build --release</code>.\n\
         Spans are taken in and the APIs answer all the same.</p>\n</html>\n",
    );
    let written = fs::remove_dir_all(page)
        .and_then(|()| fs::create_dir_all(page))
        .and_then(|()| fs::write(page.join("index.html"), text));
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&format!("cannot write the placeholder page: {error}")),
    }
}
