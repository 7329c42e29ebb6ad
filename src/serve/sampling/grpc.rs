//! `jaeger.api_v2.SamplingManager` (ports 5779 and 14250).

use std::sync::Arc;

use axum::Router;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::Current;
use crate::proto::jaeger::api_v2::sampling_manager_server::{SamplingManager, SamplingManagerServer};
use crate::proto::jaeger::api_v2::{SamplingStrategyParameters, SamplingStrategyResponse};
use crate::serve::grpc::{packing, router};
use crate::serve::health::{IsServing, Names, with_health};

const SAMPLING_MANAGER: &str = "jaeger.api_v2.SamplingManager";

/// Port 5779.
const ALONE: Names = Names { services: &[SAMPLING_MANAGER], others: &[] };

/// Port 14250, what takes spans among it.
const BESIDE_SPANS: Names =
    Names { services: &["jaeger.api_v2.CollectorService", SAMPLING_MANAGER], others: &[] };

/// Port 5779: `jaeger.api_v2.SamplingManager`, health, and reflection.
pub fn grpc(current: Arc<Current>, is_serving: IsServing) -> Router {
    door(current, ALONE, is_serving)
}

/// The same where the collector's service is too (port 14250), of which health and reflection tell.
pub fn collector_grpc(current: Arc<Current>, is_serving: IsServing) -> Router {
    door(current, BESIDE_SPANS, is_serving)
}

fn door(current: Arc<Current>, names: Names, is_serving: IsServing) -> Router {
    let services = Routes::new(packing!(SamplingManagerServer::new(Answers(current))));
    router(with_health(services, names, is_serving))
}

/// Answers from the strategies as they are.
#[derive(Debug)]
struct Answers(Arc<Current>);

#[tonic::async_trait]
impl SamplingManager for Answers {
    async fn get_sampling_strategy(
        &self,
        request: Request<SamplingStrategyParameters>,
    ) -> Result<Response<SamplingStrategyResponse>, Status> {
        Ok(Response::new(self.0.get().of(&request.get_ref().service_name)))
    }
}
