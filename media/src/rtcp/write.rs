//! Our compound packets: a sender or receiver report, our CNAME, at the end a goodbye (RFC 3550 §6.1).

use super::voip::{self, VoipMetrics};
use super::{
    EXTENDED_REPORT, GOODBYE, RECEIVER_REPORT, ReportBlock, SENDER_REPORT, SOURCE_DESCRIPTION,
    SenderInfo,
};

/// What a compound packet of ours holds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Compound<'a> {
    pub(crate) ssrc: u32,
    /// Present when we have sent since the last reports.
    pub(crate) sender: Option<SenderInfo>,
    /// Present when there is a source to report on.
    pub(crate) block: Option<ReportBlock>,
    /// At most 255 octets.
    pub(crate) cname: &'a str,
    /// How the source's audio arrives (RFC 3611 §4.7).
    pub(crate) voip: Option<VoipMetrics>,
    pub(crate) goodbye: bool,
}

impl Compound<'_> {
    /// Writes it to the front of `buffer`; its length, or `None` if it does not fit.
    pub(crate) fn write(&self, buffer: &mut [u8]) -> Option<usize> {
        let mut out = Writer { buffer, len: 0 };
        let blocks = u8::from(self.block.is_some());
        let block_words = 6 * u16::from(blocks);
        match &self.sender {
            Some(sender) => {
                out.header(blocks, SENDER_REPORT, 6 + block_words)?;
                out.word(self.ssrc)?;
                out.word((sender.ntp >> 32) as u32)?;
                out.word(sender.ntp as u32)?;
                out.word(sender.rtp_timestamp)?;
                out.word(sender.packets)?;
                out.word(sender.octets)?;
            }
            None => {
                out.header(blocks, RECEIVER_REPORT, 1 + block_words)?;
                out.word(self.ssrc)?;
            }
        }
        if let Some(block) = &self.block {
            out.word(block.ssrc)?;
            out.word(
                u32::from(block.fraction_lost) << 24 | block.cumulative_lost as u32 & 0x00ff_ffff,
            )?;
            out.word(block.highest_sequence)?;
            out.word(block.jitter)?;
            out.word(block.last_sender_report)?;
            out.word(block.delay)?;
        }
        self.write_description(&mut out)?;
        if let (Some(voip), Some(block)) = (&self.voip, &self.block) {
            out.header(0, EXTENDED_REPORT, 1 + voip::LEN as u16 / 4)?;
            out.word(self.ssrc)?;
            out.octets(&voip.to_bytes(block.ssrc))?;
        }
        if self.goodbye {
            out.header(1, GOODBYE, 1)?;
            out.word(self.ssrc)?;
        }
        Some(out.len)
    }

    fn write_description(&self, out: &mut Writer<'_>) -> Option<()> {
        let cname = &self.cname.as_bytes()[..self.cname.len().min(255)];
        // SSRC, item type and length, the text, and one to four zeros that end the chunk on a word (RFC 3550 §6.5).
        let words = 1 + (2 + cname.len()) / 4 + 1;
        out.header(1, SOURCE_DESCRIPTION, words as u16)?;
        let end = out.len + words * 4;
        out.word(self.ssrc)?;
        out.octets(&[1, cname.len() as u8])?;
        out.octets(cname)?;
        let zeros = end - out.len;
        out.octets(&[0; 4][..zeros])
    }
}

struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl Writer<'_> {
    fn header(&mut self, count: u8, kind: u8, words: u16) -> Option<()> {
        let [high, low] = words.to_be_bytes();
        self.octets(&[0x80 | count, kind, high, low])
    }

    fn word(&mut self, word: u32) -> Option<()> {
        self.octets(&word.to_be_bytes())
    }

    fn octets(&mut self, octets: &[u8]) -> Option<()> {
        self.buffer
            .get_mut(self.len..self.len + octets.len())?
            .copy_from_slice(octets);
        self.len += octets.len();
        Some(())
    }
}
