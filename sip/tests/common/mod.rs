//! Messages of our own, each with what a user agent server does with it.

#![allow(dead_code)] // Each test binary uses its part.

/// What must become of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expected {
    Accept,
    Reject(u16),
    Drop,
}

use Expected::{Accept, Drop, Reject};

/// A message, with LF for CR LF, and its verdict.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) text: &'static str,
    pub(crate) expected: Expected,
}

impl Case {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        wire(self.text)
    }
}

/// LF to CR LF.
pub(crate) fn wire(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

/// An INVITE as a desk phone sends it.
pub(crate) const INVITE: &str = "INVITE sip:+493012345678@gateway.example.net:5060;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.44:5062;branch=z9hG4bK-524287-1---6f3ad1c80a2f;rport
Max-Forwards: 70
Contact: <sip:desk17@192.0.2.44:5062;transport=udp>;+sip.instance=\"<urn:uuid:0d5f2c9e-43a1-4a7e-9f25-6b9d6d5b8c11>\"
To: <sip:+493012345678@gateway.example.net;user=phone>
From: \"Front Desk\" <sip:desk17@pbx.example.net>;tag=7b1f9c42
Call-ID: 81347NzU2ZjJkYjE0YmI0ZTRiOGRhMjU0Yw@192.0.2.44
CSeq: 3127 INVITE
Allow: INVITE, ACK, CANCEL, BYE, REFER, INFO, NOTIFY, UPDATE, PRACK, MESSAGE, OPTIONS, SUBSCRIBE
Content-Type: application/sdp
Supported: replaces, 100rel, timer, norefersub
User-Agent: Bench Phone 7.2.1 build 1187
P-Asserted-Identity: <sip:desk17@pbx.example.net>
Content-Length: 333

v=0
o=- 3884732910 1 IN IP4 192.0.2.44
s=call
c=IN IP4 192.0.2.44
t=0 0
m=audio 40100 RTP/AVP 96 0 8 101
a=rtpmap:96 opus/48000/2
a=fmtp:96 useinbandfec=1;maxaveragebitrate=24000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-16
a=ptime:20
a=sendrecv
a=rtcp:40101
a=rtcp-mux
";

const fn case(name: &'static str, text: &'static str, expected: Expected) -> Case {
    Case {
        name,
        text,
        expected,
    }
}

macro_rules! request {
    ($start:expr, $cseq:expr, $more:expr) => {
        concat!(
            $start,
            " SIP/2.0\nVia: SIP/2.0/UDP phone.example.net:5060;branch=z9hG4bKa1\nFrom: <sip:ann@example.net>;tag=f1\n",
            "To: <sip:bob@example.org>\nCall-ID: c1@example.net\nCSeq: ",
            $cseq,
            "\n",
            $more
        )
    };
}

macro_rules! response {
    ($start:expr, $more:expr) => {
        concat!(
            $start,
            "\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKa1\nFrom: <sip:ann@example.net>;tag=f1\n",
            "To: <sip:bob@example.org>;tag=t1\nCall-ID: c1\nCSeq: 1 OPTIONS\n",
            $more
        )
    };
}

pub(crate) const CASES: &[Case] = &[
    case("a desk phone's INVITE", INVITE, Accept),
    case(
        "compact names, odd case, folding and space in odd places",
        "OPTIONS sip:bob@example.org;x SIP/2.0
v :  SIP / 2.0
 / UDP   192.0.2.7 : 5070 ;  branch =
\tz9hG4bKodd , SIP/2.0/SCTP [2001:db8::7]:5061;branch=z9hG4bK2;received=2001:db8::9
fROM :\t\"Ann \\\"the \\\\ boss\\\"\"\t <sip:ann@example.net> ; tag = f1
t: sip:bob@example.org
i: odd.1
cSEQ: 0007
  OPTIONS
s:
M: \"B\"<sip:b@[2001:db8::7]>;q=0.5 , <sip:c@example.org?Subject=a%20b>
X-Semicolons: ;;,,;
l: 0

",
        Accept,
    ),
    case(
        "an unknown method of unusual characters",
        request!("Do-it!%*_+`'~ sip:bob@example.org", "1 Do-it!%*_+`'~", "\n"),
        Accept,
    ),
    case(
        "escapes in the user part",
        request!(
            "OPTIONS sip:sip%3Abob%40x;a=%00@example.org",
            "1 OPTIONS",
            "l:0\n\n"
        ),
        Accept,
    ),
    case(
        "another message behind the body",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Content-Type: text/plain\nl: 3\n\nabcINVITE sip:x@y SIP/2.0\n\n"
        ),
        Accept,
    ),
    case(
        "line ends before the message",
        "\n\nOPTIONS sip:b@example.org SIP/2.0\nv:SIP/2.0/TCP h;branch=z9hG4bK1\nf:<sip:a@b>;tag=1\nt:sip:c@d\ni:1\nCSeq:1 OPTIONS\n\n",
        Accept,
    ),
    case(
        "no branch and no Max-Forwards, as RFC 2543 had it",
        "INVITE sip:bob@example.org SIP/2.0\nVia: SIP/2.0/UDP old.example.net\nFrom: sip:a@example.net\nTo: sip:b@example.org;user=phone\nCall-ID: o1\nCSeq: 5 INVITE\n\n",
        Accept,
    ),
    case(
        "UTF-8 in a display name and a reason",
        response!(
            "SIP/2.0 200 \u{437}\u{430}\u{43a}\u{43e}\u{43d}\u{447}\u{435}\u{43d}\u{43e}",
            "Subject: \u{17e}lu\u{165}\n\n"
        ),
        Accept,
    ),
    case(
        "an empty reason phrase",
        response!("SIP/2.0 180 ", "\n"),
        Accept,
    ),
    case(
        "a tel URI",
        request!(
            "INVITE tel:+1-201-555-0123;phone-context=example.com",
            "1 INVITE",
            "\n"
        ),
        Accept,
    ),
    case(
        "schemes unknown in From, To and Contact",
        "OPTIONS sip:b@example.org SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <http://example.net/ann>;tag=1\nTo: urn:service:sos\nContact: <fax:123>\nCall-ID: 1\nCSeq: 1 OPTIONS\n\n",
        Accept,
    ),
    case(
        "an IPv6 reference with three colons",
        request!("OPTIONS sip:b@[2001:db8:::192.0.2.1]", "1 OPTIONS", "\n"),
        Accept,
    ),
    case(
        "an IPv6 address with what may be a port in it",
        request!("OPTIONS sip:[2001:db8::7:5070]", "1 OPTIONS", "\n"),
        Accept,
    ),
    case(
        "a body that may be ignored",
        request!(
            "INVITE sip:b@example.org",
            "1 INVITE",
            "Content-Type: image/png\nContent-Disposition: icon;handling=optional\nl: 3\n\nabc"
        ),
        Accept,
    ),
    case(
        "a BYE with a strange body",
        request!(
            "BYE sip:b@example.org",
            "1 BYE",
            "Content-Type: text/x-stats\nl: 3\n\nabc"
        ),
        Accept,
    ),
    case(
        "an ACK that requires something",
        request!("ACK sip:b@example.org", "1 ACK", "Require: nothing\n\n"),
        Accept,
    ),
    case(
        "Contact: *",
        request!(
            "REGISTER sip:example.org",
            "1 REGISTER",
            "Contact: *\nExpires: 0\n\n"
        ),
        Accept,
    ),
    case(
        "separators without parameters",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Via: SIP/2.0/UDP h;;,;,,\n\n"
        ),
        Reject(400),
    ),
    case(
        "a body cut off",
        request!(
            "INVITE sip:b@example.org",
            "1 INVITE",
            "Content-Type: application/sdp\nContent-Length: 4000\n\nv=0\n"
        ),
        Reject(400),
    ),
    case(
        "a body one byte short that ends within a line",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Content-Type: text/plain\nContent-Length: 12\n\nhello world"
        ),
        Reject(400),
    ),
    case(
        "a negative Content-Length",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Content-Length: -1\n\n"
        ),
        Reject(400),
    ),
    case(
        "a Content-Length beyond every number",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "l: 99999999999999999999999999\n\n"
        ),
        Reject(400),
    ),
    case(
        "two Content-Lengths",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "l: 0\nContent-Length: 0\n\n"
        ),
        Reject(400),
    ),
    case(
        "a CSeq of 2^31",
        request!("OPTIONS sip:b@example.org", "2147483648 OPTIONS", "\n"),
        Reject(400),
    ),
    case(
        "a CSeq of another method",
        request!("OPTIONS sip:b@example.org", "1 INVITE", "\n"),
        Reject(400),
    ),
    case(
        "Max-Forwards beyond 255",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Max-Forwards: 256\n\n"
        ),
        Reject(400),
    ),
    case(
        "a display name whose quote stays open",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Contact: \"Bob <sip:b@example.org>\n\n"
        ),
        Reject(400),
    ),
    case(
        "a comma in a bare display name",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "m: Bob, Jr <sip:b@example.org>\n\n"
        ),
        Reject(400),
    ),
    case(
        "space inside <>",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "m: <sip:b@example.org >\n\n"
        ),
        Reject(400),
    ),
    case(
        "a question mark outside <>",
        request!(
            "REGISTER sip:example.org",
            "1 REGISTER",
            "m: sip:b@example.org?Subject=x\n\n"
        ),
        Reject(400),
    ),
    case(
        "<> around the Request-URI",
        request!("OPTIONS <sip:b@example.org>", "1 OPTIONS", "\n"),
        Reject(400),
    ),
    case(
        "space in the Request-URI",
        request!("OPTIONS sip:b@example.org; lr", "1 OPTIONS", "\n"),
        Reject(400),
    ),
    case(
        "headers in the Request-URI",
        request!(
            "INVITE sip:b@example.org?Route=%3Csip:x%3E",
            "1 INVITE",
            "\n"
        ),
        Reject(400),
    ),
    case(
        "an IPv6 address without brackets",
        request!("OPTIONS sip:2001:db8::7", "1 OPTIONS", "\n"),
        Reject(400),
    ),
    case(
        "a port beyond 65535",
        request!("OPTIONS sip:b@example.org:65536", "1 OPTIONS", "\n"),
        Reject(400),
    ),
    case(
        "two Tos",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "t: sip:c@example.org\n\n"
        ),
        Reject(400),
    ),
    case(
        "no From, To and Call-ID",
        "OPTIONS sip:b@example.org SIP/2.0\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nCSeq: 1 OPTIONS\n\n",
        Reject(400),
    ),
    case(
        "no empty line",
        request!("OPTIONS sip:b@example.org", "1 OPTIONS", "l: 0\n"),
        Reject(400),
    ),
    case(
        "a header without a colon",
        request!("OPTIONS sip:b@example.org", "1 OPTIONS", "nonsense\n\n"),
        Reject(400),
    ),
    case(
        "a CR within a line",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Subject: a\rEvil: b\n\n"
        ),
        Reject(400),
    ),
    case(
        "another version",
        "OPTIONS sip:b@example.org SIP/3.0\nVia: SIP/3.0/UDP h;branch=z9hG4bK1\nFrom: a\nCSeq: 1 OPTIONS\n\n",
        Reject(505),
    ),
    case(
        "an unknown scheme",
        request!("OPTIONS warp.drive://192.0.2.1:99", "1 OPTIONS", "\n"),
        Reject(416),
    ),
    case(
        "no hops left",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Max-Forwards: 0\n\n"
        ),
        Reject(483),
    ),
    case(
        "an extension nobody has",
        request!(
            "OPTIONS sip:b@example.org",
            "1 OPTIONS",
            "Require: warp\nProxy-Require: weft\n\n"
        ),
        Reject(420),
    ),
    case(
        "an unknown body",
        request!(
            "INVITE sip:b@example.org",
            "1 INVITE",
            "c: application/x-call\nl: 3\n\nabc"
        ),
        Reject(415),
    ),
    case(
        "a compressed body",
        request!(
            "INVITE sip:b@example.org",
            "1 INVITE",
            "c: application/sdp\ne: gzip\nl: 3\n\nabc"
        ),
        Reject(415),
    ),
    case(
        "a caller who cannot read SDP",
        request!(
            "INVITE sip:b@example.org",
            "1 INVITE",
            "Accept: text/*, image/png;q=0.2\n\n"
        ),
        Reject(406),
    ),
    case(
        "credentials of an unknown kind",
        request!(
            "REGISTER sip:example.org",
            "1 REGISTER",
            "Authorization: Handshake secret=1\n\n"
        ),
        Reject(403),
    ),
    case(
        "a response by another way",
        response!(
            "SIP/2.0 200 OK",
            "Via: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bKx\n\n"
        ),
        Drop,
    ),
    case(
        "a status code beyond 699",
        response!("SIP/2.0 4294967496 huge", "\n"),
        Drop,
    ),
    case(
        "a status code of 700",
        response!("SIP/2.0 700 What", "\n"),
        Drop,
    ),
    case(
        "a response whose CSeq is no number",
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>;tag=2\nCall-ID: 1\nCSeq: x OPTIONS\n\n",
        Drop,
    ),
    case(
        "a broken ACK",
        request!("ACK sip:b@example.org", "1 INVITE", "\n"),
        Drop,
    ),
    case(
        "a request without a Via",
        "OPTIONS sip:b@example.org SIP/2.0\nFrom: <sip:a@b>;tag=1\nTo: <sip:c@d>\nCall-ID: 1\nCSeq: 1 OPTIONS\n\n",
        Drop,
    ),
    case("a keep-alive", "\n\n", Drop),
    case("nothing", "", Drop),
    case("HTTP", "GET / HTTP/1.1\nHost: example.org\n\n", Drop),
];

/// A small generator with a fixed seed (SplitMix64): the same sequence on every machine.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}
