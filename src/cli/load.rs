//! Reads a job file.

use std::path::Path;

use crate::config::JobFile;
use crate::error::{Error, ErrorKind, Result};

/// Reads and checks the job file at `path`.
///
/// # Errors
/// [`ErrorKind::Configuration`] when it cannot be read or is wrong; all problems are in the message.
pub(super) fn load_job(path: &Path) -> Result<JobFile> {
    let text = std::fs::read_to_string(path).map_err(|error| {
        let message = format!("read job file {}", path.display());
        Error::new(ErrorKind::Configuration, message).with_source(error)
    })?;
    Ok(JobFile::parse(&path.display().to_string(), &text)?)
}

/// Lets the command line's parallelism take the place of the file's.
///
/// # Errors
/// [`ErrorKind::Configuration`] when it is more than `max_parallelism`.
pub(super) fn set_parallelism(job: &mut JobFile, parallelism: usize) -> Result<()> {
    let groups = job.job.max_parallelism;
    if parallelism > usize::from(groups) {
        let message =
            format!("--parallelism {parallelism} is more than max_parallelism, which is {groups}");
        return Err(Error::new(ErrorKind::Configuration, message));
    }
    job.job.parallelism = parallelism;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_file_is_named() {
        let error = load_job(Path::new("no/such/job.toml")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(
            error
                .full_message()
                .starts_with("read job file no/such/job.toml: "),
            "{}",
            error.full_message()
        );
    }

    #[test]
    fn the_parallelism_is_bounded_by_the_key_groups() {
        let text = include_str!("../../configs/default.toml");
        let mut job = JobFile::parse("default.toml", text).unwrap();
        set_parallelism(&mut job, 128).unwrap();
        assert_eq!(job.job.parallelism, 128);
        let error = set_parallelism(&mut job, 129).unwrap_err();
        assert_eq!(
            error.to_string(),
            "--parallelism 129 is more than max_parallelism, which is 128"
        );
    }
}
