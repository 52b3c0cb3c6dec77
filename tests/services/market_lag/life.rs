//! The lives of a job: it is started, and ended in one way or another, until it is done.

use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use super::Job;
use crate::support::{Ended, JobFolder, Process};

/// What a process logs when a checkpoint is complete.
pub(crate) const COMPLETED: &str = "checkpoint completed";

/// A job with its folder, over all its runs.
pub(crate) struct Life {
    pub(crate) folder: JobFolder,
    pub(crate) job: Job,
    pub(crate) kills: usize,
    /// How many runs began from a checkpoint.
    pub(crate) resumed: usize,
}

impl Life {
    pub(crate) fn new(job: Job) -> Self {
        Self {
            folder: JobFolder::with_job(&job.toml()),
            job,
            kills: 0,
            resumed: 0,
        }
    }

    /// Starts a run as the job now says.
    pub(crate) fn start(&self, arguments: &[&str]) -> Process {
        self.folder.write("job.toml", &self.job.toml());
        let all = [&["run", "-v", "job.toml"], arguments].concat();
        Process::start(&self.folder.path("."), &all)
    }

    /// Starts a run as the job now says, not of the binary but of something that embeds the engine.
    pub(crate) fn start_command(&self, command: Command) -> Process {
        self.folder.write("job.toml", &self.job.toml());
        Process::start_command(&self.folder.path("."), command)
    }

    /// Kills a run so much later than it has completed so many checkpoints.
    pub(crate) fn kill(&mut self, mut process: Process, checkpoints: usize, then: Duration) {
        for _ in 0..checkpoints {
            process.wait_for_log(COMPLETED);
        }
        wait(then);
        let ended = process.kill();
        self.expect_killed(&ended, "it runs until it is killed");
    }

    /// Starts a run, and kills it at a random moment.
    pub(crate) fn kill_at_random(&mut self, random: &mut fastrand::Rng) {
        let checkpoints = random.usize(0..4);
        let then = Duration::from_millis(random.u64(0..2 * self.job.interval_millis));
        let process = self.start(&[]);
        self.kill(process, checkpoints, then);
    }

    /// Notes a run that must have been killed.
    pub(crate) fn expect_killed(&mut self, ended: &Ended, context: &str) {
        assert_eq!(ended.code, None, "{context}:\n{}", ended.stderr);
        self.kills += 1;
        self.resumed += usize::from(ended.stderr.contains("resumed from a checkpoint"));
    }

    /// Lets a last run work off what there is, and end with a sound checkpoint.
    pub(crate) fn finish(&mut self) -> Ended {
        self.job.is_bounded = true;
        let ended = self.start(&[]).wait();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let verify = ["checkpoints", "verify", "job.toml"];
        let verified = self.folder.floodmark(&verify);
        assert_eq!(verified.code, Some(0), "{}", verified.stderr);
        ended
    }
}

/// The seed of a test: the environment's, or else this one. It is printed in every failure.
pub(crate) fn seed(otherwise: u64) -> u64 {
    let seed = std::env::var("FLOODMARK_SEED");
    seed.map_or(otherwise, |seed| seed.parse().unwrap())
}

/// Lets a process run on for a while. This decides only where it is hit, not what the test expects.
fn wait(time: Duration) {
    let (_sender, nothing) = sync_channel::<()>(1);
    // Nobody ever sends: the end of the wait is the event.
    let _ = nothing.recv_timeout(time);
}
