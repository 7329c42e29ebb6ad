//! What the host says to a child before it speaks to it: variables of the environment.
//!
//! Source: hashicorp/go-plugin `client.go` and `server.go` (`PLUGIN_…`), jaeger `plugin/storage/grpc/shared`.

use std::ffi::OsString;
use std::ops::RangeInclusive;
use std::path::PathBuf;

/// The one version of Jaeger's storage protocol that go-plugin is told of.
pub(super) const PROTOCOL: u32 = 1;

/// Jaeger's own range, for hosts that name none.
const PORTS: RangeInclusive<u16> = 10_000..=25_000;

/// Why this process cannot be that host's child.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(super) enum Error {
    /// It speaks other versions.
    #[error(
        "speak with this host: PLUGIN_PROTOCOL_VERSIONS has {offered}, and this program knows version {PROTOCOL}"
    )]
    Version {
        /// Its list.
        offered: String,
    },
    /// It wants the connection encrypted.
    #[error(
        "speak with this host: PLUGIN_CLIENT_CERT asks for AutoMTLS, which is not there. Jaeger never asks for it: \
         take the variable out of its environment"
    )]
    Encryption,
    /// A range of ports that is none.
    #[error("understand this host: {name} is not a port")]
    Port {
        /// The variable.
        name: &'static str,
    },
}

/// A host's wishes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Host {
    /// Where the socket is to be.
    pub socket_folder: PathBuf,
    /// The group that may use it beside this user, by name or number.
    pub socket_group: Option<String>,
    /// Ports to take where there can be no socket.
    pub ports: RangeInclusive<u16>,
}

/// Whether a host of Jaeger's storage plugins has started this process. The cookie alone would not tell: somebody may
/// have it in the environment.
pub(in crate::app) fn has_started_us(variable: impl Fn(&str) -> Option<OsString>) -> bool {
    variable("STORAGE_PLUGIN").is_some_and(|cookie| cookie == "jaeger")
        && variable("PLUGIN_PROTOCOL_VERSIONS").is_some()
}

impl Host {
    /// As it says, or as it would if it said it.
    pub(super) fn read(variable: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        let text = |name| {
            variable(name)
                .map(|text| text.to_string_lossy().trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let offered = text("PLUGIN_PROTOCOL_VERSIONS").unwrap_or_else(|| PROTOCOL.to_string());
        if !offered.split(',').any(|version| version.trim().parse() == Ok(PROTOCOL)) {
            return Err(Error::Version { offered });
        }
        if text("PLUGIN_CLIENT_CERT").is_some() {
            return Err(Error::Encryption);
        }
        let port = |name, otherwise| {
            text(name).map_or(Ok(otherwise), |port| port.parse().map_err(|_no_port| Error::Port { name }))
        };
        let least = port("PLUGIN_MIN_PORT", *PORTS.start())?;
        let most = port("PLUGIN_MAX_PORT", *PORTS.end())?;
        let folder = variable("PLUGIN_UNIX_SOCKET_DIR").filter(|folder| !folder.is_empty());
        Ok(Self {
            socket_folder: folder.map_or_else(std::env::temp_dir, PathBuf::from),
            socket_group: text("PLUGIN_UNIX_SOCKET_GROUP"),
            ports: least..=most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn among(variables: &[(&str, &str)]) -> impl Fn(&str) -> Option<OsString> {
        move |name| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into())
    }

    #[test]
    fn a_host_is_known_by_cookie_and_versions_together() {
        let (cookie, versions) = (("STORAGE_PLUGIN", "jaeger"), ("PLUGIN_PROTOCOL_VERSIONS", "1"));
        assert!(has_started_us(among(&[cookie, versions])));
        assert!(!has_started_us(among(&[cookie])));
        assert!(!has_started_us(among(&[versions])));
        assert!(!has_started_us(among(&[("STORAGE_PLUGIN", "grafana"), versions])));
    }

    #[test]
    fn a_host_is_taken_at_its_word() {
        let host = Host::read(among(&[
            ("PLUGIN_PROTOCOL_VERSIONS", "2, 1"),
            ("PLUGIN_MIN_PORT", "7"),
            ("PLUGIN_MAX_PORT", "8"),
            ("PLUGIN_UNIX_SOCKET_DIR", "/run/jaeger"),
            ("PLUGIN_UNIX_SOCKET_GROUP", "tracing"),
        ]));
        let expected = Host {
            socket_folder: "/run/jaeger".into(),
            socket_group: Some("tracing".to_owned()),
            ports: 7..=8,
        };
        assert_eq!(host, Ok(expected));
        let silent = Host::read(among(&[])).unwrap();
        assert_eq!((silent.socket_folder, silent.ports), (std::env::temp_dir(), PORTS));
    }

    #[test]
    fn what_cannot_be_had_is_said() {
        for (name, value, said) in [
            ("PLUGIN_PROTOCOL_VERSIONS", "2,3", "PLUGIN_PROTOCOL_VERSIONS has 2,3"),
            ("PLUGIN_CLIENT_CERT", "-----BEGIN CERTIFICATE-----", "AutoMTLS"),
            ("PLUGIN_MIN_PORT", "many", "PLUGIN_MIN_PORT is not a port"),
        ] {
            let error = Host::read(among(&[(name, value)])).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
