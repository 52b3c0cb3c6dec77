//! A simulated disk as a service of OpenDAL. It behaves as the service for the local file system does: what is missing
//! above a file is made with it, closing a file syncs it, and a folder must be empty to be deleted.

use std::fmt;
use std::io;
use std::sync::Arc;

use opendal::raw::{
    OpCopy, OpCreateDir, OpDelete, OpList, OpPresign, OpRead, OpRename, OpStat, OpWrite,
    RpCreateDir, RpPresign, RpRename, RpStat, Service, ServiceInfo, new_std_io_error, oio,
};
use opendal::{
    Buffer, Builder, Capability, Error, ErrorKind, Metadata, MetadataBuilder, OperationContext,
    Result,
};

use super::SimulatedDisk;

/// The service, which is also its own builder.
#[derive(Clone, Default)]
pub(super) struct SimulatedService {
    disk: SimulatedDisk,
}

pub(super) struct FileReader {
    disk: SimulatedDisk,
    path: String,
}

/// Creates its file with the first bytes, or when it is closed.
pub(super) struct FileWriter {
    disk: SimulatedDisk,
    path: String,
    is_created: bool,
    length: usize,
}

pub(super) struct FolderLister {
    disk: SimulatedDisk,
    path: String,
    /// What is left to list, the last entry first; nothing before the first is asked for.
    entries: Option<Vec<oio::Entry>>,
}

pub(super) struct Remover {
    disk: SimulatedDisk,
}

impl SimulatedService {
    pub(super) fn on(disk: SimulatedDisk) -> Self {
        Self { disk }
    }
}

impl fmt::Debug for SimulatedService {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SimulatedService")
    }
}

impl Builder for SimulatedService {
    type Config = ();

    fn build(self) -> Result<impl Service> {
        Ok(self)
    }
}

impl Service for SimulatedService {
    type Reader = oio::PositionReader<FileReader>;
    type Writer = FileWriter;
    type Lister = FolderLister;
    type Deleter = oio::OneShotDeleter<Remover>;
    type Copier = ();
    type Composer = ();

    fn info(&self) -> ServiceInfo {
        ServiceInfo::new("simulated", "/", "")
    }

    fn capability(&self) -> Capability {
        Capability {
            stat: true,
            read: true,
            write: true,
            write_can_empty: true,
            write_can_multi: true,
            write_with_if_not_exists: true,
            delete: true,
            list: true,
            rename: true,
            ..Capability::default()
        }
    }

    async fn create_dir(
        &self,
        _: &OperationContext,
        _: &str,
        _: OpCreateDir,
    ) -> Result<RpCreateDir> {
        Err(unsupported())
    }

    async fn stat(&self, _: &OperationContext, path: &str, _: OpStat) -> Result<RpStat> {
        let length = self.disk.look(|image| image.length(path)).await;
        let metadata = match length.map_err(new_std_io_error)? {
            Some(length) => MetadataBuilder::file(length as u64),
            None => MetadataBuilder::dir(),
        };
        Ok(RpStat::new(metadata.build()))
    }

    fn read(&self, _: &OperationContext, path: &str, _: OpRead) -> Result<Self::Reader> {
        Ok(oio::PositionReader::new(FileReader {
            disk: self.disk.clone(),
            path: path.to_owned(),
        }))
    }

    fn write(&self, _: &OperationContext, path: &str, args: OpWrite) -> Result<Self::Writer> {
        match args.if_not_exists() {
            true => Ok(FileWriter {
                disk: self.disk.clone(),
                path: path.to_owned(),
                is_created: false,
                length: 0,
            }),
            false => Err(unsupported()),
        }
    }

    fn delete(&self, _: &OperationContext) -> Result<Self::Deleter> {
        let disk = self.disk.clone();
        Ok(oio::OneShotDeleter::new(Remover { disk }))
    }

    fn list(&self, _: &OperationContext, path: &str, _: OpList) -> Result<Self::Lister> {
        Ok(FolderLister {
            disk: self.disk.clone(),
            path: path.to_owned(),
            entries: None,
        })
    }

    fn copy(&self, _: &OperationContext, _: &str, _: &str, _: OpCopy) -> Result<Self::Copier> {
        Err(unsupported())
    }

    async fn rename(
        &self,
        _: &OperationContext,
        from: &str,
        to: &str,
        _: OpRename,
    ) -> Result<RpRename> {
        let renamed = self.disk.rename(from, to).await;
        renamed.map_err(new_std_io_error)?;
        Ok(RpRename::default())
    }

    async fn presign(&self, _: &OperationContext, _: &str, _: OpPresign) -> Result<RpPresign> {
        Err(unsupported())
    }
}

impl oio::PositionRead for FileReader {
    type Handle = Arc<[u8]>;

    async fn open(&self) -> Result<Self::Handle> {
        let read = self.disk.look(|image| image.read(&self.path)).await;
        read.map(Arc::from).map_err(new_std_io_error)
    }

    async fn read_at(handle: &Self::Handle, offset: u64, size: usize) -> Result<Buffer> {
        let start = (offset as usize).min(handle.len());
        let end = start.saturating_add(size).min(handle.len());
        Ok(Buffer::from(handle[start..end].to_vec()))
    }
}

impl FileWriter {
    async fn create(&mut self) -> Result<()> {
        if self.is_created {
            return Ok(());
        }
        self.disk
            .create_file(&self.path)
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    Error::new(ErrorKind::ConditionNotMatch, "the file is there").set_source(error)
                }
                _ => new_std_io_error(error),
            })?;
        self.is_created = true;
        Ok(())
    }
}

impl oio::Write for FileWriter {
    async fn write(&mut self, bytes: Buffer) -> Result<()> {
        self.create().await?;
        let bytes = bytes.to_vec();
        let written = self.disk.append(&self.path, &bytes).await;
        written.map_err(new_std_io_error)?;
        self.length += bytes.len();
        Ok(())
    }

    async fn close(&mut self) -> Result<Metadata> {
        self.create().await?;
        let synced = self.disk.sync_file(&self.path).await;
        synced.map_err(new_std_io_error)?;
        let length = self.disk.look(|image| image.length(&self.path)).await;
        let length = length.map_err(new_std_io_error)?.unwrap_or_default();
        Ok(MetadataBuilder::file(length as u64).build())
    }

    async fn abort(&mut self) -> Result<()> {
        Err(unsupported())
    }
}

impl oio::List for FolderLister {
    async fn next(&mut self) -> Result<Option<oio::Entry>> {
        if self.entries.is_none() {
            let listed = self.disk.list(&self.path).await;
            let listed = listed.map_err(new_std_io_error)?;
            // A folder lists itself first.
            let own = listed.iter().map(|_| self.path.clone());
            let names = listed.iter().flatten().map(|(name, is_folder)| {
                let slash = if *is_folder { "/" } else { "" };
                format!("{}{name}{slash}", self.path)
            });
            let entries = own.chain(names).map(|path| {
                let metadata = match path.ends_with('/') {
                    true => MetadataBuilder::dir(),
                    false => MetadataBuilder::unknown(),
                };
                oio::Entry::new(&path, metadata.build())
            });
            let mut entries: Vec<oio::Entry> = entries.collect();
            entries.reverse();
            self.entries = Some(entries);
        }
        Ok(self.entries.as_mut().and_then(Vec::pop))
    }
}

impl oio::OneShotDelete for Remover {
    async fn delete_once(&self, path: String, _: OpDelete) -> Result<()> {
        let path = path.trim_end_matches('/');
        let is_there = self.disk.look(|image| image.length(path)).await;
        match is_there {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(new_std_io_error(error)),
            Ok(_) => self.disk.remove(path).await.map_err(new_std_io_error),
        }
    }
}

fn unsupported() -> Error {
    Error::new(ErrorKind::Unsupported, "the storage module does not use it")
}
