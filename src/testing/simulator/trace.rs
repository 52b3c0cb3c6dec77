//! What has happened in a run, in one line each; or only a number that stands for all of it.

use crate::model::hash_key;

/// The trace of a run.
pub(super) struct Trace {
    lines: Option<Vec<String>>,
    hash: u64,
}

impl Trace {
    /// A trace that keeps its lines only if they are wanted.
    pub(super) fn new(keeps_lines: bool) -> Self {
        Self {
            lines: keeps_lines.then(Vec::new),
            hash: 0,
        }
    }

    pub(super) fn add(&mut self, line: String) {
        self.hash = hash_key(format!("{:016x}{line}", self.hash).as_bytes());
        if let Some(lines) = &mut self.lines {
            lines.push(line);
        }
    }

    /// Two runs with the same number have done the same, step by step.
    pub(super) fn hash(&self) -> u64 {
        self.hash
    }

    /// The lines, if they were kept.
    pub(super) fn lines(&self) -> &[String] {
        self.lines.as_deref().unwrap_or_default()
    }
}
