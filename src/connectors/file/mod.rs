//! Files: CSV with a header, and JSON lines.

mod bounded_file;
mod config;
mod csv_rows;
mod input_file;
mod json_rows;
mod part;
mod part_numbers;
mod part_recovery;
mod part_writer;
mod row_feed;
mod row_reader;
mod s3_access;
mod sink;
#[cfg(test)]
mod sink_trial;
mod source;
mod source_files;
mod source_rows;
mod stored_file;
mod stored_sink;

pub use config::{ExistingFiles, FileSinkConfig, FileSourceConfig};
pub use s3_access::S3Access;
pub use sink::FileSink;
pub use source::FileSource;
pub use source_files::FileList;
pub use stored_sink::StoredFileSink;
