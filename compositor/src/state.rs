//! The compositor's state, split into the backend and everything else.
