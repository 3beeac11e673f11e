//! One browser's transport: ICE-lite, DTLS and SRTP on one 5-tuple, sans-IO.
