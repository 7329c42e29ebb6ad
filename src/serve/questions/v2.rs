//! `jaeger.api_v2.QueryService`: traces in Jaeger's words, adjusted unless they are asked for raw.

use std::collections::BTreeSet;
use std::sync::Arc;

use tonic::{Request, Response, Status};

use super::held::Held;
use super::{bytes_of, not_found, required, span_kind};
use crate::model::Clock;
use crate::proto::jaeger::api_v2 as proto;
use crate::query::{Conditions, Query};
use crate::serve::answer::{Cap, Chunk, Desk};
use crate::serve::grpc::{self, Error, Source};
use crate::serve::searched::Searched;
use crate::serve::stream::{Outlet, Stream};
use crate::serve::{services, times};

static SERVICES: Cap = Cap::new("services");
static OPERATIONS: Cap = Cap::new("operations");
static CALLS: Cap = Cap::new("dependencies");

/// Answers from what is stored.
#[derive(Debug)]
pub(super) struct Answers {
    desk: Desk,
    clock: Arc<dyn Clock>,
}

impl Answers {
    pub(super) fn of(source: Source) -> Self {
        Self { clock: Arc::clone(&source.clock), desk: Desk::new(source) }
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
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            let mut chunk = Chunk::default();
            let is_found = Held::new(raw_traces).put_trace(query, id, &mut chunk, outlet)?;
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
        let answer = move |query: &Query, outlet: &mut Outlet<_>| {
            let mut chunk = Chunk::default();
            for id in ids {
                let _is_there_still = Held::new(is_raw).put_trace(query, id, &mut chunk, outlet)?;
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

impl From<Vec<proto::Span>> for proto::SpansResponseChunk {
    fn from(spans: Vec<proto::Span>) -> Self {
        Self { spans }
    }
}
