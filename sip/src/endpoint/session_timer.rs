//! Session timers (RFC 4028): a call is refreshed now and then, so that either side notices when the other is gone. We
//! ask for none, and keep those that the other side or a proxy asks for.

use std::time::{Duration, Instant};

use super::{
    EndedBy, Endpoint, Session,
    build::put,
    state::{Call, Up},
};
use crate::{
    headers::Headers,
    message::{Request, Response},
    method::StatusCode,
};

/// The option tag.
pub(super) const TIMER: &str = "timer";

/// The shortest interval that we agree to, in seconds (§5).
const MIN_SE: u32 = 90;

/// The longest that is worth a timer, in seconds.
const MAX_SE: u32 = 7 * 86_400;

/// The interval of a call's refreshes, and whose they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SessionTimer {
    interval: Duration,
    /// We refresh.
    ours: bool,
    /// When we do next.
    refresh: Option<Instant>,
    /// When the other side is taken for gone.
    expires: Instant,
}

/// The Session-Expires header (§4).
struct SessionExpires {
    seconds: u32,
    /// The side that sent the request refreshes.
    by_uac: Option<bool>,
}

impl SessionExpires {
    fn read(headers: &Headers) -> Option<Self> {
        let mut parts = headers.get("Session-Expires")?.split(';').map(str::trim);
        let seconds: u32 = parts.next()?.parse().ok()?;
        let refresher = parts.find_map(|param| {
            let (name, value) = param.split_once('=')?;
            name.trim()
                .eq_ignore_ascii_case("refresher")
                .then(|| value.trim().to_ascii_lowercase())
        });
        Some(Self {
            seconds: seconds.min(MAX_SE),
            by_uac: match refresher.as_deref() {
                Some("uac") => Some(true),
                Some("uas") => Some(false),
                _ => None,
            },
        })
    }
}

/// Whether the side that sent a request knows what a session timer is.
fn knows_timers(headers: &Headers) -> bool {
    let tags = [headers.supported(), headers.require()].concat();
    tags.iter().any(|tag| tag.eq_ignore_ascii_case(TIMER))
}

/// The Min-SE header (§5): what it says has to be said again in every refresh after that (§7.4).
pub(super) fn min_se(headers: &Headers) -> Option<u32> {
    let seconds: u32 = headers
        .get("Min-SE")?
        .split(';')
        .next()?
        .trim()
        .parse()
        .ok()?;
    Some(seconds.min(MAX_SE))
}

impl SessionTimer {
    fn new(now: Instant, seconds: u32, ours: bool) -> Self {
        let interval = Duration::from_secs(seconds.max(MIN_SE).into());
        // §10: who does not refresh ends the call a little before the end.
        let margin = (interval / 3).min(Duration::from_secs(32));
        Self {
            interval,
            ours,
            refresh: ours.then(|| now + interval / 2),
            expires: now + if ours { interval } else { interval - margin },
        }
    }

    /// The same, from now on.
    pub(super) fn restarted(self, now: Instant) -> Self {
        let seconds = u32::try_from(self.interval.as_secs()).unwrap_or(MAX_SE);
        Self::new(now, seconds, self.ours)
    }

    /// What a 2xx to a request of ours agrees to (§7.2).
    pub(super) fn of_response(now: Instant, response: &Response) -> Option<Self> {
        let expires = SessionExpires::read(&response.headers)?;
        let ours = expires.by_uac.unwrap_or(true);
        Some(Self::new(now, expires.seconds, ours))
    }

    /// What we agree to for a request of theirs (§9).
    fn of_request(now: Instant, request: &Request) -> Option<Self> {
        let expires = SessionExpires::read(&request.headers)?;
        let theirs = knows_timers(&request.headers) && expires.by_uac.unwrap_or(true);
        Some(Self::new(now, expires.seconds, !theirs))
    }

    /// Puts it into a 2xx of ours, and gives it.
    pub(super) fn answer(now: Instant, request: &Request, response: &mut Response) -> Option<Self> {
        let timer = Self::of_request(now, request)?;
        let seconds = timer.interval.as_secs();
        let refresher = if timer.ours { "uas" } else { "uac" };
        put(
            &mut response.headers,
            "Session-Expires",
            format_args!("{seconds};refresher={refresher}"),
        );
        if !timer.ours {
            put(&mut response.headers, "Require", TIMER);
        }
        Some(timer)
    }

    /// Puts it into a re-INVITE of ours, with the shortest interval that is not refused (§7.4).
    pub(super) fn ask(self, headers: &mut Headers, min_se: Option<u32>) {
        let seconds = self.interval.as_secs();
        let refresher = if self.ours { "uac" } else { "uas" };
        put(
            headers,
            "Session-Expires",
            format_args!("{seconds};refresher={refresher}"),
        );
        if let Some(min_se) = min_se {
            put(headers, "Min-SE", min_se);
        }
    }

    pub(super) fn due(self) -> Instant {
        self.refresh.map_or(self.expires, |at| at.min(self.expires))
    }
}

impl Endpoint {
    /// The refusal of an interval that is too short, which says what is not (§9). Who knows no timers would not know what
    /// to do with it: a proxy has asked, and gets a longer one (erratum 1687).
    pub(super) fn short_timer(&self, request: &Request) -> Option<Response> {
        let expires = SessionExpires::read(&request.headers)?;
        let refused = expires.seconds < MIN_SE && knows_timers(&request.headers);
        refused.then(|| {
            let status = StatusCode::SESSION_INTERVAL_TOO_SMALL;
            let tag = self.stateless_tag(&request.headers);
            let mut response = self.build_response(request, status, Some(&tag));
            put(&mut response.headers, "Min-SE", MIN_SE);
            response
        })
    }

    /// The interval that a 422 asks for (§7.4); none where it asks for no longer one.
    pub(super) fn lengthen_timer(now: Instant, up: &mut Up, response: &Response) -> Option<()> {
        let seconds = min_se(&response.headers)?;
        let timer = up.timer.as_mut()?;
        (Duration::from_secs(seconds.into()) > timer.interval).then_some(())?;
        *timer = SessionTimer::new(now, seconds, timer.ours);
        up.min_se = up.min_se.max(Some(seconds));
        Some(())
    }

    /// A refresh is due, or has not come.
    pub(super) fn fire_session_timer(&mut self, now: Instant, session: Session) {
        let Some(Call::Up(up)) = self.calls.get_mut(session) else {
            return;
        };
        let Some(timer) = &mut up.timer else {
            return;
        };
        if now >= timer.expires {
            return self.send_bye(now, session, None, Some(EndedBy::Timeout));
        }
        if timer.refresh.is_some_and(|at| now >= at) {
            timer.refresh = None;
            if up.wanted.is_none() && !up.local_sdp.is_empty() {
                up.wanted = Some(up.local_sdp.clone());
            }
            self.calls.touch(session);
            self.send_wanted(now, session);
        }
    }
}
