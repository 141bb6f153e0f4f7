// An application that is traced by the OpenTelemetry SDK, configured by its environment alone.
// Prints the OTLP/JSON of all its spans, as the exporter sends it.
import { context, SpanKind, SpanStatusCode, trace } from "@opentelemetry/api";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { JsonTraceSerializer } from "@opentelemetry/otlp-transformer";
import { resourceFromAttributes } from "@opentelemetry/resources";
import { BatchSpanProcessor, NodeTracerProvider } from "@opentelemetry/sdk-trace-node";

const ended = [];
const collector = {
  onStart() {},
  onEnd: (span) => ended.push(span),
  forceFlush: async () => {},
  shutdown: async () => {},
};
const provider = new NodeTracerProvider({
  resource: resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME, "process.pid": process.pid }),
  spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter()), collector],
});
provider.register();
const tracer = trace.getTracer("tests", "1.0");

const attributes = { "http.request.method": "GET", "http.response.status_code": 500, ratio: 0.25, big: 2 ** 40, whole: 3.0,
                     retried: true, tags: ["a", "b"], sizes: [1, 2] };
tracer.startActiveSpan("GET /cart", { kind: SpanKind.SERVER, attributes }, (root) => {
  const links = [{ context: { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", traceFlags: 1 },
                   attributes: { why: "batch" } }];
  const child = tracer.startSpan("SELECT cart", { kind: SpanKind.CLIENT, links }, context.active());
  child.addEvent("row", { number: 7, exact: 0.5 });
  child.recordException(new TypeError("no such cart"));
  child.setStatus({ code: SpanStatusCode.ERROR, message: "no such cart" });
  child.end();
  root.end();
});

await provider.shutdown();
console.log(new TextDecoder().decode(JsonTraceSerializer.serializeRequest(ended)));
