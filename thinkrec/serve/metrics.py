"""What a server counts, in the text format of Prometheus."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
ROWS = (1, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000)


class Metrics:
    """Counters of one server. Labels are routes, methods and statuses: nothing that a request says.

    Args:
        waiting: gives the number of requests that wait for the model.
    """

    def __init__(self, waiting: Callable[[], float]) -> None:
        """Begin at zero."""
        self._registry = own = CollectorRegistry()
        labels = ("method", "route", "status")
        self._requests = Counter("thinkrec_requests_total", "Requests answered.", labels, registry=own)
        self._seconds = Histogram(
            "thinkrec_request_seconds",
            "Seconds from head to answer.",
            ("route",),
            buckets=SECONDS,
            registry=own,
        )
        queue = Gauge("thinkrec_queue_length", "Requests that wait for the model.", registry=own)
        queue.set_function(waiting)
        self._questions = Histogram(
            "thinkrec_batch_requests", "Requests answered by one batch.", buckets=SIZES, registry=own
        )
        self._rows = Histogram(
            "thinkrec_batch_rows", "Items scored by one batch.", buckets=ROWS, registry=own
        )

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def batch(self, questions: int, rows: int) -> None:
        """Count a batch."""
        self._questions.observe(questions)
        self._rows.observe(rows)

    def text(self) -> bytes:
        """Write all of them."""
        return generate_latest(self._registry)
