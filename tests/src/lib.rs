//! Test clients and fixtures.
