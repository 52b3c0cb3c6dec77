//! What of this process is resident, as Linux counts it.

use std::fs;

/// Forgets the peak so far. Gives what is resident, in bytes.
pub(crate) fn reset_peak() -> u64 {
    fs::write("/proc/self/clear_refs", "5").unwrap();
    field("VmRSS:")
}

/// The most that was resident since, in bytes.
pub(crate) fn peak() -> u64 {
    field("VmHWM:")
}

fn field(name: &str) -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kilobytes = line.unwrap().trim().trim_end_matches(" kB");
    kilobytes.parse::<u64>().unwrap() * 1024
}
