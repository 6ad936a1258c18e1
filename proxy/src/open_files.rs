//! How many descriptors this process may have.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Allows this process as many descriptors as the system lets it have. Sessions usually begin with 1024, which select(2) does
/// not reach beyond, so programs that are to have that many are started before.
pub fn raise() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // With fewer descriptors fewer peers can be served at a time, which shows when it happens.
    let _ = setrlimit(Resource::Nofile, raised);
}
