//! Salvage from data directories that are really damaged: the server is stopped, files are changed, the server is started, and
//! what arrives elsewhere is compared, row by row, with what was there before.
//!
//! | file | |
//! |---|---|
//! | `lab` | a server with a database for each damage, and what must come of it |
//! | `archive` | an archive instead of a target, with the account in it |
//! | `bare` | tables that no index tells of |
//! | `apart` | a part of a database, a tablespace that is gone, prepared transactions |
//! | `heaps` | damaged pages and files of tables |
//! | `values` | damaged TOAST, values and transactions |
//! | `around` | damaged indexes and maps; a server that crashes; constraints; resuming |
//! | `parts` | long values of which there are many |
//! | `refused` | values that no other server takes; rows that exclude each other |
//! | `doubt` | pages with a wrong checksum, read all the same |
//! | `catalogs` | damaged catalogs, and definitions from elsewhere |
//! | `objects` | sequences, large objects, materialized views; transactions nobody knows of; values that hang |
//! | `swapped` | pages in the place of others; entries marked as dead; rows that had been deleted |
//! | `noise` | pages overwritten at random, and what is held against what comes of it |
//! | `chance` | one of them at a time |
//! | `large` | ten at a time, in a database of 200 MB |
//! | `segments` | tables of several files of a gigabyte |
//! | `cost` | what one bad block in a gigabyte costs |
//! | `memory` | how little of it is used, however much is lost |
//! | `sums` | whether what is there and what is lost add up |
//! | `story` | a relation file that is missing, as an operator meets it |

#[path = "../support/mod.rs"]
mod support;

mod apart;
mod archive;
mod around;
mod bare;
mod catalogs;
mod chance;
mod cost;
mod doubt;
mod heaps;
mod lab;
mod large;
mod memory;
mod noise;
mod objects;
mod parts;
mod refused;
mod segments;
mod story;
mod sums;
mod swapped;
mod values;
