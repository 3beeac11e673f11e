//! From what SDP agreed to what the media workers are told.

use std::time::Duration;

use media::{DtmfWay, RtpFormat};
use sdp::Negotiated;

use crate::settings::TrunkDtmf;
use crate::worker::TrunkMedia;

/// The RTP format of a leg.
pub(super) fn rtp_format(agreed: &Negotiated) -> RtpFormat {
    RtpFormat {
        codec: codec(agreed.codec),
        payload_type_in: agreed.payload_type_in,
        payload_type_out: agreed.payload_type_out,
        telephone_event_in: agreed.telephone_event_in,
        telephone_event_out: agreed.telephone_event_out,
        telephone_event_clock_rate: agreed.telephone_event_clock_rate,
        comfort_noise: agreed.comfort_noise,
        ptime: Duration::from_millis(u64::from(agreed.ptime_ms)),
    }
}

/// The telephone's media; none where its SDP names no address to send to.
pub(super) fn trunk_media(
    agreed: &Negotiated,
    behind_nat: bool,
    dtmf: TrunkDtmf,
    voip_metrics: bool,
) -> Option<TrunkMedia> {
    Some(TrunkMedia {
        format: rtp_format(agreed),
        rtp: agreed.remote_rtp?,
        rtcp: agreed.remote_rtcp,
        rtcp_mux: agreed.rtcp_mux,
        srtp: agreed.srtp.clone(),
        send: agreed.direction.sends(),
        receive: agreed.direction.receives(),
        behind_nat,
        voip_metrics,
        dtmf: match dtmf {
            TrunkDtmf::Info => DtmfWay::Signalling,
            TrunkDtmf::Inband => DtmfWay::Tones,
            TrunkDtmf::Rfc4733 => DtmfWay::Events,
            TrunkDtmf::Auto => match agreed.telephone_event_in.or(agreed.telephone_event_out) {
                Some(_) => DtmfWay::Events,
                None => DtmfWay::Tones,
            },
        },
    })
}

/// How keys cross, in words.
pub(super) fn dtmf_name(way: DtmfWay) -> &'static str {
    match way {
        DtmfWay::Events => "as telephone-events",
        DtmfWay::Tones => "as tones in the audio",
        DtmfWay::Signalling => "by INFO",
    }
}

/// The codec's name in SDP.
pub(super) fn codec_name(codec: sdp::Codec) -> &'static str {
    match codec {
        sdp::Codec::Opus => "opus",
        sdp::Codec::Pcmu => "PCMU",
        sdp::Codec::Pcma => "PCMA",
        sdp::Codec::G722 => "G722",
    }
}

fn codec(codec: sdp::Codec) -> media::Codec {
    match codec {
        sdp::Codec::Opus => media::Codec::Opus,
        sdp::Codec::Pcmu => media::Codec::Pcmu,
        sdp::Codec::Pcma => media::Codec::Pcma,
        sdp::Codec::G722 => media::Codec::G722,
    }
}
