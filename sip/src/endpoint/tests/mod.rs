//! Calls over the virtual network.

mod calls;
mod help;
