"""Wire: what clients send, as Arrow tables with the columns of `lake.schema`.

    protobuf, otlp_json   OTLP trace requests -> `decoded.Decoded`, one shape for both encodings
    limits, outline       what a request may hold, and how much a large one does hold
    values, nested        attribute values to text, by column and singly
    attributes            key-value lists to columns
    spans                 `Decoded` -> rows of the table `spans`; refuses single spans
    otlp                  rows of `spans` -> OTLP again, exactly
    reports               errors, deploys and request metrics (JSON) -> rows of their tables; their fields are in
                          report_fields, values in report_values

Nothing here touches disk. Next stage: `lake.landing`.
"""
