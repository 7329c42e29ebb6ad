//! Web pages whose scripts send spans: whose may.

use std::time::Duration;

use axum::Router;
use axum::http::{HeaderValue, Method};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};

/// How long a browser may remember what a preflight said.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7_200);

/// Puts the rules before everything the router does: pages of these origins (`*` for any) may send. Browsers' SDKs send
/// from other origins; `sendBeacon` sends credentials, so a bare `*` would not do (Fetch, section 3.3.5). A receiver only
/// takes, it tells a page nothing but whether it took.
pub(super) fn admit(router: Router, allowed_origins: Vec<String>) -> Router {
    let allowed = move |origin: &HeaderValue, _: &_| {
        allowed_origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
    };
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(allowed))
        .allow_credentials(true)
        .allow_methods([Method::POST, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(PREFLIGHT_MAX_AGE);
    router.layer(cors)
}
