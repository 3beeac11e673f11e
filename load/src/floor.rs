//! The floor of a call: what its primitives alone take, and nothing else of a gateway.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use codecs::g711::{self, Law};
use codecs::opus::{Decoder, Encoder, EncoderSettings, MAX_PACKET_SAMPLES};
use nix::time::{ClockId, clock_gettime};
use peer::srtp::{Context, MAX_OVERHEAD, Profile};

use crate::sound::Sound;

/// 20 ms at 8 kHz.
const FRAME: usize = 160;
/// Packets of a call in each direction in a second.
const RATE: u32 = 50;
const ROUNDS: usize = 60;
/// Fewer calls are measured as so many: reading the clock takes as long as a step of one.
const FEWEST: usize = 10;
/// How many calls take each step together: no socket's default buffer overflows with so many packets.
const GROUP: usize = 64;
const HEADER: usize = 12;
const ROOM: usize = 1500;

/// What the primitives take for one second of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Floor {
    /// To decode what the browser sends to linear samples, and those to G.711.
    pub decode: Duration,
    /// The way back, at the gateway's settings.
    pub encode: Duration,
    /// SRTP: a packet unprotected, one protected.
    pub srtp: Duration,
    /// UDP: a packet received and one sent on each side.
    pub udp: Duration,
}

impl Floor {
    /// All of it.
    pub fn total(&self) -> Duration {
        self.decode + self.encode + self.srtp + self.udp
    }

    /// Measures it for `calls` calls that say `sound`, in this thread's CPU time.
    ///
    /// As in a gateway, each call has an encoder, a decoder and keys of its own; one packet of each call goes each way,
    /// then one of the next, and all of them again 20 ms later: a codec whose state has left the caches takes longer
    /// than one that encodes without a pause. Other programs run meanwhile, so each step counts with the median of its
    /// rounds.
    ///
    /// # Errors
    /// libopus's, the sockets', or what does not fit together.
    pub fn measure(sound: &Sound, calls: usize, opus: EncoderSettings) -> Result<Self, String> {
        let mut bench = Bench::new(sound, calls.max(FEWEST), opus)?;
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let start = Instant::now();
            rounds.push(bench.round(round)?);
            std::thread::sleep(Duration::from_millis(20).saturating_sub(start.elapsed()));
        }
        let median = |of: fn(&Floor) -> Duration| {
            let mut times: Vec<_> = rounds.iter().map(of).collect();
            times.sort_unstable();
            times[ROUNDS / 2] * RATE / bench.calls.len() as u32
        };
        Ok(Self {
            decode: median(|round| round.decode),
            encode: median(|round| round.encode),
            srtp: median(|round| round.srtp),
            udp: median(|round| round.udp),
        })
    }
}

/// This thread's CPU time, in user space and in the kernel.
fn thread_time() -> Result<Duration, String> {
    let time = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID);
    time.map(Duration::from).map_err(|error| error.to_string())
}

/// Codec and keys of one call.
struct Call {
    codec: Option<(Decoder, Encoder)>,
    browser: Context,
    inbound: Context,
    outbound: Context,
    sequence: u16,
    ssrc: u32,
}

/// A packet on its way.
struct Packet {
    octets: [u8; ROOM],
    len: usize,
}

struct Bench<'a> {
    sound: &'a Sound,
    /// What the telephones say: G.711, a frame for each packet of the sound.
    phone: Vec<[u8; FRAME]>,
    calls: Vec<Call>,
    /// One socket for all browsers, as a gateway's, and all browsers as one.
    browsers: (UdpSocket, UdpSocket),
    /// One socket for each call towards its telephone, and all telephones as one.
    trunks: Vec<UdpSocket>,
    phones: UdpSocket,
    from_browser: Vec<Packet>,
    from_phone: Vec<Packet>,
}

impl<'a> Bench<'a> {
    fn new(sound: &'a Sound, calls: usize, opus: EncoderSettings) -> Result<Self, String> {
        let io = |error: std::io::Error| error.to_string();
        let socket = || {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).map_err(io)?;
            socket.set_nonblocking(true).map_err(io)?;
            Ok::<_, String>(socket)
        };
        let call = |number| Call::new(number, sound.transcoded, opus);
        let group = calls.min(GROUP);
        let packets = || {
            let packet = || Packet {
                octets: [0; ROOM],
                len: 0,
            };
            (0..group).map(|_| packet()).collect()
        };
        Ok(Self {
            phone: telephone(sound)?,
            sound,
            calls: (0..calls).map(call).collect::<Result<_, _>>()?,
            browsers: (socket()?, socket()?),
            trunks: (0..group).map(|_| socket()).collect::<Result<_, _>>()?,
            phones: socket()?,
            from_browser: packets(),
            from_phone: packets(),
        })
    }

    /// One packet each way of every call.
    fn round(&mut self, round: usize) -> Result<Floor, String> {
        let mut taken = Floor::default();
        for first in (0..self.calls.len()).step_by(GROUP) {
            let last = (first + GROUP).min(self.calls.len());
            self.arrive(first, last, round)?;
            let steps: [Step<'a>; 6] = [
                (Self::receive, |taken| &mut taken.udp),
                (Self::unprotect, |taken| &mut taken.srtp),
                (Self::decode, |taken| &mut taken.decode),
                (Self::encode, |taken| &mut taken.encode),
                (Self::protect, |taken| &mut taken.srtp),
                (Self::send, |taken| &mut taken.udp),
            ];
            for (step, account) in steps {
                let start = thread_time()?;
                step(self, first, last)?;
                *account(&mut taken) += thread_time()?.saturating_sub(start);
            }
            let mut octets = [0; ROOM];
            while self.browsers.1.recv(&mut octets).is_ok() {}
            while self.phones.recv(&mut octets).is_ok() {}
        }
        Ok(taken)
    }

    /// Browsers and telephones send: not the gateway's work.
    fn arrive(&mut self, first: usize, last: usize, round: usize) -> Result<(), String> {
        let gateway = address(&self.browsers.0)?;
        for (place, call) in self.calls[first..last].iter_mut().enumerate() {
            let turn = (round + (first + place) * 7) % self.phone.len();
            let mut packet = [0; ROOM];
            let len = call.write(&self.sound.packets[turn], &mut packet);
            let len = call.browser.protect_rtp(&mut packet, len);
            let len = len.map_err(|error| error.to_string())?;
            let sent = self.browsers.1.send_to(&packet[..len], gateway);
            sent.map_err(|error| error.to_string())?;
            let len = call.write(&self.phone[turn], &mut packet);
            let trunk = address(&self.trunks[place])?;
            let sent = self.phones.send_to(&packet[..len], trunk);
            sent.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn receive(&mut self, first: usize, last: usize) -> Result<(), String> {
        for place in 0..last - first {
            let packet = &mut self.from_browser[place];
            let received = self.browsers.0.recv_from(&mut packet.octets);
            packet.len = received.map_err(|error| error.to_string())?.0;
            let packet = &mut self.from_phone[place];
            let received = self.trunks[place].recv_from(&mut packet.octets);
            packet.len = received.map_err(|error| error.to_string())?.0;
        }
        Ok(())
    }

    fn unprotect(&mut self, first: usize, last: usize) -> Result<(), String> {
        let packets = self.from_browser.iter_mut();
        for (call, packet) in self.calls[first..last].iter_mut().zip(packets) {
            let len = call.inbound.unprotect_rtp(&mut packet.octets[..packet.len]);
            packet.len = len.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn decode(&mut self, first: usize, last: usize) -> Result<(), String> {
        let packets = self.from_browser.iter_mut();
        for (call, packet) in self.calls[first..last].iter_mut().zip(packets) {
            let Some((decoder, _)) = &mut call.codec else {
                continue;
            };
            let mut pcm = [0; MAX_PACKET_SAMPLES];
            let decoded = decoder.decode(&packet.octets[HEADER..packet.len], &mut pcm);
            let samples = decoded.map_err(|error| error.to_string())?;
            g711::encode_into(Law::Mu, &pcm[..samples], &mut packet.octets[HEADER..]);
            packet.len = HEADER + samples;
        }
        Ok(())
    }

    fn encode(&mut self, first: usize, last: usize) -> Result<(), String> {
        let packets = self.from_phone.iter_mut();
        for (call, packet) in self.calls[first..last].iter_mut().zip(packets) {
            let Some((_, encoder)) = &mut call.codec else {
                continue;
            };
            let mut pcm = [0; FRAME];
            g711::decode_into(Law::Mu, &packet.octets[HEADER..packet.len], &mut pcm);
            let room = &mut packet.octets[HEADER..ROOM - MAX_OVERHEAD];
            let encoded = encoder.encode(&pcm, room);
            packet.len = HEADER + encoded.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn protect(&mut self, first: usize, last: usize) -> Result<(), String> {
        let packets = self.from_phone.iter_mut();
        for (call, packet) in self.calls[first..last].iter_mut().zip(packets) {
            let len = call.outbound.protect_rtp(&mut packet.octets, packet.len);
            packet.len = len.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn send(&mut self, first: usize, last: usize) -> Result<(), String> {
        let (browser, phone) = (address(&self.browsers.1)?, address(&self.phones)?);
        for place in 0..last - first {
            let packet = &self.from_phone[place];
            let sent = self
                .browsers
                .0
                .send_to(&packet.octets[..packet.len], browser);
            sent.map_err(|error| error.to_string())?;
            let packet = &self.from_browser[place];
            let sent = self.trunks[place].send_to(&packet.octets[..packet.len], phone);
            sent.map_err(|error| error.to_string())?;
        }
        Ok(())
    }
}

/// What is done with some of the calls, and where its time is counted.
type Step<'a> = (
    fn(&mut Bench<'a>, usize, usize) -> Result<(), String>,
    fn(&mut Floor) -> &mut Duration,
);

impl Call {
    fn new(number: usize, transcoded: bool, opus: EncoderSettings) -> Result<Self, String> {
        let profile = Profile::AeadAes256Gcm;
        let context = |direction: u8| {
            let mut key = vec![direction; profile.key_len()];
            key[..8].copy_from_slice(&(number as u64).to_le_bytes());
            let context = Context::new(profile, &key, &vec![7; profile.salt_len()]);
            context.map_err(|error| error.to_string())
        };
        let codec = || {
            Ok::<_, codecs::opus::Error>((
                Decoder::new(codecs::Bandwidth::Narrow)?,
                Encoder::new(opus)?,
            ))
        };
        let codec = transcoded.then(codec).transpose();
        Ok(Self {
            codec: codec.map_err(|error| error.to_string())?,
            browser: context(1)?,
            inbound: context(1)?,
            outbound: context(2)?,
            sequence: 0,
            ssrc: number as u32,
        })
    }

    /// An RTP packet with this payload; its length.
    fn write(&mut self, payload: &[u8], packet: &mut [u8; ROOM]) -> usize {
        self.sequence = self.sequence.wrapping_add(1);
        packet[..2].copy_from_slice(&[0x80, 0]);
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        packet[8..HEADER].copy_from_slice(&self.ssrc.to_be_bytes());
        packet[HEADER..HEADER + payload.len()].copy_from_slice(payload);
        HEADER + payload.len()
    }
}

fn address(socket: &UdpSocket) -> Result<SocketAddr, String> {
    socket.local_addr().map_err(|error| error.to_string())
}

/// The sound as telephones say it.
fn telephone(sound: &Sound) -> Result<Vec<[u8; FRAME]>, String> {
    let mut decoder = Decoder::new(codecs::Bandwidth::Narrow).map_err(|error| error.to_string())?;
    let frames = sound.packets.iter().map(|packet| {
        let mut octets = [0; FRAME];
        if sound.transcoded {
            let mut pcm = [0; MAX_PACKET_SAMPLES];
            let decoded = decoder.decode(packet, &mut pcm);
            decoded.map_err(|error| error.to_string())?;
            g711::encode_into(Law::Mu, &pcm[..FRAME], &mut octets);
        } else {
            octets.copy_from_slice(packet.get(..FRAME).ok_or("not a frame of 20 ms")?);
        }
        Ok(octets)
    });
    frames.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transcoded_call_costs_its_codec_and_a_relayed_one_only_srtp_and_udp() {
        let settings = EncoderSettings::default();
        let relayed = Floor::measure(&Sound::pcmu(), 3, settings).expect("a floor");
        assert!(relayed.srtp > Duration::ZERO && relayed.udp > Duration::ZERO);
        let sound = Sound::opus().expect("a sound");
        let transcoded = Floor::measure(&sound, 3, settings).expect("a floor");
        assert!(
            transcoded.decode > relayed.decode * 5,
            "{transcoded:?}, {relayed:?}"
        );
        assert!(transcoded.encode > transcoded.decode, "{transcoded:?}");
        assert!(
            transcoded.total() < Duration::from_millis(100),
            "{transcoded:?}"
        );
    }
}
