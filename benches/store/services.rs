//! Twenty services of ten operations each, calling each other at random: the data that the goals are stated for.

use bytes::Bytes;
use tracelodge::model::{Resource, Scope, SpanKind};

use crate::generator::{INSTANCES, Model, Step};
use crate::operation::Operation;
use crate::piece::{Draft, Piece, any_number, event, failure, number, resource_text, scope, text};
use crate::random::Random;

const NAMES: [&str; 20] = [
    "storefront",
    "basket",
    "ordering",
    "billing",
    "parcels",
    "inventory",
    "pricing",
    "search",
    "accounts",
    "sessions",
    "reviews",
    "wishlist",
    "coupons",
    "mailer",
    "invoices",
    "warehouse",
    "returns",
    "suggestions",
    "geocoder",
    "audit-trail",
];

/// What each service works on.
const THINGS: [&str; 4] = ["items", "orders", "profiles", "quotes"];

const HTTP: usize = 0;
const DATABASE: usize = 1;
const OWN: usize = 2;

/// The operations of each service: servers, HTTP clients, database clients, internal ones.
const OPERATIONS: usize = 10;
const SERVERS: usize = 4;
const HTTP_CLIENTS: std::ops::Range<usize> = 4..6;
const DATABASE_CLIENTS: std::ops::Range<usize> = 6..8;
const INTERNAL: std::ops::Range<usize> = 8..10;

const UUID: &str = "%%%%%%%%-%%%%-%%%%-%%%%-%%%%%%%%%%%%";

/// One span in so many fails.
const FAILS: u64 = 50;

/// `hard` gives every span three attributes that nothing compresses.
pub(crate) fn model(hard: bool, random: &mut Random) -> Model {
    let operations = (0..NAMES.len()).flat_map(|service| operations(service, hard)).collect();
    let scopes = [
        scope("io.opentelemetry.http-server-2.1", "2.19.0-alpha"),
        scope("io.opentelemetry.jdbc", "2.19.0-alpha"),
        scope("shop.tracing", "1.4.0"),
    ];
    Model {
        services: NAMES.map(str::to_owned).to_vec(),
        operations,
        resources: NAMES
            .iter()
            .flat_map(|name| (0..INSTANCES).map(|_| resource(name, random)).collect::<Vec<_>>())
            .collect(),
        scopes: scopes.map(|bytes| Scope { bytes: bytes.into(), schema_url: SCHEMA.to_owned() }).to_vec(),
        plan,
    }
}

const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";

fn resource(service: &str, random: &mut Random) -> Resource {
    let pod = format!("{service}-%%%%%%%%%-%%%%%");
    let attributes = [
        ("service.name", service),
        ("service.namespace", "shop"),
        ("service.version", "2.14.#"),
        ("service.instance.id", UUID),
        ("deployment.environment.name", "production"),
        ("telemetry.sdk.language", "java"),
        ("telemetry.sdk.name", "opentelemetry"),
        ("telemetry.sdk.version", "1.53.0"),
        ("k8s.cluster.name", "shop-eu-1"),
        ("k8s.namespace.name", "shop"),
        ("k8s.pod.name", &pod),
        ("k8s.node.name", "node-pool-a-##"),
        ("host.arch", "amd64"),
        ("os.type", "linux"),
        ("container.id", "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%"),
        ("process.runtime.name", "OpenJDK Runtime"),
        ("process.runtime.version", "21.0.8"),
    ];
    let piece = Piece::joined(attributes.iter().map(|(key, value)| resource_text(key, value)));
    let mut bytes = Vec::new();
    piece.write(&mut bytes, &NOBODY, random);
    Resource { bytes: Bytes::from(bytes), schema_url: SCHEMA.to_owned(), service: service.to_owned() }
}

/// For pieces in which no span shows.
pub(crate) const NOBODY: Draft = Draft {
    trace_id: [0; 16],
    span_id: [0; 8],
    parent_id: [0; 8],
    start: 0,
    end: 0,
    operation: 0,
    source: 0,
    user: 0,
    failed: false,
};

fn operations(service: usize, hard: bool) -> Vec<Operation> {
    (0..OPERATIONS)
        .map(|number| match number {
            0..SERVERS => server(service, number),
            4 | 5 => http_client(service, number - HTTP_CLIENTS.start),
            6 | 7 => database_client(service, number - DATABASE_CLIENTS.start),
            _ => internal(service, number - INTERNAL.start),
        })
        .map(|operation| operation.always([text("enduser.id", "user-@@@@@@")]))
        .map(|operation| if hard { operation.always(noise()) } else { operation })
        .map(|operation| operation.failing((0..4).map(|kind| exception(NAMES[service], kind))))
        .collect()
}

fn noise() -> [Piece; 3] {
    ["tx.id", "tx.key", "tx.sum"].map(|key| text(key, "%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%%"))
}

fn server(service: usize, number_of_thing: usize) -> Operation {
    let (name, thing) = (NAMES[service], THINGS[number_of_thing]);
    let method = ["GET", "POST", "GET", "PUT"][number_of_thing];
    let route = format!("/api/v2/{name}/{thing}/{{id}}");
    Operation::new(service, &format!("{method} {route}"), SpanKind::Server, HTTP)
        .always([
            text("http.request.method", method),
            text("http.route", &route),
            text("url.path", &format!("/api/v2/{name}/{thing}/%%%%%%%%")),
            text("url.scheme", "https"),
            text("server.address", &format!("{name}.shop.internal")),
            number("server.port", 8443),
            text("client.address", "10.1##.1##.1##"),
            text("network.protocol.version", "1.1"),
        ])
        .one_of(AGENTS.map(|agent| text("user_agent.original", agent)))
        .one_of([200, 200, 200, 200, 200, 200, 201, 304, 404].map(|status| number(STATUS, status)))
        .one_in(2, text("app.request.id", UUID))
        .one_in(2, any_number("http.response.body.size", 2))
}

const STATUS: &str = "http.response.status_code";

const AGENTS: [&str; 4] = [
    "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) Chrome/141.0 Safari/537.36",
    "okhttp/5.1.0",
    "shop-android/7.12.1 (Pixel 9; Android 16)",
];

fn http_client(service: usize, side: usize) -> Operation {
    let peer = NAMES[(service * 7 + side * 3 + 1) % NAMES.len()];
    let method = ["GET", "POST"][side];
    Operation::new(service, method, SpanKind::Client, HTTP)
        .always([
            text("http.request.method", method),
            text("url.full", &format!("https://{peer}.shop.internal/api/v2/items/%%%%%%%%")),
            text("server.address", &format!("{peer}.shop.internal")),
            number("server.port", 8443),
            text("network.peer.address", "10.2##.1##.1##"),
            number("network.peer.port", 8443),
            text("network.protocol.version", "1.1"),
            text("user_agent.original", "Java-http-client/21.0.8"),
            text("thread.name", "worker-#"),
        ])
        .one_of([200, 200, 200, 200, 404].map(|status| number(STATUS, status)))
        .one_in(2, text("app.call.id", UUID))
}

fn database_client(service: usize, side: usize) -> Operation {
    let table = format!("{}_{}", NAMES[service].replace('-', "_"), THINGS[side]);
    let (verb, query) = [
        ("SELECT", format!("SELECT id, owner, state, total FROM {table} WHERE owner = ? AND state <> ?")),
        ("UPDATE", format!("UPDATE {table} SET state = ?, total = ? WHERE id = ? AND version = ?")),
    ][side]
        .clone();
    Operation::new(service, &format!("{verb} {table}"), SpanKind::Client, DATABASE)
        .always([
            text("db.system.name", "postgresql"),
            text("db.namespace", "shop"),
            text("db.operation.name", verb),
            text("db.collection.name", &table),
            text("db.query.text", &query),
            text("server.address", "pg-main.shop.internal"),
            number("server.port", 5432),
            text("thread.name", "jdbc-##"),
            any_number("thread.id", 1),
        ])
        .one_in(2, any_number("db.response.returned_rows", 1))
        .one_in(3, text("db.statement.id", UUID))
}

fn internal(service: usize, side: usize) -> Operation {
    let work = ["validate", "assemble"][side];
    let class = format!("com.shop.{}.{work}.Step", NAMES[service].replace('-', ""));
    Operation::new(service, &format!("{work} {}", THINGS[side]), SpanKind::Internal, OWN)
        .always([
            text("code.function.name", &format!("{class}.run")),
            text("code.file.path", &format!("com/shop/{work}/Step.java")),
            number("code.line.number", 87),
            text("thread.name", "virtual-worker-##"),
            any_number("thread.id", 1),
            text("app.tenant", "retail-europe"),
            text("app.cart.id", UUID),
            any_number("app.items.total", 1),
        ])
        .one_of(["EUR", "CHF", "USD", "GBP"].map(|currency| text("app.currency", currency)))
        .one_of(["standard", "plus", "staff"].map(|tier| text("app.customer.tier", tier)))
        .one_in(2, text("feature_flag.result.variant", "treatment-b"))
}

/// An exception with its stack trace, and the status that goes with it.
fn exception(service: &str, kind: usize) -> Piece {
    let (class, message) = [
        ("java.net.SocketTimeoutException", "Read timed out after ##### ms"),
        ("java.lang.IllegalStateException", "order %%%%%%%% is closed already"),
        ("org.postgresql.util.PSQLException", "could not serialize access due to concurrent update"),
        ("io.grpc.StatusRuntimeException", "UNAVAILABLE: upstream connect error"),
    ][kind];
    let package = service.replace('-', "");
    let frames =
        ["Handler.handle", "Service.apply", "Repository.load", "Connection.read", "Pool.take", "Filter.next"];
    let frames: String = frames
        .iter()
        .enumerate()
        .map(|(line, frame)| {
            format!("\n\tat com.shop.{package}.{frame}({}.java:{})", &frame[..4], 41 + 17 * line + kind)
        })
        .collect();
    let stack = format!("{class}: {message}{frames}\n\tat java.base/java.lang.Thread.run(Thread.java:1583)");
    let exception = event(
        "exception",
        &[("exception.type", class), ("exception.message", message), ("exception.stacktrace", &stack)],
    );
    Piece::joined([exception, failure(message)])
}

/// 8 to 20 spans: servers call other services, databases and themselves.
fn plan(_: &Model, random: &mut Random, steps: &mut Vec<Step>) {
    let wanted = 8 + random.index(13);
    let mut servers = Vec::with_capacity(wanted);
    let mut called = (None, random.index(NAMES.len()));
    loop {
        let (parent, service) = called;
        servers.push((steps.len(), service));
        steps.push(step(random, parent, service, 0..SERVERS));
        loop {
            if steps.len() >= wanted {
                return;
            }
            let (parent, service) = servers[random.index(servers.len())];
            let operations = match random.below(100) {
                0..45 if steps.len() + 2 <= wanted => HTTP_CLIENTS,
                0..78 => DATABASE_CLIENTS,
                _ => INTERNAL,
            };
            let calls = operations == HTTP_CLIENTS;
            steps.push(step(random, Some(parent), service, operations));
            if calls {
                called = (Some(steps.len() - 1), random.index(NAMES.len()));
                break;
            }
        }
    }
}

fn step(
    random: &mut Random,
    parent: Option<usize>,
    service: usize,
    operations: std::ops::Range<usize>,
) -> Step {
    let operation = service * OPERATIONS + operations.start + random.index(operations.len());
    Step { parent, operation, failed: random.below(FAILS) == 0 }
}
