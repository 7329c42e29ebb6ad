//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::import::Import;

/// A whole tracing backend: spans in by OTLP, safe on disk before they are acknowledged, shown at
/// http://localhost:16686.
#[derive(Debug, Default, Parser)]
#[command(name = "tracelodge", version, max_term_width = 100)]
pub struct Args {
    /// A file of settings; see --print-config for all of them
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where everything is kept
    #[arg(long, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// One setting, such as doors.ui=8080; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    pub settings: Vec<String>,

    /// Print every setting with its meaning and its default, and exit
    #[arg(long)]
    pub print_config: bool,

    /// Check the settings, and exit
    #[arg(long)]
    pub check_config: bool,

    /// Something else than to serve
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What can be done beside serving.
#[derive(Debug, Clone, Subcommand)]
pub enum Command {
    /// Drop what the buffer keeps for an upstream: after upstream.endpoint was removed, while the server is stopped
    ForgetUpstream,

    /// Send what a folder of a disk buffer holds to a running server; the folder stays as it is
    Import(Import),
}
