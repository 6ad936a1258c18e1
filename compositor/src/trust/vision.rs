//! How alike two colours look, to eyes that see all colours and to eyes that do not.
//!
//! # Model
//!
//! The distance of two colours is that of their places in OKLab (B. Ottosson, 2020), from 0 to about 1: black and white are 1
//! apart, and a step that can just be seen is about 0.02. Not CIEDE2000, which is made for differences that are hardly seen; what
//! is asked here is whether two colours that are seen minutes apart are the same one, and OKLab is even over such distances, in
//! blue too.
//!
//! What somebody sees who lacks a kind of cones is computed in linear light, by the matrices of Machado, Oliveira and Fernandes
//! (2009) for a severity of 1.

use super::style::Rgb;

/// Whose eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eyes {
    /// With all kinds of cones.
    Trichromat,
    /// Without those for long waves.
    Protan,
    /// Without those for middle waves.
    Deutan,
    /// Without those for short waves.
    Tritan,
}

type Matrix = [[f64; 3]; 3];

const PROTAN: Matrix = [
    [0.152_286, 1.052_583, -0.204_868],
    [0.114_503, 0.786_281, 0.099_216],
    [-0.003_882, -0.048_116, 1.051_998],
];
const DEUTAN: Matrix = [
    [0.367_322, 0.860_646, -0.227_968],
    [0.280_085, 0.672_501, 0.047_413],
    [-0.011_820, 0.042_940, 0.968_881],
];
const TRITAN: Matrix = [
    [1.255_528, -0.076_749, -0.178_779],
    [-0.078_411, 0.930_809, 0.147_602],
    [0.004_733, 0.691_367, 0.303_900],
];
/// From linear sRGB to the responses of cones, and from their cube roots to OKLab.
const TO_CONES: Matrix = [
    [0.412_221_470_8, 0.536_332_536_3, 0.051_445_992_9],
    [0.211_903_498_2, 0.680_699_545_1, 0.107_396_956_6],
    [0.088_302_461_9, 0.281_718_837_6, 0.629_978_700_5],
];
const TO_OKLAB: Matrix = [
    [0.210_454_255_3, 0.793_617_785_0, -0.004_072_046_8],
    [1.977_998_495_1, -2.428_592_205_0, 0.450_593_709_9],
    [0.025_904_037_1, 0.782_771_766_2, -0.808_675_766_0],
];

impl Eyes {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Trichromat, Self::Protan, Self::Deutan, Self::Tritan];

    /// The colour that others see as these eyes see that one, in linear light.
    fn see(self, color: [f64; 3]) -> [f64; 3] {
        let matrix = match self {
            Self::Trichromat => return color,
            Self::Protan => PROTAN,
            Self::Deutan => DEUTAN,
            Self::Tritan => TRITAN,
        };
        times(matrix, color).map(|channel| channel.clamp(0.0, 1.0))
    }

    /// How far two colours are apart, from 0 to about 1.
    #[must_use]
    pub fn distance(self, one: Rgb, other: Rgb) -> f64 {
        let [a, b] = [one, other].map(|color| oklab(self.see(color.linear())));
        a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }
}

fn times(matrix: Matrix, vector: [f64; 3]) -> [f64; 3] {
    matrix.map(|row| row.iter().zip(vector).map(|(a, b)| a * b).sum())
}

/// Lightness, green to red, and blue to yellow.
fn oklab(linear: [f64; 3]) -> [f64; 3] {
    times(TO_OKLAB, times(TO_CONES, linear).map(f64::cbrt))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rgb(text: &str) -> Rgb {
        text.parse().unwrap()
    }

    /// The places of the primaries as they are published.
    #[test]
    fn colours_are_where_oklab_has_them() {
        for (color, expected) in [
            ("#ffffff", [1.0, 0.0, 0.0]),
            ("#000000", [0.0, 0.0, 0.0]),
            ("#ff0000", [0.627_955, 0.224_863, 0.125_846]),
            ("#00ff00", [0.866_440, -0.233_888, 0.179_498]),
            ("#0000ff", [0.452_014, -0.032_457, -0.311_528]),
        ] {
            let place = oklab(rgb(color).linear());
            for (place, expected) in place.iter().zip(expected) {
                assert!((place - expected).abs() < 1e-5, "{color}: {place} for {expected}");
            }
        }
    }

    #[test]
    fn who_lacks_a_kind_of_cones_confuses_what_such_people_confuse() {
        let (green, red, blue) = (rgb("#2e7d32"), rgb("#c62828"), rgb("#1565c0"));
        assert!(Eyes::Trichromat.distance(green, red) > 0.25);
        assert!(Eyes::Deutan.distance(green, red) < 0.05);
        assert!(Eyes::Protan.distance(green, red) < Eyes::Trichromat.distance(green, red) / 2.0);
        assert!(Eyes::Tritan.distance(green, red) > 0.25);
        assert!(Eyes::Tritan.distance(green, blue) < 0.05);
        assert!(Eyes::Deutan.distance(green, blue) > 0.2);
    }

    proptest! {
        #[test]
        fn grey_is_grey_to_all_and_distance_is_one(a: [u8; 3], b: [u8; 3], grey: u8) {
            for eyes in Eyes::ALL {
                let (one, other) = (Rgb(a), Rgb(b));
                prop_assert!(eyes.distance(one, one) == 0.0);
                let (there, back) = (eyes.distance(one, other), eyes.distance(other, one));
                prop_assert!((there - back).abs() < 1e-12 && (0.0..1.2).contains(&there), "{there}");
                let [r, g, b] = eyes.see(Rgb([grey; 3]).linear());
                prop_assert!((r - g).abs() < 1e-3 && (g - b).abs() < 1e-3);
            }
        }
    }
}
