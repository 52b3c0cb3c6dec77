//! The binary as its user meets it: exit codes, messages, signals, and what it answers about checkpoints.

use std::fs;

use crate::support::{JobFolder, Process, Sums};

#[test]
fn an_unknown_key_is_shown_with_its_line_and_a_hint() {
    let toml = Sums::fast().toml().replace("roll_interval", "rol_interval");
    let line = 1 + toml
        .lines()
        .position(|line| line.starts_with("rol_"))
        .unwrap();
    let folder = JobFolder::with_job(&toml);
    for command in ["run", "validate"] {
        let ended = folder.floodmark(&[command, "job.toml"]);
        let expected = format!(
            "error: job.toml:{line}:1: sink out: rol_interval: unknown key\n  \
             {line} | rol_interval = '0s'\n     | ^^^^^^^^^^^^\n  hint: did you mean \"roll_interval\"?\n"
        );
        assert_eq!(ended.expect_code(2), expected);
    }
    assert!(!folder.path("out").exists());
    assert!(!folder.path("checkpoints").exists());
}

#[test]
fn what_is_wrong_on_the_command_line_or_in_the_job_file_is_said_in_words() {
    let folder = JobFolder::with_job(&Sums::fast().toml());
    folder.write("broken.toml", "[job\nname = 'sums'");
    folder.write("binary.toml", "\0\u{1}");
    folder.write(
        "unread.toml",
        &Sums::fast()
            .toml()
            .replace("input = 'sums'", "input = 'numbers'"),
    );
    folder.write(
        "cycle.toml",
        &Sums::fast()
            .toml()
            .replace("input = 'numbers'", "input = 'sums'"),
    );
    folder.write(
        "column.toml",
        &Sums::fast().toml().replace("sum(value)", "sum(valeu)"),
    );
    folder.write(
        "call.toml",
        &Sums::fast().toml().replace("sum(value)", "summ(value)"),
    );
    folder.write(
        "storage.toml",
        &Sums::fast()
            .toml()
            .replace("'checkpoints'", "'hdfs://name/x'"),
    );
    for (arguments, expected) in [
        (&["run", "no-such.toml"][..], "read job file no-such.toml"),
        (&["run", "."], "read job file ."),
        (&["run", "broken.toml"], "broken.toml:1:"),
        (&["run", "binary.toml"], "binary.toml:1:"),
        (&["run", "unread.toml"], "\"sums\""),
        (&["run", "cycle.toml"], "reads from itself: sums -> sums"),
        (&["run", "column.toml"], "\"valeu\""),
        (&["run", "call.toml"], "\"summ\""),
        (&["run", "storage.toml"], "hdfs://name/x"),
        (&["run", "job.toml", "--parallelism", "0"], "--parallelism"),
        (
            &["run", "job.toml", "--parallelism", "200"],
            "max_parallelism",
        ),
        (&["run"], "JOB.TOML"),
        (&["rnu", "job.toml"], "unrecognized subcommand 'rnu'"),
        (
            &["checkpoints", "inspect", "job.toml"],
            "job sums has no checkpoint",
        ),
    ] {
        let ended = folder.floodmark(arguments);
        let log = ended.expect_code(2);
        assert!(log.starts_with("error: "), "{arguments:?}: {log}");
        assert!(log.contains(expected), "{arguments:?}: {log}");
    }
    assert!(!folder.path("out").exists());
}

#[test]
fn a_second_copy_of_a_running_job_is_refused_and_does_the_first_no_harm() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    let mut first = folder.start();
    first.wait_for_stdout();
    for arguments in [&["run", "job.toml"][..], &["run", "job.toml", "--fresh"]] {
        let second = folder.floodmark(arguments);
        let log = second.expect_code(1);
        let expected = format!(
            "job \"sums\" is already running: process {} holds ",
            first.id()
        );
        assert!(log.contains(&expected), "{log}");
        assert!(
            log.contains("hint: stop whatever else runs this job"),
            "{log}"
        );
    }
    first.signal("TERM");
    first.wait().expect_code(0);
    folder.write("job.toml", &Sums::fast().toml());
    folder.run().expect_code(0);
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
}

/// The job stands still, because nobody reads what it prints: so the last checkpoint cannot be taken.
#[test]
fn a_second_signal_ends_a_job_that_cannot_stop() {
    let job = Sums {
        rate: None,
        parallelism: 1,
        ..Sums::slow()
    };
    let folder = JobFolder::with_job(&job.toml());
    let mut process = folder.start();
    process.wait_for_stdout();
    process.signal("INT");
    process.wait_for_log("SIGINT: taking a last checkpoint");
    process.signal("INT");
    process.wait_for_log("SIGINT: ending without a last checkpoint");
    let ended = process.wait();
    let log = ended.expect_code(130);
    assert!(
        log.contains("run the job again to go on from its last checkpoint"),
        "{log}"
    );
    folder.write("job.toml", &Sums::fast().toml());
    folder.run().expect_code(0);
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
}

#[test]
fn a_third_signal_leaves_a_job_that_cannot_even_end() {
    let job = Sums {
        rate: None,
        parallelism: 1,
        ..Sums::slow()
    };
    let folder = JobFolder::with_job(&job.toml());
    let mut process = folder.start();
    process.wait_for_stdout();
    process.signal("INT");
    process.wait_for_log("SIGINT: taking a last checkpoint");
    process.signal("TERM");
    process.wait_for_log("SIGTERM: ending without a last checkpoint");
    process.signal("TERM");
    process.wait_for_log("interrupted: run the job again");
    process.wait().expect_code(130);
}

#[test]
fn checkpoints_are_listed_and_inspected() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    let list = || folder.floodmark(&["checkpoints", "list", "job.toml"]);
    let ended = list();
    ended.expect_code(0);
    assert_eq!(ended.stdout, "job sums has no checkpoint in checkpoints\n");
    assert!(
        !folder.path("checkpoints/sums").exists(),
        "looking has made something"
    );
    folder.run_a_little();
    folder.run_a_little();

    let ended = list();
    assert_eq!(ended.expect_code(0), "");
    let lines: Vec<&str> = ended.stdout.lines().collect();
    assert!(lines[0].starts_with("ID  STATUS "), "{}", ended.stdout);
    assert!(
        lines[1].starts_with(" 2  completed  checkpoint  "),
        "{}",
        ended.stdout
    );
    assert!(
        lines[2].starts_with(" 1  completed  checkpoint  "),
        "{}",
        ended.stdout
    );
    assert_eq!(lines.len(), 3, "{}", ended.stdout);

    let rows = json(&folder, &["checkpoints", "list", "job.toml", "--json"]);
    assert_eq!(ids(&rows), [2, 1]);
    assert!(rows[0]["bytes"].as_u64() > Some(0), "{rows}");
    assert!(
        rows[0]["full_bytes"].as_u64() >= rows[0]["bytes"].as_u64(),
        "{rows}"
    );

    let newest = json(&folder, &["checkpoints", "inspect", "job.toml", "--json"]);
    assert_eq!(newest["id"], 2);
    assert_eq!(newest["parallelism"], 2);
    let pieces = newest["pieces"].as_array().unwrap();
    let has = |operator: &str, kind: &str| {
        let is_it = |piece: &&serde_json::Value| {
            piece["operator"] == operator && piece["kind"].as_str().unwrap().starts_with(kind)
        };
        pieces.iter().any(|piece| is_it(&piece))
    };
    assert!(
        has("numbers", "list") && has("sums", "base") && has("out", "list"),
        "{newest}"
    );
    let states = newest["states"].as_array().unwrap();
    assert_eq!(states.len(), 1, "{newest}");
    assert_eq!(states[0]["operator"], "sums");
    assert_eq!(states[0]["state"], "aggregate");
    assert_eq!(states[0]["version"], 1);
    let bytes_of = |kind: &str| -> u64 {
        let of_kind = pieces
            .iter()
            .filter(|piece| piece["kind"] == format!("{kind} of aggregate"));
        of_kind.map(|piece| piece["bytes"].as_u64().unwrap()).sum()
    };
    assert_eq!(states[0]["base_bytes"], bytes_of("base"));
    assert_eq!(states[0]["delta_bytes"], bytes_of("delta"));
    assert!(bytes_of("base") > 0, "{newest}");
    let ended = folder.floodmark(&["checkpoints", "inspect", "job.toml", "1"]);
    ended.expect_code(0);
    assert!(
        ended
            .stdout
            .starts_with("job sums, parallelism 2, 128 key groups\n"),
        "{}",
        ended.stdout
    );

    fs::write(folder.path("checkpoints/sums/chk-2/manifest.json"), "").unwrap();
    let rows = json(&folder, &["checkpoints", "list", "job.toml", "--json"]);
    assert_eq!(ids(&rows), [2, 1]);
    assert_eq!(rows[0]["status"], "damaged");
    assert_eq!(rows[0]["reason"], "its manifest is empty");
    assert_eq!(rows[1]["status"], "completed");
    let ended = folder.floodmark(&["checkpoints", "inspect", "job.toml", "2"]);
    let log = ended.expect_code(1);
    assert!(log.contains("checkpoint 2 in "), "{log}");
    assert!(
        log.contains("cannot be used: its manifest is empty"),
        "{log}"
    );
}

#[test]
fn a_console_that_nobody_reads_any_more_ends_the_job_with_a_message() {
    let folder = JobFolder::with_job(&Sums::slow().toml());
    let path = folder.path("");
    let ended = Process::start_with_closed_output(&path, &["run", "job.toml"]).wait();
    let log = ended.expect_code(1);
    assert!(log.contains("error: operator console: "), "{log}");
    assert!(log.contains("write the console: "), "{log}");
    // It is no damage: the job goes on without the console.
    folder.write("job.toml", &Sums::fast().toml());
    folder.run().expect_code(0);
    assert!(folder.committed("out", Sums::HEADER) == Sums::expected());
}

#[test]
fn an_answer_that_nobody_reads_to_its_end_is_no_error() {
    let folder = JobFolder::with_job(&Sums::fast().toml());
    folder.run().expect_code(0);
    let arguments = ["checkpoints", "inspect", "job.toml", "--json"];
    let ended = Process::start_with_closed_output(&folder.path(""), &arguments).wait();
    assert_eq!(ended.expect_code(0), "");
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    for (what, path) in [
        ("path = 'out'", "path = 'file/out'"),
        ("'checkpoints'", "'file/checkpoints'"),
        ("'state'", "'file/state'"),
    ] {
        let toml = Sums::fast().toml();
        assert!(toml.contains(what));
        let folder = JobFolder::with_job(&toml.replace(what, path));
        folder.write("file", "in the way");
        let ended = folder.run();
        let log = ended.expect_code(1);
        let error = log
            .lines()
            .find(|line| line.starts_with("error: "))
            .unwrap();
        let name = path.trim_start_matches("path = ").trim_matches('\'');
        assert!(error.contains(name), "{error}");
        assert!(error.contains("Not a directory"), "{error}");
        assert!(
            log.contains("  hint: mend the cause and run the job again"),
            "{log}"
        );
    }
}

fn json(folder: &JobFolder, arguments: &[&str]) -> serde_json::Value {
    let ended = folder.floodmark(arguments);
    assert_eq!(ended.expect_code(0), "");
    serde_json::from_str(&ended.stdout).unwrap()
}

fn ids(rows: &serde_json::Value) -> Vec<u64> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["id"].as_u64().unwrap()).collect()
}
