//! `jaeger.storage.v2`: traces in OTLP's words.

use std::collections::HashSet;

use prost::Message as _;
use tonic::{Request, Response, Status};

use super::value::text;
use crate::model::TraceId;
use crate::proto::jaeger::storage::v2::dependency_reader_server::DependencyReader;
use crate::proto::jaeger::storage::v2::trace_reader_server::TraceReader;
use crate::proto::jaeger::storage::v2::{
    Dependency, FindTraceIDsRequest, FindTraceIDsResponse, FindTraceSummariesRequest,
    FindTraceSummariesResponse, FindTracesRequest, FoundTraceId, GetDependenciesRequest,
    GetDependenciesResponse, GetOperationsRequest, GetOperationsResponse, GetServicesRequest,
    GetServicesResponse, GetTracesRequest, Operation, ServiceSummary, TraceQueryParameters, TraceSummary,
};
use crate::proto::opentelemetry::proto::trace::v1::TracesData;
use crate::query::{Cancel, Conditions, Query};
use crate::serve::answer::{self, Cap, Desk, ENOUGH_BYTES, MAX_BYTES, MAX_SPANS};
use crate::serve::searched::Searched;
use crate::serve::stream::{Outlet, Stream};
use crate::serve::summary::{Summary, counted};
use crate::serve::{grpc, services, times};
use crate::translate::otlp;

/// What an item of a list takes beside its own bytes, at most.
const FRAME_BYTES: usize = 1 + 5;

/// Traces whose bounds are told with their ids: each has to be looked up for that.
const MAX_BOUNDS: usize = 1_000;

static SERVICES: Cap = Cap::new("services");
static OPERATIONS: Cap = Cap::new("operations");
static CALLS: Cap = Cap::new("dependencies");
static PARTAKERS: Cap = Cap::new("services of a trace");

/// Reads traces.
#[derive(Debug)]
pub(super) struct Reader(pub(super) Desk);

/// Reads who calls whom.
#[derive(Debug)]
pub(super) struct Dependencies(pub(super) Desk);

#[tonic::async_trait]
impl TraceReader for Reader {
    type GetTracesStream = Stream<TracesData>;
    type FindTracesStream = Stream<TracesData>;
    type FindTraceSummariesStream = Stream<FindTraceSummariesResponse>;

    /// Traces that are not there are none. The times that come with an id are hints, which are not needed here.
    async fn get_traces(
        &self,
        request: Request<GetTracesRequest>,
    ) -> Result<Response<Self::GetTracesStream>, Status> {
        let mut seen = HashSet::new();
        let mut ids = Vec::new();
        for asked in &request.get_ref().query {
            let id = grpc::trace_id(&asked.trace_id)?;
            times::moment(("start_time", &asked.start_time)).map_err(grpc::Error::from)?;
            times::moment(("end_time", &asked.end_time)).map_err(grpc::Error::from)?;
            ids.extend(Some(id).filter(|id| seen.insert(*id)));
        }
        self.traces(ids).await
    }

    async fn get_services(
        &self,
        _request: Request<GetServicesRequest>,
    ) -> Result<Response<GetServicesResponse>, Status> {
        let names = self.0.ask(|query| Ok(services::names(query)?)).await?;
        let services = SERVICES.fitting(names, |name| name.len() + FRAME_BYTES);
        Ok(Response::new(GetServicesResponse { services }))
    }

    async fn get_operations(
        &self,
        request: Request<GetOperationsRequest>,
    ) -> Result<Response<GetOperationsResponse>, Status> {
        let GetOperationsRequest { service, span_kind } = request.into_inner();
        let found = self.0.ask(move |query| Ok(services::operations(query, &service, None)?)).await?;
        let named = found
            .into_iter()
            .map(|operation| Operation { name: operation.name, span_kind: operation.kind.name().to_owned() });
        let is_asked = |operation: &Operation| span_kind.is_empty() || operation.span_kind == span_kind;
        let bytes_of = |operation: &Operation| operation.encoded_len() + FRAME_BYTES;
        let operations = OPERATIONS.fitting(named.filter(is_asked), bytes_of);
        Ok(Response::new(GetOperationsResponse { operations }))
    }

    async fn find_traces(
        &self,
        request: Request<FindTracesRequest>,
    ) -> Result<Response<Self::FindTracesStream>, Status> {
        let conditions = conditions(request.into_inner().query)?;
        let ids = self.0.find(conditions).await?;
        self.traces(ids).await
    }

    async fn find_trace_i_ds(
        &self,
        request: Request<FindTraceIDsRequest>,
    ) -> Result<Response<FindTraceIDsResponse>, Status> {
        let conditions = conditions(request.into_inner().query)?;
        let ids = self.0.find(conditions).await?;
        let found = move |query: &Query, cancel: &Cancel| {
            let mut trace_ids = Vec::with_capacity(ids.len());
            for (place, id) in ids.into_iter().enumerate().take_while(|_| !cancel.is_cancelled()) {
                let bounds = if place < MAX_BOUNDS { query.bounds(id)? } else { None };
                trace_ids.push(FoundTraceId {
                    trace_id: id.0.to_vec().into(),
                    start: bounds.map(|(start, _)| times::said(start)),
                    end: bounds.map(|(_, end)| times::said(end)),
                });
            }
            Ok(trace_ids)
        };
        let trace_ids = self.0.ask_unless(found).await?;
        Ok(Response::new(FindTraceIDsResponse { trace_ids }))
    }

    async fn find_trace_summaries(
        &self,
        request: Request<FindTraceSummariesRequest>,
    ) -> Result<Response<Self::FindTraceSummariesStream>, Status> {
        let conditions = conditions(request.into_inner().query)?;
        let ids = self.0.find(conditions).await?;
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            let mut batch = Batch::default();
            answer::each_summary(query, ids, outlet, |outlet, summary| batch.add(summary.into(), outlet))?;
            batch.send(outlet)
        };
        self.0.stream(answer).await.map(Response::new)
    }
}

impl Reader {
    /// Whole traces, one after the other.
    async fn traces(&self, ids: Vec<TraceId>) -> Result<Response<Stream<TracesData>>, Status> {
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            for id in ids {
                outlet.check()?;
                answer::each_piece(query, id, outlet, |outlet, spans| {
                    otlp::messages(spans, MAX_SPANS, MAX_BYTES).try_for_each(|message| outlet.send(message))
                })?;
            }
            Ok(())
        };
        self.0.stream(answer).await.map(Response::new)
    }
}

#[tonic::async_trait]
impl DependencyReader for Dependencies {
    /// A start that is not set is open, as the end is: Jaeger's memory storage refuses it, and nothing is lost by
    /// answering.
    async fn get_dependencies(
        &self,
        request: Request<GetDependenciesRequest>,
    ) -> Result<Response<GetDependenciesResponse>, Status> {
        let asked = request.get_ref();
        let bounds = times::bounds(("start_time", &asked.start_time), ("end_time", &asked.end_time));
        let bounds = bounds.map_err(grpc::Error::from)?;
        let calls = self.0.ask(move |query| Ok(services::calls(query, bounds, false, |_| true)?)).await?;
        let links = calls.into_iter().map(|((parent, child), call_count)| Dependency {
            parent,
            child,
            call_count,
            source: String::new(),
        });
        let dependencies = CALLS.fitting(links, |link| link.encoded_len() + FRAME_BYTES);
        Ok(Response::new(GetDependenciesResponse { dependencies }))
    }
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
        traces: asked.search_depth,
    };
    let attributes = asked.attributes.into_iter().map(|pair| (pair.key, text(pair.value.as_ref())));
    searched.with_attributes_or_filter(attributes, asked.filter.as_ref())
}

impl From<Summary> for TraceSummary {
    fn from(summary: Summary) -> Self {
        let services = summary.services.into_iter();
        let services = services.map(|(name, (spans, errors))| ServiceSummary {
            name,
            span_count: counted(spans),
            error_span_count: counted(errors),
        });
        Self {
            trace_id: summary.id.0.to_vec().into(),
            root_service_name: summary.root_service,
            root_operation_name: summary.root_name,
            min_start_time_unix_nano: summary.start.nanos(),
            max_end_time_unix_nano: summary.end.nanos(),
            span_count: counted(summary.spans),
            error_span_count: counted(summary.errors),
            orphan_span_count: counted(summary.orphans),
            services: PARTAKERS.fitting(services, |service| service.encoded_len() + FRAME_BYTES),
        }
    }
}

/// Summaries on their way out.
#[derive(Debug, Default)]
struct Batch {
    summaries: Vec<TraceSummary>,
    bytes: usize,
}

impl Batch {
    fn add(
        &mut self,
        summary: TraceSummary,
        outlet: &mut Outlet<FindTraceSummariesResponse>,
    ) -> Result<(), Status> {
        let bytes = summary.encoded_len() + FRAME_BYTES;
        if self.bytes + bytes > ENOUGH_BYTES {
            self.send(outlet)?;
        }
        self.summaries.push(summary);
        self.bytes += bytes;
        Ok(())
    }

    /// Sends what is there.
    fn send(&mut self, outlet: &mut Outlet<FindTraceSummariesResponse>) -> Result<(), Status> {
        let Self { summaries, .. } = std::mem::take(self);
        if summaries.is_empty() { Ok(()) } else { outlet.send(FindTraceSummariesResponse { summaries }) }
    }
}
