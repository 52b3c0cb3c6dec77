//! Where records come from and where they go: one folder a system, each with its configuration, source and sink.
//!
//! | system | source | sink | delivery |
//! |---|---|---|---|
//! | file | CSV, JSON lines | CSV, JSON lines | exactly once |
//! | generator | by index, by a closure | | exactly once |
//! | kafka | JSON, CSV, text | JSON, CSV | exactly once |
//! | memory | rows, columns | rows, columns | exactly once within the process |
//! | console | | CSV, JSON lines | at least once |
//! | blackhole | | counts | at least once |

mod blackhole;
mod console;
mod dead_letters;
mod event_time;
mod file;
mod format;
mod generator;
mod invalid;
#[cfg(feature = "kafka")]
mod kafka;
mod memory;
mod splits;
#[cfg(test)]
mod test_support;

pub use blackhole::{BlackholeConfig, BlackholeSink, RowCount};
pub use console::{ConsoleConfig, ConsoleSink};
pub use dead_letters::OnError;
pub use event_time::EventTimeConfig;
pub use file::{
    ExistingFiles, FileList, FileSink, FileSinkConfig, FileSource, FileSourceConfig, S3Access,
    StoredFileSink,
};
pub use format::{Columns, RowFormat};
pub use generator::{
    ColumnsGenerator, GenerateRows, GeneratorConfig, GeneratorSchema, GeneratorSource,
    RowsGenerator, SplitRange,
};
#[cfg(feature = "kafka")]
pub use kafka::{
    AutoOffsetReset, BoundedMode, DeliveryGuarantee, IsolationLevel, KafkaProperties, KafkaSink,
    KafkaSinkConfig, KafkaSource, KafkaSourceConfig, KeyFormat, MetadataColumns, MetadataField,
    Partitioner, SourcePeers, StartupMode, Tombstones, TopicOffsets, TransactionStep, UnixMillis,
    ValueFields, ValueFormat,
};
pub use memory::{MemoryOutput, MemorySink, MemorySource};
