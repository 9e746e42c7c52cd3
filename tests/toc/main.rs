//! The table of contents, read from real archives (`fixtures/archives`, made by `make.sh` there) and checked against what
//! `pg_restore` and another reader say of the same files.

mod archives;
mod damage;
mod oracle;
mod round_trip;
