//! STIR/SHAKEN: whether a call comes from the number that it says (RFC 8224, RFC 8225, RFC 8226, RFC 8588, ATIS-1000074).
//!
//! [`passport`] reads Identity headers and compares their claims with the call, [`certificate`] looks at chains and
//! signatures: both are told bytes and the time. [`chains`] fetches the certificates, and [`Verifier`] puts the three together.

pub mod certificate;
pub mod chains;
pub mod passport;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use std::time::{Duration, SystemTime};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sip::Request;
use tokio::time::timeout;

use self::certificate::Roots;
use self::chains::Chains;
use self::passport::{Call, Identity, Passport};
use crate::call::cause::{Cause, CauseCode};

/// How many Identity headers of a call are looked at, and passed on: the first.
pub const MAX_HEADERS: usize = 4;

/// How long a call waits for its certificates, all together.
const PATIENCE: Duration = Duration::from_millis(2500);

/// How sure the one who signed is of the caller (RFC 8588 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Attestation {
    /// Fully: he knows the caller, and that the number is his.
    A,
    /// Partly: he knows the caller, but not the number.
    B,
    /// Not at all: he knows where the call came in.
    C,
}

/// What a call's Identity headers come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// One is right.
    Verified {
        /// What it attests; a signature that is not SHAKEN's says nothing of that.
        attestation: Option<Attestation>,
        /// Where the call came in, to the one who signed.
        origid: Option<String>,
    },
    /// None is; this is what is wrong with the first.
    Failed(Failure),
    /// There are none.
    Absent,
}

/// What is wrong with a signature (RFC 8224 §6.2.2).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It is not of now.
    #[error("it was signed {0} s ago")]
    Stale(i64),
    /// The certificate cannot be had from where it says.
    #[error("{0}")]
    Info(String),
    /// The certificate is not believed.
    #[error("the certificate {0}")]
    Credential(String),
    /// The header is not right, or not for this call.
    #[error("{0}")]
    Invalid(String),
}

impl Failure {
    /// What a call is refused with for it.
    pub fn code(&self) -> CauseCode {
        match self {
            Self::Stale(_) => CauseCode::IdentityStale,
            Self::Info(_) => CauseCode::IdentityInfo,
            Self::Credential(_) => CauseCode::IdentityCredential,
            Self::Invalid(_) => CauseCode::IdentityInvalid,
        }
    }
}

/// The word for a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The signature is right: the number is the caller's, as far as the attestation goes.
    Verified,
    /// It is not.
    Failed,
    /// There is none.
    Absent,
}

/// A finding, as a call's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StirRecord {
    /// What it comes to.
    pub result: Verdict,
    /// What the one who signed attests.
    pub attestation: Option<Attestation>,
    /// What is wrong.
    pub reason: Option<String>,
    /// Where the call came in, to the one who signed.
    pub origid: Option<String>,
}

/// A finding, as the user is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Verification {
    /// What it comes to.
    pub result: Verdict,
    /// What the one who signed attests: A that the number is the caller's, B that he knows the caller, C neither.
    pub attestation: Option<Attestation>,
}

/// What is known of who signed a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signed {
    /// Its Identity headers, as far as they may be passed on.
    pub headers: Vec<String>,
    /// What they come to; none where nobody looked.
    pub finding: Option<Finding>,
}

/// The Identity headers of a call; of a long list, the beginning.
pub fn headers(request: &Request) -> Vec<String> {
    let values = request.headers.get_all("Identity");
    values.take(MAX_HEADERS).map(str::to_owned).collect()
}

impl Finding {
    /// The word for it.
    pub fn verdict(&self) -> Verdict {
        match self {
            Self::Verified { .. } => Verdict::Verified,
            Self::Failed(_) => Verdict::Failed,
            Self::Absent => Verdict::Absent,
        }
    }

    /// What was attested.
    pub fn attestation(&self) -> Option<Attestation> {
        match self {
            Self::Verified { attestation, .. } => *attestation,
            Self::Failed(_) | Self::Absent => None,
        }
    }

    /// As the user is told it.
    pub fn verification(&self) -> Verification {
        Verification {
            result: self.verdict(),
            attestation: self.attestation(),
        }
    }

    /// As a record has it.
    pub fn record(&self) -> StirRecord {
        let (reason, origid) = match self {
            Self::Verified { origid, .. } => (None, origid.clone()),
            Self::Failed(failure) => (Some(failure.to_string()), None),
            Self::Absent => (None, None),
        };
        StirRecord {
            result: self.verdict(),
            attestation: self.attestation(),
            reason,
            origid,
        }
    }

    /// What a call is refused with where it has to be signed.
    pub fn refusal(&self) -> Option<Cause> {
        match self {
            Self::Verified { .. } => None,
            Self::Failed(failure) => Some(failure.code().because(failure)),
            Self::Absent => Some(CauseCode::IdentityMissing.cause()),
        }
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Verified {
                attestation: Some(attestation),
                ..
            } => write!(f, "the caller's number is verified ({attestation:?})"),
            Self::Verified { .. } => f.write_str("the caller's number is verified"),
            Self::Failed(failure) => write!(f, "the caller's number is not verified: {failure}"),
            Self::Absent => f.write_str("the call is not signed"),
        }
    }
}

impl From<Passport> for Finding {
    fn from(passport: Passport) -> Self {
        Self::Verified {
            attestation: passport.attestation,
            origid: passport.origid,
        }
    }
}

/// Looks at calls.
#[derive(Debug)]
pub struct Verifier {
    roots: Roots,
    chains: Chains,
}

impl Verifier {
    /// One that believes these roots.
    pub fn new(roots: Roots, chains: Chains) -> Self {
        Self { roots, chains }
    }

    /// What a call's Identity headers come to. It takes 2.5 s at most.
    pub async fn check(&self, headers: &[String], call: &Call) -> Finding {
        let mut first = None;
        let all = async {
            for header in headers.iter().take(MAX_HEADERS) {
                match self.check_one(header, call).await {
                    Ok(passport) => return Some(passport),
                    // Of another kind (RFC 8946, RFC 8443): it says nothing of the caller's number.
                    Err(None) => {}
                    Err(Some(failure)) => {
                        first.get_or_insert(failure);
                    }
                }
            }
            None
        };
        match timeout(PATIENCE, all).await {
            Ok(Some(passport)) => passport.into(),
            Ok(None) => first.map_or(Finding::Absent, Finding::Failed),
            Err(_) => {
                let late = || Failure::Info("the certificate did not come in time".to_owned());
                Finding::Failed(first.unwrap_or_else(late))
            }
        }
    }

    async fn check_one(&self, header: &str, call: &Call) -> Result<Passport, Option<Failure>> {
        let identity = Identity::parse(header)?;
        if !identity.is_supported() {
            return Err(None);
        }
        // What can be known without asking anybody comes first: a stranger's address is not asked in vain.
        let passport = identity.check(call)?;
        let (chain, cached) = self.chains.get(&identity.info).await?;
        let verified = self.verify(&chain, &passport, call.now);
        if verified.is_err() && cached {
            // There may be another certificate there by now.
            if let Some(chain) = self.chains.get_anew(&identity.info).await {
                self.verify(&chain, &passport, call.now)?;
                return Ok(passport);
            }
        }
        verified?;
        Ok(passport)
    }

    fn verify(
        &self,
        chain: &certificate::Chain,
        passport: &Passport,
        now: SystemTime,
    ) -> Result<(), Failure> {
        chain.verify(&self.roots, now)?;
        chain.verify_signature(&passport.signed, &passport.signature)
    }
}
