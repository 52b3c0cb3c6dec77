//! Who imports whom: the layers within the crate, and the homes of foreign crates.

use crate::source::{Finding, Name, SourceFile, names};

/// Paths into a top-level module that does not stand before the file's own in `layers`.
pub(crate) fn layer_breaches(
    file: &SourceFile,
    layers: &[&str],
    allowed: &[(&str, &str)],
) -> Vec<Finding> {
    let Some(own) = file.top_level_module() else {
        return Vec::new();
    };
    let Some(own_layer) = layers.iter().position(|layer| *layer == own) else {
        return vec![file.finding(0, format!("module {own} has no place in the layer list"))];
    };
    imported_modules(file)
        .into_iter()
        .filter(|name| name.text != own && !allowed.contains(&(own, name.text)))
        .filter_map(|name| {
            let layer = layers.iter().position(|layer| *layer == name.text)?;
            let message = format!(
                "{own} must not import from {}, which stands on it",
                name.text
            );
            (layer > own_layer).then(|| file.finding(name.offset, message))
        })
        .collect()
}

/// Names of foreign crates in a module that is not one of their homes.
pub(crate) fn homeless_crates(file: &SourceFile, homes: &[(&str, &[&str])]) -> Vec<Finding> {
    let own = file.top_level_module().unwrap_or("lib");
    let all = names(&file.code);
    let is_own_module = |name: &Name<'_>| {
        all.windows(2)
            .any(|pair| pair[0].text == "mod" && pair[1].text == name.text)
    };
    all.iter()
        .filter_map(|name| {
            let (_, modules) = homes.iter().find(|(foreign, _)| *foreign == name.text)?;
            let breach =
                !modules.contains(&own) && is_crate_path(&file.code, name) && !is_own_module(name);
            let message = format!("{} belongs to {} alone", name.text, modules.join(" and "));
            breach.then(|| file.finding(name.offset, message))
        })
        .collect()
}

/// Whether a name begins a path to a crate: `name::…`, `use name;` or `use name as …`.
fn is_crate_path(code: &str, name: &Name<'_>) -> bool {
    let before = code[..name.offset].trim_end();
    let after = code[name.end()..].trim_start();
    // A leading `::` begins at the crates; `a::name` is some module's own.
    let starts_path = match before.strip_suffix("::") {
        Some(parent) => {
            !parent.ends_with(|last: char| last.is_alphanumeric() || "_>".contains(last))
        }
        None => true,
    };
    let is_imported_whole = before.ends_with("use") || before.ends_with("extern crate");
    starts_path && (after.starts_with("::") || is_imported_whole)
}

/// The top-level modules that paths of the file lead to: after `crate::` or `floodmark::`, in its group of braces, or
/// after as many `super::` as lead to the root.
fn imported_modules(file: &SourceFile) -> Vec<Name<'_>> {
    let code = &file.code;
    let mut found = Vec::new();
    let mut supers = 0;
    for name in names(code) {
        let continues = code[..name.offset].ends_with("::");
        let leads_on = code[name.end()..].starts_with("::");
        supers = match name.text {
            "super" if leads_on => supers * usize::from(continues) + 1,
            _ => 0,
        };
        let at_root = match name.text {
            "crate" | "floodmark" => leads_on && !continues,
            "super" => supers >= file.module_depth() && leads_on,
            _ => false,
        };
        if at_root {
            found.extend(first_names(code, name.end() + 2));
        }
    }
    found
}

/// The name at `offset`, or the first name of each path when a group in braces begins there.
fn first_names(code: &str, offset: usize) -> Vec<Name<'_>> {
    if !code[offset..].starts_with('{') {
        return name_at(code, offset).into_iter().collect();
    }
    let mut depth = 0;
    let mut found = Vec::new();
    for (at, character) in code[offset..].char_indices() {
        match character {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        let begins_path = depth == 1 && (character == ',' || character == '{');
        if begins_path {
            let rest = &code[offset + at + 1..];
            let blanks = rest.len() - rest.trim_start().len();
            found.extend(name_at(code, offset + at + 1 + blanks));
        }
        if depth == 0 {
            break;
        }
    }
    found
}

/// The name that begins at `offset`, if one does.
fn name_at(code: &str, offset: usize) -> Option<Name<'_>> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let rest = &code[offset..];
    let length = rest
        .find(|character| !is_part(character))
        .unwrap_or(rest.len());
    let text = &rest[..length];
    (length > 0).then_some(Name { offset, text })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: [&str; 5] = ["model", "error", "state", "runtime", "main"];

    /// Checks which modules a line in a file of `state` is found to import wrongly.
    fn check(path: &str, text: &str, expected: &[&str]) {
        let file = SourceFile::new(path, text);
        let allowed = [("model", "error")];
        let found: Vec<_> = layer_breaches(&file, &LAYERS, &allowed)
            .into_iter()
            .map(|finding| finding.message)
            .collect();
        assert_eq!(found.len(), expected.len(), "{text}: {found:?}");
        for (message, module) in found.iter().zip(expected) {
            let import = format!("import from {module},");
            assert!(message.contains(&import), "{text}: {message}");
        }
    }

    #[test]
    fn an_import_from_a_layer_below_is_found_however_it_is_written() {
        let file = "src/state/table.rs";
        check(file, "use crate::runtime::Worker;", &["runtime"]);
        check(file, "use crate::{model::Batch, runtime};", &["runtime"]);
        check(
            file,
            "use crate::{\n model::{a, b},\n runtime::{c, d},\n};",
            &["runtime"],
        );
        check(file, "fn f() { crate::runtime::go() }", &["runtime"]);
        check(file, "pub(in crate::runtime) fn f() {}", &["runtime"]);
        check(file, "use super::super::runtime::Worker;", &["runtime"]);
        check(
            file,
            "#[cfg(test)]\nmod tests { use crate::runtime::Worker; }",
            &["runtime"],
        );
        check("src/error.rs", "use super::state::Table;", &["state"]);
        check(
            "src/error.rs",
            "use crate::state; use crate::runtime;",
            &["state", "runtime"],
        );
    }

    #[test]
    fn imports_from_above_and_from_within_are_in_order() {
        let file = "src/state/table.rs";
        check(
            file,
            "use crate::model::Batch; use crate::error::Error;",
            &[],
        );
        check(
            file,
            "use crate::state::runtime; use super::runtime::go;",
            &[],
        );
        check(
            file,
            "use other::runtime; use crate::error::{runtime, state};",
            &[],
        );
        check(
            file,
            "// use crate::runtime;\nconst A: &str = \"crate::runtime::x\";",
            &[],
        );
        check("src/model/batch.rs", "use crate::error::Error;", &[]);
        check("src/main.rs", "use floodmark::runtime;", &[]);
        check("src/lib.rs", "pub use crate::runtime::Worker;", &[]);
    }

    #[test]
    fn a_module_without_a_layer_is_a_finding() {
        let file = SourceFile::new("src/helpers.rs", "");
        let message = layer_breaches(&file, &LAYERS, &[]).remove(0).to_string();
        assert_eq!(
            message,
            "src/helpers.rs:1: module helpers has no place in the layer list"
        );
    }

    fn check_crates(path: &str, text: &str, expected: &[usize]) {
        let homes: [(&str, &[&str]); 2] = [("csv", &["connectors"]), ("rkyv", &["state", "graph"])];
        let file = SourceFile::new(path, text);
        let lines: Vec<_> = homeless_crates(&file, &homes)
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(lines, expected, "{text}");
    }

    #[test]
    fn a_foreign_crate_outside_its_home_is_found() {
        check_crates("src/model/key.rs", "\nuse rkyv::Archive;", &[2]);
        check_crates(
            "src/model/key.rs",
            "#[derive(rkyv::Archive)]\nstruct A;",
            &[1],
        );
        check_crates(
            "src/model/key.rs",
            "use rkyv as r;\nuse ::csv::Reader;",
            &[1, 2],
        );
        check_crates("src/main.rs", "fn f() { csv::Reader::new() }", &[1]);
    }

    #[test]
    fn a_foreign_crate_at_home_and_a_name_that_is_no_crate_are_in_order() {
        check_crates("src/state/key.rs", "use rkyv::Archive;", &[]);
        check_crates("src/graph/typed.rs", "use rkyv::Archive;", &[]);
        check_crates(
            "src/cli/show.rs",
            "mod csv;\nuse self::csv::Table; fn f() { csv::show() }",
            &[],
        );
        check_crates(
            "src/cli/show.rs",
            "// csv::Reader\nlet csv = crate::connectors::csv::open();",
            &[],
        );
        check_crates(
            "src/cli/show.rs",
            "#[rkyv(derive(Debug))]\nstruct A { csv: bool }",
            &[],
        );
    }
}
