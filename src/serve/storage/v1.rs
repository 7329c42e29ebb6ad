//! `jaeger.storage.v1`: traces in Jaeger's own words.

use std::collections::BTreeSet;
use std::sync::Arc;

use prost::Message as _;
use tonic::{Request, Response, Status};

use crate::model::{SpanKind, TraceId};
use crate::proto::jaeger::api_v2::{self, DependencyLink};
use crate::proto::jaeger::storage::v1::archive_span_reader_plugin_server::ArchiveSpanReaderPlugin;
use crate::proto::jaeger::storage::v1::dependencies_reader_plugin_server::DependenciesReaderPlugin;
use crate::proto::jaeger::storage::v1::span_reader_plugin_server::SpanReaderPlugin;
use crate::proto::jaeger::storage::v1::{
    FindTraceIDsRequest, FindTraceIDsResponse, FindTracesRequest, GetDependenciesRequest,
    GetDependenciesResponse, GetOperationsRequest, GetOperationsResponse, GetServicesRequest,
    GetServicesResponse, GetTraceRequest, Operation, SpansResponseChunk, TraceQueryParameters,
};
use crate::query::{Conditions, Query};
use crate::serve::answer::{self, Cap, Chunk, Desk};
use crate::serve::searched::Searched;
use crate::serve::stream::{Outlet, Stream};
use crate::serve::{grpc, services, times};
use crate::translate::jaeger;

/// Jaeger compares it, letter by letter.
const NO_TRACE: &str = "trace not found";

/// What a span in a chunk takes beside its own bytes, at most.
const FRAME_BYTES: usize = 1 + 5;

static SERVICES: Cap = Cap::new("services");
static OPERATIONS: Cap = Cap::new("operations");
static CALLS: Cap = Cap::new("dependencies");

/// Reads spans.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) desk: Desk,
    /// What the kind of an operation is called that has none.
    pub(super) missing_kind: Arc<str>,
}

/// Reads what is kept for good.
#[derive(Debug)]
pub(super) struct ArchiveReader(pub(super) Desk);

/// Reads who calls whom.
#[derive(Debug)]
pub(super) struct Dependencies(pub(super) Desk);

#[tonic::async_trait]
impl SpanReaderPlugin for Reader {
    type GetTraceStream = Stream<SpansResponseChunk>;
    type FindTracesStream = Stream<SpansResponseChunk>;

    async fn get_trace(
        &self,
        request: Request<GetTraceRequest>,
    ) -> Result<Response<Self::GetTraceStream>, Status> {
        trace(&self.desk, request.get_ref()).await
    }

    async fn get_services(
        &self,
        _request: Request<GetServicesRequest>,
    ) -> Result<Response<GetServicesResponse>, Status> {
        let names = self.desk.ask(|query| Ok(services::names(query)?)).await?;
        let services = SERVICES.fitting(names, |name| name.len() + FRAME_BYTES);
        Ok(Response::new(GetServicesResponse { services }))
    }

    async fn get_operations(
        &self,
        request: Request<GetOperationsRequest>,
    ) -> Result<Response<GetOperationsResponse>, Status> {
        let GetOperationsRequest { service, span_kind } = request.into_inner();
        let found = self.desk.ask(move |query| Ok(services::operations(query, &service, None)?)).await?;
        let named = found.into_iter().map(|operation| Operation {
            name: operation.name,
            span_kind: self.name_of(operation.kind).to_owned(),
        });
        let is_asked = |operation: &Operation| span_kind.is_empty() || operation.span_kind == span_kind;
        // Each name may stand there twice.
        let bytes_of = |operation: &Operation| 2 * operation.encoded_len() + 2 * FRAME_BYTES;
        let operations = OPERATIONS.fitting(named.filter(is_asked), bytes_of);
        let names: BTreeSet<&String> = operations.iter().map(|operation| &operation.name).collect();
        Ok(Response::new(GetOperationsResponse {
            operation_names: names.into_iter().cloned().collect(),
            operations,
        }))
    }

    async fn find_traces(
        &self,
        request: Request<FindTracesRequest>,
    ) -> Result<Response<Self::FindTracesStream>, Status> {
        let conditions = conditions(request.into_inner().query)?;
        let ids = self.desk.find(conditions).await?;
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            let mut chunk = Chunk::default();
            for id in ids {
                add_trace(&mut chunk, query, id, outlet)?;
            }
            chunk.send(outlet)
        };
        self.desk.stream(answer).await.map(Response::new)
    }

    async fn find_trace_i_ds(
        &self,
        request: Request<FindTraceIDsRequest>,
    ) -> Result<Response<FindTraceIDsResponse>, Status> {
        let conditions = conditions(request.into_inner().query)?;
        let ids = self.desk.find(conditions).await?;
        let trace_ids = ids.into_iter().map(|id| id.0.to_vec().into()).collect();
        Ok(Response::new(FindTraceIDsResponse { trace_ids }))
    }
}

impl Reader {
    fn name_of(&self, kind: SpanKind) -> &str {
        if kind == SpanKind::Unspecified { &self.missing_kind } else { kind.name() }
    }
}

#[tonic::async_trait]
impl ArchiveSpanReaderPlugin for ArchiveReader {
    type GetArchiveTraceStream = Stream<SpansResponseChunk>;

    async fn get_archive_trace(
        &self,
        request: Request<GetTraceRequest>,
    ) -> Result<Response<Self::GetArchiveTraceStream>, Status> {
        trace(&self.0, request.get_ref()).await
    }
}

#[tonic::async_trait]
impl DependenciesReaderPlugin for Dependencies {
    async fn get_dependencies(
        &self,
        request: Request<GetDependenciesRequest>,
    ) -> Result<Response<GetDependenciesResponse>, Status> {
        let asked = request.get_ref();
        let bounds = times::bounds(("start_time", &asked.start_time), ("end_time", &asked.end_time));
        let bounds = bounds.map_err(grpc::Error::from)?;
        let calls = self.0.ask(move |query| Ok(services::calls(query, bounds, false, |_| true)?)).await?;
        let links = calls.into_iter().map(|((parent, child), call_count)| DependencyLink {
            parent: parent.into(),
            child: child.into(),
            call_count,
            ..DependencyLink::default()
        });
        let dependencies = CALLS.fitting(links, |link| link.encoded_len() + FRAME_BYTES);
        Ok(Response::new(GetDependenciesResponse { dependencies }))
    }
}

/// A whole trace. The times that come with its id are hints where to look, which are not needed here.
async fn trace(
    desk: &Desk,
    request: &GetTraceRequest,
) -> Result<Response<Stream<SpansResponseChunk>>, Status> {
    let id = grpc::trace_id(&request.trace_id)?;
    times::moment(("start_time", &request.start_time)).map_err(grpc::Error::from)?;
    times::moment(("end_time", &request.end_time)).map_err(grpc::Error::from)?;
    let answer = move |query: &Query, outlet: &mut Outlet<_>| {
        let mut chunk = Chunk::default();
        if !add_trace(&mut chunk, query, id, outlet)? {
            return Err(Status::not_found(NO_TRACE));
        }
        chunk.send(outlet)
    };
    desk.stream(answer).await.map(Response::new)
}

fn conditions(asked: Option<TraceQueryParameters>) -> Result<Conditions, grpc::Error> {
    let asked = asked.unwrap_or_default();
    let searched = Searched {
        service: asked.service_name,
        operation: asked.operation_name,
        start_time_min: asked.start_time_min,
        start_time_max: asked.start_time_max,
        duration_min: asked.duration_min,
        duration_max: asked.duration_max,
        traces: asked.num_traces,
    };
    searched.with_tags(asked.tags)
}

/// Adds a trace, and sends what is full; whether there is such a trace.
fn add_trace(
    chunk: &mut Chunk,
    query: &Query,
    id: TraceId,
    outlet: &mut Outlet<SpansResponseChunk>,
) -> Result<bool, Status> {
    answer::each_piece(query, id, outlet, |outlet, spans| {
        spans.iter().try_for_each(|span| chunk.add(jaeger::span(span), outlet))
    })
}

impl From<Vec<api_v2::Span>> for SpansResponseChunk {
    fn from(spans: Vec<api_v2::Span>) -> Self {
        Self { spans }
    }
}
