//! Logs: to standard error, for people on a terminal, as JSON elsewhere.

use std::io::IsTerminal;

use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{EnvFilter, Layer};

use crate::setup::InitError;

/// The variables that say what is logged, the first that is set.
const VARIABLES: [&str; 2] = ["RINGWAY_LOG", "RUST_LOG"];

/// How logs look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// For people where standard error is a terminal, else JSON.
    #[default]
    Auto,
    /// For people, in colour on a terminal that hasn't `NO_COLOR` set.
    Human,
    /// One JSON object a line.
    Json,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How logs look.
    pub format: LogFormat,
    /// What is logged where neither `RINGWAY_LOG` nor `RUST_LOG` is set: a level, or directives
    /// (`warn,ringway_node=debug`).
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        LogSettings { format: LogFormat::Auto, level: "info".into() }
    }
}

type Boxed<S> = Box<dyn Layer<S> + Send + Sync>;

/// The layer that writes logs, with its filter.
pub(crate) fn layer<S>(
    settings: &LogSettings,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<Boxed<S>, InitError>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    let filter = filter(settings, env)?;
    let terminal = std::io::stderr().is_terminal();
    let layer: Boxed<S> = match settings.format {
        LogFormat::Auto if !terminal => json(),
        LogFormat::Json => json(),
        LogFormat::Auto | LogFormat::Human => {
            let colour = terminal && env("NO_COLOR").is_none();
            tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colour).boxed()
        }
    };
    Ok(layer.with_filter(filter).boxed())
}

fn json<S>() -> Boxed<S>
where
    S: tracing::Subscriber + for<'span> LookupSpan<'span>,
{
    tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_span_list(false)
        .with_writer(std::io::stderr)
        .boxed()
}

fn filter(settings: &LogSettings, env: &dyn Fn(&str) -> Option<String>) -> Result<EnvFilter, InitError> {
    let (variable, text) = VARIABLES
        .iter()
        .find_map(|variable| Some((*variable, env(variable)?)))
        .unwrap_or_else(|| ("log level", settings.level.clone()));
    EnvFilter::builder()
        .parse(&text)
        .map_err(|error| InitError::Filter { variable: variable.into(), why: error.to_string() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_variable_is_above_the_customary_one_and_both_above_the_settings() {
        let settings = LogSettings::default();
        let read = |pairs: &[(&str, &str)]| {
            let env =
                |name: &str| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned());
            filter(&settings, &env).map(|filter| filter.to_string()).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[]), Ok("info".into()));
        assert_eq!(read(&[("RUST_LOG", "debug")]), Ok("debug".into()));
        assert_eq!(read(&[("RUST_LOG", "debug"), ("RINGWAY_LOG", "warn")]), Ok("warn".into()));
        let wrong = read(&[("RINGWAY_LOG", "ringway=loud")]);
        assert!(wrong.is_err_and(|message| message.starts_with("RINGWAY_LOG: not a log filter")));
    }
}
