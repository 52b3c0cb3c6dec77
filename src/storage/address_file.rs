//! Where the server of a running job listens: a file in the job's folder on this machine, for the commands that control the job.

use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::location::StoreLocation;
use super::machine_folder::machine_folder;
use super::paths::ADDRESS_FILE;
use crate::error::{Error, ErrorKind, Result};

/// A larger file is not one of these.
const FILE_BYTES_MAX: usize = 4096;

/// Where a server listens, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerAddress {
    /// The address and port.
    pub address: SocketAddr,
    /// The id of the process.
    pub process: u32,
}

/// The file of a server that listens. It is removed when this is dropped; a process that is killed leaves it behind.
#[derive(Debug)]
pub struct AddressFile {
    path: PathBuf,
    text: String,
}

impl AddressFile {
    /// Writes the file of `job`, which must be locked; what is there is left from a process that was killed.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when the job's folder cannot be written to.
    pub fn write(location: &StoreLocation, job: &str, server: &ServerAddress) -> Result<Self> {
        let path = path_of(location, job)?;
        let text = serde_json::to_string(server)
            .map_err(|error| Error::new(ErrorKind::Bug, "write an address").with_source(error))?;
        // A reader finds the whole of it or nothing.
        let pending = path.with_extension("json.pending");
        let write = || {
            let mut file = fs::File::create(&pending)?;
            writeln!(file, "{text}")?;
            fs::rename(&pending, &path)
        };
        write().map_err(|error| Error::io(format!("write {}", path.display()), error))?;
        Ok(Self { path, text })
    }

    /// What the file of `job` says; nothing when there is none, because the job does not run or has no server.
    ///
    /// # Errors
    /// [`ErrorKind::Environment`] when it cannot be read, [`ErrorKind::Corrupt`] when it makes no sense.
    pub fn read(location: &StoreLocation, job: &str) -> Result<Option<ServerAddress>> {
        let path = path_of(location, job)?;
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                ) =>
            {
                return Ok(None);
            }
            Err(error) => return Err(Error::io(format!("read {}", path.display()), error)),
        };
        let address = match text.len() {
            ..=FILE_BYTES_MAX => serde_json::from_slice(&text).map_err(|error| error.to_string()),
            _ => Err("it is too long".to_owned()),
        };
        address.map(Some).map_err(|reason| {
            let message = format!("{} holds no address: {reason}", path.display());
            Error::new(ErrorKind::Corrupt, message)
        })
    }
}

impl Drop for AddressFile {
    fn drop(&mut self) {
        // Somebody who has taken the job over has written an address of their own.
        let is_own = fs::read_to_string(&self.path).is_ok_and(|text| text.trim() == self.text);
        if is_own {
            // What stays behind leads to nobody, and whoever follows it is told so.
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn path_of(location: &StoreLocation, job: &str) -> Result<PathBuf> {
    Ok(machine_folder(location, job)?.join(ADDRESS_FILE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(port: u16) -> ServerAddress {
        ServerAddress {
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            process: 17,
        }
    }

    #[test]
    fn the_address_is_there_while_the_server_is() {
        let folder = tempfile::tempdir().unwrap();
        let location =
            StoreLocation::parse(folder.path().to_str().unwrap(), folder.path()).unwrap();
        let read = || AddressFile::read(&location, "job").unwrap();
        assert_eq!(read(), None);
        fs::create_dir(folder.path().join("job")).unwrap();
        let first = AddressFile::write(&location, "job", &server(1)).unwrap();
        assert_eq!(read(), Some(server(1)));
        let second = AddressFile::write(&location, "job", &server(2)).unwrap();
        drop(first);
        assert_eq!(read(), Some(server(2)), "it is another's");
        drop(second);
        assert_eq!(read(), None);
    }

    #[test]
    fn nonsense_is_refused_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let location =
            StoreLocation::parse(folder.path().to_str().unwrap(), folder.path()).unwrap();
        let path = folder.path().join("job/server.json");
        fs::create_dir(folder.path().join("job")).unwrap();
        for text in ["", "{}", "nonsense", &"x".repeat(5000)] {
            fs::write(&path, text).unwrap();
            let error = AddressFile::read(&location, "job").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Corrupt);
            let expected = format!("{} holds no address: ", path.display());
            assert!(error.to_string().starts_with(&expected), "{error}");
        }
    }
}
