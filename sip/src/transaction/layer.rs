//! All transactions of an endpoint: finds the one a message belongs to, runs their timers, forgets the finished ones.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    time::Instant,
};

use super::{
    ClientInvite, ClientKey, ClientNonInvite, Inform, ServerInvite, ServerKey, ServerNonInvite,
    Step, Timers,
};
use crate::{
    endpoint::{Flow, Transmit, Transport, TransportError},
    message::{Request, Response},
    method::Method,
};

/// A client transaction of a [`Layer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClientId(u64);

/// A server transaction of a [`Layer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerId(u64);

/// What the layer gives: bytes to send and news for the core.
#[derive(Debug)]
pub enum Output {
    /// Send this.
    Transmit(Transmit),
    /// A client transaction got no answer (timers B, F).
    ClientTimeout(ClientId),
    /// A client transaction's flow failed.
    ClientTransportError(ClientId, TransportError),
    /// A client transaction is over and forgotten. Comes last, after any of the above.
    ClientTerminated(ClientId),
    /// A server transaction is over and forgotten.
    ServerTerminated(ServerId),
}

/// What a request turned out to be.
#[derive(Debug)]
pub enum Received {
    /// A retransmission, or the ACK of a refusal: dealt with.
    Absorbed,
    /// An ACK for the core, or of nothing we know.
    Ack(Request),
    /// The first of its kind. [`Layer::begin_server`] makes it a transaction, if it is worth one.
    New(Request),
}

#[derive(Debug)]
enum Client {
    Invite(Box<ClientInvite>),
    NonInvite(ClientNonInvite),
}

#[derive(Debug)]
enum Server {
    Invite(ServerInvite),
    NonInvite(ServerNonInvite),
}

#[derive(Debug)]
struct ClientEntry {
    key: ClientKey,
    flow: Flow,
    machine: Client,
    due: Option<Instant>,
}

#[derive(Debug)]
struct ServerEntry {
    key: ServerKey,
    merge: Option<MergeKey>,
    flow: Flow,
    request_to_tag: Option<String>,
    response_to_tag: Option<String>,
    machine: Server,
    due: Option<Instant>,
}

/// What two copies of one request that came by different ways share (§8.2.2.2).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct MergeKey {
    from_tag: Option<String>,
    call_id: String,
    number: u32,
    method: Method,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Id {
    Client(ClientId),
    Server(ServerId),
}

/// The transactions of one endpoint.
#[derive(Debug)]
pub struct Layer {
    timers: Timers,
    next: u64,
    clients: HashMap<ClientId, ClientEntry>,
    client_keys: HashMap<ClientKey, ClientId>,
    servers: HashMap<ServerId, ServerEntry>,
    server_keys: HashMap<ServerKey, ServerId>,
    merge_keys: HashMap<MergeKey, ServerId>,
    deadlines: BTreeSet<(Instant, Id)>,
    outputs: VecDeque<Output>,
}

impl Layer {
    /// A layer without transactions.
    pub fn new(timers: Timers) -> Self {
        Self {
            timers,
            next: 0,
            clients: HashMap::new(),
            client_keys: HashMap::new(),
            servers: HashMap::new(),
            server_keys: HashMap::new(),
            merge_keys: HashMap::new(),
            deadlines: BTreeSet::new(),
            outputs: VecDeque::new(),
        }
    }

    /// How many client transactions there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// How many server transactions there are.
    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    /// The next thing to do for the layer.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When [`Layer::handle_timeout`] must next be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Sends a request (not an ACK). Its top Via must hold a fresh branch.
    pub fn begin_client(&mut self, now: Instant, flow: Flow, request: Request) -> Option<ClientId> {
        let key = ClientKey::of_request(&request)?;
        let id = ClientId(self.fresh());
        let reliability = flow.transport.reliability();
        let (machine, step) = if request.method == Method::Invite {
            let (machine, step) = ClientInvite::new(now, request, reliability, self.timers);
            (Client::Invite(Box::new(machine)), step)
        } else {
            let (machine, step) = ClientNonInvite::new(now, &request, reliability, self.timers);
            (Client::NonInvite(machine), step)
        };
        self.client_keys.insert(key.clone(), id);
        let entry = ClientEntry {
            key,
            flow,
            machine,
            due: None,
        };
        self.clients.insert(id, entry);
        self.apply_client(id, step, None);
        Some(id)
    }

    /// A response. Gives it back, with its transaction, when it is for the core; a stray one is dropped.
    pub fn handle_response(
        &mut self,
        now: Instant,
        response: Response,
    ) -> Option<(ClientId, Response)> {
        // More than one Via, or none: misrouted (§8.1.3.3).
        if response.headers.vias().ok()?.len() != 1 {
            return None;
        }
        let key = ClientKey::of_response(&response)?;
        let id = *self.client_keys.get(&key)?;
        let entry = self.clients.get_mut(&id)?;
        let step = match &mut entry.machine {
            Client::Invite(machine) => machine.handle_response(now, &response),
            Client::NonInvite(machine) => machine.handle_response(now, &response),
        };
        let for_core = step.inform == Some(Inform::Message);
        self.apply_client(id, step, None);
        for_core.then_some((id, response))
    }

    /// A request: a retransmission is answered here.
    pub fn handle_request(&mut self, now: Instant, request: Request) -> Received {
        let is_ack = request.method == Method::Ack;
        let Some(id) = self.find_server(&request) else {
            return if is_ack {
                Received::Ack(request)
            } else {
                Received::New(request)
            };
        };
        let Some(entry) = self.servers.get_mut(&id) else {
            return Received::Absorbed;
        };
        let step = match &mut entry.machine {
            Server::Invite(machine) if is_ack => machine.handle_ack(now),
            Server::Invite(machine) => machine.handle_retransmission(),
            Server::NonInvite(machine) => machine.handle_retransmission(),
        };
        let for_core = step.inform == Some(Inform::Message);
        self.apply_server(id, step);
        if for_core {
            Received::Ack(request)
        } else {
            Received::Absorbed
        }
    }

    /// Makes a transaction of a new request. `trying` is the 100 an INVITE is answered with at once.
    pub fn begin_server(
        &mut self,
        flow: Flow,
        request: &Request,
        trying: &Response,
    ) -> Option<ServerId> {
        let key = ServerKey::of_request(request)?;
        let id = ServerId(self.fresh());
        let reliability = flow.transport.reliability();
        let (machine, step) = if request.method == Method::Invite {
            let (machine, step) = ServerInvite::new(trying, reliability, self.timers);
            (Server::Invite(machine), step)
        } else {
            let machine = ServerNonInvite::new(reliability, self.timers);
            (Server::NonInvite(machine), Step::nothing())
        };
        let merge = merge_key(request);
        if let Some(merge) = &merge {
            self.merge_keys.insert(merge.clone(), id);
        }
        self.server_keys.insert(key.clone(), id);
        let entry = ServerEntry {
            key,
            merge,
            flow,
            request_to_tag: to_tag(request),
            response_to_tag: None,
            machine,
            due: None,
        };
        self.servers.insert(id, entry);
        self.apply_server(id, step);
        Some(id)
    }

    /// Answers a request.
    pub fn respond(&mut self, now: Instant, id: ServerId, response: &Response) {
        let Some(entry) = self.servers.get_mut(&id) else {
            return;
        };
        entry.response_to_tag = response
            .headers
            .to()
            .ok()
            .and_then(|to| to.tag().map(str::to_owned));
        let step = match &mut entry.machine {
            Server::Invite(machine) => machine.respond(now, response),
            Server::NonInvite(machine) => machine.respond(now, response),
        };
        self.apply_server(id, step);
    }

    /// Whether a new request outside a dialog is a copy, by another way, of one in progress (§8.2.2.2).
    pub fn is_merged(&self, request: &Request) -> bool {
        merge_key(request).is_some_and(|key| self.merge_keys.contains_key(&key))
    }

    /// The INVITE that a CANCEL is about, and the flow it came by.
    pub fn find_cancelled(&self, cancel: &Request) -> Option<(ServerId, Flow)> {
        let id = *self.server_keys.get(&ServerKey::of_cancelled(cancel)?)?;
        Some((id, self.servers.get(&id)?.flow))
    }

    /// Forgets a client transaction whose answer nobody waits for any longer (§9.1).
    pub fn abandon_client(&mut self, id: ClientId) {
        self.forget_client(id);
    }

    /// Forgets a server transaction.
    pub fn abandon_server(&mut self, id: ServerId) {
        self.forget_server(id);
    }

    /// A flow failed.
    pub fn handle_transport_error(&mut self, _now: Instant, flow: Flow, error: TransportError) {
        let clients: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, entry)| entry.flow == flow && entry.fails_on(error))
            .map(|(id, _)| *id)
            .collect();
        for id in clients {
            if let Some(entry) = self.clients.get_mut(&id) {
                let step = match &mut entry.machine {
                    Client::Invite(machine) => machine.handle_transport_error(),
                    Client::NonInvite(machine) => machine.handle_transport_error(),
                };
                self.apply_client(id, step, Some(error));
            }
        }
        // An ICMP error over UDP may have been caused by any datagram; the timers of server transactions bound them.
        if flow.transport == Transport::Udp {
            return;
        }
        let servers: Vec<ServerId> = self
            .servers
            .iter()
            .filter(|(_, entry)| entry.flow == flow)
            .map(|(id, _)| *id)
            .collect();
        for id in servers {
            if let Some(entry) = self.servers.get_mut(&id) {
                let step = match &mut entry.machine {
                    Server::Invite(machine) => machine.handle_transport_error(),
                    Server::NonInvite(machine) => machine.handle_transport_error(),
                };
                self.apply_server(id, step);
            }
        }
    }

    /// Fires every timer that is due.
    pub fn handle_timeout(&mut self, now: Instant) {
        // Each at most once: whatever the timers are set to, this ends.
        let due: Vec<Id> = self
            .deadlines
            .iter()
            .take_while(|(at, _)| *at <= now)
            .map(|(_, id)| *id)
            .collect();
        for id in due {
            match id {
                Id::Client(id) => self.fire_client(now, id),
                Id::Server(id) => self.fire_server(now, id),
            }
        }
    }

    fn fire_client(&mut self, now: Instant, id: ClientId) {
        let Some(entry) = self.clients.get_mut(&id) else {
            return;
        };
        let step = match &mut entry.machine {
            Client::Invite(machine) => machine.handle_timeout(now),
            Client::NonInvite(machine) => machine.handle_timeout(now),
        };
        self.apply_client(id, step, None);
    }

    fn fire_server(&mut self, now: Instant, id: ServerId) {
        let Some(entry) = self.servers.get_mut(&id) else {
            return;
        };
        let step = match &mut entry.machine {
            Server::Invite(machine) => machine.handle_timeout(now),
            Server::NonInvite(machine) => machine.handle_timeout(now),
        };
        self.apply_server(id, step);
    }

    /// The transaction a request belongs to, with the To tag rules of RFC 2543 clients.
    fn find_server(&self, request: &Request) -> Option<ServerId> {
        let key = ServerKey::of_request(request)?;
        let id = *self.server_keys.get(&key)?;
        if matches!(key, ServerKey::Rfc2543 { .. }) {
            let entry = self.servers.get(&id)?;
            let expected = match request.method {
                Method::Ack => &entry.response_to_tag,
                _ => &entry.request_to_tag,
            };
            if to_tag(request) != *expected {
                return None;
            }
        }
        Some(id)
    }

    fn apply_client(&mut self, id: ClientId, step: Step, error: Option<TransportError>) {
        let Some(entry) = self.clients.get_mut(&id) else {
            return;
        };
        if let Some(bytes) = step.send {
            self.outputs.push_back(Output::Transmit(Transmit {
                flow: entry.flow,
                bytes,
                may_connect: true,
            }));
        }
        match step.inform {
            Some(Inform::Timeout) => self.outputs.push_back(Output::ClientTimeout(id)),
            Some(Inform::TransportError) => {
                let error = error.unwrap_or(TransportError::Closed);
                self.outputs
                    .push_back(Output::ClientTransportError(id, error));
            }
            Some(Inform::Message) | None => {}
        }
        let (due, over) = match &entry.machine {
            Client::Invite(machine) => (machine.poll_timeout(), machine.is_terminated()),
            Client::NonInvite(machine) => (machine.poll_timeout(), machine.is_terminated()),
        };
        if over {
            self.forget_client(id);
            return;
        }
        let before = std::mem::replace(&mut entry.due, due);
        self.reschedule(Id::Client(id), before, due);
    }

    fn apply_server(&mut self, id: ServerId, step: Step) {
        let Some(entry) = self.servers.get_mut(&id) else {
            return;
        };
        if let Some(bytes) = step.send {
            self.outputs.push_back(Output::Transmit(Transmit {
                flow: entry.flow,
                bytes,
                may_connect: false,
            }));
        }
        let (due, over) = match &entry.machine {
            Server::Invite(machine) => (machine.poll_timeout(), machine.is_terminated()),
            Server::NonInvite(machine) => (machine.poll_timeout(), machine.is_terminated()),
        };
        if over {
            self.forget_server(id);
            return;
        }
        let before = std::mem::replace(&mut entry.due, due);
        self.reschedule(Id::Server(id), before, due);
    }

    fn forget_client(&mut self, id: ClientId) {
        if let Some(entry) = self.clients.remove(&id) {
            self.client_keys.remove(&entry.key);
            self.reschedule(Id::Client(id), entry.due, None);
            self.outputs.push_back(Output::ClientTerminated(id));
        }
    }

    fn forget_server(&mut self, id: ServerId) {
        if let Some(entry) = self.servers.remove(&id) {
            self.server_keys.remove(&entry.key);
            if let Some(merge) = &entry.merge
                && self.merge_keys.get(merge) == Some(&id)
            {
                self.merge_keys.remove(merge);
            }
            self.reschedule(Id::Server(id), entry.due, None);
            self.outputs.push_back(Output::ServerTerminated(id));
        }
    }

    fn reschedule(&mut self, id: Id, before: Option<Instant>, after: Option<Instant>) {
        if before == after {
            return;
        }
        if let Some(at) = before {
            self.deadlines.remove(&(at, id));
        }
        if let Some(at) = after {
            self.deadlines.insert((at, id));
        }
    }

    fn fresh(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

impl ClientEntry {
    /// Whether this error ends it: over UDP an ICMP error counts only while nothing at all has come back (§18.4).
    fn fails_on(&self, error: TransportError) -> bool {
        match (&self.machine, error) {
            (Client::Invite(machine), TransportError::Unreachable) => {
                matches!(machine.state(), super::client_invite::State::Calling { .. })
            }
            (Client::NonInvite(machine), TransportError::Unreachable) => {
                matches!(
                    machine.state(),
                    super::client_non_invite::State::Trying { .. }
                )
            }
            (Client::Invite(machine), _) => machine.is_waiting(),
            (Client::NonInvite(machine), _) => machine.is_waiting(),
        }
    }
}

fn to_tag(request: &Request) -> Option<String> {
    let to = request.headers.to().ok()?;
    to.tag().map(str::to_owned)
}

/// The key of a request outside a dialog; `None` inside one.
fn merge_key(request: &Request) -> Option<MergeKey> {
    if to_tag(request).is_some() {
        return None;
    }
    let from = request.headers.from().ok()?;
    let cseq = request.headers.cseq().ok()?;
    Some(MergeKey {
        from_tag: from.tag().map(str::to_owned),
        call_id: request.headers.call_id()?.to_owned(),
        number: cseq.number,
        method: cseq.method,
    })
}

#[cfg(test)]
mod tests;
