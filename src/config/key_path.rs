//! The path of a key inside a table: `aggregates.mean_delay.column`, `input[1]`.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::source_text::is_secret;

/// A path of keys and indices. Empty for the table itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct KeyPath(Vec<Step>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl KeyPath {
    /// Reads what [`fmt::Display`] writes; nothing when the text is no path.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        let mut rest = text;
        loop {
            rest = parse_key(rest, &mut steps)?;
            while let Some(index) = rest.strip_prefix('[') {
                let (index, tail) = index.split_once(']')?;
                steps.push(Step::Index(index.parse().ok()?));
                rest = tail;
            }
            if rest.is_empty() {
                return Some(Self(steps));
            }
            rest = rest.strip_prefix('.')?;
        }
    }

    /// The path of `key` in the table that this path leads to.
    pub(super) fn join(&self, key: &str) -> Self {
        let mut steps = self.0.clone();
        steps.push(Step::Key(key.to_owned()));
        Self(steps)
    }

    /// The path of `key` beside the last key of this path.
    pub(super) fn with_last(&self, key: &str) -> Self {
        let parent = self.0.split_last().map_or(&[][..], |(_, parent)| parent);
        Self(parent.to_vec()).join(key)
    }

    /// Whether this path leads to the table itself.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a key on the way names a secret.
    pub(super) fn is_secret(&self) -> bool {
        self.0
            .iter()
            .any(|step| matches!(step, Step::Key(key) if is_secret(key)))
    }

    /// The span of the value at this path, or of the last one on the way to it that exists; nothing when even the
    /// first step leads nowhere.
    pub(super) fn span_in(&self, table: &DeTable<'_>) -> Option<Range<usize>> {
        let (first, rest) = self.0.split_first()?;
        let Step::Key(key) = first else { return None };
        let mut value = table.get(key.as_str())?;
        for step in rest {
            match step_into(value, step) {
                Some(next) => value = next,
                None => break,
            }
        }
        Some(value.span())
    }

    /// Whether the last step is this key.
    pub(super) fn ends_with(&self, key: &str) -> bool {
        matches!(self.0.last(), Some(Step::Key(last)) if last == key)
    }

    /// The path below `value` of the key or value with exactly this span.
    pub(super) fn of_span(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<Self> {
        let mut path = Self::default();
        let found = path.search(value, &|key, child| {
            let here = child.span() == *span || key.is_some_and(|key| key.span() == *span);
            here.then(|| span.clone())
        });
        found.map(|_| path)
    }

    /// The path below `value` of the first key of this name, and the span of that key.
    pub(super) fn of_key(value: &Spanned<DeValue<'_>>, name: &str) -> Option<(Self, Range<usize>)> {
        let mut path = Self::default();
        let found = path.search(value, &|key, _| {
            key.filter(|key| *key.get_ref() == name).map(Spanned::span)
        });
        found.map(|span| (path, span))
    }

    /// Takes the key at this path, or the nearest one above it, out of `value`; says whether there was one.
    pub(super) fn remove_from(&self, value: &mut Spanned<DeValue<'_>>) -> bool {
        let Some(last_key) = self.0.iter().rposition(|step| matches!(step, Step::Key(_))) else {
            return false;
        };
        let mut table = value.get_mut();
        for step in &self.0[..last_key] {
            let next = match (step, table) {
                (Step::Key(key), DeValue::Table(table)) => table.get_mut(key.as_str()),
                (Step::Index(index), DeValue::Array(items)) => items.get_mut(*index),
                _ => None,
            };
            let Some(next) = next else { return false };
            table = next.get_mut();
        }
        match (&self.0[last_key], table) {
            (Step::Key(key), DeValue::Table(table)) => table.remove(key.as_str()).is_some(),
            _ => false,
        }
    }

    /// Depth-first search; the path leads to what was found, and is as before when nothing was.
    fn search(
        &mut self,
        value: &Spanned<DeValue<'_>>,
        wanted: &Wanted<'_>,
    ) -> Option<Range<usize>> {
        match value.get_ref() {
            DeValue::Table(table) => table.iter().find_map(|(key, child)| {
                let step = Step::Key(key.get_ref().to_string());
                self.search_step(step, Some(key), child, wanted)
            }),
            DeValue::Array(items) => items.iter().enumerate().find_map(|(index, child)| {
                self.search_step(Step::Index(index), None, child, wanted)
            }),
            _ => None,
        }
    }

    fn search_step(
        &mut self,
        step: Step,
        key: Option<&Key<'_>>,
        child: &Spanned<DeValue<'_>>,
        wanted: &Wanted<'_>,
    ) -> Option<Range<usize>> {
        self.0.push(step);
        let found = wanted(key, child).or_else(|| self.search(child, wanted));
        if found.is_none() {
            self.0.pop();
        }
        found
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, step) in self.0.iter().enumerate() {
            match step {
                Step::Index(index) => write!(formatter, "[{index}]")?,
                Step::Key(key) => {
                    if position > 0 {
                        formatter.write_str(".")?;
                    }
                    if !key.is_empty() && key.chars().all(is_bare) {
                        formatter.write_str(key)?;
                    } else {
                        write!(formatter, "\"{key}\"")?;
                    }
                }
            }
        }
        Ok(())
    }
}

type Key<'t> = Spanned<std::borrow::Cow<'t, str>>;
/// Judges a key (an item of a list has none) and its value: the span of what was looked for, if this is it.
type Wanted<'w> = dyn Fn(Option<&Key<'_>>, &Spanned<DeValue<'_>>) -> Option<Range<usize>> + 'w;

fn step_into<'v, 't>(
    value: &'v Spanned<DeValue<'t>>,
    step: &Step,
) -> Option<&'v Spanned<DeValue<'t>>> {
    match step {
        Step::Key(key) => value.get_ref().get(key.as_str()),
        Step::Index(index) => value.get_ref().get(*index),
    }
}

/// Takes one key off the front of `text`, and returns what follows it.
fn parse_key<'p>(text: &'p str, steps: &mut Vec<Step>) -> Option<&'p str> {
    let (key, rest) = match text.strip_prefix('"') {
        Some(quoted) => quoted.split_once('"')?,
        None => text.split_at(text.find(|c| !is_bare(c)).unwrap_or(text.len())),
    };
    if key.is_empty() {
        return None;
    }
    steps.push(Step::Key(key.to_owned()));
    Some(rest)
}

fn is_bare(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_' || character == '-'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_it_is_read() {
        for text in [
            "input",
            "input[1]",
            "a.b-c.d_e",
            "columns.\"a b.c\"[0].type",
        ] {
            assert_eq!(KeyPath::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn a_sentence_is_no_path() {
        for text in [
            "",
            "no such column",
            "a..b",
            "a[x]",
            "write out.csv",
            "a.\"b",
        ] {
            assert_eq!(KeyPath::parse(text), None, "{text}");
        }
    }

    #[test]
    fn the_span_is_that_of_the_last_step_that_exists() {
        let text = "list = [1, { x = 22 }]\n[a.b]\nc = 3\n";
        let table = DeTable::parse(text).unwrap().into_inner();
        let check = |path: &str, expected: Option<&str>| {
            let span = KeyPath::parse(path).unwrap().span_in(&table);
            assert_eq!(span.map(|span| &text[span]), expected, "{path}");
        };
        check("list[1].x", Some("22"));
        check("list[0]", Some("1"));
        check("a.b.c", Some("3"));
        check("a.b.missing", Some("[a.b]"));
        check("missing.a", None);
    }
}
