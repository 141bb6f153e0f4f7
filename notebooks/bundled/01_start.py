# %% [markdown]
# # Start here
#
# This notebook reads the lake: the folder with all traces, errors and deploys. It needs no server and no network.
# **Run > Run All Cells** runs it from top to bottom. Change what you like: this is your copy. All times are UTC.

# %%
from notebooks import plots, session
from notebooks.render import table

lake = session.open_lake()
table(session.overview(lake))

# %% [markdown]
# ## Who sends what
#
# Spans of each service, and the requests among them: those that somebody was waiting for.

# %%
table(session.services(lake), empty="No spans yet. Send some, then run this cell again.")

# %% [markdown]
# ## Ask in SQL
#
# `lake.sql` takes any SELECT of DuckDB over `spans`, `errors`, `deploys` and `requests`, and gives a frame: `.pl()` for
# Polars, `.df()` for pandas, `.arrow()`. This one asks which calls to databases and other services the time goes into.

# %%
calls = lake.sql("""
    SELECT service_name AS service, name AS call, count(*) AS calls,
        sum(duration_ns) / 1e9 AS total_s, quantile_cont(duration_ns, 0.95) / 1e6 AS p95_ms
    FROM spans
    WHERE kind = 'client'
    GROUP BY ALL
    ORDER BY total_s DESC
    LIMIT 8
""")
table(calls.pl(), empty="No spans of kind `client` yet, so no calls to databases or other services.")

# %% [markdown]
# ## Did a deploy make something slower?
#
# Here is the endpoint whose p95 grew most around a deploy of its service. The largest of many differences is where to look
# first, and proves nothing by itself. Rules are deploys, dashed those of other services. For another endpoint, name it:
# `session.Look(service, endpoint, since, until)`.

# %%
look = session.largest_change(lake)
plots.latency_by_minute(session.latency(lake, look), session.deploys(lake, look), title=f"{look}")

# %% [markdown]
# ## Where does the time go?
#
# One of those requests, as slow as the p95, in full. Point at a bar to see what it did. For another trace, give its id:
# `session.trace(lake, "…")`.

# %%
plots.waterfall(session.trace(lake, session.slow_trace(lake, look)))

# %% [markdown]
# ## What went wrong last?
#
# Reported errors and exceptions of spans, each kind once.

# %%
table(session.recent_errors(lake), empty="No errors, neither reported nor in spans.")

# %% [markdown]
# ## Where to go next
#
# - A notebook of your own: **File > New > Notebook**, then `from notebooks.session import open_lake`. A file that Tracelake
#   put here is never overwritten; delete it, and the next start brings it back as new.
# - `help(session)` lists the questions used here; `docs/file-format.md` lists every column.
# - The lake is a set of Delta tables. Polars alone reads it too: `polars.scan_delta(str(lake.path / "spans"))`.
