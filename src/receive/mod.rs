//! The doors spans come in by.
//!
//! Promise: every request is answered in its sender's own protocol and encoding, success only once its spans
//! are on disk. A refusal names what was wrong, where, and the limit or setting that decided, and says by its
//! code whether sending again can help.
//!
//! Limits: bytes of a request before and after inflating, bytes in flight over all doors, time to send a body.
//!
//! Does not know: sockets (it returns routers; `app` binds), the store, questions.

pub mod otlp;
