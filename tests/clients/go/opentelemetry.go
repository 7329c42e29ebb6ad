// OpenTelemetry's SDK for Go, over each of its exporters.
package main

import (
	"context"
	"errors"
	"math"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	exporter_jaeger "go.opentelemetry.io/otel/exporters/jaeger"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	exporter_zipkin "go.opentelemetry.io/otel/exporters/zipkin"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type exporter struct {
	client string
	// What tells check.py what the exporter makes of the spans: a teller where that is OTLP.
	teller func(client string) sdk.SpanProcessor
	open   func(context.Context) (sdk.SpanExporter, error)
}

func asOTLP(client string) sdk.SpanProcessor   { return teller{client} }
func asZipkin(client string) sdk.SpanProcessor { return zipkinTeller{teller{client}} }
func asJaeger(client string) sdk.SpanProcessor { return jaegerTeller{teller{client}} }

var exporters = []exporter{
	{"go otlp/grpc", asOTLP, func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure())
	}},
	{"go otlp/grpc gzip", asOTLP, func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))
	}},
	{"go otlp/protobuf", asOTLP, func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracehttp.New(ctx, otlptracehttp.WithInsecure())
	}},
	{"go otlp/protobuf gzip", asOTLP, func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracehttp.New(ctx, otlptracehttp.WithInsecure(),
			otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	}},
	{"go opentelemetry zipkin/json", asZipkin, func(context.Context) (sdk.SpanExporter, error) {
		return exporter_zipkin.New("")
	}},
	{"go opentelemetry jaeger/udp", asJaeger, func(context.Context) (sdk.SpanExporter, error) {
		return exporter_jaeger.New(exporter_jaeger.WithAgentEndpoint())
	}},
	{"go opentelemetry jaeger/http", asJaeger, func(context.Context) (sdk.SpanExporter, error) {
		return exporter_jaeger.New(exporter_jaeger.WithCollectorEndpoint())
	}},
}

var order = []attribute.KeyValue{
	attribute.Int("cart.items", 3),
	attribute.Float64("cart.total", 12.5),
	attribute.Bool("cart.gift", true),
	attribute.StringSlice("cart.tags", []string{"new", "gift"}),
	attribute.Int64Slice("cart.sizes", []int64{1, 2, 3}),
	attribute.Int64("largest", math.MaxInt64),
	attribute.Int64("smallest", math.MinInt64),
	attribute.Float64("tiny", math.SmallestNonzeroFloat64),
	attribute.Float64("huge", 1.5e300),
	attribute.String("empty", ""),
	attribute.String("customer", "Zoë 🛒\n\"quoted\" \\ \t"),
}

func opentelemetry(ctx context.Context) error {
	var failures []error
	for _, each := range exporters {
		open, err := each.open(ctx)
		if err == nil {
			err = shop(ctx, each.client, open, each.teller(each.client))
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// shop sends an order, what it calls, and what it causes.
func shop(ctx context.Context, client string, exporter sdk.SpanExporter, teller sdk.SpanProcessor) error {
	provider := sdk.NewTracerProvider(
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", serviceOf(client)),
			attribute.String("service.version", "1.2.3"),
			attribute.Int("pid", 42),
		)),
		sdk.WithSpanProcessor(teller),
		sdk.WithBatcher(exporter),
	)
	tracer := provider.Tracer("tests.shop", trace.WithInstrumentationVersion("1.0"))
	below, checkout := tracer.Start(ctx, "checkout",
		trace.WithSpanKind(trace.SpanKindServer), trace.WithAttributes(order...))
	checkout.AddEvent("priced", trace.WithAttributes(
		attribute.String("currency", "EUR"), attribute.Int64Slice("parts", []int64{1, 2})))
	_, pay := tracer.Start(below, "pay", trace.WithSpanKind(trace.SpanKindClient))
	pay.RecordError(errors.New("card refused"))
	pay.SetStatus(codes.Error, "card refused")
	pay.End()
	_, queue := tracer.Start(below, "queue mail", trace.WithSpanKind(trace.SpanKindProducer))
	queue.SetStatus(codes.Ok, "")
	queue.End()
	_, count := tracer.Start(below, "count")
	count.End()
	checkout.End()
	_, mail := tracer.Start(ctx, "mail", trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithLinks(trace.Link{SpanContext: queue.SpanContext()}))
	mail.End()
	return provider.Shutdown(ctx)
}
