//! Files: CSV with a header, and JSON lines.

mod bounded_file;
mod config;
mod csv_rows;
mod json_rows;
mod part;
mod part_recovery;
mod part_writer;
mod row_reader;
mod sink;
mod source;
mod source_files;

pub use config::{ExistingFiles, FileSinkConfig, FileSourceConfig};
pub use sink::FileSink;
pub use source::FileSource;
pub use source_files::FileList;
