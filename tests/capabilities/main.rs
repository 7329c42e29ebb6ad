//! What the program can do, shown from outside: wire in, answer out, on the real binary.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod authority;
mod backup;
mod bad_input;
mod crash;
mod crowds;
mod forward;
mod forward_tls;
mod harness;
mod import;
mod lifecycle;
mod origins;
mod overload;
mod receive_otlp;
mod small_disks;
mod steered_kills;
mod tls_doors;
mod tokens;
mod two_processes;
mod upstream_stub;
mod verify;
mod wire;
