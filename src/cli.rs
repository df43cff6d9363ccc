//! The command line: `serve`, `check`, `render`, `schema`, `keygen`. What goes wrong is printed on standard error; a secret
//! is printed by `keygen` only, which is there for that.

mod outline;
mod render;

use std::fmt::Display;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Parser, Subcommand};
use coatcheck::config::{self, Config, Environment, Origin, ProcessEnvironment, Warnings};

const INTRO: &str = "\
coatcheck keeps OAuth tokens out of the browser. Envoy asks it about every request (ext_authz); it turns the session
cookie into the session's access token, refreshes tokens before they expire, and does the OpenID Connect login and
logout itself.";

const MORE: &str = "\
Examples:
  coatcheck keygen > /secrets/key-1           make a server key
  coatcheck check -c coatcheck.yaml           find every mistake, and say what serve would do
  coatcheck serve -c coatcheck.yaml           run
  coatcheck render envoy -c coatcheck.yaml    print what stands in front: Envoy, Istio or Envoy Gateway
  coatcheck schema > coatcheck.schema.json    completion and checks in your editor

Files:
  ./coatcheck.yaml    the configuration, unless -c or COATCHECK_CONFIG names another (docs/configuration.md)
  ./coatcheck.db      the embedded store, beside the configuration; its key is ./coatcheck.db.key (mode 0600)

Environment:
  COATCHECK_CONFIG    the configuration, where -c is not given
  RUST_LOG            what is logged, before telemetry.log_level
  OTEL_*              the standard variables of OpenTelemetry
  and every variable that the configuration names as ${NAME}

Exit codes:
  0    all is well; serve was told to stop, and did
  1    the configuration has mistakes (all of them are printed), or serve could not start or had to stop
  2    the command line is wrong";

/// What was asked for.
#[derive(Debug, Parser)]
#[command(name = "coatcheck", version, about = INTRO, after_help = MORE, max_term_width = 110)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run until SIGTERM or SIGINT
    ///
    /// The configuration and the files it names are read again when they change, and on SIGHUP. A new state with a
    /// mistake is refused and told in the log; the old one keeps running.
    Serve(ConfigFile),
    /// Read the configuration and its secrets, print every mistake, or what serve would do
    ///
    /// Nothing is started and no network is used. Mistakes go to standard error, each with file, line and key.
    Check(ConfigFile),
    /// Print the configuration of what stands in front: Envoy, Istio or Envoy Gateway
    ///
    /// Names, ports, paths and timeouts come from the configuration of coatcheck, so that both sides agree. It is
    /// YAML to start from: comments say why things are as they are, and PLACEHOLDER marks what only you know. A
    /// configuration that `check` refuses is refused here in the same words.
    Render(render::Render),
    /// Print the JSON Schema of the configuration (draft 2020-12)
    ///
    /// With the YAML language server: `# yaml-language-server: $schema=coatcheck.schema.json` as the first line
    /// of the configuration.
    Schema,
    /// Print a new server key: 32 random bytes in base64url
    ///
    /// Put it into a file for `keys[].file`, or into a variable for `keys[].value: ${NAME}`.
    Keygen,
}

#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration [default: $COATCHECK_CONFIG, else ./coatcheck.yaml]
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Does it.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let environment = ProcessEnvironment;
    match arguments.command {
        Command::Serve(file) => serve(&file),
        Command::Check(file) => check(&file, &environment),
        Command::Render(what) => render::run(&what, &environment),
        Command::Schema => print(&format_args!("{:#}", config::schema())),
        Command::Keygen => print(&*config::generate_key()),
    }
}

fn serve(file: &ConfigFile) -> ExitCode {
    let environment = ProcessEnvironment;
    let Some((config, warnings)) = load(file, &environment) else { return ExitCode::FAILURE };
    let origin = Origin { path: file.path(&environment), environment: Arc::new(environment) };
    match coatcheck::app::serve(config, &warnings, origin) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format_args!("coatcheck: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn check(file: &ConfigFile, environment: &dyn Environment) -> ExitCode {
    let Some((config, warnings)) = load(file, environment) else { return ExitCode::FAILURE };
    for warning in warnings.iter() {
        complain(&format_args!("warning: {warning}"));
    }
    print(&outline::Outline(&config))
}

/// The configuration; `None` after its mistakes have been printed.
fn load(file: &ConfigFile, environment: &dyn Environment) -> Option<(Config, Warnings)> {
    let path = file.path(environment);
    match config::load(&path, environment) {
        Ok(loaded) => Some(loaded),
        Err(mistakes) => {
            complain(&mistakes);
            let count = mistakes.iter().count();
            let noun = if count == 1 { "mistake" } else { "mistakes" };
            complain(&format_args!("coatcheck: {count} {noun} in {}; nothing was started", path.display()));
            None
        }
    }
}

impl ConfigFile {
    fn path(&self, environment: &dyn Environment) -> PathBuf {
        let named = || environment.var("COATCHECK_CONFIG").filter(|path| !path.is_empty()).map(PathBuf::from);
        self.config.clone().or_else(named).unwrap_or_else(|| PathBuf::from("coatcheck.yaml"))
    }
}

/// To standard output. A reader that goes away early (`| head`) is no failure of ours.
fn print(text: &dyn Display) -> ExitCode {
    match writeln!(io::stdout().lock(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format_args!("coatcheck: cannot write: {error}"));
            ExitCode::FAILURE
        }
        Ok(()) | Err(_) => ExitCode::SUCCESS,
    }
}

/// To standard error. If that fails too, nobody is listening.
fn complain(text: &dyn Display) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}
