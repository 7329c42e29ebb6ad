//! The interface files against the tables of what Jaeger's own programs speak: every field's number and type, every
//! method, nothing more and nothing less.

use std::collections::BTreeSet;

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Messages as `package.Message: name=number:type …`; `*` is repeated, `{}` a map of text, `|` a member of the message's
/// oneof. T and D are protobuf's Timestamp and Duration, messages of the same package go without it.
const MESSAGES: &str = "
jaeger.api_v2.KeyValue: key=1:string v_type=2:ValueType v_str=3:string v_bool=4:bool v_int64=5:int64 v_float64=6:double v_binary=7:bytes
jaeger.api_v2.Log: timestamp=1:T fields=2:*KeyValue
jaeger.api_v2.SpanRef: trace_id=1:bytes span_id=2:bytes ref_type=3:SpanRefType
jaeger.api_v2.Process: service_name=1:string tags=2:*KeyValue
jaeger.api_v2.Span: trace_id=1:bytes span_id=2:bytes operation_name=3:string references=4:*SpanRef flags=5:uint32 start_time=6:T duration=7:D tags=8:*KeyValue logs=9:*Log process=10:Process process_id=11:string warnings=12:*string
jaeger.api_v2.Trace: spans=1:*Span process_map=2:*Trace.ProcessMapping warnings=3:*string
jaeger.api_v2.Trace.ProcessMapping: process_id=1:string process=2:Process
jaeger.api_v2.Batch: spans=1:*Span process=2:Process
jaeger.api_v2.DependencyLink: parent=1:string child=2:string call_count=3:uint64 source=4:string
jaeger.api_v2.GetTraceRequest: trace_id=1:bytes start_time=2:T end_time=3:T raw_traces=4:bool
jaeger.api_v2.SpansResponseChunk: spans=1:*Span
jaeger.api_v2.ArchiveTraceRequest: trace_id=1:bytes start_time=2:T end_time=3:T
jaeger.api_v2.ArchiveTraceResponse:
jaeger.api_v2.TraceQueryParameters: service_name=1:string operation_name=2:string tags=3:{} start_time_min=4:T start_time_max=5:T duration_min=6:D duration_max=7:D search_depth=8:int32 raw_traces=9:bool
jaeger.api_v2.FindTracesRequest: query=1:TraceQueryParameters
jaeger.api_v2.GetServicesRequest:
jaeger.api_v2.GetServicesResponse: services=1:*string
jaeger.api_v2.GetOperationsRequest: service=1:string span_kind=2:string
jaeger.api_v2.Operation: name=1:string span_kind=2:string
jaeger.api_v2.GetOperationsResponse: operationNames=1:*string operations=2:*Operation
jaeger.api_v2.GetDependenciesRequest: start_time=1:T end_time=2:T
jaeger.api_v2.GetDependenciesResponse: dependencies=1:*DependencyLink
jaeger.api_v2.PostSpansRequest: batch=1:Batch
jaeger.api_v2.PostSpansResponse:
jaeger.api_v2.ProbabilisticSamplingStrategy: samplingRate=1:double
jaeger.api_v2.RateLimitingSamplingStrategy: maxTracesPerSecond=1:int32
jaeger.api_v2.OperationSamplingStrategy: operation=1:string probabilisticSampling=2:ProbabilisticSamplingStrategy
jaeger.api_v2.PerOperationSamplingStrategies: defaultSamplingProbability=1:double defaultLowerBoundTracesPerSecond=2:double perOperationStrategies=3:*OperationSamplingStrategy defaultUpperBoundTracesPerSecond=4:double
jaeger.api_v2.SamplingStrategyResponse: strategyType=1:SamplingStrategyType probabilisticSampling=2:ProbabilisticSamplingStrategy rateLimitingSampling=3:RateLimitingSamplingStrategy operationSampling=4:PerOperationSamplingStrategies
jaeger.api_v2.SamplingStrategyParameters: serviceName=1:string
jaeger.storage.v1.GetDependenciesRequest: start_time=1:T end_time=2:T
jaeger.storage.v1.GetDependenciesResponse: dependencies=1:*jaeger.api_v2.DependencyLink
jaeger.storage.v1.WriteSpanRequest: span=1:jaeger.api_v2.Span
jaeger.storage.v1.WriteSpanResponse:
jaeger.storage.v1.CloseWriterRequest:
jaeger.storage.v1.CloseWriterResponse:
jaeger.storage.v1.GetTraceRequest: trace_id=1:bytes start_time=2:T end_time=3:T
jaeger.storage.v1.GetServicesRequest:
jaeger.storage.v1.GetServicesResponse: services=1:*string
jaeger.storage.v1.GetOperationsRequest: service=1:string span_kind=2:string
jaeger.storage.v1.Operation: name=1:string span_kind=2:string
jaeger.storage.v1.GetOperationsResponse: operationNames=1:*string operations=2:*Operation
jaeger.storage.v1.TraceQueryParameters: service_name=1:string operation_name=2:string tags=3:{} start_time_min=4:T start_time_max=5:T duration_min=6:D duration_max=7:D num_traces=8:int32
jaeger.storage.v1.FindTracesRequest: query=1:TraceQueryParameters
jaeger.storage.v1.SpansResponseChunk: spans=1:*jaeger.api_v2.Span
jaeger.storage.v1.FindTraceIDsRequest: query=1:TraceQueryParameters
jaeger.storage.v1.FindTraceIDsResponse: trace_ids=1:*bytes
jaeger.storage.v1.CapabilitiesRequest:
jaeger.storage.v1.CapabilitiesResponse: archiveSpanReader=1:bool archiveSpanWriter=2:bool streamingSpanWriter=3:bool
jaeger.storage.v2.GetTraceParams: trace_id=1:bytes start_time=2:T end_time=3:T
jaeger.storage.v2.GetTracesRequest: query=1:*GetTraceParams
jaeger.storage.v2.GetServicesRequest:
jaeger.storage.v2.GetServicesResponse: services=1:*string
jaeger.storage.v2.GetOperationsRequest: service=1:string span_kind=2:string
jaeger.storage.v2.Operation: name=1:string span_kind=2:string
jaeger.storage.v2.GetOperationsResponse: operations=1:*Operation
jaeger.storage.v2.KeyValue: key=1:string value=2:AnyValue
jaeger.storage.v2.AnyValue: string_value=1:|string bool_value=2:|bool int_value=3:|int64 double_value=4:|double array_value=5:|ArrayValue kvlist_value=6:|KeyValueList bytes_value=7:|bytes
jaeger.storage.v2.KeyValueList: values=1:*KeyValue
jaeger.storage.v2.ArrayValue: values=1:*AnyValue
jaeger.storage.v2.TraceQueryParameters: service_name=1:string operation_name=2:string attributes=3:*KeyValue start_time_min=4:T start_time_max=5:T duration_min=6:D duration_max=7:D search_depth=8:int32 filter=9:jaeger.expression.v1.Call
jaeger.storage.v2.FindTracesRequest: query=1:TraceQueryParameters
jaeger.storage.v2.FindTraceIDsRequest: query=1:TraceQueryParameters
jaeger.storage.v2.FindTraceSummariesRequest: query=1:TraceQueryParameters
jaeger.storage.v2.FoundTraceID: trace_id=1:bytes start=2:T end=3:T
jaeger.storage.v2.FindTraceIDsResponse: trace_ids=1:*FoundTraceID
jaeger.storage.v2.ServiceSummary: name=1:string span_count=2:int32 error_span_count=3:int32
jaeger.storage.v2.TraceSummary: trace_id=1:bytes root_service_name=2:string root_operation_name=3:string min_start_time_unix_nano=4:fixed64 max_end_time_unix_nano=5:fixed64 span_count=6:int32 error_span_count=7:int32 orphan_span_count=8:int32 services=9:*ServiceSummary
jaeger.storage.v2.FindTraceSummariesResponse: summaries=1:*TraceSummary
jaeger.storage.v2.GetDependenciesRequest: start_time=1:T end_time=2:T
jaeger.storage.v2.Dependency: parent=1:string child=2:string call_count=3:uint64 source=4:string
jaeger.storage.v2.GetDependenciesResponse: dependencies=1:*Dependency
jaeger.storage.v2.SearchCapabilities: without_service_name=1:bool same_span_conjunction=2:bool filter=3:FilterCapabilities
jaeger.storage.v2.FilterCapabilities: levels=1:*string operators=2:*string
jaeger.storage.v2.GetCapabilitiesRequest:
jaeger.storage.v2.GetCapabilitiesResponse: search=1:SearchCapabilities
jaeger.expression.v1.Expression: attr=1:|AttributeReference field=2:|FieldReference nested=3:|NestedReference scalar=4:|Scalar list=5:|List call=6:|Call
jaeger.expression.v1.AttributeReference: key=1:string level=2:string
jaeger.expression.v1.FieldReference: name=1:string level=2:string
jaeger.expression.v1.NestedReference: level=1:string
jaeger.expression.v1.Scalar: value=1:string type=2:string
jaeger.expression.v1.List: values=1:*string type=2:string
jaeger.expression.v1.Call: op=1:string args=2:*Expression
jaeger.api_v3.GetTraceRequest: trace_id=1:string start_time=2:T end_time=3:T raw_traces=4:bool
jaeger.api_v3.TraceQueryParameters: service_name=1:string operation_name=2:string attributes=3:{} start_time_min=4:T start_time_max=5:T duration_min=6:D duration_max=7:D search_depth=8:int32 raw_traces=9:bool filter=10:jaeger.expression.v1.Call
jaeger.api_v3.FindTracesRequest: query=1:TraceQueryParameters
jaeger.api_v3.GetServicesRequest:
jaeger.api_v3.GetServicesResponse: services=1:*string
jaeger.api_v3.GetOperationsRequest: service=1:string span_kind=2:string
jaeger.api_v3.Operation: name=1:string span_kind=2:string
jaeger.api_v3.GetOperationsResponse: operations=1:*Operation
jaeger.api_v3.GetDependenciesRequest: start_time=1:T end_time=2:T
jaeger.api_v3.DependenciesResponse: dependencies=1:*Dependency
jaeger.api_v3.Dependency: parent=1:string child=2:string call_count=3:uint64
jaeger.api_v3.ServiceSummary: name=1:string span_count=2:int32 error_span_count=3:int32
jaeger.api_v3.TraceSummary: trace_id=1:string root_service_name=2:string root_operation_name=3:string min_start_time_unix_nano=4:fixed64 max_end_time_unix_nano=5:fixed64 span_count=6:int32 error_span_count=7:int32 orphan_span_count=8:int32 services=9:*ServiceSummary
jaeger.api_v3.FindTraceSummariesRequest: query=1:TraceQueryParameters
jaeger.api_v3.FindTraceSummariesResponse: summaries=1:*TraceSummary
plugin.Empty:
plugin.StdioData: channel=1:StdioData.Channel data=2:bytes
plugin.ConnInfo: service_id=1:uint32 network=2:string address=3:string knock=4:ConnInfo.Knock
plugin.ConnInfo.Knock: knock=1:bool ack=2:bool error=3:string
";

/// Methods as `package.Service: Method(Request)Response …`; `~` is a stream.
const SERVICES: &str = "
jaeger.storage.v1.SpanWriterPlugin: WriteSpan(WriteSpanRequest)WriteSpanResponse Close(CloseWriterRequest)CloseWriterResponse
jaeger.storage.v1.StreamingSpanWriterPlugin: WriteSpanStream(~WriteSpanRequest)WriteSpanResponse
jaeger.storage.v1.SpanReaderPlugin: GetTrace(GetTraceRequest)~SpansResponseChunk GetServices(GetServicesRequest)GetServicesResponse GetOperations(GetOperationsRequest)GetOperationsResponse FindTraces(FindTracesRequest)~SpansResponseChunk FindTraceIDs(FindTraceIDsRequest)FindTraceIDsResponse
jaeger.storage.v1.ArchiveSpanWriterPlugin: WriteArchiveSpan(WriteSpanRequest)WriteSpanResponse
jaeger.storage.v1.ArchiveSpanReaderPlugin: GetArchiveTrace(GetTraceRequest)~SpansResponseChunk
jaeger.storage.v1.DependenciesReaderPlugin: GetDependencies(GetDependenciesRequest)GetDependenciesResponse
jaeger.storage.v1.PluginCapabilities: Capabilities(CapabilitiesRequest)CapabilitiesResponse
jaeger.storage.v2.TraceReader: GetTraces(GetTracesRequest)~opentelemetry.proto.trace.v1.TracesData GetServices(GetServicesRequest)GetServicesResponse GetOperations(GetOperationsRequest)GetOperationsResponse FindTraces(FindTracesRequest)~opentelemetry.proto.trace.v1.TracesData FindTraceIDs(FindTraceIDsRequest)FindTraceIDsResponse FindTraceSummaries(FindTraceSummariesRequest)~FindTraceSummariesResponse
jaeger.storage.v2.DependencyReader: GetDependencies(GetDependenciesRequest)GetDependenciesResponse
jaeger.storage.v2.Capabilities: GetCapabilities(GetCapabilitiesRequest)GetCapabilitiesResponse
jaeger.api_v2.QueryService: GetTrace(GetTraceRequest)~SpansResponseChunk ArchiveTrace(ArchiveTraceRequest)ArchiveTraceResponse FindTraces(FindTracesRequest)~SpansResponseChunk GetServices(GetServicesRequest)GetServicesResponse GetOperations(GetOperationsRequest)GetOperationsResponse GetDependencies(GetDependenciesRequest)GetDependenciesResponse
jaeger.api_v2.CollectorService: PostSpans(PostSpansRequest)PostSpansResponse
jaeger.api_v2.SamplingManager: GetSamplingStrategy(SamplingStrategyParameters)SamplingStrategyResponse
jaeger.api_v3.QueryService: GetTrace(GetTraceRequest)~opentelemetry.proto.trace.v1.TracesData FindTraces(FindTracesRequest)~opentelemetry.proto.trace.v1.TracesData GetServices(GetServicesRequest)GetServicesResponse GetOperations(GetOperationsRequest)GetOperationsResponse GetDependencies(GetDependenciesRequest)DependenciesResponse FindTraceSummaries(FindTraceSummariesRequest)~FindTraceSummariesResponse
opentelemetry.proto.collector.trace.v1.TraceService: Export(ExportTraceServiceRequest)ExportTraceServiceResponse
plugin.GRPCController: Shutdown(Empty)Empty
plugin.GRPCStdio: StreamStdio(google.protobuf.Empty)~StdioData
plugin.GRPCBroker: StartStream(~ConnInfo)~ConnInfo
";

/// Enums as `package.Enum: NAME=number …`.
const ENUMS: &str = "
jaeger.api_v2.ValueType: STRING=0 BOOL=1 INT64=2 FLOAT64=3 BINARY=4
jaeger.api_v2.SpanRefType: CHILD_OF=0 FOLLOWS_FROM=1
jaeger.api_v2.SamplingStrategyType: PROBABILISTIC=0 RATE_LIMITING=1
plugin.StdioData.Channel: INVALID=0 STDOUT=1 STDERR=2
";

#[test]
fn every_message_field_and_method_is_the_one_that_jaeger_speaks() {
    let files = FileDescriptorSet::decode(tracelodge::proto::DESCRIPTORS).unwrap().file;
    let (mut messages, mut services, mut enums) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
    for file in files.iter().filter(|file| !file.package().starts_with("google.")) {
        services.extend(file.service.iter().map(|service| {
            let methods = service.method.iter().map(|method| {
                let stream = |is_one: bool| if is_one { "~" } else { "" };
                let (request, response) =
                    (short(method.input_type(), file.package()), short(method.output_type(), file.package()));
                let (asked, answered) =
                    (stream(method.client_streaming()), stream(method.server_streaming()));
                format!(" {}({asked}{request}){answered}{response}", method.name())
            });
            format!("{}.{}:{}", file.package(), service.name(), methods.collect::<String>())
        }));
        if !file.package().starts_with("opentelemetry.") {
            describe(file, &mut messages, &mut enums);
        }
    }
    assert_same(&messages, MESSAGES);
    assert_same(&services, SERVICES);
    assert_same(&enums, ENUMS);
}

/// OTLP's are judged by another's definitions: what those write, ours must describe.
#[test]
fn otlp_is_described_as_others_describe_it() {
    let files = FileDescriptorSet::decode(tracelodge::proto::DESCRIPTORS).unwrap().file;
    let mut messages = BTreeSet::new();
    for file in files.iter().filter(|file| file.package().starts_with("opentelemetry.")) {
        describe(file, &mut messages, &mut BTreeSet::new());
    }
    let expected = "
opentelemetry.proto.common.v1.AnyValue: string_value=1:|string bool_value=2:|bool int_value=3:|int64 double_value=4:|double array_value=5:|ArrayValue kvlist_value=6:|KeyValueList bytes_value=7:|bytes
opentelemetry.proto.common.v1.ArrayValue: values=1:*AnyValue
opentelemetry.proto.common.v1.KeyValueList: values=1:*KeyValue
opentelemetry.proto.common.v1.KeyValue: key=1:string value=2:AnyValue
opentelemetry.proto.common.v1.InstrumentationScope: name=1:string version=2:string attributes=3:*KeyValue dropped_attributes_count=4:uint32
opentelemetry.proto.resource.v1.Resource: attributes=1:*opentelemetry.proto.common.v1.KeyValue dropped_attributes_count=2:uint32
opentelemetry.proto.trace.v1.TracesData: resource_spans=1:*ResourceSpans
opentelemetry.proto.trace.v1.ResourceSpans: resource=1:opentelemetry.proto.resource.v1.Resource scope_spans=2:*ScopeSpans schema_url=3:string
opentelemetry.proto.trace.v1.ScopeSpans: scope=1:opentelemetry.proto.common.v1.InstrumentationScope spans=2:*Span schema_url=3:string
opentelemetry.proto.trace.v1.Span: trace_id=1:bytes span_id=2:bytes trace_state=3:string parent_span_id=4:bytes name=5:string kind=6:Span.SpanKind start_time_unix_nano=7:fixed64 end_time_unix_nano=8:fixed64 attributes=9:*opentelemetry.proto.common.v1.KeyValue dropped_attributes_count=10:uint32 events=11:*Span.Event dropped_events_count=12:uint32 links=13:*Span.Link dropped_links_count=14:uint32 status=15:Status flags=16:fixed32
opentelemetry.proto.trace.v1.Span.Event: time_unix_nano=1:fixed64 name=2:string attributes=3:*opentelemetry.proto.common.v1.KeyValue dropped_attributes_count=4:uint32
opentelemetry.proto.trace.v1.Span.Link: trace_id=1:bytes span_id=2:bytes trace_state=3:string attributes=4:*opentelemetry.proto.common.v1.KeyValue dropped_attributes_count=5:uint32 flags=6:fixed32
opentelemetry.proto.trace.v1.Status: message=2:string code=3:Status.StatusCode
opentelemetry.proto.collector.trace.v1.ExportTraceServiceRequest: resource_spans=1:*opentelemetry.proto.trace.v1.ResourceSpans
opentelemetry.proto.collector.trace.v1.ExportTraceServiceResponse: partial_success=1:ExportTracePartialSuccess
opentelemetry.proto.collector.trace.v1.ExportTracePartialSuccess: rejected_spans=1:int64 error_message=2:string
";
    assert_same(&messages, expected);
}

fn assert_same(ours: &BTreeSet<String>, table: &str) {
    let table: BTreeSet<_> = table.lines().filter(|line| !line.is_empty()).map(str::to_owned).collect();
    let (extra, missing): (Vec<_>, Vec<_>) =
        (ours.difference(&table).collect(), table.difference(ours).collect());
    assert!(extra.is_empty() && missing.is_empty(), "not in the table: {extra:#?}\nonly there: {missing:#?}");
}

fn describe(file: &FileDescriptorProto, messages: &mut BTreeSet<String>, enums: &mut BTreeSet<String>) {
    let mut waiting: Vec<_> =
        file.message_type.iter().map(|message| (message.name().to_owned(), message)).collect();
    let mut named = |within: &str, enumeration: &prost_types::EnumDescriptorProto| {
        let values = enumeration.value.iter().map(|value| format!(" {}={}", value.name(), value.number()));
        enums.insert(format!(
            "{}.{within}{}:{}",
            file.package(),
            enumeration.name(),
            values.collect::<String>()
        ));
    };
    file.enum_type.iter().for_each(|enumeration| named("", enumeration));
    while let Some((name, message)) = waiting.pop() {
        let inner = message.nested_type.iter().filter(|inner| !is_map(inner));
        waiting.extend(inner.map(|inner| (format!("{name}.{}", inner.name()), inner)));
        message.enum_type.iter().for_each(|enumeration| named(&format!("{name}."), enumeration));
        let fields = message.field.iter().map(|field| {
            format!(" {}={}:{}", field.name(), field.number(), kind(field, message, file.package()))
        });
        messages.insert(format!("{}.{name}:{}", file.package(), fields.collect::<String>()));
    }
}

fn is_map(message: &DescriptorProto) -> bool {
    message.options.as_ref().is_some_and(|options| options.map_entry())
}

fn kind(field: &FieldDescriptorProto, message: &DescriptorProto, package: &str) -> String {
    let map = message
        .nested_type
        .iter()
        .find(|inner| is_map(inner) && field.type_name().rsplit('.').next() == Some(inner.name()));
    if let Some(map) = map {
        assert!(map.field.iter().all(|field| field.r#type() == Type::String), "a map of text");
        return "{}".to_owned();
    }
    let mark = match (field.label(), field.oneof_index) {
        (Label::Repeated, _) => "*",
        (_, Some(_)) => "|",
        _ => "",
    };
    let name = match field.r#type() {
        Type::Message | Type::Enum => short(field.type_name(), package),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    };
    format!("{mark}{name}")
}

fn short(name: &str, package: &str) -> String {
    match name.trim_start_matches('.') {
        "google.protobuf.Timestamp" => "T".to_owned(),
        "google.protobuf.Duration" => "D".to_owned(),
        name => name.strip_prefix(&format!("{package}.")).unwrap_or(name).to_owned(),
    }
}
