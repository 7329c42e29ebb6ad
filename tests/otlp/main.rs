//! OTLP as senders send it: what is taken, what is refused and with which words.

mod count;
mod json;
mod judged;
mod scan;
mod wire;
