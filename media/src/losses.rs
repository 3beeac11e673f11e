//! How losses lie in a stream: alone or in bursts (RFC 3611 §4.7.2).

/// So many packets received in a row end a burst (Gmin; 16 is the RFC's recommendation).
pub(crate) const MIN_GAP: u8 = 16;

/// The pattern of one source's losses. A **burst** begins and ends with a lost packet and has fewer than [`MIN_GAP`]
/// received ones in a row within; all else is **gap**, a lost packet that stands alone included.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Losses {
    received: u64,
    lost: u64,
    /// Losses in a row: how many such rows.
    rows: u64,
    /// Packets received since the last lost one.
    since: u64,
    /// Of the cluster that may still grow: its packets up to its last lost one, and the lost ones of them.
    cluster: (u64, u64),
    /// Bursts that are over, their packets, and the lost ones of them.
    bursts: u64,
    burst: (u64, u64),
}

/// The pattern in the units of RFC 3611 §4.7.2, but for the lengths: those are packets.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Pattern {
    /// The share lost in bursts, and in gaps.
    pub(crate) burst_density: f64,
    pub(crate) gap_density: f64,
    /// Their mean lengths.
    pub(crate) burst_packets: f64,
    pub(crate) gap_packets: f64,
}

impl Losses {
    /// A packet came, with `lost` missing right before it.
    pub(crate) fn record(&mut self, lost: u64) {
        self.received += 1;
        if lost == 0 {
            self.since += 1;
            return;
        }
        self.lost += lost;
        self.rows += 1;
        let joins = self.cluster.1 > 0 && self.since < u64::from(MIN_GAP);
        if joins {
            self.cluster.0 += self.since + lost;
            self.cluster.1 += lost;
        } else {
            self.close_cluster();
            self.cluster = (lost, lost);
        }
        self.since = 1;
    }

    /// How much longer losses are in a row than they would be by chance (ITU-T G.107 §7.4): 1 is by chance.
    pub(crate) fn burst_ratio(&self) -> f64 {
        if self.lost == 0 {
            return 1.0;
        }
        let mean = self.lost as f64 / self.rows as f64;
        let by_chance = (self.received + self.lost) as f64 / self.received as f64;
        (mean / by_chance).max(1.0)
    }

    /// The pattern so far; a cluster that may still grow counts as it is.
    pub(crate) fn pattern(&self) -> Pattern {
        let mut all = *self;
        all.close_cluster();
        let (burst_packets, burst_lost) = all.burst;
        let gap_packets = (all.received + all.lost).saturating_sub(burst_packets);
        let gap_lost = all.lost - burst_lost;
        // Each burst parts two gaps.
        let gaps = all.bursts + 1;
        Pattern {
            burst_density: ratio(burst_lost, burst_packets),
            gap_density: ratio(gap_lost, gap_packets),
            burst_packets: ratio(burst_packets, all.bursts),
            gap_packets: ratio(gap_packets, gaps),
        }
    }

    fn close_cluster(&mut self) {
        let (packets, lost) = std::mem::take(&mut self.cluster);
        if lost > 1 {
            self.bursts += 1;
            self.burst.0 += packets;
            self.burst.1 += lost;
        }
    }
}

fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A pattern written out: `.` came, `x` did not.
    fn of(packets: &str) -> Losses {
        let mut losses = Losses::default();
        let mut lost = 0;
        for packet in packets.chars() {
            match packet {
                'x' => lost += 1,
                _ => losses.record(std::mem::take(&mut lost)),
            }
        }
        losses
    }

    #[test]
    fn a_lost_packet_alone_is_no_burst() {
        let line = format!("{}x{}x{}", ".".repeat(20), ".".repeat(16), ".".repeat(20));
        let pattern = of(&line).pattern();
        assert_eq!(pattern.burst_packets, 0.0);
        assert_eq!(pattern.burst_density, 0.0);
        assert_eq!(pattern.gap_density, 2.0 / 58.0);
        assert_eq!(pattern.gap_packets, 58.0);
    }

    #[test]
    fn losses_with_fewer_than_sixteen_packets_between_them_are_one_burst() {
        let line = format!("{}x{}xx{}", ".".repeat(20), ".".repeat(15), ".".repeat(22));
        let pattern = of(&line).pattern();
        assert_eq!(pattern.burst_packets, 18.0);
        assert_eq!(pattern.burst_density, 3.0 / 18.0);
        assert_eq!(pattern.gap_density, 0.0);
        assert_eq!(pattern.gap_packets, 21.0);
    }

    #[test]
    fn bursts_and_gaps_have_their_means() {
        let line = format!(
            "{0}xx{0}xxxx{0}x{0}",
            ".".repeat(20) // four gaps of it, the last two with a lone loss between them
        );
        let pattern = of(&line).pattern();
        assert_eq!(pattern.burst_packets, 3.0);
        assert_eq!(pattern.burst_density, 1.0);
        assert_eq!(pattern.gap_packets, 81.0 / 3.0);
        assert_eq!(pattern.gap_density, 1.0 / 81.0);
    }

    #[test]
    fn the_burst_ratio_is_one_by_chance_and_more_in_rows() {
        assert_eq!(of("....").burst_ratio(), 1.0);
        assert_eq!(of("..x..x..").burst_ratio(), 1.0);
        // Three in a row, where 9 of 12 came: by chance they would be 4/3 long.
        let burst = of(".....xxx....");
        assert!((burst.burst_ratio() - 3.0 * 9.0 / 12.0).abs() < 1e-9);
    }

    #[test]
    fn a_stream_without_packets_has_no_pattern() {
        assert_eq!(Losses::default().pattern(), Pattern::default());
    }
}
