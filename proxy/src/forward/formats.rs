//! What the copy has to know of a pixel format: how many bytes a pixel takes, and how far planes reach.

use wl_proxy::protocols::wayland::wl_shm::WlShmFormat as F;

/// How the bytes of a buffer of some format lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// One plane; every pixel takes this number of bytes, so rectangles can be copied.
    Packed(u32),
    /// Several planes, blocks of pixels, or a format that is not known. Rows are taken to be as wide as the
    /// stride, and the buffer is always copied whole. The planes reach over `numerator / denominator` times
    /// the buffer's height in rows.
    Opaque {
        /// See above.
        numerator: u32,
        /// See above.
        denominator: u32,
    },
}

/// The layout of a format of `wl_shm`.
#[must_use]
pub fn layout(format: F) -> Layout {
    match format {
        F::C8 | F::RGB332 | F::BGR233 | F::R8 | F::D8 | F::Y8 => Layout::Packed(1),
        F::XRGB4444
        | F::XBGR4444
        | F::RGBX4444
        | F::BGRX4444
        | F::ARGB4444
        | F::ABGR4444
        | F::RGBA4444
        | F::BGRA4444
        | F::XRGB1555
        | F::XBGR1555
        | F::RGBX5551
        | F::BGRX5551
        | F::ARGB1555
        | F::ABGR1555
        | F::RGBA5551
        | F::BGRA5551
        | F::RGB565
        | F::BGR565
        | F::R10
        | F::R12
        | F::R16
        | F::R16F
        | F::RG88
        | F::GR88 => Layout::Packed(2),
        F::RGB888 | F::BGR888 | F::VUY888 => Layout::Packed(3),
        F::ARGB8888
        | F::XRGB8888
        | F::XBGR8888
        | F::RGBX8888
        | F::BGRX8888
        | F::ABGR8888
        | F::RGBA8888
        | F::BGRA8888
        | F::XRGB2101010
        | F::XBGR2101010
        | F::RGBX1010102
        | F::BGRX1010102
        | F::ARGB2101010
        | F::ABGR2101010
        | F::RGBA1010102
        | F::BGRA1010102
        | F::AYUV
        | F::XYUV8888
        | F::AVUY8888
        | F::XVUY8888
        | F::XVYU2101010
        | F::Y410
        | F::RG1616
        | F::GR1616
        | F::GR1616F
        | F::R32F => Layout::Packed(4),
        F::RGB161616 | F::BGR161616 | F::BGR161616F => Layout::Packed(6),
        F::XRGB16161616F
        | F::XBGR16161616F
        | F::ARGB16161616F
        | F::ABGR16161616F
        | F::XRGB16161616
        | F::XBGR16161616
        | F::ARGB16161616
        | F::ABGR16161616
        | F::Y412
        | F::Y416
        | F::XVYU12_16161616
        | F::XVYU16161616
        | F::GR3232F => Layout::Packed(8),
        F::BGR323232F => Layout::Packed(12),
        F::ABGR32323232F => Layout::Packed(16),
        F::NV12 | F::NV21 | F::YUV420 | F::YVU420 | F::P010 | F::P012 | F::P016 => {
            Layout::Opaque { numerator: 3, denominator: 2 }
        }
        F::NV16 | F::NV61 | F::YUV422 | F::YVU422 | F::P210 => {
            Layout::Opaque { numerator: 2, denominator: 1 }
        }
        F::NV24 | F::NV42 | F::YUV444 | F::YVU444 => Layout::Opaque { numerator: 3, denominator: 1 },
        _ => Layout::Opaque { numerator: 1, denominator: 1 },
    }
}

/// `DRM_FORMAT_ARGB8888` and `DRM_FORMAT_XRGB8888` (drm_fourcc.h), which `wl_shm` calls 0 and 1. It calls all others as
/// drm_fourcc.h does.
const RENUMBERED: [(u32, F); 2] =
    [(u32::from_le_bytes(*b"AR24"), F::ARGB8888), (u32::from_le_bytes(*b"XR24"), F::XRGB8888)];

/// The number in drm_fourcc.h of a format of `wl_shm`.
#[must_use]
pub fn fourcc(format: F) -> u32 {
    RENUMBERED.iter().find(|(_, shm)| *shm == format).map_or(format.0, |(fourcc, _)| *fourcc)
}

/// The format of `wl_shm` with this number in drm_fourcc.h. None: it is the number of another format in `wl_shm`.
#[must_use]
pub fn from_fourcc(number: u32) -> Option<F> {
    if RENUMBERED.iter().any(|(_, shm)| shm.0 == number) {
        return None;
    }
    Some(RENUMBERED.iter().find(|(fourcc, _)| *fourcc == number).map_or(F(number), |(_, shm)| *shm))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_that_every_compositor_has_are_copied_by_rectangles() {
        assert_eq!(layout(F::ARGB8888), Layout::Packed(4));
        assert_eq!(layout(F::XRGB8888), Layout::Packed(4));
        assert_eq!(layout(F::RGB565), Layout::Packed(2));
    }

    #[test]
    fn a_format_that_is_not_known_is_copied_in_whole_rows() {
        assert_eq!(layout(F(0x1234_5678)), Layout::Opaque { numerator: 1, denominator: 1 });
    }

    #[test]
    fn planes_behind_the_first_are_part_of_the_buffer() {
        assert_eq!(layout(F::NV12), Layout::Opaque { numerator: 3, denominator: 2 });
    }

    #[test]
    fn the_two_formats_that_wl_shm_numbers_itself_are_translated_and_no_other() {
        // drm_fourcc.h: fourcc_code('A', 'R', '2', '4'), ('X', 'R', '2', '4') and ('R', 'G', '1', '6').
        for (format, number) in
            [(F::ARGB8888, 0x3432_5241), (F::XRGB8888, 0x3432_5258), (F::RGB565, 0x3631_4752)]
        {
            assert_eq!(fourcc(format), number);
            assert_eq!(from_fourcc(number), Some(format));
        }
        assert_eq!((from_fourcc(0), from_fourcc(1)), (None, None));
    }
}
