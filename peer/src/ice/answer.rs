//! Binding requests and the answers to them: the only file that names `stun-types`' messages.

use std::net::SocketAddr;

use stun_types::attribute::{
    Attribute, AttributeStaticType, AttributeType, ErrorCode, Fingerprint, MessageIntegrity,
    MessageIntegritySha256, UnknownAttributes, Username, XorMappedAddress,
};
use stun_types::message::{
    BINDING, IntegrityAlgorithm, IntegrityKey, Message, MessageClass, MessageHeader, MessageWrite,
    MessageWriteExt, MessageWriteMutSlice,
};

/// RFC 8445 §16.1.
pub(super) const PRIORITY: AttributeType = AttributeType::new(0x0024);
pub(super) const USE_CANDIDATE: AttributeType = AttributeType::new(0x0025);
pub(super) const ICE_CONTROLLED: AttributeType = AttributeType::new(0x8029);

/// No answer is longer: header, error and unknown attributes, integrity, fingerprint.
pub(crate) const MAX_ANSWER: usize = 160;
/// A browser's check has some 100 bytes; two ufrags of 256 fit.
const MAX_CHECK: usize = 1280;
/// How many unknown attributes a 420 names.
const MAX_UNKNOWN: usize = 4;

/// A Binding request, not yet authenticated.
pub(super) struct Check<'a> {
    message: Message<'a>,
}

impl<'a> Check<'a> {
    /// `None` unless it is a well-formed Binding request that fills its datagram, with a right
    /// FINGERPRINT if it has one.
    pub(super) fn parse(packet: &'a [u8]) -> Option<Self> {
        let length = usize::from(u16::from_be_bytes([*packet.get(2)?, *packet.get(3)?]));
        if packet.len() > MAX_CHECK || packet.len() != MessageHeader::LENGTH + length {
            return None;
        }
        let message = Message::from_bytes(packet).ok()?;
        let is_request = message.class() == MessageClass::Request && message.method() == BINDING;
        is_request.then_some(Self { message })
    }

    pub(super) fn username(&self) -> Option<&str> {
        let value = self.value(Username::TYPE)?;
        std::str::from_utf8(value).ok()
    }

    pub(super) fn transaction(&self) -> u128 {
        self.message.transaction_id().into()
    }

    /// The algorithm of the MESSAGE-INTEGRITY that holds (RFC 8489 §9.1.3).
    pub(super) fn authenticate(&self, key: &IntegrityKey) -> Option<IntegrityAlgorithm> {
        self.message.validate_integrity_with_key(key).ok()
    }

    /// Whether the answer is a success, so that the check validates its 5-tuple.
    pub(super) fn is_acceptable(&self) -> bool {
        !self.claims_our_role() && self.unknown().next().is_none()
    }

    pub(super) fn priority(&self) -> Option<u32> {
        let value = self.value(PRIORITY)?;
        Some(u32::from_be_bytes(value.try_into().ok()?))
    }

    pub(super) fn use_candidate(&self) -> bool {
        self.value(USE_CANDIDATE).is_some()
    }

    /// A lite agent is always controlled (RFC 8445 §6.1.1).
    fn claims_our_role(&self) -> bool {
        self.value(ICE_CONTROLLED).is_some()
    }

    fn value(&self, kind: AttributeType) -> Option<&[u8]> {
        let mut attributes = self.message.iter_attributes();
        let (offset, attribute) = attributes.find(|(_, a)| a.get_type() == kind)?;
        let start = offset + 4;
        let end = start + usize::from(attribute.length());
        self.message.as_bytes().get(start..end)
    }

    /// Attributes that have to be understood (RFC 8489 §14) and are not.
    fn unknown(&self) -> impl Iterator<Item = AttributeType> + '_ {
        const KNOWN: [AttributeType; 6] = [
            Username::TYPE,
            MessageIntegrity::TYPE,
            MessageIntegritySha256::TYPE,
            Fingerprint::TYPE,
            PRIORITY,
            USE_CANDIDATE,
        ];
        self.message
            .iter_attributes()
            .map(|(_, attribute)| attribute.get_type())
            .filter(|kind| kind.comprehension_required() && !KNOWN.contains(kind))
    }

    /// Writes the answer to an authenticated check: success, 420 (RFC 8489 §6.3.1) or 487 (RFC
    /// 8445 §7.3.1.1). Returns its length, never more than the request's by half.
    pub(super) fn answer(
        &self,
        from: SocketAddr,
        key: &IntegrityKey,
        algorithm: IntegrityAlgorithm,
        out: &mut [u8],
    ) -> Option<usize> {
        let out = MessageWriteMutSlice::new(out);
        let mut unknown = [AttributeType::new(0); MAX_UNKNOWN];
        let mut count = 0;
        for (slot, kind) in unknown.iter_mut().zip(self.unknown()) {
            *slot = kind;
            count += 1;
        }
        let mut answer;
        if count > 0 {
            answer = Message::builder_error(&self.message, out);
            let error = ErrorCode::new(ErrorCode::UNKNOWN_ATTRIBUTE, "Unknown Attribute").ok()?;
            answer.add_attribute(&error).ok()?;
            let unknown = UnknownAttributes::new(unknown.get(..count)?);
            answer.add_attribute(&unknown).ok()?;
        } else if self.claims_our_role() {
            answer = Message::builder_error(&self.message, out);
            let error = ErrorCode::new(ErrorCode::ROLE_CONFLICT, "Role Conflict").ok()?;
            answer.add_attribute(&error).ok()?;
        } else {
            answer = Message::builder_success(&self.message, out);
            // A dual-stack socket shows IPv4 sources mapped into IPv6.
            let from = SocketAddr::new(from.ip().to_canonical(), from.port());
            let mapped = XorMappedAddress::new(from, self.message.transaction_id());
            answer.add_attribute(&mapped).ok()?;
        }
        answer.add_message_integrity_with_key(key, algorithm).ok()?;
        answer.add_fingerprint().ok()?;
        Some(answer.finish())
    }
}
