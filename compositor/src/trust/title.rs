//! (filled in by its builder)
