//! `[trunk]` and `[trunks.NAME]`: where numbers lead; and `[dial_plan]`, how they are read.

use std::time::Duration;

use sip::digest::Credentials;

use super::assemble::{count, seconds};
use super::mistakes::Wrong;
use super::read::Reader;
use super::users::pattern;
use super::{
    CallerIdentity, Choice, Trunk, TrunkAccount, TrunkDtmf, TrunkSrtp, TrunkStir, presets, profile,
    value,
};
use crate::call::dial_plan::{DialPlan, NumberFormat};
use crate::call::route::is_number;

/// What the trunk of `[trunk]` is called.
const ONLY: &str = "trunk";

/// Every trunk that has a URI: that of `[trunk]`, then those of `[trunks.NAME]`, by name.
pub(super) fn read(reader: &mut Reader) -> Vec<Trunk> {
    let believes = reader.is_set("stir", "roots");
    let mut trunks: Vec<Trunk> = read_one(reader, ONLY, believes).into_iter().collect();
    for key in ["preset", "username", "outbound_proxy", "addresses"] {
        reader.needs("trunk", key, "uri");
    }
    for (name, table) in reader.take_tables("trunks") {
        let place = table.place.clone();
        let wrong = match name.as_str() {
            ONLY => Some("is what the trunk of [trunk] is called"),
            name if !is_number(name) => Some("is no name"),
            _ => None,
        };
        if let Some(problem) = wrong {
            let wrong = Wrong::new(problem, "write 1 to 64 letters, digits, . _ or -");
            reader.wrong_at(place.clone(), "trunks", &name, wrong);
        }
        let read = |reader: &mut Reader| {
            let trunk = read_one(reader, &name, believes);
            if trunk.is_none() && !reader.is_set("trunk", "uri") {
                let wrong = Wrong::new("is not set", "write uri = \"sip:...\"");
                reader.wrong_at(place, "trunk", "uri", wrong);
            }
            trunk
        };
        trunks.extend(reader.within("trunks", &name, "trunk", table, read));
    }
    trunks
}

/// When calls go by this trunk.
fn read_choice(reader: &mut Reader) -> Choice {
    let default = Choice::default();
    let formats = [
        ("as_dialled", NumberFormat::AsDialled),
        ("e164", NumberFormat::E164),
        ("digits", NumberFormat::Digits),
        ("national", NumberFormat::National),
    ];
    let number = value::number(0..=u16::MAX);
    let priority = reader.read("trunk", "priority", default.priority, number);
    let number = value::number(1..=u16::MAX);
    let weight = reader.read("trunk", "weight", default.weight, number);
    let limit = value::number(0..=100_000u32);
    let max_calls = reader.read("trunk", "max_calls", 0, limit);
    let limit = value::number(0..=100_000u32);
    let per_second = reader.read("trunk", "max_calls_per_second", 0, limit);
    let interval = value::duration(Duration::ZERO..=seconds(3600));
    let probe = reader.read("trunk", "probe_interval", Duration::ZERO, interval);
    if !probe.is_zero() && probe < seconds(5) {
        let wrong = Wrong::new("is too often", "write \"5s\" or more, or \"0s\" for never");
        reader.wrong("trunk", "probe_interval", wrong);
    }
    Choice {
        numbers: reader.read_list("trunk", "numbers", default.numbers, pattern),
        priority,
        weight,
        max_calls: (max_calls > 0).then_some(max_calls),
        max_calls_per_second: (per_second > 0).then_some(per_second),
        probe_interval: (!probe.is_zero()).then_some(probe),
        number_format: reader.read(
            "trunk",
            "number_format",
            default.number_format,
            value::one_of(formats),
        ),
        emergency: reader.read("trunk", "emergency", default.emergency, value::boolean),
    }
}

/// `[dial_plan]`
pub(super) fn read_dial_plan(reader: &mut Reader) -> DialPlan {
    let digits = |raw: &super::layers::Raw| {
        let text = value::text(raw)?;
        match text.len() <= 8 && text.bytes().all(|b| b.is_ascii_digit()) {
            true => Ok(text.to_owned()),
            false => Err(Wrong::new(
                format!("{text:?} are no digits"),
                "write up to 8 digits, like \"49\"",
            )),
        }
    };
    let default = DialPlan::default();
    let country_code = reader.read("dial_plan", "country_code", default.country_code, digits);
    let length = count(20);
    let national_length = reader.read("dial_plan", "national_length", 0, |raw| match raw {
        super::layers::Raw::Integer(0) => Ok(0),
        other => length(other),
    });
    if national_length > 0 {
        reader.needs("dial_plan", "national_length", "country_code");
    }
    DialPlan {
        international_prefix: reader.read(
            "dial_plan",
            "international_prefix",
            default.international_prefix,
            digits,
        ),
        national_prefix: reader.read(
            "dial_plan",
            "national_prefix",
            default.national_prefix,
            digits,
        ),
        national_length: (national_length > 0).then_some(national_length),
        emergency: reader.read_list("dial_plan", "emergency", default.emergency, digits),
        blocked: reader.read_list("dial_plan", "blocked", default.blocked, pattern),
        country_code,
    }
}

/// One trunk, in the section `trunk`. `believes` where anybody's signature may be right.
fn read_one(reader: &mut Reader, name: &str, believes: bool) -> Option<Trunk> {
    let preset = reader.read("trunk", "preset", Vec::new(), |raw| {
        match value::text(raw)? {
            "" => Ok(Vec::new()),
            name => presets::find(name),
        }
    });
    reader.fill_in("trunk", preset);
    let uri = reader.read("trunk", "uri", None, value::trunk_uri);
    let profile = profile::read(reader);
    let behind_nat = reader.read("trunk", "behind_nat", false, value::boolean);
    let ways = [
        ("auto", TrunkDtmf::Auto),
        ("rfc4733", TrunkDtmf::Rfc4733),
        ("info", TrunkDtmf::Info),
        ("inband", TrunkDtmf::Inband),
    ];
    let dtmf = reader.read("trunk", "dtmf", TrunkDtmf::Auto, value::one_of(ways));
    let protections = [
        ("off", TrunkSrtp::Off),
        ("opportunistic", TrunkSrtp::Opportunistic),
        ("sdes", TrunkSrtp::Sdes),
        ("dtls", TrunkSrtp::Dtls),
    ];
    let srtp = reader.read("trunk", "srtp", TrunkSrtp::Off, value::one_of(protections));
    let outbound_proxy = reader.read("trunk", "outbound_proxy", None, value::trunk_uri);
    let addresses = reader.read_list("trunk", "addresses", Vec::new(), value::network);
    let identities = [
        ("from", CallerIdentity::From),
        ("asserted", CallerIdentity::Asserted),
        ("preferred", CallerIdentity::Preferred),
    ];
    let identity = value::one_of(identities);
    let identity = reader.read("trunk", "identity", CallerIdentity::From, identity);
    let mut names = |key| reader.read_list("trunk", key, Vec::new(), value::free_header);
    let headers_from_browser = names("headers_from_browser");
    let headers_to_browser = names("headers_to_browser");
    let stir = read_stir(reader, believes);
    let transfers = reader.read("trunk", "transfers", true, value::boolean);
    let account = read_account(reader);
    let choice = read_choice(reader);
    let uri = uri?;
    if account.is_some() && uri.user.is_some() {
        let wrong = Wrong::new(
            "names a user, and so does username",
            "write the domain alone, like \"sip:carrier.example\"",
        );
        reader.wrong("trunk", "uri", wrong);
    }
    Some(Trunk {
        name: name.to_owned(),
        uri,
        profile,
        behind_nat,
        dtmf,
        srtp,
        account,
        outbound_proxy,
        addresses,
        identity,
        headers_from_browser,
        headers_to_browser,
        stir,
        transfers,
        choice,
        internal: None,
    })
}

/// Whether a trunk's calls have to be signed: nobody's signature is right where nobody is believed.
fn read_stir(reader: &mut Reader, believes: bool) -> TrunkStir {
    let ways = [
        ("off", TrunkStir::Off),
        ("verify", TrunkStir::Verify),
        ("require", TrunkStir::Require),
    ];
    let way = reader.read("trunk", "stir", TrunkStir::Off, value::one_of(ways));
    if way != TrunkStir::Off && !believes {
        let wrong = Wrong::new(
            "means nothing without the authorities whose certificates are believed",
            "set stir.roots",
        );
        reader.wrong("trunk", "stir", wrong);
    }
    way
}

/// `username`, and what has no meaning without it.
fn read_account(reader: &mut Reader) -> Option<TrunkAccount> {
    let username = reader.read("trunk", "username", None, |raw| {
        if value::text(raw)?.is_empty() {
            return Ok(None);
        }
        value::sip_user(raw).map(Some)
    });
    let written = reader.read("trunk", "password", None, value::password);
    let in_file = reader.read("trunk", "password_file", None, value::password_file);
    let realm = reader.read("trunk", "realm", None, |raw| {
        Ok(Some(value::text(raw)?.to_owned()).filter(|realm| !realm.is_empty()))
    });
    let behind_proxy = reader.read("trunk", "auth_behind_proxy", false, value::boolean);
    let register = reader.read("trunk", "register", false, value::boolean);
    let expires = reader.read(
        "trunk",
        "register_expires",
        seconds(300),
        value::duration(seconds(60)..=seconds(86_400)),
    );
    let interval = value::duration(Duration::ZERO..=seconds(600));
    let keep_alive = reader.read("trunk", "keep_alive", seconds(25), interval);
    if !keep_alive.is_zero() && keep_alive < seconds(5) {
        let wrong = Wrong::new("is too often", "write \"5s\" or more, or \"0s\" for never");
        reader.wrong("trunk", "keep_alive", wrong);
    }
    if written.is_some() && in_file.is_some() {
        let wrong = Wrong::new("password is set too", "leave one of the two out");
        reader.wrong("trunk", "password_file", wrong);
    }
    let mut needs_user = vec!["password", "password_file", "realm"];
    needs_user.extend(behind_proxy.then_some("auth_behind_proxy"));
    needs_user.extend(register.then_some("register"));
    for key in needs_user {
        reader.needs("trunk", key, "username");
    }
    let username = username?;
    let Some(password) = written.or(in_file) else {
        let set = |key| reader.is_set("trunk", key);
        if !set("password") && !set("password_file") {
            let wrong = Wrong::new(
                "has no password",
                "set password, password_file, or the password in the environment",
            );
            reader.wrong("trunk", "username", wrong);
        }
        return None;
    };
    Some(TrunkAccount {
        credentials: Credentials {
            username,
            password,
            realm,
            behind_proxy,
        },
        register: register.then_some(expires),
        keep_alive: (!keep_alive.is_zero()).then_some(keep_alive),
    })
}
