// How a span of OpenTelemetry's SDK for Go is told to check.py.
package main

import (
	"context"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

// teller is a processor that writes each span that ends, with the client that sends it.
type teller struct{ client string }

type toldEvent struct {
	Name       string         `json:"name"`
	Time       string         `json:"time"`
	Attributes map[string]any `json:"attributes"`
}

type toldContext struct {
	Trace string `json:"trace"`
	Span  string `json:"span"`
}

type toldStatus struct {
	Code    string `json:"code"`
	Message string `json:"message,omitempty"`
}

type toldScope struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type toldSpan struct {
	Client string `json:"client"`
	toldContext
	Parent     string         `json:"parent,omitempty"`
	Name       string         `json:"name"`
	Kind       string         `json:"kind"`
	Start      string         `json:"start"`
	End        string         `json:"end"`
	Attributes map[string]any `json:"attributes"`
	Events     []toldEvent    `json:"events"`
	Links      []toldContext  `json:"links"`
	Status     toldStatus     `json:"status"`
	Resource   map[string]any `json:"resource"`
	Scope      toldScope      `json:"scope"`
}

func (teller) OnStart(context.Context, sdk.ReadWriteSpan) {}
func (teller) Shutdown(context.Context) error             { return nil }
func (teller) ForceFlush(context.Context) error           { return nil }

func (teller teller) OnEnd(span sdk.ReadOnlySpan) {
	told := toldSpan{
		Client:      teller.client,
		toldContext: toldOf(span.SpanContext()),
		Name:        span.Name(),
		Kind:        span.SpanKind().String(),
		Start:       nanos(span.StartTime()),
		End:         nanos(span.EndTime()),
		Attributes:  values(span.Attributes()),
		Status:      toldStatus{strings.ToLower(span.Status().Code.String()), span.Status().Description},
		Resource:    values(span.Resource().Attributes()),
		Scope:       toldScope{span.InstrumentationScope().Name, span.InstrumentationScope().Version},
		Events:      []toldEvent{},
		Links:       []toldContext{},
	}
	if span.Parent().IsValid() {
		told.Parent = span.Parent().SpanID().String()
	}
	for _, event := range span.Events() {
		told.Events = append(told.Events, toldEvent{event.Name, nanos(event.Time), values(event.Attributes)})
	}
	for _, link := range span.Links() {
		told.Links = append(told.Links, toldOf(link.SpanContext))
	}
	tell(told)
}

func toldOf(context trace.SpanContext) toldContext {
	return toldContext{context.TraceID().String(), context.SpanID().String()}
}

func nanos(time time.Time) string { return strconv.FormatInt(time.UnixNano(), 10) }

// number keeps its point in JSON: check.py takes a whole number for an integer.
type number float64

func (number number) MarshalJSON() ([]byte, error) {
	text := strconv.FormatFloat(float64(number), 'g', -1, 64)
	if !strings.ContainsAny(text, ".e") {
		text += ".0"
	}
	return []byte(text), nil
}

func values(attributes []attribute.KeyValue) map[string]any {
	values := map[string]any{}
	for _, each := range attributes {
		values[string(each.Key)] = each.Value.AsInterface()
		if each.Value.Type() == attribute.FLOAT64 {
			values[string(each.Key)] = number(each.Value.AsFloat64())
		}
	}
	return values
}
