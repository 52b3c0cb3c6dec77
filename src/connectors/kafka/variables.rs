//! Environment variables in settings, so that a password need not stand in a job file.

/// Looks an environment variable up; nothing when it is not set or is no valid UTF-8.
pub(super) type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Why a value with variables could not be put together.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VariableProblem {
    /// A variable is not set.
    Missing(String),
    /// A `${` without its `}`.
    NotClosed,
}

/// The environment of this process.
pub(super) fn process_environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Replaces each `${NAME}` in `value` by the variable of that name; `$${` stands for `${`. What a variable holds is not
/// looked at again.
pub(super) fn replace_variables(
    value: &str,
    environment: Environment<'_>,
) -> Result<String, VariableProblem> {
    let mut result = String::with_capacity(value.len());
    let mut rest = value;
    while let Some(start) = rest.find("${") {
        let before = &rest[..start];
        let after = &rest[start + 2..];
        if let Some(literal) = before.strip_suffix('$') {
            result.push_str(literal);
            result.push_str("${");
            rest = after;
            continue;
        }
        result.push_str(before);
        let (name, tail) = after.split_once('}').ok_or(VariableProblem::NotClosed)?;
        let found = environment(name).ok_or_else(|| VariableProblem::Missing(name.to_owned()))?;
        result.push_str(&found);
        rest = tail;
    }
    result.push_str(rest);
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: Result<&str, VariableProblem>) {
        let environment = |name: &str| match name {
            "USER" => Some("reader".to_owned()),
            "PASSWORD" => Some("a${USER}b".to_owned()),
            _ => None,
        };
        let found = replace_variables(value, &environment);
        assert_eq!(found, expected.map(str::to_owned), "{value}");
    }

    #[test]
    fn variables_are_replaced_once() {
        check("plain $ { } $$ text", Ok("plain $ { } $$ text"));
        check("${USER}", Ok("reader"));
        check("<${USER}:${PASSWORD}>", Ok("<reader:a${USER}b>"));
        check("$${USER}${USER}", Ok("${USER}reader"));
        check("${NOBODY}", Err(VariableProblem::Missing("NOBODY".into())));
        check("${}", Err(VariableProblem::Missing(String::new())));
        check("${USER", Err(VariableProblem::NotClosed));
    }
}
