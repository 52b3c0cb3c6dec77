//! Looking into the snapshots of a job that does not run, with the binary.

use std::collections::BTreeMap;
use std::fs;

use serde_json::{Value, json};

use crate::support::{JobFolder, Process, Sums};

const CHECKPOINTS: &str = "checkpoints/sums";

/// A job that was stopped twice, each time with a checkpoint.
fn stopped_twice() -> JobFolder {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    folder.run_a_little();
    folder.run_a_little();
    folder
}

fn answer(folder: &JobFolder, arguments: &[&str]) -> String {
    let ended = folder.floodmark(arguments);
    assert_eq!(ended.expect_code(0), "");
    ended.stdout
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The arguments that read the sums of a checkpoint, and some more.
fn read_sums<'a>(snapshot: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    let mut arguments = vec![
        "state",
        "read",
        snapshot,
        "--operator",
        "sums",
        "--state",
        "aggregate",
    ];
    arguments.extend(more);
    arguments
}

/// What a finished job has put out says what its state must be: the last sums of each key.
fn expected_sums() -> BTreeMap<i64, (u64, i64)> {
    let mut sums: BTreeMap<i64, (u64, i64)> = BTreeMap::new();
    for line in Sums::expected() {
        let numbers: Vec<i64> = line
            .split(',')
            .map(|number| number.parse().unwrap())
            .collect();
        let sum = sums.entry(numbers[0]).or_default();
        *sum = (*sum).max((numbers[1] as u64, numbers[2]));
    }
    sums
}

#[test]
fn the_state_of_an_aggregate_is_read_with_the_names_of_its_columns() {
    let folder = JobFolder::with_job(&Sums::fast().toml());
    folder.run().expect_code(0);
    let newest = newest(&folder);
    let rows = lines(&answer(&folder, &read_sums(&newest, &[])));
    let found: BTreeMap<i64, Value> = rows
        .iter()
        .map(|row| (row["key"]["key"].as_i64().unwrap(), row["value"].clone()))
        .collect();
    let expected: BTreeMap<i64, Value> = expected_sums()
        .into_iter()
        .map(|(key, (count, sum))| {
            let value = json!({
                "count()": count,
                "sum(value int64)": sum,
                "sum(value int64).count": count,
            });
            (key, value)
        })
        .collect();
    assert_eq!(rows.len(), expected.len());
    assert_eq!(found, expected);

    let one = answer(&folder, &read_sums(&newest, &["--key", "7"]));
    assert_eq!(
        lines(&one),
        [json!({"key": {"key": 7}, "value": expected[&7]})]
    );
    assert_eq!(
        answer(&folder, &read_sums(&newest, &["--key", "{\"key\": 7}"])),
        one
    );
    assert_eq!(
        answer(&folder, &read_sums(&newest, &["--key", "1000000"])),
        ""
    );
    let csv = answer(
        &folder,
        &read_sums(&newest, &["--format", "csv", "--key", "7"]),
    );
    let (count, sum) = expected_sums()[&7];
    let head = "key.key,value.count(),value.sum(value int64),value.sum(value int64).count";
    assert_eq!(csv, format!("{head}\n7,{count},{sum},{count}\n"));
    let limited = answer(&folder, &read_sums(&newest, &["--limit", "3"]));
    assert_eq!(limited.lines().count(), 3);
    let arguments = read_sums(&newest, &[]);
    let closed = Process::start_with_closed_output(&folder.path(""), &arguments).wait();
    assert_eq!(closed.expect_code(0), "");

    let listed: Value =
        serde_json::from_str(&answer(&folder, &["state", "ls", &newest, "--json"])).unwrap();
    assert_eq!(listed[0]["operator"], "sums");
    assert_eq!(listed[0]["state"], "aggregate");
    assert_eq!(
        listed[0]["value_schema"],
        "list<u64> (8 bytes, alignment 4)"
    );
}

#[test]
fn what_is_damaged_is_named_and_gives_exit_code_1() {
    let folder = stopped_twice();
    let sound = answer(&folder, &["checkpoints", "verify", "job.toml"]);
    assert!(sound.starts_with("checkpoint 2 in "), "{sound}");
    assert!(sound.contains(": sound\n"), "{sound}");
    let all = answer(
        &folder,
        &["checkpoints", "verify", "job.toml", "--all", "--json"],
    );
    let all: Value = serde_json::from_str(&all).unwrap();
    assert_eq!((&all[0]["id"], &all[1]["id"]), (&json!(1), &json!(2)));
    assert_eq!(
        (&all[0]["sound"], &all[1]["sound"]),
        (&json!(true), &json!(true))
    );

    let shared = format!("{CHECKPOINTS}/shared");
    let (name, mut bytes) = folder
        .files(&shared)
        .into_iter()
        .find(|(_, bytes)| !bytes.is_empty())
        .unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(folder.path(&shared).join(&name), bytes).unwrap();
    let ended = folder.floodmark(&["checkpoints", "verify", "job.toml", "--all"]);
    assert_eq!(ended.expect_code(1), "");
    assert!(ended.stdout.contains(": damaged\n"), "{}", ended.stdout);
    assert!(
        ended.stdout.contains(&format!("shared/{name}")),
        "{}",
        ended.stdout
    );
    assert!(
        ended.stdout.contains("is damaged: its bytes from"),
        "{}",
        ended.stdout
    );

    fs::write(
        folder.path(&format!("{CHECKPOINTS}/chk-2/manifest.json")),
        "",
    )
    .unwrap();
    let path = format!("{CHECKPOINTS}/chk-2");
    let ended = folder.floodmark(&["savepoint", "verify", &path, "--json"]);
    assert_eq!(ended.expect_code(1), "");
    let report: Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!(report[0]["sound"], false);
    assert!(
        report[0]["reason"]
            .as_str()
            .unwrap()
            .contains("its manifest is empty")
    );
}

#[test]
fn two_checkpoints_of_a_job_are_compared() {
    let folder = stopped_twice();
    let by_id = answer(
        &folder,
        &["checkpoints", "diff", "1", "2", "--job", "job.toml"],
    );
    assert!(by_id.contains("numbers[0]: "), "{by_id}");
    assert!(by_id.contains("aggregate"), "{by_id}");
    let (a, b) = (
        format!("{CHECKPOINTS}/chk-1"),
        format!("{CHECKPOINTS}/chk-2"),
    );
    let json = answer(&folder, &["checkpoints", "diff", &a, &b, "--json"]);
    let difference: Value = serde_json::from_str(&json).unwrap();
    let operators = difference["operators"].as_array().unwrap();
    let sums = operators
        .iter()
        .find(|operator| operator["operator"] == "sums")
        .unwrap();
    let counts = &sums["states"][0]["changes"];
    let rows = lines(&answer(&folder, &["checkpoints", "diff", &a, &b, "--rows"]));
    let of = |has_a: bool, has_b: bool| {
        let rows = rows.iter();
        let rows =
            rows.filter(|row| (row.get("a").is_some(), row.get("b").is_some()) == (has_a, has_b));
        json!(rows.count())
    };
    assert_eq!(counts["only_in_a"], of(true, false));
    assert_eq!(counts["only_in_b"], of(false, true));
    assert_eq!(counts["changed"], of(true, true));
    assert!(!rows.is_empty());
    let same = answer(&folder, &["checkpoints", "diff", &a, &a]);
    assert_eq!(same, "the snapshots hold the same\n");
}

#[test]
fn what_is_not_there_is_said_in_words() {
    let folder = stopped_twice();
    let snapshot = format!("{CHECKPOINTS}/chk-2");
    let check = |arguments: &[&str], expected: &str| {
        let ended = folder.floodmark(arguments);
        let log = ended.expect_code(2);
        assert!(log.contains(expected), "{arguments:?}: {log}");
    };
    check(
        &["checkpoints", "verify", "job.toml", "9"],
        "job sums has no checkpoint 9",
    );
    check(
        &["savepoint", "verify", "nowhere"],
        "the path does not exist",
    );
    check(
        &["checkpoints", "diff", "1", "2"],
        "name its job with --job",
    );
    check(
        &["state", "ls", CHECKPOINTS],
        "name one of the chk-<id> in it",
    );
    check(
        &[
            "state",
            "read",
            &snapshot,
            "--operator",
            "sum",
            "--state",
            "aggregate",
        ],
        "there are ",
    );
    check(
        &[
            "state",
            "read",
            &snapshot,
            "--operator",
            "sums",
            "--state",
            "sum",
        ],
        "there are aggregate",
    );
    check(
        &read_sums(&snapshot, &["--key", "seven"]),
        "--key seven: key: a value of type int64 is needed",
    );
    check(
        &read_sums(&snapshot, &["--format", "xml"]),
        "possible values: json, csv",
    );
}

/// The folder of the newest checkpoint.
fn newest(folder: &JobFolder) -> String {
    let listed = answer(folder, &["checkpoints", "list", "job.toml", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    format!("{CHECKPOINTS}/chk-{}", listed[0]["id"])
}
