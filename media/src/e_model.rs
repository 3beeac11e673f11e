//! What people would think of a call, reckoned from its figures: the E-model (ITU-T G.107, G.113).

use std::time::Duration;

/// The rating of a narrowband connection with nothing wrong but its codec's quantising (G.107 default values).
const BEST: f64 = 93.2;
/// How well loss is borne: the Bpl of G.711 with concealment (G.113 Appendix I). It has no row for Opus, whose
/// concealment is heard like that of G.711 (`docs/quality.md`): the figure stands for both.
const LOSS_ROBUSTNESS: f64 = 25.1;

/// What one side hears of the other, for [`Rating::of`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Hearing {
    /// The share of the audio that was lost and not rebuilt, 0 to 1.
    pub loss: f64,
    /// How much longer the losses are in a row than by chance (G.107 §7.4); 1 is by chance.
    pub burst_ratio: f64,
    /// From the mouth to the ear.
    pub delay: Duration,
}

/// A transmission rating of the E-model, 0 (unusable) to 93.2.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd)]
pub struct Rating(f64);

impl Rating {
    /// What that is worth. Everything that is not told has G.107's default values.
    pub fn of(hearing: Hearing) -> Self {
        let percent = share(hearing.loss) * 100.0;
        let burst_ratio = if hearing.burst_ratio.is_finite() {
            hearing.burst_ratio.max(1.0)
        } else {
            1.0
        };
        let loss = 95.0 * percent / (percent / burst_ratio + LOSS_ROBUSTNESS);
        let ms = hearing.delay.as_secs_f64() * 1000.0;
        // The usual approximation of Idd and Idte together (Cole and Rosenbluth, 2001).
        let delay = 0.024 * ms + 0.11 * (ms - 177.3).max(0.0);
        Self((BEST - loss - delay).clamp(0.0, BEST))
    }

    /// The rating factor R.
    pub fn r(self) -> f64 {
        self.0
    }

    /// The mean opinion score, 1 to 4.5 (G.107 Annex B).
    pub fn mos(self) -> f64 {
        let r = self.0;
        (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
    }
}

/// Between 0 and 1; what is no number is 0.
fn share(of: f64) -> f64 {
    if of.is_nan() { 0.0 } else { of.clamp(0.0, 1.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mos(loss: f64, burst_ratio: f64, delay_ms: u64) -> f64 {
        Rating::of(Hearing {
            loss,
            burst_ratio,
            delay: Duration::from_millis(delay_ms),
        })
        .mos()
    }

    #[test]
    fn a_clean_call_has_the_best_score_and_loss_and_delay_cost() {
        assert!((mos(0.0, 1.0, 0) - 4.41).abs() < 0.01);
        assert!((mos(0.05, 1.0, 0) - 3.92).abs() < 0.01);
        assert!(mos(0.05, 2.0, 0) < mos(0.05, 1.0, 0));
        assert!(mos(0.0, 1.0, 400) < 3.7);
        assert!((1.0..1.5).contains(&mos(1.0, 1.0, 3000)));
    }

    #[test]
    fn figures_out_of_range_give_a_score_in_range() {
        for loss in [f64::NAN, -1.0, 7.0, f64::INFINITY] {
            for burst_ratio in [f64::NAN, 0.0, -3.0, f64::INFINITY, 1e9] {
                let mos = mos(loss, burst_ratio, u64::MAX / 2);
                assert!((1.0..=4.5).contains(&mos), "{loss} {burst_ratio}: {mos}");
            }
        }
    }
}
