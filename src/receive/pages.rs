//! Web pages whose scripts send spans: whose may.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;

/// How long a browser may remember what a preflight said.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_secs(7_200);

/// The origins whose pages may send, `*` for any.
type Allowed = Arc<[String]>;

/// Puts the rules before everything the router does: pages of these origins may send. Browsers' SDKs send
/// from other origins; `sendBeacon` sends credentials, so a bare `*` would not do (Fetch, section 3.3.5). A receiver only
/// takes, it tells a page nothing but whether it took.
///
/// Who sends from another page is refused, because a browser sends some requests without asking first. That also holds for
/// pages that have pointed a name of theirs here: whatever they send says where it comes from. So receivers need not mind
/// by which name they are asked, and clients may use any.
pub(super) fn admit(router: Router, allowed_origins: Vec<String>) -> Router {
    let origins: Allowed = allowed_origins.into();
    let known = Arc::clone(&origins);
    let cors = CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(move |origin, _| is_allowed(&known, origin)))
        .allow_credentials(true)
        .allow_methods([Method::POST, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request())
        .max_age(PREFLIGHT_MAX_AGE);
    let answers = SetResponseHeaderLayer::overriding(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    router.layer(middleware::from_fn_with_state(origins, refuse_strangers)).layer(cors).layer(answers)
}

fn is_allowed(origins: &[String], origin: &HeaderValue) -> bool {
    origins.iter().any(|allowed| allowed == "*" || allowed.as_bytes() == origin.as_bytes())
}

async fn refuse_strangers(State(origins): State<Allowed>, request: Request, next: Next) -> Response {
    let given = request.headers().get_all(header::ORIGIN);
    match given.iter().find(|origin| !is_allowed(&origins, origin)) {
        None => next.run(request).await,
        Some(origin) => {
            let origin: String = String::from_utf8_lossy(origin.as_bytes()).chars().take(128).collect();
            let why = format!(
                "a page of '{origin}' may not send here: add it to the setting receive.allowed_origins\n"
            );
            (StatusCode::FORBIDDEN, why).into_response()
        }
    }
}
