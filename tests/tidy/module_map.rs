//! The module map in the crate's documentation, held against the modules that are there.

use crate::source::{Finding, SourceFile};

/// Differences between the map in the documentation of `library`, the modules it declares, those whose files are
/// `present`, and the order of `layers`.
pub(crate) fn breaches(library: &SourceFile, present: &[String], layers: &[&str]) -> Vec<Finding> {
    let map = mapped_modules(library);
    let mut findings = Vec::new();
    for module in present {
        if !map.iter().any(|(_, mapped)| mapped == module) {
            findings.push(library.finding(0, format!("the module map does not name {module}")));
        }
        if !declares(library, module) {
            findings.push(library.finding(0, format!("{module} is not declared here")));
        }
    }
    let mut layers_left = layers.iter();
    for (offset, module) in map {
        if !present.iter().any(|present| present == module) {
            findings.push(library.finding(
                offset,
                format!("the map names {module}, which is not there"),
            ));
        } else if !layers_left.any(|layer| *layer == module) {
            findings.push(
                library.finding(offset, format!("{module} is out of layer order in the map")),
            );
            break;
        }
    }
    findings
}

/// The modules that the map names, each with where: list items of the crate's documentation that start with a link.
fn mapped_modules(library: &SourceFile) -> Vec<(usize, &str)> {
    let mut offset = 0;
    let mut found = Vec::new();
    for line in library.text.split_inclusive('\n') {
        if let Some(item) = line.strip_prefix("//! - [`") {
            found.extend(item.split_once('`').map(|(module, _)| (offset, module)));
        }
        offset += line.len();
    }
    found
}

fn declares(library: &SourceFile, module: &str) -> bool {
    let declaration = format!("mod {module};");
    library
        .code
        .lines()
        .any(|line| line.trim_end().ends_with(&declaration))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYERS: [&str; 4] = ["model", "error", "state", "cli"];

    fn check(map: &[&str], declared: &[&str], present: &[&str], expected: &[&str]) {
        let map: String = map
            .iter()
            .map(|name| format!("//! - [`{name}`]: what it is\n"))
            .collect();
        let declared: String = declared
            .iter()
            .map(|name| format!("pub mod {name};\n"))
            .collect();
        let library = SourceFile::new("src/lib.rs", format!("{map}{declared}"));
        let present: Vec<_> = present.iter().map(|name| (*name).to_owned()).collect();
        let found: Vec<_> = breaches(&library, &present, &LAYERS)
            .into_iter()
            .map(|finding| format!("{}: {}", finding.line, finding.message))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_map_that_is_the_modules_in_layer_order_is_right() {
        let modules = ["model", "state", "cli"];
        check(&modules, &modules, &modules, &[]);
    }

    #[test]
    fn each_difference_between_map_and_modules_is_found() {
        let modules = ["error", "model", "state"];
        check(
            &["model", "state"],
            &modules,
            &modules,
            &["1: the module map does not name error"],
        );
        check(
            &["model", "error", "state", "cli"],
            &modules,
            &modules,
            &["4: the map names cli, which is not there"],
        );
        check(
            &modules,
            &modules,
            &modules,
            &["2: model is out of layer order in the map"],
        );
        check(
            &["model"],
            &[],
            &["model"],
            &["1: model is not declared here"],
        );
    }
}
