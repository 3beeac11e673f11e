//! SDP in both dialects, browser and SIP: parsing, offer/answer, and translation that explains itself.
