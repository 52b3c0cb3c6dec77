//! Names of states: the user's, and those of the parts that a state consists of.
//!
//! A map or list state is kept as several sets of records, each sealed and restored under a name of its own: the one with
//! the entries under the user's name, every other one, a *part*, under the user's name, a slash and the part's own.

use crate::error::{Error, ErrorKind, Result};

/// Stands between a user's name and a part's.
const SEPARATOR: char = '/';

/// Refuses a user's name that could be taken for a part's.
///
/// # Errors
/// [`ErrorKind::Operator`].
pub(super) fn check(name: &str) -> Result<()> {
    if !name.contains(SEPARATOR) {
        return Ok(());
    }
    Err(Error::new(
        ErrorKind::Operator,
        format!(
            "the name of state \"{name}\" has a \"{SEPARATOR}\", which is kept for the parts of a state: choose another \
             name"
        ),
    ))
}

/// The name of a part of the state `name`.
pub(crate) fn of_part(name: &str, part: &str) -> String {
    format!("{name}{SEPARATOR}{part}")
}

/// The user's name, given that or the name of a part.
pub(crate) fn of_user(name: &str) -> &str {
    name.split_once(SEPARATOR).map_or(name, |(user, _)| user)
}

/// The state as messages call it: by the user's name, and the part's if it is one.
pub(super) fn for_people(name: &str) -> String {
    match name.split_once(SEPARATOR) {
        Some((user, part)) => format!("state \"{user}\" (its {part})"),
        None => format!("state \"{name}\""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_shown_with_the_name_that_the_user_gave() {
        let part = of_part("prices", "index");
        assert_eq!(of_user(&part), "prices");
        assert_eq!(for_people(&part), "state \"prices\" (its index)");
        assert_eq!(of_user("prices"), "prices");
        assert_eq!(for_people("prices"), "state \"prices\"");
        assert!(check(&part).is_err());
        assert!(check("prices.all").is_ok());
    }
}
