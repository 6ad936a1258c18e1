//! The README's pictures: the demo at two sizes, made small enough for a repository.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;

use anyhow::{Context, Result, bail};

/// The pictures below assets/images: name, size and scale of the screen.
pub const PICTURES: &[(&str, &str, &str)] =
    &[("screen.png", "1280x800", "1"), ("screen-4k.png", "3840x2160", "2")];

/// The most colours of a picture with one byte for each pixel.
const COLOURS: usize = 256;

/// How many of them are as they were: those that cover most, the labels' among them.
const EXACT: usize = 32;

type Colour = [u8; 3];

/// Writes the picture `from` to `to` with at most 256 colours. The labels' stay as they are; other pixels get the nearest one.
///
/// # Errors
/// When `from` is no picture as the compositor writes them, or `to` cannot be written.
pub fn shrink(from: &Path, to: &Path) -> Result<()> {
    let (width, height, pixels) = read(from)?;
    let mut counts: HashMap<Colour, u32> = HashMap::new();
    for pixel in &pixels {
        *counts.entry(*pixel).or_default() += 1;
    }
    let palette = palette(&counts);
    let nearest: HashMap<Colour, u8> =
        counts.keys().map(|colour| (*colour, nearest(&palette, *colour))).collect();
    let indices: Vec<u8> = pixels.iter().map(|pixel| nearest.get(pixel).copied().unwrap_or(0)).collect();
    let file = File::create(to).with_context(|| format!("error creating {}", to.display()))?;
    let mut encoder = png::Encoder::new(BufWriter::new(file), width, height);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(palette.concat());
    encoder.set_compression(png::Compression::High);
    // Differences of indices mean nothing.
    encoder.set_filter(png::Filter::NoFilter);
    let mut writer = encoder.write_header().context("error writing a picture's head")?;
    writer.write_image_data(&indices).context("error writing a picture's pixels")
}

fn read(path: &Path) -> Result<(u32, u32, Vec<Colour>)> {
    let file = File::open(path).with_context(|| format!("error opening {}", path.display()))?;
    let mut reader =
        png::Decoder::new(BufReader::new(file)).read_info().context("error reading a picture")?;
    let mut bytes = vec![0; reader.output_buffer_size().context("the picture is too large")?];
    let info = reader.next_frame(&mut bytes).context("error reading a picture's pixels")?;
    if (info.color_type, info.bit_depth) != (png::ColorType::Rgb, png::BitDepth::Eight) {
        bail!("{} has pixels of another kind than the compositor writes", path.display());
    }
    let (pixels, _) = bytes.as_chunks();
    Ok((info.width, info.height, pixels.to_vec()))
}

/// The commonest colours as they are, and of each group of similar ones among the others their mean.
fn palette(counts: &HashMap<Colour, u32>) -> Vec<Colour> {
    let mut common: Vec<(Colour, f64)> =
        counts.iter().map(|(colour, count)| (*colour, f64::from(*count))).collect();
    common.sort_unstable_by(|(a, some), (b, others)| others.total_cmp(some).then(a.cmp(b)));
    let rest = common.split_off(EXACT.min(common.len()));
    let mut palette: Vec<Colour> = common.iter().map(|(colour, _)| *colour).collect();
    // By the root, so that a wide plain area is not the only thing that matters.
    let rest = rest.into_iter().map(|(colour, count)| (colour, count.sqrt())).collect();
    let mut groups = vec![Group::new(rest)];
    while palette.len() + groups.len() < COLOURS {
        groups.sort_unstable_by(|a, b| a.spread.total_cmp(&b.spread));
        let Some(widest) = groups.pop_if(|group| group.spread > 0.0) else { break };
        groups.extend(widest.halves());
    }
    palette.extend(groups.iter().filter(|group| !group.colours.is_empty()).map(Group::colour));
    palette
}

/// Colours, each with its weight, that are to become one.
#[derive(Debug)]
struct Group {
    colours: Vec<(Colour, f64)>,
    mean: [f64; 3],
    /// The channel in which they differ most.
    channel: usize,
    /// How much they differ there: the weighted sum of the squares.
    spread: f64,
}

impl Group {
    fn new(colours: Vec<(Colour, f64)>) -> Self {
        let weight: f64 = colours.iter().map(|(_, weight)| weight).sum();
        let sum = |of: &dyn Fn(&Colour) -> f64| -> f64 {
            colours.iter().map(|(colour, weight)| of(colour) * weight).sum()
        };
        let mean = [0, 1, 2].map(|channel| sum(&|colour| f64::from(colour[channel])) / weight.max(1.0));
        let spreads =
            [0, 1, 2].map(|channel| sum(&|colour| (f64::from(colour[channel]) - mean[channel]).powi(2)));
        let widest = (0..3).max_by(|a, b| spreads[*a].total_cmp(&spreads[*b])).unwrap_or(0);
        Self { mean, channel: widest, spread: spreads[widest], colours }
    }

    /// What is below the mean, and what is above.
    fn halves(self) -> [Self; 2] {
        let (channel, mean) = (self.channel, self.mean[self.channel]);
        let (below, above) =
            self.colours.into_iter().partition(|(colour, _)| f64::from(colour[channel]) <= mean);
        [Self::new(below), Self::new(above)]
    }

    fn colour(&self) -> Colour {
        self.mean.map(|channel| channel.round() as u8)
    }
}

fn nearest(palette: &[Colour], colour: Colour) -> u8 {
    let nearest = palette.iter().enumerate().min_by_key(|(_, other)| distance(**other, colour));
    nearest.and_then(|(index, _)| u8::try_from(index).ok()).unwrap_or(0)
}

/// The square of the distance of two colours.
fn distance(a: Colour, b: Colour) -> u32 {
    a.iter().zip(b).map(|(a, b)| u32::from(a.abs_diff(b)).pow(2)).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commonest_colours_stay_as_they_are_and_none_is_far_from_what_it_was() {
        let mut counts: HashMap<Colour, u32> = HashMap::new();
        for index in 0..4096_u32 {
            let [low, high, ..] = index.to_le_bytes();
            counts.insert([low, high * 16, low / 2], 1);
        }
        let label = [0x2e, 0x7d, 0x32];
        counts.insert(label, 1000);
        let palette = palette(&counts);
        assert!(palette.len() <= COLOURS);
        assert_eq!(palette.first(), Some(&label));
        let furthest = counts.keys().map(|colour| {
            let near = palette.get(usize::from(nearest(&palette, *colour))).copied().unwrap_or_default();
            distance(near, *colour)
        });
        assert!(furthest.max() < Some(64 * 64));
    }
}
