//! What the user may have meant.

/// The hint for a name that is none of `known`: the one that it resembles, or all of them.
///
/// `what` names the known things in the plural, for example `known keys`.
pub(super) fn hint<S: AsRef<str>>(unknown: &str, known: &[S], what: &str) -> Option<String> {
    if let Some(similar) = similar(unknown, known) {
        return Some(format!("did you mean \"{similar}\"?"));
    }
    if known.is_empty() {
        return None;
    }
    let names: Vec<&str> = known.iter().map(AsRef::as_ref).collect();
    Some(format!("{what}: {}", names.join(", ")))
}

/// The one of `known` that `unknown` is most likely a slip of.
pub(super) fn similar<'k, S: AsRef<str>>(unknown: &str, known: &'k [S]) -> Option<&'k str> {
    let length = unknown.chars().count();
    // One letter is always one step from another: there is nothing to recognise in it.
    let distance_max = (length / 3).max(1).min(length.saturating_sub(1));
    known
        .iter()
        .map(|name| {
            let name = name.as_ref();
            (strsim::damerau_levenshtein(unknown, name), name)
        })
        .filter(|(distance, _)| *distance <= distance_max)
        .min()
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_another_word_is_not() {
        let known = ["interval", "mode", "timeout"];
        let check = |unknown: &str, expected: &str| {
            assert_eq!(hint(unknown, &known, "known keys").unwrap(), expected);
        };
        check("intervall", "did you mean \"interval\"?");
        check("tiemout", "did you mean \"timeout\"?");
        check("mod", "did you mean \"mode\"?");
        check("x", "known keys: interval, mode, timeout");
        check("colour", "known keys: interval, mode, timeout");
    }

    #[test]
    fn there_is_no_hint_when_nothing_is_known() {
        assert_eq!(hint::<&str>("a", &[], "known keys"), None);
    }
}
