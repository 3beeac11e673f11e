//! The certificates of those who sign calls, by the addresses that their calls name: strangers' addresses, so that nothing
//! of this network is reached by them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::Failure;
use super::certificate::Chain;
use crate::fetch::{Address, Fetcher, Limits, Reach};

/// How long a chain may take to come, and how long it may be.
const DEADLINE: Duration = Duration::from_secs(2);
const MOST_OCTETS: usize = 64 * 1024;

/// The ports that may be asked (ATIS-1000074 §5.3.1).
const PORTS: [u16; 2] = [443, 8443];

/// How many chains are kept; the one that is the next to go makes room for one more.
const MAX_CHAINS: usize = 512;

/// How many are fetched at once; calls that need more are not verified.
const MAX_FETCHES: usize = 32;

/// How long a chain is kept at least, at most, and where nothing is said. Whether it is valid is asked anew for each call.
const KEPT: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(86_400));
const KEPT_UNSAID: Duration = Duration::from_secs(3600);

/// How long one that could not be had is not asked for again.
const FAILED: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Debug)]
pub struct Chains {
    fetcher: Fetcher,
    /// Networks that may be asked though they are not everybody's.
    allowed: Vec<IpNet>,
    known: Mutex<HashMap<String, Known>>,
    fetches: Semaphore,
}

#[derive(Clone, Debug)]
struct Known {
    chain: Result<Arc<Chain>, Failure>,
    since: Instant,
    until: Instant,
}

impl Chains {
    /// None yet.
    pub fn new(fetcher: Fetcher, allowed: Vec<IpNet>) -> Self {
        Self {
            fetcher,
            allowed,
            known: Mutex::default(),
            fetches: Semaphore::new(MAX_FETCHES),
        }
    }

    /// The chain at an address, and whether it was there already.
    pub(super) async fn get(&self, url: &str) -> Result<(Arc<Chain>, bool), Failure> {
        let known = self.lock().get(url).cloned();
        if let Some(known) = known.filter(|known| Instant::now() < known.until) {
            return known.chain.map(|chain| (chain, true));
        }
        self.fetch(url).await.map(|chain| (chain, false))
    }

    /// The chain at an address, anew; none where it cannot be had, or was fetched a moment ago.
    pub(super) async fn get_anew(&self, url: &str) -> Option<Arc<Chain>> {
        let since = self.lock().get(url).map(|known| known.since);
        if since.is_some_and(|since| since.elapsed() < KEPT.0) {
            return None;
        }
        self.fetch(url).await.ok()
    }

    async fn fetch(&self, url: &str) -> Result<Arc<Chain>, Failure> {
        let address = self.read(url)?;
        let Ok(_permit) = self.fetches.try_acquire() else {
            let why = "too many certificates are being fetched";
            return Err(Failure::Info(why.to_owned()));
        };
        let limits = Limits {
            deadline: DEADLINE,
            most: MOST_OCTETS,
            reach: Reach::Public(PORTS.to_vec(), self.allowed.clone()),
        };
        let fetched = self.fetcher.get(&address, &limits).await;
        let (chain, kept) = match fetched {
            Ok(fetched) => {
                let (least, most) = KEPT;
                let kept = fetched.fresh.unwrap_or(KEPT_UNSAID).clamp(least, most);
                (Chain::read(&fetched.body).map(Arc::new), kept)
            }
            Err(error) => {
                let why = format!("the certificate at {url} cannot be had: {error}");
                (Err(Failure::Info(why)), FAILED)
            }
        };
        let kept = if chain.is_ok() { kept } else { FAILED };
        self.keep(url, chain.clone(), kept);
        chain
    }

    /// Only what is protected on its way, and has nothing in it but where the certificate is (ATIS-1000074 §5.3.1).
    fn read(&self, url: &str) -> Result<Address, Failure> {
        let bad = |why: &str| Failure::Info(format!("the certificate's address {why}"));
        let address = Address::parse(url).map_err(|error| bad(&error.to_string()))?;
        if address.has_query() {
            return Err(bad("has a query in it"));
        }
        if !address.is_secure() && self.allowed.is_empty() {
            return Err(bad("does not begin with https://"));
        }
        Ok(address)
    }

    fn keep(&self, url: &str, chain: Result<Arc<Chain>, Failure>, kept: Duration) {
        let now = Instant::now();
        let mut known = self.lock();
        if known.len() >= MAX_CHAINS && !known.contains_key(url) {
            known.retain(|_, known| now < known.until);
        }
        if known.len() >= MAX_CHAINS && !known.contains_key(url) {
            let next = known.iter().min_by_key(|(_, known)| known.until);
            if let Some(next) = next.map(|(url, _)| url.clone()) {
                known.remove(&next);
            }
        }
        // A chain that came once is not lost to a moment in which it cannot be had.
        let lost = chain.is_err()
            && known
                .get(url)
                .is_some_and(|known| known.chain.is_ok() && now < known.until);
        if !lost {
            let until = now + kept;
            known.insert(
                url.to_owned(),
                Known {
                    chain,
                    since: now,
                    until,
                },
            );
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_of_a_stranger_leads_nowhere_that_is_not_everybodys() {
        let chains = Chains::new(Fetcher::new(Arc::default()), Vec::new());
        for (url, why) in [
            ("http://127.0.0.1/x.pem", "https"),
            ("http://example.com/x.pem", "https"),
            ("https://a:b@example.com/x.pem", "user name"),
            ("https://example.com/x.pem?y", "query"),
            ("https://127.0.0.1/x.pem", "no public address"),
            ("https://localhost/x.pem", "no public address"),
            ("https://[::1]/x.pem", "no public address"),
            (
                "https://169.254.169.254/latest/meta-data",
                "no public address",
            ),
            ("https://10.0.0.1/x.pem", "no public address"),
            ("https://1.1.1.1:22/x.pem", "no public address and port"),
            ("rubbish", "https"),
        ] {
            let error = chains.get(url).await.unwrap_err();
            assert!(error.to_string().contains(why), "{url}: {error}");
        }
    }

    #[tokio::test]
    async fn memory_is_bounded_whatever_calls_name() {
        let chains = Chains::new(Fetcher::new(Arc::default()), Vec::new());
        let failure = Failure::Info(String::new());
        for count in 0..2 * MAX_CHAINS {
            chains.keep(&count.to_string(), Err(failure.clone()), FAILED);
        }
        assert_eq!(chains.lock().len(), MAX_CHAINS);
    }
}
