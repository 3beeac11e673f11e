//! Identity headers (RFC 8224 §4) and the PASSporTs in them (RFC 8225), full and compact.

use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sip::{NameAddr, Request};

use super::{Attestation, Failure};
use crate::call::dial_plan::DialPlan;

/// The longest header that is read, in octets.
const MAX_HEADER: usize = 8 * 1024;

/// How far the time of a signature may be from ours, in seconds (ATIS-1000074 §5.3.1).
const FRESH: i64 = 60;

/// How many numbers a call may be for, or from.
const MAX_NUMBERS: usize = 8;

/// How many texts a compact signature may have been for.
const MAX_TEXTS: usize = 16;

/// The longest `origid` that is kept, in characters; a UUID has 36.
const MAX_ORIGID: usize = 64;

/// An Identity header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// JOSE header and claims as they were signed; none in the compact form (RFC 8225 §7).
    signed: Option<String>,
    signature: [u8; 64],
    /// Where the certificate is.
    pub info: String,
    /// What kind of PASSporT it is (RFC 8225 §8); none for the plain one.
    ppt: Option<String>,
}

/// What a call says of itself.
#[derive(Clone, Debug)]
pub struct Call {
    /// The numbers that it may be from, canonical.
    pub from: Vec<String>,
    /// The numbers that it may be for, canonical.
    pub to: Vec<String>,
    /// Its Date header (RFC 3261 §20.17), for the compact form.
    pub date: Option<String>,
    /// When it came in.
    pub now: SystemTime,
}

/// A PASSporT whose claims are right for its call. Whose it is, is still to be seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passport {
    /// What it attests.
    pub attestation: Option<Attestation>,
    /// Where the call came in.
    pub origid: Option<String>,
    /// What was signed; of the compact form, each of the texts that may have been.
    pub signed: Vec<String>,
    /// The signature (RFC 7518 §3.4).
    pub signature: [u8; 64],
}

/// The JOSE header (RFC 8225 §4).
#[derive(Deserialize)]
struct Head {
    alg: String,
    typ: String,
    ppt: Option<String>,
    x5u: String,
    /// What must be understood (RFC 7515 §4.1.11), and is not.
    crit: Option<serde_json::Value>,
}

/// The claims (RFC 8225 §5, RFC 8588 §5).
#[derive(Deserialize)]
struct Claims {
    iat: i64,
    orig: Orig,
    dest: Dest,
    attest: Option<String>,
    origid: Option<String>,
}

#[derive(Deserialize)]
struct Orig {
    tn: Option<String>,
}

#[derive(Deserialize)]
struct Dest {
    #[serde(default)]
    tn: Vec<String>,
}

fn invalid(why: impl Into<String>) -> Failure {
    Failure::Invalid(why.into())
}

/// Telephone numbers as PASSporTs have them (RFC 8224 §8.3): digits alone, with the country code. Each is there as it was
/// written and as the dial plan reads it; what is no number is left out.
pub fn canonical<'a>(plan: &DialPlan, numbers: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    for number in numbers {
        let number = number.split(';').next().unwrap_or_default();
        let bare: String = number
            .chars()
            .filter(|c| !matches!(c, ' ' | '-' | '.' | '(' | ')'))
            .collect();
        for spelling in [plan.normalize(&bare), bare] {
            let digits = spelling.strip_prefix('+').unwrap_or(&spelling);
            let right = !digits.is_empty()
                && digits.len() <= 32
                && digits
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b"*#".contains(&b));
            if right && found.len() < MAX_NUMBERS && !found.iter().any(|one| one == digits) {
                found.push(digits.to_owned());
            }
        }
    }
    found
}

impl Call {
    /// What an INVITE says: the caller's number is what the trunk asserts (RFC 3325 §9.1), else that of From; it is for any of
    /// the numbers that are called, since trunks write the number in different places (ATIS-1000074 has To).
    pub fn of(request: &Request, called: &[String], plan: &DialPlan, now: SystemTime) -> Self {
        let headers = &request.headers;
        let asserted = headers.get_all("P-Asserted-Identity");
        let asserted = asserted.flat_map(|value| split(value, ','));
        let asserted =
            asserted.filter_map(|one| one.parse::<NameAddr>().ok()?.uri.user_unescaped());
        let asserted: Vec<String> = asserted.take(MAX_NUMBERS).collect();
        let mut from = canonical(plan, asserted.iter().map(String::as_str));
        if from.is_empty() {
            let said = headers
                .from()
                .ok()
                .and_then(|from| from.uri.user_unescaped());
            from = canonical(plan, said.as_deref());
        }
        Self {
            from,
            to: canonical(plan, called.iter().map(String::as_str)),
            date: headers.get("Date").map(str::to_owned),
            now,
        }
    }
}

impl Identity {
    /// Reads a header's value.
    ///
    /// # Errors
    /// [`Failure::Invalid`] or [`Failure::Info`], with what is wrong.
    pub fn parse(value: &str) -> Result<Self, Failure> {
        if value.len() > MAX_HEADER {
            return Err(invalid("the Identity header is longer than 8 KiB"));
        }
        let mut parts = split(value, ';');
        let token = parts.next().unwrap_or_default();
        let (mut info, mut alg, mut ppt) = (None, None, None);
        for part in parts {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let place = match name.trim().to_ascii_lowercase().as_str() {
                "info" => &mut info,
                "alg" => &mut alg,
                "ppt" => &mut ppt,
                _ => continue,
            };
            if place.replace(value.trim()).is_some() {
                return Err(invalid("the Identity header has a parameter twice"));
            }
        }
        let info = info.and_then(|info| info.strip_prefix('<')?.strip_suffix('>'));
        let info = info.ok_or_else(|| {
            Failure::Info("the Identity header does not say where the certificate is".to_owned())
        })?;
        if alg.is_some_and(|alg| unquote(alg) != "ES256") {
            return Err(invalid("it is signed by another algorithm than ES256"));
        }
        let (signed, signature) = token
            .rsplit_once('.')
            .ok_or_else(|| invalid("the Identity header has no PASSporT in it"))?;
        let signature = URL_SAFE_NO_PAD
            .decode(signature)
            .ok()
            .and_then(|octets| <[u8; 64]>::try_from(octets).ok())
            .ok_or_else(|| invalid("the signature is none of ES256"))?;
        Ok(Self {
            // "..signature" is the compact form: header and claims are left out.
            signed: Some(signed.to_owned()).filter(|signed| signed != "."),
            signature,
            info: info.to_owned(),
            ppt: ppt.map(|ppt| unquote(ppt).to_owned()),
        })
    }

    /// Whether it is of a kind that says who calls: SHAKEN's (RFC 8588), or the plain one.
    pub fn is_supported(&self) -> bool {
        self.ppt.as_deref().is_none_or(|ppt| ppt == "shaken")
    }

    /// Whether what it claims is so.
    ///
    /// # Errors
    /// [`Failure`]: what is not.
    pub fn check(&self, call: &Call) -> Result<Passport, Failure> {
        let (attestation, origid, signed) = match &self.signed {
            Some(signed) => {
                let claims = self.read(signed)?;
                let (attestation, origid) = self.check_claims(claims, call)?;
                (attestation, origid, vec![signed.clone()])
            }
            None => (None, None, self.compact(call)?),
        };
        Ok(Passport {
            attestation,
            origid,
            signed,
            signature: self.signature,
        })
    }

    fn read(&self, signed: &str) -> Result<Claims, Failure> {
        let (head, claims) = signed
            .split_once('.')
            .ok_or_else(|| invalid("the Identity header has no PASSporT in it"))?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let octets = decode(head).zip(decode(claims));
        let (head, claims) = octets.ok_or_else(|| invalid("the PASSporT is not base64url"))?;
        let unread = |error: serde_json::Error| invalid(format!("the PASSporT: {error}"));
        let head: Head = serde_json::from_slice(&head).map_err(unread)?;
        // RFC 8725 §3.1: one algorithm, whatever the token would like.
        if head.alg != "ES256" {
            return Err(invalid("it is signed by another algorithm than ES256"));
        }
        if head.typ != "passport" || head.ppt != self.ppt || head.crit.is_some() {
            return Err(invalid("the PASSporT is not what the Identity header says"));
        }
        if head.x5u != self.info {
            let why = "the PASSporT names another certificate than the Identity header";
            return Err(Failure::Info(why.to_owned()));
        }
        serde_json::from_slice(&claims).map_err(unread)
    }

    fn check_claims(
        &self,
        claims: Claims,
        call: &Call,
    ) -> Result<(Option<Attestation>, Option<String>), Failure> {
        let age = seconds(call.now).saturating_sub(claims.iat);
        if age.saturating_abs() > FRESH {
            return Err(Failure::Stale(age));
        }
        let Some(orig) = claims.orig.tn else {
            return Err(invalid("the signature is not for a telephone number"));
        };
        if !call.from.contains(&orig) {
            return Err(invalid("the signature is for another caller's number"));
        }
        if !call.to.iter().any(|number| claims.dest.tn.contains(number)) {
            return Err(invalid("the signature is for a call to another number"));
        }
        if self.ppt.is_none() {
            // In a plain one the words have no meaning.
            return Ok((None, None));
        }
        let attestation = match claims.attest.as_deref() {
            Some("A") => Some(Attestation::A),
            Some("B") => Some(Attestation::B),
            Some("C") => Some(Attestation::C),
            Some(_) => return Err(invalid("\"attest\" is not A, B or C")),
            None => None,
        };
        if attestation.is_none() || claims.origid.is_none() {
            return Err(invalid("\"attest\" or \"origid\" is missing"));
        }
        let origid = claims.origid.map(|origid| {
            let origid = origid.chars().filter(|c| !c.is_control());
            origid.take(MAX_ORIGID).collect()
        });
        Ok((attestation, origid))
    }

    /// What was signed where header and claims are left out: they are made anew from the call (RFC 8225 §7).
    fn compact(&self, call: &Call) -> Result<Vec<String>, Failure> {
        if self.ppt.is_some() {
            return Err(invalid("a SHAKEN signature has to be in the full form"));
        }
        let date = call
            .date
            .as_deref()
            .and_then(|date| httpdate::parse_http_date(date).ok());
        let date = date.ok_or_else(|| invalid("the call has no Date, by which it was signed"))?;
        let iat = seconds(date);
        let age = seconds(call.now).saturating_sub(iat);
        if age.saturating_abs() > FRESH {
            return Err(Failure::Stale(age));
        }
        // Members in their order, without blanks (RFC 8225 §9).
        let quoted = |text: &str| serde_json::Value::from(text).to_string();
        let x5u = quoted(&self.info);
        let head = format!(r#"{{"alg":"ES256","typ":"passport","x5u":{x5u}}}"#);
        let mut signed = Vec::new();
        for orig in &call.from {
            for dest in &call.to {
                let claims = format!(
                    r#"{{"dest":{{"tn":["{dest}"]}},"iat":{iat},"orig":{{"tn":"{orig}"}}}}"#
                );
                signed.push(format!(
                    "{}.{}",
                    URL_SAFE_NO_PAD.encode(&head),
                    URL_SAFE_NO_PAD.encode(claims)
                ));
            }
        }
        signed.truncate(MAX_TEXTS);
        Ok(signed)
    }
}

fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    i64::try_from(since.unwrap_or(Duration::ZERO).as_secs()).unwrap_or(i64::MAX)
}

/// The parts between separators, of which those in quotes and angle brackets are none.
fn split(value: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut inside) = (false, false);
    let parts = value.split(move |c| {
        match c {
            '"' if !inside => quoted = !quoted,
            '<' if !quoted => inside = true,
            '>' if !quoted => inside = false,
            _ => {}
        }
        c == separator && !quoted && !inside
    });
    parts.map(str::trim)
}

fn unquote(text: &str) -> &str {
    let inner = text
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    inner.unwrap_or(text)
}
