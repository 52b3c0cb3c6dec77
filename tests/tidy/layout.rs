//! What a file may hold, and how much of it.

use crate::source::{Finding, SourceFile};

/// The longest that a file may be, in lines, its tests not counted.
const LINES_MAX: usize = 500;

/// Files that are too long without a reason, and reasons that are no longer needed.
pub(crate) fn length_breaches(files: &[SourceFile], reasons: &[(&str, &str)]) -> Vec<Finding> {
    let has_reason = |path: &str| reasons.iter().any(|(long, _)| *long == path);
    let is_long = |file: &SourceFile| lines_without_tests(file) > LINES_MAX;
    let too_long = files
        .iter()
        .filter(|file| is_long(file) && !has_reason(&file.path))
        .map(|file| {
            let lines = lines_without_tests(file);
            file.finding(
                0,
                format!("{lines} lines without tests, more than {LINES_MAX}"),
            )
        });
    let stale = reasons
        .iter()
        .filter(|(path, _)| !files.iter().any(|file| file.path == *path && is_long(file)))
        .map(|(path, _)| Finding {
            path: (*path).to_owned(),
            line: 1,
            message: "is not too long any more, or is gone: take its reason out".to_owned(),
        });
    too_long.chain(stale).collect()
}

/// The lines before the file's test module; none of a file that is a test module itself.
fn lines_without_tests(file: &SourceFile) -> usize {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    if name.starts_with("test") || file.path.contains("/tests/") {
        return 0;
    }
    let lines: Vec<_> = file.text.lines().collect();
    let begins_tests = |pair: &[&str]| {
        pair[0] == "#[cfg(test)]" && pair[1].starts_with("mod ") && pair[1].ends_with('{')
    };
    lines
        .windows(2)
        .position(begins_tests)
        .unwrap_or(lines.len())
}

/// Items of a `mod.rs` or of `lib.rs` that are neither module lines nor re-exports.
pub(crate) fn module_file_breaches(file: &SourceFile) -> Vec<Finding> {
    let is_module_file = file.path.ends_with("/mod.rs") || file.path == "src/lib.rs";
    if !is_module_file {
        return Vec::new();
    }
    let code = without_attributes(&file.code);
    let mut offset = 0;
    let mut findings = Vec::new();
    while let Some(skipped) = code[offset..].find(|character: char| !character.is_whitespace()) {
        offset += skipped;
        let item = &code[offset..];
        let length = item.find(';').map_or(item.len(), |end| end + 1);
        if !is_module_line(&item[..length]) {
            let first_line = file.text[offset..].lines().next().unwrap_or_default();
            findings.push(file.finding(
                offset,
                format!("`{first_line}` belongs in a file of its own"),
            ));
            // What follows is the rest of this item as likely as the next one.
            break;
        }
        offset += length;
    }
    findings
}

/// Whether an item, up to its semicolon, is `mod name;` or a `use`, with or without a visibility.
fn is_module_line(item: &str) -> bool {
    let visible = item.strip_prefix("pub").unwrap_or(item).trim_start();
    let bare = match visible.strip_prefix('(') {
        Some(limit) => limit.split_once(')').map_or("", |(_, bare)| bare),
        None => visible,
    };
    let bare = bare.trim_start();
    bare.starts_with("use ") || (bare.starts_with("mod ") && !bare.contains('{'))
}

/// Blanks out `#[…]` and `#![…]`; every byte that stays keeps its place.
fn without_attributes(code: &str) -> String {
    let mut result = code.to_owned();
    let mut from = 0;
    while let Some(start) = result[from..].find('#').map(|found| from + found) {
        let end = start + attribute_length(&result[start..]);
        let blanks: String = result[start..end]
            .bytes()
            .map(|byte| if byte == b'\n' { '\n' } else { ' ' })
            .collect();
        result.replace_range(start..end, &blanks);
        from = end;
    }
    result
}

/// The length of the attribute that `code` starts with: to the bracket that closes its first one.
fn attribute_length(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '[' => depth += 1,
            ']' if depth == 1 => return at + 1,
            ']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_module_file(path: &str, text: &str, lines: &[usize]) {
        let file = SourceFile::new(path, text);
        let found: Vec<_> = module_file_breaches(&file)
            .iter()
            .map(|finding| finding.line)
            .collect();
        assert_eq!(found, lines, "{text}");
    }

    #[test]
    fn code_in_a_module_file_is_found() {
        check_module_file("src/a/mod.rs", "//! Doc.\n\nmod b;\n\nfn c() {}\n", &[5]);
        check_module_file("src/a/mod.rs", "pub struct B;\nmod c;\n", &[1]);
        check_module_file(
            "src/a/mod.rs",
            "#[cfg(test)]\nmod tests {\n    use b;\n}\n",
            &[2],
        );
        check_module_file(
            "src/lib.rs",
            "pub mod a;\n\nmacro_rules! b { () => {}; }\n",
            &[3],
        );
        check_module_file(
            "src/a/mod.rs",
            "//! \u{2192}\n#[path = \"\u{2192}\"]\nmod b;\nconst C: u8 = 1;",
            &[4],
        );
    }

    #[test]
    fn module_lines_and_re_exports_are_in_order() {
        let text = "//! Doc; more { doc.\n\n#![expect(unsafe_code, reason = \"a [b]; c\")]\n\nmod a;\npub(crate) mod b;\n\
                    #[cfg(test)]\nmod tests;\n\npub use a::{B, C};\npub(super) use b::*;\nuse d::E;\n";
        check_module_file("src/a/mod.rs", text, &[]);
        check_module_file("src/a/b.rs", "fn c() {}", &[]);
    }

    fn file_of_lines(path: &str, lines: usize, tests: usize) -> SourceFile {
        let tests = format!("#[cfg(test)]\nmod tests {{\n{}}}\n", "//\n".repeat(tests));
        SourceFile::new(path, "//\n".repeat(lines) + &tests)
    }

    #[test]
    fn a_long_file_needs_a_reason_and_a_reason_needs_a_long_file() {
        let long = file_of_lines("src/a/long.rs", LINES_MAX + 1, 0);
        let just_right = file_of_lines("src/a/right.rs", LINES_MAX, 1_000);
        let tests = file_of_lines("src/a/tests.rs", LINES_MAX + 1, 0);
        let files = [long, just_right, tests];
        let paths = |reasons: &[(&str, &str)]| -> Vec<_> {
            let findings = length_breaches(&files, reasons);
            findings.into_iter().map(|finding| finding.path).collect()
        };
        assert_eq!(paths(&[]), ["src/a/long.rs"]);
        assert!(paths(&[("src/a/long.rs", "a table")]).is_empty());
        assert_eq!(
            paths(&[("src/a/long.rs", "a table"), ("src/a/right.rs", "none")]),
            ["src/a/right.rs"]
        );
    }
}
