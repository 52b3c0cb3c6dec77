//! `floodmark validate`

use std::path::Path;

use super::connections;
use super::load::load_job;
use super::output::print;
use super::serving;
use crate::config::JobFile;
use crate::error::Result;

/// Checks the job file, and says what the job consists of.
pub(super) fn validate(path: &Path, environment_token: Option<&str>) -> Result<()> {
    let job = load_job(path)?;
    connections::check_graph(&job)?;
    serving::settings(&job.server, environment_token)?;
    print(&describe_job(&job))
}

fn describe_job(job: &JobFile) -> String {
    format!(
        "{}: ok, job {} has {}, {}, {}, parallelism {}",
        job.path,
        job.job.name,
        counted(job.sources.len(), "source"),
        counted(job.operators.len(), "operator"),
        counted(job.sinks.len(), "sink"),
        job.job.parallelism
    )
}

fn counted(count: usize, what: &str) -> String {
    match count {
        1 => format!("1 {what}"),
        count => format!("{count} {what}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_in_configs_are_valid() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let checked = load_job(&path).and_then(|job| connections::check_graph(&job));
            assert_eq!(checked.map_err(|error| error.to_string()), Ok(()));
        }
    }

    #[test]
    fn a_job_is_described_in_one_line() {
        let text = include_str!("../../configs/default.toml");
        let job = JobFile::parse("default.toml", text).unwrap();
        assert_eq!(
            describe_job(&job),
            "default.toml: ok, job default has 1 source, 0 operators, 1 sink, parallelism 1"
        );
    }
}
