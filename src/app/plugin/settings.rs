//! The arguments and settings of a child: what a host can pass on is the name of one file.

use std::ffi::OsString;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::PathBuf;

use anyhow::{Context as _, bail};
use clap::Parser as _;

use super::door::random_letters;
use crate::app::{Args, Config, config};

/// What a host passes, `--config` and a path; an empty path is a host without one.
pub(super) fn arguments(given: impl IntoIterator<Item = OsString>) -> anyhow::Result<Args> {
    let mut kept: Vec<OsString> = Vec::new();
    let mut given = given.into_iter();
    while let Some(argument) = given.next() {
        if argument != "--config" {
            kept.push(argument);
            continue;
        }
        match given.next() {
            Some(path) if path.is_empty() => {}
            path => kept.extend([Some(argument), path].into_iter().flatten()),
        }
    }
    // Help and version are errors here: they go to standard output, and that is the host's.
    let args = Args::try_parse_from(kept).map_err(|error| anyhow::anyhow!("{}", error.to_string().trim()));
    let args = args.context("use its arguments")?;
    if args.command.is_some() || args.print_config || args.check_config {
        bail!(
            "do that as Jaeger's plugin, which it is because STORAGE_PLUGIN and PLUGIN_PROTOCOL_VERSIONS are set: take \
             them out of the environment"
        );
    }
    Ok(args)
}

/// Everything that is set; the folder where everything is kept is there for as long as the second is.
pub(super) fn read(
    args: &Args,
    environment: impl Iterator<Item = (OsString, OsString)>,
) -> anyhow::Result<(Config, Option<Temporary>)> {
    let loaded = Config::load(args, environment);
    let mut config = match loaded {
        Err(config::Error::NoDataDir) => bail!(
            "use its settings: there is no home folder to keep data in: set data_dir in the file of settings, or \
             TRACELODGE_DATA_DIR in Jaeger's environment"
        ),
        loaded => loaded.context("use its settings")?.for_a_child(),
    };
    let temporary = config.ephemeral.then(Temporary::make).transpose().context("make a temporary folder")?;
    if let Some(temporary) = &temporary {
        config.data_dir.clone_from(&temporary.0);
    }
    Ok((config, temporary))
}

/// A folder that ends with this.
#[derive(Debug)]
pub(super) struct Temporary(PathBuf);

impl Temporary {
    fn make() -> io::Result<Self> {
        let path = std::env::temp_dir().join(format!("tracelodge-{}", random_letters()?));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0) {
            tracing::warn!(%error, "the temporary folder {} could not be removed", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(arguments: &[&str]) -> anyhow::Result<Args> {
        self::arguments(["tracelodge"].iter().chain(arguments).map(OsString::from))
    }

    #[test]
    fn an_empty_path_is_no_file() {
        assert_eq!(given(&["--config", ""]).unwrap().config, None);
        assert_eq!(given(&["--config", "a.toml"]).unwrap().config, Some("a.toml".into()));
        assert_eq!(given(&[]).unwrap().config, None);
        let args = given(&["--data-dir", "/data", "--config", ""]).unwrap();
        assert_eq!((args.config, args.data_dir), (None, Some("/data".into())));
    }

    #[test]
    fn what_a_plugin_does_not_do_is_an_error() {
        for (arguments, said) in [
            (&["--version"][..], "use its arguments"),
            (&["--help"], "use its arguments"),
            (&["--config"], "use its arguments"),
            (&["--print-config"], "STORAGE_PLUGIN"),
            (&["status"], "STORAGE_PLUGIN"),
        ] {
            let error = format!("{:#}", given(arguments).unwrap_err());
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn a_temporary_folder_is_new_and_gone_afterwards() {
        let args = Args { settings: vec!["plugin.ephemeral=true".to_owned()], ..Args::default() };
        let (config, temporary) = read(&args, std::iter::empty()).unwrap();
        let temporary = temporary.unwrap();
        assert_eq!(config.data_dir, temporary.0);
        let (other, _kept) = read(&args, std::iter::empty()).unwrap();
        assert_ne!(other.data_dir, config.data_dir);
        fs::write(config.data_dir.join("file"), "text").unwrap();
        drop(temporary);
        assert!(!config.data_dir.exists());
        let doors = [&config.otlp_grpc, &config.otlp_http, &config.storage, &config.archive, &config.query];
        assert!(doors.into_iter().chain([&config.ui, &config.admin]).all(|door| door.address.is_none()));
    }
}
