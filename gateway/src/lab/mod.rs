//! The lab phone: a real SIP user agent inside the box.
