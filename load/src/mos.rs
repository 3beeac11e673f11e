//! What people would think of a call, reckoned from its figures: the E-model (ITU-T G.107, G.113).

use std::time::Duration;

/// The mean opinion score, 1 to 4.5, of narrowband audio with this share of its packets lost (0 to 1), lost in bursts
/// of `burst_ratio` (1 when at random), `delay` after it was spoken.
///
/// Everything else has G.107's default values; the impairment of G.711 with concealment is Ie = 0, Bpl = 25.1
/// (G.113 Appendix I), which stands for Opus too.
pub fn mos(loss: f64, burst_ratio: f64, delay: Duration) -> f64 {
    let percent = loss.clamp(0.0, 1.0) * 100.0;
    let loss = 95.0 * percent / (percent / burst_ratio.max(1.0) + 25.1);
    let ms = delay.as_secs_f64() * 1000.0;
    // The usual approximation of Idd and Idte together (Cole and Rosenbluth, 2001).
    let delay = 0.024 * ms + 0.11 * (ms - 177.3).max(0.0);
    let r = (93.2 - loss - delay).clamp(0.0, 100.0);
    // G.107 Annex B.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_call_has_the_best_score_and_loss_and_delay_cost() {
        let ms = Duration::from_millis;
        assert!((mos(0.0, 1.0, ms(0)) - 4.41).abs() < 0.01);
        assert!(
            (mos(0.05, 1.0, ms(0)) - 3.92).abs() < 0.01,
            "{}",
            mos(0.05, 1.0, ms(0))
        );
        assert!(mos(0.05, 2.0, ms(0)) < mos(0.05, 1.0, ms(0)));
        assert!(mos(0.0, 1.0, ms(400)) < 3.7);
        assert!((1.0..1.5).contains(&mos(1.0, 1.0, ms(3000))));
    }
}
