//! OpenTelemetry's exporter for Zipkin, which is told to check.py from its own requests.
#![expect(deprecated, reason = "what is in use is tried, also what nobody should begin with")]

use std::error::Error;

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_zipkin::ZipkinExporter;
use serde_json::{Value, json};

use crate::shop;
use crate::told::Teller;

/// Hands on to another client the spans that it tells.
#[derive(Debug)]
struct Telling {
    client: &'static str,
    http: reqwest::blocking::Client,
}

#[async_trait]
impl HttpClient for Telling {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let spans: Vec<Value> = serde_json::from_slice(request.body())?;
        for span in spans {
            println!(
                "{}",
                json!({"client": self.client, "trace": span["traceId"], "span": span["id"], "zipkin": span})
            );
        }
        self.http.send_bytes(request).await
    }
}

pub fn send() -> Result<(), Box<dyn Error>> {
    let client = "rust opentelemetry zipkin/json";
    let telling = Telling { client, http: reqwest::blocking::Client::new() };
    let exporter = ZipkinExporter::builder().with_http_client(telling).build()?;
    shop::send(client, exporter, None::<Teller>)?;
    Ok(())
}
