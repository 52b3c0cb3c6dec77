//! What a command answers, on standard output.

use std::io::{self, ErrorKind as IoErrorKind, Write};

use serde::Serialize;

use crate::error::{Error, ErrorKind, Result};

/// Prints `text` and a line end.
///
/// # Errors
/// [`ErrorKind::Environment`] when it cannot be written. A reader that has read enough (`| head`) is no error.
pub(super) fn print(text: &str) -> Result<()> {
    print_to(&mut io::stdout().lock(), text)
}

/// Prints `value` as JSON for people and machines alike.
///
/// # Errors
/// As [`print`].
pub(super) fn print_json(value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::new(ErrorKind::Bug, "write JSON").with_source(error))?;
    print(&text)
}

fn print_to(writer: &mut impl Write, text: &str) -> Result<()> {
    let written = writeln!(writer, "{text}").and_then(|()| writer.flush());
    match written {
        Err(error) if error.kind() == IoErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Error::io("write to standard output", error)),
        Ok(()) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fails every write in the same way.
    struct Failing(IoErrorKind);

    impl Write for Failing {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_error_and_a_full_disk_is() {
        assert!(print_to(&mut Failing(IoErrorKind::BrokenPipe), "text").is_ok());
        let error = print_to(&mut Failing(IoErrorKind::StorageFull), "text").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment);
    }

    #[test]
    fn the_text_ends_its_line() {
        let mut bytes = Vec::new();
        print_to(&mut bytes, "text").unwrap();
        assert_eq!(bytes, b"text\n");
    }
}
