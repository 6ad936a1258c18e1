//! The table of known globals.
