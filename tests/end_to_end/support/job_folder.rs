//! The folder that a test's job runs in.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Ended, Process};

/// A folder with a job file, and with all that the job reads and writes. It goes when the test has passed.
pub(crate) struct JobFolder {
    folder: tempfile::TempDir,
}

impl JobFolder {
    pub(crate) fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// A folder with this job file in it.
    pub(crate) fn with_job(toml: &str) -> Self {
        let folder = Self::new();
        folder.write("job.toml", toml);
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes a file, and the folders that it lies in.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Runs `floodmark` until it ends.
    pub(crate) fn floodmark(&self, arguments: &[&str]) -> Ended {
        Process::run(self.folder.path(), arguments)
    }

    /// Runs the job until it ends.
    pub(crate) fn run(&self) -> Ended {
        self.floodmark(&["run", "job.toml"])
    }

    /// Starts the job, with debugging logs.
    pub(crate) fn start(&self) -> Process {
        Process::start(self.folder.path(), &["run", "job.toml", "-v"])
    }

    /// Starts the job, lets it print at least one record after those of the runs before, and stops it with a last
    /// checkpoint.
    pub(crate) fn run_a_little(&self) -> Ended {
        let mut process = self.start();
        process.wait_for_stdout();
        process.signal("TERM");
        // Until then the job cannot get further than its output, which nobody reads.
        process.wait_for_log("SIGTERM: taking a last checkpoint");
        let ended = process.wait();
        ended.expect_code(0);
        ended
    }

    /// All lines of the files that the sink `folder` has finished, without their headers, sorted.
    pub(crate) fn committed(&self, folder: &str, header: &str) -> Vec<String> {
        committed(&self.path(folder), header)
    }

    /// The names of the files that the sink `folder` has finished.
    pub(crate) fn finished(&self, folder: &str) -> Vec<String> {
        let mut names = names(&self.path(folder));
        names.retain(|name| name.starts_with("part-"));
        names
    }

    /// The names of the files in a folder with what is in them, sorted.
    pub(crate) fn files(&self, folder: &str) -> Vec<(String, Vec<u8>)> {
        let mut files: Vec<_> = names(&self.path(folder))
            .into_iter()
            .map(|name| {
                let content = fs::read(self.path(folder).join(&name)).unwrap();
                (name, content)
            })
            .collect();
        files.sort();
        files
    }
}

/// All lines of the files that a sink has finished in `folder`, without their headers, sorted. The job must have come
/// to its end: nothing but finished files may be there.
fn committed(folder: &Path, header: &str) -> Vec<String> {
    let mut lines = Vec::new();
    for name in names(folder) {
        assert!(
            name.starts_with("part-"),
            "the finished job has left {name} behind"
        );
        let text = fs::read_to_string(folder.join(&name)).unwrap();
        let mut file = text.lines();
        assert_eq!(file.next(), Some(header), "{name}");
        lines.extend(file.map(str::to_owned));
    }
    lines.sort_unstable();
    lines
}

fn names(folder: &Path) -> Vec<String> {
    let name = |entry: std::io::Result<fs::DirEntry>| {
        let name = entry.unwrap().file_name();
        name.to_string_lossy().into_owned()
    };
    fs::read_dir(folder).unwrap().map(name).collect()
}
