//! What a whole job file gives, and what is said about a wrong one.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;

use super::*;
use crate::error::{Error, ErrorKind};

/// A graph that is right, for files that are wrong elsewhere.
const GRAPH: &str = "[[source]]
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
        tolerable_failures = 3
        retain = 4
        storage = "file:///var/lib/floodmark"
        [state]
        backing = "disk"
        directory = "/var/tmp"
        [link]
        rows_max = 1000
        elements_max = 10
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
            tolerable_failures: 3,
            retain: 4,
            storage: "file:///var/lib/floodmark".to_owned(),
        }
    );
    assert_eq!(
        file.state,
        StateSection {
            backing: StateBacking::Disk,
            directory: Some("/var/tmp".into())
        }
    );
    assert_eq!(
        file.link,
        LinkSection {
            rows_max: 1000,
            elements_max: 10
        }
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
    assert_eq!(file.link, LinkSection::default());
}

#[test]
fn the_default_file_shows_every_setting() {
    let default_file = include_str!("../../configs/default.toml");
    for section in ["job", "checkpoint", "state", "link"] {
        // The hint of an unknown key names all known ones.
        let error = summary(&format!("[{section}]\nqqqqqqqqqqqqqqqqqqqqqq = 1\n{GRAPH}"));
        let (_, rest) = error.split_once("known keys: ").unwrap();
        for key in rest.lines().next().unwrap().split(", ") {
            let shown = |line: &str| {
                line.trim_start_matches("# ")
                    .starts_with(&format!("{key} = "))
            };
            assert!(default_file.lines().any(shown), "{section}.{key}");
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

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct FileOptions {
    path: String,
    port: u16,
    sasl: Option<Sasl>,
    #[serde(default)]
    columns: BTreeMap<String, String>,
    format: Option<Format>,
}

#[derive(Debug, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Sasl {
    user: String,
    password: u32,
}

/// Serde reads a tagged enum by way of a buffer that has no spans.
#[derive(Debug, Deserialize, PartialEq)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Format {
    Csv { header: bool },
}

fn source_options(options: &str) -> Section {
    let text = format!(
        "job.name = \"j\"\n{}",
        GRAPH.replacen("[[sink]]", &format!("{options}\n[[sink]]"), 1)
    );
    JobFile::parse("job.toml", &text)
        .unwrap()
        .sources
        .remove(0)
        .options
}

#[test]
fn options_are_read_without_the_common_keys() {
    let options = source_options(
        "path = \"x.csv\"\nport = 1\n[source.columns]\nb = \"int64\"\na = \"string\"",
    );
    let expected = FileOptions {
        path: "x.csv".to_owned(),
        port: 1,
        sasl: None,
        columns: [("a", "string"), ("b", "int64")]
            .map(|(a, b)| (a.into(), b.into()))
            .into(),
        format: None,
    };
    assert_eq!(options.parse::<FileOptions>().unwrap(), expected);
}

#[test]
fn all_problems_of_the_options_are_reported_at_once() {
    let options = source_options(
        "pth = \"x.csv\"\nport = \"80\"\n[source.format]\ntype = \"csv\"\nheadr = true\n[source.columns]\na = 5",
    );
    let error = options.parse::<FileOptions>().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    let expected = "job.toml:5:1: source in: pth: unknown key
  5 | pth = \"x.csv\"
    | ^^^
  hint: did you mean \"path\"?

job.toml:6:8: source in: port: expected a whole number from 0 to 65535, found a string
  6 | port = \"80\"
    |        ^^^^

job.toml:9:1: source in: format.headr: unknown key
  9 | headr = true
    | ^^^^^
  hint: did you mean \"header\"?

job.toml:11:5: source in: columns.a: expected a string, found an integer
  11 | a = 5
     |     ^";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_missing_option_is_reported_at_the_header_of_its_table() {
    let options = source_options("path = \"x.csv\"\n[source.sasl]\nuser = \"me\"\n");
    let expected = "job.toml:2:1: source in: port: missing key\n  2 | [[source]]\n    | ^^^^^^^^^^";
    let error = options.parse::<FileOptions>().unwrap_err().to_string();
    let (first, second) = error.split_once("\n\n").unwrap();
    assert_eq!(first, expected);
    assert!(
        second.starts_with("job.toml:6:1: source in: sasl.password: missing key"),
        "{second}"
    );
}

#[test]
fn secrets_are_never_shown() {
    let secret = "hunter2";
    let shown = [
        // A wrong type, whose message could hold the value.
        source_options(&format!(
            "path = \"x\"\nport = 1\nsasl = {{ user = \"me\", password = \"{secret}\" }}"
        ))
        .parse::<FileOptions>()
        .unwrap_err()
        .to_string(),
        // A problem with another key on the same line.
        source_options(&format!(
            "path = \"x\"\nport = 1\nsasl = {{ usr = \"me\", password = \"{secret}\" }}"
        ))
        .parse::<FileOptions>()
        .unwrap_err()
        .to_string(),
        // An unknown key whose name says that it is a secret.
        summary_with_snippets(&format!("[checkpoint]\napi_key = \"{secret}\"")),
        // A line that cannot be parsed.
        summary_with_snippets(&format!("token = \"{secret}\nx = 1")),
        summary_with_snippets(&format!("password = {secret}")),
        // The last line of a secret of several lines.
        summary_with_snippets(&format!("token = \"\"\"\n{secret}\"\"\" x")),
        source_options(&format!("client_secret = \"{secret}\""))
            .error_at("client_secret", "refused", None)
            .to_string(),
    ];
    for text in shown {
        assert!(text.contains("***"), "{text}");
        assert!(!text.contains(secret), "{text}");
    }
}

fn summary_with_snippets(text: &str) -> String {
    JobFile::parse("job.toml", text).unwrap_err().to_string()
}

#[test]
fn the_underline_fits_a_masked_line() {
    let options = source_options(
        "sasl = { password = \"hunter2\", usr = 1 }\tpath = 1"
            .split('\t')
            .next()
            .unwrap(),
    );
    let error = options.error_at("sasl.usr", "no such user", Some("ask around"));
    let expected = "job.toml:5:38: source in: sasl.usr: no such user
  5 | sasl = { password = ***, usr = 1 }
    |                                ^
  hint: ask around";
    assert_eq!(error.to_string(), expected);
}

#[test]
fn a_later_error_is_located_by_its_key_path() {
    let options = source_options("path = \"x\"\n[source.columns]\na = \"int46\"");
    let check = |message: &str, expected: &str| {
        let error =
            Error::new(ErrorKind::Data, message).with_source(std::io::Error::other("cause"));
        let located = options.locate(error);
        assert_eq!(located.to_string(), expected);
        assert_eq!(located.kind(), ErrorKind::Data);
        assert!(located.full_message().ends_with(": cause"));
    };
    check(
        "columns.a: no type int46",
        "job.toml:7:5: source in: columns.a: no type int46",
    );
    check(
        "columns.b: missing",
        "job.toml:6:1: source in: columns.b: missing",
    );
    check(
        "write out.csv: disk is full",
        "job.toml:2:1: source in: write out.csv: disk is full",
    );
    check(
        "nothing to read",
        "job.toml:2:1: source in: nothing to read",
    );
    check(
        "job.toml:7:5: columns.a: bad",
        "job.toml:7:5: columns.a: bad",
    );
}
