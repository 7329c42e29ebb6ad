// OpenTelemetry's SDK for Go, over each of its exporters.
package main

import (
	"context"
	"errors"
	"math"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type exporter struct {
	client string
	open   func(context.Context) (sdk.SpanExporter, error)
}

var exporters = []exporter{
	{"go otlp/grpc", func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure())
	}},
	{"go otlp/grpc gzip", func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor("gzip"))
	}},
	{"go otlp/protobuf", func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracehttp.New(ctx, otlptracehttp.WithInsecure())
	}},
	{"go otlp/protobuf gzip", func(ctx context.Context) (sdk.SpanExporter, error) {
		return otlptracehttp.New(ctx, otlptracehttp.WithInsecure(),
			otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
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
			err = shop(ctx, each.client, open)
		}
		failures = append(failures, err)
	}
	return errors.Join(failures...)
}

// shop sends an order, what it calls, and what it causes.
func shop(ctx context.Context, client string, exporter sdk.SpanExporter) error {
	provider := sdk.NewTracerProvider(
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", strings.ReplaceAll(client, " ", "-")),
			attribute.String("service.version", "1.2.3"),
			attribute.Int("pid", 42),
		)),
		sdk.WithSpanProcessor(teller{client}),
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
