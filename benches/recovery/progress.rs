//! What a child process tells its parent, a line each on the standard output.

use std::io::Write;

/// How far a child has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// `main` was entered.
    Main,
    /// The engine has read the checkpoint, and makes the subtasks.
    Started,
    /// All keys are in the state, and in a complete checkpoint.
    Filled,
    /// A subtask begins to open its state.
    Opening,
    /// A subtask has opened its state.
    Open,
    /// A subtask has worked off its first batch.
    Batch,
    /// A subtask has checked its state, which holds so many keys and this sum of all values.
    Checked { records: u64, total: i64 },
}

const WORDS: [(&str, Stage); 6] = [
    ("main", Stage::Main),
    ("started", Stage::Started),
    ("filled", Stage::Filled),
    ("opening", Stage::Opening),
    ("open", Stage::Open),
    ("batch", Stage::Batch),
];

/// Tells the parent, at once.
pub(crate) fn tell(stage: Stage) {
    let line = match stage {
        Stage::Checked { records, total } => format!("checked {records} {total}\n"),
        plain => {
            let word = WORDS.iter().find(|(_, known)| *known == plain);
            format!("{}\n", word.map_or("", |(word, _)| word))
        }
    };
    let mut output = std::io::stdout().lock();
    // A parent that is gone does not listen any more.
    let _ = output
        .write_all(line.as_bytes())
        .and_then(|()| output.flush());
}

impl Stage {
    /// The stage that a line tells of.
    pub(crate) fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        let first = words.next()?;
        if first == "checked" {
            let records = words.next()?.parse().ok()?;
            let total = words.next()?.parse().ok()?;
            return Some(Self::Checked { records, total });
        }
        let known = WORDS.iter().find(|(word, _)| *word == first);
        known.map(|(_, stage)| *stage)
    }
}
