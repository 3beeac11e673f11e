//! How loud what was heard is, voice and background apart.

/// The mean square above which a packet is voice: -50 dBm0.
const VOICE: u64 = 51 * 51;

/// The levels of one direction, measured packet by packet.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Level {
    voice: Mean,
    background: Mean,
}

/// A mean of powers.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    sum: u64,
    packets: u64,
}

impl Level {
    /// Takes the audio of a packet, or enough of it.
    pub(crate) fn hear(&mut self, pcm: &[i16]) {
        if pcm.is_empty() {
            return;
        }
        let square = |sample: &i16| u64::from(i32::from(*sample).pow(2).unsigned_abs());
        let power = pcm.iter().map(square).sum::<u64>() / pcm.len() as u64;
        let mean = if power >= VOICE {
            &mut self.voice
        } else {
            &mut self.background
        };
        mean.sum = mean.sum.saturating_add(power);
        mean.packets += 1;
    }

    /// Takes a packet that is not decoded, and by its size is no silence.
    pub(crate) fn pass(&mut self) {
        self.voice.packets += 1;
    }

    /// The packets with a voice in them.
    pub(crate) fn voiced(&self) -> u64 {
        self.voice.packets
    }

    /// The level of the voice in dBm0, and that of the background, where there was any to measure.
    pub(crate) fn dbm0(&self) -> (Option<f64>, Option<f64>) {
        (self.voice.dbm0(), self.background.dbm0())
    }
}

impl Mean {
    fn dbm0(&self) -> Option<f64> {
        if self.sum == 0 {
            return None;
        }
        let mean = self.sum as f64 / self.packets as f64;
        Some(codecs::tone::power_level(mean))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use codecs::tone::Sine;

    #[test]
    fn voice_and_background_are_measured_apart() {
        let mut level = Level::default();
        let mut pcm = [0; 160];
        let mut voice = Sine::new(440.0, -16.0);
        let mut background = Sine::new(440.0, -60.0);
        for _ in 0..50 {
            voice.fill(&mut pcm);
            level.hear(&pcm);
            background.fill(&mut pcm);
            level.hear(&pcm);
        }
        let (voice, background) = level.dbm0();
        assert!((voice.unwrap() + 16.0).abs() < 0.3, "{voice:?}");
        assert!((background.unwrap() + 60.0).abs() < 0.6, "{background:?}");
        assert_eq!(level.voiced(), 50);
    }

    #[test]
    fn digital_silence_has_no_level() {
        let mut level = Level::default();
        level.hear(&[0; 160]);
        level.hear(&[]);
        assert_eq!(level.dbm0(), (None, None));
        assert_eq!(level.voiced(), 0);
    }
}
