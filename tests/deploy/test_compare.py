"""The comparison itself: each fault that it is there to see, and what it must let pass."""

import unittest

import compare
import exposition
from sources import Source

SCRAPED = exposition.parse(
    """\
# TYPE requests_total counter
requests_total{version="blue",outcome="success",code="200"} 7
requests_total{version="green",outcome="success",code="200"} 3
# TYPE head_seconds histogram
head_seconds_bucket{version="blue",le="0.1"} 7
head_seconds_bucket{version="blue",le="+Inf"} 7
head_seconds_sum{version="blue"} 0.25
head_seconds_count{version="blue"} 7
# TYPE weight_ratio gauge
weight_ratio{version="green"} 0.5
"""
)
RECORDING = Source("rules", "sum by (job, version) (rate(requests_total[5m]))", records="job_version:requests:rate5m")


def faults(expression, reads=()):
    asked = Source("here", expression, reads=frozenset(reads))
    return [fault.removeprefix("here: ") for fault in compare.faults([RECORDING, asked], SCRAPED)]


class Comparison(unittest.TestCase):
    def test_what_the_proxy_exports_may_be_asked_for(self):
        for expression in [
            "requests_total",
            'sum by (version, outcome) (rate(requests_total{job=~".+", outcome=~"timeout|reset"}[5m]))',
            "histogram_quantile(0.99, sum by (version, le) (rate(head_seconds_bucket[5m])))",
            'weight_ratio{version="green"} > 0 and on (instance) up{job="x"} == 1',
            'job_version:requests:rate5m{version="blue"} > 2',
            "sum(head_seconds_sum) / sum(head_seconds_count) # a comment",
            "requests_total offset 5m unless requests_total",
            "1 - 2e3 * Inf",
        ]:
            self.assertEqual(faults(expression), [], expression)

    def test_what_it_does_not_export_may_not(self):
        for expression, fault in [
            ("requests", "no metric requests"),
            ("a_b:never:recorded", "no metric a_b:never:recorded"),
            ('requests_total{method="GET"}', "requests_total has no label method"),
            ('up{version="blue"}', "up has no label version"),
            ('job_version:requests:rate5m{code="200"}', "job_version:requests:rate5m has no label code"),
            ('requests_total{version="gren"}', 'requests_total has no series with version="gren"'),
            ('requests_total{version=~"blue|gren"}', 'requests_total has no series with version="gren"'),
            ('requests_total{outcome!="failure"}', 'requests_total has no series with outcome="failure"'),
            ("sum by (method) (requests_total)", "groups requests_total by method, which it has not"),
            (
                "sum by (le) (rate(head_seconds_bucket[5m]) / rate(requests_total[5m]))",
                "groups requests_total by le, which it has not",
            ),
            ("requests_total and on (side) weight_ratio", "no metric here has the label side"),
            ("rate(weight_ratio[5m])", "rate() of weight_ratio, which is a gauge"),
            ('{job="x"}', "a selector without a metric name"),
            ("sum(requests_total) by (version)", "write `by` before what it groups"),
        ]:
            self.assertEqual(faults(expression), [fault], expression)

    def test_a_legend_reads_only_labels_that_exist(self):
        self.assertEqual(faults("requests_total", ["version", "code"]), [])
        self.assertEqual(faults("requests_total", ["endpoint"]), ["no metric here has the label endpoint"])

    def test_a_total_is_over_the_series_with_the_labels(self):
        self.assertEqual(SCRAPED.total("requests_total"), 10)
        self.assertEqual(SCRAPED.total("requests_total", version="green"), 3)
        self.assertIsNone(SCRAPED.total("requests_total", version="none"))


if __name__ == "__main__":
    unittest.main()
