//! The console sink.

use std::io::{self, Write};

use super::config::ConsoleConfig;
use crate::connectors::format::RowWriter;
use crate::error::Result;
use crate::model::{Batch, CheckpointId};
use crate::operator::{BackgroundWork, OperatorContext, OperatorSnapshot, Sink};

/// Prints rows as they come, a whole batch at a time.
///
/// At least once: what was printed cannot be taken back, so after a crash the rows since the last checkpoint come
/// again. The first subtask alone prints the header of CSV.
pub struct ConsoleSink {
    config: ConsoleConfig,
    /// Given away to `writer` when the sink is opened and it is known whether there is a header.
    output: Option<Box<dyn Write>>,
    writer: Option<RowWriter<Box<dyn Write>>>,
}

impl ConsoleSink {
    /// Prints to standard output.
    pub fn stdout(config: ConsoleConfig) -> Self {
        Self::new(config, Box::new(io::stdout()))
    }

    /// Prints to `output`, which is written to once a batch, or more often if the batch is large.
    pub fn new(config: ConsoleConfig, output: Box<dyn Write>) -> Self {
        Self {
            config,
            output: Some(output),
            writer: None,
        }
    }
}

impl Sink for ConsoleSink {
    fn open(&mut self, context: &mut OperatorContext<'_>) -> Result<()> {
        let header = context.subtask == 0;
        let writer = |output| RowWriter::new(self.config.format, output, header, "the console");
        self.writer = self.output.take().map(writer);
        Ok(())
    }

    fn write(&mut self, batch: Batch) -> Result<()> {
        let batch = batch.into_columns()?;
        if let Some(writer) = &mut self.writer {
            writer.write(&batch)?;
            writer.flush()?;
        }
        Ok(())
    }

    fn snapshot(&mut self, _checkpoint: CheckpointId) -> Result<OperatorSnapshot> {
        Ok(OperatorSnapshot::default())
    }

    fn commit(&mut self, _checkpoint: CheckpointId) -> Result<Vec<BackgroundWork>> {
        Ok(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::connectors::test_support::{Subtask, key_values};
    use crate::error::ErrorKind;

    #[derive(Clone, Default)]
    struct SharedText(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedText {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct ClosedPipe;

    impl Write for ClosedPipe {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_batch_is_printed_before_the_call_returns() {
        let check = |format: &str, subtask: usize, expected: &str| {
            let config = toml::from_str(format).unwrap();
            let text = SharedText::default();
            let mut sink = ConsoleSink::new(config, Box::new(text.clone()));
            Subtask::of(subtask, 2).open_sink(&mut sink).unwrap();
            sink.write(key_values(&[("a", 1), ("b", 2)])).unwrap();
            let printed = String::from_utf8(text.0.lock().unwrap().clone()).unwrap();
            assert_eq!(printed, expected, "{format} in subtask {subtask}");
        };
        let json = "{\"key\":\"a\",\"value\":1}\n{\"key\":\"b\",\"value\":2}\n";
        check("", 0, json);
        check("format = 'csv'", 0, "key,value\na,1\nb,2\n");
        check("format = 'csv'", 1, "a,1\nb,2\n");
    }

    #[test]
    fn a_closed_pipe_is_an_error_of_the_surroundings() {
        let config = toml::from_str("").unwrap();
        let mut sink = ConsoleSink::new(config, Box::new(ClosedPipe));
        Subtask::of(0, 1).open_sink(&mut sink).unwrap();
        let error = sink.write(key_values(&[("a", 1)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Environment);
        assert!(
            error.full_message().starts_with("write the console: "),
            "{error}"
        );
    }
}
