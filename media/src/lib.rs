//! RTP and RTCP, sequencing, DTMF relay and the two pipes of a call, sans-IO.
