//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use super::backup::Backup;
use super::import::Import;
use super::restore::Restore;
use super::status::Status;
use super::verify::Verify;

/// A whole tracing backend: spans in by OTLP, safe on disk before they are acknowledged, shown at
/// http://localhost:16686.
#[derive(Debug, Default, Parser)]
#[command(name = "tracelodge", version, max_term_width = 100)]
pub struct Args {
    /// A file of settings; see --print-config for all of them
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// Where everything is kept
    #[arg(long, global = true, value_name = "FOLDER")]
    pub data_dir: Option<PathBuf>,

    /// One setting, such as doors.ui=8080; may be given several times
    #[arg(long = "set", global = true, value_name = "KEY=VALUE")]
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

    /// Copy everything that is stored into one file, while the server runs or while it is stopped
    Backup(Backup),

    /// Put the store of a backup into a data folder that has none, while no server runs there
    Restore(Restore),

    /// Read everything that is stored, or a backup, and name what is damaged; nothing is changed
    Verify(Verify),

    /// Say what a running server holds
    Status(Status),
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use clap::Parser as _;

    use super::Args;

    #[test]
    fn settings_may_stand_before_a_command_and_after_it() {
        for line in
            ["tracelodge --data-dir here forget-upstream", "tracelodge forget-upstream --data-dir here"]
        {
            let args = Args::try_parse_from(line.split(' ')).unwrap();
            assert_eq!(args.data_dir.as_deref(), Some(Path::new("here")));
            assert!(args.command.is_some());
        }
    }
}
