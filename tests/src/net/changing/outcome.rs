//! What comes of a call of the network, and what may be done wrong in it on purpose.

/// How a call went.
#[derive(Debug, Default)]
pub struct Outcome {
    /// A telephone placed it.
    pub inbound: bool,
    /// It was answered.
    pub answered: bool,
    /// How often somebody held or took back, or moved.
    pub changes: usize,
    /// How many transfers there were, and how many of them were done.
    pub transfers: (usize, usize),
    /// Two telephones were joined in the end.
    pub joined: bool,
}

/// Something broken on purpose, to see that the checks notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sabotage {
    /// The gateway sends no BYE again.
    ByeOnce,
    /// The gateway does not end a telephone that another has taken the place of.
    LeavesTheFirst,
}
