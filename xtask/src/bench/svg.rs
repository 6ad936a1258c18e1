//! The picture: processor time per frame, frame rates and round trips as bars, by case and connection.

use std::fmt::Write as _;

use super::report::{Case, Report, Via};

/// The width of the picture, and of what the labels take of it, in units of the picture.
const WIDTH: f64 = 900.0;
const LABELS: f64 = 230.0;
/// What the longest bar takes.
const LONGEST: f64 = WIDTH - LABELS - 110.0;
const BAR: f64 = 13.0;
const GAP: f64 = 8.0;

/// One bar: what it stands for, how long it is, and the connection that gives its colour.
type Bar = (String, f64, Via);

fn color(via: Via) -> &'static str {
    match via {
        Via::Direct => "#9e9e9e",
        Via::Vitrail => "#2e7d32",
        Via::VitrailMirror => "#81c784",
        Via::Waypipe => "#c62828",
    }
}

/// Draws what was measured.
pub fn draw(report: &Report) -> String {
    let bars = |value: fn(&Case) -> f64, burst: bool| -> Vec<Bar> {
        let wanted = report.cases.iter().filter(|case| (case.case == "burst") == burst);
        wanted.map(|case| (format!("{} {}", case.case, case.via.name()), value(case), case.via)).collect()
    };
    let mut cpu = bars(|case| case.forward_cpu_ms_per_frame, false);
    cpu.retain(|(_, _, via)| *via != Via::Direct);
    let mut sync = Vec::new();
    for via in Via::ALL {
        if let Some(trip) = report.sync_us.get(via.name()) {
            sync.push((format!("p50 {}", via.name()), trip.p50, via));
            sync.push((format!("p99 {}", via.name()), trip.p99, via));
        }
    }
    let mut body = String::new();
    let mut y = 10.0;
    chart(
        &mut body,
        &mut y,
        "Processor time of the forwarding processes per frame, ms (logarithmic)",
        &cpu,
        true,
    );
    chart(&mut body, &mut y, "Frames per second", &bars(|case| case.fps, false), false);
    chart(&mut body, &mut y, "Round trip of a client that sleeps 2 ms in between, µs", &sync, false);
    chart(&mut body, &mut y, "Commits per second in a burst of 1,000", &bars(|case| case.fps, true), false);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {y}\" font-family=\"sans-serif\" \
         font-size=\"11\">\n<rect width=\"{WIDTH}\" height=\"{y}\" fill=\"white\"/>\n{body}</svg>\n"
    )
}

/// Adds one chart below `y`, and moves `y` below it.
fn chart(body: &mut String, y: &mut f64, title: &str, bars: &[Bar], logarithmic: bool) {
    *y += 16.0;
    let _ = writeln!(body, "<text x=\"10\" y=\"{y}\" font-size=\"14\" font-weight=\"bold\">{title}</text>");
    *y += GAP;
    let longest = bars.iter().map(|(_, value, _)| *value).fold(0.0, f64::max);
    let mut before: Option<&str> = None;
    for (label, value, via) in bars {
        let group = label.split(' ').next();
        if before.is_some() && before != group {
            *y += GAP / 2.0;
        }
        before = group;
        let length = LONGEST * share(*value, longest, logarithmic);
        let (baseline, end) = (*y + BAR - 3.0, LABELS + length);
        let (label_end, text_start, color) = (LABELS - 6.0, end + 5.0, color(*via));
        let figure = figure(*value);
        let _ = writeln!(
            body,
            "<text x=\"{label_end}\" y=\"{baseline}\" text-anchor=\"end\">{label}</text>\
             <rect x=\"{LABELS}\" y=\"{y}\" width=\"{length:.1}\" height=\"{:.1}\" fill=\"{color}\"/>\
             <text x=\"{text_start:.1}\" y=\"{baseline}\">{figure}</text>",
            BAR - 2.0
        );
        *y += BAR;
    }
    *y += 2.0 * GAP;
}

/// The part of the longest bar that a value has. The logarithmic axis begins at a hundredth of a unit.
fn share(value: f64, longest: f64, logarithmic: bool) -> f64 {
    const ORIGIN: f64 = 0.01;
    let share = if logarithmic { (value / ORIGIN).ln() / (longest / ORIGIN).ln() } else { value / longest };
    if share.is_finite() { share.clamp(0.0, 1.0) } else { 0.0 }
}

fn figure(value: f64) -> String {
    if value >= 100.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_as_long_as_their_values() {
        assert!((share(5.0, 10.0, false) - 0.5).abs() < 1e-9);
        assert!((share(1.0, 100.0, true) - 0.5).abs() < 1e-9);
        assert!(share(0.0, 10.0, true).abs() < 1e-9);
        assert!(share(0.0, 0.0, false).abs() < 1e-9);
    }

    #[test]
    fn a_picture_of_nothing_is_a_picture() {
        let picture = draw(&Report::default());
        assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    }
}
