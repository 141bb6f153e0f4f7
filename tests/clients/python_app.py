"""An application that is traced by the OpenTelemetry SDK, configured by its environment alone.

Prints the OTLP protobuf of all its spans in base64, as the exporter encodes it.
"""

import base64
import sys

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import Link, SpanContext, SpanKind, TraceFlags
from opentelemetry.util.types import AttributeValue

ended = InMemorySpanExporter()
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
provider.add_span_processor(SimpleSpanProcessor(ended))
tracer = provider.get_tracer("tests", "1.0", schema_url="https://opentelemetry.io/schemas/1.37.0", attributes={"scoped": 1})

attributes: dict[str, AttributeValue] = {
    "http.request.method": "GET", "http.response.status_code": 500, "ratio": 0.25, "big": 2**62, "retried": True,
    "tags": ["a", "b"], "sizes": [1, 2], "text": "snowman \u2603", "empty": "",
}  # fmt: skip
with tracer.start_as_current_span("GET /cart", kind=SpanKind.SERVER, attributes=attributes):
    elsewhere = SpanContext(0x0AF7651916CD43DD8448EB211C80319C, 0xB7AD6B7169203331, True, TraceFlags(1))
    links = [Link(elsewhere, {"why": "batch"})]
    with tracer.start_as_current_span("SELECT cart", kind=SpanKind.CLIENT, links=links) as span:
        span.add_event("row", {"number": 7, "exact": 0.5})
        try:
            raise LookupError("no such cart")
        except LookupError as error:
            span.record_exception(error)
            span.set_status(trace.StatusCode.ERROR, "no such cart")

provider.shutdown()
sys.stdout.write(base64.b64encode(encode_spans(ended.get_finished_spans()).SerializeToString()).decode())
