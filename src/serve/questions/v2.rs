//! `jaeger.api_v2.QueryService`: traces in Jaeger's words, adjusted unless they are asked for raw.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::{bytes_of, not_found, required, span_kind};
use crate::model::{Clock, Span, TraceId};
use crate::proto::jaeger::api_v2 as proto;
use crate::query::{Conditions, Query, Trace};
use crate::serve::answer::{self, Cap, Chunk, Desk};
use crate::serve::budget::Share;
use crate::serve::grpc::{self, Error, Source};
use crate::serve::searched::Searched;
use crate::serve::stream::{Outlet, Stream};
use crate::serve::turns::Turns;
use crate::serve::{services, times};
use crate::translate::jaeger;

/// Spans of a trace that is adjusted, for which all of it is needed at once.
const MAX_ADJUSTED_BYTES: usize = 24 << 20;

/// What is more than this takes a share of what answers may take together.
const MAX_HELD_BYTES: usize = 4 << 20;

static SERVICES: Cap = Cap::new("services");
static OPERATIONS: Cap = Cap::new("operations");
static CALLS: Cap = Cap::new("dependencies");

/// Answers from what is stored.
#[derive(Debug)]
pub(super) struct Answers {
    desk: Desk,
    turns: Turns,
    clock: Arc<dyn Clock>,
}

impl Answers {
    pub(super) fn of(source: Source) -> Self {
        Self { turns: source.turns.clone(), clock: Arc::clone(&source.clock), desk: Desk::new(source) }
    }
}

#[tonic::async_trait]
impl proto::query_service_server::QueryService for Answers {
    type GetTraceStream = Stream<proto::SpansResponseChunk>;
    type FindTracesStream = Stream<proto::SpansResponseChunk>;

    async fn get_trace(
        &self,
        request: Request<proto::GetTraceRequest>,
    ) -> Result<Response<Self::GetTraceStream>, Status> {
        let proto::GetTraceRequest { trace_id, start_time, end_time, raw_traces } = request.into_inner();
        let id = grpc::trace_id(&trace_id)?;
        // Hints where to look, which are not needed here.
        times::moment(("start_time", &start_time)).map_err(Error::from)?;
        times::moment(("end_time", &end_time)).map_err(Error::from)?;
        let turns = self.turns.clone();
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            let mut chunk = Chunk::default();
            let is_found = Held::new(&turns, raw_traces).put_trace(query, id, &mut chunk, outlet)?;
            if is_found { chunk.send(outlet) } else { Err(not_found()) }
        };
        self.desk.stream(answer).await.map(Response::new)
    }

    async fn archive_trace(
        &self,
        request: Request<proto::ArchiveTraceRequest>,
    ) -> Result<Response<proto::ArchiveTraceResponse>, Status> {
        let id = grpc::trace_id(&request.get_ref().trace_id)?;
        let now = self.clock.now();
        let is_pinned = self.desk.ask(move |query| Ok(query.pin(id, now)?)).await?;
        if is_pinned { Ok(Response::new(proto::ArchiveTraceResponse {})) } else { Err(not_found()) }
    }

    async fn find_traces(
        &self,
        request: Request<proto::FindTracesRequest>,
    ) -> Result<Response<Self::FindTracesStream>, Status> {
        let asked = required(request.into_inner().query)?;
        let is_raw = asked.raw_traces;
        let ids = self.desk.find(conditions(asked)?).await?;
        let turns = self.turns.clone();
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            let mut chunk = Chunk::default();
            for id in ids {
                let _is_there_still = Held::new(&turns, is_raw).put_trace(query, id, &mut chunk, outlet)?;
            }
            chunk.send(outlet)
        };
        self.desk.stream(answer).await.map(Response::new)
    }

    async fn get_services(
        &self,
        _request: Request<proto::GetServicesRequest>,
    ) -> Result<Response<proto::GetServicesResponse>, Status> {
        let names = self.desk.ask(|query| Ok(services::names(query)?)).await?;
        let services = SERVICES.fitting(names, bytes_of);
        Ok(Response::new(proto::GetServicesResponse { services }))
    }

    async fn get_operations(
        &self,
        request: Request<proto::GetOperationsRequest>,
    ) -> Result<Response<proto::GetOperationsResponse>, Status> {
        let proto::GetOperationsRequest { service, span_kind: kind } = request.into_inner();
        let kind = span_kind(&kind)?;
        let found = self.desk.ask(move |query| Ok(services::operations(query, &service, kind)?)).await?;
        let named = found.into_iter().map(|operation| proto::Operation {
            name: operation.name,
            span_kind: operation.kind.name().to_owned(),
        });
        // Each name may stand there twice.
        let operations = OPERATIONS.fitting(named, |operation| 2 * bytes_of(operation));
        let names: BTreeSet<&String> = operations.iter().map(|operation| &operation.name).collect();
        let operation_names = names.into_iter().cloned().collect();
        Ok(Response::new(proto::GetOperationsResponse { operation_names, operations }))
    }

    async fn get_dependencies(
        &self,
        request: Request<proto::GetDependenciesRequest>,
    ) -> Result<Response<proto::GetDependenciesResponse>, Status> {
        let proto::GetDependenciesRequest { start_time, end_time } = request.into_inner();
        let bounds = times::bounds(("start_time", &start_time), ("end_time", &end_time));
        let bounds = bounds.map_err(Error::from)?;
        let calls = self.desk.ask(move |query| Ok(services::calls(query, bounds, false, |_| true)?)).await?;
        let links = calls.into_iter().map(|((parent, child), call_count)| proto::DependencyLink {
            parent: parent.into(),
            child: child.into(),
            call_count,
            ..proto::DependencyLink::default()
        });
        let dependencies = CALLS.fitting(links, bytes_of);
        Ok(Response::new(proto::GetDependenciesResponse { dependencies }))
    }
}

/// What is searched for.
fn conditions(asked: proto::TraceQueryParameters) -> Result<Conditions, Error> {
    let searched = Searched {
        service: asked.service_name,
        operation: asked.operation_name,
        start_time_min: asked.start_time_min,
        start_time_max: asked.start_time_max,
        duration_min: asked.duration_min,
        duration_max: asked.duration_max,
        traces: asked.search_depth,
    };
    searched.with_tags(asked.tags)
}

/// A trace as it is read, until it is known whether it can be adjusted.
struct Held<'a> {
    turns: &'a Turns,
    is_raw: bool,
    bytes: usize,
    spans: Vec<Span>,
    share: Option<Share>,
}

impl<'a> Held<'a> {
    fn new(turns: &'a Turns, is_raw: bool) -> Self {
        Self { turns, is_raw, bytes: 0, spans: Vec::new(), share: None }
    }

    /// Whether there is anything of the trace.
    fn put_trace(
        mut self,
        query: &Query,
        id: TraceId,
        chunk: &mut Chunk,
        outlet: &mut Outlet<proto::SpansResponseChunk>,
    ) -> Result<bool, Status> {
        let is_found = answer::each_piece(query, id, outlet, |outlet, piece| self.add(piece, chunk, outlet))?;
        let trace = Trace::new(id, self.spans);
        jaeger::adjusted(&trace.spans).try_for_each(|span| chunk.add(span, outlet))?;
        Ok(is_found)
    }

    fn add(
        &mut self,
        piece: &[Span],
        chunk: &mut Chunk,
        outlet: &mut Outlet<proto::SpansResponseChunk>,
    ) -> Result<(), Status> {
        self.bytes += piece.iter().map(|span| span.body.len()).sum::<usize>();
        self.spans.extend_from_slice(piece);
        if self.is_raw || self.bytes > MAX_ADJUSTED_BYTES {
            self.share = None;
            let spans = std::mem::take(&mut self.spans);
            return spans.iter().try_for_each(|span| chunk.add(jaeger::span(span), outlet));
        }
        if self.bytes > MAX_HELD_BYTES && self.share.is_none() {
            self.share = Some(self.turns.share_of_spans().map_err(Error::from)?);
        }
        Ok(())
    }
}

impl From<Vec<proto::Span>> for proto::SpansResponseChunk {
    fn from(spans: Vec<proto::Span>) -> Self {
        Self { spans }
    }
}
