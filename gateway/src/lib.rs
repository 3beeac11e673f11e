//! The program: settings, signalling, the call machine, media workers and sockets.
