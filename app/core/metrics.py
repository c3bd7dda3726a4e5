"""What the hub counts, under the names that /metrics shows; worker processes write to the same files.

With PROMETHEUS_MULTIPROC_DIR set before this is imported, every process of a node adds to one set of numbers.
"""

from __future__ import annotations

from prometheus_client import Counter, Histogram, disable_created_metrics

# A second series for every counter, which nobody asks for.
disable_created_metrics()  # type: ignore[no-untyped-call]

# Seconds: the promises are p50 in milliseconds, the troubles are in seconds.
_SPANS = (0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

EVENTS = Counter("hub_events_handled", "Attempts at events, by how they ended", ["bot", "outcome"])
WAIT_SECONDS = Histogram("hub_event_wait_seconds", "From accepted to its handler's start", ["bot"], buckets=_SPANS)
HANDLE_SECONDS = Histogram("hub_handle_seconds", "What handlers took", ["bot"], buckets=_SPANS)
LOOP_HELD = Counter("hub_loop_held", "Times a bot's code held its loop over 100 ms", ["bot"])
WORKER_DEATHS = Counter("hub_worker_deaths", "Worker processes that ended unasked, by the bot on the loop", ["bot"])
QUARANTINES = Counter("hub_quarantines", "Times a bot was moved to the quarantine lane", ["bot"])
SENDS = Counter("hub_sends", "Calls to Feishu, by what came of them", ["bot", "api", "outcome"])
SEND_REFUSALS = Counter("hub_send_refusals", "What Feishu did not do, by its code", ["bot", "api", "code", "bound"])
SEND_RETRIES = Counter("hub_send_retries", "Calls to Feishu that were made again", ["bot", "api"])
SLOT_WAIT_SECONDS = Histogram(
    "hub_send_slot_wait_seconds", "Waits for a send slot", ["bot", "api", "kind"], buckets=_SPANS
)
ARCHIVED = Counter("hub_archived", "Log entries written to the message store", ["outcome"])
CACHE_READS = Counter("hub_cache_reads", "Reads of the cache, by the tier asked and what it gave", ["tier", "outcome"])
RESPONSE_SECONDS = Histogram("hub_response_seconds", "From accepted to its handler's end", ["bot"], buckets=_SPANS)
TOKEN_FETCHES = Counter("hub_token_fetches", "Access tokens asked of Feishu, by what came of it", ["bot", "outcome"])
ALERT_DELIVERIES = Counter("hub_alert_deliveries", "Tries to send alerts, by what came of them", ["channel", "outcome"])
FIRINGS = Counter("hub_firings", "Schedules and reminders that were due, by what came of it", ["bot", "outcome"])
UNREAD = Counter("hub_requests_unread", "Requests refused before they were read", ["status"])
