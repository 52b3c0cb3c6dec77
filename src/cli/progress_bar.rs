//! How far a command has come that reads much.

use crate::telemetry::format_bytes;

/// How many marks a full bar has.
const MARKS: u64 = 30;

/// A bar, for example `verify [##########····················] 33 % of 3.4 MB`.
pub(super) fn progress_bar(what: &str, done: u64, expected: u64) -> String {
    let share = |of: u64| (u128::from(done) * u128::from(of) / u128::from(expected.max(1))) as u64;
    let marks = share(MARKS).min(MARKS) as usize;
    let bar = "#".repeat(marks) + &"·".repeat(MARKS as usize - marks);
    let percent = share(100).min(100);
    format!("{what} [{bar}] {percent} % of {}", format_bytes(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_never_leaves_its_place() {
        let check = |done, expected, marks: usize, tail: &str| {
            let shown = progress_bar("verify", done, expected);
            assert_eq!(shown.matches('#').count(), marks, "{shown}");
            assert!(shown.ends_with(tail), "{shown}");
        };
        check(0, 0, 0, "] 0 % of 0 B");
        check(1_000_000, 3_000_000, 10, "] 33 % of 3.0 MB");
        check(5, 4, 30, "] 100 % of 4 B");
    }
}
