//! Which topics a source reads.

use regex_lite::Regex;

use crate::error::{Error, ErrorKind, Result};

/// The topics of a source.
#[derive(Clone, Debug)]
pub(super) enum TopicSelection {
    /// These, all of which must exist.
    Listed(Vec<String>),
    /// Those whose whole name matches, whichever there are now.
    Pattern(Regex),
}

impl TopicSelection {
    /// Reads the options `topics` and `topic_pattern`, one of which must be given.
    pub(super) fn new(topics: &[String], pattern: Option<&str>) -> Result<Self> {
        let invalid = |message: String| Err(Error::new(ErrorKind::Configuration, message));
        match (topics, pattern) {
            ([], None) => invalid("topics: name at least one topic, or set topic_pattern".into()),
            ([_, ..], Some(_)) => invalid("topic_pattern: only goes without topics".into()),
            (topics, None) => {
                if let Some((index, topic)) = topics
                    .iter()
                    .enumerate()
                    .find(|(index, topic)| topic.is_empty() || topics[..*index].contains(topic))
                {
                    let problem = if topic.is_empty() {
                        "is empty"
                    } else {
                        "comes twice"
                    };
                    return invalid(format!("topics[{index}]: \"{topic}\" {problem}"));
                }
                Ok(Self::Listed(topics.to_vec()))
            }
            ([], Some(pattern)) => match Regex::new(&format!("^(?:{pattern})$")) {
                Ok(regex) => Ok(Self::Pattern(regex)),
                Err(error) => invalid(format!(
                    "topic_pattern: \"{pattern}\" is not a regular expression: {error}"
                )),
            },
        }
    }

    /// Whether the source reads this topic.
    pub(super) fn contains(&self, topic: &str) -> bool {
        match self {
            Self::Listed(topics) => topics.iter().any(|listed| listed == topic),
            Self::Pattern(pattern) => pattern.is_match(topic),
        }
    }

    /// Whether a topic can be absent.
    pub(super) fn is_pattern(&self) -> bool {
        matches!(self, Self::Pattern(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names() {
        let selection = TopicSelection::new(&[], Some("a|b-.*")).unwrap();
        for (topic, expected) in [("a", true), ("b-1", true), ("ab", false), ("xa", false)] {
            assert_eq!(selection.contains(topic), expected, "{topic}");
        }
    }

    #[test]
    fn either_topics_or_a_pattern_must_be_given() {
        let check = |topics: &[&str], pattern: Option<&str>, problem: &str| {
            let topics: Vec<String> = topics.iter().map(ToString::to_string).collect();
            let error = TopicSelection::new(&topics, pattern).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Configuration);
            assert!(error.to_string().starts_with(problem), "{error}");
        };
        check(&[], None, "topics: name at least one");
        check(&["a"], Some("b"), "topic_pattern: only goes without");
        check(&["a", "b", "a"], None, "topics[2]: \"a\" comes twice");
        check(&[""], None, "topics[0]: \"\" is empty");
        check(
            &[],
            Some("a("),
            "topic_pattern: \"a(\" is not a regular expression",
        );
    }
}
