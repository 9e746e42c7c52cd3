//! `pgconvoy completions` and `pgconvoy man`: what a package installs beside the program, made from the same definitions as the
//! help.

use std::io::{self, Write as _};
use std::path::PathBuf;

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
        clap_complete::generate(shell, &mut offered(), "pgconvoy", &mut script);
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
            return print(&page(offered())?);
        };
        if !directory.is_dir() {
            return Err(Failure::usage(
                format!("{} is not a directory", directory.display()),
                "Make it first, or name another one.",
            ));
        }
        clap_mangen::generate_to(offered(), &directory)
            .map_err(|error| Failure::file("writing into", &directory, &error))?;
        Ok(ExitStatus::Proven)
    }
}

/// What the help offers: commands that are for the program itself are left out.
fn offered() -> Command {
    let whole = Cli::command();
    let commands: Vec<Command> = whole.get_subcommands().cloned().collect();
    let commands = commands
        .into_iter()
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
        .subcommands(commands)
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
