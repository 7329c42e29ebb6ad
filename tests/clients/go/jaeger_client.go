// Jaeger's own client for Go with its defaults, its remote sampler above all; and that sampler for OpenTelemetry.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/opentracing/opentracing-go"
	"github.com/opentracing/opentracing-go/log"
	"github.com/uber/jaeger-client-go"
	"github.com/uber/jaeger-client-go/config"
	"go.opentelemetry.io/contrib/samplers/jaegerremote"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// By default the clients ask how to sample for the first time after a minute.
const patience = 90 * time.Second

var errNobodySaid = errors.New("nobody said that spans are to be sampled")

// refreshInterval is how often to ask how to sample, 0 for the default.
func refreshInterval() time.Duration {
	millis, _ := strconv.Atoi(os.Getenv("JAEGER_SAMPLER_REFRESH_INTERVAL"))
	return time.Duration(millis) * time.Millisecond
}

func jaegerClient(context.Context) error {
	reporters := map[string]config.ReporterConfig{
		"go jaeger-client/udp":      {},
		"go jaeger-client/udp 5775": {LocalAgentHostPort: "localhost:5775"},
		"go jaeger-client/http":     {CollectorEndpoint: "http://localhost:14268/api/traces"},
	}
	var failures []error
	for client, reporter := range reporters {
		if err := jaegerShop(client, reporter); err != nil {
			failures = append(failures, fmt.Errorf("%s: %w", client, err))
		}
	}
	return errors.Join(failures...)
}

func jaegerShop(client string, reporter config.ReporterConfig) error {
	settings := config.Configuration{
		ServiceName: serviceOf(client),
		Sampler:     &config.SamplerConfig{SamplingRefreshInterval: refreshInterval()},
		Reporter:    &reporter,
		Tags:        []opentracing.Tag{{Key: "shop.version", Value: "1.2.3"}},
		Gen128Bit:   true,
	}
	tracer, closer, err := settings.NewTracer()
	if err != nil {
		return err
	}
	order, err := sampled(tracer)
	if err != nil {
		return err
	}
	for _, span := range append(sell(tracer, order), order) {
		span := span.(*jaeger.Span)
		span.Retain()
		span.Finish()
		tellThrift(client, jaeger.BuildJaegerProcessThrift(span), jaeger.BuildJaegerThrift(span))
	}
	return closer.Close()
}

// sampled is the first span that is sampled because the server said so.
func sampled(tracer opentracing.Tracer) (opentracing.Span, error) {
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		span := tracer.StartSpan("checkout").(*jaeger.Span)
		if span.SpanContext().IsSampled() && span.Tags()["sampler.param"] == 1.0 {
			return span, nil
		}
	}
	return nil, errNobodySaid
}

func sell(tracer opentracing.Tracer, order opentracing.Span) []opentracing.Span {
	order.SetTag("span.kind", "server").SetTag("items", 3).SetTag("total", 12.5).SetTag("gift", true).SetTag("empty", "")
	order.SetTag("customer", "Zoë 🛒\n\"quoted\" \\ \t").SetTag("raw", []byte{0, 255, 128})
	order.SetTag("repeated", "first").SetTag("repeated", "second")
	order.LogFields(log.Event("priced"), log.String("currency", "EUR"), log.Int("parts", 2))
	order.SetBaggageItem("customer", "zoe")
	pay := tracer.StartSpan("pay", opentracing.ChildOf(order.Context()), opentracing.Tag{Key: "span.kind", Value: "client"})
	pay.SetTag("error", true)
	mail := tracer.StartSpan("mail", opentracing.FollowsFrom(order.Context()))
	return []opentracing.Span{pay, mail}
}

// remoteSampler sends by OTLP what the server says is to be sampled.
func remoteSampler(ctx context.Context) error {
	client := "go otlp/grpc jaegerremote"
	exporter, err := otlptracegrpc.New(ctx, otlptracegrpc.WithInsecure())
	if err != nil {
		return err
	}
	options := []jaegerremote.Option{jaegerremote.WithInitialSampler(sdk.NeverSample())}
	if interval := refreshInterval(); interval > 0 {
		options = append(options, jaegerremote.WithSamplingRefreshInterval(interval))
	}
	sampler := jaegerremote.New(serviceOf(client), options...)
	defer sampler.Close()
	provider := sdk.NewTracerProvider(
		sdk.WithResource(resource.NewSchemaless(attribute.String("service.name", serviceOf(client)))),
		sdk.WithSampler(sampler),
		sdk.WithSpanProcessor(teller{client}),
		sdk.WithBatcher(exporter),
	)
	tracer := provider.Tracer("tests.shop")
	for begun := time.Now(); time.Since(begun) < patience; time.Sleep(20 * time.Millisecond) {
		_, span := tracer.Start(ctx, "checkout")
		span.End()
		if span.SpanContext().IsSampled() {
			return provider.Shutdown(ctx)
		}
	}
	return errNobodySaid
}
