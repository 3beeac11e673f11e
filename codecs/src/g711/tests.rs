use super::*;

/// ITU-T G.711 tables 1a and 2a as formulas: the quantised magnitude of a mu-law octet at 14 bits, of an A-law octet
/// at 13 bits, brought to 16.
fn by_definition(law: Law, octet: u8) -> i32 {
    match law {
        Law::Mu => {
            let code = i32::from(!octet & 0x7f);
            let magnitude = ((2 * (code & 0x0f) + 33) << (code >> 4)) - 33;
            4 * if octet & 0x80 == 0 {
                -magnitude
            } else {
                magnitude
            }
        }
        Law::A => {
            let code = i32::from((octet ^ 0x55) & 0x7f);
            let magnitude = match code >> 4 {
                0 => 2 * (code & 0x0f) + 1,
                segment => (2 * (code & 0x0f) + 33) << (segment - 1),
            };
            8 * if (octet ^ 0x55) & 0x80 == 0 {
                -magnitude
            } else {
                magnitude
            }
        }
    }
}

#[test]
fn every_octet_decodes_to_the_value_of_the_recommendation() {
    for law in [Law::Mu, Law::A] {
        for octet in 0..=255 {
            assert_eq!(
                i32::from(decode(law, octet)),
                by_definition(law, octet),
                "{law:?} {octet:#x}"
            );
        }
    }
}

/// How far apart the values around an octet's are, in 16-bit samples: 8 and 16, doubled for each segment.
fn step(law: Law, octet: u8) -> i32 {
    match law {
        Law::Mu => 8 << (!octet >> 4 & 7),
        Law::A => 16 << (((octet ^ 0x55) >> 4 & 7).max(1) - 1),
    }
}

#[test]
fn every_sample_encodes_to_an_octet_within_half_a_step() {
    for (law, largest) in [(Law::Mu, 32_124 + 512), (Law::A, 32_767)] {
        let mut last = i32::MIN;
        for sample in i16::MIN..=i16::MAX {
            let octet = encode(law, sample);
            let value = by_definition(law, octet);
            // The laws see the upper 14 and 13 bits: what is below may tip a tie. What is too loud is clipped.
            let error = (value - i32::from(sample).clamp(-largest, largest)).abs();
            assert!(
                error <= step(law, octet) / 2 + 4,
                "{law:?} {sample}: {value}"
            );
            assert!(value >= last, "{law:?} {sample}: louder is never quieter");
            last = value;
        }
    }
}

#[test]
fn known_octets_of_the_recommendation() {
    for (law, sample, octet) in [
        (Law::Mu, 0, 0xff),
        (Law::Mu, -1, 0x7f),
        (Law::Mu, i16::MAX, 0x80),
        (Law::Mu, i16::MIN, 0x00),
        (Law::A, 0, 0xd5),
        (Law::A, -1, 0x55),
        (Law::A, i16::MAX, 0xaa),
        (Law::A, i16::MIN, 0x2a),
    ] {
        assert_eq!(encode(law, sample), octet, "{law:?} {sample}");
    }
    assert_eq!(
        (encode(Law::Mu, 0), encode(Law::A, 0)),
        (Law::Mu.silence(), Law::A.silence())
    );
}

#[test]
fn an_octet_survives_the_way_through_linear() {
    for law in [Law::Mu, Law::A] {
        for octet in 0..=255 {
            let again = encode(law, decode(law, octet));
            // mu-law has two zeros, linear has one.
            let zero = law == Law::Mu && octet == 0x7f;
            assert_eq!(again, if zero { 0xff } else { octet }, "{law:?}");
        }
    }
}

#[test]
fn slices_are_treated_as_their_elements_up_to_the_shorter_one() {
    let octets: Vec<u8> = (0..=255).collect();
    for law in [Law::Mu, Law::A] {
        let mut samples = [1; 300];
        decode_into(law, &octets, &mut samples);
        assert!(
            octets
                .iter()
                .zip(&samples)
                .all(|(octet, sample)| decode(law, *octet) == *sample)
        );
        assert_eq!(samples[256..], [1; 44]);
        let mut again = [9; 100];
        encode_into(law, &samples, &mut again);
        assert!(
            again
                .iter()
                .zip(&samples)
                .all(|(octet, sample)| encode(law, *sample) == *octet)
        );
    }
}

#[test]
fn one_law_becomes_the_other_by_way_of_linear_and_itself_by_copying() {
    let octets: Vec<u8> = (0..=255).collect();
    for from in [Law::Mu, Law::A] {
        for to in [Law::Mu, Law::A] {
            let mut out = [0; 256];
            transcode(from, to, &octets, &mut out);
            for (octet, other) in octets.iter().zip(out) {
                let expected = if from == to {
                    *octet
                } else {
                    encode(to, decode(from, *octet))
                };
                assert_eq!(other, expected, "{from:?} {to:?} {octet}");
            }
        }
    }
}
