//! How a process knows that another one runs, or ran, on the same machine: then locks tell which of them lives.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::model::hash_key;
use crate::storage::machine_folder::make_own_folder;

const TOKEN_FILE: &str = "machine";
const TOKEN_BYTES: usize = 16;

/// A machine since it was started, as far as locks reach: two processes with the same one see each other's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MachineMark {
    /// Stands for a token that was drawn once for the folder in which the locks lie.
    locks: String,
    /// Stands for the start of the machine.
    boot: String,
}

/// What the marks of two processes say of the machines they run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Proximity {
    /// They see each other's locks.
    SameMachine,
    /// It is the same machine, but it was started anew in between.
    Restarted,
    /// They do not see each other's locks.
    Elsewhere,
}

impl MachineMark {
    /// That of this process.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Environment`] when there is no folder for locks, or the machine does not say when it was
    /// started.
    pub fn of_this_process() -> Result<Self> {
        let path = make_own_folder()?.join(TOKEN_FILE);
        let token = token(&path)
            .map_err(|error| Error::io(format!("read or make {}", path.display()), error))?;
        let boot = fs::read("/proc/sys/kernel/random/boot_id")
            .map_err(|error| Error::io("find out when the machine was started", error))?;
        Ok(Self {
            locks: format!("{:016x}", hash_key(&token)),
            boot: format!("{:016x}", hash_key(&boot)),
        })
    }

    pub(super) fn proximity(&self, other: &Self) -> Proximity {
        match (self.locks == other.locks, self.boot == other.boot) {
            (true, true) => Proximity::SameMachine,
            (true, false) => Proximity::Restarted,
            (false, _) => Proximity::Elsewhere,
        }
    }
}

/// Reads the token, or draws it if there is none yet. Of several processes that draw one, all take the first.
fn token(path: &Path) -> io::Result<Vec<u8>> {
    match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => return read,
    }
    let mut token = [0; TOKEN_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut token)?;
    let drawn = path.with_extension(std::process::id().to_string());
    fs::write(&drawn, token)?;
    // A name that is there already stays as it is.
    let linked = fs::hard_link(&drawn, path);
    fs::remove_file(&drawn)?;
    match linked {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => fs::read(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_drawn_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("machine");
        let first = token(&path).unwrap();
        assert_eq!(first.len(), TOKEN_BYTES);
        assert_eq!(token(&path).unwrap(), first);
        assert_ne!(token(&folder.path().join("other")).unwrap(), first);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    }

    #[test]
    fn locks_tell_of_the_same_machine_since_it_was_started() {
        let mark = |locks: &str, boot: &str| MachineMark {
            locks: locks.to_owned(),
            boot: boot.to_owned(),
        };
        let own = mark("a", "1");
        assert_eq!(own.proximity(&mark("a", "1")), Proximity::SameMachine);
        assert_eq!(own.proximity(&mark("a", "2")), Proximity::Restarted);
        assert_eq!(own.proximity(&mark("b", "1")), Proximity::Elsewhere);
        let found = MachineMark::of_this_process().unwrap();
        assert_eq!(found, MachineMark::of_this_process().unwrap());
    }
}
