//! Traces such as the OpenTelemetry demo's: a proxy, a shop's services over gRPC, a topic, flags; links and events.
//!
//! Its services, kinds and sets of attributes as its documentation and its traffic show them; every value made here.

use bytes::Bytes;
use tracelodge::model::{Resource, Scope, SpanKind};

use crate::generator::{INSTANCES, Model, Step};
use crate::operation::Operation;
use crate::piece::{
    Piece, any_number, event, failure, link_to_parent, list, number, resource_text, scope, text, truth,
};
use crate::random::Random;
use crate::services::NOBODY;

const LOAD: usize = 0;
const PROXY: usize = 1;
const FRONTEND: usize = 2;
const CATALOG: usize = 3;
const CART: usize = 4;
const CHECKOUT: usize = 5;
const PAYMENT: usize = 6;
const SHIPPING: usize = 7;
const CURRENCY: usize = 8;
const EMAIL: usize = 9;
const RECOMMENDATION: usize = 10;
const AD: usize = 11;
const ACCOUNTING: usize = 12;
const FRAUD: usize = 13;
const FLAGD: usize = 14;

const NAMES: [&str; 15] = [
    "load-generator",
    "frontend-proxy",
    "frontend",
    "product-catalog",
    "cart",
    "checkout",
    "payment",
    "shipping",
    "currency",
    "email",
    "recommendation",
    "ad",
    "accounting",
    "fraud-detection",
    "flagd",
];

/// One span in so many fails.
const FAILS: u64 = 33;

pub(crate) fn model(random: &mut Random) -> Model {
    Model {
        services: NAMES.map(str::to_owned).to_vec(),
        operations: OPERATIONS.iter().map(operation).collect(),
        resources: NAMES
            .iter()
            .flat_map(|name| (0..INSTANCES).map(|_| resource(name, random)).collect::<Vec<_>>())
            .collect(),
        scopes: vec![
            Scope::default(),
            Scope { bytes: scope("instrumentation-http", "0.203.0").into(), schema_url: String::new() },
            Scope { bytes: scope("otelgrpc", "0.62.0").into(), schema_url: String::new() },
        ],
        plan,
    }
}

fn resource(service: &str, random: &mut Random) -> Resource {
    let detailed = !["load-generator", "frontend-proxy", "flagd"].contains(&service);
    let mut attributes = vec![
        ("service.name", service),
        ("service.namespace", "opentelemetry-demo"),
        ("service.version", "2.1.3"),
        ("telemetry.sdk.language", "go"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.version", "1.38.0"),
    ];
    if detailed {
        attributes.extend([
            ("host.name", "%%%%%%%%%%%%"),
            ("host.arch", "amd64"),
            ("os.type", "linux"),
            ("os.description", "Debian GNU/Linux 12 (bookworm) 6.8.0-64-generic"),
            ("container.id", "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%"),
            ("process.command", "/usr/src/app/service"),
            ("process.executable.name", service),
            ("process.runtime.description", "go version go1.24.4 linux/amd64"),
            ("process.owner", "app"),
            ("service.instance.id", "%%%%%%%%-%%%%-%%%%-%%%%-%%%%%%%%%%%%"),
        ]);
    }
    let piece = Piece::joined(attributes.iter().map(|(key, value)| resource_text(key, value)));
    let mut bytes = Vec::new();
    piece.write(&mut bytes, &NOBODY, random);
    Resource { bytes: Bytes::from(bytes), schema_url: String::new(), service: service.to_owned() }
}

/// How spans of an operation are furnished.
#[derive(Debug, Clone, Copy)]
enum Sort {
    Browser,
    ProxyIn,
    ProxyOut,
    HttpServer,
    ApiRoute,
    GrpcClient,
    GrpcServer,
    Redis,
    Producer,
    Consumer,
    Flag,
    Inner,
}

type Entry = (usize, &'static str, Sort);

const PRODUCT: &str = "oteldemo.ProductCatalogService/GetProduct";

/// Service, name and sort; a trace's plan names them by their place here.
const OPERATIONS: [Entry; 34] = [
    (LOAD, "GET", Sort::Browser),
    (PROXY, "ingress", Sort::ProxyIn),
    (PROXY, "router frontend egress", Sort::ProxyOut),
    (FRONTEND, "GET", Sort::HttpServer),
    (FRONTEND, "executing api route (pages) /api/products/[productId]", Sort::ApiRoute),
    (FRONTEND, "grpc.oteldemo.ProductCatalogService/GetProduct", Sort::GrpcClient),
    (CATALOG, PRODUCT, Sort::GrpcServer),
    (CATALOG, "flagd.evaluation.v1.Service/ResolveBoolean", Sort::GrpcClient),
    (FLAGD, "flagd.evaluation.v1.Service/ResolveBoolean", Sort::GrpcServer),
    (FLAGD, "resolveBoolean", Sort::Flag),
    (LOAD, "POST", Sort::Browser),
    (FRONTEND, "POST", Sort::HttpServer),
    (FRONTEND, "executing api route (pages) /api/checkout", Sort::ApiRoute),
    (FRONTEND, "grpc.oteldemo.CheckoutService/PlaceOrder", Sort::GrpcClient),
    (CHECKOUT, "oteldemo.CheckoutService/PlaceOrder", Sort::GrpcServer),
    (CHECKOUT, "prepareOrderItemsAndShippingQuoteFromCart", Sort::Inner),
    (CHECKOUT, "oteldemo.CartService/GetCart", Sort::GrpcClient),
    (CART, "POST /oteldemo.CartService/GetCart", Sort::GrpcServer),
    (CART, "HGET", Sort::Redis),
    (CHECKOUT, PRODUCT, Sort::GrpcClient),
    (CHECKOUT, "oteldemo.CurrencyService/Convert", Sort::GrpcClient),
    (CURRENCY, "Currency/Convert", Sort::GrpcServer),
    (CHECKOUT, "oteldemo.PaymentService/Charge", Sort::GrpcClient),
    (PAYMENT, "grpc.oteldemo.PaymentService/Charge", Sort::GrpcServer),
    (PAYMENT, "charge", Sort::Inner),
    (SHIPPING, "POST /ship-order", Sort::HttpServer),
    (EMAIL, "POST /send_order_confirmation", Sort::HttpServer),
    (CHECKOUT, "orders publish", Sort::Producer),
    (ACCOUNTING, "orders receive", Sort::Consumer),
    (FRAUD, "orders process", Sort::Consumer),
    (RECOMMENDATION, "/oteldemo.RecommendationService/ListRecommendations", Sort::GrpcServer),
    (RECOMMENDATION, "get_product_list", Sort::Inner),
    (AD, "oteldemo.AdService/GetAds", Sort::GrpcServer),
    (AD, "getAdsByCategory", Sort::Inner),
];

/// Depth and operation, parents before children.
type Tree = [(usize, usize)];

const BROWSE: [(usize, usize); 10] =
    [(0, 0), (1, 1), (2, 2), (3, 3), (4, 4), (5, 5), (6, 6), (7, 7), (8, 8), (9, 9)];

const SEE_ADS: [(usize, usize); 6] = [(0, 0), (1, 1), (2, 2), (3, 3), (4, 32), (5, 33)];

const RECOMMEND: [(usize, usize); 9] =
    [(0, 0), (1, 1), (2, 2), (3, 3), (4, 30), (5, 31), (6, 6), (6, 8), (7, 9)];

const BUY: [(usize, usize); 28] = [
    (0, 10),
    (1, 1),
    (2, 2),
    (3, 11),
    (4, 12),
    (5, 13),
    (6, 14),
    (7, 15),
    (8, 16),
    (9, 17),
    (10, 18),
    (8, 19),
    (9, 6),
    (8, 20),
    (9, 21),
    (8, 19),
    (9, 6),
    (8, 20),
    (9, 21),
    (7, 22),
    (8, 23),
    (9, 24),
    (7, 25),
    (7, 26),
    (7, 27),
    (8, 28),
    (8, 29),
    (9, 8),
];

/// Half of the visitors look at a product.
fn plan(_: &Model, random: &mut Random, steps: &mut Vec<Step>) {
    let trees: [&Tree; 8] = [&BROWSE, &BROWSE, &BROWSE, &BROWSE, &SEE_ADS, &SEE_ADS, &RECOMMEND, &BUY];
    let mut last_of_depth = [0; 16];
    for (depth, operation) in trees[random.index(trees.len())] {
        last_of_depth[*depth] = steps.len();
        let parent = depth.checked_sub(1).map(|above| last_of_depth[above]);
        steps.push(Step { parent, operation: *operation, failed: random.below(FAILS) == 0 });
    }
}

fn operation((service, name, sort): &Entry) -> Operation {
    let make = |kind, scope| Operation::new(*service, name, kind, scope);
    let operation = match sort {
        Sort::Browser => browser(make(SpanKind::Client, 1), name),
        Sort::ProxyIn => proxy(make(SpanKind::Server, 0)).always(incoming()),
        Sort::ProxyOut => proxy(make(SpanKind::Client, 0)),
        Sort::HttpServer => http_server(make(SpanKind::Server, 1)),
        Sort::ApiRoute => make(SpanKind::Server, 0).always([
            truth("app.synthetic_request", true),
            number("http.status_code", 200),
            link_to_parent(),
        ]),
        Sort::GrpcClient => grpc(make(SpanKind::Client, 2), name),
        Sort::GrpcServer => grpc(make(SpanKind::Server, 2), name),
        Sort::Redis => redis(make(SpanKind::Client, 1)),
        Sort::Producer => {
            messaging(make(SpanKind::Producer, 0), "send").always([any_number("messaging.kafka.offset", 3)])
        }
        Sort::Consumer => messaging(make(SpanKind::Consumer, 0), "receive").always([link_to_parent()]),
        Sort::Flag => flag(make(SpanKind::Internal, 0)),
        Sort::Inner => inner(make(SpanKind::Internal, 0), *service),
    };
    let operation = match *service {
        FRONTEND | CHECKOUT => operation.always([text("enduser.id", "user-@@@@@@")]),
        _ => operation,
    };
    operation.failing([failed_call(), failure("14 UNAVAILABLE: No connection established")])
}

fn failed_call() -> Piece {
    let stack = "Error: 14 UNAVAILABLE: No connection established\n    at callErrorFromStatus (/app/node_modules/grpc-js/src/call.js:31:19)\n    \
                 at Object.onReceiveStatus (/app/node_modules/grpc-js/src/client.js:193:76)\n    at process.processTicksAndRejections (node:internal/process/task_queues:77:11)";
    let attributes =
        [("exception.type", "14"), ("exception.message", "14 UNAVAILABLE"), ("exception.stacktrace", stack)];
    Piece::joined([event("exception", &attributes), failure("14 UNAVAILABLE: No connection established")])
}

const PRODUCTS: [(&str, &str); 5] = [
    ("OLJC7VQ2PA", "Telescope for Gardens"),
    ("66VD3KX9MB", "Solar Filter, Large"),
    ("1YMW5RT8QC", "Travel Refractor"),
    ("L9EC2HN4WD", "Lens Cleaning Kit"),
    ("2ZYF6GS1XE", "Roof Binoculars"),
];

fn browser(operation: Operation, method: &str) -> Operation {
    operation
        .always([text("http.method", method)])
        .one_of(
            PRODUCTS
                .map(|(id, _)| text("http.url", &format!("http://frontend-proxy:8080/api/products/{id}"))),
        )
        .always([number("http.status_code", 200)])
}

fn proxy(operation: Operation) -> Operation {
    operation.always([
        text("component", "proxy"),
        text("http.protocol", "HTTP/1.1"),
        text("peer.address", "172.25.0.2#"),
        text("upstream_address", "172.25.0.20:8080"),
        text("upstream_cluster", "frontend"),
        text("upstream_cluster.name", "frontend"),
        text("http.status_code", "200"),
        text("response_flags", "-"),
    ])
}

fn incoming() -> [Piece; 10] {
    [
        text("node_id", ""),
        text("zone", ""),
        text("guid:x-request-id", "%%%%%%%%-%%%%-9%%%-%%%%-%%%%%%%%%%%%"),
        text("http.url", "http://frontend-proxy:8080/api/products"),
        text("http.method", "GET"),
        text("downstream_cluster", "-"),
        text("user_agent", "python-requests/2.32.3"),
        text("request_size", "0"),
        text("response_size", "1###"),
        text("http.host", "frontend-proxy:8080"),
    ]
}

fn http_server(operation: Operation) -> Operation {
    operation
        .always([
            text("http.host", "frontend-proxy:8080"),
            text("net.host.name", "frontend-proxy"),
            text("http.method", "GET"),
            text("http.scheme", "http"),
            text("http.user_agent", "python-requests/2.32.3"),
            text("http.flavor", "1.1"),
            text("net.transport", "ip_tcp"),
            text("net.host.ip", "::ffff:172.25.0.20"),
            number("net.host.port", 8080),
            text("net.peer.ip", "::ffff:172.25.0.22"),
            any_number("net.peer.port", 3),
            text("http.status_text", "OK"),
            number("http.status_code", 200),
        ])
        .one_of(PRODUCTS.map(|(id, _)| text("http.target", &format!("/api/products/{id}"))))
}

fn grpc(operation: Operation, name: &str) -> Operation {
    let (service, method) = name.rsplit_once('/').unwrap_or(("oteldemo", name));
    let messages = Piece::joined([
        event("message", &[("message.type", "RECEIVED"), ("message.id", "1")]),
        event("message", &[("message.type", "SENT"), ("message.id", "1")]),
    ]);
    operation
        .always([
            text("rpc.system", "grpc"),
            text("rpc.service", service),
            text("rpc.method", method),
            text("net.sock.peer.addr", "172.25.0.1#"),
            any_number("net.sock.peer.port", 3),
            number("rpc.grpc.status_code", 0),
        ])
        .one_of(
            PRODUCTS.map(|(id, title)| {
                Piece::joined([text("app.product.id", id), text("app.product.name", title)])
            }),
        )
        .one_in(3, messages)
}

fn redis(operation: Operation) -> Operation {
    operation.always([
        text("db.system", "redis"),
        text("db.statement", "HGET %%%%%%%%-96b9-11ef-a04f-%%%%%%%%%%%% cart"),
        text("net.peer.name", "valkey-cart"),
        number("net.peer.port", 6379),
        number("db.redis.database_index", 0),
        text("db.redis.flags", "None"),
    ])
}

fn messaging(operation: Operation, what: &str) -> Operation {
    operation.always([
        text("messaging.system", "kafka"),
        text("messaging.destination.name", "orders"),
        text("messaging.operation.type", what),
        text("messaging.client.id", "rdkafka"),
        text("messaging.kafka.message.key", "%%%%%%%%-%%%%-%%%%-%%%%-%%%%%%%%%%%%"),
        number("messaging.destination.partition.id", 0),
        text("peer.service", "kafka"),
        any_number("messaging.message.body.size", 2),
    ])
}

fn flag(operation: Operation) -> Operation {
    operation
        .always([text("feature_flag.provider_name", "flagd"), text("feature_flag.variant", "off")])
        .one_of(
            ["adFailure", "cartFailure", "productCatalogFailure"].map(|key| text("feature_flag.key", key)),
        )
}

fn inner(operation: Operation, service: usize) -> Operation {
    let operation = operation.always([any_number("thread.id", 1), any_number("app.products.count", 1)]);
    if service == RECOMMENDATION {
        let chosen = list("app.filtered_products.list", &PRODUCTS.map(|(id, _)| id));
        return operation.always([truth("app.recommendation.cache_enabled", false), chosen]);
    }
    operation.always([
        text("app.user.currency", "USD"),
        text("app.user.id", "%%%%%%%%-96b9-11ef-a04f-0242ac190015"),
    ])
}
