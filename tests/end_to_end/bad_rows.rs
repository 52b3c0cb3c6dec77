//! Rows that cannot be read, in each mode of `on_error`.

use std::fmt::Write as _;
use std::fs;

use crate::support::JobFolder;

/// How many rows each of the two input files of the large job has; every tenth is bad.
const ROWS: usize = 100_000;

const HEADER: &str = "key,value";

#[test]
fn a_bad_row_fails_the_job_with_file_line_column_and_reason() {
    for (row, problem) in [
        ("b,oops", "column \"value\": \"oops\" is not an int64"),
        ("b,1.5", "column \"value\": \"1.5\" is not an int64"),
        ("b", "the row has 1 fields, and the header 2"),
    ] {
        let folder = small("");
        folder.write("in/rows.csv", &format!("{HEADER}\na,1\n{row}\nc,3\n"));
        let ended = folder.run();
        let log = ended.expect_code(1);
        let expected = format!(
            "error: operator in: subtask in[0]: in/rows.csv:3: {problem}\n  \
             hint: mend the input, or choose another on_error for the source\n"
        );
        assert!(log.ends_with(&expected), "{log}");
        assert_eq!(folder.finished("out"), [""; 0]);
    }
}

#[test]
fn bad_rows_are_skipped_if_that_is_asked_for() {
    let folder = small("on_error = 'skip'");
    folder.run().expect_code(0);
    assert_eq!(folder.committed("out", HEADER), ["a,1", "c,3"]);
}

#[test]
fn bad_rows_go_into_a_file_if_that_is_asked_for() {
    let folder = small("on_error = 'dead-letter'\ndead_letter = 'bad/rows.jsonl'");
    folder.run().expect_code(0);
    assert_eq!(folder.committed("out", HEADER), ["a,1", "c,3"]);
    let letter: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(folder.path("bad/rows-0.jsonl")).unwrap())
            .unwrap();
    let expected = serde_json::json!({
        "file": "in/rows.csv",
        "line": 3,
        "column": "value",
        "reason": "\"oops\" is not an int64",
        "raw": "b,oops",
    });
    assert_eq!(letter, expected);
}

#[test]
fn dead_letters_are_there_exactly_once_in_spite_of_kills() {
    let folder = JobFolder::with_job(&job(
        "on_error = 'dead-letter'\ndead_letter = 'bad/rows.jsonl'",
        "[[sink]]\nid = 'console'\ntype = 'console'\ninput = 'in'",
    ));
    let (mut good, mut bad) = (Vec::new(), Vec::new());
    for file in 0..2 {
        let mut text = format!("{HEADER}\n");
        for row in 0..ROWS {
            let line = match row % 10 {
                7 => format!("f{file},r{row}"),
                _ => format!("f{file},{row}"),
            };
            writeln!(text, "{line}").unwrap();
            if row % 10 == 7 { &mut bad } else { &mut good }.push(line);
        }
        folder.write(&format!("in/{file}.csv"), &text);
    }
    good.sort_unstable();
    bad.sort_unstable();

    let stopped = folder.run_a_little();
    assert!(
        stopped.stderr.contains("stopped: run the job again"),
        "{}",
        stopped.stderr
    );
    for _ in 0..3 {
        let mut process = folder.start();
        // What comes behind the checkpoint, and must be taken back.
        for _ in 0..5_000 {
            process.wait_for_stdout();
        }
        process.kill();
    }
    let ended = folder.run();
    assert!(
        ended.expect_code(0).contains("resumed from a checkpoint"),
        "{}",
        ended.stderr
    );
    assert!(folder.committed("out", HEADER) == good);
    let mut letters = Vec::new();
    for (name, content) in folder.files("bad") {
        for line in String::from_utf8(content).unwrap().lines() {
            let letter: serde_json::Value = serde_json::from_str(line).unwrap();
            letters.push(letter["raw"].as_str().unwrap().to_owned());
        }
        assert!(
            ["rows-0.jsonl", "rows-1.jsonl"].contains(&name.as_str()),
            "{name}"
        );
    }
    letters.sort_unstable();
    assert!(
        letters == bad,
        "{} letters instead of {}",
        letters.len(),
        bad.len()
    );
}

#[test]
fn a_pattern_without_a_file_is_named() {
    let folder = JobFolder::with_job(&job("", ""));
    let ended = folder.run();
    let log = ended.expect_code(2);
    assert!(log.contains("operator in: "), "{log}");
    assert!(log.contains("path: no file matches \"in/*.csv\""), "{log}");
}

/// A job with three rows, one of them bad.
fn small(on_error: &str) -> JobFolder {
    let folder = JobFolder::with_job(&job(on_error, ""));
    folder.write("in/rows.csv", &format!("{HEADER}\na,1\nb,oops\nc,3\n"));
    folder
}

fn job(on_error: &str, sinks: &str) -> String {
    format!(
        "[job]
name = 'rows'
parallelism = 2

[checkpoint]
storage = 'checkpoints'

[state]
directory = 'state'

[[source]]
id = 'in'
type = 'file'
path = 'in/*.csv'
{on_error}
[source.columns]
key = 'string'
value = 'int64'

[[sink]]
id = 'out'
type = 'file'
input = 'in'
format = 'csv'
path = 'out'

{sinks}
"
    )
}
