//! Words that must not stand in the sources, or not everywhere.

use crate::source::{Finding, SourceFile, names};

/// Notes to oneself, and places that exist on one machine only.
const LEFTOVERS: [&str; 7] = ["TODO", "FIXME", "XXX", "dbg!", "/work/", "/root/", "/home/"];

/// The word `unsafe` as code outside `src/state`.
pub(crate) fn unsafe_outside_state(file: &SourceFile) -> Vec<Finding> {
    if file.top_level_module() == Some("state") {
        return Vec::new();
    }
    names(&file.code)
        .into_iter()
        .filter(|name| name.text == "unsafe")
        .map(|name| file.finding(name.offset, "unsafe outside src/state"))
        .collect()
}

/// Leftovers anywhere in the text, comments and literals included.
pub(crate) fn leftovers(file: &SourceFile) -> Vec<Finding> {
    LEFTOVERS
        .iter()
        .flat_map(|word| {
            let places = file.text.match_indices(word);
            places.map(move |(offset, _)| file.finding(offset, format!("`{word}` is left over")))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(findings: &[Finding]) -> Vec<usize> {
        findings.iter().map(|finding| finding.line).collect()
    }

    #[test]
    fn unsafe_is_found_where_it_is_code_outside_the_state_module() {
        let text = "// unsafe\n#![deny(unsafe_code)]\nunsafe { read() }\nlet a = \"unsafe\";";
        let check = |path: &str| lines(&unsafe_outside_state(&SourceFile::new(path, text)));
        assert_eq!(check("src/operator/a.rs"), [3]);
        assert_eq!(check("src/lib.rs"), [3]);
        assert_eq!(check("src/state/segment.rs"), []);
    }

    #[test]
    fn leftovers_are_found_in_code_comments_and_literals() {
        for word in LEFTOVERS {
            let file = SourceFile::new("src/a.rs", format!("fn a() {{}}\n// {word}\n"));
            assert_eq!(lines(&leftovers(&file)), [2], "{word}");
        }
        let clean = SourceFile::new(
            "src/a.rs",
            "// the work is done: see root/a and network/b\n",
        );
        assert_eq!(lines(&leftovers(&clean)), []);
    }
}
