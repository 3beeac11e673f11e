//! Writes the seeds of the corpus, from the messages and descriptions of our own tests and from small scenes:
//! `cargo +nightly run --no-default-features --example seeds`, in this folder.

use std::{fs, path::Path};

#[path = "../../sip/tests/common/mod.rs"]
#[allow(unused, unreachable_pub)]
mod messages;

fn main() -> std::io::Result<()> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus");
    sip(&corpus)?;
    descriptions(&corpus)?;
    write(&corpus, "endpoint", &endpoint())?;
    write(&corpus, "stun", &stun())?;
    write(&corpus, "turn_message", &turn_message())?;
    write(&corpus, "turn_stream", &turn_stream())?;
    write(&corpus, "turn_server", &turn_server())?;
    write(&corpus, "rtp", &rtp())?;
    write(&corpus, "rtcp", &rtcp())?;
    write(&corpus, "signaling", &signaling())
}

/// Files `seed-00`, `seed-01`, ... of a target.
fn write(corpus: &Path, target: &str, seeds: &[Vec<u8>]) -> std::io::Result<()> {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder)?;
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:02}")), seed)?;
    }
    Ok(())
}

fn sip(corpus: &Path) -> std::io::Result<()> {
    let all: Vec<_> = messages::CASES.iter().map(messages::Case::bytes).collect();
    let mut some: Vec<_> = all
        .iter()
        .filter(|bytes| bytes.len() > 20)
        .step_by(2)
        .cloned()
        .collect();
    some.truncate(36);
    write(corpus, "sip_message", &some)?;
    // Three messages a stream, cut in different ways, with pings between.
    let streams: Vec<_> = all
        .chunks(6)
        .zip([1_u8, 3, 10, 60, 255].into_iter().cycle())
        .map(|(chunk, size)| {
            let mut stream = vec![1, size, size, 7, 255, size, 40, 2];
            for bytes in chunk.iter().take(3) {
                stream.extend_from_slice(&with_length(bytes));
                stream.extend_from_slice(b"\r\n\r\n");
            }
            stream
        })
        .collect();
    write(corpus, "sip_stream", &streams)
}

/// The message with a Content-Length, if it has none: a stream cannot do without.
fn with_length(bytes: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(bytes);
    let lower = text.to_ascii_lowercase();
    match text.split_once("\r\n\r\n") {
        Some((head, body)) if !lower.contains("content-length") && !lower.contains("\r\nl:") => {
            format!("{head}\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
        }
        _ => bytes.to_vec(),
    }
}

fn descriptions(corpus: &Path) -> std::io::Result<()> {
    let testdata = Path::new(env!("CARGO_MANIFEST_DIR")).join("../sdp/testdata");
    let mut seeds = Vec::new();
    for folder in ["browser", "sip"] {
        let mut paths: Vec<_> = fs::read_dir(testdata.join(folder))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        paths.sort();
        for (number, path) in paths.iter().enumerate() {
            let mut seed = vec![(number * 37) as u8];
            seed.extend_from_slice(&fs::read(path)?);
            if seed.len() < 3000 {
                seeds.push(seed);
            }
        }
    }
    write(corpus, "sdp", &seeds)
}

fn endpoint() -> Vec<Vec<u8>> {
    let called = [1, 0, 16, 4, 0, 11, 2, 0, 9, 2, 0, 1, 3, 2, 8, 0];
    vec![
        // Called, accepted, time, ACK, BYE.
        [&called[..], &[1, 5, 2, 13, 0]].concat(),
        // Called, rung, cancelled.
        vec![1, 0, 16, 4, 0, 11, 0, 0, 9, 0, 200, 1, 6, 0, 4, 0],
        // Called, refused.
        vec![1, 0, 0, 4, 0, 11, 5, 0, 9, 255, 255],
        // Calling: 100, 180, 200, time, our BYE, its 200.
        vec![10, 60, 6, 0, 0, 0, 6, 0, 1, 0, 6, 0, 3, 64, 9, 1, 0, 11, 7, 0, 6, 0, 3, 0],
        // Calling: a fork of two 200s.
        vec![10, 60, 6, 0, 1, 0, 6, 0, 1, 2, 6, 0, 3, 64, 6, 1, 3, 66, 9, 255, 255],
        // Calling and giving up, with a crossing 200.
        vec![10, 60, 6, 0, 0, 0, 11, 6, 0, 6, 1, 3, 64, 9, 255, 255, 9, 255, 255],
        // Calling with a large offer: TCP, refused, then UDP; nobody answers.
        vec![10, 62, 14, 0, 1, 14, 0, 0, 9, 255, 255, 9, 255, 255],
        // Busy, redirected, unavailable.
        vec![10, 60, 6, 0, 10, 0, 10, 60, 6, 0, 6, 0, 10, 60, 6, 0, 11, 0, 9, 100, 0],
        // Not accepting; OPTIONS; an unknown method; raw bytes.
        b"\x0f\x01\x01\x00\x10\x04\x00\x01\x07\x00\x08\x00\x01\x09\x00\x0c\x00\x00\x00\x00\x18OPTIONS sip:a@b SIP/2.0\r\n".to_vec(),
    ]
}

/// Framing and size of pieces, then a stream: requests with and without attributes, ChannelData, packets with lengths.
fn stun_message(kind: u16, attributes: &[&[u8]]) -> Vec<u8> {
    let attributes = attributes.concat();
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend((attributes.len() as u16).to_be_bytes());
    bytes.extend([
        0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ]);
    bytes.extend(attributes);
    bytes
}

const TRANSPORT: &[u8] = &[0, 0x19, 0, 4, 17, 0, 0, 0];
const PEER: &[u8] = &[0, 0x12, 0, 8, 0, 1, 0x32, 0x9a, 0xe9, 0x12, 0xd5, 0x45];
const DATA: &[u8] = &[0, 0x13, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
const FINGERPRINT: &[u8] = &[0x80, 0x28, 0, 4, 1, 2, 3, 4];

fn turn_message() -> Vec<Vec<u8>> {
    let integrity = [&[0, 8, 0, 20][..], &[7; 20]].concat();
    vec![
        stun_message(0x0001, &[]),
        stun_message(0x0003, &[TRANSPORT, FINGERPRINT]),
        stun_message(0x0003, &[TRANSPORT, &integrity, FINGERPRINT]),
        stun_message(0x0016, &[PEER, DATA]),
    ]
}

/// How it is framed, how it is cut, and the stream.
fn turn_stream() -> Vec<Vec<u8>> {
    let channel: &[u8] = &[0x40, 0, 0, 5, 1, 2, 3, 4, 5, 0, 0, 0];
    vec![
        [
            &[0, 5][..],
            &stun_message(0x0016, &[PEER, DATA]),
            channel,
            &stun_message(0x0001, &[]),
        ]
        .concat(),
        [&[1, 2][..], &[0, 4, 1, 2, 3, 4, 0, 0, 0, 1, 9]].concat(),
    ]
}

/// The relay's kind, then steps: an allocation after its challenge, a channel or permission, data, time, the end.
fn turn_server() -> Vec<Vec<u8>> {
    let allocate: &[u8] = &[3, 0, 8, 3, 0, 8];
    let (refresh, permit, bind): (&[u8], &[u8], &[u8]) = (&[3, 1, 8], &[3, 2, 8], &[3, 3, 8]);
    let (send, channel, arrive): (&[u8], &[u8], &[u8]) =
        (&[10, 2, 1, 2], &[0x8b, 2, 1, 2], &[13, 0, 5]);
    let (time, end): (&[u8], &[u8]) = (&[0, 255, 255], &[3, 1, 72, 0, 4, 0, 0, 0, 0]);
    let (again, closed): (&[u8], &[u8]) = (&[0x33, 0, 0], &[2]);
    vec![
        [&[0][..], allocate, bind, channel, arrive, send, time, end].concat(),
        [
            &[0][..],
            allocate,
            permit,
            send,
            arrive,
            time,
            refresh,
            closed,
        ]
        .concat(),
        [
            &[1][..],
            allocate,
            again,
            again,
            bind,
            channel,
            time,
            time,
            send,
        ]
        .concat(),
    ]
}

fn stun() -> Vec<Vec<u8>> {
    let priority: &[u8] = &[0, 0x24, 0, 4, 0, 0, 3, 232];
    let use_candidate: &[u8] = &[0, 0x25, 0, 0];
    let controlling: &[u8] = &[0x80, 0x2a, 0, 8, 7, 7, 7, 7, 7, 7, 7, 7];
    let controlled: &[u8] = &[0x80, 0x29, 0, 8, 7, 7, 7, 7, 7, 7, 7, 7];
    let unknown: &[u8] = &[0x71, 0x23, 0, 3, 1, 2, 3, 0];
    let hello: &[u8] = &[
        22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 12, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
    ];
    let bare: &[u8] = &[
        0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
    ];
    let media: &[u8] = &[
        0x80, 111, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
    ];
    let record = |op: u8, parts: &[&[u8]]| {
        let piece = parts.concat();
        let mut record = vec![op, piece.len().div_ceil(2) as u8];
        record.extend_from_slice(&piece);
        record.resize(2 + piece.len().next_multiple_of(2), 0);
        record
    };
    let check = record(2, &[priority, use_candidate, controlling]);
    let time = [0, 0, 255, 255];
    vec![
        [
            &[0][..],
            &check,
            &record(18, &[priority, controlling]),
            &time,
        ]
        .concat(),
        [
            &[0][..],
            &record(2, &[priority, controlled]),
            &record(10, &[priority, unknown]),
        ]
        .concat(),
        [
            &[0][..],
            &check,
            &record(5, &[hello]),
            &time,
            &record(5, &[media]),
        ]
        .concat(),
        [
            &[0][..],
            &check,
            &[17, 0],
            &check,
            &record(34, &[use_candidate]),
        ]
        .concat(),
        [
            &[0][..],
            &record(5, &[bare]),
            &record(6, &[bare, priority]),
            &record(7, &[media]),
        ]
        .concat(),
        [
            &[255, 0][..],
            &[1, 26],
            media,
            &[3, 26],
            media,
            &[0, 26],
            media,
        ]
        .concat(),
        [
            &[255, 1][..],
            &[1, 26],
            media,
            &[3, 26],
            media,
            &[2, 26],
            media,
        ]
        .concat(),
    ]
}

fn rtp() -> Vec<Vec<u8>> {
    // The op's number in bits 1 to 4, the leg in bit 0, a length in bits 5 to 7.
    let op = |number: u8, leg: u8, len: u8| number << 1 | leg | len << 5;
    let audio = |leg: u8, kind: u8| vec![op(13, leg, 0), kind, 0b0000_0101];
    let pause = vec![op(2, 0, 0), 20];
    let speech = |kinds: [u8; 2]| {
        let mut scene = Vec::new();
        for _ in 0..5 {
            scene.extend([audio(0, kinds[0]), audio(1, kinds[1]), pause.clone()].concat());
        }
        scene
    };
    // A key: event 5, volume 10, growing longer; then its end, three times.
    let mut keys = Vec::new();
    for payload in [
        [5, 10, 0, 160],
        [5, 10, 1, 64],
        [5, 138, 1, 224],
        [5, 138, 1, 224],
    ] {
        keys.extend(
            [
                vec![op(11, 1, 0), 3],
                payload.to_vec(),
                vec![1],
                pause.clone(),
            ]
            .concat(),
        );
    }
    let opus = [op(8, 0, 3), 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 5];
    let raw: &[u8] = &[
        op(0, 1, 0),
        4,
        0xb0,
        0,
        0,
        1,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        1,
        0xbe,
        0xde,
        0,
        1,
        1,
        2,
        3,
        4,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        0,
        4,
    ];
    vec![
        [&[1, 1][..], &speech([1, 1])].concat(),
        [&[1, 2][..], &speech([1, 2])].concat(),
        [&[0, 1][..], &speech([0, 1]), &keys].concat(),
        [
            &[0, 4][..],
            &opus,
            &pause,
            &opus,
            &[op(3, 0, 0), 0, 1],
            &opus,
        ]
        .concat(),
        [
            &[9, 17][..],
            &speech([0, 1]),
            &[op(4, 1, 0), 2],
            &speech([0, 2]),
        ]
        .concat(),
        [
            &[0, 1][..],
            &[op(5, 1, 0), 7, 10],
            &pause,
            &pause,
            &speech([0, 1]),
        ]
        .concat(),
        [&[1, 1][..], raw, &pause, raw].concat(),
        [
            &[1, 255][..],
            &speech([1, 1]),
            &[op(4, 1, 0), 1],
            &[op(6, 1, 4)],
        ]
        .concat(),
    ]
}

fn rtcp() -> Vec<Vec<u8>> {
    let raw: &[u8] = &[
        0x80, 201, 0, 1, 0, 0, 0, 1, 0x81, 202, 0, 3, 0, 0, 0, 1, 1, 3, 97, 98, 99, 0, 0, 0, 0x81,
        203, 0, 1, 0, 0, 0, 1,
    ];
    let block = [
        26, 0, 0, 9, 0, 0, 255, 255, 0, 0, 0, 50, 0, 1, 2, 3, 0, 0, 128, 0,
    ];
    let sender = [
        0, 0, 0, 5, 128, 0, 0, 0, 0, 0, 1, 64, 0, 0, 0, 9, 0, 0, 5, 0,
    ];
    vec![
        [&[1, 1, 0, 8][..], raw, &[2, 80, 0], &[1, 8], raw].concat(),
        [&[0, 1, 4][..], &block, &[2, 80, 0], &[5], &block].concat(),
        [
            &[0, 1, 6][..],
            &sender,
            &block,
            &[2, 80, 0],
            &[7],
            &sender,
            &block,
            &[2, 90, 0],
        ]
        .concat(),
    ]
}

fn signaling() -> Vec<Vec<u8>> {
    let texts = [
        r#"{"type":"authenticate","token":"t"}"#,
        r#"{"type":"call","call":"c1","to":"echo","sdp":"v=0\r\n"}"#,
        r#"{"type":"candidate","call":"c1","candidate":"candidate:1 1 udp 1 a.local 9 typ host","mid":"0"}"#,
        r#"{"type":"end_of_candidates","call":"c1"}"#,
        r#"{"type":"offer","call":"c1","sdp":"v=0\r\n"}"#,
        r#"{"type":"dtmf","call":"c1","digits":"12*#","duration_ms":100}"#,
        r#"{"type":"dtmf","call":"c1","digits":"12x"}"#,
        r#"{"type":"hangup","call":"c-1_A"}"#,
        r#"{"type":"hangup","call":"not a name"}"#,
        r#"{"type":"fly","call":"c1"}"#,
        r#"{"type":"call","call":"c1","to":5,"sdp":["\ud83d\ude00",1e400,-0.0,null,true,{"a":{}}]}"#,
        r#"[{"type":"hangup"}]"#,
    ];
    texts.iter().map(|text| text.as_bytes().to_vec()).collect()
}
