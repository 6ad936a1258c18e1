//! What labels look like, pixel by pixel.

use smithay::backend::allocator::Fourcc;
use smithay::backend::renderer::damage::OutputDamageTracker;
use smithay::backend::renderer::pixman::{PixmanError, PixmanRenderer};
use smithay::backend::renderer::{Bind, ExportMem, Offscreen};
use smithay::reexports::pixman;
use smithay::utils::{Size, Transform};

use super::*;
use crate::render::frame::FrameMetrics;
use crate::shell::workspaces::WorkspaceReport;

const SCALES: [f64; 5] = [1.0, 1.1, 1.25, 1.5, 2.0];

/// The pixels of an output, as RGBA.
struct Shot {
    width: i32,
    height: i32,
    bytes: Vec<u8>,
}

impl Shot {
    fn at(&self, x: i32, y: i32) -> Rgb {
        let index = usize::try_from((y * self.width + x) * 4).unwrap();
        Rgb(self.bytes[index..index + 3].try_into().unwrap())
    }

    /// How many pixels of a rectangle have another colour.
    fn others(&self, rect: Rectangle<i32, Physical>, color: Rgb) -> usize {
        let (end_x, end_y) = (rect.loc.x + rect.size.w, rect.loc.y + rect.size.h);
        let rows = rect.loc.y..end_y;
        rows.flat_map(|y| (rect.loc.x..end_x).map(move |x| (x, y)))
            .filter(|(x, y)| self.at(*x, *y) != color)
            .count()
    }
}

/// Renders elements on a background that is in no label, at an output's scale.
fn shoot(
    renderer: &mut PixmanRenderer,
    elements: &[LabelElement<PixmanRenderer>],
    size: (i32, i32),
    scale: f64,
) -> Shot {
    let mut image: pixman::Image<'static, 'static> =
        renderer.create_buffer(Fourcc::Argb8888, size.into()).unwrap();
    let mut tracker = OutputDamageTracker::new(size, scale, Transform::Normal);
    let mut target = renderer.bind(&mut image).unwrap();
    tracker.render_output(renderer, &mut target, 0, elements, [0.13, 0.0, 0.27, 1.0]).unwrap();
    let region = Rectangle::from_size(size.into());
    let mapping = renderer.copy_framebuffer(&target, region, Fourcc::Abgr8888).unwrap();
    let bytes = renderer.map_texture(&mapping).unwrap().to_vec();
    Shot { width: size.0, height: size.1, bytes }
}

fn style(label: &str, color: &str, pattern: Pattern) -> LabelStyle {
    LabelStyle { label: label.parse().unwrap(), color: color.parse().unwrap(), pattern, mark: Mark::None }
}

fn plain<'a>(text: &'a GuestText) -> Title<'a> {
    Title { text, imitates: false, focused: true, urgent: false, hovered: None, maximized: false }
}

struct Studio {
    renderer: PixmanRenderer,
    painter: LabelPainter,
    marks: Marks,
}

impl Studio {
    fn new() -> Self {
        Self {
            renderer: PixmanRenderer::new().unwrap(),
            painter: LabelPainter::new().unwrap(),
            marks: Marks::default(),
        }
    }

    /// A frame for which any number of titles are painted.
    fn frame(
        &mut self,
        rects: &FrameRects,
        style: &LabelStyle,
        title: &str,
        scale: f64,
    ) -> Vec<LabelElement<PixmanRenderer>> {
        let title = GuestText::new(title);
        self.painter.begin_frame(u32::MAX);
        self.painter.frame(&mut self.renderer, &mut self.marks, rects, style, plain(&title), scale).unwrap()
    }

    fn shoot_frame(&mut self, rects: &FrameRects, style: &LabelStyle, title: &str, scale: f64) -> Shot {
        let elements = self.frame(rects, style, title, scale);
        let end = rects.outer.loc + Point::from((rects.outer.size.w + 7, rects.outer.size.h + 7));
        shoot(&mut self.renderer, &elements, (end.x, end.y), scale)
    }
}

fn rects(w: i32, h: i32, scale: f64) -> FrameRects {
    let content = Rectangle::new((37, 71).into(), (w, h).into());
    FrameRects::new(content, FrameMetrics::default(), scale)
}

#[test]
fn the_ring_has_exactly_the_colour_on_all_sides_at_every_scale() {
    for scale in SCALES {
        let style = style("Work", "#2e7d32", Pattern::Stripes);
        let rects = rects(260, 40, scale);
        let border = FrameMetrics::default().scaled(scale).border;
        let shot = Studio::new().shoot_frame(&rects, &style, "a title", scale);
        let inner = frame::grown(rects.outer, -border);
        for side in frame::ring(rects.outer, inner) {
            assert_eq!(shot.others(side, style.color), 0, "outer edge at scale {scale}");
        }
        let around = frame::grown(rects.content, border);
        for side in frame::ring(around, rects.content) {
            assert_eq!(shot.others(side, style.color), 0, "around the content at scale {scale}");
        }
    }
}

#[test]
fn nothing_is_drawn_on_the_content_or_outside_the_frame() {
    for scale in SCALES {
        let rects = rects(200, 30, scale);
        let shot = Studio::new().shoot_frame(
            &rects,
            &style("Work", "#2e7d32", Pattern::Dots),
            &"W".repeat(500),
            scale,
        );
        let background = shot.at(0, 0);
        assert_eq!(shot.others(rects.content, background), 0);
        let all = Rectangle::from_size((shot.width, shot.height).into());
        for side in frame::ring(all, rects.outer) {
            assert_eq!(shot.others(side, background), 0);
        }
    }
}

#[test]
fn every_channel_value_is_drawn_exactly() {
    let mut renderer = PixmanRenderer::new().unwrap();
    let mut marks: Vec<Marks> = std::iter::repeat_with(Marks::default).take(256).collect();
    let color = |value: u8| Rgb([value, 255 - value, value.wrapping_mul(7)]);
    let elements: Vec<_> = (0..=255_u8)
        .zip(&mut marks)
        .map(|(value, marks)| {
            let place = Rectangle::new((i32::from(value), 0).into(), (1, 1).into());
            marks.bar(place, color(value))
        })
        .collect();
    let shot = shoot(&mut renderer, &elements, (256, 1), 1.0);
    for value in 0..=255_u8 {
        assert_eq!(shot.at(i32::from(value), 0), color(value));
    }
}

#[test]
fn the_chip_holds_the_label_and_does_not_depend_on_the_title() {
    for scale in SCALES {
        let style = style("Untrusted", "#c62828", Pattern::Solid);
        let rects = rects(240, 30, scale);
        let chip = rects.chip(70, false);
        let mut studio = Studio::new();
        let without = studio.shoot_frame(&rects, &style, "", scale);
        let with = studio.shoot_frame(&rects, &style, "[Work] not the label", scale);
        assert!(without.others(chip, style.color) > 200);
        assert!(without.others(chip, Rgb::WHITE) > 100);
        for y in chip.loc.y..chip.loc.y + chip.size.h {
            for x in chip.loc.x..chip.loc.x + chip.size.w {
                assert_eq!(without.at(x, y), with.at(x, y));
            }
        }
    }
}

#[test]
fn a_title_is_drawn_beside_the_chip_and_before_the_pattern() {
    let style = style("Work", "#2e7d32", Pattern::Double);
    let rects = rects(300, 30, 1.0);
    let mut studio = Studio::new();
    let shot = studio.shoot_frame(&rects, &style, &"title ".repeat(20), 1.0);
    let untitled = studio.shoot_frame(&rects, &style, "", 1.0);
    let drawn = |x: i32, w: i32| {
        shot.others(Rectangle::new((x, rects.row.loc.y).into(), (w, rects.row.size.h).into()), style.color)
    };
    assert!(drawn(rects.title(60, true).loc.x, 100) > 200);
    let gap = rects.pattern.loc.x - rects.gap;
    assert_eq!(drawn(gap, rects.gap), 0);
    for x in gap..rects.row.loc.x + rects.row.size.w {
        assert_eq!(shot.at(x, rects.row.loc.y + 6), untitled.at(x, rects.row.loc.y + 6));
    }
}

#[test]
fn every_pattern_leaves_its_own_mark() {
    let rects = rects(300, 30, 1.0);
    let mut seen = Vec::new();
    for pattern in Pattern::ALL {
        let shot = Studio::new().shoot_frame(&rects, &style("Work", "#2e7d32", pattern), "", 1.0);
        let place = rects.pattern;
        let bytes: Vec<Rgb> = (place.loc.y..place.loc.y + place.size.h)
            .flat_map(|y| (place.loc.x..place.loc.x + place.size.w).map(move |x| (x, y)))
            .map(|(x, y)| shot.at(x, y))
            .collect();
        assert!(!seen.contains(&bytes), "{pattern:?}");
        seen.push(bytes);
    }
}

#[test]
fn a_window_too_small_for_its_label_is_an_error() {
    let mut studio = Studio::new();
    let rects = rects(1, 1, 1.0);
    let title = GuestText::default();
    let style = style("Work", "#2e7d32", Pattern::Solid);
    let result =
        studio.painter.frame(&mut studio.renderer, &mut studio.marks, &rects, &style, plain(&title), 1.0);
    assert!(matches!(result, Err(LabelError::Text(_))));
}

#[test]
fn the_smallest_window_has_room_for_every_label() {
    for scale in SCALES {
        let min = FrameMetrics::default().scaled(scale).min_content;
        let style = style(&"W".repeat(24), "#2e7d32", Pattern::Dots);
        assert!(Studio::new().frame(&rects(min.w, min.h, scale), &style, "title", scale).len() >= 5);
    }
}

#[test]
fn a_vm_that_changes_all_its_titles_gets_a_few_at_a_time_and_costs_others_nothing() {
    let mut studio = Studio::new();
    let Studio { renderer, painter, .. } = &mut studio;
    let noisy = style("Noisy", "#c62828", Pattern::Solid);
    let quiet = style("Quiet", "#2e7d32", Pattern::Solid);
    let rects = rects(400, 30, 1.0);
    let mut marks = vec![Marks::default(); 11];
    let mut pictures_of_a_frame = |round: u32| -> (Vec<usize>, bool) {
        painter.begin_frame(TITLES_PER_FRAME);
        let counts = marks.iter_mut().enumerate().map(|(window, marks)| {
            let text = GuestText::new(&format!("{round} {window}"));
            let style = if window == 10 { &quiet } else { &noisy };
            let parts = painter.frame(renderer, marks, &rects, style, plain(&text), 1.0).unwrap();
            parts.iter().filter(|part| matches!(part, LabelElement::Picture(_))).count()
                - FrameButton::ALL.len()
        });
        (counts.collect(), painter.has_postponed())
    };
    // Beside the buttons, a chip each, and a title for four windows of the one VM and for the other's.
    let (first, postponed) = pictures_of_a_frame(1);
    assert_eq!(first, [2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 2]);
    assert!(postponed);
    assert_eq!(pictures_of_a_frame(1).0, [2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 2]);
    assert_eq!(pictures_of_a_frame(1), (vec![2; 11], false));
    // Titles that must wait are stale, not gone.
    assert_eq!(pictures_of_a_frame(2), (vec![2; 11], true));
}

#[test]
fn the_cache_stays_within_its_bounds() {
    let mut studio = Studio::new();
    let style = style("Work", "#2e7d32", Pattern::Dots);
    for number in 0..MAX_PICTURES + 20 {
        studio.frame(&rects(400, 30, 1.0), &style, &number.to_string(), 1.0);
        assert!(studio.painter.pictures.len() <= MAX_PICTURES);
    }
    let kept: usize = studio.painter.pictures.values().map(|picture| picture.bytes).sum();
    assert_eq!(kept, studio.painter.bytes);
    assert!(kept <= MAX_BYTES);
    // The chip is used by every frame, so it is never the oldest.
    assert!(studio.painter.pictures.keys().any(|key| matches!(key.subject, Subject::Chip { .. })));
}

#[test]
fn large_pictures_make_room_by_their_size() {
    let mut studio = Studio::new();
    let style = style("Work", "#2e7d32", Pattern::Solid);
    for number in 0..24 {
        let title = format!("{number} {}", "W".repeat(120));
        studio.frame(&rects(8000, 30, 6.0), &style, &title, 6.0);
        assert!(studio.painter.bytes <= MAX_BYTES);
    }
    assert!(studio.painter.pictures.len() < 24);
}

#[test]
fn an_unchanged_label_causes_no_damage_and_a_changed_colour_does() -> Result<(), PixmanError> {
    let mut studio = Studio::new();
    let rects = rects(300, 30, 1.25);
    let size: Size<i32, Physical> = (400, 200).into();
    let mut tracker = OutputDamageTracker::new(size, 1.25, Transform::Normal);
    let mut image: pixman::Image<'static, 'static> =
        studio.renderer.create_buffer(Fourcc::Argb8888, (400, 200).into())?;
    let mut damaged = Vec::new();
    for (age, color) in [(0, "#2e7d32"), (1, "#2e7d32"), (1, "#2e7d33")] {
        let elements = studio.frame(&rects, &style("Work", color, Pattern::Dots), "title", 1.25);
        let mut target = studio.renderer.bind(&mut image)?;
        let result = tracker.render_output(&mut studio.renderer, &mut target, age, &elements, [0.0; 4]);
        damaged.push(result.unwrap().damage.is_some());
    }
    assert_eq!(damaged, [true, false, true]);
    Ok(())
}

#[test]
fn the_stripe_has_the_colour_of_who_has_the_keyboard() {
    for scale in SCALES {
        let mut studio = Studio::new();
        let output: Size<i32, Physical> = (640, 100).into();
        let rect = frame::stripe(output, &FrameMetrics::default().scaled(scale));
        let work = style("Work", "#2e7d32", Pattern::Solid);
        let mut shots = Vec::new();
        for says in [StripeText::Keyboard(&work), StripeText::Nobody] {
            let elements =
                studio.painter.stripe(&mut studio.renderer, &mut studio.marks, rect, 0, says, scale).unwrap();
            shots.push(shoot(&mut studio.renderer, &elements, (640, 100), scale));
        }
        let line = frame::scale_up(1, scale);
        let right = Rectangle::new((500, 0).into(), (140, rect.size.h - line).into());
        assert_eq!(shots[0].others(right, work.color), 0);
        assert_eq!(shots[1].others(right, NEUTRAL), 0);
        assert!(shots[0].others(rect, work.color) > 300);
    }
}

#[test]
fn a_popup_is_ringed_on_all_sides() {
    let mut studio = Studio::new();
    let style = style("Work", "#2e7d32", Pattern::Solid);
    let content = Rectangle::new((20, 20).into(), (50, 30).into());
    let outer = frame::grown(content, 3);
    let elements = studio.painter.popup_ring(&mut studio.marks, outer, content, &style);
    let shot = shoot(&mut studio.renderer, &elements, (100, 80), 1.5);
    for side in frame::ring(outer, content) {
        assert_eq!(shot.others(side, style.color), 0);
    }
    assert_eq!(shot.others(content, shot.at(0, 0)), 0);
}

#[test]
fn the_banner_says_what_is_wrong_below_all_windows() {
    let mut studio = Studio::new();
    let rect = frame::banner((640, 100).into(), &FrameMetrics::default().scaled(1.0));
    let message = "vitrail.toml:3: unknown field `colr`";
    let elements =
        studio.painter.banner(&mut studio.renderer, &mut studio.marks, rect, message, 1.0).unwrap();
    let shot = shoot(&mut studio.renderer, &elements, (640, 100), 1.0);
    assert!(shot.others(rect, WARNING) > 1000);
    assert_eq!(shot.at(1, 77), WARNING);
}

#[test]
fn workspaces_take_no_more_than_half_of_the_stripe_and_the_current_one_is_last_to_go() {
    let mut studio = Studio::new();
    let workspaces: Vec<WorkspaceReport> = (0..9)
        .map(|index| WorkspaceReport {
            name: format!("workspace {index}"),
            layout: Default::default(),
            current: index == 4,
            windows: 1,
            urgent: false,
        })
        .collect();
    for (width, expected) in [(4000, (0..9).collect()), (400, vec![4]), (64, vec![])] {
        let stripe = frame::stripe((width, 100).into(), &FrameMetrics::default().scaled(1.0));
        let Studio { renderer, painter, marks, .. } = &mut studio;
        let (elements, places) = painter.workspaces(renderer, marks, stripe, &workspaces, 1.0).unwrap();
        assert_eq!(places.iter().map(|(index, _)| *index).collect::<Vec<usize>>(), expected, "{width}");
        assert_eq!(elements.is_empty(), expected.is_empty());
        assert!(places.iter().all(|(_, place)| place.loc.x >= width / 2));
    }
    let (alone, _) = studio
        .painter
        .workspaces::<PixmanRenderer>(
            &mut studio.renderer,
            &mut studio.marks,
            Rectangle::from_size((900, 24).into()),
            &workspaces[..1],
            1.0,
        )
        .unwrap();
    assert!(alone.is_empty(), "one workspace is nothing to tell");
}

/// A picture of everything a label can be, compared with the one that was looked at and found good. The
/// comparison allows what another processor's rounding may change in the shape of letters.
#[test]
fn labels_look_as_they_were_approved() {
    for scale in [1.0, 1.5] {
        golden::assert_matches(&format!("labels-{scale}"), &specimen(scale));
    }
}

fn specimen(scale: f64) -> Shot {
    let mut studio = Studio::new();
    let metrics = FrameMetrics::default();
    let px = |length: i32| frame::scale_up(length, scale);
    let size: Size<i32, Physical> = (px(640), px(330)).into();
    let styles = [
        style("Work", "#2e7d32", Pattern::Solid),
        style("Personal", "#1565c0", Pattern::Dots),
        style("Untrusted", "#c62828", Pattern::Stripes),
        style("local", "#5f6368", Pattern::Solid),
        style("Bank", "#fdd835", Pattern::Double),
        style("A label of 24 letters ok", "#6a1b9a", Pattern::Dots),
    ];
    let titles = ["user@work: ~/src", "Work - sign in", "a title that is longer than there is room for it"];
    let mut marks: Vec<Marks> = std::iter::repeat_with(Marks::default).take(9).collect();
    let mut elements = Vec::new();
    let Studio { renderer, painter, .. } = &mut studio;
    let stripe = frame::stripe(size, &metrics.scaled(scale));
    let workspaces =
        [("1", true, 2, false), ("mail", false, 1, false), ("3", false, 0, false), ("4", false, 1, true)];
    let workspaces = workspaces.map(|(name, current, windows, urgent)| WorkspaceReport {
        name: name.to_owned(),
        layout: Default::default(),
        current,
        windows,
        urgent,
    });
    let (parts, places) = painter.workspaces(renderer, &mut marks[8], stripe, &workspaces, scale).unwrap();
    elements.extend(parts);
    assert_eq!(places.len(), 4);
    assert!(places.iter().all(|(_, place)| stripe.contains_rect(*place)));
    let reserved = size.w - places[0].1.loc.x;
    elements.extend(
        painter
            .stripe(renderer, &mut marks[6], stripe, reserved, StripeText::Keyboard(&styles[2]), scale)
            .unwrap(),
    );
    let banner = frame::banner(size, &metrics.scaled(scale));
    let message = "vitrail.toml:14: unknown field `colr`";
    elements.extend(painter.banner(renderer, &mut marks[7], banner, message, scale).unwrap());
    for (index, (style, marks)) in styles.iter().zip(&mut marks).enumerate() {
        let (column, row) = (index % 2, index / 2);
        let place = (px([20, 340][column]), px([65, 155, 245][row]));
        let content = Rectangle::new(place.into(), (px([280, 200][column]), px(40)).into());
        let rects = FrameRects::new(content, metrics, scale);
        let text = GuestText::new(titles[index % 3]);
        let title = Title {
            text: &text,
            imitates: index == 1,
            focused: index == 2,
            urgent: false,
            hovered: None,
            maximized: false,
        };
        elements.extend(painter.frame(renderer, marks, &rects, style, title, scale).unwrap());
    }
    shoot(renderer, &elements, (size.w, size.h), scale)
}

mod golden {
    //! Pictures that were approved, beside the sources; `UPDATE_GOLDENS=1` replaces them.

    use std::fs::{self, File};
    use std::io::BufReader;
    use std::path::{Path, PathBuf};

    use super::Shot;

    /// By how much a channel may differ.
    const TOLERANCE: u8 = 24;

    #[track_caller]
    pub fn assert_matches(name: &str, shot: &Shot) {
        let crate_dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        let approved: PathBuf = crate_dir.join("goldens").join(format!("{name}.png"));
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            assert!(std::env::var_os("CI").is_none(), "goldens are approved by people");
            write(&approved, shot);
        }
        let (width, height, bytes) = read(&approved);
        assert_eq!((width, height), (shot.width, shot.height), "{name} has another size");
        let wrong = bytes.iter().zip(&shot.bytes).filter(|(a, b)| a.abs_diff(**b) > TOLERANCE).count();
        if wrong > 0 {
            let actual = crate_dir.join("../target/goldens").join(format!("{name}.png"));
            write(&actual, shot);
            panic!("{wrong} values of {name} differ; look at {}", actual.display());
        }
    }

    fn read(path: &Path) -> (i32, i32, Vec<u8>) {
        let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut reader = png::Decoder::new(BufReader::new(file)).read_info().unwrap();
        let mut bytes = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut bytes).unwrap();
        (info.width.try_into().unwrap(), info.height.try_into().unwrap(), bytes)
    }

    fn write(path: &Path, shot: &Shot) {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let (width, height) = (shot.width.try_into().unwrap(), shot.height.try_into().unwrap());
        let mut encoder = png::Encoder::new(File::create(path).unwrap(), width, height);
        encoder.set_color(png::ColorType::Rgba);
        encoder.write_header().unwrap().write_image_data(&shot.bytes).unwrap();
    }
}
