//! What gRPC doors say of themselves: `grpc.health.v1` and reflection.
//!
//! Source: grpc `health.proto` and `doc/health-checking.md`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use crate::proto::DESCRIPTORS;

/// How often one who watches is told of a change.
const WATCH_EVERY: Duration = Duration::from_secs(1);

/// Says whether questions are answered now; may block for a moment.
pub type IsServing = Arc<dyn Fn() -> bool + Send + Sync>;

/// What a door says that it has.
#[derive(Debug, Clone, Copy)]
pub struct Names {
    /// Its services, for health and reflection.
    pub services: &'static [&'static str],
    /// What else is asked for though no service goes by it, for health.
    pub others: &'static [&'static str],
}

/// The services with what a door says of itself; health knows `""` too.
pub fn with_health(services: Routes, names: Names, is_serving: IsServing) -> Routes {
    let own = [reflection_name::V1, reflection_name::V1_ALPHA, "grpc.health.v1.Health"];
    let reflection = || {
        let builder = tonic_reflection::server::Builder::configure()
            .include_reflection_service(true)
            .register_encoded_file_descriptor_set(DESCRIPTORS)
            .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET);
        names.services.iter().chain(&own).fold(builder, |builder, name| builder.with_service_name(*name))
    };
    let well_formed = "the descriptors are those the program was built from";
    services
        .add_service(HealthServer::new(Said { names, is_serving, watched: Watched::default() }))
        .add_service(reflection().build_v1().expect(well_formed))
        .add_service(reflection().build_v1alpha().expect(well_formed))
}

/// What reflection calls itself.
mod reflection_name {
    pub(super) const V1: &str = "grpc.reflection.v1.ServerReflection";
    pub(super) const V1_ALPHA: &str = "grpc.reflection.v1alpha.ServerReflection";
}

/// What all who watch are told from, as it was last; none while nobody does.
type Watched = Arc<Mutex<Option<watch::Sender<Option<ServingStatus>>>>>;

/// Health as it is when it is asked for.
struct Said {
    names: Names,
    is_serving: IsServing,
    watched: Watched,
}

impl fmt::Debug for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Said").field("names", &self.names).finish_non_exhaustive()
    }
}

impl Said {
    fn knows(&self, name: &str) -> bool {
        name.is_empty() || self.names.services.iter().chain(self.names.others).any(|known| *known == name)
    }

    /// Says how it is, from now on: looked at once for all who watch.
    fn watch_with_others(&self) -> watch::Receiver<Option<ServingStatus>> {
        let mut watched = self.watched.lock();
        if let Some(watched) = &*watched {
            return watched.subscribe();
        }
        let (sender, receiver) = watch::channel(None);
        *watched = Some(sender);
        tokio::spawn(keep_watched(Arc::clone(&self.is_serving), Arc::clone(&self.watched)));
        receiver
    }
}

/// Looks how it is until nobody watches any more.
async fn keep_watched(is_serving: IsServing, watched: Watched) {
    loop {
        let now = status(&is_serving).await;
        {
            let mut watched = watched.lock();
            match &*watched {
                Some(sender) if sender.receiver_count() > 0 => {
                    sender.send_if_modified(|last| last.replace(now) != Some(now));
                }
                _ => {
                    *watched = None;
                    return;
                }
            }
        }
        tokio::time::sleep(WATCH_EVERY).await;
    }
}

async fn status(is_serving: &IsServing) -> ServingStatus {
    let is_serving = Arc::clone(is_serving);
    match tokio::task::spawn_blocking(move || is_serving()).await {
        Ok(true) => ServingStatus::Serving,
        Ok(false) | Err(_) => ServingStatus::NotServing,
    }
}

fn said(status: ServingStatus) -> HealthCheckResponse {
    HealthCheckResponse { status: status.into() }
}

#[tonic::async_trait]
impl Health for Said {
    type WatchStream = Pin<Box<dyn tokio_stream::Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        if !self.knows(&request.get_ref().service) {
            return Err(Status::not_found("no such service on this port"));
        }
        Ok(Response::new(said(status(&self.is_serving).await)))
    }

    /// A service that is not known is said to be so, and nothing else happens. Once this does not serve it is stopping,
    /// or what it stands on is broken: the stream ends, so that nothing waits for who watches.
    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        let (told, tells) = mpsc::channel(1);
        let watched = self.knows(&request.get_ref().service).then(|| self.watch_with_others());
        tokio::spawn(async move {
            let Some(mut watched) = watched else {
                if told.send(Ok(said(ServingStatus::ServiceUnknown))).await.is_ok() {
                    told.closed().await;
                }
                return;
            };
            loop {
                let now = *watched.borrow_and_update();
                if let Some(now) = now
                    && (told.send(Ok(said(now))).await.is_err() || now != ServingStatus::Serving)
                {
                    return;
                }
                tokio::select! {
                    () = told.closed() => return,
                    changed = watched.changed() => if changed.is_err() { return },
                }
            }
        });
        Ok(Response::new(Box::pin(Tells(tells))))
    }
}

/// What one who watches is told.
struct Tells(mpsc::Receiver<Result<HealthCheckResponse, Status>>);

impl tokio_stream::Stream for Tells {
    type Item = Result<HealthCheckResponse, Status>;

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use tokio_stream::StreamExt as _;

    use super::*;

    #[tokio::test]
    async fn those_who_watch_are_told_from_one_look() {
        let (looks, serves) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(true)));
        let is_serving: IsServing = {
            let (looks, serves) = (Arc::clone(&looks), Arc::clone(&serves));
            Arc::new(move || {
                looks.fetch_add(1, Ordering::Relaxed);
                serves.load(Ordering::Relaxed)
            })
        };
        let names = Names { services: &[], others: &[] };
        let door = Said { names, is_serving, watched: Watched::default() };
        let mut watching = Vec::new();
        for _ in 0..100 {
            let mut told =
                door.watch(Request::new(HealthCheckRequest::default())).await.unwrap().into_inner();
            assert_eq!(told.next().await.unwrap().unwrap(), said(ServingStatus::Serving));
            watching.push(told);
        }
        assert!(looks.load(Ordering::Relaxed) < 100);
        serves.store(false, Ordering::Relaxed);
        for mut told in watching {
            assert_eq!(told.next().await.unwrap().unwrap(), said(ServingStatus::NotServing));
            assert!(told.next().await.is_none());
        }
    }
}
