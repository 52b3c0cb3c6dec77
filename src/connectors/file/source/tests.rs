use std::fs;
use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType};

use super::*;
use crate::connectors::test_support::{Subtask, batches, poll_to_end, state_of};
use crate::model::EventTime;
use crate::operator::{Emission, RestoredOperatorState};

type TestRow = (Option<String>, Option<i64>);

const COLUMNS: &str = "columns = { name = 'string', count = 'int64' }\n";

/// The configuration of a source of `pattern` in `folder`, with the columns `name` and `count`.
fn config(folder: &Path, pattern: &str, rest: &str) -> FileSourceConfig {
    let path = folder.join(pattern);
    toml::from_str(&format!("path = '{}'\n{COLUMNS}{rest}", path.display())).unwrap()
}

fn open(config: &FileSourceConfig, subtask: &Subtask) -> Result<FileSource> {
    let mut source = FileSource::new(config.clone(), FileList::find(config)?)?;
    subtask.open_source(&mut source)?;
    Ok(source)
}

fn rows_of(batches: Vec<Batch>) -> Vec<TestRow> {
    let columns = batches
        .into_iter()
        .map(|batch| batch.into_columns().unwrap());
    let rows = |batch: RecordBatch| {
        let names = batch.column(0).as_string::<i32>().clone();
        let counts = batch.column(1).as_primitive::<Int64Type>().clone();
        let rows = names.iter().zip(counts.iter());
        rows.map(|(name, count)| (name.map(str::to_owned), count))
            .collect::<Vec<_>>()
    };
    columns.flat_map(rows).collect()
}

fn read_all(config: &FileSourceConfig) -> Result<Vec<TestRow>> {
    let mut source = open(config, &Subtask::of(0, 1))?;
    let mut output = Output::default();
    while source.poll(100, &mut output)? != SourceStatus::Finished {}
    Ok(rows_of(batches(&mut output)))
}

fn row(name: &str, count: i64) -> TestRow {
    (Some(name.to_owned()), Some(count))
}

/// A CSV file of rows with quotes, line ends and delimiters in their names, and the rows.
fn random_csv(random: &mut fastrand::Rng, path: &Path, rows: usize) -> Vec<TestRow> {
    let line_end = if random.bool() { "\n" } else { "\r\n" };
    let mut text = format!("count,ignored,name{line_end}");
    let mut expected = Vec::new();
    for index in 0..rows {
        let length = random.usize(0..12);
        let letters =
            std::iter::repeat_with(|| random.choice(['a', '"', '\n', ',', '\r', 'é', ' ']));
        let name: String = letters.take(length).flatten().collect();
        let quoted = name.replace('"', "\"\"");
        text.push_str(&format!("{index},x,\"{quoted}\""));
        // The last line of a file can lack its line end, and blank lines can come between rows.
        if index + 1 < rows || random.bool() {
            text.push_str(line_end);
        }
        if random.u8(0..10) == 0 && index + 1 < rows {
            text.push_str(line_end);
        }
        let name = (!name.is_empty()).then_some(name);
        expected.push((name, Some(index as i64)));
    }
    fs::write(path, text).unwrap();
    expected
}

#[test]
fn a_csv_source_resumed_after_any_row_reads_the_same_rows() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let rows = random.usize(1..40);
        let expected = random_csv(&mut random, &folder.path().join("a.csv"), rows);
        let config = config(folder.path(), "*.csv", "");
        for taken in 0..=rows {
            let mut source = open(&config, &Subtask::of(0, 1)).unwrap();
            let mut output = Output::default();
            for _ in 0..taken {
                source.poll(1, &mut output).unwrap();
            }
            let snapshot = source.snapshot(CheckpointId(1)).unwrap();
            let mut found = rows_of(batches(&mut output));
            assert_eq!(found.len(), taken, "seed {seed}");
            let restored = Subtask::of(0, 1).restored(Some(state_of(&[snapshot])));
            let mut source = open(&config, &restored).unwrap();
            found.extend(rows_of(poll_to_end(&mut source, 7)));
            assert_eq!(found, expected, "seed {seed}, resumed after {taken}");
        }
    }
}

#[test]
fn files_are_read_once_through_changes_of_parallelism() {
    for seed in 0..30 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut expected = Vec::new();
        for file in 0..5 {
            let path = folder.path().join(format!("{file}.csv"));
            let rows = random.usize(0..30);
            expected.extend(random_csv(&mut random, &path, rows));
        }
        let config = config(folder.path(), "*.csv", "");
        let mut restored: Option<RestoredOperatorState> = None;
        let mut found = Vec::new();
        for (step, parallelism) in [2, 1, 3, 2].into_iter().enumerate() {
            let mut snapshots = Vec::new();
            for subtask in 0..parallelism {
                let subtask = Subtask::of(subtask, parallelism).restored(restored.clone());
                let mut source = open(&config, &subtask).unwrap();
                let mut output = Output::default();
                for _ in 0..random.usize(0..3) {
                    source.poll(random.usize(1..9), &mut output).unwrap();
                }
                snapshots.push(source.snapshot(CheckpointId(1)).unwrap());
                found.extend(rows_of(batches(&mut output)));
            }
            restored = Some(state_of(&snapshots));
            // A new file that sorts among the old ones moves them to other subtasks.
            let path = folder.path().join(format!("{step}-new.csv"));
            expected.extend(random_csv(&mut random, &path, 3));
        }
        let last = Subtask::of(0, 1).restored(restored);
        let mut source = open(&config, &last).unwrap();
        found.extend(rows_of(poll_to_end(&mut source, 100)));
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "seed {seed}");
    }
}

#[test]
fn null_markers_are_null_in_every_column() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "name;count\nNA;NA\n;1\nb;\n").unwrap();
    let config = config(folder.path(), "a.csv", "null = ['NA', '']\ndelimiter = ';'");
    let expected = [(None, None), (None, Some(1)), (Some("b".into()), None)];
    assert_eq!(read_all(&config).unwrap(), expected);
}

#[test]
fn a_bad_row_fails_the_job_with_its_place() {
    let check = |name: &str, content: &[u8], expected: &str| {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), content).unwrap();
        let error = read_all(&config(folder.path(), name, "")).unwrap_err();
        let message = error.full_message();
        assert_eq!(error.kind(), ErrorKind::Data, "{message}");
        let found = message.split_once(name).unwrap().1;
        assert_eq!(found, expected);
    };
    let csv = |rows: &str| format!("name,count\n{rows}").into_bytes();
    check(
        "a.csv",
        &csv("a,1\nb,abc\n"),
        ":3: column \"count\": \"abc\" is not an int64",
    );
    check(
        "a.csv",
        &csv("\"a\n\",1\n\n\r\nb,abc"),
        ":6: column \"count\": \"abc\" is not an int64",
    );
    check(
        "a.csv",
        &csv("a,1\r\nb,x\r\n"),
        ":3: column \"count\": \"x\" is not an int64",
    );
    check(
        "a.csv",
        &csv("a,1,2\n"),
        ":2: the row has 3 fields, and the header 2",
    );
    check(
        "a.csv",
        &csv("a"),
        ":2: the row has 1 fields, and the header 2",
    );
    check(
        "a.csv",
        b"name,count\ncaf\xe9,1\n",
        ":2: column \"name\": \"caf\u{fffd}\" is not valid UTF-8",
    );
    check(
        "a.json",
        b"{\"name\":\"a\"}\n\n{\"count\":\"1\"}\n",
        ":3: column \"count\": \"1\" is not an int64",
    );
    check(
        "a.json",
        b"{\"name\":\"caf\xe9\"}",
        ":1: the row is not valid UTF-8",
    );
    check(
        "a.json",
        b"{\"name\":\"a\"}\n{\"name\":",
        ":2: the row is not a JSON object: EOF while parsing a value at line 1 column 8",
    );
}

#[test]
fn json_rows_may_lack_keys_have_more_and_come_in_any_order() {
    let folder = tempfile::tempdir().unwrap();
    let text = "{\"count\":1,\"name\":\"a\\u00e9\",\"more\":{\"x\":[1]}}\n\n{\"name\":null}\n{\"co\\u0075nt\":3}";
    fs::write(folder.path().join("a.jsonl"), text).unwrap();
    let config = config(folder.path(), "a.jsonl", "");
    let expected = [row("aé", 1), (None, None), (None, Some(3))];
    assert_eq!(read_all(&config).unwrap(), expected);
}

#[test]
fn a_json_source_goes_on_after_any_row() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..20)
        .map(|count| format!("{{\"name\":\"n{count}\",\"count\":{count}}}\n"))
        .collect();
    fs::write(folder.path().join("a.json"), text).unwrap();
    let config = config(folder.path(), "a.json", "");
    for taken in 0..=20 {
        let mut source = open(&config, &Subtask::of(0, 1)).unwrap();
        for _ in 0..taken {
            source.poll(1, &mut Output::default()).unwrap();
        }
        let snapshot = source.snapshot(CheckpointId(1)).unwrap();
        let restored = Subtask::of(0, 1).restored(Some(state_of(&[snapshot])));
        let mut source = open(&config, &restored).unwrap();
        let expected: Vec<TestRow> = (taken..20)
            .map(|count| row(&format!("n{count}"), count))
            .collect();
        assert_eq!(
            rows_of(poll_to_end(&mut source, 6)),
            expected,
            "after {taken}"
        );
    }
}

#[test]
fn skipped_rows_are_counted_and_missing_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.csv"),
        "name,count\na,1\nb,x\nc\nd,4\n",
    )
    .unwrap();
    let config = config(folder.path(), "a.csv", "on_error = 'skip'");
    assert_eq!(read_all(&config).unwrap(), [row("a", 1), row("d", 4)]);

    let subtask = Subtask::of(0, 1);
    let files = FileList::find(&config).unwrap();
    let mut source = FileSource::new(config, files).unwrap();
    subtask.open_source(&mut source).unwrap();
    poll_to_end(&mut source, 10);
    assert_eq!(subtask.status().snapshot().records_skipped, 2);
}

#[test]
fn a_missing_column_is_named_with_those_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "name,number\na,1\n").unwrap();
    let error = read_all(&config(folder.path(), "a.csv", "")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let expected = "a.csv: there is no column \"count\"; the header has: name, number";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn a_file_without_a_byte_has_no_rows() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("a.csv"), "").unwrap();
    assert_eq!(read_all(&config(folder.path(), "a.csv", "")).unwrap(), []);
}

#[test]
fn a_pattern_without_a_file_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_all(&config(folder.path(), "*.csv", "")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(
        error.to_string().starts_with("path: no file matches"),
        "{error}"
    );
}

#[test]
fn a_file_that_has_lost_what_was_read_is_an_error_and_one_that_has_grown_is_read_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    let text = "name,count\na,1\nb,2\n";
    fs::write(&path, text).unwrap();
    let config = config(folder.path(), "*.csv", "");
    let mut source = open(&config, &Subtask::of(0, 1)).unwrap();
    source.poll(1, &mut Output::default()).unwrap();
    let half = source.snapshot(CheckpointId(1)).unwrap();
    poll_to_end(&mut source, 10);
    let whole = source.snapshot(CheckpointId(2)).unwrap();
    let half = Subtask::of(0, 1).restored(Some(state_of(&[half])));
    let whole = Subtask::of(0, 1).restored(Some(state_of(&[whole])));

    fs::write(&path, format!("{text}c,3\n")).unwrap();
    let mut grown = open(&config, &whole).unwrap();
    assert_eq!(rows_of(poll_to_end(&mut grown, 10)), [row("c", 3)]);

    fs::write(&path, "name").unwrap();
    let error = open(&config, &half).err().unwrap();
    assert!(error.to_string().contains("has 4 bytes"), "{error}");

    fs::remove_file(&path).unwrap();
    let error = open(&config, &half).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Data);
    assert!(error.to_string().contains("has vanished"), "{error}");
    // Of a file that was read to its end, nothing is missing.
    let mut source = open(&config, &whole).unwrap();
    assert!(poll_to_end(&mut source, 10).is_empty());
}

#[test]
fn watermarks_follow_the_event_time_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "time\n1970-01-01T00:00:05Z\n3000\n9000\n").unwrap();
    let config: FileSourceConfig = toml::from_str(&format!(
        "path = '{}'\ncolumns = {{ time = 'timestamp' }}\n\
         event_time = {{ column = 'time', max_out_of_orderness = '1s' }}",
        path.display()
    ))
    .unwrap();
    let mut source = open(&config, &Subtask::of(0, 1)).unwrap();
    let mut output = Output::default();
    while source.poll(1, &mut output).unwrap() != SourceStatus::Finished {}
    let emissions: Vec<i64> = output
        .take()
        .map(|emission| match emission {
            Emission::Watermark(EventTime(time)) => time,
            Emission::Batch(batch) => {
                let batch = batch.into_columns().unwrap();
                -batch
                    .column(0)
                    .as_primitive::<TimestampMillisecondType>()
                    .value(0)
            }
        })
        .collect();
    assert_eq!(emissions, [-5000, 4000, -3000, -9000, 8000]);
}

/// All dead letters in `folder`, sorted.
fn dead_letters(folder: &Path) -> Vec<String> {
    let mut letters = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path
            .file_name()
            .unwrap()
            .to_str()
            .unwrap()
            .starts_with("bad-")
        {
            let text = fs::read_to_string(path).unwrap();
            letters.extend(text.lines().map(str::to_owned));
        }
    }
    letters.sort();
    letters
}

#[test]
fn a_dead_letter_holds_the_row_and_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("a.csv"),
        "name,count\r\n\"a\n\",1\r\n\"b\n\",x\r\nc\r\n",
    )
    .unwrap();
    let dead_letter = folder.path().join("bad.jsonl");
    let rest = format!(
        "on_error = 'dead-letter'\ndead_letter = '{}'",
        dead_letter.display()
    );
    let config = config(folder.path(), "a.csv", &rest);
    assert_eq!(read_all(&config).unwrap(), [row("a\n", 1)]);
    let found: Vec<serde_json::Value> = dead_letters(folder.path())
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let file = folder.path().join("a.csv");
    let expected = [
        serde_json::json!({
            "file": file, "line": 4, "column": "count",
            "reason": "\"x\" is not an int64", "raw": "\"b\n\",x",
        }),
        serde_json::json!({
            "file": file, "line": 6, "column": null,
            "reason": "the row has 1 fields, and the header 2", "raw": "c",
        }),
    ];
    assert!(
        expected.iter().all(|letter| found.contains(letter)),
        "{found:?}"
    );
    assert_eq!(found.len(), 2);
}

#[test]
fn dead_letters_come_once_through_crashes_and_changes_of_parallelism() {
    for seed in 0..40 {
        let mut random = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let mut bad = 0;
        for file in 0..4 {
            let mut text = String::from("name,count\n");
            for line in 0..20 {
                let is_bad = random.bool();
                bad += usize::from(is_bad);
                text.push_str(&format!(
                    "{file}-{line},{}\n",
                    if is_bad { "x" } else { "1" }
                ));
            }
            fs::write(folder.path().join(format!("{file}.csv")), text).unwrap();
        }
        let dead_letter = folder.path().join("bad.jsonl");
        let rest = format!(
            "on_error = 'dead-letter'\ndead_letter = '{}'",
            dead_letter.display()
        );
        let config = config(folder.path(), "?.csv", &rest);
        let mut restored: Option<RestoredOperatorState> = None;
        for _ in 0..8 {
            let parallelism = random.usize(1..4);
            let mut snapshots = Vec::new();
            for subtask in 0..parallelism {
                let subtask = Subtask::of(subtask, parallelism).restored(restored.clone());
                let mut source = open(&config, &subtask).unwrap();
                let mut output = Output::default();
                for _ in 0..random.usize(0..3) {
                    source.poll(random.usize(1..6), &mut output).unwrap();
                }
                snapshots.push(source.snapshot(CheckpointId(1)).unwrap());
                // What comes after the barrier is lost in the crash.
                source.poll(random.usize(1..9), &mut output).unwrap();
            }
            if random.bool() {
                restored = Some(state_of(&snapshots));
            }
        }
        let mut source = open(&config, &Subtask::of(0, 1).restored(restored)).unwrap();
        poll_to_end(&mut source, 100);
        let mut letters = dead_letters(folder.path());
        assert_eq!(letters.len(), bad, "seed {seed}");
        letters.dedup();
        assert_eq!(letters.len(), bad, "seed {seed}");
    }
}

/// A quote that is not closed would take the rest of the file for one row.
#[test]
fn a_row_that_is_too_large_fails_the_job_with_its_file_and_line() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, text: &str, expected: Result<usize, &str>| {
        fs::write(folder.path().join(name), text).unwrap();
        let rest = "max_row_size = '20B'\non_error = 'skip'\n";
        match (read_all(&config(folder.path(), name, rest)), expected) {
            (Ok(rows), Ok(count)) => assert_eq!(rows.len(), count, "{text}"),
            (Err(error), Err(part)) => {
                assert_eq!(error.kind(), ErrorKind::Data, "{text}");
                let error = error.to_string();
                assert!(error.contains(part), "{error}");
                assert!(
                    error.contains("larger than 20 B: close the quote"),
                    "{error}"
                );
            }
            (found, expected) => panic!("{text}: {found:?}, expected {expected:?}"),
        }
    };
    let long = "x".repeat(17);
    let many = format!("{long},1\n").repeat(20_000);
    // Twenty bytes with the line end are just right, at the end of the file too, whatever the reader reads ahead.
    check("a.csv", &format!("name,count\n{many}"), Ok(20_000));
    check("b.csv", &format!("name,count\n{long},11"), Ok(1));
    check(
        "c.csv",
        &format!("name,count\n{long},11\n"),
        Err("c.csv:2: "),
    );
    check(
        "d.csv",
        &format!("name,count\na,1\n\"b,2\n{many}"),
        Err("d.csv:3: "),
    );
    check(
        "e.csv",
        &format!("name,count,{long}\na,1\n"),
        Err("e.csv:1: "),
    );
    let short = "{\"name\":\"a\"}\n";
    check("f.json", &short.repeat(3), Ok(3));
    check(
        "g.json",
        &format!("{short}\n{{\"name\":\"{long}\"}}\n"),
        Err("g.json:3: "),
    );
}
