//! Calls over the virtual network.

mod account;
mod by_hand;
mod calls;
mod early;
mod hostile;
mod info;
mod limits;
mod lossy;
mod modify;
mod races;
mod refer;
mod timers;

mod help;
