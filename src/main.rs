//! The program: arguments in, exit code out. Decides nothing; see `cli` for the commands.

mod cli;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    // Before anything builds a TLS configuration. An error would mean that one is installed: by whom else?
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    debug_assert!(installed.is_ok(), "main is the first to choose a TLS provider");
    cli::run(cli::Arguments::parse())
}
