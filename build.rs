//! Builds what the program is made of beside Rust: its page (`ui/`) and the interfaces it speaks (`proto/`).

use std::env;
use std::path::PathBuf;
use std::process::ExitCode;

#[path = "build/page.rs"]
mod page;
#[path = "build/protocols.rs"]
mod protocols;

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    let Some(out) = env::var_os("OUT_DIR").map(PathBuf::from) else {
        return page::fail("cargo did not set OUT_DIR");
    };
    if let Err(error) = protocols::generate(&out) {
        return page::fail(&format!("the interfaces under proto/ cannot be used: {error}"));
    }
    page::put(&out)
}
