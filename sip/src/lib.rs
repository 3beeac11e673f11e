//! SIP: messages, transactions, dialogs and a user agent core, all sans-IO (RFC 3261).
