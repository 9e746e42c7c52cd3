//! Where requests run, and how to wait for one.
//!
//! Whoever reads and writes files blocks; requests are asynchronous, and must go on whoever blocks. So they have threads of their
//! own, for as long as the process lives.

use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, Wake};
use std::thread::{self, Thread};

use tokio::runtime::{Handle, Runtime, RuntimeFlavor};
use tokio::task::unconstrained;

use super::StoreError;

/// Threads for requests: they encrypt, and hash what they send.
const FEWEST_THREADS: usize = 2;

static RUNTIME: OnceLock<Option<Runtime>> = OnceLock::new();

/// Where requests run.
pub(super) fn handle(store: &str) -> Result<Handle, StoreError> {
    let runtime = RUNTIME.get_or_init(|| {
        let cores = thread::available_parallelism().map_or(1, usize::from);
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(cores.max(FEWEST_THREADS))
            .thread_name("pgconvoy-store")
            .enable_all()
            .build()
            .ok()
    });
    let runtime = runtime.as_ref().ok_or_else(|| StoreError::Settings {
        store: store.to_owned(),
        why: "threads for requests cannot be started".to_owned(),
    })?;
    Ok(runtime.handle().clone())
}

/// Blocks until something is there. Among the threads of a runtime another takes over meanwhile.
pub(super) fn wait<F: Future>(future: F) -> F::Output {
    let is_worker =
        Handle::try_current().is_ok_and(|here| here.runtime_flavor() == RuntimeFlavor::MultiThread);
    if is_worker {
        tokio::task::block_in_place(|| park_until(future))
    } else {
        park_until(future)
    }
}

fn park_until<F: Future>(future: F) -> F::Output {
    // Within a task there is an allowance of steps, after which everything claims to wait.
    let mut future = pin!(unconstrained(future));
    let waker = Arc::new(Unpark(thread::current())).into();
    let mut context = Context::from_waker(&waker);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
