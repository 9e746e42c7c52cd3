//! Servers that have given out billions of transaction ids.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use pgconvoy::pg::cluster::StopMode;

use super::server::Server;

/// Has the server give out transaction ids from this one on; it is restarted for it.
pub fn give_out_from(server: &mut Server, id: u32) {
    server.cluster.stop(StopMode::Fast).expect("stopped");
    let data_dir = server.cluster.data_dir();
    let owner = fs::metadata(&data_dir).expect("it is there");
    let reset = Command::new(server.cluster.bin_dir().join("pg_resetwal"))
        .args(["-x", &id.to_string(), "-D"])
        .arg(&data_dir)
        .current_dir("/")
        .uid(owner.uid())
        .gid(owner.gid())
        .output()
        .expect("pg_resetwal starts");
    assert!(reset.status.success(), "{reset:?}");
    server.cluster.resume().expect("started");
}
