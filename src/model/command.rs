//! The command that a run's session belongs to, as records and reports name it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The command of a session. It is read and written as the word that the operator types.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum RunCommand {
    /// Brings a database from one server to another.
    Move,
    /// A move into a target that is not needed afterwards.
    Rehearse,
    /// Brings a database into an archive.
    Dump,
    /// Brings an archive to a server.
    Restore,
    /// Goes on with a run of one of the others.
    Resume,
    /// Brings what can still be read of a damaged database to a server, or into an archive.
    Salvage,
    /// Compares.
    Verify,
    /// Changes the target to what the source holds, and compares.
    Sync,
    /// Turns over from the source to the target that follows it.
    Cutover,
    /// Turns back from the target to the source that follows it.
    Fallback,
    /// A word that is not known here, of the record of a newer pgconvoy; kept as it is. Made by reading alone, so it is none of the above.
    Other(String),
}

impl RunCommand {
    /// All that are known here.
    pub const ALL: [Self; 10] = [
        Self::Move,
        Self::Rehearse,
        Self::Dump,
        Self::Restore,
        Self::Resume,
        Self::Salvage,
        Self::Verify,
        Self::Sync,
        Self::Cutover,
        Self::Fallback,
    ];

    /// The word for it; empty if it was not said.
    pub fn word(&self) -> &str {
        match self {
            Self::Move => "move",
            Self::Rehearse => "rehearse",
            Self::Dump => "dump",
            Self::Restore => "restore",
            Self::Resume => "resume",
            Self::Salvage => "salvage",
            Self::Verify => "verify",
            Self::Sync => "sync",
            Self::Cutover => "cutover",
            Self::Fallback => "fallback",
            Self::Other(word) => word,
        }
    }

    /// Whether it is about two sides that are compared, be it after one was brought to what the other holds.
    pub fn compares(&self) -> bool {
        *self == Self::Verify || self.is_sync()
    }

    /// Whether it brings one side to what the other holds: a sync, and the sync that a turn makes.
    pub fn is_sync(&self) -> bool {
        *self == Self::Sync || self.is_turn()
    }

    /// Whether one side takes over from the other.
    pub fn is_turn(&self) -> bool {
        matches!(self, Self::Cutover | Self::Fallback)
    }
}

/// Not said yet: of a report whose record has no `run_started`.
impl Default for RunCommand {
    fn default() -> Self {
        Self::Other(String::new())
    }
}

impl fmt::Display for RunCommand {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

impl From<String> for RunCommand {
    fn from(word: String) -> Self {
        let mut known = Self::ALL.into_iter();
        let known = known.find(|command| command.word() == word);
        known.unwrap_or(Self::Other(word))
    }
}

impl From<RunCommand> for String {
    fn from(command: RunCommand) -> Self {
        match command {
            RunCommand::Other(word) => word,
            known => known.word().to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> RunCommand {
        serde_json::from_str(&format!("\"{word}\"")).expect("a command")
    }

    /// The words are in records that were written long ago, and scripts read them.
    #[test]
    fn every_word_is_kept() {
        let words = [
            "move", "rehearse", "dump", "restore", "resume", "salvage", "verify", "sync",
            "cutover", "fallback",
        ];
        assert_eq!(RunCommand::ALL.map(String::from), words);
        for (command, word) in RunCommand::ALL.into_iter().zip(words) {
            let json = serde_json::to_string(&command).expect("is JSON");
            assert_eq!(json, format!("\"{word}\""));
            assert_eq!(command.to_string(), word);
            assert_eq!(read(word), command);
        }
    }

    #[test]
    fn a_word_that_is_not_known_survives() {
        for word in ["weather", "Move", "move ", ""] {
            let command = read(word);
            assert_eq!(command, RunCommand::Other(word.to_owned()));
            let json = serde_json::to_string(&command).expect("is JSON");
            assert_eq!(json, format!("\"{word}\""));
            assert!(!command.compares(), "{word}");
        }
        assert_eq!(read(""), RunCommand::default());
    }

    #[test]
    fn each_turn_is_a_sync_and_each_sync_compares() {
        let which = |is: fn(&RunCommand) -> bool| {
            let words = RunCommand::ALL.into_iter().filter(is).map(String::from);
            words.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(which(RunCommand::is_turn), "cutover fallback");
        assert_eq!(which(RunCommand::is_sync), "sync cutover fallback");
        assert_eq!(which(RunCommand::compares), "verify sync cutover fallback");
    }
}
