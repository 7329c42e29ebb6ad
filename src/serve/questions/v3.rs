//! `jaeger.api_v3.QueryService`: traces as OTLP, as they came in.

use tonic::{Request, Response, Status};

use super::{bytes_of, not_found, required, span_kind};
use crate::model::TraceId;
use crate::proto::jaeger::api_v3 as proto;
use crate::proto::opentelemetry::proto::trace::v1::TracesData;
use crate::query::{Conditions, Query};
use crate::serve::answer::{self, Cap, Desk, MAX_BYTES, MAX_SPANS};
use crate::serve::grpc::Error;
use crate::serve::searched::Searched;
use crate::serve::stream::{Outlet, Stream};
use crate::serve::summary::{Summary, counted};
use crate::serve::{services, times};
use crate::translate::otlp::messages;

static SERVICES: Cap = Cap::new("services");
static OPERATIONS: Cap = Cap::new("operations");
static CALLS: Cap = Cap::new("dependencies");
static PARTAKERS: Cap = Cap::new("services of a trace");

/// Answers from what is stored.
#[derive(Debug)]
pub(super) struct Answers(pub(super) Desk);

#[tonic::async_trait]
impl proto::query_service_server::QueryService for Answers {
    type GetTraceStream = Stream<TracesData>;
    type FindTracesStream = Stream<TracesData>;
    type FindTraceSummariesStream = Stream<proto::FindTraceSummariesResponse>;

    async fn get_trace(
        &self,
        request: Request<proto::GetTraceRequest>,
    ) -> Result<Response<Self::GetTraceStream>, Status> {
        let proto::GetTraceRequest { trace_id, start_time, end_time, .. } = request.into_inner();
        let id = TraceId::parse_hex(&trace_id);
        let id = id.map_err(|error| Error::Contradiction(format!("trace_id: {error}")))?;
        // Hints where to look, which are not needed here.
        times::moment(("start_time", &start_time)).map_err(Error::from)?;
        times::moment(("end_time", &end_time)).map_err(Error::from)?;
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            if put_trace(query, id, outlet)? { Ok(()) } else { Err(not_found()) }
        };
        self.0.stream(answer).await.map(Response::new)
    }

    async fn find_traces(
        &self,
        request: Request<proto::FindTracesRequest>,
    ) -> Result<Response<Self::FindTracesStream>, Status> {
        let ids = self.0.find(conditions(required(request.into_inner().query)?)?).await?;
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            ids.into_iter().try_for_each(|id| put_trace(query, id, outlet).map(|_is_there_still| ()))
        };
        self.0.stream(answer).await.map(Response::new)
    }

    async fn find_trace_summaries(
        &self,
        request: Request<proto::FindTraceSummariesRequest>,
    ) -> Result<Response<Self::FindTraceSummariesStream>, Status> {
        let ids = self.0.find(conditions(required(request.into_inner().query)?)?).await?;
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            answer::each_summary(query, ids, outlet, |outlet, summary| {
                outlet.send(proto::FindTraceSummariesResponse { summaries: vec![summary.into()] })
            })
        };
        self.0.stream(answer).await.map(Response::new)
    }

    async fn get_services(
        &self,
        _request: Request<proto::GetServicesRequest>,
    ) -> Result<Response<proto::GetServicesResponse>, Status> {
        let names = self.0.ask(|query| Ok(services::names(query)?)).await?;
        let services = SERVICES.fitting(names, bytes_of);
        Ok(Response::new(proto::GetServicesResponse { services }))
    }

    async fn get_operations(
        &self,
        request: Request<proto::GetOperationsRequest>,
    ) -> Result<Response<proto::GetOperationsResponse>, Status> {
        let proto::GetOperationsRequest { service, span_kind: kind } = request.into_inner();
        let kind = span_kind(&kind)?;
        let found = move |query: &Query| Ok(services::operations_of_otlp(query, &service, kind)?);
        let found = self.0.ask(found).await?;
        let named = found.into_iter().map(|operation| proto::Operation {
            name: operation.name,
            span_kind: operation.kind.name().to_owned(),
        });
        let operations = OPERATIONS.fitting(named, bytes_of);
        Ok(Response::new(proto::GetOperationsResponse { operations }))
    }

    async fn get_dependencies(
        &self,
        request: Request<proto::GetDependenciesRequest>,
    ) -> Result<Response<proto::DependenciesResponse>, Status> {
        let proto::GetDependenciesRequest { start_time, end_time } = request.into_inner();
        let bounds = times::bounds(("start_time", &start_time), ("end_time", &end_time));
        let bounds = bounds.map_err(Error::from)?;
        let calls = self.0.ask(move |query| Ok(services::calls(query, bounds, false, |_| true)?)).await?;
        let calls = calls.into_iter().map(|((parent, child), call_count)| proto::Dependency {
            parent,
            child,
            call_count,
        });
        let dependencies = CALLS.fitting(calls, bytes_of);
        Ok(Response::new(proto::DependenciesResponse { dependencies }))
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
    searched.with_attributes_or_filter(asked.attributes, asked.filter.as_ref())
}

/// Whether there is anything of the trace.
fn put_trace(query: &Query, id: TraceId, outlet: &mut Outlet<TracesData>) -> Result<bool, Status> {
    answer::each_piece(query, id, outlet, |outlet, spans| {
        messages(spans, MAX_SPANS, MAX_BYTES).try_for_each(|message| outlet.send(message))
    })
}

impl From<Summary> for proto::TraceSummary {
    fn from(summary: Summary) -> Self {
        let services = summary.services.into_iter();
        let services = services.map(|(name, (spans, errors))| proto::ServiceSummary {
            name,
            span_count: counted(spans),
            error_span_count: counted(errors),
        });
        Self {
            trace_id: summary.id.to_string(),
            root_service_name: summary.root_service,
            root_operation_name: summary.root_name,
            min_start_time_unix_nano: summary.start.nanos(),
            max_end_time_unix_nano: summary.end.nanos(),
            span_count: counted(summary.spans),
            error_span_count: counted(summary.errors),
            orphan_span_count: counted(summary.orphans),
            services: PARTAKERS.fitting(services, bytes_of),
        }
    }
}
