//! The Vitrail compositor.
