//! A browser's offer, as Chromium words it.

/// What differs from one offer to the next.
#[derive(Debug, Clone)]
pub struct Offerer<'a> {
    /// The ICE user name fragment.
    pub ufrag: &'a str,
    /// The ICE password.
    pub pwd: &'a str,
    /// SHA-256 of the DTLS certificate, `AB:CD:..`.
    pub fingerprint: &'a str,
    /// The SSRC of the audio.
    pub ssrc: u32,
}

impl Offerer<'_> {
    /// An offer of Opus, G.711 and telephone-events, before any candidate is known.
    pub fn offer(&self) -> String {
        let Self {
            ufrag,
            pwd,
            fingerprint,
            ssrc,
        } = self;
        [
            "v=0",
            "o=- 4611731400430051336 2 IN IP4 127.0.0.1",
            "s=-",
            "t=0 0",
            "a=group:BUNDLE 0",
            "a=extmap-allow-mixed",
            "a=msid-semantic: WMS -",
            "m=audio 9 UDP/TLS/RTP/SAVPF 111 0 8 110 126",
            "c=IN IP4 0.0.0.0",
            "a=rtcp:9 IN IP4 0.0.0.0",
            &format!("a=ice-ufrag:{ufrag}"),
            &format!("a=ice-pwd:{pwd}"),
            "a=ice-options:trickle",
            &format!("a=fingerprint:sha-256 {fingerprint}"),
            "a=setup:actpass",
            "a=mid:0",
            "a=sendrecv",
            "a=rtcp-mux",
            "a=rtpmap:111 opus/48000/2",
            "a=rtcp-fb:111 transport-cc",
            "a=fmtp:111 minptime=10;useinbandfec=1",
            "a=rtpmap:0 PCMU/8000",
            "a=rtpmap:8 PCMA/8000",
            "a=rtpmap:110 telephone-event/48000",
            "a=rtpmap:126 telephone-event/8000",
            &format!("a=ssrc:{ssrc} cname:TmV0d29yaw"),
            "",
        ]
        .join("\r\n")
    }

    /// The same without Opus.
    pub fn offer_g711(&self) -> String {
        let offer = self.offer().replace(" 111 0 8 110 126\r\n", " 0 8 126\r\n");
        let opus = |line: &&str| !line.contains(":111 ") && !line.contains(":110 ");
        let lines: Vec<_> = offer.split("\r\n").filter(opus).collect();
        lines.join("\r\n")
    }
}
