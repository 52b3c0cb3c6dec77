//! The rules of the source tree that no compiler checks: who may import whom, which foreign crate lives where, what the
//! crate's documentation says the modules are, and what a file may hold.
//!
//! Each rule is a function from source text to findings, with tests of its own on samples that break it; the tests here
//! run all of them over the tree. Sources are read as text, with comments and literals blanked out: the rules look at
//! names and punctuation only, so no parser is needed.

#![expect(
    clippy::expect_used,
    reason = "a test that cannot read the tree has failed"
)]

mod imports;
mod layout;
mod module_map;
mod source;
mod words;

use source::{Finding, SourceFile};

/// The top-level modules, each below those that it may import from.
const LAYERS: [&str; 19] = [
    "model",
    "error",
    "config",
    "telemetry",
    "channel",
    "state",
    "storage",
    "snapshot",
    "expression",
    "operator",
    "connectors",
    "graph",
    "coordinator",
    "runtime",
    "engine",
    "server",
    "cli",
    "testing",
    // The binary stands on top of them all.
    "main",
];

/// An import that goes against the order all the same, as (importing module, imported module).
const UPWARD_IMPORTS_ALLOWED: [(&str, &str); 1] = [
    // The words of the model report their own errors, and errors speak those words.
    ("model", "error"),
];

/// Each foreign crate that only some modules may know, with these modules.
const CRATE_HOMES: [(&str, &[&str]); 21] = [
    ("actix", &["runtime"]),
    ("actix_rt", &["runtime"]),
    ("actix_web", &["server"]),
    ("arrow_ipc", &["snapshot"]),
    ("clap", &["cli", "main"]),
    ("crossbeam_channel", &["channel"]),
    ("csv", &["connectors"]),
    ("glob", &["connectors"]),
    ("indicatif", &["telemetry"]),
    ("memmap2", &["state"]),
    ("metrics", &["telemetry"]),
    ("metrics_exporter_prometheus", &["telemetry"]),
    ("opendal", &["storage"]),
    ("opendal_http_transport_reqwest", &["storage"]),
    ("rdkafka", &["connectors"]),
    ("regex_lite", &["connectors"]),
    ("reqwest", &["storage"]),
    // State values are rkyv types, so whoever defines or handles one needs its traits.
    ("rkyv", &["state", "operator", "graph"]),
    // Beside mapping memory it takes the lock on a job's folder.
    ("rustix", &["state", "storage"]),
    ("tracing_subscriber", &["telemetry"]),
    ("ureq", &["cli"]),
];

/// Files longer than the limit, each with its reason.
const LONG_FILES: [(&str, &str); 1] = [(
    "src/telemetry/metric.rs",
    "one table: every metric's name stands in one place",
)];

fn report(rule: &str, findings: &[Finding]) {
    let lines: Vec<_> = findings.iter().map(Finding::to_string).collect();
    assert!(findings.is_empty(), "{rule}\n{}", lines.join("\n"));
}

fn findings_of(check: impl Fn(&SourceFile) -> Vec<Finding>) -> Vec<Finding> {
    let files = source::read_rust_files("src");
    assert!(files.len() > 10, "only {} files found", files.len());
    files.iter().flat_map(check).collect()
}

#[test]
fn a_module_imports_only_from_the_layers_above_it() {
    report(
        "a module imports only from those before it in the module map",
        &findings_of(|file| imports::layer_breaches(file, &LAYERS, &UPWARD_IMPORTS_ALLOWED)),
    );
}

#[test]
fn each_foreign_crate_stays_in_its_folder() {
    report(
        "a foreign crate of the core is known in its own folder only",
        &findings_of(|file| imports::homeless_crates(file, &CRATE_HOMES)),
    );
}

#[test]
fn the_module_map_names_every_module_in_layer_order() {
    let library = source::read_file("src/lib.rs");
    let present = source::top_level_modules("src");
    report(
        "the map in the documentation of src/lib.rs is the list of modules in layer order",
        &module_map::breaches(&library, &present, &LAYERS),
    );
}

#[test]
fn no_source_file_is_too_long() {
    let files = source::read_rust_files("src");
    report(
        "a file holds one subject: split it, or give a reason in LONG_FILES",
        &layout::length_breaches(&files, &LONG_FILES),
    );
}

#[test]
fn module_files_hold_only_documentation_and_module_lines() {
    report(
        "mod.rs and lib.rs hold documentation, module lines and re-exports; code goes into a file with a name",
        &findings_of(layout::module_file_breaches),
    );
}

#[test]
fn unsafe_stands_in_the_state_module_alone() {
    report(
        "only src/state may lift the ban on unsafe",
        &findings_of(words::unsafe_outside_state),
    );
}

#[test]
fn sources_are_free_of_leftovers() {
    let mut files = source::read_rust_files("src");
    for folder in ["benches", "tests", "configs", "scripts"] {
        files.extend(source::read_all_files(folder));
    }
    for name in ["README.md", "CHANGELOG.md", "Cargo.toml"] {
        files.push(source::read_file(name));
    }
    let findings: Vec<_> = files.iter().flat_map(words::leftovers).collect();
    report("finish it, or leave it out", &findings);
}
