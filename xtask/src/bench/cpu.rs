//! What processes use, from /proc.
//!
//! Processor time is summed over a process and all its descendants. For threads that live it is known to the nanosecond
//! (`schedstat`); what ended threads used is in the process's own sum, and what ended children used in that of the
//! parent that waited for them, both in ticks of 10 ms (`stat`).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// Nanoseconds of a tick: USER_HZ is 100 on every architecture of ours.
const TICK: u64 = 10_000_000;

/// The part of a process's `stat` that is needed here.
#[derive(Debug, Clone, Copy)]
struct Stat {
    parent: u32,
    /// Its own threads, ended ones included, in ticks.
    own: u64,
    /// Its waited-for children with theirs, in ticks.
    children: u64,
}

/// One process at one time.
#[derive(Debug)]
struct Process {
    own: u64,
    children: u64,
    /// Nanoseconds by thread.
    threads: BTreeMap<u32, u64>,
    switches: u64,
}

/// Processes at one time.
#[derive(Debug, Default)]
pub struct Snapshot {
    processes: BTreeMap<u32, Process>,
}

impl Snapshot {
    /// The processes `roots` and all their descendants, without those below `without`.
    ///
    /// # Errors
    /// When there is no /proc.
    pub fn of(roots: &[u32], without: &[u32]) -> Result<Self> {
        let processes = members(roots, without)?;
        // A process may end while it is looked at; what it used is then in its parent's sum.
        let look = |pid: u32| Some((pid, process(pid)?));
        Ok(Self { processes: processes.into_iter().filter_map(look).collect() })
    }

    /// Nanoseconds of processor time used since `earlier`.
    pub fn nanos_since(&self, earlier: &Self) -> u64 {
        self.processes.iter().map(|(pid, now)| now.nanos_since(earlier.processes.get(pid))).sum()
    }

    /// How often processes have gone to sleep since `earlier`, or were interrupted.
    pub fn switches_since(&self, earlier: &Self) -> u64 {
        let since = |(pid, now): (&u32, &Process)| {
            now.switches.saturating_sub(earlier.processes.get(pid).map_or(0, |before| before.switches))
        };
        self.processes.iter().map(since).sum()
    }
}

impl Process {
    fn nanos_since(&self, earlier: Option<&Self>) -> u64 {
        let before = |thread: &u32| earlier.and_then(|e| e.threads.get(thread)).copied().unwrap_or(0);
        let living: u64 = self.threads.iter().map(|(id, nanos)| nanos.saturating_sub(before(id))).sum();
        let children = self.children.saturating_sub(earlier.map_or(0, |e| e.children)).saturating_mul(TICK);
        let Some(earlier) = earlier else { return living.saturating_add(children) };
        if earlier.threads.keys().all(|id| self.threads.contains_key(id)) {
            return living.saturating_add(children);
        }
        let own = self.own.saturating_sub(earlier.own).saturating_mul(TICK);
        own.max(living).saturating_add(children)
    }
}

/// The children of a process.
///
/// # Errors
/// When there is no /proc.
pub fn children(parent: u32) -> Result<Vec<u32>> {
    Ok(parents()?.into_iter().filter(|(_, of)| *of == parent).map(|(pid, _)| pid).collect())
}

/// MiB that a process has in memory, without what is mapped from `region`.
///
/// # Errors
/// When the process is gone.
pub fn resident_mib(pid: u32, region: Option<&Path>) -> Result<f64> {
    let text =
        fs::read_to_string(format!("/proc/{pid}/smaps")).context("error reading the memory of a process")?;
    let mut kib = 0_u64;
    let mut counted = true;
    for line in text.lines() {
        if let Some(size) = line.strip_prefix("Rss:") {
            let size: u64 =
                size.trim().trim_end_matches("kB").trim().parse().context("error reading smaps")?;
            kib = kib.saturating_add(if counted { size } else { 0 });
        } else if line.split_whitespace().next().is_some_and(|first| first.contains('-')) {
            counted = region.is_none_or(|region| !line.ends_with(&*region.to_string_lossy()));
        }
    }
    Ok(f64::from(u32::try_from(kib)?) / 1024.0)
}

/// Every process with its parent.
fn parents() -> Result<BTreeMap<u32, u32>> {
    let mut parents = BTreeMap::new();
    for entry in fs::read_dir("/proc").context("error listing /proc")?.flatten() {
        if let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok())
            && let Some(stat) = stat(pid)
        {
            parents.insert(pid, stat.parent);
        }
    }
    Ok(parents)
}

/// The processes that are `roots` or descend from one, without those that are in `without` or descend from one.
fn members(roots: &[u32], without: &[u32]) -> Result<BTreeSet<u32>> {
    let parents = parents()?;
    let belongs = |pid: u32| {
        let mut next = Some(pid);
        while let Some(pid) = next {
            if without.contains(&pid) {
                return false;
            }
            if roots.contains(&pid) {
                return true;
            }
            next = parents.get(&pid).copied();
        }
        false
    };
    Ok(parents.keys().copied().filter(|pid| belongs(*pid)).collect())
}

fn process(pid: u32) -> Option<Process> {
    let stat = stat(pid)?;
    let mut threads = BTreeMap::new();
    let mut switches = 0_u64;
    for entry in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let thread: u32 = entry.file_name().to_str()?.parse().ok()?;
        let Ok(schedule) = fs::read_to_string(entry.path().join("schedstat")) else { continue };
        threads.insert(thread, schedule.split_whitespace().next()?.parse().ok()?);
        let status = fs::read_to_string(entry.path().join("status")).unwrap_or_default();
        let counts = status.lines().filter(|line| line.contains("ctxt_switches"));
        switches +=
            counts.filter_map(|line| line.split_whitespace().last()?.parse::<u64>().ok()).sum::<u64>();
    }
    Some(Process { own: stat.own, children: stat.children, threads, switches })
}

fn stat(pid: u32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// The fields behind the name, which is in brackets and may have anything in it.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat {
        parent: u32::try_from(number(1)?).ok()?,
        own: number(11)? + number(12)?,
        children: number(13)? + number(14)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_whatever_the_name_is() {
        let stat = parse_stat("7 (a) R (b) S 3 7 7 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 1 0 5 6 7").unwrap();
        assert_eq!((stat.parent, stat.own, stat.children), (3, 30, 70));
    }

    fn at(own: u64, children: u64, threads: &[(u32, u64)]) -> Process {
        Process { own, children, threads: threads.iter().copied().collect(), switches: 0 }
    }

    #[test]
    fn living_threads_count_exactly_and_waited_for_children_in_ticks() {
        let (before, after) = (at(5, 1, &[(1, 1000), (2, 500)]), at(6, 3, &[(1, 1700), (2, 500), (3, 9)]));
        assert_eq!(after.nanos_since(Some(&before)), 709 + 2 * TICK);
    }

    #[test]
    fn what_an_ended_thread_used_is_not_lost() {
        let (before, after) = (at(5, 0, &[(1, 1000), (2, 500)]), at(8, 0, &[(1, 1700)]));
        assert_eq!(after.nanos_since(Some(&before)), 3 * TICK);
    }

    #[test]
    fn this_process_is_found_with_its_children() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let mine = std::process::id();
        let found = members(&[mine], &[]).unwrap();
        let without = members(&[mine], &[child.id()]).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(found.contains(&mine) && found.contains(&child.id()));
        assert!(without.contains(&mine) && !without.contains(&child.id()));
    }
}
