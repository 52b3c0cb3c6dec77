//! Batches of columns as streams of Arrow's IPC format.

use arrow_ipc::reader::StreamReader;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::SchemaRef;

use super::codec::BatchCodec;
use crate::error::{Error, ErrorKind, Result};
use crate::model::Batch;

/// The codec of an exchange of columns.
pub struct ColumnCodec {
    schema: SchemaRef,
}

impl ColumnCodec {
    /// A codec of batches with this schema.
    pub fn new(schema: SchemaRef) -> Self {
        Self { schema }
    }
}

impl BatchCodec for ColumnCodec {
    fn schema(&self) -> String {
        let columns = self.schema.fields().iter();
        let columns: Vec<String> = columns
            .map(|field| format!("{} {}", field.name(), field.data_type()))
            .collect();
        format!("arrow ipc: {}", columns.join(", "))
    }

    fn encode(&self, batch: Batch) -> Result<Vec<u8>> {
        let columns = batch.into_columns()?;
        let mut bytes = Vec::new();
        let mut writer =
            StreamWriter::try_new(&mut bytes, &columns.schema()).map_err(not_storable)?;
        writer.write(&columns).map_err(not_storable)?;
        writer.finish().map_err(not_storable)?;
        drop(writer);
        Ok(bytes)
    }

    fn decode(&self, bytes: &[u8]) -> Result<Batch> {
        let mut reader = StreamReader::try_new(bytes, None).map_err(no_batch)?;
        let columns = reader.next().transpose().map_err(no_batch)?;
        let columns = columns
            .ok_or_else(|| Error::new(ErrorKind::Corrupt, "a batch in flight holds no columns"))?;
        // Its metadata may differ; what operators go by must not.
        let columns = columns.with_schema(self.schema.clone()).map_err(no_batch)?;
        Ok(Batch::Columns(columns))
    }
}

fn not_storable(source: arrow_schema::ArrowError) -> Error {
    Error::new(ErrorKind::Data, "a batch in flight cannot be stored").with_source(source)
}

fn no_batch(source: arrow_schema::ArrowError) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "a batch in flight is not what the exchange carries",
    )
    .with_source(source)
}
