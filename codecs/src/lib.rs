//! Opus, G.711, tones and concealment. The only crate that links libopus.
