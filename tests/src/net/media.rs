//! One call's media.
