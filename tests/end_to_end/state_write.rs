//! Savepoints that are made of rows, with the binary: patched ones, new ones, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{Ended, JobFolder, Sums};

const OPERATOR: [&str; 4] = ["--operator", "sums", "--state", "aggregate"];

/// A key's count and sum.
type Total = (u64, i64);

fn done(folder: &JobFolder, arguments: &[&str]) -> String {
    let ended = folder.floodmark(arguments);
    assert_eq!(ended.expect_code(0), "", "{arguments:?}");
    ended.stdout
}

fn read(folder: &JobFolder, snapshot: &str, more: &[&str]) -> String {
    done(
        folder,
        &[&["state", "read", snapshot][..], &OPERATOR, more].concat(),
    )
}

fn write(folder: &JobFolder, more: &[&str]) -> Ended {
    let arguments = [
        &["state", "write", "rows", "--to", "patched"][..],
        &OPERATOR,
        more,
    ];
    folder.floodmark(&arguments.concat())
}

fn totals(folder: &JobFolder, snapshot: &str) -> BTreeMap<i64, Total> {
    let rows = read(folder, snapshot, &[]);
    let total = |line: &str| {
        let row: Value = serde_json::from_str(line).unwrap();
        let value = &row["value"];
        let count = value["count()"].as_u64().unwrap();
        let sum = value["sum(value int64)"].as_i64().unwrap_or(0);
        (row["key"]["key"].as_i64().unwrap(), (count, sum))
    };
    rows.lines().map(total).collect()
}

fn row(key: i64, (count, sum): Total) -> String {
    let value =
        json!({ "count()": count, "sum(value int64)": sum, "sum(value int64).count": count });
    json!({ "key": { "key": key }, "value": value }).to_string()
}

/// What the whole job makes of each key.
fn all() -> BTreeMap<i64, Total> {
    let mut totals: BTreeMap<i64, Total> = BTreeMap::new();
    for line in Sums::expected() {
        let numbers: Vec<i64> = line
            .split(',')
            .map(|number| number.parse().unwrap())
            .collect();
        let total = totals.entry(numbers[0]).or_default();
        *total = (*total).max((numbers[1] as u64, numbers[2]));
    }
    totals
}

/// Runs the fast job from a savepoint, with another store, at another parallelism; gives what its state is in the end.
fn run_from(
    folder: &JobFolder,
    savepoint: &str,
    out: &str,
    parallelism: usize,
) -> BTreeMap<i64, Total> {
    let toml = Sums {
        parallelism,
        ..Sums::fast()
    };
    let store = format!("after-{savepoint}");
    let toml = toml.toml().replace("'checkpoints'", &format!("'{store}'"));
    let toml = toml.replace("path = 'out'", &format!("path = '{out}'"));
    folder.write("later.toml", &toml);
    let ended = folder.floodmark(&["run", "later.toml", "--from", savepoint]);
    assert!(ended.expect_code(0).contains("is taken over"));
    let listed = done(folder, &["checkpoints", "list", "later.toml", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    totals(folder, &format!("{store}/sums/chk-{}", listed[0]["id"]))
}

#[test]
fn a_job_goes_on_from_the_rows_that_were_put_and_without_those_that_were_deleted() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    folder.run_a_little();
    let snapshot = "checkpoints/sums/chk-1";
    let before = totals(&folder, snapshot);
    assert!(before.len() > 2, "{before:?}");
    let keys: Vec<i64> = before.keys().copied().collect();
    let (changed, deleted) = (keys[0], keys[1]);
    let new = 1_000_000;
    let rows = [row(changed, (5, -7)), String::new(), row(new, (1, 1))];
    folder.write("rows", &rows.join("\n"));
    let written = write(&folder, &["--from", snapshot]);
    written.expect_code(0);
    assert!(
        written.stdout.contains("/patched: 2 rows written, "),
        "{}",
        written.stdout
    );
    // The rows of a delete can be those that were read; their values do not matter.
    folder.write(
        "rows",
        &read(&folder, "patched", &["--key", &deleted.to_string()]),
    );
    let arguments = [
        "state", "write", "rows", "--delete", "--from", "patched", "--to", "second",
    ];
    let written = done(&folder, &[&arguments[..], &OPERATOR].concat());
    assert!(written.contains("/second: 1 row deleted, "), "{written}");

    let mut patched = before.clone();
    patched.insert(changed, (5, -7));
    patched.insert(new, (1, 1));
    patched.remove(&deleted);
    assert_eq!(totals(&folder, "second"), patched);
    // What the savepoints were made of is as it was, and they need none of it.
    assert_eq!(totals(&folder, snapshot), before);
    std::fs::remove_dir_all(folder.path("checkpoints")).unwrap();
    std::fs::remove_dir_all(folder.path("patched")).unwrap();
    let verified = done(&folder, &["savepoint", "verify", "second"]);
    assert!(verified.contains(": sound\n"), "{verified}");

    let after = run_from(&folder, "second", "out", 3);
    let mut expected = all();
    for (key, (count, sum)) in &mut expected {
        let (count_before, sum_before) = before.get(key).copied().unwrap_or_default();
        let (count_patched, sum_patched) = patched.get(key).copied().unwrap_or_default();
        *count = *count - count_before + count_patched;
        *sum = *sum - sum_before + sum_patched;
    }
    expected.insert(new, (1, 1));
    assert_eq!(after, expected);
}

#[test]
fn a_new_savepoint_holds_the_rows_and_nothing_else() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    // No run has ever been; the columns stand in another order than they are printed in.
    let titles = "value.count(),key.key,value.sum(value int64),value.sum(value int64).count";
    folder.write("rows", &format!("{titles}\n2,7,100,2\n\n1,1000000,,0\n"));
    let written = write(&folder, &["--new", "--job", "job.toml", "--format", "csv"]);
    assert_eq!(written.expect_code(0), "");
    let verified = done(&folder, &["savepoint", "verify", "patched"]);
    assert!(verified.contains(": sound\n"), "{verified}");
    let again = read(&folder, "patched", &["--format", "csv", "--key", "1000000"]);
    assert_eq!(again.lines().last(), Some("1000000,1,,0"));

    let mut expected = all();
    let total = expected.get_mut(&7).unwrap();
    *total = (total.0 + 2, total.1 + 100);
    expected.insert(1_000_000, (1, 0));
    assert_eq!(run_from(&folder, "patched", "out-new", 1), expected);

    // With a snapshot as the template its rows and positions are left out as well.
    folder.run_a_little();
    std::fs::remove_dir_all(folder.path("patched")).unwrap();
    std::fs::remove_dir_all(folder.path("after-patched")).unwrap();
    folder.write("rows", &row(7, (2, 100)));
    write(&folder, &["--new", "--from", "checkpoints/sums/chk-1"]).expect_code(0);
    assert_eq!(totals(&folder, "patched"), BTreeMap::from([(7, (2, 100))]));
    expected.remove(&1_000_000);
    assert_eq!(run_from(&folder, "patched", "out-like", 2), expected);
}

#[test]
fn wrong_rows_are_named_by_their_lines_and_nothing_is_written() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    let check = |rows: &str, more: &[&str], expected: &[&str]| {
        folder.write("rows", rows);
        let ended = write(
            &folder,
            &[&["--new", "--job", "job.toml"][..], more].concat(),
        );
        let log = ended.expect_code(2);
        for part in expected {
            assert!(log.contains(part), "{part:?} is not in {log}");
        }
        assert!(!Path::new(&folder.path("patched")).exists(), "{rows}");
    };
    let good = row(1, (1, 1));
    check(
        &format!(
            "{good}\n{{\"key\": {{\"key\": \"x\"}}, \"value\": 1}}\n{good}\n{{\"keys\": 1}}\n[\n"
        ),
        &[],
        &[
            "rows:2: key: key: a value of type int64 is needed",
            "rows:4: unknown field `keys`",
            "rows:5: ",
        ],
    );
    check(
        "{\"key\": {\"key\": 1}}\n",
        &[],
        &["rows:1: \"value\" is missing"],
    );
    check(
        "{\"key\": {\"key\": 1}, \"map_key\": 1}\n",
        &[],
        &["rows:1: the state has no map keys"],
    );
    check(
        &format!("{}, \"expires_at\": 1}}", good.strip_suffix('}').unwrap()),
        &[],
        &["rows:1: value: the state has no time-to-live"],
    );
    check("", &[], &["rows: there is no row"]);
    check(
        &"{}\n".repeat(20),
        &[],
        &["rows:10: ", "the rows behind are not looked at"],
    );
    let csv = ["--format", "csv"];
    let titles = "key.key,value.count(),value.sum(value int64),value.sum(value int64).count";
    check(
        "key,value\n",
        &csv,
        &["rows:1: there is no column \"key\" (there are key.key, "],
    );
    check(
        "key.key\n1\n",
        &csv,
        &["rows:1: the column \"value.count()\" is missing"],
    );
    check(
        "key.key,key.key\n",
        &csv,
        &["rows:1: the column \"key.key\" stands twice"],
    );
    check(
        &format!("{titles}\n1,1,1\n"),
        &csv,
        &["rows:2: there are 3 cells under 4 titles"],
    );
    check(
        &format!("{titles}\n1,1,1,1\n2,\"1,1,1\n3,1,1,1\n"),
        &csv,
        &["rows:3: a quote is opened in this row and not closed"],
    );
    check(
        &format!("{titles}\nx,1,1,1\n"),
        &csv,
        &["rows:2: key: key: a value of type int64"],
    );
}

#[test]
fn what_cannot_be_written_is_said_in_words() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    folder.write("rows", &row(1, (1, 1)));
    folder.write("there/file", "");
    let check = |arguments: &[&str], expected: &str| {
        let ended = folder.floodmark(&[&["state", "write"][..], arguments].concat());
        let log = ended.expect_code(2);
        assert!(log.contains(expected), "{arguments:?}: {log}");
    };
    let new = ["--new", "--job", "job.toml"];
    let to = [&new[..], &["--to", "patched"]].concat();
    check(
        &[&["rows"][..], &OPERATOR, &new, &["--to", "there"]].concat(),
        "it is there already",
    );
    check(
        &[&["rowz"][..], &OPERATOR, &to].concat(),
        "read rows from rowz",
    );
    check(
        &[
            &["rows", "--operator", "sum", "--state", "aggregate"][..],
            &to,
        ]
        .concat(),
        "there are sums",
    );
    check(
        &[&["rows", "--operator", "sums", "--state", "x"][..], &to].concat(),
        "there are aggregate",
    );
    check(
        &[&["rows", "--delete"][..], &OPERATOR, &to].concat(),
        "cannot be used with",
    );
    check(
        &[&["rows", "--to", "patched"][..], &OPERATOR].concat(),
        "--from",
    );
    check(
        &[
            &["rows", "--job", "job.toml", "--to", "patched"][..],
            &OPERATOR,
        ]
        .concat(),
        "--new",
    );

    // A job that has come to its end does nothing any more.
    folder.write("fast.toml", &Sums::fast().toml());
    folder.floodmark(&["run", "fast.toml"]).expect_code(0);
    let listed = done(&folder, &["checkpoints", "list", "fast.toml", "--json"]);
    let listed: Value = serde_json::from_str(&listed).unwrap();
    let newest = format!("checkpoints/sums/chk-{}", listed[0]["id"]);
    let from = ["rows", "--from", &newest, "--to", "patched"];
    check(
        &[&from[..], &OPERATOR].concat(),
        "had worked off all its input",
    );
    // A new savepoint like it lets the job begin again.
    write(&folder, &["--new", "--from", &newest]).expect_code(0);
    let mut expected = all();
    let total = expected.entry(1).or_default();
    *total = (total.0 + 1, total.1 + 1);
    assert_eq!(run_from(&folder, "patched", "out-again", 2), expected);
}
