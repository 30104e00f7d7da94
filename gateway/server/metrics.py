"""Prometheus metrics. A registry of its own an application, so that two can live in one process."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from gateway.server.exchange import Exchange
from gateway.server.service import Service

_MODEL = ("model", "adapter")
_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)
_TOKEN_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1)


class Metrics:
    """What is counted of every exchange."""

    def __init__(self, service: Service) -> None:
        self.registry = CollectorRegistry()
        self.registry.register(_Now(service))
        self._requests = Counter(
            "gateway_requests_total",
            "Requests answered.",
            ("route", "status", *_MODEL),
            registry=self.registry,
        )
        self._seconds = Histogram(
            "gateway_request_seconds",
            "From a request's arrival to its last byte.",
            ("route", *_MODEL),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._first = Histogram(
            "gateway_time_to_first_token_seconds",
            "From a request's arrival to its first token.",
            _MODEL,
            buckets=_SECONDS,
            registry=self.registry,
        )
        self._per_token = Histogram(
            "gateway_time_per_output_token_seconds",
            "Mean time between the tokens of an answer.",
            _MODEL,
            buckets=_TOKEN_SECONDS,
            registry=self.registry,
        )
        self._tokens = Counter(
            "gateway_tokens_total",
            "Tokens: prompt (cached ones included), cached (of those, not computed), completion.",
            ("kind", *_MODEL),
            registry=self.registry,
        )
        self._left_out = Counter(
            "gateway_tool_calls_left_out_total",
            "Calls that a model wrote behind the only one asked for (parallel_tool_calls: false).",
            _MODEL,
            registry=self.registry,
        )
        self._hits = Gauge(
            "gateway_cache_hit_ratio",
            "Share of all prompt tokens that were in memory already.",
            _MODEL,
            registry=self.registry,
        )
        self._totals: dict[tuple[str, str], list[int]] = {}
        """Prompt tokens and cached ones, by model and adapter."""

    def observe(self, exchange: Exchange) -> None:
        """Count an exchange that is over."""
        model = (exchange.model, exchange.adapter)
        self._requests.labels(exchange.route, str(exchange.status), *model).inc()
        self._seconds.labels(exchange.route, *model).observe(exchange.seconds)
        if not exchange.model:
            return
        if exchange.first_token_s is not None:
            self._first.labels(*model).observe(exchange.first_token_s)
        for seconds in exchange.per_token_s:
            self._per_token.labels(*model).observe(seconds)
        self._tokens.labels("prompt", *model).inc(exchange.prompt_tokens)
        self._tokens.labels("cached", *model).inc(exchange.cached_tokens)
        self._tokens.labels("completion", *model).inc(exchange.completion_tokens)
        self._left_out.labels(*model).inc(sum(exchange.calls_left_out.values()))
        total = self._totals.setdefault(model, [0, 0])
        total[0] += exchange.prompt_tokens
        total[1] += exchange.cached_tokens
        if total[0]:
            self._hits.labels(*model).set(total[1] / total[0])


class _Now(Collector):
    """What is so at the moment of asking."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        admission = self._service.admission
        yield GaugeMetricFamily(
            "gateway_requests_running", "Requests worked on.", admission.running
        )
        yield GaugeMetricFamily(
            "gateway_requests_waiting", "Requests in the queue.", admission.waiting
        )
        loaded = GaugeMetricFamily(
            "gateway_model_memory_bytes", "What loaded models take.", labels=("model", "part")
        )
        for name, backend in self._service.pool.loaded.items():
            memory = backend.memory
            loaded.add_metric((name, "weights"), memory.weights)
            loaded.add_metric((name, "cache"), memory.cache)
            loaded.add_metric((name, "scratch"), memory.scratch)
        yield loaded
        failures = CounterMetricFamily(
            "gateway_engine_failures",
            "Passes that failed, and engines that began anew, since the model was loaded.",
            labels=("model",),
        )
        for name, troubles in self._service.troubles().items():
            failures.add_metric((name,), troubles.count)
        yield failures
