//! Reports as people read them: aligned tables.

use std::fmt::Write as _;

use vitrail_protocols::WorkerReport;

use crate::shell::popup::MAX_AREA_PERCENT;
use crate::shell::workspaces::WorkspaceReport;
use crate::trust::limits::MAX_OBJECTS;

use super::protocol::{Status, VmReport, WindowInfo};

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Align {
    Left,
    Right,
}

/// Rows of cells under headings, as wide as their widest cell.
#[derive(Debug)]
struct Table {
    headings: Vec<(&'static str, Align)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    fn new(headings: &[(&'static str, Align)]) -> Self {
        Self { headings: headings.to_vec(), rows: Vec::new() }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn render(&self) -> String {
        let headings: Vec<String> = self.headings.iter().map(|(text, _)| (*text).to_owned()).collect();
        let widths: Vec<usize> = (0..headings.len())
            .map(|column| {
                let cells = self.rows.iter().chain([&headings]).filter_map(|row| row.get(column));
                cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
            })
            .collect();
        let mut text = String::new();
        for row in [&headings].into_iter().chain(&self.rows) {
            let mut line = String::new();
            for ((cell, width), (_, align)) in row.iter().zip(&widths).zip(&self.headings) {
                if !line.is_empty() {
                    line.push_str("  ");
                }
                // Writing to a string cannot fail.
                let _ = match align {
                    Align::Left => write!(line, "{cell:<width$}"),
                    Align::Right => write!(line, "{cell:>width$}"),
                };
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// The windows, the front-most first, as they lie on the screen.
#[must_use]
pub fn windows(windows: &[WindowInfo]) -> String {
    if windows.is_empty() {
        return String::from("no windows\n");
    }
    let mut table = Table::new(&[
        ("", Align::Left),
        ("VM", Align::Left),
        ("LABEL", Align::Left),
        ("COLOUR", Align::Left),
        ("APPLICATION", Align::Left),
        ("SIZE", Align::Right),
        ("AT", Align::Right),
        ("TITLE", Align::Left),
    ]);
    let mut sorted: Vec<&WindowInfo> = windows.iter().collect();
    sorted.sort_by_key(|window| std::cmp::Reverse(window.z));
    for window in sorted {
        table.row([
            String::from(match window {
                WindowInfo { focused: true, .. } => ">",
                WindowInfo { urgent: true, .. } => "!",
                _ => "",
            }),
            window.vm.clone(),
            window.label.clone(),
            window.color.clone(),
            window.app_id.clone(),
            format!("{}x{}", window.frame.w, window.frame.h),
            format!("{},{}", window.frame.x, window.frame.y),
            window.title.clone(),
        ]);
    }
    table.render()
}

/// What each origin is called and uses, of how much, and how its gate worker is.
#[must_use]
pub fn vms(reports: &[VmReport]) -> String {
    let mut used = Table::new(&[
        ("VM", Align::Left),
        ("LABEL", Align::Left),
        ("COLOUR", Align::Left),
        ("PATTERN", Align::Left),
        ("STATE", Align::Left),
        ("CLIENTS", Align::Right),
        ("WINDOWS", Align::Right),
        ("POPUPS", Align::Right),
        ("SURFACES", Align::Right),
        ("BUFFERS", Align::Right),
        ("SHM MIB", Align::Right),
    ]);
    for VmReport { vm, label, color, pattern, restraints, limits, usage, .. } in reports {
        let state: Vec<&str> = restraints.iter().map(|done| done.state()).collect();
        let of = |used: u64, limit: u32| match limit {
            u32::MAX => format!("{used}/-"),
            limit => format!("{used}/{limit}"),
        };
        used.row([
            vm.clone(),
            label.clone(),
            color.clone(),
            pattern.clone(),
            if state.is_empty() { String::from("-") } else { state.join(", ") },
            of(usage.clients.into(), limits.clients),
            of(usage.windows.into(), limits.toplevels),
            of(usage.popups.into(), limits.popups),
            of(usage.surfaces.into(), limits.surfaces),
            of(usage.buffers.into(), limits.buffers),
            of(usage.shm_bytes.div_ceil(1 << 20), limits.shm_mib),
        ]);
    }
    let workers: Vec<&WorkerReport> = reports.iter().filter_map(|report| report.worker.as_ref()).collect();
    let gate = if workers.is_empty() {
        String::from("no gate worker runs\n")
    } else {
        format!("{}\n{}", gate_workers(&workers), passed_through(&workers))
    };
    format!("{}\n{}\n{gate}", used.render(), doing(reports))
}

/// What each origin does with it, as far as that has limits.
fn doing(reports: &[VmReport]) -> String {
    let mut table = Table::new(&[
        ("DOING", Align::Left),
        ("OBJECTS", Align::Right),
        ("POPUP AREA", Align::Right),
        ("SUBSURFACE DEPTH", Align::Right),
        ("COMMITS/S", Align::Right),
        ("DAMAGE/S", Align::Right),
        ("WAITED", Align::Right),
    ]);
    let of = |used: u32, limit: u32| match limit {
        u32::MAX => format!("{used}/-"),
        limit => format!("{used}/{limit}"),
    };
    for VmReport { vm, limits, usage, .. } in reports {
        table.row([
            vm.clone(),
            format!("{}/{MAX_OBJECTS}", usage.objects),
            format!("{} %/{MAX_AREA_PERCENT} %", usage.popup_area),
            format!("{}/{}", usage.subsurface_depth, limits.subsurface_depth),
            of(usage.commits_per_second, limits.commits_per_second),
            of(usage.damage_per_second, limits.damage_per_second),
            usage.waits.to_string(),
        ]);
    }
    table.render()
}

fn passed_through(workers: &[&WorkerReport]) -> String {
    let mut table = Table::new(&[
        ("PASSED THROUGH", Align::Left),
        ("CONNECTIONS", Align::Right),
        ("REQUESTS", Align::Right),
        ("SIZE", Align::Right),
        ("EVENTS", Align::Right),
        ("SIZE", Align::Right),
        ("FROM THE VM", Align::Right),
        ("DESCRIPTORS", Align::Right),
        ("MIRRORS", Align::Right),
        ("REQUESTS/S", Align::Right),
        ("UNREAD", Align::Right),
        ("DESCRIPTORS HELD", Align::Right),
    ]);
    for WorkerReport { vm, traffic, .. } in workers {
        table.row([
            vm.to_string(),
            traffic.connections.to_string(),
            traffic.requests.to_string(),
            size(traffic.request_bytes),
            traffic.events.to_string(),
            size(traffic.event_bytes),
            size(traffic.stream_bytes),
            traffic.descriptors.to_string(),
            size(traffic.mirror_memory),
            traffic.requests_per_second.to_string(),
            size(traffic.pending_bytes),
            traffic.held_descriptors.to_string(),
        ]);
    }
    table.render()
}

/// A number of bytes in the largest unit that it has at least one of, with a tenth of it.
fn size(bytes: u64) -> String {
    let units = [("TiB", 1_u64 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    match units.iter().find(|(_, unit)| bytes >= *unit) {
        Some((name, unit)) => format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit),
        None => format!("{bytes} B"),
    }
}

fn gate_workers(workers: &[&WorkerReport]) -> String {
    let mut table = Table::new(&[
        ("GATE WORKER", Align::Left),
        ("PID", Align::Right),
        ("CONNECTIONS", Align::Right),
        ("REFUSED", Align::Right),
        ("JAIL", Align::Left),
        ("LAST REFUSAL", Align::Left),
    ]);
    for worker in workers {
        let last = if worker.last_refusal.is_empty() { "-" } else { &worker.last_refusal };
        table.row([
            worker.vm.to_string(),
            if worker.alive { worker.pid.to_string() } else { String::from("ended") },
            worker.connections.to_string(),
            worker.refused.to_string(),
            jail(worker),
            last.to_owned(),
        ]);
    }
    table.render()
}

/// The walls around a worker that stand, and then those that do not.
fn jail(worker: &WorkerReport) -> String {
    let jail = &worker.jail;
    let walls = [
        ("no-new-privs", jail.no_new_privs),
        ("seccomp", jail.seccomp),
        ("landlock", jail.landlock),
        ("rlimits", jail.rlimits),
        ("no-caps", jail.no_capabilities),
    ];
    let list = |standing: bool| {
        let names: Vec<&str> =
            walls.iter().filter(|(_, stands)| *stands == standing).map(|(name, _)| *name).collect();
        names.join(",")
    };
    match (list(true), list(false)) {
        (standing, missing) if missing.is_empty() => standing,
        (standing, missing) if standing.is_empty() => format!("NONE (missing {missing})"),
        (standing, missing) => format!("{standing} (missing {missing})"),
    }
}

/// How the compositor is.
#[must_use]
pub fn status(status: &Status) -> String {
    let or = |value: &Option<String>, none: &str| value.clone().unwrap_or_else(|| none.to_owned());
    let gate = status.gate.map_or_else(|| String::from("not running"), |pid| format!("running, pid {pid}"));
    let Status { version, pid, output, scale, locked, .. } = status;
    let mut text = format!(
        "vitrail {version}, pid {pid}\noutput         {}x{} at scale {scale}\nsession        {}\nkeyboard       {}\n\
         workspaces     {}\nshortcuts to   {}\nkept awake by  {}\ngate           {gate}\nconfiguration  {}\n",
        output.w,
        output.h,
        if *locked { "locked" } else { "unlocked" },
        or(&status.keyboard, "nobody has it"),
        workspaces(&status.workspaces),
        or(&status.shortcuts_inhibited_by, "the compositor"),
        or(&status.idle_inhibited_by, "nobody"),
        or(&status.config, "built in"),
    );
    if let Some(error) = &status.config_error {
        text.push_str(&config_error(error));
    }
    text
}

/// The workspaces in one line: the one on the screen in brackets, the windows of each, and `!` where one asks for attention.
pub(super) fn workspaces(list: &[WorkspaceReport]) -> String {
    let one = |workspace: &WorkspaceReport| {
        let WorkspaceReport { name, current, windows, urgent, .. } = workspace;
        let name = if *current { format!("[{name}]") } else { name.clone() };
        format!("{name}:{windows}{}", if *urgent { "!" } else { "" })
    };
    list.iter().map(one).collect::<Vec<_>>().join(" ")
}

/// The error of the last reload, as a paragraph.
#[must_use]
pub fn config_error(error: &str) -> String {
    format!("\nThe last reload failed, and the configuration before it is still in force:\n\n{error}\n")
}

#[cfg(test)]
mod tests {
    use vitrail_protocols::Limits;
    use vitrail_protocols::report::{JailReport, Traffic};

    use super::super::protocol::{Area, Usage};
    use super::*;

    fn window(vm: &str, z: usize, title: &str) -> WindowInfo {
        WindowInfo {
            vm: vm.to_owned(),
            label: vm.to_uppercase(),
            color: String::from("#2e7d32"),
            app_id: String::from("foot"),
            title: title.to_owned(),
            tag: String::new(),
            description: String::new(),
            icon: None,
            modal: false,
            urgent: title == "done",
            output: "vitrail-1".to_owned(),
            frame: Area { x: 10, y: 24, w: 648, h: 412 },
            content: Area { x: 14, y: 52, w: 640, h: 380 },
            z,
            focused: z == 0,
            settled: true,
        }
    }

    #[test]
    fn windows_are_listed_from_the_front_in_aligned_columns() {
        let text = windows(&[window("work", 0, "shell"), window("untrusted", 1, "")]);
        assert_eq!(
            text,
            "   VM         LABEL      COLOUR   APPLICATION     SIZE     AT  TITLE\n   \
             untrusted  UNTRUSTED  #2e7d32  foot         648x412  10,24\n\
             >  work       WORK       #2e7d32  foot         648x412  10,24  shell\n"
        );
        assert_eq!(windows(&[]), "no windows\n");
        let text = windows(&[window("work", 0, ""), window("work", 1, "done")]);
        assert!(text.contains("!  work  WORK"), "a window asks for attention: {text}");
    }

    fn report(jail: JailReport) -> VmReport {
        VmReport {
            vm: String::from("work"),
            label: String::from("Work"),
            color: String::from("#2e7d32"),
            pattern: String::from("solid"),
            restraints: Vec::new(),
            limits: Limits::default(),
            usage: Usage { clients: 2, windows: 3, shm_bytes: 1, ..Usage::default() },
            worker: Some(WorkerReport {
                vm: "work".parse().unwrap(),
                pid: 42,
                alive: true,
                connections: 2,
                refused: 0,
                last_refusal: String::new(),
                traffic: Traffic {
                    connections: 5,
                    requests: 1234,
                    request_bytes: 1023,
                    events: 987,
                    event_bytes: 1024 + 512,
                    stream_bytes: u64::MAX,
                    descriptors: 6,
                    mirror_memory: (3 << 20) - 1,
                    requests_per_second: 17,
                    pending_bytes: 2048,
                    held_descriptors: 23,
                },
                jail,
            }),
        }
    }

    #[test]
    fn vms_are_listed_with_what_they_use_of_what_they_may() {
        let text = vms(&[report(JailReport { seccomp: true, ..JailReport::default() })]);
        assert!(text.contains("2/64     3/64"), "{text}");
        assert!(text.contains("1/512"), "{text}");
        assert!(text.contains("seccomp (missing no-new-privs,landlock,rlimits,no-caps)"), "{text}");
        let unlimited = Limits { shm_mib: u32::MAX, ..Limits::default() };
        let text = vms(&[VmReport { limits: unlimited, ..report(JailReport::default()) }]);
        assert!(text.contains(" 1/-\n"), "{text}");
    }

    #[test]
    fn what_has_passed_through_a_worker_is_listed_in_units_that_people_read() {
        let text = vms(&[report(JailReport::default())]);
        let (_, table) = text.split_once("PASSED THROUGH").unwrap();
        let row: Vec<&str> =
            table.lines().nth(1).unwrap().split("  ").filter(|cell| !cell.is_empty()).collect();
        let cells: Vec<&str> = row.into_iter().map(str::trim).collect();
        assert_eq!(
            cells,
            [
                "work",
                "5",
                "1234",
                "1023 B",
                "987",
                "1.5 KiB",
                "16777215.9 TiB",
                "6",
                "2.9 MiB",
                "17",
                "2.0 KiB",
                "23"
            ]
        );
        assert!(!vms(&[]).contains("PASSED THROUGH"));
    }

    #[test]
    fn a_worker_in_a_whole_jail_has_nothing_missing() {
        let whole = JailReport {
            no_new_privs: true,
            seccomp: true,
            landlock: true,
            rlimits: true,
            no_capabilities: true,
        };
        let text = vms(&[report(whole)]);
        assert!(text.contains("no-new-privs,seccomp,landlock,rlimits,no-caps  -"), "{text}");
        assert!(vms(&[report(JailReport::default())]).contains("NONE"));
    }
}
