//! Log lines to standard error, as text or as JSON.

use std::io::IsTerminal;
use std::str::FromStr;

use tracing::Subscriber;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use super::terminal_line::TerminalLine;
use crate::error::{Error, ErrorKind, Result};

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line, for machines.
    Json,
}

/// What is logged, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    /// How lines are written.
    pub format: LogFormat,
    /// Below 0: errors only; 0: progress and warnings; 1: debugging; more: everything.
    pub verbosity: i8,
    /// What is logged from which module, for example `floodmark::coordinator=trace,info`. It outweighs `verbosity`.
    pub filter: Option<String>,
}

/// From now on the whole process logs to `line`. Call it once.
///
/// # Errors
/// [`ErrorKind::Configuration`] when the filter cannot be read, [`ErrorKind::Bug`] when it was called before.
pub fn init_logging(settings: &LogSettings, line: &TerminalLine) -> Result<()> {
    let colours = std::io::stderr().is_terminal();
    let subscriber = subscriber(settings, line.clone(), colours)?;
    tracing::subscriber::set_global_default(subscriber)
        .map_err(|error| Error::new(ErrorKind::Bug, "logging was set up before").with_source(error))
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".to_owned()),
        }
    }
}

fn subscriber<W>(
    settings: &LogSettings,
    writer: W,
    colours: bool,
) -> Result<Box<dyn Subscriber + Send + Sync>>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter(settings)?)
        .with_writer(writer);
    Ok(match settings.format {
        LogFormat::Text => Box::new(builder.with_target(false).with_ansi(colours).finish()),
        LogFormat::Json => Box::new(builder.json().flatten_event(true).finish()),
    })
}

fn filter(settings: &LogSettings) -> Result<EnvFilter> {
    let directives = match (&settings.filter, settings.verbosity) {
        (Some(filter), _) => filter,
        (None, ..0) => "error",
        (None, 0) => "warn,floodmark=info",
        (None, 1) => "info,floodmark=debug",
        (None, 2..) => "debug,floodmark=trace",
    };
    EnvFilter::try_new(directives).map_err(|error| {
        let message = format!("log filter \"{directives}\" cannot be read");
        Error::new(ErrorKind::Configuration, message).with_source(error)
    })
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Lines {
        type Writer = Self;

        fn make_writer(&self) -> Self {
            self.clone()
        }
    }

    /// What is written of one event of each level.
    fn logged(settings: &LogSettings) -> String {
        let lines = Lines::default();
        let subscriber = subscriber(settings, lines.clone(), false).unwrap();
        tracing::subscriber::with_default(subscriber, || {
            tracing::error!(target: "floodmark", checkpoint = 17, "an error");
            tracing::info!(target: "floodmark", "a piece of news");
            tracing::debug!(target: "floodmark", "a detail");
            tracing::info!(target: "opendal", "news of a library");
        });
        let bytes = lines.0.lock().unwrap();
        String::from_utf8(bytes.clone()).unwrap()
    }

    fn check(verbosity: i8, filter: Option<&str>, expected: &[&str]) {
        let settings = LogSettings {
            verbosity,
            filter: filter.map(str::to_owned),
            ..LogSettings::default()
        };
        let text = logged(&settings);
        assert_eq!(text.lines().count(), expected.len(), "{text}");
        for (line, expected) in text.lines().zip(expected) {
            assert!(line.contains(expected), "{line}");
        }
    }

    #[test]
    fn the_verbosity_says_what_is_logged_and_the_filter_outweighs_it() {
        check(-1, None, &["an error"]);
        check(0, None, &["an error", "a piece of news"]);
        check(
            1,
            None,
            &[
                "an error",
                "a piece of news",
                "a detail",
                "news of a library",
            ],
        );
        check(-1, Some("opendal=info"), &["news of a library"]);
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_a_configuration_error() {
        let settings = LogSettings {
            filter: Some("floodmark=loud".to_owned()),
            ..LogSettings::default()
        };
        let error = init_logging(&settings, &TerminalLine::hidden()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert_eq!(
            error.to_string(),
            "log filter \"floodmark=loud\" cannot be read"
        );
    }

    #[test]
    fn json_lines_hold_the_fields_of_the_event() {
        let settings = LogSettings {
            format: LogFormat::Json,
            verbosity: -1,
            filter: None,
        };
        let event: serde_json::Value = serde_json::from_str(&logged(&settings)).unwrap();
        assert_eq!(event["level"], "ERROR");
        assert_eq!(event["message"], "an error");
        assert_eq!(event["checkpoint"], 17);
    }
}
