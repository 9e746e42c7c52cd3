//! What to leave out of every object: owners, grants, comments and the like.

use clap::Args;

use crate::toc::RestoreOptions;

/// What to leave out.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What to leave out")]
pub struct LeaveOutArgs {
    /// Leave out owners; what is created belongs to the role that connects to the target
    #[arg(short = 'O', long)]
    no_owner: bool,

    /// Leave out grants and default privileges
    #[arg(short = 'x', long, visible_alias = "no-privileges")]
    no_acl: bool,

    /// Leave out tablespaces; what is created goes to the target database's own
    #[arg(long)]
    no_tablespaces: bool,

    /// Leave out comments
    #[arg(long)]
    no_comments: bool,

    /// Leave out publications
    #[arg(long)]
    no_publications: bool,

    /// Leave out subscriptions (those that are moved arrive disabled)
    #[arg(long)]
    no_subscriptions: bool,

    /// Leave out security labels
    #[arg(long)]
    no_security_labels: bool,
}

impl LeaveOutArgs {
    /// The same in the terms of the table of contents.
    pub fn restore_options(&self, create_database: bool) -> RestoreOptions {
        RestoreOptions {
            no_owner: self.no_owner,
            no_acl: self.no_acl,
            no_tablespaces: self.no_tablespaces,
            no_comments: self.no_comments,
            no_publications: self.no_publications,
            no_subscriptions: self.no_subscriptions,
            no_security_labels: self.no_security_labels,
            create_database,
            ..RestoreOptions::default()
        }
    }
}
