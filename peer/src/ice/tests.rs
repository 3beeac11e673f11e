use super::*;

#[test]
fn credentials_from_randomness_are_ice_chars_of_good_length() {
    let mut random = [0; 32];
    for (i, byte) in random.iter_mut().enumerate() {
        *byte = (i * 37) as u8;
    }
    let made = IceCredentials::from_random(&random);
    assert_eq!((made.ufrag.len(), made.pwd.len()), (8, 32));
    assert_eq!(made.validate(), Ok(()));
    // Base 64 by another hand: `printf '\x00\x25\x4a\x6f\x94\xb9' | base64`.
    assert_eq!(made.ufrag, "ACVKb5S5");
    random[0] ^= 1;
    assert_ne!(IceCredentials::from_random(&random).ufrag, made.ufrag);
}

#[test]
fn credentials_outside_the_grammar_are_refused() {
    let with = |ufrag: &str, pwd: &str| {
        let (ufrag, pwd) = (ufrag.to_owned(), pwd.to_owned());
        IceCredentials { ufrag, pwd }.validate()
    };
    let pwd = "a".repeat(22);
    assert_eq!(with("abc+", &pwd), Ok(()));
    assert_eq!(with("abc", &pwd), Err(InvalidCredentials::Ufrag));
    assert_eq!(with("ab:cd", &pwd), Err(InvalidCredentials::Ufrag));
    assert_eq!(with(&"a".repeat(257), &pwd), Err(InvalidCredentials::Ufrag));
    assert_eq!(with("abcd", &pwd[1..]), Err(InvalidCredentials::Pwd));
    assert_eq!(
        with("abcd", &pwd.replace('a', "é")),
        Err(InvalidCredentials::Pwd)
    );
}

#[test]
fn a_password_is_not_shown() {
    let shown = format!("{:?}", IceCredentials::from_random(&[3; 32]));
    assert_eq!(shown, "IceCredentials(AwMDAwMD, ..)");
}
