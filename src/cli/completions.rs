//! `pgconvoy completions` and `pgconvoy man`: what a package installs beside the program, made from the same definitions as the
//! help.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::LazyLock;

use clap::{Args, Command, CommandFactory as _, ValueEnum};

use super::Cli;
use crate::failure::Failure;
use crate::model::ExitStatus;

/// Print completions for a shell
///
/// They belong where the shell looks for them: for bash a file in its directory of completions, for zsh a file `_pgconvoy` in a
/// directory of `$fpath`, for fish `~/.config/fish/completions/pgconvoy.fish`.
#[derive(Debug, Clone, Copy, Args)]
#[command(name = "completions")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

impl CompletionsArgs {
    /// Prints them.
    pub(super) fn start(self) -> Result<ExitStatus, Failure> {
        let shell = match self.shell {
            Shell::Bash => clap_complete::Shell::Bash,
            Shell::Zsh => clap_complete::Shell::Zsh,
            Shell::Fish => clap_complete::Shell::Fish,
        };
        let mut script = Vec::new();
        let mut offered = offered(without_hidden_options);
        clap_complete::generate(shell, &mut offered, "pgconvoy", &mut script);
        print(&script)
    }
}

/// Print the manual page, or write that of every command into a directory
#[derive(Debug, Clone, Args)]
#[command(name = "man")]
pub struct ManArgs {
    /// An existing directory, such as /usr/local/share/man/man1 [default: the page of pgconvoy itself, on stdout]
    #[arg(value_name = "DIR")]
    directory: Option<PathBuf>,
}

impl ManArgs {
    /// Prints it, or writes them.
    pub(super) fn start(self) -> Result<ExitStatus, Failure> {
        let Some(directory) = self.directory else {
            return print(&page(offered(Command::clone))?);
        };
        if !directory.is_dir() {
            return Err(Failure::usage(
                format!("{} is not a directory", directory.display()),
                "Make it first, or name another one.",
            ));
        }
        clap_mangen::generate_to(offered(Command::clone), &directory)
            .map_err(|error| Failure::file("writing into", &directory, &error))?;
        Ok(ExitStatus::Proven)
    }
}

/// The whole command line. It is kept, because a command that is made anew borrows its name from here.
static WHOLE: LazyLock<Command> = LazyLock::new(Cli::command);

/// What the help offers, each command as `made` makes it: commands that are for the program itself are left out.
fn offered(made: fn(&'static Command) -> Command) -> Command {
    let whole: &'static Command = &WHOLE;
    let commands = whole
        .get_subcommands()
        .filter(|command| !command.is_hide_set());
    let mut offered = Command::new("pgconvoy").disable_help_subcommand(true);
    if let Some(about) = whole.get_about() {
        offered = offered.about(about.clone());
    }
    if let Some(after) = whole.get_after_help() {
        offered = offered.after_help(after.clone());
    }
    offered
        .version(env!("CARGO_PKG_VERSION"))
        .subcommands(commands.map(made))
}

/// A command as a shell is told of it, with the options that its help shows. What makes completions offers hidden ones like any other, and an
/// option cannot be taken out of a command: so it is made anew. Groups of options, which name the hidden ones as well, mean nothing to a shell.
fn without_hidden_options(command: &'static Command) -> Command {
    let options = command.get_arguments();
    let options = options.filter(|option| !option.is_hide_set());
    let mut shown = Command::new(command.get_name())
        .visible_aliases(command.get_visible_aliases())
        .args(options);
    if let Some(about) = command.get_about() {
        shown = shown.about(about.clone());
    }
    // With it, `--help` says more than `-h`, and so says its own line.
    if let Some(about) = command.get_long_about() {
        shown = shown.long_about(about.clone());
    }
    shown
}

fn page(command: Command) -> Result<Vec<u8>, Failure> {
    let mut page = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut page)
        .map_err(|error| Failure::defect(format!("making a manual page: {error}")))?;
    Ok(page)
}

fn print(bytes: &[u8]) -> Result<ExitStatus, Failure> {
    let mut stdout = io::stdout().lock();
    stdout
        .write_all(bytes)
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::file("writing", "stdout".as_ref(), &error))?;
    Ok(ExitStatus::Proven)
}
