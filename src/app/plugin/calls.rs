//! Every call that is not the host's own business with its child: answered by the storage of this process, or passed on
//! to the process that has the data folder.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Request, Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::service::Service as _;
use hyper_util::service::TowerToHyperService;
use tokio::sync::watch;
use tokio::time::Instant;
use tonic::Status;

use super::guest::{Owner, is_not_now};
use super::life::Life;
use super::passing::Held;

/// How long a call waits for somebody who can answer it.
const WAIT_WITHIN: Duration = Duration::from_secs(10);

/// Between two tries of one call.
const PAUSE: Duration = Duration::from_millis(50);

/// What a caller hears whose call could not be passed on once more.
const BROKE_OFF: &str = "the process that has the data folder broke off";

/// What a caller hears whose stream was still passed on when this process was asked to end.
const STREAM_ENDS: &str =
    "this process ends, and with it this stream; how much of it is kept is not known here";

/// Who answers.
#[derive(Debug, Clone, Default)]
pub(super) enum Answering {
    /// Nobody has the data folder that could be reached.
    #[default]
    Nobody,
    /// This process has it.
    Ourselves(Router),
    /// Another one has.
    Another(Owner),
}

/// Where calls come in; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Calls {
    answering: Arc<watch::Sender<Answering>>,
    under_way: Arc<watch::Sender<usize>>,
    life: Life,
}

impl Calls {
    /// Nobody answers yet.
    pub(super) fn new(life: Life) -> Self {
        Self { answering: Arc::default(), under_way: Arc::default(), life }
    }

    /// From now on.
    pub(super) fn answered_by(&self, answering: Answering) {
        self.answering.send_replace(answering);
    }

    /// Until no call is under way.
    pub(super) async fn done(&self) {
        let mut under_way = self.under_way.subscribe();
        // The sender is ours.
        let _there = under_way.wait_for(|calls| *calls == 0).await;
    }

    /// Answers one.
    pub(super) async fn answer(State(calls): State<Self>, request: Request<Body>) -> Response<Body> {
        let call = UnderWay::begin(&calls, request.uri().path());
        let answer = calls.route(request).await;
        answer.map(|body| Body::new(Answer { body, _call: call }))
    }

    async fn route(&self, request: Request<Body>) -> Response<Body> {
        match self.who_answers(Instant::now() + WAIT_WITHIN).await {
            Answering::Ourselves(router) => ask(router, request).await,
            who => self.pass(who, request).await,
        }
    }

    /// To one after the other, while there is time and nothing of the call is lost.
    async fn pass(&self, mut who: Answering, request: Request<Body>) -> Response<Body> {
        let (head, body) = request.into_parts();
        let mut deadline = None;
        let (writes, streams) = (is_write(head.uri.path()), is_stream(head.uri.path()));
        let held = Held::new(body);
        let mut last = unavailable(BROKE_OFF);
        while let Some(body) = held.anew() {
            match who {
                Answering::Nobody => {
                    return unavailable("nobody has the data folder who could be asked; the log has more");
                }
                Answering::Ourselves(router) => {
                    return ask(router, Request::from_parts(head, Body::new(body))).await;
                }
                Answering::Another(owner) => {
                    let head = head.clone();
                    let passed = async {
                        if writes { owner.tell(head, body).await } else { owner.ask(head, body).await }
                    };
                    let answer = tokio::select! {
                        biased;
                        answer = passed => answer,
                        () = self.life.ending(), if streams => return unavailable(STREAM_ENDS),
                    };
                    match answer {
                        // Hosts do not come again with what they write.
                        Ok(answer) if writes && is_not_now(answer.headers()) => last = answer,
                        Ok(answer) => {
                            held.let_go();
                            return answer;
                        }
                        Err(error) => {
                            tracing::debug!(
                                error = &error as &(dyn std::error::Error + 'static),
                                "a call broke off"
                            );
                            last = unavailable(BROKE_OFF);
                        }
                    }
                }
            }
            // It may have been under way for long when this began.
            let deadline = *deadline.get_or_insert_with(|| Instant::now() + WAIT_WITHIN);
            if Instant::now() + PAUSE >= deadline || self.life.is_ending() {
                break;
            }
            tokio::time::sleep(PAUSE).await;
            who = self.who_answers(deadline).await;
        }
        last
    }

    async fn who_answers(&self, deadline: Instant) -> Answering {
        let mut answering = self.answering.subscribe();
        let somebody = answering.wait_for(|who| !matches!(who, Answering::Nobody));
        tokio::select! {
            somebody = somebody => somebody.map(|who| who.clone()).unwrap_or_default(),
            () = tokio::time::sleep_until(deadline) => Answering::Nobody,
            () = self.life.ending() => self.answering.borrow().clone(),
        }
    }
}

/// One call of a router of our own.
pub(super) async fn ask(router: Router, request: Request<Body>) -> Response<Body> {
    let Ok(answer) = TowerToHyperService::new(router).call(request).await;
    answer
}

fn unavailable(why: &str) -> Response<Body> {
    Status::unavailable(why).into_http()
}

/// The services of both versions whose calls bring spans.
fn is_write(path: &str) -> bool {
    path.contains("SpanWriterPlugin/") || path.ends_with("TraceService/Export")
}

/// The method whose calls have no end of their own.
fn is_stream(path: &str) -> bool {
    path.ends_with("SpanWriterPlugin/WriteSpanStream")
}

/// A call that the end of this process waits for; streams that only watch are not waited for.
struct UnderWay(Option<Arc<watch::Sender<usize>>>);

impl UnderWay {
    fn begin(calls: &Calls, path: &str) -> Self {
        let counted = ["/jaeger.", "/opentelemetry."].iter().any(|package| path.starts_with(package));
        let under_way = counted.then(|| Arc::clone(&calls.under_way));
        if let Some(under_way) = &under_way {
            under_way.send_modify(|calls| *calls += 1);
        }
        Self(under_way)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        if let Some(under_way) = &self.0 {
            under_way.send_modify(|calls| *calls -= 1);
        }
    }
}

/// An answer's body, which ends its call.
struct Answer {
    body: Body,
    _call: UnderWay,
}

impl HttpBody for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
