//! What the options of a component give, and how their errors are located.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::config::JobFile;
use crate::config::tests::GRAPH;

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
