//! Resource usage of a process: resident memory, descriptors, threads. From /proc.

use std::fs;

/// Resident memory in KiB (`VmRSS`).
pub fn resident(pid: u32) -> u64 {
    status(pid, "VmRSS:")
}

/// How many threads there are.
pub fn threads(pid: u32) -> u64 {
    status(pid, "Threads:")
}

/// The number of open descriptors. (For this process itself, that includes the one used for counting.)
pub fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).expect("a process of ours").count()
}

fn status(pid: u32, field: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process of ours");
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let number = line.and_then(|rest| rest.split_whitespace().next()).and_then(|number| number.parse().ok());
    number.unwrap_or_else(|| panic!("no {field} in {status}"))
}
