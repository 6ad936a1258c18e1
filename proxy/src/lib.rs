//! The programs between an application in a VM and the compositor.
