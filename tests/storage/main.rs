//! Archives in object storage, with a real S3 server on this machine: they are dumped, checked, listed and restored; a store that
//! goes away in the middle, or lets nobody in, is told as what it is.
//!
//! | file | |
//! |---|---|
//! | `store` | the S3 server |
//! | `whole` | the whole road, and damage on it |
//! | `parts` | in which pieces a table is sent |
//! | `broken` | uploads that break off |
//! | `scarce` | a source without room for all workers |
//! | `refused` | credentials, buckets and networks that are not as they should be |
//! | `large` | a gigabyte, and the memory that it takes |

#[path = "../support/mod.rs"]
mod support;

mod broken;
mod large;
mod parts;
mod refused;
mod scarce;
mod store;
mod whole;
