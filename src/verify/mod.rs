//! Source and target → differences, in one vocabulary.
//!
//! Verification reads the two databases anew and believes nothing else: it never imports `plan`, `execute` or `ledger`, so
//! it cannot inherit the copier's mistakes.
//!
//! | file | compares |
//! |---|---|
//! | `content` | rows of a table: count and multiset hash |

pub mod content;
