//! What a whole job file gives, and what is said about a wrong one.

use std::time::Duration;

use super::*;
use crate::error::{Error, ErrorKind};

/// A graph that is right, for files that are wrong elsewhere.
pub(super) const GRAPH: &str = "[[source]]
id = \"in\"
type = \"file\"
[[sink]]
id = \"out\"
type = \"file\"
input = \"in\"
";

/// The diagnostics of a file, without the snippets.
fn summary(text: &str) -> String {
    let error = match JobFile::parse("job.toml", text) {
        Ok(_) => return String::new(),
        Err(error) => error.to_string(),
    };
    let keep = |line: &&str| !line.contains(" | ") && !line.is_empty();
    error.lines().filter(keep).collect::<Vec<_>>().join("\n")
}

/// `settings` is what stands before the graph; the graph adds no problem.
fn check_settings(settings: &str, expected: &str) {
    assert_eq!(
        summary(&format!("{settings}\n{GRAPH}")),
        expected,
        "{settings}"
    );
}

/// `graph` is what stands after the first line, which is `job.name = "j"`.
fn check_graph(graph: &str, expected: &str) {
    assert_eq!(
        summary(&format!("job.name = \"j\"\n{graph}")),
        expected,
        "{graph}"
    );
}

#[test]
fn a_file_that_sets_everything_is_read_as_written() {
    let text = format!(
        r#"
        [job]
        name = "flights"
        parallelism = 2
        max_parallelism = 64
        [checkpoint]
        interval = "100ms"
        mode = "at-least-once"
        timeout = "1min"
        min_pause = "10ms"
        max_concurrent = 2
        aligned_timeout = "30s"
        tolerable_failures = 3
        retain = 4
        on_cancel = "delete"
        savepoint_dir = "savepoints"
        lease = "20s"
        s3.region = "eu-1"
        history_max = 5
        storage = "file:///var/lib/floodmark"
        [state]
        backing = "disk"
        directory = "/var/tmp"
        local_recovery = true
        [link]
        rows_max = 1000
        elements_max = 10
        [server]
        enabled = false
        address = "[::1]:8081"
        token_file = "secret"
        {GRAPH}"#
    );
    let file = JobFile::parse("job.toml", &text).unwrap();
    assert_eq!(
        file.job,
        JobSettings {
            name: "flights".to_owned(),
            parallelism: 2,
            max_parallelism: 64
        }
    );
    assert_eq!(
        file.checkpoint,
        CheckpointSection {
            interval: Some(Duration::from_millis(100)),
            mode: CheckpointMode::AtLeastOnce,
            timeout: Duration::from_secs(60),
            min_pause: Duration::from_millis(10),
            max_concurrent: 2,
            unaligned: false,
            aligned_timeout: Duration::from_secs(30),
            tolerable_failures: 3,
            retain: 4,
            on_cancel: OnCancel::Delete,
            history_max: 5,
            storage: "file:///var/lib/floodmark".to_owned(),
            savepoint_dir: Some("savepoints".to_owned()),
            lease: Duration::from_secs(20),
            s3: S3Section {
                region: Some("eu-1".to_owned()),
                ..S3Section::default()
            },
        }
    );
    assert_eq!(
        file.state,
        StateSection {
            backing: StateBacking::Disk,
            directory: Some("/var/tmp".into()),
            local_recovery: true,
        }
    );
    assert_eq!(
        file.link,
        LinkSection {
            rows_max: 1000,
            elements_max: 10
        }
    );
    assert_eq!(
        file.server,
        ServerSection {
            enabled: false,
            address: "[::1]:8081".parse().unwrap(),
            token_file: Some("secret".into()),
        }
    );
}

#[test]
fn barriers_overtake_only_where_that_keeps_its_promise() {
    let unaligned = "[job]\nname = 'j'\n[checkpoint]\nunaligned = true\n";
    check_settings(unaligned, "");
    check_settings(
        &format!("{unaligned}mode = 'at-least-once'"),
        "job.toml:4:13: checkpoint.unaligned: needs mode \"exactly-once\": in the other mode no barrier waits for another anyway",
    );
    check_settings(
        &format!("{unaligned}max_concurrent = 2"),
        "job.toml:4:13: checkpoint.unaligned: needs max_concurrent 1: what is in flight can go into one checkpoint at a time",
    );
}

#[test]
fn the_components_are_read_in_the_order_of_the_file() {
    let text = r#"
        job.name = "j"
        [[source]]
        id = "a"
        type = "file"
        [[source]]
        id = "b"
        type = "generator"
        [[operator]]
        id = "u"
        type = "union"
        input = ["b", "a"]
        [[sink]]
        id = "out"
        type = "console"
        input = "u"
    "#;
    let file = JobFile::parse("job.toml", text).unwrap();
    let shown: Vec<String> = [file.sources, file.operators, file.sinks]
        .concat()
        .iter()
        .map(|part| {
            let inputs: Vec<&str> = part.inputs.iter().map(|id| id.as_str()).collect();
            format!(
                "{} {} {} {}",
                part.role,
                part.id,
                part.kind,
                inputs.join("+")
            )
        })
        .collect();
    let expected = [
        "source a file ",
        "source b generator ",
        "operator u union b+a",
        "sink out console u",
    ];
    assert_eq!(shown, expected);
}

#[test]
fn the_default_file_is_the_defaults() {
    let file = JobFile::parse("default.toml", include_str!("../../configs/default.toml")).unwrap();
    assert_eq!(file.job, JobSettings::named("default"));
    assert_eq!(file.checkpoint, CheckpointSection::default());
    assert_eq!(file.state, StateSection::default());
    assert_eq!(file.restart, RestartSection::default());
    assert_eq!(file.link, LinkSection::default());
    assert_eq!(file.server, ServerSection::default());
}

#[test]
fn the_default_file_shows_every_setting() {
    let default_file = include_str!("../../configs/default.toml");
    for section in [
        "job",
        "checkpoint",
        "checkpoint.s3",
        "restart",
        "state",
        "link",
        "server",
    ] {
        // The hint of an unknown key names all known ones.
        let error = summary(&format!("[{section}]\nqqqqqqqqqqqqqqqqqqqqqq = 1\n{GRAPH}"));
        let (_, rest) = error.split_once("known keys: ").unwrap();
        for key in rest.lines().next().unwrap().split(", ") {
            let shown = |line: &str| {
                line.trim_start_matches("# ")
                    .starts_with(&format!("{key} = "))
            };
            let shown_table = format!("[{section}.{key}]");
            let is_table = default_file.lines().any(|line| line == shown_table);
            assert!(
                is_table || default_file.lines().any(shown),
                "{section}.{key}"
            );
        }
    }
}

#[test]
fn a_diagnostic_shows_the_line_and_underlines_the_part() {
    let text = format!("[job]\nname = \"j\"\n[checkpoint]\n  intervall = \"1s\"\n{GRAPH}");
    let error = JobFile::parse("dir/job.toml", &text).unwrap_err();
    let expected = "dir/job.toml:4:3: checkpoint.intervall: unknown key
  4 |   intervall = \"1s\"
    |   ^^^^^^^^^
  hint: did you mean \"interval\"?";
    assert_eq!(error.to_string(), expected);
    let error = Error::from(error);
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(error.to_string(), expected);
}

#[test]
fn restart_settings_that_cannot_work_are_found() {
    check_settings(
        "job.name = \"j\"\n[restart]\nattempts = 0\nmax_backoff = \"500ms\"",
        "job.toml:3:12: restart.attempts: must be more than 0\n  hint: strategy = \"none\" ends the job with its first \
         failure\n\
         job.toml:4:15: restart.max_backoff: must not be less than initial_backoff",
    );
    check_settings(
        "job.name = \"j\"\n[restart]\nbackoff_multiplier = 1\njitter_factor = 2",
        "job.toml:3:22: restart.backoff_multiplier: must be more than 1\n  hint: strategy = \"fixed-delay\" waits the \
         same time before each restart\n\
         job.toml:4:17: restart.jitter_factor: must be from 0 to 1",
    );
}

#[test]
fn wrong_settings_are_found() {
    check_settings(
        "[job]\nname = \"a b\"",
        "job.toml:2:8: job.name: \"a b\" cannot be a name\n  hint: use letters, digits, - and _",
    );
    check_settings("[job]", "job.toml:1:1: job.name: missing key");
    check_settings("", "job.toml: job.name: missing key");
    check_settings(
        "job = 5",
        "job.toml:1:7: job: expected a table, found an integer\n  hint: write [job]\njob.toml:1:7: job.name: missing key",
    );
    let check = |settings: &str, expected: &str| {
        check_settings(&format!("job.name = \"j\"\n{settings}"), expected);
    };
    check(
        "job.parallelism = 0",
        "job.toml:2:19: job.parallelism: must be 1 or more",
    );
    check(
        "job.parallelism = 129",
        "job.toml:2:19: job.parallelism: must not be more than max_parallelism, which is 128",
    );
    check(
        "job.parallelism = -1",
        "job.toml:2:19: job.parallelism: expected a whole number that is not negative",
    );
    check(
        "job.max_parallelism = 32769",
        "job.toml:2:23: job.max_parallelism: must be from 1 to 32768",
    );
    check(
        "job.max_parallelism = 0",
        "job.toml:2:23: job.max_parallelism: must be from 1 to 32768",
    );
    check(
        "[checkpoint]\ninterval = \"0s\"",
        "job.toml:3:12: checkpoint.interval: must be more than 0\n  hint: leave interval out to take the final checkpoint only",
    );
    check(
        "[checkpoint]\ninterval = 5",
        "job.toml:3:12: checkpoint.interval: expected a duration in quotes, such as \"100ms\", \"10s\" or \"5min\", found an integer",
    );
    check(
        "[checkpoint]\ntimeout = \"0ms\"",
        "job.toml:3:11: checkpoint.timeout: must be more than 0",
    );
    check(
        "[checkpoint]\nretain = 0",
        "job.toml:3:10: checkpoint.retain: must be more than 0",
    );
    check(
        "[checkpoint]\nmax_concurrent = 0",
        "job.toml:3:18: checkpoint.max_concurrent: must be more than 0",
    );
    check(
        "[checkpoint]\nstorage = \"\"",
        "job.toml:3:11: checkpoint.storage: must not be empty",
    );
    check(
        "[checkpoint]\nmode = \"exactly_once\"",
        "job.toml:3:8: checkpoint.mode: unknown value \"exactly_once\"\n  hint: did you mean \"exactly-once\"?",
    );
    check(
        "[state]\nbacking = \"rocksdb\"",
        "job.toml:3:11: state.backing: unknown value \"rocksdb\"\n  hint: known values: memory, disk",
    );
    check(
        "[link]\nrows_max = 0",
        "job.toml:3:12: link.rows_max: must be more than 0",
    );
    check(
        "[chekpoint]",
        "job.toml:2:2: chekpoint: unknown key\n  hint: did you mean \"checkpoint\"?",
    );
}

#[test]
fn all_problems_are_reported_at_once_in_the_order_of_the_file() {
    check_settings(
        "[link]\nrows_max = 0\n[checkpoint]\nretain = 0\nmod = 1\n[job]\nparallelism = 0",
        "job.toml:2:12: link.rows_max: must be more than 0
job.toml:4:10: checkpoint.retain: must be more than 0
job.toml:5:1: checkpoint.mod: unknown key
  hint: did you mean \"mode\"?
job.toml:6:1: job.name: missing key
job.toml:7:15: job.parallelism: must be 1 or more",
    );
}

#[test]
fn text_that_is_no_toml_is_reported_where_it_breaks() {
    check_graph(
        "x = yes",
        "job.toml:2:5: string values must be quoted, expected literal string",
    );
    check_graph("[link]\n[link]", "job.toml:3:2: duplicate key");
}

#[test]
fn wrong_components_are_found() {
    let sink = "[[sink]]\nid = \"out\"\ntype = \"file\"\n";
    let source = "[[source]]\nid = \"in\"\ntype = \"file\"\n";
    let check = check_graph;
    check(
        "",
        "job.toml: source: a job needs at least one source\n  hint: write [[source]]\njob.toml: sink: a job needs at least one sink\n  hint: write [[sink]]",
    );
    check(
        &format!("[source]\nid = \"in\"\n{sink}input = \"in\""),
        "job.toml:2:1: source: expected a list of tables, found a table\n  hint: write [[source]]",
    );
    check(
        &format!("{source}{sink}"),
        "job.toml:5:1: sink out: input: missing key\n  hint: name the source or operator that it reads from: input = \"id\"",
    );
    check(
        &format!("{source}{sink}input = []"),
        "job.toml:8:9: sink out: input: the list is empty",
    );
    check(
        &format!("{source}{sink}input = 5"),
        "job.toml:8:9: sink out: input: expected an id or a list of ids, found an integer",
    );
    check(
        &format!("{source}{sink}input = [\"in\", 5]"),
        "job.toml:8:16: sink out: input[1]: expected an id, found an integer",
    );
    check(
        &format!("{source}{sink}input = \"inn\""),
        "job.toml:8:9: sink out: input: there is no source or operator \"inn\"\n  hint: did you mean \"in\"?",
    );
    check(
        &format!("{source}{sink}input = [\"in\", \"in\"]"),
        "job.toml:8:16: sink out: input[1]: \"in\" is in the list already",
    );
    check(
        &format!("{source}input = \"x\"\n{sink}input = \"in\""),
        "job.toml:5:9: source in: input: a source has no input",
    );
    check(
        &format!("[[source]]\nid = \"in\"\n{sink}input = \"in\""),
        "job.toml:2:1: source in: type: missing key",
    );
    check(
        &format!("[[source]]\ntype = \"file\"\n{sink}input = \"in\""),
        "job.toml:2:1: source: id: missing key",
    );
    check(
        &format!("{source}{source}{sink}input = \"in\""),
        "job.toml:6:6: source in: id: another source has this id already",
    );
}

#[test]
fn a_graph_that_does_not_flow_is_found() {
    let source = "[[source]]\nid = \"in\"\ntype = \"file\"\n";
    let operator = |id: &str, input: &str| {
        format!("[[operator]]\nid = \"{id}\"\ntype = \"filter\"\ninput = {input}\n")
    };
    let sink = |input: &str| format!("[[sink]]\nid = \"out\"\ntype = \"file\"\ninput = {input}\n");
    let check = |parts: &[String], expected: &str| {
        check_graph(&format!("{source}{}", parts.concat()), expected);
    };
    check(
        &[operator("f", "\"in\""), sink("\"in\"")],
        "job.toml:6:6: operator f: id: nothing reads from it\n  hint: give a sink input = \"f\"",
    );
    check(
        &[operator("f", "[\"in\", \"out\"]"), sink("\"f\"")],
        "job.toml:8:16: operator f: input[1]: \"out\" is a sink, nothing can be read from it",
    );
    check(
        &[operator("f", "[\"in\", \"f\"]"), sink("\"f\"")],
        "job.toml:8:9: operator f: input: reads from itself: f -> f",
    );
    check(
        &[
            operator("f", "[\"in\", \"h\"]"),
            operator("g", "\"f\""),
            operator("h", "\"g\""),
            sink("\"h\""),
        ],
        "job.toml:8:9: operator f: input: reads from itself: f -> g -> h -> f",
    );
}
