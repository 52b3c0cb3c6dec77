//! Source files: finding them, reading them, and blanking out what is not code.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// A text file of the project.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// The path from the project's root, with `/` between its parts.
    pub(crate) path: String,
    /// The text as it is.
    pub(crate) text: String,
    /// The text with comments and the content of literals replaced by blanks; lines keep their numbers. Made for Rust;
    /// of other languages only `text` is looked at.
    pub(crate) code: String,
}

impl SourceFile {
    pub(crate) fn new(path: impl Into<String>, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            path: path.into(),
            code: blank_comments_and_literals(&text),
            text,
        }
    }

    /// The top-level module that the file belongs to: the folder or file name below `src`; nothing for `lib.rs`.
    pub(crate) fn top_level_module(&self) -> Option<&str> {
        let name = self.path.strip_prefix("src/")?.split('/').next()?;
        let module = name.strip_suffix(".rs").unwrap_or(name);
        (module != "lib").then_some(module)
    }

    /// How many modules lie between the crate's root and the file's own items: `src/a.rs` has 1, `src/a/b.rs` has 2.
    pub(crate) fn module_depth(&self) -> usize {
        let parts = self.path.split('/').count() - 1;
        let is_module_file = self.path.ends_with("/mod.rs") || self.path == "src/lib.rs";
        parts - usize::from(is_module_file)
    }

    /// Where something was found, at this byte of the text.
    pub(crate) fn finding(&self, offset: usize, message: impl Into<String>) -> Finding {
        let line = self.text.as_bytes()[..offset]
            .iter()
            .filter(|byte| **byte == b'\n')
            .count()
            + 1;
        Finding {
            path: self.path.clone(),
            line,
            message: message.into(),
        }
    }
}

/// A breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) path: String,
    pub(crate) line: usize,
    pub(crate) message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}: {}", self.path, self.line, self.message)
    }
}

/// A name in the code, and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Name<'a> {
    pub(crate) offset: usize,
    pub(crate) text: &'a str,
}

impl Name<'_> {
    pub(crate) fn end(&self) -> usize {
        self.offset + self.text.len()
    }
}

/// All names and keywords of blanked code, in order. Raw names lose their `r#`.
pub(crate) fn names(code: &str) -> Vec<Name<'_>> {
    let is_part = |character: char| character.is_alphanumeric() || character == '_';
    let mut names = Vec::new();
    let mut rest = code;
    while let Some(start) = rest.find(is_part) {
        let tail = &rest[start..];
        let text = &tail[..tail
            .find(|character| !is_part(character))
            .unwrap_or(tail.len())];
        if !text.starts_with(|character: char| character.is_ascii_digit()) {
            let offset = code.len() - tail.len();
            names.push(Name { offset, text });
        }
        rest = &tail[text.len()..];
    }
    names
}

/// Replaces comments, and the content of string and character literals, by blanks of the same length.
fn blank_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while !rest.is_empty() {
        let after_name = code.ends_with(|last: char| last.is_alphanumeric() || last == '_');
        let (kept, blanked) = next_blank(rest, after_name);
        code.push_str(&rest[..kept]);
        for character in rest[kept..kept + blanked].chars() {
            let blank = if character == '\n' { '\n' } else { ' ' };
            code.extend(std::iter::repeat_n(blank, character.len_utf8()));
        }
        rest = &rest[kept + blanked..];
    }
    code
}

/// How many bytes at the start of `rest` are code, and how many after these are a comment or a literal. A part of
/// either may be empty, not both.
fn next_blank(rest: &str, after_name: bool) -> (usize, usize) {
    let raw = rest.trim_start_matches(['b', 'c']);
    if rest.starts_with("//") {
        (0, rest.find('\n').unwrap_or(rest.len()))
    } else if rest.starts_with("/*") {
        (0, block_comment_length(rest))
    } else if rest.starts_with('"') {
        (0, quoted_length(rest, '"'))
    } else if !after_name
        && raw.starts_with("r")
        && raw[1..].trim_start_matches('#').starts_with('"')
    {
        (0, rest.len() - raw.len() + raw_string_length(raw))
    } else if rest.starts_with('\'') && is_character_literal(rest) {
        (0, quoted_length(rest, '\''))
    } else {
        (rest.chars().next().map_or(0, char::len_utf8), 0)
    }
}

fn block_comment_length(rest: &str) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(step) = rest[at..].find(['/', '*']) {
        at += step;
        if rest[at..].starts_with("/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with("*/") {
            depth -= 1;
            at += 2;
        } else {
            at += 1;
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn quoted_length(rest: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in rest.char_indices().skip(1) {
        if escaped {
            escaped = false;
        } else if character == '\\' {
            escaped = true;
        } else if character == quote {
            return at + character.len_utf8();
        }
    }
    rest.len()
}

fn raw_string_length(raw: &str) -> usize {
    let hashes = raw[1..].len() - raw[1..].trim_start_matches('#').len();
    let opening = hashes + 2;
    let closing = format!("\"{}", "#".repeat(hashes));
    raw[opening..]
        .find(&closing)
        .map_or(raw.len(), |at| opening + at + closing.len())
}

/// Tells `'a'` and `'\n'` from the lifetime `'a`.
fn is_character_literal(rest: &str) -> bool {
    let mut characters = rest.chars().skip(1);
    characters.next() == Some('\\') || characters.next() == Some('\'')
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Reads one file of the project.
pub(crate) fn read_file(path: &str) -> SourceFile {
    let text = fs::read_to_string(root().join(path)).expect(path);
    SourceFile::new(path, text)
}

/// Reads all Rust files below a folder, in the order of their paths.
pub(crate) fn read_rust_files(folder: &str) -> Vec<SourceFile> {
    let mut files = read_all_files(folder);
    files.retain(|file| file.path.ends_with(".rs"));
    files
}

/// Reads all text files below a folder, in the order of their paths, if the folder is there. Data is left out, and so
/// are these rules themselves, which have to name what they forbid.
pub(crate) fn read_all_files(folder: &str) -> Vec<SourceFile> {
    let mut files: Vec<_> = paths_below(&root().join(folder))
        .iter()
        .map(|path| path.strip_prefix(root()).expect("a path below the root"))
        .map(|path| path.to_string_lossy().replace('\\', "/"))
        .filter(|path| !path.starts_with("tests/tidy/"))
        .filter(|path| {
            let ending = path.rsplit('.').next();
            matches!(ending, Some("rs" | "toml" | "sh" | "md"))
        })
        .map(|path| read_file(&path))
        .collect();
    files.sort_by(|left, right| left.path.cmp(&right.path));
    files
}

fn paths_below(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("a readable folder").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                paths_below(&path)
            } else {
                vec![path]
            }
        })
        .collect()
}

/// The modules that lie in the crate's root folder, sorted.
pub(crate) fn top_level_modules(folder: &str) -> Vec<String> {
    let mut modules: Vec<_> = read_rust_files(folder)
        .iter()
        .filter_map(SourceFile::top_level_module)
        .filter(|module| *module != "main")
        .map(str::to_owned)
        .collect();
    modules.dedup();
    modules
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        let code = blank_comments_and_literals(text);
        assert_eq!(code.len(), text.len(), "{text}");
        let squeezed: Vec<_> = code.split_whitespace().collect();
        assert_eq!(squeezed.join(" "), expected, "{text}");
    }

    #[test]
    fn comments_and_literals_are_blanked_and_code_stays() {
        check("a // b\nc", "a c");
        check("//! b", "");
        check("a /* b /* c */ d */ e", "a e");
        check(r#"a("b \" // c") d"#, "a( ) d");
        check(r##"a(r#"b " c"#, br"d\") e"##, "a( , ) e");
        check("a::<'b>('c', '\\'', '\"') d", "a::<'b>( , , ) d");
        check("r#use, for, b'x'", "r#use, for, b");
        check("\u{e4} \"\u{e4}\" a", "\u{e4} a");
    }

    #[test]
    fn names_are_found_where_they_stand() {
        let found: Vec<_> = names("use a_1::{b, 2u8};")
            .iter()
            .map(|name| (name.offset, name.text))
            .collect();
        assert_eq!(found, [(0, "use"), (4, "a_1"), (10, "b")]);
    }

    #[test]
    fn a_path_tells_the_module_and_its_depth() {
        let cases = [
            ("src/lib.rs", None, 0),
            ("src/error.rs", Some("error"), 1),
            ("src/state/mod.rs", Some("state"), 1),
            ("src/state/table/bucket.rs", Some("state"), 3),
        ];
        for (path, module, depth) in cases {
            let file = SourceFile::new(path, "");
            assert_eq!(file.top_level_module(), module, "{path}");
            assert_eq!(file.module_depth(), depth, "{path}");
        }
    }

    #[test]
    fn a_finding_names_the_line() {
        let file = SourceFile::new("src/a.rs", "one\ntwo\nthree");
        assert_eq!(file.finding(4, "bad").to_string(), "src/a.rs:2: bad");
    }
}
