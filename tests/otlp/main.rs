//! OTLP as senders send it: what is taken, what is refused and with which words.

mod count;
mod json;
mod scan;
mod wire;
