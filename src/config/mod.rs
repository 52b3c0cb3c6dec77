//! TOML to a checked job description; errors point at the line.
//!
//! [`JobFile::parse`] reads the whole file and reports every problem at once. What a component's options mean is
//! known to its connector or operator alone, which reads them later from the component's [`Section`]; its errors
//! point at the file all the same.

mod component;
mod components;
mod decode;
mod diagnostic;
mod fields;
mod job_file;
mod key_path;
mod restart;
mod s3;
mod section;
mod serde_message;
mod settings;
mod source_text;
mod suggestion;
mod units;
mod wiring;

pub use component::{ComponentRole, ComponentSection};
pub use diagnostic::{ConfigError, Diagnostic};
pub use job_file::JobFile;
pub use restart::{RestartSection, RestartStrategyKind};
pub use s3::{ConditionalPut, S3Checksum, S3Section};
pub use section::Section;
pub use settings::{
    CheckpointMode, CheckpointSection, JobSettings, LinkSection, OnCancel, ServerSection,
    StateBacking, StateSection,
};
#[cfg(feature = "kafka")]
pub(crate) use source_text::is_secret;
pub use units::{HumanDuration, HumanSize};

#[cfg(test)]
mod tests;
