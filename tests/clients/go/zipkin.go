// Zipkin's own client for Go, and OpenTelemetry's exporter for Zipkin.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/openzipkin/zipkin-go"
	"github.com/openzipkin/zipkin-go/model"
	"github.com/openzipkin/zipkin-go/propagation/b3"
	"github.com/openzipkin/zipkin-go/proto/zipkin_proto3"
	"github.com/openzipkin/zipkin-go/reporter"
	zipkinhttp "github.com/openzipkin/zipkin-go/reporter/http"
	exporter_zipkin "go.opentelemetry.io/otel/exporters/zipkin"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

const goZipkinOfProtobuf = "go zipkin/protobuf"

const zipkinSpans = "http://localhost:9411/api/v2/spans"

type toldZipkin struct {
	Client string `json:"client"`
	toldContext
	Zipkin json.RawMessage `json:"zipkin"`
}

func tellZipkin(client string, span model.SpanModel) {
	text, err := json.Marshal(span)
	if err != nil {
		panic(err)
	}
	tell(toldZipkin{client, toldContext{span.TraceID.String(), span.ID.String()}, text})
}

// zipkinTeller is a processor that writes what OpenTelemetry's exporter makes of each span that ends.
type zipkinTeller struct{ teller }

func (teller zipkinTeller) OnEnd(span sdk.ReadOnlySpan) {
	for _, model := range exporter_zipkin.SpanModels([]sdk.ReadOnlySpan{span}) {
		tellZipkin(teller.client, model)
	}
}

// tellingReporter hands on what it writes.
type tellingReporter struct {
	reporter.Reporter
	client string
}

func (reporter tellingReporter) Send(span model.SpanModel) {
	told := span
	if reporter.client == goZipkinOfProtobuf {
		told = cutOff(span)
	}
	tellZipkin(reporter.client, told)
	reporter.Reporter.Send(span)
}

// cutOff is the span in whole microseconds as its Protobuf has them; its JSON rounds more of them.
func cutOff(span model.SpanModel) model.SpanModel {
	span.Duration = span.Duration.Truncate(time.Microsecond)
	span.Annotations = slices.Clone(span.Annotations)
	for place := range span.Annotations {
		span.Annotations[place].Timestamp = span.Annotations[place].Timestamp.Truncate(time.Microsecond)
	}
	return span
}

func zipkinClient(context.Context) error {
	serializers := map[string]reporter.SpanSerializer{
		"go zipkin/json":   reporter.JSONSerializer{},
		goZipkinOfProtobuf: zipkin_proto3.SpanSerializer{},
	}
	for client, serializer := range serializers {
		reporter := zipkinhttp.NewReporter(zipkinSpans, zipkinhttp.Serializer(serializer))
		if err := zipkinShop(tellingReporter{reporter, client}); err != nil {
			return fmt.Errorf("%s: %w", client, err)
		}
		if err := reporter.Close(); err != nil {
			return fmt.Errorf("%s: %w", client, err)
		}
	}
	return nil
}

// zipkinShop sends an order, and a call whose two halves share an id.
func zipkinShop(reporter tellingReporter) error {
	service := serviceOf(reporter.client)
	tracer := func(name, address string) (*zipkin.Tracer, error) {
		endpoint, err := zipkin.NewEndpoint(service+"-"+name, address)
		if err != nil {
			return nil, err
		}
		return zipkin.NewTracer(reporter, zipkin.WithLocalEndpoint(endpoint), zipkin.WithSharedSpans(true),
			zipkin.WithTraceID128Bit(true))
	}
	shop, err := tracer("shop", "192.0.2.1:8080")
	if err != nil {
		return err
	}
	bank, err := tracer("bank", "[2001:db8::8]:65535")
	if err != nil {
		return err
	}
	phone, err := zipkin.NewEndpoint("phone", "192.0.2.7:40000")
	if err != nil {
		return err
	}
	order := shop.StartSpan("checkout", zipkin.Kind(model.Server), zipkin.RemoteEndpoint(phone))
	order.Tag("customer", "Zoë 🛒\n\"quoted\" \\ \t")
	order.Annotate(time.Now(), "priced")
	call := shop.StartSpan("pay", zipkin.Kind(model.Client), zipkin.Parent(order.Context()))
	headers := b3.Map{}
	if err := headers.Inject()(call.Context()); err != nil {
		return err
	}
	called := bank.StartSpan("pay", zipkin.Kind(model.Server), zipkin.Parent(bank.Extract(headers.Extract)))
	called.Tag("bank.code", "1234")
	called.Finish()
	zipkin.TagError.Set(call, "card refused")
	call.Finish()
	shop.StartSpan("count", zipkin.Parent(order.Context())).Finish()
	order.Finish()
	return nil
}
