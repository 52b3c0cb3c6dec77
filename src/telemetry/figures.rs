//! Figures as people read them: `45.3 M`, `3.4 MB`, `12 ms`.

use std::time::Duration;

/// A count with a decimal prefix: `999`, `1.2 k`, `45.3 M`.
pub fn format_count(count: u64) -> String {
    scaled(count, &["", " k", " M", " G", " T", " P"])
}

/// A number of bytes with a decimal prefix: `999 B`, `1.2 kB`, `45.3 MB`.
pub fn format_bytes(bytes: u64) -> String {
    scaled(bytes, &[" B", " kB", " MB", " GB", " TB", " PB"])
}

/// A duration with two or three digits that matter: `0.4 ms`, `12 ms`, `1.2 s`, `2 min 5 s`, `3 h 12 min`.
pub fn format_duration(duration: Duration) -> String {
    let millis = duration.as_secs_f64() * 1000.0;
    let seconds = duration.as_secs();
    if millis < 9.95 {
        format!("{millis:.1} ms")
    } else if millis < 999.5 {
        format!("{millis:.0} ms")
    } else if millis < 59_950.0 {
        format!("{:.1} s", millis / 1000.0)
    } else if seconds < 3600 {
        let seconds = seconds.max(60);
        format!("{} min {} s", seconds / 60, seconds % 60)
    } else {
        format!("{} h {} min", seconds / 3600, seconds / 60 % 60)
    }
}

/// Divides by 1000 until less than 1000 is left, and appends the unit for that many divisions.
fn scaled(value: u64, units: &[&str]) -> String {
    let mut rest = value as f64;
    let mut step = 0;
    // What would be rounded up to 1000.0 belongs to the next unit.
    while rest >= 999.95 && step + 1 < units.len() {
        rest /= 1000.0;
        step += 1;
    }
    let unit = units.get(step).copied().unwrap_or_default();
    if step == 0 {
        format!("{value}{unit}")
    } else {
        format!("{rest:.1}{unit}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_have_one_decimal_from_a_thousand_on() {
        let check = |count, expected: &str| assert_eq!(format_count(count), expected);
        check(0, "0");
        check(999, "999");
        check(1000, "1.0 k");
        check(1_249, "1.2 k");
        check(999_949, "999.9 k");
        check(999_950, "1.0 M");
        check(45_300_000, "45.3 M");
        check(u64::MAX, "18446.7 P");
    }

    #[test]
    fn bytes_have_their_unit() {
        let check = |bytes, expected: &str| assert_eq!(format_bytes(bytes), expected);
        check(0, "0 B");
        check(3_400_000, "3.4 MB");
        check(999_999, "1.0 MB");
    }

    #[test]
    fn durations_get_coarser_as_they_get_longer() {
        let check = |micros, expected: &str| {
            assert_eq!(format_duration(Duration::from_micros(micros)), expected);
        };
        check(0, "0.0 ms");
        check(420, "0.4 ms");
        check(9_960, "10 ms");
        check(12_300, "12 ms");
        check(999_600, "1.0 s");
        check(1_230_000, "1.2 s");
        check(59_960_000, "1 min 0 s");
        check(125_000_000, "2 min 5 s");
        check(11_520_000_000, "3 h 12 min");
    }
}
