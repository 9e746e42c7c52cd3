//! What is wrong with a file of statements.

use super::Failure;
use crate::verify::statements::StatementsError;

impl From<StatementsError> for Failure {
    fn from(error: StatementsError) -> Self {
        Self::usage(
            error.to_string(),
            "Such a file holds statements that read or write rows (select, insert, update, delete, merge, with), each ended by a semicolon.",
        )
    }
}
