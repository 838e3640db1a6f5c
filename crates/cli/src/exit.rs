//! How a command ends: 0 well, 2 wrong use or configuration, 1 anything else.

use std::process::ExitCode;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The command or its configuration is wrong: a person has to change something.
    #[error("{0}")]
    Use(String),
    /// Something else went wrong.
    #[error("{0:#}")]
    Other(#[from] anyhow::Error),
}

impl Failure {
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Failure::Use(_) => ExitCode::from(2),
            Failure::Other(_) => ExitCode::FAILURE,
        }
    }
}

impl From<ringway_config::ConfigError> for Failure {
    fn from(error: ringway_config::ConfigError) -> Self {
        Failure::Use(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Failure::Other(error.into())
    }
}
