//! The bottom line of a terminal: progress is shown there, and log lines go above it.

use std::io::{self, Write};

use indicatif::{ProgressBar, ProgressStyle};
use tracing_subscriber::fmt::MakeWriter;

/// A line at the bottom of standard error that is redrawn in place. Clones are the same line.
///
/// As a [`MakeWriter`] it takes log lines: the progress line is taken away, the log line is written, and the progress
/// line comes back below it.
#[derive(Clone, Debug)]
pub struct TerminalLine {
    bar: ProgressBar,
}

impl TerminalLine {
    /// The bottom line of standard error; a hidden one when that is no terminal.
    pub fn new() -> Self {
        // The message is cut to the terminal's width: a line that wraps cannot be redrawn in place.
        let style = ProgressStyle::with_template("{spinner} {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        Self {
            bar: ProgressBar::new_spinner().with_style(style),
        }
    }

    /// A line that is never shown.
    pub fn hidden() -> Self {
        Self {
            bar: ProgressBar::hidden(),
        }
    }

    /// Whether nobody can see the line.
    pub fn is_hidden(&self) -> bool {
        self.bar.is_hidden()
    }

    /// Shows `text` in place of what stood there.
    pub fn show(&self, text: String) {
        self.bar.set_message(text);
        self.bar.tick();
    }

    /// Takes the line away for good.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    /// Takes the line away while `write` writes to standard output or standard error.
    pub fn suspend<R>(&self, write: impl FnOnce() -> R) -> R {
        self.bar.suspend(write)
    }
}

impl Default for TerminalLine {
    fn default() -> Self {
        Self::new()
    }
}

impl Write for TerminalLine {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.suspend(|| io::stderr().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().flush()
    }
}

impl MakeWriter<'_> for TerminalLine {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
