//! A picture in memory that another desktop maps, to show what is in it.

use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::fs::{MemfdFlags, memfd_create};
use smithay::utils::{Physical, Rectangle, Size};

use super::memory::Pixels;

/// Bytes of a pixel.
const PIXEL: usize = 4;

/// A file of as many bytes as a picture has. It is written and never mapped here, so that what the other side does to it
/// cannot disturb this one.
#[derive(Debug)]
pub(super) struct SharedPicture {
    file: File,
    stride: usize,
}

impl SharedPicture {
    /// A black picture.
    ///
    /// # Errors
    ///
    /// If there is no memory for it, or it were larger than any picture can be.
    pub(super) fn new(size: Size<i32, Physical>) -> io::Result<Self> {
        let too_large = || io::Error::from(io::ErrorKind::FileTooLarge);
        let length = |pixels: i32| u64::try_from(pixels).map_err(|_| too_large());
        let stride = length(size.w)?.checked_mul(4).ok_or_else(too_large)?;
        let len = stride.checked_mul(length(size.h)?).ok_or_else(too_large)?;
        let file = File::from(memfd_create("vitrail-frame", MemfdFlags::CLOEXEC)?);
        file.set_len(len)?;
        Ok(Self { file, stride: usize::try_from(stride).map_err(|_| too_large())? })
    }

    /// The file, for the other side.
    pub(super) fn descriptor(&self) -> io::Result<OwnedFd> {
        Ok(self.file.try_clone()?.into())
    }

    /// Copies these rectangles of a picture of the same size.
    ///
    /// # Errors
    ///
    /// If there is no memory for what is written first.
    pub(super) fn write(&self, from: Pixels<'_>, rectangles: &[Rectangle<i32, Physical>]) -> io::Result<()> {
        let place = |value: i32| usize::try_from(value).unwrap_or(0);
        for rectangle in rectangles {
            let (x, width) = (place(rectangle.loc.x) * PIXEL, place(rectangle.size.w) * PIXEL);
            let (y, height) = (place(rectangle.loc.y), place(rectangle.size.h));
            if width == self.stride && from.stride == self.stride {
                // Whole rows lie one behind the other.
                let bytes = from.bytes.get(y * self.stride..(y + height) * self.stride);
                self.put(y * self.stride, bytes.unwrap_or_default())?;
                continue;
            }
            for (n, row) in from.bytes.chunks(from.stride.max(1)).enumerate().skip(y).take(height) {
                self.put(n * self.stride + x, row.get(x..x + width).unwrap_or_default())?;
            }
        }
        Ok(())
    }

    fn put(&self, offset: usize, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all_at(bytes, u64::try_from(offset).unwrap_or(u64::MAX))
    }
}
