//! Who is believed: RFC 8489 §9.2.

use super::*;
use crate::{
    Credentials, PasswordAlgorithm, Secret,
    message::{Algorithm, Writer},
};

fn number(w: &mut Writer<'_>) {
    w.number(kind::LIFETIME, 600);
}

#[test]
fn every_algorithm_and_kind_of_user_comes_in() {
    let algorithms = [
        None,
        Some(PasswordAlgorithm::Md5),
        Some(PasswordAlgorithm::Sha256),
    ];
    let fixed = Credentials {
        username: "pbx".into(),
        password: "south".into(),
    };
    let mut bench = Bench::own();
    let mut host = 0;
    for chosen in algorithms {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256] {
            for credentials in [None, Some(fixed.clone())] {
                host += 1;
                let mut client = TestClient::new(host, "alice");
                client.credentials = credentials.unwrap_or(client.credentials);
                // 36 bytes, as pion's: enough for PASSWORD-ALGORITHMS.
                client.fingerprint = true;
                client.algorithm = algorithm;
                client.password_algorithm = chosen;
                let answer = bench.allocate(&mut client);
                assert_eq!(answer.code(), 0, "{chosen:?} {algorithm:?}");
                assert!(client.offered.is_some());
                assert!(answer.value(algorithm.attribute()).is_some());
                assert!(answer.value(kind::FINGERPRINT).is_some());
            }
        }
    }
    assert_eq!(bench.server.allocations(), 12);
    assert_eq!(bench.server.statistics().refused_credentials, 0);
}

#[test]
fn forged_expired_and_foreign_credentials_are_401() {
    let mut bench = Bench::own();
    let limited =
        |secret: &str, user: &str, end| Credentials::time_limited(&Secret::new(secret), user, end);
    let forged = |username: &str, password: &str| Credentials {
        username: username.into(),
        password: password.into(),
    };
    let real = limited("north", "alice", UNIX + 600);
    let cases = [
        limited("west", "alice", UNIX + 600),
        limited("north", "alice", UNIX),
        limited("north", "", UNIX + 600),
        // Another's password, an end put off, none at all.
        forged("1800000600:bob", &real.password),
        forged("1800000601:alice", &real.password),
        forged("1800000600:alice", ""),
        forged("pbx", "north"),
        forged("nobody", "south"),
        forged("", ""),
    ];
    for credentials in cases {
        let mut client = bench.challenged(1);
        client.credentials = credentials;
        assert_eq!(
            bench.allocate(&mut client).code(),
            401,
            "{:?}",
            client.credentials
        );
        bench.pass(1);
        // The clock of credentials stays where the cases have it.
        bench.now.unix = UNIX;
    }
    let mut client = bench.challenged(1);
    client.credentials = real;
    client.realm = Some("elsewhere".into());
    assert_eq!(bench.allocate(&mut client).code(), 401);
    assert_eq!(bench.server.statistics().refused_credentials, 10);
    bench.assert_empty();
}

#[test]
fn a_call_may_last_longer_than_the_credentials_that_began_it() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    bench.allocate(&mut client);
    for _ in 0..5 {
        bench.pass(590);
        assert_eq!(bench.refresh(&mut client, 600).code(), 0);
        assert_eq!(bench.permit(&mut client, &[MEDIA]), 0);
    }
    // It begins nothing new.
    let mut other = TestClient::new(2, "alice");
    assert_eq!(bench.allocate(&mut other).code(), 401);
    // And its password is still looked at.
    client.credentials.password.push('x');
    assert_eq!(bench.refresh(&mut client, 600).code(), 401);
}

#[test]
fn a_secret_is_replaced_without_ending_calls_of_the_last_one() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    bench.allocate(&mut client);
    let secrets = |all: &[&str]| Users {
        secrets: all.iter().map(|secret| Secret::new(*secret)).collect(),
        ..Users::default()
    };
    bench.server.set_users(secrets(&["new", "north"]));
    assert_eq!(bench.refresh(&mut client, 600).code(), 0);
    let mut next = TestClient::new(2, "alice");
    next.credentials = Credentials::time_limited(&Secret::new("new"), "alice", UNIX + 600);
    assert_eq!(bench.allocate(&mut next).code(), 0);
    bench.server.set_users(secrets(&["new"]));
    assert_eq!(bench.refresh(&mut client, 600).code(), 401);
}

#[test]
fn a_nonce_from_another_source_or_time_is_438_and_a_new_one_comes_with_it() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    client.credentials = Credentials::time_limited(&secret(), "alice", UNIX + 99_999);
    bench.allocate(&mut client);

    let mut elsewhere = client.clone();
    elsewhere.at.address.set_port(4001);
    let request = elsewhere.request(Method::Allocate, udp);
    let answer = bench.send(&elsewhere, &request).unwrap();
    assert_eq!(answer.code(), 438);
    assert_eq!(answer.value(kind::REALM), Some(REALM.as_bytes()));
    assert_ne!(answer.value(kind::NONCE), Some(&client.nonce[..]));
    assert_eq!(answer.value(kind::MESSAGE_INTEGRITY), None);
    assert_eq!(bench.allocate(&mut elsewhere).code(), 0);

    let stale = client.nonce.clone();
    for _ in 0..8 {
        bench.pass(500);
        assert_eq!(bench.refresh(&mut client, 600).code(), 0);
    }
    assert_ne!(client.nonce, stale, "it was replaced after an hour");
    client.nonce = stale;
    let request = client.request(Method::Refresh, number);
    assert_eq!(bench.send(&client, &request).unwrap().code(), 438);
}

#[test]
fn what_was_offered_must_come_back_as_it_was() {
    let mut bench = Bench::own();
    let mut client = TestClient::new(1, "alice");
    client.fingerprint = true;
    client.password_algorithm = Some(PasswordAlgorithm::Sha256);
    let request = client.request(Method::Allocate, udp);
    let challenge = bench.send(&client, &request).unwrap();
    client.challenged(&challenge);
    let good = client.clone();

    // Somebody on the way has left only MD5 in the challenge.
    client.offered = Some(vec![0, 1, 0, 0]);
    client.password_algorithm = Some(PasswordAlgorithm::Md5);
    assert_eq!(bench.allocate(&mut client).code(), 400);
    // Or has taken the cookie off the nonce, or put it on.
    client = good.clone();
    client.nonce.drain(..13);
    let request = client.request(Method::Allocate, udp);
    assert_eq!(bench.send(&client, &request).unwrap().code(), 438);
    // One of the two is missing, or chooses what was not offered.
    let pieces: [fn(&mut Writer<'_>); 3] = [
        |w| w.attribute(kind::PASSWORD_ALGORITHM, &[0, 2, 0, 0]),
        |w| w.attribute(kind::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]),
        |w| {
            w.attribute(kind::PASSWORD_ALGORITHMS, &[0, 2, 0, 0, 0, 1, 0, 0]);
            w.attribute(kind::PASSWORD_ALGORITHM, &[0, 3, 0, 0]);
        },
    ];
    for piece in pieces {
        client = good.clone();
        client.password_algorithm = None;
        let answer = bench.ask(&mut client, Method::Allocate, |w| {
            udp(w);
            piece(w);
        });
        assert_eq!(answer.code(), 400);
    }
    // A challenge that offered nothing gets nothing back.
    client = bench.challenged(2);
    assert_eq!(client.nonce.len(), 16);
    client.offered = Some(vec![0, 2, 0, 0, 0, 1, 0, 0]);
    client.password_algorithm = Some(PasswordAlgorithm::Sha256);
    assert_eq!(bench.allocate(&mut client).code(), 400);
    client = good;
    assert_eq!(bench.allocate(&mut client).code(), 0);
}

#[test]
fn a_proof_without_name_realm_or_nonce_is_400_and_a_weaker_one_beside_does_not_help() {
    let mut bench = Bench::own();
    let client = bench.challenged(1);
    let key = client.key();
    let name = client.credentials.username.clone();
    let mut code = |parts: &[(u16, &[u8])], algorithms: &[(Algorithm, bool)]| {
        let mut out = [0; 500];
        let mut w = Writer::new(&mut out, Class::Request, Method::Allocate, [1; 12]);
        udp(&mut w);
        parts
            .iter()
            .for_each(|(kind, value)| w.attribute(*kind, value));
        for (algorithm, right) in algorithms {
            match right {
                true => w.integrity(&key, *algorithm),
                false => w.attribute(algorithm.attribute(), &vec![1; algorithm.size()]),
            }
        }
        let len = w.finish().unwrap();
        bench.pass(1);
        bench.send(&client, &out[..len]).unwrap().code()
    };
    let parts: [(u16, &[u8]); 3] = [
        (kind::USERNAME, name.as_bytes()),
        (kind::REALM, REALM.as_bytes()),
        (kind::NONCE, &client.nonce),
    ];
    let sha1 = (Algorithm::Sha1, true);
    for missing in 0..3 {
        let mut some = parts.to_vec();
        some.remove(missing);
        assert_eq!(code(&some, &[sha1]), 400);
    }
    let elsewhere: (u16, &[u8]) = (kind::REALM, b"elsewhere");
    assert_eq!(code(&[parts[0], elsewhere, parts[2]], &[sha1]), 401);
    let hash: (u16, &[u8]) = (kind::USERHASH, &[7; 32]);
    assert_eq!(code(&[hash, parts[1], parts[2]], &[sha1]), 401);
    assert_eq!(code(&parts, &[]), 401);
    assert_eq!(code(&parts, &[sha1, (Algorithm::Sha256, false)]), 401);
    assert_eq!(
        code(
            &parts,
            &[(Algorithm::Sha1, false), (Algorithm::Sha256, true)]
        ),
        0
    );
}

#[test]
fn a_truncated_integrity_does_not_hold() {
    let mut bench = Bench::own();
    let mut client = bench.challenged(1);
    client.algorithm = Algorithm::Sha256;
    let mut request = client.request(Method::Allocate, udp);
    // Sixteen of thirty-two bytes, and the lengths to go with it.
    request.truncate(request.len() - 16);
    let len = request.len();
    request[len - 17] = 16;
    request[3] -= 16;
    assert_eq!(bench.send(&client, &request).unwrap().code(), 401);
}
