//! Requests that a store did not answer as it should, and that are sent again: whoever waits for them is told.
//!
//! The library sends them again by itself, and says so to nobody. So what it speaks HTTP with is wrapped, and looked at. A store that
//! is busy may do that to thousands of requests: they are told together, now and then.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    ReqwestConnector,
};

use super::error::{innermost, without_secrets};
use crate::event::{Emit, What};

/// Those of this time are told together.
const PAUSE: Duration = Duration::from_secs(10);

/// Who hears of it, in this process.
static HEARS: Mutex<Option<Hears>> = Mutex::new(None);

struct Hears {
    emit: Arc<dyn Emit>,
    told_at: Option<Instant>,
    untold: Option<Untold>,
}

struct Untold {
    store: String,
    because: String,
    requests: u64,
}

/// From now on it is told here.
pub fn tell_setbacks(emit: Arc<dyn Emit>) {
    *hears() = Some(Hears {
        emit,
        told_at: None,
        untold: None,
    });
}

/// Tells what is not told yet.
pub fn tell_setbacks_left() {
    if let Some(hears) = hears().as_mut() {
        hears.tell();
    }
}

fn hears() -> MutexGuard<'static, Option<Hears>> {
    // Nothing panics while it holds the lock; if something did, what is counted would still be true.
    HEARS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request went wrong, and is sent again.
pub(super) fn note(store: &str, because: String) {
    let mut hears = hears();
    let Some(hears) = hears.as_mut() else { return };
    let before = hears.untold.take().map_or(0, |untold| untold.requests);
    hears.untold = Some(Untold {
        store: store.to_owned(),
        because: without_secrets(because),
        requests: before + 1,
    });
    if hears.told_at.is_none_or(|at| at.elapsed() >= PAUSE) {
        hears.tell();
    }
}

impl Hears {
    fn tell(&mut self) {
        let Some(untold) = self.untold.take() else {
            return;
        };
        self.told_at = Some(Instant::now());
        self.emit.emit(What::StoreRetried {
            store: untold.store,
            because: untold.because,
            requests: untold.requests,
        });
    }
}

/// Connects as the library does, and listens.
#[derive(Debug)]
pub(super) struct Listening {
    /// The bucket.
    pub store: String,
}

impl HttpConnector for Listening {
    fn connect(&self, options: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Heard {
            client: ReqwestConnector::default().connect(options)?,
            store: self.store.clone(),
        }))
    }
}

#[derive(Debug)]
struct Heard {
    client: HttpClient,
    store: String,
}

impl Heard {
    async fn ask(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        // What is asked for behind the path may be a signature.
        let asked = format!("{} {}", request.method(), request.uri().path());
        let answer = self.client.execute(request).await;
        if let Some(why) = setback(&answer) {
            note(&self.store, format!("{asked}: {why}"));
        }
        answer
    }
}

impl HttpService for Heard {
    // As the attribute of the library's trait has it.
    fn call<'heard, 'answer>(
        &'heard self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'answer>>
    where
        'heard: 'answer,
        Self: 'answer,
    {
        Box::pin(self.ask(request))
    }
}

/// Why a request is one that the library sends again (`send` in its `client/retry.rs`); `None` if it is not.
fn setback(answer: &Result<HttpResponse, HttpError>) -> Option<String> {
    match answer {
        Ok(answer) => {
            let status = answer.status();
            let is_busy = status.is_server_error() || [408, 429].contains(&status.as_u16());
            is_busy.then(|| status.to_string())
        }
        Err(error) => is_passing(error.kind()).then(|| innermost(error)),
    }
}

fn is_passing(kind: HttpErrorKind) -> bool {
    matches!(
        kind,
        HttpErrorKind::Connect
            | HttpErrorKind::Request
            | HttpErrorKind::Timeout
            | HttpErrorKind::Interrupted
    )
}
