//! Sockets that carry file descriptors between virtual machines.
