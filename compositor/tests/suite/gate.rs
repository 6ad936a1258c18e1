//! The gate's process: what it is handed, what it reports, and that it is started again.

use std::path::PathBuf;

use rustix::process::{Pid, Signal, kill_process};
use vitrail::gate::{Gate, GateOptions};

use crate::fixture::{Fixture, vm};

/// A gate that reports once, with its open descriptors in place of a refusal, and then waits.
const SCRIPT: &str = r#"
for fd in /proc/$$/fd/*; do [ -L "$fd" ] && fds="$fds ${fd##*/}"; done
for argument; do last=$argument; done
printf '{"vm":"work","pid":%d,"alive":true,"connections":1,"refused":2,"last_refusal":"%s","jail":{
    "no_new_privs":true,"seccomp":true,"landlock":true,"rlimits":true,"no_capabilities":true}}' \
    $$ "$* descriptors$fds" | tr -d '\n' >&"${last#fd:}"
echo >&"${last#fd:}"
exec sleep 1000
"#;

/// A gate that reports at its start and whenever it is told to read the configuration again, counting the times. SIGUSR1
/// counts as a hundred, so that what came before it is known.
const RELOADING: &str = r#"
for argument; do last=$argument; done
report() {
    echo '{"vm":"work","pid":1,"alive":true,"connections":'$times',"refused":0,"last_refusal":"","jail":{'\
'"no_new_privs":true,"seccomp":true,"landlock":true,"rlimits":true,"no_capabilities":true}}' >&"${last#fd:}"
}
times=0
trap 'times=$((times + 1)); report' HUP
trap 'times=$((times + 100)); report' USR1
report
# A signal that comes between a trap and the next read is looked at when that read is over: so none lasts for ever.
until read -r -t 1 -n 1 <&"${last#fd:}"; [ $? -eq 1 ]; do :; done
"#;

fn gate(fixture: &mut Fixture) -> &Gate {
    fixture.state().comp.gate.as_ref().unwrap()
}

#[test]
fn the_gate_gets_two_descriptors_reports_and_is_started_again_when_it_dies() {
    let mut fixture = Fixture::new();
    let command = ["bash", "-c", SCRIPT, "gate"].map(str::to_owned).to_vec();
    fixture.state().start_gate(GateOptions { command, config: PathBuf::from("/the/file") }).unwrap();
    let mut before = None;
    for _ in 0..2 {
        fixture.wait("a report of a new gate", |fixture| {
            let gate = gate(fixture);
            !gate.reports().is_empty() && gate.pid() != before
        });
        let pid = gate(&mut fixture).pid();
        let report = gate(&mut fixture).reports().values().next().unwrap().clone();
        assert_eq!(vm(report.vm.as_str()), vm("work"));
        let words: Vec<&str> = report.last_refusal.split(' ').collect();
        let [
            "--config",
            "/the/file",
            "--compositor",
            compositor,
            "--status",
            status,
            "descriptors",
            fds @ ..,
        ] = words.as_slice()
        else {
            panic!("the gate was started with {words:?}");
        };
        let mut expected = vec!["0", "1", "2"];
        expected.extend([compositor, status].map(|fd| fd.strip_prefix("fd:").unwrap()));
        let foreign: Vec<_> = fds.iter().filter(|fd| !expected.contains(fd)).collect();
        assert!(foreign.is_empty(), "leaked: {foreign:?} of {fds:?}");
        kill_process(Pid::from_raw(pid.unwrap().cast_signed()).unwrap(), Signal::KILL).unwrap();
        before = pid;
    }
    fixture.state().stop();
    assert!(fixture.state().comp.gate.is_none());
}

/// The compositor alone used to read the file again: a VM that was new in it was refused by the gate, and a protocol that was
/// newly denied was shown, until somebody thought of the gate as well.
#[test]
fn the_gate_is_told_of_a_new_configuration_if_it_is_good() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let write = |text: &str| std::fs::write(file.path(), text).unwrap();
    write("[vm.work]\ncolor = \"#2e7d32\"\n");
    let mut fixture = Fixture::configured_as(vitrail::config::Live::load(file.path()).unwrap());
    // Where the signal is ignored, as below nohup, no shell can trap it.
    let command =
        ["env", "--default-signal=HUP", "bash", "-c", RELOADING, "gate"].map(str::to_owned).to_vec();
    fixture.state().start_gate(GateOptions { command, config: file.path().to_owned() }).unwrap();
    let times =
        |fixture: &mut Fixture| gate(fixture).reports().values().next().map(|report| report.connections);
    fixture.wait("the gate", |fixture| times(fixture) == Some(0));
    assert!(fixture.state().reload());
    fixture.wait("the gate to be told", |fixture| times(fixture) == Some(1));
    write("[vm.work]\n");
    assert!(!fixture.state().reload());
    let pid = gate(&mut fixture).pid().unwrap().cast_signed();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::USR1).unwrap();
    fixture.wait("the other signal", |fixture| times(fixture) >= Some(100));
    assert_eq!(times(&mut fixture), Some(101), "it was told of a bad file");
    fixture.state().stop();
}
