// How a span is told to check.py that is in Jaeger's words.
package main

import (
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/uber/jaeger-client-go/thrift-gen/jaeger"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

type toldTag struct {
	Key   string `json:"key"`
	Type  string `json:"type"`
	Value any    `json:"value"`
}

type toldReference struct {
	Type  string `json:"refType"`
	Trace string `json:"traceID"`
	Span  string `json:"spanID"`
}

type toldLog struct {
	Timestamp int64     `json:"timestamp"`
	Fields    []toldTag `json:"fields"`
}

type toldProcess struct {
	Service string    `json:"serviceName"`
	Tags    []toldTag `json:"tags"`
}

type toldJaeger struct {
	Operation  string          `json:"operationName"`
	Parent     string          `json:"parentSpanID,omitempty"`
	References []toldReference `json:"references"`
	Flags      int32           `json:"flags"`
	Start      int64           `json:"startTime"`
	Duration   int64           `json:"duration"`
	Tags       []toldTag       `json:"tags"`
	Logs       []toldLog       `json:"logs"`
	Process    toldProcess     `json:"process"`
}

type toldJaegerSpan struct {
	Client string `json:"client"`
	toldContext
	Jaeger toldJaeger `json:"jaeger"`
}

// tellThrift writes a span that Jaeger's client has brought into the shape of its Thrift writer.
func tellThrift(client string, process *jaeger.Process, span *jaeger.Span) {
	told := toldJaeger{
		Operation:  span.OperationName,
		References: []toldReference{},
		Flags:      span.Flags,
		Start:      span.StartTime,
		Duration:   span.Duration,
		Tags:       thriftTags(span.Tags),
		Logs:       []toldLog{},
		Process:    toldProcess{process.ServiceName, thriftTags(process.Tags)},
	}
	if span.ParentSpanId != 0 {
		told.Parent = hex(span.ParentSpanId)
	}
	for _, each := range span.References {
		told.References = append(told.References,
			toldReference{each.RefType.String(), hex(each.TraceIdHigh) + hex(each.TraceIdLow), hex(each.SpanId)})
	}
	for _, log := range span.Logs {
		told.Logs = append(told.Logs, toldLog{log.Timestamp, thriftTags(log.Fields)})
	}
	trace := toldContext{hex(span.TraceIdHigh) + hex(span.TraceIdLow), hex(span.SpanId)}
	tell(toldJaegerSpan{client, trace, told})
}

func thriftTags(tags []*jaeger.Tag) []toldTag {
	told := []toldTag{}
	for _, tag := range tags {
		switch tag.VType {
		case jaeger.TagType_STRING:
			told = append(told, toldTag{tag.Key, "string", tag.GetVStr()})
		case jaeger.TagType_DOUBLE:
			told = append(told, toldTag{tag.Key, "float64", tag.GetVDouble()})
		case jaeger.TagType_BOOL:
			told = append(told, toldTag{tag.Key, "bool", tag.GetVBool()})
		case jaeger.TagType_LONG:
			told = append(told, toldTag{tag.Key, "int64", tag.GetVLong()})
		case jaeger.TagType_BINARY:
			told = append(told, toldTag{tag.Key, "binary", base64.StdEncoding.EncodeToString(tag.GetVBinary())})
		}
	}
	return told
}

func hex(id int64) string { return fmt.Sprintf("%016x", uint64(id)) }

// jaegerTeller is a processor that writes what OpenTelemetry's exporter for Jaeger makes of each span that ends.
type jaegerTeller struct{ teller }

func (teller jaegerTeller) OnEnd(span sdk.ReadOnlySpan) {
	micros := func(nanos int64) int64 { return nanos / 1000 }
	told := toldJaeger{
		Operation:  span.Name(),
		References: []toldReference{},
		Flags:      int32(span.SpanContext().TraceFlags()),
		Start:      micros(span.StartTime().UnixNano()),
		Duration:   micros(span.EndTime().Sub(span.StartTime()).Nanoseconds()),
		Tags:       exportedTags(span),
		Logs:       []toldLog{},
		Process:    exportedProcess(span),
	}
	if span.Parent().IsValid() {
		told.Parent = span.Parent().SpanID().String()
	}
	for _, link := range span.Links() {
		context := toldOf(link.SpanContext)
		told.References = append(told.References, toldReference{"FOLLOWS_FROM", context.Trace, context.Span})
	}
	for _, event := range span.Events() {
		fields := append([]toldTag{{"event", "string", event.Name}}, attributeTags(event.Attributes)...)
		told.Logs = append(told.Logs, toldLog{micros(event.Time.UnixNano()), fields})
	}
	tell(toldJaegerSpan{teller.client, toldOf(span.SpanContext()), told})
}

func exportedTags(span sdk.ReadOnlySpan) []toldTag {
	tags := append(attributeTags(span.Attributes()),
		toldTag{"otel.library.name", "string", span.InstrumentationScope().Name},
		toldTag{"otel.library.version", "string", span.InstrumentationScope().Version})
	if span.SpanKind() != trace.SpanKindInternal {
		tags = append(tags, toldTag{"span.kind", "string", span.SpanKind().String()})
	}
	switch span.Status().Code {
	case codes.Ok:
		tags = append(tags, toldTag{"otel.status_code", "string", "OK"})
	case codes.Error:
		tags = append(tags, toldTag{"error", "bool", true}, toldTag{"otel.status_code", "string", "ERROR"},
			toldTag{"otel.status_description", "string", span.Status().Description})
	}
	return tags
}

func exportedProcess(span sdk.ReadOnlySpan) toldProcess {
	process := toldProcess{}
	for _, tag := range attributeTags(span.Resource().Attributes()) {
		if tag.Key == "service.name" {
			process.Service = tag.Value.(string)
		} else {
			process.Tags = append(process.Tags, tag)
		}
	}
	return process
}

func attributeTags(attributes []attribute.KeyValue) []toldTag {
	tags := []toldTag{}
	for _, each := range attributes {
		tag := toldTag{string(each.Key), "string", each.Value.AsInterface()}
		switch each.Value.Type() {
		case attribute.BOOL:
			tag.Type = "bool"
		case attribute.INT64:
			tag.Type = "int64"
		case attribute.FLOAT64:
			tag.Type = "float64"
		case attribute.INT64SLICE, attribute.STRINGSLICE:
			text, _ := json.Marshal(tag.Value)
			tag.Value = string(text)
		}
		tags = append(tags, tag)
	}
	return tags
}
