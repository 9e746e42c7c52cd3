//! Only the beginning of what a program writes, and then the program is ended.
//!
//! `pg_dump` in its custom format writes the whole table of contents, as it would be with all data, before any data. Whoever
//! reads the data himself needs nothing else of it.

use std::ffi::OsString;
use std::fs::File;
use std::io::BufReader;
use std::process::Stdio;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt as _;
use tokio::process::Child;

use super::client_tools::{ChildEnvironment, ClientTool, ClientToolError};

/// How long a program may take to end when it is told to.
const PATIENCE: Duration = Duration::from_secs(5);

impl ClientTool {
    /// Runs it until `read` has had enough of what it writes; returns what it has said on stderr as well, with what it says of being ended.
    /// An error of `read` is the program's own failure, if it has failed; the inner error otherwise.
    pub async fn beginning_of<T, E>(
        &self,
        arguments: &[OsString],
        connection: &ChildEnvironment,
        read: impl FnOnce(BufReader<File>) -> Result<T, E> + Send + 'static,
    ) -> Result<Result<(T, Vec<u8>), E>, ClientToolError>
    where
        T: Send + 'static,
        E: Send + 'static,
    {
        let start = |source| self.cannot_start(source);
        let mut command = self.command(arguments, Some(connection))?;
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(start)?;
        let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(start(std::io::ErrorKind::BrokenPipe.into()));
        };
        let said = tokio::spawn(async move {
            let mut said = Vec::new();
            // What cannot be read has not been said.
            let _ = stderr.read_to_end(&mut said).await;
            said
        });
        let stdout = File::from(stdout.into_owned_fd().map_err(start)?);
        let reading = tokio::task::spawn_blocking(move || read(BufReader::new(stdout)));
        let found = reading
            .await
            .map_err(|error| start(std::io::Error::other(error)))?;
        let error = match found {
            Ok(found) => {
                end(&mut child).await;
                return Ok(Ok((found, said.await.unwrap_or_default())));
            }
            Err(error) => error,
        };
        let status = child.wait().await.map_err(start)?;
        let stderr = said.await.unwrap_or_default();
        if status.success() {
            return Ok(Err(error));
        }
        Err(self.failed(arguments, status, &stderr))
    }
}

/// Told to end, it cancels what its server is doing for it; if it does not, it is killed.
async fn end(child: &mut Child) {
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok());
    if let Some(pid) = pid {
        // It may have ended by itself.
        let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
    }
    if tokio::time::timeout(PATIENCE, child.wait()).await.is_err() {
        let _ = child.kill().await;
    }
}
